/* What goes together, and what is refused at start, in words that say why. */
#include "combination.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "covey/params.h"

/* A federation in a few words; left out: plain averaging of a small model by 10 of 100 devices. */
struct way {
    const char *strategy, *codec;
    enum covey_local_algorithm algorithm;
    struct covey_weighting weighting;
    struct covey_server_rule rule;
    uint32_t population;
    bool asynchronous, late, gateways, controls, statistics, personal;
    const char *says; /* NULL: it goes */
};

static void make_layout(const struct way *way, struct covey_layout *out)
{
    const uint32_t shape[] = {4};
    covey_layout_init(out);
    cr_assert_eq(covey_layout_add(out, "a", 1, shape, COVEY_ROLE_TRAINABLE,
                                  way->personal ? COVEY_SCOPE_PERSONAL : COVEY_SCOPE_SHARED, NULL),
                 COVEY_OK);
    cr_assert_eq(covey_layout_add(out, "b", 1, shape, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED, NULL),
                 COVEY_OK);
    if (way->statistics)
        cr_assert_eq(covey_layout_add(out, "mean", 1, shape, COVEY_ROLE_BUFFER, COVEY_SCOPE_SHARED, NULL),
                     COVEY_OK);
    if (way->controls)
        cr_assert_eq(covey_layout_add_controls(out, NULL), COVEY_OK);
    covey_layout_finish(out);
}

static enum covey_status settle(const struct way *way, const struct covey_layout *layout,
                                struct covey_federation_options *options, struct covey_error *err)
{
    static const struct covey_gateway gateway = {.name = "gateway", .devices = 5};
    *options = (struct covey_federation_options){
        .layout = layout,
        .recipe = {.epochs = 1, .batch = 10, .learning_rate = .25f, .algorithm = way->algorithm},
        .server_rule = way->rule,
        .weighting = way->weighting,
        .population = way->population,
        .rules = {.mode = way->asynchronous ? COVEY_ROUND_ASYNCHRONOUS : COVEY_ROUND_SYNCHRONOUS,
                  .late_use = way->late},
        .gateways = &gateway,
        .gateway_count = way->gateways};
    (void)snprintf(options->strategy, sizeof options->strategy, "%s",
                   way->strategy != NULL ? way->strategy : "fedavg");
    (void)snprintf(options->codec, sizeof options->codec, "%s", way->codec != NULL ? way->codec : "int8");
    return covey_combination_settle(options, err);
}

#define SCAFFOLD .algorithm = COVEY_LOCAL_SCAFFOLD, .controls = true
#define FEDDYN .algorithm = COVEY_LOCAL_FEDDYN
#define DITTO .algorithm = COVEY_LOCAL_DITTO
#define STEPS .weighting = {COVEY_WEIGH_STEPS, 0, 0}
#define LOSS .weighting = {COVEY_WEIGH_LOSS, 0, 0}
#define EQUAL .weighting = {COVEY_WEIGH_EQUAL, 0, 0}

static const struct way ways[] = {
    {.says = NULL},
    {.asynchronous = true},
    {.gateways = true},
    {SCAFFOLD, .population = 100},
    {SCAFFOLD, .population = 100, .strategy = "equal-mean", .rule = {COVEY_SERVER_ADAM, .01, .9, .99, 1e-3}},
    {SCAFFOLD, .population = 100, EQUAL, .statistics = true},
    {SCAFFOLD, .says = "population"},
    {SCAFFOLD, .population = 100, .strategy = "median hostile=1", .says = "'median' leaves some of it out"},
    {SCAFFOLD, .population = 100, .strategy = "fltrust", .says = "'fltrust' leaves some of it out"},
    {SCAFFOLD, .population = 100, .strategy = "fedavg clip=fixed clip_norm=1", .says = "clip"},
    {SCAFFOLD, .population = 100, .strategy = "norm-bound", .says = "clip"},
    {SCAFFOLD, .population = 100, .codec = "mask:.1", .says = "mask"},
    {SCAFFOLD, .population = 100, STEPS, .says = "counts every device once"},
    {SCAFFOLD, .population = 100, LOSS, .says = "counts every device once"},
    {SCAFFOLD, .population = 100, .asynchronous = true, .says = "asynchronous"},
    {SCAFFOLD, .population = 100, .late = true, .says = "late"},
    {SCAFFOLD, .population = 100, .gateways = true, .says = "gateways"},
    {.algorithm = COVEY_LOCAL_SCAFFOLD, .population = 100, .says = "no control variates"},
    {.controls = true, .says = "scaffold alone"},
    {FEDDYN, .population = 100},
    {FEDDYN, .population = 100, .personal = true, .codec = "mask:.1"},
    {FEDDYN, .population = 100, .rule = {COVEY_SERVER_SGD, 1, 0, 0, 0}},
    {FEDDYN, .says = "population"},
    {FEDDYN, .population = 100, .rule = {COVEY_SERVER_SGD, .5, 0, 0, 0}, .says = "server_rate"},
    {FEDDYN, .population = 100, .rule = {COVEY_SERVER_YOGI, .01, .9, .99, 1e-3}, .says = "server_optimiser"},
    {FEDDYN, .population = 100, .statistics = true, .says = "batch_norm"},
    {FEDDYN, .population = 100, .strategy = "krum hostile=1", .says = "'krum' leaves some of it out"},
    {FEDDYN, .population = 100, LOSS, .says = "counts every device once"},
    {FEDDYN, .population = 100, .gateways = true, .says = "gateways"},
    {.rule = {COVEY_SERVER_FEDDYN, 1, 0, 0, 0}, .says = "feddyn alone"},
    {DITTO},
    {DITTO, .strategy = "median hostile=1", .asynchronous = true},
    {DITTO, STEPS, .codec = "mask:.1"},
    {DITTO, .personal = true, .says = "personal tensors"},
    {EQUAL},
    {EQUAL, .gateways = true},
    {EQUAL, .strategy = "median hostile=1"},
    {EQUAL, .strategy = "norm-bound", .says = "equal-mean clip=fixed"},
    {EQUAL, .asynchronous = true, .says = "however old"},
    {.strategy = "equal-mean", .asynchronous = true, .says = "however old"},
    {STEPS},
    {STEPS, .rule = {COVEY_SERVER_ADAM, .01, .9, .99, 1e-3}, .statistics = true, .personal = true},
    {STEPS, .strategy = "equal-mean", .says = "goes with the strategy fedavg"},
    {STEPS, .strategy = "trimmed-mean hostile=1", .says = "goes with the strategy fedavg"},
    {STEPS, .strategy = "fedavg clip=quantile", .says = "without clip"},
    {STEPS, .gateways = true, .says = "gateways"},
    {STEPS, .asynchronous = true, .says = "asynchronous"},
    {LOSS},
    {LOSS, .strategy = "norm-bound", .says = "goes with the strategy fedavg"},
    {LOSS, .late = true, .says = "late"},
    {LOSS, .gateways = true, .says = "gateways"},
    {.weighting = {COVEY_WEIGH_LOSS, 17, 0}, .says = "q is 17"},
};

Test(combination, is_settled_or_refused_with_the_reason)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct covey_federation_options options;
        struct covey_error err = {0};
        struct covey_layout layout;
        make_layout(&ways[i], &layout);
        const enum covey_status status = settle(&ways[i], &layout, &options, &err);
        if (ways[i].says != NULL) {
            cr_expect(status == COVEY_INVALID || status == COVEY_UNSUPPORTED, "way %zu goes", i);
            cr_expect_not_null(strstr(err.text, ways[i].says), "way %zu: %s", i, err.text);
        } else {
            cr_expect_eq(status, COVEY_OK, "way %zu: %s", i, err.text);
            const struct covey_federation_options once = options;
            cr_expect_eq(covey_combination_settle(&options, &err), COVEY_OK, "way %zu: %s", i, err.text);
            cr_expect_str_eq(options.strategy, once.strategy);
            cr_expect_eq(options.server_rule.kind, once.server_rule.kind);
            cr_expect_eq(options.weighting.kind, once.weighting.kind);
        }
        covey_layout_deinit(&layout);
    }
}

Test(combination, fills_in_what_follows)
{
    const struct way scaffold = {SCAFFOLD, .population = 40}, feddyn = {FEDDYN, .population = 40},
                     loss = {LOSS}, steps = {STEPS}, equal = {EQUAL};
    struct covey_federation_options options;
    struct covey_error err = {0};
    cr_assert_eq(settle(&scaffold, NULL, &options, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(options.strategy, "equal-mean");
    cr_expect_eq(options.server_rule.kind, COVEY_SERVER_SGD);
    cr_expect_eq(options.recipe.measures, 0);
    cr_expect_float_eq(covey_combination_share(&options, 10), .25, 0);
    cr_expect_float_eq(covey_combination_share(&options, 41), 1, 0, "more than there are");
    cr_assert_eq(settle(&feddyn, NULL, &options, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(options.strategy, "equal-mean");
    cr_expect_eq(options.server_rule.kind, COVEY_SERVER_FEDDYN);
    cr_assert_eq(settle(&loss, NULL, &options, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(options.strategy, "fedavg");
    cr_expect_float_eq(options.weighting.power, 1, 0);
    cr_expect_float_eq(options.weighting.smoothness, 4, 0, "1 / learning rate");
    cr_expect_eq(options.recipe.measures, 1, "the loss before training is to be known");
    cr_assert_eq(settle(&steps, NULL, &options, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(options.strategy, "fedavg");
    cr_expect_float_eq(covey_combination_share(&options, 10), 1, 0);
    cr_assert_eq(settle(&equal, NULL, &options, &err), COVEY_OK, "%s", err.text);
    cr_expect_str_eq(options.strategy, "equal-mean");
}
