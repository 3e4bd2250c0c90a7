#include "combination.h"

#include <string.h>

#include "covey/codec.h"
#include "covey/strategy.h"

static const char *const names[] = {
    [COVEY_LOCAL_FEDDYN] = "feddyn", [COVEY_LOCAL_SCAFFOLD] = "scaffold", [COVEY_LOCAL_DITTO] = "ditto"};

/* Algorithms whose server adds up what all devices changed since the beginning. */
static bool counts_devices(const struct covey_federation_options *options)
{
    return options->recipe.algorithm == COVEY_LOCAL_FEDDYN ||
           options->recipe.algorithm == COVEY_LOCAL_SCAFFOLD;
}

/* Running statistics that are averaged: steps by a correction would carry them off. */
static bool averages_statistics(const struct covey_layout *layout)
{
    for (size_t i = 0; i < layout->tensor_count; i++)
        if (layout->tensors[i].role == COVEY_ROLE_BUFFER && layout->tensors[i].scope == COVEY_SCOPE_SHARED)
            return true;
    return false;
}

/* scaffold and feddyn. */
static enum covey_status check_counting(const struct covey_federation_options *options,
                                        const struct covey_chain *chain, struct covey_error *err)
{
    const char *name = names[options->recipe.algorithm];
    if (options->gateway_count > 0 || options->parent != NULL)
        return covey_fail(err, COVEY_UNSUPPORTED, "%s does not go with gateways", name);
    if (covey_round_rules_last(&options->rules))
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "%s: with round.mode asynchronous or round.late use updates are corrected by "
                          "different models",
                          name);
    if (chain->strategy->needs != COVEY_NEEDS_SUM)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "%s adds up what every device changed, and the strategy '%s' leaves some of it out",
                          name, chain->strategy->name);
    if (chain->clip != COVEY_CLIP_NONE)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "%s: what a device keeps would not be what came of it after clip", name);
    if (options->weighting.kind == COVEY_WEIGH_STEPS || options->weighting.kind == COVEY_WEIGH_LOSS)
        return covey_fail(err, COVEY_INVALID, "%s counts every device once: leave weighting out", name);
    if (options->population == 0)
        return covey_fail(
            err, COVEY_INVALID,
            "%s reckons with the share of devices that take part: say how many there are in all "
            "(population)",
            name);
    return COVEY_OK;
}

static enum covey_status settle_scaffold(struct covey_federation_options *options, struct covey_error *err)
{
    struct covey_codec codec;
    COVEY_TRY(covey_codec_parse(options->codec, &codec, err));
    if (codec.kept != 0)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "scaffold: the server's control variate is the mean of the devices', and a mask "
                          "leaves most of a change out: use another codec than %s",
                          options->codec);
    if (options->layout != NULL && options->layout->control_count == 0)
        return covey_fail(err, COVEY_INVALID, "scaffold: the model's description has no control variates");
    return COVEY_OK;
}

static enum covey_status settle_feddyn(struct covey_federation_options *options, struct covey_error *err)
{
    struct covey_server_rule *rule = &options->server_rule;
    const bool plain =
        rule->kind == COVEY_SERVER_SGD && !(rule->rate < 1 && rule->rate > 0) && !(rule->rate > 1);
    if (!plain && rule->kind != COVEY_SERVER_FEDDYN)
        return covey_fail(
            err, COVEY_INVALID,
            "feddyn has a step of the server's own: leave server_optimiser and server_rate out");
    if (options->layout != NULL && averages_statistics(options->layout))
        return covey_fail(
            err, COVEY_UNSUPPORTED,
            "feddyn would correct the running statistics of batch_norm as if they were weights: "
            "use group_norm, or scope: personal");
    *rule = (struct covey_server_rule){.kind = COVEY_SERVER_FEDDYN, .rate = 1};
    return COVEY_OK;
}

static enum covey_status settle_algorithm(struct covey_federation_options *options,
                                          const struct covey_chain *chain, struct covey_error *err)
{
    const enum covey_local_algorithm algorithm = options->recipe.algorithm;
    const struct covey_layout *layout = options->layout;
    if (algorithm != COVEY_LOCAL_FEDDYN && options->server_rule.kind == COVEY_SERVER_FEDDYN)
        return covey_fail(err, COVEY_INVALID, "feddyn's own step goes with train.algorithm feddyn alone");
    if (algorithm != COVEY_LOCAL_SCAFFOLD && layout != NULL && layout->control_count > 0)
        return covey_fail(
            err, COVEY_INVALID,
            "the model's description has control variates, which train.algorithm scaffold alone "
            "looks at");
    if (algorithm == COVEY_LOCAL_DITTO && layout != NULL && layout->count > layout->shared_count)
        return covey_fail(
            err, COVEY_INVALID,
            "ditto keeps a whole model on the device: the model must not have personal tensors");
    if (!counts_devices(options))
        return COVEY_OK;
    COVEY_TRY(check_counting(options, chain, err));
    options->weighting.kind = COVEY_WEIGH_EQUAL;
    return algorithm == COVEY_LOCAL_SCAFFOLD ? settle_scaffold(options, err) : settle_feddyn(options, err);
}

/* Weights by steps or loss scale the mean afterwards: nothing may be between them and the sum. */
static enum covey_status check_scaled(const struct covey_federation_options *options,
                                      const struct covey_chain *chain, struct covey_error *err)
{
    const char *kind = options->weighting.kind == COVEY_WEIGH_STEPS ? "steps" : "loss";
    if (options->gateway_count > 0)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "weighting by %s does not go with gateways: a partial sum does not say it", kind);
    if (covey_round_rules_last(&options->rules))
        return covey_fail(
            err, COVEY_UNSUPPORTED,
            "weighting by %s does not go with round.mode asynchronous and round.late use, which "
            "weigh by age",
            kind);
    if (strcmp(chain->strategy->name, "fedavg") != 0 || chain->clip != COVEY_CLIP_NONE)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "weighting by %s goes with the strategy fedavg without clip, not with '%s'", kind,
                          options->strategy);
    return COVEY_OK;
}

static enum covey_status settle_weighting(struct covey_federation_options *options, struct covey_chain *chain,
                                          struct covey_error *err)
{
    struct covey_weighting *weighting = &options->weighting;
    const bool means = strcmp(chain->strategy->name, "fedavg") == 0;
    if (weighting->kind == COVEY_WEIGH_LOSS && !(weighting->power > 0))
        weighting->power = 1;
    if (weighting->kind == COVEY_WEIGH_LOSS && !(weighting->smoothness > 0))
        weighting->smoothness = 1 / (double)options->recipe.learning_rate;
    COVEY_TRY(covey_weighting_check(weighting, err));
    options->recipe.measures = weighting->kind == COVEY_WEIGH_LOSS;
    switch (weighting->kind) {
    case COVEY_WEIGH_STEPS:
    case COVEY_WEIGH_LOSS:
        return check_scaled(options, chain, err);
    case COVEY_WEIGH_EQUAL:
        if (chain->strategy->always_clips)
            return covey_fail(err, COVEY_INVALID,
                              "weighting equal with '%s': write strategy: equal-mean clip=fixed",
                              options->strategy);
        chain->strategy = means ? covey_strategy_find("equal-mean") : chain->strategy;
        covey_chain_write(chain, options->strategy);
        return COVEY_OK;
    default:
        return COVEY_OK;
    }
}

enum covey_status covey_combination_settle(struct covey_federation_options *options, struct covey_error *err)
{
    struct covey_chain chain;
    COVEY_TRY(covey_chain_parse(options->strategy, &chain, err));
    if (options->parent != NULL && options->weighting.kind != COVEY_WEIGH_EXAMPLES)
        return covey_fail(err, COVEY_INVALID, "weighting is the parent's: leave it out at a gateway");
    COVEY_TRY(settle_algorithm(options, &chain, err));
    COVEY_TRY(settle_weighting(options, &chain, err));
    if (covey_round_rules_last(&options->rules) && strcmp(chain.strategy->name, "equal-mean") == 0)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "equal-mean does not go with round.mode asynchronous and round.late use: it counts "
                          "every update once, however old");
    return COVEY_OK;
}

double covey_combination_share(const struct covey_federation_options *options, uint64_t updates)
{
    if (options->population == 0 || updates >= options->population)
        return 1;
    return (double)updates / options->population;
}

struct covey_server_mean covey_combination_mean(const struct covey_federation_options *options,
                                                const struct covey_weighting *weighting,
                                                const struct covey_weighting_tally *weights,
                                                const struct covey_staleness_tally *staleness,
                                                const double *values,
                                                const struct covey_aggregation_report *report)
{
    return (struct covey_server_mean){.values = values,
                                      .scale = covey_staleness_scale(staleness, report->weight_sum) *
                                               covey_weighting_scale(weighting, weights, report->weight_sum),
                                      .share = covey_combination_share(options, report->updates),
                                      .controls = options->layout->control_count};
}
