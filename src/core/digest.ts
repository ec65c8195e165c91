import { createHash, type Hash } from 'node:crypto'
import { digestAlgorithm, type Descriptor, type Digest, type DigestAlgorithm } from 'oci-spec-types'
import { BuildError } from './errors.ts'
import type { ThreadDigester } from './hash-thread/digester.ts'
import { startDigesterOfMany } from './hash-thread/pool.ts'

/** Hashes bytes as they pass and counts them. */
export class Digester {
  readonly #hash: Hash
  readonly algorithm: DigestAlgorithm
  #sizeBytes = 0

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.algorithm = algorithm
    this.#hash = createHash(algorithm)
  }

  update(chunk: Uint8Array): this {
    this.#hash.update(chunk)
    this.#sizeBytes += chunk.length
    return this
  }

  /** Bytes seen so far. */
  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** The digest of all bytes seen; call it once, last. */
  digest(): Digest {
    return `${this.algorithm}:${this.#hash.digest('hex')}`
  }
}

/** The digest of bytes in memory. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

/** Passes bytes on and shows them to a digester. */
export async function* digesting(stream: AsyncIterable<Uint8Array>, digester: Digester): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    digester.update(chunk)
    yield chunk
  }
}

/** The size and digest that bytes must turn out to have. */
export type Expected = Pick<Descriptor, 'digest' | 'size'>

/** Bytes that are hashed once, for all who must know what they were. */
export interface HashedStream {
  readonly bytes: AsyncIterable<Uint8Array>
  /** What the bytes were. To be asked when all have passed, any number of times. @throws RangeError before */
  readonly made: () => Expected
  /** What they are, in a few words, for progress. */
  readonly name?: string | undefined
}

/** Hashes bytes on their way. */
export function hashedStream(stream: AsyncIterable<Uint8Array>): HashedStream {
  const digester = new Digester()
  let made: Expected | undefined
  const pass = async function* (): AsyncGenerator<Uint8Array> {
    yield* digesting(stream, digester)
    made = { digest: digester.digest(), size: digester.sizeBytes }
  }
  return {
    bytes: pass(),
    made: () => {
      if (made === undefined) throw new RangeError('A digest is known only when all bytes have passed')
      return made
    },
  }
}

/** Streams from this size on are worth the start of a thread. */
const THREAD_BYTES = 16 << 20

/**
 * Passes bytes on and fails at the end, or as soon as there are too many, when they are not the expected ones. Many of them are
 * hashed on another thread, while the consumer works on the same chunk.
 *
 * A consumer must not publish what it got before the stream has ended without an error.
 *
 * @param what         names the bytes in the error, such as a masked URL or a path
 * @param startBeside  begins to hash on another thread, where one is of use
 * @throws BuildError SIZE_MISMATCH, DIGEST_MISMATCH
 */
export async function* verify(
  stream: AsyncIterable<Uint8Array>,
  expected: Expected,
  what: string,
  startBeside: (algorithm: DigestAlgorithm) => ThreadDigester | undefined = startDigesterOfMany,
): AsyncGenerator<Uint8Array> {
  const algorithm = digestAlgorithm(expected.digest)
  const beside = expected.size < THREAD_BYTES ? undefined : startBeside(algorithm)
  const digester = beside ?? new Digester(algorithm)
  try {
    for await (const chunk of stream) {
      digester.update(chunk)
      if (digester.sizeBytes > expected.size) throw sizeMismatch(what, expected, digester.sizeBytes)
      yield chunk
      if (beside !== undefined) await beside.settled()
    }
    assertExpected({ digest: await digester.digest(), size: digester.sizeBytes }, expected, what)
  } finally {
    beside?.close()
  }
}

/**
 * Fails when bytes turned out to be others than expected.
 *
 * @throws BuildError SIZE_MISMATCH, DIGEST_MISMATCH
 */
export function assertExpected(actual: Expected, expected: Expected, what: string): void {
  if (actual.size !== expected.size) throw sizeMismatch(what, expected, actual.size)
  if (actual.digest === expected.digest) return
  throw new BuildError(
    'DIGEST_MISMATCH',
    `The bytes of ${what} have the digest ${actual.digest}, not ${expected.digest}`,
    {
      hint: 'The content was altered or damaged on the way. Try again; if it stays, do not trust the source.',
      data: { expected: expected.digest, actual: actual.digest },
    },
  )
}

function sizeMismatch(what: string, expected: Expected, actual: number): BuildError {
  const amount = actual > expected.size ? `more than ${expected.size}` : `${actual} instead of ${expected.size}`
  return new BuildError('SIZE_MISMATCH', `${what} has ${amount} bytes`, {
    data: { digest: expected.digest, expectedBytes: expected.size, actualBytes: actual },
  })
}
