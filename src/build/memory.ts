import { readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { digestAlgorithm, digestHex, type Descriptor, type Digest } from 'oci-spec-types'
import { digestOf } from '../core/digest.ts'
import { areUnchanged, type FileDigests } from '../core/file-digests.ts'
import { canonicalJson } from '../core/json.ts'
import { programBuild } from '../core/version.ts'
import { isStillValid } from '../core/freshness.ts'
import type { Store } from '../store/store.ts'
import { stateDigest, stateLooker, type LookAtState } from './project-state.ts'

/**
 * What a build remembers of itself, so that the same build again does nothing but look whether all is as it was.
 *
 * Losing it costs the time of an ordinary build; it is never believed without a look at every input and destination.
 */
export interface BuildMemory {
  /** Milliseconds since the epoch; later the world must be asked again. Null for never. */
  readonly validUntil: number | null
  /** Everything that was read besides the project's own files; the configuration first. */
  readonly files: FileDigests
  /** Of the project's files, this program's runtime and the commit. */
  readonly project: Digest
  /** Of the manifest or index. */
  readonly root: Pick<Descriptor, 'mediaType' | 'digest' | 'size'>
  /** Everything below the root, manifests included. */
  readonly blobs: readonly Pick<Descriptor, 'digest' | 'size'>[]
  readonly places: readonly RememberedPlace[]
  readonly platforms: readonly { readonly platform: string; readonly digest: Digest }[]
}

/** A destination that can be looked at without opening it for writing. */
export type RememberedPlace =
  | { readonly kind: 'oci'; readonly name: string; readonly path: string; readonly tag: string | null }
  | { readonly kind: 'registry'; readonly name: string; readonly reference: string }

/** What makes a build the same build: the project, the options and the settings around it. */
export interface BuildIdentity {
  readonly project: string
  /** Options that change the result or its destinations. */
  readonly options: unknown
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Asks a registry for the digest that a tag has now. */
export type HeadTag = (reference: string) => Promise<Digest | undefined>

/** Variables that change what is built, or which files say so. */
const SETTINGS = /^(?:PIP_|UV_|SOURCE_DATE_EPOCH$|LAYERWRIGHT_|HF_ENDPOINT$|HOME$|XDG_CONFIG_HOME$)/

/** The key under which a build is remembered. */
export function memoryKey({ project, options, env }: BuildIdentity): string {
  const settings = Object.fromEntries(Object.entries(env).filter(([name]) => SETTINGS.test(name)))
  return digestOf(canonicalJson({ project, options, settings, build: programBuild() }))
}

/**
 * Gives the memory of a build when everything is still as it was: inputs, answers' age, and every destination.
 *
 * @returns undefined when anything differs, however little
 */
export async function recallBuild(
  identity: BuildIdentity,
  store: Store,
  now: number,
  headTag: HeadTag,
  look: LookAtState = stateLooker(store, identity.env),
): Promise<BuildMemory | undefined> {
  const memory = parseMemory(await store.cache('builds').get(memoryKey(identity)))
  if (memory === undefined || !isStillValid(memory.validUntil, now)) return undefined
  if (!areUnchanged(memory.files)) return undefined
  const folder = projectFolderOf(memory)
  if (folder === undefined) return undefined
  if (stateDigest(folder, await look(folder)) !== memory.project) return undefined
  for (const place of memory.places) if (!(await isAt(place, memory, headTag))) return undefined
  return memory
}

/** Keeps the memory of a build that is done. */
export async function rememberBuild(identity: BuildIdentity, store: Store, memory: BuildMemory): Promise<void> {
  await store.cache('builds').set(memoryKey(identity), Buffer.from(JSON.stringify(memory)))
}

/** The first remembered file is the configuration; its folder is the project's. */
function projectFolderOf({ files }: BuildMemory): string | undefined {
  const [file] = Object.keys(files)
  return file === undefined ? undefined : resolve(file, '..')
}

async function isAt(place: RememberedPlace, { root, blobs }: BuildMemory, headTag: HeadTag): Promise<boolean> {
  if (place.kind === 'registry') return (await headTag(place.reference)) === root.digest
  if ((await readRoot(place.path, place.tag)) !== root.digest) return false
  const sizes = await Promise.all([root, ...blobs].map(({ digest }) => sizeOf(place.path, digest)))
  return [root, ...blobs].every(({ size }, index) => sizes[index] === size)
}

/** The digest that a layout has under a tag. Read with no schema: anything odd means "look properly". */
async function readRoot(folder: string, tag: string | null): Promise<string | undefined> {
  try {
    const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as {
      readonly manifests: readonly Descriptor[]
    }
    return index.manifests.find(
      ({ annotations }) => (annotations?.['org.opencontainers.image.ref.name'] ?? null) === tag,
    )?.digest
  } catch {
    // Absent or damaged: built, which says what is wrong with it.
    return undefined
  }
}

async function sizeOf(folder: string, digest: Digest): Promise<number | undefined> {
  try {
    return (await stat(join(folder, 'blobs', digestAlgorithm(digest), digestHex(digest)))).size
  } catch {
    // Absent, or not to be read: written, which says what is wrong with it.
    return undefined
  }
}

/** Our own cache entry; anything odd about it means that there is none. */
function parseMemory(bytes: Buffer | undefined): BuildMemory | undefined {
  if (bytes === undefined) return undefined
  try {
    const memory = JSON.parse(bytes.toString('utf8')) as Partial<BuildMemory>
    const isWhole = memory.files !== undefined && memory.root !== undefined && memory.places !== undefined
    return isWhole ? (memory as BuildMemory) : undefined
  } catch {
    // Our own entry, damaged: built anew.
    return undefined
  }
}
