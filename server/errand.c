/* A gateway's rounds: what its parent wants becomes the terms of the next round, the parent's model the
 * current one (parent_model.c), and the sum of the round the answer. The signature on the model stays the
 * parent's: a gateway makes none. */
#include "federation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/log.h"

#include "sealed_file.h"

#define ERRAND_FILE "errand"
#define REPORT_SHARE 8 /* of the parent's deadline: one part is kept for the report */

static enum covey_status folder_of(const struct covey_federation *federation, char out[COVEY_FILE_PATH_BYTES],
                                   struct covey_error *err)
{
    if ((size_t)snprintf(out, COVEY_FILE_PATH_BYTES, "%s/%s", federation->server->folder,
                         federation->options.name) >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "the path %s is too long", federation->server->folder);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ when a round may open */

void covey_errand_rules(const struct covey_federation *federation, struct covey_round_rules *rules)
{
    if (federation->options.parent == NULL)
        return;
    rules->stop_rounds = rules->stop_patience = 0;
    rules->has_target = rules->can_judge = false;
}

bool covey_errand_wanted(struct covey_federation *federation, uint64_t now_ms,
                         struct covey_round_rules *rules)
{
    struct covey_errand *errand = &federation->errand;
    pthread_mutex_lock(&federation->mutex);
    const uint64_t left_ms = errand->deadline_ms > now_ms ? errand->deadline_ms - now_ms : 0;
    const uint64_t own_ms = left_ms - left_ms / REPORT_SHARE;
    if (errand->state == COVEY_ERRAND_READY && left_ms == 0)
        errand->state = COVEY_ERRAND_NONE; /* nobody was there in time */
    const bool wanted = errand->state == COVEY_ERRAND_READY;
    *rules = federation->options.rules;
    if (rules->deadline_ms > own_ms)
        rules->deadline_ms = (uint32_t)(own_ms > 0 ? own_ms : 1);
    pthread_mutex_unlock(&federation->mutex);
    return wanted;
}

bool covey_errand_idle(struct covey_federation *federation)
{
    pthread_mutex_lock(&federation->mutex);
    const bool idle =
        federation->errand.state != COVEY_ERRAND_OPEN && federation->view.phase == COVEY_PHASE_GATHER;
    pthread_mutex_unlock(&federation->mutex);
    return idle;
}

void covey_errand_call_off(struct covey_federation *federation)
{
    bool any = false;
    pthread_mutex_lock(&federation->mutex);
    const uint32_t round = federation->errand.plan.round;
    if (federation->errand.state == COVEY_ERRAND_READY)
        federation->errand.state = COVEY_ERRAND_NONE;
    for (uint32_t i = 0; federation->open && i < federation->cohort.count; i++) {
        struct covey_slot *slot = &federation->cohort.slots[i];
        if (slot->state == COVEY_SLOT_WAITING) {
            slot->state = COVEY_SLOT_WITHDRAWN;
            any = true;
        }
    }
    pthread_mutex_unlock(&federation->mutex);
    if (!any)
        return;
    covey_log_event(federation->server->options.env.log, COVEY_LOG_WARNING, "errand-called-off",
                    "federation=%s round=%u: the parent does not wait any more", federation->options.name,
                    round);
    covey_server_wake(federation->server);
}

enum covey_status covey_errand_terms(struct covey_federation *federation, struct covey_round_terms *terms,
                                     uint32_t *share, struct covey_error *err)
{
    enum covey_status status = COVEY_OK;
    pthread_mutex_lock(&federation->mutex);
    if (federation->errand.state == COVEY_ERRAND_READY) {
        *terms = federation->errand.terms;
        *share = federation->errand.plan.share;
    } else {
        status = covey_fail(err, COVEY_STATE, "the parent wants nothing");
    }
    pthread_mutex_unlock(&federation->mutex);
    return status;
}

/* ------------------------------------------------------------------ what was fetched */

/* The parent's terms as a round's. *kept: a view into the blob. */
static enum covey_status read_terms(const struct covey_federation *federation,
                                    const struct covey_offer *offer, struct covey_round_terms *out,
                                    struct covey_bytes *kept, struct covey_error *err)
{
    struct covey_sum_terms terms;
    struct covey_chain chain;
    struct covey_codec codec;
    COVEY_TRY(covey_sum_terms_decode(covey_blob_view(offer->terms), &terms, err));
    COVEY_TRY(covey_chain_parse(terms.strategy, &chain, err));
    COVEY_TRY(covey_chain_check(&chain, &(struct covey_chain_demands){.partial_sums = true}, err));
    COVEY_TRY(covey_codec_parse(offer->plan.codec, &codec, err));
    if (terms.exponents.size != 0 && terms.exponents.size != 2 * federation->tensor_count)
        return covey_fail(err, COVEY_MISMATCH, "the parent's terms have %zu exponents for %zu tensors",
                          terms.exponents.size / 2, federation->tensor_count);
    *out = (struct covey_round_terms){.seed = offer->plan.recipe.seed,
                                      .round = offer->plan.round,
                                      .updates_max = terms.updates_max,
                                      .weight_max = terms.weight_max,
                                      .examples_max = terms.weight_max,
                                      .norm_limit = terms.norm_limit,
                                      .refuse_range = terms.refuse_range != 0,
                                      .tensor_count = (uint32_t)federation->tensor_count,
                                      .has_exponents = terms.exponents.size > 0};
    memcpy(out->strategy, terms.strategy, sizeof out->strategy);
    memcpy(out->codec, offer->plan.codec, sizeof out->codec);
    for (size_t i = 0; i < terms.exponents.size / 2; i++)
        out->exponents[i] =
            (int16_t)(uint16_t)(terms.exponents.data[2 * i] | terms.exponents.data[2 * i + 1] << 8);
    *kept = terms.kept;
    return COVEY_OK;
}

static enum covey_status write_errand(const struct covey_federation *federation,
                                      const struct covey_plan *plan, struct covey_error *err)
{
    char folder[COVEY_FILE_PATH_BYTES];
    uint8_t bytes[COVEY_PLAN_BYTES];
    size_t size = 0;
    COVEY_TRY(folder_of(federation, folder, err));
    COVEY_TRY(covey_plan_encode(plan, bytes, sizeof bytes, &size, err));
    return covey_sealed_write(folder, ERRAND_FILE, (struct covey_bytes){bytes, size}, err);
}

static enum covey_status accept(struct covey_federation *federation, struct covey_offer *offer,
                                struct covey_error *err)
{
    struct covey_bytes kept = {NULL, 0};
    if (offer->plan.kind == COVEY_PLAN_DONE) {
        COVEY_TRY(covey_parent_model_adopt(federation, offer, kept, err));
        if (!federation->ended)
            covey_post_end(federation, COVEY_END_ROUNDS);
        return COVEY_OK;
    }
    struct covey_round_terms *terms = malloc(sizeof *terms);
    if (terms == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the terms of a round");
    enum covey_status status = read_terms(federation, offer, terms, &kept, err);
    if (status == COVEY_OK)
        status = covey_parent_model_adopt(federation, offer, kept, err);
    if (status == COVEY_OK)
        status = write_errand(federation, &offer->plan, err);
    if (status == COVEY_OK) {
        pthread_mutex_lock(&federation->mutex);
        federation->errand.state = COVEY_ERRAND_READY;
        federation->errand.plan = offer->plan;
        federation->errand.deadline_ms = offer->deadline_ms;
        federation->errand.terms = *terms;
        pthread_mutex_unlock(&federation->mutex);
    }
    free(terms);
    return status;
}

static void run_offer(struct covey_work *work)
{
    struct covey_offer *offer = (struct covey_offer *)work;
    struct covey_federation *federation = offer->federation;
    struct covey_error err = {0};
    pthread_mutex_lock(&federation->mutex);
    const bool busy = federation->errand.state == COVEY_ERRAND_OPEN;
    pthread_mutex_unlock(&federation->mutex);
    if (busy) { /* the errand before opened its round after all: it is called off first */
        covey_uplink_again(federation->uplink, false);
    } else if (accept(federation, offer, &err) == COVEY_OK) {
        covey_log_event(federation->server->options.env.log, COVEY_LOG_INFO, "errand",
                        "federation=%s round=%u share=%u", federation->options.name, offer->plan.round,
                        offer->plan.share);
        covey_server_wake(federation->server);
    } else if (offer->steps_useless) {
        covey_log_event(federation->server->options.env.log, COVEY_LOG_WARNING, "steps-useless",
                        "federation=%s round=%u reason=\"%s\"", federation->options.name, offer->plan.round,
                        err.text);
        covey_uplink_again(federation->uplink, true);
    } else {
        covey_log_event(federation->server->options.env.log, COVEY_LOG_ERROR, "errand-refused",
                        "federation=%s round=%u reason=%s", federation->options.name, offer->plan.round,
                        err.text);
        if (offer->plan.kind == COVEY_PLAN_TRAIN)
            covey_uplink_fail(federation->uplink, offer->plan.round);
    }
    covey_offer_free(offer);
}

void covey_errand_post(struct covey_offer *offer)
{
    struct covey_federation *federation = offer->federation;
    offer->work.run = run_offer;
    if (covey_workers_post(federation->server->work, &offer->work) == COVEY_OK)
        return;
    covey_offer_free(offer);
    covey_uplink_again(federation->uplink, false);
}

/* ------------------------------------------------------------------ the report */

struct roll {
    struct covey_contributor *entries; /* (capacity) */
    uint32_t count, capacity;
    const struct covey_cohort *cohort;
    double loss_before, loss_after, examples; /* sums */
};

static enum covey_status call(void *user, const struct covey_ledger_update *update, struct covey_error *err)
{
    struct roll *roll = user;
    if (update->slot >= roll->cohort->count || roll->count == roll->capacity)
        return covey_fail(err, COVEY_CORRUPT, "ledger: round %u has no slot %u", update->round, update->slot);
    if (roll->cohort->slots[update->slot].state != COVEY_SLOT_RECORDED)
        return COVEY_OK; /* folding again has left it out */
    struct covey_contributor *entry = &roll->entries[roll->count++];
    memcpy(entry->name, update->device, sizeof entry->name);
    entry->examples = update->examples;
    entry->update = update->body_hash;
    const double weight = (double)update->examples;
    roll->loss_before += update->loss_before * weight;
    roll->loss_after += update->loss_after * weight;
    roll->examples += weight;
    return COVEY_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct covey_contributor *)a)->name, ((const struct covey_contributor *)b)->name);
}

/* roll -> bytes of the list, malloc'ed. */
static enum covey_status write_list(const struct roll *roll, uint8_t **out, size_t *size,
                                    struct covey_error *err)
{
    uint8_t *list = malloc((size_t)roll->count * COVEY_CONTRIBUTOR_BYTES + 1);
    size_t used = 0, one = 0;
    if (list == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u contributors", roll->count);
    for (uint32_t i = 0; i < roll->count; i++) {
        const enum covey_status status =
            covey_contributor_encode(&roll->entries[i], list + used, COVEY_CONTRIBUTOR_BYTES, &one, err);
        if (status != COVEY_OK) {
            free(list);
            return status;
        }
        used += one;
    }
    *out = list;
    *size = used;
    return COVEY_OK;
}

/* The sum of the aggregation, malloc'ed, of as many updates as the roll has. */
static enum covey_status write_sum(struct covey_federation *federation, uint32_t updates, uint8_t **out,
                                   size_t *size, struct covey_error *err)
{
    struct covey_aggregation_report report;
    covey_aggregation_report(federation->aggregation, &report);
    if (report.updates != updates)
        return covey_fail(err, COVEY_CORRUPT, "the sum has %llu updates, the ledger %u",
                          (unsigned long long)report.updates, updates);
    const size_t capacity = covey_aggregation_save_bytes(federation->aggregation);
    uint8_t *sum = malloc(capacity);
    if (sum == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the sum");
    const enum covey_status status = covey_aggregation_save(federation->aggregation, sum, capacity, size);
    if (status != COVEY_OK) {
        free(sum);
        return covey_fail(err, status, "the sum could not be saved: %s", covey_status_text(status));
    }
    *out = sum;
    return COVEY_OK;
}

static float mean_of(double sum, double weight)
{
    const double mean = weight > 0 ? sum / weight : 0;
    return mean > -1e30 && mean < 1e30 ? (float)mean : 0; /* NaN too: nothing is known */
}

static enum covey_status send(struct covey_federation *federation, const struct roll *roll,
                              struct covey_bytes list, struct covey_bytes sum, struct covey_error *err)
{
    const struct covey_plan *plan = &federation->errand.plan;
    struct covey_partial_sum partial = {.assignment = plan->assignment,
                                        .model = federation->opened.base_model,
                                        .terms = plan->terms,
                                        .updates = roll->count,
                                        .loss_before = mean_of(roll->loss_before, roll->examples),
                                        .loss_after = mean_of(roll->loss_after, roll->examples),
                                        .contributors = list,
                                        .sum = sum};
    COVEY_TRY(covey_hash_bytes(sum, &partial.digest));
    const size_t capacity = COVEY_PARTIAL_HEAD_BYTES + list.size + sum.size;
    uint8_t *message = malloc(capacity);
    size_t size = 0;
    if (message == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the partial sum");
    enum covey_status status = covey_partial_sum_encode(&partial, message, capacity, &size, err);
    if (status == COVEY_OK)
        status = covey_uplink_send(federation->uplink, message, size, &plan->assignment, err);
    free(message);
    return status;
}

enum covey_status covey_errand_report(struct covey_federation *federation, struct covey_error *err)
{
    struct roll roll = {.cohort = &federation->cohort, .capacity = federation->cohort.count};
    uint8_t *list = NULL, *sum = NULL;
    size_t list_bytes = 0, sum_bytes = 0;
    COVEY_TRY(covey_fold_settle(federation, err));
    roll.entries = calloc(roll.capacity, sizeof *roll.entries);
    enum covey_status status =
        roll.entries == NULL
            ? covey_fail(err, COVEY_NO_MEMORY, "no memory for %u contributors", roll.capacity)
            : covey_ledger_each_update(federation->server->ledger, federation->options.name,
                                       federation->opened.round, call, &roll, err);
    if (status == COVEY_OK) {
        qsort(roll.entries, roll.count, sizeof *roll.entries, by_name);
        status = write_list(&roll, &list, &list_bytes, err);
    }
    if (status == COVEY_OK)
        status = write_sum(federation, roll.count, &sum, &sum_bytes, err);
    if (status == COVEY_OK)
        status = send(federation, &roll, (struct covey_bytes){list, list_bytes},
                      (struct covey_bytes){sum, sum_bytes}, err);
    free(roll.entries);
    free(list);
    free(sum);
    return status;
}

void covey_errand_end(struct covey_federation *federation, bool failed)
{
    pthread_mutex_lock(&federation->mutex);
    federation->errand.state = COVEY_ERRAND_NONE;
    const uint32_t round = federation->errand.plan.round;
    pthread_mutex_unlock(&federation->mutex);
    if (failed)
        covey_uplink_fail(federation->uplink, round);
}

enum covey_status covey_errand_restore(struct covey_federation *federation, struct covey_error *err)
{
    char folder[COVEY_FILE_PATH_BYTES];
    uint8_t *bytes = NULL;
    size_t size = 0;
    struct covey_plan plan;
    COVEY_TRY(folder_of(federation, folder, err));
    COVEY_TRY(covey_sealed_read(folder, ERRAND_FILE, COVEY_PLAN_BYTES, &bytes, &size, err));
    const enum covey_status status = covey_plan_decode((struct covey_bytes){bytes, size}, &plan, err);
    free(bytes);
    COVEY_TRY(status);
    pthread_mutex_lock(&federation->mutex);
    federation->errand.plan = plan;
    pthread_mutex_unlock(&federation->mutex);
    covey_uplink_know(federation->uplink, &plan.assignment);
    return COVEY_OK;
}
