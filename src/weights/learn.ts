import { digestHex } from 'oci-spec-types'
import { fileNameOf } from '../core/percent.ts'
import { download } from '../../layers/remote.ts'
import { BuildError } from '../core/errors.ts'
import { maskUrl, type HttpResponse } from '../core/http.ts'
import { startTask } from '../core/progress.ts'
import { putResumable } from '../store/partial.ts'
import { oneAtATime } from '../store/single-flight.ts'
import type { FileIdentity, WeightsContext } from './source.ts'

/** What a server says of a file before it is fetched. */
export interface FileFacts {
  readonly sizeBytes: number | undefined
  /** A strong entity tag: equal means equal bytes. */
  readonly etag: string | undefined
}

type Headers = Readonly<Record<string, string>>

/** Asks for size and entity tag: by HEAD, or by the first byte where that is not answered (signed addresses). */
export async function probe(url: string, headers: Headers, { http, signal }: WeightsContext): Promise<FileFacts> {
  const head = await http({ method: 'HEAD', url, headers: { ...headers, 'accept-encoding': 'identity' }, signal })
  await head.discard()
  const length = head.header('content-length')
  if (head.status === 200 && length !== undefined) return { sizeBytes: Number(length), etag: strongTag(head) }
  const part = await http({ url, headers: { ...headers, range: 'bytes=0-0', 'accept-encoding': 'identity' }, signal })
  await part.discard()
  assertFound(part, url)
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(part.header('content-range') ?? '')?.[1]
  const whole = part.status === 200 ? part.header('content-length') : total
  return { sizeBytes: whole === undefined ? undefined : Number(whole), etag: strongTag(part) }
}

/** The size of a file that must be known. @throws BuildError WEIGHTS_UNAVAILABLE */
export function fileSize(url: string, { sizeBytes }: FileFacts): number {
  if (sizeBytes !== undefined && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0) return sizeBytes
  throw new BuildError('WEIGHTS_UNAVAILABLE', `The server does not tell the size of the file: ${maskUrl(url)}`)
}

/**
 * Learns the digest of a file by fetching it into the store, where the build finds it.
 *
 * The same address with the same entity tag is fetched once; a fetch that was cut goes on where it ended.
 */
export async function learn(
  url: string,
  facts: FileFacts,
  headers: Headers,
  context: WeightsContext,
): Promise<FileIdentity> {
  const { store, http, report, signal } = context
  const sizeBytes = fileSize(url, facts)
  const cache = context.cache('weights')
  const key = `${url}\0${sizeBytes}\0${facts.etag ?? ''}`
  const known = facts.etag === undefined ? undefined : (await cache.get(key))?.toString('latin1')
  if (known !== undefined && /^[0-9a-f]{64}$/.test(known)) return { sizeBytes, sha256: known }
  const task = startTask(report, `download ${fileNameOf(url)}`, { totalBytes: sizeBytes })
  const options = { http, headers: async () => headers, signal, validator: facts.etag }
  try {
    const { digest, size } = await oneAtATime(
      store.folder,
      key,
      () =>
        putResumable(store, {
          // Without a tag nothing tells whether what was kept belongs to what is there now.
          key: facts.etag === undefined ? `${key}\0${Date.now()}` : key,
          what: maskUrl(url),
          from: (offset) => download({ url, sizeBytes }, options, offset),
          onBytes: (done) => task.bytes(done, sizeBytes),
        }),
      { signal },
    )
    if (size !== sizeBytes)
      throw new BuildError('SIZE_MISMATCH', `${maskUrl(url)} has ${size} bytes instead of ${sizeBytes}`)
    const sha256 = digestHex(digest)
    if (facts.etag !== undefined) await cache.set(key, Buffer.from(sha256))
    task.end()
    return { sizeBytes, sha256 }
  } catch (error) {
    task.end('failed', error instanceof Error ? error.message : String(error))
    throw error
  }
}

/** Turns an answer that is no file into an error. @throws BuildError WEIGHTS_* */
export function assertFound({ status }: Pick<HttpResponse, 'status'>, url: string, hint?: string): void {
  if (status === 200 || status === 206) return
  const where = maskUrl(url)
  if (status === 401 || status === 403)
    throw new BuildError('WEIGHTS_DENIED', `The weights are refused (status ${status}): ${where}`, {
      hint: hint ?? 'Put credentials for the host into the netrc file.',
    })
  if (status === 404 || status === 410)
    throw new BuildError('WEIGHTS_NOT_FOUND', `The weights are not there (status ${status}): ${where}`, { hint })
  throw new BuildError('WEIGHTS_UNAVAILABLE', `The server answered with status ${status}: ${where}`)
}

function strongTag(response: HttpResponse): string | undefined {
  const tag = response.header('etag')
  return tag === undefined || tag.startsWith('W/') ? undefined : tag
}
