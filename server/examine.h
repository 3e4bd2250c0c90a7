/* What an update must be before it may become part of a round's sum: decode, verify, admit. Without locks,
 * state or I/O: the server's intake threads and the simulator's workers call the same function. */
#ifndef COVEY_EXAMINE_H
#define COVEY_EXAMINE_H

#include <stddef.h>

#include "covey/bytes.h"
#include "covey/messages.h"
#include "covey/status.h"

#include "round_terms.h"

/* The round as an update sees it. Everything borrowed. */
struct covey_examine_round {
    const struct covey_round_terms *terms;
    const struct covey_hash *base_model; /* that the round started from */
    const size_t *ends;                  /* (terms->tensor_count) */
    size_t update_count;                 /* values */
};

/* body: a whole message that came in for `assignment`. *out: views into body. *norm: of the update, -1 where
 * its weight does not depend on it. CORRUPT or UNSUPPORTED: the
 * message itself; CONFLICT: it started from another model; MISMATCH, NOT_FINITE, RANGE: the update.
 * Thread-safe. */
COVEY_MUST_CHECK enum covey_status covey_examine_update(const struct covey_examine_round *round,
                                                        const struct covey_assignment_id *assignment,
                                                        struct covey_bytes body, struct covey_update *out,
                                                        double *norm, struct covey_error *err);

/* The norm alone, of an update that was examined before. */
COVEY_MUST_CHECK enum covey_status covey_examine_norm(const struct covey_examine_round *round,
                                                      struct covey_bytes stream, double *norm,
                                                      struct covey_error *err);

#endif
