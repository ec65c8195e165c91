// The inner part: one LZMA chunk, with the range decoder's two numbers in locals.
//
// A bit is decoded the same way everywhere below, written out each time because a function cannot give back three values
// and a global costs a trip to memory. Where a bit can hardly be foretold (literals, the trees of lengths and distances), it
// is chosen without a branch.
import { PROBABILITIES, PROBABILITY_COUNT } from './places'

const IS_MATCH: usize = PROBABILITIES
const IS_REP: usize = IS_MATCH + 2 * 192
const IS_REP_0: usize = IS_REP + 2 * 12
const IS_REP_1: usize = IS_REP_0 + 2 * 12
const IS_REP_2: usize = IS_REP_1 + 2 * 12
const IS_REP_0_LONG: usize = IS_REP_2 + 2 * 12
const SLOTS: usize = IS_REP_0_LONG + 2 * 192
const SPECIAL: usize = SLOTS + 2 * 256
const ALIGN: usize = SPECIAL + 2 * 128
/** Two choices, 16 trees of 8, 16 trees of 8, one of 256. */
const LENGTHS: usize = ALIGN + 2 * 16
const REP_LENGTHS: usize = LENGTHS + 2 * 514
const LITERALS: usize = REP_LENGTHS + 2 * 514

const LOW: usize = 4
const MIDDLE: usize = LOW + 2 * 128
const HIGH: usize = MIDDLE + 2 * 128

const TOP: u32 = 1 << 24

let lc: u32 = 0
let lpMask: u32 = 0
let pbMask: u32 = 0
let state: u32 = 0
let rep0: u32 = 0
let rep1: u32 = 0
let rep2: u32 = 0
let rep3: u32 = 0

export function setProperties(literalContextBits: u32, literalPositionBits: u32, positionBits: u32): void {
  lc = literalContextBits
  lpMask = (1 << literalPositionBits) - 1
  pbMask = (1 << positionBits) - 1
}

export function resetState(): void {
  for (let n: usize = 0; n < PROBABILITY_COUNT; n += 4) store<u64>(PROBABILITIES + 2 * n, 0x0400040004000400)
  state = 0
  rep0 = rep1 = rep2 = rep3 = 0
}

/**
 * Decodes from `inPos` to `inEnd` what fills `outPos` to `outEnd`; false where it does not.
 *
 * @param lowest the first byte that a match may reach
 * @param origin where the window was reset
 */
export function decodeLzma(
  inPos: usize,
  inEnd: usize,
  outPos: usize,
  outEnd: usize,
  lowest: usize,
  origin: usize,
  window: u32,
): bool {
  if (inEnd - inPos < 5 || load<u8>(inPos) != 0) return false
  let range: u32 = 0xffffffff
  let code: u32 = bswap<u32>(load<u32>(inPos, 1))
  inPos += 5
  let prob: u32 = 0
  let bound: u32 = 0
  let isZero: u32 = 0
  let at: usize = 0
  let symbol: u32 = 0
  let st = state
  let distance = rep0
  let second = rep1
  let third = rep2
  let fourth = rep3
  let previous: u32 = outPos > lowest ? load<u8>(outPos - 1) : 0
  const literalShift = 8 - lc
  const contextBits = lc
  const literalMask = lpMask
  const positionMask = pbMask

  while (outPos < outEnd) {
    if (inPos > inEnd) return false
    const position = <u32>(outPos - origin)
    const posState = position & positionMask
    let lengths: usize = LENGTHS
    at = IS_MATCH + (((st << 4) + posState) << 1)
    let isLiteral = false
    if (range < TOP) {
      range = range << 8
      code = (code << 8) | load<u8>(inPos++)
    }
    prob = load<u16>(at)
    bound = (range >>> 11) * prob
    if (code < bound) {
      range = bound
      store<u16>(at, prob + ((2048 - prob) >>> 5))
      isLiteral = true
    } else {
      range -= bound
      code -= bound
      store<u16>(at, prob - (prob >>> 5))
      isLiteral = false
    }

    if (isLiteral) {
      const base: usize =
        LITERALS + <usize>(((position & literalMask) << contextBits) + (previous >>> literalShift)) * 0x600
      symbol = 1
      if (st < 7) {
        do {
          at = base + (symbol << 1)
          if (range < TOP) {
            range = range << 8
            code = (code << 8) | load<u8>(inPos++)
          }
          prob = load<u16>(at)
          bound = (range >>> 11) * prob
          isZero = u32(code < bound)
          range = select<u32>(bound, range - bound, isZero)
          code = select<u32>(code, code - bound, isZero)
          store<u16>(at, prob - (<i32>(prob + select<u32>(-2017, 0, isZero)) >> 5))

          symbol = (symbol << 1) + 1 - isZero
        } while (symbol < 0x100)
        st = st < 4 ? 0 : st - 3
      } else {
        let match: u32 = (<u32>load<u8>(outPos - distance - 1)) << 1
        let offset: u32 = 0x100
        do {
          const matchBit = match & offset
          match = match << 1
          at = base + ((offset + matchBit + symbol) << 1)
          if (range < TOP) {
            range = range << 8
            code = (code << 8) | load<u8>(inPos++)
          }
          prob = load<u16>(at)
          bound = (range >>> 11) * prob
          isZero = u32(code < bound)
          range = select<u32>(bound, range - bound, isZero)
          code = select<u32>(code, code - bound, isZero)
          store<u16>(at, prob - (<i32>(prob + select<u32>(-2017, 0, isZero)) >> 5))

          symbol = (symbol << 1) + 1 - isZero
          offset &= matchBit ^ (0 - isZero)
        } while (symbol < 0x100)
        st = st < 10 ? st - 3 : st - 6
      }
      previous = symbol & 0xff
      store<u8>(outPos++, symbol)
      continue
    }
    at = IS_REP + (st << 1)
    let isRep = false
    if (range < TOP) {
      range = range << 8
      code = (code << 8) | load<u8>(inPos++)
    }
    prob = load<u16>(at)
    bound = (range >>> 11) * prob
    if (code < bound) {
      range = bound
      store<u16>(at, prob + ((2048 - prob) >>> 5))
      isRep = false
    } else {
      range -= bound
      code -= bound
      store<u16>(at, prob - (prob >>> 5))
      isRep = true
    }

    if (isRep) {
      let isFirst = false
      at = IS_REP_0 + (st << 1)
      if (range < TOP) {
        range = range << 8
        code = (code << 8) | load<u8>(inPos++)
      }
      prob = load<u16>(at)
      bound = (range >>> 11) * prob
      if (code < bound) {
        range = bound
        store<u16>(at, prob + ((2048 - prob) >>> 5))
        isFirst = true
      } else {
        range -= bound
        code -= bound
        store<u16>(at, prob - (prob >>> 5))
        isFirst = false
      }

      if (isFirst) {
        let isLong = false
        at = IS_REP_0_LONG + (((st << 4) + posState) << 1)
        if (range < TOP) {
          range = range << 8
          code = (code << 8) | load<u8>(inPos++)
        }
        prob = load<u16>(at)
        bound = (range >>> 11) * prob
        if (code < bound) {
          range = bound
          store<u16>(at, prob + ((2048 - prob) >>> 5))
          isLong = false
        } else {
          range -= bound
          code -= bound
          store<u16>(at, prob - (prob >>> 5))
          isLong = true
        }

        if (!isLong) {
          if (distance >= min<u32>(<u32>(outPos - lowest), window)) return false
          st = st < 7 ? 9 : 11
          previous = load<u8>(outPos - distance - 1)
          store<u8>(outPos++, previous)
          continue
        }
      } else {
        let found: u32 = second
        at = IS_REP_1 + (st << 1)
        let isSecond = false
        if (range < TOP) {
          range = range << 8
          code = (code << 8) | load<u8>(inPos++)
        }
        prob = load<u16>(at)
        bound = (range >>> 11) * prob
        if (code < bound) {
          range = bound
          store<u16>(at, prob + ((2048 - prob) >>> 5))
          isSecond = true
        } else {
          range -= bound
          code -= bound
          store<u16>(at, prob - (prob >>> 5))
          isSecond = false
        }

        if (!isSecond) {
          at = IS_REP_2 + (st << 1)
          let isThird = false
          if (range < TOP) {
            range = range << 8
            code = (code << 8) | load<u8>(inPos++)
          }
          prob = load<u16>(at)
          bound = (range >>> 11) * prob
          if (code < bound) {
            range = bound
            store<u16>(at, prob + ((2048 - prob) >>> 5))
            isThird = true
          } else {
            range -= bound
            code -= bound
            store<u16>(at, prob - (prob >>> 5))
            isThird = false
          }

          if (isThird) {
            found = third
          } else {
            found = fourth
            fourth = third
          }
          third = second
        }
        second = distance
        distance = found
      }
      st = st < 7 ? 8 : 11
      lengths = REP_LENGTHS
    }

    let length: u32 = 2
    let tree: usize = lengths + LOW + (posState << 4)
    let limit: u32 = 8
    if (range < TOP) {
      range = range << 8
      code = (code << 8) | load<u8>(inPos++)
    }
    prob = load<u16>(lengths)
    bound = (range >>> 11) * prob
    if (code < bound) {
      range = bound
      store<u16>(lengths, prob + ((2048 - prob) >>> 5))
      limit = 8
    } else {
      range -= bound
      code -= bound
      store<u16>(lengths, prob - (prob >>> 5))
      limit = 0
    }

    if (limit == 0) {
      at = lengths + 2
      limit = 8
      if (range < TOP) {
        range = range << 8
        code = (code << 8) | load<u8>(inPos++)
      }
      prob = load<u16>(at)
      bound = (range >>> 11) * prob
      if (code < bound) {
        range = bound
        store<u16>(at, prob + ((2048 - prob) >>> 5))
        tree = lengths + MIDDLE + (posState << 4)
        length = 10
      } else {
        range -= bound
        code -= bound
        store<u16>(at, prob - (prob >>> 5))
        tree = lengths + HIGH
        length = 18
        limit = 256
      }
    }
    symbol = 1
    do {
      at = tree + (symbol << 1)
      if (range < TOP) {
        range = range << 8
        code = (code << 8) | load<u8>(inPos++)
      }
      prob = load<u16>(at)
      bound = (range >>> 11) * prob
      isZero = u32(code < bound)
      range = select<u32>(bound, range - bound, isZero)
      code = select<u32>(code, code - bound, isZero)
      store<u16>(at, prob - (<i32>(prob + select<u32>(-2017, 0, isZero)) >> 5))

      symbol = (symbol << 1) + 1 - isZero
    } while (symbol < limit)
    length += symbol - limit

    if (!isRep) {
      st = st < 7 ? 7 : 10
      fourth = third
      third = second
      second = distance
      tree = SLOTS + (min<u32>(length - 2, 3) << 7)
      symbol = 1
      do {
        at = tree + (symbol << 1)
        if (range < TOP) {
          range = range << 8
          code = (code << 8) | load<u8>(inPos++)
        }
        prob = load<u16>(at)
        bound = (range >>> 11) * prob
        isZero = u32(code < bound)
        range = select<u32>(bound, range - bound, isZero)
        code = select<u32>(code, code - bound, isZero)
        store<u16>(at, prob - (<i32>(prob + select<u32>(-2017, 0, isZero)) >> 5))

        symbol = (symbol << 1) + 1 - isZero
      } while (symbol < 64)
      const slot = symbol - 64
      distance = slot
      if (slot >= 4) {
        let bits = (slot >>> 1) - 1
        distance = 2 | (slot & 1)
        if (slot < 14) {
          distance <<= bits
          tree = SPECIAL + ((<usize>(distance - slot - 1)) << 1)
        } else {
          for (bits -= 4; bits > 0; bits--) {
            if (range < TOP) {
              range = range << 8
              code = (code << 8) | load<u8>(inPos++)
            }

            range >>>= 1
            code -= range
            const mask: u32 = 0 - (code >>> 31)
            code += range & mask
            distance = (distance << 1) + mask + 1
          }
          distance <<= 4
          tree = ALIGN
          bits = 4
        }
        symbol = 1
        for (let bit: u32 = 0; bit < bits; bit++) {
          at = tree + (symbol << 1)
          if (range < TOP) {
            range = range << 8
            code = (code << 8) | load<u8>(inPos++)
          }
          prob = load<u16>(at)
          bound = (range >>> 11) * prob
          isZero = u32(code < bound)
          range = select<u32>(bound, range - bound, isZero)
          code = select<u32>(code, code - bound, isZero)
          store<u16>(at, prob - (<i32>(prob + select<u32>(-2017, 0, isZero)) >> 5))

          symbol = (symbol << 1) + 1 - isZero
          distance += (1 - isZero) << bit
        }
      }
    }

    if (distance >= min<u32>(<u32>(outPos - lowest), window)) return false
    const end = outPos + length
    if (end > outEnd) return false
    let from: usize = outPos - distance - 1
    if (distance >= 15) {
      // Up to 15 bytes too many, into slack or what is written next.
      do {
        v128.store(outPos, v128.load(from))
        outPos += 16
        from += 16
      } while (outPos < end)
      outPos = end
    } else {
      do {
        store<u8>(outPos++, load<u8>(from++))
      } while (outPos < end)
    }
    previous = load<u8>(outPos - 1)
  }
  if (range < TOP) {
    range = range << 8
    code = (code << 8) | load<u8>(inPos++)
  }

  state = st
  rep0 = distance
  rep1 = second
  rep2 = third
  rep3 = fourth
  return inPos == inEnd && code == 0
}
