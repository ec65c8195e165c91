import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryName } from '../core/temporary-name.ts'
import type { PlannedStep } from '../plan/plan.ts'
import type { BindMount } from '../run/container.ts'
import { withSecrets, type BoundSecrets, type Secret } from './secrets.ts'

/** What the mounts of a step are made of. */
export interface MountContext {
  readonly store: { readonly folder: string }
  readonly secrets: ReadonlyMap<string, Secret>
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * Lends a step its secrets, and an empty folder for each of its caches, which is removed with all that was put there.
 *
 * @throws BuildError as {@link withSecrets}
 */
export async function withMounts<T>(
  step: Pick<PlannedStep, 'command' | 'mounts'>,
  { store, secrets, env }: MountContext,
  work: (bound: BoundSecrets) => Promise<T>,
): Promise<T> {
  const caches = step.mounts.filter(({ type }) => type === 'cache')
  return withSecrets(step, secrets, env, async ({ binds, mask }) => {
    if (caches.length === 0) return work({ binds, mask })
    const temporaryFolder = join(store.folder, 'tmp')
    await mkdir(temporaryFolder, { recursive: true })
    const folder = await mkdtemp(join(temporaryFolder, `${temporaryName('.cache')}-`))
    try {
      const lent: BindMount[] = []
      for (const [index, { target }] of caches.entries()) {
        const source = join(folder, String(index))
        await mkdir(source, { mode: 0o755 })
        lent.push({ source, destination: target, options: ['rw', 'nosuid', 'nodev'] })
      }
      return await work({ binds: [...binds, ...lent], mask })
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
}
