/* int8 and int4: blocks of 64 values under one scale, stochastically rounded (QSGD: Alistarh et al. 2017,
 * section 3.1, with the maximum for the norm), so that the expectation of what is decoded is what was
 * encoded.
 *
 * A scale is stored in 16 bits, a float's without the sign and the last 15 of the fraction, rounded up: with
 * the at most 8 bits of a code it makes a product that is exact in f32, and folding can multiply integers
 * instead. */
#include <assert.h>
#include <endian.h>
#include <string.h>

#include "stage.h"

#define LEVELS8 127
#define LEVELS4 7
#define TOO_LARGE 0x7F000000u /* bits of 2^127 */
#define INFINITE 0x7F800000u
#define SCALE8_MAX 0xF7FFu /* 128 times this is still finite */
#define SCALE4_MAX 0xFBFFu /* 8 times this is */

static size_t block_count(size_t count)
{
    return (count + COVEY_BLOCK_VALUES - 1) / COVEY_BLOCK_VALUES;
}

static enum covey_status refuse(const float *x, size_t count, size_t *bad)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        *bad = i;
        if ((bits & 0x7FFFFFFFu) >= INFINITE)
            return COVEY_NOT_FINITE;
    }
    for (size_t i = 0; i < count; i++) {
        *bad = i;
        if (x[i] >= 0x1p127f || x[i] <= -0x1p127f)
            break;
    }
    return COVEY_RANGE;
}

static void store_scales(const uint16_t *scales, size_t count, uint8_t *side)
{
    for (size_t i = 0; i < count; i++) {
        const uint16_t stored = htole16(scales[i]);
        memcpy(side + 2 * i, &stored, sizeof stored);
    }
}

static enum covey_status load_scales(const uint8_t *side, size_t count, uint32_t limit, float *out)
{
    uint32_t most = 0;
    for (size_t i = 0; i < block_count(count); i++) {
        uint16_t stored;
        memcpy(&stored, side + 2 * i, sizeof stored);
        const uint32_t scale = le16toh(stored), bits = scale << 15;
        most = scale > most ? scale : most;
        memcpy(&out[i], &bits, sizeof bits);
    }
    return most <= limit ? COVEY_OK : COVEY_CORRUPT;
}

static enum covey_status multiply(const struct covey_block_kernels *kernels, const int8_t *codes,
                                  const float *scales, size_t count, float *out)
{
    const size_t whole = count / COVEY_BLOCK_VALUES * COVEY_BLOCK_VALUES;
    kernels->multiply(codes, scales, whole, out);
    for (size_t i = whole; i < count; i++)
        out[i] = (float)codes[i] * scales[whole / COVEY_BLOCK_VALUES];
    return COVEY_OK;
}

/* All blocks of a tile; the last one filled up with zeros where the vector ends within it. */
static uint32_t round_tile(const struct covey_encode_run *run, uint32_t levels, size_t first, const float *x,
                           size_t count, uint16_t *scales, int8_t *codes)
{
    const size_t whole = count / COVEY_BLOCK_VALUES, rest = count % COVEY_BLOCK_VALUES;
    const uint32_t tile = (uint32_t)(first / COVEY_DECODE_VALUES);
    if (rest == 0)
        return run->kernels->round_tile(run->key, run->high, tile, levels, x, whole, scales, codes);
    float padded[COVEY_DECODE_VALUES];
    int8_t padded_codes[COVEY_DECODE_VALUES];
    memcpy(padded, x, count * sizeof *x);
    memset(padded + count, 0, (COVEY_BLOCK_VALUES - rest) * sizeof *padded);
    const uint32_t most =
        run->kernels->round_tile(run->key, run->high, tile, levels, padded, whole + 1, scales, padded_codes);
    memcpy(codes, padded_codes, count);
    return most;
}

static enum covey_status encode(const struct covey_encode_run *run, uint32_t levels, size_t first,
                                const float *x, size_t count, uint8_t *side, uint8_t *codes, float *decoded,
                                size_t *bad)
{
    uint16_t scales[COVEY_TILE_BLOCKS];
    assert(first % COVEY_DECODE_VALUES == 0 && count <= COVEY_DECODE_VALUES);
    if (round_tile(run, levels, first, x, count, scales, (int8_t *)codes) >= TOO_LARGE)
        return refuse(x, count, bad);
    store_scales(scales, block_count(count), side);
    if (decoded == NULL)
        return COVEY_OK;
    float as_floats[COVEY_TILE_BLOCKS];
    COVEY_TRY(load_scales(side, count, levels == LEVELS8 ? SCALE8_MAX : SCALE4_MAX, as_floats));
    return multiply(run->kernels, (const int8_t *)codes, as_floats, count, decoded);
}

static enum covey_status encode8(const struct covey_encode_run *run, size_t first, const float *x,
                                 size_t count, uint8_t *side, uint8_t *codes, float *decoded, size_t *bad)
{
    return encode(run, LEVELS8, first, x, count, side, codes, decoded, bad);
}

static enum covey_status encode4(const struct covey_encode_run *run, size_t first, const float *x,
                                 size_t count, uint8_t *side, uint8_t *codes, float *decoded, size_t *bad)
{
    return encode(run, LEVELS4, first, x, count, side, codes, decoded, bad);
}

static enum covey_status scales8(const uint8_t *side, size_t count, float *out)
{
    return load_scales(side, count, SCALE8_MAX, out);
}

static enum covey_status scales4(const uint8_t *side, size_t count, float *out)
{
    return load_scales(side, count, SCALE4_MAX, out);
}

static enum covey_status decode8(const struct covey_block_kernels *kernels, const uint8_t *side,
                                 const uint8_t *codes, size_t count, float *out)
{
    float scales[COVEY_TILE_BLOCKS];
    COVEY_TRY(scales8(side, count, scales));
    return multiply(kernels, (const int8_t *)codes, scales, count, out);
}

static enum covey_status decode4(const struct covey_block_kernels *kernels, const uint8_t *side,
                                 const uint8_t *codes, size_t count, float *out)
{
    float scales[COVEY_TILE_BLOCKS];
    COVEY_TRY(scales4(side, count, scales));
    return multiply(kernels, (const int8_t *)codes, scales, count, out);
}

const struct covey_quantiser covey_quantise_int8 = {.name = "int8",
                                                    .code_bits = 8,
                                                    .side_bytes = 2,
                                                    .side_values = COVEY_BLOCK_VALUES,
                                                    .code_limit = 128,
                                                    .encode = encode8,
                                                    .decode = decode8,
                                                    .scales = scales8};

const struct covey_quantiser covey_quantise_int4 = {.name = "int4",
                                                    .code_bits = 4,
                                                    .side_bytes = 2,
                                                    .side_values = COVEY_BLOCK_VALUES,
                                                    .code_limit = 8,
                                                    .encode = encode4,
                                                    .decode = decode4,
                                                    .scales = scales4};
