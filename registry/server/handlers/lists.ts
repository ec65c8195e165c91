import { OCI, type Descriptor } from 'oci-spec-types'
import { json, type Answer, type Call } from '../exchange.ts'
import { Fault } from '../fault.ts'
import type { Registry } from '../registry.ts'
import { MAX_MANIFEST_BYTES } from '../storage.ts'
import { parseDigest } from './blobs.ts'

/** GET of the repositories (Docker's `_catalog`; not part of the specification). */
export async function listRepositories(registry: Registry, call: Call): Promise<Answer> {
  const { items, next } = page(await registry.storage.repositories(), call.query)
  return json({ repositories: items }, linkTo('/v2/_catalog', next))
}

/** GET of a repository's tags (distribution-spec, "Listing tags"), in the order of their bytes. */
export async function listTags(registry: Registry, call: Call, name: string): Promise<Answer> {
  const tags = await (await registry.existing(name))?.tags()
  if (tags === undefined) throw new Fault('NAME_UNKNOWN', `There is no repository ${name}`)
  const { items, next } = page(tags, call.query)
  return json({ name, tags: items }, linkTo(`/v2/${name}/tags/list`, next))
}

/**
 * GET of what refers to a manifest (distribution-spec, "Listing referrers").
 *
 * A list is as large as a manifest at most; what does not fit is on the next page.
 */
export async function listReferrers(registry: Registry, call: Call, name: string, text: string): Promise<Answer> {
  const subject = parseDigest(text)
  const artifactType = call.query.get('artifactType') ?? undefined
  const last = call.query.get('last') ?? ''
  const manifests: Descriptor[] = []
  let next: URLSearchParams | undefined
  let sizeBytes = 0
  for await (const descriptor of (await registry.existing(name))?.referrers(subject) ?? []) {
    if (descriptor.digest <= last) continue
    if (artifactType !== undefined && descriptor.artifactType !== artifactType) continue
    sizeBytes += JSON.stringify(descriptor).length + 1
    if (sizeBytes > MAX_MANIFEST_BYTES - 1024 && manifests.length > 0) {
      next = new URLSearchParams({ ...(artifactType && { artifactType }), last: manifests.at(-1)?.digest ?? '' })
      break
    }
    manifests.push(descriptor)
  }
  return json(
    { schemaVersion: 2, mediaType: OCI.index, manifests },
    {
      'content-type': OCI.index,
      ...(artifactType === undefined ? {} : { 'oci-filters-applied': 'artifactType' }),
      ...linkTo(`/v2/${name}/referrers/${subject}`, next),
    },
  )
}

interface Page {
  readonly items: readonly string[]
  /** The query of the next page, if there is one. */
  readonly next: URLSearchParams | undefined
}

function page(all: readonly string[], query: URLSearchParams): Page {
  const last = query.get('last')
  const rest = last === null ? all : all.filter((item) => item > last)
  const text = query.get('n')
  if (text === null) return { items: rest, next: undefined }
  if (!/^\d+$/.test(text)) throw new Fault('PAGINATION_NUMBER_INVALID', `Not a number of entries: ${text}`)
  const items = rest.slice(0, Number(text))
  const end = items.at(-1)
  // Zero entries are a whole answer: nothing follows them.
  if (end === undefined || items.length === rest.length) return { items, next: undefined }
  return { items, next: new URLSearchParams({ n: text, last: end }) }
}

function linkTo(path: string, query: URLSearchParams | undefined): Record<string, string> {
  return query === undefined ? {} : { link: `<${path}?${query.toString()}>; rel="next"` }
}
