/* The vectors that tests/golden/wire/make_wire_vectors.py made without our code: what is well-formed gives
 * these values and these bytes, what is not is refused as it says there. */
#include <criterion/criterion.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "wire_vectors.h"

static void fill(uint8_t *out, uint8_t start, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)(start + i);
}

static struct covey_hash hash_from(uint8_t start)
{
    struct covey_hash hash;
    fill(hash.bytes, start, sizeof hash.bytes);
    return hash;
}

/* Encoding the value gives the vector, byte for byte; and the vector, read and written again, is itself. */
static void expect_vector(const char *kind, const char *name, const void *value)
{
    static struct vector vector;
    static uint8_t out[VECTOR_BYTES];
    struct covey_error err = {0};
    size_t size = 0;
    const struct message_kind *of = message_kinds;
    while (strcmp(of->name, kind) != 0)
        of++;
    find_vector(kind, name, &vector);
    cr_assert_eq(of->encode(value, out, sizeof out, &size, &err), COVEY_OK, "%s: %s", name, err.text);
    cr_assert_eq(size, vector.size, "%s: %zu bytes, not %zu", name, size, vector.size);
    cr_assert_arr_eq(out, vector.bytes, size, "%s", name);
    void *decoded = calloc(1, of->size);
    cr_assert_eq(of->decode((struct covey_bytes){vector.bytes, vector.size}, decoded, &err), COVEY_OK,
                 "%s: %s", name, err.text);
    memset(out, 0, sizeof out);
    cr_assert_eq(of->encode(decoded, out, sizeof out, &size, &err), COVEY_OK, "%s: %s", name, err.text);
    cr_assert_eq(size, vector.size);
    cr_assert_arr_eq(out, vector.bytes, size, "%s", name);
    free(decoded);
}

static struct covey_plan train_plan(void)
{
    struct covey_plan plan = {
        .kind = COVEY_PLAN_TRAIN,
        .round = 7,
        .manifest = hash_from(0x10),
        .codec = "int8",
        .recipe = {.epochs = 5, .batch = 10, .learning_rate = 0.1f, .seed = 42},
        .deadline_ms = 60000,
        .retry_after_ms = 5000,
        .heartbeat_ms = 30000,
        .window_blocks = 32,
    };
    fill(plan.assignment.bytes, 1, sizeof plan.assignment.bytes);
    return plan;
}

static struct covey_plan full_plan(void)
{
    struct covey_plan plan = {
        .kind = COVEY_PLAN_TRAIN,
        .round = COVEY_ROUNDS,
        .recipe = {.epochs = COVEY_LOCAL_EPOCHS,
                   .steps = UINT32_MAX,
                   .batch = COVEY_BATCH_EXAMPLES,
                   .optimiser = COVEY_OPTIMISER_ADAM,
                   .learning_rate = 0.1f,
                   .momentum = 0.9f,
                   .beta2 = 0.999f,
                   .epsilon = 1e-8f,
                   .weight_decay = 1e-4f,
                   .schedule = COVEY_SCHEDULE_WARMUP,
                   .schedule_factor = 0.01f,
                   .schedule_period = COVEY_ROUNDS,
                   .proximal_mu = 0.3f,
                   .seed = UINT64_MAX,
                   .algorithm = COVEY_LOCAL_DITTO,
                   .strength = 0.7f,
                   .measures = 1},
        .deadline_ms = UINT32_MAX,
        .retry_after_ms = UINT32_MAX,
        .heartbeat_ms = UINT32_MAX,
        .window_blocks = COVEY_WINDOW_BLOCKS,
    };
    memset(plan.assignment.bytes, 0xff, sizeof plan.assignment.bytes);
    memset(plan.manifest.bytes, 0xff, sizeof plan.manifest.bytes);
    memset(plan.codec, 'c', sizeof plan.codec - 1);
    return plan;
}

Test(wire_golden, plans)
{
    const struct covey_plan train = train_plan(), full = full_plan();
    const struct covey_plan wait = {.kind = COVEY_PLAN_WAIT,
                                    .round = 3,
                                    .retry_after_ms = 60000,
                                    .heartbeat_ms = 240000,
                                    .window_blocks = 32};
    const struct covey_plan done = {.kind = COVEY_PLAN_DONE,
                                    .round = 100,
                                    .manifest = hash_from(0x40),
                                    .retry_after_ms = 3600000,
                                    .window_blocks = 1};
    expect_vector("plan", "plan-train", &train);
    expect_vector("plan", "plan-full", &full);
    struct covey_plan gateway = train, most = full;
    gateway.terms = hash_from(0x80);
    gateway.share = 300;
    memset(most.terms.bytes, 0xff, sizeof most.terms.bytes);
    most.share = COVEY_DEVICES;
    expect_vector("plan", "plan-gateway", &gateway);
    expect_vector("plan", "plan-gateway-full", &most);
    expect_vector("plan", "plan-wait", &wait);
    expect_vector("plan", "plan-done", &done);
}

/* Written by another hand: the same plan comes out. */
Test(wire_golden, plans_of_other_hands)
{
    static const char *const names[] = {"read-plan-later-fields", "read-plan-other-order",
                                        "read-plan-wide-heads", "read-plan-deep"};
    static struct vector vector, expected;
    find_vector("plan", "plan-train", &expected);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct covey_plan plan;
        struct covey_error err = {0};
        uint8_t out[COVEY_PLAN_BYTES];
        size_t size = 0;
        find_vector("plan", names[i], &vector);
        cr_assert_eq(covey_plan_decode((struct covey_bytes){vector.bytes, vector.size}, &plan, &err),
                     COVEY_OK, "%s: %s", names[i], err.text);
        cr_assert_eq(covey_plan_encode(&plan, out, sizeof out, &size, &err), COVEY_OK, "%s", err.text);
        cr_expect_eq(size, expected.size);
        cr_expect_arr_eq(out, expected.bytes, expected.size, "%s", names[i]);
    }
}

Test(wire_golden, updates)
{
    uint8_t stream[40];
    fill(stream, 0, sizeof stream);
    struct covey_update update = {.model = hash_from(0x40),
                                  .examples = 600,
                                  .steps = 300,
                                  .training_ms = 1234,
                                  .loss_before = 2.3f,
                                  .loss_after = 0.25f,
                                  .clipped = 1.0f,
                                  .stream = {stream, sizeof stream}};
    fill(update.assignment.bytes, 1, sizeof update.assignment.bytes);
    expect_vector("update", "update", &update);
    update.effective_steps = 812.3f;
    expect_vector("update", "update-effective-steps", &update);
    update.effective_steps = 0;
    update.loss_before = -0.5f;
    update.loss_after = -1e-8f;
    expect_vector("update", "update-negative-loss", &update);
    const uint8_t one = 1;
    struct covey_update least = {.assignment = update.assignment,
                                 .model = update.model,
                                 .examples = 1,
                                 .clipped = 0.5f,
                                 .stream = {&one, 1}};
    expect_vector("update", "update-least", &least);
}

Test(wire_golden, terms_of_sums)
{
    static const uint8_t exponents[] = {0xfd, 0xff, 6, 0};
    struct covey_sum_terms terms = {.strategy = "fedavg", .updates_max = 6, .weight_max = 1048576};
    expect_vector("sum-terms", "terms", &terms);
    terms.weight_max = 100.3;
    terms.norm_limit = 2.5;
    terms.refuse_range = 1;
    terms.exponents = (struct covey_bytes){exponents, sizeof exponents};
    terms.kept = (struct covey_bytes){(const uint8_t *)"kept", 4};
    expect_vector("sum-terms", "terms-exponents", &terms);
    static uint8_t most[2 * COVEY_MODEL_TENSORS], kept[COVEY_SUM_KEPT_BYTES];
    fill(most, 0, sizeof most);
    fill(kept, 9, sizeof kept);
    struct covey_sum_terms full = {.updates_max = COVEY_DEVICES,
                                   .weight_max = 0.1,
                                   .norm_limit = 3.7,
                                   .refuse_range = 1,
                                   .exponents = {most, sizeof most},
                                   .kept = {kept, sizeof kept}};
    memset(full.strategy, 's', sizeof full.strategy - 1);
    expect_vector("sum-terms", "terms-full", &full);
}

Test(wire_golden, partial_sums)
{
    const struct covey_contributor two[] = {{"device-1", 60, hash_from(0x10)},
                                            {"device-2", COVEY_UPDATE_EXAMPLES, hash_from(0x40)}};
    uint8_t sum[96], list[2 * COVEY_CONTRIBUTOR_BYTES];
    size_t used = 0;
    struct covey_error err = {0};
    fill(sum, 3, sizeof sum);
    for (size_t i = 0; i < 2; i++) {
        size_t size = 0;
        cr_assert_eq(covey_contributor_encode(&two[i], list + used, sizeof list - used, &size, &err),
                     COVEY_OK, "%s", err.text);
        used += size;
    }
    struct covey_partial_sum partial = {.model = hash_from(0x40),
                                        .terms = hash_from(0x80),
                                        .updates = 2,
                                        .loss_before = 2.3f,
                                        .loss_after = 0.25f,
                                        .contributors = {list, used},
                                        .sum = {sum, sizeof sum}};
    fill(partial.assignment.bytes, 1, sizeof partial.assignment.bytes);
    cr_assert_eq(covey_hash_bytes(partial.sum, &partial.digest), COVEY_OK);
    expect_vector("partial-sum", "partial", &partial);

    struct covey_bytes rest = partial.contributors;
    struct covey_contributor read;
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(covey_contributor_next(&rest, &read, &err), COVEY_OK, "%s", err.text);
        cr_expect_str_eq(read.name, two[i].name);
        cr_expect_eq(read.examples, two[i].examples);
        cr_expect(covey_hash_equal(&read.update, &two[i].update));
    }
    cr_expect_eq(covey_contributor_next(&rest, &read, &err), COVEY_NOT_FOUND);
    partial.updates = 3;
    uint8_t out[512];
    cr_expect_eq(covey_partial_sum_encode(&partial, out, sizeof out, &used, &err), COVEY_INVALID);
}

Test(wire_golden, manifests)
{
    struct covey_manifest manifest = {
        .federation = "digits",
        .sequence = 42,
        .round = 7,
        .created_s = 1700000000,
        .description = hash_from(0x10),
        .description_bytes = 321,
        .model = hash_from(0x40),
        .shared_count = 199210,
        .full = hash_from(0x80),
        .full_bytes = 796876,
        .delta_count = 1,
        .deltas = {{41, hash_from(0x80), hash_from(0xc0), 200001}},
    };
    expect_vector("manifest", "manifest", &manifest);
    manifest.created_s = -5;
    expect_vector("manifest", "manifest-before-1970", &manifest);
    manifest.created_s = 1700000000;
    manifest.sequence = 0;
    manifest.round = 0;
    manifest.delta_count = 0;
    expect_vector("manifest", "manifest-first", &manifest);

    manifest.sequence = 42;
    manifest.round = 7;
    manifest.step_count = 2;
    manifest.steps[0] = (struct covey_manifest_step){hash_from(0xc0), 25037, COVEY_GRID_ZERO - 11};
    manifest.steps[1] = (struct covey_manifest_step){hash_from(0x10), 25001, 64};
    manifest.sums_from = 12;
    expect_vector("manifest", "manifest-steps", &manifest);

    struct covey_manifest full = {
        .sequence = INT64_MAX,
        .round = COVEY_ROUNDS,
        .created_s = 1ll << 53,
        .description = hash_from(0x10),
        .description_bytes = COVEY_DESCRIPTION_BYTES,
        .model = hash_from(0x40),
        .shared_count = COVEY_MODEL_PARAMETERS,
        .full = hash_from(0x80),
        .full_bytes = COVEY_BODY_BYTES,
        .step_count = COVEY_MANIFEST_STEPS,
        .sums_from = INT64_MAX,
        .delta_count = COVEY_MANIFEST_DELTAS,
    };
    memset(full.federation, 'f', sizeof full.federation - 1);
    for (uint64_t i = 0; i < COVEY_MANIFEST_DELTAS; i++)
        full.deltas[i] = (struct covey_manifest_delta){INT64_MAX - 1 - i, hash_from(0xc0), hash_from(0x10),
                                                       COVEY_BODY_BYTES};
    for (size_t i = 0; i < COVEY_MANIFEST_STEPS; i++)
        full.steps[i] = (struct covey_manifest_step){hash_from(0x40), COVEY_BODY_BYTES, 188};
    expect_vector("manifest", "manifest-full", &full);
}

static struct covey_model_description *new_description(void)
{
    struct covey_model_description *model = calloc(1, sizeof *model);
    cr_assert_not_null(model);
    return model;
}

static struct covey_op_description *add_op(struct covey_model_description *model, enum covey_op_kind kind,
                                           const char *name, const char *input)
{
    struct covey_op_description *op = &model->ops[model->op_count++];
    op->kind = kind;
    (void)snprintf(op->name, sizeof op->name, "%s", name);
    (void)snprintf(op->inputs[0], sizeof op->inputs[0], "%s", input);
    op->input_count = 1;
    return op;
}

Test(wire_golden, a_small_description)
{
    struct covey_model_description *model = new_description();
    (void)snprintf(model->name, sizeof model->name, "small");
    model->input_rank = 3;
    model->input_shape[0] = model->input_shape[1] = 28;
    model->input_shape[2] = 1;
    model->input_scale = 1.0f / 255;
    add_op(model, COVEY_OP_FLATTEN, "flat", "input");
    add_op(model, COVEY_OP_DENSE, "fc1", "flat")->units = 200;
    add_op(model, COVEY_OP_RELU, "relu1", "fc1");
    add_op(model, COVEY_OP_DENSE, "fc2", "relu1")->units = 10;
    expect_vector("description", "description", model);
    free(model);
}

Test(wire_golden, a_description_with_everything)
{
    struct covey_model_description *model = new_description();
    (void)snprintf(model->name, sizeof model->name, "everything");
    model->input_rank = 4;
    memcpy(model->input_shape, (uint32_t[]){7, 5, 3, 2}, sizeof model->input_shape);
    model->input_is_token = 1;
    model->input_scale = -2;
    model->input_shift = 0.5f;
    model->loss = COVEY_LOSS_MEAN_SQUARED_ERROR;
    struct covey_op_description *op = add_op(model, COVEY_OP_EMBEDDING, "embed", "input");
    op->units = 8;
    op->vocabulary = 1000;
    op->scope = COVEY_SCOPE_PERSONAL;
    op = add_op(model, COVEY_OP_GRU, "gru", "embed");
    op->units = 32;
    op->no_bias = op->last_only = 1;
    op = add_op(model, COVEY_OP_CONV2D, "conv", "gru");
    op->units = 16;
    memcpy(op->kernel, (uint32_t[]){3, 5}, sizeof op->kernel);
    memcpy(op->stride, (uint32_t[]){2, 1}, sizeof op->stride);
    op->padding = COVEY_PADDING_EXPLICIT;
    memcpy(op->pad, (uint32_t[]){1, 2, 3, 4}, sizeof op->pad);
    op->groups = 4;
    op->role = COVEY_ROLE_FROZEN;
    add_op(model, COVEY_OP_DROPOUT, "drop", "conv")->rate = 0.5f;
    op = add_op(model, COVEY_OP_BATCH_NORM, "norm", "drop");
    op->epsilon = 1e-5f;
    op->momentum = 0.1f;
    op = add_op(model, COVEY_OP_ADD, "sum", "norm");
    op->input_count = 2;
    (void)snprintf(op->inputs[1], sizeof op->inputs[1], "conv");
    op = add_op(model, COVEY_OP_CONCAT, "", "sum");
    memset(op->name, 'n', sizeof op->name - 1);
    op->input_count = COVEY_OP_INPUTS;
    for (size_t i = 1; i < COVEY_OP_INPUTS; i++)
        (void)snprintf(op->inputs[i], sizeof op->inputs[i], "sum");
    expect_vector("description", "description-full", model);
    free(model);
}

Test(wire_golden, upload_states)
{
    const struct covey_upload_state gaps = {
        .total_bytes = 262144, .block_bytes = 1024, .range_count = 3, .missing = {{0, 1}, {7, 3}, {250, 6}}};
    const struct covey_upload_state nothing = {0};
    const struct covey_upload_state complete = {.complete = 1, .total_bytes = 262144, .block_bytes = 1024};
    struct covey_upload_state full = {
        .total_bytes = COVEY_BODY_BYTES, .block_bytes = COVEY_BLOCK_BYTES, .range_count = COVEY_RANGES};
    for (uint32_t i = 0; i < COVEY_RANGES; i++) {
        full.missing[i].first = i + 1 < COVEY_RANGES ? 2 * i : COVEY_BLOCK_COUNT - 1;
        full.missing[i].count = 1;
    }
    expect_vector("upload-state", "upload-state", &gaps);
    expect_vector("upload-state", "upload-state-nothing", &nothing);
    expect_vector("upload-state", "upload-state-complete", &complete);
    expect_vector("upload-state", "upload-state-full", &full);
}

Test(wire_golden, where)
{
    const struct covey_where where = {.port = 5685, .valid_s = 86400};
    expect_vector("where", "where", &where);
}

Test(wire_golden, cose)
{
    static const uint8_t payload[] = {0xa2, 0x00, 0x01, 0x01, 0x67, 'p', 'a', 'y', 'l', 'o', 'a', 'd'};
    struct covey_cose_sign1 message = {.protected_header = covey_cose_es256_header(),
                                       .payload = {payload, sizeof payload}};
    fill(message.key_id, 0xa0, sizeof message.key_id);
    fill(message.signature, 0x20, sizeof message.signature);
    expect_vector("cose", "cose", &message);
}

Test(wire_golden, metrics)
{
    const struct covey_metrics metrics = {
        .base_name = "cell-7/",
        .base_time = 1.7e9,
        .count = 4,
        .records = {{"loss", "", 0.125}, {"temp", "Cel", 21.5}, {"steps", "", 300}, {"tenth", "", 0.1}},
    };
    expect_vector("metrics", "metrics", &metrics);
}

Test(wire_golden, metrics_of_another_producer)
{
    static struct vector vector;
    struct covey_metrics metrics;
    struct covey_error err = {0};
    find_vector("metrics", "read-metrics-base", &vector);
    cr_assert_eq(covey_metrics_decode((struct covey_bytes){vector.bytes, vector.size}, &metrics, &err),
                 COVEY_OK, "%s", err.text);
    cr_assert_eq(metrics.count, 3);
    cr_expect_str_eq(metrics.base_name, "cell-7/");
    cr_expect_eq(metrics.base_time, 1.7e9);
    cr_expect_str_eq(metrics.records[0].name, "temp");
    cr_expect_str_eq(metrics.records[0].unit, "Cel");
    cr_expect_eq(metrics.records[0].value, 21.5);
    cr_expect_str_eq(metrics.records[1].unit, "m");
    cr_expect_eq(metrics.records[1].value, 17.0);
    cr_expect_str_eq(metrics.records[2].name, "late");
    cr_expect_eq(metrics.records[2].value, 21.0);
}

/* ---- what is refused ---- */

static enum covey_status status_named(const char *name)
{
    static const char *const names[] = {
#define NAME(name, text) #name,
        COVEY_STATUS_LIST(NAME)
#undef NAME
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return (enum covey_status)i;
    cr_assert_fail("no status %s", name);
    return COVEY_STATE;
}

struct decoding {
    const struct message_kind *kind;
    uint8_t *out, *before;
};

static void decode_vector(void *user, const struct vector *vector)
{
    const struct decoding *decoding = user;
    const struct covey_bytes message = {vector->bytes, vector->size};
    const enum covey_status wanted = status_named(vector->status);
    struct covey_error err = {0};
    memset(decoding->out, 0x5a, decoding->kind->size);
    const enum covey_status status = decoding->kind->decode(message, decoding->out, &err);
    cr_expect_eq(status, wanted, "%s (%s): %s, not %s: %s", vector->name, vector->what,
                 covey_status_text(status), vector->status, err.text);
    if (status == COVEY_OK)
        return;
    cr_expect_eq(err.status, status);
    cr_expect_gt(strlen(err.text), 10, "%s", vector->name);
    cr_expect_arr_eq(decoding->out, decoding->before, decoding->kind->size, "%s touched its result",
                     vector->name);
    cr_expect_eq(decoding->kind->decode(message, decoding->out, NULL), wanted, "%s without err",
                 vector->name);
}

Test(wire_golden, every_vector_gives_its_status)
{
    for (size_t i = 0; i < message_kind_count; i++) {
        const struct message_kind *kind = &message_kinds[i];
        struct decoding decoding = {kind, malloc(kind->size), malloc(kind->size)};
        memset(decoding.before, 0x5a, kind->size);
        each_vector(kind->name, decode_vector, &decoding);
        free(decoding.out);
        free(decoding.before);
    }
}

/* The text names the field: a person can find it. */
Test(wire_golden, errors_name_the_place)
{
    static const struct {
        const char *kind, *name, *text;
    } cases[] = {
        {"plan", "plan-rate-nan", "plan: recipe.learning_rate: NaN or infinity"},
        {"plan", "plan-rate-integer",
         "plan: recipe.learning_rate: expected a float, found an unsigned integer"},
        {"plan", "plan-codec-missing", "plan: codec: missing"},
        {"plan", "plan-assignment-twice", "plan: assignment: there twice"},
        {"plan", "plan-version-2", "plan: version 2, this program knows up to 1"},
        {"plan", "plan-window-high", "plan: window_blocks: 33 is not in 0..32"},
        {"update", "update-stream-short", "update: stream: an item runs past the end at byte"},
        {"manifest", "manifest-delta-no-hash", "manifest: deltas[0].stream: missing"},
        {"description", "description-kind-later", "model description: ops[0].kind: 18 is not known"},
        {"cose", "cose-crit", "signed message: protected header: crit"},
        {"metrics", "metrics-nan", "metrics: no finite number"},
    };
    static struct vector vector;
    struct covey_model_description *out = new_description(); /* the largest of them */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct message_kind *kind = message_kinds;
        struct covey_error err = {0};
        while (strcmp(kind->name, cases[i].kind) != 0)
            kind++;
        find_vector(cases[i].kind, cases[i].name, &vector);
        cr_assert_neq(kind->decode((struct covey_bytes){vector.bytes, vector.size}, out, &err), COVEY_OK);
        cr_expect_eq(strncmp(err.text, cases[i].text, strlen(cases[i].text)), 0, "%s: \"%s\"", cases[i].name,
                     err.text);
    }
    free(out);
}
