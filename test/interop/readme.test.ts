import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { codeBlocks } from '../support/code-blocks.ts'
import { mustRun } from '../support/command.ts'

const root = join(import.meta.dirname, '..', '..')
const blocks = codeBlocks(await readFile(join(root, 'README.md'), 'utf8'))
const shell = blocks.filter(({ language, marks }) => language === 'sh' && !marks.includes('norun'))
let clone: string

beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), 'readme-'))
  await mustRun('git', ['clone', '--quiet', '--local', root, clone])
})
afterAll(() => rm(clone, { recursive: true, force: true }))

test('the README has its two commands', () => {
  const texts = shell.map(({ text }) => text)
  expect(texts.some((text) => text.startsWith('npm ci && npx layerwright build examples/hello -o oci:out/hello'))).toBe(
    true,
  )
  expect(texts).toContain('npm ci && npm test')
})

// Later blocks build on earlier ones, as a reader's commands do; a second `npm ci` and the suite itself would only
// repeat what the gate has run.
test.each(shell.filter(({ text }) => text !== 'npm ci && npm test'))('README line $line: $text', async ({ text }) => {
  const env = { LAYERWRIGHT_CACHE: join(clone, '.cache', 'store') }
  await mustRun('bash', ['-euo', 'pipefail', '-c', text], { cwd: clone, env })
})

test('the files shown in the README are the ones of the example', async () => {
  const shown = blocks.flatMap(({ marks, text }) =>
    marks.filter((mark) => mark.startsWith('file=')).map((mark) => ({ path: mark.slice('file='.length), text })),
  )
  expect(shown.length).toBeGreaterThan(0)
  for (const { path, text } of shown) {
    const file = await readFile(join(root, path), 'utf8')
    expect(file.replace(/^# yaml-language-server.*\n/, '').trimEnd()).toBe(text)
  }
})
