/* Blocks, their tables, and what is stored. `inflate-codes.h` has the inner loop. */
#include "inflate.h"
#if defined(__x86_64__)
#include "cpu.h"
#include <cpuid.h>
#endif

/* Entries of tables. Bits 0-7: how many bits code and extra bits take; 8-12: how many the code alone takes; 16-31: literal, base of a length or
   distance, or start of a second table, whose width is then in 8-12. Shifts look at the lowest six bits alone. */
#define LITERAL (1u << 31)
#define EXCEPTION (1u << 15)
#define SECOND (1u << 14)
#define END (1u << 13)
#define FLAGS_AND_VALUE 0xffffe000u

#define PRECODE_BITS 7
/* Room a dynamic block's header may take, and what the fast loop may read in one turn. */
#define HEADER_BYTES 1024u
#define TURN_BYTES 32u

#define OUTPUT_LIMIT (WINDOW_BYTES + OUTPUT_BYTES)
#define NEVER INT64_MAX
#define GO_ON (-1)

enum { HEADER, CODES, STORED, ENDED };

static inline __attribute__((always_inline)) uint64_t load64(const uint8_t *at) {
  uint64_t value;
  __builtin_memcpy(&value, at, 8);
  return value;
}

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

#define NAME plain
#define TARGET
#include "inflate-codes.h"

#if defined(__x86_64__)
#define NAME bmi2
#define TARGET __attribute__((target("bmi,bmi2")))
#include "inflate-codes.h"
#endif

/* Entries of all symbols, without the lengths of their codes. RFC 1951, section 3.2.5 */
static uint32_t litlen_symbol(uint32_t n) {
  if (n < 256) return LITERAL | n << 16;
  if (n == 256) return EXCEPTION | END;
  if (n == 285) return 258u << 16;
  if (n > 285) return EXCEPTION;
  if (n < 265) return (n - 254) << 16;
  uint32_t extra = (n - 261) >> 2;
  return (((((n - 261) & 3) + 4) << extra) + 3) << 16 | extra;
}

static uint32_t distance_symbol(uint32_t n) {
  if (n > 29) return EXCEPTION;
  if (n < 2) return (n + 1) << 16;
  uint32_t extra = (n >> 1) - 1;
  return ((((n & 1) + 2) << extra) + 1) << 16 | extra;
}

static uint32_t precode_symbol(uint32_t n) { return n << 16; }

typedef uint32_t symbols(uint32_t n);

static inline __attribute__((always_inline)) uint32_t entry_of(symbols *symbol, uint32_t n, uint32_t length) {
  uint32_t entry = symbol(n);
  return (entry & FLAGS_AND_VALUE) | length << 8 | (length + (entry & 0xff));
}

/* A code with one symbol of one bit, or with none: what is no code is found when it is used. */
static void fill_small(const uint8_t *lengths, uint32_t used, symbols *symbol, uint32_t *table, uint32_t table_bits) {
  for (uint32_t n = 0; n < 1u << table_bits; n++) table[n] = EXCEPTION | 1;
  if (used == 0) return;
  uint32_t only = 0;
  while (lengths[only] == 0) only++;
  for (uint32_t n = 0; n < 1u << table_bits; n += 2) table[n] = entry_of(symbol, only, 1);
}

/* How many bits a second table needs that begins with a code of this length, `left` of which are still to come. */
static uint32_t width_of_second(const uint32_t counts[16], uint32_t length, uint32_t table_bits, uint32_t left) {
  uint32_t width = length - table_bits;
  int32_t space = (int32_t)(1u << width) - (int32_t)left;
  while (space > 0 && length < 15) {
    length++;
    width++;
    space = space * 2 - (int32_t)counts[length];
  }
  return width;
}

/* Makes the table of a code from the lengths of its symbols; gives back 0 for lengths that are no prefix code. A code of one symbol, or none, may be
   let through, as zlib does. */
static inline __attribute__((always_inline)) int build(inflater *it, const uint8_t *lengths, uint32_t symbol_count, symbols *symbol,
                                                       uint32_t *table, uint32_t table_bits, uint32_t capacity, int may_be_small) {
  uint32_t counts[16] = {0}, offsets[16], sum = 0;
  for (uint32_t n = 0; n < symbol_count; n++) counts[lengths[n] & 15]++;
  uint32_t used = symbol_count - counts[0];
  int32_t room = 1;
  for (uint32_t length = 1; length <= 15; length++) {
    room = room * 2 - (int32_t)counts[length];
    if (room < 0) return 0;
  }
  if (room > 0) {
    if (!may_be_small || used > 1 || (used == 1 && counts[1] != 1)) return 0;
    fill_small(lengths, used, symbol, table, table_bits);
    return 1;
  }
  /* By length, then by value. */
  for (uint32_t length = 1; length <= 15; length++) offsets[length] = sum, sum += counts[length];
  for (uint32_t n = 0; n < symbol_count; n++)
    if (lengths[n] != 0) it->sorted[offsets[lengths[n] & 15]++] = (uint16_t)n;
  /* Codes are walked in their order and kept with their bits reversed, as the bit buffer shows them. */
  uint32_t mask = (1u << table_bits) - 1, next = 1u << table_bits, prefix = UINT32_MAX;
  uint32_t code = 0, length = 0, left = 0, start = 0, width = 0;
  for (uint32_t at = 0; at < used; at++) {
    while (left == 0) left = counts[++length];
    if (length <= table_bits) {
      uint32_t entry = entry_of(symbol, it->sorted[at], length);
      for (uint32_t n = code; n <= mask; n += 1u << length) table[n] = entry;
    } else {
      if ((code & mask) != prefix) {
        prefix = code & mask;
        start = next;
        width = width_of_second(counts, length, table_bits, left);
        next += 1u << width;
        if (next > capacity) return 0;
        table[prefix] = EXCEPTION | SECOND | start << 16 | width << 8 | table_bits;
      }
      uint32_t entry = entry_of(symbol, it->sorted[at], length - table_bits);
      for (uint32_t n = code >> table_bits; n < 1u << width; n += 1u << (length - table_bits)) table[start + n] = entry;
    }
    left--;
    uint32_t bit = 1u << (length - 1);
    for (; code & bit; bit >>= 1) code ^= bit;
    code |= bit;
  }
  return 1;
}

static int build_litlen(inflater *it, const uint8_t *lengths, uint32_t count, int may_be_small) {
  return build(it, lengths, count, litlen_symbol, it->litlen, LITLEN_BITS, LITLEN_ENTRIES, may_be_small);
}

static int build_distance(inflater *it, const uint8_t *lengths, uint32_t count, int may_be_small) {
  return build(it, lengths, count, distance_symbol, it->distance, DISTANCE_BITS, DISTANCE_ENTRIES, may_be_small);
}

/* RFC 1951, section 3.2.6 */
static void build_fixed(inflater *it) {
  for (int n = 0; n < 288; n++) it->lengths[n] = n < 144 ? 8 : n < 256 ? 9 : n < 280 ? 7 : 8;
  build_litlen(it, it->lengths, 288, 0);
  for (int n = 0; n < 32; n++) it->lengths[n] = 5;
  build_distance(it, it->lengths, 32, 0);
}

static void refill(inflater *it) {
  it->bits |= load64(it->input + it->in_at) << it->bit_count;
  it->in_at += (63 - it->bit_count) >> 3;
  it->bit_count |= 56;
}

static uint32_t take(inflater *it, uint32_t count) {
  uint32_t value = (uint32_t)it->bits & ((1u << count) - 1);
  it->bits >>= count;
  it->bit_count -= count;
  return value;
}

/* The tables of a dynamic block. RFC 1951, section 3.2.7 */
static int read_tables(inflater *it) {
  static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  refill(it);
  uint32_t litlens = take(it, 5) + 257, distances = take(it, 5) + 1, precodes = take(it, 4) + 4;
  if (litlens > 286 || distances > 30) return BAD_LENGTHS;
  uint8_t *lengths = it->lengths;
  __builtin_memset(lengths, 0, sizeof it->lengths);
  for (uint32_t n = 0; n < precodes; n++) {
    if (it->bit_count < 3) refill(it);
    lengths[order[n]] = (uint8_t)take(it, 3);
  }
  uint32_t *precode = it->distance;
  if (!build(it, lengths, 19, precode_symbol, precode, PRECODE_BITS, DISTANCE_ENTRIES, 0)) return BAD_LENGTHS;
  uint32_t total = litlens + distances;
  __builtin_memset(lengths, 0, sizeof it->lengths);
  for (uint32_t at = 0; at < total;) {
    if (it->in_at > it->in_end + 64) return CUT_SHORT;
    refill(it);
    uint32_t entry = precode[(uint32_t)it->bits & ((1u << PRECODE_BITS) - 1)];
    take(it, entry & 0xff);
    uint32_t symbol = entry >> 16;
    if (symbol < 16) {
      lengths[at++] = (uint8_t)symbol;
      continue;
    }
    if (symbol == 16 && at == 0) return BAD_LENGTHS;
    uint8_t value = symbol == 16 ? lengths[at - 1] : 0;
    uint32_t repeat = symbol == 16 ? 3 + take(it, 2) : symbol == 17 ? 3 + take(it, 3) : 11 + take(it, 7);
    if (at + repeat > total) return BAD_LENGTHS;
    for (; repeat > 0; repeat--) lengths[at++] = value;
  }
  /* A block without its end symbol has no end. */
  if (lengths[256] == 0) return BAD_LENGTHS;
  return build_distance(it, lengths + litlens, distances, 1) && build_litlen(it, lengths, litlens, 1) ? GO_ON : BAD_LENGTHS;
}

/* Gives whole bytes back to the input and drops the rest of the last one. */
static void to_byte(inflater *it) {
  it->in_at -= it->bit_count >> 3;
  it->bits = 0;
  it->bit_count = 0;
}

static int read_stored(inflater *it) {
  to_byte(it);
  uint32_t both = (uint32_t)load64(it->input + it->in_at), length = both & 0xffff;
  if ((length ^ 0xffff) != both >> 16) return it->in_at + 4 > it->in_end ? CUT_SHORT : BAD_STORED;
  it->in_at += 4;
  it->stored_left = length;
  it->mode = STORED;
  return GO_ON;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static int copy_stored(inflater *it, int is_last) {
  uint32_t room = it->out_end < OUTPUT_LIMIT ? OUTPUT_LIMIT - it->out_end : 0;
  uint32_t there = it->in_at < it->in_end ? it->in_end - it->in_at : 0;
  uint32_t count = least(it->stored_left, least(room, there));
  __builtin_memcpy(it->output + it->out_end, it->input + it->in_at, count);
  it->out_end += count;
  it->in_at += count;
  it->stored_left -= count;
  if (it->stored_left == 0) {
    it->mode = HEADER;
    return GO_ON;
  }
  if (it->out_end >= OUTPUT_LIMIT) return NEED_OUTPUT;
  return is_last ? CUT_SHORT : NEED_INPUT;
}

static int read_header(inflater *it, int is_last) {
  if (it->is_final) {
    to_byte(it);
    it->mode = ENDED;
    return it->in_at > it->in_end ? CUT_SHORT : DONE;
  }
  if ((int64_t)it->out_end >= it->pause_at) {
    it->pause_at = NEVER;
    return PAUSED;
  }
  if (!is_last && it->in_at + HEADER_BYTES > it->in_end) return NEED_INPUT;
  refill(it);
  it->is_final = take(it, 1);
  uint32_t type = take(it, 2);
  int status = GO_ON;
  if (type == 0) status = read_stored(it);
  else if (type == 1) build_fixed(it);
  else if (type == 2) status = read_tables(it);
  else return BAD_BLOCK;
  if (it->in_at - (it->bit_count >> 3) > it->in_end) return CUT_SHORT;
  if (type != 0) it->mode = CODES;
  return status;
}

#if defined(__x86_64__)
enum { WITHOUT_BMI2 = 1, WITH_BMI2 };

static int look(void) {
  uint32_t a, b = 0, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_BMI) && (b & bit_BMI2) ? WITH_BMI2 : WITHOUT_BMI2;
}

static int has_bmi2(void) {
  static int known;
  return looked_once(&known, look) == WITH_BMI2;
}
#endif

static int inflate_codes(inflater *it, int is_last) {
#if defined(__x86_64__)
  if (has_bmi2()) return bmi2_codes(it, is_last);
#endif
  return plain_codes(it, is_last);
}

void inflate_reset(inflater *it) {
  it->in_at = it->in_end = 0;
  it->out_end = WINDOW_BYTES;
  it->pause_at = NEVER;
  __builtin_memset(it->output, 0, WINDOW_BYTES);
  inflate_start(it);
}

void inflate_pause_after(inflater *it, double bytes) { it->pause_at = bytes < 0 ? NEVER : (int64_t)it->out_end + (int64_t)bytes; }

void inflate_start(inflater *it) {
  it->mode = HEADER;
  it->is_final = 0;
  it->bits = 0;
  it->bit_count = 0;
  it->stored_left = 0;
  it->lowest = it->out_end;
}

void inflate_make_room(inflater *it) {
  /* Whole bytes that wait in the bit buffer are moved too: a stored block or the end of the stream gives them back. */
  it->in_at -= it->bit_count >> 3;
  it->bit_count &= 7;
  it->bits &= (1u << it->bit_count) - 1;
  it->in_end -= it->in_at;
  __builtin_memmove(it->input, it->input + it->in_at, it->in_end);
  it->in_at = 0;
}

void inflate_slide(inflater *it) {
  uint32_t by = it->out_end - WINDOW_BYTES;
  if (by == 0) return;
  __builtin_memmove(it->output, it->output + by, WINDOW_BYTES);
  it->out_end = WINDOW_BYTES;
  it->lowest = it->lowest > by ? it->lowest - by : 0;
  if (it->pause_at != NEVER) it->pause_at -= by;
}

int inflate_run(inflater *it, int is_last) {
  for (;;) {
    int status = it->mode == HEADER   ? read_header(it, is_last)
                 : it->mode == CODES  ? inflate_codes(it, is_last)
                 : it->mode == STORED ? copy_stored(it, is_last)
                                      : DONE;
    if (status != GO_ON) return status;
  }
}
