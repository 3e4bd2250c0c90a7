/* Several processes that play one simulation, each its share of every cohort: what they must tell each other,
 * as a table of functions. sim/ranks.c fills it in by MPI, where the build has it; the library knows only the
 * table.
 *
 * Every rank plays all events, so all of them call these in the same order. What a rank works out for its own
 * devices is shared once a round; the sums of their updates are integers, so they add up to the same bits
 * whoever took in what. */
#ifndef COVEY_RANKS_H
#define COVEY_RANKS_H

#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"
#include "covey/strategy.h"

struct covey_ranks {
    uint32_t rank, count;
    void *user;
    /* Bitwise or of everybody's bytes, in place: each fills in its own part and leaves the others zero. */
    enum covey_status (*share)(void *user, void *bytes, size_t size, struct covey_error *err);
    /* Sums of reals, in no certain order: for figures, not for the outcome. */
    enum covey_status (*add)(void *user, double *values, size_t count, struct covey_error *err);
    enum covey_status (*send)(void *user, uint32_t to, const void *bytes, size_t size,
                              struct covey_error *err);
    enum covey_status (*receive)(void *user, uint32_t from, void *bytes, size_t size,
                                 struct covey_error *err);
    enum covey_status (*broadcast)(void *user, uint32_t from, void *bytes, size_t size,
                                   struct covey_error *err);
};

/* All partial sums into each rank's aggregation: up a tree to rank 0 and back. *aggregation may be replaced;
 * again: makes an empty one under the same terms. */
COVEY_MUST_CHECK enum covey_status covey_ranks_sum(
    const struct covey_ranks *ranks, struct covey_aggregation **aggregation,
    enum covey_status (*again)(void *user, struct covey_aggregation **out, struct covey_error *err),
    void *user, struct covey_error *err);

/* ---- ranks.c, of the program: MPI, or alone ---- */

/* *out: this process among those that were started together; count 1 when it is alone. */
COVEY_MUST_CHECK enum covey_status covey_ranks_start(struct covey_ranks *out, struct covey_error *err);
/* failed: the others are ended too. */
void covey_ranks_stop(const struct covey_ranks *ranks, int failed);

#endif
