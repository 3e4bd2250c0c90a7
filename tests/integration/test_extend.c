/* What docs/extend.md shows: the newest row of each table does what its file says. The general tests of
 * strategies, codecs and operations take every row of their table besides. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/model.h"
#include "covey/strategy.h"
#include "covey/trainer.h"

static void expect_near(double got, double wanted, double most, const char *what)
{
    cr_expect(fabs(got - wanted) <= most, "%s: %.9g, expected %.9g", what, got, wanted);
}

/* ---- a strategy ---- */

static struct covey_aggregation *begin(const char *words, const size_t *ends)
{
    struct covey_chain chain;
    struct covey_error err = {0};
    struct covey_aggregation *aggregation = NULL;
    const struct covey_aggregation_plan plan = {
        .ends = ends, .tensor_count = 1, .updates_max = 4, .weight_max = 1000, .threads = 1};
    cr_assert_eq(covey_chain_parse(words, &chain, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_aggregation_begin(&chain, &plan, &aggregation, &err), COVEY_OK, "%s", err.text);
    return aggregation;
}

static void add(struct covey_aggregation *aggregation, const float *values, size_t count, double weight)
{
    struct covey_codec raw;
    uint8_t bytes[256];
    size_t size = 0;
    struct covey_error err = {0};
    struct covey_verdict verdict;
    const struct covey_encode_options options = {.seed = 1};
    cr_assert_eq(covey_codec_parse("raw32", &raw, &err), COVEY_OK);
    cr_assert_eq(covey_codec_encode(&raw, values, count, &options, bytes, sizeof bytes, &size, NULL, &err),
                 COVEY_OK, "%s", err.text);
    const struct covey_contribution update = {.stream = {bytes, size}, .weight = weight};
    cr_assert_eq(covey_aggregation_add(aggregation, &update, 1, &verdict, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(verdict.status, COVEY_OK, "%s", verdict.error.text);
}

Test(extend, equal_mean_counts_every_device_alike)
{
    static const size_t ends[] = {3};
    static const float a[] = {1, 2, 3}, b[] = {3, -2, 0}, c[] = {-1, 6, 3};
    struct covey_aggregation *whole = begin("equal-mean", ends), *part = begin("equal-mean", ends);
    struct covey_error err = {0};
    struct covey_aggregation_report report;
    const double *mean = NULL;
    uint8_t *saved = malloc(covey_aggregation_save_bytes(part));
    size_t size = 0;
    add(whole, a, 3, 1);
    add(whole, b, 3, 999);
    add(part, c, 3, 7); /* as a partial sum */
    cr_assert_eq(covey_aggregation_save(part, saved, covey_aggregation_save_bytes(part), &size), COVEY_OK);
    cr_assert_eq(covey_aggregation_merge(whole, (struct covey_bytes){saved, size}, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_aggregation_finish(whole, &mean, &report, NULL, &err), COVEY_OK, "%s", err.text);
    for (int i = 0; i < 3; i++)
        expect_near(mean[i], ((double)a[i] + (double)b[i] + (double)c[i]) / 3, 1e-9, "mean");
    cr_expect_eq(report.updates, 3);
    free(saved);
    covey_aggregation_destroy(whole);
    covey_aggregation_destroy(part);
}

/* ---- a codec ---- */

Test(extend, sign_keeps_signs_under_the_mean_magnitude)
{
    static const float x[] = {1, -2, 3, -6};
    static const float wanted[] = {3, -3, 3, -3};
    struct covey_codec codec;
    struct covey_error err = {0};
    uint8_t bytes[64];
    size_t size = 0;
    float decoded[4], back[4];
    const struct covey_encode_options options = {.seed = 1};
    cr_assert_eq(covey_codec_parse("sign", &codec, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_codec_encode(&codec, x, 4, &options, bytes, sizeof bytes, &size, decoded, &err),
                 COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_codec_decode((struct covey_bytes){bytes, size}, 4, back, &err), COVEY_OK, "%s",
                 err.text);
    cr_expect_eq(memcmp(decoded, wanted, sizeof wanted), 0);
    cr_expect_eq(memcmp(back, wanted, sizeof wanted), 0);
    cr_expect_eq(size, 5 + 4 + 1, "header, scale, bits: %zu", size);
}

/* What it cannot encode, and streams that it never made: refused, and nothing is changed. */
Test(extend, sign_refuses_what_is_out_of_range)
{
    static const struct {
        float value;
        enum covey_status status;
    } rows[] = {{NAN, COVEY_NOT_FINITE},
                {-INFINITY, COVEY_NOT_FINITE},
                {0x1p127f, COVEY_RANGE},
                {-3e38f, COVEY_RANGE}};
    struct covey_codec codec;
    uint8_t bytes[64];
    size_t size = 0;
    const struct covey_encode_options options = {.seed = 1};
    cr_assert_eq(covey_codec_parse("sign", &codec, NULL), COVEY_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const float x[] = {1, rows[i].value, 2};
        cr_expect_eq(covey_codec_encode(&codec, x, 3, &options, bytes, sizeof bytes, &size, NULL, NULL),
                     rows[i].status, "row %zu", i);
    }
    const float x[] = {0x1.8p126f, -0x1.8p126f, 0};
    float sum[] = {1, 2, 3};
    cr_assert_eq(covey_codec_encode(&codec, x, 3, &options, bytes, sizeof bytes, &size, NULL, NULL),
                 COVEY_OK);
    memset(bytes + size - 5, 0xFF, 4); /* the scale */
    cr_expect_eq(covey_codec_apply((struct covey_bytes){bytes, size}, 3, sum, NULL), COVEY_CORRUPT);
    cr_expect(sum[0] == 1 && sum[1] == 2 && sum[2] == 3);
}

/* ---- an operation ---- */

/* A network of it behind a layer that changes nothing. Phi(1) = .8413447461. */
Test(extend, gelu_is_x_times_the_normal_distribution)
{
    static const float x[] = {0, 1, -1, 3, -10, 12};
    static const double wanted[] = {0, .8413447461, -.1586552539, 2.9959503060, 0, 12};
    static const char text[] = "name: one\ninput: {shape: [6]}\nloss: mean_squared_error\nops:\n"
                               "  - {op: dense, units: 6, no_bias: true}\n  - {op: gelu}\n";
    struct covey_model_description *model = calloc(1, sizeof *model);
    struct covey_trainer *trainer = NULL;
    struct covey_error err = {0};
    float out[6], unit[36] = {0};
    for (int i = 0; i < 6; i++)
        unit[7 * i] = 1;
    cr_assert_eq(covey_model_load_text("one.yaml", text, sizeof text - 1, model, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_trainer_create(model, &(struct covey_training_options){0}, &trainer, &err), COVEY_OK,
                 "%s", err.text);
    cr_assert_eq(covey_trainer_predict(trainer, unit, x, 1, out, &err), COVEY_OK, "%s", err.text);
    for (int i = 0; i < 6; i++)
        expect_near((double)out[i], wanted[i], 1e-6, "gelu");
    covey_trainer_destroy(trainer);
    free(model);
}
