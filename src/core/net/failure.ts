import type { Open } from '../bytes.ts'
import { BuildError, isBuildError, systemErrorCode, type ErrorCode } from '../errors.ts'

/** A wrong body is found by its own reader, which must not be taken for a fault of the network. */
export class SourceError extends Error {}

/** A body whose own failures are told apart from those of the network. */
export function markingSource(open: Open): Open {
  return async function* (options) {
    try {
      yield* open(options)
    } catch (error) {
      throw new SourceError('The source of the body failed', { cause: error })
    }
  }
}

/** Whatever broke, as an error with a code; one of the source of a body as it was. */
export function asNetworkError(error: unknown, url: string, tries: number): unknown {
  if (error instanceof SourceError) return error.cause
  if (isBuildError(error)) return error
  const reason = reasonOf(error)
  const code = systemErrorCode(error)
  const times = tries > 1 ? ` (tried ${tries} times)` : ''
  return new BuildError(codeFor(code), `No answer from ${maskUrl(url)}${times}: ${reason}`, {
    hint: isOfProxy(error) ? proxyHint(code) : hintFor(code),
    data: { tries, ...(code === undefined ? {} : { reason: code }) },
    cause: error,
  })
}

/** What asking again does not cure is no failure of the network, which leads to "try later". */
function codeFor(code: string | undefined): ErrorCode {
  if (code === undefined) return 'NETWORK_FAILED'
  if (code === 'ENOTFOUND') return 'HOST_NOT_FOUND'
  if (NO_COMMON_TLS.test(code)) return 'TLS_FAILED'
  if (CLIENT_CERTIFICATE.test(code)) return 'CREDENTIALS_INVALID'
  return SERVER_CERTIFICATE.test(code) ? 'CERTIFICATE_INVALID' : 'NETWORK_FAILED'
}

/** Tells whether a failure means that the server answered a TLS greeting with something else. */
export function speaksNoTls(error: unknown): boolean {
  const reason = isBuildError(error, 'TLS_FAILED') ? error.data?.['reason'] : undefined
  return typeof reason === 'string' && NO_TLS.test(reason)
}

/** OpenSSL's messages hold the place in its sources and a line's end; `reason` has what it means. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error) || error.message === '') return String(systemErrorCode(error) ?? error)
  return 'reason' in error && typeof error.reason === 'string' ? error.reason : error.message.trim()
}

function proxyHint(code: string | undefined): string {
  const what = code !== undefined && NO_TLS.test(code) ? 'It speaks plain HTTP: write `http://` there' : 'Correct it'
  return `The proxy comes from HTTPS_PROXY, HTTP_PROXY or ALL_PROXY. ${what}, or list the host in NO_PROXY to ask it directly.`
}

function isOfProxy(error: unknown): boolean {
  return error instanceof Error && 'proxy' in error
}

function hintFor(code: string | undefined): string | undefined {
  if (code === undefined) return undefined
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return 'The certificate is that of another name. Use a name that it is for, or have it made anew.'
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return "The certificate's time is over or has not come. Is the clock of this machine right?"
  if (CLIENT_CERTIFICATE.test(code)) return CLIENT_HINT
  if (SERVER_CERTIFICATE.test(code))
    return 'Name the file of the certificate authority in SSL_CERT_FILE or NODE_EXTRA_CA_CERTS. For one registry it may lie in `certs.d/HOST:PORT/ca.crt` instead.'
  if (NO_TLS.test(code))
    return 'The server does not speak TLS on this port. Correct the port; or, where plain HTTP is meant, write `http://` into the address of an index or archive, and use `--insecure` for a registry.'
  if (NO_COMMON_TLS.test(code))
    return 'The server has no version or cipher of TLS that is still safe. It must be updated.'
  if (code === 'ENOTFOUND')
    return 'No name server knows this host. Check how it is spelled; where only a proxy reaches it, set HTTPS_PROXY.'
  if (code === 'EAI_AGAIN') return 'No name server answered. Check the network, and the proxy variables.'
  if (code.startsWith('HPE_'))
    return 'What answers is no HTTP. Is it a server of HTTPS, so that the address begins with `https://`?'
  if (code === 'ECONNREFUSED') return 'Nothing listens there. Is the server running, and is the port right?'
  return undefined
}

/** What OpenSSL and Node find wrong with a server's certificate. @see Node.js, "TLS", "X509 certificate error codes" */
const SERVER_CERTIFICATE =
  /^(ERR_TLS_CERT_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_MISMATCH)/

/** The answer to a TLS greeting is none: OpenSSL reads another protocol's first bytes as a record of TLS. */
const NO_TLS = /^(EPROTO|ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNKNOWN_PROTOCOL))$/

/** That, or TLS of versions and ciphers which this program does not speak. */
const NO_COMMON_TLS = new RegExp(
  `${NO_TLS.source}|^ERR_SSL_(UNSUPPORTED_PROTOCOL|VERSION_TOO_LOW|NO_SHARED_CIPHER|DH_KEY_TOO_SMALL|\\w*ALERT_(PROTOCOL_VERSION|INSUFFICIENT_SECURITY))$`,
)

/** Alerts by which a server says that it wants another client certificate, or any (RFC 8446, section 6.2). */
const CLIENT_CERTIFICATE = /^ERR_SSL_\w+_ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|HANDSHAKE_FAILURE)$/
const CLIENT_HINT =
  'The server wants a client certificate of an authority that it knows. For a registry it lies as NAME.cert with NAME.key in `certs.d/HOST:PORT`; `layerwright doctor registry` tells which are used.'

/** A URL fit for messages: user, password and query values are replaced by `***`. */
export function maskUrl(url: string): string {
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    // No URL, but it may look like one to whoever wrote it.
    return url.replace(/\/\/[^/@]*@/, '//***@')
  }
  const user = parsed.username === '' && parsed.password === '' ? '' : '***@'
  const query = parsed.search === '' ? '' : '?***'
  return `${parsed.protocol}//${user}${parsed.host}${parsed.pathname}${query}`
}
