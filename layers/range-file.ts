import { startDigesterOfMany } from '../src/core/hash-thread/pool.ts'
import { filePathOf } from '../src/core/file-url.ts'
import { ByteReader } from '../src/core/byte-reader.ts'
import { openBytes, type RandomAccess } from '../src/core/bytes.ts'
import type { Cache } from '../src/core/cache.ts'
import { verify } from '../src/core/digest.ts'
import { BuildError } from '../src/core/errors.ts'
import { openFile } from '../src/core/file-access.ts'
import { maskUrl } from '../src/core/http.ts'
import { acquire, LIMITS, makeLimiter, type Limiter } from '../src/core/limits.ts'
import { silent, startTask } from '../src/core/progress.ts'
import type { RemoteFile } from '../src/core/remote-file.ts'
import type { HashBeside, OpenDirect, RemoteAccess } from './context.ts'
import { FileRanges, isKnownPart, loadRanges, saveRanges, type FilePart } from './file-ranges.ts'
import { download, fileName, requestRange, type DownloadOptions } from './remote.ts'

/** How files are read where they lie. */
export interface DirectOptions extends DownloadOptions {
  /** Downloads at once, shared with whatever else downloads. */
  readonly limit?: Limiter | undefined
  /** Keeps the parts that were read and proven, so that they need not be asked for again. */
  readonly ranges?: Cache | undefined
  /** Parts of a file that are known by their hashes: what is read of it needs no other proof. */
  readonly parts?: ((sha256: string) => readonly FilePart[]) | undefined
  /** Opens a file whose server knows no ranges, by fetching the whole. */
  readonly openWhole?: ((file: RemoteFile) => Promise<RandomAccess>) | undefined
}

/** Proven parts of all files together that are held where they are not kept; of the others their hashes. */
const HELD_BYTES = 16 << 20

/** A wheel's directory and metadata lie in its last bytes; this much serves most wheels with one request. */
const TAIL_BYTES = 1 << 17

/**
 * Opens remote files where they lie, without keeping them: the tail is read by range requests, and the whole passes
 * through once, unless the tail was the whole.
 *
 * What `read` gives is proven by the next `stream` from the start, or by `prove`: all of the file passes through its hash,
 * also what lies behind the part that was asked for, and what was read before is compared with it. Either fails at its
 * end when the file is not the one that was locked: so a consumer must not publish what it made before. For a consumer that
 * compares what it makes with a digest of its own, a `stream` gives what was asked for and proves nothing.
 */
export function makeOpenDirect(options: DirectOptions): OpenDirect {
  const limit = options.limit ?? makeLimiter(LIMITS.downloads)
  const known = new Map<string, Promise<FileRanges>>()
  const proven = new Map<string, readonly FilePart[]>()
  let heldBytes = 0
  // A thousand files would fill the memory: what has passed is read again, and compared with what is known of it.
  const onPassed = ({ sha256 }: RemoteFile, ranges: FileRanges): void => {
    if (!ranges.isProven) known.delete(sha256)
    else if (options.ranges === undefined && heldBytes + ranges.sizeBytes <= HELD_BYTES) heldBytes += ranges.sizeBytes
    else {
      known.delete(sha256)
      proven.set(sha256, ranges.describe())
    }
  }
  const parts = (sha256: string): readonly FilePart[] => proven.get(sha256) ?? options.parts?.(sha256) ?? []
  const forget = ({ sha256 }: RemoteFile): void => void known.delete(sha256)
  const settings = { ...options, limit, parts, onPassed, forget }
  return async (file, { isCompared = false, hashBeside } = {}) => {
    let finding = known.get(file.sha256)
    if (finding === undefined) {
      finding = findRanges(file, settings)
      if (!proven.has(file.sha256)) known.set(file.sha256, finding)
      // A file that could not be reached may be asked for again.
      finding.catch(() => known.delete(file.sha256))
    }
    const ranges = await finding
    if (ranges.isRefused && options.openWhole !== undefined) return options.openWhole(file)
    return access(file, ranges, { ...settings, hashBeside }, isCompared)
  }
}

type Settings = DirectOptions & {
  readonly hashBeside?: HashBeside | undefined
  readonly limit: Limiter
  readonly parts: (sha256: string) => readonly FilePart[]
  /** Hears of every file that has passed through. */
  readonly onPassed: (file: RemoteFile, ranges: FileRanges) => void
  /** Lets the parts of a file go that were not as it is, or could not be told to be. */
  readonly forget: (file: RemoteFile) => void
}

/** The parts that are known from an earlier build, else the tail, asked for now. */
async function findRanges(file: RemoteFile, settings: Settings): Promise<FileRanges> {
  const saved = await loadRanges(settings.ranges, file.sha256)
  if (saved !== undefined) return saved
  const ranges = new FileRanges()
  const offset = Math.max(0, file.sizeBytes - TAIL_BYTES)
  const tail = await readRange(file, offset, file.sizeBytes - offset, settings)
  if (tail === undefined) ranges.isRefused = true
  else addRead(file, ranges, offset, tail, settings)
  return ranges
}

function addRead(file: RemoteFile, ranges: FileRanges, offset: number, bytes: Buffer, { parts }: Settings): Buffer {
  return ranges.add(offset, bytes, isKnownPart(offset, bytes, parts(file.sha256)))
}

function access(file: RemoteFile, ranges: FileRanges, settings: Settings, isCompared: boolean): RemoteAccess {
  const read = async (offset: number, length: number): Promise<Uint8Array> => {
    if (offset < 0 || offset + length > file.sizeBytes) throw new RangeError('Read past the end of a remote file')
    const found = ranges.find(offset, length)
    if (found !== undefined) return found
    const bytes = await readRange(file, offset, length, settings)
    if (bytes === undefined)
      throw new BuildError('INDEX_FAILED', `The server answers some ranges only: ${maskUrl(file.url)}`)
    return addRead(file, ranges, offset, bytes, settings)
  }
  return {
    sizeBytes: file.sizeBytes,
    read,
    stream: (offset, length) => {
      if (offset > 0) return rangeStream(read, offset, length)
      const start = isCompared ? bareStart(file, length, ranges, settings) : provenStart(file, length, ranges, settings)
      return passing(file, start, ranges, settings)
    },
    prove: async () => {
      if (ranges.isProven) return
      for await (const _ of passing(file, provenStart(file, 0, ranges, settings), ranges, settings));
    },
    close: async () => {},
  }
}

/** Bytes of a file with the position behind them, and as many of them as were asked for. */
interface Passed {
  readonly at: number
  readonly bytes: Uint8Array
}

/** The first bytes of a file in their turn, and what is kept of it when they have passed. */
async function* passing(
  file: RemoteFile,
  start: AsyncIterable<Passed>,
  ranges: FileRanges,
  settings: Settings,
): AsyncGenerator<Uint8Array> {
  const release = await acquire(settings.limit)
  const task = startTask(settings.report ?? silent, `download ${fileName(file.url)}`, {
    totalBytes: file.sizeBytes,
    kind: 'download',
  })
  let isDone = false
  try {
    for await (const { at, bytes } of start) {
      task.bytes(at, file.sizeBytes)
      if (bytes.length > 0) yield bytes
    }
    if (ranges.isProven) await saveRanges(settings.ranges, file.sha256, ranges)
    settings.onPassed(file, ranges)
    isDone = true
  } catch (error) {
    // Whoever tries again asks anew for what may have been damaged.
    settings.forget(file)
    throw error
  } finally {
    task.end(isDone ? 'done' : 'failed')
    release()
  }
}

/** The first bytes of a file, while all of it is proven. */
async function* provenStart(
  file: RemoteFile,
  length: number,
  ranges: FileRanges,
  settings: Settings,
): AsyncGenerator<Passed> {
  const what = maskUrl(file.url)
  const expected = { digest: `sha256:${file.sha256}`, size: file.sizeBytes } as const
  let at = 0
  for await (const chunk of verify(bytesOf(file, ranges, settings), expected, what, besides(settings))) {
    ranges.compare(at, chunk, what)
    const bytes = chunk.subarray(0, Math.max(0, length - at))
    yield { at: (at += chunk.length), bytes }
  }
  ranges.isProven = true
}

/** A thread that has nothing to do, else one that hashes for what is made of the file. */
function besides({ hashBeside }: Settings): HashBeside {
  return (algorithm) => startDigesterOfMany(algorithm) ?? hashBeside?.(algorithm)
}

/** The first bytes of a file and no more. */
async function* bareStart(
  file: RemoteFile,
  length: number,
  ranges: FileRanges,
  settings: Settings,
): AsyncGenerator<Passed> {
  let at = 0
  for await (const chunk of bytesOf(file, ranges, settings)) {
    const bytes = chunk.subarray(0, length - at)
    yield { at: (at += bytes.length), bytes }
    if (at >= length) return
  }
}

/** A small file has come with its tail: it is not asked for a second time. */
function bytesOf(file: RemoteFile, ranges: FileRanges, settings: Settings): AsyncIterable<Uint8Array> {
  const whole = ranges.find(0, file.sizeBytes)
  return whole === undefined ? download(file, settings) : openBytes(whole)()
}

async function readRange(
  file: RemoteFile,
  offset: number,
  length: number,
  settings: Settings,
): Promise<Buffer | undefined> {
  if (file.url.startsWith('file:')) {
    const local = await openFile(filePathOf(file.url))
    try {
      return Buffer.from(await local.read(offset, length))
    } finally {
      await local.close()
    }
  }
  const body = await settings.limit(() => requestRange(file, offset, length, settings))
  if (body === undefined) return undefined
  const reader = new ByteReader(body)
  try {
    return await reader.take(length)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('NETWORK_FAILED', `A part of the file was cut short: ${maskUrl(file.url)}`, { cause: error })
  } finally {
    await reader.close()
  }
}

async function* rangeStream(
  read: (offset: number, length: number) => Promise<Uint8Array>,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < length; done += TAIL_BYTES)
    yield await read(offset + done, Math.min(TAIL_BYTES, length - done))
}
