import { Agent, type ClientRequest, type ClientRequestArgs } from 'node:http'
import type { Duplex } from 'node:stream'
import type { SecureContext, TLSSocket } from 'node:tls'
import { addressesOf, openConnection, type ConnectOptions, type Lookup } from './connect.ts'
import { proxyFor, type Environment, type Proxy } from './proxy.ts'
import type { SharedConnection } from './shared-connection.ts'
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
  readonly #agents = new Map<string, RouteAgent>()
  /** Undefined for a server that speaks HTTP/1.1 alone. */
  readonly #shared = new Map<string, Promise<SharedConnection | undefined>>()
  readonly #isPublicHost = new Map<string, Promise<boolean>>()
  #authorities: readonly string[] | undefined
  #usualContext: SecureContext | undefined

  constructor(options: RouteOptions) {
    this.#options = options
  }

  /**
   * The way to a URL.
   *
   * @param via the server that named this URL in a redirect, token realm or upload location; when it is public and
   *   another origin, only public addresses are connected to
   */
  async agentFor(url: URL, via: URL | undefined): Promise<RouteAgent> {
    return this.#agentAt(await this.#routeTo(url, via))
  }

  /**
   * The HTTP/2 connection to a URL's origin that requests share; undefined when its server speaks HTTP/1.1 alone.
   *
   * @param via as for {@link agentFor}
   */
  async sharedFor(url: URL, via: URL | undefined): Promise<SharedConnection | undefined> {
    if (url.protocol !== 'https:') return undefined
    const route = await this.#routeTo(url, via)
    for (;;) {
      let opening = this.#shared.get(route.key)
      if (opening === undefined) {
        opening = this.#openShared(route)
        this.#shared.set(route.key, opening)
      }
      try {
        const shared = await opening
        if (shared === undefined || shared.isUsable) return shared
        this.#forget(route.key, opening)
      } catch (error) {
        this.#forget(route.key, opening)
        throw error
      }
    }
  }

  #forget(key: string, opening: Promise<SharedConnection | undefined>): void {
    if (this.#shared.get(key) === opening) this.#shared.delete(key)
  }

  /** From now on requests to an origin go over HTTP/1.1: its server said so. */
  async forbidShared(url: URL, via: URL | undefined): Promise<void> {
    const { key } = await this.#routeTo(url, via)
    this.#shared.set(key, Promise.resolve(undefined))
  }

  async #routeTo(url: URL, via: URL | undefined): Promise<Route> {
    const proxy = proxyFor(url, this.#options.env)
    const guarded = proxy === undefined && via !== undefined && (await this.#isJudged(url, via))
    return { url, proxy, guarded, key: `${guarded} ${url.origin}` }
  }

  #agentAt({ url, proxy, guarded, key }: Route): RouteAgent {
    let agent = this.#agents.get(key)
    if (agent === undefined) {
      agent = new RouteAgent(url, this.#connectOptions(url, proxy, guarded))
      this.#agents.set(key, agent)
    }
    return agent
  }

  async #openShared(route: Route): Promise<SharedConnection | undefined> {
    const agent = this.#agentAt(route)
    const [{ SharedConnection }, socket] = await Promise.all([
      // Loaded when it is first needed: most runs of the program share no connection.
      import('./shared-connection.ts'),
      openConnection(route.url, { ...agent.connect, protocols: ['h2', 'http/1.1'] }),
    ])
    if ((socket as TLSSocket).alpnProtocol === 'h2') return new SharedConnection(route.url, socket)
    agent.adopt(socket)
    return undefined
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
    // A name that was not found out may be asked for again; who asked now hears of it.
    answer.catch(() => this.#isPublicHost.delete(hostname))
    return answer
  }

  #connectOptions(url: URL, proxy: Proxy | undefined, guarded: boolean): ConnectOptions {
    const { connectTimeoutMs, lookup, isPublicAddress, tls, env } = this.#options
    const secure = url.protocol === 'https:' || proxy?.url.protocol === 'https:'
    if (secure) this.#authorities ??= trustedAuthorities(env)
    const settings = tls(url.host) ?? {}
    const tlsOptions = secure
      ? { context: this.#contextFor(settings, url.host), insecure: settings.insecure === true }
      : undefined
    return {
      timeoutMs: connectTimeoutMs,
      lookup,
      proxy,
      allows: guarded ? isPublicAddress : undefined,
      tls: tlsOptions,
    }
  }

  /** Most hosts are trusted alike, and parsing the authorities once takes 80 ms. */
  #contextFor(settings: TlsSettings, host: string): SecureContext {
    const authorities = this.#authorities ?? []
    if (settings.ca ?? settings.cert ?? settings.key) return secureContext(settings, authorities, host)
    this.#usualContext ??= secureContext({}, authorities)
    return this.#usualContext
  }
}

/** Where to, through what, and how far the address is trusted. */
interface Route {
  readonly url: URL
  readonly proxy: Proxy | undefined
  readonly guarded: boolean
  readonly key: string
}

/** Keeps connections to one origin alive; its idle ones do not keep the process alive. */
class RouteAgent extends Agent {
  readonly #origin: URL
  readonly #adopted: Duplex[] = []
  readonly connect: ConnectOptions
  // Read by `ClientRequest`, which refuses an agent of the other protocol.
  readonly protocol: string
  readonly defaultPort: number

  constructor(origin: URL, connect: ConnectOptions) {
    super({ keepAlive: true, scheduling: 'lifo' })
    this.#origin = origin
    this.connect = connect
    this.protocol = origin.protocol
    this.defaultPort = origin.protocol === 'https:' ? 443 : 80
  }

  /** Takes a connection that was opened for something else and serves the next request as well as a new one. */
  adopt(socket: Duplex): void {
    socket.on('error', () => {})
    this.#adopted.push(socket)
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const adopted = this.#adopted.pop()
    if (adopted?.destroyed === false) {
      callback?.(null, adopted)
      return undefined
    }
    openConnection(this.#origin, this.connect).then(
      (socket) => callback?.(null, socket),
      // The second argument is not read when there is an error.
      (error: Error) => callback?.(error, undefined as never),
    )
    return undefined
  }

  /** Called by `ClientRequest`: a plain request through a proxy names the whole URL (RFC 9112 section 3.2.2). */
  addRequest(request: ClientRequest, options: unknown): void {
    const { proxy } = this.connect
    if (proxy !== undefined && this.#origin.protocol === 'http:') {
      request.path = `${this.#origin.origin}${request.path}`
      if (proxy.authorization !== undefined) request.setHeader('proxy-authorization', proxy.authorization)
    }
    // Node's own method, which its types do not declare.
    const base = Agent.prototype as unknown as { addRequest(request: ClientRequest, options: unknown): void }
    base.addRequest.call(this, request, options)
  }
}
