import { BuildError } from '../src/core/errors.ts'
import { maskUrl, type HttpResponse } from '../src/core/http.ts'
import { registryError } from './errors.ts'
import { isTag } from './reference.ts'
import type { Remote } from './remote.ts'

const PAGES_LIMIT = 10_000
/** Amazon ECR refuses more. */
const TAGS_PER_PAGE = 1000
const BODY_LIMIT = 32 << 20

/** All tags of a repository, page by page. Entries that are no tags are left out. @throws RegistryError */
export async function* listTags(remote: Remote): AsyncGenerator<string> {
  const seen = new Set<string>()
  let path: string | undefined = `/tags/list?n=${TAGS_PER_PAGE}`
  while (path !== undefined && !seen.has(path) && seen.size < PAGES_LIMIT) {
    seen.add(path)
    const response: HttpResponse = await remote.send({ method: 'GET', path })
    if (response.status !== 200)
      throw await registryError(response, { method: 'GET', what: `list the tags of ${remote.name}` })
    yield* await readTags(response)
    path = nextPage(response, remote.connection.origin)
  }
}

/** Whether a repository has no tags, or does not exist. @throws RegistryError */
export async function isUntagged(remote: Remote): Promise<boolean> {
  const response: HttpResponse = await remote.send({ method: 'GET', path: '/tags/list?n=1' })
  if (response.status === 200) return (await readTags(response)).length === 0
  if (response.status !== 404)
    throw await registryError(response, { method: 'GET', what: `list the tags of ${remote.name}` })
  await response.discard()
  return true
}

/** The page after this one: `Link: <...>; rel="next"`, followed on the same origin only (RFC 8288). */
export function nextPage(response: HttpResponse, origin: string): string | undefined {
  const target = /<([^>]*)>\s*;[^,]*\brel="?next"?/i.exec(response.header('link') ?? '')?.[1]
  if (target === undefined || !URL.canParse(target, response.url)) return undefined
  const url = new URL(target, response.url)
  return url.origin === origin ? url.href : undefined
}

async function readTags(response: HttpResponse): Promise<string[]> {
  let document: unknown
  try {
    document = JSON.parse(String(await response.bytes(BODY_LIMIT)))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw new BuildError('REGISTRY_FAILED', `The list of tags is not JSON: ${maskUrl(response.url)}`, { cause: error })
  }
  const tags = (document as { tags?: unknown } | null)?.tags
  // Nexus lists nulls, Artifactory digests.
  return Array.isArray(tags) ? tags.filter((tag): tag is string => typeof tag === 'string' && isTag(tag)) : []
}
