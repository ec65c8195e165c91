import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { describeKnownModel } from '../../src/build/known-model.ts'
import { memoryCache, type Cache } from '../../src/core/cache.ts'

let folder: string
let cache: Cache
/** How often a description was made. */
let made: number

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'known-model-'))
  const memory = memoryCache()
  made = 0
  cache = { get: memory.get, set: (key, bytes) => (made++, memory.set(key, bytes)) }
  await write(
    'run.py',
    'from shapes import Shape\n\nclass Runner(Shape):\n    def run(self, text: str) -> str:\n        return text\n',
  )
})
afterEach(() => rm(folder, { recursive: true }))

const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text)
const describeIt = (run = 'run.py:Runner') => describeKnownModel({ projectFolder: folder, run }, cache)

test('describeKnownModel() gives the same description again without parsing', async () => {
  const first = await describeIt()
  expect(await describeIt()).toEqual(JSON.parse(JSON.stringify(first)))
  expect(made).toBe(1)
})

test('describeKnownModel() notices another source of the same size', async () => {
  await describeIt()
  await write(
    'run.py',
    'from shapes import Shape\n\nclass Runner(Shape):\n    def run(self, word: str) -> str:\n        return word\n',
  )
  expect(JSON.stringify((await describeIt()).openapi)).toContain('"word"')
  expect(made).toBe(2)
})

test('describeKnownModel() notices a module that appears where it was looked for, and that goes again', async () => {
  await describeIt()
  await write('shapes.py', 'class Shape: pass\n')
  await describeIt()
  expect(made).toBe(2)
  await rm(join(folder, 'shapes.py'))
  await describeIt()
  expect(made).toBe(3)
})

test('describeKnownModel() remembers no failure, and asks again for another class', async () => {
  await expect(describeIt('run.py:Other')).rejects.toMatchObject({ code: 'PREDICTOR_INVALID' })
  expect(made).toBe(0)
  await describeIt()
  await expect(describeIt('run.py:Other')).rejects.toMatchObject({ code: 'PREDICTOR_INVALID' })
})

test('describeKnownModel() makes a description again when its memory is damaged', async () => {
  const broken: Cache = { get: async () => Buffer.from('{"files":'), set: cache.set }
  expect((await describeKnownModel({ projectFolder: folder, run: 'run.py:Runner' }, broken)).predict).toBeDefined()
  expect(made).toBe(1)
})
