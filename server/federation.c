#include "federation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/certificates.h"
#include "covey/hash.h"
#include "covey/log.h"
#include "covey/random.h"
#include "combination.h"
#include "device_scores.h"

#define PACE_MS_PER_MEMBER 2 /* so that those who come back do so at no more than 500 a second */
#define RETRY_LIMIT_MS 3600000u

/* ------------------------------------------------------------------ life */

/* The strategy against the cohort, as far as that is known; no round closes with fewer than it needs. */
static enum covey_status check_chain(struct covey_federation_options *options, struct covey_error *err)
{
    struct covey_chain chain;
    COVEY_TRY(covey_chain_parse(options->strategy, &chain, err));
    options->rules.least_updates = (uint32_t)covey_chain_updates_min(&chain);
    const uint32_t cohort = covey_round_rules_cohort(&options->rules);
    if (covey_round_rules_last(&options->rules) && (options->gateway_count > 0 || options->parent != NULL))
        return covey_fail(err, COVEY_UNSUPPORTED,
                          "round.mode asynchronous and round.late use do not go with gateways: what is in a "
                          "partial sum started from one model");
    const struct covey_chain_demands demands = {.cohort = cohort,
                                                .partial_sums = options->gateway_count > 0,
                                                .has_reference = options->root_update != NULL,
                                                .stale = covey_round_rules_last(&options->rules)};
    return covey_chain_check(&chain, &demands, err);
}

static enum covey_status check_options(struct covey_federation_options *options, struct covey_error *err)
{
    struct covey_codec codec;
    if (!covey_device_name_is_valid(options->name))
        return covey_fail(err, COVEY_INVALID,
                          "'%s' is no name for a federation: letters, digits, . _ - and at most 63",
                          options->name);
    if (options->layout == NULL || options->layout->update_count == 0)
        return covey_fail(err, COVEY_INVALID, "the model has nothing to train");
    if (options->description.size == 0 || options->description.size > COVEY_DESCRIPTION_BYTES)
        return covey_fail(err, COVEY_LIMIT, "the model's description has %zu bytes: 1 to %u",
                          options->description.size, COVEY_DESCRIPTION_BYTES);
    COVEY_TRY(covey_codec_parse(options->codec, &codec, err));
    COVEY_TRY(covey_codec_parse_downlink(options->downlink, &codec, err));
    COVEY_TRY(covey_combination_settle(options, err));
    COVEY_TRY(check_chain(options, err));
    COVEY_TRY(covey_server_rule_complete(&options->server_rule, err));
    if (!(options->devices_share >= 0 && options->devices_share <= 1))
        return covey_fail(err, COVEY_INVALID, "evaluation.devices.share is a share: 0 to 1");
    if (options->judge == NULL && (options->has_validation || options->has_test))
        return covey_fail(err, COVEY_INVALID, "there is evaluation data, but nothing to evaluate with");
    return covey_round_rules_check(&options->rules, err);
}

static void fill_defaults(struct covey_federation_options *options)
{
    if (!(options->weight_cap > 0))
        options->weight_cap = COVEY_UPDATE_EXAMPLES;
    if (options->heartbeat_ms == 0)
        options->heartbeat_ms = COVEY_HEARTBEAT_MS;
    if (options->retry_ms == 0)
        options->retry_ms = COVEY_RETRY_MS;
    if (options->window_blocks == 0 || options->window_blocks > COVEY_WINDOW_BLOCKS)
        options->window_blocks = COVEY_WINDOW_BLOCKS;
    if (options->models_kept == 0)
        options->models_kept = COVEY_MODELS_KEPT;
    if (options->deltas_kept == 0)
        options->deltas_kept = COVEY_STEPS_KEPT;
    if (options->deltas_kept_bytes == 0)
        options->deltas_kept_bytes = COVEY_STEPS_KEPT_BYTES;
    options->rules.lower_is_better = options->watch == COVEY_WATCH_LOSS || options->metric_is_error;
    if (options->parent != NULL)
        options->has_validation = options->has_test = false;
    options->rules.can_judge = options->has_validation;
}

enum covey_status covey_federation_init(struct covey_federation *federation, struct covey_server *server,
                                        uint32_t index, const struct covey_federation_options *options,
                                        struct covey_error *err)
{
    *federation = (struct covey_federation){.server = server, .index = index, .options = *options};
    pthread_mutex_init(&federation->mutex, NULL);
    pthread_cond_init(&federation->drained, NULL);
    covey_shelf_init(&federation->shelf);
    fill_defaults(&federation->options);
    federation->train_loss = federation->loss = federation->metric = (double)NAN;
    covey_errand_rules(federation, &federation->options.rules);
    COVEY_TRY(check_options(&federation->options, err));
    const struct covey_layout *layout = options->layout;
    federation->update_count = layout->update_count;
    federation->shared_count = layout->shared_count;
    federation->tensor_count = covey_layout_update_ends(layout, federation->ends, COVEY_MODEL_TENSORS);
    COVEY_TRY(covey_gateways_check(federation, err));
    federation->line = (struct covey_line){.seed = options->recipe.seed,
                                           .update_count = layout->update_count,
                                           .shared_count = layout->shared_count,
                                           .ends = federation->ends,
                                           .tensor_count = federation->tensor_count};
    COVEY_TRY(covey_codec_parse_downlink(options->downlink, &federation->line.codec, err));
    COVEY_TRY(covey_hash_bytes(options->description, &federation->description_hash));
    struct covey_blob *description = NULL;
    COVEY_TRY(
        covey_blob_create(options->description, &federation->description_hash, NULL, NULL, &description));
    covey_shelf_put(&federation->shelf, description, UINT64_MAX);
    (void)snprintf(federation->plan_path, sizeof federation->plan_path, "f/%s/plan", options->name);
    struct covey_codec codec;
    COVEY_TRY(covey_codec_parse(federation->options.codec, &codec, err));
    federation->update_limit_bytes =
        COVEY_UPDATE_HEAD_BYTES +
        covey_codec_bound(&codec, federation->update_count); /* repeats of a past round */
    if (covey_codec_bound(&codec, federation->update_count) >
        COVEY_LEDGER_BODY_BYTES - COVEY_UPDATE_HEAD_BYTES)
        return covey_fail(err, COVEY_LIMIT,
                          "an update of %zu values as %s does not fit the ledger: use a smaller codec",
                          federation->update_count, federation->options.codec);
    COVEY_TRY(covey_device_scores_create(&federation->scores, err));
    return covey_server_round_create(&federation->options.rules, COVEY_DEVICES, &federation->machine, err);
}

static void free_cohort(struct covey_cohort *cohort)
{
    free(cohort->slots);
    *cohort = (struct covey_cohort){0};
}

void covey_federation_deinit(struct covey_federation *federation)
{
    covey_uplink_destroy(federation->uplink);
    covey_server_round_destroy(federation->machine);
    covey_device_scores_destroy(federation->scores);
    covey_aggregation_destroy(federation->aggregation);
    covey_contributors_deinit(&federation->contributors);
    covey_model_store_close(federation->store);
    covey_blob_release(federation->full);
    covey_sums_deinit(&federation->sums);
    covey_round_state_deinit(&federation->state);
    covey_shelf_deinit(&federation->shelf);
    free_cohort(&federation->cohort);
    free_cohort(&federation->past);
    free(federation->members);
    pthread_cond_destroy(&federation->drained);
    pthread_mutex_destroy(&federation->mutex);
}

struct covey_federation *covey_federation_find(struct covey_server *server, const char *name,
                                               size_t name_bytes)
{
    for (uint32_t i = 0; i < server->options.federation_count; i++) {
        const char *own = server->federations[i].options.name;
        if (strlen(own) == name_bytes && memcmp(own, name, name_bytes) == 0)
            return &server->federations[i];
    }
    return NULL;
}

/* ------------------------------------------------------------------ members */

struct covey_member *covey_federation_member(struct covey_federation *federation, uint32_t place)
{
    if (place < federation->member_capacity)
        return &federation->members[place];
    uint32_t capacity = federation->member_capacity == 0 ? 64 : federation->member_capacity;
    while (capacity <= place)
        capacity *= 2;
    struct covey_member *members = realloc(federation->members, capacity * sizeof *members);
    if (members == NULL)
        return NULL;
    for (uint32_t i = federation->member_capacity; i < capacity; i++)
        members[i] = (struct covey_member){.slot = COVEY_NO_SLOT, .past_slot = COVEY_NO_SLOT};
    federation->members = members;
    federation->member_capacity = capacity;
    return &members[place];
}

void covey_federation_gone(struct covey_federation *federation, uint32_t place)
{
    pthread_mutex_lock(&federation->mutex);
    if (place < federation->member_capacity)
        federation->members[place].observing = false;
    pthread_mutex_unlock(&federation->mutex);
}

/* ------------------------------------------------------------------ plans */

/* When a device without an assignment shall ask again: about when the open round will be over, never so soon
 * that all of them together are a burden, spread by a quarter so that they do not come at once. */
static uint32_t retry_after_ms(const struct covey_federation *federation, uint32_t place, uint64_t now_ms)
{
    uint64_t delay_ms = federation->options.retry_ms;
    const uint64_t pace_ms = (uint64_t)federation->member_count * PACE_MS_PER_MEMBER;
    if (federation->open && federation->deadline_ms > now_ms) {
        uint64_t left_ms = federation->deadline_ms - now_ms;
        const uint64_t usual_end_ms = federation->opened_at_ms + federation->round_ms_mean;
        if (federation->round_ms_mean != 0 && usual_end_ms < federation->deadline_ms)
            left_ms = usual_end_ms > now_ms ? usual_end_ms - now_ms : 0;
        if (left_ms > delay_ms)
            delay_ms = left_ms;
    }
    if (delay_ms < pace_ms)
        delay_ms = pace_ms;
    if (delay_ms > RETRY_LIMIT_MS)
        delay_ms = RETRY_LIMIT_MS;
    const uint64_t id = covey_registry_id(federation->server->registry, place) ^ federation->cohort.round;
    return (uint32_t)(delay_ms + delay_ms / 4 * (id % 64) / 64);
}

static bool has_assignment(const struct covey_federation *federation, const struct covey_member *member,
                           uint64_t now_ms)
{
    if (member->slot == COVEY_NO_SLOT)
        return false;
    const struct covey_slot *slot = &federation->cohort.slots[member->slot];
    const bool lasts = covey_slot_lasts(federation, slot, federation->cohort.round, now_ms);
    if (!lasts && (!federation->open || now_ms >= federation->deadline_ms))
        return false;
    return lasts || slot->state == COVEY_SLOT_WAITING || slot->state == COVEY_SLOT_TAKEN;
}

void covey_federation_plan(struct covey_federation *federation, uint32_t place, uint64_t now_ms,
                           struct covey_plan *out)
{
    const struct covey_member *member = &federation->members[place];
    const struct covey_federation_options *options = &federation->options;
    *out = (struct covey_plan){.kind = COVEY_PLAN_WAIT,
                               .round = federation->cohort.round,
                               .heartbeat_ms = options->heartbeat_ms,
                               .window_blocks = options->window_blocks,
                               .manifest = federation->manifest};
    if (federation->ended) {
        out->kind = COVEY_PLAN_DONE;
        out->retry_after_ms = RETRY_LIMIT_MS;
        return;
    }
    out->retry_after_ms = retry_after_ms(federation, place, now_ms);
    if (!has_assignment(federation, member, now_ms))
        return;
    const struct covey_slot *slot = &federation->cohort.slots[member->slot];
    const struct covey_base *base = covey_slot_base(federation, slot);
    out->kind = COVEY_PLAN_TRAIN;
    out->round = options->parent != NULL ? federation->errand.plan.round : slot->round;
    out->manifest = base->manifest;
    out->assignment = slot->id;
    memcpy(out->codec, federation->terms.codec, sizeof out->codec);
    out->recipe = options->parent != NULL ? federation->errand.plan.recipe : options->recipe;
    out->share = slot->share;
    if (out->share > 0)
        out->terms = federation->terms_hash;
    out->judge =
        out->share == 0 &&
        covey_device_is_asked(options, covey_registry_id(federation->server->registry, place), out->round);
    const uint64_t left_ms = base->deadline_ms > now_ms ? base->deadline_ms - now_ms : 1;
    out->deadline_ms = left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX;
}

enum covey_status covey_federation_ask(struct covey_federation *federation, uint32_t place,
                                       const struct covey_asking *asking, struct covey_plan *out)
{
    const uint64_t now_ms = covey_server_now_ms(federation->server);
    enum covey_status status = COVEY_NO_MEMORY;
    bool joined = false;
    pthread_mutex_lock(&federation->mutex);
    struct covey_member *member = covey_federation_member(federation, place);
    if (member != NULL) {
        joined = !member->joined || (asking->observe && !member->observing);
        federation->member_count += !member->joined;
        member->joined = true;
        if (asking->observe)
            member->observing = true;
        covey_member_note_hours(member, asking, now_ms);
        covey_federation_plan(federation, place, now_ms, out);
        member->last_push_ms = now_ms;
        /* one that polls counts for as long as it was told to sleep, and half as long again */
        member->expected_back_ms =
            member->observing ? 0 : now_ms + out->retry_after_ms + out->retry_after_ms / 2 + 2000;
        status = COVEY_OK;
    }
    pthread_mutex_unlock(&federation->mutex);
    if (joined)
        covey_server_wake(federation->server);
    return status;
}

void covey_federation_push(struct covey_federation *federation, uint32_t place)
{
    struct covey_server *server = federation->server;
    if (server->host.ops == NULL)
        return;
    struct covey_plan plan;
    pthread_mutex_lock(&federation->mutex);
    const uint64_t now_ms = covey_server_now_ms(server);
    covey_federation_plan(federation, place, now_ms, &plan);
    federation->members[place].last_push_ms = now_ms;
    pthread_mutex_unlock(&federation->mutex);

    uint8_t bytes[COVEY_PLAN_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    struct covey_blob *blob = NULL;
    char name[COVEY_NAME_BYTES];
    covey_registry_name(server->registry, place, name);
    enum covey_status status = covey_plan_encode(&plan, bytes, sizeof bytes, &size, &err);
    if (status == COVEY_OK)
        status = covey_blob_create((struct covey_bytes){bytes, size}, NULL, NULL, NULL, &blob);
    if (status == COVEY_OK)
        status =
            server->host.ops->notify(server->host.host, name, federation->plan_path, blob, COVEY_FORMAT_CBOR);
    if (status != COVEY_OK)
        covey_log_event(server->options.env.log, COVEY_LOG_WARNING, "push-failed", "device=%s reason=%s",
                        name, err.text[0] != '\0' ? err.text : covey_status_text(status));
    covey_blob_release(blob);
}

/* ------------------------------------------------------------------ cohorts */

static void point_members(struct covey_federation *federation, const struct covey_cohort *cohort, bool past)
{
    for (uint32_t slot = 0; slot < cohort->count; slot++) {
        struct covey_member *member = &federation->members[cohort->slots[slot].device];
        if (past)
            member->past_slot = slot;
        else
            member->slot = slot;
    }
}

void covey_federation_retire_cohort(struct covey_federation *federation)
{
    for (uint32_t place = 0; place < federation->member_capacity; place++)
        federation->members[place].slot = federation->members[place].past_slot = COVEY_NO_SLOT;
    free_cohort(&federation->past);
    federation->past = federation->cohort;
    federation->cohort = (struct covey_cohort){.round = federation->past.round};
    point_members(federation, &federation->past, true);
}

enum covey_status covey_federation_seat_cohort(struct covey_federation *federation, uint32_t round,
                                               struct covey_slot *slots, uint32_t count, uint32_t told)
{
    for (uint32_t slot = 0; slot < count; slot++)
        if (covey_federation_member(federation, slots[slot].device) == NULL)
            return COVEY_NO_MEMORY;
    federation->cohort = (struct covey_cohort){round, count, told, slots};
    point_members(federation, &federation->cohort, false);
    return COVEY_OK;
}

enum covey_status covey_federation_set_terms(struct covey_federation *federation,
                                             const struct covey_round_terms *terms, struct covey_error *err)
{
    struct covey_codec codec;
    COVEY_TRY(covey_codec_parse(terms->codec, &codec, err));
    federation->terms = *terms;
    federation->update_limit_bytes =
        COVEY_UPDATE_HEAD_BYTES + covey_codec_bound(&codec, federation->update_count);
    return COVEY_OK;
}
