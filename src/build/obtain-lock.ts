import { readFile } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import type { Digest } from 'oci-spec-types'
import type { Config } from '../config/config.ts'
import { writeNamedFile } from '../core/named-file.ts'
import { BuildError, isBuildError, systemErrorCode } from '../core/errors.ts'
import { parseWeightUri } from '../config/weight-uri.ts'
import { digestOf } from '../core/digest.ts'
import { digestFiles } from '../core/file-digests.ts'
import { canonicalJson } from '../core/json.ts'
import { programBuild } from '../core/version.ts'
import { ANSWERS_FRESH_MS, isYoung } from '../core/freshness.ts'
import { LOCK_FILE, type Lock } from '../lock/lock.ts'
import { fromPortable, toPortable } from '../lock/portable.ts'
import { normalizeName } from '../python/package-name.ts'
import type { HeadersFor } from '../python/settings/credentials.ts'
import type { ResolvedIndexSettings } from '../python/settings/index-settings.ts'
import { aptKeyFiles } from '../resolve/apt-sources.ts'
import type { ResolveContext } from '../resolve/context.ts'
import { launcherLockFile } from '../resolve/launcher.ts'
import { prepareQuestion, resolve, type Preferences, type Question } from '../resolve/resolve.ts'
import { KeptLocks } from './kept-locks.ts'

export { LOCK_FILE } from '../lock/lock.ts'

/** How a lock is had. */
export interface LockOptions {
  /** `refresh` asks the world in any case; `locked` never does; `auto` asks when answers are old or absent. */
  readonly mode: 'auto' | 'refresh' | 'locked'
  /**
   * Which Python packages of the lock file are chosen anew when the world is asked; the others keep their version as
   * long as it fits. All unless given.
   */
  readonly upgrade?: readonly string[] | undefined
}

/** A lock, and until when it can be relied on (milliseconds since the epoch; forever for a lock file). */
export interface ObtainedLock {
  readonly lock: Lock
  /** Whether it is the project's lock file. */
  readonly isFile: boolean
  readonly validUntil: number
  /** Absolute paths of the files that decided it, there or not. */
  readonly files: readonly string[]
  /** Whether these files and the variables that are settings say all that it depends on. */
  readonly isMemorable: boolean
  /** Credentials for what the lock names. */
  readonly headers: HeadersFor
  /** Which indexes are asked. */
  readonly settings: ResolvedIndexSettings
}

/**
 * The lock of a project: its lock file when that fits the project, else answers of the last ten minutes, else new ones.
 *
 * @throws BuildError LOCK_STALE with `locked` when there is no lock file that fits
 */
export async function obtainLock(config: Config, context: ResolveContext, options: LockOptions): Promise<ObtainedLock> {
  const question = await prepareQuestion(config, context)
  const { inputs, headers, settings } = question
  const local = question.requirements.files.filter((path) => isAbsolute(path))
  const keys = aptKeyFiles(config.build.aptSources, context.projectFolder)
  const launcher = config.runtime === 'coglet' ? [] : [launcherLockFile(context)]
  const files = [join(context.projectFolder, LOCK_FILE), ...local, ...keys, ...settings.files, ...launcher]
  const known = { files, headers, settings, isMemorable: isToldByFiles(question) }
  const file = await readLockFile(context.projectFolder).catch((error: unknown) => {
    // A damaged file is what asking anew replaces, but its versions are lost: merging leaves such files.
    if (options.mode !== 'refresh' || !isBuildError(error)) throw error
    const text = `${LOCK_FILE} cannot be read, so that no version is kept: ${error.message}`
    context.report({ type: 'note', level: 'warning', text, code: error.code })
    return undefined
  })
  // Whether weights on this machine are as they were is seen by looking at all of them, which is what planning does.
  const hasLocalWeights = config.weights.some(({ sources }) =>
    sources.some(({ uri }) => parseWeightUri(uri).kind === 'local'),
  )
  const validUntil = (time: number): number => (hasLocalWeights ? 0 : time)
  if (file !== undefined && options.mode !== 'refresh') {
    if (file.inputs === inputs) return { lock: file, isFile: true, validUntil: validUntil(Infinity), ...known }
    const text = `${LOCK_FILE} was made for another configuration`
    if (options.mode === 'locked') throw new BuildError('LOCK_STALE', text, { hint: 'Run `layerwright lock`.' })
    context.report({ type: 'note', level: 'warning', text: `${text}; it is not used`, code: 'LOCK_STALE' })
  }
  if (options.mode === 'locked' && file === undefined) {
    throw new BuildError('LOCK_STALE', `There is no ${LOCK_FILE} in \`${context.projectFolder}\``, {
      hint: 'Run `layerwright lock` and commit the file.',
    })
  }
  const cache = context.cache('locks')
  const locks = new KeptLocks(cache)
  const key = digestOf(canonicalJson({ inputs, build: programBuild(), launcher: digestFiles(launcher) }))
  const entry = options.mode === 'refresh' ? undefined : parseEntry(await cache.get(key))
  if (entry !== undefined && isYoung(entry.madeAt, ANSWERS_FRESH_MS, context.now())) {
    const lock = await locks.find(entry.lock, context.projectFolder)
    if (lock !== undefined)
      return { lock, isFile: false, validUntil: validUntil(entry.madeAt + ANSWERS_FRESH_MS), ...known }
  }
  const lock = await resolve(question, context, preferencesOf(file, options.upgrade))
  const madeAt = context.now()
  const name = await locks.keep(lock, context.projectFolder)
  await cache.set(key, Buffer.from(JSON.stringify({ madeAt, lock: name })))
  return { lock, isFile: false, validUntil: validUntil(madeAt + ANSWERS_FRESH_MS), ...known }
}

/** Not when requirements lie on the web, come from folders, take variables in, or when hosts are to be trusted each time. */
function isToldByFiles({ requirements, settings }: Question): boolean {
  const { files, sources, usesVariables } = requirements
  return (
    sources.length === 0 &&
    usesVariables !== true &&
    settings.trustedHosts.length === 0 &&
    !settings.buildConstraints.some((path) => /^https?:/.test(path)) &&
    files.every((path) => isAbsolute(path))
  )
}

/** The versions of a lock file, but for packages that are to be upgraded. */
function preferencesOf(lock: Lock | undefined, upgrade: readonly string[] | undefined): Preferences {
  if (lock === undefined || upgrade === undefined) return () => undefined
  const names = new Set(upgrade.map(normalizeName))
  return ({ architecture }) => {
    const known = lock.platforms.find(({ platform }) => platform.architecture === architecture)
    return new Map(
      known?.wheels.flatMap(({ name, version }) => (names.has(name) ? [] : [[name, version] as const])) ?? [],
    )
  }
}

/** The lock file of a project; undefined when there is none. @throws BuildError LOCK_STALE, FILE_UNREADABLE */
export async function readLockFile(folder: string): Promise<Lock | undefined> {
  const path = join(folder, LOCK_FILE)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw new BuildError('FILE_UNREADABLE', `Cannot read the lock file: \`${path}\``, { cause: error })
  }
  const { parseLock } = await import('../lock/parse-lock.ts')
  return fromPortable(parseLock(text, path), folder)
}

/** Writes the lock file of a project, and gives its digest. */
export async function writeLockFile(folder: string, lock: Lock): Promise<Digest> {
  const text = `${JSON.stringify(toPortable(lock, folder), undefined, 2)}\n`
  await writeNamedFile(join(folder, LOCK_FILE), text)
  return digestOf(text)
}

/** Our own cache entry; anything odd about it means that the world is asked again. */
function parseEntry(bytes: Buffer | undefined): { readonly madeAt: number; readonly lock: unknown } | undefined {
  if (bytes === undefined) return undefined
  try {
    const { madeAt, lock } = JSON.parse(bytes.toString('utf8')) as {
      readonly madeAt?: unknown
      readonly lock?: unknown
    }
    return typeof madeAt === 'number' ? { madeAt, lock } : undefined
  } catch {
    // Our own entry, damaged: resolved anew.
    return undefined
  }
}
