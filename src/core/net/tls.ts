import { X509Certificate } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
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

/** Authorities that the environment names, each certificate as PEM text; undefined where a variable is not set. */
export interface NamedAuthorities {
  /** `SSL_CERT_FILE`: in place of the machine's own list. */
  readonly file: readonly string[] | undefined
  /** `SSL_CERT_DIR`: those in the files of its folders. */
  readonly folders: readonly string[] | undefined
  /** `NODE_EXTRA_CA_CERTS` */
  readonly extra: readonly string[] | undefined
}

/**
 * Reads the authorities that variables name. One that names nothing of use is an error, as for curl: who set it would else be told
 * of each server that it is not trusted.
 *
 * @throws BuildError FILE_UNREADABLE for a file that cannot be read; CONFIG_INVALID where there is no certificate
 */
export function namedAuthorities(env: Environment): NamedAuthorities {
  return {
    file: inFile('SSL_CERT_FILE', env),
    folders: inFolders('SSL_CERT_DIR', env),
    extra: inFile('NODE_EXTRA_CA_CERTS', env),
  }
}

/**
 * The authorities that are trusted everywhere besides Node's own: `SSL_CERT_FILE` (else the machine's list), `SSL_CERT_DIR` and
 * `NODE_EXTRA_CA_CERTS`. A company's authority usually lies in one of them.
 *
 * @throws BuildError as {@link namedAuthorities}
 */
export function trustedAuthorities(env: Environment): readonly string[] {
  const { file, folders = [], extra = [] } = namedAuthorities(env)
  const all = [...(file ?? certificatesIn(systemBundle())), ...folders, ...extra]
  const known = new Set(rootCertificates.map(compact))
  // Most of the machine's list is Node's own again.
  return all.filter((pem) => !known.has(compact(pem)))
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

function inFile(variable: string, env: Environment): readonly string[] | undefined {
  const path = env[variable]
  if (!path) return undefined
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new BuildError('FILE_UNREADABLE', `The file that ${variable} names cannot be read: \`${path}\``, {
      cause: error,
    })
  }
  return assertAny(certificatesIn(text), `The file that ${variable} names holds no certificate: \`${path}\``)
}

/** As OpenSSL and Go do: several folders, of which some may be missing, with files of any name. */
function inFolders(variable: string, env: Environment): readonly string[] | undefined {
  const paths = env[variable]
  if (!paths) return undefined
  const texts = paths.split(delimiter).flatMap((folder) =>
    filesIn(folder).map((name) => {
      try {
        return readFileSync(join(folder, name), 'utf8')
      } catch {
        // A folder, a link to nothing, a key that is not ours: not what is looked for.
        return ''
      }
    }),
  )
  // Links by the hash of a name are beside the files they lead to.
  const found = [...new Set(texts.flatMap(certificatesIn))]
  return assertAny(found, `The folders that ${variable} names hold no certificate: \`${paths}\``)
}

function filesIn(folder: string): readonly string[] {
  try {
    return folder === '' ? [] : readdirSync(folder).sort()
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    return []
  }
}

/** Node's own way of adding an authority takes anything and says nothing, so that one has to be looked at here. */
function assertAny(certificates: readonly string[], problem: string): readonly string[] {
  if (certificates.some(isCertificate)) return certificates
  throw new BuildError('CONFIG_INVALID', problem, {
    hint: 'Certificates are wanted as PEM text, which `openssl x509 -inform der -in FILE` makes of others. Without the variable the usual authorities are trusted.',
  })
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0
  } catch {
    return false
  }
}

function certificatesIn(text: string): readonly string[] {
  return text.match(CERTIFICATE) ?? []
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
