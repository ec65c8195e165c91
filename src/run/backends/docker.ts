import type { Container } from '../container.ts'
import { BuildError } from '../../core/errors.ts'
import { engine } from './engine.ts'

/** docker, through its command line; needs a daemon that answers. */
export const docker = engine('docker', { globalOptions: () => [], runOptions: dockerOptions })

/** Groups as options; docker has no way to take hooks. */
export function dockerOptions(container: Container): string[] {
  if (Object.keys(container.hooks).length > 0) {
    throw new BuildError('NOT_SUPPORTED', 'The devices come with hooks, which docker does not take from outside', {
      hint: 'Choose podman, crun, runc or bubblewrap with --runtime.',
    })
  }
  return container.additionalGids.flatMap((gid) => ['--group-add', String(gid)])
}
