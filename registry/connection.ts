import { isBuildError } from '../src/core/errors.ts'
import type { Open } from '../src/core/bytes.ts'
import { speaksNoTls, type Http, type HttpResponse } from '../src/core/http.ts'
import { makeUploadLimiter } from '../src/core/limits.ts'
import { chooseChallenge, parseChallenges, type Challenge } from './challenge.ts'
import type { Credentials, FoundCredential } from './credentials.ts'
import { RegistryError, type RefusingResponse } from './errors.ts'
import { basicHeader, fetchToken, type Token } from './token.ts'

/** One server that speaks the distribution API. */
export interface Endpoint {
  /** The registry whose credentials apply, as in references: `docker.io`, `localhost:5000`. */
  readonly registry: string
  /** Host and port of the server. */
  readonly host: string
  /** `either` speaks TLS when the server does, plain HTTP else. */
  readonly scheme: 'https' | 'http' | 'either'
  /** Whether the user asked for untrusted certificates and plain HTTP. */
  readonly insecure: boolean
  /** Path of the API, `/v2` unless given. */
  readonly path?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** One request to a registry. */
export interface RegistryRequest {
  readonly method: string
  /** Below the API's path, such as `/library/ubuntu/tags/list`; or a whole URL that the registry gave. */
  readonly path: string
  /** What the token must allow; the most important first. */
  readonly scopes: readonly string[]
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: Uint8Array | Open | undefined
  readonly retry?: boolean | undefined
  readonly decode?: boolean | undefined
  /** As in `HttpRequest`: a large answer, read piece by piece. */
  readonly bulk?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a {@link Connection} works with. */
export interface ConnectionOptions {
  readonly http: Http
  readonly credentials: Credentials
  readonly now: () => number
}

/** The first 401 teaches the challenge; two more may be tokens that were judged expired. */
const MAX_CHALLENGES = 3

/** A server and what this process knows of it: how it wants to be proven to, the tokens, whether it speaks TLS. */
export class Connection {
  readonly endpoint: Endpoint
  /** The place of every upload to this server. */
  readonly uploads = makeUploadLimiter()
  readonly #options: ConnectionOptions
  readonly #tokens = new Map<string, Promise<Token>>()
  #challenge: Challenge | undefined
  #scheme: 'https' | 'http'

  constructor(endpoint: Endpoint, options: ConnectionOptions) {
    this.endpoint = endpoint
    this.#options = options
    this.#scheme = endpoint.scheme === 'http' ? 'http' : 'https'
  }

  /** Scheme, host and port. */
  get origin(): string {
    return new URL(`${this.#scheme}://${this.endpoint.host}`).origin
  }

  /** How the server wanted to be proven to, when it has said so. */
  get challenge(): Challenge | undefined {
    return this.#challenge
  }

  /** The whole URL of a path below the API; a URL that the registry gave is followed byte for byte. */
  url(path: string): string {
    return path.startsWith('/') ? `${this.origin}${this.endpoint.path ?? '/v2'}${path}` : path
  }

  /**
   * Sends a request, proving this program as often as the server wants it to.
   *
   * Credentials go to the registry's own origin and to its token server, nowhere else.
   *
   * @returns any answer but a 401 that can be helped
   * @throws BuildError as of `Http`, NETWORK_REFUSED; RegistryError from the token server
   */
  async send(request: RegistryRequest): Promise<RefusingResponse> {
    let { scopes } = request
    for (let challenges = 0; ; challenges++) {
      const authorization = this.#isOwn(this.url(request.path))
        ? await this.#authorize(scopes, request.signal)
        : undefined
      const response = await this.#sendOnce(request, authorization)
      if (response.status !== 401) return response
      if (challenges === MAX_CHALLENGES) return this.#refusing(response, authorization, scopes)
      if (!this.#isOwn(response.url)) return this.#sendElsewhere(request, response)
      const challenge = await this.#learn(response, request.signal)
      const isRefused = challenge === undefined || (challenge.scheme === 'basic' && authorization !== undefined)
      if (isRefused) return this.#refusing(response, authorization, scopes)
      await response.discard()
      // Only the token that was sent is stale; another request may have fetched a new one meanwhile.
      if (authorization !== undefined) await this.#forget(scopes, authorization)
      scopes = withScope(scopes, challenge)
    }
  }

  /** A 401 to a request that had a proof says so. */
  async #refusing(
    response: HttpResponse,
    authorization: string | undefined,
    scopes: readonly string[],
  ): Promise<RefusingResponse> {
    if (authorization === undefined) return response
    return { ...response, refused: (await this.#found(scopes))?.origin }
  }

  async #sendOnce(request: RegistryRequest, authorization: string | undefined): Promise<HttpResponse> {
    const attempt = (): Promise<HttpResponse> => {
      const url = this.url(request.path)
      return this.#options.http({
        method: request.method,
        url,
        via: this.#isOwn(url) ? undefined : this.origin,
        redirect: 'follow',
        retry: request.retry,
        // What answers other than those of GET say is in their heads; errors in plain text will do.
        decode: request.decode ?? request.method === 'GET',
        bulk: request.bulk,
        signal: request.signal,
        body: request.body,
        headers: {
          ...(this.#isOwn(url) ? this.endpoint.headers : {}),
          ...request.headers,
          ...(authorization === undefined ? {} : { authorization }),
        },
      })
    }
    try {
      return await attempt()
    } catch (error) {
      if (this.endpoint.scheme !== 'either' || !isPlainHttp(error, this.endpoint.host)) throw error
      this.#scheme = 'http'
      return attempt()
    }
  }

  /** A store behind a redirect may want a token of its own; it gets an anonymous one. */
  async #sendElsewhere(request: RegistryRequest, response: HttpResponse): Promise<HttpResponse> {
    const challenge = chooseChallenge(parseChallenges(response.header('www-authenticate') ?? ''))
    if (challenge?.scheme !== 'bearer') return response
    await response.discard()
    const { value } = await fetchToken({
      http: this.#options.http,
      registryUrl: response.url,
      challenge,
      credential: undefined,
      scopes: request.scopes.slice(0, 1),
      insecure: this.endpoint.insecure,
      nowMs: this.#options.now(),
      signal: request.signal,
    })
    return this.#options.http({
      method: request.method,
      url: response.url,
      via: this.origin,
      decode: request.decode,
      bulk: request.bulk,
      signal: request.signal,
      headers: { ...request.headers, authorization: `Bearer ${value}` },
    })
  }

  #isOwn(url: string): boolean {
    return new URL(url).origin === this.origin
  }

  async #learn(response: HttpResponse, signal: AbortSignal | undefined): Promise<Challenge | undefined> {
    const found = chooseChallenge(parseChallenges(response.header('www-authenticate') ?? ''))
    if (found !== undefined) return (this.#challenge = found)
    if (this.#challenge !== undefined) return this.#challenge
    // Some registries name the challenge at the base of the API only.
    const ping = await this.#options.http({ url: this.url('/'), signal })
    await ping.discard()
    return (this.#challenge = chooseChallenge(parseChallenges(ping.header('www-authenticate') ?? '')))
  }

  async #authorize(scopes: readonly string[], signal: AbortSignal | undefined): Promise<string | undefined> {
    const challenge = this.#challenge
    if (challenge === undefined) return undefined
    const found = await this.#found(scopes)
    const credential = found?.credential
    if (credential?.kind === 'registry-token') return `Bearer ${credential.token}`
    if (challenge.scheme === 'basic') return credential?.kind === 'basic' ? basicHeader(credential) : undefined
    return `Bearer ${(await this.#token(challenge, found, scopes, signal)).value}`
  }

  #found(scopes: readonly string[]): Promise<FoundCredential | undefined> {
    return this.#options.credentials(this.endpoint.registry, scopes[0]?.split(':')[1] ?? '')
  }

  async #token(
    challenge: Challenge,
    found: FoundCredential | undefined,
    scopes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Token> {
    const key = scopes.join(' ')
    const known = this.#tokens.get(key)
    if (known !== undefined) {
      const token = await known
      if (token.expiresMs > this.#options.now()) return token
      if (this.#tokens.get(key) !== known) return this.#token(challenge, found, scopes, signal)
    }
    const fresh = this.#fetchToken(challenge, found, scopes, signal)
    this.#tokens.set(key, fresh)
    // Not kept, so that the next request asks again; who asked now gets the failure.
    fresh.catch(() => this.#tokens.get(key) === fresh && this.#tokens.delete(key))
    return fresh
  }

  async #fetchToken(
    challenge: Challenge,
    found: FoundCredential | undefined,
    scopes: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Token> {
    const { http, now } = this.#options
    const { insecure } = this.endpoint
    const { credential, origin } = found ?? {}
    const base = { http, registryUrl: this.origin, challenge, credential, origin, insecure, nowMs: now(), signal }
    try {
      return await fetchToken({ ...base, scopes })
    } catch (error) {
      // Some servers refuse the whole request when one scope (the source of a mount) is not allowed.
      const isRefused = error instanceof RegistryError && error.status < 500 && error.status !== 429
      const isScope = isRefused && scopes.length > 1
      if (!isScope) throw error
      return fetchToken({ ...base, scopes: scopes.slice(0, 1) })
    }
  }

  async #forget(scopes: readonly string[], authorization: string): Promise<void> {
    const key = scopes.join(' ')
    // One that could not be had is no longer kept, and was told to who wanted it.
    const known = await this.#tokens.get(key)?.catch(() => undefined)
    if (known !== undefined && `Bearer ${known.value}` === authorization) this.#tokens.delete(key)
  }
}

/** What a registry says is missing is asked for as well (`insufficient_scope`). */
function withScope(scopes: readonly string[], challenge: Challenge): readonly string[] {
  const { error, scope } = challenge.parameters
  if (error !== 'insufficient_scope' || scope === undefined) return scopes
  return [...new Set([...scopes, ...scope.split(' ').filter((entry) => entry !== '')])]
}

/** A server that speaks plain HTTP there; or that does not listen on the port of https at all. */
function isPlainHttp(error: unknown, host: string): boolean {
  if (speaksNoTls(error)) return true
  const isRefused = isBuildError(error, 'NETWORK_FAILED') && error.data?.['reason'] === 'ECONNREFUSED'
  return isRefused && !/:\d+$/.test(host)
}
