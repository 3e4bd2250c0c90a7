/* The inner loops of rules that look at all updates of a coordinate, compiled once for every machine and once
 * for wider vectors; chosen at run time. Both do the same operations in the same order: the same bits. */
#ifndef COVEY_COLUMN_KERNELS_H
#define COVEY_COLUMN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define COVEY_COLUMN_LANES 32 /* coordinates that are sorted side by side */

struct covey_column_kernels {
    const char *name;
    /* x: (rows, LANES). Each pair (a, b), a < b: the lower value goes to row a, the higher to row b. */
    void (*sort)(float *x, const uint16_t (*pairs)[2], size_t pair_count);
    /* sums[l] += the rows [first, last) of x: (rows, LANES), one after the other. */
    void (*sum)(const float *x, size_t first, size_t last, double *sums);
    /* out[i] += x[i] * factor */
    void (*add)(double *out, const float *x, size_t count, double factor);
};

extern const struct covey_column_kernels covey_column_kernels_plain;
/* Every table that this machine can run, NULL past the end; 0 is the one to use. */
const struct covey_column_kernels *covey_column_kernels_at(size_t index);

#endif
