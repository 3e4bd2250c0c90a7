/* Compiled with -mavx2 (common/CMakeLists.txt), x86-64 only. Sixteen trellises lie in a vector of int16,
 * their 32 decisions or classes of a step in one of bytes. */
#include <immintrin.h>
#include <string.h>

#include "rans_words_avx2.h"
#include "trellis_kernels.h"

extern const struct covey_trellis_kernels covey_trellis_kernels_avx2;

#define LANES COVEY_TRELLIS_LANES
#define HALF (LANES / 2)

static inline __m256i load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

static inline __m256i twice(const void *sixteen_bytes)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)sixteen_bytes));
}

struct cost_vectors {
    __m256i rates[2], offsets[4];
};

static struct cost_vectors cost_vectors(const struct covey_trellis_costs *costs)
{
    struct cost_vectors made;
    for (int j = 0; j < 4; j++)
        made.offsets[j] = _mm256_set1_epi16((int16_t)(32 - 16 * j - costs->shifts[j]));
    for (int kind = 0; kind < 2; kind++)
        made.rates[kind] = twice(costs->rates[kind]);
    return made;
}

/* The cost of the nearest value to a >= 0 that is j mod 4; j is a constant where this is called. */
static inline __m256i branch_cost(const struct cost_vectors *costs, __m256i a, int j)
{
    __m256i w = _mm256_and_si256(_mm256_add_epi16(a, costs->offsets[j]), _mm256_set1_epi16(~63));
    if (j == 2) /* the others are never below their least */
        w = _mm256_max_epi16(w, _mm256_setzero_si256());
    w = _mm256_add_epi16(w, _mm256_set1_epi16((int16_t)(16 * j)));
    const __m256i off = _mm256_sub_epi16(a, w);
    const __m256i row = _mm256_srli_epi16(_mm256_abs_epi16(w), 5);
    const __m256i index = _mm256_or_si256(_mm256_min_epi16(row, _mm256_set1_epi16(COVEY_TRELLIS_RATES - 1)),
                                          _mm256_set1_epi16((int16_t)0x8000)); /* no rate in the upper byte */
    return _mm256_add_epi16(_mm256_mullo_epi16(off, off),
                            _mm256_slli_epi16(_mm256_shuffle_epi8(costs->rates[j & 1], index), 3));
}

/* State n, from n / 2 or n / 2 + 4; adds its bit to the decisions. */
#define STATE(n, class)                                                                                      \
    do {                                                                                                     \
        const __m256i low = _mm256_add_epi16(metrics[(n) / 2], branch[class]);                               \
        const __m256i high = _mm256_add_epi16(metrics[(n) / 2 + 4], branch[(class) ^ 2]);                    \
        next[n] = _mm256_min_epi16(low, high);                                                               \
        decisions = _mm256_or_si256(                                                                         \
            decisions, _mm256_and_si256(_mm256_cmpgt_epi16(low, high), _mm256_set1_epi16(1 << (n))));        \
    } while (0)

/* Sixteen trellises, forwards. best: the state that each ends in. */
static void search_forwards(const struct cost_vectors *costs, const int16_t *q, size_t steps,
                            uint8_t *classes, uint8_t *best)
{
    __m256i metrics[8], next[8];
    int16_t last[8][HALF];
    for (size_t s = 0; s < 8; s++)
        metrics[s] = _mm256_set1_epi16(s == 0 ? 0 : 12000);
    for (size_t t = 0; t < steps; t++) {
        const __m256i value = load(q + t * LANES), a = _mm256_abs_epi16(value);
        const __m256i negative = _mm256_srai_epi16(value, 15);
        const __m256i one = branch_cost(costs, a, 1), three = branch_cost(costs, a, 3);
        const __m256i branch[4] = {branch_cost(costs, a, 0), _mm256_blendv_epi8(one, three, negative),
                                   branch_cost(costs, a, 2), _mm256_blendv_epi8(three, one, negative)};
        __m256i decisions = _mm256_setzero_si256();
        STATE(0, 0);
        STATE(1, 2);
        STATE(2, 1);
        STATE(3, 3);
        STATE(4, 2);
        STATE(5, 0);
        STATE(6, 3);
        STATE(7, 1);
        _mm_storeu_si128(
            (__m128i *)(void *)(classes + t * LANES),
            _mm_packus_epi16(_mm256_castsi256_si128(decisions), _mm256_extracti128_si256(decisions, 1)));
        if (t % 4 == 3) {
            const __m256i least = _mm256_min_epi16(
                _mm256_min_epi16(_mm256_min_epi16(next[0], next[1]), _mm256_min_epi16(next[2], next[3])),
                _mm256_min_epi16(_mm256_min_epi16(next[4], next[5]), _mm256_min_epi16(next[6], next[7])));
            for (size_t s = 0; s < 8; s++)
                metrics[s] = _mm256_sub_epi16(next[s], least);
        } else {
            for (size_t s = 0; s < 8; s++)
                metrics[s] = next[s];
        }
    }
    for (size_t s = 0; s < 8; s++)
        _mm256_storeu_si256((__m256i *)(void *)last[s], metrics[s]);
    for (size_t lane = 0; lane < HALF; lane++) {
        best[lane] = 0;
        for (uint8_t s = 1; s < 8; s++)
            if (last[s][lane] < last[best[lane]][lane])
                best[lane] = s;
    }
}

/* From the decisions, in place: the state before and the class, by state + 8 * decision. */
static void search_backwards(size_t steps, const uint8_t *best, uint8_t *classes)
{
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    static const uint8_t befores[16] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7};
    static const uint8_t taken[16] = {0, 2, 1, 3, 2, 0, 3, 1, 2, 0, 3, 1, 0, 2, 1, 3};
    const __m256i bit_of = twice(bits), before = twice(befores), class_of = twice(taken);
    __m256i state = load(best);
    for (size_t t = steps; t-- > 0;) {
        const __m256i decisions = load(classes + t * LANES), bit = _mm256_shuffle_epi8(bit_of, state);
        const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(decisions, bit), bit);
        const __m256i index = _mm256_or_si256(state, _mm256_and_si256(high, _mm256_set1_epi8(8)));
        state = _mm256_shuffle_epi8(before, index);
        _mm256_storeu_si256((__m256i *)(void *)(classes + t * LANES), _mm256_shuffle_epi8(class_of, index));
    }
}

static void search_lanes(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps,
                         uint8_t *classes)
{
    const struct cost_vectors vectors = cost_vectors(costs);
    uint8_t best[LANES];
    for (size_t half = 0; half < LANES; half += HALF)
        search_forwards(&vectors, q + half, steps, classes + half, best + half);
    search_backwards(steps, best, classes);
}

/* Sixteen symbols, as int16. */
static inline __m256i symbols_sixteen(__m256i shifts, const int16_t *q, const uint8_t *classes)
{
    const __m256i value = load(q), a = _mm256_abs_epi16(value), three = _mm256_set1_epi16(3);
    const __m256i class = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)classes));
    /* That of |v|: for negative values minus the class, mod 4. */
    const __m256i j =
        _mm256_and_si256(_mm256_sign_epi16(class, _mm256_or_si256(value, _mm256_set1_epi16(1))), three);
    const __m256i shift = _mm256_shuffle_epi8(shifts, _mm256_or_si256(j, _mm256_set1_epi16((int16_t)0x8000)));
    const __m256i j16 = _mm256_slli_epi16(j, 4);
    const __m256i shifted =
        _mm256_sub_epi16(_mm256_add_epi16(a, _mm256_set1_epi16(32)), _mm256_add_epi16(j16, shift));
    const __m256i least = _mm256_and_si256(_mm256_cmpeq_epi16(j, three), _mm256_set1_epi16(-64));
    const __m256i w =
        _mm256_add_epi16(_mm256_max_epi16(_mm256_and_si256(shifted, _mm256_set1_epi16(~63)), least), j16);
    const __m256i v = _mm256_srai_epi16(w, 4), magnitude = _mm256_abs_epi16(v);
    const __m256i folded = _mm256_add_epi16(_mm256_and_si256(magnitude, three), _mm256_set1_epi16(124));
    const __m256i kept = _mm256_blendv_epi8(
        magnitude, folded, _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16(COVEY_TRELLIS_DIRECT)));
    return _mm256_sign_epi16(_mm256_sign_epi16(kept, v), _mm256_or_si256(value, _mm256_set1_epi16(1)));
}

#include "trellis_symbols.h"

static void symbols_lanes(const struct covey_trellis_costs *costs, const int16_t *q, const uint8_t *classes,
                          size_t count, int8_t *symbols)
{
    uint8_t shift_bytes[16] = {0};
    for (int j = 0; j < 4; j++)
        shift_bytes[j] = (uint8_t)costs->shifts[j];
    const __m256i shifts = twice(shift_bytes);
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        const __m256i low = symbols_sixteen(shifts, q + i, classes + i),
                      high = symbols_sixteen(shifts, q + i + 16, classes + i + 16);
        _mm256_storeu_si256((__m256i *)(void *)(symbols + i),
                            _mm256_permute4x64_epi64(_mm256_packs_epi16(low, high), 0xD8));
    }
    for (; i < count; i++)
        symbols[i] = covey_trellis_symbol(costs, q[i], classes[i]);
}

/* One symbol of eight lanes. Returns the packed slots; their symbols are in the highest bytes. */
static inline __m256i decode_eight(const uint32_t *slots, __m256i *lanes, __m256i *states,
                                   const uint8_t **words)
{
    const __m256i low = _mm256_set1_epi32(COVEY_RANS_SLOTS - 1), one = _mm256_set1_epi32(1);
    const __m256i slot = _mm256_and_si256(*lanes, low);
    const __m256i index = _mm256_or_si256(
        _mm256_srli_epi32(slot, 1), _mm256_slli_epi32(_mm256_and_si256(*states, one), COVEY_RANS_BITS - 1));
    const __m256i packed = _mm256_i32gather_epi32((const int *)(const void *)slots, index, 4);
    const __m256i x = _mm256_add_epi32(
        _mm256_mullo_epi32(_mm256_and_si256(packed, low), _mm256_srli_epi32(*lanes, COVEY_RANS_BITS)),
        _mm256_add_epi32(_mm256_and_si256(_mm256_srli_epi32(packed, COVEY_RANS_BITS), low),
                         _mm256_and_si256(slot, one)));
    const __m256i parity =
        _mm256_xor_si256(_mm256_srli_epi32(packed, 25),
                         _mm256_xor_si256(_mm256_srli_epi32(*states, 1), _mm256_srli_epi32(*states, 2)));
    *states = _mm256_or_si256(_mm256_and_si256(_mm256_add_epi32(*states, *states), _mm256_set1_epi32(6)),
                              _mm256_and_si256(parity, one));
    const __m256i wants = _mm256_cmpgt_epi32(_mm256_set1_epi32(COVEY_RANS_LOW), x);
    const int set = _mm256_movemask_ps(_mm256_castsi256_ps(wants));
    const __m256i next = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)*words));
    const __m256i places =
        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)&rans_words[set]));
    const __m256i filled =
        _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(next, places));
    *lanes = _mm256_blendv_epi8(x, filled, wants);
    *words += 2 * __builtin_popcount((unsigned)set);
    return packed;
}

static size_t decode_lanes(const uint32_t *slots, uint32_t *lanes, uint32_t *states, const uint8_t **words,
                           const uint8_t *end, size_t groups, int8_t *symbols)
{
    __m256i x[4], s[4];
    const uint8_t *at = *words;
    size_t done = 0;
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7); /* of dwords, after the packing */
    for (size_t v = 0; v < 4; v++) {
        x[v] = load(lanes + 8 * v);
        s[v] = load(states + 8 * v);
    }
    for (; done < groups && end - at >= 2 * COVEY_RANS_LANES; done++, symbols += COVEY_RANS_LANES) {
        const __m256i a = _mm256_srai_epi32(decode_eight(slots, &x[0], &s[0], &at), 24);
        const __m256i b = _mm256_srai_epi32(decode_eight(slots, &x[1], &s[1], &at), 24);
        const __m256i c = _mm256_srai_epi32(decode_eight(slots, &x[2], &s[2], &at), 24);
        const __m256i d = _mm256_srai_epi32(decode_eight(slots, &x[3], &s[3], &at), 24);
        const __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        _mm256_storeu_si256((__m256i *)(void *)symbols, _mm256_permutevar8x32_epi32(bytes, order));
    }
    for (size_t v = 0; v < 4; v++) {
        _mm256_storeu_si256((__m256i *)(void *)(lanes + 8 * v), x[v]);
        _mm256_storeu_si256((__m256i *)(void *)(states + 8 * v), s[v]);
    }
    *words = at;
    return done;
}

#define KERNELS covey_trellis_kernels_avx2
#define KERNELS_NAME "avx2"
#define KERNELS_LANES
#include "trellis_kernels_body.h"
