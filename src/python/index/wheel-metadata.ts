import { createHash } from 'node:crypto'
import { filePathOf } from '../../core/file-url.ts'
import { BuildError } from '../../core/errors.ts'
import { openFile } from '../../core/file-access.ts'
import { maskUrl } from '../../core/http.ts'
import { parseWheelName } from '../wheel-name.ts'
import { indexError } from './index-error.ts'
import type { IndexFile } from './page.ts'
import { openRemoteWheel, type RemoteAccess } from './remote-wheel.ts'
import { readMetadata } from './wheel-tail.ts'

/** METADATA is text by people; the largest known has 1 MB. */
const METADATA_LIMIT_BYTES = 16 << 20

/**
 * Gets a wheel's METADATA without the wheel: from the file beside it when the index offers one, else from the end of
 * the wheel by range requests.
 *
 * @throws BuildError DIGEST_MISMATCH when the file beside the wheel is not what the index promised
 * @throws BuildError INDEX_FAILED, INDEX_DENIED, INDEX_UNAVAILABLE, WHEEL_INVALID, ARCHIVE_INVALID
 * @see PEP 658, PEP 714
 */
export async function fetchMetadata(
  file: Pick<IndexFile, 'filename' | 'url' | 'metadataSha256'>,
  access: RemoteAccess,
): Promise<string> {
  if (file.metadataSha256 !== undefined) {
    const offered = await fetchOffered(file.url, file.metadataSha256, access)
    if (offered !== undefined) return offered
  }
  const wheel = file.url.startsWith('file:')
    ? await openFile(filePathOf(file.url))
    : await openRemoteWheel(file.url, access)
  try {
    return await readMetadata(wheel, parseWheelName(file.filename).name, file.filename)
  } finally {
    await wheel.close()
  }
}

// Some indexes promise the file for every wheel and have it for few; a missing one is no error.
async function fetchOffered(url: string, sha256: string, access: RemoteAccess): Promise<string | undefined> {
  const response = await access.http({
    url: `${url}.metadata`,
    headers: await access.headers(url),
    signal: access.signal,
    decode: false,
  })
  if (response.status === 404 || response.status === 410) {
    await response.discard()
    return undefined
  }
  if (response.status !== 200) {
    await response.discard()
    throw indexError(response.status, `${url}.metadata`)
  }
  const bytes = await response.bytes(METADATA_LIMIT_BYTES)
  const actual = createHash('sha256').update(bytes).digest('hex')
  if (sha256 !== '' && actual !== sha256) {
    throw new BuildError(
      'DIGEST_MISMATCH',
      `The metadata at ${maskUrl(url)}.metadata has the digest sha256:${actual}, not sha256:${sha256}`,
      {
        hint: 'The index contradicts itself. Do not trust it until this is explained.',
        data: { expected: sha256, actual },
      },
    )
  }
  return bytes.toString('utf8')
}
