#include <criterion/criterion.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "covey/weighting.h"

static const struct covey_weighed updates[] = {
    {.examples = 600, .steps = 60, .loss = 2.25, .norm = .5},
    {.examples = 150, .steps = 7.5, .loss = .25, .norm = 2},
    {.examples = 1000, .steps = 1, .loss = 1, .norm = 0},
};
#define UPDATES (sizeof updates / sizeof updates[0])

static double scale_of(const struct covey_weighting *weighting, double *weights)
{
    struct covey_weighting_tally tally = {0};
    double sum = 0;
    for (size_t i = 0; i < UPDATES; i++) {
        weights[i] = covey_weighting_weight(weighting, &updates[i]);
        sum += weights[i];
        covey_weighting_add(weighting, &updates[i], &tally);
    }
    return covey_weighting_scale(weighting, &tally, sum);
}

static bool near(double value, double expected)
{
    return fabs(value - expected) <= 1e-8 * fabs(expected);
}

Test(weighting, plain_means_are_not_scaled)
{
    double weights[UPDATES];
    cr_expect_eq(scale_of(&(struct covey_weighting){.kind = COVEY_WEIGH_EXAMPLES}, weights), 1);
    cr_expect(weights[0] == 600 && weights[1] == 150 && weights[2] == 1000);
    cr_expect_eq(scale_of(&(struct covey_weighting){.kind = COVEY_WEIGH_EQUAL}, weights), 1);
    cr_expect(weights[0] == 1 && weights[1] == 1 && weights[2] == 1);
}

/* FedNova: sum of p tau times the sum of p delta / tau, against the mean by n / tau. */
Test(weighting, by_steps)
{
    double weights[UPDATES];
    const double scale = scale_of(&(struct covey_weighting){.kind = COVEY_WEIGH_STEPS}, weights);
    const double deltas[UPDATES] = {3, -7, 11};
    double n = 0, tau = 0, normalised = 0, mean = 0, sum = 0;
    for (size_t i = 0; i < UPDATES; i++)
        n += (double)updates[i].examples;
    for (size_t i = 0; i < UPDATES; i++) {
        const double p = (double)updates[i].examples / n;
        tau += p * updates[i].steps;
        normalised += p * deltas[i] / updates[i].steps;
        mean += weights[i] * deltas[i];
        sum += weights[i];
    }
    cr_expect(near(scale * mean / sum, tau * normalised), "%.12g, not %.12g", scale * mean / sum,
              tau * normalised);
}

/* q-FedAvg as its paper writes it: sum of Delta_k over sum of h_k. */
Test(weighting, by_loss)
{
    double weights[UPDATES];
    const double q = 1.5, L = 10, signs[UPDATES] = {1, -1, 1};
    const double scale = scale_of(&(struct covey_weighting){COVEY_WEIGH_LOSS, q, L}, weights);
    double top = 0, bottom = 0, mean = 0, sum = 0;
    for (size_t i = 0; i < UPDATES; i++) {
        const double delta = signs[i] * updates[i].norm, F = updates[i].loss; /* one coordinate */
        top += pow(F, q) * L * delta;
        bottom += q * pow(F, q - 1) * (L * delta) * (L * delta) + L * pow(F, q);
        mean += weights[i] * delta;
        sum += weights[i];
    }
    cr_expect(near(scale * mean / sum, top / bottom), "%.12g, not %.12g", scale * mean / sum, top / bottom);
}

Test(weighting, what_devices_may_say_keeps_weights_finite)
{
    static const double odd[] = {0, -1, NAN, INFINITY, 1e300, 1e-300};
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++)
        for (int kind = 0; kind < COVEY_WEIGHTINGS; kind++) {
            const struct covey_weighting weighting = {(enum covey_weighting_kind)kind, 2, 10};
            const struct covey_weighed update = {
                .examples = 1, .steps = odd[i], .loss = odd[i] < 1e40 ? odd[i] : 3, .norm = 1};
            struct covey_weighting_tally tally = {0};
            const double weight = covey_weighting_weight(&weighting, &update);
            covey_weighting_add(&weighting, &update, &tally);
            const double scale = covey_weighting_scale(&weighting, &tally, weight);
            cr_expect(weight > 0 && isfinite(weight) && scale > 0 && isfinite(scale), "%d: %g: %g %g", kind,
                      odd[i], weight, scale);
        }
}

Test(weighting, settings)
{
    cr_expect_eq(covey_weighting_check(&(struct covey_weighting){COVEY_WEIGH_LOSS, 1, 10}, NULL), COVEY_OK);
    const struct covey_weighting bad[] = {{COVEY_WEIGH_LOSS, 0, 10},
                                          {COVEY_WEIGH_LOSS, (double)NAN, 10},
                                          {COVEY_WEIGH_LOSS, 17, 10},
                                          {COVEY_WEIGH_LOSS, 1, 0},
                                          {COVEY_WEIGHTINGS, 0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_eq(covey_weighting_check(&bad[i], NULL), COVEY_INVALID);
    cr_expect_eq(covey_weighting_cap(&(struct covey_weighting){COVEY_WEIGH_STEPS, 0, 0}, 1 << 20, 10), 160);
    cr_expect_eq(covey_weighting_cap(&(struct covey_weighting){COVEY_WEIGH_EQUAL, 0, 0}, 1 << 20, 10), 1);
}
