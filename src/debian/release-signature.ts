import type { Key } from 'openpgp'
import { BuildError } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import { shippedKeys, type ArchiveSource } from './source.ts'

/** A Release file as it came: text and signature in one (`InRelease`), or apart (`Release`, `Release.gpg`). */
export type SignedRelease =
  | { readonly kind: 'clear'; readonly bytes: Buffer }
  | { readonly kind: 'detached'; readonly bytes: Buffer; readonly signature: Buffer }

/**
 * Proves a Release file by a key that its source trusts and gives back the text that was signed: nothing that stands
 * before or after it in the file.
 *
 * Any one valid signature suffices, as for apt. The base's keyring is asked only when no other key fits.
 *
 * @param url names the file in errors
 * @throws BuildError SIGNATURE_INVALID
 */
export async function provenText(
  release: SignedRelease,
  url: string,
  source: ArchiveSource,
  now: Date,
): Promise<string> {
  const keyrings = [() => source.keys ?? shippedKeys(source.distribution ?? 'debian'), () => source.furtherKeys ?? []]
  const causes: Error[] = []
  for (const keyring of keyrings) {
    try {
      const keys = await readKeysOf(await keyring())
      if (keys.length > 0) return await verifiedText(release, keys, now)
    } catch (error) {
      causes.push(...reasonsOf(error))
    }
  }
  if (causes.some(({ message }) => FROM_THE_FUTURE.test(message))) {
    throw new BuildError(
      'SIGNATURE_INVALID',
      `The Release file was signed after the time that this machine has, ${now.toISOString()}: ${maskUrl(url)}`,
      { hint: "Set this machine's clock. Nothing was taken from the archive.", cause: causes[0] },
    )
  }
  throw new BuildError('SIGNATURE_INVALID', `The Release file is not signed by a trusted key: ${maskUrl(url)}`, {
    hint: 'The mirror may be altered, or its signing key is not known to this version. Name the key, or use another mirror.',
    cause: causes[0],
  })
}

/** What the OpenPGP library says of a signature or a key that is not valid yet. */
const FROM_THE_FUTURE = /creation time is in the future/

/** One of several signatures suffices, and each has its own reason why it does not. */
function reasonsOf(error: unknown): readonly Error[] {
  if (error instanceof AggregateError) return error.errors.flatMap(reasonsOf)
  return error instanceof Error ? [error] : []
}

/**
 * Reads OpenPGP public keys, ASCII-armoured or binary.
 *
 * @throws Error of the OpenPGP library when a blob holds no keys
 */
export async function readKeysOf(blobs: readonly Uint8Array[]): Promise<Key[]> {
  const { readKeys } = await import('openpgp')
  const keys = await Promise.all(
    blobs.map((blob) =>
      isArmored(blob)
        ? readKeys({ armoredKeys: Buffer.from(blob).toString('utf8') })
        : readKeys({ binaryKeys: new Uint8Array(blob) }),
    ),
  )
  return keys.flat()
}

/** Tells ASCII armour, which may follow white space or a byte order mark, from binary packets. */
function isArmored(blob: Uint8Array): boolean {
  return Buffer.from(blob.subarray(0, 64))
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart()
    .startsWith('-----BEGIN')
}

async function verifiedText(release: SignedRelease, keys: readonly Key[], now: Date): Promise<string> {
  const { createMessage, readCleartextMessage, readSignature, verify } = await import('openpgp')
  const verificationKeys = [...keys]
  const text = release.bytes.toString('utf8')
  if (release.kind === 'clear') {
    const message = await readCleartextMessage({ cleartextMessage: text })
    const { data, signatures } = await verify({ message, verificationKeys, date: now })
    await Promise.any(signatures.map((signature) => signature.verified))
    return data
  }
  const signature = isArmored(release.signature)
    ? await readSignature({ armoredSignature: release.signature.toString('utf8') })
    : await readSignature({ binarySignature: new Uint8Array(release.signature) })
  const message = await createMessage({ binary: new Uint8Array(release.bytes) })
  const { signatures } = await verify({ message, signature, verificationKeys, date: now })
  await Promise.any(signatures.map((one) => one.verified))
  return text
}
