/* Included by the files that compile it; KERNELS and KERNELS_NAME are theirs. */
#include "column_kernels.h"

static void sort(float *x, const uint16_t (*pairs)[2], size_t pair_count)
{
    for (size_t p = 0; p < pair_count; p++) {
        float *restrict low = x + (size_t)pairs[p][0] * COVEY_COLUMN_LANES;
        float *restrict high = x + (size_t)pairs[p][1] * COVEY_COLUMN_LANES;
        for (size_t l = 0; l < COVEY_COLUMN_LANES; l++) {
            const float a = low[l], b = high[l];
            low[l] = b < a ? b : a;
            high[l] = b < a ? a : b;
        }
    }
}

static void sum(const float *x, size_t first, size_t last, double *restrict sums)
{
    for (size_t row = first; row < last; row++)
        for (size_t l = 0; l < COVEY_COLUMN_LANES; l++)
            sums[l] += (double)x[row * COVEY_COLUMN_LANES + l];
}

static void add(double *restrict out, const float *restrict x, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++)
        out[i] += (double)x[i] * factor;
}

const struct covey_column_kernels KERNELS = {.name = KERNELS_NAME, .sort = sort, .sum = sum, .add = add};
