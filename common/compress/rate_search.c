#include "rate_search.h"

#include <stdbool.h>
#include <string.h>

#include "covey/codec.h"

#define BIN_SHIFT 18 /* of a float's bits: 5 bits of the fraction are left */
#define STRIP 512    /* values, where not all are looked at */
#define ROWS_WANTED 32
#define CODE_BITS 18u /* of the largest value */
#define ROUNDING_MIN 0.05
#define ROUNDING_MAX 0.5
#define FINE_BITS 4.5 /* from here on a dead zone gains nothing */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* m = x / 2^e in [sqrt(1/2), sqrt(2)); log m = 2 artanh((m - 1) / (m + 1)). */
double covey_log2(double x)
{
    uint64_t bits;
    double m;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xFFFFFFFFFFFFFu) | (uint64_t)1023 << 52;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    const double s = (m - 1) / (m + 1), q = s * s;
    return exponent +
           s * (2.8853900817779268 +
                q * (0.9617966939259756 +
                     q * (0.5770780163555854 + q * (0.4121985831111324 + q * 0.3205988979753252))));
}

/* ---- the counts ---- */

/* Four counters for each bin, as the same one twice in a row would have to wait. */
static void tally(const float *x, size_t count, uint32_t base, uint32_t *bins)
{
    for (size_t i = 0; i < count; i++) {
        const int32_t bin = (int32_t)((bits_of(x[i]) & 0x7FFFFFFFu) >> BIN_SHIFT) - (int32_t)base;
        bins[4 * (size_t)(bin < 0 ? 0 : bin) + (i & 3)]++;
    }
}

static double lower_end(const struct covey_spread *spread, size_t bin)
{
    return bin == 0 ? 0 : (double)float_of((spread->base + (uint32_t)bin) << BIN_SHIFT);
}

void covey_spread_measure(struct covey_spread *spread, const float *x, size_t count, float largest,
                          size_t every)
{
    uint32_t bins[4 * COVEY_SPREAD_BINS];
    memset(bins, 0, sizeof bins);
    const uint32_t top = bits_of(largest) >> BIN_SHIFT;
    *spread = (struct covey_spread){.base = top >= COVEY_SPREAD_BINS ? top - COVEY_SPREAD_BINS + 1 : 0,
                                    .largest = largest};
    for (size_t at = 0; at < count; at += STRIP * every)
        tally(x + at, count - at < STRIP ? count - at : STRIP, spread->base, bins);
    for (size_t bin = 0; bin < COVEY_SPREAD_BINS; bin++) {
        const uint32_t *parts = bins + 4 * bin;
        const double n = (double)parts[0] + parts[1] + parts[2] + parts[3];
        const double low = lower_end(spread, bin), width = lower_end(spread, bin + 1) - low;
        const double middle = low + width / 2;
        spread->below[bin] = spread->count;
        spread->sum_below[bin] = spread->sum;
        spread->count += n;
        spread->sum += n * middle;
        spread->squares += n * (middle * middle + width * width / 12);
    }
    spread->below[COVEY_SPREAD_BINS] = spread->count;
    spread->sum_below[COVEY_SPREAD_BINS] = spread->sum;
}

/* Values below t and their sum; within a bin they are taken to lie evenly. */
static void look_up(const struct covey_spread *spread, double t, double *below, double *sum)
{
    const uint32_t bits = bits_of((float)t);
    const uint32_t bin = (bits >> BIN_SHIFT) - spread->base;
    if (bits >> BIN_SHIFT < spread->base) {
        *below = *sum = 0; /* far below the largest: all of those count as zero */
        return;
    }
    if (bin >= COVEY_SPREAD_BINS) {
        *below = spread->count;
        *sum = spread->sum;
        return;
    }
    const double place = (double)(bits & ((1u << BIN_SHIFT) - 1)) / (double)(1u << BIN_SHIFT);
    const double n = (spread->below[bin + 1] - spread->below[bin]) * place;
    const double low = lower_end(spread, bin), width = lower_end(spread, bin + 1) - low;
    *below = spread->below[bin] + n;
    *sum = spread->sum_below[bin] + n * (low + width * place / 2);
}

double covey_spread_mean(const struct covey_spread *spread, double low, double high)
{
    double n[2], sum[2];
    look_up(spread, low, &n[0], &sum[0]);
    look_up(spread, high, &n[1], &sum[1]);
    return n[1] - n[0] > 0.5 ? (sum[1] - sum[0]) / (n[1] - n[0]) : (low + high) / 2;
}

double covey_spread_rest(const struct covey_spread *spread, double low, double width)
{
    double n = 0, rest = 0;
    for (int cell = 0; cell < 8; cell++) {
        double below[2], sum[2];
        look_up(spread, low + cell * width, &below[0], &sum[0]);
        look_up(spread, low + (cell + 1) * width, &below[1], &sum[1]);
        rest += (sum[1] - sum[0]) / width - (below[1] - below[0]) * (low / width + cell);
        n += below[1] - below[0];
    }
    return n > 0.5 ? rest / n : 0.5;
}

/* ---- rate and error of a choice ---- */

struct outcome {
    double bits, error; /* a value; error: the mean square */
};

static double n_log_n(double n)
{
    return n > 0.5 ? n * covey_log2(n) : 0;
}

static struct outcome evaluate(const struct covey_spread *spread, double step, double rounding,
                               uint32_t shift);

/* Bits below the symbols: so many that 32 rows reach what all but one value in 200 are below; none where that
 * costs more, as in vectors of which the most are zero. */
static uint32_t shift_for(const struct covey_spread *spread, double step)
{
    size_t low = 0, high = COVEY_SPREAD_BINS;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (spread->below[middle] <= spread->count * 0.995)
            low = middle;
        else
            high = middle;
    }
    const double reach = lower_end(spread, high) / step;
    uint32_t shift = 0;
    if (reach > 1.25 * ROWS_WANTED)
        while (shift < COVEY_UNIFORM_SHIFT_MAX && reach > ROWS_WANTED * (double)(1u << shift))
            shift++;
    if (shift > 0 &&
        evaluate(spread, step, ROUNDING_MAX, 0).bits <= evaluate(spread, step, ROUNDING_MAX, shift).bits)
        shift = 0;
    return shift;
}

/* Squares of the values from there on. */
static double squares_from(const struct covey_spread *spread, double from)
{
    const uint32_t first = bits_of((float)from) >> BIN_SHIFT;
    double squares = 0;
    for (size_t bin = first > spread->base ? first - spread->base : 0; bin < COVEY_SPREAD_BINS; bin++) {
        const double end = lower_end(spread, bin + 1), whole = end - lower_end(spread, bin);
        const double low = lower_end(spread, bin) > from ? lower_end(spread, bin) : from, width = end - low;
        const double n = (spread->below[bin + 1] - spread->below[bin]) * width / whole,
                     middle = low + width / 2;
        squares += n * (middle * middle + width * width / 12);
    }
    return squares;
}

/* What lies beyond the last row: about two bits for each doubling. */
static double cost_beyond(const struct covey_spread *spread, double from)
{
    double cost = 0, n = 0, sum = 0, low = 0;
    look_up(spread, from, &low, &sum);
    for (double bits = 7; from < (double)spread->largest; bits += 2) {
        look_up(spread, 2 * from, &n, &sum);
        cost += (n - low) * bits;
        low = n;
        from *= 2;
    }
    return cost;
}

static struct outcome evaluate(const struct covey_spread *spread, double step, double rounding,
                               uint32_t shift)
{
    const double width = step * (double)(1u << shift);
    const double start = shift == 0 ? rounding * step : 0;
    double low = 0, low_sum = 0, next = 0, next_sum = 0, kept = 0, cost = n_log_n(spread->count);
    for (uint32_t row = 0; row < COVEY_UNIFORM_ROWS && low < spread->count; row++) {
        look_up(spread, (row + 1) * width - start, &next, &next_sum);
        const double n = next - low, sum = next_sum - low_sum;
        cost -= n_log_n(n);
        cost += row > 0 || shift > 0 ? n : 0;         /* the sign */
        kept += row > 0 && n > 0 ? sum * sum / n : 0; /* what the cell's centroid tells */
        low = next;
        low_sum = next_sum;
    }
    if (low < spread->count) {
        const double n = spread->count - low, from = COVEY_UNIFORM_ROWS * width - start;
        cost += n - n_log_n(n) + cost_beyond(spread, from);
        kept += squares_from(spread, from) - n * step * step / 12;
    }
    return (struct outcome){.bits = cost / spread->count + shift,
                            .error = shift > 0 ? step * step / 12 : (spread->squares - kept) / spread->count};
}

static double bits_at(const struct covey_spread *spread, uint32_t step_bits, double rounding)
{
    const double step = (double)float_of(step_bits);
    return evaluate(spread, step, rounding, shift_for(spread, step)).bits;
}

double covey_rate_outcome(const struct covey_spread *spread, double step, double rounding, double *bits)
{
    const struct outcome outcome = evaluate(spread, step, rounding, shift_for(spread, step));
    *bits = outcome.bits;
    return outcome.error;
}

/* ---- the search ---- */

/* The bits of the least step: codes stay below 2^18. Few vectors have so much to tell. */
static uint32_t finest_step(const struct covey_spread *spread)
{
    return ((bits_of(spread->largest) + 0x7FFFu) & 0xFFFF8000u) - (CODE_BITS << 23);
}

/* The bits of the float that is the step which takes `bits` a value: they grow as its logarithm does, nearly.
 * near: where to begin. */
static uint32_t step_for(const struct covey_spread *spread, double bits, double rounding, uint32_t near)
{
    const uint32_t ceiling = 0x7F000000u - (2u << 23), top = bits_of(spread->largest);
    const uint32_t most = (top < ceiling ? top : ceiling) + (2u << 23), least = finest_step(spread);
    uint32_t reach = 1u << 21, low = near - reach, high = near + reach;
    if (near < least + reach || near > most - reach) {
        low = least;
        high = most;
    }
    while (low > least && bits_at(spread, low, rounding) < bits)
        low = low - least > (reach *= 2) ? low - reach : least;
    while (high < most && bits_at(spread, high, rounding) > bits)
        high = most - high > (reach *= 2) ? high + reach : most;
    double above = bits_at(spread, low, rounding) - bits, under = bits_at(spread, high, rounding) - bits;
    if (above <= 0 || under >= 0)
        return above <= 0 ? low : high;
    for (int i = 0, side = 0; i < 24 && high - low > 1u << 9; i++) { /* Illinois */
        double place = above / (above - under);
        place = place < 0.02 ? 0.02 : place > 0.98 ? 0.98 : place;
        const uint32_t middle = low + (uint32_t)(place * (double)(high - low));
        const double off = bits_at(spread, middle, rounding) - bits;
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
        if (off < 1e-4 * bits && off > -1e-4 * bits)
            return middle;
    }
    return low + (high - low) / 2;
}

struct candidate {
    double rounding, error;
    uint32_t step_bits;
};

static struct candidate try_rounding(const struct covey_spread *spread, double bits, double rounding,
                                     uint32_t near)
{
    struct candidate made = {.rounding = rounding};
    made.step_bits = step_for(spread, bits, rounding, near);
    const double step = (double)float_of(made.step_bits);
    made.error = evaluate(spread, step, rounding, shift_for(spread, step)).error;
    return made;
}

/* Golden section over the rounding: the error has one dip. */
static struct candidate best_rounding(const struct covey_spread *spread, double bits)
{
    const double golden = 0.6180339887498949;
    double low = ROUNDING_MIN, high = ROUNDING_MAX;
    struct candidate left = try_rounding(spread, bits, high - golden * (high - low), 0);
    struct candidate right = try_rounding(spread, bits, low + golden * (high - low), left.step_bits);
    for (int i = 0; i < 6; i++) {
        if (left.error < right.error) {
            high = right.rounding;
            right = left;
            left = try_rounding(spread, bits, high - golden * (high - low), right.step_bits);
        } else {
            low = left.rounding;
            left = right;
            right = try_rounding(spread, bits, low + golden * (high - low), left.step_bits);
        }
    }
    return left.error < right.error ? left : right;
}

/* With the step fixed, the rounding that takes `bits`: more of it, fewer zeros. */
static double rounding_for(const struct covey_spread *spread, double bits, double step, double near)
{
    double low = near - 0.1 > 0.01 ? near - 0.1 : 0.01, high = near + 0.1 < 0.6 ? near + 0.1 : 0.6;
    const uint32_t shift = shift_for(spread, step);
    for (int i = 0; i < 12; i++) {
        const double middle = (low + high) / 2;
        if (evaluate(spread, step, middle, shift).bits > bits)
            high = middle;
        else
            low = middle;
    }
    return (low + high) / 2;
}

double covey_rate_search(const struct covey_spread *spread, double bits, struct covey_uniform_choice *out)
{
    const bool fine = bits >= FINE_BITS;
    const struct candidate best =
        fine ? try_rounding(spread, bits, ROUNDING_MAX, 0) : best_rounding(spread, bits);
    const uint32_t step_bits = (best.step_bits + 0x4000u) & 0xFFFF8000u;
    out->step = float_of(step_bits);
    out->shift = shift_for(spread, (double)out->step);
    out->rounding =
        (float)(fine || out->shift > 0 ? best.rounding
                                       : rounding_for(spread, bits, (double)out->step, best.rounding));
    return evaluate(spread, (double)out->step, (double)out->rounding, out->shift).error * spread->count /
           spread->squares;
}
