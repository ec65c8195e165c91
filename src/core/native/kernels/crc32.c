/* CRC-32 by folding: Gopal, Ozturk et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009.

   Bytes are a polynomial over GF(2), lowest power last, and each byte's lowest bit stands for its highest power. What lies `n` bits before the
   end may be replaced by its product with x^n mod P; the products of 64-bit halves are what the processor computes at once. Constants
   are those powers, mirrored as the bits are. */
#include "crc32.h"

#if defined(__x86_64__)
#include "cpu.h"
#include <cpuid.h>
#include <immintrin.h>

#define POLYNOMIAL 0xedb88320u /* mirrored, without x^32 */
#define VECTOR 16
#define AT_ONCE 4

#define CARRYLESS __attribute__((target("pclmul,sse4.1")))

enum { UNABLE = 1, ABLE };

static int look(void) {
  uint32_t a, b, c = 0, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_PCLMUL) && (c & bit_SSE4_1) ? ABLE : UNABLE;
}

int crc32_can(void) {
  static int known;
  return looked_once(&known, look) == ABLE;
}

static uint32_t bit_by_bit(uint32_t state, const uint8_t *bytes, size_t length) {
  for (; length > 0; length--) {
    state ^= *bytes++;
    for (int i = 0; i < 8; i++) state = (state >> 1) ^ (state & 1 ? POLYNOMIAL : 0);
  }
  return state;
}

CARRYLESS static inline __m128i load(const uint8_t *bytes) { return _mm_loadu_si128((const __m128i *)bytes); }

/* What `v` is worth as many bits later as the powers in `by` say, one for each half. */
CARRYLESS static inline __m128i fold(__m128i v, __m128i by) {
  return _mm_xor_si128(_mm_clmulepi64_si128(v, by, 0x00), _mm_clmulepi64_si128(v, by, 0x11));
}

/* From 128 bits to the 32 that are left of a division by P, by Barrett's multiplication with its inverse. */
CARRYLESS static inline uint32_t reduce(__m128i v, __m128i by_vector) {
  const __m128i low = _mm_set_epi32(0, 0, 0, -1);
  const __m128i x64 = _mm_set_epi64x(0, 0x163cd6124);
  const __m128i inverse_and_p = _mm_set_epi64x(0x1f7011641, 0x1db710641);
  v = _mm_xor_si128(_mm_srli_si128(v, 8), _mm_clmulepi64_si128(v, by_vector, 0x10));
  v = _mm_xor_si128(_mm_srli_si128(v, 4), _mm_clmulepi64_si128(_mm_and_si128(v, low), x64, 0x00));
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(v, low), inverse_and_p, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, low), inverse_and_p, 0x00);
  return (uint32_t)_mm_extract_epi32(_mm_xor_si128(v, quotient), 1);
}

CARRYLESS uint32_t crc32_of(uint32_t before, const uint8_t *bytes, size_t length) {
  uint32_t state = ~before;
  if (length >= AT_ONCE * VECTOR) {
    /* Across four vectors (x^544 and x^480), and across one (x^160 and x^96). */
    const __m128i by_four = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_one = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i v[AT_ONCE];
    for (int i = 0; i < AT_ONCE; i++) v[i] = load(bytes + VECTOR * i);
    v[0] = _mm_xor_si128(v[0], _mm_cvtsi32_si128((int)state));
    for (bytes += AT_ONCE * VECTOR, length -= AT_ONCE * VECTOR; length >= AT_ONCE * VECTOR; length -= AT_ONCE * VECTOR) {
      for (int i = 0; i < AT_ONCE; i++) v[i] = _mm_xor_si128(fold(v[i], by_four), load(bytes + VECTOR * i));
      bytes += AT_ONCE * VECTOR;
    }
    __m128i all = v[0];
    for (int i = 1; i < AT_ONCE; i++) all = _mm_xor_si128(fold(all, by_one), v[i]);
    for (; length >= VECTOR; length -= VECTOR, bytes += VECTOR) all = _mm_xor_si128(fold(all, by_one), load(bytes));
    state = reduce(all, by_one);
  }
  return ~bit_by_bit(state, bytes, length);
}

#else

int crc32_can(void) { return 0; }

uint32_t crc32_of(uint32_t before, const uint8_t *bytes, size_t length) {
  (void)bytes, (void)length;
  return before;
}

#endif
