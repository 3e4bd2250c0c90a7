/* The robustness study in small (bench/run robustness): MNIST on 25 devices, no two with the same digits, one
 * batch of 32 a round, client momentum. Five send their updates backwards and four times as long, which is
 * what the other twenty send together: the plain mean falls, the robust rules hold. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "covey/hash.h"
#include "covey/linalg.h"
#include "scenario.h"
#include "simulation.h"

static double play(const char *strategy, const char *attack)
{
    char rule[128], kind[128];
    (void)snprintf(rule, sizeof rule, "strategy=%s", strategy);
    (void)snprintf(kind, sizeof kind, "attack=%s", attack);
    const char *const settings[] = {"model=2nn", "stop.rounds=150", "evaluate_every=150",
                                    rule,        "evaluate_from=0", "train.learning_rate=.2",
                                    kind};
    struct covey_scenario scenario;
    struct covey_simulation *simulation = NULL;
    struct covey_sim_summary summary;
    struct covey_error err = {0};
    const struct covey_simulation_options options = {.threads = 1};
    cr_assert_eq(covey_scenario_load(COVEY_SOURCE_DIR "/examples/scenarios/robustness.yaml", settings,
                                     sizeof settings / sizeof settings[0], &scenario, &err),
                 COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_simulation_create(&scenario, &options, &simulation, &err), COVEY_OK, "%s", err.text);
    const enum covey_status status = covey_simulation_run(simulation, &summary, &err);
    /* from a model that is not finite nobody can train, so no round succeeds any more */
    cr_assert(status == COVEY_OK || status == COVEY_STATE, "%s", err.text);
    covey_simulation_destroy(simulation);
    covey_scenario_free(&scenario);
    return status == COVEY_OK ? summary.accuracy : 0;
}

Test(robustness, rules_hold_where_the_mean_falls, .timeout = 900)
{
    static const char attack[] = "{kind: sign-flip, share: .2, strength: 4}";
    struct covey_error err = {0};
    if (getenv("COVEY_DATA") == NULL) {
        (void)fprintf(stderr, "COVEY-SKIP: COVEY_DATA is not set (scripts/data)\n");
        return;
    }
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
    covey_linalg_start();
    const double mean = play("fedavg", attack);
    const double clipping = play("centred-clipping hostile=5 mix=bucketing", attack);
    const double median = play("geometric-median hostile=5 mix=nearest", attack);
    cr_log_info("mean %.4f, centred clipping %.4f, geometric median %.4f", mean, clipping, median);
    cr_expect(mean < .5, "the mean has %.4f", mean);
    cr_expect(clipping > .8, "centred clipping has %.4f", clipping);
    cr_expect(median > .8, "the geometric median has %.4f", median);
}
