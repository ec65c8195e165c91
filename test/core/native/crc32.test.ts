import { randomBytes } from 'node:crypto'
import { crc32 as crc32OfZlib } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { crc32 } from '../../../src/core/crc32.ts'
import { addonProblem, loadCrc32 } from '../../../src/core/native/addon.ts'

const native = loadCrc32()
const ways: readonly (readonly [string, (bytes: Uint8Array, before: number) => number])[] = [
  ['whichever is best', crc32],
  ...(native === undefined ? [] : [['the addon', native.crc32] as const]),
]

describe.each(ways)('CRC-32 by %s', (_, of) => {
  test('is what the standard says', () => {
    expect(of(Buffer.from('123456789'), 0)).toBe(0xcb_f4_39_26)
    expect(of(Buffer.alloc(0), 0)).toBe(0)
    expect(of(Buffer.alloc(0), 0x12_34_56_78)).toBe(0x12_34_56_78)
  })

  test('is that of zlib for every length and place', () => {
    const bytes = randomBytes(4_096)
    for (let length = 0; length < 600; length++) {
      const part = bytes.subarray(length % 17, (length % 17) + length)
      expect(of(part, length)).toBe(crc32OfZlib(part, length))
    }
    // Around the length from which the addon is called, and more than fits a processor's cache.
    for (const length of [1_023, 1_024, 1_025, 1_039, 4_096])
      expect(of(bytes.subarray(0, length), 0)).toBe(crc32OfZlib(bytes.subarray(0, length), 0))
    const large = Buffer.alloc(3_000_001, bytes)
    expect(of(large, 0xff_ff_ff_ff)).toBe(crc32OfZlib(large, 0xff_ff_ff_ff))
  })

  test('goes on where it was, in pieces of any length, and in shared memory', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(200_000))
    bytes.set(randomBytes(200_000))
    let value = 0
    for (let at = 0, step = 1; at < bytes.length; at += step, step = (step * 7 + 3) % 9_001)
      value = of(bytes.subarray(at, at + step), value)
    expect(value).toBe(crc32OfZlib(bytes, 0))
  })
})

test.skipIf(native === undefined)('the addon refuses what is no memory', () => {
  if (native === undefined) return expect.unreachable()
  expect(() => native.crc32('x' as unknown as Uint8Array, 0)).toThrow(/no bytes/)
  expect(() => native.crc32(new Uint16Array(4) as unknown as Uint8Array, 0)).toThrow(/no bytes/)
  expect(() => native.crc32(new Uint8Array(4), 'x' as unknown as number)).toThrow(/no bytes/)
  expect(addonProblem()).toBeUndefined()
})
