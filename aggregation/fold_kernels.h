/* The inner loops of the fold, compiled once for every machine and once for wider vectors; chosen at run
 * time. All give the same bits: each product is exact or rounded once, to nearest even, and sums are of
 * integers. */
#ifndef COVEY_FOLD_KERNELS_H
#define COVEY_FOLD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Adding this to |y| < 2^51 leaves the integer nearest to y, ties to even, in the low bits of the double. */
#define COVEY_FOLD_MAGIC 0x1.8p52

/* What the codes of a block are multiplied by: factor * 2^shift, factor below 2^31. */
struct covey_fold_block {
    int32_t factor;
    int32_t shift;
};

/* One update's codes beside others': (block_count) blocks of 64. A factor of 0 leaves its block out. */
struct covey_fold_lane {
    const int8_t *codes;
    const struct covey_fold_block *blocks;
};

struct covey_fold_kernels {
    const char *name;
    /* sums[i] += weight * nearest(x[i] * factor); |x[i] * factor| <= 2^51. */
    void (*floats)(int64_t *sums, const float *x, size_t count, double factor, int64_t weight);
    /* For each lane: sums[i] += codes[i] * factor * 2^shift of its block of 64; no product reaches 2^63. The
     * sums of a block are fetched and put back once for all lanes. */
    void (*codes)(int64_t *sums, const struct covey_fold_lane *lanes, size_t lane_count, size_t block_count);
    /* The same of one update, of codes that need more than a byte. */
    void (*wide)(int64_t *sums, const int32_t *codes, size_t block_count,
                 const struct covey_fold_block *blocks);
    /* means[i] = sums[i] * factor / divisor; means may lie over sums. */
    void (*means)(const void *sums, size_t count, double factor, double divisor, void *means);
    /* Sum of squares in eight running sums, then those in order. */
    double (*squares)(const float *x, size_t count);
    /* The bits of the largest |x|. */
    uint32_t (*largest)(const float *x, size_t count);
};

extern const struct covey_fold_kernels covey_fold_kernels_plain;

/* Every table that this machine can run, NULL past the end; 0 is the one to use. */
const struct covey_fold_kernels *covey_fold_kernels_at(size_t index);

#endif
