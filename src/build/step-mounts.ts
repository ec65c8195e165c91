import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { CacheMount, StepMount } from '../config/config.ts'
import { temporaryName } from '../core/temporary-name.ts'
import type { PlannedStep } from '../plan/plan.ts'
import type { BindMount } from '../run/container.ts'
import { withStepCache } from '../store/step-caches.ts'
import { withSecrets, type BoundSecrets, type Secret } from './secrets.ts'
import { makeFolder } from '../core/make-folder.ts'

/** What the mounts of a step are made of. */
export interface MountContext {
  readonly store: { readonly folder: string }
  readonly secrets: ReadonlyMap<string, Secret>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Whether caches are those of earlier builds, and kept for later ones; else they are empty folders. */
  readonly keepsCaches: boolean
  /** `os/architecture` of the image. */
  readonly platform: string
  readonly signal?: AbortSignal | undefined
}

type FolderMount = Exclude<StepMount, { readonly type: 'secret' }>

/**
 * Lends a step its secrets, its caches, and empty folders that are removed with all that was put there.
 *
 * @throws BuildError as {@link withSecrets}
 */
export async function withMounts<T>(
  step: Pick<PlannedStep, 'command' | 'mounts'>,
  context: MountContext,
  work: (bound: BoundSecrets) => Promise<T>,
): Promise<T> {
  const folders = step.mounts.filter((mount) => mount.type !== 'secret')
  return withSecrets(step, context.secrets, context.env, ({ binds, mask }) =>
    withFolders(inOrder(folders), context, (lent) => {
      const bound = folders.map((mount) => bindOf(mount, lent.get(mount) ?? ''))
      return work({ binds: [...binds, ...bound], mask })
    }),
  )
}

/** What counts of mounts for what a command makes: where something lies, and nothing of what is in it. */
export function mountKeys(mounts: readonly StepMount[]): readonly StepMount[] {
  return mounts.map((mount) => (mount.type === 'secret' ? mount : { type: 'cache', target: mount.target }))
}

/** Locked ones by name, so that two steps never wait for each other. */
function inOrder(folders: readonly FolderMount[]): readonly FolderMount[] {
  const name = (mount: FolderMount): string => (mount.type === 'cache' ? cacheId(mount) : '')
  return folders.toSorted((a, b) => (name(a) < name(b) ? -1 : name(a) > name(b) ? 1 : 0))
}

function bindOf(mount: FolderMount, source: string): BindMount {
  const isReadOnly = mount.type === 'cache' && mount.isReadOnly === true
  return { source, destination: mount.target, options: [isReadOnly ? 'ro' : 'rw', 'nosuid', 'nodev'] }
}

type Lent = ReadonlyMap<FolderMount, string>

/** One inside the other: each is there, and held, for as long as the work runs. */
async function withFolders<T>(
  [first, ...others]: readonly FolderMount[],
  context: MountContext,
  work: (lent: Lent) => Promise<T>,
  lent: Lent = new Map(),
): Promise<T> {
  if (first === undefined) return work(lent)
  // The same cache at two places is one folder: to lock it twice would be to wait for oneself.
  const same = [...lent].find(([mount]) => isSame(mount, first))?.[1]
  const next = (folder: string): Promise<T> => withFolders(others, context, work, new Map([...lent, [first, folder]]))
  if (same !== undefined) return next(same)
  if (first.type === 'tmpfs' || !context.keepsCaches) return withEmptyFolder(context.store.folder, next)
  const { platform, signal, store } = context
  const { sharing = 'shared', mode = 0o755, uid = 0, gid = 0 } = first
  return withStepCache(store.folder, { id: cacheId(first), platform, sharing, mode, uid, gid }, next, signal)
}

function isSame(a: FolderMount, b: FolderMount): boolean {
  return a.type === 'cache' && b.type === 'cache' && cacheId(a) === cacheId(b)
}

/** A cache without an id is that of its place. */
function cacheId({ id, target }: CacheMount): string {
  return id ?? target
}

async function withEmptyFolder<T>(storeFolder: string, work: (folder: string) => Promise<T>): Promise<T> {
  const temporaryFolder = join(storeFolder, 'tmp')
  await makeFolder(temporaryFolder)
  const folder = await mkdtemp(join(temporaryFolder, `${temporaryName('.cache')}-`))
  try {
    const inner = join(folder, '0')
    await mkdir(inner, { mode: 0o755 })
    return await work(inner)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
