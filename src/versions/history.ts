import type { Digest } from 'oci-spec-types'
import { makeRelease, parseRecord, prefixOf, type Release } from './release.ts'

/** What a tag has meant. */
export interface History {
  readonly tag: string
  /** The way back: oldest first, the last is what the tag means. What was rolled back from is not in it. */
  readonly releases: readonly Release[]
  /** When the last record was made, of whatever became of it; undefined when there is none. */
  readonly lastSeconds: number | undefined
}

/**
 * Reads the history of a tag from the names of a repository's tags.
 *
 * Records are added in the order of their time, and only the oldest are ever removed. One whose number and image are those of a
 * release on the way back is a rollback to it, and so is one whose number is below all that are left: to one that was removed.
 * Every other one is a step forward, of whoever else released at the same time, too. So the newest records alone say the same of
 * the releases that they are of, by the same numbers.
 *
 * @param tags  all of the repository, in any order
 */
export function readHistory(tag: string, tags: readonly string[]): History {
  const records = recordsOf(tag, tags)
  const way: Release[] = []
  for (const record of records) {
    const at = way.findIndex(({ number, prefix }) => number === record.number && prefix === record.prefix)
    if (at !== -1) way.length = at
    else if (record.number < (way[0]?.number ?? 0)) way.length = 0
    way.push({ ...record, number: Math.max(record.number, nextNumber(way)) })
  }
  return { tag, releases: way, lastSeconds: records.at(-1)?.seconds }
}

/** All records of a tag, those that are no longer on the way back among them; oldest first. */
export function recordsOf(tag: string, tags: readonly string[]): readonly Release[] {
  return tags
    .map(parseRecord)
    .filter((release) => release?.tag === tag)
    .filter((release) => release !== undefined)
    .toSorted((a, b) => a.seconds - b.seconds || (a.record < b.record ? -1 : 1))
}

/** The number of a step forward. */
export function nextNumber(releases: readonly Release[]): number {
  return (releases.at(-1)?.number ?? 0) + 1
}

/**
 * A history that ends with what the tag means now: somebody may have moved it without a record, as a push does.
 *
 * @returns the release that must be recorded, if there is one
 */
export function settleHistory(
  history: History,
  current: Digest | undefined,
  nowSeconds: number,
): { readonly history: History; readonly unrecorded: Release | undefined } {
  const { releases } = history
  if (current === undefined || releases.at(-1)?.prefix === prefixOf(current)) return { history, unrecorded: undefined }
  const unrecorded = nextRelease(history, nextNumber(releases), current, nowSeconds)
  return {
    history: { ...history, releases: [...releases, unrecorded], lastSeconds: unrecorded.seconds },
    unrecorded,
  }
}

/** A release after all that are known, by a clock that never goes back. */
export function nextRelease(history: History, number: number, digest: Digest, nowSeconds: number): Release {
  const { tag, lastSeconds } = history
  const seconds = lastSeconds === undefined ? nowSeconds : Math.max(nowSeconds, lastSeconds + 1)
  return makeRelease(tag, number, seconds, digest)
}
