/* Compiled for AVX-512 (common/CMakeLists.txt), x86-64 only. All 32 trellises lie in a vector of int16; a
 * step's decisions are eight masks, one a state. */
#include <immintrin.h>
#include <string.h>

#include "trellis_kernels.h"

extern const struct covey_trellis_kernels covey_trellis_kernels_avx512;

#define LANES COVEY_TRELLIS_LANES
#define BIAS 2 /* of the place of a rate in its table, whose place 0 is for the upper halves of int16 */
#define PLACES 16

static inline __m256i load(const void *from)
{
    return _mm256_loadu_si256((const __m256i *)from);
}

static inline __m256i twice(const void *sixteen_bytes)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)sixteen_bytes));
}

static inline __m512i four_times(const uint8_t bytes[16])
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

struct cost_vectors {
    __m512i rates[4], offsets[4], middles[4]; /* by v mod 4 */
};

/* Value 4 k + j has row 2 k + j / 2. */
static struct cost_vectors cost_vectors(const struct covey_trellis_costs *costs)
{
    struct cost_vectors made;
    for (int j = 0; j < 4; j++) {
        uint8_t rates[PLACES] = {0};
        for (int place = 1; place < PLACES; place++) {
            const int row = 2 * (place - BIAS) + j / 2, kept = row < 0 ? 0 : row;
            rates[place] = costs->rates[j & 1][kept < COVEY_TRELLIS_RATES ? kept : COVEY_TRELLIS_RATES - 1];
        }
        made.rates[j] = four_times(rates);
        made.offsets[j] = _mm512_set1_epi16((int16_t)(64 * BIAS + 32 - 16 * j - costs->shifts[j]));
        made.middles[j] = _mm512_set1_epi16((int16_t)(32 - costs->shifts[j]));
    }
    return made;
}

/* The cost of the nearest value to a >= 0 that is j mod 4; j is a constant where this is called. */
static inline __m512i branch_cost(const struct cost_vectors *costs, __m512i a, int j)
{
    const __m512i shifted = _mm512_add_epi16(a, costs->offsets[j]);
    __m512i off, place;
    if (j == 2) { /* the others are never below their least */
        const __m512i w =
            _mm512_max_epi16(_mm512_and_si512(shifted, _mm512_set1_epi16(~63)), _mm512_set1_epi16(64 * BIAS));
        off = _mm512_sub_epi16(_mm512_sub_epi16(shifted, costs->middles[j]), w);
        place = _mm512_srli_epi16(w, 6);
    } else {
        off = _mm512_sub_epi16(_mm512_and_si512(shifted, _mm512_set1_epi16(63)), costs->middles[j]);
        place = _mm512_srli_epi16(shifted, 6);
    }
    place = _mm512_min_epi16(place, _mm512_set1_epi16(PLACES - 1));
    return _mm512_add_epi16(_mm512_mullo_epi16(off, off),
                            _mm512_slli_epi16(_mm512_shuffle_epi8(costs->rates[j], place), 3));
}

/* State n, from n / 2 or n / 2 + 4, and its mask. */
#define STATE(n, class)                                                                                      \
    do {                                                                                                     \
        const __m512i low = _mm512_add_epi16(metrics[(n) / 2], branch[class]);                               \
        const __m512i high = _mm512_add_epi16(metrics[(n) / 2 + 4], branch[(class) ^ 2]);                    \
        next[n] = _mm512_min_epi16(low, high);                                                               \
        _store_mask32((__mmask32 *)(void *)(decisions + 4 * (n)), _mm512_cmpgt_epi16_mask(low, high));       \
    } while (0)

/* Forwards. best: the state that each trellis ends in; decisions: 32 bytes a step. */
static void search_forwards(const struct cost_vectors *costs, const int16_t *q, size_t steps,
                            uint8_t *decisions, uint8_t *best)
{
    __m512i metrics[8], next[8];
    int16_t last[8][LANES];
    for (size_t s = 0; s < 8; s++)
        metrics[s] = _mm512_set1_epi16(s == 0 ? 0 : 12000);
    for (size_t t = 0; t < steps; t++, decisions += LANES) {
        const __m512i value = _mm512_loadu_si512(q + t * LANES), a = _mm512_abs_epi16(value);
        const __mmask32 negative = _mm512_movepi16_mask(value);
        const __m512i one = branch_cost(costs, a, 1), three = branch_cost(costs, a, 3);
        const __m512i branch[4] = {branch_cost(costs, a, 0), _mm512_mask_blend_epi16(negative, one, three),
                                   branch_cost(costs, a, 2), _mm512_mask_blend_epi16(negative, three, one)};
        STATE(0, 0);
        STATE(1, 2);
        STATE(2, 1);
        STATE(3, 3);
        STATE(4, 2);
        STATE(5, 0);
        STATE(6, 3);
        STATE(7, 1);
        if (t % 4 == 3) {
            const __m512i least = _mm512_min_epi16(
                _mm512_min_epi16(_mm512_min_epi16(next[0], next[1]), _mm512_min_epi16(next[2], next[3])),
                _mm512_min_epi16(_mm512_min_epi16(next[4], next[5]), _mm512_min_epi16(next[6], next[7])));
            for (size_t s = 0; s < 8; s++)
                metrics[s] = _mm512_sub_epi16(next[s], least);
        } else {
            for (size_t s = 0; s < 8; s++)
                metrics[s] = next[s];
        }
    }
    for (size_t s = 0; s < 8; s++)
        _mm512_storeu_si512(last[s], metrics[s]);
    for (size_t lane = 0; lane < LANES; lane++) {
        best[lane] = 0;
        for (uint8_t s = 1; s < 8; s++)
            if (last[s][lane] < last[best[lane]][lane])
                best[lane] = s;
    }
}

/* From the decisions, in place: the state before and the class, by state + 8 * decision. Of the eight masks,
 * byte b has the bits of trellises 8 b to 8 b + 7: two such bytes of eight states are a table of sixteen. */
static void search_backwards(size_t steps, const uint8_t *best, uint8_t *classes)
{
    static const uint8_t columns[16] = {0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15};
    static const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    static const uint8_t halves[16] = {0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8};
    static const uint8_t befores[16] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7};
    static const uint8_t taken[16] = {0, 2, 1, 3, 2, 0, 3, 1, 2, 0, 3, 1, 0, 2, 1, 3};
    const __m256i column = twice(columns), bit = twice(bits), half = twice(halves), before = twice(befores),
                  class_of = twice(taken), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i state = load(best);
    for (size_t t = steps; t-- > 0;) {
        const __m256i masks =
            _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(load(classes + t * LANES), column), order);
        const __m256i own = _mm256_shuffle_epi8(masks, _mm256_or_si256(state, half));
        const __m256i high = _mm256_cmpeq_epi8(_mm256_and_si256(own, bit), bit);
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
    search_forwards(&vectors, q, steps, classes, best);
    search_backwards(steps, best, classes);
}

#include "trellis_symbols.h"

static void symbols_lanes(const struct covey_trellis_costs *costs, const int16_t *q, const uint8_t *classes,
                          size_t count, int8_t *symbols)
{
    const __m512i three = _mm512_set1_epi16(3), zero = _mm512_setzero_si512();
    uint8_t offset_bytes[16] = {0}; /* 64 more than they are, so that none is negative */
    for (int j = 0; j < 4; j++)
        offset_bytes[j + 1] = (uint8_t)(64 + 32 - 16 * j - costs->shifts[j]);
    const __m512i offsets = four_times(offset_bytes);
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const __m512i value = _mm512_loadu_si512(q + i), a = _mm512_abs_epi16(value);
        const __m512i class = _mm512_cvtepu8_epi16(load(classes + i));
        const __mmask32 negative = _mm512_movepi16_mask(value);
        /* That of |v|: for negative values minus the class, mod 4. */
        const __m512i j = _mm512_and_si512(_mm512_mask_sub_epi16(class, negative, zero, class), three);
        const __m512i shifted =
            _mm512_add_epi16(a, _mm512_shuffle_epi8(offsets, _mm512_add_epi16(j, _mm512_set1_epi16(1))));
        __m512i w = _mm512_and_si512(shifted, _mm512_set1_epi16(~63));
        w = _mm512_mask_max_epi16(w, _mm512_cmpneq_epi16_mask(j, three), w, _mm512_set1_epi16(64));
        const __m512i v =
            _mm512_add_epi16(_mm512_srai_epi16(_mm512_sub_epi16(w, _mm512_set1_epi16(64)), 4), j);
        const __m512i magnitude = _mm512_abs_epi16(v);
        const __mmask32 folds = _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16(COVEY_TRELLIS_DIRECT));
        __m512i out = _mm512_mask_add_epi16(magnitude, folds, _mm512_and_si512(magnitude, three),
                                            _mm512_set1_epi16(124));
        out = _mm512_mask_sub_epi16(out, negative ^ _mm512_movepi16_mask(v), zero, out);
        _mm256_storeu_si256((__m256i *)(void *)(symbols + i), _mm512_cvtepi16_epi8(out));
    }
    for (; i < count; i++)
        symbols[i] = covey_trellis_symbol(costs, q[i], classes[i]);
}

/* Small alphabets, in registers: comparing with all starts, as words, takes less than looking slots up in
 * memory (entropy_kernels_avx512.c). */
#define FEW 8 /* of a kind */
#define SOME 16
struct few {
    __m512i shares[2]; /* 2 * SOME or 2 * FEW of them: frequency | start << 12 | v << 24; odd kind last */
    __m512i before[2]
                  [SOME - 1]; /* of a kind: starts of the second symbol, the third, ..., less one; as words */
};

/* Returns FEW, SOME, or more where a kind has more symbols. */
static uint32_t find_few(const uint32_t *slots, struct few *few)
{
    uint32_t shares[2][SOME] = {{0}}, most = 0;
    for (uint32_t kind = 0; kind < 2; kind++) {
        uint32_t found = 0, start = 0;
        for (uint32_t i = 0; i < SOME - 1; i++)
            few->before[kind][i] = _mm512_set1_epi16(COVEY_RANS_SLOTS);
        for (; start < COVEY_TRELLIS_SLOTS && found < SOME; found++) {
            const uint32_t packed = slots[kind * COVEY_TRELLIS_SLOTS + start];
            const uint32_t frequency = packed & (COVEY_RANS_SLOTS - 1);
            shares[kind][found] = frequency | 2 * start << COVEY_RANS_BITS | (packed & 0xFF000000u);
            if (found > 0)
                few->before[kind][found - 1] = _mm512_set1_epi16((int16_t)(2 * start - 1));
            start += frequency / 2;
        }
        if (start != COVEY_TRELLIS_SLOTS)
            return SOME + 1;
        most = found > most ? found : most;
    }
    if (most <= FEW)
        memcpy(shares[0] + FEW, shares[1], FEW * sizeof **shares);
    few->shares[0] = _mm512_loadu_si512(shares[0]);
    few->shares[1] = _mm512_loadu_si512(shares[1]);
    return most <= FEW ? FEW : SOME;
}

/* Slots of all lanes, as words; states likewise. count: FEW or SOME, a constant. */
static inline __attribute__((always_inline)) void look_up(const struct few *few, uint32_t count,
                                                          __m512i slots, __m512i states, __m512i packed[2])
{
    const __m512i one = _mm512_set1_epi16(1);
    const __mmask32 odd = _mm512_test_epi16_mask(states, one);
    __m512i index[2] = {_mm512_maskz_mov_epi16(odd, _mm512_set1_epi16((int16_t)count)),
                        _mm512_setzero_si512()};
    for (uint32_t i = 0; i < count - 1; i++) {
        const __m512i before = _mm512_mask_blend_epi16(odd, few->before[0][i], few->before[1][i]);
        index[i & 1] =
            _mm512_mask_add_epi16(index[i & 1], _mm512_cmpgt_epi16_mask(slots, before), index[i & 1], one);
    }
    index[0] = _mm512_add_epi16(index[0], index[1]);
    index[1] = _mm512_srli_epi32(index[0], 16);
    for (size_t v = 0; v < 2; v++) /* which look at four and five bits of an index */
        packed[v] = count <= FEW ? _mm512_permutexvar_epi32(index[v], few->shares[0])
                                 : _mm512_permutex2var_epi32(few->shares[0], index[v], few->shares[1]);
}

/* The places too: those in the table know nothing of a slot's lowest bit. */
static inline void look_up_many(const uint32_t *slots, const __m512i slot[2], __m512i states,
                                __m512i packed[2], __m512i places[2])
{
    const __m512i low = _mm512_set1_epi32(COVEY_RANS_SLOTS - 1), one = _mm512_set1_epi32(1);
    for (size_t v = 0; v < 2; v++) {
        const __m512i odd =
            v == 0 ? _mm512_and_si512(states, one) : _mm512_and_si512(_mm512_srli_epi32(states, 16), one);
        const __m512i index =
            _mm512_or_si512(_mm512_srli_epi32(slot[v], 1), _mm512_slli_epi32(odd, COVEY_RANS_BITS - 1));
        packed[v] = _mm512_i32gather_epi32(index, slots, 4);
        places[v] = _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(packed[v], COVEY_RANS_BITS), low),
                                     _mm512_and_si512(slot[v], one));
    }
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

/* covey_trellis_next, of words; the bit 1 of a symbol is bit 25 of what is packed. */
static inline __m512i next_states(__m512i states, const __m512i packed[2])
{
    const __m512i bits =
        _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(packed[0], 25), _mm512_set1_epi32(1)),
                        _mm512_and_si512(_mm512_srli_epi32(packed[1], 9), _mm512_set1_epi32(1 << 16)));
    const __m512i parity = _mm512_ternarylogic_epi32(bits, _mm512_srli_epi16(states, 1),
                                                     _mm512_srli_epi16(states, 2), 0x96); /* exclusive or */
    return _mm512_or_si512(_mm512_and_si512(_mm512_add_epi16(states, states), _mm512_set1_epi16(6)),
                           _mm512_and_si512(parity, _mm512_set1_epi16(1)));
}

/* count: FEW, SOME, or more; a constant. */
static inline __attribute__((always_inline)) size_t decode_with(const uint32_t *slots, const struct few *few,
                                                                uint32_t count, uint32_t *lanes,
                                                                uint32_t *states, const uint8_t **words,
                                                                const uint8_t *end, size_t groups,
                                                                int8_t *symbols)
{
    const __m512i low = _mm512_set1_epi32(COVEY_RANS_SLOTS - 1);
    __m512i x[2] = {_mm512_loadu_si512(lanes), _mm512_loadu_si512(lanes + 16)};
    __m512i s =
        _mm512_or_si512(_mm512_loadu_si512(states), _mm512_slli_epi32(_mm512_loadu_si512(states + 16), 16));
    const uint8_t *at = *words;
    size_t done = 0;
    for (; done < groups && end - at >= 2 * COVEY_RANS_LANES; done++, symbols += COVEY_RANS_LANES) {
        const __m512i slot[2] = {_mm512_and_si512(x[0], low), _mm512_and_si512(x[1], low)};
        __m512i packed[2], places[2];
        if (count <= SOME) {
            look_up(few, count, _mm512_or_si512(slot[0], _mm512_slli_epi32(slot[1], 16)), s, packed);
            for (size_t v = 0; v < 2; v++)
                places[v] = _mm512_sub_epi32(
                    slot[v], _mm512_and_si512(_mm512_srli_epi32(packed[v], COVEY_RANS_BITS), low));
        } else {
            look_up_many(slots, slot, s, packed, places);
        }
        s = next_states(s, packed);
        for (size_t v = 0; v < 2; v++) {
            x[v] = advance(x[v], packed[v], places[v], &at);
            _mm_storeu_si128((__m128i *)(void *)(symbols + 16 * v),
                             _mm512_cvtepi32_epi8(_mm512_srli_epi32(packed[v], 24)));
        }
    }
    _mm512_storeu_si512(lanes, x[0]);
    _mm512_storeu_si512(lanes + 16, x[1]);
    _mm512_storeu_si512(states, _mm512_and_si512(s, _mm512_set1_epi32(0xFFFF)));
    _mm512_storeu_si512(states + 16, _mm512_srli_epi32(s, 16));
    *words = at;
    return done;
}

static size_t decode_lanes(const uint32_t *slots, uint32_t *lanes, uint32_t *states, const uint8_t **words,
                           const uint8_t *end, size_t groups, int8_t *symbols)
{
    struct few few;
    const uint32_t count = find_few(slots, &few);
    if (count == FEW)
        return decode_with(slots, &few, FEW, lanes, states, words, end, groups, symbols);
    if (count == SOME)
        return decode_with(slots, &few, SOME, lanes, states, words, end, groups, symbols);
    return decode_with(slots, &few, SOME + 1, lanes, states, words, end, groups, symbols);
}

#define KERNELS covey_trellis_kernels_avx512
#define KERNELS_NAME "avx512"
#define KERNELS_LANES
#include "trellis_kernels_body.h"
