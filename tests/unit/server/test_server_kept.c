/* What strategies, optimisers and algorithms keep from round to round: a server that is killed between any
 * two rounds, or in the middle of one, goes on to the same model. */
#include <criterion/criterion.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/strategy.h"
#include "server_run.h"

static const struct {
    const char *strategy;
    struct covey_server_rule rule;
    bool root;
    struct covey_weighting weighting;
    enum covey_local_algorithm algorithm; /* of five devices out of eight */
} kept_ways[] = {
    {.strategy = "fedavg"},
    {.strategy = "fedavg clip=quantile clip_norm=1"},
    {.strategy = "norm-bound clip_norm=1"},
    {.strategy = "norm-bound clip=quantile clip_norm=1"},
    {.strategy = "median hostile=1"},
    {.strategy = "trimmed-mean hostile=1 clip=quantile clip_norm=1"},
    {.strategy = "krum hostile=1"},
    {.strategy = "multi-krum hostile=1 mix=bucketing bucket=1"},
    {.strategy = "bulyan"},
    {.strategy = "geometric-median hostile=1 mix=bucketing"},
    {.strategy = "centred-clipping hostile=1"},
    {.strategy = "centred-clipping hostile=1 clip=quantile clip_norm=1 mix=nearest"},
    {.strategy = "fltrust", .root = true},
    {.strategy = "equal-mean"},
    {.strategy = "fedavg", .rule = {COVEY_SERVER_MOMENTUM, .5, .9, 0, 0}},
    {.strategy = "fedavg", .rule = {COVEY_SERVER_ADAGRAD, .1, 0, 0, 1e-3}},
    {.strategy = "fedavg", .rule = {COVEY_SERVER_ADAM, .01, .9, .99, 1e-3}},
    {.strategy = "fedavg clip=quantile clip_norm=1", .rule = {COVEY_SERVER_YOGI, .01, .9, .99, 1e-3}},
    {.strategy = "centred-clipping hostile=1", .rule = {COVEY_SERVER_ADAM, .01, .9, .99, 1e-3}},
    {.strategy = "fltrust", .rule = {COVEY_SERVER_MOMENTUM, .5, .9, 0, 0}, .root = true},
    {.strategy = "fedavg", .weighting = {COVEY_WEIGH_EQUAL, 0, 0}},
    {.strategy = "fedavg", .weighting = {COVEY_WEIGH_STEPS, 0, 0}},
    {.strategy = "fedavg", .weighting = {COVEY_WEIGH_LOSS, 2, 0}},
    {.strategy = "fedavg",
     .weighting = {COVEY_WEIGH_LOSS, .5, 3},
     .rule = {COVEY_SERVER_MOMENTUM, .5, .9, 0, 0}},
    {.strategy = "fedavg", .algorithm = COVEY_LOCAL_SCAFFOLD},
    {.strategy = "equal-mean",
     .algorithm = COVEY_LOCAL_SCAFFOLD,
     .rule = {COVEY_SERVER_YOGI, .01, .9, .99, 1e-3}},
    {.strategy = "fedavg", .algorithm = COVEY_LOCAL_FEDDYN},
    {.strategy = "median hostile=1", .algorithm = COVEY_LOCAL_DITTO},
};

static void set_up_kept(struct run *run, size_t way)
{
    run_set_up(run, 20);
    (void)snprintf(run->federation.strategy, sizeof run->federation.strategy, "%s", kept_ways[way].strategy);
    run->federation.server_rule = kept_ways[way].rule;
    run->federation.root_update = kept_ways[way].root ? run_root_update : NULL;
    run->federation.root_user = &run->model;
    run->federation.rules.stop_rounds = 4;
    run->federation.weighting = kept_ways[way].weighting;
    run->federation.recipe.algorithm = kept_ways[way].algorithm;
    run->federation.recipe.strength = .1f;
    run->federation.population = 8;
    if (kept_ways[way].algorithm == COVEY_LOCAL_PLAIN)
        return;
    fake_model_deinit(&run->model);
    fake_model_init_plain(&run->model, 20, kept_ways[way].algorithm == COVEY_LOCAL_SCAFFOLD);
    run->federation.initial = run->model.initial;
}

/* The folder as it is now is all that is left; a server starts from it. */
static void tear(struct run *run)
{
    char copy[64], command[256];
    fake_folder_make(copy);
    (void)snprintf(command, sizeof command, "cp -r '%s'/. '%s' && rm -f '%s/lock'", run->folder, copy, copy);
    cr_assert_eq(system(command), 0);
    run_close(run);
    fake_folder_remove(run->folder);
    memcpy(run->folder, copy, sizeof copy);
    run_open(run);
}

/* Four rounds; torn between every two of them, and in the middle of one, where that is wanted. */
static struct covey_hash play_torn(struct run *run, bool is_torn)
{
    char device[DEVICES][32];
    run_names(device);
    for (uint32_t round = 1; round <= 4; round++) {
        for (int i = 0; i < DEVICES && (round == 1 || is_torn); i++)
            fake_come(&run->host, device[i], true);
        for (int i = 0; i < DEVICES; i++) /* nobody is chosen before all are there */
            (void)fake_plan(&run->host, device[i], "digits");
        for (int i = 0; i < DEVICES; i++) {
            if (is_torn && round == 2 && i == 2) {
                tear(run);
                for (int k = 0; k < DEVICES; k++) {
                    fake_come(&run->host, device[k], true);
                    (void)fake_plan(&run->host, device[k], "digits");
                }
            }
            const struct covey_plan plan =
                fake_await(&run->host, device[i], "digits", COVEY_PLAN_TRAIN, round);
            cr_assert_eq(plan.round, round);
            cr_assert_eq(fake_work(&run->host, &run->model, device[i], "digits", &plan, run->signer),
                         COVEY_CODE_CHANGED);
        }
        (void)fake_await(&run->host, device[0], "digits", round == 4 ? COVEY_PLAN_DONE : COVEY_PLAN_TRAIN,
                         round == 4 ? 0 : round + 1);
        if (is_torn && round < 4)
            tear(run);
    }
    const struct covey_plan last = fake_await(&run->host, device[0], "digits", COVEY_PLAN_DONE, 0);
    struct covey_manifest manifest;
    free(fake_fetch(&run->host, device[0], "digits", &last, run->signer, NULL, &manifest));
    return manifest.model;
}

Test(server_kept, keeps_what_every_strategy_and_optimiser_needs_over_a_restart, .timeout = 600)
{
    struct covey_hash plain = {0};
    for (size_t way = 0; way < sizeof kept_ways / sizeof kept_ways[0]; way++) {
        struct run run;
        struct covey_hash hashes[2];
        for (int is_torn = 0; is_torn < 2; is_torn++) {
            set_up_kept(&run, way);
            run_open(&run);
            hashes[is_torn] = play_torn(&run, is_torn != 0);
            run_close(&run);
            run_tear_down(&run);
        }
        cr_expect(covey_hash_equal(&hashes[0], &hashes[1]), "%s, optimiser %s: another model",
                  kept_ways[way].strategy, covey_server_optimiser_name(kept_ways[way].rule.kind));
        if (way == 0)
            plain = hashes[0];
        else
            cr_expect_not(covey_hash_equal(&plain, &hashes[0]), "%s is fedavg", kept_ways[way].strategy);
    }
}

/* The table above has every strategy and every optimiser that a federation can name. */
Test(server_kept, restarts_with_each_row_of_the_table)
{
    for (size_t s = 0; covey_strategy_at(s) != NULL; s++) {
        const char *name = covey_strategy_at(s)->name;
        bool found = false;
        for (size_t way = 0; way < sizeof kept_ways / sizeof kept_ways[0]; way++)
            found |= strncmp(kept_ways[way].strategy, name, strlen(name)) == 0;
        cr_expect(found, "%s", name);
    }
    for (int kind = 0; kind < COVEY_SERVER_FEDDYN; kind++) {
        bool found = false;
        for (size_t way = 0; way < sizeof kept_ways / sizeof kept_ways[0]; way++)
            found |= kept_ways[way].rule.kind == (enum covey_server_optimiser_kind)kind;
        cr_expect(found, "optimiser %d", kind);
    }
}
