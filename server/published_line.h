/* The line of published models (ARCHITECTURE 8): P(r+1) = P(r) + Q(W(r+1) - P(r)), where Q is the downlink's
 * codec. Pure: the server publishes and the simulator plays by the same function. */
#ifndef COVEY_PUBLISHED_LINE_H
#define COVEY_PUBLISHED_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"
#include "covey/status.h"

/* A stream of values: (count). *out: malloc'ed, (*size). */
COVEY_MUST_CHECK enum covey_status covey_line_encode(const struct covey_codec *codec, uint64_t seed,
                                                     uint32_t round, const float *values, size_t count,
                                                     uint8_t **out, size_t *size, struct covey_error *err);

/* weights: W(r+1); published: P(r) in, P(r+1) out; both (count). *delta: the stream that leads from one to
 * the other, malloc'ed, (*delta_bytes). After a failure published holds nothing of use. */
COVEY_MUST_CHECK enum covey_status covey_line_advance(const struct covey_codec *downlink, uint64_t seed,
                                                      uint32_t round, const float *weights, size_t count,
                                                      float *published, uint8_t **delta, size_t *delta_bytes,
                                                      struct covey_error *err);

#endif
