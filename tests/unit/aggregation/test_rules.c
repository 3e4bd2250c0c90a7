/* Every rule on worked examples through the whole strategy: raw32 streams in, the mean out. First the values
 * of ByzFL's documentation, then those of tests/golden/aggregation/rules.py. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "covey/codec.h"
#include "covey/strategy.h"

#define WIDTH 4
#define ROWS_MAX 8
#define STREAM_BYTES 256

struct golden {
    const char *line;
    double expected[WIDTH];
};
#include "../../golden/aggregation/rules.h"

static const size_t ends[] = {1, WIDTH};

/* (rows, width) updates in the order of `step`; the mean is copied to out. */
static void run(const char *line, const float *rows, size_t count, size_t width, size_t step,
                const float *reference, double *out)
{
    struct covey_chain chain;
    struct covey_codec codec;
    struct covey_error err = {0};
    struct covey_aggregation *aggregation = NULL;
    const double *mean = NULL;
    static uint8_t streams[ROWS_MAX][STREAM_BYTES];
    cr_assert_eq(covey_chain_parse(line, &chain, &err), COVEY_OK, "%s: %s", line, err.text);
    cr_assert_eq(covey_codec_parse("raw32", &codec, &err), COVEY_OK);
    const size_t own_ends[] = {1, width};
    const struct covey_aggregation_plan plan = {
        .ends = own_ends, .tensor_count = 2, .updates_max = ROWS_MAX, .weight_max = 600, .threads = 2};
    cr_assert_eq(covey_aggregation_begin(&chain, &plan, &aggregation, &err), COVEY_OK, "%s: %s", line,
                 err.text);
    for (size_t i = 0; i < count; i++) {
        const size_t place = i * step % count;
        struct covey_contribution update = {{streams[place], 0}, (double)(1 + 37 * place % 600), place};
        struct covey_verdict verdict;
        cr_assert_eq(covey_codec_encode(&codec, rows + place * width, width,
                                        &(struct covey_encode_options){0}, streams[place], STREAM_BYTES,
                                        &update.stream.size, NULL, &err),
                     COVEY_OK, "%s", err.text);
        cr_assert_eq(covey_aggregation_add(aggregation, &update, 1, &verdict, &err), COVEY_OK);
        cr_assert_eq(verdict.status, COVEY_OK, "%s", verdict.error.text);
    }
    if (reference != NULL)
        cr_assert_eq(covey_aggregation_refer(aggregation, reference, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_aggregation_finish(aggregation, &mean, NULL, NULL, &err), COVEY_OK, "%s: %s", line,
                 err.text);
    for (size_t k = 0; k < width; k++)
        out[k] = mean[k];
    covey_aggregation_destroy(aggregation);
}

static void expect(const char *line, const double *mean, const double *expected, size_t width)
{
    for (size_t k = 0; k < width; k++)
        cr_expect(fabs(mean[k] - expected[k]) <= 1e-6, "%s, value %zu: %.9g, expected %.9g", line, k, mean[k],
                  expected[k]);
}

/* x of ByzFL's documentation. Krum and Multi-Krum with f=1 want five updates here and see three there: the
 * same choice with hostile=0, where all scores are equal and the first counts. */
Test(rules, byzfls_values_through_the_strategy)
{
    static const float x[][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
    static const struct {
        const char *line;
        size_t rows;
        double expected[3];
    } values[] = {
        {"geometric-median hostile=1 smoothing=.1 iterations=3", 3, {3.78788764, 4.78788764, 5.78788764}},
        {"krum", 3, {1, 2, 3}},
        {"multi-krum keep=2", 3, {2.5, 3.5, 4.5}},
        {"median hostile=1 mix=nearest", 3, {2.5, 3.5, 4.5}},
        {"fedavg clip=fixed clip_norm=2", 1, {.53452248, 1.06904497, 1.60356745}},
        {"norm-bound clip_norm=2", 1, {.53452248, 1.06904497, 1.60356745}},
        {"median hostile=1", 3, {4, 5, 6}},
        {"trimmed-mean hostile=1", 3, {4, 5, 6}},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        double mean[3];
        run(values[i].line, &x[0][0], values[i].rows, 3, 1, NULL, mean);
        expect(values[i].line, mean, values[i].expected, 3);
    }
}

Test(rules, follow_their_definitions_in_any_order)
{
    static const size_t steps[] = {1, 3, 6};
    const size_t count = sizeof updates / sizeof updates[0];
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        double first[WIDTH] = {0}, mean[WIDTH];
        struct covey_chain chain;
        cr_assert_eq(covey_chain_parse(golden[i].line, &chain, NULL), COVEY_OK);
        const float *reference = chain.strategy->needs_reference ? root : NULL;
        for (size_t s = 0; s < 3; s++) {
            run(golden[i].line, &updates[0][0], count, WIDTH, steps[s], reference, s == 0 ? first : mean);
            if (s > 0)
                cr_expect_arr_eq(first, mean, sizeof mean, "%s: another order, other bits", golden[i].line);
        }
        expect(golden[i].line, first, golden[i].expected, WIDTH);
    }
}

/* ---- FLTrust ---- */

Test(fltrust, nobody_is_trusted_that_points_the_other_way)
{
    static const float rows[][2] = {{-3, -1}, {-5, 2}, {0, 0}}, own[] = {1, 1};
    double mean[2];
    run("fltrust", &rows[0][0], 3, 2, 1, own, mean);
    cr_expect(mean[0] == 0.0 && mean[1] == 0.0, "%g %g", mean[0], mean[1]);
    static const float nothing[] = {0, 0};
    run("fltrust", &rows[0][0], 3, 2, 1, nothing, mean);
    cr_expect(mean[0] == 0.0 && mean[1] == 0.0, "%g %g", mean[0], mean[1]);
}

/* Length gives no influence: a thousandfold update counts as the same of any length. */
Test(fltrust, length_does_not_count)
{
    static const float rows[][2] = {{1, 2}, {2000, 1000}}, same[][2] = {{1, 2}, {2, 1}}, own[] = {.5f, .25f};
    double mean[2], other[2];
    run("fltrust", &rows[0][0], 2, 2, 1, own, mean);
    run("fltrust", &same[0][0], 2, 2, 1, own, other);
    for (int k = 0; k < 2; k++)
        cr_expect(fabs(mean[k] - other[k]) <= 1e-12, "%.15g, %.15g", mean[k], other[k]);
    cr_expect(hypot(mean[0], mean[1]) <= hypot((double)own[0], (double)own[1]) + 1e-12);
}

Test(fltrust, refuses_what_cannot_be)
{
    struct covey_chain chain;
    struct covey_error err = {0};
    struct covey_aggregation *aggregation = NULL;
    const struct covey_aggregation_plan plan = {
        .ends = ends, .tensor_count = 2, .updates_max = 4, .weight_max = 1, .threads = 1};
    cr_assert_eq(covey_chain_parse("fltrust", &chain, NULL), COVEY_OK);
    cr_expect_eq(covey_chain_check(&chain, &(struct covey_chain_demands){.cohort = 5}, &err), COVEY_INVALID);
    cr_expect(strstr(err.text, "root_data") != NULL, "%s", err.text);
    cr_expect_eq(
        covey_chain_check(&chain, &(struct covey_chain_demands){.cohort = 5, .has_reference = true}, &err),
        COVEY_OK);
    cr_expect_eq(covey_chain_check(
                     &chain, &(struct covey_chain_demands){.sums_only = true, .has_reference = true}, &err),
                 COVEY_UNSUPPORTED);
    cr_assert_eq(covey_aggregation_begin(&chain, &plan, &aggregation, &err), COVEY_OK);
    cr_expect_eq(covey_aggregation_refer(aggregation, (const float[]){1, 2, NAN, 4}, &err), COVEY_NOT_FINITE);
    uint8_t stream[STREAM_BYTES];
    struct covey_codec codec;
    struct covey_verdict verdict;
    const double *mean = NULL;
    struct covey_contribution update = {{stream, 0}, 1, 0};
    cr_assert_eq(covey_codec_parse("raw32", &codec, NULL), COVEY_OK);
    cr_assert_eq(covey_codec_encode(&codec, root, WIDTH, &(struct covey_encode_options){0}, stream,
                                    STREAM_BYTES, &update.stream.size, NULL, NULL),
                 COVEY_OK);
    cr_assert_eq(covey_aggregation_add(aggregation, &update, 1, &verdict, &err), COVEY_OK);
    cr_expect_eq(covey_aggregation_finish(aggregation, &mean, NULL, NULL, &err), COVEY_STATE);
    cr_expect(strstr(err.text, "server's own") != NULL, "%s", err.text);
    covey_aggregation_destroy(aggregation);

    cr_assert_eq(covey_chain_parse("median", &chain, NULL), COVEY_OK);
    cr_expect_eq(
        covey_chain_check(&chain, &(struct covey_chain_demands){.cohort = 5, .has_reference = true}, &err),
        COVEY_INVALID);
    cr_assert_eq(covey_aggregation_begin(&chain, &plan, &aggregation, &err), COVEY_OK);
    cr_expect_eq(covey_aggregation_refer(aggregation, root, &err), COVEY_UNSUPPORTED);
    covey_aggregation_destroy(aggregation);
}
