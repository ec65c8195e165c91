import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { systemErrorCode } from './errors.ts'
import { isAlive } from './process.ts'

/** Tells this thread's names from other threads'. */
const THREAD = randomBytes(6).toString('hex')
let named = 0
let mark: string | undefined

/**
 * A name for something that is there until this process has finished it. It says who makes it, so that what a process left
 * that was killed is known from what is being written: see {@link isLeft}.
 *
 * @param kind  letters and dots
 * @example temporaryName('.tmp') // '.tmp-4711-9f86d081-1c8bfe8f2ad1-0'
 */
export function temporaryName(kind: string): string {
  return `${kind}-${process.pid}-${machineMark()}-${THREAD}-${named++}`
}

/** Whether a name was made by {@link temporaryName}, on this machine, by a process that is gone. */
export function isLeft(name: string): boolean {
  const [, pid, machine] = /^[.a-z]+-(\d+)-([0-9a-f]{8})-[0-9a-f]{12}-/.exec(name) ?? []
  return pid !== undefined && machine === machineMark() && !isAlive(Number(pid))
}

/**
 * Removes what writers that were killed left in a folder where others' files lie, too.
 *
 * @param kind  what they were named for; `*` for all kinds
 * @param abandonedMs  age at which files are taken whose writer cannot be looked for, as on another machine
 */
export async function removeLeft(folder: string, kind: string, abandonedMs = Number.POSITIVE_INFINITY): Promise<void> {
  for (const name of (await readdir(folder).catch(othersOnly)) ?? []) {
    if (kind !== '*' && !name.startsWith(`${kind}-`)) continue
    const path = join(folder, name)
    if (isLeft(name) || ageMs(path) > abandonedMs) await rm(path, { recursive: true, force: true }).catch(othersOnly)
  }
}

/** What somebody else left stays; that there is such a thing is no reason to fail. */
function othersOnly(error: unknown): undefined {
  const code = systemErrorCode(error)
  if (code !== 'EACCES' && code !== 'EPERM') throw error
  return undefined
}

/** One that is gone has been finished by its owner. */
function ageMs(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? 0 : Date.now() - found.mtimeMs
}

/** Process ids mean something within one namespace of one running kernel: containers and machines may share a disk. */
function machineMark(): string {
  mark ??= createHash('sha256').update(kernelIdentity()).digest('hex').slice(0, 8)
  return mark
}

function kernelIdentity(): string {
  try {
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')} ${readlinkSync('/proc/self/ns/pid')}`
  } catch {
    // No Linux, or no /proc: the next best.
    return hostname()
  }
}
