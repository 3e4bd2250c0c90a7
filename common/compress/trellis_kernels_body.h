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

static inline int16_t cost_of(const struct covey_trellis_costs *costs, int16_t a, int j)
{
    const int16_t w = covey_trellis_nearest(costs, a, j), off = (int16_t)(a - w);
    const int16_t row = (int16_t)((w < 0 ? -w : w) >> 5);
    const int16_t rate = costs->rates[j & 1][row < COVEY_TRELLIS_RATES ? row : COVEY_TRELLIS_RATES - 1];
    return (int16_t)(off * off + 8 * rate);
}

/* One step of one trellis. Returns the decisions: bit n is set where state n comes from n / 2 + 4. */
static uint8_t step_metrics(int16_t metrics[8], const int16_t costs[4])
{
    int16_t next[8];
    uint8_t decisions = 0;
    for (uint32_t n = 0; n < 8; n++) {
        const uint32_t low = n >> 1, high = low + 4;
        const uint32_t bit = (n ^ low >> 1 ^ low >> 2) & 1;
        /* The class: kind of the state, and twice the parity of t. States s and s + 4 differ in it. */
        const int16_t a = (int16_t)(metrics[low] + costs[(low & 1) + 2 * bit]),
                      b = (int16_t)(metrics[high] + costs[(low & 1) + 2 * (bit ^ 1)]);
        next[n] = b < a ? b : a;
        decisions |= (uint8_t)((b < a) << n);
    }
    memcpy(metrics, next, sizeof next);
    return decisions;
}

static void subtract_least(int16_t metrics[8])
{
    int16_t least = metrics[0];
    for (size_t s = 1; s < 8; s++)
        least = metrics[s] < least ? metrics[s] : least;
    for (size_t s = 0; s < 8; s++)
        metrics[s] = (int16_t)(metrics[s] - least);
}

/* One trellis: decisions forwards, classes over them backwards. Four steps after the least metric was
 * subtracted, none is above 32,000: a branch costs at most 48^2 + 8 * 187, and three lead from any state to
 * any other. */
static void search_one(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps, size_t lanes,
                       uint8_t *classes)
{
    int16_t metrics[8] = {0, 12000, 12000, 12000, 12000, 12000, 12000, 12000};
    uint32_t state = 0;
    for (size_t t = 0; t < steps; t++) {
        const int16_t value = q[t * lanes], a = (int16_t)(value < 0 ? -value : value);
        int16_t branch[4];
        for (int j = 0; j < 4; j++)
            branch[value < 0 ? (4 - j) & 3 : j] = cost_of(costs, a, j);
        classes[t * lanes] = step_metrics(metrics, branch);
        if (t % 4 == 3)
            subtract_least(metrics);
    }
    for (uint32_t s = 1; s < 8; s++)
        if (metrics[s] < metrics[state])
            state = s;
    for (size_t t = steps; t-- > 0;) {
        const uint32_t before = state >> 1 | ((uint32_t)classes[t * lanes] >> state & 1) << 2;
        const uint32_t parity = (state ^ before >> 1 ^ before >> 2) & 1;
        classes[t * lanes] = (uint8_t)((before & 1) + 2 * parity);
        state = before;
    }
}

static void search_plain(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps,
                         size_t lanes, uint8_t *classes)
{
    for (size_t lane = 0; lane < lanes; lane++)
        search_one(costs, q + lane, steps, lanes, classes + lane);
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
static void symbols_plain(const struct covey_trellis_costs *costs, const int16_t *q, const uint8_t *classes,
                          size_t count, int8_t *symbols)
{
    for (size_t i = 0; i < count; i++)
        symbols[i] = covey_trellis_symbol(costs, q[i], classes[i]);
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
