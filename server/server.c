#include "federation.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "covey/log.h"
#include "device_scores.h"

#define LOOP_WAIT_MS 250  /* between two looks at heartbeats and at who is there */
#define FAREWELL_MS 10000 /* that devices get to fetch the last model, with end_when_done */
#define FAREWELL_LEAST_MS 500
#define PUSH_BATCH 64

/* ------------------------------------------------------------------ clock, waking */

uint64_t covey_server_now_ms(const struct covey_server *server)
{
    return server->options.env.now_ms(server->options.env.user);
}

int64_t covey_server_wall_ms(const struct covey_server *server)
{
    return server->options.env.wall_s(server->options.env.user) * 1000;
}

void covey_server_traffic(const struct covey_server *server, struct covey_traffic *out)
{
    *out = (struct covey_traffic){0};
    if (server->host.ops != NULL)
        server->host.ops->traffic(server->host.host, out);
}

void covey_server_wake(struct covey_server *server)
{
    pthread_mutex_lock(&server->loop_mutex);
    server->woken = true;
    pthread_cond_signal(&server->loop_wake);
    pthread_mutex_unlock(&server->loop_mutex);
}

void covey_server_stop(struct covey_server *server)
{
    pthread_mutex_lock(&server->loop_mutex);
    server->stopping = server->woken = true;
    pthread_cond_signal(&server->loop_wake);
    pthread_mutex_unlock(&server->loop_mutex);
}

/* Until woken, or for wait_ms. True: it is time to stop. */
static bool wait_for_wake(struct covey_server *server, uint64_t wait_ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(wait_ms / 1000);
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&server->loop_mutex);
    while (!server->woken)
        if (pthread_cond_timedwait(&server->loop_wake, &server->loop_mutex, &until) == ETIMEDOUT)
            break;
    server->woken = false;
    const bool stopping = server->stopping;
    pthread_mutex_unlock(&server->loop_mutex);
    return stopping;
}

/* ------------------------------------------------------------------ one federation's machine */

static void perform(struct covey_federation *federation, const struct covey_round_action *action,
                    enum covey_round_event_kind cause)
{
    switch (action->kind) {
    case COVEY_ACTION_OPEN:
        covey_post_opening(federation, action);
        break;
    case COVEY_ACTION_CLOSE:
        covey_post_closing(federation, action);
        break;
    case COVEY_ACTION_ABANDON:
        covey_post_abandoning(federation, action);
        break;
    case COVEY_ACTION_EVALUATE:
        if (cause ==
            COVEY_EVENT_TICK) /* after a restart; otherwise closing has asked for it with its report */
            covey_post_judging(federation, action->round);
        break;
    case COVEY_ACTION_END:
        covey_post_end(federation, action->end);
        break;
    }
}

static void feed(struct covey_federation *federation, const struct covey_round_event *event, uint64_t now_ms)
{
    struct covey_round_actions actions;
    covey_server_round_step(federation->machine, event, now_ms, &actions);
    pthread_mutex_lock(&federation->mutex);
    covey_server_round_view(federation->machine, &federation->view);
    pthread_mutex_unlock(&federation->mutex);
    for (uint32_t i = 0; i < actions.count; i++)
        perform(federation, &actions.items[i], event->kind);
}

/* What others have answered since the last look, in the order in which the machine must hear it. */
struct answers {
    bool opened, closed, judged, rules;
    struct covey_round_event opened_event, closed_event, judged_event;
    struct covey_round_rules new_rules;
};

static void collect(struct covey_federation *federation, struct answers *out)
{
    pthread_mutex_lock(&federation->mutex);
    *out = (struct answers){.opened = federation->opened_answer,
                            .closed = federation->closed_answer,
                            .judged = federation->judged_answer,
                            .rules = federation->rules_order,
                            .new_rules = federation->new_rules};
    out->opened_event = (struct covey_round_event){
        .kind = COVEY_EVENT_OPENED, .round = federation->answer_round, .slots = federation->answer_slots};
    out->closed_event = (struct covey_round_event){
        .kind = federation->answer_stored ? COVEY_EVENT_STORED : COVEY_EVENT_STORE_FAILED,
        .round = federation->answer_round};
    out->judged_event = (struct covey_round_event){
        .kind = COVEY_EVENT_JUDGED, .round = federation->judged_round, .value = federation->judged_value};
    federation->opened_answer = federation->closed_answer = federation->judged_answer =
        federation->rules_order = false;
    pthread_mutex_unlock(&federation->mutex);
}

/* The next slot whose fate the machine has not heard of; false: none. */
static bool next_slot_event(struct covey_federation *federation, uint32_t *scan, uint64_t now_ms,
                            struct covey_round_event *out)
{
    bool found = false;
    pthread_mutex_lock(&federation->mutex);
    for (; *scan < federation->cohort.told && !found; (*scan)++) {
        struct covey_slot *slot = &federation->cohort.slots[*scan];
        const bool expired = slot->state == COVEY_SLOT_WAITING &&
                             covey_federation_is_asynchronous(federation) &&
                             now_ms >= covey_slot_base(federation, slot)->deadline_ms;
        const bool done = slot->state == COVEY_SLOT_RECORDED && !slot->told_done;
        const bool lost = !slot->told_lost && (expired || slot->state == COVEY_SLOT_WITHDRAWN ||
                                               (slot->refused && slot->state == COVEY_SLOT_WAITING));
        if (!done && !lost)
            continue;
        slot->told_done |= done;
        slot->told_lost |= lost;
        *out = (struct covey_round_event){.kind = done ? COVEY_EVENT_RECORDED : COVEY_EVENT_LOST,
                                          .round = federation->cohort.round,
                                          .slot = *scan};
        found = true;
    }
    pthread_mutex_unlock(&federation->mutex);
    return found;
}

static uint32_t count_available(struct covey_federation *federation, uint64_t now_ms, uint32_t *busy)
{
    uint32_t count = 0;
    pthread_mutex_lock(&federation->mutex);
    *busy = covey_federation_busy(federation, now_ms);
    for (uint32_t place = 0; federation->member_count > 0 && place < federation->member_capacity; place++)
        count += covey_federation_is_available(federation, place, now_ms);
    pthread_mutex_unlock(&federation->mutex);
    return count;
}

/* A gateway opens a round when its parent has, and within the parent's deadline. */
static bool may_open(struct covey_federation *federation, uint64_t now_ms)
{
    struct covey_round_rules rules;
    if (federation->options.parent == NULL)
        return true;
    if (!covey_errand_wanted(federation, now_ms, &rules))
        return false;
    covey_server_round_set_rules(federation->machine, &rules);
    return true;
}

static void step_federation(struct covey_federation *federation, uint64_t now_ms)
{
    struct answers answers;
    struct covey_round_event event;
    collect(federation, &answers);
    if (answers.rules)
        covey_server_round_set_rules(federation->machine, &answers.new_rules);
    if (answers.opened)
        feed(federation, &answers.opened_event, now_ms);
    uint32_t scan = 0;
    while (next_slot_event(federation, &scan, now_ms, &event))
        feed(federation, &event, now_ms);
    if (answers.closed)
        feed(federation, &answers.closed_event, now_ms);
    if (answers.judged && federation->view.phase == COVEY_PHASE_JUDGING)
        feed(federation, &answers.judged_event, now_ms);
    event = (struct covey_round_event){.kind = COVEY_EVENT_TICK};
    if (federation->view.phase == COVEY_PHASE_GATHER && may_open(federation, now_ms))
        event.available = count_available(federation, now_ms, &event.busy);
    feed(federation, &event, now_ms);
}

/* ------------------------------------------------------------------ heartbeats */

/* Up to PUSH_BATCH observers from *scan on that have heard nothing for .6 of a heartbeat. */
static uint32_t due_for_push(struct covey_federation *federation, uint64_t now_ms, uint32_t *scan,
                             uint32_t places[PUSH_BATCH])
{
    const uint64_t silence_ms = federation->options.heartbeat_ms * 6ull / 10;
    uint32_t count = 0;
    pthread_mutex_lock(&federation->mutex);
    for (; *scan < federation->member_capacity && count < PUSH_BATCH; (*scan)++) {
        const struct covey_member *member = &federation->members[*scan];
        if (member->observing && now_ms - member->last_push_ms >= silence_ms &&
            covey_registry_is_present(federation->server->registry, *scan))
            places[count++] = *scan;
    }
    pthread_mutex_unlock(&federation->mutex);
    return count;
}

static void beat(struct covey_federation *federation, uint64_t now_ms)
{
    uint32_t places[PUSH_BATCH], scan = 0, count;
    while ((count = due_for_push(federation, now_ms, &scan, places)) > 0)
        for (uint32_t i = 0; i < count; i++)
            covey_federation_push(federation, places[i]);
}

/* ------------------------------------------------------------------ the loop */

struct house_keeping {
    struct covey_work work;
    struct covey_server *server;
};

static void run_house_keeping(struct covey_work *work)
{
    struct covey_server *server = ((struct house_keeping *)work)->server;
    free(work);
    covey_server_keep_house(server);
    atomic_store(&server->status_pending, false);
}

/* At most one of them is queued. */
static void post_house_keeping(struct covey_server *server)
{
    if (atomic_exchange(&server->status_pending, true))
        return;
    struct house_keeping *house = calloc(1, sizeof *house);
    if (house != NULL) {
        *house = (struct house_keeping){{.run = run_house_keeping}, server};
        if (covey_workers_post(server->work, &house->work) == COVEY_OK)
            return;
    }
    free(house);
    atomic_store(&server->status_pending, false);
}

static bool all_ended(struct covey_server *server)
{
    bool ended = true;
    for (uint32_t i = 0; i < server->options.federation_count && ended; i++) {
        pthread_mutex_lock(&server->federations[i].mutex);
        ended = server->federations[i].end_reported;
        pthread_mutex_unlock(&server->federations[i].mutex);
    }
    return ended;
}

/* With end_when_done: every device has gone, or has had time to fetch the last model. That nobody is there
 * says nothing of a server that has just come back: its devices have yet to notice, and wait before they try
 * again.
 */
static bool farewell_is_over(struct covey_server *server, uint64_t now_ms)
{
    uint32_t known, present;
    if (!server->options.end_when_done || !all_ended(server))
        return false;
    if (server->done_since_ms == 0)
        server->done_since_ms = now_ms + 1;
    covey_registry_counts(server->registry, &known, &present);
    const uint64_t since_ms = now_ms + 1 - server->done_since_ms;
    const bool may_be_gone = !server->came_back || now_ms - server->started_ms >= FAREWELL_MS;
    return (present == 0 && may_be_gone && since_ms >= FAREWELL_LEAST_MS) || since_ms >= FAREWELL_MS;
}

static uint64_t wait_ms(struct covey_server *server, uint64_t now_ms)
{
    uint64_t wait = LOOP_WAIT_MS;
    for (uint32_t i = 0; i < server->options.federation_count; i++) {
        const uint64_t next_ms = covey_server_round_next_ms(server->federations[i].machine);
        /* in GATHER the time may have come while devices are still awaited: then arrivals wake the loop */
        if (next_ms > now_ms && next_ms - now_ms < wait)
            wait = next_ms - now_ms;
    }
    return wait;
}

enum covey_status covey_server_run(struct covey_server *server, struct covey_error *err)
{
    if (server->host.ops == NULL)
        return covey_fail(err, COVEY_STATE, "the server has no transport: attach one before it runs");
    bool stopping = false;
    for (uint32_t i = 0; i < server->options.federation_count; i++)
        if (server->federations[i].uplink != NULL)
            COVEY_TRY(covey_uplink_start(server->federations[i].uplink, err));
    while (!stopping) {
        const uint64_t now_ms = covey_server_now_ms(server);
        for (uint32_t i = 0; i < server->options.federation_count; i++)
            step_federation(&server->federations[i], now_ms);
        if (now_ms >= server->next_heartbeat_ms) {
            server->next_heartbeat_ms = now_ms + LOOP_WAIT_MS;
            for (uint32_t i = 0; i < server->options.federation_count; i++)
                beat(&server->federations[i], now_ms);
        }
        if (now_ms >= server->next_status_ms) {
            server->next_status_ms = now_ms + COVEY_STATUS_INTERVAL_MS;
            post_house_keeping(server);
        }
        stopping = farewell_is_over(server, now_ms) || wait_for_wake(server, wait_ms(server, now_ms));
    }
    /* no more work comes in; what is in hand is finished, acknowledged and flushed */
    atomic_store(&server->accepting, false);
    for (uint32_t i = 0; i < server->options.federation_count; i++)
        covey_federation_unpark(&server->federations[i]);
    covey_workers_wait(server->intake);
    for (uint32_t i = 0; i < server->options.federation_count; i++) {
        struct covey_federation *federation = &server->federations[i];
        pthread_mutex_lock(&federation->mutex);
        while (federation->in_flight > 0)
            pthread_cond_wait(&federation->drained, &federation->mutex);
        pthread_mutex_unlock(&federation->mutex);
    }
    covey_workers_wait(server->work);
    covey_workers_wait(server->judge);
    covey_server_keep_house(server);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ orders and views */

enum covey_status covey_server_set_rules(struct covey_server *server, const char *name,
                                         const struct covey_round_rules *rules, struct covey_error *err)
{
    struct covey_federation *federation = covey_federation_find(server, name, strlen(name));
    if (federation == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "there is no federation %s", name);
    struct covey_round_rules checked = *rules;
    checked.lower_is_better =
        federation->options.watch == COVEY_WATCH_LOSS || federation->options.metric_is_error;
    checked.can_judge = federation->options.has_validation;
    covey_errand_rules(federation, &checked);
    checked.least_updates = federation->options.rules.least_updates;
    if (checked.mode != federation->options.rules.mode ||
        checked.late_use != federation->options.rules.late_use ||
        checked.staleness_max != federation->options.rules.staleness_max)
        return covey_fail(err, COVEY_INVALID,
                          "round.mode, late and staleness_max are fixed while the server runs: restart it");
    COVEY_TRY(covey_round_rules_check(&checked, err));
    pthread_mutex_lock(&federation->mutex);
    federation->options.rules = checked;
    federation->new_rules = checked;
    federation->rules_order = true;
    pthread_mutex_unlock(&federation->mutex);
    covey_server_wake(server);
    return COVEY_OK;
}

void covey_server_withdraw(struct covey_server *server, const char *device)
{
    uint32_t place;
    if (covey_registry_find(server->registry, device, &place) != COVEY_OK)
        return;
    for (uint32_t i = 0; i < server->options.federation_count; i++) {
        struct covey_federation *federation = &server->federations[i];
        pthread_mutex_lock(&federation->mutex);
        if (place < federation->member_capacity) {
            struct covey_member *member = &federation->members[place];
            member->joined = member->observing = false;
            member->expected_back_ms = 0;
            struct covey_slot *slot =
                member->slot != COVEY_NO_SLOT ? &federation->cohort.slots[member->slot] : NULL;
            if (slot != NULL && (slot->state == COVEY_SLOT_WAITING || slot->state == COVEY_SLOT_PARKED))
                slot->state = COVEY_SLOT_WITHDRAWN;
        }
        pthread_mutex_unlock(&federation->mutex);
    }
    if (server->host.ops != NULL)
        server->host.ops->drop(server->host.host, device);
    covey_log_event(server->options.env.log, COVEY_LOG_WARNING, "device-withdrawn", "device=%s", device);
    covey_server_wake(server);
}

void covey_server_view(struct covey_server *server, struct covey_server_view *out)
{
    struct covey_ledger_writer_figures figures;
    *out = (struct covey_server_view){0};
    covey_registry_counts(server->registry, &out->known, &out->present);
    covey_server_traffic(server, &out->traffic);
    covey_ledger_figures(server->ledger, &figures);
    out->ledger_updates = figures.jobs;
    out->ledger_commits = figures.commits;
    out->refused = atomic_load(&server->refused);
    out->done = all_ended(server);
}

uint32_t covey_server_federation_count(const struct covey_server *server)
{
    return server->options.federation_count;
}

void covey_server_federation_view(struct covey_server *server, uint32_t index,
                                  struct covey_federation_view *out)
{
    struct covey_federation *federation = &server->federations[index];
    const uint64_t now_ms = covey_server_now_ms(server);
    *out = (struct covey_federation_view){.now_ms = now_ms};
    uint32_t busy;
    out->available = count_available(federation, now_ms, &busy);
    memcpy(out->name, federation->options.name, sizeof out->name);
    pthread_mutex_lock(&federation->mutex);
    out->round = federation->view;
    out->members = federation->member_count;
    out->sequence = federation->sequence;
    out->model = federation->model;
    out->train_loss = federation->train_loss;
    out->loss = federation->loss;
    out->metric = federation->metric;
    out->update_bytes_up = federation->update_bytes_up;
    out->bytes_up_fp32 = federation->bytes_up_fp32;
    out->round_seconds = (double)federation->round_ms_mean / 1000;
    out->rounds_wanted = federation->options.rules.stop_rounds;
    pthread_mutex_unlock(&federation->mutex);
    (void)covey_device_scores_sum(federation->scores, federation->options.metric_is_error, false,
                                  &out->devices);
}
