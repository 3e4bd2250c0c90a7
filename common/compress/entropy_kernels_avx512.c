/* Compiled for AVX-512 (common/CMakeLists.txt), x86-64 only. The lanes are two vectors of sixteen; the words
 * are handed out by the instructions that spread packed values and pack spread ones. */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "entropy_kernels.h"

extern const struct covey_entropy_kernels covey_entropy_kernels_avx512;

/* A small alphabet, in registers: comparing with all starts takes less than looking slots up in memory, the
 * more so since gathers are slow on machines that must not leak what they load. Up to FEW symbols each vector
 * by itself, as the two then need not wait for each other; up to SOME both at once, as words. */
#define FEW 8
#define SOME 16
struct few {
    __m512i shares;          /* frequency | start << 12 | symbol << 24 */
    __m512i before[FEW - 1]; /* starts of the second symbol, the third, ..., less one */
    __m512i words[SOME - 1]; /* the same, as words */
};

/* Returns how many symbols there are, SOME + 1 where there are more than SOME. */
static uint32_t find_few(const uint32_t *slots, struct few *few)
{
    uint32_t shares[SOME] = {0}, found = 0, start = 0;
    for (uint32_t i = 0; i < FEW - 1; i++)
        few->before[i] = _mm512_set1_epi32(COVEY_RANS_SLOTS);
    for (uint32_t i = 0; i < SOME - 1; i++)
        few->words[i] = _mm512_set1_epi16(COVEY_RANS_SLOTS);
    for (; start < COVEY_RANS_SLOTS && found < SOME; found++) {
        const uint32_t frequency = slots[start] & (COVEY_RANS_SLOTS - 1);
        shares[found] = frequency | start << COVEY_RANS_BITS | (slots[start] & 0xFF000000u);
        if (found > 0)
            few->words[found - 1] = _mm512_set1_epi16((int16_t)(start - 1));
        if (found > 0 && found < FEW)
            few->before[found - 1] = _mm512_set1_epi32((int32_t)start - 1);
        start += frequency;
    }
    few->shares = _mm512_loadu_si512(shares);
    return start == COVEY_RANS_SLOTS ? found : SOME + 1;
}

/* A slot's place in its share. */
static inline __m512i place_of(__m512i slot, __m512i packed)
{
    const __m512i low = _mm512_set1_epi32(COVEY_RANS_SLOTS - 1);
    return _mm512_sub_epi32(slot, _mm512_and_si512(_mm512_srli_epi32(packed, COVEY_RANS_BITS), low));
}

/* The shares of one vector's slots. */
static inline __m512i look_up_few(const struct few *few, __m512i slot)
{
    const __m512i one = _mm512_set1_epi32(1);
    __m512i index[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (uint32_t i = 0; i < FEW - 1; i++)
        index[i & 1] = _mm512_mask_add_epi32(index[i & 1], _mm512_cmpgt_epi32_mask(slot, few->before[i]),
                                             index[i & 1], one);
    return _mm512_permutexvar_epi32(_mm512_add_epi32(index[0], index[1]), few->shares);
}

/* Of both. */
static inline void look_up_some(const struct few *few, const __m512i slot[2], __m512i packed[2])
{
    const __m512i slots = _mm512_or_si512(slot[0], _mm512_slli_epi32(slot[1], 16)),
                  one = _mm512_set1_epi16(1);
    __m512i index[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    for (uint32_t i = 0; i < SOME - 1; i++)
        index[i & 1] = _mm512_mask_add_epi16(index[i & 1], _mm512_cmpgt_epi16_mask(slots, few->words[i]),
                                             index[i & 1], one);
    index[0] = _mm512_add_epi16(index[0], index[1]);
    packed[0] = _mm512_permutexvar_epi32(index[0], few->shares); /* which looks at four bits of an index */
    packed[1] = _mm512_permutexvar_epi32(_mm512_srli_epi32(index[0], 16), few->shares);
}

/* A lane after its symbol, with a word where it wants one. */
static inline __m512i advance(__m512i lanes, __m512i packed, __m512i places, const uint8_t **words)
{
    const __m512i x =
        _mm512_add_epi32(_mm512_mullo_epi32(_mm512_and_si512(packed, _mm512_set1_epi32(COVEY_RANS_SLOTS - 1)),
                                            _mm512_srli_epi32(lanes, COVEY_RANS_BITS)),
                         places);
    const __mmask16 wants = _mm512_cmplt_epi32_mask(x, _mm512_set1_epi32(COVEY_RANS_LOW));
    const __m512i next = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)*words));
    *words += 2 * __builtin_popcount(wants);
    return _mm512_mask_or_epi32(x, wants, _mm512_slli_epi32(x, 16), _mm512_maskz_expand_epi32(wants, next));
}

/* count: how many symbols few has, or more than SOME; a constant. */
static inline __attribute__((always_inline)) size_t decode_with(const uint32_t *slots, const struct few *few,
                                                                uint32_t count, uint32_t *lanes,
                                                                const uint8_t **words, const uint8_t *end,
                                                                size_t groups, int8_t *symbols)
{
    const __m512i low = _mm512_set1_epi32(COVEY_RANS_SLOTS - 1);
    __m512i x[2] = {_mm512_loadu_si512(lanes), _mm512_loadu_si512(lanes + 16)};
    const uint8_t *at = *words;
    size_t done = 0;
    for (; done < groups && end - at >= 2 * COVEY_RANS_LANES; done++, symbols += COVEY_RANS_LANES) {
        const __m512i slot[2] = {_mm512_and_si512(x[0], low), _mm512_and_si512(x[1], low)};
        __m512i packed[2];
        if (count > FEW && count <= SOME)
            look_up_some(few, slot, packed);
        for (size_t v = 0; v < 2; v++) {
            __m512i place;
            if (count <= FEW)
                packed[v] = look_up_few(few, slot[v]);
            if (count > SOME) {
                packed[v] = _mm512_i32gather_epi32(slot[v], slots, 4);
                place = _mm512_and_si512(_mm512_srli_epi32(packed[v], COVEY_RANS_BITS), low);
            } else {
                place = place_of(slot[v], packed[v]);
            }
            x[v] = advance(x[v], packed[v], place, &at);
            _mm_storeu_si128((__m128i *)(void *)(symbols + 16 * v),
                             _mm512_cvtepi32_epi8(_mm512_srli_epi32(packed[v], 24)));
        }
    }
    _mm512_storeu_si512(lanes, x[0]);
    _mm512_storeu_si512(lanes + 16, x[1]);
    *words = at;
    return done;
}

static size_t decode_lanes(const uint32_t *slots, uint32_t *lanes, const uint8_t **words, const uint8_t *end,
                           size_t groups, int8_t *symbols)
{
    struct few few;
    const uint32_t count = find_few(slots, &few);
    if (count <= FEW)
        return decode_with(slots, &few, FEW, lanes, words, end, groups, symbols);
    if (count <= SOME)
        return decode_with(slots, &few, SOME, lanes, words, end, groups, symbols);
    return decode_with(slots, &few, SOME + 1, lanes, words, end, groups, symbols);
}

/* Ranges of the symbols -15 to 15, by the lowest five bits. */
#define NEAR 15
struct few_ranges {
    __m512i ranges[2];
    __m512 inverses[2]; /* of the frequencies */
};

/* False where larger symbols have others than the last even or odd one. */
static bool find_few_ranges(const uint32_t *ranges, struct few_ranges *few)
{
    uint32_t lowest[32];
    float inverses[32];
    for (int i = 0; i < 32; i++) {
        lowest[i] = ranges[(uint8_t)(i <= NEAR ? i : i - 32)];
        const uint32_t frequency = lowest[i] & (COVEY_RANS_SLOTS - 1);
        inverses[i] = 1.0f / (float)(frequency > 0 ? frequency : 1);
    }
    for (int i = NEAR + 1; i < 128; i++)
        if ((ranges[i] != 0 && ranges[i] != ranges[NEAR - 1 + (i & 1)]) ||
            (ranges[256 - i] != 0 && ranges[256 - i] != ranges[256 - (NEAR - 1 + (i & 1))]))
            return false;
    for (int half = 0; half < 2; half++) {
        few->ranges[half] = _mm512_loadu_si512(lowest + 16 * half);
        few->inverses[half] = _mm512_loadu_ps(inverses + 16 * half);
    }
    return ranges[128] == 0;
}

/* Larger symbols become the last even or odd one. */
static inline __m512i few_index(__m128i symbols)
{
    const __m128i magnitude = _mm_abs_epi8(symbols);
    const __mmask16 beyond = _mm_cmpgt_epi8_mask(magnitude, _mm_set1_epi8(NEAR));
    const __m128i kept = _mm_mask_add_epi8(magnitude, beyond, _mm_and_si128(magnitude, _mm_set1_epi8(1)),
                                           _mm_set1_epi8(NEAR - 1));
    return _mm512_cvtepi8_epi32(
        _mm_mask_sub_epi8(kept, _mm_movepi8_mask(symbols), _mm_setzero_si128(), kept));
}

/* One symbol into sixteen lanes. After the words are out, x < frequency * 2^19, so that the quotient in f32
 * is at most one off, by division or by the inverse. */
static inline __attribute__((always_inline)) __m512i encode_sixteen(const uint32_t *ranges,
                                                                    const struct few_ranges *few, __m512i x,
                                                                    const int8_t *symbols, uint8_t **end)
{
    const __m512i one = _mm512_set1_epi32(1);
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)symbols);
    __m512i range, index = _mm512_setzero_si512();
    if (few != NULL) {
        index = few_index(bytes);
        range = _mm512_permutex2var_epi32(few->ranges[0], index, few->ranges[1]);
    } else {
        range = _mm512_i32gather_epi32(_mm512_cvtepu8_epi32(bytes), ranges, 4);
    }
    const __m512i frequency = _mm512_and_si512(range, _mm512_set1_epi32(COVEY_RANS_SLOTS - 1));
    const __mmask16 gives = _mm512_cmpge_epi32_mask(x, _mm512_slli_epi32(frequency, 31 - COVEY_RANS_BITS));
    const unsigned given = (unsigned)__builtin_popcount(gives);
    *end -= 2 * given;
    _mm256_mask_storeu_epi16(*end, (__mmask16)((1u << given) - 1),
                             _mm512_cvtepi32_epi16(_mm512_maskz_compress_epi32(gives, x)));
    x = _mm512_mask_srli_epi32(x, gives, x, 16);
    const __m512 wide = _mm512_cvtepi32_ps(x);
    __m512i quotient = _mm512_cvttps_epi32(
        few != NULL ? _mm512_mul_ps(wide, _mm512_permutex2var_ps(few->inverses[0], index, few->inverses[1]))
                    : _mm512_div_ps(wide, _mm512_cvtepi32_ps(frequency)));
    __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, frequency));
    const __mmask16 too_large = _mm512_movepi32_mask(rest);
    quotient = _mm512_mask_sub_epi32(quotient, too_large, quotient, one);
    rest = _mm512_mask_add_epi32(rest, too_large, rest, frequency);
    const __mmask16 too_small = _mm512_cmpge_epi32_mask(rest, frequency);
    quotient = _mm512_mask_add_epi32(quotient, too_small, quotient, one);
    rest = _mm512_mask_sub_epi32(rest, too_small, rest, frequency);
    return _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(quotient, COVEY_RANS_BITS), rest),
                            _mm512_srli_epi32(range, COVEY_RANS_BITS));
}

static inline __attribute__((always_inline)) uint8_t *encode_with(const uint32_t *ranges,
                                                                  const struct few_ranges *few,
                                                                  uint32_t *lanes, const int8_t *symbols,
                                                                  size_t groups, uint8_t *end)
{
    __m512i x0 = _mm512_loadu_si512(lanes), x1 = _mm512_loadu_si512(lanes + 16);
    for (symbols += groups * COVEY_RANS_LANES; groups > 0; groups--) {
        symbols -= COVEY_RANS_LANES;
        x1 = encode_sixteen(ranges, few, x1, symbols + 16, &end);
        x0 = encode_sixteen(ranges, few, x0, symbols, &end);
    }
    _mm512_storeu_si512(lanes, x0);
    _mm512_storeu_si512(lanes + 16, x1);
    return end;
}

static uint8_t *encode_lanes(const uint32_t *ranges, uint32_t *lanes, const int8_t *symbols, size_t groups,
                             uint8_t *end)
{
    struct few_ranges few;
    return find_few_ranges(ranges, &few) ? encode_with(ranges, &few, lanes, symbols, groups, end)
                                         : encode_with(ranges, NULL, lanes, symbols, groups, end);
}

/* ---- scans ---- */

#define FEW_MAGNITUDES 3 /* that are compared with, at first */
#define SOME_MAGNITUDES 7
#define AT_ONCE 255 /* vectors: counters are bytes */

static inline uint32_t sum_bytes(__m512i counters)
{
    return (uint32_t)_mm512_reduce_add_epi64(_mm512_sad_epu8(counters, _mm512_setzero_si512()));
}

/* Vectors of 64 tokens, by comparing with magnitudes up to `most`, a constant, and one by one above. Stops
 * early where more than `others_most` in all are above; returns how many vectors were counted. */
static inline __attribute__((always_inline)) size_t count_near(const int8_t *tokens, size_t vectors, int most,
                                                               size_t others_most, uint32_t counts[256])
{
    size_t done = 0, others = 0;
    while (done < vectors && others <= others_most) {
        const size_t end = vectors - done < AT_ONCE ? vectors : done + AT_ONCE, begin = done;
        const size_t others_before = others;
        __m512i counters[2 * SOME_MAGNITUDES];
        const __m512i minus = _mm512_set1_epi8(-1);
        uint32_t compared = 0;
        for (int m = 0; m < 2 * most; m++)
            counters[m] = _mm512_setzero_si512();
        for (; done < end && others <= others_most; done++) {
            const __m512i some = _mm512_loadu_si512(tokens + 64 * done);
            uint64_t beyond = _mm512_cmpgt_epu8_mask(_mm512_abs_epi8(some), _mm512_set1_epi8((char)most));
#pragma GCC unroll 14
            for (int m = 0; m < 2 * most; m++) {
                const int token = m % 2 == 0 ? m / 2 + 1 : -(m / 2 + 1);
                counters[m] = _mm512_mask_sub_epi8(
                    counters[m], _mm512_cmpeq_epi8_mask(some, _mm512_set1_epi8((char)token)), counters[m],
                    minus);
            }
            others += (size_t)__builtin_popcountll(beyond);
            for (; beyond != 0; beyond &= beyond - 1)
                counts[(uint8_t)tokens[64 * done + (size_t)__builtin_ctzll(beyond)]]++;
        }
        for (int m = 0; m < 2 * most; m++) {
            const uint32_t found = sum_bytes(counters[m]);
            counts[m % 2 == 0 ? m / 2 + 1 : 255 - m / 2] += found;
            compared += found;
        }
        counts[0] += (uint32_t)(64 * (done - begin) - (others - others_before)) - compared;
    }
    return done;
}

/* Of four counters each, as the same one twice in a row would have to wait. */
static void count_many(const int8_t *tokens, size_t count, uint32_t counts[256])
{
    uint32_t parts[4][256];
    if (count == 0)
        return;
    memset(parts, 0, sizeof parts);
    for (size_t i = 0; i < count; i++)
        parts[i & 3][(uint8_t)tokens[i]]++;
    for (size_t j = 0; j < 256; j++)
        counts[j] += parts[0][j] + parts[1][j] + parts[2][j] + parts[3][j];
}

static void count_tokens(const int8_t *tokens, size_t count, uint32_t counts[256])
{
    const size_t vectors = count / 64;
    size_t done = count_near(tokens, vectors, FEW_MAGNITUDES, 32 + count / 32, counts);
    done += count_near(tokens + 64 * done, vectors - done, SOME_MAGNITUDES, 32 + count / 8, counts);
    count_many(tokens + 64 * done, count - 64 * done, counts);
}

static size_t find_outside(const int8_t *tokens, size_t count, int32_t lowest, int32_t highest,
                           uint16_t *indices)
{
    const __m512i low = _mm512_set1_epi8((char)lowest), high = _mm512_set1_epi8((char)highest);
    size_t found = 0;
    for (size_t at = 0; at < count; at += 64) {
        const uint64_t here = count - at < 64 ? ((uint64_t)1 << (count - at)) - 1 : UINT64_MAX;
        const __m512i some = _mm512_maskz_loadu_epi8(here, tokens + at);
        uint64_t outside = here & (_mm512_cmplt_epi8_mask(some, low) | _mm512_cmpgt_epi8_mask(some, high));
        for (; outside != 0; outside &= outside - 1)
            indices[found++] = (uint16_t)(at + (size_t)__builtin_ctzll(outside));
    }
    return found;
}

#define KERNELS covey_entropy_kernels_avx512
#define KERNELS_NAME "avx512"
#define KERNELS_LANES
#define KERNELS_SCANS
#include "entropy_kernels_body.h"
