// AssemblyScript, compiled by tools/build-wasm.mjs: inflates raw deflate data (RFC 1951) in pieces of any size.
//
// The host writes compressed bytes at `inputAt()`, calls `run`, and takes what was inflated from `outputAt()`; the
// 32 KiB before that are the window. Nothing is allocated: tables, input and output have fixed places in memory.
//
// Speed comes from a bit buffer of 64 bits that one unaligned load fills, from tables whose entries hold the length of
// code and extra bits together, from looking up the next code before a match is copied, and from copying 32 bytes at a time into
// slack behind the output. While codes are read the buffer stands two bits higher than it holds: its masked bits are then the place of
// an entry of four bytes, with no shift between two codes, each of which must wait for the one before. Safety comes from WebAssembly: whatever the data says, it reaches no byte outside this memory, and every turn of a loop
// reads or writes something, so that none is without end.

/** What `run` answers. */
export const NEED_INPUT: i32 = 0
export const NEED_OUTPUT: i32 = 1
export const DONE: i32 = 2
export const PAUSED: i32 = 3
export const BAD_BLOCK: i32 = 4
export const BAD_STORED: i32 = 5
export const BAD_LENGTHS: i32 = 6
export const BAD_SYMBOL: i32 = 7
export const BAD_DISTANCE: i32 = 8
export const CUT_SHORT: i32 = 9
const CONTINUE: i32 = -1

const LITLEN_BITS: u32 = 11
const DISTANCE_BITS: u32 = 9
const LITLEN_MASK: u32 = ((1 << LITLEN_BITS) - 1) << 2
const DISTANCE_MASK: u32 = ((1 << DISTANCE_BITS) - 1) << 2
const PRECODE_BITS: u32 = 7
/** No valid code needs more entries: 2342 for 286 symbols of 15 bits at 11, 594 for 30 at 9. */
const LITLEN_ENTRIES: u32 = 4096
const DISTANCE_ENTRIES: u32 = 1024

const COUNTS: usize = 0
const OFFSETS: usize = COUNTS + 64
const LITLEN_TABLE: usize = 1024
const DISTANCE_TABLE: usize = LITLEN_TABLE + 4 * LITLEN_ENTRIES
const LENGTHS: usize = DISTANCE_TABLE + 4 * DISTANCE_ENTRIES
const SORTED: usize = LENGTHS + 512
const LITLEN_SYMBOLS: usize = SORTED + 1024
const DISTANCE_SYMBOLS: usize = LITLEN_SYMBOLS + 4 * 288
const PRECODE_SYMBOLS: usize = DISTANCE_SYMBOLS + 4 * 32

/** Static data of the compiler lies between the tables and this (`--memoryBase`). */
const INPUT: usize = 1 << 16
const INPUT_BYTES: usize = 1 << 18
/** Read ahead of the end, never believed. */
const INPUT_SLACK: usize = 4096
const OUTPUT: usize = INPUT + INPUT_BYTES + INPUT_SLACK
const WINDOW_BYTES: usize = 1 << 15
const OUTPUT_BYTES: usize = 1 << 18
/** A match is at most 258 bytes, and copies run over their end by 31. */
const OUTPUT_LIMIT: usize = OUTPUT + WINDOW_BYTES + OUTPUT_BYTES

// Entries of tables. Bits 0-7: how many bits code and extra bits take; 8-12: two more than the code alone takes; 16-31: literal, base
// of a length or distance, or start of a second table, whose width is then in 8-12. Shifts look at the lowest six bits alone.
const LITERAL: u32 = 1 << 31
const EXCEPTION: u32 = 1 << 15
const SECOND: u32 = 1 << 14
const END: u32 = 1 << 13
const FLAGS_AND_VALUE: u32 = 0xffffe000

/** Room a dynamic block's header may take, and what the fast loop may read in one turn. */
const HEADER_BYTES: usize = 1024
const TURN_BYTES: usize = 32

const enum Mode {
  Header,
  Codes,
  Stored,
  Done,
}

let mode: Mode = Mode.Header
let isFinal: bool = false
let bits: u64 = 0
let bitCount: u32 = 0
let inPos: usize = INPUT
let inEnd: usize = INPUT
let outPos: usize = OUTPUT + WINDOW_BYTES
/** The first byte of this stream that is still in memory: no match may reach before it. */
let lowest: usize = OUTPUT + WINDOW_BYTES
let storedLeft: u32 = 0
/** Place in the output from which on the start of a block pauses; it moves with `slide`. */
let pausePos: i64 = i64.MAX_VALUE

makeSymbols()

export function inputAt(): usize {
  return INPUT
}

export function inputBytes(): usize {
  return INPUT_BYTES
}

export function outputAt(): usize {
  return OUTPUT + WINDOW_BYTES
}

/** Where what was inflated ends. */
export function outputEnd(): usize {
  return outPos
}

/** Where the next byte is read; during a stream, up to 63 bits before it are not used yet: `unusedBits`. */
export function inputPosition(): usize {
  return inPos
}

export function inputEnd(): usize {
  return inEnd
}

export function unusedBits(): u32 {
  return bitCount
}

/** Begins another stream where the input stands. Earlier output stays in the window, out of its reach. */
export function start(): void {
  mode = Mode.Header
  isFinal = false
  bits = 0
  bitCount = 0
  lowest = outPos
}

/** Moves unread input to the front. The host writes behind `inputEnd()` and says how much with `added`. */
export function makeRoom(): void {
  // Whole bytes that wait in the bit buffer are moved too: a stored block or the end of the stream gives them back.
  inPos -= bitCount >> 3
  bitCount &= 7
  bits &= (1 << bitCount) - 1
  const left = inEnd - inPos
  memory.copy(INPUT, inPos, left)
  inPos = INPUT
  inEnd = INPUT + left
}

export function added(bytes: usize): void {
  inEnd += bytes
}

/** Skips input between streams. */
export function skip(bytes: usize): void {
  inPos += bytes
}

/** Lets go of the output, all but the window. */
export function slide(): void {
  const by = outPos - (OUTPUT + WINDOW_BYTES)
  if (by == 0) return
  memory.copy(OUTPUT, outPos - WINDOW_BYTES, WINDOW_BYTES)
  outPos -= by
  lowest = lowest > OUTPUT + by ? lowest - by : OUTPUT
  if (pausePos != i64.MAX_VALUE) pausePos -= by
}

/** Pauses at the first start of a block with at least so many bytes after the current place of the output. */
export function pauseAfter(bytes: f64): void {
  pausePos = bytes < 0 ? i64.MAX_VALUE : <i64>outPos + <i64>bytes
}

/**
 * Inflates until the input is used up, the output is full, a pause is due or the stream has ended.
 *
 * @param isLast no more input comes: what lies in memory is all
 */
export function run(isLast: bool): i32 {
  while (true) {
    let status: i32
    if (mode == Mode.Header) status = readHeader(isLast)
    else if (mode == Mode.Codes) status = inflateCodes(isLast)
    else if (mode == Mode.Stored) status = copyStored(isLast)
    else return DONE
    if (status != CONTINUE) return status
  }
}

function readHeader(isLast: bool): i32 {
  if (isFinal) {
    toByte()
    mode = Mode.Done
    return inPos > inEnd ? CUT_SHORT : DONE
  }
  if (<i64>outPos >= pausePos) {
    pausePos = i64.MAX_VALUE
    return PAUSED
  }
  if (!isLast && inPos + HEADER_BYTES > inEnd) return NEED_INPUT
  refill()
  isFinal = take(1) == 1
  const type = take(2)
  let status: i32 = CONTINUE
  if (type == 0) status = readStored()
  else if (type == 1) makeFixedTables()
  else if (type == 2) status = readTables()
  else return BAD_BLOCK
  if (inPos - (bitCount >> 3) > inEnd) return CUT_SHORT
  if (type != 0) mode = Mode.Codes
  return status
}

function readStored(): i32 {
  toByte()
  const length = <u32>load<u16>(inPos)
  if ((length ^ 0xffff) != <u32>load<u16>(inPos + 2)) return inPos + 4 > inEnd ? CUT_SHORT : BAD_STORED
  inPos += 4
  storedLeft = length
  mode = Mode.Stored
  return CONTINUE
}

function copyStored(isLast: bool): i32 {
  const room = <u32>(outPos < OUTPUT_LIMIT ? OUTPUT_LIMIT - outPos : 0)
  const count = min(min(storedLeft, room), <u32>(inEnd - inPos))
  memory.copy(outPos, inPos, count)
  outPos += count
  inPos += count
  storedLeft -= count
  if (storedLeft == 0) {
    mode = Mode.Header
    return CONTINUE
  }
  if (outPos >= OUTPUT_LIMIT) return NEED_OUTPUT
  return isLast ? CUT_SHORT : NEED_INPUT
}

/** Gives whole bytes back to the input and drops the rest of the last one. */
function toByte(): void {
  inPos -= bitCount >> 3
  bits = 0
  bitCount = 0
}

// @ts-ignore: decorator
@inline
function refill(): void {
  bits |= load<u64>(inPos) << bitCount
  inPos += (63 - bitCount) >> 3
  bitCount |= 56
}

// @ts-ignore: decorator
@inline
function take(count: u32): u32 {
  const value = <u32>bits & ((1 << count) - 1)
  bits >>= count
  bitCount -= count
  return value
}

/** Literals, lengths and distances of a block. The state lives in locals, which the compiler keeps in registers. */
function inflateCodes(isLast: bool): i32 {
  const inLimit = isLast ? inEnd + 8 : inEnd - TURN_BYTES
  // Whole bytes go back, so that there is room for the two bits.
  inPos -= bitCount >> 3
  bitCount &= 7
  let buffer = (bits & ((1 << bitCount) - 1)) << 2
  let count = bitCount + 2
  let source = inPos
  let target = outPos
  const first = lowest
  let status: i32 = CONTINUE
  let entry: u32 = 0
  if (source <= inLimit) {
    buffer |= load<u64>(source) << count
    source += (63 - count) >> 3
    count |= 56
    entry = litlen(buffer)
  }
  while (true) {
    if (target > OUTPUT_LIMIT) {
      status = NEED_OUTPUT
      break
    }
    if (source > inLimit) {
      status = isLast ? CUT_SHORT : NEED_INPUT
      break
    }
    // Five codes of at most 11 bits are in the 62 that the buffer has after it was filled, though it counts 54 of them.
    if (entry & LITERAL) {
      buffer >>= <u64>entry
      count -= entry & 0xff
      store<u8>(target++, <u8>(entry >> 16))
      entry = litlen(buffer)
      if (entry & LITERAL) {
        buffer >>= <u64>entry
        count -= entry & 0xff
        store<u8>(target++, <u8>(entry >> 16))
        entry = litlen(buffer)
        if (entry & LITERAL) {
          buffer >>= <u64>entry
          count -= entry & 0xff
          store<u8>(target++, <u8>(entry >> 16))
          entry = litlen(buffer)
          if (entry & LITERAL) {
            buffer >>= <u64>entry
            count -= entry & 0xff
            store<u8>(target++, <u8>(entry >> 16))
            entry = litlen(buffer)
            if (entry & LITERAL) {
              buffer >>= <u64>entry
              count -= entry & 0xff
              store<u8>(target++, <u8>(entry >> 16))
              buffer |= load<u64>(source) << count
              source += (63 - count) >> 3
              count |= 56
              entry = litlen(buffer)
              continue
            }
          }
        }
      }
      // A match may need 48 bits.
      buffer |= load<u64>(source) << count
      source += (63 - count) >> 3
      count |= 56
    }
    if (entry & EXCEPTION) {
      if (entry & SECOND) {
        buffer >>= LITLEN_BITS
        count -= LITLEN_BITS
        entry = second(LITLEN_TABLE, entry, buffer)
        if (entry & LITERAL) {
          buffer >>= <u64>entry
          count -= entry & 0xff
          store<u8>(target++, <u8>(entry >> 16))
          buffer |= load<u64>(source) << count
          source += (63 - count) >> 3
          count |= 56
          entry = litlen(buffer)
          continue
        }
      }
      if (entry & EXCEPTION) {
        if (!(entry & END)) {
          status = BAD_SYMBOL
          break
        }
        buffer >>= <u64>entry
        count -= entry & 0xff
        mode = Mode.Header
        if (source - ((count - 2) >> 3) > inEnd) status = CUT_SHORT
        break
      }
    }
    const lengthBits = <u32>buffer & ((4 << (entry & 0xff)) - 1)
    const length = (entry >> 16) + (lengthBits >> ((entry >> 8) & 31))
    buffer >>= <u64>entry
    count -= entry & 0xff
    entry = load<u32>(<u32>buffer & DISTANCE_MASK, DISTANCE_TABLE)
    if (entry & EXCEPTION) {
      if (entry & SECOND) {
        buffer >>= DISTANCE_BITS
        count -= DISTANCE_BITS
        entry = second(DISTANCE_TABLE, entry, buffer)
      }
      if (entry & EXCEPTION) {
        status = BAD_DISTANCE
        break
      }
    }
    const distanceBits = <u32>buffer & ((4 << (entry & 0xff)) - 1)
    const distance = (entry >> 16) + (distanceBits >> ((entry >> 8) & 31))
    buffer >>= <u64>entry
    count -= entry & 0xff
    if (distance > <u32>(target - first)) {
      status = BAD_DISTANCE
      break
    }
    buffer |= load<u64>(source) << count
    source += (63 - count) >> 3
    count |= 56
    entry = litlen(buffer)
    copyMatch(target, distance, length)
    target += length
  }
  bits = buffer >> 2
  bitCount = count - 2
  inPos = source
  outPos = target
  return status
}

/** The entry of the next code, from a buffer that stands two bits higher than it holds. */
// @ts-ignore: decorator
@inline
function litlen(buffer: u64): u32 {
  return load<u32>(<u32>buffer & LITLEN_MASK, LITLEN_TABLE)
}

/** The entry in a second table, whose start and width `entry` tells. */
// @ts-ignore: decorator
@inline
function second(table: usize, entry: u32, buffer: u64): u32 {
  return load<u32>(table + ((entry >> 16) << 2) + (<u32>buffer & ((4 << ((entry >> 8) & 31)) - 4)))
}

/** Copies a match; writes up to 31 bytes more than asked. Most are shorter than 32 bytes, and one way for all of them is foreseen. */
// @ts-ignore: decorator
@inline
function copyMatch(target: usize, distance: u32, length: u32): void {
  let from = target - distance
  let to = target
  const end = target + length
  if (distance >= 16) {
    v128.store(to, v128.load(from))
    v128.store(to, v128.load(from, 16), 16)
    while (to + 32 < end) {
      to += 32
      from += 32
      v128.store(to, v128.load(from))
      v128.store(to, v128.load(from, 16), 16)
    }
  } else if (distance >= 8) {
    do {
      store<u64>(to, load<u64>(from))
      to += 8
      from += 8
    } while (to < end)
  } else if (distance == 1) {
    const repeated = v128.splat<u8>(load<u8>(from))
    do {
      v128.store(to, repeated)
      to += 16
    } while (to < end)
  } else {
    do {
      store<u8>(to++, load<u8>(from++))
    } while (to < end)
  }
}

/** The tables of a dynamic block. @see RFC 1951, section 3.2.7 */
function readTables(): i32 {
  refill()
  const litlens = take(5) + 257
  const distances = take(5) + 1
  const precodes = take(4) + 4
  if (litlens > 286 || distances > 30) return BAD_LENGTHS
  memory.fill(LENGTHS, 0, 512)
  for (let n: u32 = 0; n < precodes; n++) {
    if (bitCount < 3) refill()
    store<u8>(LENGTHS + load<u8>(PRECODE_ORDER + n), <u8>take(3))
  }
  if (!buildTable(LENGTHS, 19, PRECODE_SYMBOLS, DISTANCE_TABLE, PRECODE_BITS, DISTANCE_ENTRIES, false))
    return BAD_LENGTHS
  const total = litlens + distances
  memory.fill(LENGTHS, 0, 512)
  let at: u32 = 0
  while (at < total) {
    if (inPos > inEnd + 64) return CUT_SHORT
    refill()
    const entry = load<u32>(DISTANCE_TABLE + 4 * (<u32>bits & ((1 << PRECODE_BITS) - 1)))
    take(entry & 0xff)
    const symbol = entry >> 16
    if (symbol < 16) {
      store<u8>(LENGTHS + at++, <u8>symbol)
      continue
    }
    if (symbol == 16 && at == 0) return BAD_LENGTHS
    const value: u8 = symbol == 16 ? load<u8>(LENGTHS + at - 1) : 0
    const repeat = symbol == 16 ? 3 + take(2) : symbol == 17 ? 3 + take(3) : 11 + take(7)
    if (at + repeat > total) return BAD_LENGTHS
    memory.fill(LENGTHS + at, value, repeat)
    at += repeat
  }
  // A block without its end symbol has no end.
  if (load<u8>(LENGTHS + 256) == 0) return BAD_LENGTHS
  if (
    !buildTable(LENGTHS + litlens, distances, DISTANCE_SYMBOLS, DISTANCE_TABLE, DISTANCE_BITS, DISTANCE_ENTRIES, true)
  )
    return BAD_LENGTHS
  const isCode = buildTable(LENGTHS, litlens, LITLEN_SYMBOLS, LITLEN_TABLE, LITLEN_BITS, LITLEN_ENTRIES, true)
  return isCode ? CONTINUE : BAD_LENGTHS
}

/** @see RFC 1951, section 3.2.6 */
function makeFixedTables(): void {
  memory.fill(LENGTHS, 8, 144)
  memory.fill(LENGTHS + 144, 9, 112)
  memory.fill(LENGTHS + 256, 7, 24)
  memory.fill(LENGTHS + 280, 8, 8)
  buildTable(LENGTHS, 288, LITLEN_SYMBOLS, LITLEN_TABLE, LITLEN_BITS, LITLEN_ENTRIES, false)
  memory.fill(LENGTHS, 5, 32)
  buildTable(LENGTHS, 32, DISTANCE_SYMBOLS, DISTANCE_TABLE, DISTANCE_BITS, DISTANCE_ENTRIES, false)
}

/**
 * Makes the table of a code from the lengths of its symbols.
 *
 * @param symbols entry of each symbol, with its extra bits in place of the bits it takes
 * @param mayBeSmall whether a code of one symbol, or none, is let through, as zlib does
 * @returns false for lengths that are no prefix code
 */
function buildTable(
  lengths: usize,
  symbolCount: u32,
  symbols: usize,
  table: usize,
  tableBits: u32,
  capacity: u32,
  mayBeSmall: bool,
): bool {
  memory.fill(COUNTS, 0, 64)
  for (let n: u32 = 0; n < symbolCount; n++) {
    const at = COUNTS + (<usize>load<u8>(lengths + n) << 2)
    store<u32>(at, load<u32>(at) + 1)
  }
  const used = symbolCount - load<u32>(COUNTS)
  let left: i32 = 1
  for (let length: u32 = 1; length <= 15; length++) {
    left = (left << 1) - load<i32>(COUNTS + (length << 2))
    if (left < 0) return false
  }
  if (left > 0) {
    if (!mayBeSmall || used > 1 || (used == 1 && load<u32>(COUNTS + 4) != 1)) return false
    fillSmall(lengths, used, symbols, table, tableBits)
    return true
  }
  sortSymbols(lengths, symbolCount)
  return fillTable(used, symbols, table, tableBits, capacity)
}

/** A code with one symbol of one bit, or with none: what is no code is found when it is used. */
function fillSmall(lengths: usize, used: u32, symbols: usize, table: usize, tableBits: u32): void {
  for (let n: u32 = 0; n < <u32>1 << tableBits; n++) store<u32>(table + 4 * n, EXCEPTION | 1)
  if (used == 0) return
  let symbol: u32 = 0
  while (load<u8>(lengths + symbol) == 0) symbol++
  const entry = entryOf(symbols, symbol, 1)
  for (let n: u32 = 0; n < <u32>1 << tableBits; n += 2) store<u32>(table + 4 * n, entry)
}

/** By length, then by value. */
function sortSymbols(lengths: usize, symbolCount: u32): void {
  let sum: u32 = 0
  for (let length: u32 = 1; length <= 15; length++) {
    store<u32>(OFFSETS + (length << 2), sum)
    sum += load<u32>(COUNTS + (length << 2))
  }
  for (let n: u32 = 0; n < symbolCount; n++) {
    const length = <usize>load<u8>(lengths + n)
    if (length == 0) continue
    const offset = load<u32>(OFFSETS + (length << 2))
    store<u32>(OFFSETS + (length << 2), offset + 1)
    store<u16>(SORTED + 2 * offset, <u16>n)
  }
}

/** Codes are walked in their order and kept with their bits reversed, as the bit buffer shows them. */
function fillTable(used: u32, symbols: usize, table: usize, tableBits: u32, capacity: u32): bool {
  const mask: u32 = (1 << tableBits) - 1
  let code: u32 = 0
  let length: u32 = 0
  let left: u32 = 0
  let next: u32 = 1 << tableBits
  let prefix: u32 = 0xffffffff
  let secondStart: u32 = 0
  let secondBits: u32 = 0
  for (let at: u32 = 0; at < used; at++) {
    while (left == 0) left = load<u32>(COUNTS + (++length << 2))
    const symbol = <u32>load<u16>(SORTED + 2 * at)
    if (length <= tableBits) {
      const entry = entryOf(symbols, symbol, length)
      for (let n = code; n <= mask; n += 1 << length) store<u32>(table + 4 * n, entry)
    } else {
      if ((code & mask) != prefix) {
        prefix = code & mask
        secondStart = next
        secondBits = widthOfSecond(length, tableBits, left)
        next += 1 << secondBits
        if (next > capacity) return false
        store<u32>(table + 4 * prefix, EXCEPTION | SECOND | (secondStart << 16) | (secondBits << 8) | tableBits)
      }
      const rest = length - tableBits
      const entry = entryOf(symbols, symbol, rest)
      for (let n = code >> tableBits; n < <u32>1 << secondBits; n += 1 << rest)
        store<u32>(table + 4 * (secondStart + n), entry)
    }
    left--
    let bit: u32 = 1 << (length - 1)
    while (code & bit) {
      code ^= bit
      bit >>= 1
    }
    code |= bit
  }
  return true
}

/** How many bits a second table needs that begins with a code of this length, `left` of which are still to come. */
function widthOfSecond(length: u32, tableBits: u32, left: u32): u32 {
  let width = length - tableBits
  let space = (<i32>1 << width) - <i32>left
  while (space > 0 && length < 15) {
    length++
    width++
    space = (space << 1) - load<i32>(COUNTS + (length << 2))
  }
  return width
}

// @ts-ignore: decorator
@inline
function entryOf(symbols: usize, symbol: u32, length: u32): u32 {
  const entry = load<u32>(symbols + 4 * symbol)
  return (entry & FLAGS_AND_VALUE) | ((length + 2) << 8) | (length + (entry & 0xff))
}

/** The entries of all symbols, without the lengths of their codes. @see RFC 1951, section 3.2.5 */
function makeSymbols(): void {
  for (let n: u32 = 0; n < 256; n++) store<u32>(LITLEN_SYMBOLS + 4 * n, LITERAL | (n << 16))
  store<u32>(LITLEN_SYMBOLS + 4 * 256, EXCEPTION | END)
  let base: u32 = 3
  for (let n: u32 = 257; n < 285; n++) {
    const extra: u32 = n < 265 ? 0 : (n - 261) >> 2
    store<u32>(LITLEN_SYMBOLS + 4 * n, (base << 16) | extra)
    base += 1 << extra
  }
  store<u32>(LITLEN_SYMBOLS + 4 * 285, 258 << 16)
  store<u32>(LITLEN_SYMBOLS + 4 * 286, EXCEPTION)
  store<u32>(LITLEN_SYMBOLS + 4 * 287, EXCEPTION)
  base = 1
  for (let n: u32 = 0; n < 30; n++) {
    const extra: u32 = n < 2 ? 0 : (n >> 1) - 1
    store<u32>(DISTANCE_SYMBOLS + 4 * n, (base << 16) | extra)
    base += 1 << extra
  }
  store<u32>(DISTANCE_SYMBOLS + 4 * 30, EXCEPTION)
  store<u32>(DISTANCE_SYMBOLS + 4 * 31, EXCEPTION)
  for (let n: u32 = 0; n < 19; n++) store<u32>(PRECODE_SYMBOLS + 4 * n, n << 16)
}

const PRECODE_ORDER: usize = memory.data<u8>([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])
