import { readdir, readFile, rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { writeFileAtomically } from '../core/atomic-file.ts'
import { systemErrorCode } from '../core/errors.ts'
import { removeLeft } from '../core/temporary-name.ts'
import { isAlive } from '../core/process.ts'

/** A lease of another machine, on a shared disk, is believed for this long: whether its process lives cannot be seen. */
const FOREIGN_MS = 24 * 60 * 60 * 1000

/** A lease from further ahead was taken before the clock was set back: what its build used cannot be told by times. */
const AHEAD_MS = 1000

/**
 * Says that a build is using the store: until the lease is given back, or its process is gone, prune takes nothing away
 * that was used since. What earlier builds left half-written when they were killed is taken away on the way.
 *
 * @returns gives the lease back
 */
export async function holdStore(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'leases', `${process.pid}-${randomBytes(6).toString('hex')}`)
  // The rename gives the file its time, and there is no moment at which another process could read half of it.
  await writeFileAtomically(path, `${hostname()}\n`, { durable: false, temporaryFolder: join(folder, 'tmp') })
  await removeLeft(join(folder, 'tmp'), '*')
  return () => rm(path, { force: true })
}

/**
 * When the oldest build that still runs began, in milliseconds since the epoch; undefined when none does.
 *
 * Leases of processes that were killed are removed on the way.
 */
export async function oldestLease(folder: string, nowMs: number): Promise<number | undefined> {
  const leases = join(folder, 'leases')
  const starts: number[] = []
  for (const name of await list(leases)) {
    const path = join(leases, name)
    const lease = await readLease(path)
    if (lease === undefined) continue
    const isHere = lease.host === hostname()
    if (isHere ? isAlive(Number(name.split('-')[0])) : lease.startedMs > nowMs - FOREIGN_MS)
      starts.push(lease.startedMs > nowMs + AHEAD_MS ? 0 : lease.startedMs)
    else await rm(path, { force: true })
  }
  return starts.length === 0 ? undefined : Math.min(...starts)
}

async function readLease(path: string): Promise<{ readonly host: string; readonly startedMs: number } | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    return { host: text.trim(), startedMs: mtimeMs }
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function list(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return []
    throw error
  }
}
