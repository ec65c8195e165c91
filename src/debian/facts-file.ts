import { gunzipSync, gzipSync } from 'node:zlib'
import { packedTogether } from '../core/bytes.ts'
import type { Cache } from '../core/cache.ts'
import type { DebFacts } from './facts.ts'

/** Bump when facts change their meaning. */
const FACTS_VERSION = 1
const MAX_FACTS_BYTES = 256 << 20

/** Facts of packages by the SHA-256 (hex) of their files, kept between builds. */
export interface FactsCache {
  get(sha256: string): Promise<DebFacts | undefined>
  set(sha256: string, facts: DebFacts): Promise<void>
}

/** Keeps facts in a cache of small entries; an entry that cannot be read counts as absent. */
export function factsCache(cache: Cache): FactsCache {
  const key = (sha256: string): string => `deb-facts/${FACTS_VERSION}/${sha256}`
  return {
    get: async (sha256) => parseFacts(await cache.get(key(sha256))),
    set: (sha256, facts) => cache.set(key(sha256), formatFacts(facts)),
  }
}

type Files = readonly (readonly [path: string, base64: string])[]

function formatFacts(facts: DebFacts): Buffer {
  const files = (map: ReadonlyMap<string, Buffer>): Files =>
    [...map].map(([path, content]) => [path, content.toString('base64')])
  const { controlFiles, captured, ...rest } = facts
  const text = JSON.stringify({ ...rest, controlFiles: files(controlFiles), captured: files(captured) })
  return gzipSync(text, { level: 1 })
}

function parseFacts(bytes: Buffer | undefined): DebFacts | undefined {
  if (bytes === undefined) return undefined
  try {
    const text = gunzipSync(bytes, { maxOutputLength: MAX_FACTS_BYTES }).toString('utf8')
    const entry = JSON.parse(text) as Omit<DebFacts, 'controlFiles' | 'captured'> &
      Record<'controlFiles' | 'captured', Files>
    const files = (list: Files): Map<string, Buffer> =>
      packedTogether(new Map(list.map(([path, content]) => [path, Buffer.from(content, 'base64')])))
    return { ...entry, controlFiles: files(entry.controlFiles), captured: files(entry.captured) }
  } catch {
    // Our own entry, cut short or of another make: the package is read again.
    return undefined
  }
}
