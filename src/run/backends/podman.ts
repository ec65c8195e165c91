import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Container } from '../container.ts'
import { run, type Host } from '../host.ts'
import { which } from '../which.ts'
import { engine, ulimitOptions } from './engine.ts'

/** podman, with the settings that a machine without systemd or with both cgroup versions needs. */
export const podman = engine('podman', {
  globalOptions: (host) => [
    ...(existsSync('/run/systemd/system') ? [] : ['--cgroup-manager=cgroupfs']),
    ...(crunRefuses(host) ? ['--runtime', 'runc'] : []),
  ],
  runOptions: (container) => [...ulimitOptions(), ...hookOptions(container), ...groupOptions(container)],
  drawback: async (host) => {
    const program = which('podman', host.env) ?? 'podman'
    const driver = await run([program, 'info', '--format', '{{.Store.GraphDriverName}}'], host.env)
    // Quadratic: a copy of everything below for each layer, and one for each container.
    return driver.stdout.trim() === 'vfs' ? 'its storage driver `vfs` copies the image once for every layer' : undefined
  },
})

/** crun refuses a host where both cgroup versions are mounted. */
function crunRefuses(host: Host): boolean {
  return existsSync('/sys/fs/cgroup/unified/cgroup.procs') && which('runc', host.env) !== undefined
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
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const [stage, hooks] of stages) {
    for (const [index, hook] of hooks.entries()) {
      const file = { version: '1.0.0', hook, when: { always: true }, stages: [stage] }
      writeFileSync(join(folder, `${stage}-${String(index).padStart(3, '0')}.json`), JSON.stringify(file))
    }
  }
  return ['--hooks-dir', folder]
}
