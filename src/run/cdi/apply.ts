import { statSync, type Stats } from 'node:fs'
import type { RuntimeHook } from 'oci-spec-types'
import { BuildError } from '../../core/errors.ts'
import type { BindMount, ContainerDevice } from '../container.ts'
import type { DeviceEdits } from '../run-container.ts'
import type { CdiEdits } from './spec.ts'

/**
 * Turns CDI edits into what a container is started with.
 *
 * @param stat asks about a device node of the host
 * @throws BuildError HOST_UNSUPPORTED for a node that is not there, NOT_SUPPORTED for network devices and cache classes
 * @see CNCF Container Device Interface, SPEC.md, "Container Edits"
 */
export function applyCdiEdits(
  all: readonly CdiEdits[],
  stat: (path: string) => Stats | undefined = (path) => statSync(path, { throwIfNoEntry: false }),
): DeviceEdits {
  const env: Record<string, string> = {}
  const devices = new Map<string, ContainerDevice>()
  const binds = new Map<string, BindMount>()
  const hooks: Record<string, RuntimeHook[]> = {}
  const gids = new Set<number>()
  for (const edits of all) {
    if (edits.netDevices !== undefined || edits.intelRdt !== undefined) {
      throw new BuildError(
        'NOT_SUPPORTED',
        'The device moves network devices or sets cache classes, which is not done here',
      )
    }
    for (const line of edits.env ?? []) env[line.slice(0, line.indexOf('='))] = line.slice(line.indexOf('=') + 1)
    for (const node of edits.deviceNodes ?? []) devices.set(node.path, makeDevice(node, stat))
    for (const mount of edits.mounts ?? []) {
      if (mount.type !== undefined && mount.type !== '' && mount.type !== 'bind') {
        throw new BuildError('NOT_SUPPORTED', `The device mounts a file system of the type \`${mount.type}\``)
      }
      binds.set(mount.containerPath, {
        source: mount.hostPath,
        destination: mount.containerPath,
        options: mount.options ?? [],
      })
    }
    for (const { hookName, ...hook } of edits.hooks ?? []) (hooks[hookName] ??= []).push(runtimeHook(hook))
    for (const gid of edits.additionalGids ?? []) if (gid !== 0) gids.add(gid)
  }
  return { env, devices: [...devices.values()], binds: [...binds.values()], hooks, additionalGids: [...gids] }
}

type Node = NonNullable<CdiEdits['deviceNodes']>[number]

/** A device of the host, what it does not state filled in from the node there. */
export function makeDevice(node: Node, stat: (path: string) => Stats | undefined): ContainerDevice {
  const hostPath = node.hostPath || node.path
  const stats = stat(hostPath)
  const type = node.type || (stats?.isCharacterDevice() ? 'c' : stats?.isBlockDevice() ? 'b' : undefined)
  if (stats === undefined || (type !== 'c' && type !== 'b')) {
    throw new BuildError('HOST_UNSUPPORTED', `No device node at ${hostPath}, which the CDI specification names`, {
      hint: 'Is the driver loaded? The specification may be older than the driver: generate it again.',
    })
  }
  return {
    path: node.path,
    hostPath,
    type,
    major: node.major ?? majorOf(stats.rdev),
    minor: node.minor ?? minorOf(stats.rdev),
    fileMode: (node.fileMode ?? stats.mode) & 0o777,
    uid: node.uid ?? stats.uid,
    gid: node.gid ?? stats.gid,
    permissions: node.permissions === 'none' ? '' : node.permissions || 'rwm',
  }
}

function runtimeHook(hook: {
  path: string
  args?: string[] | undefined
  env?: string[] | undefined
  timeout?: number | undefined
}): RuntimeHook {
  return {
    path: hook.path,
    ...(hook.args === undefined ? {} : { args: hook.args }),
    ...(hook.env === undefined ? {} : { env: hook.env }),
    ...(hook.timeout === undefined ? {} : { timeout: hook.timeout }),
  }
}

/** @see glibc, sys/sysmacros.h: 12 bits of the major number lie low, 20 high */
function majorOf(rdev: number): number {
  return Number(((BigInt(rdev) >> 8n) & 0xfffn) | ((BigInt(rdev) >> 32n) & ~0xfffn))
}

function minorOf(rdev: number): number {
  return Number((BigInt(rdev) & 0xffn) | ((BigInt(rdev) >> 12n) & 0xffffff00n))
}
