import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { constants, deflateRawSync } from 'node:zlib'
import { expect, onTestFinished, test } from 'vitest'
import { loadInflate } from '../../../src/core/native/addon.ts'
import { packageRoot } from '../../../src/core/package-root.ts'

const native = loadInflate()

test.skipIf(native === undefined)('the addon refuses what is no memory of an inflater', () => {
  if (native === undefined) return expect.unreachable()
  const [bytes] = native.inflateLayout()
  const memory = new ArrayBuffer(bytes + 8)
  expect(() => native.inflateReset(new Uint8Array(memory, 0, bytes - 1))).toThrow(/no memory/)
  expect(() => native.inflateReset(new Uint8Array(memory, 1, bytes))).toThrow(/no memory/)
  expect(() => native.inflateRun('x' as unknown as Uint8Array, true)).toThrow(/no memory/)
  const whole = new Uint8Array(memory, 8)
  native.inflateReset(whole)
  expect(() => native.inflateRun(whole, 1 as unknown as boolean)).toThrow(/neither true nor false/)
  expect(() => native.inflatePauseAfter(whole, 'x' as unknown as number)).toThrow(/no number/)
})

const NATIVE = path.join(packageRoot(), 'src/core/native')
const SANITIZED = ['-std=gnu11', '-O1', '-g', '-fsanitize=address,undefined', '-fno-sanitize-recover=all']

/** Whether this compiler brings what the check needs; where the addon is built from source it mostly does. */
const canSanitize = ((): boolean => {
  const folder = mkdtempSync(path.join(tmpdir(), 'lw-sanitize-'))
  try {
    const words = [...SANITIZED, '-x', 'c', '-', '-o', path.join(folder, 'x')]
    return spawnSync(process.env['CC'] ?? 'cc', words, { input: 'int main(void) { return 0; }' }).status === 0
  } finally {
    rmSync(folder, { recursive: true })
  }
})()

test.runIf(native !== undefined && canSanitize)(
  'nothing that a stream says reaches outside',
  { timeout: 300_000 },
  () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'lw-inflate-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const program = path.join(folder, 'check')
    const sources = ['fuzz/inflate.c', 'kernels/inflate.c'].map((name) => path.join(NATIVE, name))
    const words = [...SANITIZED, '-I', path.join(NATIVE, 'kernels'), '-o', program, ...sources]
    execFileSync(process.env['CC'] ?? 'cc', words)
    const files = seeds().map((bytes, n) => {
      const file = path.join(folder, `${n}`)
      writeFileSync(file, bytes)
      return file
    })
    const turns = 400
    const ends = execFileSync(program, [`${turns}`, ...files], { encoding: 'utf8' })
      .trim()
      .split(' ')
      .map(Number)
    expect(ends.reduce((sum, end) => sum + end, 0)).toBe(turns * files.length)
    const [needInput, needOutput, done = 0, paused, ...problems] = ends
    expect([needInput, needOutput, paused]).toEqual([0, 0, 0])
    expect(done).toBeGreaterThanOrEqual(files.length)
    // Every kind of damage was met.
    expect(
      problems.every((met) => met > 0),
      problems.join(),
    ).toBe(true)
  },
)

/** Streams with blocks of all kinds, each behind the byte that says how large its pieces are. */
function seeds(): Buffer[] {
  const noise = createHash('shake256', { outputLength: 3000 }).update('noise').digest()
  const text = Buffer.from('what is said twice is said better, '.repeat(40))
  const zeros = Buffer.alloc(400_000)
  const some = noise.map((value) => value & 15)
  const options = [
    { level: 0 },
    { level: 9, memLevel: 1 },
    { level: 6, strategy: constants.Z_FIXED },
    { level: 6, strategy: constants.Z_HUFFMAN_ONLY },
  ]
  return options.flatMap((option) =>
    [text, Buffer.concat([some, text, noise, text]), Buffer.concat([zeros, some])].map((content, n) =>
      Buffer.concat([Buffer.from([[2, 40, 255][n] ?? 1]), deflateRawSync(content, option)]),
    ),
  )
}
