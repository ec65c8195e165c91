import { ociRuntime } from './oci-runtime.ts'

/**
 * crun without cgroups: no limits are set. It refuses a host that has both versions mounted, so the second is hidden
 * from it, in its own mount namespace.
 */
export const crun = ociRuntime('crun', {
  globalOptions: ['--cgroup-manager=disabled'],
  deviceCgroup: () => false,
  prepare: 'if [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs none /sys/fs/cgroup/unified; fi',
})
