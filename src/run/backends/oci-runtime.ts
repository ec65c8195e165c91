import { join } from 'node:path'
import { CGROUPS, cgroupsAreMissing } from '../cgroups.ts'
import type { Backend, Container } from '../container.ts'
import { startDirect } from '../direct.ts'
import type { Host } from '../host.ts'
import { makeRuntimeSpec } from '../runtime-spec.ts'
import { seccompFilter, supportsSeccomp, type SeccompFilter } from '../seccomp/filter.ts'
import { boundingOf } from '../shell-mounts.ts'
import { which } from '../which.ts'

/** What differs between programs that take OCI bundles. */
export interface OciRuntimeTraits {
  /** Between the program and its command. */
  readonly globalOptions: readonly string[]
  /** Tells whether the program guards devices by a cgroup on this host. */
  readonly deviceCgroup: (host: Host) => boolean
  /** A line of shell before the program starts, in its mount namespace. */
  readonly prepare?: string
}

/** A backend of a program that takes OCI bundles. */
export function ociRuntime(name: 'crun' | 'runc', traits: OciRuntimeTraits): Backend {
  return {
    name,
    program: name,
    start: async (container, stdio, host) => {
      const program = which(name, host.env) ?? name
      const seccomp = await filterFor(program, container, host)
      const context = { host, bounding: boundingOf(host), deviceCgroup: traits.deviceCgroup(host), seccomp }
      return startDirect(container, stdio, host, (container) => ({
        files: { 'config.json': JSON.stringify(makeRuntimeSpec(container, context)) },
        ...(cgroupsAreMissing() ? { cgroup: true, script: MOUNT_CGROUPS } : { script: traits.prepare ?? ':' }),
        enter: '"$@"',
        args: [program, ...traits.globalOptions, '--root', 'state', 'run', '-b', '.', container.name],
      }))
    },
  }
}

/** Both programs look at what is mounted there before they do without. */
const MOUNT_CGROUPS = `mount -t cgroup2 none ${CGROUPS}`

/** The work folder lies below the folder of what is unpacked, where answers about this machine are kept. */
async function filterFor(program: string, { workFolder }: Container, host: Host): Promise<SeccompFilter | undefined> {
  return (await supportsSeccomp(program, join(workFolder, '..', '..'), host)) ? seccompFilter() : undefined
}
