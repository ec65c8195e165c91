import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { ANNOTATION, OCI, type Descriptor } from 'oci-spec-types'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openBytes } from '../../src/core/bytes.ts'
import { temporaryName } from '../../src/core/temporary-name.ts'
import { listBlobs } from '../../src/store/contents.ts'
import { holdStore, oldestLease } from '../../src/store/lease.ts'
import { pruneStore } from '../../src/store/prune.ts'
import { saveRecord } from '../../src/store/records.ts'
import { Store } from '../../src/store/store.ts'
import { verifyStore } from '../../src/store/verify-store.ts'

const DAY = 24 * 60 * 60 * 1000

let store: Store
beforeEach(async () => {
  store = await Store.open(await mkdtemp(join(tmpdir(), 'layerwright-prune-')))
})
afterEach(() => rm(store.folder, { recursive: true }))

/** Stores a text that was last used so many days ago. */
const put = async (text: string, days = 0): Promise<Descriptor> => {
  const { digest, size } = await store.put(openBytes(Buffer.from(text))())
  await age(store.path(digest), days)
  return { mediaType: OCI.layer, digest, size }
}
const age = async (path: string, days: number): Promise<void> => {
  const time = new Date(Date.now() - days * DAY)
  await utimes(path, time, time)
}
const kept = async (): Promise<string[]> => (await listBlobs(store)).map(({ digest }) => digest).sort()
const digests = (...descriptors: Descriptor[]): string[] => descriptors.map(({ digest }) => digest).sort()

/** A local image of one layer. */
const putImage = async (name: string, layer: Descriptor, days = 0): Promise<readonly Descriptor[]> => {
  const config = await put(`{"of":"${name}"}`, days)
  const manifest = await put(JSON.stringify({ schemaVersion: 2, config, layers: [layer] }), days)
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations: { [ANNOTATION.refName]: name } }] }
  await writeFile(join(store.folder, 'index.json'), JSON.stringify(index))
  return [config, manifest]
}

describe('pruneStore()', () => {
  it('removes everything that nothing uses', async () => {
    await put('a')
    // Its checksum takes four bytes.
    await store.cache('index').set('page', Buffer.from('html'))
    expect(await pruneStore(store)).toEqual({ removedFiles: 2, removedBytes: 9, keptBytes: 0 })
    expect(await kept()).toEqual([])
    expect(await store.cache('index').get('page')).toBeUndefined()
  })

  it('stops at the size, least recently used first', async () => {
    const [old, middle, fresh] = [await put('oldest', 3), await put('middle', 2), await put('newest', 1)]
    await store.has(old.digest)
    expect(await pruneStore(store, { maxBytes: 12 })).toEqual({ removedFiles: 1, removedBytes: 6, keptBytes: 12 })
    expect(await kept()).toEqual(digests(old, fresh))
    expect(await store.has(middle.digest)).toBeUndefined()
  })

  it('takes only what is older than asked for', async () => {
    const [, young] = [await put('old', 40), await put('young', 10)]
    await pruneStore(store, { olderThanMs: 30 * DAY })
    expect(await kept()).toEqual(digests(young))
  })

  it('keeps local images whole, however old', async () => {
    const layer = await put('layer', 99)
    const rest = await putImage('cog-hello', layer, 99)
    await put('a download', 99)
    await pruneStore(store)
    expect(await kept()).toEqual(digests(layer, ...rest))
    expect((await listBlobs(store)).every(({ role, images }) => role === 'image' && images[0] === 'cog-hello')).toBe(
      true,
    )
  })

  it('keeps what a running build used since it began', async () => {
    await put('old', 1)
    const touched = await put('touched by the build', 1)
    const release = await holdStore(store.folder)
    await store.has(touched.digest)
    const made = await put('made by the build')
    await pruneStore(store)
    expect(await kept()).toEqual(digests(touched, made))
    await release()
    await pruneStore(store)
    expect(await kept()).toEqual([])
  })

  it('removes nothing in a dry run', async () => {
    await put('a')
    expect(await pruneStore(store, { isDryRun: true })).toMatchObject({ removedFiles: 1, removedBytes: 1 })
    expect(await kept()).toHaveLength(1)
  })

  it('removes what killed processes left, and not what is being written', async () => {
    await writeFile(join(store.folder, 'tmp/left'), 'x')
    await age(join(store.folder, 'tmp/left'), 2)
    await writeFile(join(store.folder, 'tmp/fresh'), 'x')
    await pruneStore(store)
    expect(await readdir(join(store.folder, 'tmp'))).toEqual(['fresh'])
  })

  it('removes at once what a process of this machine left that is gone', async () => {
    const own = temporaryName('.tmp')
    const gone = own.replace(`-${process.pid}-`, '-999999999-')
    const elsewhere = gone.replace(/-[0-9a-f]{8}-/, '-00000000-')
    for (const name of [own, gone, elsewhere]) await writeFile(join(store.folder, 'tmp', name), '1234')
    expect(await pruneStore(store, { isDryRun: true })).toMatchObject({ removedFiles: 1, removedBytes: 4 })
    await pruneStore(store, { maxBytes: 1_000 })
    expect((await readdir(join(store.folder, 'tmp'))).sort()).toEqual([own, elsewhere].sort())
  })

  it('takes parts of downloads that nobody takes up, later when it is given a bound', async () => {
    const part = join(store.folder, 'tmp', 'partial-abc')
    await writeFile(part, 'x')
    await pruneStore(store)
    expect(await readdir(join(store.folder, 'tmp'))).toEqual(['partial-abc'])
    await age(part, 0.5)
    await pruneStore(store, { maxBytes: 0 })
    expect(await readdir(join(store.folder, 'tmp'))).toEqual(['partial-abc'])
    await pruneStore(store)
    expect(await readdir(join(store.folder, 'tmp'))).toEqual([])
  })

  it('follows no link of a folder that was left: a repository may hold any', async () => {
    const outside = await mkdtemp(join(tmpdir(), 'layerwright-outside-'))
    const tree = join(store.folder, 'tmp', temporaryName('git').replace(`-${process.pid}-`, '-999999999-'), 'tree')
    try {
      await writeFile(join(outside, 'precious'), 'x')
      await age(join(outside, 'precious'), 99)
      await mkdir(tree, { recursive: true })
      for (const [name, target] of [
        ['away', outside],
        ['self', 'self'],
      ] as const)
        await symlink(target, join(tree, name))
      await pruneStore(store)
      expect(await readdir(outside)).toEqual(['precious'])
      expect(await readdir(join(store.folder, 'tmp'))).toEqual([])
    } finally {
      await rm(outside, { recursive: true })
    }
  })

  it('never breaks builds that run beside it', async () => {
    const texts = Array.from({ length: 50 }, (_, index) => `blob ${index}`)
    const made = await Promise.all(texts.map((text) => put(text, 1)))
    const release = await holdStore(store.folder)
    const state = { isDone: false }
    const pruning = (async () => {
      while (!state.isDone) await pruneStore(store)
    })()
    for (const [index, text] of texts.entries()) {
      // As a build does: what is there is used, what is not is made.
      const digest = made[index]?.digest ?? 'sha256:'
      if ((await store.has(digest)) === undefined) await store.put(openBytes(Buffer.from(text))())
    }
    state.isDone = true
    await pruning
    expect(await kept()).toEqual(digests(...made))
    await release()
  })
})

describe('holdStore()', () => {
  it('takes away what earlier builds left half-written, and parts of downloads stay', async () => {
    const own = temporaryName('.tmp')
    for (const name of [own, own.replace(`-${process.pid}-`, '-999999999-'), 'partial-abc'])
      await writeFile(join(store.folder, 'tmp', name), 'x')
    const release = await holdStore(store.folder)
    expect((await readdir(join(store.folder, 'tmp'))).sort()).toEqual([own, 'partial-abc'])
    await release()
  })
})

describe('oldestLease()', () => {
  it('forgets the lease of a process that was killed, and believes one of another machine for a day', async () => {
    const process = spawn('sleep', ['60'])
    const folder = join(store.folder, 'leases')
    await mkdir(folder)
    await writeFile(join(folder, `${process.pid}-a`), `${hostname()}\n`)
    expect(await oldestLease(store.folder, Date.now())).toBeDefined()
    process.kill('SIGKILL')
    await once(process, 'exit')
    expect(await oldestLease(store.folder, Date.now())).toBeUndefined()
    expect(await readdir(folder)).toEqual([])
    await writeFile(join(folder, '1-b'), 'another-machine\n')
    expect(await oldestLease(store.folder, Date.now())).toBeDefined()
    expect(await oldestLease(store.folder, Date.now() + 2 * DAY)).toBeUndefined()
    await writeFile(join(folder, `${globalThis.process.pid}-c`), `${hostname()}\n`)
    // The clock was set back since: nothing may be taken for older than the build.
    expect(await oldestLease(store.folder, Date.now() - DAY)).toBe(0)
  })
})

describe('verifyStore()', () => {
  it('finds and removes damaged blobs and wrong records, and marks nothing as used', async () => {
    const good = await put('good', 5)
    const bad = await put('bad', 5)
    await writeFile(store.path(bad.digest), 'BAD')
    const records = store.cache('layers')
    await saveRecord(records, 'good', { ...good, diffId: good.digest })
    await saveRecord(records, 'wrong', { ...good, size: 99, diffId: good.digest })
    await records.set('broken', Buffer.from('{'))
    const result = await verifyStore(store)
    expect(result).toEqual({
      checkedBlobs: 2,
      checkedBytes: 7,
      damaged: [{ digest: bad.digest, images: [] }],
      removedRecords: 2,
    })
    expect(await kept()).toEqual([good.digest])
    expect((await stat(store.path(good.digest))).mtimeMs).toBeLessThan(Date.now() - DAY)
  })
})
