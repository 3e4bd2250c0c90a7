#include "scenario_keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "covey/client_config.h"
#include "covey/codec.h"

#define AT(member) .offset = offsetof(struct scenario_keys, scenario.member)
#define KEYS(block)                                                                                          \
    .key = #block, .kind = COVEY_FIELD_MAPPING, .offset = offsetof(struct scenario_keys, block),             \
    .fields = covey_keys_##block##_fields
#define IN(group, member)                                                                                    \
    .offset = offsetof(struct covey_scenario, group.member) - offsetof(struct covey_scenario, group)
#define OF(type, member) .offset = offsetof(struct type, member)
#define INT .kind = COVEY_FIELD_INT
#define REAL .kind = COVEY_FIELD_REAL
#define TEXT .kind = COVEY_FIELD_TEXT
#define CHOICE .kind = COVEY_FIELD_CHOICE
#define BLOCK(name, table) .key = #name, .kind = COVEY_FIELD_MAPPING, AT(name), .fields = (table)

#define DATA_FILES 65536u /* of partition kind files: devices */

static const char *const partitions[] = {"iid",     "shards", "dirichlet", "dirichlet-uneven",
                                         "natural", "files",  "drawn",     NULL};
static const char *const availabilities[] = {"always", "day-night", "charging", "trace", NULL};
static const char *const networks[] = {"table", "exact", NULL};
static const char *const attacks[] = {
    "none",  "label-flip", "sign-flip", "noise", "bit-flip", "model-replacement", "nan", "stale",
    "sybil", "mimic",      "alie",      "ipm",   NULL};
static const char *const attack_datas[] = {"own", "sample", NULL};
static const char *const feedbacks[] = {"on", "off", "auto", NULL};
static const char *const ranges[] = {"scale", "refuse", NULL};

static const struct covey_field data_fields[] = {
    {.key = "set", TEXT, IN(data, set), .hint = "a set of the catalogue, as fashion-mnist"},
    {.key = "train", .kind = COVEY_FIELD_MAPPING, IN(data, train), .fields = covey_data_fields},
    {.key = "test", .kind = COVEY_FIELD_MAPPING, IN(data, test), .fields = covey_data_fields},
    {.key = "owners", TEXT, IN(data, owners), .hint = "an IDX or NPY file of one whole number an example"},
    {.key = "files",
     .kind = COVEY_FIELD_LIST,
     .item_kind = COVEY_FIELD_TEXT,
     .item_bytes = sizeof(char *),
     .item_limit = DATA_FILES,
     IN(data, files.names),
     .count_offset =
         offsetof(struct covey_scenario, data.files.count) - offsetof(struct covey_scenario, data),
     .hint = "a list of folders or CSV files, one a device"},
    {.key = "hold_out", INT, IN(data, hold_out), .maximum = COVEY_DATASET_EXAMPLES},
    {.key = "validation", INT, IN(data, validation), .maximum = COVEY_DATASET_EXAMPLES},
    {.key = "root_data", INT, IN(data, root_data), .maximum = COVEY_DATASET_EXAMPLES, .sparse = true},
    {.key = NULL}};
static const struct covey_field partition_fields[] = {
    {.key = "kind", CHOICE, OF(covey_partition_config, kind), .choices = partitions},
    {.key = "devices", INT, OF(covey_partition_config, devices), .maximum = COVEY_SIM_DEVICES},
    {.key = "shards", INT, OF(covey_partition_config, shards), .minimum = 1, .maximum = 1000},
    {.key = "alpha", REAL, OF(covey_partition_config, alpha), .minimum = 1e-6, .maximum = 1e6},
    {.key = "examples", INT, OF(covey_partition_config, examples), .maximum = COVEY_UPDATE_EXAMPLES},
    {.key = NULL}};
static const struct covey_field device_fields[] = {
    {.key = "class", TEXT, OF(covey_device_class_config, class_name), .required = true, .hint = "pi-4"},
    {.key = "share", REAL, OF(covey_device_class_config, share), .maximum = 1e9},
    {.key = "examples_per_s", REAL, OF(covey_device_class_config, examples_per_s), .maximum = 1e12},
    {.key = "memory_bytes", REAL, OF(covey_device_class_config, memory_bytes), .maximum = 1e15},
    {.key = "joules_per_gflop", REAL, OF(covey_device_class_config, joules_per_gflop), .maximum = 1e6},
    {.key = "idle_watts", REAL, OF(covey_device_class_config, idle_watts), .maximum = 1e6},
    {.key = "battery_wh", REAL, OF(covey_device_class_config, battery_wh), .maximum = 1e9},
    {.key = "slow_share", REAL, OF(covey_device_class_config, slow_share), .maximum = 1},
    {.key = "slow_factor", REAL, OF(covey_device_class_config, slow_factor), .maximum = 1e6},
    {.key = "link", TEXT, OF(covey_device_class_config, link), .hint = "a class of links"},
    {.key = NULL}};
static const struct covey_field link_fields[] = {
    {.key = "class", TEXT, OF(covey_link_class_config, class_name), .required = true, .hint = "wifi"},
    {.key = "share", REAL, OF(covey_link_class_config, share), .maximum = 1e9},
    {.key = "up_bits_per_s", REAL, OF(covey_link_class_config, up_bits_per_s), .maximum = 1e12},
    {.key = "down_bits_per_s", REAL, OF(covey_link_class_config, down_bits_per_s), .maximum = 1e12},
    {.key = "round_trip_ms", REAL, OF(covey_link_class_config, round_trip_ms), .maximum = 1e6},
    {.key = "loss", REAL, OF(covey_link_class_config, loss), .maximum = .9, .hint = "of a datagram"},
    {.key = "joules_per_byte_up", REAL, OF(covey_link_class_config, joules_per_byte_up), .maximum = 1e3},
    {.key = "joules_per_byte_down", REAL, OF(covey_link_class_config, joules_per_byte_down), .maximum = 1e3},
    {.key = NULL}};
static const struct covey_field availability_fields[] = {
    {.key = "kind", CHOICE, IN(availability, kind), .choices = availabilities},
    {.key = "from_hour", REAL, IN(availability, from_hour), .maximum = 24},
    {.key = "to_hour", REAL, IN(availability, to_hour), .maximum = 24},
    {.key = "hours", REAL, IN(availability, hours), .maximum = 24},
    {.key = "spread_hours", REAL, IN(availability, spread_hours), .maximum = 24},
    {.key = "trace", TEXT, IN(availability, trace), .hint = "a CSV file of lines device,from_s,to_s"},
    {.key = NULL}};
static const struct covey_field churn_fields[] = {
    {.key = "drop_rate", REAL, IN(churn, drop_rate), .maximum = 1},
    {.key = "leave_per_day", REAL, IN(churn, leave_per_day), .maximum = 1e6},
    {.key = NULL}};
static const struct covey_field attack_fields[] = {
    {.key = "kind", CHOICE, IN(attack, kind), .choices = attacks},
    {.key = "share", REAL, IN(attack, share), .maximum = 1},
    {.key = "strength", REAL, IN(attack, strength), .maximum = 1e9},
    {.key = "data", CHOICE, IN(attack, data), .choices = attack_datas, .sparse = true},
    {.key = NULL}};

/* Nothing is `required` here: overrides are read as documents of their own. covey_scenario_load asks. */
const struct covey_field scenario_fields[] = {
    {.key = "name", TEXT, AT(name)},
    {.key = "seed", INT, AT(seed), .maximum = 9e15},
    {BLOCK(data, data_fields)},
    {BLOCK(partition, partition_fields)},
    {.key = "model", TEXT, AT(model), .hint = "a shipped model's name or a file.yaml"},
    {.key = "initial", TEXT, AT(initial), .hint = "a file.safetensors"},
    {KEYS(train)},
    {.key = "codec", TEXT, AT(codec), .hint = "a codec, e.g. ec:2, int8, raw32"},
    {.key = "downlink", TEXT, AT(downlink), .hint = "a codec, e.g. ec:1, int8, fp16, raw32"},
    {.key = "strategy", TEXT, AT(strategy), .hint = "fedavg"},
    {.key = "server_rate", REAL, AT(server_rate), .minimum = 1e-9, .maximum = 1000},
    {BLOCK(server_optimiser, covey_keys_optimiser_fields)},
    {BLOCK(weighting, covey_keys_weighting_fields)},
    {.key = "population", INT, AT(population), .maximum = COVEY_DEVICES, .sparse = true},
    {.key = "epochs_from", INT, AT(epochs_from), .maximum = COVEY_LOCAL_EPOCHS, .sparse = true},
    {.key = "norm_limit", REAL, AT(norm_limit), .maximum = 1e30},
    {.key = "weight_cap", REAL, AT(weight_cap), .minimum = 1, .maximum = COVEY_UPDATE_EXAMPLES},
    {.key = "out_of_range",
     CHOICE,
     .offset = offsetof(struct scenario_keys, out_of_range),
     .choices = ranges},
    {.key = "error_feedback", CHOICE, AT(feedback), .choices = feedbacks},
    {.key = "feedback_rounds", INT, AT(feedback_rounds), .maximum = COVEY_ROUNDS},
    {.key = "clip_norm", REAL, AT(clip_norm), .maximum = 1e30},
    {.key = "store_bytes", INT, AT(store_bytes), .maximum = 1e15},
    {KEYS(selection)},
    {KEYS(round)},
    {KEYS(stop)},
    {.key = "evaluate_every", INT, AT(evaluate_every), .minimum = 1, .maximum = COVEY_ROUNDS},
    {.key = "evaluate_from", INT, AT(evaluate_from), .maximum = COVEY_ROUNDS, .sparse = true},
    {.key = "devices_judged", INT, AT(devices_judged), .maximum = COVEY_SIM_DEVICES},
    {.key = "devices_judged_every", INT, AT(devices_judged_every), .maximum = COVEY_ROUNDS, .sparse = true},
    {.key = "devices_hold_out", REAL, AT(devices_hold_out), .maximum = .9, .sparse = true},
    {.key = "devices_validation", REAL, AT(devices_validation), .maximum = .9, .sparse = true},
    {.key = "devices",
     .kind = COVEY_FIELD_LIST,
     .item_kind = COVEY_FIELD_MAPPING,
     .item_bytes = sizeof(struct covey_device_class_config),
     .item_limit = COVEY_SIM_CLASSES,
     AT(devices),
     .count_offset = offsetof(struct scenario_keys, scenario.device_class_count),
     .fields = device_fields},
    {.key = "links",
     .kind = COVEY_FIELD_LIST,
     .item_kind = COVEY_FIELD_MAPPING,
     .item_bytes = sizeof(struct covey_link_class_config),
     .item_limit = COVEY_SIM_CLASSES,
     AT(links),
     .count_offset = offsetof(struct scenario_keys, scenario.link_class_count),
     .fields = link_fields},
    {.key = "network", CHOICE, AT(network), .choices = networks},
    {BLOCK(availability, availability_fields)},
    {BLOCK(churn, churn_fields)},
    {BLOCK(attack, attack_fields)},
    {.key = NULL}};

#define WORD(text) (char *)(uintptr_t)(text) /* literals; covey_yaml tells them from what it allocated */
const struct scenario_keys scenario_defaults = {
    .scenario =
        {
            .seed = 1,
            .partition = {.devices = 0, .shards = 2, .alpha = .5},
            .codec = WORD(COVEY_CODEC_DEFAULT),
            .downlink = WORD(COVEY_DOWNLINK_DEFAULT),
            .strategy = WORD("fedavg"),
            .server_rate = 1,
            .weight_cap = COVEY_UPDATE_EXAMPLES,
            .feedback = COVEY_FEEDBACK_AUTO,
            .feedback_rounds = 100,
            .store_bytes = 1ll << 30,
            .evaluate_every = 1,
            .devices_judged = 0,
            .availability = {.from_hour = 22, .to_hour = 6, .hours = 6},
            .attack = {.strength = 1},
        },
    .round = {.heartbeat_s = 25, .retry_s = 5, .window_blocks = COVEY_WINDOW_BLOCKS},
};

/* ------------------------------------------------------------------ there and back */

void scenario_from_keys(struct scenario_keys *keys)
{
    struct covey_scenario *scenario = &keys->scenario;
    covey_keys_recipe(&keys->train, (uint64_t)scenario->seed, &scenario->train);
    covey_keys_rules(&keys->selection, &keys->round, &keys->stop, &scenario->rules);
    scenario->rules.can_judge = true;
    scenario->watch_loss = keys->stop.watch == 1;
    scenario->refuse_range = keys->out_of_range == 1;
    scenario->heartbeat_ms = covey_keys_ms(keys->round.heartbeat_s, 25000);
    scenario->retry_ms = covey_keys_ms(keys->round.retry_s, 5000);
    scenario->window_blocks = (uint16_t)keys->round.window_blocks;
}

/* The decimal with the fewest digits that is the same float. */
static double shortest(float value)
{
    char text[32];
    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        const float back = (float)strtod(text, NULL);
        if (!(back < value || back > value))
            break;
    }
    return strtod(text, NULL);
}

void scenario_to_keys(const struct covey_scenario *scenario, struct scenario_keys *out)
{
    const struct covey_recipe *recipe = &scenario->train;
    const struct covey_round_rules *rules = &scenario->rules;
    *out = (struct scenario_keys){
        .scenario = *scenario,
        .train = {.epochs = recipe->epochs,
                  .steps = recipe->steps,
                  .batch = recipe->batch == 0 ? -1 : (int64_t)recipe->batch,
                  .optimiser = recipe->optimiser,
                  .learning_rate = shortest(recipe->learning_rate),
                  .momentum = shortest(recipe->momentum),
                  .beta2 = shortest(recipe->beta2),
                  .epsilon = shortest(recipe->epsilon),
                  .weight_decay = shortest(recipe->weight_decay),
                  .schedule = recipe->schedule,
                  .schedule_factor = shortest(recipe->schedule_factor),
                  .schedule_period = recipe->schedule_period,
                  .proximal_mu = shortest(recipe->proximal_mu),
                  .algorithm = recipe->algorithm,
                  .strength = shortest(recipe->strength)},
        .selection = {.fraction = rules->fraction,
                      .over_selection = rules->over_selection,
                      .count = rules->count,
                      .minimum_devices = rules->minimum_devices,
                      .policy = rules->selection.policy,
                      .candidates = rules->selection.candidates,
                      .exploration = rules->selection.exploration,
                      .pace_s = rules->selection.pace_s},
        .round = {.mode = (int64_t)rules->mode,
                  .buffer = rules->buffer,
                  .concurrency = rules->concurrency,
                  .staleness_max = rules->staleness_max,
                  .late = rules->late_use,
                  .goal = rules->goal,
                  .minimum_updates = rules->minimum_updates,
                  .deadline_s = rules->deadline_ms / 1000.0,
                  .pause_s = rules->pause_ms / 1000.0,
                  .heartbeat_s = scenario->heartbeat_ms / 1000.0,
                  .retry_s = scenario->retry_ms / 1000.0,
                  .window_blocks = scenario->window_blocks},
        .stop = {.rounds = rules->stop_rounds,
                 .watch = scenario->watch_loss ? 1 : 0,
                 .patience = rules->stop_patience,
                 .target = rules->has_target ? rules->stop_target : 0,
                 .gain = rules->stop_gain},
        .out_of_range = scenario->refuse_range ? 1 : 0,
    };
}
