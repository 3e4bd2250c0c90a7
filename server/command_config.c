#include "command_config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/chain.h"
#include "covey/coap.h"
#include "covey/codec.h"
#include "covey/messages.h"
#include "covey/model.h"
#include "covey/safetensors.h"
#include "covey/trainer.h"
#include "covey/yaml.h"

#include "combination.h"

/* ------------------------------------------------------------------ the tables */

#define AT(member) .offset = offsetof(struct federation_config, member)
#define IN(group, member)                                                                                    \
    .offset = offsetof(struct federation_config, group.member) - offsetof(struct federation_config, group)
#define INT .kind = COVEY_FIELD_INT
#define REAL .kind = COVEY_FIELD_REAL
#define TEXT .kind = COVEY_FIELD_TEXT
#define CHOICE .kind = COVEY_FIELD_CHOICE

/* the first word of each is what a left-out key means */
static const char *const ranges[] = {"scale", "refuse", NULL};
static const char *const levels[] = {"error", "warning", "info", "debug", NULL};

#define DEVICES(member)                                                                                      \
    .offset = offsetof(struct federation_config, evaluation.devices.member) -                                \
              offsetof(struct federation_config, evaluation.devices)
static const struct covey_field devices_fields[] = {
    {.key = "every", INT, DEVICES(every), .maximum = COVEY_ROUNDS, .hint = "rounds; 0 = never"},
    {.key = "share", REAL, DEVICES(share), .maximum = 1, .hint = "of the chosen devices; 0 = all"},
    {.key = NULL}};
static const struct covey_field evaluation_fields[] = {
    {.key = "validation",
     .kind = COVEY_FIELD_MAPPING,
     IN(evaluation, validation),
     .fields = covey_data_fields},
    {.key = "test", .kind = COVEY_FIELD_MAPPING, IN(evaluation, test), .fields = covey_data_fields},
    {.key = "devices", .kind = COVEY_FIELD_MAPPING, IN(evaluation, devices), .fields = devices_fields},
    {.key = NULL}};
#define GATEWAY_AT(member) .offset = offsetof(struct gateway_config, member)
static const struct covey_field gateway_fields[] = {
    {.key = "name", TEXT, GATEWAY_AT(name), .required = true, .hint = "the name in its certificate"},
    {.key = "devices", INT, GATEWAY_AT(devices), .required = true, .minimum = 1, .maximum = COVEY_DEVICES},
    {.key = NULL}};
static const struct covey_field parent_fields[] = {
    {.key = "address", TEXT, IN(parent, address), .required = true, .hint = "HOST:PORT of the parent"},
    {.key = "server_name", TEXT, IN(parent, server_name), .hint = "the name in the parent's certificate"},
    {.key = "bundle", TEXT, IN(parent, bundle), .required = true, .hint = "a folder: the parent's bundle"},
    {.key = NULL}};
static const struct covey_field federation_fields[] = {
    {.key = "name", TEXT, AT(name), .required = true},
    {.key = "model", TEXT, AT(model), .required = true, .hint = "a shipped model's name or a file.yaml"},
    {.key = "initial", TEXT, AT(initial), .hint = "a file.safetensors"},
    {.key = "seed", INT, AT(seed), .minimum = 0, .maximum = 9e15},
    {.key = "codec", TEXT, AT(codec), .hint = "a codec, e.g. ec:2, int8, raw32"},
    {.key = "downlink", TEXT, AT(downlink), .hint = "a codec, e.g. ec:1, int8, fp16, raw32"},
    {.key = "strategy", TEXT, AT(strategy), .hint = "fedavg"},
    {.key = "server_rate", REAL, AT(server_rate), .minimum = 1e-9, .maximum = 1000},
    {.key = "norm_limit", REAL, AT(norm_limit), .maximum = 1e30},
    {.key = "weight_cap", REAL, AT(weight_cap), .minimum = 1, .maximum = COVEY_UPDATE_EXAMPLES},
    {.key = "out_of_range", CHOICE, AT(out_of_range), .choices = ranges},
    {.key = "deltas_kept", INT, AT(deltas_kept), .minimum = 1, .maximum = COVEY_ROUNDS},
    {.key = "deltas_kept_mib", INT, AT(deltas_kept_mib), .minimum = 1, .maximum = 1 << 20},
    {.key = "models_kept", INT, AT(models_kept), .minimum = 1, .maximum = COVEY_ROUNDS},
    {.key = "train", .kind = COVEY_FIELD_MAPPING, AT(train), .fields = covey_keys_train_fields},
    {.key = "selection", .kind = COVEY_FIELD_MAPPING, AT(selection), .fields = covey_keys_selection_fields},
    {.key = "round", .kind = COVEY_FIELD_MAPPING, AT(round), .fields = covey_keys_round_fields},
    {.key = "stop", .kind = COVEY_FIELD_MAPPING, AT(stop), .fields = covey_keys_stop_fields},
    {.key = "evaluation", .kind = COVEY_FIELD_MAPPING, AT(evaluation), .fields = evaluation_fields},
    {.key = "gateways",
     .kind = COVEY_FIELD_LIST,
     AT(gateways),
     .fields = gateway_fields,
     .item_bytes = sizeof(struct gateway_config),
     .item_kind = COVEY_FIELD_MAPPING,
     .count_offset = offsetof(struct federation_config, gateway_count),
     .item_limit = COVEY_GATEWAYS},
    {.key = "parent", .kind = COVEY_FIELD_MAPPING, AT(parent), .fields = parent_fields},
    {.key = "root_data", .kind = COVEY_FIELD_MAPPING, AT(root_data), .fields = covey_data_fields},
    {.key = "server_optimiser",
     .kind = COVEY_FIELD_MAPPING,
     AT(server_optimiser),
     .fields = covey_keys_optimiser_fields},
    {.key = "weighting", .kind = COVEY_FIELD_MAPPING, AT(weighting), .fields = covey_keys_weighting_fields},
    {.key = "population", INT, AT(population), .maximum = COVEY_DEVICES, .hint = "devices in all"},
    {.key = NULL}};

#define SERVER_IN(member)                                                                                    \
    .offset = offsetof(struct server_config, server.member) - offsetof(struct server_config, server)
static const struct covey_field server_fields[] = {
    {.key = "name", TEXT, SERVER_IN(name), .hint = "the name by which devices reach it"},
    {.key = "address", TEXT, SERVER_IN(address), .hint = "an address to bind to, or \"\" for all"},
    {.key = "port", INT, SERVER_IN(port), .minimum = 0, .maximum = 65535},
    {.key = "state", TEXT, SERVER_IN(state), .hint = "a folder"},
    {.key = "shards", INT, SERVER_IN(shards), .maximum = COVEY_COAP_SHARDS},
    {.key = "shard_devices", INT, SERVER_IN(shard_devices), .minimum = 1, .maximum = 100000},
    {.key = "fold_threads", INT, SERVER_IN(fold_threads), .maximum = COVEY_FOLD_THREADS},
    {.key = "intake_threads", INT, SERVER_IN(intake_threads), .maximum = COVEY_INTAKE_THREADS},
    {.key = "intake_memory_bytes", INT, SERVER_IN(intake_memory_bytes), .maximum = 1e12},
    {.key = "receive_buffer_bytes", INT, SERVER_IN(receive_buffer_bytes), .maximum = 1 << 30},
    {.key = "exit_when_done", .kind = COVEY_FIELD_BOOL, SERVER_IN(exit_when_done)},
    {.key = NULL}};
#define LOG_IN(member)                                                                                       \
    .offset = offsetof(struct server_config, log.member) - offsetof(struct server_config, log)
static const struct covey_field log_fields[] = {{.key = "level", CHOICE, LOG_IN(level), .choices = levels},
                                                {.key = "journal", .kind = COVEY_FIELD_BOOL, LOG_IN(journal)},
                                                {.key = NULL}};
static const struct covey_field config_fields[] = {
    {.key = "server",
     .kind = COVEY_FIELD_MAPPING,
     .offset = offsetof(struct server_config, server),
     .fields = server_fields},
    {.key = "log",
     .kind = COVEY_FIELD_MAPPING,
     .offset = offsetof(struct server_config, log),
     .fields = log_fields},
    {.key = "federations",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct server_config, federations),
     .required = true,
     .fields = federation_fields,
     .item_bytes = sizeof(struct federation_config),
     .item_kind = COVEY_FIELD_MAPPING,
     .count_offset = offsetof(struct server_config, federation_count),
     .item_limit = COVEY_FEDERATIONS},
    {.key = NULL}};

/* Literals; covey_yaml tells them from what it allocated. */
static const struct server_config defaults = {
    .server = {.name = (char *)(uintptr_t) "localhost",
               .address = (char *)(uintptr_t) "",
               .state = (char *)(uintptr_t) "state",
               .port = COVEY_COAP_PORT,
               .shard_devices = COVEY_SHARD_DEVICES},
    .log = {.level = COVEY_LOG_INFO},
};

/* ------------------------------------------------------------------ loading */

/* covey_data_config's own defaults, which a list's item does not get. */
static void fill_data(struct covey_data_config *data)
{
    if (!(data->split.alpha > 0))
        data->split.alpha = .5;
    if (data->split.shards == 0)
        data->split.shards = 2;
}

enum covey_status server_config_load(const char *folder, struct server_config *out, struct covey_error *err)
{
    char file[COVEY_FILE_PATH_BYTES];
    struct server_config config = defaults;
    if ((size_t)snprintf(file, sizeof file, "%s/%s", folder, COVEY_SERVER_FILE) >= sizeof file)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", folder);
    if (covey_yaml_load_file(file, config_fields, &config, sizeof config, err) != COVEY_OK) {
        if (err != NULL)
            err->status = COVEY_INVALID; /* one that is not there is wrong usage too */
        return COVEY_INVALID;
    }
    (void)snprintf(config.folder, sizeof config.folder, "%s", folder);
    for (uint32_t i = 0; i < config.federation_count; i++) {
        fill_data(&config.federations[i].evaluation.validation);
        fill_data(&config.federations[i].evaluation.test);
        fill_data(&config.federations[i].root_data);
    }
    if (config.federation_count == 0) {
        server_config_free(&config);
        return covey_fail(err, COVEY_INVALID, "%s: federations: at least one is needed", file);
    }
    *out = config;
    return COVEY_OK;
}

void server_config_free(struct server_config *config)
{
    if (config->server.state != NULL)
        covey_yaml_free(config_fields, config, &defaults);
    *config = (struct server_config){0};
}

enum covey_status server_config_path(const struct server_config *config, const char *name,
                                     char out[COVEY_FILE_PATH_BYTES], struct covey_error *err)
{
    const bool absolute = name[0] == '/';
    const int size = snprintf(out, COVEY_FILE_PATH_BYTES, "%s%s%s", absolute ? "" : config->folder,
                              absolute ? "" : "/", name);
    if (size < 0 || size >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path of more than %d characters", name,
                          COVEY_FILE_PATH_BYTES - 1);
    return COVEY_OK;
}

const struct federation_config *server_config_find(const struct server_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->federation_count; i++)
        if (name == NULL || name[0] == '\0' || strcmp(config->federations[i].name, name) == 0)
            return &config->federations[i];
    return NULL;
}

/* ------------------------------------------------------------------ kits */

/* A file of the configuration's folder if there is one of that name, else as training finds models. */
static enum covey_status load_model(const struct server_config *server, const char *name,
                                    struct covey_model_description *out, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    const size_t size = strlen(name);
    if (size <= 5 || strcmp(name + size - 5, ".yaml") != 0)
        return covey_model_load(name, out, err);
    COVEY_TRY(server_config_path(server, name, path, err));
    return covey_model_load_file(path, out, err);
}

enum covey_status federation_kit_model(struct federation_kit *kit, const struct server_config *server,
                                       const struct federation_config *config, struct covey_error *err)
{
    *kit = (struct federation_kit){.model = calloc(1, sizeof *kit->model)};
    if (kit->model == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a model");
    COVEY_TRY(load_model(server, config->model, kit->model, err));
    kit->model->control_variates = config->train.algorithm == COVEY_LOCAL_SCAFFOLD;
    kit->is_error = kit->model->loss == COVEY_LOSS_MEAN_SQUARED_ERROR;
    return covey_model_layout(kit->model, &kit->layout, err);
}

static enum covey_status load_initial(struct federation_kit *kit, const struct server_config *server,
                                      const struct federation_config *config, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    kit->initial = malloc(kit->layout.count * sizeof *kit->initial);
    if (kit->initial == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu values", kit->layout.count);
    COVEY_TRY(covey_model_initialise(kit->model, &kit->layout, (uint64_t)config->seed, kit->initial, err));
    if (config->initial == NULL || config->initial[0] == '\0')
        return COVEY_OK;
    COVEY_TRY(server_config_path(server, config->initial, path, err));
    return covey_safetensors_load(path, &kit->layout, kit->initial, NULL, err);
}

static void put_name(char *out, size_t out_bytes, const char *value, const char *otherwise)
{
    (void)snprintf(out, out_bytes, "%s", value == NULL || value[0] == '\0' ? otherwise : value);
}

static void fill_options(struct federation_kit *kit, const struct federation_config *config)
{
    struct covey_federation_options *options = &kit->options;
    *options = (struct covey_federation_options){
        .description = {kit->description, kit->description_bytes},
        .layout = &kit->layout,
        .initial = kit->initial,
        .population = (uint32_t)config->population,
        .weight_cap = config->weight_cap,
        .norm_limit = config->norm_limit,
        .refuse_range = config->out_of_range == 1,
        .watch = (enum covey_watched)config->stop.watch,
        .metric_is_error = kit->is_error,
        .heartbeat_ms = covey_keys_ms(config->round.heartbeat_s, 0),
        .retry_ms = covey_keys_ms(config->round.retry_s, 0),
        .window_blocks = (uint16_t)config->round.window_blocks,
        .models_kept = (uint32_t)config->models_kept,
        .deltas_kept = (uint32_t)config->deltas_kept,
        .deltas_kept_bytes = (uint64_t)config->deltas_kept_mib << 20,
        .judge = kit->evaluation == NULL ? NULL : evaluation_judge,
        .judge_user = kit->evaluation,
        .has_validation = evaluation_has(kit->evaluation, COVEY_PART_VALIDATION),
        .has_test = evaluation_has(kit->evaluation, COVEY_PART_TEST),
        .devices_every = (uint32_t)config->evaluation.devices.every,
        .devices_share = config->evaluation.devices.share > 0 ? config->evaluation.devices.share : 1,
    };
    put_name(options->name, sizeof options->name, config->name, "");
    put_name(options->codec, sizeof options->codec, config->codec, COVEY_CODEC_DEFAULT);
    put_name(options->downlink, sizeof options->downlink, config->downlink, COVEY_DOWNLINK_DEFAULT);
    put_name(options->strategy, sizeof options->strategy, config->strategy, "fedavg");
    covey_keys_recipe(&config->train, (uint64_t)config->seed, &options->recipe);
    covey_keys_weighting(&config->weighting, &options->weighting);
    covey_keys_rules(&config->selection, &config->round, &config->stop, &options->rules);
    options->rules.can_judge = options->has_validation;
}

static enum covey_status fill_gateways(struct federation_kit *kit, const struct federation_config *config,
                                       struct covey_error *err)
{
    kit->gateways = calloc((size_t)config->gateway_count + 1, sizeof *kit->gateways);
    if (kit->gateways == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u gateways", config->gateway_count);
    for (uint32_t i = 0; i < config->gateway_count; i++) {
        if (strlen(config->gateways[i].name) >= sizeof kit->gateways[i].name)
            return covey_fail(err, COVEY_INVALID, "gateways: a name of more than 63 characters");
        put_name(kit->gateways[i].name, sizeof kit->gateways[i].name, config->gateways[i].name, "");
        kit->gateways[i].devices = (uint32_t)config->gateways[i].devices;
    }
    kit->options.gateways = kit->gateways;
    kit->options.gateway_count = config->gateway_count;
    return COVEY_OK;
}

static enum covey_status add_root_data(struct federation_kit *kit, const struct server_config *server,
                                       const struct federation_config *config, struct covey_error *err)
{
    COVEY_TRY(root_data_create(server, config, kit, &kit->root, err));
    kit->options.root_user = root_data_update(kit->root);
    kit->options.root_update = kit->options.root_user == NULL ? NULL : covey_root_update_make;
    return COVEY_OK;
}

/* As the server does when it starts, for `federation check`. */
static enum covey_status check_strategy(struct covey_federation_options *options, struct covey_error *err)
{
    struct covey_chain chain;
    COVEY_TRY(covey_combination_settle(options, err));
    COVEY_TRY(covey_chain_parse(options->strategy, &chain, err));
    const struct covey_chain_demands demands = {.cohort = covey_round_rules_cohort(&options->rules),
                                                .partial_sums = options->gateway_count > 0,
                                                .has_reference = options->root_update != NULL};
    return covey_chain_check(&chain, &demands, err);
}

static enum covey_status make_kit(struct federation_kit *kit, const struct server_config *server,
                                  const struct federation_config *config, struct covey_error *err)
{
    COVEY_TRY(federation_kit_model(kit, server, config, err));
    COVEY_TRY(load_initial(kit, server, config, err));
    kit->description = malloc(COVEY_DESCRIPTION_BYTES);
    if (kit->description == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a description");
    COVEY_TRY(covey_description_encode(kit->model, kit->description, COVEY_DESCRIPTION_BYTES,
                                       &kit->description_bytes, err));
    COVEY_TRY(
        evaluation_create(server, config, kit->model, &kit->layout, kit->initial, &kit->evaluation, err));
    fill_options(kit, config);
    COVEY_TRY(fill_gateways(kit, config, err));
    COVEY_TRY(covey_keys_server_rule(&config->server_optimiser, config->server_rate,
                                     &kit->options.server_rule, err));
    COVEY_TRY(covey_recipe_check(&kit->options.recipe, err));
    COVEY_TRY(add_root_data(kit, server, config, err));
    return check_strategy(&kit->options, err);
}

enum covey_status federation_kit_init(struct federation_kit *kit, const struct server_config *server,
                                      const struct federation_config *config, struct covey_error *err)
{
    const enum covey_status status = make_kit(kit, server, config, err);
    if (status == COVEY_OK)
        return status;
    federation_kit_deinit(kit);
    char before[COVEY_NAME_BYTES + 32];
    (void)snprintf(before, sizeof before, "federation %.63s: ", config->name);
    return covey_fail_at(err, status, "%s", before);
}

void federation_kit_deinit(struct federation_kit *kit)
{
    evaluation_destroy(kit->evaluation);
    root_data_destroy(kit->root);
    if (kit->layout.tensors != NULL)
        covey_layout_deinit(&kit->layout);
    free(kit->initial);
    free(kit->gateways);
    free(kit->description);
    free(kit->model);
    *kit = (struct federation_kit){0};
}
