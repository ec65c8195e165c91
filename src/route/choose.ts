import { createHash } from 'node:crypto'

/** What can be chosen: a name and its share. */
export interface Weighted {
  readonly name: string
  readonly weight: number
}

const HASH_BYTES = 6

/**
 * All versions that have a share, in the order in which a request tries them: the first one is its own.
 *
 * Drawn anew for each request, without a pattern: taking turns would send every second request of a client that alternates
 * between two kinds to the same side.
 *
 * @param random  0 to below 1
 */
export function drawOrder<T extends Weighted>(versions: readonly T[], random: () => number): readonly T[] {
  return byScore(versions, random)
}

/**
 * All versions that have a share, in the order of one key: the same as long as the weights are, in every router.
 *
 * Of two tables that differ in weights, only keys of versions whose share became smaller move, and only to those whose share
 * became larger: weighted rendezvous hashing, each version's score from the key and its own name alone.
 *
 * @see Resch, "New hashing algorithms for data storage" (SNIA 2015)
 */
export function keyOrder<T extends Weighted>(versions: readonly T[], key: string): readonly T[] {
  return byScore(versions, ({ name }) => {
    const digest = createHash('sha256').update(`${name}\0${key}`).digest()
    return (digest.readUIntBE(0, HASH_BYTES) + 0.5) / 2 ** (8 * HASH_BYTES)
  })
}

/** The lowest of -ln(u) / w is a version's with a probability of w against the sum: the exponential race. */
function byScore<T extends Weighted>(versions: readonly T[], uniform: (version: T) => number): readonly T[] {
  return versions
    .filter(({ weight }) => weight > 0)
    .map((version) => ({ version, score: -Math.log1p(-uniform(version)) / version.weight }))
    .toSorted((a, b) => a.score - b.score)
    .map(({ version }) => version)
}
