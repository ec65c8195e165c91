import type { Descriptor } from 'oci-spec-types'
import type { Open } from '../src/core/bytes.ts'
import { BuildError } from '../src/core/errors.ts'
import {
  isLoopbackHost,
  makeHttp,
  tellsOfLimits,
  type Environment,
  type Http,
  type HttpResponse,
  type TlsSettings,
} from '../src/core/http.ts'
import type { RetryPolicy, Waiting } from '../src/core/net/retry.ts'
import { silent, type Report } from '../src/core/progress.ts'
import { RegistryClient, type Access } from './client.ts'
import { Connection, type Endpoint } from './connection.ts'
import { findCredentials, type Credentials } from './credentials.ts'
import { openDownload, type Part } from './download.ts'
import { registryError } from './errors.ts'
import { loadHosts } from './host-files.ts'
import type { HostConfiguration, MirrorSettings } from './hosts.ts'
import { makePatience, type Patience } from './patience.ts'
import { apiHost } from './reference.ts'
import type { RemoteOptions } from './remote.ts'

/** Settings of {@link Registries}; every one has a default. */
export interface RegistriesOptions {
  readonly env?: Environment | undefined
  readonly home?: string | undefined
  /** Made with the trust that {@link HostConfiguration} says unless given. */
  readonly http?: Http | undefined
  readonly credentials?: Credentials | undefined
  readonly hosts?: HostConfiguration | undefined
  /** Plain HTTP and untrusted certificates: for all registries, or for these hosts. */
  readonly insecure?: boolean | readonly string[] | undefined
  readonly retry?: Partial<RetryPolicy> | undefined
  readonly waiting?: Partial<Waiting> | undefined
  readonly report?: Report | undefined
  readonly signal?: AbortSignal | undefined
}

/** Stands for "somebody on the internet" where the author of an address is not known. */
const PUBLIC = 'https://1.1.1.1/'

/** All registries of one operation: keeps connections, tokens and what was learned about each server. */
export class Registries {
  readonly hosts: HostConfiguration
  readonly #http: Http
  readonly #credentials: Credentials
  readonly #patience: Patience
  readonly #report: Report
  readonly #signal: AbortSignal | undefined
  readonly #connections = new Map<string, Connection>()

  constructor(options: RegistriesOptions = {}) {
    const { env = process.env, report = silent, signal, insecure, home, retry, waiting } = options
    this.hosts = options.hosts ?? loadHosts({ env, home, insecure })
    const tls = (host: string): TlsSettings | undefined => this.hosts.tls(host)
    this.#http = options.http ?? makeHttp({ env, tls, retry, waiting, onLimited: tellsOfLimits(report) })
    this.#credentials = options.credentials ?? findCredentials({ env, home, report, signal })
    this.#patience = makePatience(retry, waiting)
    this.#report = report
    this.#signal = signal
  }

  /**
   * A client for one repository.
   *
   * @throws BuildError NETWORK_REFUSED when the configuration blocks the registry
   */
  client(name: { readonly registry: string; readonly repository: string }, access: Access): RegistryClient {
    const { registry, repository } = name
    const settings = this.hosts.settings(registry, repository)
    if (settings.blocked)
      throw new BuildError(
        'NETWORK_REFUSED',
        `The registry is blocked by ${settings.origins.join(', ')}: \`${registry}\``,
      )
    const own: MirrorSettings = settings.location ?? {
      host: apiHost(registry),
      scheme: settings.scheme,
      insecure: settings.insecure,
      repository: (same) => same,
      resolvesTags: true,
    }
    return new RegistryClient({
      registry,
      repository,
      access,
      origin: this.#remote(own, registry, repository),
      mirrors: settings.mirrors.map((mirror) => this.#remote(mirror, mirror.host, repository)),
      patience: this.#patience,
      signal: this.#signal,
      onMirrorFailure: (host, error) => {
        const reason = error instanceof Error ? error.message : String(error)
        this.#report({ type: 'note', level: 'info', text: `The mirror ${host} was passed over: ${reason}` })
      },
    })
  }

  /**
   * The bytes of a layer that lies outside of registries, at one of the addresses in its descriptor.
   *
   * No credentials are sent, and the addresses may not lead into a private network (they come from the image).
   */
  openForeign(descriptor: Descriptor): Open {
    const urls = descriptor.urls ?? []
    const get = async ({ signal, ...part }: Part): Promise<HttpResponse> => {
      let last: unknown
      for (const url of urls) {
        const request = { url, via: PUBLIC, decode: false, ...part, signal: signal ?? this.#signal }
        const response = await this.#http(request).catch((error: unknown) => void (last = error))
        if (response === undefined) continue
        if (response.status === 200 || response.status === 206 || response.status === 416) return response
        last = await registryError(response, { method: 'GET', what: 'read a foreign layer' })
      }
      throw last
    }
    return openDownload({ get, descriptor, patience: this.#patience })
  }

  #remote(settings: MirrorSettings, registry: string, repository: string): RemoteOptions {
    const { host, insecure, path, headers } = settings
    const scheme =
      settings.scheme === 'https' && (insecure || isLoopbackHost(new URL(`https://${host}`).hostname))
        ? 'either'
        : settings.scheme
    const endpoint: Endpoint = { registry, host, scheme, insecure, path, headers }
    const key = JSON.stringify(endpoint)
    let connection = this.#connections.get(key)
    if (connection === undefined) {
      connection = new Connection(endpoint, {
        http: this.#http,
        credentials: this.#credentials,
        now: this.#patience.waiting.now,
      })
      this.#connections.set(key, connection)
    }
    return {
      connection,
      repository: settings.repository(repository),
      query: settings.query,
      resolvesTags: settings.resolvesTags,
    }
  }
}
