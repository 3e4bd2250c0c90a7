/* The inner loops of the rotation (transform_hadamard.c) and of the Lloyd-Max quantiser (quantise_lloyd.c),
 * compiled once for every machine and once for wider vectors; a table is chosen at run time. All versions
 * give the same bits: single float operations, rounded the same everywhere, in one fixed order. */
#ifndef COVEY_EDEN_KERNELS_H
#define COVEY_EDEN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"

#define COVEY_SIGN_WORDS (COVEY_DECODE_VALUES / 32)
#define COVEY_LLOYD_BITS_MAX 4

struct covey_eden_kernels {
    const char *name;

    /* A tile's random signs: value i of the tile is negated when bit i / COVEY_SIGN_WORDS of word
     * i % COVEY_SIGN_WORDS is set. The words come from Philox under `key`, counters {32 tile + .., 0, 0, 0}.
     */
    void (*signs)(const uint32_t key[2], uint32_t tile, uint32_t words[COVEY_SIGN_WORDS]);

    /* x[i] = x[i] * factor, negated where the signs say so; x[0] is value `first` of the tile. */
    void (*flip)(float *x, size_t first, size_t count, const uint32_t *signs, float factor);

    /* Walsh-Hadamard transform, in place, not normalised: count a power of two, butterflies at distance
     * count / 2 first, 1 last. */
    void (*hadamard)(float *x, size_t count);

    /* flip and hadamard, or hadamard and flip, of a whole tile (count = COVEY_DECODE_VALUES). */
    void (*rotate)(float *x, const uint32_t *signs, float factor);
    void (*rotate_back)(float *x, const uint32_t *signs, float factor);

    /* Sum of (x[i] * factor)^2, in 32 running sums; count a multiple of 32. */
    double (*squares)(const float *x, size_t count, float factor);

    /* z = x * factor to the nearest of the 2^bits levels of quantise_lloyd.h: bit planes, the magnitude's
     * from the lowest on, the sign's last. A plane has words = count / 32 words; bit j of word w belongs to
     * value j * words + w. x: (32 * words), planes: (bits * words) as stored, little-endian, not aligned.
     * Returns the sum of z * level(z). */
    double (*quantise)(unsigned bits, const float *x, size_t words, float factor, uint8_t *planes);

    /* The other way: levels times scale. x: (32 * words), overwritten. */
    void (*reconstruct)(unsigned bits, const uint8_t *planes, size_t words, float scale, float *x);
};

extern const struct covey_eden_kernels covey_eden_kernels_plain;

/* Every table that this machine can run, NULL past the end; 0 is the one to use. */
const struct covey_eden_kernels *covey_eden_kernels_at(size_t index);

#endif
