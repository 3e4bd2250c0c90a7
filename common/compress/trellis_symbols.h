/* From a class to the value that it stands for: one value at a time, for the kernels and the encoder. */
#ifndef COVEY_TRELLIS_SYMBOLS_H
#define COVEY_TRELLIS_SYMBOLS_H

#include "trellis_kernels.h"

/* The nearest value to a >= 0 that is j mod 4, in units; of j = 3, -1 is one. */
static inline int16_t covey_trellis_nearest(const struct covey_trellis_costs *costs, int16_t a, int j)
{
    const int16_t shifted = (int16_t)(a + 32 - 16 * j - costs->shifts[j]);
    const int16_t multiple = (int16_t)(shifted & ~63), least = j == 3 ? -64 : 0;
    return (int16_t)((multiple < least ? least : multiple) + 16 * j);
}

static inline int8_t covey_trellis_symbol(const struct covey_trellis_costs *costs, int16_t q, uint8_t class)
{
    const int sign = q < 0 ? -1 : 1;
    const int v =
        covey_trellis_nearest(costs, (int16_t)(q * sign), sign < 0 ? (4 - class) & 3 : class) / 16 * sign;
    const int magnitude = v < 0 ? -v : v;
    const int folded = magnitude > COVEY_TRELLIS_DIRECT ? 124 + (magnitude & 3) : magnitude;
    return (int8_t)(v < 0 ? -folded : folded);
}

#endif
