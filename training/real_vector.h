/* Loops over vectors of reals, written so that a compiler vectorises them without being allowed to reorder
 * sums: eight partial sums stand for what fast-math would do, the same on every machine. */
#ifndef COVEY_REAL_VECTOR_H
#define COVEY_REAL_VECTOR_H

#include <stddef.h>

#include "real.h"

#define REAL_LANES 8

static inline real sum_lanes(const real lanes[REAL_LANES])
{
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/* sum of a[i] * b[i] */
static inline real dot(const real *a, const real *b, size_t count)
{
    real lanes[REAL_LANES] = {0};
    size_t i = 0;
    for (; i + REAL_LANES <= count; i += REAL_LANES)
        for (size_t lane = 0; lane < REAL_LANES; lane++)
            lanes[lane] += a[i + lane] * b[i + lane];
    real sum = sum_lanes(lanes);
    for (; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* y += scale * x */
static inline void add_scaled(real *restrict y, real scale, const real *restrict x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        y[i] += scale * x[i];
}

/* y = beta * y, where 0 overwrites whatever y holds */
static inline void scale_by(real *y, real beta, size_t count)
{
    if (beta == REAL_C(0.0))
        for (size_t i = 0; i < count; i++)
            y[i] = REAL_C(0.0);
    else if (beta != REAL_C(1.0))
        for (size_t i = 0; i < count; i++)
            y[i] *= beta;
}

/* y = alpha * x + beta * y: how a gradient that was summed on its own reaches dw */
static inline void blend(real *y, real beta, real alpha, const real *x, size_t count)
{
    scale_by(y, beta, count);
    for (size_t i = 0; i < count; i++)
        y[i] += alpha * x[i];
}

#endif
