import { describe, expect, test } from 'vitest'
import { LibraryReader, type LibraryFacts } from '../../src/debian/elf.ts'
import { makeElf } from '../support/elf.ts'

function read(bytes: Buffer, step: number): LibraryFacts | undefined {
  const reader = new LibraryReader()
  for (let at = 0; at < bytes.length; at += step) {
    // The memory of a chunk is used again.
    const chunk = Buffer.from(bytes.subarray(at, at + step))
    reader.push(chunk)
    chunk.fill(0xff)
  }
  return reader.finish()
}

describe('LibraryReader', () => {
  const padding = Buffer.alloc(5000, 'x')
  const facts = { soname: 'libdemo.so.1', elfClass: 2, machine: 62 }

  test.each([1 << 16, 1000, 64, 17, 3])('knows a name from pieces of %i bytes', (step) => {
    expect(read(makeElf({ soname: 'libdemo.so.1', needed: ['libc.so.6'], padding }), step)).toEqual(facts)
    expect(read(makeElf({ soname: 'libdemo.so.1', stringsLast: true, padding }), step)).toEqual(facts)
  })

  test.each([
    ['none', makeElf({ needed: ['libc.so.6'] })],
    ['one without an end', makeElf({ soname: 'libdemo.so.1', stringsLast: true }).subarray(0, -2)],
    ['one of five thousand characters', makeElf({ soname: 'x'.repeat(5000) })],
  ])('a library with a name of %s has none', (_, bytes) => {
    expect(read(bytes, 100)).toEqual({ ...facts, soname: undefined })
  })

  test('knows a name of 4096 characters', () => {
    expect(read(makeElf({ soname: 'x'.repeat(4096) }), 1000)?.soname).toBe('x'.repeat(4096))
  })

  test.each([1 << 18, 5000])('knows a name behind megabytes of other names from pieces of %i bytes', (step) => {
    const far = { padding: Buffer.alloc(3 << 20, 'y\0'), stringsLast: true }
    const soname = Buffer.from('libdemo-ä.so.1').toString('latin1')
    expect(read(makeElf({ ...far, soname }), step)?.soname).toBe('libdemo-ä.so.1')
    expect(read(makeElf({ ...far, needed: ['xlibdemo.so.1'], soname: 'libdemo.so.1' }), step)).toEqual(facts)
    expect(read(makeElf({ ...far, soname: 'demo' }), step)).toEqual({ ...facts, soname: undefined })
  })

  test('knows a name across the end of what is kept as it is', () => {
    for (let bytes = (1 << 20) - 200; bytes < 1 << 20; bytes += 8) {
      const elf = makeElf({ padding: Buffer.alloc(bytes), stringsLast: true, soname: 'libdemo.so.1' })
      expect(read(elf, 1 << 16)).toEqual(facts)
    }
  })

  test.each([
    ['text', Buffer.from('#!/bin/sh\n')],
    ['nothing', Buffer.alloc(0)],
    ['a header that is cut short', makeElf().subarray(0, 60)],
  ])('takes %s for no library', (_, bytes) => {
    expect(read(bytes, 10)).toBeUndefined()
  })
})
