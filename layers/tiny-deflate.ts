const WINDOW_BYTES = 32768
const MIN_MATCH = 3
const MAX_MATCH = 258
const HASH_BITS = 13
/** A stored block holds at most this many bytes. */
export const STORED_BLOCK_BYTES = 65535

/**
 * Compresses bytes into one final deflate block, the same on every machine and for ever.
 *
 * Greedy matching against one remembered place, fixed Huffman codes: far from zlib's ratio on text, near to it on tar
 * headers, which is what it is for. zlib promises the same bytes for no two versions, and a wheel's layer must not
 * change with Node. Falls back to stored blocks where that is shorter.
 *
 * @see RFC 1951, sections 3.2.4 and 3.2.6
 */
export function tinyDeflate(input: Uint8Array): Buffer {
  const out = new BitWriter(input.length)
  out.write(0b011, 3)
  const heads = new Int32Array(1 << HASH_BITS).fill(-1)
  let at = 0
  while (at < input.length) {
    const length = at + MIN_MATCH <= input.length ? matchAt(input, at, heads) : 0
    if (length < MIN_MATCH) {
      writeLiteral(out, input[at] ?? 0)
      at++
      continue
    }
    writeMatch(out, length, lastDistance)
    for (let n = 1; n < length && at + n + MIN_MATCH <= input.length; n++) heads[hashAt(input, at + n)] = at + n
    at += length
  }
  out.write(0, 7)
  const compressed = out.finish()
  return compressed.length < storedBytes(input.length) ? compressed : storeDeflate(input)
}

/** How many bytes {@link storeDeflate} makes of this many. */
export function storedBytes(length: number): number {
  return length + 5 * Math.max(1, Math.ceil(length / STORED_BLOCK_BYTES))
}

/** Bytes as stored deflate blocks, the last marked as final. */
export function storeDeflate(input: Uint8Array): Buffer {
  const parts: Uint8Array[] = []
  let at = 0
  do {
    const end = Math.min(at + STORED_BLOCK_BYTES, input.length)
    parts.push(storedHeader(end - at, end === input.length), input.subarray(at, end))
    at = end
  } while (at < input.length)
  return Buffer.concat(parts)
}

/** The five bytes before a stored block that starts at a byte's edge. */
export function storedHeader(length: number, isFinal: boolean): Buffer {
  const header = Buffer.alloc(5)
  header.writeUInt8(isFinal ? 1 : 0, 0)
  header.writeUInt16LE(length, 1)
  header.writeUInt16LE(~length & 0xffff, 3)
  return header
}

/** Set by `matchAt`: a second result without an allocation for each byte. */
let lastDistance = 0

function matchAt(input: Uint8Array, at: number, heads: Int32Array): number {
  const hash = hashAt(input, at)
  const candidate = heads[hash] ?? -1
  heads[hash] = at
  const distance = at - candidate
  if (candidate < 0 || distance > WINDOW_BYTES) return 0
  const limit = Math.min(MAX_MATCH, input.length - at)
  let length = 0
  while (length < limit && input[candidate + length] === input[at + length]) length++
  lastDistance = distance
  return length
}

function hashAt(input: Uint8Array, at: number): number {
  const word = (input[at] ?? 0) | ((input[at + 1] ?? 0) << 8) | ((input[at + 2] ?? 0) << 16)
  return Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS)
}

function writeLiteral(out: BitWriter, byte: number): void {
  if (byte < 144) out.writeCode(0x30 + byte, 8)
  else out.writeCode(0x190 + byte - 144, 9)
}

function writeMatch(out: BitWriter, length: number, distance: number): void {
  const lengthSymbol = symbolOf(LENGTH_BASES, length)
  if (lengthSymbol < 23) out.writeCode(lengthSymbol + 1, 7)
  else out.writeCode(0xc0 + lengthSymbol - 23, 8)
  out.write(length - (LENGTH_BASES[lengthSymbol] ?? 0), LENGTH_EXTRA[lengthSymbol] ?? 0)
  const distanceSymbol = symbolOf(DISTANCE_BASES, distance)
  out.writeCode(distanceSymbol, 5)
  out.write(distance - (DISTANCE_BASES[distanceSymbol] ?? 0), DISTANCE_EXTRA[distanceSymbol] ?? 0)
}

const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0]
const LENGTH_BASES = [
  3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
]
const DISTANCE_EXTRA = Array.from({ length: 30 }, (_, n) => Math.max(0, (n >> 1) - 1))
const DISTANCE_BASES = DISTANCE_EXTRA.reduce<number[]>((bases, _, n) => {
  bases.push(n === 0 ? 1 : (bases[n - 1] ?? 0) + (1 << (DISTANCE_EXTRA[n - 1] ?? 0)))
  return bases
}, [])

/** The last symbol whose base is not above the value. */
function symbolOf(bases: readonly number[], value: number): number {
  let low = 0
  let high = bases.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((bases[middle] ?? 0) <= value) low = middle
    else high = middle - 1
  }
  return low
}

/** Packs bits from the least significant end, as deflate wants them. */
class BitWriter {
  #bytes: Buffer
  #length = 0
  #bits = 0
  #count = 0

  constructor(inputBytes: number) {
    // Nine bits a byte at worst, and the block's own codes.
    this.#bytes = Buffer.allocUnsafe(inputBytes + (inputBytes >> 3) + 16)
  }

  write(value: number, bits: number): void {
    this.#bits |= value << this.#count
    this.#count += bits
    while (this.#count >= 8) {
      this.#bytes[this.#length++] = this.#bits & 0xff
      this.#bits >>>= 8
      this.#count -= 8
    }
  }

  /** Huffman codes go in from their most significant bit. */
  writeCode(code: number, bits: number): void {
    let reversed = 0
    for (let n = 0; n < bits; n++) reversed |= ((code >> n) & 1) << (bits - 1 - n)
    this.write(reversed, bits)
  }

  finish(): Buffer {
    if (this.#count > 0) this.write(0, 8 - this.#count)
    return this.#bytes.subarray(0, this.#length)
  }
}
