import { createServer as createHttpServer, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { listen } from '../../src/core/net/listen.ts'
import { htpasswdAuthenticator } from './authentication.ts'
import { directoryStorage } from './directory-storage.ts'
import { IDLE_MS, makeHandler, type HandlerOptions, type RequestEvent } from './handler.ts'
import { memoryStorage } from './memory-storage.ts'
import { Registry, type RegistrySettings } from './registry.ts'

export type { RequestEvent } from './handler.ts'

/** Settings of {@link serveRegistry}. */
export interface ServeOptions extends RegistrySettings {
  /** A free one unless given. */
  readonly port?: number | undefined
  /** The address to listen on; 127.0.0.1 unless given, so that only this machine gets in. */
  readonly host?: string | undefined
  readonly storage: { readonly kind: 'memory' } | { readonly kind: 'directory'; readonly path: string }
  /** Path of a password file (bcrypt); without one everybody may do everything. */
  readonly htpasswd?: string | undefined
  /** Serves HTTPS; with `clientCa` only clients that show a certificate of it get in. PEM texts. */
  readonly tls?:
    | { readonly cert: string | Buffer; readonly key: string | Buffer; readonly clientCa?: string | Buffer | undefined }
    | undefined
  /** A connection on which nothing moves for this long is cut, and so is one whose body trickles; 5 minutes unless given. */
  readonly idleMs?: number | undefined
  readonly onRequest?: ((event: RequestEvent) => void) | undefined
  readonly onError?: ((error: unknown) => void) | undefined
}

/** A registry that is being served. */
export interface ServedRegistry {
  /** Such as `http://127.0.0.1:5000`, without a slash at the end. */
  readonly url: string
  /** `host:port`, as references begin with it. */
  readonly authority: string
  readonly port: number
  /** Stops: requests under way may end within the grace time (1 s unless given), then connections are cut. */
  close(graceMs?: number): Promise<void>
}

/** Uploads that nobody touched for a day are thrown away. */
const UPLOAD_EXPIRY_MS = 24 * 60 * 60 * 1000
const EXPIRY_INTERVAL_MS = 60 * 60 * 1000

/**
 * Serves an OCI registry from this process.
 *
 * @throws BuildError FILE_UNWRITABLE (storage), INPUT_INVALID (password file), NETWORK_REFUSED (port in use)
 * @example const registry = await serveRegistry({ storage: { kind: 'memory' } })
 */
export async function serveRegistry(options: ServeOptions): Promise<ServedRegistry> {
  const authenticate = options.htpasswd === undefined ? undefined : await htpasswdAuthenticator(options.htpasswd)
  const storage = options.storage.kind === 'memory' ? memoryStorage() : await directoryStorage(options.storage.path)
  const registry = new Registry(storage, options)
  const server = makeServer(options, registry, { ...options, authenticate })
  try {
    await registry.uploads.expire(UPLOAD_EXPIRY_MS)
    await listen(server, options.host ?? '127.0.0.1', options.port ?? 0)
  } catch (error) {
    await storage.close()
    throw error
  }
  const expiry = setInterval(() => {
    registry.uploads.expire(UPLOAD_EXPIRY_MS).catch((error: unknown) => options.onError?.(error))
  }, EXPIRY_INTERVAL_MS).unref()

  const { port } = server.address() as AddressInfo
  const host = options.host ?? '127.0.0.1'
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${authority}`,
    authority,
    port,
    close: async (graceMs = 1_000) => {
      clearInterval(expiry)
      await stop(server, graceMs)
      await storage.close()
    },
  }
}

function makeServer(options: ServeOptions, registry: Registry, handling: HandlerOptions): Server {
  const handler = makeHandler(registry, handling)
  const { tls } = options
  const server =
    tls === undefined
      ? createHttpServer()
      : createHttpsServer({
          cert: tls.cert,
          key: tls.key,
          ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
        })
  server.on('request', (request, response) => handler(request, response))
  server.on('checkContinue', (request, response) => handler(request, response, true))
  // A layer may take hours; what must not happen is that nothing moves: see patience.ts.
  server.requestTimeout = 0
  server.setTimeout(options.idleMs ?? IDLE_MS)
  // Longer than clients keep connections, so that they are the ones who close: a request never meets a closing server.
  server.keepAliveTimeout = 120_000
  return server
}

async function stop(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = setTimeout(() => server.closeAllConnections(), graceMs)
  await closed
  clearTimeout(cut)
}
