import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { makeFolder } from '../core/make-folder.ts'
import { removeTree } from './unpack/remove-tree.ts'
import { which } from './which.ts'

/** What this machine lets this user do. */
export interface Host {
  readonly uid: number
  readonly env: Readonly<Record<string, string | undefined>>
  /**
   * How a new mount namespace is had: `root` by privilege, `range` and `single` through a user namespace with many or
   * one user id, `none` not at all.
   */
  readonly namespaces: 'root' | 'range' | 'single' | 'none'
  /** Process ids of a container can be kept apart, so that killing the first process kills all. */
  readonly pidNamespace: boolean
  /** Layers can be stacked by the kernel, in the folder that was asked about. */
  readonly overlay: boolean
  /** Why a step of the above failed, in the words of the program that tried; empty when all went well. */
  readonly reasons: readonly string[]
}

/**
 * Finds out what this machine allows by trying it, in about 20 ms.
 *
 * @param folder where overlays would lie; it is made when missing
 */
export async function probeHost(folder: string, env: Readonly<Record<string, string | undefined>>): Promise<Host> {
  const uid = process.getuid?.() ?? 0
  const base = { uid, env, reasons: [] as string[] }
  const candidates = [
    ...(uid === 0 ? ['root' as const] : []),
    ...(hasSubIds(uid, env) ? ['range' as const] : []),
    'single' as const,
  ]
  await makeFolder(folder, 0o700)
  const probe = mkdtempSync(join(folder, `probe-${process.pid}-`))
  try {
    for (const name of ['l', 'u', 'w', 'm']) mkdirSync(join(probe, name))
    for (const namespaces of candidates) {
      for (const pidNamespace of [true, false]) {
        const host = { ...base, namespaces, pidNamespace, overlay: false }
        const options = overlayOptions(host, ['l'], 'u', 'w')
        const script = `cd "$1" && if mount -t overlay -o ${options} overlay m; then echo overlay; else echo plain; fi`
        const outcome = await run(enterNamespaces(host, ['sh', '-c', script, 'sh', probe]), env)
        if (outcome.stderr !== '') base.reasons.push(outcome.stderr.trim())
        if (outcome.stdout.includes('overlay')) return { ...host, overlay: true }
        if (outcome.stdout.includes('plain')) return host
      }
    }
    return { ...base, namespaces: 'none', pidNamespace: false, overlay: false }
  } finally {
    removeTree(probe)
  }
}

/**
 * {@link probeHost}, remembered for as long as this process is confined as that one was and the machine runs. Only a host
 * that allows everything is remembered: what is forbidden may be allowed the next moment.
 *
 * @param folder holds the answer, and the probe's own folders below `tmp`
 */
export async function knownHost(folder: string, env: Host['env']): Promise<Host> {
  const file = join(folder, 'host.json')
  const key = confinement()
  try {
    const known = JSON.parse(readFileSync(file, 'utf8')) as { readonly key?: string; readonly host?: Omit<Host, 'env'> }
    if (known.key === key && known.host !== undefined) return { ...known.host, env }
  } catch {
    // Never written, or damaged: asked again.
  }
  const host = await probeHost(join(folder, 'tmp'), env)
  if (host.overlay && host.pidNamespace) {
    const { env: _, ...rest } = host
    writeFileSync(file, JSON.stringify({ key, host: rest }))
  }
  return host
}

/** What decides about namespaces: the boot, the namespaces this process is in, and what it was deprived of. */
function confinement(): string {
  const status = readFileSync('/proc/self/status', 'utf8')
  const lines = status.match(/^(Uid|Gid|CapEff|CapBnd|NoNewPrivs|Seccomp):.*$/gm) ?? []
  const names = ['user', 'mnt', 'pid'].map((name) => readlinkSync(`/proc/self/ns/${name}`))
  return [readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(), ...names, ...lines].join(' ')
}

/** Namespaces besides those that every container has. */
export interface NamespaceOptions {
  readonly network?: 'host' | 'none' | undefined
  /** Takes a kernel that has cgroups. */
  readonly cgroup?: boolean | undefined
}

/** The command line that runs another one in namespaces of its own; it dies with this process, and its children with it. */
export function enterNamespaces(
  host: Pick<Host, 'namespaces' | 'pidNamespace' | 'env'>,
  command: readonly string[],
  options: NamespaceOptions = {},
): string[] {
  const setpriv = which('setpriv', host.env)
  return [
    // A parent that is killed outright cannot tell its children; the kernel does.
    ...(setpriv === undefined ? [] : [setpriv, '--pdeathsig', 'KILL', '--']),
    'unshare',
    ...(host.namespaces === 'range' ? ['--user', '--map-root-user', '--map-auto'] : []),
    ...(host.namespaces === 'single' ? ['--user', '--map-root-user'] : []),
    '--mount',
    ...(host.pidNamespace ? ['--pid', '--fork', '--kill-child', '--mount-proc'] : []),
    ...(options.network === 'none' ? ['--net'] : []),
    ...(options.cgroup === true ? ['--cgroup'] : []),
    '--',
    ...command,
  ]
}

/** Options of an overlay mount; the paths must hold no comma and no colon. */
export function overlayOptions(
  host: Pick<Host, 'namespaces'>,
  lowers: readonly string[],
  upper: string,
  work: string,
): string {
  const paths = `lowerdir=${lowers.join(':')},upperdir=${upper},workdir=${work}`
  // In a user namespace the overlay's own marks go into `user.` attributes, which imply the other two settings.
  return host.namespaces === 'root' ? `${paths},redirect_dir=off,index=off` : `${paths},userxattr`
}

function hasSubIds(uid: number, env: Readonly<Record<string, string | undefined>>): boolean {
  if (which('newuidmap', env) === undefined || which('newgidmap', env) === undefined) return false
  const names = [String(uid), ...userName()]
  return ['/etc/subuid', '/etc/subgid'].every((file) => {
    try {
      return readFileSync(file, 'utf8')
        .split('\n')
        .some((line) => names.includes(line.split(':', 1)[0] ?? ''))
    } catch {
      // No such file: no ids are set aside for anybody.
      return false
    }
  })
}

function userName(): string[] {
  try {
    return [userInfo().username]
  } catch {
    // A user id without a passwd entry has no name.
    return []
  }
}

/** Runs a short command; a failure to start is told on `stderr`. */
export function run(
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  timeoutMs = 20_000,
): Promise<{ status: number; stdout: string; stderr: string }> {
  const [program = '', ...args] = command
  return new Promise((resolve) => {
    execFile(
      which(program, env) ?? program,
      args,
      { env, timeout: timeoutMs, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
        resolve({ status, stdout, stderr: stderr === '' && error !== null ? error.message : stderr })
      },
    )
  })
}
