import type { RuntimeHook, RuntimeMount, RuntimeSpec } from 'oci-spec-types'
import { readFileSync } from 'node:fs'
import type { DirectContainer } from './direct.ts'
import type { Host } from './host.ts'
import { findInImage } from './layer-view.ts'
import { makeRuntimeSpec, parseBounding } from './runtime-spec.ts'

/** The spec of a container that a shell script sets up. */
export function shellSpec(container: DirectContainer, host: Host): RuntimeSpec {
  return makeRuntimeSpec(container, { host, bounding: boundingOf(host), deviceCgroup: false })
}

/** The capabilities that may be handed on: in a user namespace all, over what it holds. */
export function boundingOf(host: Pick<Host, 'namespaces'>): bigint {
  return host.namespaces === 'root' ? parseBounding(readFileSync('/proc/self/status', 'utf8')) : ~0n
}

/** The script that sets the root file system up. */
export function shellScript(container: DirectContainer, spec: RuntimeSpec, folders: readonly string[]): string {
  return [
    `container=${quote(container.name)}`,
    mountScript(spec, folders, container.devices),
    // OCI runtimes make it, too.
    `mkdir -p ${quote(`root${resolve(container.process.cwd, folders)}`)}`,
    // A network namespace starts without even a loopback device.
    container.network === 'none' ? 'if command -v ip >/dev/null; then ip link set lo up; fi' : ':',
  ].join('\n')
}

/**
 * A shell script that does what an OCI runtime does with a spec, up to entering the root file system, which is mounted
 * at `./root` in a mount namespace of its own.
 *
 * Paths inside the root have no links in them: the image's are resolved here, and nothing else has written there yet.
 *
 * @see OCI runtime-spec, config-linux.md, "Default Filesystems" and "Default Devices"
 */
export function mountScript(spec: RuntimeSpec, folders: readonly string[], devices: readonly HostDevice[]): string {
  const lines = [FUNCTIONS]
  for (const mount of spec.mounts) lines.push(mountLine(mount, folders))
  for (const name of ['null', 'zero', 'full', 'random', 'urandom', 'tty']) {
    lines.push(`bind_file /dev/${name} root/dev/${name}`)
  }
  for (const [link, target] of LINKS) lines.push(`ln -sfn ${target} root/dev/${link}`)
  // In a user namespace these are among the mounts already.
  for (const { hostPath, path } of spec.linux.devices?.length === 0 ? [] : devices)
    lines.push(`bind_file ${quote(hostPath)} ${quote(`root${path}`)}`)
  for (const stage of ['prestart', 'createRuntime', 'createContainer']) {
    for (const hook of spec.hooks?.[stage] ?? []) lines.push(hookLine(hook))
  }
  for (const path of spec.linux.readonlyPaths ?? []) lines.push(`read_only ${quote(`root${path}`)}`)
  for (const path of spec.linux.maskedPaths ?? []) lines.push(`mask ${quote(`root${path}`)}`)
  return lines.join('\n')
}

/** A device node of the host and where it goes. */
export interface HostDevice {
  readonly path: string
  readonly hostPath: string
}

/** Quotes a word for a POSIX shell. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

const LINKS = [
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
  ['ptmx', 'pts/ptmx'],
] as const

/*
 * In a user namespace a remount has to repeat the flags that the host's mount is locked with, and asking which those are
 * takes a tool that not every host has; so the usual sets are tried.
 */
const FUNCTIONS = `
target() {
  if [ -d "$1" ]; then mkdir -p "$2"; else mkdir -p "$(dirname "$2")"; [ -e "$2" ] || : > "$2"; fi
}
remount() {
  for more in '' ,nosuid,nodev ,nosuid,nodev,noexec ,nosuid,nodev,noatime ,noatime; do
    mount -o "remount,bind,$2$more" "$1" 2>/dev/null && return 0
  done
  mount -o "remount,bind,$2" "$1"
}
bind() {
  target "$1" "$2"
  mount --rbind "$1" "$2"
  [ -z "$3" ] || remount "$2" "$3"
}
bind_file() {
  target "$1" "$2"
  mount --bind "$1" "$2"
}
read_only() {
  if [ -e "$1" ]; then mount --bind "$1" "$1" && remount "$1" ro; fi
}
mask() {
  if [ -d "$1" ]; then mount -t tmpfs -o ro tmpfs "$1"; elif [ -e "$1" ]; then mount --bind /dev/null "$1"; fi
}`

/** Options that \`mount\` takes for a bind, apart from those that say that it is one. */
const BIND_WORDS = ['bind', 'rbind', 'rprivate', 'private', 'rslave', 'slave', 'rshared', 'shared', 'rw']

function mountLine(mount: RuntimeMount, folders: readonly string[]): string {
  const target = `root${resolve(mount.destination, folders)}`
  const options = mount.options ?? []
  if (mount.type === 'bind' || options.some((option) => option === 'bind' || option === 'rbind')) {
    const flags = options.filter((option) => !BIND_WORDS.includes(option)).join(',')
    return `bind ${quote(mount.source ?? '')} ${quote(target)} ${quote(flags)}`
  }
  // Message queues need a namespace of their own; programs that use them are run by the OCI runtimes.
  if (mount.type === 'mqueue') return ':'
  const type = mount.type ?? 'none'
  const flags = options.length === 0 ? '' : `-o ${quote(options.join(','))} `
  return `mkdir -p ${quote(target)} && mount -t ${quote(type)} ${flags}${quote(mount.source ?? type)} ${quote(target)}`
}

/** Below file systems of our own there is nothing of the image to resolve. */
function resolve(destination: string, folders: readonly string[]): string {
  if (/^\/(dev|proc|sys|tmp)(\/|$)/.test(destination)) return destination
  return findInImage(folders, destination)?.path ?? destination
}

/** As under an OCI runtime, what a hook says is only seen when it fails: NVIDIA's tell of every link that they make. */
function hookLine(hook: RuntimeHook): string {
  const [, ...args] = hook.args ?? []
  const env = (hook.env ?? []).map(quote).join(' ')
  const timeout = hook.timeout === undefined ? '' : `timeout ${hook.timeout} `
  const state = `{"ociVersion":"1.0.2","id":"%s","status":"creating","pid":%d,"bundle":"%s"}`
  const line = `printf '${state}' "$container" $$ "$PWD" | env -i ${env} ${timeout}${quote(hook.path)} ${args.map(quote).join(' ')}`
  return `said=$(${line} 2>&1) || { printf '%s\\n' "$said" >&2; exit 1; }`
}
