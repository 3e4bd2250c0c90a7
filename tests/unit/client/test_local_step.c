/* The algorithms with a client half, whole, on problems whose answers are known: two devices that fit one
 * line each. A device with the input s and the target t has the loss (s w - t)^2: curvature 2 s^2, optimum t
 * / s; all of its examples are alike, so its SGD is gradient descent, w <- b + (1 - rate a)^K (w - b). */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "covey/model.h"
#include "covey/server_optimiser.h"
#include "covey/weighting.h"
#include "local_step.h"

#define DEVICES 2
#define EXAMPLES 8

static const char line[] = "name: line\ninput: {shape: [1]}\nloss: mean_squared_error\nops:\n"
                           "  - {op: dense, name: a, units: 1, no_bias: true}\n";

/* One federation: what tests set up, and what a round leaves. */
struct federation {
    struct covey_recipe recipe;
    struct covey_weighting weighting;
    struct covey_server_rule rule;
    uint32_t epochs[DEVICES], examples[DEVICES];
    double inputs[DEVICES], targets[DEVICES];
    bool away[DEVICES]; /* takes no part in the next round */
    /* made */
    struct covey_model_description model;
    struct covey_layout layout;
    struct covey_server_optimiser optimiser;
    float published[2], memory[DEVICES][2];
    bool seen[DEVICES];
    struct covey_training_result results[DEVICES];
    float deltas[DEVICES][2];
};

static struct federation base(void)
{
    return (struct federation){.recipe = {.epochs = 1, .learning_rate = .05f},
                               .rule = {.kind = COVEY_SERVER_SGD, .rate = 1},
                               .epochs = {2, 10},
                               .examples = {EXAMPLES, EXAMPLES},
                               .inputs = {1, .5},
                               .targets = {1, 2}};
}

static void start(struct federation *federation)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_model_load_text("line", line, strlen(line), &federation->model, &err), COVEY_OK, "%s",
                 err.text);
    federation->model.control_variates = federation->recipe.algorithm == COVEY_LOCAL_SCAFFOLD;
    cr_assert_eq(covey_model_layout(&federation->model, &federation->layout, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_server_optimiser_init(&federation->optimiser, &federation->rule,
                                             federation->layout.update_count, &err),
                 COVEY_OK, "%s", err.text);
}

static void stop(struct federation *federation)
{
    covey_server_optimiser_deinit(&federation->optimiser);
    covey_layout_deinit(&federation->layout);
}

static void train(struct federation *federation, int k, uint32_t round)
{
    float inputs[EXAMPLES], targets[EXAMPLES], local[2];
    struct covey_recipe recipe = federation->recipe;
    struct covey_trainer *trainer = NULL;
    struct covey_error err = {0};
    for (int i = 0; i < EXAMPLES; i++) {
        inputs[i] = (float)federation->inputs[k];
        targets[i] = (float)federation->targets[k];
    }
    const uint32_t count = federation->examples[k];
    const struct covey_dataset data = {.count = count,
                                       .rows = count,
                                       .inputs = {.values = inputs, .type = COVEY_ELEMENT_F32, .width = 1},
                                       .targets = {.values = targets, .type = COVEY_ELEMENT_F32, .width = 1}};
    recipe.epochs = federation->epochs[k];
    const struct covey_training_options options = {
        .engine = &covey_engine_plain, .recipe = &recipe, .examples = count};
    const struct covey_training_run run = {.device = (uint64_t)k, .round = round};
    const struct covey_local_step step = {.trainer = NULL,
                                          .layout = &federation->layout,
                                          .dataset = &data,
                                          .recipe = &recipe,
                                          .base = federation->published,
                                          .local = local,
                                          .memory = federation->memory[k],
                                          .fresh = !federation->seen[k]};
    cr_assert_eq(covey_trainer_create(&federation->model, &options, &trainer, &err), COVEY_OK, "%s",
                 err.text);
    struct covey_local_step with = step;
    with.trainer = trainer;
    memcpy(local, federation->published, sizeof local);
    cr_assert_eq(covey_local_step_run(&with, &run, &federation->results[k], &err), COVEY_OK, "%s", err.text);
    for (size_t i = 0; i < federation->layout.update_count; i++)
        federation->deltas[k][i] = local[i] - federation->published[i];
    federation->seen[k] = true;
    covey_trainer_destroy(trainer);
}

static void round_of(struct federation *federation, uint32_t round)
{
    struct covey_weighting_tally tally = {0};
    double mean[2] = {0}, weights = 0;
    uint32_t updates = 0;
    for (int k = 0; k < DEVICES; k++) {
        if (federation->away[k])
            continue;
        train(federation, k, round);
        const struct covey_weighed weighed = {.examples = federation->results[k].examples,
                                              .steps = federation->results[k].effective_steps,
                                              .loss = federation->results[k].loss_before,
                                              .norm = fabs((double)federation->deltas[k][0])};
        const double weight = covey_weighting_weight(&federation->weighting, &weighed);
        for (size_t i = 0; i < federation->layout.update_count; i++)
            mean[i] += weight * (double)federation->deltas[k][i];
        weights += weight;
        updates++;
        covey_weighting_add(&federation->weighting, &weighed, &tally);
    }
    for (size_t i = 0; i < federation->layout.update_count; i++)
        mean[i] /= weights;
    const struct covey_server_mean step = {mean,
                                           covey_weighting_scale(&federation->weighting, &tally, weights),
                                           updates / (double)DEVICES, federation->layout.control_count};
    cr_assert_eq(covey_server_optimiser_step(&federation->optimiser, &step, federation->published, NULL),
                 COVEY_OK);
}

/* The weight after so many rounds. */
static double settle(struct federation *federation, uint32_t rounds)
{
    start(federation);
    for (uint32_t round = 1; round <= rounds; round++)
        round_of(federation, round);
    stop(federation);
    return (double)federation->published[0];
}

static double curvature(const struct federation *federation, int k)
{
    return 2 * federation->inputs[k] * federation->inputs[k];
}

static double own_optimum(const struct federation *federation, int k)
{
    return federation->targets[k] / federation->inputs[k];
}

/* Where sum pull_k (b_k - w) = 0. */
static double balance(const struct federation *federation, const double pull[DEVICES])
{
    double top = 0, bottom = 0;
    for (int k = 0; k < DEVICES; k++) {
        top += pull[k] * own_optimum(federation, k);
        bottom += pull[k];
    }
    return top / bottom;
}

/* Of the mean of the losses, weighted by examples. */
static double optimum(const struct federation *federation)
{
    double pull[DEVICES];
    for (int k = 0; k < DEVICES; k++)
        pull[k] = federation->examples[k] * curvature(federation, k);
    return balance(federation, pull);
}

/* The share of the way to its own optimum that a device goes in a round. */
static double way(const struct federation *federation, int k)
{
    return 1 - pow(1 - (double)federation->recipe.learning_rate * curvature(federation, k),
                   federation->epochs[k]);
}

static void expect_near(double value, double expected, double tolerance, const char *what)
{
    cr_expect(fabs(value - expected) <= tolerance, "%s: %.9g, not %.9g", what, value, expected);
}

Test(local_step, fedavg_has_the_computed_bias)
{
    struct federation federation = base();
    federation.examples[0] = 2;
    double pull[DEVICES];
    for (int k = 0; k < DEVICES; k++)
        pull[k] = federation.examples[k] * way(&federation, k);
    const double expected = balance(&federation, pull);
    cr_assert(fabs(expected - optimum(&federation)) > .3);
    expect_near(settle(&federation, 400), expected, 1e-5, "fedavg"); /* f32 steps below an ulp are lost */
}

Test(local_step, scaffold_reaches_the_optimum)
{
    struct federation federation = base();
    federation.recipe.algorithm = COVEY_LOCAL_SCAFFOLD;
    federation.weighting.kind = COVEY_WEIGH_EQUAL;
    expect_near(settle(&federation, 400), optimum(&federation), 2e-6, "scaffold");
    /* c is the mean of the c_i, and each c_i its device's gradient there: they sum to 0 */
    expect_near((double)federation.published[1], 0, 1e-5, "c");
    for (int k = 0; k < DEVICES; k++)
        expect_near((double)federation.memory[k][0],
                    curvature(&federation, k) * (optimum(&federation) - own_optimum(&federation, k)), 1e-5,
                    "c_i");
}

Test(local_step, scaffold_with_momentum_reaches_it_too)
{
    struct federation federation = base();
    federation.recipe.algorithm = COVEY_LOCAL_SCAFFOLD;
    federation.recipe.optimiser = COVEY_OPTIMISER_MOMENTUM;
    federation.recipe.momentum = .5f;
    federation.weighting.kind = COVEY_WEIGH_EQUAL;
    expect_near(settle(&federation, 400), optimum(&federation), 2e-6, "scaffold");
}

/* One device a round, in turn: c moves by half of each change (S / N), and still it ends at the optimum. */
Test(local_step, scaffold_where_not_all_take_part)
{
    struct federation federation = base();
    federation.recipe.algorithm = COVEY_LOCAL_SCAFFOLD;
    federation.weighting.kind = COVEY_WEIGH_EQUAL;
    start(&federation);
    for (uint32_t round = 1; round <= 1500; round++) {
        federation.away[0] = round % 2 == 0;
        federation.away[1] = !federation.away[0];
        round_of(&federation, round);
    }
    stop(&federation);
    expect_near((double)federation.published[0], optimum(&federation), 2e-5, "scaffold");
}

/* SCAFFOLD's rule itself, one round from known control variates (Karimireddy et al. 2020, equations 3 to 5).
 */
Test(local_step, scaffold_follows_its_rule)
{
    struct federation federation = base();
    federation.recipe.algorithm = COVEY_LOCAL_SCAFFOLD;
    federation.weighting.kind = COVEY_WEIGH_EQUAL;
    start(&federation);
    const double rate = (double)federation.recipe.learning_rate, x = 3, c = .25, own[DEVICES] = {.5, -1};
    double mean_way = 0, mean_change = 0;
    federation.published[0] = (float)x;
    federation.published[1] = (float)c;
    for (int k = 0; k < DEVICES; k++) {
        federation.memory[k][0] = (float)own[k];
        federation.seen[k] = true;
    }
    round_of(&federation, 1);
    for (int k = 0; k < DEVICES; k++) {
        double y = x;
        for (uint32_t i = 0; i < federation.epochs[k]; i++)
            y -= rate * (curvature(&federation, k) * (y - own_optimum(&federation, k)) - own[k] + c);
        const double next = own[k] - c + (x - y) / (federation.epochs[k] * rate);
        expect_near((double)federation.memory[k][0], next, 1e-5, "c_i");
        mean_way += (y - x) / DEVICES;
        mean_change += (next - own[k]) / DEVICES;
    }
    expect_near((double)federation.published[0], x + mean_way, 1e-6, "x");
    expect_near((double)federation.published[1], c + mean_change, 1e-5, "c");
    stop(&federation);
}

/* FedNova: its fixed point is the formula's, and goes to the optimum with the rate, where FedAvg's does not.
 */
Test(local_step, fednova_loses_the_bias_of_unequal_steps)
{
    double gaps[2], biases[2];
    for (int i = 0; i < 2; i++) {
        struct federation federation = base(), plain;
        federation.recipe.learning_rate = i == 0 ? .008f : .002f;
        plain = federation;
        federation.weighting.kind = COVEY_WEIGH_STEPS;
        double pull[DEVICES];
        for (int k = 0; k < DEVICES; k++)
            pull[k] = federation.examples[k] * way(&federation, k) / federation.epochs[k];
        const double reached = settle(&federation, i == 0 ? 1200 : 4000);
        expect_near(reached, balance(&federation, pull), 1e-4, "fednova");
        gaps[i] = fabs(reached - optimum(&federation));
        biases[i] = fabs(settle(&plain, i == 0 ? 1200 : 4000) - optimum(&plain));
    }
    cr_expect(gaps[0] < .04 && gaps[1] < .3 * gaps[0], "gaps %g, %g", gaps[0], gaps[1]);
    cr_expect(biases[0] > .6 && biases[1] > .6, "biases %g, %g", biases[0], biases[1]);
}

/* |a|_1 of Wang et al. 2020, section 4. */
Test(local_step, effective_steps)
{
    struct covey_recipe recipe = {.epochs = 1, .learning_rate = .1f};
    expect_near(covey_recipe_effective_steps(&recipe, 1, 10), 10, 0, "sgd");
    recipe.optimiser = COVEY_OPTIMISER_MOMENTUM;
    recipe.momentum = .75f;
    expect_near(covey_recipe_effective_steps(&recipe, 1, 10), (10 - .75 * (1 - pow(.75, 10)) / .25) / .25,
                1e-9, "momentum");
    recipe.optimiser = COVEY_OPTIMISER_SGD;
    recipe.proximal_mu = 2;
    const double pull = (double)recipe.learning_rate * 2;
    expect_near(covey_recipe_effective_steps(&recipe, 1, 10), (1 - pow(1 - pull, 10)) / pull, 1e-9,
                "proximal");
}

/* w <- w - rate (a (w - b) + mu (w - w_t)) */
Test(local_step, fedprox_follows_its_rule)
{
    struct federation federation = base();
    federation.recipe.proximal_mu = 1.5f;
    start(&federation);
    federation.published[0] = 3;
    train(&federation, 1, 1);
    double w = 3;
    for (uint32_t i = 0; i < federation.epochs[1]; i++)
        w -= .05 * (curvature(&federation, 1) * (w - own_optimum(&federation, 1)) + 1.5 * (w - 3));
    expect_near((double)federation.deltas[1][0], w - 3, 2e-6, "fedprox");
    stop(&federation);
}

/* Rounds by the paper's own formulas: h, the mean of the devices' weights, theta = mean - h / alpha. */
Test(local_step, feddyn_follows_its_rule_and_reaches_the_optimum)
{
    struct federation federation = base();
    const double alpha = .5, rate = (double)federation.recipe.learning_rate;
    federation.recipe.algorithm = COVEY_LOCAL_FEDDYN;
    federation.recipe.strength = (float)alpha;
    federation.weighting.kind = COVEY_WEIGH_EQUAL;
    federation.rule.kind = COVEY_SERVER_FEDDYN;
    start(&federation);
    double theta = 0, h = 0, g[DEVICES] = {0};
    for (uint32_t round = 1; round <= 600; round++) {
        double sum = 0, count = 0;
        federation.away[1] = round <= 6 && round % 3 == 0;
        round_of(&federation, round);
        const double begun = theta;
        for (int k = 0; k < DEVICES; k++) {
            double w = begun;
            if (federation.away[k])
                continue;
            for (uint32_t i = 0; i < federation.epochs[k]; i++)
                w -= rate * (curvature(&federation, k) * (w - own_optimum(&federation, k)) - g[k] +
                             alpha * (w - begun));
            g[k] -= alpha * (w - begun);
            h -= alpha / DEVICES * (w - begun);
            sum += w;
            count++;
        }
        theta = sum / count - h / alpha;
        if (round <= 8)
            expect_near((double)federation.published[0], theta, 1e-5, "theta");
    }
    expect_near((double)federation.published[0], optimum(&federation), 5e-6, "feddyn");
    stop(&federation);
}

/* One round by Li et al. 2020, algorithm 2, with L = 1 / rate. */
Test(local_step, q_fedavg_follows_its_rule)
{
    struct federation federation = base();
    const double q = 2, L = 1 / .05;
    federation.weighting = (struct covey_weighting){COVEY_WEIGH_LOSS, q, L};
    federation.epochs[0] = federation.epochs[1] = 1; /* the loss before training is that of the one epoch */
    start(&federation);
    round_of(&federation, 1);
    double top = 0, bottom = 0;
    for (int k = 0; k < DEVICES; k++) {
        const double t = federation.targets[k], F = t * t; /* at w = 0 */
        const double moved = .05 * curvature(&federation, k) * own_optimum(&federation, k);
        top += pow(F, q) * L * moved;
        bottom += q * pow(F, q - 1) * (L * moved) * (L * moved) + L * pow(F, q);
    }
    expect_near((double)federation.published[0], top / bottom, 1e-6, "q-fedavg");
    stop(&federation);
}

Test(local_step, client_momentum_follows_its_rule)
{
    struct federation federation = base();
    const double beta = .75;
    federation.recipe.algorithm = COVEY_LOCAL_MOMENTUM;
    federation.recipe.strength = (float)beta;
    start(&federation);
    double w = 0, m[DEVICES] = {0};
    for (uint32_t round = 1; round <= 5; round++) {
        double mean = 0;
        round_of(&federation, round);
        for (int k = 0; k < DEVICES; k++) {
            m[k] = beta * m[k] + (1 - beta) * way(&federation, k) * (own_optimum(&federation, k) - w);
            mean += m[k] / DEVICES;
        }
        w += mean;
        expect_near((double)federation.published[0], w, 2e-6, "momentum");
    }
    stop(&federation);
}

/* v goes its own way, between its device's optimum and the shared model, which is FedAvg's. */
Test(local_step, ditto_follows_its_rule)
{
    struct federation federation = base(), plain = base();
    const double lambda = 1, rate = (double)federation.recipe.learning_rate;
    federation.recipe.algorithm = COVEY_LOCAL_DITTO;
    federation.recipe.strength = (float)lambda;
    start(&federation);
    start(&plain);
    double v[DEVICES] = {0};
    for (uint32_t round = 1; round <= 300; round++) {
        const double w = (double)federation.published[0], before = (double)plain.published[0];
        round_of(&federation, round);
        round_of(&plain, round);
        /* its gradients pass through a buffer: rounded elsewhere, and f32 steps below an ulp are lost */
        expect_near(w, before, 1e-5, "the shared model");
        for (int k = 0; k < DEVICES; k++) {
            for (uint32_t i = 0; i < federation.epochs[k]; i++)
                v[k] -= rate * (curvature(&federation, k) * (v[k] - own_optimum(&federation, k)) +
                                lambda * (v[k] - w));
            expect_near((double)federation.memory[k][0], v[k], 1e-5, "v");
        }
    }
    for (int k = 0; k < DEVICES; k++) {
        const double a = curvature(&federation, k), w = (double)federation.published[0];
        expect_near(v[k], (a * own_optimum(&federation, k) + lambda * w) / (a + lambda), 1e-4, "at rest");
    }
    stop(&federation);
    stop(&plain);
}

Test(local_step, refuses_what_cannot_be)
{
    struct federation federation = base();
    struct covey_error err = {0};
    const struct covey_recipe bad[] = {
        {.epochs = 1, .learning_rate = .1f, .algorithm = COVEY_LOCAL_MOMENTUM, .strength = 1},
        {.epochs = 1, .learning_rate = .1f, .algorithm = COVEY_LOCAL_FEDDYN},
        {.epochs = 1, .learning_rate = .1f, .algorithm = COVEY_LOCAL_FEDDYN, .strength = 1, .proximal_mu = 1},
        {.epochs = 1, .learning_rate = .1f, .algorithm = COVEY_LOCAL_DITTO, .strength = NAN},
        {.epochs = 1,
         .learning_rate = .1f,
         .algorithm = COVEY_LOCAL_SCAFFOLD,
         .optimiser = COVEY_OPTIMISER_ADAM,
         .momentum = .9f,
         .beta2 = .99f,
         .epsilon = 1e-8f},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(covey_recipe_check(&bad[i], &err), COVEY_INVALID, "row %zu", i);
    struct covey_recipe later = {.epochs = 1, .learning_rate = .1f};
    later.algorithm = (enum covey_local_algorithm)(COVEY_LOCAL_DITTO + 1);
    cr_expect_eq(covey_recipe_check(&later, &err), COVEY_UNSUPPORTED);
    start(&federation); /* without control variates */
    struct covey_recipe scaffold = {.epochs = 1, .learning_rate = .1f, .algorithm = COVEY_LOCAL_SCAFFOLD};
    float local[2] = {0}, memory[2];
    const struct covey_local_step step = {.layout = &federation.layout,
                                          .recipe = &scaffold,
                                          .base = local,
                                          .local = local,
                                          .memory = memory,
                                          .fresh = true};
    struct covey_training_result result;
    cr_expect_eq(covey_local_step_run(&step, &(struct covey_training_run){0}, &result, &err), COVEY_INVALID);
    stop(&federation);
}
