import { readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { BuildError, systemErrorCode } from '../src/core/errors.ts'
import type { TlsSettings } from '../src/core/http.ts'
import { readDaemonJson } from './daemon-json.ts'
import { readHostsToml } from './hosts-toml.ts'
import type { ConfigFile, ConfigPlace, HostConfiguration, HostOptions, HostPlaces, HostSettings } from './hosts.ts'
import { apiHost } from './reference.ts'
import { applyRegistriesConf, readRegistriesConf, type RegistriesConf } from './registries-conf.ts'

/**
 * Reads how registries are reached, from the files that other programs on this machine already use.
 *
 * Order, the first that says something about a registry decides: `--insecure`; `registries.conf` (version 2:
 * `CONTAINERS_REGISTRIES_CONF`, else `~/.config/containers/registries.conf`, else `/etc/containers/registries.conf`, and the
 * `registries.conf.d` beside it); containerd's `hosts.toml` (`/etc/containerd/certs.d/HOST`, `/etc/docker/certs.d/HOST`); Docker's `daemon.json` (`~/.config/docker`,
 * `~/.docker`, `/etc/docker`). Certificates of a host are joined from all `certs.d` folders: `~/.config/containers`, `/etc/containers`, `~/.docker`, `/etc/docker`, and what its `hosts.toml` names.
 *
 * Files are read when a registry is first asked for.
 */
export function loadHosts(options: HostOptions): HostConfiguration {
  const files = new HostFiles(options)
  const settings = new Map<string, HostSettings>()
  const tls = new Map<string, TlsSettings | undefined>()
  return {
    settings: (registry, repository) =>
      remember(settings, `${registry}/${repository}`, () => files.settings(registry, repository)),
    tls: (host) => remember(tls, host, () => files.tls(host)),
  }
}

/** All places that {@link loadHosts} looks at for a repository, and which of them counted. */
export function listHostPlaces(
  options: HostOptions,
  { registry, repository }: { readonly registry: string; readonly repository: string },
): HostPlaces {
  return new HostFiles(options).places(registry, repository)
}

class HostFiles {
  readonly #options: HostOptions
  readonly #home: string | undefined
  readonly #etc: string
  #conf: RegistriesConf | undefined
  /** Hosts for which a file, not the user at the command line, allows untrusted certificates. */
  readonly #skipVerify = new Set<string>()
  readonly #certificates = new Map<string, TlsSettings>()

  constructor(options: HostOptions) {
    this.#options = options
    this.#home = options.home ?? options.env['HOME'] ?? readHome()
    this.#etc = options.systemFolder ?? '/etc'
  }

  settings(registry: string, repository: string): HostSettings {
    const base = this.#base(registry)
    const ruled = applyRegistriesConf(this.#registriesConf(), registry, repository, base)
    if (ruled !== undefined) return this.#allowing(ruled, registry)
    const own = this.#fromHostsToml(registry, base)
    if (own !== undefined) return own
    const docker = this.#fromDaemonJson(registry, base)
    return docker === undefined ? base : this.#allowing(docker, registry)
  }

  /** Remembers for which hosts a file allows untrusted certificates. */
  #allowing(settings: HostSettings, registry: string): HostSettings {
    for (const place of [settings.location, ...settings.mirrors])
      if (place?.insecure === true) this.#skipVerify.add(place.host)
    if (settings.insecure) this.#skipVerify.add(registry)
    return settings
  }

  tls(host: string): TlsSettings | undefined {
    const parts = [
      ...this.#certificateFolders().map((folder) => readCertificates(join(folder, host))),
      this.#certificates.get(host) ?? {},
    ]
    const ca = parts.flatMap((part) => part.ca ?? [])
    const client = parts.find((part) => part.cert !== undefined && part.key !== undefined)
    const insecure = this.#isInsecure(host) || this.#skipVerify.has(host)
    if (ca.length === 0 && client === undefined && !insecure) return undefined
    return { ca, insecure, ...(client === undefined ? {} : { cert: client.cert, key: client.key }) }
  }

  places(registry: string, repository: string): HostPlaces {
    const { origins, location } = this.settings(registry, repository)
    const { main, dropIns } = this.#registriesConfPaths()
    const tomls = this.#hostsTomlPaths(registry).map(({ path }) => path)
    const files = [...main, ...dropIns, ...tomls, ...this.#daemonJsonPaths()]
    const state = (where: string, isThere: boolean): ConfigPlace => ({
      where,
      state: origins.includes(where) ? 'used' : isThere ? 'silent' : 'absent',
    })
    const host = location?.host ?? apiHost(registry)
    return {
      settings: [state('--insecure', false), ...files.map((path) => state(path, readConfig(path) !== undefined))],
      certificates: this.#certificateFolders().map((folder) => {
        const where = join(folder, host)
        const { ca = [], cert } = readCertificates(where)
        const isUsed = ca.length > 0 || cert !== undefined
        return { where, state: isUsed ? 'used' : list(where).length > 0 ? 'silent' : 'absent' }
      }),
    }
  }

  #base(registry: string): HostSettings {
    const insecure = this.#isInsecure(registry)
    return { scheme: 'https', insecure, blocked: false, mirrors: [], origins: insecure ? ['--insecure'] : [] }
  }

  #isInsecure(host: string): boolean {
    const { insecure } = this.#options
    return insecure === true || (Array.isArray(insecure) && insecure.includes(host))
  }

  #registriesConf(): RegistriesConf {
    this.#conf ??= this.#readRegistriesConf()
    return this.#conf
  }

  /** Of the main files the first that is there is read; of the others all. */
  #registriesConfPaths(): { readonly main: readonly string[]; readonly dropIns: readonly string[] } {
    const named = this.#options.env['CONTAINERS_REGISTRIES_CONF']
    const system = join(this.#etc, 'containers')
    const own = this.#home === undefined ? [] : [join(this.#home, '.config', 'containers')]
    const main = named ? [named] : [...own, system].map((folder) => join(folder, 'registries.conf'))
    const dropIns = [system, ...own].flatMap((folder) => {
      const place = join(folder, 'registries.conf.d')
      const names = list(place).filter((name) => name.endsWith('.conf'))
      return names.sort().map((name) => join(place, name))
    })
    return { main, dropIns }
  }

  #readRegistriesConf(): RegistriesConf {
    const { main, dropIns } = this.#registriesConfPaths()
    const isNamed = Boolean(this.#options.env['CONTAINERS_REGISTRIES_CONF'])
    const first = main.map((path) => () => readConfig(path, isNamed))
    const read = first.reduce<ConfigFile | undefined>((found, next) => found ?? next(), undefined)
    const files = [...(read === undefined ? [] : [read]), ...dropIns.flatMap((path) => readConfig(path) ?? [])]
    return { rules: files.flatMap((file) => readRegistriesConf(file).rules) }
  }

  #hostsTomlPaths(registry: string): readonly { readonly path: string; readonly folder: string }[] {
    const names = [...new Set([registry, registry.replace(/:(\d+)$/, '_$1_'), '_default'])]
    return ['containerd', 'docker'].flatMap((program) =>
      names.map((name) => {
        const folder = join(this.#etc, program, 'certs.d', name)
        return { folder, path: join(folder, 'hosts.toml') }
      }),
    )
  }

  #fromHostsToml(registry: string, base: HostSettings): HostSettings | undefined {
    for (const { path, folder } of this.#hostsTomlPaths(registry)) {
      const file = readConfig(path)
      if (file === undefined) continue
      const read = readHostsToml(file, registry, base)
      for (const { host, ca, client, skipVerify } of read.trust) {
        if (skipVerify) this.#skipVerify.add(host)
        const [cert, key] = client
        this.#certificates.set(host, {
          ca: ca.map((name) => readNamed(name, folder)),
          ...(cert === undefined ? {} : { cert: readNamed(cert, folder) }),
          ...(cert === undefined ? {} : { key: readNamed(key ?? cert, folder) }),
        })
      }
      return read.settings
    }
    return undefined
  }

  /** Of Docker without root, of Docker Desktop, of the machine's. */
  #daemonJsonPaths(): readonly string[] {
    const home = this.#home
    const config = this.#options.env['XDG_CONFIG_HOME'] || (home === undefined ? undefined : join(home, '.config'))
    return [
      ...(config === undefined ? [] : [join(config, 'docker')]),
      ...(home === undefined ? [] : [join(home, '.docker')]),
      join(this.#etc, 'docker'),
    ].map((folder) => join(folder, 'daemon.json'))
  }

  #fromDaemonJson(registry: string, base: HostSettings): HostSettings | undefined {
    for (const path of this.#daemonJsonPaths()) {
      const file = readConfig(path)
      const settings = file === undefined ? undefined : readDaemonJson(file, registry, base)
      if (settings !== undefined) return settings
    }
    return undefined
  }

  #certificateFolders(): string[] {
    const home = this.#home
    return [
      ...(home === undefined ? [] : [join(home, '.config', 'containers', 'certs.d')]),
      join(this.#etc, 'containers', 'certs.d'),
      ...(home === undefined ? [] : [join(home, '.docker', 'certs.d')]),
      join(this.#etc, 'docker', 'certs.d'),
    ]
  }
}

/** `*.crt` are authorities; `NAME.cert` with `NAME.key` prove this program (containers-certs.d(5)). */
function readCertificates(folder: string): TlsSettings {
  const names = list(folder).sort()
  const read = (name: string): string => readNamed(name, folder)
  const keyOf = (name: string): string => name.replace(/\.cert$/, '.key')
  const certs = names.filter((name) => name.endsWith('.cert'))
  const cert = certs.find((name) => names.includes(keyOf(name))) ?? certs[0]
  const key = cert === undefined ? undefined : keyOf(cert)
  if (key !== undefined && !names.includes(key)) {
    throw new BuildError('CONFIG_INVALID', `A client certificate has no key beside it: \`${join(folder, key)}\``, {
      hint: 'An authority is named `*.crt`, a client certificate `NAME.cert` with its key `NAME.key`.',
    })
  }
  return {
    ca: names.filter((name) => name.endsWith('.crt')).map(read),
    ...(cert === undefined || key === undefined ? {} : { cert: read(cert), key: read(key) }),
  }
}

function readConfig(path: string, isNeeded = false): ConfigFile | undefined {
  try {
    return { path, text: readFileSync(path, 'utf8') }
  } catch (error) {
    const code = systemErrorCode(error)
    if (!isNeeded && (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES')) return undefined
    throw new BuildError('FILE_UNREADABLE', `Cannot read the configuration file \`${path}\``, { cause: error })
  }
}

function readNamed(path: string, folder: string): string {
  const whole = isAbsolute(path) ? path : join(folder, path)
  try {
    return readFileSync(whole, 'utf8')
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `Cannot read the certificate or key \`${whole}\``, { cause: error })
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return []
    throw error
  }
}

function readHome(): string | undefined {
  try {
    return homedir()
  } catch {
    // A user id without a passwd entry has no home.
    return undefined
  }
}

function remember<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  if (known.has(key)) return known.get(key) as V
  const value = make()
  known.set(key, value)
  return value
}
