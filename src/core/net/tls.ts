import { readFileSync } from 'node:fs'
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { BuildError, systemErrorCode } from '../errors.ts'
import type { Environment } from './proxy.ts'

/** How one host is trusted and how this program proves itself to it. Certificates and keys are PEM text. */
export interface TlsSettings {
  /** Certificate authorities trusted for this host besides the usual ones. */
  readonly ca?: readonly string[] | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** Accepts any certificate. Only ever set because the user asked for it. */
  readonly insecure?: boolean | undefined
}

/** Where Linux distributions keep the machine's own list, in the order Go's crypto/x509 looks. */
const SYSTEM_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g

/**
 * The authorities that are trusted everywhere besides Node's own: `SSL_CERT_FILE` (else the machine's list) and
 * `NODE_EXTRA_CA_CERTS`. A company's authority usually lies in one of the latter.
 *
 * @throws BuildError FILE_UNREADABLE when a variable names a file that cannot be read
 */
export function trustedAuthorities(env: Environment): readonly string[] {
  const named = env['SSL_CERT_FILE']
  const files = [
    ...(named ? [readNamed('SSL_CERT_FILE', named)] : [systemBundle()]),
    ...(env['NODE_EXTRA_CA_CERTS'] ? [readNamed('NODE_EXTRA_CA_CERTS', env['NODE_EXTRA_CA_CERTS'])] : []),
  ]
  const known = new Set(rootCertificates.map(compact))
  // Most of the machine's list is Node's own again.
  return files.flatMap((text) => text.match(CERTIFICATE) ?? []).filter((pem) => !known.has(compact(pem)))
}

/**
 * A context for connections to one host.
 *
 * @param authorities trusted besides Node's own
 * @param host  names it in errors
 * @throws BuildError CONFIG_INVALID when a certificate or key does not parse
 */
export function secureContext(settings: TlsSettings, authorities: readonly string[], host?: string): SecureContext {
  const more = [...authorities, ...(settings.ca ?? [])]
  const proof = {
    ...(settings.cert === undefined ? {} : { cert: settings.cert }),
    ...(settings.key === undefined ? {} : { key: settings.key }),
  }
  try {
    const context = createSecureContext(proof)
    // Node has no public way to add to its own list but to parse all of it again, which takes 160 ms instead of 15.
    const native = context.context as { readonly addCACert?: (pem: string) => void } | undefined
    if (native?.addCACert === undefined) return createSecureContext({ ...proof, ca: [...rootCertificates, ...more] })
    for (const pem of more.flatMap((text) => text.match(CERTIFICATE) ?? [text])) native.addCACert(pem)
    return context
  } catch (error) {
    throw new BuildError(
      'CONFIG_INVALID',
      `The certificates set for ${host ?? 'all hosts'} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      { hint: 'Certificates and keys are PEM files; a client certificate needs its own key.', cause: error },
    )
  }
}

function readNamed(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `The file that ${variable} names cannot be read: \`${path}\``, {
      cause: error,
    })
  }
}

function systemBundle(): string {
  for (const path of SYSTEM_BUNDLES) {
    try {
      return readFileSync(path, 'utf8')
    } catch (error) {
      const code = systemErrorCode(error)
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EACCES') throw error
    }
  }
  return ''
}

function compact(pem: string): string {
  return pem.replaceAll(/\s/g, '')
}
