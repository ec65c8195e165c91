import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { explainWriteError } from '../../src/core/atomic-file.ts'
import { isBuildError, systemErrorCode } from '../../src/core/errors.ts'
import { CHALLENGE, type Authenticator } from './authentication.ts'
import { json, makeCall, type Answer, type Call } from './exchange.ts'
import { Fault } from './fault.ts'
import { deleteBlob, getBlob } from './handlers/blobs.ts'
import { listReferrers, listRepositories, listTags } from './handlers/lists.ts'
import { deleteManifest, getManifest, putManifest } from './handlers/manifests.ts'
import { deleteUpload, getUpload, patchUpload, putUpload, startUpload } from './handlers/uploads.ts'
import { isRepositoryName } from './names.ts'
import { watchBody } from './patience.ts'
import type { Registry } from './registry.ts'
import { parseRoute, type Route } from './route.ts'

/** One request that was answered, for a log. Holds no credentials. */
export interface RequestEvent {
  readonly method: string
  /** Path and query. */
  readonly url: string
  /** Undefined when the connection broke before there was an answer. */
  readonly status: number | undefined
  readonly durationMs: number
}

/** How requests are let in and reported. */
export interface HandlerOptions {
  /** Everybody may do everything when there is none. */
  readonly authenticate?: Authenticator | undefined
  readonly onRequest?: ((event: RequestEvent) => void) | undefined
  /** A request whose body does not get on for this long is given up; 5 minutes unless given. */
  readonly idleMs?: number | undefined
  /** Is told what went wrong on our side; the client only learns that something did. */
  readonly onError?: ((error: unknown) => void) | undefined
}

/** Answers requests of Node's server. Never throws. `mustContinue`: the client waits for `100 Continue`. */
export type Handler = (request: IncomingMessage, response: ServerResponse, mustContinue?: boolean) => void

/** Generous: a client may make the next part of a layer before it sends it. */
export const IDLE_MS = 5 * 60 * 1000

/** Makes the request handler of a registry, to be put on a server. */
export function makeHandler(registry: Registry, options: HandlerOptions = {}): Handler {
  return (request, response, mustContinue = false) => {
    const startedMs = performance.now()
    response.once('close', () => {
      options.onRequest?.({
        method: request.method ?? '',
        url: request.url ?? '',
        status: response.headersSent ? response.statusCode : undefined,
        durationMs: performance.now() - startedMs,
      })
    })
    watchBody(request, response, options.idleMs ?? IDLE_MS)
    void respond(registry, options, { request, response, mustContinue })
  }
}

interface Connection {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly mustContinue: boolean
}

async function respond(registry: Registry, options: HandlerOptions, connection: Connection): Promise<void> {
  const { request, response } = connection
  try {
    await send(request, response, await handle(registry, options, connection))
  } catch (error) {
    const fault = toFault(error)
    if (fault !== error && !isDisconnect(error)) options.onError?.(error)
    if (response.destroyed || request.socket.destroyed) return
    if (response.headersSent) return void response.destroy()
    const body = fault.body()
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), ...fault.headers }
    response.writeHead(fault.status, headers).end(request.method === 'HEAD' ? undefined : body)
  }
}

async function handle(registry: Registry, options: HandlerOptions, connection: Connection): Promise<Answer> {
  const { request, response } = connection
  response.setHeader('docker-distribution-api-version', 'registry/2.0')
  const { path, query } = parseTarget(request.url ?? '/')
  await admit(options, request)
  const route = parseRoute(path)
  if (route === undefined) throw new Fault('UNSUPPORTED', `There is no ${path} here`, { status: 404 })
  if ('repository' in route && !isRepositoryName(route.repository)) {
    throw new Fault('NAME_INVALID', `Not a repository name, or a reserved one: ${route.repository}`)
  }
  assertPlainBody(request)
  const call = makeCall(request, query, () => {
    if (connection.mustContinue) response.writeContinue()
  })
  const work = actions(registry, call, route)[call.method === 'HEAD' ? 'GET' : call.method]
  if (work !== undefined) return work()
  const allowed = Object.keys(actions(registry, call, route)).join(', ')
  throw new Fault('UNSUPPORTED', `${call.method} is not possible here`, { headers: { allow: allowed } })
}

type Actions = Readonly<Record<string, () => Answer | Promise<Answer>>>

/** What can be done with a route, by method. */
function actions(registry: Registry, call: Call, route: Route): Actions {
  switch (route.kind) {
    case 'ping':
      return { GET: () => json({}) }
    case 'catalog':
      return { GET: () => listRepositories(registry, call) }
    case 'tags':
      return { GET: () => listTags(registry, call, route.repository) }
    case 'referrers':
      return { GET: () => listReferrers(registry, call, route.repository, route.digest) }
    case 'manifest':
      return {
        GET: () => getManifest(registry, call, route.repository, route.reference),
        PUT: () => putManifest(registry, call, route.repository, route.reference),
        DELETE: () => deleteManifest(registry, route.repository, route.reference),
      }
    case 'blob':
      return {
        GET: () => getBlob(registry, call, route.repository, route.digest),
        DELETE: () => deleteBlob(registry, route.repository, route.digest),
      }
    case 'uploads':
      return { POST: () => startUpload(registry, call, route.repository) }
    case 'upload':
      return {
        GET: () => getUpload(registry, route.repository, route.id),
        PATCH: () => patchUpload(registry, call, route.repository, route.id),
        PUT: () => putUpload(registry, call, route.repository, route.id),
        DELETE: () => deleteUpload(registry, call, route.repository, route.id),
      }
  }
}

async function admit(options: HandlerOptions, request: IncomingMessage): Promise<void> {
  // No registry client sends this; a web page that tries to write to a registry on its visitor's machine does.
  if (request.headers.origin !== undefined && !['GET', 'HEAD'].includes(request.method ?? '')) {
    throw new Fault('DENIED', 'Web pages may not write to this registry')
  }
  if (options.authenticate === undefined || (await options.authenticate(request.headers.authorization))) return
  throw new Fault('UNAUTHORIZED', 'User and password needed', { headers: { 'www-authenticate': CHALLENGE } })
}

/** Digests are of the bytes themselves: to store an encoded body would be to store something else (RFC 9110, section 8.4). */
function assertPlainBody({ headers }: IncomingMessage): void {
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding.trim().toLowerCase() === 'identity' || encoding.trim() === '') return
  const options = { status: 415, headers: { 'accept-encoding': 'identity' } }
  throw new Fault('UNSUPPORTED', `Bodies are taken as they are, without an encoding: ${encoding}`, options)
}

function parseTarget(target: string): { readonly path: string; readonly query: URLSearchParams } {
  const mark = target.indexOf('?')
  const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1))
  try {
    return { path: decodeURIComponent(mark < 0 ? target : target.slice(0, mark)), query }
  } catch {
    // Which byte is wrong, decodeURIComponent does not say.
    throw new Fault('NAME_INVALID', 'The path is not properly encoded')
  }
}

async function send(request: IncomingMessage, response: ServerResponse, answer: Answer): Promise<void> {
  const { status, headers = {}, body } = answer
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value)
  if (body === undefined) {
    if (status !== 204 && status !== 304) response.setHeader('content-length', 0)
    return void response.writeHead(status).end()
  }
  const isHead = request.method === 'HEAD'
  if (typeof body === 'string' || body instanceof Uint8Array) {
    response.setHeader('content-length', Buffer.byteLength(body))
    return void response.writeHead(status).end(isHead ? undefined : body)
  }
  try {
    response.writeHead(status, { 'content-length': body.sizeBytes })
    if (isHead) response.end()
    else await pipeline(body.stream(), response)
  } finally {
    await body.close()
  }
}

/** A client that went away is no error of ours. */
function isDisconnect(error: unknown): boolean {
  const code = systemErrorCode(error) ?? ''
  return ['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_DESTROYED', 'ABORT_ERR'].includes(code)
}

function toFault(error: unknown): Fault {
  if (error instanceof Fault) return error
  if (isBuildError(explainWriteError(error, 'the storage'), 'DISK_FULL') || isBuildError(error, 'DISK_FULL')) {
    return new Fault('UNKNOWN', 'The registry has no space left', { status: 507 })
  }
  return new Fault('UNKNOWN', 'The registry failed')
}
