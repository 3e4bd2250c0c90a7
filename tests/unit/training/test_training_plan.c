/* Plans: what shares memory, what it adds up to, what is refused; and that sharing does not change what is
 * computed. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/model.h"
#include "covey/random.h"
#include "covey/trainer.h"

#include "following_engines.h"
#include "network.h"

static struct covey_model_description model;
static struct covey_error err;
static const struct covey_recipe sgd = {.epochs = 1, .batch = 10, .learning_rate = 0.1f};

static struct covey_training_plan *plan_of(const char *name, const struct covey_training_options *options)
{
    struct covey_training_plan *plan = NULL;
    cr_assert_eq(covey_model_load(name, &model, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_training_plan_create(&model, options, &plan, &err), COVEY_OK, "%s", err.text);
    return plan;
}

Test(training_plan, memory_is_itemised_and_adds_up)
{
    static const struct covey_engine *engines[] = {&covey_engine_plain, &covey_engine_reference};
    static const char *const names[] = {"logreg",  "2nn",       "mcmahan-cnn",
                                        "har-cnn", "depthwise", "shakespeare-gru"};
    for (int e = 0; e < 2; e++)
        for (int m = 0; m < 6; m++)
            for (int o = 0; o < 3; o++) {
                const struct covey_recipe recipe = {.epochs = 1,
                                                    .batch = 10,
                                                    .learning_rate = 0.1f,
                                                    .epsilon = 1e-8f,
                                                    .optimiser = (enum covey_optimiser_kind)o};
                const struct covey_training_options options = {
                    .engine = engines[e], .recipe = &recipe, .examples = 600};
                struct covey_training_plan *plan = plan_of(names[m], &options);
                struct covey_training_memory memory;
                covey_training_plan_memory(plan, &memory);
                const uint64_t own = memory.gradients + memory.optimiser + memory.activations +
                                     memory.kernel + memory.batch + (e == 1 ? memory.parameters : 0);
                cr_assert_eq(memory.total, own, "%s", names[m]);
                cr_assert(memory.activations <= memory.activations_unshared);
                const uint64_t real_bytes = e == 1 ? 8 : 4;
                cr_assert(memory.optimiser >= (uint64_t)o * plan->trainable_count * real_bytes);
                cr_assert(memory.optimiser < (uint64_t)o * (plan->trainable_count * real_bytes + 64) + 1);
                covey_training_plan_destroy(plan);
            }
}

Test(training_plan, plain_sgd_needs_no_gradient_of_dense_layers)
{
    const struct covey_training_options options = {
        .engine = &covey_engine_plain, .recipe = &sgd, .examples = 600};
    struct covey_training_memory memory;
    struct covey_training_plan *plan = plan_of("2nn", &options);
    covey_training_plan_memory(plan, &memory);
    cr_assert_eq(memory.gradients, 0);
    cr_assert_eq(memory.optimiser, 0);
    /* 784 + 200 + 200 + 10 values and at the most as many gradients, of 10 examples; order of 600 examples */
    cr_assert(memory.total < 10 * (784 + 3 * 400 + 20) * 4 + 600 * 4 + 2048, "%zu", (size_t)memory.total);
    covey_training_plan_destroy(plan);
}

Test(training_plan, an_evaluator_keeps_only_what_the_next_steps_read)
{
    const struct covey_training_options options = {.engine = &covey_engine_plain, .chunk = 10};
    const struct covey_training_options training = {
        .engine = &covey_engine_plain, .recipe = &sgd, .examples = 600};
    struct covey_training_memory evaluating, learning;
    struct covey_training_plan *plan = plan_of("mcmahan-cnn", &options);
    covey_training_plan_memory(plan, &evaluating);
    covey_training_plan_destroy(plan);
    plan = plan_of("mcmahan-cnn", &training);
    covey_training_plan_memory(plan, &learning);
    covey_training_plan_destroy(plan);
    /* The widest moment: 28 x 28 x 32 values (relu in place) and their pooling. */
    cr_assert_eq(evaluating.activations, 10ull * (25088 + 6272) * 4);
    cr_assert(learning.activations > 2 * evaluating.activations);
}

Test(training_plan, too_much_memory_is_refused_before_any_is_taken)
{
    struct covey_training_plan *plan = NULL;
    struct covey_training_options options = {
        .engine = &covey_engine_plain, .recipe = &sgd, .examples = 600, .memory_limit_bytes = 1 << 20};
    cr_assert_eq(covey_model_load("mcmahan-cnn", &model, &err), COVEY_OK);
    cr_assert_eq(covey_training_plan_create(&model, &options, &plan, &err), COVEY_LIMIT);
    cr_assert(strstr(err.text, "KiB") != NULL, "%s", err.text);
    options.chunk = 5000;
    cr_assert_eq(covey_training_plan_create(&model, &options, &plan, &err), COVEY_LIMIT);
    options = (struct covey_training_options){.recipe = &sgd};
    cr_assert_eq(covey_training_plan_create(&model, &options, &plan, &err), COVEY_INVALID);
    cr_assert_null(plan);
}

Test(training_plan, a_model_of_frozen_weights_alone_cannot_be_trained)
{
    static const char text[] = "name: t\ninput: {shape: [4]}\nloss: mean_squared_error\nops:\n"
                               "  - {op: dense, units: 3, weights: frozen}\n";
    struct covey_training_plan *plan = NULL;
    const struct covey_training_options options = {.recipe = &sgd, .examples = 5};
    const struct covey_training_options evaluation = {0};
    cr_assert_eq(covey_model_load_text("t", text, sizeof text - 1, &model, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_training_plan_create(&model, &options, &plan, &err), COVEY_INVALID);
    cr_assert_eq(covey_training_plan_create(&model, &evaluation, &plan, &err), COVEY_OK);
    covey_training_plan_destroy(plan);
}

/* A graph with everything that makes placing hard: values read twice, branches of unlike length, views,
 * values in place, a frozen layer in the middle, an operation that reads the same value twice. */
static const char tangle[] = "name: tangle\ninput: {shape: [6, 6, 2]}\nloss: softmax_cross_entropy\nops:\n"
                             "  - {op: conv2d, name: a, units: 4, kernel: [3, 3], padding: same}\n"
                             "  - {op: tanh, name: b}\n"
                             "  - {op: conv2d, name: c, units: 4, kernel: [1, 1]}\n"
                             "  - {op: sigmoid, name: d}\n"
                             "  - {op: add, name: e, inputs: [b, d, b]}\n"
                             "  - {op: group_norm, name: f, groups: 2}\n"
                             "  - {op: conv2d, name: g, units: 3, inputs: [e], weights: frozen}\n"
                             "  - {op: concat, name: h, inputs: [f, g, b]}\n"
                             "  - {op: average_pool, name: i, kernel: [2, 2]}\n"
                             "  - {op: flatten, name: j}\n"
                             "  - {op: tanh, name: k}\n"
                             "  - {op: dense, name: l, units: 20, inputs: [j]}\n"
                             "  - {op: relu, name: m}\n"
                             "  - {op: dropout, name: n, rate: 0.2}\n"
                             "  - {op: concat, name: o, inputs: [n, k, m]}\n"
                             "  - {op: dense, name: p, units: 5}\n";

#define TANGLE_EXAMPLES 7

static void draw(float *values, size_t count, uint32_t round)
{
    struct covey_random random;
    covey_random_init(&random, 3, 3, round, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        values[i] = 2.0f * covey_random_float(&random) - 1.0f;
}

static void start_network(const struct covey_training_plan *plan, struct covey_network *network,
                          float *params)
{
    *network = (struct covey_network){.plan = plan,
                                      .workspace = aligned_alloc(COVEY_ARENA_ALIGN, plan->memory.total),
                                      .seed = 1,
                                      .rate = 0.5,
                                      .recipe = plan->recipe};
    memset(network->workspace, 0xff, plan->memory.total); /* NaN: what is not written must not be read */
    plan->engine->network->load(network, params);
    plan->engine->network->begin(network);
}

static double pass(struct covey_network *network)
{
    const struct covey_network_functions *run = network->plan->engine->network;
    struct covey_tally tally = {0};
    draw(run->staging(network), TANGLE_EXAMPLES * network->plan->input.count, 1);
    for (int i = 0; i < TANGLE_EXAMPLES; i++)
        covey_network_labels(network)[i] = i % 5;
    network->passes = 0; /* the same dropout each time */
    cr_assert_eq(run->feed(network, TANGLE_EXAMPLES, &err), COVEY_OK);
    run->forward(network, TANGLE_EXAMPLES, true);
    run->loss(network, TANGLE_EXAMPLES, TANGLE_EXAMPLES, true, &tally);
    return tally.loss / (double)tally.count;
}

/* One SGD step of rate .5 on a model in f64 gives the gradient: (before - after) / .5. */
Test(training_plan, memory_that_is_shared_is_not_written_over_too_early)
{
    const struct covey_recipe recipe = {.epochs = 1, .batch = TANGLE_EXAMPLES, .learning_rate = 0.5f};
    const struct covey_training_options options = {
        .engine = &covey_engine_reference, .recipe = &recipe, .examples = TANGLE_EXAMPLES};
    struct covey_training_plan *plan = NULL;
    struct covey_network network;
    cr_assert_eq(covey_model_load_text("tangle", tangle, sizeof tangle - 1, &model, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_training_plan_create(&model, &options, &plan, &err), COVEY_OK, "%s", err.text);
    cr_assert(plan->memory.activations < plan->memory.activations_unshared);
    const size_t count = plan->layout.count;
    float *params = malloc(count * sizeof(float));
    draw(params, count, 2);
    start_network(plan, &network, params);
    double *weights = network.params, *before = malloc(count * sizeof(double)),
           *after = malloc(count * sizeof(double));
    memcpy(before, weights, count * sizeof(double));
    (void)pass(&network);
    plan->engine->network->backward(&network, TANGLE_EXAMPLES, true, true);
    memcpy(after, weights, count * sizeof(double));
    memcpy(weights, before, count * sizeof(double));
    for (size_t t = 0; t < plan->layout.tensor_count; t++) {
        const struct covey_tensor *tensor = &plan->layout.tensors[t];
        for (size_t i = tensor->offset; i < tensor->offset + tensor->count; i += 1 + tensor->count / 20) {
            const double gradient = (before[i] - after[i]) / 0.5, step = 1e-5;
            weights[i] = before[i] + step;
            const double above = pass(&network);
            weights[i] = before[i] - step;
            const double below = pass(&network);
            weights[i] = before[i];
            const double expected = tensor->role == COVEY_ROLE_FROZEN ? 0 : (above - below) / (2 * step);
            cr_assert(fabs(gradient - expected) <= 1e-6 * fmax(fabs(expected), 1e-3),
                      "%s[%zu]: %.12g, by differences %.12g", tensor->name, i - tensor->offset, gradient,
                      expected);
        }
    }
    free(params);
    free(before);
    free(after);
    free(network.workspace);
    covey_training_plan_destroy(plan);
}

/* Every f32 engine of the build, with its fusions, against the reference on the same graph, and every
 * optimiser. */
Test(training_plan, engines_agree_on_a_tangled_graph)
{
    for (int o = 0; o < 3; o++) {
        const struct covey_recipe recipe = {.epochs = 1,
                                            .batch = TANGLE_EXAMPLES,
                                            .learning_rate = 0.01f,
                                            .optimiser = (enum covey_optimiser_kind)o,
                                            .momentum = 0.5f,
                                            .beta2 = 0.9f,
                                            .epsilon = 1e-2f};
        float *results[4] = {0};
        size_t count = 0, engines = 0;
        cr_assert_eq(covey_model_load_text("tangle", tangle, sizeof tangle - 1, &model, &err), COVEY_OK);
        for (; engines == 0 || following_engines[engines - 1] != NULL; engines++) {
            const struct covey_engine *engine =
                engines == 0 ? &covey_engine_reference : following_engines[engines - 1];
            const struct covey_training_options options = {
                .engine = engine, .recipe = &recipe, .examples = TANGLE_EXAMPLES};
            struct covey_training_plan *plan = NULL;
            struct covey_network network;
            cr_assert_eq(covey_training_plan_create(&model, &options, &plan, &err), COVEY_OK);
            count = plan->layout.count;
            results[engines] = malloc(count * sizeof(float));
            draw(results[engines], count, 2);
            start_network(plan, &network, results[engines]);
            network.rate = 0.01;
            for (int step = 0; step < 3; step++) {
                cr_assert(isfinite(pass(&network)));
                engine->network->backward(&network, TANGLE_EXAMPLES, true, true);
            }
            engine->network->store(&network, results[engines]);
            free(network.workspace);
            covey_training_plan_destroy(plan);
        }
        for (size_t e = 1; e < engines; e++)
            for (size_t i = 0; i < count; i++)
                cr_assert(fabsf(results[e][i] - results[0][i]) <= 2e-5f, "%s: weight %zu",
                          following_engines[e - 1]->name, i);
        for (size_t e = 0; e < engines; e++)
            free(results[e]);
    }
}

Test(training_plan, cost_counts_multiply_adds_twice)
{
    const struct covey_training_options options = {
        .engine = &covey_engine_plain, .recipe = &sgd, .examples = 600};
    struct covey_training_cost cost;
    struct covey_training_plan *plan = plan_of("logreg", &options);
    covey_training_plan_cost(plan, &cost);
    cr_assert_eq(cost.forward_flops, 10 * 2 * 7840);
    cr_assert_eq(cost.step_flops, 10 * 4 * 7840); /* no gradient of the input */
    struct covey_training_step step;
    cr_assert_eq(covey_training_plan_step_count(plan), 2);
    covey_training_plan_step(plan, 1, &step);
    cr_assert_str_eq(step.name, "output");
    cr_assert_eq(step.parameters, 7850);
    covey_training_plan_destroy(plan);
}
