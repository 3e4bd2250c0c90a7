/* What a gateway fetches for a plan of its parent, one piece after the other: the manifest, which tells the
 * rest; the steps that lead to its model, where they are all listed and shorter, else the model and the
 * deltas beside it; the terms of the round. */
#include "federation.h"

#include <stdlib.h>

#include "covey/hash.h"
#include "covey/sign.h"

enum covey_status covey_offer_create(struct covey_federation *federation, const struct covey_plan *plan,
                                     uint64_t deadline_ms, bool by_full, struct covey_offer **out)
{
    struct covey_offer *offer = calloc(1, sizeof *offer);
    if (offer == NULL)
        return COVEY_NO_MEMORY;
    offer->federation = federation;
    offer->plan = *plan;
    offer->deadline_ms = deadline_ms;
    offer->by_full = by_full;
    pthread_mutex_lock(&federation->mutex);
    const bool known = federation->full != NULL && covey_hash_equal(&federation->manifest, &plan->manifest);
    pthread_mutex_unlock(&federation->mutex);
    offer->piece = !known                           ? COVEY_PIECE_MANIFEST
                   : plan->kind == COVEY_PLAN_TRAIN ? COVEY_PIECE_TERMS
                                                    : COVEY_PIECE_NONE;
    *out = offer;
    return COVEY_OK;
}

void covey_offer_free(struct covey_offer *offer)
{
    if (offer == NULL)
        return;
    covey_blob_release(offer->manifest);
    covey_blob_release(offer->full);
    covey_blob_release(offer->terms);
    for (uint32_t i = 0; i < offer->delta_count; i++)
        covey_blob_release(offer->deltas[i]);
    for (uint32_t i = 0; i < offer->step_count; i++)
        covey_blob_release(offer->steps[i]);
    free(offer);
}

bool covey_offer_wants(const struct covey_offer *offer, struct covey_wanted *out)
{
    const struct covey_manifest *facts = &offer->facts;
    switch (offer->piece) {
    case COVEY_PIECE_MANIFEST:
        *out = (struct covey_wanted){&offer->plan.manifest, 0, COVEY_MANIFEST_BYTES};
        return true;
    case COVEY_PIECE_STEPS: {
        const struct covey_manifest_step *step = &facts->steps[offer->step_count];
        *out = (struct covey_wanted){&step->stream, step->stream_bytes, step->stream_bytes};
        return true;
    }
    case COVEY_PIECE_FULL:
        *out = (struct covey_wanted){&facts->full, facts->full_bytes, facts->full_bytes};
        return true;
    case COVEY_PIECE_DELTAS: {
        const struct covey_manifest_delta *delta = &facts->deltas[offer->delta_count];
        *out = (struct covey_wanted){&delta->stream, delta->stream_bytes, delta->stream_bytes};
        return true;
    }
    case COVEY_PIECE_TERMS:
        *out = (struct covey_wanted){&offer->plan.terms, 0, COVEY_SUM_TERMS_BYTES};
        return true;
    case COVEY_PIECE_NONE:
        break;
    }
    return false;
}

/* Steps from the model that is here, 0 where the whole model is the way. */
static uint32_t steps_wanted(const struct covey_offer *offer)
{
    const struct covey_manifest *facts = &offer->facts;
    struct covey_federation *federation = offer->federation;
    pthread_mutex_lock(&federation->mutex);
    const uint64_t sequence = federation->full == NULL ? 0 : federation->sequence;
    pthread_mutex_unlock(&federation->mutex);
    if (offer->by_full || sequence == 0 || facts->sequence <= sequence ||
        facts->sequence - sequence > facts->step_count)
        return 0;
    const uint32_t behind = (uint32_t)(facts->sequence - sequence);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < behind; i++)
        bytes += facts->steps[i].stream_bytes;
    return bytes < facts->full_bytes ? behind : 0;
}

/* The manifest's signature is checked when the model is taken up. */
static enum covey_status look_into(struct covey_offer *offer, struct covey_bytes manifest,
                                   struct covey_error *err)
{
    struct covey_cose_sign1 message;
    COVEY_TRY(covey_cose_decode(manifest, &message, err));
    COVEY_TRY(covey_manifest_decode(message.payload, &offer->facts, err));
    if (offer->facts.full_bytes > 8 * offer->federation->shared_count + 4096)
        return covey_fail(err, COVEY_LIMIT, "the parent's model is larger than this federation's");
    offer->steps_wanted = steps_wanted(offer);
    return COVEY_OK;
}

/* The piece after this one. */
static enum covey_offer_piece next_piece(const struct covey_offer *offer)
{
    const bool trains = offer->plan.kind == COVEY_PLAN_TRAIN;
    switch (offer->piece) {
    case COVEY_PIECE_MANIFEST:
    case COVEY_PIECE_STEPS:
        if (offer->step_count < offer->steps_wanted)
            return COVEY_PIECE_STEPS;
        if (offer->steps_wanted == 0)
            return COVEY_PIECE_FULL;
        break;
    case COVEY_PIECE_FULL:
    case COVEY_PIECE_DELTAS:
        if (offer->delta_count < offer->facts.delta_count)
            return COVEY_PIECE_DELTAS;
        break;
    default:
        return COVEY_PIECE_NONE;
    }
    return trains ? COVEY_PIECE_TERMS : COVEY_PIECE_NONE;
}

enum covey_status covey_offer_take(struct covey_offer *offer, struct covey_bytes body,
                                   struct covey_error *err)
{
    struct covey_blob *blob = NULL;
    if (offer->piece == COVEY_PIECE_MANIFEST)
        COVEY_TRY(look_into(offer, body, err));
    const enum covey_status status = covey_blob_create(body, NULL, NULL, NULL, &blob);
    if (status != COVEY_OK)
        return covey_fail(err, status, "no memory for what the parent sent");
    if (offer->piece == COVEY_PIECE_MANIFEST)
        offer->manifest = blob;
    else if (offer->piece == COVEY_PIECE_STEPS)
        offer->steps[offer->step_count++] = blob;
    else if (offer->piece == COVEY_PIECE_FULL)
        offer->full = blob;
    else if (offer->piece == COVEY_PIECE_DELTAS)
        offer->deltas[offer->delta_count++] = blob;
    else
        offer->terms = blob;
    offer->piece = next_piece(offer);
    return COVEY_OK;
}
