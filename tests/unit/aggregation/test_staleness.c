/* Staleness weights, and FedAsync and FedBuff followed by hand through the fold and the server's step. */
#include <criterion/criterion.h>
#include <math.h>

#include "covey/codec.h"
#include "covey/server_optimiser.h"
#include "covey/staleness.h"
#include "covey/strategy.h"

#define COUNT 3
#define CAP 1000

Test(staleness, weighs_by_the_root_in_sixteen_bits)
{
    static const struct {
        uint32_t staleness;
        double weight;
    } rows[] = {{0, 1}, {1, 46341.0 / 65536}, {3, .5}, {8, 21845.0 / 65536}, {15, .25}, {255, .0625}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const double weight = covey_staleness_weight(rows[i].staleness);
        cr_expect(weight >= rows[i].weight && weight <= rows[i].weight, "%u: %.17g", rows[i].staleness,
                  weight);
    }
    cr_expect(covey_staleness_weight(UINT32_MAX) > 0);
}

Test(staleness, counts_examples_under_the_cap)
{
    static const struct {
        uint32_t examples;
        double cap, counted;
    } rows[] = {{600, 1000, 600}, {1001, 1000, 1000}, {7, 2.5, 2}, {7, .5, 1}, {0, 10, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_float_eq(covey_staleness_examples(rows[i].examples, rows[i].cap), rows[i].counted, 0);
}

struct update {
    float delta[COUNT];
    uint32_t examples, staleness;
};

/* One model's step from these updates. weights: in and out. */
static void step(const struct update *updates, size_t count, const size_t *order, double rate,
                 float weights[COUNT])
{
    static const size_t ends[] = {COUNT};
    struct covey_chain chain;
    struct covey_codec raw;
    struct covey_aggregation *aggregation = NULL;
    struct covey_staleness_tally tally = {0};
    struct covey_server_optimiser optimiser;
    struct covey_aggregation_report report;
    const double *mean = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_chain_parse("fedavg", &chain, &err), COVEY_OK);
    cr_assert_eq(covey_codec_parse("raw32", &raw, &err), COVEY_OK);
    const struct covey_aggregation_plan plan = {
        .ends = ends, .tensor_count = 1, .updates_max = 8, .weight_max = CAP, .threads = 1};
    cr_assert_eq(covey_aggregation_begin(&chain, &plan, &aggregation, &err), COVEY_OK, "%s", err.text);
    for (size_t i = 0; i < count; i++) {
        const struct update *update = &updates[order[i]];
        uint8_t stream[256];
        size_t size = 0;
        struct covey_verdict verdict;
        const struct covey_encode_options options = {.seed = 1};
        cr_assert_eq(covey_codec_encode(&raw, update->delta, COUNT, &options, stream, sizeof stream, &size,
                                        NULL, &err),
                     COVEY_OK, "%s", err.text);
        const double examples = covey_staleness_examples(update->examples, CAP);
        const struct covey_contribution contribution = {
            {stream, size}, examples * covey_staleness_weight(update->staleness), order[i]};
        cr_assert_eq(covey_aggregation_add(aggregation, &contribution, 1, &verdict, &err), COVEY_OK);
        cr_assert_eq(verdict.status, COVEY_OK, "%s", verdict.error.text);
        covey_staleness_add(&tally, examples, update->staleness);
    }
    cr_assert_eq(covey_aggregation_finish(aggregation, &mean, &report, NULL, &err), COVEY_OK);
    const struct covey_server_rule rule = {.rate = rate};
    const struct covey_server_mean scaled = {mean, covey_staleness_scale(&tally, report.weight_sum), 1, 0};
    cr_assert_eq(covey_server_optimiser_init(&optimiser, &rule, COUNT, &err), COVEY_OK);
    cr_assert_eq(covey_server_optimiser_step(&optimiser, &scaled, weights, &err), COVEY_OK);
    covey_server_optimiser_deinit(&optimiser);
    covey_aggregation_destroy(aggregation);
}

static const size_t forward[] = {0, 1, 2}, backward[] = {2, 1, 0};

/* w = (1 - a) w + a w_k, a = a0 / sqrt(1 + t): the device began at w, so that w_k = w + delta. */
Test(staleness, is_fedasync_in_a_buffer_of_one)
{
    const struct update update = {{.5f, -.25f, 1}, 600, 3};
    const double a = .8 * .5;
    float w[COUNT] = {1, 2, -1};
    step(&update, 1, forward, .8, w);
    for (size_t i = 0; i < COUNT; i++) {
        const double before = (double)((const float[]){1, 2, -1}[i]);
        const double wanted = (1 - a) * before + a * (before + (double)update.delta[i]);
        cr_expect(fabs((double)w[i] - wanted) <= 1e-6, "%zu: %g, not %g", i, (double)w[i], wanted);
    }
}

/* w += rate sum n s delta / sum n, with n under the cap. */
Test(staleness, is_fedbuff_in_a_larger_one_in_any_order)
{
    const struct update updates[] = {
        {{1, 0, -.5f}, 100, 0}, {{.5f, .25f, 1}, 300, 3}, {{-1, .125f, .75f}, 5000, 15}};
    const double n[] = {100, 300, CAP}, s[] = {1, .5, .25};
    float w[COUNT] = {0}, other[COUNT] = {0};
    step(updates, 3, forward, 1, w);
    step(updates, 3, backward, 1, other);
    for (size_t i = 0; i < COUNT; i++) {
        double wanted = 0;
        for (size_t k = 0; k < 3; k++)
            wanted += n[k] * s[k] * (double)updates[k].delta[i] / (100 + 300 + CAP);
        cr_expect(fabs((double)w[i] - wanted) <= 1e-6, "%zu: %g, not %g", i, (double)w[i], wanted);
        cr_expect(w[i] >= other[i] && w[i] <= other[i], "the order changes coordinate %zu", i);
    }
}

Test(staleness, leaves_what_is_fresh_alone)
{
    struct covey_staleness_tally tally = {0};
    covey_staleness_add(&tally, 3, 0);
    covey_staleness_add(&tally, 7, 0);
    const double scale = covey_staleness_scale(&tally, 9.999999);
    cr_expect(scale >= 1 && scale <= 1);
}

Test(staleness, is_refused_by_rules_that_compare)
{
    struct covey_chain chain;
    struct covey_error err = {0};
    cr_assert_eq(covey_chain_parse("krum hostile=1", &chain, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(covey_chain_check(&chain, &(struct covey_chain_demands){.stale = true}, &err),
                 COVEY_UNSUPPORTED);
    cr_expect_not_null(strstr(err.text, "krum"), "%s", err.text);
    cr_assert_eq(covey_chain_parse("fedavg clip=fixed", &chain, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(covey_chain_check(&chain, &(struct covey_chain_demands){.stale = true}, &err), COVEY_OK);
}
