#include "rate_share.h"

#include <string.h>

#define SLOPE 0.13 /* lambda, in squared steps a bit; at high rates ln 4 / 12 */
#define ATTEMPTS 16
#define NEAR 0.002 /* of all bits */
#define OCTAVES 18u

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double step_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

double covey_rate_cost(const struct covey_spread *spread, double step, double *bits)
{
    static const double roundings[] = {0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -0.1};
    const double lambda = SLOPE * step * step;
    double best = 0;
    for (size_t i = 0; i < sizeof roundings / sizeof roundings[0]; i++) {
        double taken;
        const double error = covey_rate_outcome(spread, step, roundings[i], &taken);
        const double cost = error / lambda + taken;
        if (i > 0 && cost >= best)
            break; /* there is one dip */
        best = cost;
        *bits = taken;
    }
    return best;
}

static double take(struct covey_rate_part *parts, size_t count, uint32_t step_bits)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        (void)covey_rate_cost(parts[i].spread, step_of(step_bits), &parts[i].bits);
        sum += parts[i].bits * (double)parts[i].values;
    }
    return sum;
}

/* False position on the step's logarithm, which the bits of a float are nearly (Illinois). */
double covey_rate_share(struct covey_rate_part *parts, size_t count, double total)
{
    float largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = parts[i].spread->largest > largest ? parts[i].spread->largest : largest;
    uint32_t high = bits_of(largest), low = high - (OCTAVES << 23), middle = low;
    double above = take(parts, count, low) - total, under = -total, sum = above + total;
    for (int i = 0, side = 0; i < ATTEMPTS && above > 0; i++) {
        double place = above / (above - under);
        place = place < 0.05 ? 0.05 : place > 0.95 ? 0.95 : place;
        middle = low + (uint32_t)(place * (double)(high - low));
        sum = take(parts, count, middle);
        const double off = sum - total;
        if (off < NEAR * total && off > -NEAR * total)
            break;
        if (off > 0) {
            low = middle;
            above = off;
            under *= side == 1 ? 0.5 : 1;
            side = 1;
        } else {
            high = middle;
            under = off;
            above *= side == -1 ? 0.5 : 1;
            side = -1;
        }
    }
    for (size_t i = 0; i < count && sum > 0; i++)
        parts[i].bits *= total / sum;
    return step_of(middle);
}

void covey_spread_add(struct covey_spread *into, const struct covey_spread *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->squares += from->squares;
    for (size_t bin = 0; bin <= COVEY_SPREAD_BINS; bin++) {
        into->below[bin] += from->below[bin];
        into->sum_below[bin] += from->sum_below[bin];
    }
}
