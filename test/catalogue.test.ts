import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { packageRoot } from '../src/core/package-root.ts'

/** A line of `fixtures/reliability/catalogue.json`. */
interface HostileInput {
  readonly id: string
  readonly area: string
  readonly input: string
  readonly expected: string
}

/** Which test is about an input: its file and words of its title or table row; or why there is none. */
type Answer = readonly (readonly [file: string, words: string])[] | { readonly reason: string }

const unpack = 'test/run/unpack.test.ts'
const breakouts = 'test/run/breakouts.test.ts'
const guard = 'test/layers/tar-guard.test.ts'
const project = 'test/layers/project.test.ts'

const ANSWERS: Readonly<Record<string, Answer>> = {
  'tar-01': [
    [breakouts, 'umoci TestUnpackEntrySanitiseScoping'],
    ['test/layers/archive.test.ts', '../'],
  ],
  'tar-03': [[breakouts, 'SymlinkAbsolute']],
  'tar-07': [[breakouts, 'HardlinkSymlinkChmod']],
  'tar-08': [
    [breakouts, 'HardlinkSymlinkBeforeCreateTarget'],
    [breakouts, 'a hard link to nothing names both paths'],
  ],
  'tar-14': [
    [project, '.wh.gone'],
    ['test/layers/files.test.ts', 'a/.wh.x'],
  ],
  'tar-15': [
    [unpack, 'leaves device nodes out and says so'],
    [project, 'socket'],
  ],
  'tar-16': [[guard, 'a negative device number']],
  'tar-17': [['test/layers/wheels.test.ts', 'modes 644 and 755 only']],
  'tar-18': [
    [guard, 'a global header that sets a path'],
    [guard, 'a global header that sets a size'],
  ],
  'tar-20': [[guard, 'a PAX header of 2 MiB']],
  'tar-21': [
    [guard, 'a PAX length that is too long'],
    [guard, 'a PAX length that is too short'],
    [guard, 'a PAX record without a newline'],
  ],
  'tar-23': [
    [guard, 'a GNU sparse file'],
    [guard, 'a PAX sparse file'],
  ],
  'tar-24': [
    [guard, 'a GNU long name of 2 MiB'],
    [guard, 'an end after an extension header'],
  ],
  'tar-26': [
    [guard, 'a negative base-256 size'],
    [guard, 'a base-256 size of 2^88'],
  ],
  'tar-27': [[guard, 'a wrong checksum']],
  'tar-28': [[guard, 'swallows what follows the end marker']],
  'tar-30': [[guard, 'keeps names that are no UTF-8 byte for byte']],
  'tar-31': [
    ['test/layers/tar-header.test.ts', 'a path of 300 bytes'],
    [unpack, 'refuses a path that no system call takes'],
  ],
  'tar-32': [[unpack, 'a hundred thousand directories deep']],
  'tar-33': [[breakouts, 'SymlinkEmptyFilename']],
  'tar-35': [
    [guard, 'moves times that no clock has'],
    ['test/layers/tar-header.test.ts', 'refuses the time'],
  ],
  'tar-36': [[unpack, 'names extended attributes that it cannot set']],
  'gzip-02': [
    [unpack, 'a truncated gzip stream'],
    [unpack, 'publishes nothing when a layer is not what it should be'],
  ],
  'gzip-03': [
    [unpack, 'garbage after gzip'],
    [unpack, 'gzip with zeros after it'],
  ],
  'gzip-04': [[unpack, 'gzip in two members']],
  'gzip-05': [[unpack, 'a wrong CRC']],
  'deb-01': [['test/debian/deb.test.ts', 'refuses lies about sizes and shapes']],
  'deb-05': [['test/debian/resolve.test.ts', 'takes nothing from text outside of the signed part']],
  'deb-06': [['test/layers/remote.test.ts', 'DIGEST_MISMATCH']],
  'deb-07': {
    reason: 'Node refuses a header with a line end in it, and a redirect is parsed as a URL, which has none.',
  },
  'gpu-02': [['test/catalogue.test.ts', 'no image is told to load a library before all others']],
  'gpu-03': [['test/interop/run.test.ts', 'refuses an image whose']],
  'gpu-05': [['test/run/gpu.test.ts', "CUDA_VERSION: '12.4.1'"]],
  'gpu-06': [['test/plan/runtime-config.test.ts', "toBe('compute,utility')"]],
}

const catalogue = JSON.parse(
  readFileSync(join(packageRoot(), 'fixtures/reliability/catalogue.json'), 'utf8'),
) as readonly HostileInput[]

test.each(catalogue.map((line) => [line.id, line.input, line] as const))('%s has an answer: %s', (id, _, line) => {
  const answer = ANSWERS[id]
  expect(answer, line.expected).toBeDefined()
  if (answer === undefined || 'reason' in answer) return
  for (const [file, words] of answer) {
    expect(readFileSync(join(packageRoot(), file), 'utf8').includes(words), `${file} holds no: ${words}`).toBe(true)
  }
})

test('every answer is to an input of the catalogue', () => {
  const ids = new Set(catalogue.map(({ id }) => id))
  expect(Object.keys(ANSWERS).filter((id) => !ids.has(id))).toEqual([])
})

test('no image is told to load a library before all others', () => {
  const sources = ['src/plan/runtime-config.ts', 'src/plan/environment.ts', 'src/run/gpu/nvidia-driver.ts']
  for (const file of sources) expect(readFileSync(join(packageRoot(), file), 'utf8')).not.toContain('LD_PRELOAD')
})
