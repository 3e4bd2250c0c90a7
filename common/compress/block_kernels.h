/* The inner loops of the codecs, compiled once for every machine and once for wider vectors; a table is
 * chosen at run time. All versions give the same bits: integers, and single float operations that are rounded
 * the same everywhere. */
#ifndef COVEY_BLOCK_KERNELS_H
#define COVEY_BLOCK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"

/* Values that share sixteen Philox counters: see covey_block_kernels.round_group. */
#define COVEY_GROUP_VALUES 256
#define COVEY_GROUP_COUNTERS 16

struct covey_block_kernels {
    const char *name;

    /* The largest |x|, as the bits of a float without its sign; count a multiple of 8. */
    uint32_t (*largest)(const float *x, size_t count);

    /* Stochastic rounding of 256 values in four blocks. Words 0..63 come from counters group * 16 + lane,
     * word w of the sixteen lanes being words 16 w .. 16 w + 15; value i of block b takes word i turned left
     * by 8 b bits. A block's scale is the least 16-bit one (covey/codec.h) with largest |x| <= levels *
     * scale. scales: (4), as stored; codes: (256) int8; largest: bits of the largest |x|. */
    void (*round_group)(const uint32_t key[2], const uint32_t high[2], uint32_t group, uint32_t levels,
                        const float *x, uint16_t *scales, int8_t *codes, uint32_t *largest);

    /* out[i] = codes[i] * scale of its block of 64; count a multiple of 64. */
    void (*multiply)(const int8_t *codes, const float *scales, size_t count, float *out);

    /* Two codes in -8..7 a byte, the earlier one in the lower half; count even. */
    void (*pack4)(const int8_t *codes, size_t count, uint8_t *out);
    void (*unpack4)(const uint8_t *in, size_t count, int8_t *codes);

    /* binary16, to nearest even, saturating; subnormals kept. Any count. to_half returns the bits of the
     * largest |x|; from_half returns the largest half without its sign. Bytes little-endian, not aligned. */
    uint32_t (*to_half)(const float *x, size_t count, uint8_t *out);
    uint32_t (*from_half)(const uint8_t *in, size_t count, float *out);
};

extern const struct covey_block_kernels covey_block_kernels_plain;

/* Every table that this machine can run, NULL past the end; 0 is the one to use. */
const struct covey_block_kernels *covey_block_kernels_at(size_t index);

#endif
