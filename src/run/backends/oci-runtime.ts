import type { RuntimeSpec } from 'oci-spec-types'
import type { Backend } from '../container.ts'
import { startDirect, type DirectContainer } from '../direct.ts'
import type { Host } from '../host.ts'
import { makeRuntimeSpec } from '../runtime-spec.ts'
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
    start: (container, stdio, host) =>
      startDirect(container, stdio, host, (container) => ({
        files: { 'config.json': JSON.stringify(specFor(container, host, traits.deviceCgroup(host))) },
        script: traits.prepare ?? ':',
        enter: '"$@"',
        args: [
          which(name, host.env) ?? name,
          ...traits.globalOptions,
          '--root',
          'state',
          'run',
          '-b',
          '.',
          container.name,
        ],
      })),
  }
}

function specFor(container: DirectContainer, host: Host, deviceCgroup: boolean): RuntimeSpec {
  return makeRuntimeSpec(container, { host, bounding: boundingOf(host), deviceCgroup })
}
