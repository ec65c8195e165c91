import { chmod, chown, mkdir, readdir, rename, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { digestHex } from 'oci-spec-types'
import { writeFileAtomically } from '../core/atomic-file.ts'
import { digestOf } from '../core/digest.ts'
import { systemErrorCode } from '../core/errors.ts'
import { canonicalJson } from '../core/json.ts'
import { makeFolder } from '../core/make-folder.ts'
import { temporaryName } from '../core/temporary-name.ts'
import { entriesOf, measure, statFile, type StoredFile } from './contents.ts'
import { inFreePlace, oneAtATime, placeName } from './single-flight.ts'

/** A cache of `run` steps, and how a new one is made. */
export interface StepCache {
  readonly id: string
  /** What is compiled for one platform is of no use on another. */
  readonly platform: string
  readonly sharing: 'shared' | 'private' | 'locked'
  /** Octal mode. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
}

/** As many prunes would have to meet one step, each in the moment between two of its calls. */
const PREPARE_TRIES = 10

/** In a cache's folder, beside the folders that steps see: what it is, and by its time when it was last used. */
const ABOUT = 'about.json'

/**
 * Lends a cache that is kept from build to build. Its content is whatever commands have left there, also those that failed or
 * were killed.
 *
 * @param work  gets a folder that others may use at the same time, unless the cache is private or locked
 */
export async function withStepCache<T>(
  storeFolder: string,
  cache: StepCache,
  work: (folder: string) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { id, platform } = cache
  const name = digestHex(digestOf(canonicalJson({ id, platform }))).slice(0, 32)
  const home = join(ownFolder(storeFolder), name)
  const inPlace = async (place: number): Promise<T> => work(await prepare(storeFolder, home, String(place), cache))
  const lock = `step cache ${home}`
  switch (cache.sharing) {
    case 'shared':
      return inPlace(0)
    case 'locked':
      return oneAtATime(storeFolder, placeName(lock, 0), () => inPlace(0), { signal })
    case 'private':
      return inFreePlace(storeFolder, lock, inPlace)
  }
}

/** All caches of this user, each as one file: its size is that of all in it. Others' could not be removed. */
export async function listStepCaches(storeFolder: string): Promise<StoredFile[]> {
  const folder = ownFolder(storeFolder)
  const found = await Promise.all(
    (await entriesOf(folder)).sort().map(async (name) => {
      const path = join(folder, name)
      const [size, about] = await Promise.all([measure(path), statFile(join(path, ABOUT))])
      return size === undefined ? undefined : { ...size, usedMs: about?.usedMs ?? size.usedMs }
    }),
  )
  return found.filter((cache) => cache !== undefined)
}

/** Takes a cache away unless it was used since it was looked at. @returns whether it is gone */
export async function removeStepCache(storeFolder: string, cache: StoredFile): Promise<boolean> {
  const { path } = cache
  // Away at once under its name, so that no step finds half of it.
  const aside = join(storeFolder, 'tmp', temporaryName('.prune'))
  try {
    await rename(path, aside)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false
    throw error
  }
  const about = await statFile(join(aside, ABOUT))
  if (about !== undefined && about.usedMs > cache.usedMs) {
    await putBack(aside, path)
    return false
  }
  try {
    await removeFolder(aside)
  } catch (error) {
    const code = systemErrorCode(error)
    // A command that still writes there has put something into what was empty: the next prune takes what is left.
    if (code === 'ENOTEMPTY') return true
    // What a command made as another user of the sandbox can be another user's here, and stays.
    if (code !== 'EACCES' && code !== 'EPERM') throw error
    await putBack(aside, path)
    return false
  }
  return true
}

/** Unless a step has made the cache anew meanwhile: what lies aside is then left to the next prune. */
async function putBack(aside: string, path: string): Promise<void> {
  try {
    await rename(aside, path)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
  }
}

/** By user, as everything that is unpacked: what one has made another cannot remove. */
function ownFolder(storeFolder: string): string {
  return join(storeFolder, 'step-caches', String(process.getuid?.() ?? 0))
}

/** Prune may take the cache away while it is made: it is then made once more. */
async function prepare(...given: Parameters<typeof make>): Promise<string> {
  for (let tries = 1; ; tries++) {
    try {
      return await make(...given)
    } catch (error) {
      const code = systemErrorCode(error)
      // It was there a moment ago, or is there again.
      if ((code !== 'ENOENT' && code !== 'EEXIST') || tries === PREPARE_TRIES) throw error
    }
  }
}

async function make(storeFolder: string, home: string, place: string, cache: StepCache): Promise<string> {
  await makeFolder(home)
  // Written before anything is used: prune takes away nothing that was used since the oldest running build began.
  const about = join(home, ABOUT)
  const text = `${canonicalJson({ id: cache.id, platform: cache.platform })}\n`
  await writeFileAtomically(about, text, { durable: false, temporaryFolder: join(storeFolder, 'tmp') })
  const now = new Date()
  await utimes(about, now, now)
  const folder = join(home, place)
  try {
    await mkdir(folder, { mode: 0o755 })
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') return folder
    throw error
  }
  await chmod(folder, cache.mode)
  if (cache.uid !== 0 || cache.gid !== 0) await giveTo(folder, cache)
  return folder
}

/** Without root the users of a sandbox are numbers that only the kernel maps: all of them may write then. */
async function giveTo(folder: string, { uid, gid, mode }: StepCache): Promise<void> {
  try {
    await chown(folder, uid, gid)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code !== 'EPERM' && code !== 'EINVAL') throw error
    await chmod(folder, mode | 0o777)
  }
}

/** Tools keep what they unpacked in folders that nobody may write to, which only root removes as they are. */
async function removeFolder(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true })
  } catch (error) {
    if (systemErrorCode(error) !== 'EACCES') throw error
    await openFolders(path)
    await rm(path, { recursive: true, force: true })
  }
}

async function openFolders(path: string): Promise<void> {
  await chmod(path, 0o700)
  for (const entry of await readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await openFolders(join(path, entry.name))
}
