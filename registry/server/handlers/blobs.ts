import { isDigest, type Digest } from 'oci-spec-types'
import { parseRange } from '../byte-range.ts'
import type { Answer, Call } from '../exchange.ts'
import { Fault } from '../fault.ts'
import type { OpenBlob } from '../storage.ts'
import type { Registry } from '../registry.ts'

/** GET and HEAD of a blob, whole or a range (distribution-spec, "Pulling blobs"). */
export async function getBlob(registry: Registry, call: Call, repository: string, name: string): Promise<Answer> {
  const digest = parseDigest(name)
  const blob = await registry.storage.open(repository, digest)
  if (blob === undefined) throw unknownBlob(repository, digest)
  try {
    return answer(call, blob, digest)
  } catch (error) {
    await blob.close()
    throw error
  }
}

/** DELETE of a blob; other repositories keep theirs. */
export async function deleteBlob(registry: Registry, repository: string, name: string): Promise<Answer> {
  const digest = parseDigest(name)
  const contents = await (await registry.existing(repository))?.contents()
  if (contents?.manifests.has(digest) === true) {
    throw new Fault('UNSUPPORTED', `${digest} is a manifest: delete it as /v2/${repository}/manifests/${digest}`)
  }
  if (!(await registry.storage.remove(repository, digest))) throw unknownBlob(repository, digest)
  return { status: 202 }
}

/** @throws Fault DIGEST_INVALID */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new Fault('DIGEST_INVALID', `Not a sha256 or sha512 digest: ${text}`)
}

function answer(call: Call, blob: OpenBlob, digest: Digest): Answer {
  const { sizeBytes } = blob
  const etag = `"${digest}"`
  const headers = {
    'content-type': 'application/octet-stream',
    'docker-content-digest': digest,
    'accept-ranges': 'bytes',
    etag,
    // The name is the content's hash, so it never goes stale.
    'cache-control': 'private, max-age=31536000, immutable',
  }
  const ifRange = call.header('if-range')
  const asked = ifRange === undefined || ifRange === etag ? call.header('range') : undefined
  const range = call.method === 'HEAD' ? 'whole' : parseRange(asked, sizeBytes)
  if (range === 'unsatisfiable') {
    throw new Fault('RANGE_INVALID', `The blob has ${sizeBytes} bytes`, {
      headers: { 'content-range': `bytes */${sizeBytes}` },
    })
  }
  const { start, end } = range === 'whole' ? { start: 0, end: sizeBytes } : range
  const body = { sizeBytes: end - start, stream: () => blob.stream(start, end), close: () => blob.close() }
  if (range === 'whole') return { status: 200, headers, body }
  return { status: 206, headers: { ...headers, 'content-range': `bytes ${start}-${end - 1}/${sizeBytes}` }, body }
}

function unknownBlob(repository: string, digest: Digest): Fault {
  return new Fault('BLOB_UNKNOWN', `${repository} has no blob ${digest}`)
}
