#include "simulation.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "covey/client_config.h"
#include "covey/linalg.h"
#include "covey/safetensors.h"
#include "virtual_member.h"
#include "virtual_tally.h"

#define JUDGE_EXAMPLES 500                  /* of the test part that one thread takes at a time */
#define GATHER_MS 60000                     /* between two looks at who is there, when too few are */
#define GATHER_LIMIT_MS (366ull * 86400000) /* nobody came for so long: it is over */
#define PROGRESS_S 0.2

struct covey_simulation {
    const struct covey_scenario *scenario;
    struct covey_simulation_options options;
    struct covey_virtual_fleet fleet;
    struct covey_world *world;
    struct covey_virtual_server server;
    struct covey_personal_store *store;
    struct covey_training_replay *replay;
    struct covey_crew *crew;
    struct covey_clock clock;
    struct covey_outcome *outcome;
    struct covey_member_context context;
    struct covey_virtual_tally tally;
    uint32_t *sequences;
    uint64_t *available_ids; /* (devices) when not everybody is there all the time */
    uint32_t *available;     /* places of those */
    bool everybody;

    struct covey_dataset *test_parts;
    struct covey_score *scores;
    uint32_t *test_index;
    uint32_t test_part_count;

    /* the open round */
    struct covey_round_action opening;
    struct covey_virtual_member *members;
    struct covey_crew_job *jobs;
    uint32_t *chosen;
    uint32_t member_count, member_capacity;

    bool ended;
    bool judged; /* the current model */
    double loss, metric;
    uint64_t opened_ms;
    double started_s, first_opened_s, progress_s, loaded_cpu_s;
    volatile sig_atomic_t stop;
};

static double wall_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double process_cpu_s(void)
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
    const uint32_t count = (test->count + JUDGE_EXAMPLES - 1) / JUDGE_EXAMPLES;
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
        const uint32_t first = i * JUDGE_EXAMPLES, left = test->count - first;
        sim->test_parts[i] = *test;
        sim->test_parts[i].storage = NULL;
        sim->test_parts[i].index = sim->test_index + first;
        sim->test_parts[i].count = left < JUDGE_EXAMPLES ? left : JUDGE_EXAMPLES;
    }
    return COVEY_OK;
}

static enum covey_status make_store(struct covey_simulation *sim, struct covey_error *err)
{
    const struct covey_layout *layout = &sim->fleet.layout;
    const bool feedback =
        sim->scenario->feedback == COVEY_FEEDBACK_ON && strcmp(sim->server.codec.name, "raw32") != 0;
    const size_t values = (feedback ? layout->update_count : 0) + layout->count - layout->shared_count;
    const struct covey_round_rules *rules = &sim->server.rules;
    const uint32_t devices = sim->fleet.devices;
    const double cohort =
        (rules->count != 0 ? (double)rules->count : ceil(rules->fraction * (double)devices)) *
            (1 + rules->over_selection) +
        1;
    const double seen = rules->stop_rounds != 0 ? cohort * (double)rules->stop_rounds : (double)devices;
    if (values == 0)
        return COVEY_OK;
    const struct covey_personal_config config = {.folder = sim->options.folder,
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
    }
    if (threads > COVEY_SIM_THREADS)
        return covey_fail(err, COVEY_INVALID, "%u threads: at most %d", threads, COVEY_SIM_THREADS);
    sim->options.threads = threads;
    const struct covey_crew_config config = {.fleet = &sim->fleet,
                                             .world = sim->world,
                                             .store = sim->store,
                                             .recipe = &sim->server.recipe,
                                             .codec = &sim->server.codec,
                                             .threads = threads};
    return covey_crew_create(&config, &sim->crew, err);
}

static enum covey_status make_lists(struct covey_simulation *sim, struct covey_error *err)
{
    const uint32_t devices = sim->fleet.devices;
    sim->everybody = sim->scenario->availability.kind == COVEY_AVAILABLE_ALWAYS &&
                     !(sim->scenario->churn.leave_per_day > 0);
    sim->sequences = calloc(devices, sizeof *sim->sequences);
    if (!sim->everybody) {
        sim->available_ids = calloc(devices, sizeof *sim->available_ids);
        sim->available = calloc(devices, sizeof *sim->available);
    }
    if (sim->sequences == NULL || (!sim->everybody && (sim->available == NULL || sim->available_ids == NULL)))
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", devices);
    return covey_virtual_tally_init(&sim->tally, &sim->fleet, err);
}

static enum covey_status open_outcome(struct covey_simulation *sim, struct covey_error *err)
{
    char *text = NULL;
    if (sim->options.folder == NULL)
        return COVEY_OK;
    COVEY_TRY(covey_outcome_create(sim->options.folder, 0, &sim->outcome, err));
    if (covey_scenario_write(sim->scenario, &text) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the scenario's text");
    const enum covey_status status = covey_outcome_scenario(sim->outcome, text, err);
    free(text);
    return status;
}

static enum covey_status make(struct covey_simulation *sim, struct covey_error *err)
{
    covey_linalg_start();
    COVEY_TRY(covey_virtual_fleet_init(&sim->fleet, sim->scenario, err));
    COVEY_TRY(covey_virtual_server_init(&sim->server, &sim->fleet, err));
    /* a step is forward and backward: about three times the forward pass */
    COVEY_TRY(covey_world_create(sim->scenario, sim->fleet.devices,
                                 3.0 * (double)sim->fleet.summary.forward_flops, &sim->world, err));
    if (sim->options.replay != NULL)
        COVEY_TRY(covey_training_replay_load(sim->options.replay, &sim->replay, err));
    COVEY_TRY(make_lists(sim, err));
    COVEY_TRY(open_outcome(sim, err));
    COVEY_TRY(make_store(sim, err));
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
    sim->started_s = wall_s();
    sim->scenario = scenario;
    sim->options = *options;
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
    free(sim->test_parts);
    free(sim->scores);
    free(sim->test_index);
    free(sim->members);
    free(sim->jobs);
    free(sim->chosen);
    free(sim);
}

void covey_simulation_stop(struct covey_simulation *sim)
{
    sim->stop = 1;
}

/* ------------------------------------------------------------------ who is there */

/* Fills available and available_ids; the earliest moment at which that changes. */
static uint32_t count_available(struct covey_simulation *sim, uint64_t *change_ms)
{
    uint32_t count = 0;
    *change_ms = UINT64_MAX;
    if (sim->everybody)
        return sim->fleet.devices;
    for (uint32_t device = 0; device < sim->fleet.devices; device++) {
        uint64_t until_ms = UINT64_MAX;
        if (covey_world_available(sim->world, device, sim->clock.now_ms, &until_ms)) {
            sim->available_ids[count] = sim->fleet.ids[device];
            sim->available[count++] = device;
        } else if (until_ms < *change_ms) {
            *change_ms = until_ms;
        }
    }
    return count;
}

static enum covey_status make_room(struct covey_simulation *sim, uint32_t count, struct covey_error *err)
{
    if (count <= sim->member_capacity)
        return COVEY_OK;
    free(sim->members);
    free(sim->jobs);
    free(sim->chosen);
    sim->member_capacity = 0;
    sim->members = calloc(count, sizeof *sim->members);
    sim->jobs = calloc(count, sizeof *sim->jobs);
    sim->chosen = calloc(count, sizeof *sim->chosen);
    if (sim->members == NULL || sim->jobs == NULL || sim->chosen == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", count);
    sim->member_capacity = count;
    return COVEY_OK;
}

/* ------------------------------------------------------------------ a round */

static int by_need(const void *a, const void *b)
{
    const struct covey_crew_job *x = a, *y = b;
    if (x->queued != y->queued)
        return x->queued ? -1 : 1;
    if (x->trained_ms != y->trained_ms)
        return x->trained_ms < y->trained_ms ? -1 : 1;
    return x->device < y->device ? -1 : x->device > y->device;
}

static enum covey_status seat(struct covey_simulation *sim, struct covey_error *err)
{
    const uint32_t count = sim->member_count;
    for (uint32_t slot = 0; slot < count; slot++) {
        const uint32_t device = sim->everybody ? sim->chosen[slot] : sim->available[sim->chosen[slot]];
        if (sim->store != NULL)
            COVEY_TRY(covey_personal_store_seat(sim->store, device, err));
        COVEY_TRY(covey_virtual_member_seat(&sim->context, device, slot, &sim->members[slot],
                                            &sim->jobs[slot], err));
    }
    qsort(sim->jobs, count, sizeof *sim->jobs, by_need);
    for (uint32_t i = 0; i < count; i++) {
        struct covey_virtual_member *member = &sim->members[sim->jobs[i].slot];
        member->job = &sim->jobs[i];
        struct covey_clock_event event = {.at_ms = member->plan_ms,
                                          .device = member->device,
                                          .kind = COVEY_MEMBER_PLAN,
                                          .place = member->slot};
        enum covey_status status = COVEY_OK;
        if (member->plan_ms != UINT64_MAX)
            status = covey_clock_post(&sim->clock, &event);
        event.at_ms = member->vanish_ms;
        event.kind = COVEY_MEMBER_VANISH;
        if (status == COVEY_OK && member->vanish_ms != UINT64_MAX)
            status = covey_clock_post(&sim->clock, &event);
        if (status != COVEY_OK)
            return covey_fail(err, status, "no memory for the events of a round");
    }
    return COVEY_OK;
}

static enum covey_status open_round(struct covey_simulation *sim, const struct covey_round_action *action,
                                    uint32_t available, struct covey_error *err)
{
    const uint32_t choose = action->choose < available ? action->choose : available;
    const uint64_t *ids = sim->everybody ? sim->fleet.ids : sim->available_ids;
    sim->opening = *action;
    sim->opened_ms = sim->clock.now_ms;
    if (sim->first_opened_s == 0)
        sim->first_opened_s = wall_s();
    COVEY_TRY(make_room(sim, choose, err));
    COVEY_TRY(
        covey_cohort_select(sim->server.recipe.seed, action->round, ids, available, choose, sim->chosen));
    sim->member_count = choose;
    sim->context.deadline_ms = sim->clock.now_ms + action->deadline_ms;
    COVEY_TRY(covey_virtual_server_open(&sim->server, action->round, choose, err));
    covey_clock_clear(&sim->clock);
    COVEY_TRY(seat(sim, err));
    const struct covey_crew_round round = {
        .round = action->round,
        .published = sim->server.published,
        .model = &sim->server.model,
        .examine = {&sim->server.terms, &sim->server.model, sim->server.ends, sim->fleet.layout.update_count},
        .aggregation = sim->server.aggregation,
        .deadline_ms = sim->context.deadline_ms,
        .certain = action->goal >= choose,
        .sequence = sim->server.sequence};
    covey_crew_begin(sim->crew, &round, sim->jobs, choose);
    return COVEY_OK;
}

static void show_progress(struct covey_simulation *sim, uint32_t done)
{
    if (sim->options.on_progress == NULL)
        return;
    const double now_s = wall_s();
    if (now_s - sim->progress_s < PROGRESS_S)
        return;
    sim->progress_s = now_s;
    sim->options.on_progress(sim->options.user, sim->opening.round, done, sim->member_count,
                             (double)sim->clock.now_ms / 1000);
}

/* An update is with the server. *event: what its machine is told. */
static enum covey_status take_in(struct covey_simulation *sim, struct covey_virtual_member *member,
                                 struct covey_round_event *event, struct covey_error *err)
{
    struct covey_crew_job *job = member->job;
    *event = (struct covey_round_event){
        .kind = COVEY_EVENT_RECORDED, .round = sim->opening.round, .slot = member->slot};
    if (job->examined != COVEY_OK) {
        member->refused = true;
        event->kind = COVEY_EVENT_LOST;
        return COVEY_OK;
    }
    COVEY_TRY(covey_crew_fold(sim->crew, job, err));
    member->recorded = true;
    if (sim->store != NULL)
        covey_personal_store_keep(sim->store, member->device, sim->server.sequence);
    return COVEY_OK;
}

/* Steps the server's machine; what it wants done is in actions. */
static void step_server(struct covey_simulation *sim, const struct covey_round_event *event,
                        struct covey_round_actions *actions)
{
    covey_server_round_step(sim->server.machine, event, sim->clock.now_ms, actions);
}

static enum covey_status handle(struct covey_simulation *sim, const struct covey_clock_event *event,
                                struct covey_round_actions *actions, struct covey_error *err)
{
    struct covey_round_event told = {.kind = COVEY_EVENT_TICK};
    struct covey_virtual_member *member = &sim->members[event->place];
    bool tell = event->kind == COVEY_MEMBER_SERVER;
    actions->count = 0;
    if (event->kind == COVEY_MEMBER_SENT && !member->gone && sim->clock.now_ms < sim->context.deadline_ms) {
        COVEY_TRY(take_in(sim, member, &told, err));
        tell = true;
    }
    if (event->kind != COVEY_MEMBER_SERVER)
        COVEY_TRY(covey_virtual_member_step(&sim->context, member, event, member->recorded, err));
    if (tell)
        step_server(sim, &told, actions);
    return COVEY_OK;
}

/* Until the machine wants the round closed or abandoned. */
static enum covey_status play(struct covey_simulation *sim, struct covey_round_actions *actions,
                              struct covey_error *err)
{
    struct covey_clock_event event = {
        .at_ms = sim->context.deadline_ms, .device = COVEY_CLOCK_SERVER, .kind = COVEY_MEMBER_SERVER};
    uint32_t done = 0;
    if (covey_clock_post(&sim->clock, &event) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for an event");
    actions->count = 0;
    while (actions->count == 0 && covey_clock_next(&sim->clock, &event)) {
        COVEY_TRY(handle(sim, &event, actions, err));
        done += event.kind == COVEY_MEMBER_SENT;
        show_progress(sim, done);
    }
    return COVEY_OK;
}

static enum covey_status judge(struct covey_simulation *sim, struct covey_error *err)
{
    double loss = 0, right = 0;
    uint64_t count = 0;
    if (sim->judged || sim->test_part_count == 0)
        return COVEY_OK;
    COVEY_TRY(covey_crew_evaluate(sim->crew, sim->server.published, sim->test_parts, sim->test_part_count,
                                  sim->scores, err));
    for (uint32_t i = 0; i < sim->test_part_count; i++) {
        const struct covey_score *score = &sim->scores[i];
        const double n = score->examples;
        count += score->examples;
        loss += score->loss * n;
        right += sim->fleet.metric_is_error ? score->rmse * score->rmse * n : score->accuracy * n;
    }
    sim->loss = loss / (double)count;
    sim->metric = right / (double)count;
    if (sim->fleet.metric_is_error)
        sim->metric = sqrt(sim->metric);
    sim->judged = true;
    return COVEY_OK;
}

/* The round is over: its devices are counted, the model steps forward or stays. */
static enum covey_status close_round(struct covey_simulation *sim, const struct covey_round_action *action,
                                     struct covey_sim_round *row, struct covey_error *err)
{
    uint32_t folded = 0;
    COVEY_TRY(covey_crew_end(sim->crew, &folded, err));
    *row = (struct covey_sim_round){.round = action->round,
                                    .abandoned = action->kind == COVEY_ACTION_ABANDON,
                                    .loss = (double)NAN,
                                    .metric = (double)NAN};
    covey_virtual_tally_round(&sim->tally, sim->world, &sim->context, sim->members, sim->member_count, row);
    if (row->abandoned) {
        covey_virtual_server_abandon(&sim->server);
    } else {
        if (folded != row->updates)
            return covey_fail(err, COVEY_STATE, "round %u: %u updates were folded, %u arrived", action->round,
                              folded, row->updates);
        COVEY_TRY(covey_virtual_server_close(&sim->server, err));
        sim->judged = false;
    }
    row->model = sim->server.model;
    row->virtual_s = (double)sim->clock.now_ms / 1000;
    return COVEY_OK;
}

static bool wants_judging(const struct covey_simulation *sim)
{
    struct covey_round_view view;
    covey_server_round_view(sim->server.machine, &view);
    const int64_t every = sim->scenario->evaluate_every > 0 ? sim->scenario->evaluate_every : 1;
    return view.completed % (uint64_t)every == 0 || view.completed == sim->server.rules.stop_rounds;
}

static enum covey_status report_round(struct covey_simulation *sim, struct covey_sim_round *row,
                                      struct covey_error *err)
{
    row->wall_s = wall_s() - sim->started_s;
    covey_virtual_tally_note(&sim->tally, row, sim->server.rules.lower_is_better);
    if (sim->outcome != NULL)
        COVEY_TRY(covey_outcome_round(sim->outcome, row, err));
    if (sim->options.on_round != NULL)
        sim->options.on_round(sim->options.user, row);
    return COVEY_OK;
}

/* From the opening to the next gathering. */
static enum covey_status run_round(struct covey_simulation *sim, const struct covey_round_action *open,
                                   uint32_t available, struct covey_error *err)
{
    struct covey_round_actions actions;
    struct covey_sim_round row;
    COVEY_TRY(open_round(sim, open, available, err));
    step_server(sim,
                &(struct covey_round_event){
                    .kind = COVEY_EVENT_OPENED, .round = open->round, .slots = sim->member_count},
                &actions);
    if (actions.count == 0)
        COVEY_TRY(play(sim, &actions, err));
    if (actions.count == 0)
        return covey_fail(err, COVEY_STATE, "round %u came to no end", open->round);
    COVEY_TRY(close_round(sim, &actions.items[0], &row, err));
    covey_clock_clear(&sim->clock);
    if (!row.abandoned) {
        step_server(sim, &(struct covey_round_event){.kind = COVEY_EVENT_STORED, .round = open->round},
                    &actions);
        if (wants_judging(sim)) {
            COVEY_TRY(judge(sim, err));
            row.loss = sim->judged ? sim->loss : (double)NAN;
            row.metric = sim->judged ? sim->metric : (double)NAN;
        }
    }
    COVEY_TRY(report_round(sim, &row, err));
    for (uint32_t i = 0; i < actions.count; i++)
        sim->ended |= actions.items[i].kind == COVEY_ACTION_END;
    struct covey_round_view view;
    covey_server_round_view(sim->server.machine, &view);
    if (view.phase == COVEY_PHASE_JUDGING) {
        const double value = sim->scenario->watch_loss ? row.loss : row.metric;
        step_server(
            sim,
            &(struct covey_round_event){.kind = COVEY_EVENT_JUDGED, .round = open->round, .value = value},
            &actions);
        for (uint32_t i = 0; i < actions.count; i++)
            sim->ended |= actions.items[i].kind == COVEY_ACTION_END;
    }
    return COVEY_OK;
}

/* Waits, in virtual time, until a round can open. */
static enum covey_status gather(struct covey_simulation *sim, struct covey_error *err)
{
    const uint64_t from_ms = sim->clock.now_ms;
    while (!sim->ended && !sim->stop) {
        struct covey_round_actions actions;
        uint64_t change_ms;
        const uint32_t available = count_available(sim, &change_ms);
        step_server(sim, &(struct covey_round_event){.kind = COVEY_EVENT_TICK, .available = available},
                    &actions);
        if (actions.count > 0 && actions.items[0].kind == COVEY_ACTION_OPEN)
            return run_round(sim, &actions.items[0], available, err);
        if (actions.count > 0 && actions.items[0].kind == COVEY_ACTION_END) {
            sim->ended = true;
            return COVEY_OK;
        }
        uint64_t next_ms = covey_server_round_next_ms(sim->server.machine);
        if (next_ms <= sim->clock.now_ms || next_ms == COVEY_ROUND_NO_TIMER)
            next_ms = change_ms > sim->clock.now_ms + GATHER_MS && change_ms != UINT64_MAX
                          ? change_ms
                          : sim->clock.now_ms + GATHER_MS;
        sim->clock.now_ms = next_ms;
        if (sim->clock.now_ms - from_ms > GATHER_LIMIT_MS)
            return covey_fail(
                err, COVEY_STATE,
                "for a year too few devices were there: %u, a round wants %u (selection, availability)",
                available, sim->server.rules.minimum_devices);
    }
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the end */

static enum covey_status store_model(const struct covey_simulation *sim, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/model.safetensors", sim->options.folder) >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%s: the path is too long", sim->options.folder);
    return covey_safetensors_store(path, &sim->fleet.layout, sim->server.published, NULL, err);
}

static void summarise(struct covey_simulation *sim, struct covey_sim_summary *out)
{
    struct rusage usage;
    struct covey_round_view view;
    double training_s, judging_s;
    covey_virtual_tally_summary(&sim->tally, sim->world, (double)sim->clock.now_ms / 1000, out);
    (void)snprintf(out->scenario, sizeof out->scenario, "%s", sim->scenario->name);
    out->scenario_hash = sim->scenario->hash;
    out->model = sim->server.model;
    covey_linalg_describe(out->blas, sizeof out->blas);
    covey_virtual_tally_cpu(out->cpu, sizeof out->cpu);
    covey_server_round_view(sim->server.machine, &view);
    out->rounds = view.completed;
    out->abandoned = view.abandoned;
    out->devices = sim->fleet.devices;
    out->threads = sim->options.threads;
    out->ranks = 1;
    out->accuracy = sim->judged ? sim->metric : (double)NAN;
    out->wall_s = wall_s() - sim->started_s;
    const double rounds_s = wall_s() - sim->first_opened_s;
    out->updates_per_s = sim->first_opened_s > 0 && rounds_s > 0 ? (double)out->updates / rounds_s : 0;
    covey_crew_cpu(sim->crew, &training_s, &judging_s);
    out->training_cpu_s = training_s;
    out->other_cpu_s = process_cpu_s() - sim->loaded_cpu_s - training_s - judging_s;
    (void)getrusage(RUSAGE_SELF, &usage);
    out->peak_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    out->interrupted = sim->stop != 0 && !sim->ended;
}

static enum covey_status finish(struct covey_simulation *sim, struct covey_sim_summary *out,
                                struct covey_error *err)
{
    COVEY_TRY(judge(sim, err));
    if (sim->scenario->devices_judged > 0 && !sim->stop)
        COVEY_TRY(covey_virtual_tally_judge(&sim->tally, sim->crew, &sim->fleet, sim->server.published,
                                            (uint32_t)sim->scenario->devices_judged, err));
    summarise(sim, out);
    if (sim->outcome == NULL)
        return COVEY_OK;
    COVEY_TRY(store_model(sim, err));
    COVEY_TRY(covey_virtual_tally_write(&sim->tally, sim->world, sim->scenario, sim->outcome, err));
    return covey_outcome_summary(sim->outcome, out, err);
}

enum covey_status covey_simulation_run(struct covey_simulation *sim, struct covey_sim_summary *out,
                                       struct covey_error *err)
{
    sim->loaded_cpu_s = process_cpu_s();
    while (!sim->ended && !sim->stop)
        COVEY_TRY(gather(sim, err));
    return finish(sim, out, err);
}
