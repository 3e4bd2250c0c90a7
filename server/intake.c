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

#include "covey/device_metrics.h"
#include "device_scores.h"
#include "covey/hash.h"
#include "covey/log.h"

#include "examine_partial.h"

#define BUSY_AGE_S 2

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

/* ------------------------------------------------------------------ whose is it */

enum standing {
    STANDING_OPEN,     /* wanted */
    STANDING_EARLY,    /* wanted, once the next round is open */
    STANDING_TAKEN,    /* the same device is sending it already */
    STANDING_RECORDED, /* there already */
    STANDING_OVER,     /* the round is over, or the device was withdrawn */
    STANDING_UNKNOWN   /* not among the last two rounds' assignments of this device */
};

static bool same_id(const struct covey_assignment_id *a, const struct covey_assignment_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* What this assignment is for this device; *hash when RECORDED. With the mutex held. */
static enum standing standing_of(const struct covey_federation *federation, uint32_t place,
                                 const struct covey_assignment_id *id, struct covey_hash *hash)
{
    if (place >= federation->member_capacity)
        return STANDING_UNKNOWN;
    const struct covey_member *member = &federation->members[place];
    const struct covey_slot *slot = NULL;
    bool open = false, early = false;
    const uint64_t now_ms = covey_server_now_ms(federation->server);
    if (member->slot != COVEY_NO_SLOT && same_id(&federation->cohort.slots[member->slot].id, id)) {
        slot = &federation->cohort.slots[member->slot];
        const bool lasts = covey_slot_lasts(federation, slot, federation->cohort.round, now_ms);
        open = federation->open && (lasts || now_ms < federation->deadline_ms);
        early = !federation->open && !federation->ended &&
                covey_slot_lasts(federation, slot, federation->cohort.round + 1, now_ms);
    } else if (member->past_slot != COVEY_NO_SLOT &&
               same_id(&federation->past.slots[member->past_slot].id, id)) {
        slot = &federation->past.slots[member->past_slot];
    }
    if (slot == NULL)
        return STANDING_UNKNOWN;
    if (slot->state == COVEY_SLOT_RECORDED) {
        *hash = slot->body_hash;
        return STANDING_RECORDED;
    }
    if (slot->state == COVEY_SLOT_PARKED)
        return STANDING_TAKEN;
    if (early)
        return STANDING_EARLY;
    if (slot->state == COVEY_SLOT_TAKEN) /* also past the deadline: it is waited for */
        return STANDING_TAKEN;
    return !open || slot->state == COVEY_SLOT_WITHDRAWN ? STANDING_OVER : STANDING_OPEN;
}

static void answer_recorded(struct covey_exchange *exchange, const struct covey_hash *there,
                            const struct covey_hash *body)
{
    if (body != NULL && covey_hash_equal(there, body))
        covey_exchange_respond(exchange,
                               &(struct covey_response){.code = COVEY_CODE_CHANGED, .content_format = -1});
    else
        covey_answer(exchange, COVEY_CODE_CONFLICT, 0,
                     "another update is recorded under this assignment; it stays");
}

/* What a device hears that asks for its upload. */
static void answer_state(struct covey_exchange *exchange, bool complete)
{
    const struct covey_upload_state state = {.complete = complete, .block_bytes = COVEY_BLOCK_BYTES};
    uint8_t bytes[512];
    size_t size = 0;
    if (covey_upload_state_encode(&state, bytes, sizeof bytes, &size) != COVEY_OK) {
        covey_answer(exchange, COVEY_CODE_INTERNAL, 0, "no answer");
        return;
    }
    covey_exchange_respond(exchange, &(struct covey_response){.code = COVEY_CODE_CONTENT,
                                                              .content_format = COVEY_FORMAT_CBOR,
                                                              .body = {bytes, size}});
}

/* ------------------------------------------------------------------ an assignment of long ago: the ledger
 * knows */

struct inquiry {
    struct covey_work work;
    struct covey_federation *federation;
    struct covey_exchange *exchange;
    uint32_t place;
    struct covey_assignment_id id;
    bool asks; /* GET: what became of it? Else a body came */
    struct covey_hash body_hash;
};

static void run_inquiry(struct covey_work *work)
{
    struct inquiry *inquiry = (struct inquiry *)work;
    struct covey_server *server = inquiry->federation->server;
    char name[COVEY_NAME_BYTES], owner[COVEY_NAME_BYTES], federation[COVEY_NAME_BYTES];
    struct covey_hash there;
    uint32_t round = 0;
    covey_registry_name(server->registry, inquiry->place, name);
    enum covey_status status = covey_ledger_find_update(server->ledger, name, &inquiry->id, &there, NULL);
    if (status == COVEY_OK) {
        if (inquiry->asks)
            answer_state(inquiry->exchange, true);
        else
            answer_recorded(inquiry->exchange, &there, &inquiry->body_hash);
        free(inquiry);
        return;
    }
    if (status == COVEY_NOT_FOUND)
        status = covey_ledger_find_assignment(server->ledger, &inquiry->id, federation, owner, &round, NULL);
    if (status == COVEY_OK && strcmp(owner, name) != 0)
        covey_answer(inquiry->exchange, COVEY_CODE_FORBIDDEN, 0, "this assignment belongs to another device");
    else if (status == COVEY_OK)
        covey_answer(inquiry->exchange, COVEY_CODE_FORBIDDEN, 0, "round %u is over: ask for the plan", round);
    else if (status == COVEY_NOT_FOUND)
        covey_answer(inquiry->exchange, COVEY_CODE_NOT_FOUND, 0,
                     "there is no such assignment: ask for the plan");
    else
        covey_answer(inquiry->exchange, COVEY_CODE_INTERNAL, BUSY_AGE_S, "the ledger could not be read");
    free(inquiry);
}

/* body_hash: NULL when there is no body, only the question. */
static void inquire(struct covey_federation *federation, uint32_t place, const struct covey_assignment_id *id,
                    const struct covey_hash *body_hash, struct covey_exchange *exchange)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);
    if (inquiry != NULL) {
        inquiry->work.run = run_inquiry;
        inquiry->federation = federation;
        inquiry->exchange = exchange;
        inquiry->place = place;
        inquiry->id = *id;
        inquiry->asks = body_hash == NULL;
        if (body_hash != NULL)
            inquiry->body_hash = *body_hash;
        if (covey_workers_post(federation->server->intake, &inquiry->work) == COVEY_OK)
            return;
    }
    free(inquiry);
    covey_answer(exchange, COVEY_CODE_UNAVAILABLE, BUSY_AGE_S, "the server is busy");
}

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
    covey_answer(upload->exchange, code, for_good ? 0 : BUSY_AGE_S, "%s", text);
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
static enum standing take_slot(struct covey_federation *federation, uint32_t place,
                               const struct covey_assignment_id *id, uint32_t *slot, struct covey_hash *hash)
{
    pthread_mutex_lock(&federation->mutex);
    const enum standing standing = standing_of(federation, place, id, hash);
    if (standing == STANDING_OPEN) {
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
    covey_answer(exchange, COVEY_CODE_UNAVAILABLE, BUSY_AGE_S, "the server has too many updates in hand");
}

/* A round is open now, or there will be none: the upload goes on, or hears why not. */
static void go_on(struct covey_parked *parked)
{
    struct upload *upload = (struct upload *)((char *)parked - offsetof(struct upload, parked));
    struct covey_federation *federation = upload->federation;
    bool wanted = false, posted = false;
    pthread_mutex_lock(&federation->mutex);
    const uint32_t place = federation->members[upload->place].slot;
    if (place != COVEY_NO_SLOT && same_id(&federation->cohort.slots[place].id, &upload->parked_id) &&
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
        covey_answer(upload->exchange, COVEY_CODE_UNAVAILABLE, BUSY_AGE_S, "the server is busy");
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
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, BUSY_AGE_S, "the server has too many updates in hand");
        return;
    }
    upload->parked.go_on = go_on;
    upload->parked_id = *id;
    pthread_mutex_lock(&federation->mutex);
    const bool parked = standing_of(federation, place, id, &there) == STANDING_EARLY &&
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
    case STANDING_OPEN:
        start(federation, place, slot, incoming, exchange);
        break;
    case STANDING_EARLY:
        park(federation, place, id, incoming, exchange);
        break;
    case STANDING_TAKEN:
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, 1, "this update is being recorded already");
        break;
    case STANDING_RECORDED:
        answer_recorded(exchange, &there, incoming->body_hash);
        break;
    case STANDING_OVER:
        covey_answer(exchange, COVEY_CODE_FORBIDDEN, 0, "the round is over: ask for the plan");
        break;
    case STANDING_UNKNOWN:
        inquire(federation, place, id, incoming->body_hash, exchange);
        break;
    }
}

uint8_t covey_intake_admit_body(struct covey_federation *federation, uint32_t place,
                                const struct covey_assignment_id *id, uint64_t body_bytes)
{
    struct covey_hash there;
    pthread_mutex_lock(&federation->mutex);
    const enum standing standing = standing_of(federation, place, id, &there);
    const size_t limit = body_limit(federation, place);
    pthread_mutex_unlock(&federation->mutex);
    if (body_bytes == 0)
        return COVEY_CODE_BAD_REQUEST;
    if (body_bytes > limit)
        return COVEY_CODE_TOO_LARGE;
    switch (standing) {
    case STANDING_OPEN:
    case STANDING_EARLY:
    case STANDING_TAKEN:
    case STANDING_RECORDED:
        return 0;
    case STANDING_OVER:
        return COVEY_CODE_FORBIDDEN;
    default:
        return COVEY_CODE_NOT_FOUND;
    }
}

void covey_intake_get(struct covey_federation *federation, uint32_t place,
                      const struct covey_assignment_id *id, struct covey_exchange *exchange)
{
    struct covey_hash there;
    pthread_mutex_lock(&federation->mutex);
    const enum standing standing = standing_of(federation, place, id, &there);
    pthread_mutex_unlock(&federation->mutex);
    if (standing == STANDING_UNKNOWN)
        inquire(federation, place, id, NULL, exchange);
    else if (standing == STANDING_OVER)
        covey_answer(exchange, COVEY_CODE_FORBIDDEN, 0, "the round is over: ask for the plan");
    else
        answer_state(exchange, standing == STANDING_RECORDED);
}

/* ------------------------------------------------------------------ metrics */

struct metrics_note {
    struct covey_work work;
    struct covey_federation *federation;
    struct covey_exchange *exchange;
    char device[COVEY_NAME_BYTES];
    struct covey_metrics metrics;
};

static void run_metrics(struct covey_work *work)
{
    struct metrics_note *note = (struct metrics_note *)work;
    struct covey_server *server = note->federation->server;
    const enum covey_status status =
        covey_ledger_note_metrics(server->ledger, note->federation->options.name, note->device,
                                  covey_server_wall_ms(server) / 1000, &note->metrics, NULL);
    if (status == COVEY_OK)
        covey_exchange_respond(note->exchange,
                               &(struct covey_response){.code = COVEY_CODE_CHANGED, .content_format = -1});
    else
        covey_answer(note->exchange, COVEY_CODE_UNAVAILABLE, BUSY_AGE_S, "%s", covey_status_text(status));
    free(note);
}

/* A device that says that it will not deliver the open round is not waited for; it may deliver after all. */
static void heed_failure(struct covey_federation *federation, uint32_t place, const char *device,
                         const struct covey_metrics *metrics)
{
    double round, failed;
    bool waited = false;
    if (!covey_metrics_find(metrics, COVEY_METRIC_FAILED, &failed) || !(failed >= 1 && failed < 1e6) ||
        !covey_metrics_find(metrics, COVEY_METRIC_ROUND, &round))
        return;
    pthread_mutex_lock(&federation->mutex);
    const bool awaits = federation->open || covey_federation_lasts(federation);
    if (awaits && place < federation->member_capacity && federation->members[place].slot != COVEY_NO_SLOT) {
        struct covey_slot *slot = &federation->cohort.slots[federation->members[place].slot];
        const uint32_t own_round =
            federation->options.parent != NULL ? federation->errand.plan.round : slot->round;
        waited = slot->state == COVEY_SLOT_WAITING && !slot->refused && round == (double)own_round;
        slot->refused |= waited;
    }
    pthread_mutex_unlock(&federation->mutex);
    if (!waited)
        return;
    covey_log_event(federation->server->options.env.log, COVEY_LOG_WARNING, "device-failed",
                    "federation=%s device=%s round=%.0f reason=\"%s\"", federation->options.name, device,
                    round, covey_round_failure_text((uint32_t)failed));
    covey_server_wake(federation->server);
}

/* What it says of the model counts when it was asked, and has delivered. */
static void heed_judgement(struct covey_federation *federation, uint32_t place,
                           const struct covey_metrics *metrics)
{
    double round = 0;
    const uint64_t id = covey_registry_id(federation->server->registry, place);
    if (!covey_metrics_find(metrics, COVEY_METRIC_ROUND, &round) || !(round >= 1 && round <= COVEY_ROUNDS) ||
        !covey_device_is_asked(&federation->options, id, (uint32_t)round))
        return;
    pthread_mutex_lock(&federation->mutex);
    const bool delivered = place < federation->member_capacity &&
                           federation->members[place].record.last_round >= (uint32_t)round &&
                           (uint32_t)round <= federation->cohort.round;
    pthread_mutex_unlock(&federation->mutex);
    if (delivered)
        (void)covey_device_scores_take(federation->scores, place, metrics,
                                       federation->options.metric_is_error);
}

void covey_intake_metrics(struct covey_federation *federation, uint32_t place,
                          const struct covey_incoming *incoming, struct covey_exchange *exchange)
{
    struct covey_error err = {0};
    if (incoming->body.size > COVEY_METRICS_BYTES) {
        covey_answer(exchange, COVEY_CODE_TOO_LARGE, 0, "at most %u bytes", COVEY_METRICS_BYTES);
        return;
    }
    struct metrics_note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, BUSY_AGE_S, "no memory");
        return;
    }
    note->work.run = run_metrics;
    note->federation = federation;
    note->exchange = exchange;
    memcpy(note->device, incoming->peer->name, sizeof note->device);
    if (covey_metrics_decode(incoming->body, &note->metrics, &err) != COVEY_OK) {
        covey_answer(exchange, COVEY_CODE_BAD_REQUEST, 0, "%s", err.text);
        free(note);
        return;
    }
    heed_failure(federation, place, note->device, &note->metrics);
    heed_judgement(federation, place, &note->metrics);
    if (covey_workers_post(federation->server->intake, &note->work) != COVEY_OK) {
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, BUSY_AGE_S, "the server is busy");
        free(note);
    }
}
