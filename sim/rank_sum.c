#include "ranks.h"

#include <stdlib.h>

/* Up the tree: with each step half of those that are left send theirs to the other half. */
static enum covey_status gather(const struct covey_ranks *ranks, struct covey_aggregation *aggregation,
                                uint8_t *bytes, size_t size, struct covey_error *err)
{
    size_t written;
    for (uint32_t step = 1; step < ranks->count; step *= 2) {
        if (ranks->rank & step) {
            const enum covey_status status = covey_aggregation_save(aggregation, bytes, size, &written);
            if (status != COVEY_OK)
                return covey_fail(err, status, "a partial sum could not be saved");
            return ranks->send(ranks->user, ranks->rank - step, bytes, size, err);
        }
        if (ranks->rank + step >= ranks->count)
            continue;
        COVEY_TRY(ranks->receive(ranks->user, ranks->rank + step, bytes, size, err));
        COVEY_TRY(covey_aggregation_merge(aggregation, (struct covey_bytes){bytes, size}, err));
    }
    return COVEY_OK;
}

static enum covey_status spread(const struct covey_ranks *ranks, struct covey_aggregation **aggregation,
                                uint8_t *bytes, size_t size,
                                enum covey_status (*again)(void *user, struct covey_aggregation **out,
                                                           struct covey_error *err),
                                void *user, struct covey_error *err)
{
    size_t written;
    if (ranks->rank == 0 && covey_aggregation_save(*aggregation, bytes, size, &written) != COVEY_OK)
        return covey_fail(err, COVEY_STATE, "the sum could not be saved");
    COVEY_TRY(ranks->broadcast(ranks->user, 0, bytes, size, err));
    if (ranks->rank == 0)
        return COVEY_OK;
    struct covey_aggregation *fresh = NULL;
    COVEY_TRY(again(user, &fresh, err));
    covey_aggregation_destroy(*aggregation);
    *aggregation = fresh;
    return covey_aggregation_merge(fresh, (struct covey_bytes){bytes, size}, err);
}

enum covey_status covey_ranks_sum(const struct covey_ranks *ranks, struct covey_aggregation **aggregation,
                                  enum covey_status (*again)(void *user, struct covey_aggregation **out,
                                                             struct covey_error *err),
                                  void *user, struct covey_error *err)
{
    if (ranks == NULL || ranks->count < 2)
        return COVEY_OK;
    const size_t size = covey_aggregation_save_bytes(*aggregation);
    uint8_t *bytes = size == 0 ? NULL : malloc(size);
    if (bytes == NULL)
        return covey_fail(err, size == 0 ? COVEY_UNSUPPORTED : COVEY_NO_MEMORY,
                          "no partial sums of this strategy");
    enum covey_status status = gather(ranks, *aggregation, bytes, size, err);
    if (status == COVEY_OK)
        status = spread(ranks, aggregation, bytes, size, again, user, err);
    free(bytes);
    return status;
}
