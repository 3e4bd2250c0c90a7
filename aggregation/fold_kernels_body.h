/* The bodies of covey_fold_kernels, as plain loops that vectorise. Included once by each file that compiles
 * them for one kind of machine; that file defines KERNELS (the table's name), KERNELS_NAME, and FOLD_CODES:
 * fold_codes, or its own. */
#include <string.h>

#include "covey/codec.h"
#include "fold_kernels.h"

static inline int64_t nearest(double y)
{
    const double magic = COVEY_FOLD_MAGIC, shifted = y + magic;
    int64_t bits, base;
    memcpy(&bits, &shifted, sizeof bits);
    memcpy(&base, &magic, sizeof base);
    return bits - base;
}

/* The product is made modulo 2^64, of which vector units have a quick form. */
static void fold_floats(int64_t *restrict sums, const float *restrict x, size_t count, double factor,
                        int64_t weight)
{
    for (size_t i = 0; i < count; i++)
        sums[i] += (int64_t)((uint64_t)nearest((double)x[i] * factor) * (uint64_t)weight);
}

static inline void fold_codes(int64_t *restrict sums, const struct covey_fold_lane *lanes, size_t lane_count,
                              size_t block_count)
{
    for (size_t b = 0; b < block_count; b++, sums += COVEY_BLOCK_VALUES) {
        for (size_t lane = 0; lane < lane_count; lane++) {
            const int8_t *restrict codes = lanes[lane].codes + b * COVEY_BLOCK_VALUES;
            const int32_t factor = lanes[lane].blocks[b].factor, shift = lanes[lane].blocks[b].shift;
            for (size_t i = 0; i < COVEY_BLOCK_VALUES; i++)
                sums[i] += (int64_t)((uint64_t)((int64_t)(int32_t)codes[i] * factor) << shift);
        }
    }
}

static void fold_wide(int64_t *restrict sums, const int32_t *restrict codes, size_t block_count,
                      const struct covey_fold_block *restrict blocks)
{
    for (size_t b = 0; b < block_count; b++, sums += COVEY_BLOCK_VALUES, codes += COVEY_BLOCK_VALUES) {
        const int32_t factor = blocks[b].factor, shift = blocks[b].shift;
        for (size_t i = 0; i < COVEY_BLOCK_VALUES; i++)
            sums[i] += (int64_t)((uint64_t)((int64_t)codes[i] * factor) << shift);
    }
}

static void make_means(const void *sums, size_t count, double factor, double divisor, void *means)
{
    for (size_t i = 0; i < count; i++) {
        int64_t sum;
        memcpy(&sum, (const char *)sums + i * sizeof sum, sizeof sum);
        const double mean = (double)sum * factor / divisor;
        memcpy((char *)means + i * sizeof mean, &mean, sizeof mean);
    }
}

static double squares(const float *x, size_t count)
{
    double lanes[8] = {0}, sum = 0;
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        for (size_t j = 0; j < 8; j++)
            lanes[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < count; i++)
        lanes[i % 8] += (double)x[i] * (double)x[i];
    for (size_t j = 0; j < 8; j++)
        sum += lanes[j];
    return sum;
}

static uint32_t largest(const float *x, size_t count)
{
    int32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7FFFFFFF;
        most = bits > most ? bits : most;
    }
    return (uint32_t)most;
}

const struct covey_fold_kernels KERNELS = {.name = KERNELS_NAME,
                                           .floats = fold_floats,
                                           .codes = FOLD_CODES,
                                           .wide = fold_wide,
                                           .means = make_means,
                                           .squares = squares,
                                           .largest = largest};
