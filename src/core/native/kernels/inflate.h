/* Raw deflate (RFC 1951), inflated in pieces of any size: the same as `layers/inflate/assembly`, in the processor's own instructions. */
#ifndef LAYERWRIGHT_INFLATE_H
#define LAYERWRIGHT_INFLATE_H

#include <stddef.h>
#include <stdint.h>

#define LITLEN_BITS 11
#define DISTANCE_BITS 9
/* No valid code needs more entries: 2342 for 286 symbols of 15 bits at 11, 594 for 30 at 9. */
#define LITLEN_ENTRIES 4096
#define DISTANCE_ENTRIES 1024

#define INPUT_BYTES (1u << 18)
#define WINDOW_BYTES (1u << 15)
#define OUTPUT_BYTES (1u << 18)
/* Read behind the input's end, and never believed; written behind the output's: a turn of literals, or a match of 258 bytes and a copy's last 31. */
#define SLACK_BYTES 4096u

/* What a turn ends with. `raw-inflater.ts` knows these. */
enum { NEED_INPUT, NEED_OUTPUT, DONE, PAUSED, BAD_BLOCK, BAD_STORED, BAD_LENGTHS, BAD_SYMBOL, BAD_DISTANCE, CUT_SHORT };

/* Where a stream stands, with all the memory it uses: nothing is allocated, and nothing outside is read or written. `native-inflater.ts` keeps it and
   reads the first words. Places are counted from the start of `input` and of `output`. */
typedef struct {
  uint32_t in_at, in_end, out_end, bit_count;
  uint32_t lowest; /* the first byte of this stream that is still in memory: no match may reach before it */
  uint32_t mode, is_final, stored_left;
  uint64_t bits;
  int64_t pause_at; /* place in the output from which on the start of a block pauses; it moves with `slide`, below 0 too */
  uint32_t litlen[LITLEN_ENTRIES], distance[DISTANCE_ENTRIES];
  uint16_t sorted[512];
  uint8_t lengths[512];
  uint8_t input[INPUT_BYTES + SLACK_BYTES];
  uint8_t output[WINDOW_BYTES + OUTPUT_BYTES + SLACK_BYTES];
} inflater;

/* Begins with memory that may hold anything. */
void inflate_reset(inflater *it);
/* Begins another stream where the input stands. Earlier output stays in the window, out of its reach. */
void inflate_start(inflater *it);
/* Pauses at the first start of a block with at least so many bytes after the current place of the output; below zero, never. */
void inflate_pause_after(inflater *it, double bytes);
/* Moves what is not read yet to the front. */
void inflate_make_room(inflater *it);
/* Lets go of the output, all but the window. */
void inflate_slide(inflater *it);
/* Inflates until the input is used up, the output is full, a pause is due or the stream has ended. `is_last`: no more input comes. */
int inflate_run(inflater *it, int is_last);

#endif
