/* The past, after a start: the last intact model, the rounds that were, the open one with its promises and
 * its updates. What was on the way when the process died ends up as if it had not died, or as if the round
 * had lost some updates. */
#include "federation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/log.h"

struct history {
    struct covey_federation *federation;
    uint32_t model_round;          /* of the newest stored model */
    struct covey_ledger_round row; /* read, not yet replayed: is it the last? */
    bool has_row;
    struct covey_ledger_round last_over; /* newest round that is over */
    bool has_over;
    bool unjudged;                                            /* the newest completed round was not judged */
    struct covey_ledger_round mend[COVEY_LEDGER_KEEP_ROUNDS]; /* rows that a crash left open */
    uint32_t mend_count;
};

static void keep_to_mend(struct history *history, enum covey_ledger_round_state state)
{
    if (history->mend_count == COVEY_LEDGER_KEEP_ROUNDS)
        return;
    struct covey_ledger_round *row = &history->mend[history->mend_count++];
    *row = history->row;
    row->state = state;
    row->closed_ms = row->deadline_ms;
    row->model = history->federation->model;
    row->sequence = state == COVEY_LEDGER_CLOSED ? history->federation->sequence : 0;
    row->train_loss = (double)NAN;
}

/* One row that is over, one way or the other. */
static void replay(struct history *history, enum covey_ledger_round_state state)
{
    struct covey_federation *federation = history->federation;
    const struct covey_ledger_round *row = &history->row;
    if (row->state == COVEY_LEDGER_OPEN)
        keep_to_mend(history, state);
    history->last_over = *row;
    history->has_over = true;
    if (state == COVEY_LEDGER_ABANDONED) {
        covey_server_round_replay_abandoned(federation->machine, row->round);
        return;
    }
    double value = (double)NAN;
    if (row->judged) {
        value = federation->options.watch == COVEY_WATCH_LOSS ? row->loss : row->metric;
        federation->loss = row->loss;
        federation->metric = row->metric;
    }
    federation->train_loss = row->train_loss;
    history->unjudged = !row->judged;
    covey_server_round_replay_completed(federation->machine, row->round, value);
}

/* The row that waits, now that it is known whether another follows. True: it is the open round, to be
 * resumed. */
static bool settle(struct history *history, bool is_last)
{
    if (!history->has_row)
        return false;
    enum covey_ledger_round_state state = history->row.state;
    if (state == COVEY_LEDGER_OPEN && history->row.round <= history->model_round)
        state = COVEY_LEDGER_CLOSED; /* its model was stored, then the process died */
    if (state == COVEY_LEDGER_OPEN && is_last)
        return true;
    replay(history, state == COVEY_LEDGER_OPEN ? COVEY_LEDGER_ABANDONED : state);
    return false;
}

/* The wall clock may have been set back: no deadline is further away than it was. */
static uint64_t moment_of(const struct covey_server *server, int64_t from_ms, int64_t span_ms)
{
    const int64_t left_ms = from_ms + span_ms - covey_server_wall_ms(server);
    return covey_server_now_ms(server) + (uint64_t)(left_ms < 0 ? 0 : left_ms < span_ms ? left_ms : span_ms);
}

static void restore_base(struct covey_federation *federation, const struct covey_ledger_round *row)
{
    struct covey_base *base = covey_federation_base(federation, row->round);
    const int64_t span_ms = covey_federation_lasts(federation)
                                ? (int64_t)covey_round_rules_device_ms(&federation->options.rules)
                                : row->deadline_ms - row->opened_ms;
    *base = (struct covey_base){.sequence = row->base_sequence,
                                .model = row->base_model,
                                .opened_ms = row->opened_ms,
                                .deadline_ms = moment_of(federation->server, row->opened_ms, span_ms)};
    if (row->base_sequence == federation->sequence)
        base->manifest = federation->manifest;
    else if (covey_federation_lasts(federation))
        covey_publish_manifest_of(federation, row->base_sequence, &base->manifest);
}

static bool see_round(void *user, const struct covey_ledger_round *row)
{
    struct history *history = user;
    restore_base(history->federation, row);
    (void)settle(history, false);
    history->row = *row;
    history->has_row = true;
    return true;
}

/* ------------------------------------------------------------------ cohorts */

struct seating {
    struct covey_federation *federation;
    struct covey_slot *slots; /* (capacity), of them (count) */
    uint32_t count, capacity;
    uint32_t round; /* of what is read now */
};

static bool see_assignment(void *user, uint32_t slot, const struct covey_ledger_assignment *assignment)
{
    struct seating *seating = user;
    struct covey_server *server = seating->federation->server;
    uint32_t place;
    if (slot >= seating->count ||
        covey_registry_enter(server->registry, assignment->device, covey_server_wall_ms(server) / 1000,
                             &place) != COVEY_OK)
        return true;
    seating->slots[slot] = (struct covey_slot){.id = assignment->id,
                                               .device = place,
                                               .round = seating->round,
                                               .share = covey_gateways_share(seating->federation, place)};
    return true;
}

/* Of an earlier round: behind the others, unless its device has newer work. */
static bool see_pending(void *user, uint32_t slot, const struct covey_ledger_assignment *assignment)
{
    struct seating *seating = user;
    struct covey_federation *federation = seating->federation;
    struct covey_server *server = federation->server;
    uint32_t place;
    (void)slot;
    if (covey_registry_enter(server->registry, assignment->device, covey_server_wall_ms(server) / 1000,
                             &place) != COVEY_OK)
        return true;
    struct covey_member *member = covey_federation_member(federation, place);
    if (member == NULL || member->slot != COVEY_NO_SLOT)
        return true;
    if (seating->count == seating->capacity) {
        const uint32_t capacity = 2 * seating->capacity + 16;
        struct covey_slot *slots = reallocarray(seating->slots, capacity, sizeof *slots);
        if (slots == NULL)
            return true; /* it will be refused, as if it were too late */
        seating->slots = slots;
        seating->capacity = capacity;
    }
    member->slot = seating->count;
    seating->slots[seating->count++] =
        (struct covey_slot){.id = assignment->id, .device = place, .round = seating->round};
    return true;
}

/* What earlier rounds were still waiting for in this one. */
static enum covey_status seat_pending(struct seating *seating, uint32_t round, struct covey_error *err)
{
    struct covey_federation *federation = seating->federation;
    const uint32_t most = federation->options.rules.staleness_max;
    for (uint32_t i = 0; i < seating->count; i++) {
        struct covey_member *member = covey_federation_member(federation, seating->slots[i].device);
        if (member != NULL)
            member->slot = i;
    }
    for (uint32_t back = 1; back <= most && back < round; back++) {
        seating->round = round - back;
        COVEY_TRY(covey_ledger_each_pending(federation->server->ledger, federation->options.name,
                                            round - back, round, see_pending, seating, err));
    }
    return COVEY_OK;
}

static bool see_standing(void *user, const char *device, const struct covey_device_record *record)
{
    struct covey_federation *federation = user;
    struct covey_server *server = federation->server;
    uint32_t place;
    if (covey_registry_enter(server->registry, device, covey_server_wall_ms(server) / 1000, &place) ==
        COVEY_OK) {
        struct covey_member *member = covey_federation_member(federation, place);
        if (member != NULL)
            member->record = *record;
    }
    return true;
}

/* The cohort of a round from the ledger, as the current one. */
static enum covey_status seat_from_ledger(struct covey_federation *federation,
                                          const struct covey_ledger_round *row, struct covey_error *err)
{
    const bool lasts = covey_federation_lasts(federation);
    if ((row->slots == 0 && !lasts) || row->slots > COVEY_DEVICES)
        return covey_fail(err, COVEY_CORRUPT, "ledger: round %u has %u slots", row->round, row->slots);
    struct seating seating = {federation, calloc(row->slots + 1, sizeof *seating.slots), row->slots,
                              row->slots + 1, row->round};
    if (seating.slots == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", row->slots);
    enum covey_status status = covey_ledger_each_assignment(
        federation->server->ledger, federation->options.name, row->round, see_assignment, &seating, err);
    if (status == COVEY_OK && lasts)
        status = seat_pending(&seating, row->round, err);
    if (status == COVEY_OK)
        status = covey_federation_seat_cohort(federation, row->round, seating.slots, seating.count,
                                              covey_federation_is_asynchronous(federation) ? seating.count
                                                                                           : row->slots);
    if (status != COVEY_OK)
        free(seating.slots);
    return status;
}

/* The round before stays answerable: who asks again whether its update came through, hears so. Where
 * assignments outlive it and none is open after it, its cohort waits for the next one. */
static enum covey_status restore_past(struct covey_federation *federation,
                                      const struct covey_ledger_round *row, bool open,
                                      struct covey_error *err)
{
    struct covey_ledger *ledger = federation->server->ledger;
    COVEY_TRY(seat_from_ledger(federation, row, err));
    for (uint32_t slot = 0; slot < federation->cohort.count; slot++) {
        struct covey_slot *seat = &federation->cohort.slots[slot];
        char name[COVEY_NAME_BYTES];
        covey_registry_name(federation->server->registry, seat->device, name);
        if (covey_ledger_find_update(ledger, name, &seat->id, &seat->body_hash, NULL) == COVEY_OK)
            seat->state = COVEY_SLOT_RECORDED;
    }
    if (open || !covey_federation_lasts(federation))
        covey_federation_retire_cohort(federation);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the open round */

static enum covey_status read_terms(struct covey_federation *federation, uint32_t round,
                                    struct covey_error *err)
{
    struct covey_round_terms *terms = malloc(sizeof *terms);
    if (terms == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the terms of a round");
    uint8_t bytes[COVEY_ROUND_TERMS_BYTES];
    size_t size = sizeof bytes;
    enum covey_status status = covey_ledger_read_grid(federation->server->ledger, federation->options.name,
                                                      round, bytes, &size, err);
    if (status == COVEY_OK)
        status = covey_round_terms_decode((struct covey_bytes){bytes, size}, terms, err);
    if (status == COVEY_OK)
        status = covey_federation_set_terms(federation, terms, err);
    free(terms);
    return status;
}

static enum covey_status resume_machine(struct covey_federation *federation,
                                        const struct covey_ledger_round *row, struct covey_error *err)
{
    const uint32_t slots = federation->cohort.told;
    uint32_t *done = malloc(((size_t)slots + 1) * sizeof *done), done_count = 0;
    if (done == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u slots", slots);
    for (uint32_t slot = 0; slot < slots; slot++) {
        if (federation->cohort.slots[slot].state != COVEY_SLOT_RECORDED)
            continue;
        federation->cohort.slots[slot].told_done = true;
        done[done_count++] = slot;
    }
    const struct covey_round_resume open = {.round = row->round,
                                            .slots = slots,
                                            .goal = row->goal,
                                            .deadline_ms = federation->deadline_ms,
                                            .done = done,
                                            .done_count = done_count};
    enum covey_status status = covey_server_round_resume(federation->machine, &open, err);
    free(done);
    return status;
}

static enum covey_status resume(struct covey_federation *federation, const struct covey_ledger_round *row,
                                struct covey_error *err)
{
    struct covey_server *server = federation->server;
    if (!covey_hash_equal(&row->base_model, &federation->model))
        return covey_fail(err, COVEY_MISMATCH, "its base is not the newest intact model");
    if (federation->options.parent != NULL)
        COVEY_TRY(covey_errand_restore(federation, err));
    COVEY_TRY(read_terms(federation, row->round, err));
    COVEY_TRY(covey_gateways_show_terms(federation, err));
    COVEY_TRY(seat_from_ledger(federation, row, err));
    federation->opened = *row;
    bool damaged = false;
    COVEY_TRY(covey_fold_again(federation, &damaged, err));
    if (damaged)
        covey_log_event(server->options.env.log, COVEY_LOG_ERROR, "update-damaged", "%s", err->text);
    const int64_t left_ms = row->deadline_ms - covey_server_wall_ms(server);
    federation->opened_at_ms = covey_server_now_ms(server);
    federation->deadline_ms = moment_of(server, row->opened_ms, row->deadline_ms - row->opened_ms);
    COVEY_TRY(resume_machine(federation, row, err));
    federation->open = true;
    if (federation->options.parent != NULL)
        federation->errand.state = COVEY_ERRAND_OPEN;
    covey_log_event(server->options.env.log, COVEY_LOG_INFO, "round-resumed",
                    "federation=%s round=%u updates=%u of=%u left_ms=%lld", federation->options.name,
                    row->round, federation->tally.recorded, row->slots,
                    (long long)(left_ms < 0 ? 0 : left_ms));
    return COVEY_OK;
}

/* ------------------------------------------------------------------ models */

static enum covey_status restore_model(struct covey_federation *federation, uint32_t *round, bool *fresh,
                                       struct covey_error *err)
{
    struct covey_server *server = federation->server;
    char folder[COVEY_FILE_PATH_BYTES - 64];
    if ((size_t)snprintf(folder, sizeof folder, "%s/%s", server->options.folder, federation->options.name) >=
        sizeof folder)
        return covey_fail(err, COVEY_LIMIT, "the path %s is too long", server->options.folder);
    COVEY_TRY(covey_model_store_open(folder, NULL, &federation->store, err));
    uint64_t sequence = 0;
    uint32_t damaged = 0;
    enum covey_status status = covey_model_store_latest(federation->store, &sequence, &damaged, err);
    if (damaged > 0)
        covey_log_event(server->options.env.log, COVEY_LOG_ERROR, "model-damaged",
                        "federation=%s files=%u: set aside as %s/*.damaged", federation->options.name,
                        damaged, folder);
    *fresh = status == COVEY_NOT_FOUND;
    *round = 0;
    if (status == COVEY_OK) {
        status = covey_publish_stored(federation, sequence, round, err);
        if (federation->options.parent != NULL)
            *round = 0; /* the parent counts its own rounds */
        return status;
    }
    if (status != COVEY_NOT_FOUND)
        return status;
    if (federation->options.parent != NULL) { /* the first model is yet to come */
        *fresh = false;
        return COVEY_OK;
    }
    if (damaged > 0)
        return covey_fail(err, COVEY_CORRUPT,
                          "no intact model is left in %s: put one back from a copy, or move the "
                          "folder away to begin anew",
                          folder);
    const struct covey_next_model first = {.weights = federation->options.initial};
    return covey_publish_next(federation, &first, err);
}

static enum covey_status mend(struct history *history, struct covey_error *err)
{
    for (uint32_t i = 0; i < history->mend_count; i++) {
        COVEY_TRY(covey_ledger_close_round(history->federation->server->ledger, &history->mend[i], err));
        covey_log_event(history->federation->server->options.env.log, COVEY_LOG_WARNING, "round-mended",
                        "federation=%s round=%u state=%s", history->federation->options.name,
                        history->mend[i].round,
                        history->mend[i].state == COVEY_LEDGER_CLOSED ? "closed" : "abandoned");
    }
    return COVEY_OK;
}

enum covey_status covey_federation_recover(struct covey_federation *federation, struct covey_error *err)
{
    struct covey_server *server = federation->server;
    struct history *history = calloc(1, sizeof *history);
    if (history == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to read the ledger");
    history->federation = federation;
    bool fresh = false;
    enum covey_status status = restore_model(federation, &history->model_round, &fresh, err);
    if (status == COVEY_OK)
        status =
            covey_ledger_each_round(server->ledger, federation->options.name, 0, see_round, history, err);
    if (status == COVEY_OK && fresh && history->has_row)
        status = covey_fail(
            err, COVEY_CORRUPT,
            "the ledger has rounds, but there is no model: put the federation's folder back, or move "
            "the ledger away to begin anew");
    if (status != COVEY_OK)
        goto cleanup;
    server->came_back |= !fresh;
    const bool open = settle(history, true);
    status =
        covey_ledger_each_standing(server->ledger, federation->options.name, see_standing, federation, err);
    if (status == COVEY_OK && history->has_over)
        status = restore_past(federation, &history->last_over, open, err);
    if (status == COVEY_OK)
        covey_publish_older(federation);
    if (status == COVEY_OK && open) {
        struct covey_error reason = {0};
        if (resume(federation, &history->row, &reason) != COVEY_OK) {
            covey_log_event(server->options.env.log, COVEY_LOG_ERROR, "round-not-resumed",
                            "federation=%s round=%u reason=%s", federation->options.name, history->row.round,
                            reason.text);
            federation->open = false;
            replay(history, COVEY_LEDGER_ABANDONED);
        }
    } else if (status == COVEY_OK && history->unjudged && federation->options.has_validation) {
        covey_server_round_resume_unjudged(federation->machine);
    }
    if (status == COVEY_OK)
        status = mend(history, err);
cleanup:
    free(history);
    covey_server_round_view(federation->machine, &federation->view);
    return status;
}
