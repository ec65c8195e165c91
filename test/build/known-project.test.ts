import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { describeKnownProject } from '../../src/build/known-project.ts'
import { loadConfig } from '../../src/config/load.ts'
import { memoryCache, type Cache } from '../../src/core/cache.ts'

let folder: string
let cache: Cache
/** How often a model was described. */
let made: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'known-project-'))
  const memory = memoryCache()
  made = 0
  cache = { get: memory.get, set: (key, bytes) => (made++, memory.set(key, bytes)) }
  await write('a.py', 'def run(text: str) -> str: ...\n')
  await write('b.py', 'def run(text: str) -> int: ...\n')
  await write('cog.yaml', 'models: {a: {run: "a.py:run"}, b: {run: "b.py:run"}}\npipelines: {main: [a, b]}\n')
})
afterEach(() => rm(folder, { recursive: true }))

const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text)
const describeIt = async () => {
  const { config, projectFolder } = await loadConfig(folder)
  return describeKnownProject({ config, projectFolder, path: folder }, cache)
}

test('describeKnownProject() remembers each model by itself', async () => {
  const first = await describeIt()
  expect(made).toBe(2)
  expect(JSON.stringify(await describeIt())).toBe(JSON.stringify(first))
  expect(made).toBe(2)
  await write('b.py', 'def run(text: str) -> float: ...\n')
  expect((await describeIt()).openapi.components.schemas['Output']).toMatchObject({ type: 'number' })
  expect(made).toBe(3)
})

test('describeKnownProject() checks the pipelines of models that it remembers, with places in the cog.yaml', async () => {
  await describeIt()
  await write('a.py', 'from cog import Path\ndef run(text: str) -> Path: ...\n')
  await expect(describeIt()).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    issues: [{ code: 'step-type', line: 2, column: 23, path: 'pipelines.main[1]' }],
  })
})

test('describeKnownProject() describes a project of one model as ever', async () => {
  await write('cog.yaml', 'run: a.py:run\n')
  const { members, predict } = await describeIt()
  expect(members).toBeUndefined()
  expect(predict?.inputs).toMatchObject([{ name: 'text' }])
})
