import pLimit from 'p-limit'
import { EXIT, exitStatus } from '../src/core/errors.ts'
import { LIMITS } from '../src/core/limits.ts'
import { hasLargeThreads } from '../src/core/processors.ts'
import { startTask, type Task } from '../src/core/progress.ts'
import type { RemoteFile } from '../src/core/remote-file.ts'
import { isLarge, type LayerContext } from './context.ts'
import { expectedLayerBytes, layerKey, makeLayerStream, type LayerSpec } from './kinds/index.ts'
import type { FoundLayerStream } from './kinds/kind.ts'
import { describeLayer } from './kinds/words.ts'
import type { Layer } from './layer.ts'
import { InstalledRecords } from './installed-records.ts'
import { checkClashes, saveNotes } from './notes.ts'
import type { LayerStore, StoredLayer } from './stored-layer.ts'
import { makeCheckPool } from './workers/pool.ts'

/**
 * With zstd the threads are busy for longer than a download takes: more layers than threads would only hold memory. Tables for lazy
 * pulling hold some, too, and where threads are large as well there is none for another layer.
 */
function concurrencyOf({ compression, keepZtoc }: LayerContext): number {
  const holdsMuch = compression === 'zstd' || (keepZtoc !== undefined && hasLargeThreads())
  if (holdsMuch) return Math.min(LIMITS.layers, Math.max(2, LIMITS.threads))
  return keepZtoc === undefined ? LIMITS.checkedLayers : LIMITS.layers
}

/**
 * Makes a layer, or finds it made: what was derived from the same inputs once is not derived again.
 *
 * @throws BuildError as the layer's kind says
 */
export async function materialise(spec: LayerSpec, context: LayerContext, store: LayerStore): Promise<Layer> {
  return (await findMade(spec, context, store)) ?? (await makeAlone(spec, context, store))
}

async function findMade(spec: LayerSpec, context: LayerContext, store: LayerStore): Promise<Layer | undefined> {
  const createdBy = describeLayer(spec)
  const found = await store.find(layerKey(spec, context.compression, context.mtimeSeconds), createdBy)
  if (found === undefined) return undefined
  startTask(context.report, createdBy).end('cached')
  return { ...found, createdBy }
}

async function makeAlone(spec: LayerSpec, context: LayerContext, store: LayerStore): Promise<Layer> {
  const key = layerKey(spec, context.compression, context.mtimeSeconds)
  const work = async (hasWaited: boolean): Promise<StoredLayer> =>
    (hasWaited ? await findMade(spec, context, store) : undefined) ?? makeLayer(spec, context, store)
  return { ...(await store.alone(key, work, context.signal)), createdBy: describeLayer(spec) }
}

async function makeLayer(spec: LayerSpec, context: LayerContext, store: LayerStore): Promise<StoredLayer> {
  const key = layerKey(spec, context.compression, context.mtimeSeconds)
  const totalBytes = expectedLayerBytes(spec, context.compression)
  const createdBy = describeLayer(spec)
  const task = startTask(context.report, createdBy, { totalBytes, kind: 'layer' })
  const opened: RemoteFile[] = []
  try {
    const noting = notingOpened(context, opened)
    const stream = (await fromOtherCompression(spec, context, store)) ?? (await makeLayerStream(spec, noting))
    const stored = await store.save(key, { ...stream, createdBy, blob: counted(stream.blob, task, context.signal) })
    await saveNotes(key, stream, store.notes)
    const ztoc = stream.ztoc?.()
    if (ztoc !== undefined) await context.keepZtoc?.(stored.descriptor, ztoc)
    task.end()
    return stored
  } catch (caught) {
    const error = await findCause(caught, opened, context)
    task.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  }
}

/** Adds every file that is opened to a list. */
function notingOpened(context: LayerContext, opened: RemoteFile[]): LayerContext {
  const { openDirect } = context
  return {
    ...context,
    openRemote: (file) => {
      opened.push(file)
      return context.openRemote(file)
    },
    openDirect:
      openDirect &&
      ((file, options) => {
        opened.push(file)
        return openDirect(file, options)
      }),
  }
}

/** Files are proven when they are stored, and read unproven from then on: what makes no sense may have been damaged in between. */
async function findCause(error: unknown, opened: readonly RemoteFile[], context: LayerContext): Promise<unknown> {
  if (exitStatus(error) !== EXIT.integrity || context.signal?.aborted === true) return error
  try {
    for (const file of opened) await context.proveRemote?.(file)
    return error
  } catch (damage) {
    return damage
  }
}

async function fromOtherCompression(
  spec: LayerSpec,
  context: LayerContext,
  store: LayerStore,
): Promise<FoundLayerStream | undefined> {
  if (spec.kind !== 'wheels' || (context.compression ?? 'gzip') === 'gzip') return undefined
  const { recompressed } = await import('./recompress.ts')
  return recompressed(spec, context, store)
}

/**
 * Materialises several layers, some at a time; answers in the order of the specs. Equal specs are made once.
 *
 * @throws BuildError WHEEL_INVALID when packages of different layers fill one path differently
 */
export async function materialiseAll(
  specs: readonly LayerSpec[],
  context: LayerContext,
  store: LayerStore,
  concurrency = concurrencyOf(context),
): Promise<readonly Layer[]> {
  const limit = pLimit(concurrency)
  // What is not checked gains nothing by another one beside it.
  const others = pLimit(Math.min(concurrency, LIMITS.layers))
  const aborter = new AbortController()
  const signal = context.signal === undefined ? aborter.signal : AbortSignal.any([context.signal, aborter.signal])
  // Threads start when the first large layer asks for one.
  const ownChecks = context.checks === undefined ? makeCheckPool() : undefined
  const checks = context.checks ?? ownChecks
  const installedRecords = new InstalledRecords()
  const running = new Map<string, Promise<Layer>>()
  const own = { ...context, signal, checks, installedRecords }
  const inTurn = <T>(work: () => Promise<T>): Promise<T> =>
    limit(async () => {
      signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        // The others stop at their next chunk, and those that wait do not start.
        aborter.abort(error)
        throw error
      }
    })
  const make = (spec: LayerSpec): Promise<Layer> => inTurn(() => materialise(spec, own, store))
  const packages = specs.filter(({ kind }) => kind === 'debs')
  // Threads that decompress packages and those that inflate large wheels hold some 35 MB each: one kind follows the other.
  const makeAfterPackages = async (spec: LayerSpec): Promise<Layer> => {
    const found = await inTurn(() => findMade(spec, own, store))
    if (found !== undefined) return found
    await Promise.allSettled(packages.map(start))
    const { endIdleXzThreads } = await import('../src/debian/xz/decompress.ts')
    await endIdleXzThreads()
    return inTurn(() => makeAlone(spec, own, store))
  }
  const start = (spec: LayerSpec): Promise<Layer> => {
    const key = layerKey(spec, context.compression, context.mtimeSeconds)
    const known = running.get(key)
    if (known !== undefined) return known
    const makeLarge = packages.length > 0 ? makeAfterPackages : make
    const promise = holdsLarge(spec, context) ? makeLarge(spec) : others(() => make(spec))
    running.set(key, promise)
    return promise
  }
  // What is started here is waited for below.
  for (const spec of longestFirst(specs.filter(({ kind }) => kind !== 'environment'))) void start(spec)
  // An environment reads metadata of wheels. Of large ones their own layers have fetched and proven it by then; small ones are
  // fetched once for all who ask.
  const before = specs.filter((spec) => holdsLarge(spec, context))
  const promises = specs.map(async (spec) => {
    if (spec.kind === 'environment') await Promise.all(before.map(start))
    return start(spec)
  })
  try {
    const layers = await Promise.all(promises)
    await checkClashes(specs, context, store.notes)
    return layers
  } catch (error) {
    // They are waited for, so that nothing writes after the error is out.
    await Promise.allSettled(promises)
    throw error
  } finally {
    await ownChecks?.close()
  }
}

function holdsLarge(spec: LayerSpec, context: LayerContext): boolean {
  return spec.kind === 'wheels' && spec.wheels.some((file) => isLarge(file, context))
}

/**
 * Large wheels before small ones: a large one that begins last is made alone in the end, while the other processors have
 * nothing to do. What may take long and has no known size begins before them, what is made in no time after them.
 */
function longestFirst(specs: readonly LayerSpec[]): readonly LayerSpec[] {
  const weightOf = (spec: LayerSpec): number =>
    SHORT_KINDS.has(spec.kind) ? 0 : (expectedLayerBytes(spec) ?? Number.MAX_SAFE_INTEGER)
  const weighed = specs.map((spec) => ({ spec, weight: weightOf(spec) }))
  return weighed.toSorted((a, b) => b.weight - a.weight).map(({ spec }) => spec)
}

const SHORT_KINDS: ReadonlySet<LayerSpec['kind']> = new Set(['inline', 'files'])

async function* counted(
  blob: AsyncIterable<Uint8Array>,
  task: Task,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  let done = 0
  for await (const chunk of blob) {
    signal?.throwIfAborted()
    done += chunk.length
    task.bytes(done)
    yield chunk
  }
}
