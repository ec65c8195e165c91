import type { ImageConfig, RuntimeDevice, RuntimeMount, RuntimeSpec } from 'oci-spec-types'
import type { Container } from './container.ts'
import type { DirectContainer } from './direct.ts'
import type { Host } from './host.ts'
import type { SeccompFilter } from './seccomp/filter.ts'

/**
 * What docker gives a container, without `MKNOD`: where no cgroup guards the devices, a node is the device.
 */
const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
] as const

const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/firmware',
]
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

/** What a runtime spec depends on besides the container. */
export interface SpecContext {
  readonly host: Pick<Host, 'namespaces' | 'pidNamespace'>
  /** Mask of the capabilities that this process may hand on, as in `CapBnd` of `/proc/self/status`. */
  readonly bounding: bigint
  /** True when a cgroup guards the devices. */
  readonly deviceCgroup: boolean
  /** Which system calls the container may make; all unless given. */
  readonly seccomp?: SeccompFilter | undefined
}

/**
 * Makes the `config.json` of a container whose root file system is `root` in the bundle.
 *
 * No resource limits are set, so those of the caller hold; no new privileges can be gained.
 *
 * @see OCI runtime-spec, config.md; OCI image-spec, conversion.md
 */
export function makeRuntimeSpec(container: DirectContainer, context: SpecContext): RuntimeSpec {
  // With one id in the namespace there is nobody else to become; it is the caller, without privileges outside.
  const process =
    context.host.namespaces === 'single'
      ? { ...container.process, uid: 0, gid: 0, additionalGids: [] }
      : container.process
  const capabilities = heldCapabilities(context.bounding)
  const isRoot = process.uid === 0
  return {
    ociVersion: '1.0.2',
    root: { path: 'root' },
    hostname: container.hostname,
    process: {
      terminal: container.terminal,
      user: {
        uid: process.uid,
        gid: process.gid,
        ...(process.additionalGids.length === 0 ? {} : { additionalGids: process.additionalGids }),
      },
      args: process.args,
      env: process.env,
      cwd: process.cwd,
      capabilities: {
        bounding: capabilities,
        effective: isRoot ? capabilities : [],
        permitted: isRoot ? capabilities : [],
        inheritable: [],
        ambient: [],
      },
      noNewPrivileges: true,
    },
    mounts: makeMounts(container, context),
    ...(Object.keys(container.hooks).length === 0 ? {} : { hooks: container.hooks }),
    annotations: imageAnnotations(container.image.config),
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', ...(container.network === 'none' ? ['network'] : [])].map((type) => ({
        type,
      })),
      devices: isPrivileged(context) ? container.devices.map(toRuntimeDevice) : [],
      ...(context.deviceCgroup ? { resources: { devices: deviceRules(container) } } : {}),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
      ...(context.seccomp === undefined ? {} : { seccomp: context.seccomp }),
    },
  }
}

/** The capabilities that a container gets and this process has to give. */
export function heldCapabilities(bounding: bigint): string[] {
  return CAPABILITIES.filter((name) => (bounding >> BigInt(CAPABILITY_NUMBERS[name])) & 1n)
}

const CAPABILITY_NUMBERS: Readonly<Record<(typeof CAPABILITIES)[number], number>> = {
  CAP_CHOWN: 0,
  CAP_DAC_OVERRIDE: 1,
  CAP_FOWNER: 3,
  CAP_FSETID: 4,
  CAP_KILL: 5,
  CAP_SETGID: 6,
  CAP_SETUID: 7,
  CAP_SETPCAP: 8,
  CAP_NET_BIND_SERVICE: 10,
  CAP_NET_RAW: 13,
  CAP_SYS_CHROOT: 18,
  CAP_SETFCAP: 31,
}

/** Reads `CapBnd` of a `/proc/PID/status`. */
export function parseBounding(status: string): bigint {
  return BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
}

function makeMounts(container: Container, context: SpecContext): RuntimeMount[] {
  const isRoot = context.host.namespaces === 'root'
  // A fresh sysfs needs a network namespace of one's own; without one the host's is bound.
  const sys: RuntimeMount =
    isRoot || container.network === 'none'
      ? { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] }
      : { destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'nosuid', 'noexec', 'nodev', 'ro'] }
  // Group 5 (tty) exists in a user namespace only when it maps more than one id.
  const tty = context.host.namespaces === 'single' ? [] : ['gid=5']
  const mounts: RuntimeMount[] = [
    { destination: '/proc', type: 'proc', source: 'proc' },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...tty],
    },
    // Not docker's 64 MiB, which is a trap for everything that shares tensors between processes.
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: ['nosuid', 'noexec', 'nodev', 'mode=1777'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    sys,
    ...(isPrivileged(context) ? [] : container.devices.map(bindOfDevice)),
    ...container.memory.map(({ destination, mode }) => ({
      destination,
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'nodev', `mode=${mode.toString(8)}`],
    })),
    ...container.binds.map(({ destination, source, options }) => ({
      destination,
      type: 'bind',
      source,
      options: [...(options.includes('bind') || options.includes('rbind') ? [] : ['rbind']), ...options],
    })),
  ]
  // A mount below another one comes after it.
  return mounts
    .map((mount, index) => ({ mount, index, depth: mount.destination.split('/').length }))
    .sort((a, b) => a.depth - b.depth || a.index - b.index)
    .map(({ mount }) => mount)
}

function isPrivileged({ host }: SpecContext): boolean {
  return host.namespaces === 'root'
}

/** Without privileges nodes cannot be made. Runtimes bind the node of the same path instead; here it is the right one. */
function bindOfDevice({ path, hostPath }: Container['devices'][number]): RuntimeMount {
  return { destination: path, type: 'bind', source: hostPath, options: ['bind', 'nosuid', 'noexec'] }
}

function toRuntimeDevice(device: Container['devices'][number]): RuntimeDevice {
  const { path, type, major, minor, fileMode, uid, gid } = device
  return { path, type, major, minor, fileMode, uid, gid }
}

function deviceRules(
  container: Container,
): { allow: boolean; type?: string; major?: number; minor?: number; access: string }[] {
  return [
    { allow: false, access: 'rwm' },
    ...container.devices.map(({ type, major, minor, permissions }) => ({
      allow: true,
      type,
      major,
      minor,
      access: permissions,
    })),
  ]
}

/** @see OCI image-spec, conversion.md, "Annotation Fields": labels win over the fields */
function imageAnnotations(config: ImageConfig): Record<string, string> {
  const runtime = config.config ?? {}
  const implicit: Record<string, string | null | undefined> = {
    'org.opencontainers.image.os': config.os,
    'org.opencontainers.image.architecture': config.architecture,
    'org.opencontainers.image.variant': config.variant,
    'org.opencontainers.image.os.version': config['os.version'],
    'org.opencontainers.image.os.features': config['os.features']?.join(','),
    'org.opencontainers.image.author': config.author,
    'org.opencontainers.image.created': config.created,
    'org.opencontainers.image.stopSignal': runtime.StopSignal,
    'org.opencontainers.image.exposedPorts': runtime.ExposedPorts
      ? Object.keys(runtime.ExposedPorts).join(',')
      : undefined,
  }
  const known = Object.entries(implicit).flatMap(([key, value]): [string, string][] => (value ? [[key, value]] : []))
  // Labels are data of whoever made the image; some runtimes take orders from these (crun `run.oci.*`, podman `io.podman.*`).
  const labels = Object.entries(runtime.Labels ?? {}).filter(
    ([key]) => !/^(run\.oci\.|io\.podman\.|io\.containers\.|org\.systemd\.|cdi\.k8s\.io)/.test(key),
  )
  return { ...Object.fromEntries(known), ...Object.fromEntries(labels) }
}
