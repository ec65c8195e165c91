// What lies where in memory. The compiler's own data begins at `--memoryBase`, above the tables.

/** Tables of CRC-32 and CRC-64, eight each. */
export const CRC32_TABLES: usize = 1024
export const CRC64_TABLES: usize = CRC32_TABLES + 8 * 256 * 4
/** Probabilities of the LZMA decoder, 16 bits each: 1860 and 768 for every literal context (16 at most). */
export const PROBABILITIES: usize = 32768
export const PROBABILITY_COUNT: usize = 1860 + 0x300 * 16
/** Input: more than the largest chunk, its header and what stands around it. */
export const INPUT: usize = 1 << 16
export const INPUT_BYTES: usize = 1 << 17
/** Read and written ahead of an end, never believed. */
export const SLACK: usize = 4096
export const OUTPUT: usize = INPUT + INPUT_BYTES + SLACK
