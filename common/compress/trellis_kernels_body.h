/* The bodies of covey_trellis_kernels. Included once by each file that compiles them for one kind of machine;
 * that file defines KERNELS (the table's name), KERNELS_NAME, and KERNELS_LANES if it has by itself, for 32
 * lanes, search_lanes, symbols_lanes and decode_lanes. */
#include <string.h>

#include "trellis_kernels.h"
#include "trellis_symbols.h"

#define MAGIC 0x1.8p23f /* added to |y| < 2^22, leaves the nearest integer in the low bits */

static void make_units(const float *restrict x, size_t count, float inverse, int16_t *restrict q)
{
    for (size_t i = 0; i < count; i++) {
        const float shifted = x[i] * inverse + MAGIC;
        int32_t bits;
        memcpy(&bits, &shifted, sizeof bits);
        const int32_t y = bits - 0x4B400000;
        const int32_t above = y < -COVEY_TRELLIS_REACH ? -COVEY_TRELLIS_REACH : y;
        q[i] = (int16_t)(above > COVEY_TRELLIS_REACH ? COVEY_TRELLIS_REACH : above);
    }
}

/* Eight trellises side by side. */
#define GROUP 8
typedef int16_t group __attribute__((vector_size(2 * GROUP), may_alias));

/* Costs of the nearest value to a that is j mod 4. Pointers, as vectors by value would have the calling
 * convention depend on the machine. */
static inline void class_costs(const struct covey_trellis_costs *costs, const group *a, int j, group *out)
{
    group w = (*a + (int16_t)(32 - 16 * j - costs->shifts[j])) & (int16_t)~63;
    if (j == 2) /* the others are never below their least */
        w &= w > 0;
    w += (int16_t)(16 * j);
    const group off = *a - w, negative = w >> 15;
    const group row = ((w ^ negative) - negative) >> 5, many = row > COVEY_TRELLIS_RATES - 1;
    const group index = (row & ~many) | ((COVEY_TRELLIS_RATES - 1) & many);
    group rates;
    for (size_t i = 0; i < GROUP; i++)
        rates[i] = costs->rates[j & 1][index[i]];
    *out = off * off + 8 * rates;
}

/* State n, from n / 2 with the costs of one class or from n / 2 + 4 with those of the other. */
static inline void state_step(const group metrics[8], const group costs[4], int n, int class, group *next,
                              group *decisions)
{
    const group low = metrics[n / 2] + costs[class], high = metrics[n / 2 + 4] + costs[class ^ 2];
    const group taken = high < low;
    *next = (high & taken) | (low & ~taken);
    *decisions |= taken & (int16_t)(1 << n);
}

static inline void subtract_least(group metrics[8])
{
    group least = metrics[0];
    for (size_t s = 1; s < 8; s++) {
        const group less = metrics[s] < least;
        least = (metrics[s] & less) | (least & ~less);
    }
    for (size_t s = 0; s < 8; s++)
        metrics[s] -= least;
}

/* From the decisions to the classes, backwards from the state that the path ends in. */
static void trace_back(size_t steps, size_t stride, uint32_t state, uint8_t *classes)
{
    for (size_t t = steps; t-- > 0;) {
        const uint32_t before = state >> 1 | ((uint32_t)classes[t * stride] >> state & 1) << 2;
        const uint32_t parity = (state ^ before >> 1 ^ before >> 2) & 1;
        classes[t * stride] = (uint8_t)((before & 1) + 2 * parity);
        state = before;
    }
}

/* Of count <= GROUP trellises. Decisions forwards (bit n: state n comes from n / 2 + 4), classes over them
 * backwards. Four steps after the least metric was subtracted, none is above 32,000: a branch costs at most
 * 48^2 + 8 * 187, and three lead from any state to any other. */
static void search_group(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps,
                         size_t stride, size_t count, uint8_t *classes)
{
    group metrics[8], next[8];
    for (size_t s = 0; s < 8; s++)
        metrics[s] = (group){0} + (int16_t)(s == 0 ? 0 : 12000);
    for (size_t t = 0; t < steps; t++) {
        group value = {0}, branch[4], decisions = {0};
        memcpy(&value, q + t * stride, count * sizeof *q);
        const group negative = value >> 15, a = (value ^ negative) - negative;
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            class_costs(costs, &a, j, &branch[j]);
        /* Of negative values, 1 and 3 mod 4 change places. */
        const group change = (branch[1] ^ branch[3]) & negative;
        branch[1] ^= change;
        branch[3] ^= change;
        state_step(metrics, branch, 0, 0, &next[0], &decisions);
        state_step(metrics, branch, 1, 2, &next[1], &decisions);
        state_step(metrics, branch, 2, 1, &next[2], &decisions);
        state_step(metrics, branch, 3, 3, &next[3], &decisions);
        state_step(metrics, branch, 4, 2, &next[4], &decisions);
        state_step(metrics, branch, 5, 0, &next[5], &decisions);
        state_step(metrics, branch, 6, 3, &next[6], &decisions);
        state_step(metrics, branch, 7, 1, &next[7], &decisions);
        memcpy(metrics, next, sizeof metrics);
        if (t % 4 == 3)
            subtract_least(metrics);
        for (size_t i = 0; i < count; i++)
            classes[t * stride + i] = (uint8_t)decisions[i];
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t state = 0;
        for (uint32_t s = 1; s < 8; s++)
            state = metrics[s][i] < metrics[state][i] ? s : state;
        trace_back(steps, stride, state, classes + i);
    }
}

static void search_plain(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps,
                         size_t lanes, uint8_t *classes)
{
    for (size_t lane = 0; lane < lanes; lane += GROUP)
        search_group(costs, q + lane, steps, lanes, lanes < GROUP ? lanes : GROUP, classes + lane);
}

static void make_levels(const struct covey_trellis_moves *rule, const int8_t *restrict symbols, size_t count,
                        int32_t *restrict levels)
{
    const int16_t first = (int16_t)rule->moves[0], second = (int16_t)rule->moves[1],
                  others = (int16_t)rule->moves[2];
    for (size_t i = 0; i < count; i++) {
        const int16_t v = symbols[i], sign = (int16_t)(v >> 15);
        const int16_t magnitude = (int16_t)((v ^ sign) - sign);
        int16_t move = magnitude == 1 ? first : others;
        move = magnitude == 2 ? second : move;
        move = magnitude == 0 ? 0 : move;
        levels[i] = (int16_t)((int16_t)(v * 32) + (int16_t)((move ^ sign) - sign));
    }
}

#ifndef KERNELS_LANES
/* covey_trellis_symbol, of eight at a time. */
static void symbols_plain(const struct covey_trellis_costs *costs, const int16_t *q, const uint8_t *classes,
                          size_t count, int8_t *symbols)
{
    const int16_t *shifts = costs->shifts;
    size_t done = 0;
    for (; done + GROUP <= count; done += GROUP) {
        group value, j = {0};
        memcpy(&value, q + done, sizeof value);
        for (size_t i = 0; i < GROUP; i++)
            j[i] = classes[done + i];
        const group sign = value >> 15, a = (value ^ sign) - sign;
        j = ((j ^ sign) - sign) & 3; /* of |v| */
        const group shift =
            (shifts[0] & (j == 0)) | (shifts[1] & (j == 1)) | (shifts[2] & (j == 2)) | (shifts[3] & (j == 3));
        group w = (a + 32 - 16 * j - shift) & (int16_t)~63;
        w = (w & ((w > 0) | (j == 3))) + 16 * j;
        const group v = w >> 4, below = v >> 15, magnitude = (v ^ below) - below;
        const group folds = magnitude > COVEY_TRELLIS_DIRECT;
        const group folded = (magnitude & ~folds) | ((124 + (magnitude & 3)) & folds);
        const group negative = sign ^ below, out = (folded ^ negative) - negative;
        for (size_t i = 0; i < GROUP; i++)
            symbols[done + i] = (int8_t)out[i];
    }
    for (; done < count; done++)
        symbols[done] = covey_trellis_symbol(costs, q[done], classes[done]);
}

static size_t decode_plain(const uint32_t *slots, uint32_t *lanes, uint32_t *states, const uint8_t **words,
                           const uint8_t *end, size_t groups, int8_t *symbols)
{
    const uint8_t *at = *words;
    size_t done = 0;
    for (; done < groups && end - at >= 2 * COVEY_RANS_LANES; done++, symbols += COVEY_RANS_LANES) {
        for (size_t lane = 0; lane < COVEY_RANS_LANES; lane++) {
            const uint32_t slot = lanes[lane] & (COVEY_RANS_SLOTS - 1);
            const uint32_t packed = slots[(states[lane] & 1) * COVEY_TRELLIS_SLOTS + slot / 2];
            const uint32_t x = (packed & (COVEY_RANS_SLOTS - 1)) * (lanes[lane] >> COVEY_RANS_BITS) +
                               (packed >> COVEY_RANS_BITS & (COVEY_RANS_SLOTS - 1)) + (slot & 1);
            const uint32_t wants = x < COVEY_RANS_LOW;
            const uint32_t filled = x << 16 | at[0] | (uint32_t)at[1] << 8;
            symbols[lane] = (int8_t)(packed >> 24);
            states[lane] = covey_trellis_next(states[lane], symbols[lane]);
            lanes[lane] = wants ? filled : x;
            at += 2 * wants;
        }
    }
    *words = at;
    return done;
}

#define search_any search_plain
#define symbols_lanes symbols_plain
#define decode_lanes decode_plain
#else
static void search_any(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps, size_t lanes,
                       uint8_t *classes)
{
    if (lanes == COVEY_TRELLIS_LANES)
        search_lanes(costs, q, steps, classes);
    else
        search_plain(costs, q, steps, lanes, classes);
}
#endif

const struct covey_trellis_kernels KERNELS = {.name = KERNELS_NAME,
                                              .units = make_units,
                                              .search = search_any,
                                              .symbols = symbols_lanes,
                                              .decode = decode_lanes,
                                              .levels = make_levels};
