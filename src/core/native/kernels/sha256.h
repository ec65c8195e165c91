/* SHA-256 of several streams at once: what one stream's chain of additions leaves idle, the others use. FIPS 180-4. */
#ifndef LAYERWRIGHT_SHA256_H
#define LAYERWRIGHT_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define BLOCK_BYTES 64
#define MOST_LANES 8

/* Where a stream stands. `sha256.ts` keeps its memory, and knows its size. */
typedef struct {
  uint32_t h[8];
  uint64_t bytes;
  uint32_t held; /* bytes of `block` that wait for the rest of theirs */
  uint32_t unused;
  uint8_t block[BLOCK_BYTES];
} sha256_state;

/* Bytes that one stream takes next. */
typedef struct {
  sha256_state *state;
  const uint8_t *bytes;
  size_t length;
  size_t left; /* bytes that were not taken */
} sha256_job;

/* Takes `blocks` blocks in each of as many lanes as the kernel has; all of them are read, and every `h` is written. */
typedef void sha256_kernel(uint32_t *const h[], const uint8_t *const data[], size_t blocks);

/* A way to take several lanes at once. */
typedef struct {
  const char *name;
  sha256_kernel *run;
  int lanes;
  int from; /* so many lanes in use are worth it; fewer are taken one after another by OpenSSL */
} sha256_way;

/* The ways of this machine's kind, best first, by index; a null pointer behind the last one. */
const sha256_way *sha256_way_at(size_t index);
/* Whether this processor, and the system on it, can go it. */
int sha256_can(size_t index);
/* Whether the host process has OpenSSL's one-lane form, and it does what it should. */
int sha256_has_one(void);

void sha256_start(sha256_state *state);
/* Every state occurs once. The first `urgent` jobs are taken whole, the others as far as lanes are free meanwhile; each says what it has
   left. Allocates nothing, keeps nothing of `jobs`. */
void sha256_update(const sha256_way *way, sha256_job *jobs, size_t count, size_t urgent);
void sha256_finish(const sha256_way *way, sha256_state *state, uint8_t digest[32]);

extern const uint32_t SHA256_K[64];

#endif
