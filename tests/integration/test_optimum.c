/* The algorithms through the server's own path, in a simulation of two devices that fit one line each. A
 * device with the input s and the target t has the loss (s w - t)^2: curvature 2 s^2, optimum t / s; all of
 * its examples are alike, so its SGD is gradient descent, w <- b + (1 - rate a)^K (w - b), K its batches. The
 * only test example is (1, 0): the rmse is the weight. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/sim/little_fleet.h"
#include "covey/linalg.h"
#include "covey/model.h"

#define BATCH 4
#define SETTINGS 12

static const char line[] = "name: line\ninput: {shape: [1]}\nloss: mean_squared_error\nops:\n"
                           "  - {op: dense, name: a, units: 1, no_bias: true}\n";
static const char scenario[] = "name: line\n"
                               "data:\n"
                               "  files: [one.csv, two.csv]\n"
                               "  train: {csv: {files: [one.csv], targets: [y]}}\n"
                               "  test: {csv: {files: [test.csv], targets: [y]}}\n"
                               "partition: {kind: files}\n"
                               "model: line.yaml\n"
                               "selection: {minimum_devices: 2, fraction: 1}\n"
                               "round: {minimum_updates: 2, deadline_s: 600}\n"
                               "codec: raw32\ndownlink: raw32\n"
                               "evaluate_every: 10000\n"
                               "devices: [{class: pi-4}]\n";

static const double inputs[] = {1, .5}, targets[] = {1, 2};
static const uint32_t examples[] = {2 * BATCH, 10 * BATCH}; /* so many steps an epoch: 2 and 10 */

static struct little_fleet fleet;

static void put(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", fleet.folder, name);
    FILE *stream = fopen(path, "w");
    cr_assert_not_null(stream);
    (void)fputs(text, stream);
    (void)fclose(stream);
}

static void put_examples(const char *name, uint32_t count, double x, double y)
{
    char text[4096] = "x,y\n";
    for (uint32_t i = 0; i < count; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%g,%g\n", x, y);
    put(name, text);
}

static void make_folder(void)
{
    covey_linalg_start();
    (void)snprintf(fleet.folder, sizeof fleet.folder, "/tmp/covey-line-XXXXXX");
    cr_assert_not_null(mkdtemp(fleet.folder));
    (void)snprintf(fleet.file, sizeof fleet.file, "%s/scenario.yaml", fleet.folder);
    put("line.yaml", line);
    put("scenario.yaml", scenario);
    put_examples("one.csv", examples[0], inputs[0], targets[0]);
    put_examples("two.csv", examples[1], inputs[1], targets[1]);
    put_examples("test.csv", 1, 1, 0);
}

static void remove_folder(void)
{
    little_fleet_deinit(&fleet);
}

/* The weight after so many rounds. */
static double settle(double rate, uint32_t rounds, const char *const *more, uint32_t count)
{
    char rate_text[64], rounds_text[64], batch_text[32];
    const char *settings[SETTINGS] = {rate_text, rounds_text, batch_text};
    struct little_run *run = calloc(1, sizeof *run);
    run->options.threads = 1;
    (void)snprintf(rate_text, sizeof rate_text, "train.learning_rate=%g", rate);
    (void)snprintf(rounds_text, sizeof rounds_text, "stop.rounds=%u", rounds);
    (void)snprintf(batch_text, sizeof batch_text, "train.batch=%d", BATCH);
    for (uint32_t i = 0; i < count; i++)
        settings[3 + i] = more[i];
    little_fleet_play(&fleet, settings, 3 + count, run);
    const double weight = run->summary.accuracy;
    cr_expect_eq(run->summary.rounds, rounds);
    free(run);
    return weight;
}

/* Where every federation starts. */
static double first_weight(void)
{
    static struct covey_model_description model;
    struct covey_layout layout;
    float weight = 0;
    cr_assert_eq(covey_model_load_text("line", line, strlen(line), &model, NULL), COVEY_OK);
    cr_assert_eq(covey_model_layout(&model, &layout, NULL), COVEY_OK);
    cr_assert_eq(covey_model_initialise(&model, &layout, 1, &weight, NULL), COVEY_OK);
    covey_layout_deinit(&layout);
    return (double)weight;
}

static double curvature(int k)
{
    return 2 * inputs[k] * inputs[k];
}

static double own_optimum(int k)
{
    return targets[k] / inputs[k];
}

static uint32_t steps(int k)
{
    return examples[k] / BATCH;
}

/* The share of the way to its own optimum that a device goes in a round. */
static double way(double rate, int k)
{
    return 1 - pow(1 - rate * curvature(k), steps(k));
}

/* Where sum pull_k (b_k - w) = 0. */
static double balance(double one, double two)
{
    return (one * own_optimum(0) + two * own_optimum(1)) / (one + two);
}

static void expect_near(double value, double expected, double tolerance, const char *what)
{
    cr_expect(fabs(value - expected) <= tolerance, "%s: %.9g, not %.9g", what, value, expected);
}

/* FedAvg's fixed point is the computed one, off the optimum of the devices' mean loss; SCAFFOLD and FedDyn
 * come to that optimum from the same devices. */
Test(optimum, scaffold_and_feddyn_reach_what_fedavg_misses, .init = make_folder, .fini = remove_folder)
{
    static const char *const equal[] = {"weighting.kind=equal"}, *const none[] = {"train.proximal_mu=0"},
                             *const scaffold[] = {"train.algorithm=scaffold"},
                             *const momentum[] = {"train.algorithm=scaffold", "train.optimiser=momentum",
                                                  "train.momentum=.5"},
                             *const feddyn[] = {"train.algorithm=feddyn", "train.strength=.5"};
    const double rate = .05, best = balance(curvature(0), curvature(1));
    const double biased = balance(way(rate, 0), way(rate, 1));
    cr_assert(fabs(biased - best) > .3);
    /* f32 steps below an ulp are lost */
    expect_near(settle(rate, 400, none, 1), balance(examples[0] * way(rate, 0), examples[1] * way(rate, 1)),
                1e-5, "fedavg");
    expect_near(settle(rate, 400, equal, 1), biased, 1e-5, "fedavg, equal weights");
    expect_near(settle(rate, 400, scaffold, 1), best, 2e-6, "scaffold");
    expect_near(settle(rate, 400, momentum, 3), best, 2e-6, "scaffold with momentum");
    expect_near(settle(rate, 600, feddyn, 2), best, 5e-6, "feddyn");
}

/* One device a round: c and the correction move by half of each change, and still it ends there. */
Test(optimum, where_not_all_take_part, .init = make_folder, .fini = remove_folder)
{
    static const char *const scaffold[] = {"train.algorithm=scaffold", "selection.count=1",
                                           "round.minimum_updates=1", "selection.policy=round-robin"},
                             *const feddyn[] = {"train.algorithm=feddyn", "train.strength=.5",
                                                "selection.count=1", "round.minimum_updates=1",
                                                "selection.policy=round-robin"};
    const double best = balance(curvature(0), curvature(1));
    expect_near(settle(.05, 1500, scaffold, 4), best, 2e-5, "scaffold");
    expect_near(settle(.05, 3000, feddyn, 5), best, 2e-4, "feddyn");
}

/* FedNova's fixed point is the formula's, and goes to the optimum with the rate, where FedAvg's does not. */
Test(optimum, fednova_loses_the_bias_of_unequal_steps, .init = make_folder, .fini = remove_folder)
{
    static const char *const fednova[] = {"weighting.kind=steps"}, *const none[] = {"train.proximal_mu=0"};
    const double best = balance(examples[0] * curvature(0), examples[1] * curvature(1));
    double gaps[2], biases[2];
    for (int i = 0; i < 2; i++) {
        const double rate = i == 0 ? .008 : .002;
        const uint32_t rounds = i == 0 ? 1200 : 4000;
        double pull[2];
        for (int k = 0; k < 2; k++)
            pull[k] = examples[k] * way(rate, k) / steps(k);
        const double reached = settle(rate, rounds, fednova, 1);
        expect_near(reached, balance(pull[0], pull[1]), 1e-4, "fednova");
        gaps[i] = fabs(reached - best);
        biases[i] = fabs(settle(rate, rounds, none, 1) - best);
    }
    cr_expect(gaps[0] < .04 && gaps[1] < .3 * gaps[0], "gaps %g, %g", gaps[0], gaps[1]);
    cr_expect(biases[0] > .3 && biases[1] > .3, "biases %g, %g", biases[0], biases[1]);
}

/* One round from the first weight, by the papers' own formulas. w <- w - rate (a (w - b) + mu (w - w_0)). */
Test(optimum, fedprox_follows_its_rule, .init = make_folder, .fini = remove_folder)
{
    static const char *const prox[] = {"train.proximal_mu=1.5", "weighting.kind=equal"};
    const double begun = first_weight();
    double mean = 0;
    for (int k = 0; k < 2; k++) {
        double w = begun;
        for (uint32_t i = 0; i < steps(k); i++)
            w -= .05 * (curvature(k) * (w - own_optimum(k)) + 1.5 * (w - begun));
        mean += w / 2;
    }
    expect_near(settle(.05, 1, prox, 2), fabs(mean), 2e-6, "fedprox");
}

/* Acar et al. 2021, algorithm 1: g_k of the devices, h of the server, theta = mean - h / alpha. */
Test(optimum, feddyn_follows_its_rule, .init = make_folder, .fini = remove_folder)
{
    static const char *const feddyn[] = {"train.algorithm=feddyn", "train.strength=.5", "population=4"};
    const double alpha = .5, devices = 4;
    double theta = first_weight(), h = 0, g[2] = {0};
    for (uint32_t round = 1; round <= 4; round++) {
        const double begun = theta;
        double sum = 0;
        for (int k = 0; k < 2; k++) {
            double w = begun;
            for (uint32_t i = 0; i < steps(k); i++)
                w -= .05 * (curvature(k) * (w - own_optimum(k)) - g[k] + alpha * (w - begun));
            g[k] -= alpha * (w - begun);
            h -= alpha / devices * (w - begun);
            sum += w;
        }
        theta = sum / 2 - h / alpha;
        expect_near(settle(.05, round, feddyn, 3), fabs(theta), 5e-6, "theta");
    }
}

/* Li et al. 2020, algorithm 2, with L = 1 / rate and the loss of the published model, though the devices go
 * many steps. */
Test(optimum, q_fedavg_follows_its_rule, .init = make_folder, .fini = remove_folder)
{
    static const char *const fair[] = {"weighting={kind: loss, power: 2}"};
    const double begun = first_weight(), q = 2, L = 1 / .05;
    double top = 0, bottom = 0;
    for (int k = 0; k < 2; k++) {
        const double off = inputs[k] * begun - targets[k], F = off * off;
        const double moved = L * way(.05, k) * (own_optimum(k) - begun);
        top += pow(F, q) * moved;
        bottom += q * pow(F, q - 1) * moved * moved + L * pow(F, q);
    }
    expect_near(settle(.05, 1, fair, 1), fabs(begun + top / bottom), 2e-6, "q-fedavg");
}
