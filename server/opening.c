/* A round opens, on the work thread: the cohort is drawn, promised in the ledger, seated, and told. */
#include "federation.h"

#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/log.h"

struct opening {
    struct covey_work work;
    struct covey_federation *federation;
    struct covey_round_action action;
};

/* What is known of those, for policies that ask. records: (count). */
static void copy_records(struct covey_federation *federation, const uint32_t *places, uint32_t count,
                         struct covey_device_record *records)
{
    pthread_mutex_lock(&federation->mutex);
    for (uint32_t i = 0; i < count; i++)
        records[i] = federation->members[places[i]].record;
    pthread_mutex_unlock(&federation->mutex);
}

/* places: (count) of those available. share: no more than so many. slots: malloc'ed, (*chosen) with fresh
 * ids. */
static enum covey_status draw_cohort(struct covey_federation *federation,
                                     const struct covey_round_action *action, const uint32_t *places,
                                     uint32_t count, uint32_t share, struct covey_slot **slots,
                                     uint32_t *chosen, struct covey_error *err)
{
    struct covey_registry *registry = federation->server->registry;
    const uint32_t most = action->choose < share ? action->choose : share;
    const uint32_t choose = most < count ? most : count;
    *slots = NULL;
    *chosen = 0;
    if (choose == 0)
        return COVEY_OK; /* every place is taken */
    uint64_t *ids = malloc((size_t)count * sizeof *ids);
    struct covey_device_record *records = malloc((size_t)count * sizeof *records);
    uint32_t *picked = malloc((size_t)choose * sizeof *picked);
    struct covey_slot *out = calloc(choose, sizeof *out);
    enum covey_status status = ids == NULL || records == NULL || picked == NULL || out == NULL
                                   ? covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", choose)
                                   : COVEY_OK;
    if (status == COVEY_OK) {
        for (uint32_t i = 0; i < count; i++)
            ids[i] = covey_registry_id(registry, places[i]);
        copy_records(federation, places, count, records);
        const struct covey_candidates candidates = {.ids = ids, .records = records, .count = count};
        status = covey_cohort_select(&action->selection, federation->options.recipe.seed, action->round,
                                     &candidates, choose, picked);
    }
    for (uint32_t i = 0; status == COVEY_OK && i < choose; i++) {
        out[i].device = places[picked[i]];
        out[i].share = covey_gateways_share(federation, out[i].device);
        out[i].round = action->round;
        status = covey_secret_bytes(out[i].id.bytes, sizeof out[i].id.bytes);
    }
    free(ids);
    free(records);
    free(picked);
    if (status != COVEY_OK) {
        free(out);
        return status;
    }
    *slots = out;
    *chosen = choose;
    return COVEY_OK;
}

/* Updates that a cohort may bring: one a device, a gateway's share. */
static uint64_t most_updates(const struct covey_slot *slots, uint32_t count)
{
    uint64_t updates = 0;
    for (uint32_t i = 0; i < count; i++)
        updates += slots[i].share > 0 ? slots[i].share : 1;
    return updates;
}

static void set_terms(const struct covey_federation *federation, uint32_t round, uint64_t updates,
                      struct covey_round_terms *out)
{
    const struct covey_federation_options *options = &federation->options;
    *out = (struct covey_round_terms){
        .updates_max = updates,
        .weight_max = covey_weighting_cap(&options->weighting, options->weight_cap, options->recipe.batch),
        .examples_max = options->weight_cap,
        .weighting = options->weighting,
        .norm_limit = options->norm_limit,
        .refuse_range = options->refuse_range,
        .tensor_count = (uint32_t)federation->tensor_count,
        .has_exponents = federation->has_exponents};
    out->seed = options->recipe.seed;
    out->round = round;
    memcpy(out->strategy, options->strategy, sizeof out->strategy);
    memcpy(out->codec, options->codec, sizeof out->codec);
    memcpy(out->exponents, federation->exponents, sizeof out->exponents);
}

/* The ledger's line, its terms and its assignments: durable when this returns OK. */
static enum covey_status promise(struct covey_federation *federation, const struct covey_round_action *action,
                                 const struct covey_slot *slots, uint32_t count, uint32_t told,
                                 const struct covey_round_terms *terms, struct covey_ledger_round *round,
                                 struct covey_error *err)
{
    struct covey_server *server = federation->server;
    *round = (struct covey_ledger_round){.round = action->round,
                                         .state = COVEY_LEDGER_OPEN,
                                         .base_sequence = federation->sequence,
                                         .base_model = federation->model,
                                         .opened_ms = covey_server_wall_ms(server),
                                         .slots = count,
                                         .goal = action->goal < told ? action->goal : told};
    round->deadline_ms = round->opened_ms + action->deadline_ms;
    memcpy(round->federation, federation->options.name, sizeof round->federation);
    struct covey_ledger_assignment *cohort = calloc(count == 0 ? 1 : count, sizeof *cohort);
    if (cohort == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u assignments", count);
    for (uint32_t i = 0; i < count; i++) {
        cohort[i].id = slots[i].id;
        covey_registry_name(server->registry, slots[i].device, cohort[i].device);
    }
    uint8_t bytes[COVEY_ROUND_TERMS_BYTES];
    const struct covey_bytes grid = {bytes, covey_round_terms_encode(terms, bytes)};
    enum covey_status status = covey_ledger_open_round(server->ledger, round, grid, cohort, err);
    free(cohort);
    return status;
}

/* Who is there, and how many earlier rounds left working. */
struct candidates {
    uint32_t *places; /* (count), malloc'ed */
    uint32_t count, busy;
    uint64_t now_ms;
};

static void look_around(struct covey_federation *federation, struct candidates *out)
{
    *out = (struct candidates){.now_ms = covey_server_now_ms(federation->server)};
    pthread_mutex_lock(&federation->mutex);
    out->places = covey_federation_available(federation, out->now_ms, &out->count);
    out->busy = covey_federation_busy(federation, out->now_ms);
    pthread_mutex_unlock(&federation->mutex);
}

/* A round before its cohort is seated: owned here until it is. */
struct draft {
    struct covey_slot *slots; /* (count): `chosen` new ones, then those of earlier rounds */
    uint32_t chosen, count, told;
    struct covey_round_terms *terms;
    struct covey_aggregation *aggregation;
    struct covey_ledger_round line;
};

static enum covey_status draw(struct covey_federation *federation, const struct covey_round_action *action,
                              const struct candidates *there, uint32_t share, struct draft *draft,
                              struct covey_error *err)
{
    COVEY_TRY(draw_cohort(federation, action, there->places, there->count, share, &draft->slots,
                          &draft->chosen, err));
    draft->count = draft->chosen;
    pthread_mutex_lock(&federation->mutex);
    const enum covey_status status =
        covey_federation_carry(federation, action->round, there->now_ms, &draft->slots, &draft->count);
    pthread_mutex_unlock(&federation->mutex);
    draft->told = covey_federation_is_asynchronous(federation) ? draft->count : draft->chosen;
    return status;
}

static void note_base(struct covey_federation *federation, const struct covey_ledger_round *line,
                      uint64_t now_ms)
{
    const int64_t deadline_ms = covey_federation_lasts(federation)
                                    ? (int64_t)covey_round_rules_device_ms(&federation->options.rules)
                                    : line->deadline_ms - line->opened_ms;
    *covey_federation_base(federation, line->round) =
        (struct covey_base){.sequence = federation->sequence,
                            .model = federation->model,
                            .manifest = federation->manifest,
                            .deadline_ms = now_ms + (uint64_t)deadline_ms,
                            .opened_ms = line->opened_ms};
}

/* With the mutex held. */
static enum covey_status seat(struct covey_federation *federation, const struct covey_round_action *action,
                              struct draft *draft, uint64_t now_ms, struct covey_error *err)
{
    COVEY_TRY(covey_federation_set_terms(federation, draft->terms, err));
    COVEY_TRY(covey_gateways_show_terms(federation, err));
    covey_federation_recheck(federation, draft->slots, draft->chosen, draft->count);
    covey_federation_retire_cohort(federation);
    COVEY_TRY(
        covey_federation_seat_cohort(federation, action->round, draft->slots, draft->count, draft->told));
    for (uint32_t i = 0; i < draft->chosen; i++)
        federation->members[draft->slots[i].device].record.chosen++;
    note_base(federation, &draft->line, now_ms);
    draft->slots = NULL;
    covey_aggregation_destroy(federation->aggregation);
    federation->aggregation = draft->aggregation;
    draft->aggregation = NULL;
    federation->must_refold = false;
    covey_contributors_deinit(&federation->contributors);
    federation->sum_bytes = covey_aggregation_save_bytes(federation->aggregation);
    federation->tally = (struct covey_round_tally){0};
    federation->opened = draft->line;
    federation->opened_at_ms = now_ms;
    federation->deadline_ms = now_ms + action->deadline_ms;
    federation->open = true;
    if (federation->options.parent != NULL)
        federation->errand.state = COVEY_ERRAND_OPEN;
    return COVEY_OK;
}

static enum covey_status open_round(struct covey_federation *federation,
                                    const struct covey_round_action *action, uint32_t *chosen, uint32_t *told,
                                    struct covey_error *err)
{
    struct covey_server *server = federation->server;
    struct candidates there;
    struct draft draft = {0};
    look_around(federation, &there);
    if (there.count + there.busy == 0) {
        free(there.places);
        return covey_fail(err, COVEY_STATE, "nobody is there any more");
    }
    draft.terms = malloc(sizeof *draft.terms);
    enum covey_status status = draft.terms == NULL ? COVEY_NO_MEMORY : COVEY_OK;
    uint32_t share = UINT32_MAX;
    const bool is_gateway = federation->options.parent != NULL;
    if (status == COVEY_OK && is_gateway)
        status = covey_errand_terms(federation, draft.terms, &share, err);
    if (status == COVEY_OK)
        status = draw(federation, action, &there, share, &draft, err);
    if (status == COVEY_OK) {
        if (!is_gateway)
            set_terms(federation, action->round, most_updates(draft.slots, draft.count), draft.terms);
        status = covey_fold_begin(federation, draft.terms, &draft.aggregation, err);
    }
    if (status == COVEY_OK)
        status =
            promise(federation, action, draft.slots, draft.chosen, draft.told, draft.terms, &draft.line, err);
    struct covey_traffic traffic;
    covey_server_traffic(server, &traffic);
    *chosen = draft.chosen;
    *told = draft.told;
    pthread_mutex_lock(&federation->mutex);
    if (status == COVEY_OK)
        status = seat(federation, action, &draft, there.now_ms, err);
    if (status == COVEY_OK)
        federation->at_opening = traffic;
    pthread_mutex_unlock(&federation->mutex);
    covey_aggregation_destroy(draft.aggregation);
    free(draft.slots);
    free(draft.terms);
    free(there.places);
    return status;
}

static void run_opening(struct covey_work *work)
{
    struct opening *opening = (struct opening *)work;
    struct covey_federation *federation = opening->federation;
    struct covey_server *server = federation->server;
    struct covey_error err = {0};
    uint32_t chosen = 0, told = 0;
    const enum covey_status status = open_round(federation, &opening->action, &chosen, &told, &err);
    if (status == COVEY_OK) {
        covey_log_event(server->options.env.log, COVEY_LOG_INFO, "round-opened",
                        "federation=%s round=%u chosen=%u busy=%u goal=%u deadline_ms=%u",
                        federation->options.name, opening->action.round, chosen,
                        federation->cohort.count - chosen, opening->action.goal, opening->action.deadline_ms);
    } else {
        chosen = told = 0;
        covey_log_event(server->options.env.log, COVEY_LOG_ERROR, "round-not-opened",
                        "federation=%s round=%u reason=%s", federation->options.name, opening->action.round,
                        err.text);
    }
    pthread_mutex_lock(&federation->mutex);
    federation->opened_answer = true;
    federation->answer_round = opening->action.round;
    federation->answer_slots = told;
    pthread_mutex_unlock(&federation->mutex);
    covey_server_wake(server);
    if (status == COVEY_OK)
        covey_federation_unpark(federation);
    /* this thread alone changes the cohort: it stays while the plans go out */
    for (uint32_t i = 0; i < chosen; i++)
        covey_federation_push(federation, federation->cohort.slots[i].device);
    free(opening);
}

void covey_post_opening(struct covey_federation *federation, const struct covey_round_action *action)
{
    struct opening *opening = calloc(1, sizeof *opening);
    if (opening != NULL) {
        *opening = (struct opening){{.run = run_opening}, federation, *action};
        if (covey_workers_post(federation->server->work, &opening->work) == COVEY_OK)
            return;
    }
    free(opening);
    pthread_mutex_lock(&federation->mutex);
    federation->opened_answer = true;
    federation->answer_round = action->round;
    federation->answer_slots = 0;
    pthread_mutex_unlock(&federation->mutex);
}
