#include "following.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/model.h"
#include "covey/random.h"

#include "golden_file.h"
#include "network.h"

/* As in make_golden.py. */
#define EXAMPLES 10
#define CLASSES 10
#define SEED 13
static const unsigned snapshots[] = {1, 2, 5, 10, 50, 100, 200};

static float rate_of(const char *model, const char *optimiser)
{
    static const struct {
        const char *model;
        float sgd, momentum, adam;
    } rates[] = {
        {"2nn", 0.02f, 0.003f, 0.0003f},
        {"mcmahan-cnn", 0.01f, 0.003f, 0.0003f},
        {"depthwise", 0.05f, 0.01f, 0.001f},
    };
    size_t m = 0;
    while (strcmp(rates[m].model, model) != 0)
        m++;
    return optimiser[0] == 's' ? rates[m].sgd : optimiser[0] == 'm' ? rates[m].momentum : rates[m].adam;
}

static struct covey_recipe recipe_of(const char *model, const char *optimiser)
{
    struct covey_recipe recipe = {.epochs = 1, .batch = EXAMPLES, .learning_rate = rate_of(model, optimiser)};
    if (strcmp(optimiser, "momentum") == 0) {
        recipe.optimiser = COVEY_OPTIMISER_MOMENTUM;
        recipe.momentum = 0.9f;
        recipe.weight_decay = 0.001f;
    } else if (strcmp(optimiser, "adam") == 0) {
        recipe.optimiser = COVEY_OPTIMISER_ADAM;
        recipe.momentum = 0.9f;
        recipe.beta2 = 0.999f;
        recipe.epsilon = 1e-7f;
    }
    return recipe;
}

static void draw_floats(uint64_t device, uint32_t round, float *values, size_t count)
{
    struct covey_random random;
    covey_random_init(&random, SEED, device, round, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        values[i] = covey_random_float(&random);
}

static void draw_batch(unsigned step, const float *prototypes, size_t count, float *x, int32_t *labels)
{
    float *noise = malloc(count * sizeof *noise);
    for (unsigned e = 0; e < EXAMPLES; e++) {
        const uint64_t device = 1000 + step * EXAMPLES + e;
        struct covey_random random;
        covey_random_init(&random, SEED, device, 0, COVEY_PURPOSE_TEST);
        const uint32_t kind = covey_random_u32(&random) % CLASSES;
        const bool wrong = covey_random_u32(&random) % 5 == 0;
        const uint32_t other = covey_random_u32(&random) % CLASSES;
        labels[e] = (int32_t)(wrong ? other : kind);
        draw_floats(device, 1, noise, count);
        for (size_t i = 0; i < count; i++)
            x[e * count + i] = (0.5f * prototypes[kind * count + i] + 0.5f * noise[i]) - 0.5f;
    }
    free(noise);
}

struct follower {
    const struct following *at;
    struct covey_training_plan *plan;
    struct covey_network network;
    float *params, *prototypes;
    double *losses;
    struct golden_file golden;
    char name[96];
};

static void start(struct follower *follower, struct covey_model_description *model)
{
    struct covey_error err = {0};
    const struct following *at = follower->at;
    const struct covey_recipe recipe = recipe_of(at->model, at->optimiser);
    const struct covey_training_options options = {
        .engine = at->engine, .recipe = &recipe, .examples = EXAMPLES};
    cr_assert_eq(covey_model_load(at->model, model, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_training_plan_create(model, &options, &follower->plan, &err), COVEY_OK, "%s",
                 err.text);
    const size_t count = follower->plan->layout.count, inputs = follower->plan->input.count;
    follower->params = malloc(count * sizeof(float));
    cr_assert_eq(covey_model_initialise(model, &follower->plan->layout, SEED, follower->params, &err),
                 COVEY_OK);
    follower->prototypes = malloc(CLASSES * inputs * sizeof(float));
    for (unsigned k = 0; k < CLASSES; k++)
        draw_floats(k, 0, follower->prototypes + k * inputs, inputs);
    follower->losses = calloc(FOLLOWING_STEPS, sizeof(double));
    follower->network = (struct covey_network){
        .plan = follower->plan,
        .workspace = aligned_alloc(COVEY_ARENA_ALIGN, follower->plan->memory.total),
        .rate = (double)recipe.learning_rate,
        .recipe = recipe,
    };
    at->engine->network->load(&follower->network, follower->params);
    at->engine->network->begin(&follower->network);
}

static double train_step(struct follower *follower, unsigned step)
{
    const struct covey_network_functions *run = follower->at->engine->network;
    struct covey_network *network = &follower->network;
    struct covey_tally tally = {0};
    struct covey_error err = {0};
    draw_batch(step, follower->prototypes, follower->plan->input.count, run->staging(network),
               covey_network_labels(network));
    cr_assert_eq(run->feed(network, EXAMPLES, &err), COVEY_OK);
    run->forward(network, EXAMPLES, true);
    run->loss(network, EXAMPLES, EXAMPLES, true, &tally);
    run->backward(network, EXAMPLES, true, true);
    return tally.loss / (double)tally.count;
}

static double *weights_of(const struct follower *follower, const struct covey_tensor *tensor)
{
    const bool wide = follower->plan->engine->kernels->real_bytes == sizeof(double);
    double *values = malloc(tensor->count * sizeof(double));
    for (size_t i = 0; i < tensor->count; i++)
        values[i] = wide ? ((const double *)follower->network.params)[tensor->offset + i]
                         : (double)((const float *)follower->network.params)[tensor->offset + i];
    return values;
}

/* All tensors, in the order in which they were added, against the next digests: every value of the f64
 * reference, and the weight vector as a whole for f32. */
static void check_weights(struct follower *follower, unsigned step, double tolerance)
{
    const struct covey_layout *layout = &follower->plan->layout;
    const bool wide = follower->plan->engine->kernels->real_bytes == sizeof(double);
    double error_squares = 0, squares = 0;
    for (size_t t = 0; t < layout->tensor_count; t++) {
        const struct covey_tensor *tensor = &layout->tensors[t];
        double *values = weights_of(follower, tensor);
        char what[192];
        (void)snprintf(what, sizeof what, "%s, step %u, %s", follower->name, step, tensor->name);
        if (wide)
            golden_check(&follower->golden, what, values, tensor->count, tolerance);
        else
            golden_distance(&follower->golden, values, tensor->count, &error_squares, &squares);
        free(values);
    }
    cr_assert(wide || sqrt(error_squares / squares) <= tolerance,
              "%s, step %u: weights differ by %.2g from PyTorch's", follower->name, step,
              sqrt(error_squares / squares));
}

static void check_mean(const struct follower *follower)
{
    double mean = 0, expected = 0;
    for (unsigned i = 150; i < FOLLOWING_STEPS; i++) {
        mean += follower->losses[i] / 50;
        expected += follower->golden.values[i] / 50;
    }
    cr_assert(fabs(mean - expected) <= follower->at->mean_tolerance * expected,
              "%s: mean loss of steps 150 to 200 is %.4f, PyTorch has %.4f", follower->name, mean, expected);
}

void follow_pytorch(const struct following *at)
{
    struct covey_model_description *model = calloc(1, sizeof *model);
    struct follower follower = {.at = at};
    char file[96];
    (void)snprintf(follower.name, sizeof follower.name, "%s, %s, %s", at->model, at->optimiser,
                   at->engine->name);
    (void)snprintf(file, sizeof file, "following-%s-%s.npy", at->model, at->optimiser);
    golden_open(&follower.golden, file);
    start(&follower, model);
    follower.golden.next = FOLLOWING_STEPS;
    size_t snapshot = 0;
    for (unsigned step = 0; step < at->steps; step++) {
        const double loss = train_step(&follower, step), expected = follower.golden.values[step];
        follower.losses[step] = loss;
        if (step >= at->compared)
            continue;
        cr_assert(fabs(loss - expected) <= at->tolerance * expected,
                  "%s: the loss of step %u is %.17g, PyTorch has %.17g", follower.name, step + 1, loss,
                  expected);
        if (snapshots[snapshot] == step + 1) {
            check_weights(&follower, step + 1, at->tolerance);
            snapshot++;
        }
    }
    if (at->mean_tolerance > 0)
        check_mean(&follower);
    covey_training_plan_destroy(follower.plan);
    free(follower.network.workspace);
    free(follower.params);
    free(follower.prototypes);
    free(follower.losses);
    free(follower.golden.values);
    free(model);
}
