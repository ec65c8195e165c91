import { createHash } from 'node:crypto'

const MAGIC = 0xfeedfeed
const VERSION = 2
const TRUSTED_CERTIFICATE = 2
/** What Java expects unless told otherwise, and what Debian uses. */
const PASSWORD = 'changeit'

/**
 * Makes a store of trusted certificates in Java's own format (JKS), which every Java reads.
 *
 * @param certificates  PEM texts with the names they get; of equal names the first counts
 * @see OpenJDK, sun.security.provider.JavaKeyStore
 */
export function javaKeyStore(certificates: readonly { readonly alias: string; readonly pem: Buffer }[]): Buffer {
  const entries = new Map<string, Buffer>()
  for (const { alias, pem } of certificates) {
    const body = /-----BEGIN CERTIFICATE-----([\s\S]*?)-----END/.exec(pem.toString('latin1'))?.[1]
    if (body !== undefined && !entries.has(alias)) entries.set(alias, Buffer.from(body, 'base64'))
  }
  const header = Buffer.alloc(12)
  header.writeUInt32BE(MAGIC, 0)
  header.writeUInt32BE(VERSION, 4)
  header.writeUInt32BE(entries.size, 8)
  const content = Buffer.concat([header, ...[...entries].map(([alias, der]) => encodeEntry(alias, der))])
  const password = Buffer.from(PASSWORD, 'utf16le').swap16()
  const digest = createHash('sha1').update(password).update('Mighty Aphrodite').update(content).digest()
  return Buffer.concat([content, digest])
}

// The time of the entry stays zero, so that equal certificates give an equal store.
function encodeEntry(alias: string, der: Buffer): Buffer {
  const kind = Buffer.alloc(4)
  kind.writeUInt32BE(TRUSTED_CERTIFICATE)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(der.length)
  return Buffer.concat([kind, utf(alias), Buffer.alloc(8), utf('X.509'), length, der])
}

function utf(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8')
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return Buffer.concat([length, bytes])
}
