/* An update's way into the house; the mirror image of client/upload.c:
 *
 *   shard thread    covey_intake_admit_body  its declared size against what the assignment can need
 *                   covey_intake_put         whose is it, is it wanted: take the slot, copy the bytes, queue
 *   intake thread   decode, verify, admit    message, base model, codec, length, finite, range (examine.c);
 *                                            of a gateway: its sum adds up (examine_partial.c), nobody twice
 *   ledger thread   recorded                 durable: 2.04
 *   fold thread     (fold.c)                 added to the sum
 *
 * Where assignments outlive their round (assignments.c), an upload that comes between two rounds is parked
 * until the next one opens.
 *
 * Identity comes from the session, never from the bytes. A refusal leaves no trace but a count, and the slot
 * free for a better upload until the round is over. */
#include "federation.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/log.h"

#include "examine_partial.h"
#include "inquiry.h"

/* One upload on its way. The body lies behind it. */
struct upload {
    struct covey_work work;            /* intake thread */
    struct covey_ledger_record record; /* ledger thread */
    struct covey_fold_item item;       /* fold thread */
    struct covey_parked parked;        /* between two rounds */
    struct covey_assignment_id parked_id;
    struct covey_federation *federation;
    struct covey_exchange *exchange;
    uint32_t place, slot;
    bool claimed; /* its devices are noted as being in the sum */
    size_t body_bytes;
    uint8_t body[];
};

/* ------------------------------------------------------------------ the end of an upload */

static void let_go(struct upload *upload)
{
    atomic_fetch_sub(&upload->federation->server->intake_bytes, upload->body_bytes);
    free(upload);
}

/* Refused: the slot is free again, nothing is in flight. */
static void refuse(struct upload *upload, uint8_t code, bool for_good, const char *text)
{
    struct covey_federation *federation = upload->federation;
    struct covey_server *server = federation->server;
    char name[COVEY_NAME_BYTES];
    covey_registry_name(server->registry, upload->place, name);
    covey_log_event(server->options.env.log, COVEY_LOG_WARNING, "update-refused",
                    "federation=%s device=%s code=%u.%02u reason=%s", federation->options.name, name,
                    code >> 5, code & 31, text);
    atomic_fetch_add(&server->refused, 1);
    pthread_mutex_lock(&federation->mutex);
    struct covey_slot *slot = &federation->cohort.slots[upload->slot];
    if (slot->state == COVEY_SLOT_TAKEN)
        slot->state = COVEY_SLOT_WAITING;
    slot->refused |= for_good;
    if (upload->claimed)
        covey_contributors_release(&federation->contributors, upload->slot);
    federation->tally.refused++;
    federation->in_flight--;
    if (federation->in_flight == 0)
        pthread_cond_broadcast(&federation->drained);
    pthread_mutex_unlock(&federation->mutex);
    covey_answer(upload->exchange, code, for_good ? 0 : COVEY_BUSY_AGE_S, "%s", text);
    let_go(upload);
    covey_server_wake(server);
}

static void release_item(struct covey_fold_item *item)
{
    let_go((struct upload *)((char *)item - offsetof(struct upload, item)));
}

/* On the ledger's thread: it is durable, or it is not. */
static void recorded(struct covey_ledger_record *record, enum covey_status status,
                     const struct covey_error *err)
{
    struct upload *upload = record->user;
    struct covey_federation *federation = upload->federation;
    if (status != COVEY_OK) {
        refuse(upload, COVEY_CODE_INTERNAL, false, err->text);
        return;
    }
    if (record->outcome == COVEY_LEDGER_CONFLICTING) {
        refuse(upload, COVEY_CODE_CONFLICT, true,
               "another update is recorded under this assignment; it stays");
        return;
    }
    pthread_mutex_lock(&federation->mutex);
    struct covey_slot *slot = &federation->cohort.slots[upload->slot];
    slot->state = COVEY_SLOT_RECORDED;
    slot->body_hash = record->update.body_hash;
    federation->tally.recorded++;
    federation->tally.examples += record->update.examples;
    federation->tally.update_bytes += record->update.stream_bytes;
    federation->tally.loss_sum += record->update.loss_after * (double)record->update.examples;
    const int64_t taken_ms = record->update.received_ms - covey_slot_base(federation, slot)->opened_ms;
    struct covey_device_record *known = &federation->members[slot->device].record;
    known->last_round = record->update.round;
    known->examples = record->update.examples;
    known->taken_ms = taken_ms < 0 ? 0 : (uint32_t)taken_ms;
    known->loss = (float)record->update.loss_before;
    federation->update_bytes_up += record->update.stream_bytes;
    federation->bytes_up_fp32 += 4ull * federation->update_count;
    pthread_mutex_unlock(&federation->mutex);
    covey_exchange_respond(upload->exchange,
                           &(struct covey_response){.code = COVEY_CODE_CHANGED, .content_format = -1});
    covey_fold_post(federation->server->fold, &upload->item);
}

/* ------------------------------------------------------------------ decode, verify, admit */

/* CoAP's word for what was wrong with the bytes. */
static uint8_t code_of(enum covey_status status)
{
    switch (status) {
    case COVEY_MISMATCH:
    case COVEY_NOT_FINITE:
    case COVEY_RANGE:
        return COVEY_CODE_UNPROCESSABLE;
    case COVEY_CONFLICT:
        return COVEY_CODE_CONFLICT;
    case COVEY_NO_MEMORY:
        return COVEY_CODE_UNAVAILABLE;
    case COVEY_LIMIT:
        return COVEY_CODE_TOO_LARGE;
    default:
        return COVEY_CODE_BAD_REQUEST;
    }
}

/* Fills in the ledger's record; its bytes are the upload's own. */
static void prepare_record(struct upload *upload, const struct covey_update *update, double norm)
{
    struct covey_federation *federation = upload->federation;
    struct covey_ledger_update *out = &upload->record.update;
    memcpy(out->federation, federation->options.name, sizeof out->federation);
    covey_registry_name(federation->server->registry, upload->place, out->device);
    out->assignment = update->assignment;
    const struct covey_slot *slot = &federation->cohort.slots[upload->slot];
    out->round = federation->opened.round;
    out->assigned_round = slot->round;
    out->slot = upload->slot;
    out->examples = update->examples;
    out->training_ms = update->training_ms;
    out->stream_bytes = update->stream.size;
    out->loss_before = (double)update->loss_before;
    out->loss_after = (double)update->loss_after;
    out->received_ms = covey_server_wall_ms(federation->server);
    out->body = (struct covey_bytes){upload->body, upload->body_bytes};
    upload->record.done = recorded;
    upload->record.user = upload;
    upload->item.federation = federation;
    upload->item.slot = upload->slot;
    upload->item.staleness = covey_slot_staleness(federation, slot);
    const double weight = covey_round_terms_weigh(&federation->terms, update, norm, &upload->item.weighed);
    upload->item.contribution =
        (struct covey_contribution){update->stream, weight * covey_staleness_weight(upload->item.staleness),
                                    covey_registry_id(federation->server->registry, upload->place)};
    upload->item.partial = slot->share > 0;
    upload->item.release = release_item;
}

/* A device's update, or a gateway's sum as if it were one: its stream is the sum. *who: those in the sum. */
static enum covey_status examine(const struct upload *upload, struct covey_update *out, double *norm,
                                 struct covey_bytes *who, struct covey_error *err)
{
    const struct covey_federation *federation = upload->federation;
    const struct covey_slot *slot = &federation->cohort.slots[upload->slot];
    const struct covey_bytes body = {upload->body, upload->body_bytes};
    /* neither the slot's id, share and base nor the terms change while it is in flight */
    const struct covey_examine_round round = {&federation->terms, &covey_slot_base(federation, slot)->model,
                                              federation->ends, federation->update_count};
    *who = (struct covey_bytes){NULL, 0};
    if (slot->share == 0)
        return covey_examine_update(&round, &slot->id, body, out, norm, err);
    const struct covey_partial_order order = {
        .assignment = &slot->id,
        .terms = &federation->terms_hash,
        .share = slot->share,
        .kept = covey_round_state_part(&federation->state, COVEY_STATE_STRATEGY)};
    struct covey_partial_sum partial;
    uint32_t examples = 0;
    COVEY_TRY(covey_examine_partial(&round, &order, body, &partial, &examples, err));
    *out = (struct covey_update){.assignment = partial.assignment,
                                 .model = partial.model,
                                 .examples = examples,
                                 .loss_before = partial.loss_before,
                                 .loss_after = partial.loss_after,
                                 .stream = partial.sum};
    *who = partial.contributors;
    return COVEY_OK;
}

/* Where there are gateways: nobody is in the sum twice. */
static enum covey_status claim(struct upload *upload, struct covey_bytes who, struct covey_error *err)
{
    struct covey_federation *federation = upload->federation;
    char name[COVEY_NAME_BYTES];
    if (federation->options.gateway_count == 0)
        return COVEY_OK;
    covey_registry_name(federation->server->registry, upload->place, name);
    pthread_mutex_lock(&federation->mutex);
    const enum covey_status status =
        covey_contributors_claim(&federation->contributors, upload->slot, name, who, err);
    upload->claimed = status == COVEY_OK;
    pthread_mutex_unlock(&federation->mutex);
    return status;
}

static void run_upload(struct covey_work *work)
{
    struct upload *upload = (struct upload *)work;
    struct covey_federation *federation = upload->federation;
    struct covey_update update;
    struct covey_bytes who;
    struct covey_error err = {0};
    double norm = -1;
    enum covey_status status = examine(upload, &update, &norm, &who, &err);
    if (status == COVEY_OK)
        status = claim(upload, who, &err);
    if (status != COVEY_OK) {
        refuse(upload, code_of(status), status != COVEY_NO_MEMORY,
               err.text[0] != '\0' ? err.text : covey_status_text(status));
        return;
    }
    prepare_record(upload, &update, norm);
    if (covey_ledger_record(federation->server->ledger, &upload->record) != COVEY_OK)
        refuse(upload, COVEY_CODE_UNAVAILABLE, false, "the ledger is busy");
}

/* ------------------------------------------------------------------ from the shard's thread */

/* Takes memory for a body of that size, if there is some; one may always come in. */
static struct upload *take_memory(struct covey_server *server, const struct covey_incoming *incoming)
{
    const uint64_t size = incoming->body.size;
    const uint64_t before = atomic_fetch_add(&server->intake_bytes, size);
    struct upload *upload = NULL;
    if (before == 0 || before + size <= server->options.intake_memory_bytes)
        upload = malloc(sizeof *upload + incoming->body.size);
    if (upload == NULL) {
        atomic_fetch_sub(&server->intake_bytes, size);
        return NULL;
    }
    memset(upload, 0, sizeof *upload);
    upload->body_bytes = incoming->body.size;
    memcpy(upload->body, incoming->body.data, incoming->body.size);
    return upload;
}

/* Gives the slot to this upload, if it is still to be had. */
static enum covey_standing take_slot(struct covey_federation *federation, uint32_t place,
                                     const struct covey_assignment_id *id, uint32_t *slot,
                                     struct covey_hash *hash)
{
    pthread_mutex_lock(&federation->mutex);
    const enum covey_standing standing = covey_standing_of(federation, place, id, hash);
    if (standing == COVEY_STANDING_OPEN) {
        *slot = federation->members[place].slot;
        federation->cohort.slots[*slot].state = COVEY_SLOT_TAKEN;
        federation->in_flight++;
    }
    pthread_mutex_unlock(&federation->mutex);
    return standing;
}

static void give_slot_back(struct covey_federation *federation, uint32_t slot)
{
    pthread_mutex_lock(&federation->mutex);
    federation->cohort.slots[slot].state = COVEY_SLOT_WAITING;
    federation->in_flight--;
    if (federation->in_flight == 0)
        pthread_cond_broadcast(&federation->drained);
    pthread_mutex_unlock(&federation->mutex);
}

static struct upload *make_upload(struct covey_federation *federation, uint32_t place,
                                  const struct covey_incoming *incoming, struct covey_exchange *exchange)
{
    struct upload *upload = take_memory(federation->server, incoming);
    if (upload != NULL) {
        upload->work.run = run_upload;
        upload->federation = federation;
        upload->exchange = exchange;
        upload->place = place;
        upload->record.update.body_hash = *incoming->body_hash;
    }
    return upload;
}

static void start(struct covey_federation *federation, uint32_t place, uint32_t slot,
                  const struct covey_incoming *incoming, struct covey_exchange *exchange)
{
    struct upload *upload = make_upload(federation, place, incoming, exchange);
    if (upload != NULL) {
        upload->slot = slot;
        if (covey_workers_post(federation->server->intake, &upload->work) == COVEY_OK)
            return;
        let_go(upload);
    }
    give_slot_back(federation, slot);
    covey_answer(exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S,
                 "the server has too many updates in hand");
}

/* A round is open now, or there will be none: the upload goes on, or hears why not. */
static void go_on(struct covey_parked *parked)
{
    struct upload *upload = (struct upload *)((char *)parked - offsetof(struct upload, parked));
    struct covey_federation *federation = upload->federation;
    bool wanted = false, posted = false;
    pthread_mutex_lock(&federation->mutex);
    const uint32_t place = federation->members[upload->place].slot;
    if (place != COVEY_NO_SLOT &&
        covey_same_assignment(&federation->cohort.slots[place].id, &upload->parked_id) &&
        federation->cohort.slots[place].state == COVEY_SLOT_PARKED) {
        wanted = federation->open;
        federation->cohort.slots[place].state = wanted ? COVEY_SLOT_TAKEN : COVEY_SLOT_WAITING;
        federation->in_flight += wanted;
        upload->slot = place;
    }
    pthread_mutex_unlock(&federation->mutex);
    if (wanted)
        posted = covey_workers_post(federation->server->intake, &upload->work) == COVEY_OK;
    if (posted)
        return;
    if (wanted)
        give_slot_back(federation, upload->slot);
    if (wanted || !atomic_load(&federation->server->accepting))
        covey_answer(upload->exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S, "the server is busy");
    else
        covey_answer(upload->exchange, COVEY_CODE_FORBIDDEN, 0, "it is too late: ask for the plan");
    let_go(upload);
}

static void park(struct covey_federation *federation, uint32_t place, const struct covey_assignment_id *id,
                 const struct covey_incoming *incoming, struct covey_exchange *exchange)
{
    struct covey_hash there;
    struct upload *upload = make_upload(federation, place, incoming, exchange);
    if (upload == NULL) {
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S,
                     "the server has too many updates in hand");
        return;
    }
    upload->parked.go_on = go_on;
    upload->parked_id = *id;
    pthread_mutex_lock(&federation->mutex);
    const bool parked = covey_standing_of(federation, place, id, &there) == COVEY_STANDING_EARLY &&
                        atomic_load(&federation->server->accepting);
    if (parked) {
        federation->cohort.slots[federation->members[place].slot].state = COVEY_SLOT_PARKED;
        covey_federation_park(federation, &upload->parked);
    }
    pthread_mutex_unlock(&federation->mutex);
    if (parked)
        return;
    let_go(upload); /* a round was opened in between */
    covey_answer(exchange, COVEY_CODE_UNAVAILABLE, 1, "a round opens just now");
}

/* Of one message of this participant. With the mutex held. */
static size_t body_limit(const struct covey_federation *federation, uint32_t place)
{
    uint32_t share = 0;
    if (federation->options.gateway_count > 0 && place < federation->member_capacity) {
        const struct covey_member *member = &federation->members[place];
        if (member->slot != COVEY_NO_SLOT)
            share = federation->cohort.slots[member->slot].share;
        else if (member->past_slot != COVEY_NO_SLOT)
            share = federation->past.slots[member->past_slot].share;
    }
    return share == 0
               ? federation->update_limit_bytes
               : COVEY_PARTIAL_HEAD_BYTES + (size_t)share * COVEY_CONTRIBUTOR_BYTES + federation->sum_bytes;
}

void covey_intake_put(struct covey_federation *federation, uint32_t place,
                      const struct covey_assignment_id *id, const struct covey_incoming *incoming,
                      struct covey_exchange *exchange)
{
    uint32_t slot = COVEY_NO_SLOT;
    struct covey_hash there;
    if (incoming->body.size == 0 || incoming->body_hash == NULL) {
        covey_answer(exchange, COVEY_CODE_BAD_REQUEST, 0, "an update without bytes");
        return;
    }
    pthread_mutex_lock(&federation->mutex);
    const size_t limit = body_limit(federation, place);
    pthread_mutex_unlock(&federation->mutex);
    if (incoming->body.size > limit) {
        covey_answer(exchange, COVEY_CODE_TOO_LARGE, 0, "%zu bytes: an update here has at most %zu",
                     incoming->body.size, limit);
        return;
    }
    switch (take_slot(federation, place, id, &slot, &there)) {
    case COVEY_STANDING_OPEN:
        start(federation, place, slot, incoming, exchange);
        break;
    case COVEY_STANDING_EARLY:
        park(federation, place, id, incoming, exchange);
        break;
    case COVEY_STANDING_TAKEN:
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, 1, "this update is being recorded already");
        break;
    case COVEY_STANDING_RECORDED:
        covey_answer_recorded(exchange, &there, incoming->body_hash);
        break;
    case COVEY_STANDING_OVER:
        covey_answer(exchange, COVEY_CODE_FORBIDDEN, 0, "the round is over: ask for the plan");
        break;
    case COVEY_STANDING_UNKNOWN:
        covey_inquire(federation, place, id, incoming->body_hash, exchange);
        break;
    }
}

uint8_t covey_intake_admit_body(struct covey_federation *federation, uint32_t place,
                                const struct covey_assignment_id *id, uint64_t body_bytes)
{
    struct covey_hash there;
    pthread_mutex_lock(&federation->mutex);
    const enum covey_standing standing = covey_standing_of(federation, place, id, &there);
    const size_t limit = body_limit(federation, place);
    pthread_mutex_unlock(&federation->mutex);
    if (body_bytes == 0)
        return COVEY_CODE_BAD_REQUEST;
    if (body_bytes > limit)
        return COVEY_CODE_TOO_LARGE;
    switch (standing) {
    case COVEY_STANDING_OPEN:
    case COVEY_STANDING_EARLY:
    case COVEY_STANDING_TAKEN:
    case COVEY_STANDING_RECORDED:
        return 0;
    case COVEY_STANDING_OVER:
        return COVEY_CODE_FORBIDDEN;
    default:
        return COVEY_CODE_NOT_FOUND;
    }
}
