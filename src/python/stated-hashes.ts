import { createHash } from 'node:crypto'
import { BuildError } from '../core/errors.ts'
import { maskUrl } from '../core/http.ts'
import type { ListedFile } from './index/client.ts'
import type { IndexFile } from './index/page.ts'
import type { Requirement } from './requirement.ts'

/** A line of requirements, as far as hashes go. */
interface StatedLine {
  readonly requirement: Pick<Requirement, 'url'>
  readonly hashes?: readonly string[] | undefined
}

/** The hashes that a line states: its options and, as pip has it, the fragment of its address. */
export function statedHashes({ requirement, hashes = [] }: StatedLine): readonly string[] {
  const fragment = /#(?:.*&)?(sha256|sha384|sha512)=([0-9a-f]+)/i.exec(requirement.url ?? '')
  return fragment === null ? hashes : [...hashes, `${fragment[1]}:${fragment[2]}`.toLowerCase()]
}

/**
 * What an index's own hashes say about stated ones: `unknown` where it states none of the same kind, as a folder or a plain
 * listing of files does. Then only the file itself tells, see {@link proveFile}.
 */
export function compareHashes(
  file: Pick<IndexFile, 'hashes'>,
  stated: ReadonlySet<string>,
): 'same' | 'other' | 'unknown' {
  const listed = Object.entries(file.hashes)
  if (listed.some(([algorithm, hash]) => stated.has(`${algorithm}:${hash}`))) return 'same'
  const algorithms = new Set([...stated].map((hash) => hash.slice(0, hash.indexOf(':'))))
  return algorithms.size === 0 || listed.some(([algorithm]) => algorithms.has(algorithm)) ? 'other' : 'unknown'
}

/**
 * Reads a whole file and compares it with stated hashes.
 *
 * @throws BuildError DIGEST_MISMATCH when it has none of them
 */
export async function proveFile(
  file: Pick<ListedFile, 'filename' | 'url'>,
  bytes: AsyncIterable<Uint8Array>,
  stated: ReadonlySet<string>,
): Promise<{ readonly sha256: string; readonly sizeBytes: number }> {
  const algorithms = new Set(['sha256', ...[...stated].map((hash) => hash.slice(0, hash.indexOf(':')))])
  const hashers = [...algorithms].map((algorithm) => ({ algorithm, hash: createHash(algorithm) }))
  let sizeBytes = 0
  for await (const chunk of bytes) {
    for (const { hash } of hashers) hash.update(chunk)
    sizeBytes += chunk.length
  }
  const actual = hashers.map(({ algorithm, hash }) => `${algorithm}:${hash.digest('hex')}`)
  if (stated.size > 0 && !actual.some((hash) => stated.has(hash))) {
    const counted = actual.filter((hash) => [...stated].some((other) => other.startsWith(hash.slice(0, 7))))
    throw new BuildError(
      'DIGEST_MISMATCH',
      `The file ${file.filename} has none of the stated hashes, but ${counted.join(' and ')}: ${maskUrl(file.url)}`,
      {
        hint: 'Either the requirements were made for another file of this name, or this one was exchanged. Compare it with where it comes from before stating its hash.',
        data: { expected: [...stated], actual: counted },
      },
    )
  }
  return { sha256: (actual[0] ?? '').slice('sha256:'.length), sizeBytes }
}
