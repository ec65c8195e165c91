import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

/** Where every distribution mounts them. */
export const CGROUPS = '/sys/fs/cgroup'

/** Tells whether the kernel has cgroups and nobody has mounted them: the folder is there and empty, as in many containers. */
export function cgroupsAreMissing(): boolean {
  return existsSync(CGROUPS) && readdirSync(CGROUPS).length === 0
}

/**
 * Removes the cgroups of a container that was killed outright, which runc then leaves; an empty cgroup is a folder.
 *
 * @param workFolder of the container; runc's own notes below it tell which they are
 */
export function removeCgroups(workFolder: string): void {
  const states = join(workFolder, 'state')
  if (!existsSync(states)) return
  for (const name of readdirSync(states)) {
    for (const path of cgroupsOf(join(states, name, 'state.json'))) {
      // No other cgroup, whatever the notes say.
      if (!path.startsWith(`${CGROUPS}/`) || !path.endsWith(`/${name}`)) continue
      try {
        rmdirSync(path)
      } catch {
        // Gone already, not ours to remove, or a process in it is still ending.
      }
    }
  }
}

function cgroupsOf(file: string): readonly string[] {
  try {
    const { cgroup_paths: paths } = JSON.parse(readFileSync(file, 'utf8')) as { cgroup_paths?: Record<string, string> }
    return Object.values(paths ?? {})
  } catch {
    // crun keeps other notes and has no cgroups here; and a container may be killed before it has any.
    return []
  }
}
