/* The table of strategies, and the object that a server holds: it keeps the order of calls, and the
 * strategy's state. */
#include "covey/strategy.h"

#include <stdlib.h>
#include <string.h>

/* A new strategy is a row here and a file with its struct (docs/extend.md). */
#define STRATEGIES(X)                                                                                        \
    X(fedavg)                                                                                                \
    X(norm_bound)                                                                                            \
    X(equal_mean)                                                                                            \
    X(median)                                                                                                \
    X(trimmed_mean)                                                                                          \
    X(krum)                                                                                                  \
    X(multi_krum)                                                                                            \
    X(bulyan)                                                                                                \
    X(geometric_median)                                                                                      \
    X(centred_clipping)                                                                                      \
    X(fltrust)

#define DECLARE(name) extern const struct covey_strategy covey_strategy_##name;
STRATEGIES(DECLARE)
#define ROW(name) &covey_strategy_##name,
static const struct covey_strategy *const rows[] = {STRATEGIES(ROW)};

const struct covey_strategy *covey_strategy_at(size_t index)
{
    return index < sizeof rows / sizeof rows[0] ? rows[index] : NULL;
}

const struct covey_strategy *covey_strategy_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i]->name, name) == 0)
            return rows[i];
    return NULL;
}

struct covey_aggregation {
    const struct covey_strategy *strategy;
    void *state;
    bool finished;
};

enum covey_status covey_aggregation_begin(const struct covey_chain *chain,
                                          const struct covey_aggregation_plan *plan,
                                          struct covey_aggregation **out, struct covey_error *err)
{
    struct covey_aggregation *aggregation = calloc(1, sizeof *aggregation);
    if (aggregation == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to begin an aggregation");
    aggregation->strategy = chain->strategy;
    const enum covey_status status = chain->strategy->begin(chain, plan, &aggregation->state, err);
    if (status != COVEY_OK) {
        free(aggregation);
        return status;
    }
    *out = aggregation;
    return COVEY_OK;
}

enum covey_status covey_aggregation_add(struct covey_aggregation *aggregation,
                                        const struct covey_contribution *updates, size_t count,
                                        struct covey_verdict *verdicts, struct covey_error *err)
{
    return aggregation->strategy->add(aggregation->state, updates, count, verdicts, err);
}

size_t covey_aggregation_save_bytes(const struct covey_aggregation *aggregation)
{
    return aggregation->strategy->save_bytes != NULL ? aggregation->strategy->save_bytes(aggregation->state)
                                                     : 0;
}

enum covey_status covey_aggregation_save(struct covey_aggregation *aggregation, uint8_t *out, size_t capacity,
                                         size_t *out_bytes)
{
    if (aggregation->strategy->save == NULL)
        return COVEY_UNSUPPORTED;
    return aggregation->strategy->save(aggregation->state, out, capacity, out_bytes);
}

enum covey_status covey_aggregation_merge(struct covey_aggregation *aggregation, struct covey_bytes saved,
                                          struct covey_error *err)
{
    if (aggregation->strategy->merge == NULL)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "the strategy '%s' needs every update by itself: it has no partial sums",
                          aggregation->strategy->name);
    return aggregation->strategy->merge(aggregation->state, saved, err);
}

enum covey_status covey_aggregation_refer(struct covey_aggregation *aggregation, const float *reference,
                                          struct covey_error *err)
{
    if (aggregation->strategy->refer == NULL)
        return covey_fail(err, COVEY_UNSUPPORTED, "the strategy '%s' compares with no update of the server's",
                          aggregation->strategy->name);
    return aggregation->strategy->refer(aggregation->state, reference, err);
}

void covey_aggregation_report(struct covey_aggregation *aggregation, struct covey_aggregation_report *out)
{
    aggregation->strategy->report(aggregation->state, out);
}

enum covey_status covey_aggregation_finish(struct covey_aggregation *aggregation, const double **mean,
                                           struct covey_aggregation_report *report, int16_t *next_exponents,
                                           struct covey_error *err)
{
    COVEY_TRY(aggregation->strategy->finish(aggregation->state, mean, next_exponents, err));
    aggregation->finished = true;
    if (report != NULL)
        aggregation->strategy->report(aggregation->state, report);
    return COVEY_OK;
}

enum covey_status covey_aggregation_keep(struct covey_aggregation *aggregation,
                                         struct covey_round_state *next, struct covey_error *err)
{
    if (!aggregation->finished)
        return covey_fail(err, COVEY_STATE, "there is no mean yet: nothing to keep");
    return aggregation->strategy->keep == NULL ? COVEY_OK
                                               : aggregation->strategy->keep(aggregation->state, next, err);
}

void covey_aggregation_destroy(struct covey_aggregation *aggregation)
{
    if (aggregation == NULL)
        return;
    aggregation->strategy->destroy(aggregation->state);
    free(aggregation);
}
