/* The part that is the same for every processor: streams to blocks, blocks to lanes. */
#include "sha256.h"

const uint32_t SHA256_K[64] __attribute__((aligned(64))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static const uint32_t FIRST[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/* OpenSSL's, which Node brings along and exports: its hand-written code for a single stream is the fastest there is. The layout is part
   of its interface since 1998, and is checked before it is believed. */
typedef struct {
  uint32_t h[8], low, high, data[16];
  unsigned held, digest_bytes;
} openssl_state;
extern int SHA256_Update(openssl_state *state, const void *bytes, size_t length) __attribute__((weak));

static void one(uint32_t h[8], const uint8_t *bytes, size_t blocks) {
  openssl_state state = {.digest_bytes = 32};
  __builtin_memcpy(state.h, h, 32);
  SHA256_Update(&state, bytes, blocks * BLOCK_BYTES);
  __builtin_memcpy(h, state.h, 32);
}

int sha256_has_one(void) {
  if (!SHA256_Update) return 0;
  /* The empty message, FIPS 180-4. */
  static const uint8_t block[BLOCK_BYTES] = {0x80};
  uint32_t h[8];
  __builtin_memcpy(h, FIRST, 32);
  one(h, block, 1);
  return h[0] == 0xe3b0c442 && h[7] == 0x7852b855;
}

void sha256_start(sha256_state *state) {
  for (int i = 0; i < 8; i++) state->h[i] = FIRST[i];
  state->bytes = 0;
  state->held = 0;
}

/* A stream in a lane: the block that was held and is whole now, then those of its job. */
typedef struct {
  sha256_job *job;
  const uint8_t *at;
  size_t blocks;
  const uint8_t *next; /* of the job, once the held block is done */
  size_t next_blocks;
} lane;

static void keep(sha256_state *state, const uint8_t *bytes, size_t length) {
  __builtin_memcpy(state->block + state->held, bytes, length);
  state->held += (uint32_t)length;
}

/* Begins with a job; gives back whether any block of it is whole. */
static int enter(lane *lane, sha256_job *job) {
  sha256_state *state = job->state;
  state->bytes += job->length;
  job->left = 0;
  const uint8_t *bytes = job->bytes;
  size_t length = job->length;
  int has_held = 0;
  if (state->held > 0) {
    size_t lacking = BLOCK_BYTES - state->held;
    if (length < lacking) {
      keep(state, bytes, length);
      return 0;
    }
    keep(state, bytes, lacking);
    bytes += lacking;
    length -= lacking;
    has_held = 1;
  }
  size_t whole = length / BLOCK_BYTES;
  if (!has_held && whole == 0) {
    keep(state, bytes, length);
    return 0;
  }
  lane->job = job;
  lane->at = has_held ? state->block : bytes;
  lane->blocks = has_held ? 1 : whole;
  lane->next = bytes;
  lane->next_blocks = has_held ? whole : 0;
  return 1;
}

/* Goes on after blocks were taken; gives back whether more are there. What is no whole block is held then. */
static int advance(lane *lane, size_t blocks) {
  lane->at += blocks * BLOCK_BYTES;
  lane->blocks -= blocks;
  if (lane->blocks > 0) return 1;
  if (lane->next_blocks > 0) {
    lane->at = lane->next;
    lane->blocks = lane->next_blocks;
    lane->next += lane->next_blocks * BLOCK_BYTES;
    lane->next_blocks = 0;
    return 1;
  }
  sha256_state *state = lane->job->state;
  const uint8_t *end = lane->job->bytes + lane->job->length;
  /* What follows the last whole block, wherever that lay. */
  size_t rest = (size_t)(state->bytes % BLOCK_BYTES);
  state->held = 0;
  keep(state, end - rest, rest);
  return 0;
}

/* Gives up a lane before its job's end, at a block's. */
static void leave(lane *lane) {
  sha256_job *job = lane->job;
  sha256_state *state = job->state;
  if (lane->at == state->block) {
    one(state->h, state->block, 1);
    if (!advance(lane, 1)) return;
  }
  job->left = (size_t)(job->bytes + job->length - lane->at);
  state->bytes -= job->left;
  state->held = 0;
}

void sha256_update(const sha256_way *way, sha256_job *jobs, size_t count, size_t urgent) {
  lane lanes[MOST_LANES];
  uint32_t spare[8];
  size_t next = 0;
  size_t waiting = urgent; /* urgent jobs that are not done */
  int busy = 0;
  for (;;) {
    for (; busy < way->lanes && next < count; next++) {
      if (enter(&lanes[busy], &jobs[next])) busy++;
      else if (next < urgent) waiting--;
    }
    if (busy == 0 || (urgent > 0 && waiting == 0)) break;
    uint32_t *h[MOST_LANES];
    const uint8_t *data[MOST_LANES];
    size_t blocks = lanes[0].blocks;
    for (int i = 0; i < busy; i++) {
      if (lanes[i].blocks < blocks) blocks = lanes[i].blocks;
      h[i] = lanes[i].job->state->h;
      data[i] = lanes[i].at;
    }
    if (busy < way->from) {
      for (int i = 0; i < busy; i++) one(h[i], data[i], blocks);
    } else {
      /* Lanes that nobody needs repeat the first one, for nobody. */
      for (int i = busy; i < way->lanes; i++) {
        h[i] = spare;
        data[i] = data[0];
      }
      way->run(h, data, blocks);
    }
    for (int i = busy - 1; i >= 0; i--) {
      if (advance(&lanes[i], blocks)) continue;
      if (lanes[i].job < jobs + urgent) waiting--;
      lanes[i] = lanes[--busy];
    }
  }
  for (int i = 0; i < busy; i++) leave(&lanes[i]);
  for (; next < count; next++) jobs[next].left = jobs[next].length;
}

void sha256_finish(const sha256_way *way, sha256_state *state, uint8_t digest[32]) {
  uint64_t bits = state->bytes * 8;
  uint8_t end[2 * BLOCK_BYTES] = {0x80};
  size_t length = (state->held < BLOCK_BYTES - 8 ? BLOCK_BYTES : 2 * BLOCK_BYTES) - state->held;
  for (int i = 0; i < 8; i++) end[length - 1 - i] = (uint8_t)(bits >> (8 * i));
  sha256_job job = {state, end, length, 0};
  sha256_update(way, &job, 1, 1);
  for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(state->h[i / 4] >> (24 - 8 * (i % 4)));
}
