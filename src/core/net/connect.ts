import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns'
import { request as httpRequest } from 'node:http'
import { connect, type LookupFunction, type OnReadOpts, Socket, type TcpSocketConnectOpts } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import { BuildError, systemErrorCode } from '../errors.ts'
import { isAddress, withoutBrackets } from './addresses.ts'
import type { Proxy } from './proxy.ts'

/** Turns a host name into addresses; fails as `dns.lookup` does. */
export type Lookup = (hostname: string) => Promise<readonly LookupAddress[]>

/** Whom to trust on the other side. */
export interface Tls {
  readonly context: SecureContext
  /** Accepts any certificate of the origin (never of a proxy). */
  readonly insecure: boolean
}

/** What a connection needs besides where it goes. */
export interface ConnectOptions {
  readonly timeoutMs: number
  readonly lookup: Lookup
  /** When given, only addresses that pass may be connected to. */
  readonly allows: ((address: string) => boolean) | undefined
  /** Needed when the origin or the proxy is `https:`. */
  readonly tls: Tls | undefined
  readonly proxy: Proxy | undefined
  /** Protocols to offer to an `https:` origin, best first; HTTP/1.1 alone unless given. */
  readonly protocols?: readonly string[] | undefined
}

/** The system's resolver. */
export const systemLookup: Lookup = (hostname) =>
  new Promise((resolve, reject) => {
    dnsLookup(hostname, { all: true }, (error, addresses) => (error === null ? resolve(addresses) : reject(error)))
  })

/** All addresses of a host; an address in text is its own. */
export async function addressesOf(hostname: string, lookup: Lookup): Promise<readonly string[]> {
  const name = withoutBrackets(hostname)
  if (isAddress(name)) return [name]
  return (await lookup(name)).map(({ address }) => address)
}

/** Opens a connection to an origin: through the proxy if there is one, with TLS for `https:`. */
export async function openConnection(origin: URL, options: ConnectOptions): Promise<Socket> {
  const { proxy } = options
  if (origin.protocol === 'http:') return proxy === undefined ? openSocket(origin, options) : openProxy(proxy, options)
  const socket = proxy === undefined ? await openSocket(origin, options) : await openTunnel(origin, proxy, options)
  return startTls(socket, origin, options)
}

/**
 * Opens a connection to an origin whose bytes go where `onread` says instead of being events.
 *
 * @throws RangeError when a proxy is in the way, which Node does not offer this for
 */
export function openDirect(origin: URL, options: ConnectOptions, onread: OnReadOpts): Promise<Socket> {
  if (options.proxy !== undefined) throw new RangeError('Not through a proxy')
  if (origin.protocol === 'http:') return openSocket(origin, options, onread)
  const refusal = refusalOf(origin, options)
  if (refusal !== undefined) return Promise.reject(refusal)
  return startTls({ ...socketOptions(origin, options), onread }, origin, options)
}

/** A proxy's own address is the user's choice, so it is not judged by `allows`. */
async function openProxy(proxy: Proxy, options: ConnectOptions): Promise<Socket> {
  try {
    const socket = await openSocket(proxy.url, { ...options, allows: undefined })
    if (proxy.url.protocol === 'http:') return socket
    return await startTls(socket, proxy.url, {
      ...options,
      tls: options.tls && { ...options.tls, insecure: false },
      protocols: undefined,
    })
  } catch (cause) {
    throw unreachableProxy(proxy, cause)
  }
}

/** The same failure, which would read as if the server itself could not be reached. */
function unreachableProxy(proxy: Proxy, cause: unknown): unknown {
  const code = systemErrorCode(cause)
  if (code === undefined || !(cause instanceof Error) || cause instanceof BuildError) return cause
  const { host } = proxy.url
  const words = 'reason' in cause && typeof cause.reason === 'string' ? cause.reason : cause.message
  return Object.assign(new Error(`The proxy ${host} cannot be reached: ${words}`, { cause }), {
    code,
    syscall: isUnreached(cause) ? 'connect' : undefined,
    proxy: host,
  })
}

function openSocket(target: URL, options: ConnectOptions, onread?: OnReadOpts): Promise<Socket> {
  const refusal = refusalOf(target, options)
  if (refusal !== undefined) return Promise.reject(refusal)
  return new Promise((resolve, reject) => {
    const socket = connect({ ...socketOptions(target, options), ...(onread === undefined ? {} : { onread }) })
    settle(socket, 'connect', options.timeoutMs, `connect to ${target.host}`, resolve, reject)
  })
}

/** An address in text is judged here; a name by {@link judgingLookup}. */
function refusalOf(target: URL, { allows }: ConnectOptions): Error | undefined {
  const host = withoutBrackets(target.hostname)
  return allows !== undefined && isAddress(host) && !allows(host) ? refused(host) : undefined
}

function socketOptions(target: URL, options: ConnectOptions): TcpSocketConnectOpts {
  return {
    host: withoutBrackets(target.hostname),
    port: portOf(target),
    lookup: judgingLookup(options),
    // Node 20 gives each address 250 ms, too little for far hosts (nodejs/node#47822).
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: 2000,
    noDelay: true,
  }
}

/** @param carrier an open connection, or how to open one */
function startTls(carrier: Socket | TcpSocketConnectOpts, origin: URL, options: ConnectOptions): Promise<Socket> {
  const { tls, timeoutMs } = options
  if (tls === undefined) throw new RangeError(`No TLS context for ${origin.origin}`)
  const host = withoutBrackets(origin.hostname)
  return new Promise((resolve, reject) => {
    const secure = connectTls({
      ...(carrier instanceof Socket ? { socket: carrier } : carrier),
      secureContext: tls.context,
      rejectUnauthorized: !tls.insecure,
      ALPNProtocols: [...(options.protocols ?? ['http/1.1'])],
      ...(isAddress(host) ? { host } : { servername: host, host }),
    })
    settle(secure, 'secureConnect', timeoutMs, `agree on TLS with ${origin.host}`, resolve, reject)
  })
}

/** `CONNECT host:port`: the proxy becomes a pipe to the origin (RFC 9110 section 9.3.6). */
async function openTunnel(origin: URL, proxy: Proxy, options: ConnectOptions): Promise<Socket> {
  const carrier = await openProxy(proxy, options)
  const authority = `${origin.hostname}:${portOf(origin)}`
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => carrier,
      method: 'CONNECT',
      path: authority,
      headers: {
        host: authority,
        ...(proxy.authorization === undefined ? {} : { 'proxy-authorization': proxy.authorization }),
      },
      timeout: options.timeoutMs,
    })
    request.on('timeout', () => request.destroy(timeoutError(`reach ${origin.host} through the proxy`)))
    request.on('error', reject)
    request.on('connect', (answer, socket: Socket, head) => {
      if (answer.statusCode !== 200) {
        socket.destroy()
        reject(tunnelError(answer.statusCode ?? 0, origin, proxy))
        return
      }
      socket.setTimeout(0)
      if (head.length > 0) socket.unshift(head)
      resolve(socket)
    })
    request.end()
  })
}

/** The first of: the wanted event, an error, the time being up. */
function settle(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  timeoutMs: number,
  what: string,
  resolve: (socket: Socket) => void,
  reject: (error: Error) => void,
): void {
  const timer = setTimeout(() => socket.destroy(Object.assign(timeoutError(what), { syscall: 'connect' })), timeoutMs)
  const fail = (error: Error): void => {
    clearTimeout(timer)
    socket.destroy()
    reject(error)
  }
  const close = (): void => fail(Object.assign(new Error('The connection was closed'), { code: 'ECONNRESET' }))
  socket.once('error', fail)
  socket.once('close', close)
  socket.once(event, () => {
    clearTimeout(timer)
    socket.off('error', fail)
    socket.off('close', close)
    resolve(socket)
  })
}

/** A lookup for `net.connect` that drops addresses which are not allowed, so that what is judged is what is connected. */
function judgingLookup(options: ConnectOptions): LookupFunction {
  const { allows = () => true } = options
  return (hostname: string, wanted: LookupOptions, callback) => {
    options.lookup(hostname).then(
      (found) => {
        const usable = found.filter(({ address }) => allows(address))
        const [first] = usable
        if (first === undefined) callback(found.length === 0 ? notFound(hostname) : refused(hostname), '', 0)
        else if (wanted.all === true) callback(null, [...usable])
        else callback(null, first.address, first.family)
      },
      (error: NodeJS.ErrnoException) => callback(error, '', 0),
    )
  }
}

/** The port of a URL, defaults filled in. */
export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

function refused(host: string): Error {
  const cause = new BuildError(
    'NETWORK_REFUSED',
    `A public server pointed at an address that is not public: \`${host}\``,
    {
      hint:
        'Servers on the internet may not lead this program into your network. If this host is yours (split DNS, a private ' +
        'link), name it in LAYERWRIGHT_PRIVATE_HOSTS.',
      data: { host },
    },
  )
  return cause
}

function notFound(hostname: string): Error {
  return Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' })
}

/** Tells whether a failure came before there was a connection: no name server answered, or nobody at the address. */
export function isUnreached(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  // Node tries each address of a name and gathers what came of them.
  if (error instanceof AggregateError) return error.errors.every(isUnreached)
  return 'syscall' in error && (error.syscall === 'connect' || error.syscall === 'getaddrinfo')
}

/** An error with the code that a timed-out connection has. */
export function timeoutError(what: string): Error {
  return Object.assign(new Error(`Timed out while trying to ${what}`), { code: 'ETIMEDOUT' })
}

function tunnelError(status: number, origin: URL, proxy: Proxy): Error {
  const message = `The proxy ${proxy.url.host} answered ${status} when asked for ${origin.host}`
  if (status === 407)
    return new BuildError('NETWORK_REFUSED', message, {
      hint: 'Put the user and password into the proxy variable: http://user:password@proxy:port',
    })
  return Object.assign(new Error(message), { code: status >= 500 ? 'ECONNRESET' : 'EPROXY' })
}
