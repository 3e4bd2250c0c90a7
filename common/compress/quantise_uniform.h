/* The uniform quantiser's encoder: private to it, apart from its decoder. */
#ifndef COVEY_QUANTISE_UNIFORM_H
#define COVEY_QUANTISE_UNIFORM_H

#include "stage.h"
#include "uniform_model.h"

size_t covey_uniform_bound(const struct covey_codec *codec, size_t count);
size_t covey_uniform_scratch_bytes(const struct covey_codec *codec, size_t count);
enum covey_status covey_uniform_encode(const struct covey_encode_run *run, const float *x, size_t count,
                                       void *scratch, uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err);

/* Values of a segment. */
static inline size_t covey_uniform_segment(const struct covey_uniform_model *model)
{
    return (size_t)COVEY_CHUNK_VALUES << model->segment_log;
}

/* Bytes of the bits below the symbols, of a segment of count values: eight values at a time. */
static inline size_t covey_uniform_low_bytes(const struct covey_uniform_model *model, size_t count)
{
    return (count + 7) / 8 * model->shift;
}

#endif
