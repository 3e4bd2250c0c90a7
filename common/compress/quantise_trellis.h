/* The trellis coded quantiser's encoder: private to it, apart from its decoder. */
#ifndef COVEY_QUANTISE_TRELLIS_H
#define COVEY_QUANTISE_TRELLIS_H

#include "stage.h"
#include "trellis_model.h"

size_t covey_trellis_bound(const struct covey_codec *codec, size_t count);
size_t covey_trellis_scratch_bytes(const struct covey_codec *codec, size_t count);
enum covey_status covey_trellis_encode(const struct covey_encode_run *run, const float *x, size_t count,
                                       void *scratch, uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err);

/* Values of a segment. */
static inline size_t covey_trellis_segment(const struct covey_trellis_model *model)
{
    return (size_t)COVEY_CHUNK_VALUES << model->segment_log;
}

#endif
