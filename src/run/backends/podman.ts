import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BuildError } from '../../core/errors.ts'
import { CGROUPS, cgroupsAreMissing } from '../cgroups.ts'
import type { Container } from '../container.ts'
import { run, type Host } from '../host.ts'
import { parseBounding } from '../runtime-spec.ts'
import { which } from '../which.ts'
import { engine, ulimitOptions } from './engine.ts'

/** podman, with the settings that a machine without systemd or with both cgroup versions needs. */
export const podman = engine('podman', {
  assertUsable: (host) => {
    // Elsewhere than here others may be mounted.
    if (!cgroupsAreMissing() || host.env['CONTAINER_HOST'] !== undefined) return
    throw new BuildError('HOST_UNSUPPORTED', `podman needs cgroups, and none are mounted at ${CGROUPS}`, {
      hint: 'Choose crun, runc, bubblewrap or chroot with --runtime, or mount them: `mount -t cgroup2 none /sys/fs/cgroup`.',
    })
  },
  globalOptions: (host) => [
    ...(existsSync('/run/systemd/system') ? [] : ['--cgroup-manager=cgroupfs']),
    ...(crunRefuses(host) ? ['--runtime', 'runc'] : []),
  ],
  // Its own 2048 would count every thread; none of the others has such a limit.
  runOptions: (container) => [
    '--pids-limit=-1',
    ...ulimitOptions(),
    ...hookOptions(container),
    ...groupOptions(container),
  ],
  drawback: async (host) => {
    const program = which('podman', host.env) ?? 'podman'
    const driver = await run([program, 'info', '--format', '{{.Store.GraphDriverName}}'], host.env)
    // Quadratic: a copy of everything below for each layer, and one for each container.
    return driver.stdout.trim() === 'vfs' ? 'its storage driver `vfs` copies the image once for every layer' : undefined
  },
})

/**
 * crun refuses a host where both cgroup versions are mounted; and where only the second is, it raises the limit of locked memory
 * to guard devices, which root of a container that lacks CAP_SYS_RESOURCE may not.
 */
function crunRefuses(host: Host): boolean {
  if (which('runc', host.env) === undefined) return false
  if (existsSync('/sys/fs/cgroup/unified/cgroup.procs')) return true
  return host.uid === 0 && existsSync('/sys/fs/cgroup/cgroup.procs') && !mayRaiseLimits()
}

const CAP_SYS_RESOURCE = 24n

function mayRaiseLimits(): boolean {
  return ((parseBounding(readFileSync('/proc/self/status', 'utf8')) >> CAP_SYS_RESOURCE) & 1n) === 1n
}

function groupOptions(container: Container): string[] {
  return container.additionalGids.flatMap((gid) => ['--group-add', String(gid)])
}

/**
 * CDI edits are handed over one by one, hooks as files of a folder: older releases pass over CDI specs that are newer
 * than they are without a word.
 */
function hookOptions(container: Container): string[] {
  const stages = Object.entries(container.hooks)
  if (stages.length === 0) return []
  const folder = join(container.workFolder, 'hooks')
  mkdirSync(folder, { mode: 0o700 })
  for (const [stage, hooks] of stages) {
    for (const [index, hook] of hooks.entries()) {
      const file = { version: '1.0.0', hook, when: { always: true }, stages: [stage] }
      writeFileSync(join(folder, `${stage}-${String(index).padStart(3, '0')}.json`), JSON.stringify(file))
    }
  }
  return ['--hooks-dir', folder]
}
