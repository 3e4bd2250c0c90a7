/* One round in virtual time. */
#include "simulation_parts.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "virtual_cohort.h"

#define GATHER_MS 60000                     /* between two looks at who is there, when too few are */
#define GATHER_LIMIT_MS (366ull * 86400000) /* nobody came for so long: it is over */
#define PROGRESS_S 0.2
#define ABANDONED_IN_A_ROW 100 /* then it will not get better */

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
        if (sim->busy != NULL && sim->busy[device])
            continue;
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

#define SEATS 64 /* that one thread takes at a time */

struct seating {
    struct covey_simulation *sim;
    atomic_uint failures;
};

static uint32_t chosen_device(const struct covey_simulation *sim, uint32_t slot)
{
    return sim->everybody ? sim->chosen[slot] : sim->available[sim->chosen[slot]];
}

static void seat_some(void *user, uint32_t worker, uint32_t index)
{
    struct seating *seating = user;
    struct covey_simulation *sim = seating->sim;
    const uint32_t first = index * SEATS, left = sim->fresh_count - first;
    (void)worker;
    for (uint32_t slot = first; slot < first + (left < SEATS ? left : SEATS); slot++)
        if (covey_virtual_member_seat(&sim->context, chosen_device(sim, slot), slot, &sim->members[slot],
                                      &sim->jobs[slot], NULL) != COVEY_OK)
            atomic_fetch_add(&seating->failures, 1);
}

static enum covey_status seat(struct covey_simulation *sim, struct covey_error *err)
{
    const uint32_t count = sim->fresh_count;
    struct seating seating = {.sim = sim};
    for (uint32_t slot = 0; slot < count && sim->store != NULL; slot++)
        COVEY_TRY(covey_personal_store_seat(sim->store, chosen_device(sim, slot), err));
    covey_crew_each(sim->crew, (count + SEATS - 1) / SEATS, seat_some, &seating);
    if (atomic_load(&seating.failures) > 0) /* once more, for the reason */
        return covey_virtual_member_seat(&sim->context, chosen_device(sim, 0), 0, &sim->members[0],
                                         &sim->jobs[0], err) == COVEY_OK
                   ? covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", count)
                   : COVEY_STATE;
    qsort(sim->jobs, sim->member_count, sizeof *sim->jobs, by_need);
    covey_simulation_deal(sim);
    for (uint32_t i = 0; i < sim->member_count; i++) {
        struct covey_virtual_member *member = &sim->members[sim->jobs[i].slot];
        member->job = &sim->jobs[i];
        if (member->slot >= count)
            continue; /* its events are on the clock */
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
    const struct covey_candidates candidates = {.ids = sim->everybody ? sim->fleet.ids : sim->available_ids,
                                                .places = sim->everybody ? NULL : sim->available,
                                                .records = sim->records,
                                                .count = available};
    sim->opening = *action;
    sim->opened_ms = sim->clock.now_ms;
    if (sim->first_opened_s == 0)
        sim->first_opened_s = covey_simulation_wall_s();
    if (covey_simulation_lasts(sim))
        COVEY_TRY(covey_simulation_carry(sim, choose, err));
    else
        COVEY_TRY(make_room(sim, choose, err));
    COVEY_TRY(covey_virtual_cohort_select(sim->crew, &action->selection, sim->server.recipe.seed,
                                          action->round, &candidates, choose, sim->chosen));
    sim->fresh_count = choose;
    if (!covey_simulation_lasts(sim)) {
        sim->member_count = choose;
        covey_clock_clear(&sim->clock);
    }
    sim->deadline_ms = sim->clock.now_ms + action->deadline_ms;
    sim->context.deadline_ms = sim->clock.now_ms + covey_round_rules_device_ms(&sim->server.rules);
    COVEY_TRY(covey_virtual_server_open(&sim->server, action->round, sim->member_count, err));
    COVEY_TRY(covey_simulation_base(sim, err));
    for (uint32_t slot = 0; slot < choose && sim->records != NULL; slot++)
        sim->records[chosen_device(sim, slot)].chosen++;
    COVEY_TRY(seat(sim, err));
    const struct covey_crew_round round = {
        .round = action->round,
        .base = sim->context.base,
        .examine = {&sim->server.terms, &sim->server.model, sim->server.ends, sim->fleet.layout.update_count},
        .aggregation = sim->server.aggregation,
        .deadline_ms = sim->deadline_ms,
        .certain = action->goal >= choose && !covey_simulation_lasts(sim)};
    COVEY_TRY(covey_crew_spy(sim->crew, &round, sim->jobs, sim->member_count, err));
    covey_crew_begin(sim->crew, &round, sim->jobs, sim->member_count);
    return covey_simulation_share_jobs(sim, err);
}

static void show_progress(struct covey_simulation *sim, uint32_t done)
{
    if (sim->options.on_progress == NULL)
        return;
    const double now_s = covey_simulation_wall_s();
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
    if (covey_simulation_lasts(sim))
        COVEY_TRY(covey_crew_examine(sim->crew, job, err));
    if (job->examined != COVEY_OK) {
        member->refused = true;
        event->kind = COVEY_EVENT_LOST;
        return COVEY_OK;
    }
    job->staleness = (uint32_t)(sim->server.sequence - job->base->sequence);
    COVEY_TRY(covey_crew_fold(sim->crew, job, err));
    covey_staleness_add(&sim->server.staleness, (double)job->weighed.examples, job->staleness);
    covey_weighting_add(&sim->server.terms.weighting, &job->weighed, &sim->server.weighting);
    member->recorded = true;
    if (sim->records != NULL) {
        struct covey_device_record *known = &sim->records[member->device];
        known->last_round = sim->opening.round;
        known->examples = job->examples;
        known->taken_ms = (uint32_t)(sim->clock.now_ms - member->seated_ms);
        known->loss = (float)job->loss_before;
    }
    if (sim->store != NULL)
        covey_personal_store_keep(sim->store, member->device, job->base->sequence);
    return COVEY_OK;
}

/* Steps the server's machine; what it wants done is in actions. */
static void step_server(struct covey_simulation *sim, const struct covey_round_event *event,
                        struct covey_round_actions *actions)
{
    covey_server_round_step(sim->server.machine, event, sim->clock.now_ms, actions);
}

/* Members that the server's machine knows of. */
static uint32_t told_count(const struct covey_simulation *sim)
{
    return sim->server.rules.mode == COVEY_ROUND_ASYNCHRONOUS ? sim->member_count : sim->fresh_count;
}

static enum covey_status handle(struct covey_simulation *sim, const struct covey_clock_event *event,
                                struct covey_round_actions *actions, struct covey_error *err)
{
    struct covey_round_event told = {.kind = COVEY_EVENT_TICK};
    struct covey_virtual_member *member = &sim->members[event->place];
    bool tell = event->kind == COVEY_MEMBER_SERVER;
    actions->count = 0;
    const uint64_t deadline_ms = covey_simulation_lasts(sim) ? member->deadline_ms : sim->deadline_ms;
    if (event->kind == COVEY_MEMBER_SENT && !member->gone && sim->clock.now_ms < deadline_ms) {
        COVEY_TRY(take_in(sim, member, &told, err));
        /* what is late in synchronous rounds is of none of the machine's places */
        tell = member->slot < told_count(sim);
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
        .at_ms = sim->deadline_ms, .device = COVEY_CLOCK_SERVER, .kind = COVEY_MEMBER_SERVER};
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

static void tell_updates(const struct covey_simulation *sim, uint32_t round)
{
    for (uint32_t slot = 0; slot < sim->member_count && sim->options.on_update != NULL; slot++) {
        const struct covey_virtual_member *member = &sim->members[slot];
        if (member->recorded)
            sim->options.on_update(sim->options.user,
                                   &(struct covey_sim_update){.round = round,
                                                              .device = member->device,
                                                              .training_ms = member->training_ms,
                                                              .fetch_ms = member->fetch_ms,
                                                              .send_ms = member->send_ms});
    }
}

/* The round is over: its devices are counted, the model steps forward or stays. */
static enum covey_status close_round(struct covey_simulation *sim, const struct covey_round_action *action,
                                     struct covey_sim_round *row, struct covey_error *err)
{
    uint32_t folded = 0;
    covey_simulation_keep(sim);
    COVEY_TRY(covey_crew_end(sim->crew, &folded, err));
    *row = (struct covey_sim_round){.round = action->round,
                                    .abandoned = action->kind == COVEY_ACTION_ABANDON,
                                    .loss = (double)NAN,
                                    .metric = (double)NAN,
                                    .devices_metric = (double)NAN,
                                    .worst_decile = (double)NAN};
    covey_virtual_tally_round(&sim->tally, sim->world, &sim->context, sim->members, sim->member_count, row);
    tell_updates(sim, action->round);
    if (row->abandoned) {
        covey_virtual_server_abandon(&sim->server);
    } else {
        COVEY_TRY(covey_simulation_share_sum(sim, &folded, err));
        if (folded != row->updates)
            return covey_fail(err, COVEY_STATE, "round %u: %u updates were folded, %u arrived", action->round,
                              folded, row->updates);
        COVEY_TRY(covey_virtual_server_close(&sim->server, err));
        sim->judged = false;
    }
    row->virtual_s = (double)sim->clock.now_ms / 1000;
    return COVEY_OK;
}

static bool wants_judging(const struct covey_simulation *sim)
{
    struct covey_round_view view;
    covey_server_round_view(sim->server.machine, &view);
    const int64_t every = sim->scenario->evaluate_every > 0 ? sim->scenario->evaluate_every : 1;
    const int64_t from = sim->scenario->evaluate_from;
    return view.completed % (uint64_t)every == 0 || (from > 0 && view.completed >= (uint64_t)from) ||
           view.completed == sim->server.rules.stop_rounds;
}

static enum covey_status report_round(struct covey_simulation *sim, struct covey_sim_round *row,
                                      struct covey_error *err)
{
    row->wall_s = covey_simulation_wall_s() - sim->started_s + sim->earlier_s;
    covey_virtual_tally_note(&sim->tally, row, sim->fleet.metric_is_error);
    if (sim->outcome != NULL)
        COVEY_TRY(covey_outcome_round(sim->outcome, row, err));
    if (sim->options.on_round != NULL)
        sim->options.on_round(sim->options.user, row);
    return COVEY_OK;
}

/* From the opening to the next gathering. */
static void note_end(struct covey_simulation *sim, const struct covey_round_actions *actions)
{
    for (uint32_t i = 0; i < actions->count; i++)
        sim->ended |= actions->items[i].kind == COVEY_ACTION_END;
}

/* As the plans of a server with evaluation.devices ask, but of devices drawn from all. */
static enum covey_status judge_by_devices(struct covey_simulation *sim, struct covey_sim_round *row,
                                          struct covey_error *err)
{
    const int64_t every = sim->scenario->devices_judged_every, devices = sim->scenario->devices_judged;
    if (every == 0 || devices == 0 || row->round % (uint64_t)every != 0)
        return COVEY_OK;
    COVEY_TRY(covey_virtual_tally_judge(&sim->tally, sim->crew, &sim->fleet, sim->server.published,
                                        (uint32_t)devices, err));
    row->devices_metric = sim->tally.judged.weighted;
    row->worst_decile = sim->tally.judged.worst_decile;
    return COVEY_OK;
}

/* The model is stored: it is judged where the scenario wants it, and the stop rules hear of it. */
static enum covey_status settle_round(struct covey_simulation *sim, struct covey_sim_round *row,
                                      struct covey_error *err)
{
    struct covey_round_actions actions;
    struct covey_round_view view;
    step_server(sim, &(struct covey_round_event){.kind = COVEY_EVENT_STORED, .round = row->round}, &actions);
    note_end(sim, &actions);
    if (wants_judging(sim)) {
        COVEY_TRY(covey_virtual_server_hash(&sim->server, &row->model));
        COVEY_TRY(covey_simulation_judge(sim, err));
        row->loss = sim->judged ? sim->loss : (double)NAN;
        row->metric = sim->judged ? sim->metric : (double)NAN;
    }
    COVEY_TRY(judge_by_devices(sim, row, err));
    covey_server_round_view(sim->server.machine, &view);
    if (view.phase != COVEY_PHASE_JUDGING)
        return COVEY_OK;
    const double value = sim->scenario->watch_loss ? row->loss : row->metric;
    step_server(sim,
                &(struct covey_round_event){.kind = COVEY_EVENT_JUDGED, .round = row->round, .value = value},
                &actions);
    note_end(sim, &actions);
    return COVEY_OK;
}

/* A scenario in which no round succeeds would go on for ever. */
static enum covey_status check_progress(const struct covey_simulation *sim, const struct covey_sim_round *row,
                                        struct covey_error *err)
{
    if (sim->past_count < ABANDONED_IN_A_ROW)
        return COVEY_OK;
    for (uint32_t i = sim->past_count - ABANDONED_IN_A_ROW; i < sim->past_count; i++)
        if (!sim->past[i].abandoned)
            return COVEY_OK;
    return covey_fail(
        err, COVEY_STATE,
        "%d rounds in a row were abandoned; of the last one's %u devices %u delivered, %u were late, "
        "%u dropped out, %u were refused: a longer deadline, faster links, fewer minimum_updates?",
        ABANDONED_IN_A_ROW, row->chosen, row->updates, row->late, row->dropped, row->refused);
}

static enum covey_status run_round(struct covey_simulation *sim, const struct covey_round_action *open,
                                   uint32_t available, struct covey_error *err)
{
    struct covey_round_actions actions;
    struct covey_sim_round row;
    COVEY_TRY(open_round(sim, open, available, err));
    step_server(sim,
                &(struct covey_round_event){
                    .kind = COVEY_EVENT_OPENED, .round = open->round, .slots = told_count(sim)},
                &actions);
    if (actions.count == 0)
        COVEY_TRY(play(sim, &actions, err));
    if (actions.count == 0)
        return covey_fail(err, COVEY_STATE, "round %u came to no end", open->round);
    COVEY_TRY(close_round(sim, &actions.items[0], &row, err));
    if (!covey_simulation_lasts(sim))
        covey_clock_clear(&sim->clock);
    if (!row.abandoned)
        COVEY_TRY(settle_round(sim, &row, err));
    COVEY_TRY(covey_simulation_note_past(sim, row.round, row.abandoned,
                                         sim->scenario->watch_loss ? row.loss : row.metric, err));
    COVEY_TRY(report_round(sim, &row, err));
    return check_progress(sim, &row, err);
}

/* Time passes between two rounds: who still works goes on; what arrives waits for the next round. */
static enum covey_status pass_time(struct covey_simulation *sim, uint64_t until_ms, struct covey_error *err)
{
    const struct covey_clock_event *first;
    struct covey_clock_event event;
    while ((first = covey_clock_first(&sim->clock)) != NULL && first->at_ms < until_ms) {
        (void)covey_clock_next(&sim->clock, &event);
        if (event.kind == COVEY_MEMBER_SERVER || !sim->members[event.place].lasts)
            continue;
        if (event.kind == COVEY_MEMBER_SENT) {
            event.at_ms = until_ms;
            if (covey_clock_post(&sim->clock, &event) != COVEY_OK)
                return covey_fail(err, COVEY_NO_MEMORY, "no memory for an event");
        } else {
            COVEY_TRY(
                covey_virtual_member_step(&sim->context, &sim->members[event.place], &event, false, err));
        }
    }
    sim->clock.now_ms = until_ms;
    return COVEY_OK;
}

enum covey_status covey_simulation_round(struct covey_simulation *sim, struct covey_error *err)
{
    if (sim->clock.now_ms < sim->resume_ms)
        COVEY_TRY(pass_time(sim, sim->resume_ms, err));
    const uint64_t from_ms = sim->clock.now_ms;
    while (!sim->ended && !sim->stop && (sim->stop_wish == 0 || sim->options.ranks != NULL)) {
        struct covey_round_actions actions;
        uint64_t change_ms;
        const uint32_t available = count_available(sim, &change_ms);
        step_server(sim,
                    &(struct covey_round_event){
                        .kind = COVEY_EVENT_TICK, .available = available, .busy = sim->busy_count},
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
        COVEY_TRY(pass_time(sim, next_ms, err));
        if (sim->clock.now_ms - from_ms > GATHER_LIMIT_MS)
            return covey_fail(
                err, COVEY_STATE,
                "for a year too few devices were there: %u, a round wants %u (selection, availability)",
                available, sim->server.rules.minimum_devices);
    }
    return COVEY_OK;
}
