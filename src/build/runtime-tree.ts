import { join } from 'node:path'
import type { TreeLayerSpec } from '../../layers/kinds/tree.ts'
import { readProject } from '../../layers/project.ts'
import type { Cache } from '../core/cache.ts'
import { packageRoot } from '../core/package-root.ts'
import { LAYOUT } from '../plan/runtime-config.ts'

/** What of `python/` is for people and tests, not for the image. */
const EXCLUDE = [
  'tests',
  'build-wheel.py',
  '**/__pycache__',
  '**/*.pyc',
  '**/*.md',
  '*.in',
  '*.json',
  '*.toml',
  '*.cfg',
  '.*',
  '**/.pytest_cache',
]

let known: Promise<TreeLayerSpec> | undefined

/**
 * The launcher, the model process and the `cog` module as a layer. Read once: a program does not change while it runs.
 *
 * @param hashes remembers the hashes of files that were not touched
 */
export function runtimeTree(hashes?: Cache): Promise<TreeLayerSpec> {
  known ??= readRuntimeTree(hashes)
  return known
}

async function readRuntimeTree(hashes: Cache | undefined): Promise<TreeLayerSpec> {
  const { code } = await readProject(join(packageRoot(), 'python'), { exclude: EXCLUDE, hashes })
  // Modes are those of a checkout, which a umask may have changed; the image's are always the same.
  const files = code.map((file) => ('sha256' in file ? { ...file, mode: 0o644 } : file))
  return { kind: 'tree', label: 'launcher', parts: [{ root: 'python', target: LAYOUT.runtimeLibrary, files }] }
}
