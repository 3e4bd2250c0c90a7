/* How the rotation cuts a tile into blocks. Whole tiles are one block of COVEY_DECODE_VALUES values. The
 * last, partial one is cut into powers of two, the largest first, so that nothing is padded; what is left
 * below COVEY_ROTATION_REST values stays together under one scale, and is rotated by its own powers of two.
 */
#ifndef COVEY_TRANSFORM_HADAMARD_H
#define COVEY_TRANSFORM_HADAMARD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "covey/codec.h"

#define COVEY_ROTATION_REST 64
/* |x| must be below 2^100, as the bits of a float: sums of a tile stay finite, with room. */
#define COVEY_ROTATION_LIMIT_BITS 0x71800000u

#define COVEY_ROTATION_ZERO_BITS 0x0D800000u /* 2^-100: blocks whose largest value is below count as zero */

/* The power of two that brings the largest value, of which the bits are given, into [1, 2): then squares
 * neither overflow nor vanish. most: COVEY_ROTATION_ZERO_BITS to below 2^126. */
static inline float covey_rotation_unit(uint32_t most)
{
    const uint32_t bits = (254u << 23) - (most & 0x7F800000u);
    float unit;
    memcpy(&unit, &bits, sizeof unit);
    return unit;
}

/* The largest power of two that is at most count; count > 0 and within a tile. */
static inline size_t covey_rotation_power(size_t count)
{
    size_t power = COVEY_DECODE_VALUES;
    while (power > count)
        power /= 2;
    return power;
}

/* Values of the next block under one scale, with `left` values left in the tile. */
static inline size_t covey_rotation_block(size_t left)
{
    return left < COVEY_ROTATION_REST ? left : covey_rotation_power(left);
}

#endif
