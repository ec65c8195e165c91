import pLimit from 'p-limit'
import { gathered, type RandomAccess } from '../../src/core/bytes.ts'
import type { RemoteFile } from '../../src/core/remote-file.ts'
import type { TimeSpent } from '../../src/core/progress.ts'
import { processors } from '../../src/core/processors.ts'
import { threadLanes } from '../../src/core/sha256/lanes.ts'
import type { Expected } from '../../src/core/digest.ts'
import { settleAll } from '../../src/core/settle.ts'
import { openWheel, type Wheel } from '../../src/python/wheel.ts'
import { StopClock } from '../../src/core/stop-clock.ts'
import { streamEntries } from '../../src/python/zip-stream.ts'
import { claimsOf, explainClashes, settleClaims, type Claim } from '../clashes.ts'
import { layerMediaType, type Compression } from '../compress.ts'
import { DEFAULT_MTIME_SECONDS, isLarge, openOnce, type LayerContext } from '../context.ts'
import { checkLayer, type CheckOutput, type CheckTask, type ExpectedFile, type LayerFindings } from '../layer-check.ts'
import { parentsOf } from '../paths.ts'
import { spliceLayer, type SplicedFile } from '../splice.ts'
import { recordOf, wheelFiles, type InstallScheme, type WheelFiles } from '../wheel-files.ts'
import type { CheckOptions } from '../workers/pool.ts'
import type { LayerKind } from './kind.ts'

/** A wheel by content, with the file name that its metadata is checked against. */
export interface WheelFile extends RemoteFile {
  readonly filename: string
}

/** One or several wheels, installed into an environment without running anything. */
export interface WheelsLayerSpec extends InstallScheme {
  readonly kind: 'wheels'
  /** In the order in which they are laid. */
  readonly wheels: readonly WheelFile[]
}

/** Lays wheels by splicing: their own deflate bytes become the layer's. */
export const wheelsKind: LayerKind<WheelsLayerSpec> = {
  kind: 'wheels',
  make: async (spec, context) => {
    // The files of a large wheel fill the heap, and V8 lets it grow while the heap of a thread is made: see `small-heap.ts`.
    if (context.isKnown !== true && spec.wheels.some((file) => isLarge(file, context))) await context.checks?.ready()
    const limit = pLimit(OPEN_WHEELS)
    // Small wheels wait for answers more than for bytes.
    const installed = await settleAll(spec.wheels.map((file) => limit(() => readInstalled(file, spec, context))))
    const layout = layOut(installed)
    for (const { file, files } of installed)
      if (isLarge(file, context)) context.installedRecords?.keep(file, spec, recordOf(files.written))
    const compression = context.compression ?? 'gzip'
    const spliced = gathered(spliceLayer(layout.directories, streamFiles(layout.files, context), DEFAULT_MTIME_SECONDS))
    const what = installed.length === 1 ? (spec.wheels[0]?.filename ?? '') : `A layer of ${installed.length} wheels`
    let findings: LayerFindings | undefined
    const isIndexing = compression === 'gzip' && context.keepZtoc !== undefined
    const { spillFolder } = context
    const isChecked = compression !== 'gzip' || context.isKnown !== true
    const isHashing = isChecked && OUTPUTS[compression] === 'nothing' && isHashedByChecks()
    const task = { expected: layout.expected, what, output: OUTPUTS[compression], isIndexing, isHashing, spillFolder }
    const expectedBytes = spec.wheels.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const blob = isChecked
      ? checkSpliced(spliced, { ...task, expectedBytes }, context, (found) => (findings = found))
      : spliced
    return {
      mediaType: layerMediaType(compression),
      blob,
      made: isHashing ? () => hashed(known(findings)) : undefined,
      diffId: () => known(findings).diffId,
      findings: () => known(findings),
      ztoc: () => known(findings).ztoc,
      claims: layout.claims,
    }
  },
}

/** Wheels of one layer that are fetched and read at a time. */
const OPEN_WHEELS = 8

interface Installed {
  readonly file: WheelFile
  readonly wheel: Wheel
  readonly files: WheelFiles
}

async function readInstalled(file: WheelFile, scheme: InstallScheme, context: LayerContext): Promise<Installed> {
  const source = await openOnce(file, context)
  try {
    const wheel = await openWheel(source, file.filename)
    for (const text of wheel.warnings) context.report({ type: 'note', level: 'warning', text })
    return { file, wheel, files: await wheelFiles(source, wheel, scheme) }
  } finally {
    // Opened again when its turn comes: a group of a thousand wheels must not hold a thousand files open.
    await source.close()
  }
}

interface Layout {
  readonly directories: readonly string[]
  readonly expected: readonly ExpectedFile[]
  readonly claims: readonly Claim[]
  /** The same wheels, without the files that an earlier one has brought already. */
  readonly files: readonly Installed[]
}

/** @throws BuildError WHEEL_INVALID when two wheels fill one path differently */
function layOut(installed: readonly Installed[]): Layout {
  const claimed = installed.map(({ wheel, files }) => claimsOf(files, wheel.wheelName))
  const claims = claimed.flat()
  const { owned, clashes } = settleClaims(claims)
  if (clashes.length > 0) throw explainClashes(clashes)
  const expected: ExpectedFile[] = []
  const files = installed.map(({ file, wheel, files }, n) => {
    const own = new Set(claimed[n]?.filter((claim) => owned.get(claim.path) === claim).map(({ path }) => path))
    const isOwn = ({ path }: { readonly path: string }): boolean => own.has(path)
    const kept = { placed: files.placed.filter(isOwn), written: files.written.filter(isOwn) }
    for (const { path, entry, hash } of kept.placed) expected.push({ path, sizeBytes: entry.sizeBytes, hash })
    for (const { path, bytes } of kept.written) expected.push({ path, sizeBytes: bytes.length })
    return { file, wheel, files: kept }
  })
  return { directories: parentsOf(owned.keys()), expected, claims, files }
}

async function* streamFiles(installed: readonly Installed[], context: LayerContext): AsyncGenerator<SplicedFile> {
  for (const { file, wheel, files } of installed) {
    const source = await openOnce(file, context)
    try {
      yield* streamPlaced(source, wheel, files)
    } finally {
      await source.close()
    }
    for (const { path, mode, bytes } of files.written)
      yield { path, mode, sizeBytes: bytes.length, content: { kind: 'bytes', bytes } }
  }
}

async function* streamPlaced(source: RandomAccess, wheel: Wheel, files: WheelFiles): AsyncGenerator<SplicedFile> {
  const byName = new Map(files.placed.map((placed) => [placed.entry.name, placed]))
  for await (const { entry, data } of streamEntries(source, wheel.archive)) {
    const placed = byName.get(entry.name)
    if (placed === undefined) {
      for await (const _ of data);
      continue
    }
    const content =
      entry.method === 'stored'
        ? { kind: 'stored' as const, data }
        : { kind: 'deflate' as const, data, crc32: entry.crc32 }
    yield { path: placed.path, mode: placed.mode, sizeBytes: entry.sizeBytes, content }
  }
}

/** Less than this is checked sooner than a thread has started. */
const THREAD_BYTES = 16 * 2 ** 20

/** What becomes of a spliced layer: gzip is published as it is. */
export const OUTPUTS: Readonly<Record<Compression, CheckOutput>> = { gzip: 'nothing', zstd: 'zstd', none: 'none' }

/**
 * Gives the layer's bytes in its compression, and proves them on the way.
 *
 * @param spliced  the layer as gzip, of about `expectedBytes`
 */
export async function* checkSpliced(
  spliced: AsyncIterable<Uint8Array>,
  { expectedBytes, ...task }: CheckTask & Pick<CheckOptions, 'expectedBytes'>,
  context: LayerContext,
  found: (findings: LayerFindings) => void,
): AsyncGenerator<Uint8Array> {
  const total = task.expected?.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) ?? Infinity
  const pool = total < THREAD_BYTES ? undefined : context.checks
  const check = pool?.check(task, { expectedBytes }) ?? checkLayer(task)
  const clock = new StopClock(['wait for bytes', 'wait for threads', 'wait for room'])
  try {
    clock.turn('wait for bytes')
    for await (const chunk of spliced) {
      context.signal?.throwIfAborted()
      clock.turn('wait for threads')
      await check.write(chunk)
      clock.turn('wait for room')
      if (task.output === 'nothing') yield chunk
      else yield* check.made()
      clock.turn('wait for bytes')
    }
    clock.turn('wait for threads')
    const findings = await check.end()
    found(findings)
    clock.turn('wait for room')
    yield* check.made()
    clock.stop()
    // A layer that is checked on this thread has not waited for one.
    const waits = pool === undefined ? [] : clock.entries()
    for (const [on, ms] of [...waits, ...Object.entries(findings.spentMs)])
      context.report({ type: 'spent', on: on as TimeSpent, ms })
  } finally {
    check.close()
  }
}

function known(findings: LayerFindings | undefined): LayerFindings {
  if (findings === undefined)
    throw new TypeError('A diffId is known only when the blob was read to its end, and checked')
  return findings
}

/**
 * Whether a layer's own bytes are hashed by the thread that checks it, and not by the one that sends it: where they cost next to nothing
 * beside what a check hashes, or no processor is left for them.
 */
function isHashedByChecks(): boolean {
  const lanes = threadLanes()
  return lanes.areWide || (lanes.areMany && processors() <= 2)
}

function hashed({ blob }: LayerFindings): Expected {
  if (blob === undefined) throw new TypeError('A check has not hashed the bytes that it was asked to hash')
  return blob
}
