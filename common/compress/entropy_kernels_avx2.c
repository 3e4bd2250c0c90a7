/* Compiled with -mavx2 (common/CMakeLists.txt), x86-64 only. The lanes are four vectors of eight; what a
 * compiler cannot make of the plain loops is the hand-out of words to those lanes that want one. */
#include <immintrin.h>

#include "entropy_kernels.h"

extern const struct covey_entropy_kernels covey_entropy_kernels_avx2;

/* For each set of lanes that want a word: which of the next words is a lane's own; one byte a lane. */
#define BEFORE(set, lane) ((uint64_t)__builtin_popcount((set) & ((1u << (lane)) - 1)))
#define HAND_OUT(set)                                                                                        \
    (BEFORE(set, 1) << 8 | BEFORE(set, 2) << 16 | BEFORE(set, 3) << 24 | BEFORE(set, 4) << 32 |              \
     BEFORE(set, 5) << 40 | BEFORE(set, 6) << 48 | BEFORE(set, 7) << 56)
/* And the other way: which lane a word comes from, those of the set at the end. */
#define FROM(set, lane)                                                                                      \
    ((set) >> (lane)&1                                                                                       \
         ? (uint64_t)(lane) << 8 * ((8 - (uint64_t)__builtin_popcount(set) + BEFORE(set, lane)) & 7)         \
         : 0)
#define COLLECT(set)                                                                                         \
    (FROM(set, 1) | FROM(set, 2) | FROM(set, 3) | FROM(set, 4) | FROM(set, 5) | FROM(set, 6) | FROM(set, 7))
#define FOUR(MAKE, set) MAKE(set), MAKE((set) + 1), MAKE((set) + 2), MAKE((set) + 3)
#define SIXTEEN(MAKE, set)                                                                                   \
    FOUR(MAKE, set), FOUR(MAKE, (set) + 4), FOUR(MAKE, (set) + 8), FOUR(MAKE, (set) + 12)
#define SIXTYFOUR(MAKE, set)                                                                                 \
    SIXTEEN(MAKE, set), SIXTEEN(MAKE, (set) + 16), SIXTEEN(MAKE, (set) + 32), SIXTEEN(MAKE, (set) + 48)
#define EVERY(MAKE) SIXTYFOUR(MAKE, 0u), SIXTYFOUR(MAKE, 64u), SIXTYFOUR(MAKE, 128u), SIXTYFOUR(MAKE, 192u)

static const uint64_t hand_out[256] = {EVERY(HAND_OUT)};
static const uint64_t collect[256] = {EVERY(COLLECT)};

#define VECTORS (COVEY_RANS_LANES / 8)

static inline __m256i places(const uint64_t *table, int set)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)&table[set]));
}

/* One symbol of eight lanes. Returns the packed slots; their symbols are in the highest bytes. */
static inline __m256i decode_eight(const uint32_t *slots, __m256i *lanes, const uint8_t **words)
{
    const __m256i low = _mm256_set1_epi32(COVEY_RANS_SLOTS - 1);
    const __m256i packed =
        _mm256_i32gather_epi32((const int *)(const void *)slots, _mm256_and_si256(*lanes, low), 4);
    const __m256i x = _mm256_add_epi32(
        _mm256_mullo_epi32(_mm256_and_si256(packed, low), _mm256_srli_epi32(*lanes, COVEY_RANS_BITS)),
        _mm256_and_si256(_mm256_srli_epi32(packed, COVEY_RANS_BITS), low));
    const __m256i wants = _mm256_cmpgt_epi32(_mm256_set1_epi32(COVEY_RANS_LOW), x);
    const int set = _mm256_movemask_ps(_mm256_castsi256_ps(wants));
    const __m256i next = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*words));
    const __m256i filled =
        _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(next, places(hand_out, set)));
    *lanes = _mm256_blendv_epi8(x, filled, wants);
    *words += 2 * __builtin_popcount((unsigned)set);
    return packed;
}

static size_t decode_lanes(const uint32_t *slots, uint32_t *lanes, const uint8_t **words, const uint8_t *end,
                           size_t groups, int8_t *symbols)
{
    __m256i x[VECTORS];
    const uint8_t *at = *words;
    size_t done = 0;
    /* Bytes 3 of the dwords of each half, four vectors packed into one. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t v = 0; v < VECTORS; v++)
        x[v] = _mm256_loadu_si256((const __m256i *)(const void *)(lanes + 8 * v));
    for (; done < groups && end - at >= 2 * COVEY_RANS_LANES; done++, symbols += COVEY_RANS_LANES) {
        const __m256i a = _mm256_srai_epi32(decode_eight(slots, &x[0], &at), 24);
        const __m256i b = _mm256_srai_epi32(decode_eight(slots, &x[1], &at), 24);
        const __m256i c = _mm256_srai_epi32(decode_eight(slots, &x[2], &at), 24);
        const __m256i d = _mm256_srai_epi32(decode_eight(slots, &x[3], &at), 24);
        const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        _mm256_storeu_si256((__m256i *)(void *)symbols, _mm256_permutevar8x32_epi32(bytes, order));
    }
    for (size_t v = 0; v < VECTORS; v++)
        _mm256_storeu_si256((__m256i *)(void *)(lanes + 8 * v), x[v]);
    *words = at;
    return done;
}

/* One symbol into eight lanes. After the words are out, x < frequency * 2^19, so that the quotient in f32 is
 * at most one off. */
static inline __m256i encode_eight(const uint32_t *ranges, __m256i x, const int8_t *symbols, uint8_t **end)
{
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i index = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)symbols));
    const __m256i range = _mm256_i32gather_epi32((const int *)(const void *)ranges, index, 4);
    const __m256i frequency = _mm256_and_si256(range, _mm256_set1_epi32(COVEY_RANS_SLOTS - 1));
    const __m256i most = _mm256_sub_epi32(_mm256_slli_epi32(frequency, 31 - COVEY_RANS_BITS), one);
    const __m256i gives = _mm256_cmpgt_epi32(x, most);
    const int set = _mm256_movemask_ps(_mm256_castsi256_ps(gives));
    const __m256i words =
        _mm256_permutevar8x32_epi32(_mm256_and_si256(x, _mm256_set1_epi32(0xFFFF)), places(collect, set));
    _mm_storeu_si128((__m128i *)(void *)(*end - 16),
                     _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    *end -= 2 * __builtin_popcount((unsigned)set);
    x = _mm256_blendv_epi8(x, _mm256_srli_epi32(x, 16), gives);
    __m256i quotient =
        _mm256_cvttps_epi32(_mm256_div_ps(_mm256_cvtepi32_ps(x), _mm256_cvtepi32_ps(frequency)));
    __m256i rest = _mm256_sub_epi32(x, _mm256_mullo_epi32(quotient, frequency));
    const __m256i too_large = _mm256_srai_epi32(rest, 31); /* -1 where the quotient is one too large */
    quotient = _mm256_add_epi32(quotient, too_large);
    rest = _mm256_add_epi32(rest, _mm256_and_si256(too_large, frequency));
    const __m256i fits = _mm256_cmpgt_epi32(frequency, rest); /* 0 where it is one too small */
    quotient = _mm256_add_epi32(quotient, _mm256_andnot_si256(fits, one));
    rest = _mm256_sub_epi32(rest, _mm256_andnot_si256(fits, frequency));
    return _mm256_add_epi32(_mm256_add_epi32(_mm256_slli_epi32(quotient, COVEY_RANS_BITS), rest),
                            _mm256_srli_epi32(range, COVEY_RANS_BITS));
}

static uint8_t *encode_lanes(const uint32_t *ranges, uint32_t *lanes, const int8_t *symbols, size_t groups,
                             uint8_t *end)
{
    __m256i x[VECTORS];
    for (size_t v = 0; v < VECTORS; v++)
        x[v] = _mm256_loadu_si256((const __m256i *)(const void *)(lanes + 8 * v));
    for (symbols += groups * COVEY_RANS_LANES; groups > 0; groups--) {
        symbols -= COVEY_RANS_LANES;
        x[3] = encode_eight(ranges, x[3], symbols + 24, &end);
        x[2] = encode_eight(ranges, x[2], symbols + 16, &end);
        x[1] = encode_eight(ranges, x[1], symbols + 8, &end);
        x[0] = encode_eight(ranges, x[0], symbols, &end);
    }
    for (size_t v = 0; v < VECTORS; v++)
        _mm256_storeu_si256((__m256i *)(void *)(lanes + 8 * v), x[v]);
    return end;
}

#define KERNELS covey_entropy_kernels_avx2
#define KERNELS_NAME "avx2"
#define KERNELS_LANES
#include "entropy_kernels_body.h"
