import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LayerContext } from '../../layers/context.ts'
import type { LayerSpec } from '../../layers/kinds/index.ts'
import { layerStore } from '../../layers/layer-store.ts'
import { materialise, materialiseAll } from '../../layers/materialise.ts'
import { loadClaims } from '../../layers/notes.ts'
import { proveStored } from '../../layers/remote.ts'
import { indexLayer } from '../../layers/ztoc/index-layer.ts'
import { readParts } from '../../layers/ztoc/spill.ts'
import { collect, copied, openBytes } from '../../src/core/bytes.ts'
import { silent, type ProgressEvent } from '../../src/core/progress.ts'
import { Store } from '../../src/store/store.ts'
import { makeDeb, sha256 } from '../support/debian-package.ts'
import { makeWheel, type MadeWheel } from '../support/wheel.ts'
import { bytesAccess } from '../support/zip.ts'

let folder = ''
let store: Store
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lw-store-'))
  store = await Store.open(folder)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const inline = (text: string): LayerSpec => ({ kind: 'inline', label: text, files: [{ path: 'a', text }] })
const context = { openRemote: () => Promise.reject(new Error('no network')), projectFolder: '/', report: silent }

describe('materialise()', () => {
  test('makes a layer once and finds it from then on', async () => {
    const events: ProgressEvent[] = []
    const report = (event: ProgressEvent) => void events.push(event)
    const first = await materialise(inline('x'), { ...context, report }, layerStore(store))
    expect(first.createdBy).toBe('x')
    expect((await collect(first.open(), 2 ** 20)).length).toBe(first.descriptor.size)
    const second = await materialise(inline('x'), { ...context, report }, layerStore(await Store.open(folder)))
    expect(second.descriptor).toEqual(first.descriptor)
    expect(second.diffId).toBe(first.diffId)
    expect(events.filter(({ type }) => type === 'end')).toMatchObject([{ outcome: 'done' }, { outcome: 'cached' }])
  })

  test('makes a layer once for builds that share a store and start together', async () => {
    const ends: unknown[] = []
    const report = (event: ProgressEvent): void => void (event.type === 'end' && ends.push(event.outcome))
    const stores = await Promise.all(Array.from({ length: 8 }, () => Store.open(folder)))
    await Promise.all(stores.map((shared) => materialise(inline('x'), { ...context, report }, layerStore(shared))))
    expect(ends.filter((outcome) => outcome === 'done')).toHaveLength(1)
    expect(ends.filter((outcome) => outcome === 'cached')).toHaveLength(7)
  })

  test.each(['zstd', 'none'] as const)(
    'makes %s from the gzip that is here, with the bytes that wheels would give',
    async (compression) => {
      const [first, second] = [await Store.open(folder), await Store.open(join(folder, 'other'))]
      const wheel = makeWheel({
        files: [
          { name: 'a.py', content: 'a'.repeat(100_000) },
          { name: 'b.so', content: 'b' },
        ],
      })
      const { bytes, ...file } = wheel
      const spec: LayerSpec = {
        kind: 'wheels',
        prefix: 'opt/venv',
        python: '3.11',
        wheels: [{ ...file, sizeBytes: bytes.length, url: 'https://a.example/x' }],
      }
      const online = { ...context, openRemote: async () => bytesAccess(bytes) }
      const gzip = await materialise(spec, online, layerStore(first))
      // No network: what is made comes from the store.
      const derived = await materialise(spec, { ...context, compression }, layerStore(first))
      const made = await materialise(spec, { ...online, compression }, layerStore(second))
      expect(derived.descriptor).toEqual(made.descriptor)
      expect(derived.diffId).toBe(gzip.diffId)
      const noted = async (kept: Store): Promise<unknown> => loadClaims(spec, { compression }, layerStore(kept).notes)
      expect(await noted(first)).toEqual(await noted(second))
      expect(await noted(first)).toBeDefined()
    },
  )

  test('gives the table of a layer of wheels to who wants it, the same as one made of the layer', async () => {
    const wheel = makeWheel({ files: [{ name: 'a.so', content: randomBytes(6_000_000) }] })
    const { bytes, ...file } = wheel
    const wheels = [{ ...file, sizeBytes: bytes.length, url: 'https://a.example/x' }]
    const spec: LayerSpec = { kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels }
    const kept: Buffer[] = []
    const layer = await materialise(
      spec,
      {
        ...context,
        openRemote: async () => bytesAccess(bytes),
        keepZtoc: async (_, ztoc) => void kept.push(await collect(copied(readParts(ztoc)), 2 ** 25)),
      },
      layerStore(store),
    )
    expect(kept).toHaveLength(1)
    expect(
      (await collect(copied(readParts(await indexLayer(layer))), 2 ** 25)).equals(kept[0] ?? Buffer.alloc(0)),
    ).toBe(true)
  })

  test('reads no wheel whose layer is known', async () => {
    const wheel = makeWheel({ files: [{ name: 'a.py', content: 'a' }] })
    const spec: LayerSpec = {
      kind: 'wheels',
      prefix: 'opt/venv',
      python: '3.11',
      wheels: [{ ...wheel, sizeBytes: wheel.bytes.length, url: 'https://a.example/x' }].map(
        ({ bytes: _, ...file }) => file,
      ),
    }
    let opened = 0
    const counting = { ...context, openRemote: async () => (opened++, bytesAccess(wheel.bytes)) }
    await materialise(spec, counting, layerStore(store))
    expect(opened).toBeGreaterThan(0)
    opened = 0
    await materialise(spec, counting, layerStore(store))
    expect(opened).toBe(0)
  })

  test('makes a layer again whose bytes were lost or cut', async () => {
    const first = await materialise(inline('x'), context, layerStore(store))
    await truncate(store.path(first.descriptor.digest), 5)
    const second = await materialise(inline('x'), context, layerStore(store))
    expect((await collect(second.open(), 2 ** 20)).length).toBe(first.descriptor.size)
  })

  test('tells a file that was damaged in the store from one that was made wrong, and removes it', async () => {
    const wheel = makeWheel({ files: [{ name: 'a.py', content: 'a' }] })
    const { bytes, ...file } = wheel
    const remote = { ...file, sizeBytes: bytes.length, url: 'https://a.example/x' }
    const spec: LayerSpec = { kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels: [remote] }
    const { digest } = await store.put(copied(openBytes(bytes)()))
    const from: LayerContext = {
      ...context,
      openRemote: () => store.openFile(digest),
      proveRemote: (opened) => proveStored(opened, store),
    }
    await writeFile(store.path(digest), Buffer.alloc(bytes.length))
    await expect(materialise(spec, from, layerStore(store))).rejects.toMatchObject({ code: 'STORE_CORRUPT' })
    expect(await store.has(digest)).toBeUndefined()
    await store.put(copied(openBytes(bytes)()))
    await materialise(spec, from, layerStore(store))
  })

  test('keeps nothing of a layer that fails', async () => {
    const wheel = makeWheel({ files: [{ name: 'a.py', content: 'a', central: { crc32: 1 }, local: { crc32: 1 } }] })
    const spec: LayerSpec = {
      kind: 'wheels',
      prefix: 'opt/venv',
      python: '3.11',
      wheels: [{ filename: wheel.filename, sha256: wheel.sha256, sizeBytes: wheel.bytes.length, url: 'file:///x' }],
    }
    const events: ProgressEvent[] = []
    const failing = {
      ...context,
      report: (event: ProgressEvent) => void events.push(event),
      openRemote: async () => bytesAccess(wheel.bytes),
    }
    await expect(materialise(spec, failing, layerStore(store))).rejects.toMatchObject({ code: 'WHEEL_INVALID' })
    expect(events.at(-1)).toMatchObject({ type: 'end', outcome: 'failed' })
    const left = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
    expect(left).toEqual([])
  })
})

describe('materialiseAll()', () => {
  test('answers in order and makes equal specs once', async () => {
    const events: ProgressEvent[] = []
    const specs = ['a', 'b', 'a', 'c'].map(inline)
    const layers = await materialiseAll(
      specs,
      { ...context, report: (event) => void events.push(event) },
      layerStore(store),
      2,
    )
    expect(layers.map(({ createdBy }) => createdBy)).toEqual(['a', 'b', 'a', 'c'])
    expect(events.filter(({ type }) => type === 'start')).toHaveLength(3)
  })

  test('begins with the largest wheel, and answers in the order of the specs', async () => {
    const names = ['small', 'large', 'middle']
    const sizes = [1000, 50_000, 9000]
    const wheels = names.map((name, n) =>
      makeWheel({ name, files: [{ name: `${name}.bin`, content: 'x'.repeat(sizes[n] ?? 0), method: 'stored' }] }),
    )
    const specs = wheels.map(({ bytes, ...file }): LayerSpec => {
      const wheel = { ...file, sizeBytes: bytes.length, url: `https://a.example/${file.filename}` }
      return { kind: 'wheels', prefix: 'opt/venv', python: '3.11', wheels: [wheel] }
    })
    const opened: string[] = []
    const openRemote = async ({ sha256 }: { readonly sha256: string }) => {
      const wheel = wheels.find((made) => made.sha256 === sha256) ?? expect.unreachable('Another file was asked for')
      opened.push(wheel.filename)
      return bytesAccess(wheel.bytes)
    }
    const layers = await materialiseAll(specs, { ...context, openRemote }, layerStore(store), 1)
    expect([...new Set(opened)].map((name) => name.split('-')[0])).toEqual(['large', 'middle', 'small'])
    expect(layers.map(({ createdBy }) => createdBy.split(' ')[0])).toEqual(names)
  })

  test('fails with the first failure and starts nothing after it', async () => {
    const broken: LayerSpec = {
      kind: 'files',
      root: '.',
      target: '/src',
      files: [{ path: 'gone', sizeBytes: 1, sha256: '0', mode: 0o644 }],
    }
    const started: string[] = []
    const report = (event: ProgressEvent) => void (event.type === 'start' && started.push(event.name))
    const specs = [broken, ...['a', 'b', 'c', 'd', 'e'].map(inline)]
    await expect(
      materialiseAll(specs, { ...context, projectFolder: folder, report }, layerStore(store), 1),
    ).rejects.toThrow(/ENOENT/)
    expect(started).toHaveLength(1)
  })
})

describe('materialiseAll() of packages and large wheels', () => {
  const wheel = makeWheel({ name: 'large', files: [{ name: 'a.bin', content: 'x'.repeat(1000), method: 'stored' }] })
  const wheels: LayerSpec = {
    kind: 'wheels',
    prefix: 'opt/venv',
    python: '3.11',
    wheels: [{ filename: wheel.filename, sha256: wheel.sha256, sizeBytes: wheel.bytes.length, url: 'file:///x' }],
  }
  const packages = ['a', 'b', 'c'].map((name): LayerSpec & { readonly bytes: Buffer } => {
    const members = [
      { name: './usr/', type: 'directory' as const },
      { name: `./usr/${name}`, content: name },
    ]
    const bytes = makeDeb({ package: name, members })
    const file = { url: 'file:///y', sha256: sha256(bytes), sizeBytes: bytes.length }
    const deb = { package: name, version: '1', architecture: 'amd64', ...file }
    return { kind: 'debs', leaveOut: 'nothing', debs: [deb], bytes }
  })
  const specs = [...packages.map(({ bytes: _, ...spec }) => spec as LayerSpec), wheels]
  const bytesOf = (hash: string): Buffer =>
    [wheel.bytes, ...packages.map(({ bytes }) => bytes)].find((bytes) => sha256(bytes) === hash) ?? expect.unreachable()
  const large = { ...context, directBytes: wheel.bytes.length }

  test('begins with the wheels when the packages are through', async () => {
    const events: string[] = []
    const names = new Map<string, string>()
    const report = (event: ProgressEvent): void => {
      if (event.type === 'start') names.set(event.id, event.name.split(' ')[0] ?? '')
      if (event.type === 'start' || event.type === 'end') events.push(`${event.type} ${names.get(event.id)}`)
    }
    const openRemote = async (file: { readonly sha256: string }) => bytesAccess(bytesOf(file.sha256))
    const layers = await materialiseAll(specs, { ...large, report, openRemote }, layerStore(store), 2)
    expect(layers.map(({ createdBy }) => createdBy.split(' ')[0])).toEqual(['system', 'system', 'system', 'large'])
    expect(events.indexOf('start large')).toBeGreaterThan(events.lastIndexOf('end system'))
  })

  test('finds wheels that were made before while packages are laid down', async () => {
    const openRemote = async (file: { readonly sha256: string }) => bytesAccess(bytesOf(file.sha256))
    await materialise(wheels, { ...large, openRemote }, layerStore(store))
    let found = (): void => {}
    const isFound = new Promise<void>((resolve) => (found = resolve))
    const report = (event: ProgressEvent): void => {
      if (event.type === 'end' && event.outcome === 'cached') found()
    }
    // The packages come when the wheel's layer is there: without it nothing would end.
    const late = async (file: { readonly sha256: string }) => isFound.then(() => openRemote(file))
    const made = materialiseAll(specs, { ...large, report, openRemote: late }, layerStore(store), 1)
    await expect(made).resolves.toHaveLength(4)
  })

  test('fails with a package, and opens no wheel then', async () => {
    const openRemote = async (file: { readonly sha256: string }) => {
      if (file.sha256 === wheel.sha256) expect.unreachable('A wheel was opened')
      throw new RangeError('The archive is away')
    }
    await expect(materialiseAll(specs, { ...large, openRemote }, layerStore(store))).rejects.toThrow(/archive is away/)
  })
})

describe('materialiseAll() of wheels in several layers', () => {
  const wheelSpec = (wheel: MadeWheel, prefix = 'opt/venv'): LayerSpec => ({
    kind: 'wheels',
    prefix,
    python: '3.11',
    wheels: [{ filename: wheel.filename, sha256: wheel.sha256, sizeBytes: wheel.bytes.length, url: 'file:///x' }],
  })
  const one = makeWheel({ name: 'one', files: [{ name: 'shared.py', content: '1' }] })
  const same = makeWheel({ name: 'same', files: [{ name: 'shared.py', content: '1' }] })
  const other = makeWheel({ name: 'other', files: [{ name: 'shared.py', content: '2' }] })
  const wheels = [one, same, other]
  const opening = {
    ...context,
    openRemote: async ({ sha256 }: { sha256: string }) =>
      bytesAccess(wheels.find((wheel) => wheel.sha256 === sha256)?.bytes ?? Buffer.alloc(0)),
  }

  test('takes equal files, and equal paths of different environments', async () => {
    const specs = [wheelSpec(one), wheelSpec(same), wheelSpec(other, 'opt/other')]
    await expect(materialiseAll(specs, opening, layerStore(store))).resolves.toHaveLength(3)
  })

  const environment: LayerSpec = {
    kind: 'environment',
    prefix: 'opt/venv',
    python: '3.11',
    interpreter: '/usr/bin/python3.11',
    pythonVersion: '3.11.2',
    requested: [],
  }

  test('makes an environment while layers of small wheels are made', async () => {
    let isMade = (): void => {}
    const made = new Promise<void>((resolve) => (isMade = resolve))
    const names = new Map<string, string>()
    const report = (event: ProgressEvent): void => {
      if (event.type === 'start') names.set(event.id, event.name)
      if (event.type === 'end' && names.get(event.id)?.startsWith('virtual environment') === true) isMade()
    }
    // The wheel comes when the environment is there: without it nothing would end.
    const openRemote = async (file: { sha256: string }) => made.then(() => opening.openRemote(file))
    await materialiseAll([wheelSpec(one), environment], { ...opening, report, openRemote }, layerStore(store))
  })

  test('and after those of large ones, which keep what it reads of them', async () => {
    const events: string[] = []
    const report = (event: ProgressEvent): void => {
      if (event.type === 'start') events.push(event.name)
      if (event.type === 'end') events.push(event.outcome)
    }
    await materialiseAll([environment, wheelSpec(one)], { ...opening, report, directBytes: 0 }, layerStore(store))
    expect(events).toEqual([expect.stringContaining('one'), 'done', expect.stringContaining('environment'), 'done'])
  })

  test('refuses a path that two fill differently, also when both layers are known already', async () => {
    const specs = [wheelSpec(one), wheelSpec(other)]
    for (let round = 0; round < 2; round++) {
      await expect(materialiseAll(specs, opening, layerStore(store))).rejects.toMatchObject({
        code: 'WHEEL_INVALID',
        message: expect.stringContaining(
          'one 1.0 and other 1.0 both install `/opt/venv/lib/python3.11/site-packages/shared.py`',
        ),
      })
    }
  })
})
