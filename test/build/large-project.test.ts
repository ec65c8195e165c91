import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { PARTS } from '../../layers/project-parts.ts'
import { build } from '../../src/build.ts'
import { memoryDestination, memoryImages } from '../../src/destinations/memory.ts'
import { isImageIndex } from '../../src/image/image.ts'
import { makeBuildWorld, type BuildWorld } from '../support/build-world.ts'

let folder: string
let world: BuildWorld
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'large-project-'))
  world = await makeBuildWorld(folder)
})
afterEach(async () => {
  await world.close()
  await rm(folder, { recursive: true })
})

/** Digests of the layers that hold the project's files. */
async function codeLayers(project: string): Promise<readonly string[]> {
  const { image } = await build(
    { project, mode: 'auto', format: 'oci' },
    async ({ imageName }) => [{ destination: memoryDestination(memoryImages(), imageName) }],
    world.context,
  )
  if (isImageIndex(image)) return expect.unreachable()
  return image.layers
    .filter(({ createdBy }) => createdBy.endsWith(' project files in /src'))
    .map(({ descriptor }) => descriptor.digest)
}

test('a changed file of a large project makes one of its layers anew; a small project has one', async () => {
  const settings = `base_image: "docker://base.example/cuda:1", python_index: { url: "${world.index.url}" }`
  const project = await world.project(`build: { ${settings} }\nrun: "run.py:Runner"\n`)
  expect(await codeLayers(project)).toHaveLength(1)
  for (let n = 0; n < 101; n++) {
    const place = join(project, 'data', String(n))
    await mkdir(place, { recursive: true })
    await Promise.all(Array.from({ length: 100 }, (_, m) => writeFile(join(place, `${m}.txt`), `${m}`)))
  }
  const before = await codeLayers(project)
  expect(before.length).toBeGreaterThan(PARTS / 2)
  await writeFile(join(project, 'data', '50', '7.txt'), 'changed')
  const after = await codeLayers(project)
  expect(after).toHaveLength(before.length)
  expect(after.filter((digest) => !before.includes(digest))).toHaveLength(1)
}, 300_000)
