/* What a partial sum must be before it may become part of a round's sum, as examine.h for an update: decode,
 * verify, add up. Without locks, state or I/O. */
#ifndef COVEY_EXAMINE_PARTIAL_H
#define COVEY_EXAMINE_PARTIAL_H

#include "examine.h"

/* What was asked of the gateway, beside the round's own terms. */
struct covey_partial_order {
    const struct covey_assignment_id *assignment;
    const struct covey_hash *terms; /* of the sum_terms that it was given */
    uint32_t share;                 /* updates at the most */
    struct covey_bytes kept;        /* of the strategy, with the model; borrowed */
};

/* *out: views into body; *examples: of all contributors. CORRUPT or UNSUPPORTED: the message itself;
 * CONFLICT: of another model; MISMATCH: of other terms, of more devices than its share, or one that does not
 * add up. Takes memory for one more sum while it looks. Thread-safe. */
COVEY_MUST_CHECK enum covey_status covey_examine_partial(const struct covey_examine_round *round,
                                                         const struct covey_partial_order *order,
                                                         struct covey_bytes body,
                                                         struct covey_partial_sum *out, uint32_t *examples,
                                                         struct covey_error *err);

#endif
