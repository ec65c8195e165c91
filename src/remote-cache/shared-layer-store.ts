import pLimit from 'p-limit'
import type { LayerStore, StoredLayer } from '../../layers/stored-layer.ts'
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
  const shared = new SharedLayers(local, options)
  // A plain object: stores are put before one another by spreading, which leaves the methods of a class behind.
  return {
    notes: shared.notes,
    isGiving: shared.isGiving,
    alone: local.alone,
    findHere: options.isVerifying === true ? undefined : local.findHere,
    describe: (key, inputs) => shared.describe(key, inputs),
    find: (key) => shared.find(key),
    save: (key, stream) => shared.save(key, stream),
    findGiven: (key, record) => shared.findGiven(key, record),
    given: (layer) => shared.given(layer),
    publish: () => shared.publish(),
    abandon: () => shared.abandon(),
  }
}

class SharedLayers {
  readonly notes: LayerStore['notes']
  readonly isGiving: boolean
  readonly #local: LayerStore
  readonly #from: readonly RemoteCache[]
  readonly #to: readonly RemoteCache[]
  readonly #isVerifying: boolean
  readonly #report: Report
  readonly #signal: AbortSignal | undefined
  readonly #attempt: Attempt
  readonly #limit = pLimit(CONCURRENCY)
  /** What was found or made, by key. */
  readonly #layers = new Map<string, StoredLayer | CachedLayer>()
  readonly #inputs = new Map<string, unknown>()
  /** Layers on their way to the caches, or there, by key. */
  readonly #giving = new Map<string, Promise<void>>()
  #isAbandoned = false

  constructor(local: LayerStore, { from, to, isVerifying = false, report = silent, signal }: SharedOptions) {
    this.#local = local
    this.#from = from
    this.#to = to
    this.#isVerifying = isVerifying
    this.#report = report
    this.#signal = signal
    this.#attempt = passingOver(report, signal)
    this.isGiving = to.length > 0
    this.notes = {
      get: (entry) => this.#findNote(entry),
      set: (entry, bytes) => local.notes.set(entry, bytes),
    }
  }

  describe(key: string, inputs: unknown): void {
    this.#inputs.set(key, inputs)
  }

  async find(key: string): Promise<StoredLayer | undefined> {
    if (this.#isVerifying) return undefined
    const found = (await this.#local.find(key)) ?? (await this.#findRemote(key))
    return found === undefined ? undefined : this.#keep(key, found)
  }

  async save(...[key, stream]: Parameters<LayerStore['save']>): Promise<StoredLayer> {
    const recorded = this.#isVerifying ? await this.#findRemote(key) : undefined
    const made = await this.#local.save(key, stream)
    if (recorded !== undefined) assertSame(key, recorded, made)
    const kept = this.#keep(key, made)
    if (this.isGiving) {
      // Its record in the caches has them.
      await saveNotes(key, stream, this.#local.notes)
      void this.#give(key, kept)
    }
    return kept
  }

  async findGiven(key: string, record: DerivationRecord): Promise<StoredLayer | undefined> {
    if (this.#isVerifying || !this.isGiving) return undefined
    const [first, ...others] = await Promise.all(this.#to.map((cache) => this.#attempt(cache, () => cache.find(key))))
    const isSame = (found: CachedLayer | undefined): boolean =>
      found?.descriptor.digest === record.digest && found.diffId === record.diffId
    if (first === undefined || !isSame(first) || !others.every(isSame)) return undefined
    this.#giving.set(key, Promise.resolve())
    return this.#keep(key, first)
  }

  async given(layer: StoredLayer): Promise<void> {
    const { digest } = layer.descriptor
    const key = [...this.#layers].find(([, { descriptor }]) => descriptor.digest === digest)?.[0]
    await (key === undefined ? undefined : this.#giving.get(key))
  }

  async publish(): Promise<void> {
    if (this.isGiving) await Promise.all([...this.#layers].map(([key, layer]) => this.#give(key, layer)))
  }

  async abandon(): Promise<void> {
    this.#isAbandoned = true
    await Promise.allSettled(this.#giving.values())
  }

  async #findRemote(key: string): Promise<CachedLayer | undefined> {
    for (const cache of this.#from) {
      const found = await this.#attempt(cache, () => cache.find(key))
      if (found !== undefined) return found
    }
    return undefined
  }

  #keep<T extends StoredLayer>(key: string, layer: T): T {
    const home = this.#to[0]?.home
    // It will be there by the time an image is pushed; if it is not, a mount that fails is an upload.
    const kept = home === undefined || layer.source !== undefined ? layer : { ...layer, source: home }
    this.#layers.set(key, kept)
    return kept
  }

  #give(key: string, layer: StoredLayer): Promise<void> {
    const known = this.#giving.get(key)
    if (known !== undefined) return known
    const started = this.#limit(async () => {
      // One after the other: the second cache of a registry mounts what the first one got.
      for (const cache of this.#to) await this.#giveTo(cache, key, layer)
    })
    // Whoever waits hears of a failure.
    started.catch(() => {})
    this.#giving.set(key, started)
    return started
  }

  async #giveTo(cache: RemoteCache, key: string, layer: StoredLayer): Promise<void> {
    this.#signal?.throwIfAborted()
    if (this.#isAbandoned) return
    const saved = { ...layer, inputs: this.#inputs.get(key), notes: await this.#notesOf(key) }
    const what = `cache ${layer.createdBy ?? layer.descriptor.digest.slice(0, 19)} in ${cache.name}`
    const task = startTask(this.#report, what, { kind: 'upload' })
    const outcome = await this.#attempt(cache, () => cache.save(key, saved))
    task.end(outcome === undefined ? 'skipped' : outcome === 'exists' ? 'cached' : 'done')
  }

  async #notesOf(key: string): Promise<ReadonlyMap<string, Buffer>> {
    const found = new Map<string, Buffer>()
    for (const name of NOTES) {
      const bytes = await this.notes.get(`${name} ${key}`)
      if (bytes !== undefined) found.set(name, bytes)
    }
    return found
  }

  /** A note of here, else of the cache that a layer was found in. */
  async #findNote(entry: string): Promise<Buffer | undefined> {
    const here = await this.#local.notes.get(entry)
    const [name = '', key = ''] = entry.split(' ')
    const layer = this.#layers.get(key)
    if (here !== undefined || layer === undefined || !('note' in layer)) return here
    const bytes = await layer.note(name)
    if (bytes !== undefined) await this.#local.notes.set(entry, bytes)
    return bytes
  }
}

/** Asks a cache; undefined when it fails, or has failed before. */
type Attempt = <T>(cache: RemoteCache, ask: () => Promise<T>) => Promise<T | undefined>

function passingOver(report: Report, signal: AbortSignal | undefined): Attempt {
  const broken = new Set<RemoteCache>()
  return async (cache, ask) => {
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
