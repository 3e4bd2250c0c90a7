#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/server_optimiser.h"

#define ROUNDS 6
#define COUNT 3

struct golden {
    struct covey_server_rule rule;
    double share;
    double weights[ROUNDS][COUNT];
};
#include "../../golden/aggregation/server_optimisers.h"
#define CASES (sizeof golden / sizeof golden[0])

static void begin(struct covey_server_optimiser *optimiser, enum covey_server_optimiser_kind kind,
                  double rate, size_t count)
{
    const struct covey_server_rule rule = {.kind = kind, .rate = rate};
    struct covey_error err = {0};
    cr_assert_eq(covey_server_optimiser_init(optimiser, &rule, count, &err), COVEY_OK, "%s", err.text);
}

static void mean_of_round(uint32_t round, double mean[COUNT])
{
    for (uint32_t i = 0; i < COUNT; i++)
        mean[i] = ((double)((round * 37 + i * 101 + 11) % 64) - 32) / 256;
}

Test(server_optimiser, plain_step)
{
    struct covey_server_optimiser optimiser;
    const struct covey_server_mean mean = {(const double[]){0.5, -1, 1e-30, 0}, 1, 1, 0};
    float weights[] = {1, 2, 3, -0.0f};
    begin(&optimiser, COVEY_SERVER_SGD, 1, 4);
    cr_assert_eq(covey_server_optimiser_step(&optimiser, &mean, weights, NULL), COVEY_OK);
    cr_expect(weights[0] == 1.5f && weights[1] == 1.0f && weights[2] == 3.0f && weights[3] == 0.0f);
    cr_expect_eq(covey_server_optimiser_save_bytes(&optimiser), 0);
    covey_server_optimiser_deinit(&optimiser);
    begin(&optimiser, COVEY_SERVER_SGD, .1, 2);
    cr_assert_eq(covey_server_optimiser_step(&optimiser, &mean, weights, NULL), COVEY_OK);
    cr_expect_eq(weights[0], (float)(1.5 + 0.1 * 0.5));
    covey_server_optimiser_deinit(&optimiser);
}

/* Against decimals of 60 digits: to the last bit of an f32, or the one beside it. */
Test(server_optimiser, follow_their_papers)
{
    for (size_t c = 0; c < CASES; c++) {
        struct covey_server_optimiser optimiser;
        float weights[COUNT] = {1, -2, .5f};
        double mean[COUNT];
        cr_assert_eq(covey_server_optimiser_init(&optimiser, &golden[c].rule, COUNT, NULL), COVEY_OK);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            mean_of_round(round, mean);
            const struct covey_server_mean step = {mean, 1, golden[c].share, 0};
            cr_assert_eq(covey_server_optimiser_step(&optimiser, &step, weights, NULL), COVEY_OK);
            for (size_t i = 0; i < COUNT; i++)
                cr_expect(fabs((double)weights[i] - golden[c].weights[round][i]) <=
                              1.2e-7 * fabs(golden[c].weights[round][i]),
                          "%s round %u: %.9g, not %.9g", covey_server_optimiser_name(golden[c].rule.kind),
                          round, (double)weights[i], golden[c].weights[round][i]);
        }
        covey_server_optimiser_deinit(&optimiser);
    }
}

/* Killed after any round: what was saved goes on to the same bits. */
Test(server_optimiser, goes_on_from_what_was_saved)
{
    for (size_t c = 0; c < CASES; c++) {
        struct covey_server_optimiser whole, part;
        float weights[COUNT] = {1, -2, .5f}, other[COUNT] = {1, -2, .5f};
        double mean[COUNT];
        cr_assert_eq(covey_server_optimiser_init(&whole, &golden[c].rule, COUNT, NULL), COVEY_OK);
        cr_assert_eq(covey_server_optimiser_init(&part, &golden[c].rule, COUNT, NULL), COVEY_OK);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            mean_of_round(round, mean);
            const struct covey_server_mean step = {mean, 1, golden[c].share, 0};
            cr_assert_eq(covey_server_optimiser_step(&whole, &step, weights, NULL), COVEY_OK);
            cr_assert_eq(covey_server_optimiser_step(&part, &step, other, NULL), COVEY_OK);
            cr_assert(memcmp(weights, other, sizeof weights) == 0);
            const size_t size = covey_server_optimiser_save_bytes(&part);
            uint8_t *saved = malloc(size + 1);
            covey_server_optimiser_save(&part, saved);
            covey_server_optimiser_deinit(&part);
            cr_assert_eq(covey_server_optimiser_init(&part, &golden[c].rule, COUNT, NULL), COVEY_OK);
            cr_assert_eq(covey_server_optimiser_load(&part, (struct covey_bytes){saved, size}, NULL),
                         COVEY_OK);
            free(saved);
        }
        covey_server_optimiser_deinit(&whole);
        covey_server_optimiser_deinit(&part);
    }
}

Test(server_optimiser, refuses_the_state_of_another)
{
    struct covey_server_optimiser momentum, feddyn, longer;
    uint8_t saved[16 + 8 * COUNT];
    begin(&momentum, COVEY_SERVER_MOMENTUM, 1, COUNT);
    begin(&feddyn, COVEY_SERVER_FEDDYN, 1, COUNT);
    begin(&longer, COVEY_SERVER_MOMENTUM, 1, COUNT + 1);
    cr_assert_eq(covey_server_optimiser_save_bytes(&momentum), sizeof saved);
    covey_server_optimiser_save(&momentum, saved);
    const struct covey_bytes bytes = {saved, sizeof saved};
    cr_expect_eq(covey_server_optimiser_load(&feddyn, bytes, NULL), COVEY_MISMATCH);
    cr_expect_eq(covey_server_optimiser_load(&longer, bytes, NULL), COVEY_MISMATCH);
    cr_expect_eq(covey_server_optimiser_load(&momentum, (struct covey_bytes){NULL, 0}, NULL), COVEY_MISMATCH);
    cr_expect_eq(covey_server_optimiser_load(&momentum, (struct covey_bytes){saved, 15}, NULL),
                 COVEY_CORRUPT);
    cr_expect_eq(covey_server_optimiser_load(&momentum, (struct covey_bytes){saved, sizeof saved - 1}, NULL),
                 COVEY_CORRUPT);
    saved[0] = 2;
    cr_expect_eq(covey_server_optimiser_load(&momentum, bytes, NULL), COVEY_UNSUPPORTED);
    covey_server_optimiser_deinit(&momentum);
    covey_server_optimiser_deinit(&feddyn);
    covey_server_optimiser_deinit(&longer);
}

/* Control variates take their share of the mean, unscaled, whatever the kind. */
Test(server_optimiser, control_variates_step_by_the_share)
{
    struct covey_server_optimiser optimiser;
    const struct covey_server_mean mean = {(const double[]){1, 1, 1, 1}, 3, .25, 2};
    float weights[4] = {0};
    begin(&optimiser, COVEY_SERVER_SGD, .5, 4);
    cr_assert_eq(covey_server_optimiser_step(&optimiser, &mean, weights, NULL), COVEY_OK);
    cr_expect(weights[0] == 1.5f && weights[1] == 1.5f && weights[2] == .25f && weights[3] == .25f);
    covey_server_optimiser_deinit(&optimiser);
}

Test(server_optimiser, what_would_not_be_finite_changes_nothing)
{
    struct covey_server_optimiser optimiser;
    struct covey_error err = {0};
    const double means[][2] = {{1, 1e39}, {1, NAN}, {1, -INFINITY}};
    const enum covey_server_optimiser_kind kinds[] = {COVEY_SERVER_SGD, COVEY_SERVER_MOMENTUM};
    for (size_t i = 0; i < 6; i++) {
        const struct covey_server_mean mean = {means[i % 3], 1, 1, 0};
        float weights[] = {1, 2};
        begin(&optimiser, kinds[i / 3], 1, 2);
        cr_expect_eq(covey_server_optimiser_step(&optimiser, &mean, weights, &err), COVEY_NOT_FINITE);
        cr_expect(weights[0] == 1 && weights[1] == 2);
        cr_expect(optimiser.first == NULL || (optimiser.first[0] == 0 && optimiser.first[1] == 0));
        cr_expect(strstr(err.text, "weight 1") != NULL, "%s", err.text);
        covey_server_optimiser_deinit(&optimiser);
    }
}

Test(server_optimiser, words_and_rules)
{
    enum covey_server_optimiser_kind kind;
    for (int i = 0; i < COVEY_SERVER_OPTIMISERS; i++) {
        const char *name = covey_server_optimiser_name((enum covey_server_optimiser_kind)i);
        cr_expect(covey_server_optimiser_parse(name, &kind) == 0 && (int)kind == i);
    }
    cr_expect_eq(covey_server_optimiser_parse("magic", &kind), -1);
    cr_expect_null(covey_server_optimiser_name(COVEY_SERVER_OPTIMISERS));
    const struct covey_server_rule bad[] = {
        {COVEY_SERVER_SGD, -1, 0, 0, 0},
        {COVEY_SERVER_SGD, (double)NAN, 0, 0, 0},
        {COVEY_SERVER_SGD, INFINITY, 0, 0, 0},
        {COVEY_SERVER_MOMENTUM, 1, 1, 0, 0},
        {COVEY_SERVER_MOMENTUM, 1, -.1, 0, 0},
        {COVEY_SERVER_ADAM, 1, .9, 1, .1},
        {COVEY_SERVER_ADAM, 1, .9, .99, 0},
        {COVEY_SERVER_YOGI, 1, .9, .99, (double)NAN},
        {COVEY_SERVER_FEDDYN, .5, 0, 0, 0},
        {COVEY_SERVER_OPTIMISERS, 1, 0, 0, 0},
        {COVEY_SERVER_ADAGRAD, 1, (double)NAN, 0, .1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct covey_server_rule rule = bad[i];
        cr_expect_eq(covey_server_rule_complete(&rule, NULL), COVEY_INVALID, "row %zu", i);
    }
    struct covey_server_rule rule = {.kind = COVEY_SERVER_ADAM, .beta1 = .9, .beta2 = .99, .tau = .001};
    cr_assert_eq(covey_server_rule_complete(&rule, NULL), COVEY_OK);
    cr_expect_eq(rule.rate, .00316);
}
