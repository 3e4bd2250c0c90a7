/* EDEN's quantiser (Vargaftik et al., "EDEN: communication-efficient and robust distributed mean estimation",
 * ICML 2022, section 3): a block of rotated values y is divided by its own deviation, rounded to the nearest
 * levels Q of a normal variable's Lloyd-Max quantiser, and decodes to s Q with s = |y|^2 / <y, Q>. So
 * <y, s Q> = |y|^2 always, which after a random rotation makes E[decoded] = x.
 *
 * The side record of a tile: one f32 scale for each of its blocks (transform_hadamard.h). The codes: each
 * block's bit planes, one after the other; a rest of less than 64 values as a row of bits, the planes of one
 * value beside each other. */
#include <endian.h>
#include <math.h>
#include <string.h>

#include "eden_kernels.h"
#include "quantise_lloyd.h"
#include "stage.h"
#include "transform_hadamard.h"

#define SCALE_BYTES 4
#define SCALE_LIMIT 0x78000000u /* 2^113: above, the sums of the inverse rotation might not be finite */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Blocks of a tile, so scales. */
static size_t block_count(size_t count)
{
    size_t blocks = 0;
    for (; count > 0; count -= covey_rotation_block(count))
        blocks++;
    return blocks;
}

static size_t side_size(size_t count)
{
    return block_count(count) * SCALE_BYTES;
}

/* Words of a plane of a block of count values; a rest is worked on as if it had zeros at its end. */
static size_t plane_words(size_t count)
{
    return (count + 31) / 32;
}

/* The scale of a block of count values, its planes written. y: (32 * words), zeros from count on. */
static float encode_block(const struct covey_encode_run *run, unsigned bits, const float *y, size_t count,
                          uint8_t *planes)
{
    const struct covey_eden_kernels *kernels = covey_eden_kernels_at(0);
    const size_t words = plane_words(count);
    const uint32_t most = run->kernels->largest(y, count);
    if (most < COVEY_ROTATION_ZERO_BITS) {
        memset(planes, 0, 4 * bits * words);
        return 0.0f;
    }
    const float unit = covey_rotation_unit(most);
    const double squares = kernels->squares(y, 32 * words, unit);
    const float inverse = (float)(1.0 / sqrt(squares / (double)count));
    const double product = kernels->quantise(bits, y, words, unit * inverse, planes);
    return (float)(squares / (double)unit * (double)inverse / product);
}

/* Planes of a rest of count values to and from its row of bits. */
static void planes_to_row(unsigned bits, const uint8_t *planes, size_t count, uint8_t *row)
{
    const size_t words = plane_words(count);
    memset(row, 0, (count * bits + 7) / 8);
    for (size_t i = 0; i < count * bits; i++) {
        const size_t value = i / bits, plane = i % bits, bit = value / words;
        const uint8_t byte = planes[4 * (plane * words + value % words) + bit / 8];
        row[i / 8] |= (uint8_t)((byte >> bit % 8 & 1) << i % 8);
    }
}

static void row_to_planes(unsigned bits, const uint8_t *row, size_t count, uint8_t *planes)
{
    const size_t words = plane_words(count);
    memset(planes, 0, 4 * bits * words);
    for (size_t i = 0; i < count * bits; i++) {
        const size_t value = i / bits, plane = i % bits, bit = value / words;
        planes[4 * (plane * words + value % words) + bit / 8] |=
            (uint8_t)((row[i / 8] >> i % 8 & 1) << bit % 8);
    }
}

static float encode_rest(const struct covey_encode_run *run, unsigned bits, const float *y, size_t count,
                         uint8_t *row)
{
    float padded[COVEY_ROTATION_REST] = {0};
    uint8_t planes[COVEY_LLOYD_BITS_MAX * COVEY_ROTATION_REST / 8];
    memcpy(padded, y, count * sizeof *y);
    const float scale = encode_block(run, bits, padded, count, planes);
    planes_to_row(bits, planes, count, row);
    return scale;
}

static enum covey_status decode(unsigned bits, const uint8_t *side, const uint8_t *codes, size_t count,
                                float *out)
{
    const struct covey_eden_kernels *kernels = covey_eden_kernels_at(0);
    for (size_t at = 0, block; at < count; at += block, side += SCALE_BYTES) {
        uint32_t stored;
        block = covey_rotation_block(count - at);
        memcpy(&stored, side, sizeof stored);
        const uint32_t scale = le32toh(stored);
        if (scale > SCALE_LIMIT)
            return COVEY_CORRUPT;
        if (block >= COVEY_ROTATION_REST) {
            kernels->reconstruct(bits, codes, block / 32, float_of(scale), out + at);
        } else {
            float padded[COVEY_ROTATION_REST];
            uint8_t planes[COVEY_LLOYD_BITS_MAX * COVEY_ROTATION_REST / 8];
            row_to_planes(bits, codes, block, planes);
            kernels->reconstruct(bits, planes, plane_words(block), float_of(scale), padded);
            memcpy(out + at, padded, block * sizeof *out);
        }
        codes += block * bits / 8;
    }
    return COVEY_OK;
}

/* No value is larger than its block's length, whatever is rotated within it. The factor is for float sums. */
static enum covey_status find_peak(unsigned bits, const uint8_t *side, size_t count, float *peak)
{
    const double level = (double)covey_lloyd_levels[bits - 1][(1u << (bits - 1)) - 1] * (1 + 0x1p-12);
    double most = 0;
    for (size_t at = 0, block; at < count; at += block, side += SCALE_BYTES) {
        uint32_t stored;
        block = covey_rotation_block(count - at);
        memcpy(&stored, side, sizeof stored);
        const uint32_t scale = le32toh(stored);
        if (scale > SCALE_LIMIT)
            return COVEY_CORRUPT;
        const double length = sqrt((double)block) * level * (double)float_of(scale);
        most = length > most ? length : most;
    }
    *peak = (float)most;
    return COVEY_OK;
}

static enum covey_status encode(const struct covey_encode_run *run, unsigned bits, const float *y,
                                size_t count, uint8_t *side, uint8_t *codes, float *decoded)
{
    uint8_t *const codes_begin = codes, *const side_begin = side;
    for (size_t at = 0, block; at < count; at += block, side += SCALE_BYTES) {
        block = covey_rotation_block(count - at);
        const float scale = block >= COVEY_ROTATION_REST ? encode_block(run, bits, y + at, block, codes)
                                                         : encode_rest(run, bits, y + at, block, codes);
        const uint32_t stored = htole32(bits_of(scale));
        memcpy(side, &stored, sizeof stored);
        codes += block * bits / 8;
    }
    return decoded == NULL ? COVEY_OK : decode(bits, side_begin, codes_begin, count, decoded);
}

/* A row of the table for each number of bits: what tells them apart. */
#define LLOYD(BITS)                                                                                          \
    static enum covey_status encode##BITS(const struct covey_encode_run *run, size_t first, const float *x,  \
                                          size_t count, uint8_t *side, uint8_t *codes, float *decoded,       \
                                          size_t *bad)                                                       \
    {                                                                                                        \
        (void)first;                                                                                         \
        (void)bad;                                                                                           \
        return encode(run, BITS, x, count, side, codes, decoded);                                            \
    }                                                                                                        \
    static enum covey_status decode##BITS(const struct covey_block_kernels *kernels, const uint8_t *side,    \
                                          const uint8_t *codes, size_t count, float *out)                    \
    {                                                                                                        \
        (void)kernels;                                                                                       \
        return decode(BITS, side, codes, count, out);                                                        \
    }                                                                                                        \
    static enum covey_status peak##BITS(const uint8_t *side, size_t count, float *peak)                      \
    {                                                                                                        \
        return find_peak(BITS, side, count, peak);                                                           \
    }                                                                                                        \
    const struct covey_quantiser covey_quantise_lloyd##BITS = {.name = "lloyd" #BITS,                        \
                                                               .code_bits = BITS,                            \
                                                               .packed = true,                               \
                                                               .limit_bits = COVEY_ROTATION_LIMIT_BITS,      \
                                                               .side_bytes = SCALE_BYTES,                    \
                                                               .side_values = COVEY_DECODE_VALUES,           \
                                                               .side_size = side_size,                       \
                                                               .encode = encode##BITS,                       \
                                                               .decode = decode##BITS,                       \
                                                               .peak = peak##BITS};
LLOYD(1)
LLOYD(2)
LLOYD(3)
LLOYD(4)
