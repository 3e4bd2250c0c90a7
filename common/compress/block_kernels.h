/* The inner loops of the codecs, compiled once for every machine and once for wider vectors; a table is
 * chosen at run time. All versions give the same bits: integers, and single float operations that are rounded
 * the same everywhere. */
#ifndef COVEY_BLOCK_KERNELS_H
#define COVEY_BLOCK_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"

#define COVEY_TILE_BLOCKS (COVEY_DECODE_VALUES / COVEY_BLOCK_VALUES)
#define COVEY_TILE_COUNTERS 16 /* of Philox, for one tile */

/* Sixteen counters give 64 words, one for each place in a block; block b of the tile takes them times this
 * multiplier to the power b. Times an odd number a uniform word is uniform again, so every single rounding is
 * exactly unbiased; the multiplier was searched so that for no two blocks of a tile the pairs lie on few
 * lines: the shortest vector of the lattice (Knuth, volume 2, section 3.3.4) of each of its powers 1 to 63 is
 * at least .42 * 2^16 (see the test). */
#define COVEY_TILE_MULTIPLIER 0x6CB778FDu

struct covey_block_kernels {
    const char *name;

    /* The largest |x|, as the bits of a float without its sign. */
    uint32_t (*largest)(const float *x, size_t count);

    /* Stochastic rounding of the whole blocks of a tile, the one with number `tile` of the vector. Word w of
     * the sixteen lanes of Philox, lane 0 having counter tile * 16, are words 16 w .. 16 w + 15. A block's
     * scale is the least 16-bit one (quantise_block.c) with largest |x| <= levels * scale. scales:
     * (block_count), as stored; codes: (block_count * 64). Returns the bits of the largest |x|; when that is
     * 2^127 or more, the rest means nothing. */
    uint32_t (*round_tile)(const uint32_t key[2], const uint32_t high[2], uint32_t tile, uint32_t levels,
                           const float *x, size_t block_count, uint16_t *scales, int8_t *codes);

    /* out[i] = codes[i] * scale of its block of 64; count a multiple of 64. */
    void (*multiply)(const int8_t *codes, const float *scales, size_t count, float *out);

    /* Two codes in -8..7 a byte, the earlier one in the lower half; count even. */
    void (*pack4)(const int8_t *codes, size_t count, uint8_t *out);
    void (*unpack4)(const uint8_t *in, size_t count, int8_t *codes);

    /* binary32 to and from bytes, little-endian, not aligned. Both return the bits of the largest |x|. */
    uint32_t (*to_raw)(const float *x, size_t count, uint8_t *out);
    uint32_t (*from_raw)(const uint8_t *in, size_t count, float *out);

    /* binary16, to nearest even, saturating; subnormals kept. Any count. to_half returns the bits of the
     * largest |x|; from_half returns the largest half without its sign. Bytes little-endian, not aligned. */
    uint32_t (*to_half)(const float *x, size_t count, uint8_t *out);
    uint32_t (*from_half)(const uint8_t *in, size_t count, float *out);
};

extern const struct covey_block_kernels covey_block_kernels_plain;

/* Every table that this machine can run, NULL past the end; 0 is the one to use. */
const struct covey_block_kernels *covey_block_kernels_at(size_t index);

#endif
