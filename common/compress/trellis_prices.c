#include "trellis_prices.h"

#include "rate_search.h"

/* Where the search begins: what a normal vector of deviation 1 comes to (bits of rows 0 to 5, even and odd,
 * after twenty attempts; tests/golden/codec/trellis_start.c). */
struct start {
    float rate, step, lambda, even[6], odd[6];
};

static const struct start starts[] = {
    {0.061f, 1.60f, .30f, {.01f, 9.5f, 22, 22, 22, 22}, {1, 17, 18, 18, 18, 18}},
    {0.168f, 1.55f, .30f, {.01f, 7.82f, 22, 22, 22, 22}, {1, 15.5f, 19, 19, 19, 19}},
    {0.277f, 1.50f, .30f, {.02f, 6.98f, 22, 22, 22, 22}, {1, 16, 20, 20, 20, 20}},
    {0.476f, 1.40f, .30f, {.05f, 5.90f, 20, 22, 22, 22}, {1, 15, 20, 20, 20, 20}},
    {0.619f, 1.30f, .30f, {.08f, 5.21f, 19, 22, 22, 22}, {1, 13, 20, 20, 20, 20}},
    {0.733f, 1.20f, .30f, {.13f, 4.57f, 18, 22, 22, 22}, {1, 11.7f, 20, 20, 20, 20}},
    {0.851f, 1.10f, .30f, {.20f, 3.97f, 16, 22, 22, 22}, {1.01f, 9.2f, 19, 20, 20, 20}},
    {0.934f, 1.00f, .35f, {.26f, 3.60f, 14, 20, 22, 22}, {1.01f, 8.2f, 18, 20, 20, 20}},
    {1.183f, .85f, .35f, {.48f, 2.83f, 10.4f, 18, 22, 22}, {1.05f, 5.9f, 15, 20, 20, 20}},
    {1.489f, .70f, .35f, {.77f, 2.33f, 7.04f, 15.2f, 20, 22}, {1.16f, 4.28f, 10.8f, 18, 20, 20}},
    {2.005f, .50f, .35f, {1.29f, 2.04f, 4.33f, 8.24f, 13.5f, 20}, {1.48f, 3, 6.05f, 11.1f, 16.9f, 20}},
    {2.542f, .35f, .35f, {1.83f, 2.17f, 3.27f, 5.12f, 7.58f, 11.4f}, {1.91f, 2.65f, 4.06f, 6.28f, 9.1f, 13}},
    {3.363f,
     .20f,
     .35f,
     {2.65f, 2.75f, 3.11f, 3.69f, 4.52f, 5.55f},
     {2.67f, 2.9f, 3.36f, 4.07f, 4.97f, 6.1f}},
    {3.988f,
     .13f,
     .35f,
     {3.24f, 3.29f, 3.47f, 3.72f, 4.06f, 4.52f},
     {3.32f, 3.39f, 3.54f, 3.87f, 4.23f, 4.7f}},
    {4.99f,
     .065f,
     .35f,
     {4.28f, 4.31f, 4.32f, 4.37f, 4.49f, 4.6f},
     {4.29f, 4.29f, 4.33f, 4.42f, 4.54f, 4.7f}},
};
#define START_COUNT (sizeof starts / sizeof starts[0])

/* ---- costs ---- */

static uint8_t cost_code(const struct covey_trellis_prices *prices, uint32_t kind, uint32_t row)
{
    const double cost = prices->bits[kind][row] * prices->lambda * 32 + 0.5;
    return cost < COVEY_TRELLIS_RATE_MAX ? (uint8_t)cost : COVEY_TRELLIS_RATE_MAX;
}

/* Between two values of a class, 4 steps apart: 8 p > 16 + lambda times the difference of bits. */
static int16_t cost_shift(const struct covey_trellis_prices *prices, uint32_t kind, uint32_t from,
                          uint32_t to)
{
    const double shift = 2 * prices->lambda * (prices->bits[kind][to] - prices->bits[kind][from]);
    return (int16_t)(shift < 0 ? 0 : shift < COVEY_TRELLIS_SHIFT_MAX ? shift + 0.5 : COVEY_TRELLIS_SHIFT_MAX);
}

void covey_trellis_prices_costs(const struct covey_trellis_prices *prices, struct covey_trellis_costs *out)
{
    for (uint32_t kind = 0; kind < 2; kind++)
        for (uint32_t row = 0; row < COVEY_TRELLIS_RATES; row++)
            out->rates[kind][row] = cost_code(prices, kind, row);
    out->shifts[0] = cost_shift(prices, 0, 0, 2);
    out->shifts[1] = cost_shift(prices, 1, 0, 2);
    out->shifts[2] = cost_shift(prices, 0, 1, 3);
    out->shifts[3] = cost_shift(prices, 1, 0, 1);
}

void covey_trellis_prices_learn(struct covey_trellis_prices *prices, const uint32_t counts[128])
{
    for (uint32_t kind = 0; kind < 2; kind++) {
        double total = 0;
        for (uint32_t row = 0; row < COVEY_TRELLIS_PRICED; row++)
            total += counts[2 * row + kind] + 0.02;
        for (uint32_t row = 0; row < COVEY_TRELLIS_PRICED; row++) {
            const double share = (counts[2 * row + kind] + 0.02) / total;
            const double bits = -covey_log2(share) + (row > 0 || kind == 1 ? 1 : 0);
            prices->bits[kind][row] += 0.5 * (bits - prices->bits[kind][row]);
        }
    }
}

double covey_trellis_prices_begin(struct covey_trellis_prices *prices, double rate)
{
    size_t i = 0;
    while (i + 1 < START_COUNT && (double)starts[i + 1].rate <= rate)
        i++;
    const struct start *start = &starts[i], *next = &starts[i + 1 < START_COUNT ? i + 1 : i];
    double place = 0, step = (double)start->step;
    if (next != start && rate > (double)start->rate)
        place = (rate - (double)start->rate) / ((double)next->rate - (double)start->rate);
    if (next == start)
        for (double r = rate - (double)start->rate; r > 0; r -= 0.1)
            step *= 0.933; /* a bit halves it */
    step += place * ((double)next->step - step);
    prices->lambda = (double)start->lambda;
    for (uint32_t row = 0; row < COVEY_TRELLIS_PRICED; row++) {
        const uint32_t known = row < 6 ? row : 5;
        const double beyond = 1.5 * (row - known);
        prices->bits[0][row] =
            (double)start->even[known] + place * (double)(next->even[known] - start->even[known]) + beyond;
        prices->bits[1][row] =
            (double)start->odd[known] + place * (double)(next->odd[known] - start->odd[known]) + beyond;
    }
    return step;
}
