import type { System } from './system.ts'

const MAIL = 8
const UTMP = 43

/** What the scripts of base-files, libc-bin, readline-common, debianutils, tzdata and pam-modules create. */
export function baseFiles(system: System): void {
  if (system.package('base-files') !== undefined) createSystemFolders(system)
  copyDefaults(system)
  if (system.package('debianutils') !== undefined) writeShells(system)
  if (system.package('tzdata') !== undefined && !system.base.has('etc/timezone')) {
    system.link('etc/localtime', '/usr/share/zoneinfo/Etc/UTC')
    system.write('etc/timezone', 'Etc/UTC\n')
  }
  if (system.package('libpam-modules') !== undefined) {
    writeOnce(system, 'etc/security/opasswd', '', 0o600)
    writeOnce(system, 'etc/environment', '')
  }
  if (system.package('login') !== undefined) writeOnce(system, 'var/log/faillog', '')
}

function createSystemFolders(system: System): void {
  for (const path of ['mnt', 'srv', 'opt', 'etc/opt', 'var/opt', 'media']) createFolder(system, path)
  createFolder(system, 'var/mail', { mode: 0o2775, gid: MAIL })
  createFolder(system, 'run/lock', { mode: 0o1777 })
  createFolder(system, 'var/spool')
  if (!system.has('var/spool/mail')) system.link('var/spool/mail', '../mail')
  system.link('var/run', '/run')
  system.link('var/lock', '/run/lock')
  createFolder(system, 'usr/local')
  for (const name of ['share', 'share/man', 'bin', 'games', 'lib', 'include', 'sbin', 'src', 'etc']) {
    createFolder(system, `usr/local/${name}`)
  }
  system.link('usr/local/man', 'share/man')
  const isLogged = system.package('base-files')?.controlFiles.get('postinst')?.includes('/var/log/wtmp') ?? false
  if (isLogged) {
    writeOnce(system, 'var/log/wtmp', '', 0o664, UTMP)
    writeOnce(system, 'var/log/btmp', '', 0o660, UTMP)
    writeOnce(system, 'var/log/lastlog', '', 0o664, UTMP)
  }
  if (!system.has('etc/dpkg/origins/default') && system.has('etc/dpkg/origins/debian')) {
    system.link('etc/dpkg/origins/default', 'debian')
  }
}

/** Files that a script copies from a package's share folder when they are missing. */
const DEFAULTS: Readonly<Record<string, string>> = {
  'usr/share/base-files/dot.profile': 'root/.profile',
  'usr/share/base-files/dot.bashrc': 'root/.bashrc',
  'usr/share/base-files/profile': 'etc/profile',
  'usr/share/base-files/motd': 'etc/motd',
  'usr/share/base-files/info.dir': 'usr/share/info/dir',
  'usr/share/libc-bin/nsswitch.conf': 'etc/nsswitch.conf',
  'usr/share/base-files/nsswitch.conf': 'etc/nsswitch.conf',
  'usr/share/readline/inputrc': 'etc/inputrc',
}

function copyDefaults(system: System): void {
  for (const [from, to] of Object.entries(DEFAULTS)) {
    const content = system.packages.find(({ captured }) => captured.has(from))?.captured.get(from)
    if (content !== undefined && !system.has(to)) system.write(to, content)
  }
}

// As update-shells does: what packages list in shells.d, under both of a shell's names on merged-/usr systems.
function writeShells(system: System): void {
  const lines = (system.readText('etc/shells') ?? system.readText('usr/share/debianutils/shells') ?? '').split('\n')
  const known = new Set(lines.filter((line) => line.startsWith('/')))
  const managed: string[] = []
  for (const path of [...system.find(/^usr\/share\/debianutils\/shells\.d\//)].sort()) {
    for (const shell of (system.readText(path) ?? '').split('\n').filter((line) => line.startsWith('/'))) {
      const names = [shell, shell.startsWith('/usr/') ? shell.slice(4) : `/usr${shell}`]
      managed.push(...names)
    }
  }
  const all = ['/bin/sh', '/usr/bin/sh', ...managed]
  const added = all.filter((shell, index) => !known.has(shell) && all.indexOf(shell) === index)
  const text = lines.join('\n').trimEnd()
  system.write('etc/shells', `${[text, ...added].join('\n')}\n`)
  system.write('var/lib/shells.state', `${[...new Set(all)].join('\n')}\n`)
}

function createFolder(system: System, path: string, options: { mode?: number; gid?: number } = {}): void {
  if (!system.has(path)) system.folder(path, options)
}

function writeOnce(system: System, path: string, content: string, mode = 0o644, gid = 0): void {
  if (!system.has(path)) system.write(path, content, { mode, gid })
}
