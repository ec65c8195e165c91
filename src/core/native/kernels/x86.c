/* Kernels for x86-64, and which of them a processor has. */
#if defined(__x86_64__)
#include "cpu.h"
#include "sha256.h"
#include <cpuid.h>
#include <immintrin.h>

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)

/* AVX-512 on 256 bits: rotates, and any function of three operands in one instruction. */
#define NAME avx512_eight
#define TARGET __attribute__((target("avx512f,avx512vl,avx2")))
#define RIGHT(x, n) _mm256_ror_epi32(x, n)
#define XOR3(x, y, z) _mm256_ternarylogic_epi32(x, y, z, 0x96)
#define CHOOSE(x, y, z) _mm256_ternarylogic_epi32(x, y, z, 0xca)
#define MAJORITY(x, y, z) _mm256_ternarylogic_epi32(x, y, z, 0xe8)
#include "eight.h"

#define NAME avx2_eight
#define TARGET __attribute__((target("avx2")))
#define RIGHT(x, n) _mm256_or_si256(_mm256_srli_epi32(x, n), _mm256_slli_epi32(x, 32 - (n)))
#define XOR3(x, y, z) _mm256_xor_si256(_mm256_xor_si256(x, y), z)
#define CHOOSE(x, y, z) _mm256_xor_si256(z, _mm256_and_si256(x, _mm256_xor_si256(y, z)))
#define MAJORITY(x, y, z) _mm256_or_si256(_mm256_and_si256(x, y), _mm256_and_si256(z, _mm256_or_si256(x, y)))
#include "eight.h"

/* SHA instructions wait four cycles for each other, and could begin every second one: two lanes in turn. */
#define SHA __attribute__((target("sha,sse4.1,ssse3")))
#define BOTH(work) work(0) work(1)

#define LOAD(v)                                                                                    \
  for (int i = 0; i < 4; i++)                                                                      \
    w##v[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data[v] + at + 16 * i)), swap);
/* Four rounds with the words of `w[i]`. */
#define ROUNDS(v)                                                                                  \
  {                                                                                                \
    __m128i m = _mm_add_epi32(w##v[t & 3], k);                                                     \
    cdgh##v = _mm_sha256rnds2_epu32(cdgh##v, abef##v, m);                                          \
    abef##v = _mm_sha256rnds2_epu32(abef##v, cdgh##v, _mm_shuffle_epi32(m, 0x0e));                 \
  }
/* The four words that follow those of `w`, in place of the oldest. */
#define WORDS(v)                                                                                   \
  {                                                                                                \
    __m128i m = _mm_sha256msg1_epu32(w##v[t & 3], w##v[(t + 1) & 3]);                              \
    m = _mm_add_epi32(m, _mm_alignr_epi8(w##v[(t + 3) & 3], w##v[(t + 2) & 3], 4));                \
    w##v[t & 3] = _mm_sha256msg2_epu32(m, w##v[(t + 3) & 3]);                                      \
  }
#define ENTER(v)                                                                                   \
  {                                                                                                \
    __m128i low = _mm_loadu_si128((const __m128i *)lane[v]);                                       \
    __m128i high = _mm_loadu_si128((const __m128i *)(lane[v] + 4));                                \
    low = _mm_shuffle_epi32(low, 0xb1);                                                            \
    high = _mm_shuffle_epi32(high, 0x1b);                                                          \
    abef##v = _mm_alignr_epi8(low, high, 8);                                                       \
    cdgh##v = _mm_blend_epi16(high, low, 0xf0);                                                    \
  }
#define LEAVE(v)                                                                                   \
  {                                                                                                \
    __m128i low = _mm_shuffle_epi32(abef##v, 0x1b);                                                \
    __m128i high = _mm_shuffle_epi32(cdgh##v, 0xb1);                                               \
    _mm_storeu_si128((__m128i *)lane[v], _mm_blend_epi16(low, high, 0xf0));                        \
    _mm_storeu_si128((__m128i *)(lane[v] + 4), _mm_alignr_epi8(high, low, 8));                     \
  }
#define BEGIN(v) __m128i abef_before##v = abef##v, cdgh_before##v = cdgh##v;
#define END(v)                                                                                     \
  abef##v = _mm_add_epi32(abef##v, abef_before##v);                                                \
  cdgh##v = _mm_add_epi32(cdgh##v, cdgh_before##v);

SHA static void sha_two(uint32_t *const lane[], const uint8_t *const data[], size_t blocks) {
  const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  __m128i abef0, cdgh0, abef1, cdgh1, w0[4], w1[4];
  BOTH(ENTER)
  for (size_t at = 0; at < blocks * BLOCK_BYTES; at += BLOCK_BYTES) {
    BOTH(BEGIN)
    BOTH(LOAD)
#pragma GCC unroll 16
    for (int t = 0; t < 16; t++) {
      __m128i k = _mm_load_si128((const __m128i *)(SHA256_K + 4 * t));
      BOTH(ROUNDS)
      if (t < 12) { BOTH(WORDS) }
    }
    BOTH(END)
  }
  BOTH(LEAVE)
}

/* What the operating system keeps of a process's registers: bits of XCR0. */
static uint64_t kept_registers(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | (uint64_t)high << 32;
}

#define VECTORS_256 0x06u
#define VECTORS_512 0xe6u

enum { AVX512 = 1, AVX2 = 2, SHA_NI = 4, LOOKED = 8 };

static int look(void) {
  uint32_t a, b, c, d;
  int able = LOOKED;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return able;
  int has_sse = (c & bit_SSSE3) && (c & bit_SSE4_1);
  uint64_t kept = c & bit_OSXSAVE ? kept_registers() : 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return able;
  if (has_sse && (b & bit_SHA)) able |= SHA_NI;
  if ((kept & VECTORS_256) == VECTORS_256 && (b & bit_AVX2)) {
    able |= AVX2;
    if ((kept & VECTORS_512) == VECTORS_512 && (b & bit_AVX512F) && (b & bit_AVX512VL)) able |= AVX512;
  }
  return able;
}

static int abilities(void) {
  static int known;
  return looked_once(&known, look);
}

/* From how many lanes on: as measured beside OpenSSL's one lane, whose hand-written code goes faster than any of eight. */
static const struct {
  sha256_way way;
  int needs;
} WAYS[] = {
    {{"sha", sha_two, 2, 2}, SHA_NI},
    {{"avx512", avx512_eight, 8, 2}, AVX512},
    {{"avx2", avx2_eight, 8, 3}, AVX2},
};

const sha256_way *sha256_way_at(size_t index) { return index < sizeof WAYS / sizeof *WAYS ? &WAYS[index].way : 0; }

int sha256_can(size_t index) { return (abilities() & WAYS[index].needs) != 0; }
#endif
