import type { WireError } from 'oci-spec-types'
import { BuildError, type ErrorCode } from '../src/core/errors.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'

/** A registry's refusal or failure, with what it said. */
export class RegistryError extends BuildError {
  override readonly name = 'RegistryError'
  readonly method: string
  /** Masked: no user, password or query value. */
  readonly url: string
  readonly status: number
  /** The registry's own codes, such as `NAME_UNKNOWN` (distribution-spec, "Error Codes"). */
  readonly wireCodes: readonly string[]
  readonly retryable: boolean
  /** How often the request was sent. */
  readonly tries: number

  constructor(facts: RegistryFailure) {
    const url = maskUrl(facts.url)
    const wireCodes = facts.errors.map(({ code }) => code)
    super(facts.code ?? codeOf(facts.status), describe(facts, url), {
      hint: facts.hint,
      data: { method: facts.method, url, status: facts.status, wireCodes, tries: facts.tries },
    })
    this.method = facts.method
    this.url = url
    this.status = facts.status
    this.wireCodes = wireCodes
    this.retryable = facts.status === 429 || facts.status >= 500
    this.tries = facts.tries
  }
}

/** The facts of a {@link RegistryError}. */
export interface RegistryFailure {
  readonly method: string
  readonly url: string
  readonly status: number
  readonly errors: readonly WireError[]
  readonly tries: number
  /** What was wanted, in words that follow "cannot", such as "push a layer". */
  readonly what: string
  readonly code?: ErrorCode | undefined
  readonly hint?: string | undefined
}

const ERROR_BODY_LIMIT = 64 * 1024
const MESSAGE_LIMIT = 300

/** Reads what a registry says about a failure; a body that is no error document gives its first words or nothing. */
async function readWireErrors(response: HttpResponse): Promise<readonly WireError[]> {
  let text: string
  try {
    text = String(await response.bytes(ERROR_BODY_LIMIT))
  } catch {
    // The body of an error is a courtesy: that it is endless or cut must not hide the status.
    return []
  }
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    // Docker Hub's 429 is plain text, proxies answer with pages.
    const words = printable(text)
    return words === '' || words.startsWith('<') ? [] : [{ code: 'UNKNOWN', message: words }]
  }
  return parseWireErrors(document)
}

// By hand: this lies on the path of every command, where loading a schema library shows.
function parseWireErrors(document: unknown): readonly WireError[] {
  const errors = typeof document === 'object' && document !== null && 'errors' in document ? document.errors : []
  if (!Array.isArray(errors)) return []
  return errors.flatMap((entry: unknown) => {
    const { code, message } = (entry ?? {}) as Record<string, unknown>
    if (typeof code !== 'string') return []
    return [typeof message === 'string' ? { code, message } : { code }]
  })
}

/** An answer, with where the credentials came from that a 401 refuses. */
export type RefusingResponse = HttpResponse & { readonly refused?: string | undefined }

/** Makes the error for an answer that was not wanted. Reads the answer's body. */
export async function registryError(
  response: RefusingResponse,
  request: { readonly method: string; readonly what: string },
  more: { readonly code?: ErrorCode | undefined; readonly hint?: string | undefined } = {},
): Promise<RegistryError> {
  const errors = await readWireErrors(response)
  return new RegistryError({
    ...request,
    url: response.url,
    status: response.status,
    errors,
    tries: response.tries ?? 1,
    code: more.code,
    hint:
      pushHint(request.method, response.status, errors) ??
      more.hint ??
      refusedHint(new URL(response.url).host, response.refused) ??
      limitHint(response, errors) ??
      hintFor(new URL(response.url).host, response.status, errors),
  })
}

function codeOf(status: number): ErrorCode {
  if (status === 401 || status === 403) return 'REGISTRY_DENIED'
  if (status === 404) return 'IMAGE_NOT_FOUND'
  if (status === 408 || status === 429 || status >= 500) return 'REGISTRY_UNAVAILABLE'
  return 'REGISTRY_FAILED'
}

function describe(facts: RegistryFailure, url: string): string {
  const said = facts.errors
    .map(({ code, message }) => (message === undefined ? code : `${code}: ${printable(message)}`))
    .join('; ')
  const times = facts.tries > 1 ? ` (tried ${facts.tries} times)` : ''
  return `Cannot ${facts.what}, the registry answered ${facts.status}${times}${said === '' ? '' : `, ${said}`}: ${facts.method} ${url}`
}

/** A registry's text in one line without control characters, which could rewrite a terminal. */
function printable(text: string): string {
  const line = text.replaceAll(/[\s\p{C}]+/gu, ' ').trim()
  return line.length > MESSAGE_LIMIT ? `${line.slice(0, MESSAGE_LIMIT)}...` : line
}

/**
 * What helps where the answer itself says what is wrong, before any guess: Amazon ECR (400 TAG_INVALID), Harbor (412) and
 * Google's (400) know tags that cannot be moved; nginx and others in front of a registry have a limit of their own; the
 * reference registry answers 405 while it is read-only or mirrors another.
 */
function pushHint(method: string, status: number, errors: readonly WireError[]): string | undefined {
  if (method === 'GET' || method === 'HEAD') return undefined
  if (errors.some(({ message = '' }) => /immutab|cannot be overwritten/i.test(message)))
    return 'Tags of this repository cannot be moved: push under a new tag, or change that in its settings.'
  if (status === 413)
    return 'Something in front of the registry takes no request this large (nginx: `client_max_body_size`). Raise its limit.'
  if (status === 405)
    return 'The registry takes no pushes: it is read-only, under maintenance, or a cache of another one.'
  return undefined
}

function limitHint(response: HttpResponse, errors: readonly WireError[]): string | undefined {
  if (response.status !== 429 && !errors.some(({ code }) => code === 'TOOMANYREQUESTS')) return undefined
  const asked = response.header('retry-after')
  const when = asked === undefined ? '' : ` (\`Retry-After: ${printable(asked)}\`)`
  return `The registry limits how often it may be asked. Log in for a higher limit, or try again later${when}.`
}

/** What helps, by the registry's product. */
function hintFor(host: string, status: number, errors: readonly WireError[]): string | undefined {
  const isUnknownName = errors.some(({ code }) => code === 'NAME_UNKNOWN')
  if (isUnknownName && /\.ecr[.-]/.test(host))
    return 'Amazon ECR does not create repositories: run `aws ecr create-repository --repository-name NAME` first.'
  if (isUnknownName)
    return 'There is no such repository or project. To push, create it first where the registry does not do so by itself.'
  if (status === 401 || status === 403) return loginHint(host)
  return undefined
}

/** What helps where there were credentials, and the registry did not take them. */
export function refusedHint(host: string, origin: string | undefined): string | undefined {
  if (origin === undefined) return undefined
  return `The credentials from ${origin} were not accepted: they are wrong or have expired. ${productHint(host) ?? `${logIn(host)} again.`}`
}

/** How to log in to a registry, by its host name. */
export function loginHint(host: string): string {
  return productHint(host) ?? `${logIn(host)}. The user may lack the right to this repository, or it does not exist.`
}

/** What to look at when a registry takes no login. */
export function failedLoginHint(host: string): string {
  return productHint(host) ?? 'Check the user name, and the password or token.'
}

function logIn(host: string): string {
  return `Log in with \`layerwright login ${host}\``
}

function productHint(host: string): string | undefined {
  if (/\.dkr[.-]ecr(-fips)?\./.test(host) || host === 'public.ecr.aws')
    return `Set \`"credHelpers": {"${host}": "ecr-login"}\` in ~/.docker/config.json, or pipe \`aws ecr get-login-password\` into \`layerwright login ${host} -u AWS --password-stdin\`.`
  if (host.endsWith('.pkg.dev') || host === 'gcr.io' || host.endsWith('.gcr.io'))
    return `Run \`gcloud auth configure-docker ${host}\`, or pipe \`gcloud auth print-access-token\` into \`layerwright login ${host} -u oauth2accesstoken --password-stdin\`.`
  if (host.endsWith('.azurecr.io'))
    return `Run \`az acr login -n ${host.split('.')[0]}\`, or log in as 00000000-0000-0000-0000-000000000000 with \`az acr login --expose-token\`.`
  if (host === 'ghcr.io')
    return `${logIn(host)}, your GitHub user and a token with \`write:packages\`; in GitHub Actions pass GITHUB_TOKEN and grant \`packages: write\`.`
  if (host === 'nvcr.io') return `${logIn(host)} -u '$oauthtoken' and an NGC API key as password.`
  if (host === 'registry-1.docker.io') return 'Log in with `layerwright login docker.io` and a personal access token.'
  return undefined
}
