/* What the server keeps from one round to the next besides the model: the strategy's own (a clipping bound, a
 * centre), the server optimiser's (moments), the algorithm's (control variates). It belongs to one model and
 * is stored with it, whole or not at all, so that a server that was killed between two rounds goes on
 * exactly.
 *
 * After a round a new state is filled in, part by part; parts that nobody sets are empty. Each part is bytes
 * of its owner, little-endian, with a version of its own in front; whoever stores the whole adds the
 * integrity check. Not thread-safe. */
#ifndef COVEY_ROUND_STATE_H
#define COVEY_ROUND_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

#define COVEY_ROUND_STATE_VERSION 1
#define COVEY_ROUND_STATE_BYTES (1ull << 33) /* of one part, at the most */

enum covey_round_state_part {
    COVEY_STATE_STRATEGY,  /* covey_aggregation_keep */
    COVEY_STATE_OPTIMISER, /* the server optimiser's moments */
    COVEY_STATE_ALGORITHM, /* what an algorithm with a client half keeps on the server */
    COVEY_STATE_PARTS
};

/* All-zero: nothing kept, as before the first round. */
struct covey_round_state {
    uint8_t *bytes[COVEY_STATE_PARTS]; /* owned */
    size_t sizes[COVEY_STATE_PARTS];
};

void covey_round_state_deinit(
    struct covey_round_state *state); /* an all-zero one is legal; zero afterwards */

/* The part as it is; empty when nobody set it. Borrowed until it is set again. */
struct covey_bytes covey_round_state_part(const struct covey_round_state *state,
                                          enum covey_round_state_part part);
/* A part of `size` zeroed bytes for its owner to fill in, in place of the one before. LIMIT, NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_round_state_set(struct covey_round_state *state,
                                                         enum covey_round_state_part part, size_t size,
                                                         uint8_t **out, struct covey_error *err);

/* All of it as bytes: a multiple of 8. */
size_t covey_round_state_encoded_bytes(const struct covey_round_state *state);
void covey_round_state_encode(const struct covey_round_state *state, uint8_t *out);
/* The way back; empty bytes give an empty state. *out: all-zero before, untouched on failure. CORRUPT,
 * UNSUPPORTED, NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_round_state_decode(struct covey_bytes bytes,
                                                            struct covey_round_state *out,
                                                            struct covey_error *err);

#endif
