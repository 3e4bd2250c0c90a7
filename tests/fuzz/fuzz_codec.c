/* A codec stream from anywhere: the first two bytes are how many values are expected, the rest is the stream.
 * What is decoded is finite, whichever way it is read; what was decoded once decodes again to the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No value passes what its block's scale says. */
static void compare_scales(struct covey_decoder *decoder, const float *values)
{
    static struct covey_codes codes;
    for (;;) {
        const size_t first = decoder->position;
        if (covey_decoder_next_scales(decoder, &codes) != COVEY_OK)
            abort();
        if (codes.count == 0)
            return;
        for (size_t i = 0; i < codes.count; i++)
            if (!(fabsf(values[first + i]) <= codes.scales[i / COVEY_BLOCK_VALUES] * (float)codes.code_limit))
                abort();
    }
}

/* Values that the codes stand for must be those of the plain reading. */
static void compare_codes(struct covey_decoder *decoder, const float *values)
{
    static struct covey_codes codes;
    for (;;) {
        const size_t first = decoder->position;
        if (covey_decoder_next_codes(decoder, &codes) != COVEY_OK)
            abort();
        if (codes.count == 0)
            return;
        for (size_t i = 0; i < codes.count; i++) {
            const int32_t code = codes.codes != NULL ? codes.codes[i] : codes.wide[i];
            if ((float)code * codes.scales[i / COVEY_BLOCK_VALUES] != values[first + i])
                abort();
        }
    }
}

/* Bounds of tiles must be those of their values. */
static void compare_peaks(struct covey_decoder *decoder, const float *values)
{
    for (;;) {
        const size_t first = decoder->position;
        size_t passed;
        float peak;
        if (covey_decoder_next_peak(decoder, &peak, &passed) != COVEY_OK)
            abort();
        if (passed == 0)
            return;
        for (size_t i = first; i < first + passed; i++)
            if (!(fabsf(values[i]) <= peak))
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float values[COVEY_CHUNK_VALUES], sums[COVEY_CHUNK_VALUES];
    struct covey_decoder decoder;
    struct covey_error err = {0};
    if (size < 2)
        return 0;
    const size_t count = (size_t)data[0] | (size_t)data[1] << 8;
    const struct covey_bytes stream = {data + 2, size - 2};
    if (covey_codec_decode(stream, count, values, &err) != COVEY_OK) {
        if (err.status == COVEY_OK || err.text[0] == '\0')
            abort(); /* a refusal says why */
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            abort();
    memset(sums, 0, sizeof sums);
    if (covey_codec_apply(stream, count, sums, &err) != COVEY_OK ||
        covey_decoder_init(&decoder, stream, count, &err) != COVEY_OK)
        abort();
    for (size_t i = 0; i < count; i++)
        if (sums[i] != values[i])
            abort();
    for (int exponent = -20; exponent <= 20; exponent += 10) { /* rounded: refused, or within half a step */
        memset(sums, 0, sizeof sums);
        const enum covey_status status = covey_codec_apply_rounded(stream, count, exponent, sums, &err);
        const double step = ldexp(1, exponent);
        if (status != COVEY_OK && status != COVEY_RANGE)
            abort();
        for (size_t i = 0; i < count && status == COVEY_OK; i++)
            if (!(fabs((double)sums[i] - (double)values[i]) <= step / 2) || fmod((double)sums[i], step) != 0)
                abort();
    }
    float peak = INFINITY;
    if (covey_decoder_peak(&decoder, 0, count, &peak) && !isfinite(peak))
        abort();
    for (size_t i = 0; i < count; i++)
        if (fabsf(values[i]) > peak)
            abort();
    if (covey_decoder_has_codes(&decoder)) {
        struct covey_decoder second = decoder;
        compare_codes(&second, values);
    }
    if (covey_decoder_has_scales(&decoder))
        compare_scales(&decoder, values);
    else if (covey_decoder_has_peaks(&decoder))
        compare_peaks(&decoder, values);
    return 0;
}
