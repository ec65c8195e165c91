import { layerCompression } from 'oci-spec-types'
import pLimit from 'p-limit'
import { collect, openBytes } from '../core/bytes.ts'
import { verify } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { settleAll } from '../core/settle.ts'
import { readTar } from '../core/tar-reader.ts'
import { BaseSystemScan, isSystemFile, type BaseMember } from '../debian/base-system.ts'
import { decompress, type Compression } from '../debian/compression.ts'
import type { Layer } from '../../layers/layer.ts'

const LAYER_LIMIT_BYTES = 40 * 1024 ** 3
const FILE_LIMIT_BYTES = 64 * 1024 ** 2
/** Of all files that are kept: a large base has some 10 MB of them. */
const FILES_LIMIT_BYTES = 256 * 1024 ** 2

/** Where os-release lies, by precedence. */
export const OS_RELEASE = ['usr/lib/os-release', 'etc/os-release'] as const
/** dpkg's database. */
const STATUS = 'var/lib/dpkg/status'
/** Keys that a base's apt may be told to trust. */
export const APT_KEYS = /^(?:usr\/share\/keyrings|etc\/apt\/(?:keyrings|trusted\.gpg\.d))\/[^/]+\.(?:gpg|pgp|asc)$/
/** What a base's apt has been told of archives. */
export const APT_LISTS = /^etc\/apt\/sources\.list(?:\.d\/[^/]+\.(?:list|sources))?$/
/** musl's loader. */
export const MUSL = /^lib\/ld-musl-[\w-]+\.so\.1$/
/** The header that says an interpreter's full version. */
const PATCHLEVEL = /^(usr\/(?:local\/)?)include\/python(3\.\d+)t?\/patchlevel\.h$/
/** Where pip and Debian note what they installed, for all interpreters below `usr`. @see PEP 376 */
export const DISTRIBUTION =
  /^usr\/(?:local\/)?lib\/python3(?:\.\d+)?\/(?:site|dist)-packages\/[^/]+\.(?:dist-info\/METADATA|egg-info\/PKG-INFO|egg-info)$/
const EXECUTABLE = /^usr\/(?:local\/)?bin\/python3\.\d+$/

/** What was read of a base. */
export interface BaseScan {
  readonly files: ReadonlyMap<string, Buffer>
  readonly paths: ReadonlySet<string>
  readonly system: BaseSystemScan
  /** Whether every layer was read to its end and is what its digest says. */
  readonly isProven: boolean
}

/**
 * Reads what the facts of a base follow from; every layer is streamed once, several at a time, and nothing is unpacked.
 *
 * @param layers  lowest first
 * @throws BuildError IMAGE_INVALID when a layer is no readable tar, or holds more of such files than can be kept
 */
export async function scanBase(layers: readonly Layer[], signal?: AbortSignal): Promise<BaseScan> {
  const stop = new AbortController()
  const room = { bytes: FILES_LIMIT_BYTES }
  const limit = pLimit(LIMITS.layers)
  const read = async (layer: Layer): Promise<ReadLayer> => {
    stop.signal.throwIfAborted()
    try {
      return await readLayer(layer, room, signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]))
    } catch (error) {
      stop.abort(error)
      throw error
    }
  }
  // The large ones first: what begins last is read alone in the end.
  const order = layers.toSorted((a, b) => b.descriptor.size - a.descriptor.size)
  const started = new Map(order.map((layer) => [layer, limit(() => read(layer))]))
  // The first failure ends the others, whose own errors say no more than that.
  await settleAll([...started.values()]).catch((error: unknown) => {
    throw stop.signal.aborted ? stop.signal.reason : error
  })
  const scan = { files: new Map(), paths: new Set<string>(), system: new BaseSystemScan(), isProven: true }
  const gone = new Set<string>()
  for (const layer of layers.toReversed()) {
    const found = await started.get(layer)
    await lookThrough(found?.members ?? [], scan, gone)
    scan.isProven &&= found?.isProven === true
  }
  return scan
}

/** What is kept of one layer. */
interface ReadLayer {
  /** In their order, with the bodies of those that are wanted. */
  readonly members: readonly FoundMember[]
  /** Whether all of its bytes were read, and are what its digest says. */
  readonly isProven: boolean
}

interface FoundMember extends BaseMember {
  /** As `name`, relative and without a slash at the end. */
  readonly path: string
  readonly content: Buffer | undefined
}

/** @param room  how much more may be kept of all layers together */
async function readLayer(layer: Layer, room: { bytes: number }, signal: AbortSignal): Promise<ReadLayer> {
  const { descriptor } = layer
  let isProven = false
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield* verify(layer.open({ signal }), descriptor, `the layer ${descriptor.digest}`)
    isProven = true
  }
  const compression = COMPRESSIONS[layerCompression(descriptor.mediaType) ?? 'gzip']
  const members: FoundMember[] = []
  try {
    for await (const { name, type, linkName, mode, uid, gid, body } of readTar(
      decompress(bytes(), compression, LAYER_LIMIT_BYTES),
    )) {
      const path = name.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '')
      const isKept = type === 'file' && (isWanted(path) || isSystemFile(path))
      const content = isKept ? await collect(body, Math.min(FILE_LIMIT_BYTES, room.bytes)) : undefined
      room.bytes -= content?.length ?? 0
      members.push({
        path,
        name,
        type,
        linkName,
        mode,
        uid,
        gid,
        content,
        body: content === undefined ? NO_BODY : openBytes(content)(),
      })
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('IMAGE_INVALID', `A layer of the base cannot be read: ${descriptor.digest}`, {
      cause: error,
    })
  }
  return { members, isProven }
}

const NOTHING = Buffer.alloc(0)

/** Of a member whose content is not wanted. */
const NO_BODY = openBytes(NOTHING)()

/** What is found in a base, from its top layer down. */
interface Found {
  readonly files: Map<string, Buffer>
  readonly paths: Set<string>
  readonly system: BaseSystemScan
}

/**
 * Takes what is wanted of one layer, unless a layer above has it, or has removed it.
 *
 * @param gone  what layers above removed, files and folders, with a slash at the end; what this one removes is added
 */
async function lookThrough(
  members: readonly FoundMember[],
  { files, paths, system }: Found,
  gone: Set<string>,
): Promise<void> {
  const removed: string[] = []
  const folders: string[] = []
  for (const member of members) {
    const { path, content } = member
    const whiteout = /^(.*\/)?\.wh\.([^/]+)$/.exec(path)
    if (whiteout?.[2] === '.wh..opq') folders.push(whiteout[1] ?? '')
    else if (whiteout !== null) {
      removed.push(`${whiteout[1] ?? ''}${whiteout[2]}`)
      folders.push(`${whiteout[1] ?? ''}${whiteout[2]}/`)
    }
    if ((EXECUTABLE.test(path) || MUSL.test(path)) && !isGone(path, gone)) paths.add(path)
    await system.visit(member)
    if (content !== undefined && isWanted(path) && !files.has(path) && !isGone(path, gone)) files.set(path, content)
  }
  system.endLayer()
  // What this layer removes is gone for the layers below it: an empty file stands for "none".
  for (const path of removed) if (isWanted(path) && !files.has(path)) files.set(path, NOTHING)
  for (const folder of folders) gone.add(folder)
}

/** Whether a layer above removed the path, or a folder above it, as it does with a package of which it has another version. */
function isGone(path: string, gone: ReadonlySet<string>): boolean {
  const whole = `${path}/`
  for (let end = whole.indexOf('/'); end !== -1; end = whole.indexOf('/', end + 1)) {
    if (gone.has(whole.slice(0, end + 1))) return true
  }
  return gone.has('')
}

const COMPRESSIONS: Readonly<Record<'gzip' | 'zstd' | 'none', Compression>> = { gzip: 'gz', zstd: 'zst', none: '' }

function isWanted(path: string): boolean {
  return (
    path === STATUS ||
    path === OS_RELEASE[0] ||
    path === OS_RELEASE[1] ||
    PATCHLEVEL.test(path) ||
    DISTRIBUTION.test(path) ||
    APT_LISTS.test(path) ||
    APT_KEYS.test(path) ||
    // Distroless images keep one file a package; .md5sums lie beside them.
    (path.startsWith('var/lib/dpkg/status.d/') && !path.endsWith('.md5sums'))
  )
}
