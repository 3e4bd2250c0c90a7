/* The trainer on small data in memory: what it promises about order, batches, chunks, penalties, stopping and
 * errors. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/model.h"
#include "covey/random.h"
#include "covey/trainer.h"

#define EXAMPLES 53
#define FEATURES 6
#define CLASSES 3

static const char perceptron[] = "name: t\ninput: {shape: [6]}\nloss: softmax_cross_entropy\nops:\n"
                                 "  - {op: dense, name: a, units: 16}\n  - {op: tanh}\n"
                                 "  - {op: dense, name: b, units: 3}\n";
static const char line[] = "name: line\ninput: {shape: [6]}\nloss: mean_squared_error\nops:\n"
                           "  - {op: dense, name: a, units: 2}\n";
static const char normed[] =
    "name: normed\ninput: {shape: [6]}\nloss: softmax_cross_entropy\nops:\n"
    "  - {op: dense, name: a, units: 8}\n  - {op: batch_norm, name: n}\n  - {op: relu}\n"
    "  - {op: dropout, rate: 0.25}\n  - {op: dense, name: b, units: 3}\n";

static struct covey_model_description model;
static struct covey_error err;
static float inputs[EXAMPLES * FEATURES], targets[EXAMPLES * 2];
static uint8_t labels[EXAMPLES];
static struct covey_dataset dataset;
static float params[512], start[512];
static size_t param_count;

/* Three clouds of points, and a linear function of them. */
static void make_data(void)
{
    struct covey_random random;
    covey_random_init(&random, 1, 2, 3, COVEY_PURPOSE_TEST);
    for (int e = 0; e < EXAMPLES; e++) {
        labels[e] = (uint8_t)(e % CLASSES);
        for (int i = 0; i < FEATURES; i++)
            inputs[e * FEATURES + i] =
                covey_random_float(&random) - 0.5f + (i % CLASSES == labels[e] ? 0.8f : 0.0f);
        targets[2 * e] = 0.5f + inputs[e * FEATURES] - 2 * inputs[e * FEATURES + 3];
        targets[2 * e + 1] = inputs[e * FEATURES + 5];
    }
    dataset =
        (struct covey_dataset){.count = EXAMPLES,
                               .rows = EXAMPLES,
                               .inputs = {.values = inputs, .type = COVEY_ELEMENT_F32, .width = FEATURES},
                               .labels = {.values = labels, .type = COVEY_ELEMENT_U8, .width = 1},
                               .targets = {.values = targets, .type = COVEY_ELEMENT_F32, .width = 2}};
}

static struct covey_trainer *make_trainer(const char *text, const struct covey_training_options *options)
{
    struct covey_trainer *trainer = NULL;
    make_data();
    cr_assert_eq(covey_model_load_text("t", text, strlen(text), &model, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_trainer_create(&model, options, &trainer, &err), COVEY_OK, "%s", err.text);
    const struct covey_layout *layout = covey_trainer_layout(trainer);
    param_count = layout->count;
    cr_assert(param_count <= 512);
    cr_assert_eq(covey_model_initialise(&model, layout, 1, start, &err), COVEY_OK);
    memcpy(params, start, sizeof params);
    return trainer;
}

static struct covey_training_result train(const char *text, const struct covey_engine *engine,
                                          const struct covey_recipe *recipe, uint32_t chunk)
{
    const struct covey_training_options options = {
        .engine = engine, .recipe = recipe, .examples = EXAMPLES, .chunk = chunk};
    const struct covey_training_run run = {.device = 9, .round = 4, .seed = recipe->seed};
    struct covey_training_result result;
    struct covey_trainer *trainer = make_trainer(text, &options);
    cr_assert_eq(covey_trainer_run(trainer, params, &dataset, recipe, &run, &result, &err), COVEY_OK, "%s",
                 err.text);
    covey_trainer_destroy(trainer);
    return result;
}

static double distance(const float *a, const float *b)
{
    double sum = 0;
    for (size_t i = 0; i < param_count; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum);
}

static const struct covey_recipe sgd = {.epochs = 30, .batch = 8, .learning_rate = 0.2f, .seed = 5};

Test(trainer, learns_and_scores)
{
    const struct covey_training_result result = train(perceptron, NULL, &sgd, 0);
    struct covey_score score;
    cr_assert_eq(result.examples, EXAMPLES);
    cr_assert_eq(result.steps, 30 * 7); /* the last batch of each epoch is short */
    cr_assert(result.loss_after < 0.5 * result.loss_before, "%g -> %g", result.loss_before,
              result.loss_after);
    cr_assert_eq(covey_evaluate(&model, params, &dataset, &score, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(score.examples, EXAMPLES);
    cr_assert(score.accuracy > 0.9 && score.loss < 0.5);
}

Test(trainer, fits_a_line)
{
    const struct covey_recipe recipe = {.epochs = 300, .batch = 8, .learning_rate = 0.2f};
    const struct covey_training_result result = train(line, NULL, &recipe, 0);
    struct covey_score score;
    cr_assert_eq(covey_evaluate(&model, params, &dataset, &score, &err), COVEY_OK, "%s", err.text);
    cr_assert(result.loss_after < 1e-6 && score.rmse < 1e-3 && score.mae < 1e-3, "%g", score.rmse);
    cr_assert_float_eq(params[0], 1.0f, 5e-3);
    cr_assert_float_eq(params[3], -2.0f, 5e-3);
}

Test(trainer, the_same_keys_give_the_same_bits_and_other_keys_do_not)
{
    static float first[512];
    struct covey_recipe recipe = sgd;
    (void)train(normed, NULL, &recipe, 0);
    memcpy(first, params, sizeof first);
    (void)train(normed, NULL, &recipe, 0);
    cr_assert_eq(memcmp(first, params, param_count * sizeof(float)), 0);
    recipe.seed = 6;
    (void)train(normed, NULL, &recipe, 0);
    cr_assert_neq(memcmp(first, params, param_count * sizeof(float)), 0);
}

/* Replays the order of examples from the public generator, with one example a step. */
Test(trainer, batches_come_in_the_order_of_the_generator)
{
    const struct covey_recipe recipe = {.epochs = 2, .batch = 1, .learning_rate = 0.01f, .seed = 5};
    static float whole[512];
    uint32_t order[EXAMPLES];
    struct covey_random random;
    (void)train(perceptron, &covey_engine_plain, &recipe, 0);
    memcpy(whole, params, sizeof whole);
    memcpy(params, start, sizeof params);
    struct covey_recipe single = recipe;
    single.epochs = 1;
    const struct covey_training_options options = {
        .engine = &covey_engine_plain, .recipe = &single, .examples = 1};
    struct covey_trainer *trainer = make_trainer(perceptron, &options);
    const struct covey_training_run run = {.seed = 1};
    struct covey_training_result result;
    covey_random_init(&random, 5, 9, 4, COVEY_PURPOSE_SHUFFLE);
    for (uint32_t i = 0; i < EXAMPLES; i++)
        order[i] = i;
    for (int epoch = 0; epoch < 2; epoch++) {
        covey_random_shuffle(&random, order, EXAMPLES);
        for (uint32_t i = 0; i < EXAMPLES; i++) {
            struct covey_dataset one = dataset;
            one.count = 1;
            one.index = &order[i];
            cr_assert_eq(covey_trainer_run(trainer, params, &one, &single, &run, &result, &err), COVEY_OK);
        }
    }
    covey_trainer_destroy(trainer);
    cr_assert_eq(memcmp(params, whole, param_count * sizeof(float)), 0);
}

Test(trainer, a_batch_in_chunks_gives_what_it_gives_at_once)
{
    for (int o = 0; o < 3; o++) {
        static float whole[512];
        const struct covey_recipe recipe = {.epochs = 3,
                                            .batch = 20,
                                            .learning_rate = 0.01f,
                                            .momentum = 0.9f,
                                            .beta2 = 0.99f,
                                            .epsilon = 1e-3f,
                                            .weight_decay = 0.01f,
                                            .proximal_mu = 0.1f,
                                            .optimiser = (enum covey_optimiser_kind)o};
        const struct covey_training_result at_once = train(perceptron, &covey_engine_reference, &recipe, 20);
        memcpy(whole, params, sizeof whole);
        const struct covey_training_result in_chunks = train(perceptron, &covey_engine_reference, &recipe, 7);
        cr_assert(distance(params, whole) < 1e-6);
        cr_assert(distance(params, start) > 1e-3);
        cr_assert_float_eq(in_chunks.loss_after, at_once.loss_after, 1e-9);
        cr_assert_eq(in_chunks.steps, 9);
    }
}

Test(trainer, batch_0_is_all_data_in_one_step)
{
    static float whole[512];
    struct covey_recipe recipe = {.epochs = 4, .batch = 0, .learning_rate = 0.1f};
    const struct covey_training_result result = train(perceptron, &covey_engine_reference, &recipe, 0);
    cr_assert_eq(result.steps, 4);
    memcpy(whole, params, sizeof whole);
    recipe.batch = EXAMPLES;
    (void)train(perceptron, &covey_engine_reference, &recipe, 10);
    cr_assert(distance(params, whole) < 1e-6);
}

Test(trainer, steps_end_a_training_in_the_middle_of_an_epoch)
{
    struct covey_recipe recipe = sgd;
    recipe.steps = 3;
    struct covey_training_result result = train(perceptron, NULL, &recipe, 0);
    cr_assert_eq(result.steps, 3);
    cr_assert_eq(result.examples, 24); /* what it has seen */
    recipe.epochs = 0;
    recipe.steps = 10;
    result = train(perceptron, NULL, &recipe, 0);
    cr_assert_eq(result.steps, 10);
    cr_assert_eq(result.examples, EXAMPLES);
}

/* One step on one batch: w1 = w0 - rate (g + decay w0), and with mu the second step pulls back to w0. */
Test(trainer, weight_decay_and_the_proximal_term_are_what_they_say)
{
    static float plain[512], decayed[512];
    struct covey_recipe recipe = {.epochs = 1, .batch = 0, .learning_rate = 0.1f};
    (void)train(perceptron, &covey_engine_plain, &recipe, 0);
    memcpy(plain, params, sizeof plain);
    recipe.weight_decay = 0.5f;
    (void)train(perceptron, &covey_engine_plain, &recipe, 0);
    memcpy(decayed, params, sizeof decayed);
    for (size_t i = 0; i < param_count; i++)
        cr_assert_float_eq(decayed[i], plain[i] - 0.1f * 0.5f * start[i], 1e-6);
    recipe.weight_decay = 0;
    recipe.proximal_mu = 2;
    (void)train(perceptron, &covey_engine_plain, &recipe, 0);
    cr_assert(distance(params, plain) < 1e-6); /* no distance yet, no pull */
    recipe.epochs = 200;
    recipe.proximal_mu = 0;
    (void)train(perceptron, &covey_engine_plain, &recipe, 0);
    const double free_distance = distance(params, start);
    recipe.proximal_mu = 2;
    (void)train(perceptron, &covey_engine_plain, &recipe, 0);
    cr_assert(distance(params, start) < 0.5 * free_distance);
}

Test(trainer, batch_norm_learns_its_statistics_and_uses_them)
{
    (void)train(normed, &covey_engine_plain, &sgd, 0);
    struct covey_layout layout;
    struct covey_score score;
    cr_assert_eq(covey_model_layout(&model, &layout, &err), COVEY_OK);
    const struct covey_tensor *variance = covey_layout_find(&layout, "n.running_variance");
    for (size_t i = 0; i < variance->count; i++)
        cr_assert(params[variance->offset + i] > 0 && params[variance->offset + i] != 1.0f);
    cr_assert_eq(covey_evaluate(&model, params, &dataset, &score, &err), COVEY_OK);
    cr_assert(score.accuracy > 0.9, "%g", score.accuracy);
    covey_layout_deinit(&layout);
}

static bool stop_at_third(void *user)
{
    return ++*(int *)user > 3;
}

static void note_step(void *user, uint32_t step, uint32_t steps, double loss)
{
    int *seen = user;
    cr_assert_eq((int)step, ++seen[1]);
    cr_assert_eq(steps, 30 * 7);
    cr_assert(isfinite(loss));
}

Test(trainer, stops_when_asked_and_tells_of_every_step)
{
    const struct covey_training_options options = {.recipe = &sgd, .examples = EXAMPLES};
    struct covey_trainer *trainer = make_trainer(perceptron, &options);
    int counts[2] = {0};
    const struct covey_training_run run = {.stop = stop_at_third, .progress = note_step, .user = counts};
    struct covey_training_result result = {.steps = 77};
    cr_assert_eq(covey_trainer_run(trainer, params, &dataset, &sgd, &run, &result, &err), COVEY_CANCELLED);
    cr_assert_eq(counts[1], 3);
    cr_assert_eq(result.steps, 77);
    covey_trainer_destroy(trainer);
}

static enum covey_status try_run(struct covey_trainer *trainer, const struct covey_dataset *data,
                                 const struct covey_recipe *recipe)
{
    const struct covey_training_run run = {.seed = 1};
    struct covey_training_result result;
    memcpy(params, start, sizeof params);
    return covey_trainer_run(trainer, params, data, recipe, &run, &result, &err);
}

Test(trainer, wrong_data_are_refused)
{
    const struct covey_training_options options = {.recipe = &sgd, .examples = EXAMPLES};
    struct covey_trainer *trainer = make_trainer(perceptron, &options);
    struct covey_dataset other = dataset;
    labels[50] = CLASSES;
    cr_assert_eq(try_run(trainer, &dataset, &sgd), COVEY_RANGE);
    cr_assert(strstr(err.text, "label 3") != NULL, "%s", err.text);
    labels[50] = 0;
    inputs[17] = NAN;
    cr_assert_eq(try_run(trainer, &dataset, &sgd), COVEY_NOT_FINITE);
    inputs[17] = 0;
    other.inputs.width = 5;
    cr_assert_eq(try_run(trainer, &other, &sgd), COVEY_MISMATCH);
    other = dataset;
    other.labels.width = 0;
    cr_assert_eq(try_run(trainer, &other, &sgd), COVEY_MISMATCH);
    other = dataset;
    other.count = 0;
    cr_assert_eq(try_run(trainer, &other, &sgd), COVEY_INVALID);
    cr_assert_eq(try_run(trainer, &dataset, &sgd), COVEY_OK);
    covey_trainer_destroy(trainer);
}

Test(trainer, a_diverging_training_is_reported)
{
    struct covey_recipe wild = {.epochs = 50, .batch = 8, .learning_rate = 900.0f};
    const struct covey_training_options options = {.recipe = &wild, .examples = EXAMPLES};
    struct covey_trainer *trainer = make_trainer(line, &options);
    cr_assert_eq(try_run(trainer, &dataset, &wild), COVEY_NOT_FINITE);
    cr_assert(strstr(err.text, "learning rate") != NULL);
    covey_trainer_destroy(trainer);
}

Test(trainer, says_when_a_recipe_does_not_fit_its_workspace)
{
    const struct covey_training_options options = {.recipe = &sgd, .examples = EXAMPLES};
    struct covey_trainer *trainer = make_trainer(perceptron, &options);
    struct covey_recipe other = sgd;
    cr_assert(covey_trainer_fits(trainer, &sgd, EXAMPLES));
    cr_assert(covey_trainer_fits(trainer, &sgd, 3));
    cr_assert_not(covey_trainer_fits(trainer, &sgd, EXAMPLES + 1));
    other.batch = 4;
    other.learning_rate = 1;
    cr_assert(covey_trainer_fits(trainer, &other, EXAMPLES));
    other.batch = 9;
    cr_assert_not(covey_trainer_fits(trainer, &other, EXAMPLES));
    other = sgd;
    other.weight_decay = 0.1f;
    cr_assert_not(covey_trainer_fits(trainer, &other, EXAMPLES));
    other = sgd;
    other.optimiser = COVEY_OPTIMISER_MOMENTUM;
    cr_assert_eq(try_run(trainer, &dataset, &other), COVEY_STATE);
    covey_trainer_destroy(trainer);
}

Test(trainer, tokens_beyond_the_vocabulary_are_refused)
{
    static const char text[] =
        "name: t\ninput: {shape: [6], tokens: true}\nloss: softmax_cross_entropy\nops:\n"
        "  - {op: embedding, name: e, vocabulary: 5, units: 4}\n"
        "  - {op: gru, name: g, units: 6, last_only: true}\n"
        "  - {op: dense, name: b, units: 3}\n";
    static uint8_t tokens[EXAMPLES * FEATURES];
    struct covey_recipe recipe = {.epochs = 40, .batch = 8, .learning_rate = 0.5f};
    const struct covey_training_options options = {.recipe = &recipe, .examples = EXAMPLES};
    struct covey_trainer *trainer = make_trainer(text, &options);
    struct covey_training_result result;
    const struct covey_training_run run = {.seed = 1};
    for (int i = 0; i < EXAMPLES * FEATURES; i++)
        tokens[i] = (uint8_t)((i / FEATURES + i) % 5);
    for (int i = 0; i < EXAMPLES; i++)
        labels[i] = tokens[i * FEATURES + 4] % CLASSES; /* the one before the last */
    dataset.inputs = (struct covey_table){.values = tokens, .type = COVEY_ELEMENT_U8, .width = FEATURES};
    cr_assert_eq(covey_trainer_run(trainer, params, &dataset, &recipe, &run, &result, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert(result.loss_after < 0.3 * result.loss_before, "%g -> %g", result.loss_before,
              result.loss_after);
    tokens[100] = 5;
    cr_assert_eq(try_run(trainer, &dataset, &recipe), COVEY_RANGE);
    cr_assert(strstr(err.text, "token") != NULL, "%s", err.text);
    covey_trainer_destroy(trainer);
}

Test(trainer, predicts_what_it_scores_by)
{
    const struct covey_training_options options = {.chunk = 10};
    struct covey_trainer *trainer = make_trainer(perceptron, &options);
    float out[EXAMPLES * CLASSES];
    struct covey_score score;
    uint32_t right = 0;
    cr_assert_eq(covey_trainer_predict(trainer, params, inputs, EXAMPLES, out, &err), COVEY_OK);
    cr_assert_eq(covey_trainer_evaluate(trainer, params, &dataset, &score, &err), COVEY_OK);
    for (int e = 0; e < EXAMPLES; e++) {
        const float *logits = out + e * CLASSES;
        const int best =
            logits[0] >= logits[1] ? (logits[0] >= logits[2] ? 0 : 2) : (logits[1] >= logits[2] ? 1 : 2);
        right += best == labels[e];
    }
    cr_assert_float_eq(score.accuracy, (double)right / EXAMPLES, 1e-12);
    cr_assert_eq(memcmp(params, start, sizeof params), 0);
    covey_trainer_destroy(trainer);
}

Test(trainer, workspace_bytes_are_those_of_the_plan)
{
    const struct covey_training_options options = {.recipe = &sgd, .examples = EXAMPLES};
    struct covey_trainer *trainer = make_trainer(perceptron, &options);
    struct covey_training_memory memory;
    uint64_t bytes = 0;
    cr_assert_eq(covey_trainer_workspace_bytes(&model, &options, &bytes, &err), COVEY_OK);
    covey_training_plan_memory(covey_trainer_plan(trainer), &memory);
    cr_assert_eq(bytes, memory.total);
    covey_trainer_destroy(trainer);
    covey_trainer_destroy(NULL);
}

Test(recipe, rates_follow_their_schedule)
{
    struct covey_recipe recipe = {.learning_rate = 0.5f, .schedule_factor = 0.5f, .schedule_period = 10};
    cr_assert_eq(covey_recipe_rate(&recipe, 99), 0.5);
    recipe.schedule = COVEY_SCHEDULE_STEP;
    cr_assert_eq(covey_recipe_rate(&recipe, 9), 0.5);
    cr_assert_eq(covey_recipe_rate(&recipe, 20), 0.125);
    recipe.schedule = COVEY_SCHEDULE_COSINE;
    cr_assert_float_eq(covey_recipe_rate(&recipe, 0), 0.5, 1e-12);
    cr_assert_float_eq(covey_recipe_rate(&recipe, 5), 0.375, 1e-12);
    cr_assert_float_eq(covey_recipe_rate(&recipe, 10), 0.25, 1e-12);
    cr_assert_float_eq(covey_recipe_rate(&recipe, 1000), 0.25, 1e-12);
    recipe.schedule = COVEY_SCHEDULE_WARMUP;
    cr_assert_float_eq(covey_recipe_rate(&recipe, 0), 0.25, 1e-12);
    cr_assert_float_eq(covey_recipe_rate(&recipe, 5), 0.375, 1e-12);
    cr_assert_float_eq(covey_recipe_rate(&recipe, 10), 0.5, 1e-12);
}

Test(recipe, what_cannot_be_trained_by_is_refused)
{
    const struct covey_recipe good = {.epochs = 1,
                                      .batch = 10,
                                      .learning_rate = 0.1f,
                                      .momentum = 0.9f,
                                      .beta2 = 0.999f,
                                      .epsilon = 1e-8f,
                                      .optimiser = COVEY_OPTIMISER_ADAM};
    struct covey_recipe bad[14];
    for (int i = 0; i < 14; i++)
        bad[i] = good;
    bad[0].epochs = 0;
    bad[1].epochs = 1u << 31;
    bad[2].batch = UINT32_MAX;
    bad[3].learning_rate = NAN;
    bad[4].learning_rate = 0;
    bad[5].learning_rate = INFINITY;
    bad[6].momentum = 1;
    bad[7].beta2 = -0.1f;
    bad[8].epsilon = 0;
    bad[9].weight_decay = -1;
    bad[10].proximal_mu = NAN;
    bad[11].optimiser = (enum covey_optimiser_kind)9;
    bad[12].schedule = COVEY_SCHEDULE_STEP;
    bad[13].schedule = (enum covey_schedule_kind)7;
    cr_assert_eq(covey_recipe_check(&good, &err), COVEY_OK);
    for (int i = 0; i < 14; i++)
        cr_assert_neq(covey_recipe_check(&bad[i], &err), COVEY_OK, "recipe %d", i);
}
