import { appendFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { groupFiles, LAYER_BUDGET } from '../../layers/group.ts'
import { build, type BuildResult } from '../../src/build.ts'
import { memoryDestination, memoryImages } from '../../src/destinations/memory.ts'
import { isImageIndex, type Image } from '../../src/image/image.ts'
import { makeBuildWorld, type BuildWorld } from '../support/build-world.ts'
import { makeWheel } from '../support/wheel.ts'

const COUNT = 200
const names = Array.from({ length: COUNT }, (_, n) => `part${String(n).padStart(4, '0')}`)

let folder: string
let world: BuildWorld
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'scale-'))
  world = await makeBuildWorld(
    folder,
    names.map((name) => makeWheel({ name, version: '1.0', files: [{ name: `${name}.py`, content: `# ${name}\n` }] })),
  )
})
afterAll(async () => {
  await world.close()
  await rm(folder, { recursive: true })
})

function project(count: number): Promise<string> {
  const lines = [
    'build:',
    '  base_image: "docker://base.example/cuda:1"',
    `  python_index: { url: "${world.index.url}" }`,
    `  python_packages: ${JSON.stringify(names.slice(0, count))}`,
    'run: "run.py:Runner"',
  ]
  return world.project(`${lines.join('\n')}\n`, `project-${count}`)
}

const images = memoryImages()

/** Builds, and counts what the index was asked. */
async function run(path: string): Promise<{ readonly result: BuildResult; readonly requests: number }> {
  const before = world.index.requests.length
  const destination = memoryDestination(images, 'image')
  const result = await build(
    { project: path, mode: 'auto', format: 'oci' },
    async () => [{ destination }],
    world.context,
  )
  return { result, requests: world.index.requests.length - before }
}

function single({ image }: BuildResult): Image {
  if (isImageIndex(image)) throw new Error('An index, not an image')
  return image
}

test('each package more costs its page and its file, and no layer while groups are small', async () => {
  const one = await run(await project(1))
  const path = await project(COUNT)
  const many = await run(path)
  // The index of the tests has neither metadata files nor ranges: a page, a refused range, the file.
  expect((many.requests - one.requests) / (COUNT - 1)).toBeLessThanOrEqual(3)
  const [few, all] = [single(one.result), single(many.result)]
  expect(all.layers).toHaveLength(few.layers.length)
  await appendFile(join(path, 'run.py'), '\n# changed\n')
  const changed = await run(path)
  expect(changed.requests).toBe(0)
  const before = new Set(all.layers.map(({ descriptor }) => descriptor.digest))
  expect(single(changed.result).layers.filter(({ descriptor }) => !before.has(descriptor.digest))).toHaveLength(1)
})

test.each([
  ['2,000 small packages', (): number => 40_000],
  ['2,000 packages of a few megabytes', (): number => 7_000_000],
  ['2,000 packages, a tenth of them large', (n: number): number => (n % 10 === 0 ? 20_000_000 : 50_000)],
  ['2,000 packages of a hundred megabytes', (): number => 100_000_000],
])('%s stay below what overlay file systems allow', (_, sizeOf) => {
  const files = Array.from({ length: 2000 }, (_, n) => ({ name: `part-${n}`, sizeBytes: sizeOf(n) }))
  const groups = groupFiles(files)
  expect(groups.length).toBeLessThanOrEqual(60)
  expect(groups.flat()).toHaveLength(files.length)
  // With launcher, base and project the image stays below 127.
  expect(groups.length).toBeLessThan(LAYER_BUDGET)
})
