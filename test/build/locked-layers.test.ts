import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LayerContext } from '../../layers/context.ts'
import { writeTar } from '../../layers/files.ts'
import { layerKey } from '../../layers/kinds/index.ts'
import { layerStore } from '../../layers/layer-store.ts'
import type { Layer } from '../../layers/layer.ts'
import { materialiseAll } from '../../layers/materialise.ts'
import type { LayerStore } from '../../layers/stored-layer.ts'
import { recordLayers, withLockedLayers, type Answered } from '../../src/build/locked-layers.ts'
import type { Config } from '../../src/config/config.ts'
import { collect, openBytes } from '../../src/core/bytes.ts'
import { digestOf } from '../../src/core/digest.ts'
import { silent } from '../../src/core/progress.ts'
import type { DebianLock } from '../../src/debian/lock.ts'
import type { Lock, PlatformLock } from '../../src/lock/lock.ts'
import { lockedLayersOf } from '../../src/plan/make-plan.ts'
import { Store } from '../../src/store/store.ts'
import { makeDeb } from '../support/debian-package.ts'
import { bytesAccess } from '../support/zip.ts'
import { makeWheel } from '../support/wheel.ts'

const configOf = (...architectures: string[]): Config =>
  ({ build: { systemPackages: ['tool'], systemSitePackages: false, targets: { architectures } } }) as unknown as Config
const config = configOf()
/** The destination has every layer. */
const isThere = async (): Promise<boolean> => true
const files = new Map<string, Buffer>()
let folder: string
/** URLs of files that were opened, each once. */
let opened: Set<string>
let context: LayerContext

/** As for a build of its own: what a build has learned of packages belongs to it. */
function newBuild(): void {
  opened.clear()
  context = {
    openRemote: async ({ url }) => {
      opened.add(url)
      return bytesAccess(files.get(url) ?? expect.unreachable(url))
    },
    projectFolder: folder,
    report: silent,
  }
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'locked-layers-'))
  opened = new Set()
  newBuild()
})
afterEach(() => rm(folder, { recursive: true }))

function served(url: string, bytes: Buffer): { url: string; sha256: string; sizeBytes: number } {
  files.set(url, bytes)
  return { url, sha256: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.length }
}

/** Answers for an image of packages, an interpreter and two wheels, one of which was asked for. */
async function answers(): Promise<Answered & { readonly platform: PlatformLock }> {
  const deb = makeDeb({ package: 'tool', members: [{ name: 'usr/lib/tool.txt', content: 'a tool' }] })
  const source = {
    package: 'tool',
    version: '1',
    architecture: 'amd64',
    root: 'tool',
    ...served('http://archive/a.deb', deb),
  }
  const python = {
    kind: 'file',
    path: 'python/bin/python3.11',
    mode: 0o755,
    sizeBytes: 3,
    open: openBytes(Buffer.from('ELF')),
  } as const
  const tar = gzipSync(await collect(writeTar([python]), 1 << 20))
  const wheels = ['alpha', 'beta'].map((name) => {
    const { filename, bytes } = makeWheel({ name, version: '1.0' })
    const file = served(`http://index/${filename}`, bytes)
    return { name, version: '1.0', filename, ...file, requested: name === 'alpha', dependencies: [] }
  })
  const platform: PlatformLock = {
    platform: { os: 'linux', architecture: 'amd64' },
    base: {
      kind: 'image',
      location: 'docker://e.example/base',
      manifest: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf(''), size: 0 },
      config: { os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [] } },
      layers: [],
      operatingSystem: 'debian 12',
    },
    interpreter: {
      kind: 'archive',
      version: '3.11.9',
      executable: '/opt/python/bin/python3.11',
      archive: { prefix: '/opt/python', ...served('http://e.example/python.tar.gz', tar) },
    },
    libc: { kind: 'glibc', major: 2, minor: 36 },
    wheels,
    launcher: [],
    systemPackages: {
      suite: 'bookworm',
      architecture: 'amd64',
      releases: [],
      packages: [source],
      scriptsNotRun: [],
    } as unknown as DebianLock,
    choices: [],
  }
  const lock: Lock = { lockVersion: 1, inputs: digestOf('inputs'), platforms: [platform] }
  return { lock, config, platform }
}

const freshStore = (name: string): Promise<Store> => Store.open(join(folder, name))

async function make(platform: PlatformLock, store: LayerStore): Promise<readonly Layer[]> {
  const specs = lockedLayersOf(platform, config.build).map(({ spec }) => spec)
  return materialiseAll(specs, context, store)
}

const digests = (layers: readonly Layer[]): readonly string[] =>
  layers.map(({ descriptor, diffId }) => `${descriptor.digest} ${diffId}`)

test('of every layer that follows from a lock, what it becomes is known without a byte of it', async () => {
  const { platform, ...answered } = await answers()
  const store = await freshStore('first')
  const made = await make(platform, layerStore(store))
  expect(made.map(({ createdBy }) => createdBy)).toEqual([
    'Python 3.11.9',
    'system packages: tool',
    'registration of 1 system packages',
    'alpha 1.0, beta 1.0',
    'virtual environment /opt/venv (Python 3.11.9)',
  ])
  expect(opened.size).toBe(4)
  const lock = await recordLayers(answered, store)
  expect(Object.keys(lock.layers?.records ?? {})).toHaveLength(5)

  const other = await freshStore('second')
  newBuild()
  const known = withLockedLayers(layerStore(other), { lock, config }, { store: other, layers: context, isThere })
  const found = await make(platform, known)
  expect([...opened]).toEqual([])
  expect(digests(found)).toEqual(digests(made))
  // Whoever lacks the bytes gets those, and no others.
  for (const [n, { descriptor, open }] of found.entries()) {
    expect(digestOf(await collect(open(), 1 << 20))).toBe(descriptor.digest)
    expect(descriptor.digest).toBe(made[n]?.descriptor.digest)
  }
  expect(opened.size).toBe(4)
})

test('what packages register is known to the version that wrote it, and made anew by others', async () => {
  const { platform, ...answered } = await answers()
  const store = await freshStore('first')
  const made = await make(platform, layerStore(store))
  const lock = await recordLayers(answered, store)
  const registration = made[2]?.descriptor.digest
  const records = Object.entries(lock.layers?.records ?? {}).map(
    ([key, record]) => [record.digest === registration ? digestOf('of another version') : key, record] as const,
  )
  const older: Lock = {
    ...lock,
    layers: { clashFree: [], parts: {}, ...lock.layers, records: Object.fromEntries(records) },
  }
  const other = await freshStore('second')
  newBuild()
  const known = withLockedLayers(layerStore(other), { lock: older, config }, { store: other, layers: context, isThere })
  expect(digests(await make(platform, known))).toEqual(digests(made))
  expect([...opened]).toEqual(['http://archive/a.deb'])
})

test.each([0, 1, 2, 3, 4])(
  'a record that is another than the layer is refused when its bytes are wanted: layer %s',
  async (n) => {
    const { platform, ...answered } = await answers()
    const store = await freshStore('first')
    const made = await make(platform, layerStore(store))
    const lock = await recordLayers(answered, store)
    const forged = JSON.parse(
      JSON.stringify(lock).replaceAll(made[n]?.descriptor.digest ?? expect.unreachable(), digestOf('forged')),
    ) as Lock
    const other = await freshStore('second')
    newBuild()
    const locked = { store: other, layers: context, isThere }
    const layer = (await make(platform, withLockedLayers(layerStore(other), { lock: forged, config }, locked)))[n]
    expect(layer?.descriptor.digest).toBe(digestOf('forged'))
    await expect(collect(layer?.open() ?? expect.unreachable(), 1 << 20)).rejects.toMatchObject({
      code: 'DIGEST_MISMATCH',
      hint: expect.stringContaining('Take `layers` out of it') as string,
    })
    expect(await other.has(digestOf('forged'))).toBeUndefined()
    const verifying = withLockedLayers(layerStore(other), { lock: forged, config }, { ...locked, isVerifying: true })
    await expect(make(platform, verifying)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
  },
)

test('layers of wheels that were not looked through for code for the stated GPUs are made, so that they are', async () => {
  const { platform, lock: answered } = await answers()
  const store = await freshStore('first')
  await make(platform, layerStore(store))
  const makes = async (recordedFor: Config, wantedBy: Config, folderName: string): Promise<string[]> => {
    const lock = await recordLayers({ lock: answered, config: recordedFor }, store)
    const other = await freshStore(folderName)
    newBuild()
    await make(
      platform,
      withLockedLayers(layerStore(other), { lock, config: wantedBy }, { store: other, layers: context, isThere }),
    )
    return [...opened].map((url) => url.replace(/-.*/, ''))
  }
  const wheels = ['http://index/alpha', 'http://index/beta']
  expect(await makes(configOf('9.0'), configOf('9.0'), 'same')).toEqual([])
  expect(await makes(configOf('9.0'), configOf('8.0'), 'other')).toEqual(wheels)
  expect(await makes(configOf(), configOf('8.0'), 'none')).toEqual(wheels)
  // Nothing is known of what was not made here.
  const elsewhere = await recordLayers({ lock: answered, config: configOf('9.0') }, await freshStore('empty'))
  expect(elsewhere.layers).toBeUndefined()
})

test('packages without code for a stated GPU are never said to have it', async () => {
  const { platform, lock: answered } = await answers()
  const store = await freshStore('first')
  await make(platform, layerStore(store))
  const { spec } = lockedLayersOf(platform, config.build).find(({ role }) => role === 'wheels') ?? expect.unreachable()
  const library = {
    path: 'opt/venv/kernel.so',
    soname: 'kernel.so',
    needed: [],
    runpath: [],
    cudaArchitectures: ['sm_80'],
  }
  await store.cache('layer-notes').set(`libraries ${layerKey(spec)}`, gzipSync(JSON.stringify([library])))
  const gpuCode = async (target: string): Promise<unknown> =>
    (await recordLayers({ lock: answered, config: configOf(target) }, store)).layers?.gpuCode
  expect(await gpuCode('8.0')).toHaveLength(1)
  expect(await gpuCode('9.0')).toBeUndefined()
})

test('packages and interpreters that a destination lacks are made with the other layers, as without a record', async () => {
  const { platform, ...answered } = await answers()
  const store = await freshStore('first')
  const made = await make(platform, layerStore(store))
  const lock = await recordLayers(answered, store)
  const other = await freshStore('second')
  newBuild()
  const asked: string[] = []
  const lacking = async (digest: string): Promise<boolean> => (asked.push(digest), false)
  const locked = { store: other, layers: context, isThere: lacking }
  expect(digests(await make(platform, withLockedLayers(layerStore(other), { lock, config }, locked)))).toEqual(
    digests(made),
  )
  expect([...new Set(asked)].toSorted()).toEqual(
    made
      .slice(0, 3)
      .map(({ descriptor }) => descriptor.digest as string)
      .toSorted(),
  )
  expect([...opened].toSorted()).toEqual(['http://archive/a.deb', 'http://e.example/python.tar.gz'])
})
