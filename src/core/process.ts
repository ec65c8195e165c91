import { systemErrorCode } from './errors.ts'

/** Tells whether a process of this machine lives; nobody has the number of one that was killed. */
export function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it lives and is somebody else's.
    return systemErrorCode(error) === 'EPERM'
  }
}
