// Prefix codes of limited length for counted symbols.
import { LENGTH_COUNTS, NEXT_CODES, SORTED, WEIGHTS } from './places'

/**
 * Makes a code: entries of `code << 8 | length`, 0 for symbols that do not occur, the code's first bit lowest.
 *
 * At least two symbols get a code: some readers want a complete one.
 */
export function makeCode(counts: usize, codes: usize, size: u32, maxLength: u32): void {
  memory.fill(codes, 0, size << 2)
  for (let n: u32 = 0, used = usedSymbols(counts, size); used < 2 && n < 2; n++) {
    if (load<u32>(counts + (n << 2)) == 0) {
      store<u32>(counts + (n << 2), 1)
      used++
    }
  }
  const used = sortSymbols(counts, size)
  weigh(counts, used)
  limitLengths(used, maxLength)
  assign(codes, size, used, maxLength)
}

function usedSymbols(counts: usize, size: u32): u32 {
  let used: u32 = 0
  for (let n: u32 = 0; n < size; n++) if (load<u32>(counts + (n << 2)) != 0) used++
  return used
}

/** Symbols by count, rarest first, equal ones by number; Shell's sort. */
function sortSymbols(counts: usize, size: u32): u32 {
  let used: u32 = 0
  for (let n: u32 = 0; n < size; n++) {
    const times = load<u32>(counts + (n << 2))
    if (times != 0) store<u32>(SORTED + (used++ << 2), (times << 9) | n)
  }
  for (let gap: u32 = used >>> 1; gap > 0; gap >>>= 1) {
    for (let n = gap; n < used; n++) {
      const key = load<u32>(SORTED + (n << 2))
      let at = n
      while (at >= gap) {
        const other = load<u32>(SORTED + ((at - gap) << 2))
        if (other <= key) break
        store<u32>(SORTED + (at << 2), other)
        at -= gap
      }
      store<u32>(SORTED + (at << 2), key)
    }
  }
  return used
}

// @ts-expect-error AssemblyScript
@inline
function weight(n: i32): u32 {
  return load<u32>(WEIGHTS + (n << 2))
}

// @ts-expect-error AssemblyScript
@inline
function setWeight(n: i32, value: u32): void {
  store<u32>(WEIGHTS + (n << 2), value)
}

/**
 * Turns sorted counts into lengths of the best code, in place.
 *
 * See Moffat and Katajainen, "In-Place Calculation of Minimum-Redundancy Codes" (1995).
 */
function weigh(counts: usize, used: u32): void {
  const n = <i32>used
  for (let i = 0; i < n; i++) setWeight(i, load<u32>(SORTED + (i << 2)) >>> 9)
  setWeight(0, weight(0) + weight(1))
  let root = 0
  let leaf = 2
  for (let next = 1; next < n - 1; next++) {
    let sum: u32 = 0
    for (let side = 0; side < 2; side++) {
      if (leaf >= n || (root < next && weight(root) < weight(leaf))) {
        sum += weight(root)
        setWeight(root++, next)
      } else sum += weight(leaf++)
    }
    setWeight(next, sum)
  }
  setWeight(n - 2, 0)
  for (let next = n - 3; next >= 0; next--) setWeight(next, weight(<i32>weight(next)) + 1)
  let available = 1
  let internal = 0
  let depth: u32 = 0
  root = n - 2
  let next = n - 1
  while (available > 0) {
    while (root >= 0 && weight(root) == depth) {
      internal++
      root--
    }
    while (available > internal) {
      setWeight(next--, depth)
      available--
    }
    available = 2 * internal
    depth++
    internal = 0
  }
}

/** Counts lengths, and lengthens short codes until those that were too long fit. */
function limitLengths(used: u32, maxLength: u32): void {
  memory.fill(LENGTH_COUNTS, 0, 4 * 16)
  for (let i: u32 = 0; i < used; i++) bump(min<u32>(weight(i), maxLength), 1)
  let total: u32 = 0
  for (let length: u32 = 1; length <= maxLength; length++) total += lengthCount(length) << (maxLength - length)
  while (total > <u32>1 << maxLength) {
    bump(maxLength, -1)
    for (let length = maxLength - 1; length > 0; length--) {
      if (lengthCount(length) == 0) continue
      bump(length, -1)
      bump(length + 1, 2)
      break
    }
    total--
  }
}

function lengthCount(length: u32): u32 {
  return load<u32>(LENGTH_COUNTS + (length << 2))
}

function bump(length: u32, by: i32): void {
  store<u32>(LENGTH_COUNTS + (length << 2), lengthCount(length) + by)
}

// RFC 1951, section 3.2.2: codes of one length follow each other in the order of symbols.
function assign(codes: usize, size: u32, used: u32, maxLength: u32): void {
  let at: u32 = 0
  for (let length = maxLength; length > 0; length--) {
    for (let left = lengthCount(length); left > 0; left--) {
      store<u32>(codes + ((load<u32>(SORTED + (at++ << 2)) & 0x1ff) << 2), length)
    }
  }
  let code: u32 = 0
  for (let length: u32 = 1; length <= maxLength; length++) {
    code = (code + (length > 1 ? lengthCount(length - 1) : 0)) << 1
    store<u32>(NEXT_CODES + (length << 2), code)
  }
  for (let n: u32 = 0; n < size; n++) {
    const length = load<u32>(codes + (n << 2))
    if (length == 0) continue
    const next = load<u32>(NEXT_CODES + (length << 2))
    store<u32>(NEXT_CODES + (length << 2), next + 1)
    store<u32>(codes + (n << 2), (reversed(next, length) << 8) | length)
  }
}

function reversed(code: u32, length: u32): u32 {
  let result: u32 = 0
  for (; length > 0; length--) {
    result = (result << 1) | (code & 1)
    code >>>= 1
  }
  return result
}
