// AssemblyScript, compiled by tools/build-wasm.mjs: compresses to raw deflate data (RFC 1951), fast before small.
//
// The host writes content at `inputAt()`, `blockBytes()` at a time and less only at the end, calls `run`, and takes what was
// made from `outputAt()`. Every such piece is one deflate block with codes of its own, or stored where that is shorter. The
// bytes depend on the content alone: not on the machine, nor on how the host cut it.
//
// A match is looked for at the two latest places whose first four bytes hash alike, and the first good one is taken. What
// was found is kept as pairs of a run of literals and a match; literals are read again from the input when they are written.
import { makeCode } from './huffman'
import {
  BLOCK_BYTES,
  CODE_LENGTH_ORDER,
  DISTANCE_COUNTS,
  DISTANCE_CODES,
  HASH_BITS,
  HEADS,
  INPUT,
  LENGTH_SLOTS,
  LITERAL_CODES,
  LITERAL_COUNTS,
  OUTPUT,
  PAIRS,
  PRECODE_CODES,
  PRECODE_COUNTS,
  RUNS,
  WINDOW_BYTES,
} from './places'

const MIN_MATCH: u32 = 4
const MAX_MATCH: u32 = 258
/** A match of this length is not bettered. */
const GOOD_MATCH: u32 = 32
/** After so many literals in a row, places are passed over: what has not matched for long is seldom worth asking. */
const PATIENCE_BITS: u32 = 8
const LITERALS: u32 = 288
const DISTANCES: u32 = 32
const END: u32 = 256

/** Place of `INPUT` in the content; wraps after 4 GiB, which distances do not see. */
let origin: u32 = 0
let outPos: usize = OUTPUT
let bits: u64 = 0
let bitCount: u64 = 0
let isStored: bool = false

makeLengthSlots()
makeOrder()

export function inputAt(): usize {
  return INPUT
}

export function blockBytes(): usize {
  return BLOCK_BYTES
}

export function outputAt(): usize {
  return OUTPUT
}

/** Bits of the next byte that are made already, 0 to 7: the next block begins behind them. */
export function pendingBits(): u32 {
  return <u32>bitCount
}

/** Whether the last block was stored; a full one then is two, the second of a single byte. */
export function wasStored(): bool {
  return isStored
}

/** Begins another stream. */
export function start(): void {
  memory.fill(HEADS, 0, 8 << HASH_BITS)
  // A place of 0 is farther away than any match may be.
  origin = 2 * WINDOW_BYTES
  bits = 0
  bitCount = 0
}

/**
 * Compresses what was written.
 *
 * @param bytes of content: a whole block, or less for the last
 * @param isLast makes the block the stream's last
 * @returns where the output ends
 */
export function run(bytes: usize, isLast: bool): usize {
  outPos = OUTPUT
  const pairs = findMatches(bytes)
  writeBlock(bytes, pairs, isLast)
  if (isLast && bitCount > 0) flushByte()
  // The window of the next block, and its place in the content.
  memory.copy(INPUT - WINDOW_BYTES, INPUT + bytes - WINDOW_BYTES, WINDOW_BYTES)
  origin += <u32>bytes
  return outPos
}

// ---------------------------------------------------------------------------------------------------- matches

// @ts-expect-error AssemblyScript
@inline
function slotOf(word: u32): usize {
  return HEADS + (<usize>((word * 0x9e3779b1) >>> (32 - HASH_BITS)) << 3)
}

// @ts-expect-error AssemblyScript
@inline
function count(counts: usize, symbol: u32): void {
  const at = counts + (symbol << 2)
  store<u32>(at, load<u32>(at) + 1)
}

/** How many bytes agree, `known` of which are known to. */
function matchLength(a: usize, b: usize, known: u32, limit: u32): u32 {
  let length = known
  while (length + 8 <= limit) {
    const difference = load<u64>(a + length) ^ load<u64>(b + length)
    if (difference != 0) return length + <u32>(ctz(difference) >>> 3)
    length += 8
  }
  while (length < limit && load<u8>(a + length) == load<u8>(b + length)) length++
  return length
}

/** Fills counts, runs and pairs; gives back how many pairs there are. */
function findMatches(bytes: usize): u32 {
  memory.fill(LITERAL_COUNTS, 0, 4 * LITERALS)
  memory.fill(DISTANCE_COUNTS, 0, 4 * DISTANCES)
  const end = INPUT + bytes
  const lastStart = bytes >= MIN_MATCH ? end - MIN_MATCH : INPUT - 1
  const base = origin - <u32>INPUT
  let pairs: usize = 0
  let from: usize = INPUT
  let at: usize = INPUT
  while (at <= lastStart) {
    const word = load<u32>(at)
    const slot = slotOf(word)
    const place = <u32>at + base
    const heads = load<u64>(slot)
    store<u64>(slot, <u64>place | (heads << 32))
    let length: u32 = 0
    let distance = place - <u32>heads
    if (distance - 1 < WINDOW_BYTES && load<u32>(at - distance) == word) {
      const limit = min<u32>(<u32>(end - at), MAX_MATCH)
      length = matchLength(at, at - distance, 4, limit)
      const second = place - <u32>(heads >>> 32)
      if (length < GOOD_MATCH && second - 1 < WINDOW_BYTES && load<u32>(at - second) == word) {
        const other = matchLength(at, at - second, 4, limit)
        if (other > length) {
          length = other
          distance = second
        }
      }
    } else {
      distance = place - <u32>(heads >>> 32)
      if (distance - 1 < WINDOW_BYTES && load<u32>(at - distance) == word) {
        length = matchLength(at, at - distance, 4, min<u32>(<u32>(end - at), MAX_MATCH))
      }
    }
    if (length == 0) {
      at += 1 + ((at - from) >>> PATIENCE_BITS)
      continue
    }
    const literals = <u32>(at - from)
    countLiterals(from, at)
    store<u32>(RUNS + (pairs << 2), literals)
    store<u32>(PAIRS + (pairs << 2), ((length - 3) << 16) | (distance - 1))
    pairs++
    count(LITERAL_COUNTS, 257 + load<u8>(LENGTH_SLOTS + length - 3))
    count(DISTANCE_COUNTS, distanceSlot(distance - 1))
    from = at + length
    remember(at + 1, min<usize>(from, lastStart + 1), base)
    at = from
  }
  countLiterals(from, end)
  count(LITERAL_COUNTS, END)
  store<u32>(RUNS + (pairs << 2), <u32>(end - from))
  return <u32>pairs
}

/** Notes places inside of a match: all of a short one, every fourth of a long one. */
function remember(at: usize, end: usize, base: u32): void {
  const step: usize = end - at > 16 ? 4 : 1
  for (; at < end; at += step) {
    const slot = slotOf(load<u32>(at))
    store<u64>(slot, <u64>(<u32>at + base) | (load<u64>(slot) << 32))
  }
}

function countLiterals(at: usize, end: usize): void {
  for (; at < end; at++) count(LITERAL_COUNTS, load<u8>(at))
}

// @ts-expect-error AssemblyScript
@inline
function distanceSlot(less: u32): u32 {
  if (less < 4) return less
  const top = 31 - clz<u32>(less)
  return (top << 1) | ((less >>> (top - 1)) & 1)
}

function makeLengthSlots(): void {
  for (let less: u32 = 0; less < 256; less++) {
    let slot: u32 = less
    if (less == 255) slot = 28
    else if (less >= 8) {
      const top = 31 - clz<u32>(less)
      slot = ((top - 1) << 2) | ((less >>> (top - 2)) & 3)
    }
    store<u8>(LENGTH_SLOTS + less, slot)
  }
}

// @ts-expect-error AssemblyScript
@inline
function lengthExtra(slot: u32): u32 {
  return slot < 8 || slot == 28 ? 0 : (slot >>> 2) - 1
}

// ----------------------------------------------------------------------------------------------------- blocks

// Codes are kept as `code << 8 | length`, the code's bits in the order in which they are written.

function writeBlock(bytes: usize, pairs: u32, isLast: bool): void {
  if (bytes == 0) {
    // Fixed codes and nothing but the end: the shortest last block there is.
    put(0b011, 3)
    put(0, 7)
    flush()
    return
  }
  makeCode(LITERAL_COUNTS, LITERAL_CODES, 286, 14)
  makeCode(DISTANCE_COUNTS, DISTANCE_CODES, 30, 15)
  const headerBits = planHeader()
  isStored = headerBits + dataBits() >= 8 * (<u64>bytes + 5)
  if (isStored) {
    storeBlock(bytes, isLast)
    return
  }
  put(isLast ? 0b101 : 0b100, 3)
  writeHeader()
  writeData(pairs)
}

/** How many bits the block's content takes. */
function dataBits(): u64 {
  let sum: u64 = 0
  for (let n: u32 = 0; n < 286; n++) {
    const extra: u32 = n < 257 ? 0 : lengthExtra(n - 257)
    sum += <u64>load<u32>(LITERAL_COUNTS + (n << 2)) * ((load<u32>(LITERAL_CODES + (n << 2)) & 0xff) + extra)
  }
  for (let n: u32 = 0; n < 30; n++) {
    const extra: u32 = n < 4 ? 0 : (n >>> 1) - 1
    sum += <u64>load<u32>(DISTANCE_COUNTS + (n << 2)) * ((load<u32>(DISTANCE_CODES + (n << 2)) & 0xff) + extra)
  }
  return sum
}

// RFC 1951, section 3.2.4.
function storeBlock(bytes: usize, isLast: bool): void {
  for (let at: usize = 0; at < bytes;) {
    const length = min<usize>(bytes - at, 65535)
    put(isLast && at + length == bytes ? 1 : 0, 3)
    flush()
    if (bitCount > 0) flushByte()
    store<u16>(outPos, <u16>length)
    store<u16>(outPos, <u16>~length, 2)
    memory.copy(outPos + 4, INPUT + at, length)
    outPos += 4 + length
    at += length
  }
}

// RFC 1951, section 3.2.7. The code lengths of both alphabets are one sequence, told in symbols of a third.

let literalCodes: u32 = 0
let distanceCodes: u32 = 0
let lengthCodes: u32 = 0
/** Symbols of the sequence, `extra << 8 | symbol`, lie in `RUNS` behind all runs of a block. */
const SYMBOLS: usize = RUNS + 4 * (BLOCK_BYTES / 4 + 16)
let symbols: u32 = 0

function planHeader(): u64 {
  memory.fill(PRECODE_COUNTS, 0, 4 * 19)
  literalCodes = 286
  while (load<u32>(LITERAL_CODES + ((literalCodes - 1) << 2)) == 0) literalCodes--
  distanceCodes = 30
  while (distanceCodes > 1 && load<u32>(DISTANCE_CODES + ((distanceCodes - 1) << 2)) == 0) distanceCodes--
  symbols = 0
  const total = literalCodes + distanceCodes
  for (let n: u32 = 0; n < total;) {
    const length = codeLength(n)
    let run: u32 = 1
    while (n + run < total && codeLength(n + run) == length) run++
    n += run
    if (length == 0) {
      while (run >= 11) run -= addSymbol(18, min<u32>(run, 138) - 11) + 11
      if (run >= 3) run -= addSymbol(17, run - 3) + 3
    } else {
      addSymbol(length, 0)
      run--
      while (run >= 3) run -= addSymbol(16, min<u32>(run, 6) - 3) + 3
    }
    for (; run > 0; run--) addSymbol(length, 0)
  }
  makeCode(PRECODE_COUNTS, PRECODE_CODES, 19, 7)
  lengthCodes = 19
  while (lengthCodes > 4 && load<u32>(PRECODE_CODES + (<usize>load<u8>(CODE_LENGTH_ORDER + lengthCodes - 1) << 2)) == 0) {
    lengthCodes--
  }
  let sum: u64 = 3 + 5 + 5 + 4 + 3 * <u64>lengthCodes
  for (let n: u32 = 0; n < 19; n++) {
    const length = load<u32>(PRECODE_CODES + (n << 2)) & 0xff
    sum += <u64>load<u32>(PRECODE_COUNTS + (n << 2)) * (length + precodeExtra(n))
  }
  return sum
}

function codeLength(n: u32): u32 {
  const at = n < literalCodes ? LITERAL_CODES + (n << 2) : DISTANCE_CODES + ((n - literalCodes) << 2)
  return load<u32>(at) & 0xff
}

function addSymbol(symbol: u32, extra: u32): u32 {
  count(PRECODE_COUNTS, symbol)
  store<u32>(SYMBOLS + (symbols++ << 2), (extra << 8) | symbol)
  return extra
}

function precodeExtra(symbol: u32): u32 {
  return symbol < 16 ? 0 : symbol == 16 ? 2 : symbol == 17 ? 3 : 7
}

function writeHeader(): void {
  put(literalCodes - 257, 5)
  put(distanceCodes - 1, 5)
  put(lengthCodes - 4, 4)
  flush()
  for (let n: u32 = 0; n < lengthCodes; n++) {
    put(load<u32>(PRECODE_CODES + (<usize>load<u8>(CODE_LENGTH_ORDER + n) << 2)) & 0xff, 3)
    flush()
  }
  for (let n: u32 = 0; n < symbols; n++) {
    const entry = load<u32>(SYMBOLS + (n << 2))
    putCode(load<u32>(PRECODE_CODES + ((entry & 0xff) << 2)))
    put(entry >>> 8, precodeExtra(entry & 0xff))
    flush()
  }
}

function makeOrder(): void {
  // 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1 15
  const order = CODE_LENGTH_ORDER
  store<u8>(order, 16)
  store<u8>(order, 17, 1)
  store<u8>(order, 18, 2)
  store<u8>(order, 0, 3)
  store<u8>(order, 8, 4)
  for (let n: u32 = 1; n <= 7; n++) {
    store<u8>(order + 3 + 2 * n, 8 - n)
    store<u8>(order + 4 + 2 * n, 8 + n)
  }
}

function writeData(pairs: u32): void {
  let at: usize = INPUT
  let buffer = bits
  let filled = bitCount
  let out = outPos
  for (let n: u32 = 0; ; n++) {
    const stop = at + load<u32>(RUNS + (n << 2))
    // Four codes of 14 bits and 7 bits that wait are less than 64.
    while (at + 4 <= stop) {
      const word = load<u32>(at)
      const a = <u64>load<u32>(LITERAL_CODES + ((word & 0xff) << 2))
      const b = <u64>load<u32>(LITERAL_CODES + (((word >>> 8) & 0xff) << 2))
      const c = <u64>load<u32>(LITERAL_CODES + (((word >>> 16) & 0xff) << 2))
      const d = <u64>load<u32>(LITERAL_CODES + ((word >>> 24) << 2))
      buffer |= (a >>> 8) << filled
      filled += a & 0xff
      buffer |= (b >>> 8) << filled
      filled += b & 0xff
      buffer |= (c >>> 8) << filled
      filled += c & 0xff
      buffer |= (d >>> 8) << filled
      filled += d & 0xff
      store<u64>(out, buffer)
      out += <usize>(filled >>> 3)
      buffer >>>= filled & 0x38
      filled &= 7
      at += 4
    }
    while (at < stop) {
      const code = <u64>load<u32>(LITERAL_CODES + (<usize>load<u8>(at++) << 2))
      buffer |= (code >>> 8) << filled
      filled += code & 0xff
    }
    store<u64>(out, buffer)
    out += <usize>(filled >>> 3)
    buffer >>>= filled & 0x38
    filled &= 7
    if (n == pairs) break
    const pair = load<u32>(PAIRS + (n << 2))
    const length = pair >>> 16
    const distance = pair & 0xffff
    at += length + 3
    const slot = <u32>load<u8>(LENGTH_SLOTS + length)
    const code = <u64>load<u32>(LITERAL_CODES + ((257 + slot) << 2))
    buffer |= (code >>> 8) << filled
    filled += code & 0xff
    const extra = lengthExtra(slot)
    buffer |= <u64>(length & ((1 << extra) - 1)) << filled
    filled += extra
    const far = distanceSlot(distance)
    const farCode = <u64>load<u32>(DISTANCE_CODES + (far << 2))
    buffer |= (farCode >>> 8) << filled
    filled += farCode & 0xff
    const farExtra: u32 = far < 4 ? 0 : (far >>> 1) - 1
    buffer |= <u64>(distance & ((1 << farExtra) - 1)) << filled
    filled += farExtra
    store<u64>(out, buffer)
    out += <usize>(filled >>> 3)
    buffer >>>= filled & 0x38
    filled &= 7
  }
  bits = buffer
  bitCount = filled
  outPos = out
  putCode(load<u32>(LITERAL_CODES + (END << 2)))
  flush()
}

function putCode(entry: u32): void {
  put(entry >>> 8, entry & 0xff)
}

function put(value: u32, length: u32): void {
  bits |= <u64>value << bitCount
  bitCount += length
}

function flush(): void {
  store<u64>(outPos, bits)
  outPos += <usize>(bitCount >>> 3)
  bits >>>= bitCount & 0x38
  bitCount &= 7
}

/** Fills up the byte that was begun. */
function flushByte(): void {
  store<u8>(outPos++, <u8>bits)
  bits = 0
  bitCount = 0
}
