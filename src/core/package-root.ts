import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The folder that holds this package's `package.json`, `python/` and `LICENSE`.
 *
 * The same for the sources (tests) and for `dist/` (installed), which lie at different depths.
 */
export function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new RangeError('package.json of layerwright not found above its own code')
    folder = parent
  }
  return folder
}
