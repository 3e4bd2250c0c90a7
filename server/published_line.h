/* The line of published models (ARCHITECTURE 8): P(r+1) = P(r) + Q(W(r+1) - P(r)), where Q is the downlink's
 * codec. Pure: the server publishes and the simulator plays by the same functions.
 *
 * With raw32 and fp16 that is a sum in f32, as it stands. With every other codec the line lies on a lattice:
 * the values of the update part are whole multiples of a power of two, and so is what each step adds, for
 * what its stream decodes to is rounded to multiples of a power of two that goes with it (about the codec's
 * own error). Below 2^24 multiples such sums are exact in f32, in any order: several steps are one sum, and
 * the whole model a vector of small integers. What rounding takes away stays in W - P and goes into the next
 * step. */
#ifndef COVEY_PUBLISHED_LINE_H
#define COVEY_PUBLISHED_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/codec.h"
#include "covey/messages.h"
#include "covey/status.h"

#define COVEY_STEPS_LISTED                                                                                   \
    4 /* one by one in a manifest: more of them are hardly ever shorter than their sum */
#define COVEY_STEPS_KEPT 128u                 /* for sums */
#define COVEY_STEPS_KEPT_BYTES (256ull << 20) /* of streams, at the most */

/* What a line is drawn by. ends: (tensor_count) of the update part, borrowed. */
struct covey_line {
    struct covey_codec codec;
    uint64_t seed;
    size_t update_count, shared_count;
    const size_t *ends;
    size_t tensor_count;
};

/* stream: malloc'ed, NULL where no step leads to the model. grid: of a line on a lattice, COVEY_GRID_ZERO +
 * the exponent that decoded values are rounded at, and the stream has update_count values; 0: shared_count,
 * to be added as they are. */
struct covey_line_step {
    uint8_t *stream;
    size_t bytes;
    uint8_t grid;
};

bool covey_line_has_lattice(const struct covey_line *line);

/* P from W alone: (shared_count) both. What is frozen stays as it is. */
COVEY_MUST_CHECK enum covey_status covey_line_begin(const struct covey_line *line, const float *weights,
                                                    float *published, struct covey_error *err);

/* weights: W(r+1); published: P(r) in, P(r+1) out; both (shared_count). After a failure published holds
 * nothing of use. Where P(r) or what would come of it does not lie on a lattice with room, the line begins
 * anew, without a step. */
COVEY_MUST_CHECK enum covey_status covey_line_advance(const struct covey_line *line, uint32_t round,
                                                      const float *weights, float *published,
                                                      struct covey_line_step *step, struct covey_error *err);

/* The whole of P as a stream: exact integers where it lies on a lattice and that is shorter, else raw32. */
COVEY_MUST_CHECK enum covey_status covey_line_full(const struct covey_line *line, const float *published,
                                                   uint8_t **out, size_t *size, struct covey_error *err);

/* sum: (update_count); adds one step of a lattice to it. */
COVEY_MUST_CHECK enum covey_status covey_line_add(const struct covey_line *line, struct covey_bytes stream,
                                                  uint8_t grid, float *sum, struct covey_error *err);
/* The sum of steps as one stream of update_count values, to be added as they are: it ends at the same bits.
 * UNSUPPORTED: it cannot be written without loss. */
COVEY_MUST_CHECK enum covey_status covey_line_encode_sum(const struct covey_line *line, const float *sum,
                                                         uint8_t **out, size_t *size,
                                                         struct covey_error *err);

#endif
