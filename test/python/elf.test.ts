import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ElfScanner, type ElfFacts } from '../../src/python/elf.ts'
import { makeElf, makeFatbin } from '../support/elf.ts'

function scan(bytes: Buffer, step = 1 << 16): ElfFacts | undefined {
  const scanner = new ElfScanner()
  for (let at = 0; at < bytes.length; at += step) scanner.write(bytes.subarray(at, at + step))
  return scanner.finish()
}

const input = {
  soname: 'libdemo.so.1',
  needed: ['libc.so.6', 'libcublas.so.12', 'libm.so.6'],
  runpath: '$ORIGIN/../../nvidia/cublas/lib:/usr/local/lib',
} as const
const facts = {
  machine: 'x86_64',
  soname: 'libdemo.so.1',
  needed: input.needed,
  searchPath: ['$ORIGIN/../../nvidia/cublas/lib', '/usr/local/lib'],
  cudaArchitectures: [],
}

describe('ElfScanner', () => {
  test.each([1 << 16, 1000, 64, 17])('reads a library in pieces of %i bytes', (step) => {
    expect(scan(makeElf({ ...input, padding: Buffer.alloc(20_000, 'x') }), step)).toEqual(facts)
  })

  test('reads strings that come after the dynamic section', () => {
    expect(scan(makeElf({ ...input, stringsLast: true }), 100)).toEqual(facts)
  })

  test('keeps no more names than real libraries have', () => {
    const names = Buffer.from(`${'x'.repeat(4000)}.so\0`.repeat(3000))
    expect(scan(makeElf({ ...input, stringsLast: true, padding: names }))).toEqual({
      ...facts,
      soname: undefined,
      needed: [],
      searchPath: [],
    })
  })

  test('knows the machine', () => {
    expect(scan(makeElf({ machine: 183 }))?.machine).toBe('aarch64')
    expect(scan(makeElf({ machine: 243 }))?.machine).toBe('243')
  })

  test.each([
    ['text', Buffer.from('#!/bin/sh\nlibc.so.6\0')],
    ['nothing', Buffer.alloc(0)],
    ['a 32-bit library', Buffer.concat([Buffer.from('\x7fELF\x01\x01'), Buffer.alloc(100)])],
    ['a library that is cut short', makeElf(input).subarray(0, 60)],
  ])('takes %s for no library', (_, bytes) => {
    expect(scan(bytes)).toBeUndefined()
  })

  test.each([1 << 16, 100, 7])('lists GPU architectures from pieces of %i bytes', (step) => {
    const first = makeFatbin([
      ['code', 90],
      ['code', 80],
    ])
    const second = makeFatbin([
      ['ptx', 120],
      ['code', 100],
    ])
    const magicInCode = Buffer.from([0x50, 0xed, 0x55, 0xba, 1, 2, 3, 4])
    const padding = Buffer.concat([Buffer.alloc(33), magicInCode, first, Buffer.alloc(5), second])
    expect(scan(makeElf({ ...input, padding }), step)).toEqual({
      ...facts,
      cudaArchitectures: ['compute_120', 'sm_80', 'sm_90', 'sm_100'],
    })
  })

  test('survives any damage', () => {
    const whole = makeElf({ ...input, padding: makeFatbin([['code', 90]]) })
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 400 }),
        (changes, step) => {
          const bytes = Buffer.from(whole)
          for (const [at, value] of changes) bytes[at] = value
          expect(() => scan(bytes, step)).not.toThrow()
        },
      ),
      { numRuns: 500 },
    )
  })
})
