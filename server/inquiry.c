#include "inquiry.h"

#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"

enum covey_standing covey_standing_of(const struct covey_federation *federation, uint32_t place,
                                      const struct covey_assignment_id *id, struct covey_hash *hash)
{
    if (place >= federation->member_capacity)
        return COVEY_STANDING_UNKNOWN;
    const struct covey_member *member = &federation->members[place];
    const struct covey_slot *slot = NULL;
    bool open = false, early = false;
    const uint64_t now_ms = covey_server_now_ms(federation->server);
    if (member->slot != COVEY_NO_SLOT &&
        covey_same_assignment(&federation->cohort.slots[member->slot].id, id)) {
        slot = &federation->cohort.slots[member->slot];
        const bool lasts = covey_slot_lasts(federation, slot, federation->cohort.round, now_ms);
        open = federation->open && (lasts || now_ms < federation->deadline_ms);
        early = !federation->open && !federation->ended &&
                covey_slot_lasts(federation, slot, federation->cohort.round + 1, now_ms);
    } else if (member->past_slot != COVEY_NO_SLOT &&
               covey_same_assignment(&federation->past.slots[member->past_slot].id, id)) {
        slot = &federation->past.slots[member->past_slot];
    }
    if (slot == NULL)
        return COVEY_STANDING_UNKNOWN;
    if (slot->state == COVEY_SLOT_RECORDED) {
        *hash = slot->body_hash;
        return COVEY_STANDING_RECORDED;
    }
    if (slot->state == COVEY_SLOT_PARKED)
        return COVEY_STANDING_TAKEN;
    if (early)
        return COVEY_STANDING_EARLY;
    if (slot->state == COVEY_SLOT_TAKEN) /* also past the deadline: it is waited for */
        return COVEY_STANDING_TAKEN;
    return !open || slot->state == COVEY_SLOT_WITHDRAWN ? COVEY_STANDING_OVER : COVEY_STANDING_OPEN;
}

void covey_answer_recorded(struct covey_exchange *exchange, const struct covey_hash *there,
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
            covey_answer_recorded(inquiry->exchange, &there, &inquiry->body_hash);
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
        covey_answer(inquiry->exchange, COVEY_CODE_INTERNAL, COVEY_BUSY_AGE_S,
                     "the ledger could not be read");
    free(inquiry);
}

void covey_inquire(struct covey_federation *federation, uint32_t place, const struct covey_assignment_id *id,
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
    covey_answer(exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S, "the server is busy");
}

void covey_inquiry_get(struct covey_federation *federation, uint32_t place,
                       const struct covey_assignment_id *id, struct covey_exchange *exchange)
{
    struct covey_hash there;
    pthread_mutex_lock(&federation->mutex);
    const enum covey_standing standing = covey_standing_of(federation, place, id, &there);
    pthread_mutex_unlock(&federation->mutex);
    if (standing == COVEY_STANDING_UNKNOWN)
        covey_inquire(federation, place, id, NULL, exchange);
    else if (standing == COVEY_STANDING_OVER)
        covey_answer(exchange, COVEY_CODE_FORBIDDEN, 0, "the round is over: ask for the plan");
    else
        answer_state(exchange, standing == COVEY_STANDING_RECORDED);
}
