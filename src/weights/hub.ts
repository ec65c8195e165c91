import { createHash } from 'node:crypto'
import { z } from 'zod'
import { pathProblem } from '../core/archive-path.ts'
import { digestOf } from '../core/digest.ts'
import { BuildError } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import { hubEndpoint, hubHeaders } from './hub-token.ts'
import { assertFound } from './learn.ts'
import type { FileIdentity, FoundFile, ListWeights, WeightsContext } from './source.ts'

/** An entry of a repository's tree. Large files have the sha256 of their content, small ones Git's own hash. */
const treeEntry = z.looseObject({
  type: z.string(),
  path: z.string(),
  size: z.number().int().nonnegative(),
  oid: z.string(),
  lfs: z.looseObject({ oid: z.string().regex(/^[0-9a-f]{64}$/), size: z.number().int().nonnegative() }).optional(),
})
type TreeEntry = z.infer<typeof treeEntry>

const MAX_PAGES = 1000
const MAX_ANSWER_BYTES = 32 * 2 ** 20
/** What is not kept as a large file is small by the hub's own rules. */
const MAX_SMALL_BYTES = 64 * 2 ** 20

const HINT =
  'Is the name right? A private or gated repository needs a token: HF_TOKEN, or `hf auth login`. Gated ones must be asked for on their page.'

/**
 * A repository of the Hugging Face Hub at a revision.
 *
 * Addresses in the answer name the commit, so that a branch that moves on changes nothing that was locked.
 *
 * @see https://huggingface.co/docs/hub/api
 */
export const listHub: ListWeights<'hub'> = async ({ type, repository, revision }, context) => {
  const endpoint = hubEndpoint(context.env)
  const api = `${endpoint}/api/${type}/${repository}`
  const { sha } = await ask(
    `${api}/revision/${encodeURIComponent(revision)}`,
    z.looseObject({ sha: z.string().regex(/^[0-9a-f]{40,64}$/) }),
    context,
  ).then(({ value }) => value)
  const base = `${endpoint}/${type === 'models' ? '' : `${type}/`}${repository}/resolve/${sha}`
  const files: FoundFile[] = []
  let next: string | undefined = `${api}/tree/${sha}?recursive=true`
  for (let page = 0; next !== undefined && page < MAX_PAGES; page++) {
    const answer: { value: TreeEntry[]; next: string | undefined } = await ask(next, z.array(treeEntry), context)
    files.push(...answer.value.filter((entry) => entry.type === 'file').map((entry) => fileOf(entry, base, context)))
    next = answer.next
  }
  if (next !== undefined)
    throw new BuildError('WEIGHTS_UNAVAILABLE', `The list of files has more than ${MAX_PAGES} pages: ${maskUrl(api)}`)
  return { revision: sha, files }
}

function fileOf(entry: TreeEntry, base: string, context: WeightsContext): FoundFile {
  const problem = pathProblem(entry.path)
  if (problem !== undefined)
    throw new BuildError('WEIGHTS_NOT_FOUND', `A file of the repository ${problem}: ${JSON.stringify(entry.path)}`)
  const url = `${base}/${entry.path.split('/').map(encodeURIComponent).join('/')}`
  const { lfs } = entry
  return {
    path: entry.path,
    url,
    identify: async () =>
      lfs === undefined ? identifySmall(url, entry, context) : { sizeBytes: lfs.size, sha256: lfs.oid },
  }
}

/** Fetches a small file, proves it by Git's hash, and keeps it for the build. */
async function identifySmall(url: string, { oid, size }: TreeEntry, context: WeightsContext): Promise<FileIdentity> {
  const cache = context.cache('weights')
  const key = `git:${oid}`
  const known = (await cache.get(key))?.toString('latin1')
  if (known !== undefined && /^[0-9a-f]{64}$/.test(known)) return { sizeBytes: size, sha256: known }
  const response = await context.http({ url, headers: await hubHeaders(url, context.env), signal: context.signal })
  if (response.status !== 200) {
    await response.discard()
    assertFound(response, url, HINT)
  }
  const bytes = await response.bytes(MAX_SMALL_BYTES)
  const actual = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  if (actual !== oid)
    throw new BuildError('DIGEST_MISMATCH', `The bytes of ${maskUrl(url)} have Git's hash ${actual}, not ${oid}`)
  await context.store.put(chunk(bytes))
  const sha256 = digestOf(bytes).slice('sha256:'.length)
  await cache.set(key, Buffer.from(sha256))
  return { sizeBytes: bytes.length, sha256 }
}

async function* chunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function ask<T>(
  url: string,
  schema: z.ZodType<T>,
  { http, env, signal }: WeightsContext,
): Promise<{ value: T; next: string | undefined }> {
  const response = await http({ url, headers: await hubHeaders(url, env), signal })
  if (response.status !== 200) {
    await response.discard()
    assertFound(response, url, HINT)
  }
  const text = (await response.bytes(MAX_ANSWER_BYTES)).toString('utf8')
  const parsed = schema.safeParse(parseJson(text))
  if (!parsed.success)
    throw new BuildError('WEIGHTS_UNAVAILABLE', `The answer is not one of the Hugging Face Hub: ${maskUrl(url)}`, {
      hint: 'Does HF_ENDPOINT name a hub?',
      cause: parsed.error,
    })
  const link = /<([^>]+)>;\s*rel="?next"?/.exec(response.header('link') ?? '')?.[1]
  return { value: parsed.data, next: link === undefined ? undefined : nextPage(link, url) }
}

/** The next page of the same server. */
function nextPage(link: string, url: string): string {
  const next = new URL(link, url)
  if (next.origin !== new URL(url).origin)
    throw new BuildError('NETWORK_REFUSED', `The next page of a list lies on another server: ${maskUrl(next.href)}`)
  return next.href
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // A page instead of a document: refused by whoever looks for a field.
    return undefined
  }
}
