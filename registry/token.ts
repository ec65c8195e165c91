import { BuildError } from '../src/core/errors.ts'
import { maskUrl, type Http, type HttpResponse } from '../src/core/http.ts'
import type { Challenge } from './challenge.ts'
import type { Credential } from './credentials.ts'
import { loginHint, refusedHint, registryError } from './errors.ts'

/** A bearer token and when to stop using it, in milliseconds since the epoch. */
export interface Token {
  readonly value: string
  readonly expiresMs: number
}

/** What a token is asked with. */
export interface TokenRequest {
  readonly http: Http
  /** The registry's own address, which names the realm. */
  readonly registryUrl: string
  readonly challenge: Challenge
  readonly credential: Credential | undefined
  /** Where the credential was found. */
  readonly origin?: string | undefined
  /** `repository:NAME:pull,push`; the one that matters most first (some servers read no other). */
  readonly scopes: readonly string[]
  /** Accept a realm without TLS. */
  readonly insecure: boolean
  readonly nowMs: number
  readonly signal?: AbortSignal | undefined
}

const CLIENT_ID = 'layerwright'
const BODY_LIMIT = 1 << 20
/** The specification's default, and the least that is believed. */
const MIN_LIFETIME_SECONDS = 60

/**
 * Fetches a token from the realm that a Bearer challenge names.
 *
 * @throws RegistryError when the token server refuses; BuildError NETWORK_REFUSED for a realm that must not be asked
 * @see distribution, docs/spec/auth/token.md and oauth.md
 */
export async function fetchToken(request: TokenRequest): Promise<Token> {
  const { credential, challenge } = request
  const realm = realmUrl(request)
  if (credential?.kind === 'identity') {
    const response = await post(realm, request, { grant_type: 'refresh_token', refresh_token: credential.token })
    // Servers without the POST flow answer 404, 405 or with a page; they know identity tokens as a password.
    if (response.status < 400) {
      const token = await readToken(response, request)
      if (token !== undefined) return token
    } else await response.discard()
  }
  const url = new URL(realm)
  const { service } = challenge.parameters
  if (service !== undefined) url.searchParams.set('service', service)
  for (const scope of request.scopes) url.searchParams.append('scope', scope)
  const basic = basicOf(credential)
  if (basic !== undefined) url.searchParams.set('account', basic.username)
  const response = await request.http({
    url: url.href,
    via: request.registryUrl,
    signal: request.signal,
    headers: { accept: 'application/json', ...(basic === undefined ? {} : { authorization: basicHeader(basic) }) },
  })
  if ((response.status === 404 || response.status === 405) && credential?.kind === 'basic') {
    await response.discard()
    const { username, password } = credential
    return must(await post(realm, request, { grant_type: 'password', username, password }), request)
  }
  return must(response, request)
}

/** `Basic ...` for a user and password. */
export function basicHeader({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function basicOf(credential: Credential | undefined): { username: string; password: string } | undefined {
  if (credential?.kind === 'basic') return credential
  return credential?.kind === 'identity' ? { username: credential.username, password: credential.token } : undefined
}

function realmUrl({ challenge, registryUrl, insecure }: TokenRequest): string {
  const text = challenge.parameters['realm'] ?? ''
  const url = URL.canParse(text, registryUrl) ? new URL(text, registryUrl) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new BuildError('REGISTRY_FAILED', `The registry names a token server that is no URL: \`${maskUrl(text)}\``)
  if (url.protocol === 'http:' && registryUrl.startsWith('https:') && !insecure)
    throw new BuildError('NETWORK_REFUSED', `The registry names a token server without TLS: ${maskUrl(url.href)}`, {
      hint: 'Passwords would be sent in the clear. Use --insecure if this is meant.',
    })
  return url.href
}

function post(realm: string, request: TokenRequest, form: Readonly<Record<string, string>>): Promise<HttpResponse> {
  const { service } = request.challenge.parameters
  const body = new URLSearchParams({
    ...form,
    client_id: CLIENT_ID,
    ...(service === undefined ? {} : { service }),
    ...(request.scopes.length === 0 ? {} : { scope: request.scopes.join(' ') }),
  })
  return request.http({
    method: 'POST',
    url: realm,
    via: request.registryUrl,
    retry: true,
    signal: request.signal,
    headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
    body: body.toString(),
  })
}

async function must(response: HttpResponse, request: TokenRequest): Promise<Token> {
  const host = new URL(request.registryUrl).host
  if (response.status >= 400)
    throw await registryError(
      response,
      { method: 'GET', what: `get a token for ${host}` },
      {
        hint: (response.status === 401 ? refusedHint(host, request.origin) : undefined) ?? loginHint(host),
      },
    )
  const token = await readToken(response, request)
  if (token === undefined)
    throw new BuildError('REGISTRY_FAILED', `The token server gave no token: ${maskUrl(response.url)}`)
  return token
}

async function readToken(response: HttpResponse, request: TokenRequest): Promise<Token | undefined> {
  const text = String(await response.bytes(BODY_LIMIT))
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // A page instead of a document: not a token server's answer.
    return undefined
  }
  if (typeof document !== 'object' || document === null) return undefined
  const { token, access_token: accessToken, expires_in: expiresIn } = document as Record<string, unknown>
  const value = typeof token === 'string' && token !== '' ? token : accessToken
  if (typeof value !== 'string' || value === '') return undefined
  const seconds = typeof expiresIn === 'number' ? Math.max(expiresIn, MIN_LIFETIME_SECONDS) : MIN_LIFETIME_SECONDS
  // Counted from now and not from `issued_at`: the clocks of two machines differ. Renewed a sixth of its life ahead.
  return { value, expiresMs: request.nowMs + (seconds * 1000 * 5) / 6 }
}
