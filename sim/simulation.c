#include "simulation_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "checkpoint.h"
#include "covey/client_config.h"
#include "covey/linalg.h"
#include "local_step.h"

#define CHECKPOINT_S 60.0 /* of wall clock, between two */

double covey_simulation_wall_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double covey_simulation_process_cpu_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ------------------------------------------------------------------ making */

/* The test part in pieces that threads take side by side; their sums are added in the order of the pieces. */
static enum covey_status cut_test_part(struct covey_simulation *sim, struct covey_error *err)
{
    const struct covey_dataset *test = &sim->fleet.data.test;
    const uint32_t count = (test->count + COVEY_JUDGE_EXAMPLES - 1) / COVEY_JUDGE_EXAMPLES;
    if (count == 0)
        return COVEY_OK;
    sim->test_parts = calloc(count, sizeof *sim->test_parts);
    sim->scores = calloc(count, sizeof *sim->scores);
    sim->test_index = malloc(test->count * sizeof *sim->test_index);
    if (sim->test_parts == NULL || sim->scores == NULL || sim->test_index == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the test part");
    sim->test_part_count = count;
    for (uint32_t i = 0; i < test->count; i++)
        sim->test_index[i] = test->index != NULL ? test->index[i] : i;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t first = i * COVEY_JUDGE_EXAMPLES, left = test->count - first;
        sim->test_parts[i] = *test;
        sim->test_parts[i].storage = NULL;
        sim->test_parts[i].index = sim->test_index + first;
        sim->test_parts[i].count = left < COVEY_JUDGE_EXAMPLES ? left : COVEY_JUDGE_EXAMPLES;
        if (!covey_simulation_is_ours(sim, i))
            sim->test_parts[i].count = 0; /* another rank's */
    }
    return COVEY_OK;
}

static enum covey_status make_store(struct covey_simulation *sim, struct covey_error *err)
{
    const struct covey_layout *layout = &sim->fleet.layout;
    const bool feedback = covey_client_keeps_residual(sim->scenario->feedback, &sim->server.codec);
    const size_t values = (feedback ? layout->update_count : 0) + layout->count - layout->shared_count +
                          covey_local_memory_count(&sim->server.recipe, layout);
    const struct covey_round_rules *rules = &sim->server.rules;
    const uint32_t devices = sim->fleet.devices;
    const double cohort =
        (rules->count != 0 ? (double)rules->count : ceil(rules->fraction * (double)devices)) *
            (1 + rules->over_selection) +
        1;
    const double seen = rules->stop_rounds != 0 ? cohort * (double)rules->stop_rounds : (double)devices;
    if (values == 0)
        return COVEY_OK;
    if (sim->options.ranks != NULL && covey_attack_spies(sim->scenario))
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "what devices keep lies with several processes: attackers cannot see it");
    const bool own =
        layout->count > layout->shared_count || sim->server.recipe.algorithm == COVEY_LOCAL_DITTO;
    if (sim->options.ranks != NULL && own && sim->scenario->devices_judged > 0)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "what devices keep lies with several processes: they cannot be judged by it "
                          "(devices_judged)");
    if (sim->options.ranks != NULL && sim->options.resume)
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "what devices keep lies with several processes: such a run cannot be resumed");
    const struct covey_personal_config config = {.folder =
                                                     sim->options.ranks == NULL ? sim->options.folder : NULL,
                                                 .devices = devices,
                                                 .seen = seen < (double)devices ? (uint32_t)seen : devices,
                                                 .values = values,
                                                 .limit_bytes = (uint64_t)sim->scenario->store_bytes,
                                                 .resume = sim->options.resume};
    return covey_personal_store_create(&config, &sim->store, err);
}

static enum covey_status make_crew(struct covey_simulation *sim, struct covey_error *err)
{
    uint32_t threads = sim->options.threads;
    if (threads == 0) {
        const long processors = sysconf(_SC_NPROCESSORS_ONLN);
        threads = processors < 1 ? 1 : (uint32_t)processors;
        if (sim->options.ranks != NULL)
            threads = threads > sim->options.ranks->count ? threads / sim->options.ranks->count : 1;
    }
    if (threads > COVEY_SIM_THREADS)
        return covey_fail(err, COVEY_INVALID, "%u threads: at most %d", threads, COVEY_SIM_THREADS);
    sim->options.threads = threads;
    const struct covey_crew_config config = {.fleet = &sim->fleet,
                                             .world = sim->world,
                                             .store = sim->store,
                                             .recipe = &sim->server.recipe,
                                             .codec = &sim->server.codec,
                                             .threads = threads,
                                             .held_bytes = sim->options.held_bytes,
                                             .lasts = covey_simulation_lasts(sim)};
    return covey_crew_create(&config, &sim->crew, err);
}

static enum covey_status make_lists(struct covey_simulation *sim, struct covey_error *err)
{
    const uint32_t devices = sim->fleet.devices;
    sim->everybody = sim->scenario->availability.kind == COVEY_AVAILABLE_ALWAYS &&
                     !(sim->scenario->churn.leave_per_day > 0) && !covey_simulation_lasts(sim);
    if (covey_simulation_lasts(sim)) {
        if (sim->options.ranks != NULL)
            return covey_fail(err, COVEY_UNSUPPORTED,
                              "work that outlives its round lies with one process: without mpirun, or with "
                              "round.mode synchronous and round.late refuse");
        sim->busy = calloc(devices, sizeof *sim->busy);
        if (sim->busy == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", devices);
    }
    sim->sequences = calloc(devices, sizeof *sim->sequences);
    if (!sim->everybody) {
        sim->available_ids = calloc(devices, sizeof *sim->available_ids);
        sim->available = calloc(devices, sizeof *sim->available);
    }
    const bool known = sim->scenario->rules.selection.policy != COVEY_SELECT_RANDOM;
    sim->records = known ? calloc(devices, sizeof *sim->records) : NULL;
    if ((known && sim->records == NULL) || sim->sequences == NULL ||
        (!sim->everybody && (sim->available == NULL || sim->available_ids == NULL)))
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", devices);
    return covey_virtual_tally_init(&sim->tally, &sim->fleet, err);
}

static enum covey_status open_outcome(struct covey_simulation *sim, uint32_t round, struct covey_error *err)
{
    char *text = NULL;
    if (sim->options.folder == NULL || sim->outcome != NULL || !covey_simulation_is_first(sim))
        return COVEY_OK;
    COVEY_TRY(covey_outcome_create(sim->options.folder, round, &sim->outcome, err));
    if (covey_scenario_write(sim->scenario, &text) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the scenario's text");
    const enum covey_status status = covey_outcome_scenario(sim->outcome, text, err);
    free(text);
    return status;
}

static enum covey_status make(struct covey_simulation *sim, struct covey_error *err)
{
    uint32_t round = 0;
    covey_linalg_start();
    COVEY_TRY(covey_virtual_fleet_init(&sim->fleet, sim->scenario, err));
    COVEY_TRY(covey_virtual_server_init(&sim->server, &sim->fleet, err));
    /* a step is forward and backward: about three times the forward pass */
    COVEY_TRY(covey_world_create(sim->scenario, sim->fleet.devices,
                                 3.0 * (double)sim->fleet.summary.forward_flops, &sim->world, err));
    if (sim->options.replay != NULL)
        COVEY_TRY(covey_training_replay_load(sim->options.replay, &sim->replay, err));
    COVEY_TRY(make_lists(sim, err));
    if (!sim->options.resume) /* the folder is there when the store wants it */
        COVEY_TRY(open_outcome(sim, 0, err));
    COVEY_TRY(make_store(sim, err));
    if (sim->options.resume)
        COVEY_TRY(covey_simulation_restore(sim, &round, err));
    COVEY_TRY(open_outcome(sim, round, err));
    COVEY_TRY(make_crew(sim, err));
    COVEY_TRY(cut_test_part(sim, err));
    sim->context = (struct covey_member_context){.fleet = &sim->fleet,
                                                 .world = sim->world,
                                                 .server = &sim->server,
                                                 .replay = sim->replay,
                                                 .crew = sim->crew,
                                                 .clock = &sim->clock,
                                                 .sequences = sim->sequences};
    return COVEY_OK;
}

enum covey_status covey_simulation_create(const struct covey_scenario *scenario,
                                          const struct covey_simulation_options *options,
                                          struct covey_simulation **out, struct covey_error *err)
{
    struct covey_simulation *sim = calloc(1, sizeof *sim);
    if (sim == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a simulation");
    sim->started_s = covey_simulation_wall_s();
    sim->scenario = scenario;
    sim->options = *options;
    if (sim->options.ranks != NULL && sim->options.ranks->count < 2)
        sim->options.ranks = NULL;
    sim->loss = sim->metric = (double)NAN;
    const enum covey_status status = make(sim, err);
    if (status != COVEY_OK) {
        covey_simulation_destroy(sim);
        return status;
    }
    *out = sim;
    return COVEY_OK;
}

void covey_simulation_destroy(struct covey_simulation *sim)
{
    if (sim == NULL)
        return;
    covey_crew_destroy(sim->crew);
    covey_simulation_forget_carried(sim);
    covey_outcome_destroy(sim->outcome);
    covey_personal_store_destroy(sim->store);
    covey_training_replay_destroy(sim->replay);
    covey_virtual_server_deinit(&sim->server);
    covey_world_destroy(sim->world);
    covey_virtual_fleet_deinit(&sim->fleet);
    covey_virtual_tally_deinit(&sim->tally);
    covey_clock_deinit(&sim->clock);
    free(sim->sequences);
    free(sim->available);
    free(sim->available_ids);
    free(sim->records);
    free(sim->test_parts);
    free(sim->scores);
    free(sim->test_index);
    free(sim->busy);
    free(sim->members);
    free(sim->jobs);
    free(sim->chosen);
    free(sim->past);
    free(sim);
}

void covey_simulation_stop(struct covey_simulation *sim)
{
    sim->stop_wish = 1;
}

/* ------------------------------------------------------------------ the run */

enum covey_status covey_simulation_run(struct covey_simulation *sim, struct covey_sim_summary *out,
                                       struct covey_error *err)
{
    sim->loaded_cpu_s = covey_simulation_process_cpu_s();
    sim->checkpoint_s = covey_simulation_wall_s();
    while (!sim->ended && !sim->stop) {
        COVEY_TRY(covey_simulation_round(sim, err));
        COVEY_TRY(covey_simulation_agree(sim, err));
        /* what devices keep is written in place: a checkpoint in between would not hold any more after the
         * next rounds */
        if (sim->store == NULL && covey_simulation_wall_s() - sim->checkpoint_s > CHECKPOINT_S)
            COVEY_TRY(covey_simulation_save(sim, err));
    }
    if (!sim->ended)
        COVEY_TRY(covey_simulation_save(sim, err));
    COVEY_TRY(covey_simulation_finish(sim, out, err));
    if (sim->ended && sim->options.folder != NULL)
        covey_checkpoint_remove(sim->options.folder);
    if (sim->ended && sim->store != NULL)
        covey_personal_store_forget(sim->store);
    return COVEY_OK;
}
