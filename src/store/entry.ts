import { crc32 } from 'node:zlib'

const CRC_BYTES = 4

/**
 * What is kept of a small answer: its bytes with their CRC-32 behind them, little endian.
 *
 * Entries are not forced to the disk, and none has a digest for a name: a power cut leaves a file that is empty or cut short, and whoever
 * reads the answer would take it for what the world said.
 */
export function sealEntry(bytes: Uint8Array): Buffer {
  const seal = Buffer.alloc(CRC_BYTES)
  // Node's own: few entries are large, and a build that has nothing to do need not load the addon.
  seal.writeUInt32LE(crc32(bytes))
  return Buffer.concat([bytes, seal])
}

/** The bytes of a small answer, in the same memory; undefined when they are not what was written. */
export function openEntry(sealed: Buffer): Buffer | undefined {
  if (sealed.length < CRC_BYTES) return undefined
  const bytes = sealed.subarray(0, -CRC_BYTES)
  return crc32(bytes) === sealed.readUInt32LE(bytes.length) ? bytes : undefined
}
