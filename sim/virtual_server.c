#include "virtual_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "combination.h"

#include "covey/codec.h"
#include "covey/random.h"
#include "covey/server.h"
#include "covey/trainer.h"
#include "covey/server_optimiser.h"

#define RETRY_LIMIT_MS 3600000u

static const char *word(const char *value, const char *otherwise)
{
    return value == NULL || value[0] == '\0' ? otherwise : value;
}

static enum covey_status set_rules(struct covey_virtual_server *server, struct covey_error *err)
{
    const struct covey_scenario *scenario = server->fleet->scenario;
    struct covey_chain chain;
    server->rules = scenario->rules;
    COVEY_TRY(covey_chain_parse(server->combination.strategy, &chain, err));
    server->rules.least_updates = (uint32_t)covey_chain_updates_min(&chain);
    server->rules.can_judge = server->fleet->data.test.count > 0;
    server->rules.lower_is_better = scenario->watch_loss || server->fleet->metric_is_error;
    const uint32_t cohort = covey_round_rules_cohort(&server->rules);
    const struct covey_chain_demands demands = {.cohort = cohort,
                                                .has_reference = server->fleet->data.root.count > 0,
                                                .stale = covey_round_rules_last(&server->rules)};
    return covey_chain_check(&chain, &demands, err);
}

static enum covey_status make_first_model(struct covey_virtual_server *server, struct covey_error *err)
{
    const struct covey_layout *layout = &server->fleet->layout;
    server->published = aligned_alloc(64, (layout->count * sizeof(float) + 63) / 64 * 64);
    server->weights = malloc(layout->shared_count * sizeof(float));
    if (server->published == NULL || server->weights == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the model");
    memcpy(server->published, server->fleet->initial, layout->count * sizeof(float));
    memcpy(server->weights, server->fleet->initial, layout->shared_count * sizeof(float));
    COVEY_TRY(covey_line_begin(&server->line, server->weights, server->published, err));
    server->sequence = 1;
    return covey_virtual_server_show(server, 0, err);
}

static enum covey_status make(struct covey_virtual_server *server, struct covey_error *err)
{
    const struct covey_scenario *scenario = server->fleet->scenario;
    const struct covey_layout *layout = &server->fleet->layout;
    server->recipe = scenario->train;
    server->recipe.seed = (uint64_t)scenario->seed;
    server->weight_cap = scenario->weight_cap > 0 ? scenario->weight_cap : COVEY_UPDATE_EXAMPLES;
    if (layout->update_count == 0)
        return covey_fail(err, COVEY_INVALID, "the model has nothing to train");
    COVEY_TRY(covey_codec_parse(word(scenario->codec, COVEY_CODEC_DEFAULT), &server->codec, err));
    COVEY_TRY(covey_recipe_check(&server->recipe, err));
    COVEY_TRY(covey_scenario_combination(scenario, layout, &server->combination, err));
    server->recipe.measures = server->combination.recipe.measures;
    if (scenario->population == 0)
        server->combination.population = server->fleet->devices;
    if (server->fleet->data.root.count > 0)
        COVEY_TRY(covey_root_update_create(server->fleet->model, layout, server->fleet->initial,
                                           &server->fleet->data.root, &server->recipe, &server->root, err));
    server->tensor_count = covey_layout_update_ends(layout, server->ends, COVEY_MODEL_TENSORS);
    server->line = (struct covey_line){.seed = server->recipe.seed,
                                       .update_count = layout->update_count,
                                       .shared_count = layout->shared_count,
                                       .ends = server->ends,
                                       .tensor_count = server->tensor_count};
    COVEY_TRY(covey_codec_parse_downlink(word(scenario->downlink, COVEY_DOWNLINK_DEFAULT),
                                         &server->line.codec, err));
    COVEY_TRY(set_rules(server, err));
    const uint32_t limit = server->fleet->devices < COVEY_DEVICES ? server->fleet->devices : COVEY_DEVICES;
    COVEY_TRY(covey_round_rules_check(&server->rules, err));
    COVEY_TRY(covey_server_round_create(&server->rules, limit, &server->machine, err));
    return make_first_model(server, err);
}

enum covey_status covey_virtual_server_init(struct covey_virtual_server *server,
                                            const struct covey_virtual_fleet *fleet, struct covey_error *err)
{
    *server = (struct covey_virtual_server){.fleet = fleet};
    const enum covey_status status = make(server, err);
    if (status != COVEY_OK)
        covey_virtual_server_deinit(server);
    return status;
}

void covey_virtual_server_deinit(struct covey_virtual_server *server)
{
    covey_aggregation_destroy(server->aggregation);
    covey_server_round_destroy(server->machine);
    free(server->published);
    free(server->weights);
    covey_root_update_destroy(server->root);
    covey_virtual_server_drop_steps(server);
    covey_round_state_deinit(&server->state);
    *server = (struct covey_virtual_server){0};
}

/* ------------------------------------------------------------------ plans */

void covey_virtual_server_assignment(const struct covey_virtual_server *server, uint32_t round,
                                     uint32_t device, struct covey_assignment_id *out)
{
    struct covey_random random;
    covey_random_init(&random, server->recipe.seed ^ 0x61737369676eull, server->fleet->ids[device], round,
                      COVEY_PURPOSE_SELECT);
    const uint64_t id = covey_random_u64(&random);
    for (size_t i = 0; i < sizeof out->bytes; i++)
        out->bytes[i] = (uint8_t)(id >> (8 * (i % 8)));
}

/* With epochs_from: how far this device gets, in every round. */
static uint32_t draw_epochs(const struct covey_virtual_server *server, uint32_t device)
{
    const uint32_t least = (uint32_t)server->fleet->scenario->epochs_from, most = server->recipe.epochs;
    struct covey_random random;
    if (least == 0 || least >= most)
        return most;
    covey_random_init(&random, server->recipe.seed ^ 0x65706f636873ull, server->fleet->ids[device], 0,
                      COVEY_PURPOSE_SELECT);
    return least + covey_random_below(&random, most - least + 1);
}

enum covey_status covey_virtual_server_plan(const struct covey_virtual_server *server,
                                            const struct covey_assignment_id *assignment, uint32_t device,
                                            uint32_t deadline_ms, uint8_t *out, size_t *out_bytes,
                                            struct covey_error *err)
{
    const struct covey_scenario *scenario = server->fleet->scenario;
    /* no reason to ask before the round is over, as server/federation.c has it */
    uint32_t retry_ms = scenario->retry_ms != 0 ? scenario->retry_ms : COVEY_RETRY_MS;
    if (retry_ms < deadline_ms)
        retry_ms = deadline_ms < RETRY_LIMIT_MS ? deadline_ms : RETRY_LIMIT_MS;
    struct covey_plan plan = {
        .kind = COVEY_PLAN_TRAIN,
        .round = server->round,
        .assignment = *assignment,
        .manifest =
            server->model, /* stands for the manifest's hash: as long, and as different from round to round */
        .recipe = server->recipe,
        .deadline_ms = deadline_ms,
        .retry_after_ms = retry_ms,
        .heartbeat_ms = scenario->heartbeat_ms != 0 ? scenario->heartbeat_ms : COVEY_HEARTBEAT_MS,
        .window_blocks = scenario->window_blocks != 0 ? scenario->window_blocks : COVEY_WINDOW_BLOCKS};
    memcpy(plan.codec, server->codec.name, sizeof plan.codec);
    plan.recipe.epochs = draw_epochs(server, device);
    return covey_plan_encode(&plan, out, COVEY_PLAN_BYTES, out_bytes, err);
}

/* ------------------------------------------------------------------ rounds */

enum covey_status covey_virtual_server_begin(const struct covey_virtual_server *server,
                                             struct covey_aggregation **out, struct covey_error *err)
{
    const struct covey_round_site site = {.ends = server->ends,
                                          .tensor_count = server->tensor_count,
                                          .threads = 1,
                                          .kept =
                                              covey_round_state_part(&server->state, COVEY_STATE_STRATEGY)};
    return covey_round_terms_begin(&server->terms, &site, out, err);
}

enum covey_status covey_virtual_server_open(struct covey_virtual_server *server, uint32_t round,
                                            uint32_t slots, struct covey_error *err)
{
    const struct covey_scenario *scenario = server->fleet->scenario;
    struct covey_round_terms *terms = &server->terms;
    *terms = (struct covey_round_terms){
        .updates_max = slots,
        .weight_max =
            covey_weighting_cap(&server->combination.weighting, server->weight_cap, server->recipe.batch),
        .examples_max = server->weight_cap,
        .weighting = server->combination.weighting,
        .norm_limit = scenario->norm_limit,
        .refuse_range = scenario->refuse_range,
        .seed = (uint64_t)scenario->seed,
        .round = round,
        .tensor_count = (uint32_t)server->tensor_count,
        .has_exponents = server->has_exponents};
    memcpy(terms->strategy, server->combination.strategy, sizeof terms->strategy);
    memcpy(terms->codec, server->codec.name, sizeof terms->codec);
    memcpy(terms->exponents, server->exponents, sizeof terms->exponents);
    server->round = round;
    server->staleness = (struct covey_staleness_tally){0};
    server->weighting = (struct covey_weighting_tally){0};
    covey_virtual_server_abandon(server);
    return covey_virtual_server_begin(server, &server->aggregation, err);
}

void covey_virtual_server_abandon(struct covey_virtual_server *server)
{
    covey_aggregation_destroy(server->aggregation);
    server->aggregation = NULL;
}

/* The server's own update of the open round, where it has data for one; malloc'ed. */
static enum covey_status make_reference(struct covey_virtual_server *server, float **delta,
                                        struct covey_error *err)
{
    if (server->root == NULL)
        return COVEY_OK;
    float *made = malloc(server->fleet->layout.update_count * sizeof *made);
    if (made == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the server's own update");
    enum covey_status status =
        covey_root_update_make(server->root, server->published, &server->recipe, server->round, made, err);
    if (status == COVEY_OK)
        status = covey_aggregation_refer(server->aggregation, made, err);
    if (status != COVEY_OK) {
        free(made);
        return covey_fail_at(err, status, "root_data: ");
    }
    *delta = made;
    return COVEY_OK;
}

enum covey_status covey_virtual_server_close(struct covey_virtual_server *server, struct covey_error *err)
{
    struct covey_aggregation_report report;
    float *reference = NULL;
    const double *mean = NULL;
    struct covey_line_step line_step = {0};
    struct covey_round_state next = {0};
    enum covey_status status = make_reference(server, &reference, err);
    if (status == COVEY_OK)
        status = covey_aggregation_finish(server->aggregation, &mean, &report, server->exponents, err);
    free(reference);
    COVEY_TRY(status);
    server->has_exponents = true;
    status = covey_aggregation_keep(server->aggregation, &next, err);
    if (status == COVEY_OK) {
        const struct covey_server_mean step =
            covey_combination_mean(&server->combination, &server->terms.weighting, &server->weighting,
                                   &server->staleness, mean, &report);
        status =
            covey_server_optimiser_advance(&server->combination.server_rule, &server->state, &step,
                                           server->fleet->layout.update_count, server->weights, &next, err);
    }
    covey_virtual_server_abandon(server);
    if (status == COVEY_OK)
        status = covey_line_advance(&server->line, server->round, server->weights, server->published,
                                    &line_step, err);
    const uint64_t delta_bytes = line_step.grid == 0 ? line_step.bytes : 0;
    if (status == COVEY_OK)
        status = covey_virtual_server_keep_step(server, &line_step, err);
    if (status != COVEY_OK) {
        covey_round_state_deinit(&next);
        return status;
    }
    covey_round_state_deinit(&server->state);
    server->state = next;
    server->sequence++;
    return covey_virtual_server_show(server, delta_bytes, err);
}
