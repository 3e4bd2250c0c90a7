/* The bodies of covey_block_kernels, as plain loops that vectorise. Included once by each file that compiles
 * them for one kind of machine; that file defines KERNELS (the table's name) and KERNELS_NAME. */
#include <endian.h>
#include <string.h>

#include "block_kernels.h"

#define BLOCK COVEY_BLOCK_VALUES
#define LANES COVEY_GROUP_COUNTERS
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

static uint32_t largest(const float *x, size_t count)
{
    uint32_t most[8] = {0};
    for (size_t i = 0; i < count; i += 8)
        for (size_t j = 0; j < 8; j++)
            most[j] = larger(bits_of(x[i + j]) & MAGNITUDE, most[j]);
    for (size_t j = 1; j < 8; j++)
        most[0] = larger(most[0], most[j]);
    return most[0];
}

/* Philox4x32-10 (covey/random.h) on sixteen counters side by side. */
static inline void philox_lanes(const uint32_t key[2], const uint32_t high[2], uint32_t first,
                                uint32_t words[4 * LANES])
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = key[0], k1 = key[1];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        c0[lane] = first + lane;
        c1[lane] = 0;
        c2[lane] = high[0];
        c3[lane] = high[1];
    }
    for (int i = 0; i < 10; i++) {
        for (size_t lane = 0; lane < LANES; lane++) {
            const uint64_t product0 = (uint64_t)0xD2511F53u * c0[lane];
            const uint64_t product1 = (uint64_t)0xCD9E8D57u * c2[lane];
            c0[lane] = (uint32_t)(product1 >> 32) ^ c1[lane] ^ k0;
            c1[lane] = (uint32_t)product1;
            c2[lane] = (uint32_t)(product0 >> 32) ^ c3[lane] ^ k1;
            c3[lane] = (uint32_t)product0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(words, c0, sizeof c0);
    memcpy(words + LANES, c1, sizeof c1);
    memcpy(words + 2 * LANES, c2, sizeof c2);
    memcpy(words + 3 * LANES, c3, sizeof c3);
}

/* The least storable scale that is enough, from the bits of the block's largest magnitude. The factor is 1 /
 * levels and 2^-20 more, so that float rounding never makes it too small; below 2^-100 the block counts as
 * zero. */
static inline uint16_t scale_for(uint32_t most, float factor)
{
    const float wanted = float_of(most) * factor;
    return wanted < 0x1p-100f ? 0 : (uint16_t)((bits_of(wanted) + 0x7FFFu) >> 15);
}

/* floor(x / scale + u) with u uniform in [0, 1), in fixed point with 23 bits below the point: what the
 * conversion cuts off is below 2^-23 of a step. */
static inline void round_block(const float *x, uint16_t scale, const uint32_t *words, unsigned turn,
                               int8_t *codes)
{
    const float factor = scale == 0 ? 0.0f : 0x1p23f / float_of((uint32_t)scale << 15);
    for (size_t i = 0; i < BLOCK; i++) {
        const uint32_t word = words[i] << turn | words[i] >> ((32 - turn) & 31);
        const int32_t fixed = (int32_t)(x[i] * factor) + (int32_t)(word >> 9);
        codes[i] = (int8_t)(fixed >> 23);
    }
}

static void round_group(const uint32_t key[2], const uint32_t high[2], uint32_t group, uint32_t levels,
                        const float *x, uint16_t *scales, int8_t *codes, uint32_t *most)
{
    uint32_t words[4 * LANES];
    const float factor = (1.0f + 0x1p-20f) / (float)levels;
    uint32_t most_of_all = 0;
    philox_lanes(key, high, group * LANES, words);
    for (unsigned b = 0; b < COVEY_GROUP_VALUES / BLOCK; b++) {
        const uint32_t most_here = largest(x + b * BLOCK, BLOCK);
        most_of_all = larger(most_here, most_of_all);
        /* Out of range the codes mean nothing, but the conversion stays defined; the caller refuses the tile.
         */
        scales[b] = most_here < 0x7F000000u ? scale_for(most_here, factor) : 0;
    }
    if (most_of_all < 0x7F000000u)
        for (unsigned b = 0; b < COVEY_GROUP_VALUES / BLOCK; b++)
            round_block(x + b * BLOCK, scales[b], words, 8 * b, codes + b * BLOCK);
    *most = most_of_all;
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

/* Round to nearest even by adding just under half of the last place and the bit above it; subnormal halves by
 * adding a float whose last place is theirs. */
static inline uint16_t half_of(uint32_t bits)
{
    const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & MAGNITUDE;
    const uint32_t clamped = (int32_t)magnitude < 0x477FE000 ? magnitude : 0x477FE000u; /* 65504 */
    const uint32_t normal = (clamped + 0xFFFu + (clamped >> 13 & 1u) - 0x38000000u) >> 13;
    const uint32_t tiny = bits_of(float_of(clamped) + 0.5f) - 0x3F000000u;
    return (uint16_t)(sign | ((int32_t)clamped < 0x38800000 ? tiny : normal)); /* below 2^-14 */
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
        most = larger(magnitude, most);
        out[i] = float_of((half & 0x8000u) << 16 | ((int32_t)magnitude < 0x400 ? bits_of(tiny) : normal));
    }
    return most;
}

const struct covey_block_kernels KERNELS = {
    .name = KERNELS_NAME,
    .largest = largest,
    .round_group = round_group,
    .multiply = multiply,
    .pack4 = pack4,
    .unpack4 = unpack4,
    .to_half = to_half,
    .from_half = from_half,
};
