// CRC-32 (IEEE 802.3) and CRC-64 (ECMA-182), eight bytes a turn.
import { CRC32_TABLES, CRC64_TABLES } from './places'

export function makeCrcTables(): void {
  for (let n: u32 = 0; n < 256; n++) {
    let small: u32 = n
    let large: u64 = n
    for (let bit = 0; bit < 8; bit++) {
      small = (small >>> 1) ^ ((small & 1) != 0 ? 0xedb88320 : 0)
      large = (large >>> 1) ^ ((large & 1) != 0 ? 0xc96c5795d7870f42 : 0)
    }
    store<u32>(CRC32_TABLES + n * 4, small)
    store<u64>(CRC64_TABLES + n * 8, large)
  }
  for (let n: u32 = 256; n < 8 * 256; n++) {
    const small = load<u32>(CRC32_TABLES + (n - 256) * 4)
    const large = load<u64>(CRC64_TABLES + (n - 256) * 8)
    store<u32>(CRC32_TABLES + n * 4, (small >>> 8) ^ load<u32>(CRC32_TABLES + (small & 0xff) * 4))
    store<u64>(CRC64_TABLES + n * 8, (large >>> 8) ^ load<u64>(CRC64_TABLES + <u32>(large & 0xff) * 8))
  }
}

/** Goes on with a checksum of 4 or 8 bytes; of 0 bytes it stays as it is. */
export function crcOf(kind: u32, before: u64, at: usize, bytes: usize): u64 {
  if (kind == 0) return before
  return kind == 4 ? <u64>crc32(<u32>before, at, at + bytes) : crc64(before, at, at + bytes)
}

function crc32(before: u32, at: usize, end: usize): u32 {
  let crc: u32 = ~before
  for (; at + 8 <= end; at += 8) {
    const low = load<u32>(at) ^ crc
    const high = load<u32>(at, 4)
    crc =
      table32(7, low & 0xff) ^
      table32(6, (low >>> 8) & 0xff) ^
      table32(5, (low >>> 16) & 0xff) ^
      table32(4, low >>> 24) ^
      table32(3, high & 0xff) ^
      table32(2, (high >>> 8) & 0xff) ^
      table32(1, (high >>> 16) & 0xff) ^
      table32(0, high >>> 24)
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ table32(0, (crc ^ load<u8>(at)) & 0xff)
  return ~crc
}

function crc64(before: u64, at: usize, end: usize): u64 {
  let crc: u64 = ~before
  for (; at + 8 <= end; at += 8) {
    crc ^= load<u64>(at)
    const low = <u32>crc
    const high = <u32>(crc >>> 32)
    crc =
      table64(7, low & 0xff) ^
      table64(6, (low >>> 8) & 0xff) ^
      table64(5, (low >>> 16) & 0xff) ^
      table64(4, low >>> 24) ^
      table64(3, high & 0xff) ^
      table64(2, (high >>> 8) & 0xff) ^
      table64(1, (high >>> 16) & 0xff) ^
      table64(0, high >>> 24)
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ table64(0, (<u32>crc ^ load<u8>(at)) & 0xff)
  return ~crc
}

// @ts-expect-error AssemblyScript
@inline
function table32(n: usize, byte: u32): u32 {
  return load<u32>(CRC32_TABLES + n * 1024 + (<usize>byte << 2))
}

// @ts-expect-error AssemblyScript
@inline
function table64(n: usize, byte: u32): u64 {
  return load<u64>(CRC64_TABLES + n * 2048 + (<usize>byte << 3))
}
