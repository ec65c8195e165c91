import { open, rm, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { explainWriteError } from '../core/atomic-file.ts'
import { BuildError, systemErrorCode } from '../core/errors.ts'

/** Held for milliseconds, so one this old was left by a process that was killed. */
const STALE_MS = 10_000
const POLL_MS = 20
const PATIENCE_MS = 30_000

/**
 * Runs work while no other process does with the same lock file.
 *
 * @throws BuildError FILE_UNWRITABLE when the lock cannot be had within 30 s
 */
export async function withLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const startMs = performance.now()
  while (!(await acquire(path))) {
    if (performance.now() - startMs > PATIENCE_MS)
      throw new BuildError('FILE_UNWRITABLE', `Another process keeps the lock: \`${path}\``, {
        hint: 'If no other build is running, delete this file.',
      })
    await delay(POLL_MS)
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function acquire(path: string): Promise<boolean> {
  try {
    await (await open(path, 'wx')).close()
    return true
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw explainWriteError(error, path)
  }
  try {
    const { mtimeMs } = await stat(path)
    // One from the future was made while the clock was wrong.
    if (Math.abs(Date.now() - mtimeMs) > STALE_MS) await rm(path, { force: true })
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
  return false
}
