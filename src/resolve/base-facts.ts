import { layerCompression } from 'oci-spec-types'
import { collect } from '../core/bytes.ts'
import { verify } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { BaseSystemScan } from '../debian/base-system.ts'
import { decompress, type Compression } from '../debian/compression.ts'
import { parseStatus, type InstalledPackage } from '../debian/status.ts'
import { readTar } from '../core/tar-reader.ts'
import type { LockedLibc } from '../lock/lock.ts'
import type { InstalledDistribution } from '../python/installed.ts'
import type { Layer } from '../../layers/layer.ts'

/** What must be known of an existing base before packages can be chosen for it. */
export interface BaseFacts {
  /** `ID` of os-release, such as `debian`; empty when the base has none. */
  readonly osId: string
  /** `VERSION_ID` of os-release, such as `22.04`. */
  readonly osVersion: string
  /** `VERSION_CODENAME` of os-release, such as `jammy`. */
  readonly osCodename: string
  readonly libc: LockedLibc | undefined
  /** Interpreters, newest version first. */
  readonly pythons: readonly FoundPython[]
  /** What laying packages on the base needs to know of it. */
  readonly system: BaseSystemScan
  /** dpkg's database, when the base has one. */
  readonly packages: readonly InstalledPackage[] | undefined
  /** What the base's own apt has been told of archives: texts by path, in order of the paths. */
  readonly aptLists: ReadonlyMap<string, string>
  /** Keys that the base's own apt may be told to trust, by path. */
  readonly aptKeys: ReadonlyMap<string, Buffer>
  /** Python distributions by the path of their METADATA, wherever they lie; see {@link distributionsFor}. */
  readonly distributions: ReadonlyMap<string, string>
}

/** An interpreter of the base. */
export interface FoundPython {
  /** Full version. */
  readonly version: string
  /** Absolute path. */
  readonly executable: string
}

const LAYER_LIMIT_BYTES = 40 * 1024 ** 3
const FILE_LIMIT_BYTES = 64 * 1024 ** 2
/** Of all files that are kept: a large base has some 10 MB of them. */
const FILES_LIMIT_BYTES = 256 * 1024 ** 2

const OS_RELEASE = ['usr/lib/os-release', 'etc/os-release'] as const
const STATUS = 'var/lib/dpkg/status'
const APT_KEYS = /^(?:usr\/share\/keyrings|etc\/apt\/(?:keyrings|trusted\.gpg\.d))\/[^/]+\.(?:gpg|pgp|asc)$/
const APT_LISTS = /^etc\/apt\/sources\.list(?:\.d\/[^/]+\.(?:list|sources))?$/
const MUSL = /^lib\/ld-musl-[\w-]+\.so\.1$/
const PATCHLEVEL = /^(usr\/(?:local\/)?)include\/python(3\.\d+)t?\/patchlevel\.h$/
/** Where pip and Debian note what they installed, for all interpreters below `usr`. @see PEP 376 */
const DISTRIBUTION =
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
 * Reads what the facts of a base follow from, from the top layer down; every layer is streamed once and nothing is unpacked.
 *
 * @param layers  lowest first
 * @throws BuildError IMAGE_INVALID when a layer is no readable tar, or holds more of such files than can be kept
 */
export async function scanBase(layers: readonly Layer[], signal?: AbortSignal): Promise<BaseScan> {
  const reading: Reading = {
    files: new Map(),
    paths: new Set(),
    gone: new Set(),
    system: new BaseSystemScan(),
    roomBytes: FILES_LIMIT_BYTES,
  }
  let isProven = true
  for (const layer of layers.toReversed()) isProven = (await readLayer(layer, reading, signal)) && isProven
  const { files, paths, system } = reading
  return { files, paths, system, isProven }
}

/**
 * What a base that was read tells.
 *
 * @param environment  the base's variables; images of Docker's `python` name their version there
 */
export function factsOf({ files, paths, system }: BaseScan, environment: readonly string[]): BaseFacts {
  const release = parseOsRelease(text(files.get(OS_RELEASE[0]) ?? files.get(OS_RELEASE[1])))
  const packages = readPackages(files)
  const distributions = new Map(
    [...files].flatMap(([path, bytes]) => (DISTRIBUTION.test(path) ? [[path, text(bytes)]] : [])),
  )
  return {
    osId: release.get('ID') ?? '',
    osVersion: release.get('VERSION_ID') ?? '',
    osCodename: release.get('VERSION_CODENAME') ?? '',
    libc: findLibc(packages, paths, release),
    pythons: findPythons(files, paths, packages, environment),
    system,
    packages,
    aptLists: new Map(
      [...files.keys()]
        .filter((path) => APT_LISTS.test(path))
        .sort()
        .map((path) => [path, text(files.get(path))]),
    ),
    aptKeys: new Map([...files].filter(([path, bytes]) => APT_KEYS.test(path) && bytes.length > 0)),
    distributions,
  }
}

/**
 * What an interpreter of the base finds besides its standard library, in the order in which it looks: `/usr/local` first, as
 * Debian's Python does.
 *
 * @param executable absolute, such as `/usr/local/bin/python3.11`
 */
export function distributionsFor(
  { distributions }: Pick<BaseFacts, 'distributions'>,
  executable: string,
): readonly InstalledDistribution[] {
  const [, prefix, minor] = /^\/(usr(?:\/local)?)\/bin\/python(3\.\d+)$/.exec(executable) ?? []
  if (prefix === undefined || minor === undefined) return []
  const folders =
    prefix === 'usr/local'
      ? [`usr/local/lib/python${minor}/site-packages/`]
      : [
          `usr/local/lib/python${minor}/dist-packages/`,
          `usr/lib/python3/dist-packages/`,
          `usr/lib/python${minor}/dist-packages/`,
          `usr/lib/python${minor}/site-packages/`,
        ]
  return folders.flatMap((folder) =>
    [...distributions].flatMap(([path, metadata]) =>
      path.startsWith(folder) && metadata !== '' ? [{ path, metadata }] : [],
    ),
  )
}

/** What is known of a base while its layers are read, from the top down. */
interface Reading {
  readonly files: Map<string, Buffer>
  readonly paths: Set<string>
  /** What layers above removed, files and folders, with a slash at the end. */
  readonly gone: Set<string>
  readonly system: BaseSystemScan
  /** How much more may be kept. */
  roomBytes: number
}

/**
 * Keeps the wanted files of one layer, unless a layer above has them (or has removed them) already.
 *
 * @returns whether all of its bytes were read, and are what its digest says
 */
async function readLayer(layer: Layer, reading: Reading, signal: AbortSignal | undefined): Promise<boolean> {
  const { files, paths, gone, system } = reading
  const { descriptor } = layer
  let isProven = false
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    yield* verify(layer.open({ signal }), descriptor, `the layer ${descriptor.digest}`)
    isProven = true
  }
  const compression = COMPRESSIONS[layerCompression(descriptor.mediaType) ?? 'gzip']
  const removed: string[] = []
  const folders: string[] = []
  try {
    for await (const member of readTar(decompress(bytes(), compression, LAYER_LIMIT_BYTES))) {
      const path = member.name.replace(/^(?:\.?\/)+/, '').replace(/\/+$/, '')
      const whiteout = /^(.*\/)?\.wh\.([^/]+)$/.exec(path)
      if (whiteout?.[2] === '.wh..opq') folders.push(whiteout[1] ?? '')
      else if (whiteout !== null) {
        removed.push(`${whiteout[1] ?? ''}${whiteout[2]}`)
        folders.push(`${whiteout[1] ?? ''}${whiteout[2]}/`)
      }
      if ((EXECUTABLE.test(path) || MUSL.test(path)) && !isGone(path, gone)) paths.add(path)
      await system.visit(member)
      if (!isWanted(path) || member.type !== 'file' || files.has(path) || isGone(path, gone)) continue
      const limit = Math.min(FILE_LIMIT_BYTES, reading.roomBytes)
      const content = system.read(path) ?? (await collect(member.body, limit))
      reading.roomBytes -= content.length
      files.set(path, content)
    }
    system.endLayer()
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new BuildError('IMAGE_INVALID', `A layer of the base cannot be read: ${descriptor.digest}`, {
      cause: error,
    })
  }
  // What this layer removes is gone for the layers below it: an empty file stands for "none".
  for (const path of removed) if (isWanted(path) && !files.has(path)) files.set(path, Buffer.alloc(0))
  for (const folder of folders) gone.add(folder)
  return isProven
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

function readPackages(files: ReadonlyMap<string, Buffer>): InstalledPackage[] | undefined {
  const databases = [...files.keys()].filter((path) => path.startsWith('var/lib/dpkg/'))
  if (databases.length === 0) return undefined
  return databases.sort().flatMap((path) => parseStatus(text(files.get(path))))
}

function findLibc(
  packages: readonly InstalledPackage[] | undefined,
  paths: ReadonlySet<string>,
  release: ReadonlyMap<string, string>,
): LockedLibc | undefined {
  if ([...paths].some((path) => MUSL.test(path)) || release.get('ID') === 'alpine') {
    return { kind: 'musl', major: 1, minor: 2 }
  }
  const libc6 = packages?.find(({ stanza }) => stanza.get('package') === 'libc6')?.stanza.get('version')
  const match = /^(?:\d+:)?(\d+)\.(\d+)/.exec(libc6 ?? '')
  return match === null ? undefined : { kind: 'glibc', major: Number(match[1]), minor: Number(match[2]) }
}

function findPythons(
  files: ReadonlyMap<string, Buffer>,
  paths: ReadonlySet<string>,
  packages: readonly InstalledPackage[] | undefined,
  environment: readonly string[],
): FoundPython[] {
  const stated = environment.find((line) => line.startsWith('PYTHON_VERSION='))?.slice('PYTHON_VERSION='.length)
  const found: FoundPython[] = []
  for (const path of paths) {
    const minor = /python(3\.\d+)$/.exec(path)?.[1]
    if (minor === undefined) continue
    const header = files.get(path.replace(/bin\/python3\.\d+$/, `include/python${minor}/patchlevel.h`))
    const fromHeader = /#define PY_VERSION\s+"(\d+\.\d+\.\d+)/.exec(text(header))?.[1]
    const fromDpkg = packages?.find(({ stanza }) => stanza.get('package') === `python${minor}-minimal`)
    const candidates = [fromHeader, stated, /^\d+\.\d+\.\d+/.exec(fromDpkg?.stanza.get('version') ?? '')?.[0]]
    const version = candidates.find((candidate) => candidate?.startsWith(`${minor}.`) === true)
    if (version !== undefined) found.push({ version, executable: `/${path}` })
  }
  return found.sort((a, b) => Number(b.version.split('.')[1]) - Number(a.version.split('.')[1]))
}

/** @see os-release(5) */
function parseOsRelease(content: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of content.split('\n')) {
    const match = /^([A-Z_]+)=(["']?)(.*)\2$/.exec(line.trim())
    if (match !== null) fields.set(match[1] ?? '', match[3] ?? '')
  }
  return fields
}

function text(bytes: Buffer | undefined): string {
  return bytes?.toString('utf8') ?? ''
}
