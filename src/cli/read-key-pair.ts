import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { BuildError } from '../core/errors.ts'
import { readNamedFile } from './read-named-file.ts'

/** What a server shows of itself, and proves it with. */
export interface KeyPair {
  /** PEM, the server's own first. */
  readonly cert: Buffer
  /** PEM. */
  readonly key: Buffer
  /** The end of the server's own certificate, in milliseconds since the epoch. */
  readonly endsAtMs: number
}

/** The options of a command that serves HTTPS. */
export interface TlsFlags {
  readonly tlsCert?: string
  readonly tlsKey?: string
}

/**
 * Reads the certificate and key that a server is given, and tries them.
 *
 * @param folder  that the files are relative to
 * @returns undefined when none are given
 * @throws BuildError USAGE when one is given without the other; FILE_UNREADABLE; INPUT_INVALID for what is no certificate or key, or
 *   does not belong together
 */
export async function readKeyPair(flags: TlsFlags, folder: string): Promise<KeyPair | undefined> {
  const { tlsCert, tlsKey } = flags
  if (tlsCert === undefined && tlsKey === undefined) return undefined
  if (tlsCert === undefined || tlsKey === undefined)
    throw new BuildError('USAGE', 'HTTPS needs both --tls-cert and --tls-key')
  const [cert, key] = await Promise.all([readNamedFile(tlsCert, folder), readNamedFile(tlsKey, folder)])
  const certificate = parseCertificate(cert, tlsCert)
  if (!certificate.checkPrivateKey(parseKey(key, tlsKey)))
    throw new BuildError('INPUT_INVALID', `The key is not that of the certificate: \`${tlsKey}\` and \`${tlsCert}\``, {
      hint: "The server's own certificate stands first in its file, before those that signed it. Both files are of one renewal.",
    })
  try {
    createSecureContext({ cert, key })
  } catch (error) {
    throw new BuildError('INPUT_INVALID', `OpenSSL does not take the certificate: \`${tlsCert}\``, {
      hint: 'A key may be too short, or one of the certificates that follow be cut off.',
      cause: error,
    })
  }
  return { cert, key, endsAtMs: Date.parse(certificate.validTo) }
}

function parseCertificate(pem: Buffer, file: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new BuildError('INPUT_INVALID', `There is no certificate in the file: \`${file}\``, {
      hint: 'It is PEM, and begins with `-----BEGIN CERTIFICATE-----`.',
      cause: error,
    })
  }
}

function parseKey(pem: Buffer, file: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (error) {
    const isEncrypted = /^(?:-----BEGIN ENCRYPTED|Proc-Type: 4,ENCRYPTED)/m.test(pem.toString('latin1'))
    if (isEncrypted)
      throw new BuildError('INPUT_INVALID', `The key has a passphrase, which nobody is asked for: \`${file}\``, {
        hint: 'Take it out, with `openssl pkey -in KEY -out FILE`, and let nobody else read the file.',
        cause: error,
      })
    throw new BuildError('INPUT_INVALID', `There is no private key in the file: \`${file}\``, {
      hint: 'It is PEM, and begins with `-----BEGIN PRIVATE KEY-----`.',
      cause: error,
    })
  }
}
