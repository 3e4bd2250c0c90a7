/* The thread that adds durable updates to the sum: whatever is waiting for one federation in one call, so
 * that they are folded while the coordinates are in the cache. */
#include "federation.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "covey/log.h"

#include "examine.h"

struct covey_fold {
    pthread_mutex_t mutex;
    pthread_cond_t more;
    pthread_t thread;
    struct covey_fold_item *first, **last;
    bool stopping;
};

/* Up to COVEY_FOLD_BATCH items of one federation from the front, a partial sum by itself; 0: the end. */
static uint32_t take_batch(struct covey_fold *fold, struct covey_fold_item *batch[COVEY_FOLD_BATCH])
{
    uint32_t count = 0;
    pthread_mutex_lock(&fold->mutex);
    while (fold->first == NULL && !fold->stopping)
        pthread_cond_wait(&fold->more, &fold->mutex);
    while (fold->first != NULL && count < COVEY_FOLD_BATCH &&
           (count == 0 || (fold->first->federation == batch[0]->federation && !fold->first->partial &&
                           !batch[0]->partial))) {
        batch[count++] = fold->first;
        fold->first = fold->first->next;
    }
    if (fold->first == NULL)
        fold->last = &fold->first;
    pthread_mutex_unlock(&fold->mutex);
    return count;
}

/* An update is in the sum: what its weight is reckoned with. */
static void count_in(struct covey_round_tally *tally, const struct covey_round_terms *terms,
                     const struct covey_weighed *weighed, uint32_t staleness)
{
    covey_staleness_add(&tally->staleness, (double)weighed->examples, staleness);
    covey_weighting_add(&terms->weighting, weighed, &tally->weighting);
}

static void add_batch(struct covey_federation *federation, struct covey_fold_item **batch, uint32_t count)
{
    struct covey_contribution updates[COVEY_FOLD_BATCH] = {0};
    struct covey_verdict verdicts[COVEY_FOLD_BATCH];
    struct covey_error err = {0};
    for (uint32_t i = 0; i < count; i++)
        updates[i] = batch[i]->contribution;
    /* the aggregation stays while updates are in flight: closing waits for them */
    enum covey_status status = COVEY_STATE;
    if (!federation->must_refold && batch[0]->partial)
        status = verdicts[0].status =
            covey_aggregation_merge(federation->aggregation, updates[0].stream, &err);
    else if (!federation->must_refold)
        status = covey_aggregation_add(federation->aggregation, updates, count, verdicts, &err);
    uint32_t folded = 0;
    pthread_mutex_lock(&federation->mutex);
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++) {
        folded += verdicts[i].status == COVEY_OK;
        if (verdicts[i].status != COVEY_OK && !batch[0]->partial)
            err = verdicts[i].error;
        else
            count_in(&federation->tally, &federation->terms, &batch[i]->weighed, batch[i]->staleness);
    }
    pthread_mutex_unlock(&federation->mutex);
    if (folded != count)
        covey_log_event(federation->server->options.env.log, COVEY_LOG_ERROR, "fold-failed",
                        "federation=%s updates=%u reason=%s; the ledger will be folded again",
                        federation->options.name, count - folded, err.text);
    for (uint32_t i = 0; i < count; i++)
        batch[i]->release(batch[i]);
    pthread_mutex_lock(&federation->mutex);
    federation->tally.folded += folded;
    federation->must_refold |= folded != count;
    federation->in_flight -= count;
    if (federation->in_flight == 0)
        pthread_cond_broadcast(&federation->drained);
    pthread_mutex_unlock(&federation->mutex);
    covey_server_wake(federation->server);
}

static void *run(void *user)
{
    struct covey_fold *fold = user;
    struct covey_fold_item *batch[COVEY_FOLD_BATCH];
    uint32_t count;
    while ((count = take_batch(fold, batch)) > 0)
        add_batch(batch[0]->federation, batch, count);
    return NULL;
}

enum covey_status covey_fold_create(struct covey_fold **out, struct covey_error *err)
{
    struct covey_fold *fold = calloc(1, sizeof *fold);
    if (fold == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the fold");
    fold->last = &fold->first;
    pthread_mutex_init(&fold->mutex, NULL);
    pthread_cond_init(&fold->more, NULL);
    if (pthread_create(&fold->thread, NULL, run, fold) != 0) {
        pthread_cond_destroy(&fold->more);
        pthread_mutex_destroy(&fold->mutex);
        free(fold);
        return covey_fail(err, COVEY_NO_MEMORY, "the fold's thread could not be started");
    }
    *out = fold;
    return COVEY_OK;
}

void covey_fold_post(struct covey_fold *fold, struct covey_fold_item *item)
{
    pthread_mutex_lock(&fold->mutex);
    item->next = NULL;
    *fold->last = item;
    fold->last = &item->next;
    pthread_cond_signal(&fold->more);
    pthread_mutex_unlock(&fold->mutex);
}

void covey_fold_destroy(struct covey_fold *fold)
{
    if (fold == NULL)
        return;
    pthread_mutex_lock(&fold->mutex);
    fold->stopping = true;
    pthread_cond_signal(&fold->more);
    pthread_mutex_unlock(&fold->mutex);
    pthread_join(fold->thread, NULL);
    pthread_cond_destroy(&fold->more);
    pthread_mutex_destroy(&fold->mutex);
    free(fold);
}

/* ------------------------------------------------------------------ again, from the ledger */

enum covey_status covey_fold_begin(struct covey_federation *federation, const struct covey_round_terms *terms,
                                   struct covey_aggregation **out, struct covey_error *err)
{
    const struct covey_round_site site = {
        .ends = federation->ends,
        .tensor_count = federation->tensor_count,
        .threads = federation->server->fold_threads,
        .kept = covey_round_state_part(&federation->state, COVEY_STATE_STRATEGY),
        .spool_folder = federation->server->folder};
    return covey_round_terms_begin(terms, &site, out, err);
}

enum covey_status covey_fold_settle(struct covey_federation *federation, struct covey_error *err)
{
    bool damaged = false;
    if (federation->aggregation != NULL && !federation->must_refold &&
        federation->tally.folded == federation->tally.recorded)
        return COVEY_OK;
    const enum covey_status status = covey_fold_again(federation, &damaged, err);
    if (damaged)
        covey_log_event(federation->server->options.env.log, COVEY_LOG_ERROR, "update-damaged", "%s",
                        err->text);
    return status;
}

struct refold {
    struct covey_federation *federation;
    struct covey_aggregation *aggregation;
    struct covey_contributors contributors;
    struct covey_round_tally tally;
};

/* The slot of a recorded update: its device has one in a round. NULL: none of that assignment. */
static struct covey_slot *find_slot(struct covey_federation *federation,
                                    const struct covey_ledger_update *recorded)
{
    uint32_t place;
    if (covey_registry_find(federation->server->registry, recorded->device, &place) != COVEY_OK ||
        place >= federation->member_capacity || federation->members[place].slot == COVEY_NO_SLOT)
        return NULL;
    struct covey_slot *slot = &federation->cohort.slots[federation->members[place].slot];
    return memcmp(&slot->id, &recorded->assignment, sizeof slot->id) == 0 ? slot : NULL;
}

/* *in: it is in the sum; *who: the list of a partial sum, else a view of nothing. */
static enum covey_status fold_body(struct refold *refold, const struct covey_ledger_update *recorded,
                                   const struct covey_slot *slot, bool *in, struct covey_bytes *who,
                                   struct covey_error *err)
{
    struct covey_update update;
    struct covey_partial_sum partial;
    *who = (struct covey_bytes){NULL, 0};
    if (slot->share > 0) {
        COVEY_TRY(covey_partial_sum_decode(recorded->body, &partial, err));
        const enum covey_status status = covey_aggregation_merge(refold->aggregation, partial.sum, err);
        *in = status == COVEY_OK;
        *who = partial.contributors;
        return status == COVEY_NO_MEMORY || status == COVEY_STATE ? status : COVEY_OK;
    }
    COVEY_TRY(covey_update_decode(recorded->body, &update, err));
    const struct covey_federation *federation = refold->federation;
    const uint32_t staleness = covey_slot_staleness(federation, slot);
    const struct covey_examine_round round = {.terms = &federation->terms, .ends = federation->ends};
    struct covey_weighed weighed;
    double norm = -1;
    if (federation->terms.weighting.kind == COVEY_WEIGH_LOSS)
        COVEY_TRY(covey_examine_norm(&round, update.stream, &norm, err));
    const double weight = covey_round_terms_weigh(&federation->terms, &update, norm, &weighed);
    const struct covey_contribution contribution = {
        update.stream, weight * covey_staleness_weight(staleness),
        covey_registry_id(federation->server->registry, slot->device)};
    struct covey_verdict verdict;
    COVEY_TRY(covey_aggregation_add(refold->aggregation, &contribution, 1, &verdict, err));
    *in = verdict.status == COVEY_OK;
    if (*in)
        count_in(&refold->tally, &federation->terms, &weighed, staleness);
    return COVEY_OK;
}

static enum covey_status fold_recorded(void *user, const struct covey_ledger_update *recorded,
                                       struct covey_error *err)
{
    struct refold *refold = user;
    struct covey_federation *federation = refold->federation;
    struct covey_slot *slot = find_slot(federation, recorded);
    struct covey_bytes who;
    bool in = false;
    if (slot == NULL)
        return covey_fail(err, COVEY_CORRUPT, "ledger: round %u has no place for %s", recorded->round,
                          recorded->device);
    COVEY_TRY(fold_body(refold, recorded, slot, &in, &who, err));
    if (!in)
        return COVEY_OK; /* it leaves no trace in the sum, now as then */
    if (federation->options.gateway_count > 0)
        COVEY_TRY(covey_contributors_claim(&refold->contributors, (uint32_t)(slot - federation->cohort.slots),
                                           recorded->device, who, err));
    pthread_mutex_lock(&federation->mutex);
    slot->state = COVEY_SLOT_RECORDED;
    slot->body_hash = recorded->body_hash;
    pthread_mutex_unlock(&federation->mutex);
    refold->tally.recorded++;
    refold->tally.folded++;
    refold->tally.examples += recorded->examples;
    refold->tally.update_bytes += recorded->stream_bytes;
    refold->tally.loss_sum += recorded->loss_after * (double)recorded->examples;
    return COVEY_OK;
}

enum covey_status covey_fold_again(struct covey_federation *federation, bool *damaged,
                                   struct covey_error *err)
{
    struct refold refold = {.federation = federation};
    COVEY_TRY(covey_fold_begin(federation, &federation->terms, &refold.aggregation, err));
    enum covey_status status =
        covey_ledger_each_update(federation->server->ledger, federation->options.name,
                                 federation->opened.round, fold_recorded, &refold, err);
    *damaged = status == COVEY_CORRUPT;
    if (status != COVEY_OK && status != COVEY_CORRUPT) {
        covey_aggregation_destroy(refold.aggregation);
        covey_contributors_deinit(&refold.contributors);
        return status;
    }
    pthread_mutex_lock(&federation->mutex);
    struct covey_aggregation *old = federation->aggregation;
    covey_contributors_deinit(&federation->contributors);
    federation->contributors = refold.contributors;
    federation->sum_bytes = covey_aggregation_save_bytes(refold.aggregation);
    refold.tally.refused = federation->tally.refused;
    federation->aggregation = refold.aggregation;
    federation->tally = refold.tally;
    federation->must_refold = false;
    pthread_mutex_unlock(&federation->mutex);
    covey_aggregation_destroy(old);
    return COVEY_OK;
}
