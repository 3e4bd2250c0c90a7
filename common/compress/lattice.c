/* Whole multiples of a power of two: what the published line is made of (ARCHITECTURE 8). Adding them in f32
 * is exact for as long as a value has at most 24 bits, so that a sum of steps is one step. */
#include <string.h>

#include "stage.h"

#define ROUNDED_MOST 0x1p22f /* steps that a rounded value may have */
#define ROUNDER 0x1.8p23f    /* added and taken away again it leaves a whole number, halves to even */

float covey_power_of_two(int exponent)
{
    const uint32_t bits = (uint32_t)(exponent + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

enum covey_status covey_codec_exact(int exponent, struct covey_codec *out, struct covey_error *err)
{
    if (exponent < COVEY_EXPONENT_MIN || exponent > COVEY_EXPONENT_MAX)
        return covey_fail(err, COVEY_RANGE, "no codec has steps of 2^%d", exponent);
    COVEY_TRY(covey_codec_parse("ec:1", out, err));
    out->rate = COVEY_EXACT_RATE;
    out->step = covey_power_of_two(exponent);
    return COVEY_OK;
}

bool covey_round_to_power(const float *x, size_t count, int exponent, float *out)
{
    const float step = covey_power_of_two(exponent), inverse = covey_power_of_two(-exponent);
    bool fits = true;
    for (size_t i = 0; i < count; i++) {
        const float steps = x[i] * inverse;
        fits &= __builtin_fabsf(steps) <= ROUNDED_MOST;
        out[i] = ((steps + ROUNDER) - ROUNDER) * step;
    }
    return fits;
}

enum covey_status covey_codec_apply_rounded(struct covey_bytes stream, size_t count, int exponent, float *x,
                                            struct covey_error *err)
{
    struct covey_decoder decoder;
    float tile[COVEY_DECODE_VALUES];
    if (exponent < COVEY_EXPONENT_MIN || exponent > COVEY_EXPONENT_MAX)
        return covey_fail(err, COVEY_RANGE, "no values are rounded to multiples of 2^%d", exponent);
    COVEY_TRY(covey_decoder_init(&decoder, stream, count, err));
    while (decoder.position < count) {
        const size_t first = decoder.position;
        size_t decoded = 0;
        const enum covey_status status = covey_decoder_next(&decoder, tile, &decoded);
        if (status != COVEY_OK)
            return covey_fail(err, status, "codec stream (%s): %s among the values from %zu on",
                              decoder.codec.name, covey_status_text(status), first);
        if (!covey_round_to_power(tile, decoded, exponent, tile))
            return covey_fail(err, COVEY_RANGE,
                              "codec stream (%s): a value from %zu on is too large for "
                              "multiples of 2^%d",
                              decoder.codec.name, first, exponent);
        for (size_t i = 0; i < decoded; i++)
            x[first + i] = x[first + i] + tile[i];
    }
    return COVEY_OK;
}
