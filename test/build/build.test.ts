import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OCI, type Digest, type ImageConfig, type Manifest } from 'oci-spec-types'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Layer } from '../../layers/layer.ts'
import { build, type BuildContext, type BuildOutput, type BuildRequest, type BuildResult } from '../../src/build.ts'
import type { ProgressEvent } from '../../src/core/progress.ts'
import type { Destination } from '../../src/destinations/destination.ts'
import { memoryDestination, memoryImages, type MemoryImages } from '../../src/destinations/memory.ts'
import { isImageIndex, type Image } from '../../src/image/image.ts'
import { parseLock } from '../../src/lock/parse-lock.ts'
import { fleetingStore } from '../../src/store/fleeting-store.ts'
import { Store } from '../../src/store/store.ts'
import { makeBuildWorld, type BuildWorld } from '../support/build-world.ts'
import { makeElf, makeFatbin } from '../support/elf.ts'
import { makeWheel, type MadeWheel } from '../support/wheel.ts'
import type { WheelIndex } from '../support/wheel-index.ts'

const wheels: readonly MadeWheel[] = [
  makeWheel({ name: 'alpha', version: '1.0', requires: ['beta>=2'] }),
  makeWheel({ name: 'alpha', version: '1.1', requires: ['beta>=2'] }),
  makeWheel({ name: 'beta', version: '2.0' }),
]

let folder: string
let world: BuildWorld
let index: WheelIndex
let images: MemoryImages
let context: BuildContext
let events: ProgressEvent[]
let baseRequests: string[]

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'build-'))
  images = memoryImages()
  world = await makeBuildWorld(folder, wheels)
  ;({ index, context, events, baseRequests } = world)
})
afterEach(async () => {
  await world.close()
  await rm(folder, { recursive: true })
})

const project = (text: string, name?: string): Promise<string> => world.project(text, name)

const yaml = (more = ''): string =>
  `build:\n  base_image: "docker://base.example/cuda:1"\n  python_index: { url: "${index.url}" }\n  python_packages: ["alpha==1.0"]\n${more}run: "run.py:Runner"\n`

async function run(path: string, request: Partial<BuildRequest> = {}): Promise<BuildResult> {
  const whole: BuildRequest = { project: path, mode: 'auto', format: 'oci', ...request }
  return build(whole, async ({ imageName }) => [{ destination: memoryDestination(images, imageName) }], context)
}

/** What a name holds in memory: digest, configuration, types of layers. */
function storedImage(name: string): { digest: Digest; config: ImageConfig; types: readonly string[] } {
  const digest = images.roots.get(name) ?? expect.unreachable(name)
  const read = (of: Digest): unknown => JSON.parse(images.blobs.get(of)?.toString() ?? '')
  const manifest = read(digest) as Manifest
  const config = read(manifest.config.digest) as ImageConfig
  return { digest, config, types: manifest.layers.map(({ mediaType }) => mediaType) }
}

function single(result: BuildResult): Image {
  if (isImageIndex(result.image)) throw new Error('An index, not an image')
  return result.image
}

test('build() makes an image of base, wheels, launcher and project, and publishes it under its name', async () => {
  const result = await run(await project(yaml()))
  const image = single(result)
  expect(images.roots.get('cog-project')).toBe(result.digest)
  expect(image.layers.map(({ createdBy }) => createdBy)).toEqual(
    [
      'base layer',
      expect.stringContaining('alpha 1.0, beta 2.0, pip 26.3, setuptools 80.0'),
      expect.stringContaining('virtual environment /opt/venv'),
      expect.stringContaining('doorman 1.0'),
      'launcher',
      'API document',
      '2 project files in /src',
    ].map((text) => (text === 'base layer' ? expect.any(String) : text)),
  )
  expect(image.config.history).toHaveLength(image.layers.length)
  expect(image.config.config).toMatchObject({
    WorkingDir: '/src',
    Entrypoint: ['/usr/local/bin/python3.11', '-I', '-S', '/opt/layerwright/lib/launch.py'],
  })
})

test('build() looks for a base on this machine from the project, wherever it is called; the lock has it as written', async () => {
  const text = yaml().replace('docker://base.example/cuda:1', 'oci:../base:1')
  const { planned } = await run(await project(text))
  expect(new Set(baseRequests)).toEqual(new Set([`oci:${join(folder, 'base')}:1`]))
  expect(planned.lock.platforms[0]?.base).toMatchObject({ location: 'oci:../base:1' })
})

test('build() has its own packages from the index, too, where the requirements file says --no-index', async () => {
  const folderOf = await project(yaml().replace(/python_packages: .*/, 'python_requirements: requirements.txt'))
  await mkdir(join(folderOf, 'wheels'))
  for (const { filename, bytes } of wheels) await writeFile(join(folderOf, 'wheels', filename), bytes)
  await writeFile(join(folderOf, 'requirements.txt'), '--no-index\n--find-links wheels\nalpha==1.0\n')
  const lock = (await run(folderOf)).planned.lock.platforms[0] ?? expect.unreachable()
  expect(lock.wheels.map(({ name, version }) => `${name}==${version}`)).toEqual(['alpha==1.0', 'beta==2.0'])
  expect(lock.wheels.every(({ url }) => url.startsWith('file:'))).toBe(true)
  expect(lock.launcher.map(({ url }) => url)).toEqual([expect.stringMatching(/^http.*doorman/)])
})

test('build() says nothing of the Node that built the image', async () => {
  const { config, manifest } = single(await run(await project(yaml())))
  expect(JSON.stringify([config, manifest])).not.toContain(process.versions.node)
})

test('build() keeps environment and labels of the base and adds its own', async () => {
  const { config } = single(await run(await project(yaml())))
  expect(config.config?.Env).toContain('PATH=/opt/venv/bin:/usr/local/cuda/bin:/usr/bin:/bin')
  expect(config.config?.Env).toContain('COG_PREDICT_TYPE_STUB=run.py:Runner')
  expect(config.config?.Labels).toMatchObject({
    maintainer: 'someone',
    'run.cog.has_init': 'true',
    'run.cog.pip_freeze': expect.stringContaining('alpha==1.0\nbeta==2.0') as string,
  })
  expect(JSON.parse(config.config?.Labels?.['run.cog.openapi_schema'] ?? '')).toHaveProperty(
    'components.schemas.Input.properties.text',
  )
})

test('build() of an unchanged project asks neither index nor base and makes no layer', async () => {
  const path = await project(yaml())
  const first = await run(path)
  const asked = index.requests.length
  events.length = 0
  const second = await run(path)
  expect(second.digest).toBe(first.digest)
  expect(index.requests).toHaveLength(asked)
  const made = events.filter((event) => event.type === 'end' && event.outcome === 'done').length
  // Only writing to the destination is a task that runs.
  expect(made).toBe(1)
})

test('a changed requirement changes the layer of the wheels and the environment, and no other', async () => {
  const path = await project(yaml())
  const before = single(await run(path))
  await writeFile(join(path, 'cog.yaml'), yaml().replace('alpha==1.0', 'alpha==1.1'))
  const after = single(await run(path))
  const changed = after.layers.filter((layer, at) => layer.descriptor.digest !== before.layers[at]?.descriptor.digest)
  expect(changed.map(({ createdBy }) => createdBy.split(' ')[0])).toEqual(['alpha', 'virtual', '2'])
})

test('a changed line of code changes the layer of the project alone', async () => {
  const path = await project(yaml())
  const before = single(await run(path))
  await writeFile(join(path, 'run.py'), `${await readFile(join(path, 'run.py'), 'utf8')}\n# changed\n`)
  const after = single(await run(path))
  const changed = after.layers.filter((layer, at) => layer.descriptor.digest !== before.layers[at]?.descriptor.digest)
  expect(changed.map(({ createdBy }) => createdBy)).toEqual(['2 project files in /src'])
})

test('the same project in two folders with stores of their own has one digest', async () => {
  const first = await run(await project(yaml(), 'same'))
  context = { ...context, store: await Store.open(join(folder, 'other-store')) }
  await mkdir(join(folder, 'elsewhere'))
  await cp(join(folder, 'same'), join(folder, 'elsewhere', 'same'), { recursive: true })
  expect((await run(join(folder, 'elsewhere', 'same'))).digest).toBe(first.digest)
})

test('build() for two platforms makes an index with one image each', async () => {
  const { image, platforms } = await run(await project(yaml()), { platforms: ['linux/amd64', 'linux/arm64'] })
  if (!isImageIndex(image)) throw new Error('An image, not an index')
  expect(platforms.map(({ platform }) => platform)).toEqual(['linux/amd64', 'linux/arm64'])
  expect(image.index.manifests.map(({ platform }) => platform?.architecture)).toEqual(['amd64', 'arm64'])
})

test('build() in Docker format writes schema 2 with the same blobs', async () => {
  const path = await project(yaml())
  const oci = single(await run(path))
  const docker = single(await run(path, { format: 'docker' }))
  expect(docker.manifest.mediaType).toBe('application/vnd.docker.distribution.manifest.v2+json')
  expect(docker.manifest.annotations).toBeUndefined()
  expect(docker.layers.map(({ descriptor }) => descriptor.digest)).toEqual(
    oci.layers.map(({ descriptor }) => descriptor.digest),
  )
})

test('build() writes each compression as an image of its own, with the same diffIds', async () => {
  const path = await project(yaml())
  const request: BuildRequest = { project: path, mode: 'auto', format: 'oci' }
  const compressions = ['gzip', 'zstd', 'none'] as const
  const destinations = compressions.map((compression) => ({
    destination: memoryDestination(images, compression),
    compression,
  }))
  const result = await build(request, async () => destinations, context)
  const stored = compressions.map(storedImage)
  expect(result.copies.map(({ digest }) => digest)).toEqual(stored.map(({ digest }) => digest))
  expect(result.digest).toBe(stored[0]?.digest)
  const [gzip, zstd, none] = stored
  expect(zstd?.config.rootfs.diff_ids).toEqual(gzip?.config.rootfs.diff_ids)
  expect(none?.config.rootfs.diff_ids).toEqual(gzip?.config.rootfs.diff_ids)
  // The base's layers stay as they are.
  const made = (types: readonly string[] | undefined): Set<string> => new Set(types?.slice(1))
  expect(made(gzip?.types)).toEqual(new Set([OCI.layerGzip]))
  expect(made(zstd?.types)).toEqual(new Set([OCI.layerZstd]))
  expect(made(none?.types)).toEqual(new Set([OCI.layer]))
})

test('with gpu: true the image has what runtimes look for, on any base', async () => {
  const { config } = single(await run(await project(yaml('  gpu: true\n'))))
  const env = config.config?.Env ?? []
  expect(env).toContain('NVIDIA_VISIBLE_DEVICES=all')
  expect(env).toContain('NVIDIA_DRIVER_CAPABILITIES=compute,utility')
  expect(env).toContain('NVIDIA_REQUIRE_CUDA=cuda>=12.6')
  expect(env).toContain('LD_LIBRARY_PATH=/usr/local/nvidia/lib:/usr/local/nvidia/lib64')
})

test.for([true, false])('planBuild() tells of a project that names no model: %s', async (isMissing) => {
  const { planBuild } = await import('../../src/build.ts')
  const text = isMissing ? yaml().replace(/^run: .*\n/m, '') : yaml()
  await planBuild({ project: await project(text), mode: 'auto', format: 'oci' }, context)
  const told = events.filter((event) => event.type === 'note' && event.text.includes('names no model'))
  expect(told).toHaveLength(isMissing ? 1 : 0)
})

test('planBuild() compiles packages on request, above the environment and below what changes more often', async () => {
  const { planBuild } = await import('../../src/build.ts')
  const rolesOf = async (more: string, name: string): Promise<readonly string[]> => {
    const request = { project: await project(yaml(more), name), mode: 'auto', format: 'oci' } as const
    const { plans } = await planBuild(request, context)
    const step = plans[0]?.layers.find(({ role }) => role === 'bytecode')
    if (step !== undefined) expect(step).toMatchObject({ command: expect.stringContaining('UNCHECKED_HASH') as string })
    return [...new Set(plans[0]?.layers.map(({ role }) => role))]
  }
  expect(await rolesOf('', 'without')).toEqual(['wheels', 'environment', 'runtime', 'code'])
  expect(await rolesOf('  bytecode: true\n', 'with')).toEqual(['wheels', 'environment', 'bytecode', 'runtime', 'code'])
})

test('build() refuses to ship a package without code for a stated GPU, and plan tells what it has', async () => {
  const { planBuild } = await import('../../src/build.ts')
  const { knownGpuCode } = await import('../../src/build/known-gpu-code.ts')
  const kernels = makeElf({
    padding: makeFatbin([
      ['code', 80],
      ['ptx', 80],
    ]),
  })
  const old = makeElf({ padding: makeFatbin([['code', 75]]) })
  await world.close()
  world = await makeBuildWorld(folder, [
    ...wheels,
    makeWheel({ name: 'kernels', version: '2.0', files: [{ name: 'kernels/_C.so', content: kernels }] }),
    makeWheel({ name: 'relics', version: '0.9', files: [{ name: 'relics/_C.so', content: old }] }),
  ])
  ;({ index, context } = world)
  const gpu = '  gpu: true\n  targets: { architectures: ["sm_90"] }\n'
  const request = async (name: string, packages: string): Promise<string> =>
    project(yaml(gpu).replace('"alpha==1.0"', packages), name)
  const fine = await request('fine', '"kernels"')
  await run(fine)
  expect(images.roots.size).toBe(1)
  await expect(run(await request('bad', '"kernels", "relics"'))).rejects.toMatchObject({
    code: 'ENVIRONMENT_CONFLICT',
    message: expect.stringContaining('relics 0.9 has no code for GPU architecture 9.0') as string,
  })
  expect(images.roots.size).toBe(1)
  const { plans } = await planBuild({ project: fine, mode: 'auto', format: 'oci' }, context)
  expect(plans[0]?.targets).toEqual(['9.0'])
  expect(await knownGpuCode(plans, context)).toEqual([
    [{ package: 'kernels 2.0', architectures: ['compute_80', 'sm_80'] }],
  ])
})

test('build() with a lock file asks nobody which version to take', async () => {
  const path = await project(yaml())
  const { lock } = await lockOf(path)
  await writeFile(join(path, 'layerwright.lock'), JSON.stringify(lock))
  context = { ...context, store: await Store.open(join(folder, 'fresh-store')) }
  index.requests.length = 0
  await run(path, { mode: 'locked' })
  expect(index.requests.filter((request) => request.startsWith('/simple/'))).toEqual([])
})

test('build() without a store makes the same image, and touches no disk', async () => {
  const path = await project(yaml())
  const { digest } = await run(path)
  images.blobs.clear()
  images.roots.clear()
  const before = (await readdir(folder, { recursive: true })).length
  context = { ...context, store: fleetingStore(), isKeeping: false }
  expect((await run(path)).digest).toBe(digest)
  expect(images.roots.size).toBe(1)
  expect(await readdir(folder, { recursive: true })).toHaveLength(before)
})

test('build() without a store refuses what works on files', async () => {
  const path = await project(yaml('  run: ["true"]\n'))
  context = { ...context, store: fleetingStore(), isKeeping: false }
  await expect(run(path)).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
})

test('build() with locked refuses a lock file that was made for another configuration', async () => {
  const path = await project(yaml())
  const { lock } = await lockOf(path)
  await writeFile(join(path, 'layerwright.lock'), JSON.stringify(lock))
  await writeFile(join(path, 'cog.yaml'), yaml().replace('alpha==1.0', 'alpha==1.1'))
  await expect(run(path, { mode: 'locked' })).rejects.toMatchObject({ code: 'LOCK_STALE' })
  expect(images.roots.size).toBe(0)
})

test('build() publishes nothing when a requirement cannot be satisfied', async () => {
  const path = await project(yaml().replace('alpha==1.0', 'alpha==7.0'))
  await expect(run(path)).rejects.toMatchObject({
    code: expect.stringMatching(/RESOLVE_CONFLICT|WHEEL_NOT_FOUND|PACKAGE_NOT_FOUND/) as string,
  })
  expect(images.roots.size).toBe(0)
})

test('build() reports every problem of cog.yaml before it asks anybody', async () => {
  const path = await project('build:\n  gpuu: true\n  python_version: 3\nrun: "nowhere.py:X"\n')
  await expect(run(path)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  expect(index.requests).toEqual([])
  expect(baseRequests).toEqual([])
})

test('build() adds to a lock file what its layers become; the next one knows its image before it has a wheel', async () => {
  const path = await project(yaml())
  await writeFile(join(path, 'layerwright.lock'), JSON.stringify((await lockOf(path)).lock))
  const first = await run(path)
  const text = await readFile(join(path, 'layerwright.lock'), 'utf8')
  const { layers } = parseLock(text, 'the lock')
  expect(Object.values(layers?.records ?? {}).map(({ digest }) => digest)).toEqual(
    expect.arrayContaining(wheelLayers(first).map(({ descriptor }) => descriptor.digest)),
  )
  context = { ...context, store: await Store.open(join(folder, 'fresh-store')) }
  const wheelBlobs = new Set(wheelLayers(first).map(({ descriptor }) => descriptor.digest as string))
  for (const digest of images.blobs.keys()) if (!wheelBlobs.has(digest)) images.blobs.delete(digest)
  images.roots.clear()
  index.requests.length = 0
  const second = await run(path, { mode: 'locked' })
  expect(second.digest).toBe(first.digest)
  // The environment, which is wanted, reads the metadata of what was asked for; nothing else is fetched.
  expect(index.requests.filter((request) => /beta|doorman/.test(request))).toEqual([])
  expect(index.requests.filter((request) => request.includes('alpha'))).not.toEqual([])
  expect(await readFile(join(path, 'layerwright.lock'), 'utf8')).toBe(text)
  // Where the layers are not there yet they are made, and are the same.
  images.blobs.clear()
  images.roots.clear()
  context = { ...context, store: await Store.open(join(folder, 'fresher-store')) }
  expect((await run(path, { mode: 'locked' })).digest).toBe(first.digest)
  for (const { descriptor } of wheelLayers(first)) {
    expect(images.blobs.has(descriptor.digest)).toBe(true)
    // Their wheels are.
    expect(await context.store.has(descriptor.digest)).toBeUndefined()
  }
})

test.each([true, false])(
  'build() of changed code from a lock file asks the index for nothing where the registry has the rest; with a store: %s',
  async (isKeeping) => {
    const path = await project(yaml())
    await writeFile(join(path, 'layerwright.lock'), JSON.stringify((await lockOf(path)).lock))
    await run(path)
    await writeFile(join(path, 'helper.py'), 'VALUE = 1\n')
    const changed = await run(path)
    // As they were before the change.
    for (const { descriptor, createdBy } of single(changed).layers)
      if (createdBy.includes('project files')) images.blobs.delete(descriptor.digest)
    images.roots.clear()
    index.requests.length = 0
    events.length = 0
    const store = isKeeping ? await Store.open(join(folder, 'fresh-store')) : fleetingStore()
    context = { ...context, store, isKeeping }
    const { digest, copies } = await run(path, { mode: 'locked' })
    expect(digest).toBe(changed.digest)
    expect(index.requests).toEqual([])
    expect(copies[0]?.blobs.uploaded).toBe(1)
    // Made anew and compared where that is asked for.
    images.roots.clear()
    context = { ...context, store: isKeeping ? await Store.open(join(folder, 'fresher-store')) : fleetingStore() }
    expect((await run(path, { mode: 'locked', isVerifying: true })).digest).toBe(changed.digest)
    expect(index.requests.filter((request) => request.includes('alpha-1.0'))).not.toEqual([])
  },
)

test('build() keeps small wheels once, and splices their layers again for whoever asks', async () => {
  const path = await project(yaml())
  const first = await run(path)
  const alpha = wheels.find(({ filename }) => filename.startsWith('alpha-1.0')) ?? expect.unreachable()
  for (const { descriptor } of wheelLayers(first)) expect(await context.store.has(descriptor.digest)).toBeUndefined()
  expect(await context.store.has(`sha256:${alpha.sha256}`)).toBe(alpha.bytes.length)
  const again = async (): Promise<BuildResult> => {
    images.blobs.clear()
    images.roots.clear()
    return run(path)
  }
  index.requests.length = 0
  expect((await again()).digest).toBe(first.digest)
  expect(index.requests).toEqual([])
  // A wheel that was damaged since is found out before anything is published, removed, and fetched once more.
  await writeFile(context.store.path(`sha256:${alpha.sha256}`), Buffer.alloc(alpha.bytes.length, 'x'))
  await expect(again()).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
  expect(images.roots.size).toBe(0)
  expect((await again()).digest).toBe(first.digest)
  expect(index.requests.filter((request) => request.includes('alpha'))).not.toEqual([])
})

test('build() without a store makes only what the destination lacks of the layers that a lock file knows', async () => {
  const path = await project(yaml())
  await writeFile(join(path, 'layerwright.lock'), JSON.stringify((await lockOf(path)).lock))
  const first = await run(path)
  const known = new Set(wheelLayers(first).map(({ descriptor }) => descriptor.digest as string))
  for (const digest of images.blobs.keys()) if (!known.has(digest)) images.blobs.delete(digest)
  images.roots.clear()
  index.requests.length = 0
  context = { ...context, store: fleetingStore(), isKeeping: false }
  expect((await run(path, { mode: 'locked' })).digest).toBe(first.digest)
  expect(index.requests.filter((request) => /beta|doorman/.test(request))).toEqual([])
  images.blobs.clear()
  images.roots.clear()
  context = { ...context, store: fleetingStore() }
  expect((await run(path, { mode: 'locked' })).digest).toBe(first.digest)
  for (const { descriptor } of wheelLayers(first)) expect(images.blobs.has(descriptor.digest)).toBe(true)
})

test('build() begins to send a large layer that a lock file knows before the image is known', async () => {
  const content = randomBytes(9_000_000)
  const large = makeWheel({ name: 'large', files: [{ name: 'large.bin', content, method: 'stored' }] })
  const other = await makeBuildWorld(join(folder, 'other'), [large])
  try {
    const path = await other.project(
      `build:\n  base_image: "docker://base.example/cuda:1"\n  python_index: { url: "${other.index.url}" }\n  python_packages: ["large"]\nrun: "run.py:Runner"\n`,
    )
    const request: BuildRequest = { project: path, mode: 'auto', format: 'oci' }
    await writeFile(join(path, 'layerwright.lock'), JSON.stringify((await lockOf(path, other.context)).lock))
    const to = (destination: Destination) => async (): Promise<readonly BuildOutput[]> => [{ destination }]
    const first = await build(request, to(memoryDestination(memoryImages(), 'app')), other.context)
    const calls: string[] = []
    const memory = memoryDestination(memoryImages(), 'app')
    const noting: Destination = {
      ...memory,
      putBlob: (blob, options) => (calls.push(blob.descriptor.digest), memory.putBlob(blob, options)),
      begin: (whole) => (calls.push('begin'), memory.begin(whole)),
    }
    const fresh = { ...other.context, store: await Store.open(join(folder, 'fresh')) }
    const second = await build({ ...request, mode: 'locked' }, to(noting), fresh)
    expect(second.digest).toBe(first.digest)
    const layer = single(first).layers.find(({ createdBy }) => createdBy.startsWith('large ')) ?? expect.unreachable()
    expect(calls.filter((call) => call === layer.descriptor.digest)).toHaveLength(1)
    expect(calls.indexOf(layer.descriptor.digest)).toBeLessThan(calls.indexOf('begin'))
    // What the store has by now waits until it is known whether the destination has all of it.
    calls.length = 0
    await build({ ...request, mode: 'locked' }, to(noting), fresh)
    expect(calls[0]).toBe('begin')
  } finally {
    await other.close()
  }
})

test('a lock file that says another digest is refused, another diffId by --verify', async () => {
  const path = await project(yaml())
  await writeFile(join(path, 'layerwright.lock'), JSON.stringify((await lockOf(path)).lock))
  await run(path)
  const text = await readFile(join(path, 'layerwright.lock'), 'utf8')
  const forge = async (member: 'digest' | 'diffId'): Promise<void> => {
    const lock = JSON.parse(text) as { layers: { records: Record<string, Record<string, string>> } }
    for (const record of Object.values(lock.layers.records)) record[member] = `sha256:${'0'.repeat(64)}`
    await writeFile(join(path, 'layerwright.lock'), JSON.stringify(lock))
    context = { ...context, store: await Store.open(join(folder, `store without ${member}`)) }
    images.blobs.clear()
    images.roots.clear()
  }
  await forge('digest')
  await expect(run(path, { mode: 'locked' })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  expect(images.roots.size).toBe(0)
  await forge('diffId')
  await expect(run(path, { mode: 'locked', isVerifying: true })).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  expect(images.roots.size).toBe(0)
  await writeFile(join(path, 'layerwright.lock'), text)
  await run(path, { mode: 'locked', isVerifying: true })
  expect(images.roots.size).toBe(1)
})

function wheelLayers(result: BuildResult): readonly Layer[] {
  return single(result).layers.filter(({ createdBy }) => /^(?:alpha|doorman) /.test(createdBy))
}

async function lockOf(path: string, world = context): Promise<{ readonly lock: unknown }> {
  const { obtainLock } = await import('../../src/build/obtain-lock.ts')
  const { loadConfig } = await import('../../src/config/load.ts')
  const { config, projectFolder } = await loadConfig(path)
  return obtainLock(
    config,
    { ...world, cache: (space) => world.store.cache(space), projectFolder },
    { mode: 'refresh' },
  )
}

test("runtime: coglet installs Cog's own server, starts it as Cog does, and lays no launcher", async () => {
  const source =
    'from cog import BasePredictor, concurrent\n\n\nclass P(BasePredictor):\n    @concurrent(max=4)\n    async def run(self, a: int) -> int:\n        return a\n'
  const path = await project(`${yaml().replace('run.py:Runner', 'p.py:P')}runtime: coglet\n`)
  await writeFile(join(path, 'p.py'), source)
  const result = await run(path)
  const { config, layers } = single(result)
  expect(config.config).toMatchObject({ Cmd: ['/opt/venv/bin/python', '-m', 'cog.server.http'], WorkingDir: '/src' })
  expect(config.config?.Entrypoint).toBeUndefined()
  expect(config.config?.Env).toContain('COG_PREDICT_TYPE_STUB=p.py:P')
  expect(config.config?.Env).toContain('COG_MAX_CONCURRENCY=4')
  expect(config.config?.Labels?.['run.cog.pip_freeze']).toContain('cog==0.23.1\ncoglet==0.23.1')
  expect(layers.map(({ createdBy }) => createdBy).join('\n')).not.toContain('launcher')
  expect(result.planned.plans[0]?.choices).toContainEqual(
    expect.objectContaining({ key: 'runtime', value: 'cog 0.23.1, coglet 0.23.1' }),
  )
})

test.each([
  ['0.22.0', 'cog 0.22.0, coglet 0.23.1'],
  ['0.16.12', 'cog 0.16.12'],
  ['prerelease', 'cog 0.24.0rc1, coglet 0.24.0rc1'],
])('build.sdk_version %s takes %s', async (version, value) => {
  const text = `${yaml(`  sdk_version: "${version}"\n`)}runtime: coglet\n`
  const { planned } = await run(await project(text))
  expect(planned.plans[0]?.choices.find(({ key }) => key === 'runtime')?.value).toBe(value)
})
