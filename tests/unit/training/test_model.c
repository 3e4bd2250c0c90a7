/* Descriptions: the shipped models, what YAML may and may not say, layouts and initial weights. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/messages.h"
#include "covey/model.h"

static struct covey_model_description model;
static struct covey_error err;

static enum covey_status load(const char *text)
{
    return covey_model_load_text("test.yaml", text, strlen(text), &model, &err);
}

Test(model, shipped_models_have_the_parameters_that_were_published)
{
    static const struct {
        const char *name;
        size_t parameters, update;
    } models[] = {
        {"logreg", 7850, 7850},
        {"2nn", 199210, 199210},
        {"mcmahan-cnn", 1663370, 1663370},
        {"har", 7750, 7750},
        {"har-cnn", 24742, 24742},
        {"depthwise", 4106, 4106},
        {"shakespeare-gru", 74624, 74624},
    };
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct covey_model_summary summary;
        struct covey_layout layout;
        cr_assert_eq(covey_model_load(models[i].name, &model, &err), COVEY_OK, "%s", err.text);
        cr_assert_str_eq(model.name, models[i].name);
        cr_assert_eq(covey_model_summarise(&model, &summary, &err), COVEY_OK);
        cr_assert_eq(covey_model_layout(&model, &layout, &err), COVEY_OK);
        cr_assert_eq(summary.parameters, models[i].parameters, "%s has %zu", models[i].name,
                     (size_t)summary.parameters);
        cr_assert_eq(layout.count, models[i].parameters);
        cr_assert_eq(layout.update_count, models[i].update);
        cr_assert_eq(summary.update_count, layout.update_count);
        covey_layout_deinit(&layout);
    }
}

Test(model, shipped_models_survive_their_cbor)
{
    static const char *const names[] = {"logreg",  "2nn",       "mcmahan-cnn",    "har",
                                        "har-cnn", "depthwise", "shakespeare-gru"};
    static struct covey_model_description decoded;
    static uint8_t bytes[COVEY_DESCRIPTION_BYTES];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t size = 0;
        cr_assert_eq(covey_model_load(names[i], &model, &err), COVEY_OK);
        cr_assert_eq(covey_description_encode(&model, bytes, sizeof bytes, &size, &err), COVEY_OK, "%s",
                     err.text);
        cr_assert_eq(covey_description_decode((struct covey_bytes){bytes, size}, &decoded, &err), COVEY_OK,
                     "%s", err.text);
        cr_assert_eq(memcmp(&model, &decoded, sizeof model), 0, "%s", names[i]);
    }
}

Test(model, a_name_that_is_no_model_says_where_it_looked)
{
    char path[COVEY_FILE_PATH_BYTES] = "untouched";
    cr_assert_eq(covey_model_find("no-such-model", path, sizeof path, &err), COVEY_NOT_FOUND);
    cr_assert(strstr(err.text, "examples/models") != NULL, "%s", err.text);
    cr_assert_eq(covey_model_find("./no-such-model.yaml", path, sizeof path, &err), COVEY_NOT_FOUND);
    cr_assert_str_eq(path, "untouched");
    cr_assert_eq(covey_model_find(COVEY_SOURCE_DIR "/examples/models/2nn.yaml", path, sizeof path, &err),
                 COVEY_OK);
}

#define HEAD "name: t\ninput: {shape: [8, 8, 3]}\nloss: softmax_cross_entropy\nops:\n"
#define FLAT "name: t\ninput: {shape: [12]}\nloss: softmax_cross_entropy\nops:\n"

Test(model, wrong_descriptions_are_refused_with_their_reason)
{
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {HEAD "  - {op: dense, units: 0}\n", "units"},
        {HEAD "  - {op: flatten}\n  - {op: dense}\n", "units"},
        {HEAD "  - {op: flatten}\n  - {op: dens, units: 3}\n", "dens"},
        {HEAD "  - {op: flatten}\n  - {op: dense, unit: 3}\n", "unit"},
        {HEAD "  - {op: flatten, inputs: [nowhere]}\n", "nowhere"},
        {HEAD "  - {op: flatten, name: a}\n  - {op: dense, name: a, units: 3}\n", "name"},
        {HEAD "  - {op: flatten, name: input}\n  - {op: dense, units: 3}\n", "name"},
        {HEAD "  - {op: flatten, name: 'a b'}\n  - {op: dense, units: 3}\n", "a-z"},
        {HEAD "  - {op: conv2d, name: a, units: 2, kernel: [3, 3]}\n  - {op: flatten, inputs: [input]}\n"
              "  - {op: dense, units: 3}\n",
         "nothing reads"},
        {HEAD "  - {op: conv2d, units: 4, kernel: [9, 9]}\n  - {op: flatten}\n", "larger"},
        {HEAD "  - {op: conv2d, units: 4, kernel: [3, 3], groups: 2}\n  - {op: flatten}\n", "groups"},
        {HEAD "  - {op: conv2d, units: 4, kernel: [3, 3], pad: [1, 1, 1, 1]}\n  - {op: flatten}\n",
         "explicit"},
        {HEAD "  - {op: conv2d, units: 4, kernel: [3, 3], padding: explicit, pad: [3, 0, 0, 0]}\n",
         "padding"},
        {HEAD "  - {op: conv2d, units: 300000000}\n", "units"},
        {HEAD "  - {op: conv2d, units: 200000000, kernel: [8, 8]}\n", "2^28"},
        {HEAD "  - {op: flatten}\n  - {op: max_pool, kernel: [2, 2]}\n  - {op: dense, units: 3}\n", "image"},
        {HEAD "  - {op: dropout, rate: 1}\n  - {op: dense, units: 3}\n", "rate"},
        {HEAD "  - {op: group_norm, groups: 2}\n  - {op: dense, units: 3}\n", "groups"},
        {HEAD "  - {op: add}\n  - {op: dense, units: 3}\n", "two"},
        {HEAD "  - {op: embedding, vocabulary: 5, units: 3}\n  - {op: dense, units: 3}\n", "token"},
        {HEAD "  - {op: gru, units: 5}\n", "sequence"},
        {HEAD "  - {op: flatten}\n", "without parameters"},
        {FLAT "  - {op: dense, units: 1}\n", "two outputs"},
        {FLAT "  - {op: dense, name: a, units: 3}\n  - {op: dense, name: b, inputs: [input], units: 4}\n"
              "  - {op: add, inputs: [a, b]}\n",
         "shape"},
        {FLAT "  - {op: dense, units: 268435456}\n  - {op: dense, units: 268435456}\n", "2^"},
        {FLAT "  - {op: dense, units: 10000000}\n  - {op: dense, units: 20}\n  - {op: dense, units: 5}\n",
         "parameters"},
        {"name: t\ninput: {shape: [8, 0]}\nloss: softmax_cross_entropy\nops:\n  - {op: dense, units: 3}\n",
         "0"},
        {"name: t\ninput: {shape: [9], tokens: true}\nloss: softmax_cross_entropy\nops:\n  - {op: dense, "
         "units: 3}\n",
         "token"},
        {"name: t\ninput: {shape: [9]}\nloss: hinge\nops:\n  - {op: dense, units: 3}\n", "hinge"},
        {"name: t\nloss: mean_squared_error\nops:\n  - {op: dense, units: 3}\n", "input"},
        {"name: t\ninput: {shape: [9]}\nloss: mean_squared_error\nops: []\n", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct covey_model_description before;
        memset(&model, 0x5a, sizeof model);
        before = model;
        err = (struct covey_error){0};
        cr_assert_neq(load(cases[i].text), COVEY_OK, "accepted: %s", cases[i].text);
        cr_assert(strstr(err.text, cases[i].reason) != NULL, "'%s' does not name '%s' for: %s", err.text,
                  cases[i].reason, cases[i].text);
        cr_assert_eq(memcmp(&model, &before, sizeof model), 0, "touched on failure");
    }
}

Test(model, defaults_and_branches_are_understood)
{
    cr_assert_eq(
        load("name: t\ninput: {shape: [6, 6, 2], scale: 0.5, shift: -1}\nloss: mean_squared_error\nops:\n"
             "  - {op: conv2d, name: a, units: 4, kernel: [3], padding: same}\n"
             "  - {op: relu}\n"
             "  - {op: conv2d, name: b, units: 4, kernel: [3, 1], padding: explicit, pad: [1, 1, 0, 0]}\n"
             "  - {op: add, inputs: [relu-2, b]}\n"
             "  - {op: batch_norm, name: n}\n"
             "  - {op: average_pool, kernel: [2]}\n"
             "  - {op: concat, name: c, inputs: [average_pool-6, average_pool-6]}\n"
             "  - {op: global_average_pool}\n"
             "  - {op: dense, name: out, units: 3, scope: personal}\n"),
        COVEY_OK, "%s", err.text);
    struct covey_layout layout;
    struct covey_model_summary summary;
    cr_assert_eq(covey_model_layout(&model, &layout, &err), COVEY_OK);
    cr_assert_eq(covey_model_summarise(&model, &summary, &err), COVEY_OK);
    cr_assert_eq(model.ops[0].kernel[1], 3); /* [3] is a square on images */
    cr_assert_eq(model.input_scale, 0.5f);
    cr_assert_str_eq(model.ops[2].inputs[0], "relu-2");
    const size_t expected = 4 * 18 + 4 + 4 * 12 + 4 + 16 + 24 + 3;
    cr_assert_eq(layout.count, expected);
    cr_assert_eq(layout.update_count,
                 expected - 27); /* running statistics travel, the personal head does not */
    cr_assert_eq(summary.trainable, expected - 8);
    cr_assert_eq(covey_layout_find(&layout, "n.running_mean")->role, COVEY_ROLE_BUFFER);
    cr_assert_eq(covey_layout_find(&layout, "out.weight")->scope, COVEY_SCOPE_PERSONAL);
    cr_assert_eq(summary.target_count, 3);
    cr_assert_eq(summary.classes, 0);
    covey_layout_deinit(&layout);
}

Test(model, initial_weights_depend_on_seed_and_name_alone)
{
    struct covey_layout layout;
    cr_assert_eq(
        load(FLAT
             "  - {op: dense, name: a, units: 40}\n  - {op: relu}\n  - {op: dense, name: b, units: 7}\n"),
        COVEY_OK);
    cr_assert_eq(covey_model_layout(&model, &layout, &err), COVEY_OK);
    float *first = malloc(layout.count * sizeof(float)), *second = malloc(layout.count * sizeof(float));
    cr_assert_eq(covey_model_initialise(&model, &layout, 1, first, &err), COVEY_OK);
    cr_assert_eq(covey_model_initialise(&model, &layout, 1, second, &err), COVEY_OK);
    cr_assert_eq(memcmp(first, second, layout.count * sizeof(float)), 0);
    cr_assert_eq(covey_model_initialise(&model, &layout, 2, second, &err), COVEY_OK);
    cr_assert_neq(memcmp(first, second, layout.count * sizeof(float)), 0);
    /* He: within sqrt(6 / 12) and, for so many values, near it; Glorot: within sqrt(6 / 47). */
    const struct covey_tensor *a = covey_layout_find(&layout, "a.weight"),
                              *b = covey_layout_find(&layout, "b.weight");
    float most_a = 0, most_b = 0;
    for (size_t i = 0; i < a->count; i++)
        most_a = fmaxf(most_a, fabsf(first[a->offset + i]));
    for (size_t i = 0; i < b->count; i++)
        most_b = fmaxf(most_b, fabsf(first[b->offset + i]));
    cr_assert(most_a <= sqrtf(0.5f) && most_a > 0.97f * sqrtf(0.5f));
    cr_assert(most_b <= sqrtf(6.0f / 47) && most_b > 0.97f * sqrtf(6.0f / 47));
    cr_assert_eq(first[covey_layout_find(&layout, "a.bias")->offset], 0.0f);
    free(first);
    free(second);
    covey_layout_deinit(&layout);
}

Test(model, a_layout_of_another_model_is_refused)
{
    struct covey_layout layout;
    float params[64];
    cr_assert_eq(load(FLAT "  - {op: dense, name: a, units: 3}\n"), COVEY_OK);
    cr_assert_eq(covey_model_layout(&model, &layout, &err), COVEY_OK);
    cr_assert_eq(load(FLAT "  - {op: dense, name: a, units: 4}\n"), COVEY_OK);
    cr_assert_eq(covey_model_initialise(&model, &layout, 1, params, &err), COVEY_MISMATCH);
    covey_layout_deinit(&layout);
}

/* What a decoder or a program may hand over, without YAML in front. */
Test(model, hostile_structs_are_refused)
{
    static struct covey_model_description good, bad[12];
    cr_assert_eq(covey_model_load("mcmahan-cnn", &good, &err), COVEY_OK);
    for (int i = 0; i < 12; i++)
        bad[i] = good;
    bad[0].op_count = 100000;
    bad[1].input_rank = 9;
    memset(bad[2].name, 'a', sizeof bad[2].name);
    memset(bad[3].ops[2].name, 'a', sizeof bad[3].ops[2].name);
    memset(bad[4].ops[2].inputs[0], 'a', sizeof bad[4].ops[2].inputs[0]);
    bad[5].ops[3].input_count = 77;
    bad[6].ops[3].kind = (enum covey_op_kind)1000;
    bad[7].ops[0].kernel[0] = bad[7].ops[0].kernel[1] = UINT32_MAX;
    bad[8].ops[0].stride[1] = UINT32_MAX;
    bad[9].ops[0].padding = COVEY_PADDING_EXPLICIT;
    bad[9].ops[0].pad[3] = UINT32_MAX;
    bad[10].input_shape[0] = bad[10].input_shape[1] = bad[10].input_shape[2] = UINT32_MAX;
    memset(bad[11].ops[0].name, 'a', COVEY_NAME_BYTES - 1); /* legal, but NAME.weight is too long */
    strcpy(bad[11].ops[1].inputs[0], bad[11].ops[0].name);
    for (int i = 0; i < 12; i++)
        cr_assert_neq(covey_model_check(&bad[i], &err), COVEY_OK, "description %d", i);
    cr_assert_eq(covey_model_check(&good, &err), COVEY_OK);
}
