/* Compiled with -mavx2 (common/CMakeLists.txt), x86-64 only. The lanes are four vectors of eight; what a
 * compiler cannot make of the plain loops is the hand-out of words to those lanes that want one. */
#include <immintrin.h>
#include <stdbool.h>

#include "entropy_kernels.h"
#include "rans_words_avx2.h"

extern const struct covey_entropy_kernels covey_entropy_kernels_avx2;

/* For each set of lanes that give a word away: which lane a word comes from, those of the set at the end; one
 * byte a word. */
#define FROM(set, lane)                                                                                      \
    ((set) >> (lane)&1                                                                                       \
         ? (uint64_t)(lane) << 8 * ((8 - (uint64_t)__builtin_popcount(set) + WORDS_BEFORE(set, lane)) & 7)   \
         : 0)
#define COLLECT(set)                                                                                         \
    (FROM(set, 1) | FROM(set, 2) | FROM(set, 3) | FROM(set, 4) | FROM(set, 5) | FROM(set, 6) | FROM(set, 7))
#define COLLECT_4(set) COLLECT(set), COLLECT((set) + 1), COLLECT((set) + 2), COLLECT((set) + 3)
#define COLLECT_16(set) COLLECT_4(set), COLLECT_4((set) + 4), COLLECT_4((set) + 8), COLLECT_4((set) + 12)
#define COLLECT_64(set)                                                                                      \
    COLLECT_16(set), COLLECT_16((set) + 16), COLLECT_16((set) + 32), COLLECT_16((set) + 48)

static const uint64_t collect[256] = {COLLECT_64(0u), COLLECT_64(64u), COLLECT_64(128u), COLLECT_64(192u)};

#define VECTORS (COVEY_RANS_LANES / 8)

static inline __m256i places(const uint64_t *table, int set)
{
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)&table[set]));
}

/* A small alphabet, in registers: looking something up in memory, eight lanes at a time, takes longer than
 * comparing with seven starts. */
#define FEW 8
struct few {
    __m256i shares;          /* frequency | start << 12 | symbol << 24 */
    __m256i before[FEW - 1]; /* starts of the second symbol, the third, ..., less one */
};

/* False: there are more symbols. */
static bool find_few(const uint32_t *slots, struct few *few)
{
    uint32_t shares[FEW] = {0}, found = 0, start = 0;
    for (uint32_t i = 0; i < FEW - 1; i++)
        few->before[i] = _mm256_set1_epi32(COVEY_RANS_SLOTS);
    for (; start < COVEY_RANS_SLOTS && found < FEW; found++) {
        const uint32_t frequency = slots[start] & (COVEY_RANS_SLOTS - 1);
        shares[found] = frequency | start << COVEY_RANS_BITS | (slots[start] & 0xFF000000u);
        if (found > 0)
            few->before[found - 1] = _mm256_set1_epi32((int)start - 1);
        start += frequency;
    }
    few->shares = _mm256_loadu_si256((const __m256i *)(const void *)shares);
    return start == COVEY_RANS_SLOTS;
}

/* One symbol of eight lanes, whose shares are looked up in `few`, or in slots where that is NULL. Returns the
 * shares; their symbols are in the highest bytes. */
static inline __attribute__((always_inline)) __m256i decode_eight(const uint32_t *slots,
                                                                  const struct few *few, __m256i *lanes,
                                                                  const uint8_t **words)
{
    const __m256i low = _mm256_set1_epi32(COVEY_RANS_SLOTS - 1);
    const __m256i slot = _mm256_and_si256(*lanes, low);
    __m256i packed, place;
    if (few != NULL) {
        __m256i index = _mm256_setzero_si256();
        for (size_t i = 0; i < FEW - 1; i++)
            index = _mm256_sub_epi32(index, _mm256_cmpgt_epi32(slot, few->before[i]));
        packed = _mm256_permutevar8x32_epi32(few->shares, index);
        place = _mm256_sub_epi32(slot, _mm256_and_si256(_mm256_srli_epi32(packed, COVEY_RANS_BITS), low));
    } else {
        packed = _mm256_i32gather_epi32((const int *)(const void *)slots, slot, 4);
        place = _mm256_and_si256(_mm256_srli_epi32(packed, COVEY_RANS_BITS), low);
    }
    const __m256i x = _mm256_add_epi32(
        _mm256_mullo_epi32(_mm256_and_si256(packed, low), _mm256_srli_epi32(*lanes, COVEY_RANS_BITS)), place);
    const __m256i wants = _mm256_cmpgt_epi32(_mm256_set1_epi32(COVEY_RANS_LOW), x);
    const int set = _mm256_movemask_ps(_mm256_castsi256_ps(wants));
    const __m256i next = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*words));
    const __m256i filled =
        _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(next, places(rans_words, set)));
    *lanes = _mm256_blendv_epi8(x, filled, wants);
    *words += 2 * __builtin_popcount((unsigned)set);
    return packed;
}

static inline __attribute__((always_inline)) size_t decode_with(const uint32_t *slots, const struct few *few,
                                                                uint32_t *lanes, const uint8_t **words,
                                                                const uint8_t *end, size_t groups,
                                                                int8_t *symbols)
{
    __m256i x[VECTORS];
    const uint8_t *at = *words;
    size_t done = 0;
    /* Bytes 3 of the dwords of each half, four vectors packed into one. */
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (size_t v = 0; v < VECTORS; v++)
        x[v] = _mm256_loadu_si256((const __m256i *)(const void *)(lanes + 8 * v));
    for (; done < groups && end - at >= 2 * COVEY_RANS_LANES; done++, symbols += COVEY_RANS_LANES) {
        const __m256i a = _mm256_srai_epi32(decode_eight(slots, few, &x[0], &at), 24);
        const __m256i b = _mm256_srai_epi32(decode_eight(slots, few, &x[1], &at), 24);
        const __m256i c = _mm256_srai_epi32(decode_eight(slots, few, &x[2], &at), 24);
        const __m256i d = _mm256_srai_epi32(decode_eight(slots, few, &x[3], &at), 24);
        const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        _mm256_storeu_si256((__m256i *)(void *)symbols, _mm256_permutevar8x32_epi32(bytes, order));
    }
    for (size_t v = 0; v < VECTORS; v++)
        _mm256_storeu_si256((__m256i *)(void *)(lanes + 8 * v), x[v]);
    *words = at;
    return done;
}

static size_t decode_lanes(const uint32_t *slots, uint32_t *lanes, const uint8_t **words, const uint8_t *end,
                           size_t groups, int8_t *symbols)
{
    struct few few;
    return find_few(slots, &few) ? decode_with(slots, &few, lanes, words, end, groups, symbols)
                                 : decode_with(slots, NULL, lanes, words, end, groups, symbols);
}

/* Ranges of the symbols -3 to 3, by the lowest three bits; false where larger symbols have others than these
 * last ones. */
static bool find_few_ranges(const uint32_t *ranges, __m256i *few)
{
    uint32_t lowest[FEW];
    for (int i = 0; i < FEW; i++)
        lowest[i] = ranges[(uint8_t)(i < 4 ? i : i - 8)];
    for (int i = 4; i < 128; i++)
        if ((ranges[i] != 0 && ranges[i] != ranges[3]) ||
            (ranges[256 - i] != 0 && ranges[256 - i] != ranges[253]))
            return false;
    *few = _mm256_loadu_si256((const __m256i *)(const void *)lowest);
    return ranges[128] == 0;
}

/* One symbol into eight lanes. After the words are out, x < frequency * 2^19, so that the quotient in f32 is
 * at most one off. */
static inline __attribute__((always_inline)) __m256i encode_eight(const uint32_t *ranges, const __m256i *few,
                                                                  __m256i x, const int8_t *symbols,
                                                                  uint8_t **end)
{
    const __m256i one = _mm256_set1_epi32(1);
    const __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)symbols);
    const __m256i range =
        few != NULL
            ? _mm256_permutevar8x32_epi32(
                  *few, _mm256_cvtepi8_epi32(
                            _mm_max_epi8(_mm_min_epi8(bytes, _mm_set1_epi8(3)), _mm_set1_epi8(-3))))
            : _mm256_i32gather_epi32((const int *)(const void *)ranges, _mm256_cvtepu8_epi32(bytes), 4);
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

static inline __attribute__((always_inline)) uint8_t *encode_with(const uint32_t *ranges, const __m256i *few,
                                                                  uint32_t *lanes, const int8_t *symbols,
                                                                  size_t groups, uint8_t *end)
{
    __m256i x[VECTORS];
    for (size_t v = 0; v < VECTORS; v++)
        x[v] = _mm256_loadu_si256((const __m256i *)(const void *)(lanes + 8 * v));
    for (symbols += groups * COVEY_RANS_LANES; groups > 0; groups--) {
        symbols -= COVEY_RANS_LANES;
        x[3] = encode_eight(ranges, few, x[3], symbols + 24, &end);
        x[2] = encode_eight(ranges, few, x[2], symbols + 16, &end);
        x[1] = encode_eight(ranges, few, x[1], symbols + 8, &end);
        x[0] = encode_eight(ranges, few, x[0], symbols, &end);
    }
    for (size_t v = 0; v < VECTORS; v++)
        _mm256_storeu_si256((__m256i *)(void *)(lanes + 8 * v), x[v]);
    return end;
}

static uint8_t *encode_lanes(const uint32_t *ranges, uint32_t *lanes, const int8_t *symbols, size_t groups,
                             uint8_t *end)
{
    __m256i few;
    return find_few_ranges(ranges, &few) ? encode_with(ranges, &few, lanes, symbols, groups, end)
                                         : encode_with(ranges, NULL, lanes, symbols, groups, end);
}

#define KERNELS covey_entropy_kernels_avx2
#define KERNELS_NAME "avx2"
#define KERNELS_LANES
#include "entropy_kernels_body.h"
