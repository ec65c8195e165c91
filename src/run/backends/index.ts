import type { Backend, BackendName } from '../container.ts'
import { bubblewrap } from './bubblewrap.ts'
import { chroot } from './chroot.ts'
import { crun } from './crun.ts'
import { docker } from './docker.ts'
import { nerdctl } from './nerdctl.ts'
import { podman } from './podman.ts'
import { runc } from './runc.ts'

/** All backends, by name. */
export const BACKENDS: Readonly<Record<BackendName, Backend>> = {
  podman,
  docker,
  nerdctl,
  crun,
  runc,
  bubblewrap,
  chroot,
}
