import { Agent, type ClientRequest, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import { addressesOf, openConnection, type ConnectOptions, type Lookup } from './connect.ts'
import { proxyFor, type Environment, type Proxy } from './proxy.ts'
import { secureContext, trustedAuthorities, type TlsSettings } from './tls.ts'

/** How connections are made; see `HttpOptions`. */
export interface RouteOptions {
  readonly env: Environment
  readonly connectTimeoutMs: number
  readonly lookup: Lookup
  readonly isPublicAddress: (address: string) => boolean
  /** Hosts (with or without port) that public servers may point at although their address is private. */
  readonly privateHosts: readonly string[]
  readonly tls: (host: string) => TlsSettings | undefined
}

/** Finds the way to an origin and keeps its connections: one pool for each origin and degree of trust. */
export class Routes {
  readonly #options: RouteOptions
  readonly #agents = new Map<string, Agent>()
  readonly #isPublicHost = new Map<string, Promise<boolean>>()
  #authorities: readonly string[] | undefined

  constructor(options: RouteOptions) {
    this.#options = options
  }

  /**
   * The pool for a URL.
   *
   * @param via the server that named this URL in a redirect, token realm or upload location; when it is public and
   *   another origin, only public addresses are connected to
   */
  async agentFor(url: URL, via: URL | undefined): Promise<Agent> {
    const proxy = proxyFor(url, this.#options.env)
    const guarded = proxy === undefined && via !== undefined && (await this.#isJudged(url, via))
    const key = `${guarded} ${url.origin}`
    let agent = this.#agents.get(key)
    if (agent === undefined) {
      agent = new RouteAgent(url, this.#connectOptions(url, proxy, guarded))
      this.#agents.set(key, agent)
    }
    return agent
  }

  async #isJudged(url: URL, via: URL): Promise<boolean> {
    if (url.origin === via.origin) return false
    const { privateHosts, env } = this.#options
    if (privateHosts.includes(url.host) || privateHosts.includes(url.hostname)) return false
    return proxyFor(via, env) === undefined && (await this.#isPublic(via.hostname))
  }

  /** A host counts as public when all its addresses are; one that does not resolve is judged by nobody. */
  #isPublic(hostname: string): Promise<boolean> {
    const known = this.#isPublicHost.get(hostname)
    if (known !== undefined) return known
    const { lookup, isPublicAddress } = this.#options
    const answer = addressesOf(hostname, lookup).then((all) => all.length > 0 && all.every(isPublicAddress))
    this.#isPublicHost.set(hostname, answer)
    answer.catch(() => this.#isPublicHost.delete(hostname))
    return answer
  }

  #connectOptions(url: URL, proxy: Proxy | undefined, guarded: boolean): ConnectOptions {
    const { connectTimeoutMs, lookup, isPublicAddress, tls, env } = this.#options
    const secure = url.protocol === 'https:' || proxy?.url.protocol === 'https:'
    if (secure) this.#authorities ??= trustedAuthorities(env)
    const settings = tls(url.host) ?? {}
    const tlsOptions = secure
      ? { context: secureContext(settings, this.#authorities ?? []), insecure: settings.insecure === true }
      : undefined
    return {
      timeoutMs: connectTimeoutMs,
      lookup,
      proxy,
      allows: guarded ? isPublicAddress : undefined,
      tls: tlsOptions,
    }
  }
}

/** Keeps connections to one origin alive; its idle ones do not keep the process alive. */
class RouteAgent extends Agent {
  readonly #origin: URL
  readonly #connect: ConnectOptions
  // Read by `ClientRequest`, which refuses an agent of the other protocol.
  readonly protocol: string
  readonly defaultPort: number

  constructor(origin: URL, connect: ConnectOptions) {
    super({ keepAlive: true, scheduling: 'lifo' })
    this.#origin = origin
    this.#connect = connect
    this.protocol = origin.protocol
    this.defaultPort = origin.protocol === 'https:' ? 443 : 80
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    openConnection(this.#origin, this.#connect).then(
      (socket) => callback?.(null, socket),
      // The second argument is not read when there is an error.
      (error: Error) => callback?.(error, undefined as never),
    )
    return undefined
  }

  /** Called by `ClientRequest`: a plain request through a proxy names the whole URL (RFC 9112 section 3.2.2). */
  addRequest(request: ClientRequest, options: unknown): void {
    const { proxy } = this.#connect
    if (proxy !== undefined && this.#origin.protocol === 'http:') {
      request.path = `${this.#origin.origin}${request.path}`
      if (proxy.authorization !== undefined) request.setHeader('proxy-authorization', proxy.authorization)
    }
    // Node's own method, which its types do not declare.
    const base = Agent.prototype as unknown as { addRequest(request: ClientRequest, options: unknown): void }
    base.addRequest.call(this, request, options)
  }
}
