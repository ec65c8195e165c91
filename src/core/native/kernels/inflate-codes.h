/* Literals, lengths and distances of a block. Included once for each set of instructions; NAME and TARGET say which, and are gone behind it.

   Speed comes from a bit buffer that one unaligned load fills, from entries that hold the length of code and extra bits together, from
   looking up the next code before a match is copied, and from copying 32 bytes at a time into slack behind the output. */

#define TAKE()                \
  do {                        \
    buffer >>= (entry & 63);  \
    count -= entry & 0xff;    \
  } while (0)
#define FILL()                           \
  do {                                   \
    buffer |= load64(source) << count;   \
    source += (63 - count) >> 3;         \
    count |= 56;                         \
  } while (0)
#define LOOK() (entry = litlen[buffer & ((1u << LITLEN_BITS) - 1)])
#define PUT() (*target++ = (uint8_t)(entry >> 16))
#define WITHOUT_SECOND(table, bits)                                              \
  do {                                                                           \
    buffer >>= (bits);                                                           \
    count -= (bits);                                                             \
    entry = (table)[(entry >> 16) + (buffer & ((1u << ((entry >> 8) & 31)) - 1))]; \
  } while (0)

TARGET static int JOIN(NAME, _codes)(inflater *it, int is_last) {
  const uint32_t *const litlen = it->litlen, *const distances = it->distance;
  const uint8_t *source = it->input + it->in_at;
  /* A turn that begins before it reads what is there, or behind the last byte of all what is never believed. */
  const uint8_t *const limit = it->input + (is_last ? it->in_end + 9 : it->in_end > TURN_BYTES ? it->in_end - TURN_BYTES : 0);
  uint8_t *target = it->output + it->out_end;
  uint8_t *const full = it->output + OUTPUT_LIMIT;
  const uint8_t *const first = it->output + it->lowest;
  uint64_t buffer = it->bits;
  uint32_t count = it->bit_count, entry = 0;
  int status = GO_ON;
  if (source < limit) {
    FILL();
    LOOK();
  }
  for (;;) {
    if (target > full) {
      status = NEED_OUTPUT;
      break;
    }
    if (source >= limit) {
      status = is_last ? CUT_SHORT : NEED_INPUT;
      break;
    }
    /* Five codes of at most 11 bits are in the 56 and more that the buffer has after it was filled. */
    if (entry & LITERAL) {
      TAKE();
      PUT();
      LOOK();
      if (entry & LITERAL) {
        TAKE();
        PUT();
        LOOK();
        if (entry & LITERAL) {
          TAKE();
          PUT();
          LOOK();
          if (entry & LITERAL) {
            TAKE();
            PUT();
            LOOK();
            if (entry & LITERAL) {
              TAKE();
              PUT();
              FILL();
              LOOK();
              continue;
            }
          }
        }
      }
      /* A match may need 48 bits. */
      FILL();
    }
    if (__builtin_expect(entry & EXCEPTION, 0)) {
      if (entry & SECOND) {
        WITHOUT_SECOND(litlen, LITLEN_BITS);
        if (entry & LITERAL) {
          TAKE();
          PUT();
          FILL();
          LOOK();
          continue;
        }
      }
      if (entry & EXCEPTION) {
        if (!(entry & END)) {
          status = BAD_SYMBOL;
          break;
        }
        TAKE();
        it->mode = HEADER;
        if (source - (count >> 3) > it->input + it->in_end) status = CUT_SHORT;
        break;
      }
    }
    uint64_t before = buffer;
    TAKE();
    uint32_t length = (entry >> 16) + (uint32_t)((before & ((1ull << (entry & 63)) - 1)) >> ((entry >> 8) & 31));
    entry = distances[buffer & ((1u << DISTANCE_BITS) - 1)];
    if (__builtin_expect(entry & EXCEPTION, 0)) {
      if (entry & SECOND) WITHOUT_SECOND(distances, DISTANCE_BITS);
      if (entry & EXCEPTION) {
        status = BAD_DISTANCE;
        break;
      }
    }
    before = buffer;
    TAKE();
    uint32_t distance = (entry >> 16) + (uint32_t)((before & ((1ull << (entry & 63)) - 1)) >> ((entry >> 8) & 31));
    if (__builtin_expect(distance > (size_t)(target - first), 0)) {
      status = BAD_DISTANCE;
      break;
    }
    FILL();
    LOOK();
    const uint8_t *from = target - distance;
    uint8_t *to = target;
    target += length;
    if (__builtin_expect(distance >= 16, 1)) {
      __builtin_memcpy(to, from, 16);
      __builtin_memcpy(to + 16, from + 16, 16);
      while (__builtin_expect(to + 32 < target, 0)) {
        to += 32;
        from += 32;
        __builtin_memcpy(to, from, 16);
        __builtin_memcpy(to + 16, from + 16, 16);
      }
    } else if (distance >= 8) {
      do {
        __builtin_memcpy(to, from, 8);
        to += 8;
        from += 8;
      } while (to < target);
    } else if (distance == 1) {
      uint64_t repeated = *from * 0x0101010101010101u;
      do {
        __builtin_memcpy(to, &repeated, 8);
        to += 8;
      } while (to < target);
    } else {
      do {
        *to++ = *from++;
      } while (to < target);
    }
  }
  it->bits = buffer;
  it->bit_count = count;
  it->in_at = (uint32_t)(source - it->input);
  it->out_end = (uint32_t)(target - it->output);
  return status;
}

#undef TAKE
#undef FILL
#undef LOOK
#undef PUT
#undef WITHOUT_SECOND
#undef NAME
#undef TARGET
