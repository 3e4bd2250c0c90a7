/* The fixed-point grid on which updates are added, so that the sum does not depend on order, threads or
 * restarts.
 *
 * Every tensor has an exponent e: |x| <= 2^e is in range. A value x (f32) becomes the integer nearest to
 * x * 2^(c - e), ties to even, where c = coordinate_bits; it is multiplied by the update's integer weight and
 * added in int64. The weights of all updates together stay <= 2^(62 - c), so no sum passes 2^62. The mean is
 * sum * 2^(e - c) / (sum of weights), in f64.
 *
 * Weights (examples, staleness, loss^q) are real numbers <= weight_max; they become integers by one power of
 * two, weight_unit, chosen once so that updates_max of them fit. Whole numbers stay exact when weight_unit
 * >= 1.
 *
 * Not thread-safe: strategy.h is what servers call. */
#ifndef COVEY_GRID_H
#define COVEY_GRID_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

#define COVEY_GRID_BITS 62 /* of a sum: coordinate bits + weight bits */
#define COVEY_GRID_COORDINATE_BITS_MAX 40
#define COVEY_GRID_COORDINATE_BITS_MIN 34
#define COVEY_GRID_EXPONENT_MIN (-90)
#define COVEY_GRID_EXPONENT_MAX 126
#define COVEY_GRID_EXPONENT_WIDE 6 /* where nothing is known yet: |x| <= 64 */
#define COVEY_GRID_HEADROOM 4      /* bits of range above the median update's largest value, at the least */
#define COVEY_GRID_HEADROOM_MAX 8  /* and at the most, however large the largest update is */
#define COVEY_GRID_PEAK_BINS 256   /* of the logarithm of an update's largest value */

/* How the 62 bits are split. Plain data, a function of (updates_max, weight_max). */
struct covey_grid_split {
    uint8_t coordinate_bits;
    int16_t
        weight_exponent; /* weight_unit = 2^weight_exponent: integer weight = round(weight * weight_unit) */
    uint64_t weight_cap; /* of one update, as an integer */
    uint64_t weight_sum_cap; /* of all, as an integer: 2^(62 - coordinate_bits) */
};

/* updates_max: 1..COVEY_DEVICES; weight_max: finite, > 0, <= 2^40. INVALID otherwise. */
COVEY_MUST_CHECK enum covey_status covey_grid_split(uint64_t updates_max, double weight_max,
                                                    struct covey_grid_split *out, struct covey_error *err);

/* A weight as an integer, at least 1 and at most weight_cap. INVALID unless finite and > 0. */
COVEY_MUST_CHECK enum covey_status covey_grid_weight(const struct covey_grid_split *split, double weight,
                                                     uint64_t *out);

/* An accumulator. Owned by who initialised it. */
struct covey_grid {
    struct covey_grid_split split;
    size_t tensor_count;
    size_t *ends;       /* (tensor_count) first coordinate after each tensor */
    int16_t *exponents; /* (tensor_count) */
    uint32_t
        *peaks; /* (tensor_count, COVEY_GRID_PEAK_BINS) accepted updates by the size of their largest |x| */
    size_t count;
    int64_t *sums; /* (count), 64-byte aligned */
    uint64_t weight_sum;
    uint64_t update_count;
};

/* ends: increasing, the last = number of coordinates; exponents: NULL = COVEY_GRID_EXPONENT_WIDE for each.
 * Both are copied. Memory: 8 bytes a coordinate. */
COVEY_MUST_CHECK enum covey_status covey_grid_init(struct covey_grid *grid, const size_t *ends,
                                                   size_t tensor_count, const int16_t *exponents,
                                                   const struct covey_grid_split *split,
                                                   struct covey_error *err);
void covey_grid_deinit(struct covey_grid *grid);

/* Adds weight * round(scale * x) at coordinates [first, first + count). scale: 1, or less where the update is
 * scaled down. Caller has checked |scale * x| <= 2^e, and counts the weight once an update by
 * covey_grid_count. */
void covey_grid_fold(struct covey_grid *grid, size_t first, const float *x, size_t count, double scale,
                     uint64_t weight);

/* One update of that weight is in. LIMIT when the weights would pass weight_sum_cap (nothing changes then:
 * ask before folding). peaks: (tensor_count) largest |x| of each tensor, before any scaling down. */
COVEY_MUST_CHECK enum covey_status covey_grid_count(struct covey_grid *grid, uint64_t weight,
                                                    const float *peaks);

/* into += from, exactly. MISMATCH when ends, exponents or split differ, LIMIT when the weights do not fit. */
COVEY_MUST_CHECK enum covey_status covey_grid_merge(struct covey_grid *into, const struct covey_grid *from,
                                                    struct covey_error *err);

/* (last - first) means to out, f64. The sum of weights must not be zero. */
void covey_grid_mean(const struct covey_grid *grid, size_t first, size_t last, double *out);

/* Exponents for the next round: room for the largest value of this one, but always COVEY_GRID_HEADROOM bits
 * above the median update's, and never more than COVEY_GRID_HEADROOM_MAX: a few hostile devices cannot make
 * the grid so coarse that it loses what the others say. A tensor of zeros keeps its own. out: (tensor_count).
 */
void covey_grid_next_exponents(const struct covey_grid *grid, int16_t *out);

/* The accumulator as bytes, for the ledger and for a parent that merges it: versioned, little-endian. Whoever
 * stores or sends it adds the integrity check. */
size_t covey_grid_save_bytes(const struct covey_grid *grid);
COVEY_MUST_CHECK enum covey_status covey_grid_save(const struct covey_grid *grid, uint8_t *out,
                                                   size_t capacity, size_t *out_bytes);
/* Initialises *grid. expected_count: coordinates (MISMATCH). CORRUPT, UNSUPPORTED. */
COVEY_MUST_CHECK enum covey_status covey_grid_load(struct covey_grid *grid, struct covey_bytes saved,
                                                   size_t expected_count, struct covey_error *err);

#endif
