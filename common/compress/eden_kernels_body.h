/* The bodies of covey_eden_kernels. Included once by each file that compiles them for one kind of machine;
 * that file defines KERNELS (the table's name), KERNELS_NAME LANES, the floats in a vector (4 or 8), and
 * WIDE, those in a vector of the rotation, if these are more (16). */
#include <endian.h>
#include <string.h>

#include "philox_lanes.h"
#include "quantise_lloyd.h"

#define TILE COVEY_DECODE_VALUES
#define WORDS COVEY_SIGN_WORDS
#define SIGN 0x80000000u

/* A vector that may lie anywhere in an array of floats or words. */
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t bit_lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#ifndef WIDE
#define WIDE LANES
#endif
typedef float wide __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));
typedef uint32_t wide_bits __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

/* ---- rotation ---- */

static void signs(const uint32_t key[2], uint32_t tile, uint32_t words[WORDS])
{
    static const uint32_t high[2] = {0, 0};
    philox_lanes(key, high, tile * 32, words);
    philox_lanes(key, high, tile * 32 + COVEY_PHILOX_LANES, words + WORDS / 2);
}

static void flip(float *x, size_t first, size_t count, const uint32_t *words, float factor)
{
    for (size_t i = first; i < first + count; i++) {
        uint32_t bits;
        float signed_factor;
        memcpy(&bits, &factor, sizeof bits);
        bits ^= words[i % WORDS] << (31 - i / WORDS) & SIGN;
        memcpy(&signed_factor, &bits, sizeof bits);
        x[i - first] = x[i - first] * signed_factor;
    }
}

/* A vector of factors with the signs of values j * WORDS + w, w = word .. word + WIDE - 1. */
static inline void signed_factors(const uint32_t *words, size_t word, size_t j, float factor, wide *out)
{
    const wide factors = (wide){0} + factor;
    *out = (wide)((wide_bits)factors ^ ((*(const wide_bits *)(words + word) << (31 - (uint32_t)j)) & SIGN));
}

/* Butterflies at distances 4, 2 and 1 of eight vectors. */
static inline void butterflies8(wide v[8])
{
#pragma GCC unroll 3
    for (size_t distance = 4; distance > 0; distance /= 2) {
#pragma GCC unroll 8
        for (size_t i = 0; i < 8; i++) {
            if ((i & distance) != 0)
                continue;
            const wide a = v[i], b = v[i + distance];
            v[i] = a + b;
            v[i + distance] = a - b;
        }
    }
}

/* Three stages at once, at distances 4, 2 and 1 times h; h a multiple of WIDE. */
static inline void three_stages(float *x, size_t count, size_t h)
{
    for (size_t group = 0; group < count; group += 8 * h) {
        for (size_t at = group; at < group + h; at += WIDE) {
            wide v[8];
#pragma GCC unroll 8
            for (size_t k = 0; k < 8; k++)
                v[k] = *(const wide *)(x + at + k * h);
            butterflies8(v);
#pragma GCC unroll 8
            for (size_t k = 0; k < 8; k++)
                *(wide *)(x + at + k * h) = v[k];
        }
    }
}

static void one_stage(float *x, size_t count, size_t h)
{
    for (size_t group = 0; group < count; group += 2 * h) {
        for (size_t i = group; i < group + h; i++) {
            const float a = x[i], b = x[i + h];
            x[i] = a + b;
            x[i + h] = a - b;
        }
    }
}

/* One stage within a vector: the vector with its halves (quarters, ..) exchanged, plus itself with the later
 * half negated. */
#if WIDE == 16
#define EXCHANGE8(v) __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define EXCHANGE4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#define EXCHANGE2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)
#define EXCHANGE1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#define LATER2                                                                                               \
    {                                                                                                        \
        0, 0, SIGN, SIGN, 0, 0, SIGN, SIGN, 0, 0, SIGN, SIGN, 0, 0, SIGN, SIGN                               \
    }
#define LATER1                                                                                               \
    {                                                                                                        \
        0, SIGN, 0, SIGN, 0, SIGN, 0, SIGN, 0, SIGN, 0, SIGN, 0, SIGN, 0, SIGN                               \
    }
#elif WIDE == 8
#define EXCHANGE4(v) __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#define EXCHANGE2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5)
#define EXCHANGE1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6)
#define LATER2                                                                                               \
    {                                                                                                        \
        0, 0, SIGN, SIGN, 0, 0, SIGN, SIGN                                                                   \
    }
#define LATER1                                                                                               \
    {                                                                                                        \
        0, SIGN, 0, SIGN, 0, SIGN, 0, SIGN                                                                   \
    }
#else
#define EXCHANGE2(v) __builtin_shufflevector(v, v, 2, 3, 0, 1)
#define EXCHANGE1(v) __builtin_shufflevector(v, v, 1, 0, 3, 2)
#define LATER2                                                                                               \
    {                                                                                                        \
        0, 0, SIGN, SIGN                                                                                     \
    }
#define LATER1                                                                                               \
    {                                                                                                        \
        0, SIGN, 0, SIGN                                                                                     \
    }
#endif

/* The last six stages, at distances 32 to 1, of 64 values. */
static inline void last_stages(float *x)
{
    static const wide_bits later2 = LATER2, later1 = LATER1;
    for (size_t at = 0; at < 64; at += 64) {
        wide v[64 / WIDE];
#pragma GCC unroll 16
        for (size_t k = 0; k < 64 / WIDE; k++)
            v[k] = *(const wide *)(x + k * WIDE);
#if WIDE == 16
        static const wide_bits later8 = {0,    0,    0,    0,    0,    0,    0,    0,
                                         SIGN, SIGN, SIGN, SIGN, SIGN, SIGN, SIGN, SIGN},
                               later4 = {0, 0, 0, 0, SIGN, SIGN, SIGN, SIGN,
                                         0, 0, 0, 0, SIGN, SIGN, SIGN, SIGN};
        const wide a = v[0] + v[2], b = v[1] + v[3], c = v[0] - v[2], d = v[1] - v[3];
        v[0] = a + b;
        v[1] = a - b;
        v[2] = c + d;
        v[3] = c - d;
#pragma GCC unroll 4
        for (size_t k = 0; k < 4; k++) {
            v[k] = EXCHANGE8(v[k]) + (wide)((wide_bits)v[k] ^ later8);
            v[k] = EXCHANGE4(v[k]) + (wide)((wide_bits)v[k] ^ later4);
        }
#elif WIDE == 8
        static const wide_bits later4 = {0, 0, 0, 0, SIGN, SIGN, SIGN, SIGN};
        butterflies8(v);
#pragma GCC unroll 8
        for (size_t k = 0; k < 8; k++)
            v[k] = EXCHANGE4(v[k]) + (wide)((wide_bits)v[k] ^ later4);
#else
#pragma GCC unroll 4
        for (size_t distance = 8; distance > 0; distance /= 2) {
#pragma GCC unroll 16
            for (size_t i = 0; i < 16; i++) {
                if ((i & distance) != 0)
                    continue;
                const wide a = v[i], b = v[i + distance];
                v[i] = a + b;
                v[i + distance] = a - b;
            }
        }
#endif
#pragma GCC unroll 16
        for (size_t k = 0; k < 64 / WIDE; k++) {
            v[k] = EXCHANGE2(v[k]) + (wide)((wide_bits)v[k] ^ later2);
            v[k] = EXCHANGE1(v[k]) + (wide)((wide_bits)v[k] ^ later1);
            *(wide *)(x + k * WIDE) = v[k];
        }
    }
}

static void hadamard(float *x, size_t count)
{
    size_t left = count; /* twice the next distance */
    for (; left >= 512; left /= 8)
        three_stages(x, count, left / 8);
    for (; left > 64 || (count < 64 && left > 1); left /= 2)
        one_stage(x, count, left / 2);
    for (size_t at = 0; at + 64 <= count; at += 64)
        last_stages(x + at);
}

static void rotate(float *x, const uint32_t *words, float factor)
{
    for (size_t q = 0; q < TILE / 8; q += WORDS) {
        for (size_t w = 0; w < WORDS; w += WIDE) {
            wide v[8];
#pragma GCC unroll 8
            for (size_t k = 0; k < 8; k++) {
                wide factors;
                signed_factors(words, w, 4 * k + q / WORDS, factor, &factors);
                v[k] = *(const wide *)(x + q + w + k * (TILE / 8)) * factors;
            }
            butterflies8(v);
#pragma GCC unroll 8
            for (size_t k = 0; k < 8; k++)
                *(wide *)(x + q + w + k * (TILE / 8)) = v[k];
        }
    }
    for (size_t at = 0; at < TILE; at += TILE / 8) {
        three_stages(x + at, TILE / 8, TILE / 64);
        for (size_t i = 0; i < TILE / 8; i += 64)
            last_stages(x + at + i);
    }
}

static void rotate_back(float *x, const uint32_t *words, float factor)
{
    hadamard(x, TILE);
    for (size_t j = 0; j < TILE / WORDS; j++) {
        for (size_t w = 0; w < WORDS; w += WIDE) {
            wide factors;
            signed_factors(words, w, j, factor, &factors);
            *(wide *)(x + j * WORDS + w) *= factors;
        }
    }
}

/* ---- quantiser ---- */

static double squares(const float *x, size_t count, float factor)
{
    float sums[32] = {0};
    double sum = 0;
    for (size_t i = 0; i < count; i += 32) {
        for (size_t j = 0; j < 32; j++) {
            const float z = x[i + j] * factor;
            sums[j] += z * z;
        }
    }
    for (size_t j = 0; j < 32; j++)
        sum += (double)sums[j];
    return sum;
}

/* The words of every plane for one vector of words, and its share of the sum; bits is a constant where this
 * is called. x: value j of word w is x[j * stride + w]. */
static inline __attribute__((always_inline)) void quantise_lanes(unsigned bits, const float *x, size_t stride,
                                                                 float factor, bit_lanes *planes,
                                                                 lanes sums[4])
{
    const float *levels = covey_lloyd_levels[bits - 1], *thresholds = covey_lloyd_thresholds[bits - 1];
    const size_t thresholds_count = (1u << (bits - 1)) - 1;
    for (unsigned p = 0; p < bits; p++)
        planes[p] = (bit_lanes){0};
#pragma GCC unroll 4
    for (uint32_t j = 0; j < 32; j++) {
        const lanes z = *(const lanes *)(x + j * stride) * factor;
        const bit_lanes sign = (bit_lanes)z & SIGN;
        const lanes magnitude = (lanes)((bit_lanes)z ^ sign);
        lanes level = (lanes){0} + levels[0];
        bit_lanes index = {0}; /* minus the number of thresholds below the magnitude */
#pragma GCC unroll 7
        for (size_t k = 0; k < thresholds_count; k++) {
            const bit_lanes above = (bit_lanes)(magnitude > thresholds[k]);
            const lanes step = (lanes){0} + (levels[k + 1] - levels[k]);
            level += (lanes)((bit_lanes)step & above);
            index += above;
        }
        index = -index;
#pragma GCC unroll 3
        for (unsigned p = 0; p + 1 < bits; p++)
            planes[p] |= (index >> p & 1) << j;
        planes[bits - 1] |= sign >> (31 - j);
        sums[j % 4] += magnitude * level;
    }
}

/* As many words as a vector has, also where there are fewer than that. */
static inline __attribute__((always_inline)) double quantise_bits(unsigned bits, const float *x, size_t words,
                                                                  float factor, uint8_t *out)
{
    float padded[32 * 8];
    lanes sums[4][8 / LANES] = {{{0}}};
    double sum = 0;
    size_t stride = words;
    if (words < 8) {
        memset(padded, 0, sizeof padded);
        for (size_t j = 0; j < 32; j++)
            memcpy(padded + 8 * j, x + j * words, words * sizeof *x);
        x = padded;
        stride = 8;
    }
    for (size_t w = 0; w < words; w += 8) {
        for (size_t half = 0; half < 8 / LANES; half++) {
            bit_lanes planes[COVEY_LLOYD_BITS_MAX];
            lanes sums_here[4] = {sums[0][half], sums[1][half], sums[2][half], sums[3][half]};
            quantise_lanes(bits, x + w + half * LANES, stride, factor, planes, sums_here);
            for (size_t i = 0; i < 4; i++)
                sums[i][half] = sums_here[i];
            for (unsigned p = 0; p < bits; p++) {
                for (size_t i = 0; i < LANES && w + half * LANES + i < words; i++) {
                    const uint32_t stored = htole32(planes[p][i]);
                    memcpy(out + 4 * (p * words + w + half * LANES + i), &stored, sizeof stored);
                }
            }
        }
    }
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 8; k++)
            sum += (double)sums[i][k / LANES][k % LANES];
    return sum;
}

static double quantise(unsigned bits, const float *x, size_t words, float factor, uint8_t *planes)
{
    switch (bits) {
    case 1:
        return quantise_bits(1, x, words, factor, planes);
    case 2:
        return quantise_bits(2, x, words, factor, planes);
    case 3:
        return quantise_bits(3, x, words, factor, planes);
    default:
        return quantise_bits(4, x, words, factor, planes);
    }
}

static inline uint32_t float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A level's bits as a sum modulo 2 of products of the index's bits: no table is looked up for a value.
 * terms[s] is the coefficient of the product of the bits in s. */
static void level_terms(unsigned bits, float scale, uint32_t terms[8])
{
    const size_t count = 1u << (bits - 1);
    for (size_t k = 0; k < count; k++)
        terms[k] = float_bits(covey_lloyd_levels[bits - 1][k] * scale);
    for (size_t bit = 1; bit < count; bit *= 2)
        for (size_t k = 0; k < count; k++)
            if ((k & bit) != 0)
                terms[k] ^= terms[k ^ bit];
}

static inline __attribute__((always_inline)) void reconstruct_lanes(unsigned bits, const bit_lanes *planes,
                                                                    const uint32_t *terms, float *x,
                                                                    size_t stride)
{
#pragma GCC unroll 4
    for (uint32_t j = 0; j < 32; j++) {
        bit_lanes set[3] = {{0}};
#pragma GCC unroll 3
        for (unsigned p = 0; p + 1 < bits; p++)
            set[p] = -(planes[p] >> j & 1);
        bit_lanes level = (bit_lanes){0} + terms[0];
        if (bits >= 2)
            level ^= set[0] & terms[1];
        if (bits >= 3)
            level ^= set[1] & (terms[2] ^ (set[0] & terms[3]));
        if (bits >= 4)
            level ^= set[2] & (terms[4] ^ (set[0] & terms[5]) ^ (set[1] & (terms[6] ^ (set[0] & terms[7]))));
        *(bit_lanes *)(x + j * stride) = level ^ (planes[bits - 1] << (31 - j) & SIGN);
    }
}

static inline __attribute__((always_inline)) void reconstruct_bits(unsigned bits, const uint8_t *in,
                                                                   size_t words, float scale, float *x)
{
    float padded[32 * 8];
    uint32_t terms[8];
    const size_t stride = words < 8 ? 8 : words;
    float *const out = words < 8 ? padded : x;
    level_terms(bits, scale, terms);
    for (size_t w = 0; w < words; w += LANES) {
        bit_lanes planes[COVEY_LLOYD_BITS_MAX] = {{0}};
        for (unsigned p = 0; p < bits; p++) {
            for (size_t i = 0; i < LANES && w + i < words; i++) {
                uint32_t stored;
                memcpy(&stored, in + 4 * (p * words + w + i), sizeof stored);
                planes[p][i] = le32toh(stored);
            }
        }
        reconstruct_lanes(bits, planes, terms, out + w, stride);
    }
    for (size_t j = 0; words < 8 && j < 32; j++)
        memcpy(x + j * words, padded + 8 * j, words * sizeof *x);
}

static void reconstruct(unsigned bits, const uint8_t *planes, size_t words, float scale, float *x)
{
    switch (bits) {
    case 1:
        reconstruct_bits(1, planes, words, scale, x);
        break;
    case 2:
        reconstruct_bits(2, planes, words, scale, x);
        break;
    case 3:
        reconstruct_bits(3, planes, words, scale, x);
        break;
    default:
        reconstruct_bits(4, planes, words, scale, x);
        break;
    }
}

const struct covey_eden_kernels KERNELS = {.name = KERNELS_NAME,
                                           .signs = signs,
                                           .flip = flip,
                                           .hadamard = hadamard,
                                           .rotate = rotate,
                                           .rotate_back = rotate_back,
                                           .squares = squares,
                                           .quantise = quantise,
                                           .reconstruct = reconstruct};
