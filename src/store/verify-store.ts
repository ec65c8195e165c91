import { rm } from 'node:fs/promises'
import { digestAlgorithm, type Digest } from 'oci-spec-types'
import { Digester } from '../core/digest.ts'
import { openPath } from '../core/file-access.ts'
import { silent, startTask, type Report } from '../core/progress.ts'
import { listBlobs, listRecords, statFile, type StoredBlob } from './contents.ts'
import type { Store } from './store.ts'

/** What was found wrong, and removed, so that the next build makes it again. */
export interface VerifyResult {
  readonly checkedBlobs: number
  readonly checkedBytes: number
  /** Blobs whose bytes have another digest. */
  readonly damaged: readonly { readonly digest: Digest; readonly images: readonly string[] }[]
  /** Records that were damaged, or whose layer is of another size than they say. */
  readonly removedRecords: number
}

/** Reads every blob of a store and removes those that are not what their names say. */
export async function verifyStore(
  store: Store,
  options: { readonly report?: Report; readonly signal?: AbortSignal | undefined } = {},
): Promise<VerifyResult> {
  const blobs = await listBlobs(store)
  const totalBytes = blobs.reduce((bytes, { sizeBytes }) => bytes + sizeBytes, 0)
  const task = startTask(options.report ?? silent, 'verify the store', { totalBytes })
  let checkedBytes = 0
  const damaged: StoredBlob[] = []
  for (const blob of blobs) {
    const actual = await hashFile(blob, options.signal)
    checkedBytes += blob.sizeBytes
    task.bytes(checkedBytes, totalBytes)
    if (actual === blob.digest) continue
    await rm(blob.path, { force: true })
    damaged.push(blob)
  }
  const removedRecords = await removeWrongRecords(store)
  task.end()
  return {
    checkedBlobs: blobs.length,
    checkedBytes,
    damaged: damaged.map(({ digest, images }) => ({ digest, images })),
    removedRecords,
  }
}

async function hashFile(blob: StoredBlob, signal: AbortSignal | undefined): Promise<Digest> {
  const digester = new Digester(digestAlgorithm(blob.digest))
  for await (const chunk of openPath(blob.path)({ signal })) digester.update(chunk)
  return digester.digest()
}

/** A record whose layer was pruned is no error: the layer is made again. One that contradicts its layer is. */
async function removeWrongRecords(store: Store): Promise<number> {
  let removed = 0
  for (const [path, record] of await listRecords(store)) {
    const size = record === undefined ? undefined : (await statFile(store.path(record.digest)))?.sizeBytes
    if (record !== undefined && (size === undefined || size === record.size)) continue
    await rm(path, { force: true })
    removed++
  }
  return removed
}
