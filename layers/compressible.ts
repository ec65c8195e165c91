import type { RandomAccess } from '../src/core/bytes.ts'
import { tinyDeflate } from './tiny-deflate.ts'

const SAMPLE_BYTES = 1 << 16
const SAMPLES = 5
/** Below this, compressing saves more than the time it takes on a usual link. */
const WORTH_RATIO = 0.8

/**
 * Guesses from samples whether files are worth compressing.
 *
 * The same answer on every machine: our own encoder finds repeats, and the frequencies of bytes bound what Huffman
 * codes can save.
 */
export async function isCompressible(files: readonly RandomAccess[]): Promise<boolean> {
  let before = 0
  let after = 0
  for (const file of files) {
    for (const sample of await readSamples(file)) {
      before += sample.length
      after += Math.min(tinyDeflate(sample).length, (sample.length * entropyBits(sample)) / 8)
    }
  }
  return after < before * WORTH_RATIO
}

async function readSamples(file: RandomAccess): Promise<readonly Uint8Array[]> {
  const count = Math.min(SAMPLES, Math.ceil(file.sizeBytes / SAMPLE_BYTES))
  const samples: Uint8Array[] = []
  for (let n = 0; n < count; n++) {
    // Spread over the file, first and last bytes included.
    const offset = count === 1 ? 0 : Math.floor(((file.sizeBytes - SAMPLE_BYTES) * n) / (count - 1))
    samples.push(await file.read(offset, Math.min(SAMPLE_BYTES, file.sizeBytes - offset)))
  }
  return samples
}

/** Mean information of a byte in bits, from the bytes' frequencies alone. */
function entropyBits(bytes: Uint8Array): number {
  const counts = new Uint32Array(256)
  for (const byte of bytes) counts[byte] = (counts[byte] ?? 0) + 1
  let bits = 0
  for (const count of counts) {
    if (count > 0) bits -= (count / bytes.length) * Math.log2(count / bytes.length)
  }
  return bits
}
