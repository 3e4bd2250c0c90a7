/* Attacks that look at the honest updates, against ByzFL's documented values. */
#include <criterion/criterion.h>
#include <math.h>

#include "attack.h"

static const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

static void expect_crafted(int64_t kind, double strength, size_t n, const double *expected)
{
    float out[3];
    covey_attack_craft(kind, strength, x, n, 3, out);
    for (int i = 0; i < 3; i++)
        cr_expect(fabs((double)out[i] - expected[i]) <= 1e-6, "attack %d, coordinate %d: %g, expected %g",
                  (int)kind, i, (double)out[i], expected[i]);
}

Test(attack, those_that_look_are_byzfls)
{
    expect_crafted(COVEY_ATTACK_ALIE, 1.5, 3, (const double[]){8.5, 9.5, 10.5});
    expect_crafted(COVEY_ATTACK_IPM, 2, 3, (const double[]){-8, -10, -12});
    expect_crafted(COVEY_ATTACK_MIMIC, 1, 3, (const double[]){1, 2, 3});
    expect_crafted(COVEY_ATTACK_ALIE, 1.5, 1, (const double[]){1, 2, 3}); /* one has no deviation */
}

Test(attack, those_on_the_own_model)
{
    static const float start[] = {1, 1, 1};
    static const struct {
        int64_t kind;
        double strength, factor;
    } rows[] = {{COVEY_ATTACK_SIGN_FLIP, 3, -3},
                {COVEY_ATTACK_BIT_FLIP, 3, -1},
                {COVEY_ATTACK_MODEL_REPLACEMENT, 5, 5},
                {COVEY_ATTACK_STALE, 5, 1}};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const struct covey_scenario scenario = {
            .attack = {.kind = rows[r].kind, .share = .5, .strength = rows[r].strength}};
        float trained[] = {2, 3, 0};
        covey_attack_model(&scenario, 1, 1, start, trained, 3);
        cr_expect(fabs((double)trained[0] - (1 + rows[r].factor)) <= 1e-6);
        cr_expect(fabs((double)trained[1] - (1 + 2 * rows[r].factor)) <= 1e-6);
        cr_expect(fabs((double)trained[2] - (1 - rows[r].factor)) <= 1e-6);
        cr_expect_not(covey_attack_spies(&scenario));
    }
}
