/** A way in which a machine may show cgroups. */
export interface CgroupView {
  readonly view: string
  /** Runs a command, given after it, with that view: in a mount namespace of its own, which takes root. */
  readonly enter: readonly string[]
}

/**
 * What today's distributions mount, and what many containers have. The hierarchies behind are the machine's: a controller that
 * version 1 holds there is missing in version 2.
 */
export const CGROUP_VIEWS: readonly CgroupView[] = [
  { view: 'version 2 alone', enter: entering('mount -t cgroup2 none /sys/fs/cgroup') },
  { view: 'no cgroups', enter: entering(':') },
]

function entering(mount: string): string[] {
  const script = `umount -R /sys/fs/cgroup && ${mount} && exec "$@"`
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh']
}
