/**
 * Names content by its hash: `algorithm:hex`.
 *
 * @see OCI image-spec, descriptor.md, "Digests"
 */
export type Digest = `sha256:${string}` | `sha512:${string}`

const HEX_LENGTH = { sha256: 64, sha512: 128 } as const

/** A registered hash algorithm that this project computes and checks. */
export type DigestAlgorithm = keyof typeof HEX_LENGTH

/** Tells whether a text is a digest of a registered algorithm, in lower-case hex of the right length. */
export function isDigest(text: string): text is Digest {
  const colon = text.indexOf(':')
  const algorithm = text.slice(0, colon)
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return false
  const hex = text.slice(colon + 1)
  return hex.length === HEX_LENGTH[algorithm] && /^[a-f0-9]+$/.test(hex)
}

/**
 * Parses a digest.
 *
 * @throws RangeError when the algorithm is not registered or the hex part is malformed
 */
export function parseDigest(text: string): Digest {
  if (!isDigest(text)) throw new RangeError(`Not a digest: \`${text}\``)
  return text
}

/** The algorithm of a digest. */
export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

/** The hex part of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}
