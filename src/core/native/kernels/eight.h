/* Eight lanes in registers of 256 bits. Included once for each set of instructions; NAME, TARGET, RIGHT, XOR3, CHOOSE and MAJORITY
   say how, and are gone behind it. */

#define SUM0(x) XOR3(RIGHT(x, 2), RIGHT(x, 13), RIGHT(x, 22))
#define SUM1(x) XOR3(RIGHT(x, 6), RIGHT(x, 11), RIGHT(x, 25))
#define LOW0(x) XOR3(RIGHT(x, 7), RIGHT(x, 18), _mm256_srli_epi32(x, 3))
#define LOW1(x) XOR3(RIGHT(x, 17), RIGHT(x, 19), _mm256_srli_epi32(x, 10))
#define ADD(x, y) _mm256_add_epi32(x, y)

#define ROUND(a, b, c, d, e, f, g, h, i)                                                                    \
  do {                                                                                                      \
    __m256i k = _mm256_set1_epi32((int)SHA256_K[t + (i)]);                                                  \
    __m256i t1 = ADD(ADD(ADD(h, ADD(w[i], k)), CHOOSE(e, f, g)), SUM1(e));                                  \
    d = ADD(d, t1);                                                                                         \
    h = ADD(t1, ADD(SUM0(a), MAJORITY(a, b, c)));                                                           \
  } while (0)

#define NEXT(i) w[i] = ADD(ADD(w[i], LOW0(w[((i) + 1) & 15])), ADD(w[((i) + 9) & 15], LOW1(w[((i) + 14) & 15])))

/* Eight rows of eight words: columns become rows. */
TARGET static inline __attribute__((always_inline)) void JOIN(NAME, _transpose)(__m256i r[8]) {
  __m256i a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; j++) {
      b[i + 2 * j] = _mm256_unpacklo_epi64(a[i + j], a[i + j + 2]);
      b[i + 2 * j + 1] = _mm256_unpackhi_epi64(a[i + j], a[i + j + 2]);
    }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

TARGET static void NAME(uint32_t *const lane[], const uint8_t *const data[], size_t blocks) {
  const __m256i swap =
      _mm256_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  __m256i s[8], w[16];
  for (int i = 0; i < 8; i++) s[i] = _mm256_loadu_si256((const __m256i *)lane[i]);
  JOIN(NAME, _transpose)(s);
  for (size_t at = 0; at < blocks * BLOCK_BYTES; at += BLOCK_BYTES) {
    for (int half = 0; half < 16; half += 8) {
      for (int i = 0; i < 8; i++)
        w[half + i] = _mm256_shuffle_epi8(_mm256_loadu_si256((const __m256i *)(data[i] + at + 4 * half)), swap);
      JOIN(NAME, _transpose)(w + half);
    }
    __m256i a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int t = 0;; t += 16) {
      ROUND(a, b, c, d, e, f, g, h, 0);
      ROUND(h, a, b, c, d, e, f, g, 1);
      ROUND(g, h, a, b, c, d, e, f, 2);
      ROUND(f, g, h, a, b, c, d, e, 3);
      ROUND(e, f, g, h, a, b, c, d, 4);
      ROUND(d, e, f, g, h, a, b, c, 5);
      ROUND(c, d, e, f, g, h, a, b, 6);
      ROUND(b, c, d, e, f, g, h, a, 7);
      ROUND(a, b, c, d, e, f, g, h, 8);
      ROUND(h, a, b, c, d, e, f, g, 9);
      ROUND(g, h, a, b, c, d, e, f, 10);
      ROUND(f, g, h, a, b, c, d, e, 11);
      ROUND(e, f, g, h, a, b, c, d, 12);
      ROUND(d, e, f, g, h, a, b, c, 13);
      ROUND(c, d, e, f, g, h, a, b, 14);
      ROUND(b, c, d, e, f, g, h, a, 15);
      if (t == 48) break;
      NEXT(0), NEXT(1), NEXT(2), NEXT(3), NEXT(4), NEXT(5), NEXT(6), NEXT(7);
      NEXT(8), NEXT(9), NEXT(10), NEXT(11), NEXT(12), NEXT(13), NEXT(14), NEXT(15);
    }
    s[0] = ADD(s[0], a), s[1] = ADD(s[1], b), s[2] = ADD(s[2], c), s[3] = ADD(s[3], d);
    s[4] = ADD(s[4], e), s[5] = ADD(s[5], f), s[6] = ADD(s[6], g), s[7] = ADD(s[7], h);
  }
  JOIN(NAME, _transpose)(s);
  for (int i = 0; i < 8; i++) _mm256_storeu_si256((__m256i *)lane[i], s[i]);
}

#undef SUM0
#undef SUM1
#undef LOW0
#undef LOW1
#undef ADD
#undef ROUND
#undef NEXT
#undef NAME
#undef TARGET
#undef RIGHT
#undef XOR3
#undef CHOOSE
#undef MAJORITY
