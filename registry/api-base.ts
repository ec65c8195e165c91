import { BuildError } from '../src/core/errors.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import type { Challenge } from './challenge.ts'
import type { Connection } from './connection.ts'
import { failedLoginHint, registryError } from './errors.ts'

/** What {@link checkBase} is asked for. */
export interface BaseCheck {
  /** As in references. */
  readonly registry: string
  /** Whether somebody has just typed the credentials in: then it is of no use to say how to log in. */
  readonly isNew: boolean
  readonly signal?: AbortSignal | undefined
}

const NO_REGISTRY_HINT =
  'Is this the address of a registry, and does a proxy, gateway or network in between want a login of its own?'
/** Far more than any registry says at the base of its API. */
const BASE_LIMIT = 1 << 20

/**
 * Asks for the base of the API: whether a registry answers there, and accepts the credentials.
 *
 * @throws RegistryError REGISTRY_DENIED, ...; BuildError REGISTRY_FAILED when something else answers
 */
export async function checkBase(connection: Connection, { registry, isNew, signal }: BaseCheck): Promise<void> {
  const response = await connection.send({ method: 'GET', path: '/', scopes: [], signal })
  if (response.status !== 200) {
    const what = `log in to ${registry}`
    throw await registryError(response, { method: 'GET', what }, { hint: hintFor(response, isNew) })
  }
  if (await isRegistry(response, connection.challenge)) return
  throw new BuildError('REGISTRY_FAILED', `What answers is no registry: ${maskUrl(response.url)}`, {
    hint: NO_REGISTRY_HINT,
  })
}

function hintFor({ status, url }: HttpResponse, isNew: boolean): string | undefined {
  if (status === 404) return NO_REGISTRY_HINT
  return isNew && status === 401 ? failedLoginHint(new URL(url).host) : undefined
}

/**
 * Whether an answer of the API's base is a registry's. Not all send the header of Docker's (distribution-spec, "Determining
 * Support", wants 200 alone): those that asked for a proof before are known by it, the others say JSON or nothing.
 */
async function isRegistry(response: HttpResponse, challenge: Challenge | undefined): Promise<boolean> {
  const isNamed = response.header('docker-distribution-api-version') !== undefined
  const isPage = /^(text\/html|application\/xhtml)/i.test(response.header('content-type') ?? '')
  if (isNamed || isPage || challenge !== undefined) {
    await response.discard()
    return isNamed || !isPage
  }
  const text = String(await response.bytes(BASE_LIMIT)).trim()
  return text === '' || isJson(text)
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
