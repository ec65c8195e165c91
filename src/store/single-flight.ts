import { link, readFile, rm, unlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { digestHex } from 'oci-spec-types'
import { digestOf } from '../core/digest.ts'
import { systemErrorCode } from '../core/errors.ts'
import { makeFolder } from '../core/make-folder.ts'
import { isAlive } from '../core/process.ts'
import { temporaryName } from '../core/temporary-name.ts'

/** How waiting is done; see {@link oneAtATime}. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined
  readonly pollMs?: number | undefined
}

/** Locks that this very process holds: another process may have left one with the number that we have now. */
const held = new Set<string>()

/** The last of this process's own work by lock: a file tells processes apart, not what runs inside of one. */
const queues = new Map<string, Promise<unknown>>()

/**
 * Does work while no other process of this machine does the same with the same store, so that builds side by side fetch a
 * file once: whoever waited is told so, and looks again whether the work is still to be done.
 *
 * It saves work and guards nothing: a store on a shared disk is not locked between machines, and a lock that was left by a process
 * that was killed is taken over, by two at once at worst.
 */
export async function oneAtATime<T>(
  folder: string,
  name: string,
  work: (hasWaited: boolean) => Promise<T>,
  { signal, pollMs = 50 }: WaitOptions = {},
): Promise<T> {
  const path = lockPath(folder, name)
  const before = queues.get(path)
  const turn = (async () => {
    // Whatever became of it, it is over.
    await before?.catch(() => {})
    signal?.throwIfAborted()
    return locked(path, folder, (hasWaited) => work(hasWaited || before !== undefined), { signal, pollMs })
  })()
  queues.set(path, turn)
  try {
    return await turn
  } finally {
    if (queues.get(path) === turn) queues.delete(path)
  }
}

/**
 * Does work in the first place that nobody works in, counted from 0: its lock is that of {@link oneAtATime} for
 * {@link placeName}.
 */
export async function inFreePlace<T>(folder: string, name: string, work: (place: number) => Promise<T>): Promise<T> {
  return withDraft(folder, async (draft) => {
    for (let place = 0; ; place++) {
      const path = lockPath(folder, placeName(name, place))
      // The first try may find the lock of a process that is gone, and takes it away.
      if (queues.has(path) || !((await acquire(path, draft)) || (await acquire(path, draft)))) continue
      try {
        return await work(place)
      } finally {
        await unlock(path)
        held.delete(path)
      }
    }
  })
}

/** Names one of several places where the same may be done at once. */
export function placeName(name: string, place: number): string {
  return `${name} ${place}`
}

function lockPath(folder: string, name: string): string {
  return join(folder, 'locks', digestHex(digestOf(name)))
}

/** Does work under a lock file that other processes see. */
async function locked<T>(
  path: string,
  folder: string,
  work: (hasWaited: boolean) => Promise<T>,
  { signal, pollMs = 50 }: WaitOptions,
): Promise<T> {
  return withDraft(folder, async (draft) => {
    let hasWaited = false
    while (!(await acquire(path, draft))) {
      hasWaited = true
      await sleep(pollMs, undefined, { signal })
    }
    try {
      return await work(hasWaited)
    } finally {
      // The file first: while it is there it is ours.
      await unlock(path)
      held.delete(path)
    }
  })
}

async function unlock(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
}

/** What a process's locks of a store are links to while it has any: a file of its own for each would be a block on the disk. */
const drafts = new Map<string, { readonly path: Promise<string>; users: number }>()

async function withDraft<T>(folder: string, work: (draft: string) => Promise<T>): Promise<T> {
  const draft = drafts.get(folder) ?? { path: writeDraft(folder), users: 0 }
  drafts.set(folder, draft)
  draft.users++
  try {
    return await work(await draft.path)
  } finally {
    if (--draft.users === 0) {
      drafts.delete(folder)
      await draft.path.then((path) => rm(path, { force: true }))
    }
  }
}

/** Written before it is linked: a lock that is created and then written would be seen empty. */
async function writeDraft(folder: string): Promise<string> {
  for (const part of ['locks', 'tmp']) await makeFolder(join(folder, part))
  // Among the temporary files, so that prune finds one that a killed process left.
  const draft = join(folder, 'tmp', temporaryName('lock'))
  await writeFile(draft, `${process.pid} ${hostname()}\n`)
  return draft
}

async function acquire(path: string, draft: string): Promise<boolean> {
  try {
    await link(draft, path)
    held.add(path)
    return true
  } catch (error) {
    // Where there are no hard links there are no locks, and work may be done twice.
    if (systemErrorCode(error) !== 'EEXIST') return true
  }
  if (await isHeld(path)) return false
  await rm(path, { force: true })
  return false
}

async function isHeld(path: string): Promise<boolean> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false
    throw error
  }
  const [pid, host] = text.trim().split(' ')
  // Whether a process of another machine lives cannot be seen; nobody waits for it.
  if (host !== hostname()) return false
  return Number(pid) === process.pid ? held.has(path) : isAlive(Number(pid))
}
