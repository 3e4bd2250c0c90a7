/* sign: of each value its sign alone, under one scale for each 4,096 of them, their mean magnitude: the point
 * on the line of signs that is nearest to the values (Karimireddy et al. 2019, "Error feedback fixes
 * SignSGD", section 4). It is biased, so it wants error feedback. A tile's side record is its scale as f32;
 * bit i of the codes is set where value i is below zero. */
#include <endian.h>
#include <string.h>

#include "stage.h"

#define SCALE_BYTES 4
#define SCALE_LIMIT 0x7F000000u /* bits of 2^127, which no value reaches */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static enum covey_status decode(const struct covey_block_kernels *kernels, const uint8_t *side,
                                const uint8_t *codes, size_t count, float *out)
{
    uint32_t stored;
    float scale;
    (void)kernels;
    memcpy(&stored, side, sizeof stored);
    stored = le32toh(stored);
    if (stored > SCALE_LIMIT)
        return COVEY_CORRUPT;
    memcpy(&scale, &stored, sizeof scale);
    for (size_t i = 0; i < count; i++)
        out[i] = (codes[i / 8] >> i % 8 & 1) != 0 ? -scale : scale;
    return COVEY_OK;
}

static enum covey_status encode(const struct covey_encode_run *run, size_t first, const float *x,
                                size_t count, uint8_t *side, uint8_t *codes, float *decoded, size_t *bad)
{
    double sum = 0;
    (void)first;
    memset(codes, 0, (count + 7) / 8);
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of(x[i]), magnitude = bits & 0x7FFFFFFFu;
        if (magnitude >= SCALE_LIMIT) {
            *bad = i;
            return magnitude >= 0x7F800000u ? COVEY_NOT_FINITE : COVEY_RANGE;
        }
        sum += x[i] < 0 ? -(double)x[i] : (double)x[i];
        codes[i / 8] |= (uint8_t)((x[i] < 0) << i % 8);
    }
    const uint32_t stored = htole32(bits_of((float)(sum / (double)(count > 0 ? count : 1))));
    memcpy(side, &stored, sizeof stored);
    return decoded == NULL ? COVEY_OK : decode(run->kernels, side, codes, count, decoded);
}

static size_t side_size(size_t count)
{
    return count > 0 ? SCALE_BYTES : 0;
}

const struct covey_quantiser covey_quantise_sign = {.name = "sign",
                                                    .code_bits = 1,
                                                    .packed = true,
                                                    .limit_bits = SCALE_LIMIT,
                                                    .side_bytes = SCALE_BYTES,
                                                    .side_values = COVEY_DECODE_VALUES,
                                                    .side_size = side_size,
                                                    .encode = encode,
                                                    .decode = decode};
