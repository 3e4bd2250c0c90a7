/* equal-mean: the mean of the updates, each device counting the same, whatever number of examples it claims.
 * It is the weighted mean of fedavg with every weight 1: exact, streaming, with partial sums that add up. */
#include "covey/strategy.h"

extern const struct covey_strategy covey_strategy_fedavg;

#define AT_ONCE 64

static enum covey_status begin(const struct covey_chain *chain, const struct covey_aggregation_plan *plan,
                               void **state, struct covey_error *err)
{
    struct covey_aggregation_plan alike = *plan;
    alike.weight_max = 1; /* the grid spends no bits on weights */
    return covey_strategy_fedavg.begin(chain, &alike, state, err);
}

static enum covey_status add(void *state, const struct covey_contribution *updates, size_t count,
                             struct covey_verdict *verdicts, struct covey_error *err)
{
    struct covey_contribution alike[AT_ONCE];
    for (size_t first = 0; first < count; first += AT_ONCE) {
        const size_t some = count - first < AT_ONCE ? count - first : AT_ONCE;
        for (size_t i = 0; i < some; i++) {
            alike[i] = updates[first + i];
            alike[i].weight = alike[i].weight > 0 ? 1 : alike[i].weight; /* what is no weight is refused */
        }
        COVEY_TRY(covey_strategy_fedavg.add(state, alike, some, verdicts + first, err));
    }
    return COVEY_OK;
}

static enum covey_status finish(void *state, const double **mean, int16_t *next_exponents,
                                struct covey_error *err)
{
    return covey_strategy_fedavg.finish(state, mean, next_exponents, err);
}

static void report(void *state, struct covey_aggregation_report *out)
{
    covey_strategy_fedavg.report(state, out);
}

static enum covey_status merge(void *state, struct covey_bytes saved, struct covey_error *err)
{
    return covey_strategy_fedavg.merge(state, saved, err);
}

static size_t save_bytes(void *state)
{
    return covey_strategy_fedavg.save_bytes(state);
}

static enum covey_status save(void *state, uint8_t *out, size_t capacity, size_t *out_bytes)
{
    return covey_strategy_fedavg.save(state, out, capacity, out_bytes);
}

static enum covey_status keep(void *state, struct covey_round_state *out, struct covey_error *err)
{
    return covey_strategy_fedavg.keep(state, out, err);
}

static void destroy(void *state)
{
    covey_strategy_fedavg.destroy(state);
}

const struct covey_strategy covey_strategy_equal_mean = {
    .name = "equal-mean",
    .summary = "the mean of the updates, each device counting the same",
    .source = "Karimireddy et al. 2020, algorithm 1",
    .takes = COVEY_TAKES_CLIP,
    .needs = COVEY_NEEDS_SUM,
    .inspects = COVEY_INSPECTS_NOTHING,
    .begin = begin,
    .add = add,
    .finish = finish,
    .report = report,
    .merge = merge,
    .save_bytes = save_bytes,
    .save = save,
    .keep = keep,
    .destroy = destroy,
};
