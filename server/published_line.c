#include "published_line.h"

#include <stdlib.h>

enum covey_status covey_line_encode(const struct covey_codec *codec, uint64_t seed, uint32_t round,
                                    const float *values, size_t count, uint8_t **out, size_t *size,
                                    struct covey_error *err)
{
    const size_t bound = covey_codec_bound(codec, count),
                 scratch_bytes = covey_codec_scratch_bytes(codec, count);
    uint8_t *stream = malloc(bound);
    void *scratch = scratch_bytes == 0 ? NULL : aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    enum covey_status status = COVEY_OK;
    if (stream == NULL || (scratch_bytes != 0 && scratch == NULL))
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to encode the model");
    const struct covey_encode_options options = {
        .seed = seed, .round = round, .scratch = scratch, .scratch_bytes = scratch_bytes};
    if (status == COVEY_OK)
        status = covey_codec_encode(codec, values, count, &options, stream, bound, size, NULL, err);
    free(scratch);
    if (status != COVEY_OK) {
        free(stream);
        return status;
    }
    *out = stream;
    return COVEY_OK;
}

enum covey_status covey_line_advance(const struct covey_codec *downlink, uint64_t seed, uint32_t round,
                                     const float *weights, size_t count, float *published, uint8_t **delta,
                                     size_t *delta_bytes, struct covey_error *err)
{
    float *difference = malloc(count * sizeof *difference);
    if (difference == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the next model's delta");
    for (size_t i = 0; i < count; i++)
        difference[i] = weights[i] - published[i];
    const enum covey_status status =
        covey_line_encode(downlink, seed, round, difference, count, delta, delta_bytes, err);
    free(difference);
    COVEY_TRY(status);
    return covey_codec_apply((struct covey_bytes){*delta, *delta_bytes}, count, published, err);
}
