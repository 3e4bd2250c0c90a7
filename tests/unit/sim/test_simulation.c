/* The engine of `covey-sim run`: the same rounds for any number of threads, and after being stopped and
 * resumed. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/hash.h"
#include "little_fleet.h"

#define ROUNDS 12

static const char base[] = "partition: {kind: dirichlet-uneven, devices: 40, alpha: 1}\n"
                           "train: {epochs: 2, batch: 4, learning_rate: .05}\n"
                           "selection: {minimum_devices: 4, count: 8}\n"
                           "round: {deadline_s: 60, minimum_updates: 1}\n"
                           "stop: {rounds: 12}\n"
                           "evaluate_every: 3\n";

/* Ways to be in a hurry, away, or in trouble. */
static const struct {
    const char *name;
    const char *settings[5];
    uint32_t count;
} ways[] = {
    {"all in time", {"codec=int8", "error_feedback=off"}, 2},
    {"residuals", {"codec=int4", "error_feedback=on", "store_bytes=100000000"}, 3},
    {"personal layers", {"model=personal.yaml", "codec=fp16", "error_feedback=off"}, 3},
    {"over-selection and slow tails",
     {"selection.over_selection=.5", "devices=[{class: pi-4, slow_share: .3, slow_factor: 1000000}]",
      "links=[{class: lte-m}]", "error_feedback=on", "store_bytes=100000000"},
     5},
    {"drop-outs",
     {"churn.drop_rate=.3", "links=[{class: wifi}, {class: nb-iot}]", "round.deadline_s=600"},
     3},
    {"day and night",
     {"availability={kind: day-night, from_hour: 8, to_hour: 18, spread_hours: 24}", "churn.drop_rate=.1"},
     2},
    {"chosen in turn", {"selection.policy=round-robin"}, 1},
    {"chosen by loss",
     {"selection.policy=power-of-choice", "availability={kind: day-night, from_hour: 8, to_hour: 18}"},
     2},
    {"chosen by use",
     {"selection.policy=utility", "selection.pace_s=2", "links=[{class: wifi}, {class: nb-iot}]"},
     3},
    {"client momentum",
     {"train={steps: 3, batch: 4, learning_rate: .05, algorithm: client-momentum, strength: .9}",
      "codec=int8", "error_feedback=on", "store_bytes=100000000", "model=personal.yaml"},
     5},
    {"spies and client momentum",
     {"train={steps: 3, batch: 4, learning_rate: .05, algorithm: client-momentum, strength: .9}",
      "attack={kind: alie, share: .3, strength: 1}", "codec=int8", "store_bytes=100000000",
      "churn.drop_rate=.2"},
     5},
    {"asynchronous",
     {"selection={minimum_devices: 4, count: 0}",
      "round={deadline_s: 600, minimum_updates: 0, mode: asynchronous, buffer: 3, concurrency: 9}",
      "devices=[{class: pi-4, share: 3, examples_per_s: 4}, {class: pi-zero-2, share: 1, examples_per_s: "
      ".4}]",
      "links=[{class: wifi}, {class: nb-iot}]", "error_feedback=off"},
     5},
    {"asynchronous, residuals, drop-outs",
     {"selection={minimum_devices: 4, count: 0}",
      "round={deadline_s: 100, minimum_updates: 0, pause_s: 3, mode: asynchronous, buffer: 2, concurrency: "
      "7, staleness_max: 5}",
      "devices=[{class: pi-4, share: 3, examples_per_s: 4}, {class: pi-zero-2, share: 1, examples_per_s: "
      ".4}]",
      "churn.drop_rate=.1", "store_bytes=100000000"},
     5},
    {"late, and used",
     {"round={deadline_s: 20, minimum_updates: 1, late: use, staleness_max: 4}",
      "devices=[{class: pi-4, share: 3, examples_per_s: 4}, {class: pi-zero-2, share: 1, examples_per_s: "
      ".4}]",
      "links=[{class: wifi}, {class: nb-iot}]", "error_feedback=on", "store_bytes=100000000"},
     5},
    {"hostile", {"attack={kind: sign-flip, share: .3, strength: 2}", "norm_limit=.5"}, 2},
    {"fltrust",
     {"strategy=fltrust", "data.root_data=60", "attack={kind: sign-flip, share: .3, strength: 2}"},
     3},
    {"centred clipping",
     {"strategy=centred-clipping hostile=2 clip=quantile", "round.minimum_updates=5", "round.deadline_s=600"},
     3},
    {"scaffold",
     {"train={steps: 3, batch: 4, learning_rate: .05, algorithm: scaffold}", "churn.drop_rate=.1",
      "store_bytes=100000000", "links=[{class: wifi}, {class: nb-iot}]"},
     4},
    {"scaffold and residuals",
     {"train={steps: 3, batch: 4, learning_rate: .05, algorithm: scaffold}", "codec=int4",
      "error_feedback=on", "store_bytes=100000000", "server_optimiser={kind: adam, rate: .02}"},
     5},
    {"feddyn",
     {"train={steps: 3, batch: 4, learning_rate: .05, algorithm: feddyn, strength: .1}", "churn.drop_rate=.1",
      "store_bytes=100000000", "downlink=int8"},
     4},
    {"ditto",
     {"train={steps: 3, batch: 4, learning_rate: .05, algorithm: ditto, strength: .5}",
      "strategy=trimmed-mean hostile=1", "store_bytes=100000000", "devices_judged=20",
      "devices_judged_every=2"},
     5},
    {"weights by steps, epochs of each round's own",
     {"train={epochs: 5, batch: 4, learning_rate: .05}", "epochs_from=1", "weighting.kind=steps",
      "churn.drop_rate=.1"},
     4},
    {"weights by loss", {"weighting={kind: loss, power: 2}", "churn.drop_rate=.1"}, 2},
    {"server momentum", {"server_optimiser={kind: momentum, rate: .5}"}, 1},
    {"server adagrad", {"server_optimiser={kind: adagrad, rate: .05}"}, 1},
    {"server adam", {"server_optimiser={kind: adam, rate: .02}"}, 1},
    {"server yogi", {"server_optimiser={kind: yogi, rate: .02}", "strategy=trimmed-mean hostile=1"}, 2},
};

Test(simulation, is_the_same_for_any_number_of_threads, .timeout = 120)
{
    struct little_fleet fleet;
    little_fleet_init(&fleet, base);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct little_run *one = calloc(1, sizeof *one), *more = calloc(1, sizeof *more);
        static const uint32_t threads[] = {2, 8};
        one->options.threads = 1;
        little_fleet_play(&fleet, ways[i].settings, ways[i].count, one);
        cr_expect_eq(one->summary.rounds, ROUNDS, "%s: %u rounds", ways[i].name, one->summary.rounds);
        cr_expect_gt(one->summary.updates, ROUNDS, "%s", ways[i].name);
        for (size_t k = 0; k < sizeof threads / sizeof threads[0]; k++) {
            *more = (struct little_run){.options = {.threads = threads[k]}};
            little_fleet_play(&fleet, ways[i].settings, ways[i].count, more);
            cr_expect(little_runs_agree(one, more), "%s: %u threads differ from one", ways[i].name,
                      threads[k]);
            cr_expect(covey_hash_equal(&one->summary.model, &more->summary.model));
        }
        free(one);
        free(more);
    }
    little_fleet_deinit(&fleet);
}

Test(simulation, goes_on_where_it_was_stopped, .timeout = 120)
{
    struct little_fleet fleet;
    little_fleet_init(&fleet, base);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct little_run *whole = calloc(1, sizeof *whole), *parts = calloc(1, sizeof *parts);
        char folder[128];
        (void)snprintf(folder, sizeof folder, "%s/run-%zu", fleet.folder, i);
        whole->options.threads = 2;
        little_fleet_play(&fleet, ways[i].settings, ways[i].count, whole);
        const uint32_t last = whole->rows[whole->row_count - 1].round;
        for (uint32_t stop = 3; stop <= last + 4; stop += 4) { /* three legs or so */
            parts->options = (struct covey_simulation_options){
                .threads = 1 + stop % 3, .folder = folder, .resume = stop > 3};
            parts->stop_after = stop < last ? stop : 0;
            little_fleet_play(&fleet, ways[i].settings, ways[i].count, parts);
            cr_expect_eq(parts->summary.interrupted, stop < last, "%s, until round %u", ways[i].name, stop);
            if (stop >= last)
                break;
        }
        cr_expect(little_runs_agree(whole, parts), "%s: the run in parts differs", ways[i].name);
        cr_expect(covey_hash_equal(&whole->summary.model, &parts->summary.model), "%s", ways[i].name);
        cr_expect_eq(whole->summary.updates, parts->summary.updates);
        cr_expect_eq(whole->summary.bytes_up, parts->summary.bytes_up);
        cr_expect_eq(whole->summary.virtual_s, parts->summary.virtual_s);
        cr_expect_eq(whole->summary.participation_gini, parts->summary.participation_gini);
        struct covey_outcome_run outcome;
        struct covey_error err = {0};
        cr_expect_eq(covey_outcome_read(folder, &outcome, &err), COVEY_OK, "%s", err.text);
        cr_expect_eq(outcome.round_count, whole->row_count, "%s: %u lines", ways[i].name,
                     outcome.round_count);
        covey_outcome_free(&outcome);
        free(whole);
        free(parts);
    }
    little_fleet_deinit(&fleet);
}

Test(simulation, refuses_a_checkpoint_of_another_scenario)
{
    static const char *const one[] = {"codec=int8", "error_feedback=off"}, *const other[] = {
                                                                               "codec=int4",
                                                                               "error_feedback=off"};
    struct little_fleet fleet;
    struct covey_scenario scenario;
    struct covey_simulation *simulation = NULL;
    struct covey_error err = {0};
    struct little_run *run = calloc(1, sizeof *run);
    char folder[128], file[160];
    little_fleet_init(&fleet, base);
    (void)snprintf(folder, sizeof folder, "%s/run", fleet.folder);
    (void)snprintf(file, sizeof file, "%s/checkpoint", folder);
    run->options = (struct covey_simulation_options){.threads = 1, .folder = folder};
    run->stop_after = 2;
    little_fleet_play(&fleet, one, 2, run);
    cr_assert_eq(access(file, R_OK), 0);
    const struct covey_simulation_options options = {.threads = 1, .folder = folder, .resume = true};
    cr_assert_eq(covey_scenario_load(fleet.file, other, 2, &scenario, &err), COVEY_OK);
    cr_expect_eq(covey_simulation_create(&scenario, &options, &simulation, &err), COVEY_MISMATCH, "%s",
                 err.text);
    covey_scenario_free(&scenario);

    FILE *stream = fopen(file, "r+"); /* one bit of it turned */
    cr_assert_not_null(stream);
    cr_assert_eq(fseek(stream, 200, SEEK_SET), 0);
    const int byte = fgetc(stream);
    cr_assert_eq(fseek(stream, 200, SEEK_SET), 0);
    (void)fputc(byte ^ 1, stream);
    (void)fclose(stream);
    cr_assert_eq(covey_scenario_load(fleet.file, one, 2, &scenario, &err), COVEY_OK);
    cr_expect_eq(covey_simulation_create(&scenario, &options, &simulation, &err), COVEY_CORRUPT, "%s",
                 err.text);
    covey_scenario_free(&scenario);
    free(run);
    little_fleet_deinit(&fleet);
}

Test(simulation, is_the_same_when_updates_wait_on_the_disk)
{
    /* chosen generously, over slow links: no update is certain to be taken before it arrives */
    static const char *const settings[] = {"selection.over_selection=1", "links=[{class: lte-m}]",
                                           "error_feedback=off"};
    struct little_fleet fleet;
    struct little_run *in_memory = calloc(1, sizeof *in_memory), *on_disk = calloc(1, sizeof *on_disk);
    little_fleet_init(&fleet, base);
    in_memory->options.threads = 2;
    on_disk->options = (struct covey_simulation_options){.threads = 2, .held_bytes = 1};
    little_fleet_play(&fleet, settings, 3, in_memory);
    little_fleet_play(&fleet, settings, 3, on_disk);
    cr_expect_gt(in_memory->summary.late, 0);
    cr_expect(little_runs_agree(in_memory, on_disk));
    free(in_memory);
    free(on_disk);
    little_fleet_deinit(&fleet);
}

Test(simulation, says_why_devices_cannot_train)
{
    struct little_fleet fleet;
    struct covey_scenario scenario;
    struct covey_simulation *simulation = NULL;
    struct covey_sim_summary summary;
    struct covey_error err = {0};
    const struct covey_simulation_options options = {.threads = 2};
    char path[128];
    little_fleet_init(&fleet, base);
    (void)snprintf(path, sizeof path, "%s/train.csv", fleet.folder);
    FILE *stream = fopen(path, "a"); /* a label that the model does not have */
    cr_assert_not_null(stream);
    for (int i = 0; i < 400; i++)
        (void)fprintf(stream, "1,1,1,1,1,1,1,1,1,1,1,1,9\n");
    (void)fclose(stream);
    cr_assert_eq(covey_scenario_load(fleet.file, NULL, 0, &scenario, &err), COVEY_OK, "%s", err.text);
    enum covey_status status = covey_simulation_create(&scenario, &options, &simulation, &err);
    if (status == COVEY_OK)
        status = covey_simulation_run(simulation, &summary, &err);
    cr_expect_eq(status, COVEY_RANGE, "%d", status);
    cr_expect_not_null(strstr(err.text, "label"), "%s", err.text);
    covey_simulation_destroy(simulation);
    covey_scenario_free(&scenario);
    little_fleet_deinit(&fleet);
}

Test(simulation, gives_up_when_no_round_succeeds)
{
    static const char *const settings[] = {"round.deadline_s=1", "links=[{class: nb-iot}]",
                                           "error_feedback=off"};
    struct little_fleet fleet;
    struct covey_scenario scenario;
    struct covey_simulation *simulation = NULL;
    struct covey_sim_summary summary;
    struct covey_error err = {0};
    const struct covey_simulation_options options = {.threads = 1};
    little_fleet_init(&fleet, base);
    cr_assert_eq(covey_scenario_load(fleet.file, settings, 3, &scenario, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_simulation_create(&scenario, &options, &simulation, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(covey_simulation_run(simulation, &summary, &err), COVEY_STATE);
    cr_expect_not_null(strstr(err.text, "in a row"), "%s", err.text);
    covey_simulation_destroy(simulation);
    covey_scenario_free(&scenario);
    little_fleet_deinit(&fleet);
}

Test(simulation, refuses_what_devices_would_keep_over_the_limit)
{
    static const char *const settings[] = {"error_feedback=on", "codec=int4", "store_bytes=1000"};
    struct little_fleet fleet;
    struct covey_scenario scenario;
    struct covey_simulation *simulation = NULL;
    struct covey_error err = {0};
    const struct covey_simulation_options options = {.threads = 1};
    little_fleet_init(&fleet, base);
    cr_assert_eq(covey_scenario_load(fleet.file, settings, 3, &scenario, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(covey_simulation_create(&scenario, &options, &simulation, &err), COVEY_LIMIT);
    cr_expect_not_null(strstr(err.text, "store_bytes"), "%s", err.text);
    covey_scenario_free(&scenario);
    little_fleet_deinit(&fleet);
}

Test(simulation, replays_training_times)
{
    static const char *const settings[] = {"error_feedback=off", "links=[{class: perfect}]", "stop.rounds=2"};
    struct little_fleet fleet;
    struct little_run *run = calloc(1, sizeof *run);
    char file[128];
    little_fleet_init(&fleet, base);
    (void)snprintf(file, sizeof file, "%s/times.csv", fleet.folder);
    FILE *stream = fopen(file, "w");
    cr_assert_not_null(stream);
    (void)fprintf(stream, "device,round,training_ms\n");
    for (uint32_t device = 0; device < 40; device++)
        (void)fprintf(stream, "device-%06u,1,7000\n%u,2,11000.4\n", device, device);
    (void)fclose(stream);
    run->options = (struct covey_simulation_options){.threads = 1, .replay = file};
    little_fleet_play(&fleet, settings, 3, run);
    cr_assert_eq(run->row_count, 2);
    cr_expect_lt(fabs(run->rows[0].virtual_s - 7), .5, "%g", run->rows[0].virtual_s);
    const double pause = run->rows[1].virtual_s - run->rows[0].virtual_s - 11;
    cr_expect(pause >= 0 && pause < 6, "%g", pause); /* the pause between rounds */
    free(run);
    little_fleet_deinit(&fleet);
}

/* Full rounds of 60 with ten updates wanted. */
static uint32_t full_rounds(const struct little_fleet *fleet, const char *drop, const char *over,
                            uint32_t chosen)
{
    const char *const settings[] = {"selection={count: 10}",
                                    over,
                                    drop,
                                    "stop.rounds=60",
                                    "evaluate_every=60",
                                    "round={deadline_s: 60}",
                                    "codec=int8",
                                    "error_feedback=off",
                                    "devices=[{class: pi-4, examples_per_s: 50}]",
                                    "links=[{class: wifi}]"};
    struct little_run *run = calloc(1, sizeof *run);
    uint32_t full = 0;
    run->options.threads = 2;
    little_fleet_play(fleet, settings, sizeof settings / sizeof settings[0], run);
    cr_expect_eq(run->summary.rounds, 60);
    cr_expect_eq(run->summary.abandoned, 0);
    for (uint32_t i = 0; i < run->row_count; i++) {
        cr_expect_eq(run->rows[i].chosen, chosen);
        cr_expect_leq(run->rows[i].updates, 10, "the round was closed at its goal");
        full += run->rows[i].updates == 10;
    }
    free(run);
    return full;
}

/* Google's figures in production: 6 to 10 % of the devices drop out, so 130 % of those wanted are chosen
 * (Bonawitz et al. 2019, "Towards federated learning at scale", section 9). At 10 % a round of 13 has its ten
 * with a chance of .966, one of 10 with .349; at 6 % .994 and .539. Five deviations of a binomial of 60. */
Test(simulation, selecting_130_percent_makes_up_for_drop_outs)
{
    struct little_fleet fleet;
    little_fleet_init(&fleet, base);
    cr_expect_gt(full_rounds(&fleet, "churn.drop_rate=.1", "selection.over_selection=.3", 13), 50);
    cr_expect_lt(full_rounds(&fleet, "churn.drop_rate=.1", "selection.over_selection=0", 10), 40);
    cr_expect_gt(full_rounds(&fleet, "churn.drop_rate=.06", "selection.over_selection=.3", 13), 56);
    cr_expect_lt(full_rounds(&fleet, "churn.drop_rate=.06", "selection.over_selection=0", 10), 52);
    little_fleet_deinit(&fleet);
}
