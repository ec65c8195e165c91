import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { listen } from '../core/net/listen.ts'
import { Router, type RouterOptions } from './router.ts'
import type { RouteTable } from './table.ts'

/** Settings of {@link serveRouter}. */
export interface ServeRouterOptions extends RouterOptions {
  readonly table: RouteTable
  /** A free one unless given. */
  readonly port?: number | undefined
  /** 127.0.0.1 unless given. */
  readonly host?: string | undefined
}

/** A router at work. */
export interface ServedRouter {
  readonly url: string
  readonly router: Router
  /** Takes no more connections, lets what is under way end for so long, and cuts the rest. */
  close(graceMs: number): Promise<void>
}

/** Longer than clients keep connections, so that they are the ones who close. */
const KEEP_ALIVE_MS = 75_000
const SWEEP_MS = 50

/** Listens and sends requests to versions. @throws BuildError NETWORK_REFUSED when the port is taken */
export async function serveRouter(options: ServeRouterOptions): Promise<ServedRouter> {
  const router = new Router(options.table, options)
  const server = createServer((request, response) => void router.handle(request, response))
  // The version says whether it wants the body.
  server.on('checkContinue', (request, response) => void router.handle(request, response))
  // An upload may take hours.
  server.requestTimeout = 0
  server.keepAliveTimeout = KEEP_ALIVE_MS
  const { port = 0, host = '127.0.0.1' } = options
  try {
    await listen(server, host, port)
  } catch (error) {
    await router.close()
    throw error
  }
  const { port: own } = server.address() as AddressInfo
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${own}`,
    router,
    close: (graceMs) => drain(server, router, graceMs),
  }
}

async function drain(server: Server, router: Router, graceMs: number): Promise<void> {
  router.isDraining = true
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // Those that become idle as well: nothing more is to come on them.
  const sweep = setInterval(() => server.closeIdleConnections(), SWEEP_MS)
  const cut = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearTimeout(cut)
  clearInterval(sweep)
  await router.close()
}
