import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { collect, copied } from '../../src/core/bytes.ts'
import { decompressSmallXz } from '../../src/debian/xz/small.ts'
import { decompressXz, endIdleXzThreads } from '../../src/debian/xz/decompress.ts'

/** The xz tool, part of every Debian and of the runners, is the other side. */
function xz(content: Uint8Array, ...options: string[]): Buffer {
  return execFileSync('xz', ['-c', ...options], { input: content, maxBuffer: 1 << 28 })
}

/** Stretches that repeat near and far, and stretches that nothing can compress. */
function mixed(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = 7
  const next = (): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 8
  for (let at = 0; at < length;) {
    const end = Math.min(length, at + 1 + (next() % 5000))
    const kind = next() % 4
    const from = next() % Math.max(1, at)
    for (let n = at; n < end; n++) {
      bytes[n] =
        kind === 0 ? next() : kind === 1 ? (bytes[from + n - at] ?? 0) : kind === 2 ? 97 + ((n * n) % 13) : n >> 3
    }
    at = end
  }
  return bytes
}

async function* chunked(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const MEBIBYTES = 1 << 20
const LARGE = mixed(9 * MEBIBYTES)
const SMALL = LARGE.subarray(0, 100_000)

describe('decompressXz()', () => {
  const ways: readonly (readonly string[])[] = [
    ['-0'],
    ['-6', '--check=crc32'],
    ['--check=none'],
    ['--check=sha256'],
    ['--block-size=1000000'],
    ['-T2', '--block-size=2000000'],
    // The window is moved often, and matches of its whole length are used.
    ['--lzma2=dict=64KiB'],
    ['--lzma2=dict=1MiB,lc=0,lp=2,pb=0'],
    ['--lzma2=dict=1MiB,lc=4,lp=0,pb=4'],
    ['--lzma2=dict=1MiB,lc=0,lp=4,pb=2'],
  ]
  it.each(ways)('gives back what xz %s %s compressed', { timeout: 120_000 }, async (...options) => {
    const compressed = xz(LARGE, ...options.filter((option) => option !== undefined))
    const content = await collect(copied(decompressXz(chunked(compressed, 70_001))), 1 << 30)
    expect(content.equals(LARGE)).toBe(true)
  })

  it('reads several files at once, each to its end', { timeout: 120_000 }, async () => {
    const compressed = [SMALL, LARGE, SMALL.subarray(7), LARGE.subarray(99)].map((content) => ({
      content,
      file: xz(content, '-1'),
    }))
    const read = compressed.map(({ file }) => collect(copied(decompressXz(chunked(file, 9999))), 1 << 30))
    for (const [n, { content }] of compressed.entries()) expect((await read[n])?.equals(content), `${n}`).toBe(true)
  })

  it('passes on what the source fails with', async () => {
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield xz(SMALL).subarray(0, 100)
      throw new Error('the network is gone')
    }
    await expect(collect(decompressXz(failing()), 1 << 30)).rejects.toThrow('the network is gone')
  })
})

describe('endIdleXzThreads()', () => {
  it('ends what waits for another file, and nothing that reads one', { timeout: 120_000 }, async () => {
    const [small, large] = [xz(SMALL), xz(LARGE)]
    const reading = decompressXz(chunked(large, 9999))
    const first = Buffer.from((await reading.next()).value ?? [])
    await collect(copied(decompressXz(chunked(small, 9999))), 1 << 30)
    expect(await endIdleXzThreads()).toBeGreaterThan(0)
    expect(await endIdleXzThreads()).toBe(0)
    const rest = await collect(copied(reading), 1 << 30)
    expect(Buffer.concat([first, rest]).equals(LARGE)).toBe(true)
    expect((await collect(copied(decompressXz(chunked(small, 9999))), 1 << 30)).equals(SMALL)).toBe(true)
  })
})

describe('decompressSmallXz()', () => {
  it('reads streams one after another, with padding between and behind', () => {
    const zeros = Buffer.alloc(4)
    const file = Buffer.concat([xz(SMALL), zeros, zeros, xz(Buffer.alloc(0)), xz(SMALL.subarray(5)), zeros])
    expect(decompressSmallXz(file, 1 << 20).equals(Buffer.concat([SMALL, SMALL.subarray(5)]))).toBe(true)
  })

  it('refuses data that is cut off anywhere', () => {
    const file = xz(SMALL.subarray(0, 3000), '--block-size=1000')
    for (let length = 0; length < file.length; length++) {
      expect(() => decompressSmallXz(file.subarray(0, length), 1 << 20), `${length}`).toThrow(RangeError)
    }
  })

  it('refuses data of which any byte is another', () => {
    const file = xz(SMALL.subarray(0, 3000), '--block-size=1000')
    for (let at = 0; at < file.length; at++) {
      const damaged = Buffer.from(file)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (at % 8))
      expect(() => decompressSmallXz(damaged, 1 << 20), `${at}`).toThrow(RangeError)
    }
  })

  it('gives no more than what was asked for', () => {
    expect(() => decompressSmallXz(xz(Buffer.alloc(9 * MEBIBYTES)), 1 << 20)).toThrow('More than 1048576 bytes')
  })

  it.each([
    ['no xz', Buffer.from('not xz at all'), 'does not start as xz does'],
    ['something behind', Buffer.concat([xz(SMALL), Buffer.from('more')]), 'Damaged xz data'],
    ['a filter for machine code', xz(SMALL, '--x86', '--lzma2'), 'a filter other than LZMA2'],
    ['a window that is too large', xz(SMALL, '--lzma2=dict=1GiB'), 'a window of more than 256 MiB'],
  ])('refuses %s', (_, file, message) => {
    expect(() => decompressSmallXz(file, 1 << 20)).toThrow(message)
  })
})
