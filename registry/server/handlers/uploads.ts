import { digestAlgorithm, isDigest, type Digest, type DigestAlgorithm } from 'oci-spec-types'
import { parseContentRange } from '../byte-range.ts'
import type { Answer, Call } from '../exchange.ts'
import { Fault } from '../fault.ts'
import { isRepositoryName } from '../names.ts'
import type { Registry } from '../registry.ts'
import type { UploadSession } from '../upload-session.ts'
import { parseDigest } from './blobs.ts'

/** How long a status answer waits for a broken connection's last bytes. */
const SETTLE_MS = 500

/** POST: mounts a blob, takes one whole, or opens an upload (distribution-spec, "Pushing blobs"). */
export async function startUpload(registry: Registry, call: Call, repository: string): Promise<Answer> {
  const { query } = call
  const mount = query.get('mount')
  if (mount !== null && isDigest(mount)) {
    const from = query.get('from') || undefined
    const isNamed = from === undefined || isRepositoryName(from)
    if (isNamed && (await registry.storage.mount(repository, mount, from))) return created(repository, mount)
  }
  const whole = query.get('digest')
  const digest = whole === null ? undefined : parseDigest(whole)
  const algorithm = digest === undefined ? hintedAlgorithm(query) : digestAlgorithm(digest)
  const session = await registry.uploads.begin(repository, algorithm)
  if (digest !== undefined) return receive(registry, call, { repository, session, digest })
  return { status: 202, headers: progress(registry, repository, session) }
}

/** GET: how far an upload is. */
export async function getUpload(registry: Registry, repository: string, id: string): Promise<Answer> {
  const session = await findSession(registry, repository, id)
  await session.settle(SETTLE_MS)
  assertOpen(session)
  return { status: 204, headers: progress(registry, repository, session) }
}

/** PATCH: adds bytes, a chunk of them or all. */
export async function patchUpload(registry: Registry, call: Call, repository: string, id: string): Promise<Answer> {
  const session = await findSession(registry, repository, id)
  return session.hold(call.abandon, async () => {
    assertOpen(session)
    await append(registry, call, repository, session)
    return { status: 202, headers: progress(registry, repository, session) }
  })
}

/** PUT: adds the rest of the bytes, if any, and makes the blob. */
export async function putUpload(registry: Registry, call: Call, repository: string, id: string): Promise<Answer> {
  const session = await findSession(registry, repository, id)
  const digest = parseDigest(call.query.get('digest') ?? '')
  return receive(registry, call, { repository, session, digest })
}

/** DELETE: gives an upload up. */
export async function deleteUpload(registry: Registry, call: Call, repository: string, id: string): Promise<Answer> {
  const session = await findSession(registry, repository, id)
  return session.hold(call.abandon, async () => {
    assertOpen(session)
    await session.discard()
    registry.uploads.forget(repository, session)
    return { status: 204 }
  })
}

interface Reception {
  readonly repository: string
  readonly session: UploadSession
  readonly digest: Digest
}

async function receive(registry: Registry, call: Call, { repository, session, digest }: Reception): Promise<Answer> {
  return session.hold(call.abandon, async () => {
    assertOpen(session)
    await append(registry, call, repository, session)
    const actual = await session.finish(digest)
    registry.uploads.forget(repository, session)
    if (actual === digest) return created(repository, digest)
    throw new Fault('DIGEST_INVALID', `The bytes have the digest ${actual}, not ${digest}`)
  })
}

async function append(registry: Registry, call: Call, repository: string, session: UploadSession): Promise<void> {
  const chunk = chunkOf(registry, call, repository, session)
  if (chunk === undefined) return session.append(call.body())
  const before = session.sizeBytes
  await session.append(atMost(call.body(), chunk.length))
  if (session.sizeBytes - before !== chunk.length) {
    throw new Fault('SIZE_INVALID', `The chunk has ${session.sizeBytes - before} bytes, not ${chunk.length}`)
  }
  session.endedShort = chunk.length < (registry.settings.minChunkBytes ?? 0)
}

/** The chunk that `Content-Range` announces; undefined when it announces none. */
function chunkOf(
  registry: Registry,
  call: Call,
  repository: string,
  session: UploadSession,
): { readonly length: number } | undefined {
  const header = call.header('content-range')
  if (header === undefined) return undefined
  const range = parseContentRange(header)
  if (range === undefined) throw new Fault('BLOB_UPLOAD_INVALID', `Not a chunk's range: ${header}`)
  if (range.start !== session.sizeBytes) {
    throw new Fault('RANGE_INVALID', `The next byte is ${session.sizeBytes}, not ${range.start}`, {
      headers: progress(registry, repository, session),
    })
  }
  if (session.endedShort) {
    const { minChunkBytes = 0 } = registry.settings
    throw new Fault('SIZE_INVALID', `Only the last chunk may have less than ${minChunkBytes} bytes`)
  }
  const length = range.end - range.start
  const declared = call.header('content-length')
  if (declared !== undefined && Number(declared) !== length) {
    throw new Fault('SIZE_INVALID', `The range has ${length} bytes, the body ${declared}`)
  }
  return { length }
}

async function* atMost(stream: AsyncIterable<Uint8Array>, limit: number): AsyncGenerator<Uint8Array> {
  let rest = limit
  for await (const chunk of stream) {
    if (chunk.length > rest) throw new Fault('SIZE_INVALID', `The chunk has more than ${limit} bytes`)
    rest -= chunk.length
    yield chunk
  }
}

async function findSession(registry: Registry, repository: string, id: string): Promise<UploadSession> {
  const session = await registry.uploads.find(repository, id)
  if (session === undefined) throw unknownUpload(id)
  return session
}

function assertOpen(session: UploadSession): void {
  if (session.isOver) throw unknownUpload(session.id)
}

function unknownUpload(id: string): Fault {
  return new Fault('BLOB_UPLOAD_UNKNOWN', `There is no upload ${id}: it was finished, given up, or never begun`)
}

function hintedAlgorithm(query: URLSearchParams): DigestAlgorithm | undefined {
  return query.get('digest-algorithm') === 'sha512' ? 'sha512' : undefined
}

function created(repository: string, digest: Digest): Answer {
  const headers = { location: `/v2/${repository}/blobs/${digest}`, 'docker-content-digest': digest }
  return { status: 201, headers }
}

function progress(registry: Registry, repository: string, session: UploadSession): Record<string, string> {
  const { minChunkBytes } = registry.settings
  return {
    location: `/v2/${repository}/blobs/uploads/${session.id}`,
    // With no bytes yet this says what Docker's registry says; the specification has no form for it.
    range: `0-${Math.max(0, session.sizeBytes - 1)}`,
    'docker-upload-uuid': session.id,
    ...(minChunkBytes === undefined ? {} : { 'oci-chunk-min-length': String(minChunkBytes) }),
  }
}
