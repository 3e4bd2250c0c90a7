#include "covey/grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/arena.h"
#include "fold_kernels.h"
#include "grid_internal.h"

#define WEIGHT_MAX 0x1p40
#define WEIGHT_EXPONENT_MAX 20

/* The least n with value <= 2^n; value > 0. */
static int ceil_log2(double value)
{
    int exponent;
    const double fraction = frexp(value, &exponent); /* value = fraction * 2^exponent, fraction in [1/2, 1) */
    return fraction == 0.5 ? exponent - 1 : exponent;
}

enum covey_status covey_grid_split(uint64_t updates_max, double weight_max, struct covey_grid_split *out,
                                   struct covey_error *err)
{
    if (updates_max < 1 || updates_max > COVEY_DEVICES)
        return covey_fail(err, COVEY_INVALID, "a round takes 1 to %u updates, not %llu", COVEY_DEVICES,
                          (unsigned long long)updates_max);
    if (!(weight_max > 0.0) || !(weight_max <= WEIGHT_MAX))
        return covey_fail(err, COVEY_INVALID, "the largest weight must be above 0 and at most 2^40, not %g",
                          weight_max);
    int coordinate_bits = COVEY_GRID_BITS - ceil_log2((double)updates_max * weight_max);
    if (coordinate_bits > COVEY_GRID_COORDINATE_BITS_MAX)
        coordinate_bits = COVEY_GRID_COORDINATE_BITS_MAX;
    if (coordinate_bits < COVEY_GRID_COORDINATE_BITS_MIN)
        coordinate_bits = COVEY_GRID_COORDINATE_BITS_MIN;
    const uint64_t sum_cap = 1ull << (COVEY_GRID_BITS - coordinate_bits);
    const uint64_t share = sum_cap / updates_max; /* of one update; at least 2^22 / 2^20 */
    int exponent = WEIGHT_EXPONENT_MAX;
    while (ldexp(weight_max, exponent) > (double)share)
        exponent--;
    uint64_t cap = (uint64_t)ceil(ldexp(weight_max, exponent));
    *out = (struct covey_grid_split){.coordinate_bits = (uint8_t)coordinate_bits,
                                     .weight_exponent = (int16_t)exponent,
                                     .weight_cap = cap,
                                     .weight_sum_cap = sum_cap};
    return COVEY_OK;
}

enum covey_status covey_grid_weight(const struct covey_grid_split *split, double weight, uint64_t *out)
{
    if (!(weight > 0.0) || !isfinite(weight))
        return COVEY_INVALID;
    const double scaled = floor(ldexp(weight, split->weight_exponent) + 0.5);
    if (scaled >= (double)split->weight_cap)
        *out = split->weight_cap;
    else
        *out = scaled < 1.0 ? 1 : (uint64_t)scaled;
    return COVEY_OK;
}

/* ---- the accumulator ---- */

static enum covey_status check_layout(const size_t *ends, size_t tensor_count, const int16_t *exponents,
                                      struct covey_error *err)
{
    if (tensor_count < 1 || tensor_count > COVEY_MODEL_TENSORS)
        return covey_fail(err, COVEY_INVALID, "a grid has 1 to %d tensors, not %zu", COVEY_MODEL_TENSORS,
                          tensor_count);
    for (size_t t = 0; t < tensor_count; t++) {
        if (ends[t] <= (t > 0 ? ends[t - 1] : 0))
            return covey_fail(err, COVEY_INVALID, "tensor %zu of the grid has no value", t);
        if (exponents != NULL &&
            (exponents[t] < COVEY_GRID_EXPONENT_MIN || exponents[t] > COVEY_GRID_EXPONENT_MAX))
            return covey_fail(err, COVEY_INVALID,
                              "tensor %zu of the grid has exponent %d, possible are %d to %d", t,
                              exponents[t], COVEY_GRID_EXPONENT_MIN, COVEY_GRID_EXPONENT_MAX);
    }
    if (ends[tensor_count - 1] > COVEY_MODEL_PARAMETERS)
        return covey_fail(err, COVEY_LIMIT, "the grid would pass %llu coordinates",
                          (unsigned long long)COVEY_MODEL_PARAMETERS);
    return COVEY_OK;
}

enum covey_status covey_grid_init(struct covey_grid *grid, const size_t *ends, size_t tensor_count,
                                  const int16_t *exponents, const struct covey_grid_split *split,
                                  struct covey_error *err)
{
    COVEY_TRY(check_layout(ends, tensor_count, exponents, err));
    struct covey_grid made = {.split = *split, .tensor_count = tensor_count, .count = ends[tensor_count - 1]};
    void *sums = NULL;
    made.ends = calloc(tensor_count, sizeof *made.ends);
    made.exponents = calloc(tensor_count, sizeof *made.exponents);
    made.peaks = calloc(tensor_count * COVEY_GRID_PEAK_BINS, sizeof *made.peaks);
    if (posix_memalign(&sums, COVEY_ARENA_ALIGN, made.count * sizeof *made.sums) != 0)
        sums = NULL;
    made.sums = sums;
    if (made.ends == NULL || made.exponents == NULL || made.peaks == NULL || made.sums == NULL) {
        covey_grid_deinit(&made);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the sums of %zu coordinates",
                          ends[tensor_count - 1]);
    }
    memset(made.sums, 0, made.count * sizeof *made.sums);
    memcpy(made.ends, ends, tensor_count * sizeof *ends);
    for (size_t t = 0; t < tensor_count; t++)
        made.exponents[t] = exponents != NULL ? exponents[t] : COVEY_GRID_EXPONENT_WIDE;
    *grid = made;
    return COVEY_OK;
}

void covey_grid_deinit(struct covey_grid *grid)
{
    free(grid->ends);
    free(grid->exponents);
    free(grid->peaks);
    free(grid->sums);
    *grid = (struct covey_grid){0};
}

size_t covey_grid_tensor_at(const struct covey_grid *grid, size_t coordinate)
{
    size_t low = 0, high = grid->tensor_count - 1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (grid->ends[middle] > coordinate)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

double covey_grid_factor(const struct covey_grid *grid, size_t tensor, double scale)
{
    return ldexp(scale, grid->split.coordinate_bits - grid->exponents[tensor]);
}

void covey_grid_fold(struct covey_grid *grid, size_t first, const float *x, size_t count, double scale,
                     uint64_t weight)
{
    const struct covey_fold_kernels *kernels = covey_fold_kernels_at(0);
    for (size_t t = covey_grid_tensor_at(grid, first); count > 0; t++) {
        const size_t here = grid->ends[t] - first < count ? grid->ends[t] - first : count;
        kernels->floats(grid->sums + first, x, here, covey_grid_factor(grid, t, scale), (int64_t)weight);
        first += here;
        x += here;
        count -= here;
    }
}

/* The bin of an update whose largest |x| is peak: 0 for zero, else 128 + the least n with peak <= 2^n, within
 * the bins. */
static size_t peak_bin(float peak)
{
    if (!(peak > 0.0f))
        return 0;
    const int bin = ceil_log2((double)peak) + COVEY_GRID_PEAK_BINS / 2;
    return bin < 1 ? 1 : bin < COVEY_GRID_PEAK_BINS ? (size_t)bin : COVEY_GRID_PEAK_BINS - 1;
}

enum covey_status covey_grid_count(struct covey_grid *grid, uint64_t weight, const float *peaks)
{
    if (weight > grid->split.weight_sum_cap - grid->weight_sum)
        return COVEY_LIMIT;
    grid->weight_sum += weight;
    grid->update_count++;
    for (size_t t = 0; t < grid->tensor_count; t++)
        grid->peaks[t * COVEY_GRID_PEAK_BINS + peak_bin(peaks[t])]++;
    return COVEY_OK;
}

static int same_split(const struct covey_grid_split *a, const struct covey_grid_split *b)
{
    return a->coordinate_bits == b->coordinate_bits && a->weight_exponent == b->weight_exponent &&
           a->weight_cap == b->weight_cap && a->weight_sum_cap == b->weight_sum_cap;
}

enum covey_status covey_grid_merge(struct covey_grid *into, const struct covey_grid *from,
                                   struct covey_error *err)
{
    if (!same_split(&into->split, &from->split) || into->tensor_count != from->tensor_count ||
        memcmp(into->ends, from->ends, into->tensor_count * sizeof *into->ends) != 0 ||
        memcmp(into->exponents, from->exponents, into->tensor_count * sizeof *into->exponents) != 0)
        return covey_fail(err, COVEY_MISMATCH,
                          "partial sums of different plans (tensors, exponents or weights) do not "
                          "add up");
    if (from->weight_sum > into->split.weight_sum_cap - into->weight_sum ||
        from->update_count > COVEY_DEVICES - into->update_count)
        return covey_fail(err, COVEY_LIMIT, "together the partial sums hold more weight than was planned");
    for (size_t i = 0; i < into->count; i++)
        into->sums[i] += from->sums[i];
    for (size_t i = 0; i < into->tensor_count * COVEY_GRID_PEAK_BINS; i++)
        into->peaks[i] += from->peaks[i];
    into->weight_sum += from->weight_sum;
    into->update_count += from->update_count;
    return COVEY_OK;
}

void covey_grid_mean(const struct covey_grid *grid, size_t first, size_t last, double *out)
{
    const struct covey_fold_kernels *kernels = covey_fold_kernels_at(0);
    for (size_t t = covey_grid_tensor_at(grid, first); first < last; t++) {
        const size_t end = grid->ends[t] < last ? grid->ends[t] : last;
        const double unit = ldexp(1.0, grid->exponents[t] - grid->split.coordinate_bits);
        kernels->means(grid->sums + first, end - first, unit, (double)grid->weight_sum, out);
        out += end - first;
        first = end;
    }
}

/* From the bins of one tensor: the logarithms of the median and of the largest peak, zeros left out. Returns
 * 0 when there is nothing but zeros. */
static int peak_logarithms(const uint32_t *bins, int *median, int *largest)
{
    uint64_t total = 0, seen = 0;
    *median = *largest = 0;
    for (int bin = 1; bin < COVEY_GRID_PEAK_BINS; bin++) {
        total += bins[bin];
        if (bins[bin] > 0)
            *largest = bin - COVEY_GRID_PEAK_BINS / 2;
    }
    for (int bin = 1; bin < COVEY_GRID_PEAK_BINS && 2 * seen < total; bin++) {
        seen += bins[bin];
        *median = bin - COVEY_GRID_PEAK_BINS / 2;
    }
    return total > 0;
}

void covey_grid_next_exponents(const struct covey_grid *grid, int16_t *out)
{
    for (size_t t = 0; t < grid->tensor_count; t++) {
        int median, largest, exponent = grid->exponents[t];
        if (peak_logarithms(grid->peaks + t * COVEY_GRID_PEAK_BINS, &median, &largest)) {
            exponent = largest + 1;
            if (exponent < median + COVEY_GRID_HEADROOM)
                exponent = median + COVEY_GRID_HEADROOM;
            if (exponent > median + COVEY_GRID_HEADROOM_MAX)
                exponent = median + COVEY_GRID_HEADROOM_MAX;
        }
        if (exponent < COVEY_GRID_EXPONENT_MIN)
            exponent = COVEY_GRID_EXPONENT_MIN;
        out[t] = (int16_t)(exponent > COVEY_GRID_EXPONENT_MAX ? COVEY_GRID_EXPONENT_MAX : exponent);
    }
}
