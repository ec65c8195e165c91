import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { packageRoot } from '../../src/core/package-root.ts'
import { removeTree } from '../../src/run/unpack/remove-tree.ts'
import { bundle } from './bundle.ts'
import { runCommand, type Finished } from './command.ts'

/** One of the ways in which a caller may have privileges. */
export interface Caller {
  readonly name: string
  /** Negative where this machine has no such user. */
  readonly uid: number
}

const isRoot = process.getuid?.() === 0

/** Root, a user who may map many ids, and one who has a single one. */
export const callers: readonly Caller[] = [
  { name: 'root', uid: 0 },
  { name: 'a user with subordinate ids', uid: userWithSubIds() ?? -1 },
  { name: 'a user with a single id', uid: 65534 },
]

/** The program, as it is called by several users. */
export interface CallerWorld {
  /** The program as one file that everybody may read. */
  readonly cli: string
  /** A home of a user, made for one test. */
  homeOf(uid: number): string
  /** Calls the command line as some user. */
  call(uid: number, home: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<Finished>
  /** Ends what podman keeps running for a user between its commands. */
  close(): void
}

/**
 * @param folder which all users may enter; with a short path, as podman waits 20 seconds for a container without root whose
 *   sockets' paths are too long
 * @param enter a command that runs another one, still as root, in other circumstances
 */
export async function makeCallerWorld(folder: string, enter: readonly string[] = []): Promise<CallerWorld> {
  const cli = await bundleCli(folder)
  const homes: string[] = []
  return {
    cli,
    homeOf: (uid) => {
      const home = mkdtempSync(join(folder, 'h-'))
      homes.push(home)
      for (const name of ['', 'run', 'cache']) {
        mkdirSync(join(home, name), { recursive: true, mode: 0o700 })
        if (isRoot) chownSync(join(home, name), uid, uid)
      }
      return home
    },
    call: (uid, home, args, env = {}) => {
      const become = uid === 0 || !isRoot ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--']
      const [program = '', ...rest] = [...enter, ...become, process.execPath, cli, ...args]
      return runCommand(program, rest, {
        cwd: home,
        env: { HOME: home, XDG_RUNTIME_DIR: join(home, 'run'), LAYERWRIGHT_CACHE: join(home, 'cache'), ...env },
      })
    },
    close: () => {
      for (const home of homes) {
        const file = join(home, 'run/libpod/tmp/pause.pid')
        if (existsSync(file)) process.kill(Number(readFileSync(file, 'utf8')))
      }
    },
  }
}

/** What is left of containers in a home. */
export function leftovers(home: string): string[] {
  const rootfs = join(home, 'cache/rootfs')
  if (!existsSync(rootfs)) return []
  return readdirSync(rootfs).flatMap((uid) => readdirSync(join(rootfs, uid, 'tmp')))
}

async function bundleCli(folder: string): Promise<string> {
  const entry = join(folder, 'entry.ts')
  writeFileSync(
    entry,
    `import { main } from '${join(packageRoot(), 'src/cli/main.ts')}'\nawait main(process.argv.slice(2))\n`,
  )
  const built = await bundle(entry)
  const target = join(folder, 'cli.mjs')
  copyFileSync(built.file, target)
  copyFileSync(join(packageRoot(), 'package.json'), join(folder, 'package.json'))
  for (const path of [target, join(folder, 'package.json')]) chmodSync(path, 0o644)
  removeTree(built.folder)
  return target
}

/** One of `/etc/subuid` who exists. */
function userWithSubIds(): number | undefined {
  if (!isRoot) return existsSync('/etc/subuid') ? userInfo().uid : undefined
  const subuid = existsSync('/etc/subuid') ? readFileSync('/etc/subuid', 'utf8') : ''
  const names = subuid.split('\n').map((line) => line.split(':', 1)[0] ?? '')
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const account = accounts.find(([name = '', , uid]) => name !== '' && names.includes(name) && uid !== '0')
  return account === undefined ? undefined : Number(account[2])
}
