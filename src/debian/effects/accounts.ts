import type { System } from './system.ts'

/** A user or group that a package's script creates. */
interface Account {
  readonly user?: { readonly name: string; readonly home: string; readonly gecos?: string; readonly shell?: string }
  /** Name of the user's own group, or of a group alone; users without one get `nogroup`. */
  readonly group?: string
}

/** What `adduser --system`, `addgroup --system` and `useradd` calls of known packages create. */
const KNOWN_ACCOUNTS: Readonly<Record<string, readonly Account[]>> = {
  apt: [{ user: { name: '_apt', home: '/nonexistent' } }],
  'openssh-client': [{ group: '_ssh' }],
  'openssh-server': [{ user: { name: 'sshd', home: '/run/sshd' } }],
  'redis-tools': [{ user: { name: 'redis', home: '/var/lib/redis' }, group: 'redis' }],
  libibverbs1: [{ group: 'rdma' }],
  'dbus-daemon': [{ user: { name: 'messagebus', home: '/nonexistent' }, group: 'messagebus' }],
  'dbus-system-bus-common': [{ user: { name: 'messagebus', home: '/nonexistent' }, group: 'messagebus' }],
  dbus: [{ user: { name: 'messagebus', home: '/nonexistent' }, group: 'messagebus' }],
  'avahi-daemon': [{ user: { name: 'avahi', home: '/run/avahi-daemon', gecos: 'Avahi mDNS daemon' }, group: 'avahi' }],
  udev: [{ group: 'input' }, { group: 'sgx' }, { group: 'kvm' }, { group: 'render' }],
  polkitd: [{ user: { name: 'polkitd', home: '/', gecos: 'User for polkitd' }, group: 'polkitd' }],
  systemd: [
    { group: 'systemd-journal' },
    { user: { name: 'systemd-network', home: '/', gecos: 'systemd Network Management' }, group: 'systemd-network' },
  ],
  'postgresql-common': [
    {
      user: { name: 'postgres', home: '/var/lib/postgresql', gecos: 'PostgreSQL administrator', shell: '/bin/bash' },
      group: 'postgres',
    },
  ],
}

/** Packages whose scripts do nothing that matters but create these accounts. */
export const ACCOUNT_PACKAGES: ReadonlySet<string> = new Set(Object.keys(KNOWN_ACCOUNTS))

const NOGROUP = 65534
const SHADOW_GID = 42
/** Day of the last password change of accounts without a password: fixed, so that images are reproducible. */
const SHADOW_DAY = 19358
const FIRST_SYSTEM_ID = 100
const LAST_SYSTEM_ID = 999

/** Makes `/etc/passwd`, `group`, `shadow` and `gshadow`, with the accounts that packages create. */
export function accounts(system: System): void {
  const hasMaster = system.package('base-passwd') !== undefined
  const passwd = system.readText('etc/passwd') ?? (hasMaster ? master(system, 'passwd') : undefined)
  const group = system.readText('etc/group') ?? (hasMaster ? master(system, 'group') : undefined)
  if (passwd === undefined || group === undefined) return
  const book = new AccountBook(passwd, group)
  const before = book.count
  for (const { package: name } of system.packages) {
    for (const account of KNOWN_ACCOUNTS[name] ?? []) book.create(account)
  }
  for (const path of [...system.find(/^usr\/lib\/sysusers\.d\/.*\.conf$/)].sort()) {
    if (!system.base.has(path)) applySysusers(book, system.readText(path) ?? '')
  }
  const isNew = !system.base.has('etc/passwd')
  if (!isNew && book.count === before) return
  const hasShadow = system.base.has('etc/shadow') || system.package('passwd') !== undefined
  system.write('etc/passwd', book.passwdText(hasShadow))
  system.write('etc/group', book.groupText(hasShadow))
  if (hasShadow) {
    const options = { mode: 0o640, gid: SHADOW_GID }
    system.write('etc/shadow', book.shadowText(system.readText('etc/shadow') ?? ''), options)
    system.write('etc/gshadow', book.gshadowText(system.readText('etc/gshadow') ?? ''), options)
  }
  if (isNew && system.package('passwd') !== undefined) {
    system.write('etc/subuid', '')
    system.write('etc/subgid', '')
  }
}

function master(system: System, name: string): string | undefined {
  return system.readText(`usr/share/base-passwd/${name}.master`)
}

class AccountBook {
  readonly #users: string[][]
  readonly #groups: string[][]

  constructor(passwd: string, group: string) {
    this.#users = rows(passwd)
    this.#groups = rows(group)
  }

  get count(): number {
    return this.#users.length + this.#groups.length
  }

  create({ user, group }: Account): void {
    const gid = group === undefined ? NOGROUP : this.group(group)
    if (user !== undefined) this.user(user, gid)
  }

  group(name: string, id?: number): number {
    const known = this.#groups.find(([other]) => other === name)
    if (known !== undefined) return Number(known[2])
    const gid = id ?? this.#freeId(this.#groups)
    this.#groups.push([name, 'x', String(gid), ''])
    return gid
  }

  user(user: NonNullable<Account['user']>, gid: number, id?: number): void {
    if (this.#users.some(([other]) => other === user.name)) return
    const isFree = id !== undefined && !this.#users.some(([, , other]) => other === String(id))
    const uid = isFree ? id : this.#freeId(this.#users)
    const { name, gecos = '', home, shell = '/usr/sbin/nologin' } = user
    this.#users.push([name, 'x', String(uid), String(gid), gecos, home, shell])
  }

  join(user: string, group: string): void {
    const row = this.#groups.find(([name]) => name === group)
    if (row === undefined) return
    const members = (row[3] ?? '').split(',').filter((member) => member !== '')
    if (!members.includes(user)) row[3] = [...members, user].join(',')
  }

  #freeId(taken: readonly string[][]): number {
    const ids = new Set(taken.map(([, , id]) => Number(id)))
    for (let id = FIRST_SYSTEM_ID; id <= LAST_SYSTEM_ID; id++) if (!ids.has(id)) return id
    throw new RangeError('No system id is free')
  }

  passwdText(hasShadow: boolean): string {
    return text(this.#users.map(([name = '', , ...rest]) => [name, hasShadow ? 'x' : '*', ...rest]))
  }

  groupText(hasShadow: boolean): string {
    return text(this.#groups.map(([name = '', , ...rest]) => [name, hasShadow ? 'x' : '*', ...rest]))
  }

  shadowText(before: string): string {
    const known = new Map(rows(before).map((row) => [row[0], row]))
    const fresh = (name = ''): string[] => [
      name,
      isSystemMade(this.#users, name) ? '!' : '*',
      String(SHADOW_DAY),
      ...(isSystemMade(this.#users, name) ? ['', '', ''] : ['0', '99999', '7']),
      '',
      '',
      '',
    ]
    return text(this.#users.map(([name]) => known.get(name) ?? fresh(name)))
  }

  gshadowText(before: string): string {
    const known = new Map(rows(before).map((row) => [row[0], row]))
    return text(
      this.#groups.map(
        ([name = '', , id]) =>
          known.get(name) ?? [
            name,
            Number(id) >= FIRST_SYSTEM_ID && Number(id) <= LAST_SYSTEM_ID && name !== 'users' ? '!' : '*',
            '',
            '',
          ],
      ),
    )
  }
}

function isSystemMade(users: readonly string[][], name: string): boolean {
  const id = Number(users.find(([other]) => other === name)?.[2])
  return id >= FIRST_SYSTEM_ID && id <= LAST_SYSTEM_ID
}

function rows(content: string): string[][] {
  return content
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(':'))
}

function text(all: readonly (readonly string[])[]): string {
  return all.map((row) => `${row.join(':')}\n`).join('')
}

/** Applies a file of sysusers.d. @see sysusers.d(5) */
function applySysusers(book: AccountBook, content: string): void {
  for (const line of content.split('\n')) {
    const [type, name, id = '-', gecos = '-', home = '-', shell = '-'] = fields(line)
    if (name === undefined || name === '-') continue
    const [idText = '', groupText] = id.split(':')
    const number = /^\d+$/.test(idText) ? Number(idText) : undefined
    if (type === 'g') book.group(name, number)
    else if (type === 'm') book.join(name, id)
    else if (type === 'u' || type === 'u!') {
      const gid = groupText === undefined ? book.group(name, number) : book.group(groupText)
      const user = { name, home: home === '-' ? '/' : home, gecos: gecos === '-' ? '' : gecos }
      book.user(shell === '-' ? user : { ...user, shell }, gid, number)
    }
  }
}

function fields(line: string): string[] {
  if (line.trimStart().startsWith('#')) return []
  return [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '')
}
