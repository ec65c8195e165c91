import { stat } from 'node:fs/promises'
import { fileNameOf } from '../core/percent.ts'
import { filePathOf } from '../core/file-url.ts'
import { BuildError } from '../core/errors.ts'
import { openPath } from '../core/file-access.ts'
import { maskUrl } from '../core/http.ts'
import type { RemoteFile } from '../core/remote-file.ts'
import type { ListedFile } from './index/client.ts'
import { indexError } from './index/index-error.ts'
import type { RemoteAccess } from './index/remote-wheel.ts'
import { parseMetadata } from './metadata.ts'
import type { ResolutionInput, RootRequirement } from './resolution-input.ts'
import type { DirectWheel } from './resolution-source.ts'
import type { SourceReader } from './source-package.ts'
import { proveFile, statedHashes } from './stated-hashes.ts'
import { formatVersion } from './version.ts'
import { parseWheelName } from './wheel-name.ts'

/**
 * The wheels that requirements and constraints name by URL, and the sources.
 *
 * @param sources describes source archives, folders and repositories
 * @throws BuildError NOT_SUPPORTED for these without it
 * @throws BuildError REQUIREMENT_INVALID when the wheel is of another package
 */
export async function directWheels(
  input: ResolutionInput,
  access: RemoteAccess,
  sources?: SourceReader,
): Promise<readonly DirectWheel[]> {
  const stated = [
    ...input.requirements,
    ...(input.constraints ?? []),
    ...(input.overrides ?? []).map((requirement) => ({ requirement })),
  ]
  const wheels = new Map<string, DirectWheel>()
  for (const root of stated) {
    const wheel = toDirectWheel(root) ?? (await toDirectSource(root, sources))
    const known = wheel === undefined ? undefined : wheels.get(wheel.name)
    if (wheel === undefined) continue
    if (known !== undefined && known.file.url !== wheel.file.url) {
      throw new BuildError(
        'RESOLVE_CONFLICT',
        `\`${wheel.name}\` is required from two addresses: ${maskUrl(known.file.url)} and ${maskUrl(wheel.file.url)}`,
      )
    }
    wheels.set(wheel.name, wheel)
  }
  return Promise.all(
    [...wheels.values()].map(async (wheel) =>
      wheel.described === undefined
        ? { ...wheel, file: { ...wheel.file, ...(await hashOnce(wheel.file, access)) } }
        : wheel,
    ),
  )
}

/** Undefined for what is no wheel. */
function toDirectWheel(root: RootRequirement): DirectWheel | undefined {
  const { requirement, origin } = root
  if (requirement.url === undefined || !/^(?:https?|file):/i.test(requirement.url)) return undefined
  const where = origin === undefined ? '' : `${origin}: `
  const url = new URL(requirement.url)
  url.hash = ''
  const filename = fileNameOf(url)
  if (!filename.endsWith('.whl')) return undefined
  const wheel = parseWheelName(filename)
  if (wheel.name !== requirement.name) {
    throw new BuildError(
      'REQUIREMENT_INVALID',
      `${where}The wheel for \`${requirement.name}\` is of another package: ${filename}`,
    )
  }
  const hashes = new Set(statedHashes(root))
  const [hash = ''] = hashes
  // Of several hashes only the file tells which is its own.
  const known = hashes.size === 1 && hash.startsWith('sha256:') ? { sha256: hash.slice(7) } : {}
  return { name: wheel.name, file: { filename, url: url.href, index: '', hashes: known } }
}

async function toDirectSource(
  { requirement, origin }: RootRequirement,
  sources: SourceReader | undefined,
): Promise<DirectWheel | undefined> {
  if (requirement.url === undefined) return undefined
  const where = origin === undefined ? '' : `${origin}: `
  if (sources === undefined) throw unbuildable(requirement.url, where)
  const described = await sources.named(requirement.url, origin)
  const metadata = parseMetadata(described.metadata, maskUrl(requirement.url))
  if (metadata.name !== requirement.name) {
    throw new BuildError(
      'REQUIREMENT_INVALID',
      `${where}The source for \`${requirement.name}\` is of another package, \`${metadata.name}\`: ${maskUrl(requirement.url)}`,
    )
  }
  const { url, sha256, sizeBytes } = described.file
  // Whatever the archive is called: name and version are what its metadata says.
  const filename = `${metadata.name}-${formatVersion(metadata.version)}.tar.gz`
  return { name: metadata.name, file: { filename, url, index: '', hashes: { sha256 }, sizeBytes }, described }
}

function unbuildable(url: string, where: string): BuildError {
  return new BuildError(
    'NOT_SUPPORTED',
    `${where}This would have to be built first, and only wheels are resolved: ${maskUrl(url)}`,
    {
      hint: 'Build a wheel (`pip wheel --no-deps <source>`) and name its file or URL instead.',
      data: { url: maskUrl(url) },
    },
  )
}

async function hashOnce(file: ListedFile, access: RemoteAccess): Promise<Pick<ListedFile, 'hashes' | 'sizeBytes'>> {
  const { sha256, sizeBytes } = await completeFile(file, access)
  return { hashes: { ...file.hashes, sha256 }, sizeBytes }
}

/**
 * URL, hash and size of a file, asking for what the index did not say: a HEAD for a size, the whole file for a hash.
 *
 * @param unproven  hashes of which the file must have one, where the index's own do not tell
 * @throws BuildError INDEX_FAILED, FILE_UNREADABLE, DIGEST_MISMATCH
 */
export async function completeFile(
  file: ListedFile,
  access: RemoteAccess,
  unproven: ReadonlySet<string> = NONE,
): Promise<RemoteFile> {
  const { url } = file
  const sha256 = unproven.size > 0 ? undefined : file.hashes['sha256']
  if (sha256 !== undefined && file.sizeBytes !== undefined) return { url, sha256, sizeBytes: file.sizeBytes }
  if (url.startsWith('file:')) return readLocal(file, sha256, unproven)
  const response = await access.http({
    method: sha256 === undefined ? 'GET' : 'HEAD',
    url,
    headers: await access.headers(url),
    decode: false,
    signal: access.signal,
  })
  if (response.status !== 200) {
    await response.discard()
    throw indexError(response.status, url)
  }
  const length = Number(response.header('content-length') ?? Number.NaN)
  if (sha256 !== undefined && Number.isSafeInteger(length)) {
    await response.discard()
    return { url, sha256, sizeBytes: length }
  }
  if (sha256 !== undefined) {
    // A HEAD without a length: only the file itself tells.
    await response.discard()
    return completeFile({ ...file, hashes: {} }, access)
  }
  return { url, ...(await proveFile(file, response.body, unproven)) }
}

const NONE: ReadonlySet<string> = new Set()

async function readLocal(
  file: ListedFile,
  sha256: string | undefined,
  unproven: ReadonlySet<string>,
): Promise<RemoteFile> {
  const { url } = file
  const path = filePathOf(url)
  try {
    if (sha256 !== undefined) return { url, sha256, sizeBytes: (await stat(path)).size }
    return { url, ...(await proveFile(file, openPath(path)(), unproven)) }
  } catch (cause) {
    if (cause instanceof BuildError) throw cause
    throw new BuildError('FILE_UNREADABLE', `The wheel cannot be read: \`${path}\``, { cause })
  }
}
