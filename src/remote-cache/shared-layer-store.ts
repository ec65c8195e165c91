import pLimit from 'p-limit'
import type { LayerStore, StoredLayer } from '../../layers/materialise.ts'
import { saveNotes } from '../../layers/notes.ts'
import { BuildError } from '../core/errors.ts'
import { silent, startTask, type Report } from '../core/progress.ts'
import type { DerivationRecord } from '../store/records.ts'
import type { CachedLayer, RemoteCache } from './remote-cache.ts'

/** How caches in registries are used. */
export interface SharedOptions {
  /** Asked in this order for what is not here. */
  readonly from: readonly RemoteCache[]
  /** Given everything the build is made of. */
  readonly to: readonly RemoteCache[]
  /** Make every layer anew and compare it with what the caches say. */
  readonly isVerifying?: boolean | undefined
  readonly report?: Report | undefined
  readonly signal?: AbortSignal | undefined
}

/** A layer store that shares with others. */
export interface SharedLayerStore extends LayerStore {
  /** Whether there is a cache that layers are given to. */
  readonly isGiving: boolean
  /** Says what a key was made from, so that its record can. */
  describe(key: string, inputs: unknown): void
  /** The layer of a record when all caches that are given to have it as recorded: it need not be made to be given. */
  findGiven(key: string, record: DerivationRecord): Promise<StoredLayer | undefined>
  /** Ends when the caches have a layer that was made, or cannot have it; it is given from when it is saved. */
  given(layer: StoredLayer): Promise<void>
  /**
   * Gives every layer that was found or made so far to the caches. Call it before images are pushed: they then mount what
   * lies in a cache of their registry, and nothing is sent twice.
   */
  publish(): Promise<void>
  /** Gives nothing more, for a build that failed. Ends when nothing is on its way any more. */
  abandon(): Promise<void>
}

/** What `layers/notes.ts` keeps about layers, as `<name> <key>`. */
const NOTES = ['claims', 'libraries'] as const
/** Layers on their way to one cache at a time. */
const CONCURRENCY = 3

/**
 * A local store of layers in front of caches in registries.
 *
 * A layer that is found in a registry stays there: it is mounted or streamed to where the image goes. A cache that fails costs
 * time, never the build: it is passed over from then on, and a warning says so. A layer that another one than the recorded
 * comes out for, when verifying, fails the build.
 */
export function sharedLayerStore(local: LayerStore, options: SharedOptions): SharedLayerStore {
  const { from, to, isVerifying = false, report = silent, signal } = options
  const layers = new Map<string, StoredLayer | CachedLayer>()
  const inputs = new Map<string, unknown>()
  const broken = new Set<RemoteCache>()
  const home = to[0]?.home
  const limit = pLimit(CONCURRENCY)
  /** Layers on their way to the caches, or there, by key. */
  const giving = new Map<string, Promise<void>>()
  const isDone = { abandoned: false }

  /** Asks a cache; when it fails, it is not asked again. */
  const attempt = async <T>(cache: RemoteCache, ask: () => Promise<T>): Promise<T | undefined> => {
    if (broken.has(cache)) return undefined
    try {
      return await ask()
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof BuildError)) throw error
      if (!broken.has(cache)) {
        const text = `The cache ${cache.name} is passed over: ${error.message}`
        report({ type: 'note', level: 'warning', text, code: error.code })
      }
      broken.add(cache)
      return undefined
    }
  }
  const findRemote = async (key: string): Promise<CachedLayer | undefined> => {
    for (const cache of from) {
      const found = await attempt(cache, () => cache.find(key))
      if (found !== undefined) return found
    }
    return undefined
  }
  const keep = <T extends StoredLayer>(key: string, layer: T): T => {
    // It will be there by the time an image is pushed; if it is not, a mount that fails is an upload.
    const kept = home === undefined || layer.source !== undefined ? layer : { ...layer, source: home }
    layers.set(key, kept)
    return kept
  }
  const notesOf = async (key: string): Promise<ReadonlyMap<string, Buffer>> => {
    const found = new Map<string, Buffer>()
    for (const name of NOTES) {
      const bytes = await notes.get(`${name} ${key}`)
      if (bytes !== undefined) found.set(name, bytes)
    }
    return found
  }
  const giveTo = async (cache: RemoteCache, key: string, layer: StoredLayer): Promise<void> => {
    signal?.throwIfAborted()
    if (isDone.abandoned) return
    const saved = { ...layer, inputs: inputs.get(key), notes: await notesOf(key) }
    const task = startTask(report, `cache ${layer.descriptor.digest.slice(0, 19)} in ${cache.name}`, { kind: 'upload' })
    const outcome = await attempt(cache, () => cache.save(key, saved))
    task.end(outcome === undefined ? 'skipped' : outcome === 'exists' ? 'cached' : 'done')
  }
  const give = (key: string, layer: StoredLayer): Promise<void> => {
    const known = giving.get(key)
    if (known !== undefined) return known
    const started = limit(async () => {
      // One after the other: the second cache of a registry mounts what the first one got.
      for (const cache of to) await giveTo(cache, key, layer)
    })
    // Whoever waits hears of a failure.
    started.catch(() => {})
    giving.set(key, started)
    return started
  }
  const notes: LayerStore['notes'] = {
    get: async (entry) => {
      const here = await local.notes.get(entry)
      const [name = '', key = ''] = entry.split(' ')
      const layer = layers.get(key)
      if (here !== undefined || layer === undefined || !('note' in layer)) return here
      const bytes = await layer.note(name)
      if (bytes !== undefined) await local.notes.set(entry, bytes)
      return bytes
    },
    set: (entry, bytes) => local.notes.set(entry, bytes),
  }

  return {
    notes,
    isGiving: to.length > 0,
    alone: local.alone,
    findHere: isVerifying ? undefined : local.findHere,
    describe: (key, made) => void inputs.set(key, made),
    find: async (key) => {
      if (isVerifying) return undefined
      const found = (await local.find(key)) ?? (await findRemote(key))
      return found === undefined ? undefined : keep(key, found)
    },
    save: async (key, stream) => {
      const recorded = isVerifying ? await findRemote(key) : undefined
      const made = await local.save(key, stream)
      if (recorded !== undefined) assertSame(key, recorded, made)
      const kept = keep(key, made)
      if (to.length > 0) {
        // Its record in the caches has them.
        await saveNotes(key, stream, local.notes)
        void give(key, kept)
      }
      return kept
    },
    findGiven: async (key, record) => {
      if (isVerifying || to.length === 0) return undefined
      const [first, ...others] = await Promise.all(to.map((cache) => attempt(cache, () => cache.find(key))))
      const isSame = (found: CachedLayer | undefined): boolean =>
        found?.descriptor.digest === record.digest && found.diffId === record.diffId
      if (first === undefined || !isSame(first) || !others.every(isSame)) return undefined
      giving.set(key, Promise.resolve())
      return keep(key, first)
    },
    given: async (layer) => {
      const key = [...layers].find(([, { descriptor }]) => descriptor.digest === layer.descriptor.digest)?.[0]
      await (key === undefined ? undefined : giving.get(key))
    },
    publish: async () => {
      if (to.length > 0) await Promise.all([...layers].map(([key, layer]) => give(key, layer)))
    },
    abandon: async () => {
      isDone.abandoned = true
      await Promise.allSettled(giving.values())
    },
  }
}

function assertSame(key: string, recorded: CachedLayer, made: StoredLayer): void {
  const isSame = recorded.diffId === made.diffId && recorded.descriptor.digest === made.descriptor.digest
  if (isSame) return
  const { registry, repository } = recorded.source
  throw new BuildError('DIGEST_MISMATCH', `The cache ${registry}/${repository} has another layer for ${key}`, {
    hint:
      recorded.diffId === made.diffId
        ? 'Its content is said to be the same, compressed by another program. Remove the tag from the cache, or do not verify it.'
        : 'Somebody changed the cache, or what is built here is not reproducible. Do not use this cache.',
    data: {
      recorded: { digest: recorded.descriptor.digest, diffId: recorded.diffId },
      made: { digest: made.descriptor.digest, diffId: made.diffId },
    },
  })
}
