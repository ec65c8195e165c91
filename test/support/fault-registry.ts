import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'
import { collect } from '../../src/core/bytes.ts'
import type { Image } from '../../src/image/image.ts'

/** What a request to the registry is about. */
export type RequestKind =
  | 'ping'
  | 'token'
  | 'get-manifest'
  | 'head-manifest'
  | 'put-manifest'
  | 'delete-manifest'
  | 'get-blob'
  | 'head-blob'
  | 'start-upload'
  | 'mount'
  | 'put-upload'
  | 'patch-upload'
  | 'delete-upload'
  | 'upload-status'
  | 'tags'
  | 'referrers'

/** One way to misbehave. */
export type Misbehaviour =
  /** Answers this instead. The body of the request is read first. */
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Headers; readonly body?: string }
  /** Breaks the connection after this many bytes of the body, ours for a GET, theirs for an upload. */
  | { readonly kind: 'cut'; readonly afterBytes: number; readonly isReset?: boolean }
  /** Breaks the connection before anything is read or said. */
  | { readonly kind: 'reset' }
  /** Goes silent: before the answer, or after some bytes of it. */
  | { readonly kind: 'stall'; readonly afterBytes?: number }
  /** Sends the body in small pieces with pauses. */
  | { readonly kind: 'slow'; readonly pieces: number; readonly pauseMs: number }
  /** Does what was asked and breaks the connection instead of saying so. */
  | { readonly kind: 'lost-ack' }
  /** Ends the body early without Content-Length, so that it looks whole. */
  | { readonly kind: 'end-early'; readonly afterBytes: number }
  | { readonly kind: 'corrupt' }
  | { readonly kind: 'extra-bytes' }
  /** Sends everything with 200 to a Range request. */
  | { readonly kind: 'ignore-range' }
  /** Sends another part than asked for, and says so. */
  | { readonly kind: 'lie-range' }
  /** Forgets the upload before answering. */
  | { readonly kind: 'forget-upload' }
  /** Changes headers of the right answer; undefined removes one. */
  | { readonly kind: 'headers'; readonly set: Readonly<Record<string, string | undefined>> }
  /** Says something else altogether. */
  | { readonly kind: 'reply'; readonly make: (reply: Reply, request: Seen) => Reply }

/** When to misbehave. */
export interface Fault {
  readonly on: RequestKind
  readonly do: Misbehaviour
  /** How often; 1 unless given. */
  readonly times?: number
  /** Requests of the kind that go well before; 0 unless given. */
  readonly after?: number
  /** Only requests that this is true for. */
  readonly when?: (request: Seen) => boolean
}

type Headers = Readonly<Record<string, string | readonly string[]>>

/** An answer before it is sent. */
export interface Reply {
  readonly status: number
  readonly headers?: Headers
  readonly body?: Buffer
}

/** A request as it came. */
export interface Seen {
  readonly kind: RequestKind
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  /** What TLS agreed on; undefined without TLS. */
  readonly protocol?: string | false | null | undefined
}

/** How the registry wants to be proven to. */
export type Protection =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly username: string; readonly password: string }
  | {
      readonly kind: 'bearer'
      /** Undefined: tokens for everybody. */
      readonly username?: string
      readonly password?: string
      /** Requests that a token is good for. */
      readonly uses?: number
      readonly realm?: string
      /** The value of `WWW-Authenticate` in place of the right one. */
      readonly challenge?: (realm: string) => string | readonly string[]
      readonly tokenBody?: (token: string) => object
    }

/** Options of {@link startFaultRegistry}. */
export interface FaultRegistryOptions {
  readonly protection?: Protection
  readonly faults?: readonly Fault[]
  readonly host?: string
  /** Whether blobs can be mounted at all. */
  readonly mounts?: boolean
  readonly referrersApi?: boolean
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca?: string }
  /** Turns the path of an upload into what Location says. */
  readonly location?: (path: string, origin: string) => string
}

/** A registry in memory that misbehaves as told. */
export interface FaultRegistry {
  /** `127.0.0.1:PORT`, for references. */
  readonly host: string
  readonly origin: string
  readonly requests: readonly Seen[]
  readonly blobs: Map<string, Map<string, Buffer>>
  /** How many uploads are begun and neither closed nor cancelled. */
  readonly openUploads: () => number
  readonly manifests: Map<string, Map<string, { readonly bytes: Buffer; readonly mediaType: string }>>
  /** Puts an image there without any request. */
  seed(repository: string, tag: string, image: Image): Promise<void>
  /** Adds faults; each counts from now. */
  fail(...faults: Fault[]): void
  /** Forgets faults and requests seen. */
  calm(): void
  kinds(): RequestKind[]
  close(): Promise<void>
}

interface Upload {
  readonly repository: string
  bytes: Buffer
}

/** Starts a registry on a free port of loopback. */
export async function startFaultRegistry(options: FaultRegistryOptions = {}): Promise<FaultRegistry> {
  const { host = '127.0.0.1', protection = { kind: 'none' }, tls } = options
  const seen: Seen[] = []
  const blobs: FaultRegistry['blobs'] = new Map()
  const manifests: FaultRegistry['manifests'] = new Map()
  const uploads = new Map<string, Upload>()
  const tokens = new Map<string, number>()
  let active: { fault: Fault; left: number; skip: number }[] = []
  let lastUpload = 0
  const registry = { options, protection, blobs, manifests, uploads, tokens, nextUpload: () => ++lastUpload }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', origin())
    const kind = kindOf(request.method ?? 'GET', url)
    const entry: Seen = {
      kind,
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      headers: request.headers,
      protocol: protocolOf(request),
    }
    seen.push(entry)
    const fault = take(active, entry)
    if (fault?.kind === 'reset') {
      request.socket.resetAndDestroy()
      return
    }
    if (fault?.kind === 'stall' && fault.afterBytes === undefined) return
    if (fault?.kind === 'forget-upload') uploads.clear()
    if (fault?.kind === 'status') {
      await drain(request)
      send(response, { status: fault.status, headers: fault.headers ?? {}, body: Buffer.from(fault.body ?? '') })
      return
    }
    const limit = fault?.kind === 'cut' && /^(put|patch)-upload$/.test(kind) ? fault.afterBytes : undefined
    const body = await receive(request, limit)
    const asked = fault?.kind === 'ignore-range' ? { ...entry, headers: { ...entry.headers, range: undefined } } : entry
    const reply = answer(registry, asked, url, body.bytes, origin())
    if (body.isCut || fault?.kind === 'lost-ack') {
      request.socket.resetAndDestroy()
      return
    }
    await deliver(response, fault?.kind === 'reply' ? fault.make(reply, entry) : reply, fault, request)
  }

  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    // A client that goes away in the middle is what these tests are about.
    handle(request, response).catch(() => response.destroy())
  }
  const server: Server =
    tls === undefined
      ? createServer(listener)
      : createTlsServer(
          {
            ALPNProtocols: ['h2', 'http/1.1'],
            ...tls,
            ...(tls.ca === undefined ? {} : { requestCert: true, rejectUnauthorized: true }),
          },
          listener,
        )
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  const address = `${host}:${(server.address() as AddressInfo).port}`
  const origin = (): string => `${tls === undefined ? 'http' : 'https'}://${address}`
  const fail = (...faults: Fault[]): void => {
    active = [...active, ...faults.map((fault) => ({ fault, left: fault.times ?? 1, skip: fault.after ?? 0 }))]
  }
  fail(...(options.faults ?? []))
  return {
    host: address,
    origin: origin(),
    requests: seen,
    blobs,
    openUploads: () => uploads.size,
    manifests,
    fail,
    seed: async (repository, tag, image) => {
      for (const { open } of image.layers) store(registry, repository, await collect(open(), 1 << 26))
      store(registry, repository, image.configBytes)
      const { mediaType, digest } = image.descriptor
      const entry = { bytes: image.manifestBytes, mediaType }
      manifests.set(
        repository,
        new Map([
          [tag, entry],
          [digest, entry],
        ]),
      )
    },
    calm: () => {
      active = []
      seen.length = 0
    },
    kinds: () => seen.map(({ kind }) => kind),
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function protocolOf(request: IncomingMessage): string | false | null | undefined {
  return request.socket instanceof TLSSocket ? request.socket.alpnProtocol : undefined
}

/** The digest of bytes. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

interface Registry {
  readonly options: FaultRegistryOptions
  readonly protection: Protection
  readonly blobs: FaultRegistry['blobs']
  readonly manifests: FaultRegistry['manifests']
  readonly uploads: Map<string, Upload>
  readonly tokens: Map<string, number>
  readonly nextUpload: () => number
}

const NAME = '/v2/(?<name>.+?)'

function kindOf(method: string, url: URL): RequestKind {
  const { pathname } = url
  if (pathname === '/token') return 'token'
  if (/\/manifests\/[^/]+$/.test(pathname)) return `${method.toLowerCase()}-manifest` as RequestKind
  if (/\/blobs\/uploads\/?$/.test(pathname)) return url.searchParams.has('mount') ? 'mount' : 'start-upload'
  if (/\/blobs\/uploads\/[^/]+$/.test(pathname))
    return method === 'GET' ? 'upload-status' : (`${method.toLowerCase()}-upload` as RequestKind)
  if (/\/blobs\/[^/]+$/.test(pathname)) return `${method.toLowerCase()}-blob` as RequestKind
  if (pathname.endsWith('/tags/list')) return 'tags'
  if (/\/referrers\/[^/]+$/.test(pathname)) return 'referrers'
  return 'ping'
}

function take(active: { fault: Fault; left: number; skip: number }[], request: Seen): Misbehaviour | undefined {
  for (const entry of active) {
    if (entry.fault.on !== request.kind || entry.left === 0 || entry.fault.when?.(request) === false) continue
    if (entry.skip > 0) {
      entry.skip--
      continue
    }
    entry.left--
    return entry.fault.do
  }
  return undefined
}

async function receive(
  request: IncomingMessage,
  limit: number | undefined,
): Promise<{ readonly bytes: Buffer; readonly isCut: boolean }> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (limit !== undefined && size >= limit) return { bytes: Buffer.concat(chunks).subarray(0, limit), isCut: true }
  }
  return { bytes: Buffer.concat(chunks), isCut: false }
}

async function drain(request: IncomingMessage): Promise<void> {
  for await (const _ of request);
}

function answer(registry: Registry, request: Seen, url: URL, body: Buffer, origin: string): Reply {
  if (request.kind === 'token') return giveToken(registry, request, url)
  const refusal = refuse(registry, request, origin)
  if (refusal !== undefined) return refusal
  const path = decodeURIComponent(url.pathname)
  const match = (pattern: string): Record<string, string | undefined> | undefined =>
    new RegExp(`^${NAME}${pattern}$`).exec(path)?.groups
  const { kind } = request
  const manifest = match('/manifests/(?<reference>[^/]+)')
  if (manifest !== undefined)
    return manifests(registry, request, manifest['name'] ?? '', manifest['reference'] ?? '', body)
  const start = match('/blobs/uploads/?')
  if (start !== undefined) return startUpload(registry, url, start['name'] ?? '', origin)
  const upload = match('/blobs/uploads/(?<id>[^/]+)')
  if (upload !== undefined) return continueUpload(registry, request, url, upload['id'] ?? '', body, origin)
  const blob = match('/blobs/(?<digest>[^/]+)')
  if (blob !== undefined) return readBlob(registry, request, blob['name'] ?? '', blob['digest'] ?? '')
  if (kind === 'tags') return listTags(registry, match('/tags/list')?.['name'] ?? '', url)
  if (kind === 'referrers') return { status: 404, body: wire('NOT_FOUND') }
  return { status: 200, body: Buffer.from('{}') }
}

function giveToken({ protection, tokens }: Registry, request: Seen, url: URL): Reply {
  if (protection.kind !== 'bearer') return { status: 404 }
  const { username, password, tokenBody } = protection
  if (username !== undefined && request.method === 'GET') {
    const wanted = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
    if (request.headers.authorization !== wanted) return { status: 401, body: wire('UNAUTHORIZED') }
  }
  const token = `t${tokens.size + 1}.${url.searchParams.getAll('scope').join('|')}`
  tokens.set(token, protection.uses ?? Infinity)
  const document = tokenBody?.(token) ?? { token, expires_in: 300 }
  return { status: 200, headers: { 'content-type': 'application/json' }, body: Buffer.from(JSON.stringify(document)) }
}

function refuse({ protection, tokens }: Registry, request: Seen, origin: string): Reply | undefined {
  const { authorization } = request.headers
  if (protection.kind === 'none') return undefined
  if (protection.kind === 'basic') {
    const { username, password } = protection
    if (authorization === `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`) return undefined
    return { status: 401, headers: { 'www-authenticate': 'Basic realm="test"' }, body: wire('UNAUTHORIZED') }
  }
  const token = /^Bearer (.*)$/.exec(authorization ?? '')?.[1]
  const left = token === undefined ? undefined : tokens.get(token)
  if (token !== undefined && left !== undefined && left > 0) {
    tokens.set(token, left - 1)
    return undefined
  }
  const realm = protection.realm ?? `${origin}/token`
  const challenge = protection.challenge?.(realm) ?? `Bearer realm="${realm}",service="test"`
  return { status: 401, headers: { 'www-authenticate': challenge }, body: wire('UNAUTHORIZED') }
}

function manifests(registry: Registry, request: Seen, name: string, reference: string, body: Buffer): Reply {
  const known = registry.manifests.get(name) ?? new Map()
  if (request.method === 'PUT') {
    const document = JSON.parse(body.toString('utf8')) as { config?: Named; layers?: Named[]; manifests?: Named[] }
    const blobs = [...(document.config === undefined ? [] : [document.config]), ...(document.layers ?? [])]
    const missing = [
      ...blobs.filter(({ digest }) => registry.blobs.get(name)?.has(digest) !== true),
      ...(document.manifests ?? []).filter(({ digest }) => !known.has(digest)),
    ]
    if (missing.length > 0) return { status: 404, body: wire('MANIFEST_BLOB_UNKNOWN') }
    const mediaType = String(request.headers['content-type'])
    for (const key of [reference, sha256(body)]) known.set(key, { bytes: body, mediaType })
    registry.manifests.set(name, known)
    return { status: 201, headers: { 'docker-content-digest': sha256(body), location: `/v2/${name}/manifests/x` } }
  }
  const found = known.get(reference)
  if (found === undefined) return { status: 404, body: wire('MANIFEST_UNKNOWN') }
  if (request.method === 'DELETE') {
    known.delete(reference)
    return { status: 202 }
  }
  const headers = { 'content-type': found.mediaType, 'docker-content-digest': sha256(found.bytes) }
  return { status: 200, headers, body: found.bytes }
}

interface Named {
  readonly digest: string
}

function startUpload(registry: Registry, url: URL, name: string, origin: string): Reply {
  const digest = url.searchParams.get('mount')
  const from = url.searchParams.get('from')
  const bytes = digest === null || from === null ? undefined : registry.blobs.get(from)?.get(digest)
  if (bytes !== undefined && registry.options.mounts !== false) {
    store(registry, name, bytes)
    return { status: 201, headers: { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest ?? '' } }
  }
  const id = `u${registry.nextUpload()}`
  registry.uploads.set(id, { repository: name, bytes: Buffer.alloc(0) })
  return { status: 202, headers: { location: locationOf(registry, name, id, 0, origin), range: '0-0' } }
}

/** The state in the query changes with every answer, as in distribution: an old location is refused. */
function locationOf(registry: Registry, name: string, id: string, offset: number, origin: string): string {
  const path = `/v2/${name}/blobs/uploads/${id}?state=${offset}%2Dx+y`
  return registry.options.location?.(path, origin) ?? `${origin}${path}`
}

function continueUpload(registry: Registry, request: Seen, url: URL, id: string, body: Buffer, origin: string): Reply {
  const upload = registry.uploads.get(id)
  if (upload === undefined) return { status: 404, body: wire('BLOB_UPLOAD_UNKNOWN') }
  if (request.method === 'DELETE') {
    registry.uploads.delete(id)
    return { status: 204 }
  }
  const { repository } = upload
  const state = /[?&]state=(\d+)%2Dx\+y(?:&|$)/.exec(url.search)?.[1]
  const range = (): string => `0-${Math.max(0, upload.bytes.length - 1)}`
  const location = (): string => locationOf(registry, repository, id, upload.bytes.length, origin)
  if (request.method === 'GET') return { status: 204, headers: { location: location(), range: range() } }
  if (state !== String(upload.bytes.length)) {
    return { status: 416, headers: { range: range(), location: location() }, body: wire('RANGE_INVALID') }
  }
  const start = /^(\d+)-/.exec(request.headers['content-range'] ?? '')?.[1]
  if (start !== undefined && Number(start) !== upload.bytes.length)
    return { status: 416, headers: { range: range() }, body: wire('RANGE_INVALID') }
  upload.bytes = Buffer.concat([upload.bytes, body])
  if (request.method === 'PATCH') return { status: 202, headers: { location: location(), range: range() } }
  registry.uploads.delete(id)
  const digest = url.searchParams.get('digest')
  if (digest !== sha256(upload.bytes)) {
    const isWhole = Number(request.headers['content-length'] ?? 0) === body.length
    // A PUT that broke off keeps what came, as distribution does.
    if (!isWhole) registry.uploads.set(id, upload)
    return { status: 400, body: wire('DIGEST_INVALID') }
  }
  store(registry, repository, upload.bytes)
  return { status: 201, headers: { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest } }
}

function store(registry: Registry, name: string, bytes: Buffer): void {
  const known = registry.blobs.get(name) ?? new Map<string, Buffer>()
  known.set(sha256(bytes), bytes)
  registry.blobs.set(name, known)
}

function readBlob(registry: Registry, request: Seen, name: string, digest: string): Reply {
  const bytes = registry.blobs.get(name)?.get(digest)
  if (bytes === undefined) return { status: 404, body: wire('BLOB_UNKNOWN') }
  const headers = { 'content-type': 'application/octet-stream', 'docker-content-digest': digest }
  const range = /^bytes=(\d+)-(\d+)?$/.exec(request.headers.range ?? '')
  if (range === null) return { status: 200, headers, body: bytes }
  const start = Number(range[1])
  const end = Math.min(bytes.length - 1, Number(range[2] ?? bytes.length - 1))
  if (start >= bytes.length) return { status: 416, headers: { 'content-range': `bytes */${bytes.length}` } }
  const part = { 'content-range': `bytes ${start}-${end}/${bytes.length}` }
  return { status: 206, headers: { ...headers, ...part }, body: bytes.subarray(start, end + 1) }
}

function listTags(registry: Registry, name: string, url: URL): Reply {
  const known = registry.manifests.get(name)
  if (known === undefined) return { status: 404, body: wire('NAME_UNKNOWN') }
  const last = url.searchParams.get('last') ?? ''
  const all = [...known.keys()].filter((tag) => !tag.includes(':') && tag > last).sort()
  const page = all.slice(0, 2)
  const link = `</v2/${name}/tags/list?n=2&last=${page.at(-1)}>; rel="next"`
  const headers: Headers = all.length > page.length ? { link } : {}
  return { status: 200, headers, body: Buffer.from(JSON.stringify({ name, tags: page })) }
}

function wire(code: string): Buffer {
  return Buffer.from(JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] }))
}

function send(response: ServerResponse, { status, headers = {}, body = Buffer.alloc(0) }: Reply): void {
  response.writeHead(status, { 'content-length': String(body.length), ...(headers as Record<string, string>) })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

async function deliver(
  response: ServerResponse,
  reply: Reply,
  fault: Misbehaviour | undefined,
  request: IncomingMessage,
): Promise<void> {
  const { status, headers = {}, body = Buffer.alloc(0) } = reply
  const all = { ...headers } as Record<string, string>
  switch (fault?.kind) {
    case 'headers': {
      for (const [name, value] of Object.entries(fault.set)) {
        if (value === undefined) delete all[name]
        else all[name] = value
      }
      // An undefined length means that nobody says how long it is.
      if ('content-length' in fault.set && fault.set['content-length'] === undefined) {
        response.writeHead(status, all)
        response.end(request.method === 'HEAD' ? undefined : body)
      } else send(response, { status, headers: all, body })
      return
    }
    case 'cut':
    case 'stall': {
      response.writeHead(status, { 'content-length': String(body.length), ...all })
      response.write(body.subarray(0, fault.afterBytes), () => {
        if (fault.kind === 'stall') return
        // A reset takes along what is still on its way; on some systems also what the client has not read yet.
        if (fault.isReset === true) setTimeout(() => request.socket.resetAndDestroy(), 5)
        else request.socket.destroy()
      })
      return
    }
    case 'end-early':
      response.writeHead(status, all)
      response.end(body.subarray(0, fault.afterBytes))
      return
    case 'corrupt': {
      const damaged = Buffer.from(body)
      damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 1
      send(response, { status, headers: all, body: damaged })
      return
    }
    case 'lie-range': {
      const [, start = '0', rest = ''] = /^bytes (\d+)(-.*)$/.exec(all['content-range'] ?? '') ?? []
      const range = { 'content-range': `bytes ${Number(start) + 3}${rest}` }
      send(response, { status, headers: { ...all, ...range }, body: body.subarray(3) })
      return
    }
    case 'extra-bytes':
      send(response, { status, headers: all, body: Buffer.concat([body, Buffer.from('extra')]) })
      return
    case 'slow': {
      response.writeHead(status, { 'content-length': String(body.length), ...all })
      const step = Math.ceil(body.length / fault.pieces)
      for (let at = 0; at < body.length; at += step) {
        response.write(body.subarray(at, at + step))
        await new Promise((resolve) => setTimeout(resolve, fault.pauseMs))
      }
      response.end()
      return
    }
    default:
      send(response, { status, headers: all, body })
  }
}
