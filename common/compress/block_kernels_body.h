/* The bodies of covey_block_kernels, as plain loops that vectorise. Included once by each file that compiles
 * them for one kind of machine; that file defines KERNELS (the table's name) and KERNELS_NAME. */
#include <endian.h>
#include <string.h>

#include "block_kernels.h"
#include "philox_lanes.h"

#define BLOCK COVEY_BLOCK_VALUES
#define LANES COVEY_TILE_COUNTERS
_Static_assert(LANES == COVEY_PHILOX_LANES, "a tile's counters are made side by side");
#define MAGNITUDE 0x7FFFFFFFu

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Signed comparison: there is an instruction for it in every vector unit, and magnitudes have no sign. */
static inline uint32_t larger(uint32_t a, uint32_t b)
{
    return (int32_t)a > (int32_t)b ? a : b;
}

static inline uint32_t smaller(uint32_t a, uint32_t b)
{
    return (int32_t)a < (int32_t)b ? a : b;
}

static uint32_t largest(const float *x, size_t count)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = larger(bits_of(x[i]) & MAGNITUDE, most);
    return most;
}

/* Bits of the largest magnitude of each block. Eight running maxima a block, and only then across the eight,
 * for all blocks together: no step waits for the one before. most: COVEY_TILE_BLOCKS, all written. */
static uint32_t block_maxima(const float *restrict x, size_t block_count, uint32_t *restrict most)
{
    uint32_t lanes[COVEY_TILE_BLOCKS * 8] = {0}, most_of_all = 0;
    for (size_t b = 0; b < block_count; b++) {
        uint32_t running[8] = {0};
        for (size_t i = 0; i < BLOCK; i += 8)
            for (size_t j = 0; j < 8; j++)
                running[j] = larger(bits_of(x[b * BLOCK + i + j]) & MAGNITUDE, running[j]);
        memcpy(lanes + 8 * b, running, sizeof running);
    }
    for (size_t b = 0; b < COVEY_TILE_BLOCKS; b++) {
        const uint32_t *l = lanes + 8 * b;
        most[b] = larger(larger(larger(l[0], l[1]), larger(l[2], l[3])),
                         larger(larger(l[4], l[5]), larger(l[6], l[7])));
    }
    for (size_t b = 0; b < COVEY_TILE_BLOCKS; b++)
        most_of_all = larger(most[b], most_of_all);
    return most_of_all;
}

/* The least storable scale that is enough for each block, and 2^23 / scale (0 for a scale of 0). `factor` is
 * 1 / levels and 2^-20 more, so that float rounding never makes a scale too small; below 2^-100 a block
 * counts as zero. */
static void block_scales(const uint32_t *restrict most, float factor, uint32_t *restrict scales,
                         float *restrict factors)
{
    for (size_t b = 0; b < COVEY_TILE_BLOCKS; b++) {
        const float wanted = float_of(most[b]) * factor;
        const uint32_t is_zero = 0u - (uint32_t)(bits_of(wanted) < (127u - 100u) << 23);
        const uint32_t rounded = (bits_of(wanted) + 0x7FFFu) & 0xFFFF8000u;
        /* Where the block is zero, divide by one and throw the result away. */
        const float scale = float_of((rounded & ~is_zero) | (0x3F800000u & is_zero));
        scales[b] = (rounded & ~is_zero) >> 15;
        factors[b] = float_of(bits_of(0x1p23f / scale) & ~is_zero);
    }
}

/* floor(x / scale + u) with u uniform in [0, 1), in fixed point with 23 bits below the point: what the
 * conversion cuts off is below 2^-23 of a step. */
static inline void round_block(const float *restrict x, float factor, const uint32_t *restrict words,
                               uint32_t multiplier, int8_t *restrict codes)
{
    for (size_t i = 0; i < BLOCK; i++) {
        const int32_t fixed = (int32_t)(x[i] * factor) + (int32_t)(words[i] * multiplier >> 9);
        codes[i] = (int8_t)(fixed >> 23);
    }
}

static uint32_t round_tile(const uint32_t key[2], const uint32_t high[2], uint32_t tile, uint32_t levels,
                           const float *x, size_t block_count, uint16_t *scales, int8_t *codes)
{
    uint32_t words[4 * LANES], most[COVEY_TILE_BLOCKS], wide[COVEY_TILE_BLOCKS], multiplier = 1;
    float factors[COVEY_TILE_BLOCKS];
    _Static_assert(4 * LANES == BLOCK, "one word for each place in a block");
    const uint32_t most_of_all = block_maxima(x, block_count, most);
    if (most_of_all >= 0x7F000000u) /* the conversion to integers would be undefined */
        return most_of_all;
    block_scales(most, (1.0f + 0x1p-20f) / (float)levels, wide, factors);
    philox_lanes(key, high, tile * LANES, words);
    for (size_t b = 0; b < block_count; b++, multiplier *= COVEY_TILE_MULTIPLIER) {
        scales[b] = (uint16_t)wide[b];
        round_block(x + b * BLOCK, factors[b], words, multiplier, codes + b * BLOCK);
    }
    return most_of_all;
}

static void multiply(const int8_t *codes, const float *scales, size_t count, float *out)
{
    for (size_t block = 0; block < count / BLOCK; block++)
        for (size_t i = block * BLOCK; i < (block + 1) * BLOCK; i++)
            out[i] = (float)codes[i] * scales[block];
}

static void pack4(const int8_t *codes, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count / 2; i++)
        out[i] = (uint8_t)((codes[2 * i] & 15) | (uint8_t)codes[2 * i + 1] << 4);
}

static void unpack4(const uint8_t *in, size_t count, int8_t *codes)
{
    for (size_t i = 0; i < count / 2; i++) {
        codes[2 * i] = (int8_t)((int8_t)((in[i] & 15) ^ 8) - 8);
        codes[2 * i + 1] = (int8_t)((int8_t)((in[i] >> 4) ^ 8) - 8);
    }
}

/* Looking at the values while they pass also keeps the compiler from calling memcpy, which takes four times
 * as long where the stream's header leaves it unaligned. */
static uint32_t to_raw(const float *restrict x, size_t count, uint8_t *restrict out)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of(x[i]), stored = htole32(bits);
        most = larger(bits & MAGNITUDE, most);
        memcpy(out + 4 * i, &stored, sizeof stored);
    }
    return most;
}

static uint32_t from_raw(const uint8_t *restrict in, size_t count, float *restrict out)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t stored;
        memcpy(&stored, in + 4 * i, sizeof stored);
        const uint32_t bits = le32toh(stored);
        most = larger(bits & MAGNITUDE, most);
        out[i] = float_of(bits);
    }
    return most;
}

/* Round to nearest even by adding just under half of the last place and the bit above it; subnormal halves by
 * adding a float whose last place is theirs. */
static inline uint16_t half_of(uint32_t bits)
{
    const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & MAGNITUDE;
    const uint32_t clamped = smaller(magnitude, 0x477FE000u); /* 65504 */
    const uint32_t normal = (clamped + 0xFFFu + (clamped >> 13 & 1u) - 0x38000000u) >> 13;
    const uint32_t tiny = bits_of(float_of(clamped) + 0.5f) - 0x3F000000u;
    const uint32_t is_tiny = 0u - (uint32_t)((int32_t)clamped < 0x38800000); /* below 2^-14 */
    return (uint16_t)(sign | (tiny & is_tiny) | (normal & ~is_tiny));
}

static uint32_t to_half(const float *x, size_t count, uint8_t *out)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of(x[i]);
        const uint16_t half = htole16(half_of(bits));
        most = larger(bits & MAGNITUDE, most);
        memcpy(out + 2 * i, &half, sizeof half);
    }
    return most;
}

static uint32_t from_half(const uint8_t *in, size_t count, float *out)
{
    uint32_t most = 0;
    for (size_t i = 0; i < count; i++) {
        uint16_t stored;
        memcpy(&stored, in + 2 * i, sizeof stored);
        const uint32_t half = le16toh(stored), magnitude = half & 0x7FFFu;
        const float tiny = (float)(int32_t)magnitude * 0x1p-24f;
        const uint32_t normal = (magnitude << 13) + 0x38000000u;
        const uint32_t is_tiny = 0u - (uint32_t)((int32_t)magnitude < 0x400);
        most = larger(magnitude, most);
        out[i] = float_of((half & 0x8000u) << 16 | (bits_of(tiny) & is_tiny) | (normal & ~is_tiny));
    }
    return most;
}

const struct covey_block_kernels KERNELS = {
    .name = KERNELS_NAME,
    .largest = largest,
    .round_tile = round_tile,
    .multiply = multiply,
    .pack4 = pack4,
    .unpack4 = unpack4,
    .to_raw = to_raw,
    .from_raw = from_raw,
    .to_half = to_half,
    .from_half = from_half,
};
