/* Does whatever a stream says stay inside? Built with sanitizers and run for a moment by `test/core/native/inflate.test.ts`, and as long as one likes by

     clang -O1 -g -fsanitize=fuzzer,address,undefined -DLIBFUZZER -I kernels -o fuzz fuzz/inflate.c kernels/inflate.c && ./fuzz CORPUS

   What the sanitizers cannot see, since it is all one piece of memory, they are told: the far ends of the slack are no one's. */
#include "inflate.h"
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than a turn reads behind the input's end, or writes behind the output's. */
#define READ_AHEAD 128
#define WRITTEN_OVER 320

static void stop(const char *why) {
  fprintf(stderr, "%s\n", why);
  abort();
}

/* Inflates what follows the first byte, which says the size of the pieces; gives back how it ended. */
static int inflate_pieces(const uint8_t *bytes, size_t length) {
  static inflater *it;
  if (!it) {
    it = aligned_alloc(64, (sizeof *it + 63) / 64 * 64);
    memset(it, 0xa5, sizeof *it);
    ASAN_POISON_MEMORY_REGION(it->input + INPUT_BYTES + READ_AHEAD, SLACK_BYTES - READ_AHEAD);
    ASAN_POISON_MEMORY_REGION(it->output + WINDOW_BYTES + OUTPUT_BYTES + WRITTEN_OVER, SLACK_BYTES - WRITTEN_OVER);
  }
  size_t piece = (size_t)bytes[0] * bytes[0] * 4 + 1, at = 1;
  inflate_reset(it);
  for (;;) {
    inflate_make_room(it);
    if (it->in_end > INPUT_BYTES) stop("more input than there is room for");
    size_t count = length - at, room = INPUT_BYTES - it->in_end;
    if (count > room) count = room;
    if (count > piece) count = piece;
    memcpy(it->input + it->in_end, bytes + at, count);
    it->in_end += (uint32_t)count;
    at += count;
    inflate_pause_after(it, (double)piece);
    for (;;) {
      int status = inflate_run(it, at == length);
      if (it->out_end > WINDOW_BYTES + OUTPUT_BYTES + WRITTEN_OVER || it->in_at > it->in_end + READ_AHEAD) stop("too far");
      inflate_slide(it);
      if (status == NEED_INPUT) break;
      if (status != NEED_OUTPUT && status != PAUSED) return status;
    }
    if (at == length) stop("wants more than there is");
  }
}

#ifdef LIBFUZZER
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  if (length > 0) inflate_pieces(bytes, length);
  return 0;
}
#else
/* Each file is read as it is, and so many times with a few bits changed, or cut; prints how often each end was met. */
int main(int count, char **words) {
  static uint8_t good[1 << 20], bad[1 << 20];
  unsigned ends[CUT_SHORT + 1] = {0};
  uint64_t noise = 0x9e3779b97f4a7c15u;
  if (count < 3) return 2;
  for (int n = 2; n < count; n++) {
    FILE *file = fopen(words[n], "rb");
    if (!file) return 2;
    size_t length = fread(good, 1, sizeof good, file);
    fclose(file);
    for (long turn = 0; turn < atol(words[1]); turn++) {
      memcpy(bad, good, length);
      size_t cut = length;
      for (uint64_t changes = turn == 0 ? 0 : turn % 5; changes > 0; changes--) {
        noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
        bad[(noise >> 8) % length] ^= (uint8_t)(1u << (noise & 7));
        if (noise >> 61 == 0) cut = (noise >> 20) % length + 1;
      }
      ends[inflate_pieces(bad, cut)]++;
    }
  }
  for (int end = 0; end <= CUT_SHORT; end++) printf("%u ", ends[end]);
  return 0;
}
#endif
