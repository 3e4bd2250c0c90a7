/* What may not be said is not written: INVALID, with the field's name. And the bounds that other rooms count
 * on. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/messages.h"

static struct covey_plan good_plan(void)
{
    struct covey_plan plan = {.kind = COVEY_PLAN_TRAIN,
                              .codec = "int4",
                              .recipe = {.epochs = 1, .learning_rate = 0.5f},
                              .deadline_ms = 1000};
    plan.assignment.bytes[0] = plan.manifest.bytes[0] = 1;
    return plan;
}

static void expect_plan(const struct covey_plan *plan, enum covey_status wanted, const char *text)
{
    uint8_t out[COVEY_PLAN_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    cr_expect_eq(covey_plan_encode(plan, out, sizeof out, &size, &err), wanted, "%s: %s", text, err.text);
    cr_expect(strstr(err.text, text) != NULL, "'%s' does not say '%s'", err.text, text);
}

Test(wire_encode, a_plan_out_of_range_is_not_written)
{
    struct covey_plan plan = good_plan();
    expect_plan(&plan, COVEY_OK, "");
#define REFUSED(change, status, text)                                                                        \
    do {                                                                                                     \
        plan = good_plan();                                                                                  \
        change;                                                                                              \
        expect_plan(&plan, status, text);                                                                    \
    } while (0)
    REFUSED(plan.kind = (enum covey_plan_kind)3, COVEY_UNSUPPORTED, "kind");
    REFUSED(plan.recipe.learning_rate = NAN, COVEY_INVALID, "recipe.learning_rate");
    REFUSED(plan.recipe.learning_rate = INFINITY, COVEY_INVALID, "recipe.learning_rate");
    REFUSED(plan.recipe.learning_rate = -1, COVEY_INVALID, "recipe.learning_rate");
    REFUSED(plan.recipe.momentum = 1, COVEY_INVALID, "recipe.momentum");
    REFUSED(plan.recipe.epochs = 0, COVEY_INVALID, "neither epochs nor steps");
    REFUSED(plan.recipe.epochs = 1001, COVEY_INVALID, "recipe.epochs");
    REFUSED(plan.recipe.batch = 4097, COVEY_INVALID, "recipe.batch");
    REFUSED(plan.window_blocks = 33, COVEY_INVALID, "window_blocks");
    REFUSED(plan.deadline_ms = 0, COVEY_INVALID, "deadline_ms");
    REFUSED(memset(plan.codec, 'x', sizeof plan.codec), COVEY_INVALID, "codec");
    REFUSED(plan.codec[0] = '\x07', COVEY_INVALID, "codec");
    REFUSED(plan.assignment.bytes[0] = 0, COVEY_INVALID, "assignment");
    REFUSED(plan.manifest.bytes[0] = 0, COVEY_INVALID, "manifest");
#undef REFUSED
}

/* What a kind does not use is not said, whatever stands in the struct. */
Test(wire_encode, a_plan_says_only_what_its_kind_uses)
{
    struct covey_plan plan = good_plan(), read;
    const struct covey_plan bare = {.kind = COVEY_PLAN_WAIT, .retry_after_ms = 5};
    uint8_t out[COVEY_PLAN_BYTES], wanted[COVEY_PLAN_BYTES];
    size_t size = 0, wanted_size = 0;
    plan.kind = COVEY_PLAN_WAIT;
    plan.retry_after_ms = 5;
    cr_assert_eq(covey_plan_encode(&plan, out, sizeof out, &size, NULL), COVEY_OK);
    cr_assert_eq(covey_plan_encode(&bare, wanted, sizeof wanted, &wanted_size, NULL), COVEY_OK);
    cr_expect_eq(size, wanted_size);
    cr_expect_arr_eq(out, wanted, wanted_size);
    cr_assert_eq(covey_plan_decode((struct covey_bytes){out, size}, &read, NULL), COVEY_OK);
    cr_expect_eq(read.window_blocks, 1, "one by one when nothing is said");
}

/* A plan is at most 512 bytes with everything set to what takes most room. */
Test(wire_encode, the_largest_plan_fits)
{
    struct covey_plan plan = good_plan();
    const float wide = 0x1.fffffep-3f; /* no binary16 */
    plan.round = COVEY_ROUNDS;
    memset(plan.assignment.bytes, 0xff, sizeof plan.assignment.bytes);
    memset(plan.manifest.bytes, 0xff, sizeof plan.manifest.bytes);
    memset(plan.codec, 'c', sizeof plan.codec - 1);
    plan.recipe = (struct covey_recipe){COVEY_LOCAL_EPOCHS,
                                        UINT32_MAX,
                                        COVEY_BATCH_EXAMPLES,
                                        COVEY_OPTIMISER_ADAM,
                                        wide,
                                        wide,
                                        wide,
                                        wide,
                                        wide,
                                        COVEY_SCHEDULE_WARMUP,
                                        wide,
                                        COVEY_ROUNDS,
                                        wide,
                                        UINT64_MAX,
                                        COVEY_LOCAL_DITTO,
                                        wide,
                                        1};
    plan.deadline_ms = plan.retry_after_ms = plan.heartbeat_ms = UINT32_MAX;
    plan.window_blocks = COVEY_WINDOW_BLOCKS;
    uint8_t out[COVEY_PLAN_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    cr_assert_eq(covey_plan_encode(&plan, out, sizeof out, &size, &err), COVEY_OK, "%s", err.text);
    cr_expect_leq(size, COVEY_PLAN_BYTES);
    cr_expect_leq(size, 256, "%zu bytes: half of the room was free before", size);
}

static struct covey_update good_update(const uint8_t *stream, size_t size)
{
    struct covey_update update = {.examples = 10, .clipped = 1, .stream = {stream, size}};
    memset(update.assignment.bytes, 7, sizeof update.assignment.bytes);
    return update;
}

/* The head that is written first, and the stream put behind it, are the update. */
Test(wire_encode, an_update_in_two_parts)
{
    static const size_t sizes[] = {1, 23, 24, 255, 256, 65535, 65536, 70000};
    uint8_t *stream = calloc(1, 70000), *whole = malloc(70000 + COVEY_UPDATE_HEAD_BYTES);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct covey_update update = good_update(stream, sizes[i]);
        uint8_t head[COVEY_UPDATE_HEAD_BYTES];
        size_t head_size = 0, size = 0;
        struct covey_error err = {0};
        cr_assert_eq(covey_update_encode(&update, whole, 70000 + COVEY_UPDATE_HEAD_BYTES, &size, &err),
                     COVEY_OK, "%s", err.text);
        cr_assert_eq(covey_update_encode_head(&update, sizes[i], head, sizeof head, &head_size, &err),
                     COVEY_OK, "%s", err.text);
        cr_expect_eq(head_size + sizes[i], size);
        cr_expect_arr_eq(head, whole, head_size);
    }
    free(stream);
    free(whole);
}

Test(wire_encode, the_largest_head_fits_its_bound)
{
    const uint8_t byte = 0;
    const float wide = 0x1.fffffep-3f;
    struct covey_update update = good_update(&byte, 1);
    update.examples = COVEY_UPDATE_EXAMPLES;
    update.steps = update.training_ms = UINT32_MAX;
    update.loss_before = update.loss_after = update.clipped = wide;
    uint8_t head[COVEY_UPDATE_HEAD_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    cr_assert_eq(covey_update_encode_head(&update, COVEY_BODY_BYTES, head, sizeof head, &size, &err),
                 COVEY_OK, "%s", err.text);
    cr_expect_eq(covey_update_encode_head(&update, COVEY_BODY_BYTES + 1, head, sizeof head, &size, &err),
                 COVEY_INVALID);
    cr_expect_eq(covey_update_encode_head(&update, 0, head, sizeof head, &size, &err), COVEY_INVALID);
}

Test(wire_encode, an_update_that_diverged_is_not_written)
{
    const uint8_t byte = 0;
    struct covey_update update = good_update(&byte, 1);
    uint8_t out[COVEY_UPDATE_HEAD_BYTES];
    size_t size = 0;
    update.loss_after = NAN;
    cr_expect_eq(covey_update_encode(&update, out, sizeof out, &size, NULL), COVEY_INVALID);
    update = good_update(&byte, 1);
    update.examples = 0;
    cr_expect_eq(covey_update_encode(&update, out, sizeof out, &size, NULL), COVEY_INVALID);
    update = good_update(NULL, 1);
    cr_expect_eq(covey_update_encode(&update, out, sizeof out, &size, NULL), COVEY_INVALID);
}

/* The largest manifest fits its bound with the signature around it. */
Test(wire_encode, the_largest_manifest_fits)
{
    struct covey_manifest manifest = {.sequence = INT64_MAX,
                                      .round = COVEY_ROUNDS,
                                      .created_s = 1ll << 53,
                                      .description_bytes = COVEY_DESCRIPTION_BYTES,
                                      .shared_count = COVEY_MODEL_PARAMETERS,
                                      .full_bytes = COVEY_BODY_BYTES,
                                      .delta_count = COVEY_MANIFEST_DELTAS,
                                      .step_count = COVEY_MANIFEST_STEPS,
                                      .sums_from = INT64_MAX};
    for (size_t i = 0; i < COVEY_MANIFEST_STEPS; i++) {
        manifest.steps[i].stream_bytes = COVEY_BODY_BYTES;
        manifest.steps[i].grid = COVEY_GRID_ZERO;
    }
    memset(manifest.federation, 'f', sizeof manifest.federation - 1);
    for (size_t i = 0; i < COVEY_MANIFEST_DELTAS; i++) {
        manifest.deltas[i].from_sequence = INT64_MAX - 1;
        manifest.deltas[i].stream_bytes = COVEY_BODY_BYTES;
    }
    uint8_t out[COVEY_MANIFEST_BYTES], envelope[COVEY_MANIFEST_BYTES];
    size_t size = 0, envelope_size = 0;
    struct covey_error err = {0};
    cr_assert_eq(covey_manifest_encode(&manifest, out, sizeof out, &size, &err), COVEY_OK, "%s", err.text);
    const struct covey_cose_sign1 sign1 = {.protected_header = covey_cose_es256_header(),
                                           .payload = {out, size}};
    cr_assert_eq(covey_cose_encode(&sign1, envelope, sizeof envelope, &envelope_size), COVEY_OK);
    cr_expect_leq(envelope_size - size, 128, "security/ counts on it");
    cr_expect_leq(envelope_size, COVEY_MANIFEST_BYTES, "%zu bytes", envelope_size);
}

Test(wire_encode, counts_past_their_arrays_are_not_followed)
{
    uint8_t out[COVEY_MANIFEST_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    struct covey_manifest manifest = {.federation = "f",
                                      .sequence = 5,
                                      .description_bytes = 1,
                                      .shared_count = 1,
                                      .full_bytes = 1,
                                      .delta_count = COVEY_MANIFEST_DELTAS + 1};
    for (size_t i = 0; i < COVEY_MANIFEST_DELTAS; i++)
        manifest.deltas[i].stream_bytes = 1;
    cr_expect_eq(covey_manifest_encode(&manifest, out, sizeof out, &size, &err), COVEY_INVALID);
    struct covey_upload_state state = {.range_count = COVEY_RANGES + 1};
    for (uint32_t i = 0; i < COVEY_RANGES; i++) {
        state.missing[i].first = i;
        state.missing[i].count = 1;
    }
    cr_expect_eq(covey_upload_state_encode(&state, out, sizeof out, &size), COVEY_INVALID);
    struct covey_metrics metrics = {.count = COVEY_METRICS_RECORDS + 1};
    cr_expect_eq(covey_metrics_encode(&metrics, out, sizeof out, &size, &err), COVEY_INVALID);
    metrics.count = 0;
    cr_expect_eq(covey_metrics_encode(&metrics, out, sizeof out, &size, &err), COVEY_INVALID);
    metrics.count = 1;
    metrics.records[0].value = INFINITY;
    cr_expect_eq(covey_metrics_encode(&metrics, out, sizeof out, &size, &err), COVEY_INVALID);
}

Test(wire_encode, descriptions_that_make_no_sense_are_not_written)
{
    struct covey_model_description *model = calloc(1, sizeof *model);
    uint8_t *out = malloc(COVEY_DESCRIPTION_BYTES);
    size_t size = 0;
    struct covey_error err = {0};
    cr_expect_eq(covey_description_encode(model, out, COVEY_DESCRIPTION_BYTES, &size, &err), COVEY_INVALID);
    model->input_rank = 1;
    model->input_shape[0] = 4;
    model->op_count = 1;
    model->ops[0].input_count = 1;
    strcpy(model->ops[0].name, "a");
    cr_expect_eq(covey_description_encode(model, out, COVEY_DESCRIPTION_BYTES, &size, &err), COVEY_INVALID);
    strcpy(model->ops[0].inputs[0], "input");
    cr_expect_eq(covey_description_encode(model, out, COVEY_DESCRIPTION_BYTES, &size, &err), COVEY_OK, "%s",
                 err.text);
    model->op_count =
        COVEY_MODEL_OPS; /* 256 operations with the longest names are more than a description may have */
    for (size_t i = 0; i < COVEY_MODEL_OPS; i++) {
        struct covey_op_description *op = &model->ops[i];
        memset(op->name, 'n', sizeof op->name - 1);
        op->input_count = COVEY_OP_INPUTS;
        for (size_t j = 0; j < COVEY_OP_INPUTS; j++)
            memset(op->inputs[j], 'i', sizeof op->inputs[j] - 1);
    }
    cr_expect_eq(covey_description_encode(model, out, COVEY_DESCRIPTION_BYTES, &size, &err), COVEY_LIMIT);
    free(model);
    free(out);
}

Test(wire_encode, every_kind_of_operation_has_a_name)
{
    for (int i = 0; i < COVEY_OP_KINDS; i++) {
        const char *name = covey_op_kind_name((enum covey_op_kind)i);
        cr_assert_not_null(name);
        for (int j = 0; j < i; j++)
            cr_expect_str_neq(name, covey_op_kind_name((enum covey_op_kind)j));
    }
    cr_expect_null(covey_op_kind_name(COVEY_OP_KINDS));
    cr_expect_str_eq(covey_op_kind_name(COVEY_OP_GLOBAL_AVERAGE_POOL), "global_average_pool");
}
