// What lies where in memory. The compiler's own data lies below all of it.

export const WINDOW_BYTES: u32 = 1 << 15
/** Content of one deflate block. */
export const BLOCK_BYTES: usize = 1 << 16
export const HASH_BITS: u32 = 15

const TABLES: usize = 4096
export const LITERAL_COUNTS: usize = TABLES
export const LITERAL_CODES: usize = LITERAL_COUNTS + 4 * 288
export const DISTANCE_COUNTS: usize = LITERAL_CODES + 4 * 288
export const DISTANCE_CODES: usize = DISTANCE_COUNTS + 4 * 32
export const PRECODE_COUNTS: usize = DISTANCE_CODES + 4 * 32
export const PRECODE_CODES: usize = PRECODE_COUNTS + 4 * 32
export const LENGTH_SLOTS: usize = PRECODE_CODES + 4 * 32
export const CODE_LENGTH_ORDER: usize = LENGTH_SLOTS + 256
export const SORTED: usize = CODE_LENGTH_ORDER + 32
export const WEIGHTS: usize = SORTED + 4 * 288
export const LENGTH_COUNTS: usize = WEIGHTS + 4 * 288
export const NEXT_CODES: usize = LENGTH_COUNTS + 4 * 16

/** The two latest places of each hash. */
export const HEADS: usize = 1 << 16
/** Literals before each match, and after the last; symbols of a block's header behind them. */
export const RUNS: usize = HEADS + (8 << HASH_BITS)
export const PAIRS: usize = RUNS + BLOCK_BYTES + 4096
/** Content, with the window before it and some bytes that may be read behind it. */
export const INPUT: usize = PAIRS + BLOCK_BYTES + WINDOW_BYTES
/** A block that is not stored is shorter than its content, and what a stored one adds is little. */
export const OUTPUT: usize = INPUT + BLOCK_BYTES + 4096
