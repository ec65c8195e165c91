import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { packageRoot } from '../../src/core/package-root.ts'

/**
 * Puts a TypeScript module and all it needs into one file that bare Node runs, for tests that need a process of their
 * own (to kill it, to measure it).
 *
 * @returns the file, in a new folder that the caller removes
 */
export async function bundle(entry: string): Promise<{ readonly folder: string; readonly file: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'layerwright-bundle-'))
  const file = join(folder, 'bundle.mjs')
  const build = await rolldown({
    input: entry,
    platform: 'node',
    resolve: { alias: { 'oci-spec-types': join(packageRoot(), 'packages/oci-spec-types/src/index.ts') } },
    logLevel: 'silent',
  })
  await build.write({ file, format: 'esm', codeSplitting: false })
  await build.close()
  return { folder, file }
}
