import type { PythonLock } from '../lock.ts'

/** Writes a lock as a requirements file with hashes, which pip and uv install as it stands. */
export function formatRequirementsText(lock: PythonLock): string {
  return lock.packages
    .map((wheel) => {
      const extras = wheel.extras === undefined ? '' : `[${wheel.extras.join(',')}]`
      const what = wheel.index === undefined ? ` @ ${wheel.url}` : `==${wheel.version}`
      return `${wheel.name}${extras}${what} \\\n    --hash=sha256:${wheel.sha256}\n`
    })
    .join('')
}
