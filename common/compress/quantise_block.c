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
#define SCALE_MAX 0xF7FFu /* 128 times this is still finite */
#define TILE_BLOCKS (COVEY_DECODE_VALUES / COVEY_BLOCK_VALUES)

_Static_assert(COVEY_DECODE_VALUES % COVEY_GROUP_VALUES == 0, "a tile is whole groups");

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

static enum covey_status load_scales(const uint8_t *side, size_t count, float *out)
{
    uint32_t most = 0;
    for (size_t i = 0; i < block_count(count); i++) {
        uint16_t stored;
        memcpy(&stored, side + 2 * i, sizeof stored);
        const uint32_t scale = le16toh(stored), bits = scale << 15;
        most = scale > most ? scale : most;
        memcpy(&out[i], &bits, sizeof bits);
    }
    return most <= SCALE_MAX ? COVEY_OK : COVEY_CORRUPT;
}

/* The last group of a vector, filled up with zeros. */
static void round_tail(const struct covey_encode_run *run, uint32_t group, uint32_t levels, const float *x,
                       size_t count, uint16_t *scales, int8_t *codes, uint32_t *most)
{
    float padded[COVEY_GROUP_VALUES] = {0};
    int8_t padded_codes[COVEY_GROUP_VALUES];
    uint16_t padded_scales[COVEY_GROUP_VALUES / COVEY_BLOCK_VALUES];
    memcpy(padded, x, count * sizeof *x);
    run->kernels->round_group(run->key, run->high, group, levels, padded, padded_scales, padded_codes, most);
    memcpy(codes, padded_codes, count);
    memcpy(scales, padded_scales, block_count(count) * sizeof *scales);
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

static enum covey_status encode(const struct covey_encode_run *run, uint32_t levels, size_t first,
                                const float *x, size_t count, uint8_t *side, uint8_t *codes, float *decoded,
                                size_t *bad)
{
    uint16_t scales[TILE_BLOCKS];
    uint32_t most = 0;
    assert(first % COVEY_GROUP_VALUES == 0 && count <= COVEY_DECODE_VALUES);
    for (size_t at = 0; at < count; at += COVEY_GROUP_VALUES) {
        const uint32_t group = (uint32_t)((first + at) / COVEY_GROUP_VALUES);
        const size_t left = count - at;
        uint16_t *here = scales + at / COVEY_BLOCK_VALUES;
        uint32_t most_here;
        if (left >= COVEY_GROUP_VALUES)
            run->kernels->round_group(run->key, run->high, group, levels, x + at, here, (int8_t *)codes + at,
                                      &most_here);
        else
            round_tail(run, group, levels, x + at, left, here, (int8_t *)codes + at, &most_here);
        most = most_here > most ? most_here : most;
    }
    if (most >= TOO_LARGE)
        return refuse(x, count, bad);
    store_scales(scales, block_count(count), side);
    if (decoded == NULL)
        return COVEY_OK;
    float as_floats[TILE_BLOCKS];
    COVEY_TRY(load_scales(side, count, as_floats));
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

static enum covey_status decode(const struct covey_block_kernels *kernels, const uint8_t *side,
                                const uint8_t *codes, size_t count, float *out)
{
    float scales[TILE_BLOCKS];
    COVEY_TRY(load_scales(side, count, scales));
    return multiply(kernels, (const int8_t *)codes, scales, count, out);
}

const struct covey_quantiser covey_quantise_int8 = {.name = "int8",
                                                    .code_bits = 8,
                                                    .side_bytes = 2,
                                                    .code_limit = 128,
                                                    .encode = encode8,
                                                    .decode = decode,
                                                    .scales = load_scales};

const struct covey_quantiser covey_quantise_int4 = {.name = "int4",
                                                    .code_bits = 4,
                                                    .side_bytes = 2,
                                                    .code_limit = 8,
                                                    .encode = encode4,
                                                    .decode = decode,
                                                    .scales = load_scales};
