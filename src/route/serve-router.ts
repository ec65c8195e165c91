import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { listen } from '../core/net/listen.ts'
import { Router, type RouterOptions } from './router.ts'
import type { RouteTable } from './table.ts'

/** A certificate, with those that signed it after it, and its key: PEM. */
export interface ServerCertificate {
  readonly cert: string | Buffer
  readonly key: string | Buffer
}

/** Settings of {@link serveRouter}. */
export interface ServeRouterOptions extends RouterOptions {
  readonly table: RouteTable
  /** A free one unless given. */
  readonly port?: number | undefined
  /** 127.0.0.1 unless given. */
  readonly host?: string | undefined
  /** Serves HTTPS. */
  readonly certificate?: ServerCertificate | undefined
}

/** A router at work. */
export interface ServedRouter {
  readonly url: string
  readonly router: Router
  /** Shows another certificate on connections from now on; those there are stay. Only of a router that serves HTTPS. */
  replaceCertificate(certificate: ServerCertificate): void
  /** Takes no more connections, lets what is under way end for so long, and cuts the rest. */
  close(graceMs: number): Promise<void>
}

/** Longer than clients keep connections, so that they are the ones who close. */
const KEEP_ALIVE_MS = 75_000
const SWEEP_MS = 50

/**
 * Listens and sends requests to versions.
 *
 * @throws BuildError NETWORK_REFUSED when the port is taken, and what {@link Router} throws
 */
export async function serveRouter(options: ServeRouterOptions): Promise<ServedRouter> {
  const router = new Router(options.table, options)
  const { certificate, port = 0, host = '127.0.0.1' } = options
  const handle: RequestListener = (request, response) => void router.handle(request, response)
  const secure = certificate === undefined ? undefined : createSecureServer(secureOptions(certificate), handle)
  const server = secure ?? createServer(handle)
  // The version says whether it wants the body.
  server.on('checkContinue', handle)
  // An upload may take hours.
  server.requestTimeout = 0
  server.keepAliveTimeout = KEEP_ALIVE_MS
  // Node's own list lacks those that have not shaken hands.
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  try {
    await listen(server, host, port)
  } catch (error) {
    await router.close()
    throw error
  }
  const { port: own } = server.address() as AddressInfo
  return {
    url: `${secure === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${own}`,
    router,
    replaceCertificate: (next) => {
      if (secure === undefined) throw new TypeError('The router serves no HTTPS')
      secure.setSecureContext(secureOptions(next))
    },
    close: (graceMs) => drain(server, sockets, router, graceMs),
  }
}

/** Whatever Node's own settings say: what is older than TLS 1.2 is broken (RFC 8996). */
function secureOptions({ cert, key }: ServerCertificate) {
  return { cert, key, minVersion: 'TLSv1.2' } as const
}

async function drain(
  server: Server | SecureServer,
  sockets: ReadonlySet<Socket>,
  router: Router,
  graceMs: number,
): Promise<void> {
  router.isDraining = true
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // Those that become idle as well: nothing more is to come on them.
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS)
  const cut = setTimeout(() => {
    for (const socket of sockets) socket.destroy()
  }, graceMs)
  await closed
  clearTimeout(cut)
  clearInterval(sweep)
  await router.close()
}
