// AssemblyScript, compiled by tools/build-wasm.mjs: decompresses .xz in pieces of any size.
//
// The host writes compressed bytes behind `inputEnd()`, calls `run`, and takes what came out from `outputAt()` to
// `outputEnd()` before it runs on. Only LZMA2 chunks are decoded, each when it is there whole (64 KiB at most), so that the
// inner loop never asks whether there is input; the window is one piece that is moved to the front when it is full.
//
// Safety comes from WebAssembly and from checks a chunk: whatever the data says, nothing outside of this memory is
// reached, a chunk that reads more than it has is refused, and every turn of a loop reads or writes something.
//
// See "The .xz File Format" 1.2.1 and the LZMA specification of the LZMA SDK.
import { crcOf, makeCrcTables } from './crc'
import { decodeLzma, resetState, setProperties } from './lzma'
import { INPUT, INPUT_BYTES, OUTPUT, SLACK } from './places'

/** What `run` answers. */
export const NEED_INPUT: i32 = 0
export const HAS_OUTPUT: i32 = 1
export const DONE: i32 = 2
export const BAD_MAGIC: i32 = 3
export const BAD_HEADER: i32 = 4
export const UNKNOWN_FILTER: i32 = 5
export const LARGE_WINDOW: i32 = 6
export const BAD_DATA: i32 = 7
export const BAD_CHECK: i32 = 8
export const BAD_INDEX: i32 = 9
export const CUT_SHORT: i32 = 10
const CONTINUE: i32 = -1

const enum Mode {
  Start,
  Block,
  Chunk,
  BlockEnd,
  Index,
  IndexEnd,
  Padding,
}

/** Above every preset of xz (64 MiB). */
const MAX_WINDOW: u32 = 256 << 20
/** Room behind the window at least: the larger, the more seldom it is moved. */
const MIN_ROOM: usize = 3 << 20
const CRC32: u32 = 1
const CRC64: u32 = 4
const UNKNOWN_SIZE: u64 = u64.MAX_VALUE

let mode: Mode = Mode.Start
let inPos: usize = INPUT
let inEnd: usize = INPUT
let isLast: bool = false

// The stream.
let checkKind: u32 = 0
let checkBytes: u32 = 0
/** Of the check that is computed; 0 for those that are passed over. */
let crcBytes: u32 = 0
let blocks: u64 = 0
let blocksHash: u64 = 0

// The block.
let windowBytes: u32 = 0
let headerBytes: u64 = 0
let packedBytes: u64 = 0
let unpackedBytes: u64 = 0
let packedExpected: u64 = UNKNOWN_SIZE
let unpackedExpected: u64 = UNKNOWN_SIZE
let checkSum: u64 = 0
let needsReset: bool = true
let needsProperties: bool = true

// The window: from `lowest` on are bytes that matches may reach, from `outStart` on those that the host has not seen.
let lowest: usize = OUTPUT
let origin: usize = OUTPUT
let outStart: usize = OUTPUT
let outPos: usize = OUTPUT
let outLimit: usize = OUTPUT

// The index.
let recordsLeft: u64 = 0
let recordsHash: u64 = 0
let indexBytes: u64 = 0
let indexSum: u64 = 0

makeCrcTables()

export function inputEnd(): usize {
  return inEnd
}

/** How many bytes the host may write behind `inputEnd()`. */
export function inputRoom(): usize {
  const left = inEnd - inPos
  memory.copy(INPUT, inPos, left)
  inPos = INPUT
  inEnd = INPUT + left
  return INPUT_BYTES - left
}

/** @param last no more input comes */
export function added(bytes: usize, last: bool): void {
  inEnd += bytes
  isLast = last
}

export function outputAt(): usize {
  return outStart
}

export function outputEnd(): usize {
  return outPos
}

/** Begins another file; what was written for an earlier one is forgotten. */
export function start(): void {
  mode = Mode.Start
  inPos = INPUT
  inEnd = INPUT
  isLast = false
}

/** Reads until there is output to take, or input is needed. What there was of output is let go. */
export function run(): i32 {
  outStart = outPos
  let status = CONTINUE
  while (status == CONTINUE) status = step()
  return status == NEED_INPUT && isLast ? CUT_SHORT : status
}

function step(): i32 {
  switch (mode) {
    case Mode.Start:
      return readStreamHeader()
    case Mode.Block:
      return readBlockHeader()
    case Mode.Chunk:
      return readChunk()
    case Mode.BlockEnd:
      return endBlock()
    case Mode.Index:
      return readRecords()
    case Mode.IndexEnd:
      return endStream()
    default:
      return skipPadding()
  }
}

// Section 2.1.1.
function readStreamHeader(): i32 {
  if (inEnd - inPos < 12) return NEED_INPUT
  if (load<u32>(inPos) != 0x587a37fd || load<u16>(inPos, 4) != 0x005a || load<u8>(inPos, 6) != 0) return BAD_MAGIC
  if (<u32>crcOf(4, 0, inPos + 6, 2) != load<u32>(inPos, 8)) return BAD_HEADER
  checkKind = load<u8>(inPos, 7)
  if (checkKind > 15) return BAD_HEADER
  // 0, 4, 8, 16, 32 and 64 bytes, three kinds each after the first.
  checkBytes = checkKind == 0 ? 0 : 4 << ((checkKind - 1) / 3)
  crcBytes = checkKind == CRC32 ? 4 : checkKind == CRC64 ? 8 : 0
  blocks = 0
  blocksHash = 0
  inPos += 12
  mode = Mode.Block
  return CONTINUE
}

// Section 3.1.
function readBlockHeader(): i32 {
  if (inPos >= inEnd) return NEED_INPUT
  const first = load<u8>(inPos)
  if (first == 0) return beginIndex()
  const size: usize = (<usize>first + 1) * 4
  if (inEnd - inPos < size) return NEED_INPUT
  const end = inPos + size - 4
  if (<u32>crcOf(4, 0, inPos, size - 4) != load<u32>(end)) return BAD_HEADER
  const flags = load<u8>(inPos, 1)
  if ((flags & 0x3c) != 0) return BAD_HEADER
  if ((flags & 3) != 0) return UNKNOWN_FILTER
  at = inPos + 2
  packedExpected = (flags & 0x40) != 0 ? readNumber(end) : UNKNOWN_SIZE
  unpackedExpected = (flags & 0x80) != 0 ? readNumber(end) : UNKNOWN_SIZE
  if (readNumber(end) != 0x21) return UNKNOWN_FILTER
  if (readNumber(end) != 1 || at >= end) return BAD_HEADER
  const bits = <u32>load<u8>(at++)
  if (bits > 40) return BAD_HEADER
  while (at < end) if (load<u8>(at++) != 0) return BAD_HEADER
  // Section 5.3.1.
  const window: u64 = bits == 40 ? 0xffffffff : (<u64>(2 | (bits & 1))) << (bits / 2 + 11)
  if (window > MAX_WINDOW) return LARGE_WINDOW
  windowBytes = <u32>window
  inPos += size
  headerBytes = size
  packedBytes = 0
  unpackedBytes = 0
  checkSum = 0
  needsReset = true
  needsProperties = true
  outPos = OUTPUT
  outStart = OUTPUT
  lowest = OUTPUT
  outLimit = OUTPUT + windowBytes + max<usize>(MIN_ROOM, windowBytes / 4)
  mode = Mode.Chunk
  return CONTINUE
}

/** Where {@link readNumber} reads. */
let at: usize = 0

// Section 1.2: 7 bits a byte, the lowest first; the value of one that runs on too long is one that nothing expects.
function readNumber(end: usize): u64 {
  let value: u64 = 0
  for (let shift: u64 = 0; shift < 63 && at < end; shift += 7) {
    const byte = <u64>load<u8>(at++)
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return byte == 0 && shift > 0 ? UNKNOWN_SIZE - 1 : value
  }
  return UNKNOWN_SIZE - 1
}

function readChunk(): i32 {
  if (inPos >= inEnd) return NEED_INPUT
  const control = <u32>load<u8>(inPos)
  if (control == 0) {
    inPos++
    packedBytes++
    mode = Mode.BlockEnd
    return CONTINUE
  }
  if (control < 0x80 && control > 2) return BAD_DATA
  const head: usize = control < 0x80 ? 3 : control < 0xc0 ? 5 : 6
  if (inEnd - inPos < head) return NEED_INPUT
  const low: usize = ((<usize>load<u8>(inPos, 1)) << 8) | load<u8>(inPos, 2)
  const unpacked: usize = (control < 0x80 ? low : ((<usize>(control & 0x1f)) << 16) | low) + 1
  const packed: usize = control < 0x80 ? unpacked : (((<usize>load<u8>(inPos, 3)) << 8) | load<u8>(inPos, 4)) + 1
  if (inEnd - inPos < head + packed) return NEED_INPUT
  packedBytes += head + packed
  unpackedBytes += unpacked
  // A bomb inside of the header's own promise is stopped here, others by whoever counts the output.
  if (packedBytes > packedExpected || unpackedBytes > unpackedExpected) return BAD_DATA
  if (!makeRoom(unpacked)) return LARGE_WINDOW
  const resetsWindow = control == 1 || control >= 0xe0
  if (needsReset && !resetsWindow) return BAD_DATA
  if (resetsWindow) {
    needsReset = false
    // A chunk that is not compressed leaves the properties to the next that is.
    needsProperties = true
    lowest = outPos
    origin = outPos
  }
  const data = inPos + head
  if (control < 0x80) memory.copy(outPos, data, packed)
  else {
    if (control >= 0xc0) {
      if (!readProperties(load<u8>(inPos, 5))) return BAD_DATA
      needsProperties = false
    } else if (needsProperties) return BAD_DATA
    else if (control >= 0xa0) resetState()
    if (!decodeLzma(data, data + packed, outPos, outPos + unpacked, lowest, origin, windowBytes)) return BAD_DATA
  }
  inPos = data + packed
  outPos += unpacked
  checkSum = crcOf(crcBytes, checkSum, outPos - unpacked, unpacked)
  return HAS_OUTPUT
}

function readProperties(byte: u32): bool {
  if (byte > (4 * 5 + 4) * 9 + 8) return false
  const lc = byte % 9
  const lp = (byte / 9) % 5
  if (lc + lp > 4) return false
  setProperties(lc, lp, byte / 45)
  resetState()
  return true
}

/** Moves the window to the front where what comes has no room behind it. */
function makeRoom(bytes: usize): bool {
  if (outPos + bytes > outLimit) {
    const kept = min<usize>(outPos - lowest, windowBytes)
    const moved = outPos - kept - OUTPUT
    memory.copy(OUTPUT, OUTPUT + moved, kept)
    outPos -= moved
    origin -= moved
    lowest = OUTPUT
  }
  outStart = outPos
  // Memory grows with what is there to be held: most packages are far smaller than the window they ask for.
  const needed: i32 = <i32>((outPos + bytes + SLACK + 0xffff) >>> 16)
  const pages = memory.size()
  if (needed <= pages) return true
  const most: i32 = <i32>((outLimit + SLACK + 0xffff) >>> 16)
  return memory.grow(min<i32>(max<i32>(needed - pages, 32), max<i32>(most - pages, needed - pages))) >= 0
}

// Sections 3.3 and 3.4.
function endBlock(): i32 {
  const padding: usize = <usize>((4 - (packedBytes & 3)) & 3)
  if (inEnd - inPos < padding + checkBytes) return NEED_INPUT
  if (packedExpected != UNKNOWN_SIZE && packedBytes != packedExpected) return BAD_DATA
  if (unpackedExpected != UNKNOWN_SIZE && unpackedBytes != unpackedExpected) return BAD_DATA
  for (let i: usize = 0; i < padding; i++) if (load<u8>(inPos + i) != 0) return BAD_DATA
  inPos += padding
  if (crcBytes == 4 && load<u32>(inPos) != <u32>checkSum) return BAD_CHECK
  if (crcBytes == 8 && load<u64>(inPos) != checkSum) return BAD_CHECK
  inPos += checkBytes
  blocks++
  blocksHash = mix(mix(blocksHash, headerBytes + packedBytes + checkBytes), unpackedBytes)
  mode = Mode.Block
  return CONTINUE
}

function mix(hash: u64, value: u64): u64 {
  return (hash ^ value) * 0x9e3779b97f4a7c15
}

// Section 4.
function beginIndex(): i32 {
  if (inEnd - inPos < 10 && !isLast) return NEED_INPUT
  at = inPos + 1
  const count = readNumber(inEnd)
  if (count != blocks) return BAD_INDEX
  indexBytes = at - inPos
  indexSum = crcOf(4, 0, inPos, at - inPos)
  inPos = at
  recordsLeft = count
  recordsHash = 0
  mode = Mode.Index
  return CONTINUE
}

function readRecords(): i32 {
  while (recordsLeft > 0) {
    if (inEnd - inPos < 18 && !isLast) return NEED_INPUT
    at = inPos
    recordsHash = mix(recordsHash, readNumber(inEnd))
    recordsHash = mix(recordsHash, readNumber(inEnd))
    indexBytes += at - inPos
    indexSum = crcOf(4, indexSum, inPos, at - inPos)
    inPos = at
    recordsLeft--
  }
  if (recordsHash != blocksHash) return BAD_INDEX
  mode = Mode.IndexEnd
  return CONTINUE
}

// Sections 4.4 and 2.1.2.
function endStream(): i32 {
  const padding: usize = <usize>((4 - (indexBytes & 3)) & 3)
  if (inEnd - inPos < padding + 4 + 12) return NEED_INPUT
  for (let i: usize = 0; i < padding; i++) if (load<u8>(inPos + i) != 0) return BAD_INDEX
  indexSum = crcOf(4, indexSum, inPos, padding)
  inPos += padding
  if (load<u32>(inPos) != <u32>indexSum) return BAD_INDEX
  const footer = inPos + 4
  if (load<u32>(footer) != <u32>crcOf(4, 0, footer + 4, 6)) return BAD_INDEX
  if ((<u64>load<u32>(footer, 4) + 1) * 4 != indexBytes + padding + 4) return BAD_INDEX
  if (load<u8>(footer, 8) != 0 || load<u8>(footer, 9) != checkKind || load<u16>(footer, 10) != 0x5a59) return BAD_INDEX
  inPos = footer + 12
  mode = Mode.Padding
  return CONTINUE
}

// Section 2.2; another stream may follow.
function skipPadding(): i32 {
  while (inEnd - inPos >= 4 && load<u32>(inPos) == 0) inPos += 4
  if (inEnd - inPos >= 4) {
    mode = Mode.Start
    return CONTINUE
  }
  if (!isLast) return NEED_INPUT
  return inPos == inEnd ? DONE : BAD_MAGIC
}
