#include "examine_partial.h"

#include <math.h>
#include <string.h>

#include "covey/grid.h"
#include "covey/hash.h"

static enum covey_status verify(const struct covey_examine_round *round,
                                const struct covey_partial_order *order,
                                const struct covey_partial_sum *partial, struct covey_error *err)
{
    if (memcmp(&partial->assignment, order->assignment, sizeof *order->assignment) != 0)
        return covey_fail(err, COVEY_CORRUPT, "the partial sum names another assignment than its path");
    if (!covey_hash_equal(&partial->model, round->base_model))
        return covey_fail(err, COVEY_CONFLICT, "the partial sum is of another model than the round's");
    if (!covey_hash_equal(&partial->terms, order->terms))
        return covey_fail(err, COVEY_MISMATCH, "the partial sum was made under other terms than the round's");
    if (partial->updates > order->share)
        return covey_fail(err, COVEY_MISMATCH, "the partial sum has %u updates, this gateway's share is %u",
                          partial->updates, order->share);
    return COVEY_OK;
}

/* What the contributors' examples weigh on this round's grid, and how many examples they are. */
static enum covey_status weigh(const struct covey_round_terms *terms, struct covey_bytes contributors,
                               double *weight, uint32_t *examples, struct covey_error *err)
{
    struct covey_grid_split split;
    struct covey_contributor one;
    uint64_t sum = 0, count = 0, units;
    COVEY_TRY(covey_grid_split(terms->updates_max, terms->weight_max, &split, err));
    while (covey_contributor_next(&contributors, &one, err) == COVEY_OK) {
        COVEY_TRY(covey_grid_weight(&split, (double)one.examples, &units));
        sum += units;
        count += one.examples;
    }
    if (count > UINT32_MAX)
        return covey_fail(err, COVEY_MISMATCH, "the partial sum counts more than %u examples", UINT32_MAX);
    *weight = ldexp((double)sum, -split.weight_exponent);
    *examples = (uint32_t)count;
    return COVEY_OK;
}

/* An empty sum of this round takes it exactly or says why not: shape, exponents, split, range. */
static enum covey_status add_up(const struct covey_examine_round *round, struct covey_bytes kept,
                                struct covey_bytes sum, struct covey_aggregation_report *report,
                                struct covey_error *err)
{
    struct covey_aggregation *empty = NULL;
    const struct covey_round_site site = {
        .ends = round->ends, .tensor_count = round->terms->tensor_count, .threads = 1, .kept = kept};
    COVEY_TRY(covey_round_terms_begin(round->terms, &site, &empty, err));
    enum covey_status status = covey_aggregation_merge(empty, sum, err);
    if (status == COVEY_OK)
        covey_aggregation_report(empty, report);
    covey_aggregation_destroy(empty);
    return status == COVEY_LIMIT ? covey_fail(err, COVEY_MISMATCH, "the partial sum holds too much") : status;
}

enum covey_status covey_examine_partial(const struct covey_examine_round *round,
                                        const struct covey_partial_order *order, struct covey_bytes body,
                                        struct covey_partial_sum *out, uint32_t *examples,
                                        struct covey_error *err)
{
    struct covey_partial_sum partial;
    struct covey_aggregation_report report = {0};
    double weight = 0;
    uint32_t count = 0;
    COVEY_TRY(covey_partial_sum_decode(body, &partial, err));
    COVEY_TRY(verify(round, order, &partial, err));
    COVEY_TRY(weigh(round->terms, partial.contributors, &weight, &count, err));
    COVEY_TRY(add_up(round, order->kept, partial.sum, &report, err));
    if (report.updates != partial.updates || !(report.weight_sum == weight))
        return covey_fail(
            err, COVEY_MISMATCH,
            "the partial sum holds %llu updates of weight %.17g, its contributors are %u of %.17g",
            (unsigned long long)report.updates, report.weight_sum, partial.updates, weight);
    *out = partial;
    *examples = count;
    return COVEY_OK;
}
