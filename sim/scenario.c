#include "scenario.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/codec.h"
#include "covey/model.h"
#include "covey/strategy.h"
#include "covey/trainer.h"
#include "attack.h"
#include "combination.h"
#include "scenario_keys.h"
#include "sim_data.h"
#include "world.h"

/* ------------------------------------------------------------------ overrides */

/* "round.goal=5" as a document of its own: one key a line, each further in. */
static enum covey_status setting_document(const char *setting, char *out, size_t out_bytes,
                                          struct covey_error *err)
{
    const char *value = strchr(setting, '=');
    size_t used = 0;
    int depth = 0;
    if (value == NULL || value == setting || strchr(setting, '\n') != NULL)
        return covey_fail(err, COVEY_INVALID, "--set %.80s: wants KEY.PATH=VALUE, as train.epochs=5",
                          setting);
    for (const char *at = setting; at < value;) {
        const size_t bytes = strcspn(at, ".=");
        const int wrote = snprintf(out + used, out_bytes - used, "%s%*s%.*s:", depth > 0 ? "\n" : "",
                                   2 * depth, "", (int)bytes, at);
        used += (size_t)wrote;
        if (used >= out_bytes || ++depth > 8)
            return covey_fail(err, COVEY_LIMIT, "--set %.80s: too long", setting);
        at += bytes + 1;
    }
    if ((size_t)snprintf(out + used, out_bytes - used, " %s\n", value + 1) >= out_bytes - used)
        return covey_fail(err, COVEY_LIMIT, "--set %.80s: too long", setting);
    return COVEY_OK;
}

/* covey_yaml's "--set KEY:LINE: what" without the line, which is none of the user's. */
static void drop_line(struct covey_error *err, size_t name_bytes)
{
    if (err == NULL || strlen(err->text) <= name_bytes || err->text[name_bytes] != ':')
        return;
    const size_t digits = strspn(err->text + name_bytes + 1, "0123456789");
    char *rest = err->text + name_bytes;
    if (digits > 0)
        memmove(rest, rest + 1 + digits, strlen(rest + 1 + digits) + 1);
}

static enum covey_status apply_setting(const char *setting, struct scenario_keys *keys,
                                       struct covey_error *err)
{
    char document[4096], name[160];
    COVEY_TRY(setting_document(setting, document, sizeof document, err));
    (void)snprintf(name, sizeof name, "--set %.*s", (int)(strchr(setting, '=') - setting), setting);
    const enum covey_status status =
        covey_yaml_load_text(name, document, strlen(document), scenario_fields, keys, sizeof *keys, err);
    if (status != COVEY_OK)
        drop_line(err, strlen(name));
    return status;
}

/* ------------------------------------------------------------------ what is wrong, and where */

/* Does one of the settings say this key, or a part of it? */
static const char *setting_of(const char *key, const char *const *settings, uint32_t count)
{
    for (uint32_t i = count; i-- > 0;) {
        const size_t bytes = strcspn(settings[i], "=");
        if (strncmp(settings[i], key, bytes) == 0 && (key[bytes] == '\0' || key[bytes] == '.'))
            return settings[i];
    }
    return NULL;
}

struct checking {
    const struct covey_scenario *scenario;
    const char *const *settings;
    uint32_t setting_count;
    struct covey_error *err;
};

/* Puts the place of `key` in front of what err says. */
static enum covey_status wrong_at(const struct checking *checking, const char *key, enum covey_status status)
{
    const char *setting = setting_of(key, checking->settings, checking->setting_count);
    if (setting != NULL)
        return covey_fail_at(checking->err, status, "--set %.*s: ", (int)strcspn(setting, "="), setting);
    return covey_fail_at(checking->err, status, "%s:%u: ", checking->scenario->file,
                         covey_yaml_line(checking->scenario->file, key));
}

static enum covey_status check_named(const struct checking *checking)
{
    const struct covey_scenario *scenario = checking->scenario;
    const struct {
        const char *key;
        bool there;
        const char *hint;
    } wanted[] = {
        {"name", scenario->name != NULL && scenario->name[0] != '\0', "a name for the run"},
        {"model", scenario->model != NULL && scenario->model[0] != '\0',
         "a shipped model's name or a file.yaml"},
        {"data",
         scenario->data.set != NULL || covey_data_is_named(&scenario->data.train) ||
             scenario->data.files.count != 0,
         "{set: NAME}, or `train` with files of your own"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (!wanted[i].there)
            return covey_fail(checking->err, COVEY_INVALID, "%s:1: key '%s' is missing: %s", scenario->file,
                              wanted[i].key, wanted[i].hint);
    if (strlen(scenario->name) >= COVEY_NAME_BYTES)
        return wrong_at(checking, "name",
                        covey_fail(checking->err, COVEY_INVALID, "'name' has more than %d characters",
                                   COVEY_NAME_BYTES - 1));
    return COVEY_OK;
}

static enum covey_status check_data(const struct checking *checking)
{
    const struct covey_scenario *scenario = checking->scenario;
    struct covey_error *err = checking->err;
    char folder[COVEY_FILE_PATH_BYTES];
    if (scenario->data.set == NULL) {
        const enum covey_status status = covey_sim_data_check(scenario, err);
        return status == COVEY_OK ? status : wrong_at(checking, "data", status);
    }
    if (covey_data_is_named(&scenario->data.train) || scenario->data.files.count != 0)
        return wrong_at(checking, "data.set",
                        covey_fail(err, COVEY_INVALID, "'set' or files of your own, not both"));
    const struct covey_sim_set *set = covey_sim_set_find(scenario->data.set);
    if (set == NULL) {
        char names[256] = "";
        for (size_t i = 0, used = 0; (set = covey_sim_set_at(i)) != NULL && used < sizeof names; i++)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "", set->name);
        return wrong_at(checking, "data.set",
                        covey_fail(err, COVEY_INVALID, "no data set is called '%.60s'; there are: %s",
                                   scenario->data.set, names));
    }
    const enum covey_status status = covey_sim_set_folder(set, folder, err);
    if (status != COVEY_OK)
        return wrong_at(checking, "data.set", status);
    if (scenario->data.validation + scenario->data.root_data >= set->examples)
        return wrong_at(checking, "data.validation",
                        covey_fail(err, COVEY_INVALID,
                                   "'validation' of %lld with 'root_data' of %lld leaves nothing of %s's %u "
                                   "examples",
                                   (long long)scenario->data.validation, (long long)scenario->data.root_data,
                                   set->name, set->examples));
    return COVEY_OK;
}

/* Examples to train on, as far as is known without reading the data; 0: not known. */
static uint32_t known_examples(const struct covey_scenario *scenario)
{
    const struct covey_sim_set *set =
        scenario->data.set != NULL ? covey_sim_set_find(scenario->data.set) : NULL;
    const int64_t taken = scenario->data.validation + scenario->data.root_data;
    return set != NULL && taken < set->examples ? set->examples - (uint32_t)taken : 0;
}

static enum covey_status check_partition(const struct checking *checking)
{
    const struct covey_scenario *scenario = checking->scenario;
    const struct covey_partition_config *partition = &scenario->partition;
    const struct covey_sim_set *set =
        scenario->data.set != NULL ? covey_sim_set_find(scenario->data.set) : NULL;
    const bool owned = partition->kind == COVEY_PARTITION_NATURAL || partition->kind == COVEY_PARTITION_FILES;
    struct covey_error *err = checking->err;
    const uint32_t examples = known_examples(scenario);
    if (!owned && partition->devices == 0)
        return wrong_at(checking, "partition.devices",
                        covey_fail(err, COVEY_INVALID, "'devices' of 'partition' is missing: how many?"));
    if (partition->kind == COVEY_PARTITION_DRAWN && partition->examples == 0)
        return wrong_at(checking, "partition.examples",
                        covey_fail(err, COVEY_INVALID,
                                   "'examples' of 'partition' is missing: how many each device draws"));
    if (!owned && partition->kind != COVEY_PARTITION_DRAWN && examples != 0 && partition->devices > examples)
        return wrong_at(checking, "partition.devices",
                        covey_fail(err, COVEY_INVALID,
                                   "%lld devices cannot share %u examples; `kind: drawn` gives each its own",
                                   (long long)partition->devices, examples));
    if (partition->kind == COVEY_PARTITION_NATURAL &&
        (set != NULL ? set->owner == NULL : scenario->data.owners == NULL))
        return wrong_at(checking, "partition.kind",
                        covey_fail(err, COVEY_INVALID,
                                   "this data does not say whose its examples are; use dirichlet or shards%s",
                                   set == NULL ? ", or name a file in data.owners" : ""));
    if (scenario->attack.data == COVEY_ATTACK_DATA_SAMPLE &&
        (owned || partition->kind == COVEY_PARTITION_DRAWN))
        return wrong_at(checking, "attack.data",
                        covey_fail(err, COVEY_INVALID,
                                   "'sample' wants examples that are dealt out to a number of devices: "
                                   "partition.kind iid, shards or dirichlet"));
    if (partition->kind == COVEY_PARTITION_FILES && scenario->data.files.count == 0)
        return wrong_at(checking, "partition.kind",
                        covey_fail(err, COVEY_INVALID, "'files' wants a list in data.files"));
    if (partition->kind == COVEY_PARTITION_NATURAL && set != NULL && partition->devices > set->owners)
        return wrong_at(checking, "partition.devices",
                        covey_fail(err, COVEY_INVALID, "%s has %u (one %s each), not %lld", set->name,
                                   set->owners, set->owner, (long long)partition->devices));
    if (set != NULL && set->classes == 0 && partition->kind >= COVEY_PARTITION_SHARDS &&
        partition->kind <= COVEY_PARTITION_DIRICHLET_UNEVEN)
        return wrong_at(
            checking, "partition.kind",
            covey_fail(err, COVEY_INVALID, "%s has no labels to go by; use natural or iid", set->name));
    return COVEY_OK;
}

static enum covey_status check_cohort(const struct checking *checking)
{
    const struct covey_round_rules *rules = &checking->scenario->rules;
    struct covey_error *err = checking->err;
    const uint32_t devices = covey_scenario_devices(checking->scenario);
    const struct {
        const char *key;
        uint32_t value;
    } sizes[] = {{"selection.count", rules->count},
                 {"selection.minimum_devices", rules->minimum_devices},
                 {"round.goal", rules->goal},
                 {"round.concurrency", rules->concurrency},
                 {"round.minimum_updates", rules->minimum_updates}};
    for (size_t i = 0; devices != 0 && i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value > devices)
            return wrong_at(checking, sizes[i].key,
                            covey_fail(err, COVEY_INVALID, "%s is %u, but there are only %u devices",
                                       sizes[i].key, sizes[i].value, devices));
    enum covey_status status = covey_round_rules_check(rules, err);
    if (status == COVEY_OK && covey_round_rules_last(rules) &&
        (covey_attack_spies(checking->scenario) ||
         (checking->scenario->attack.share > 0 && checking->scenario->attack.kind == COVEY_ATTACK_SYBIL)))
        status = covey_fail(err, COVEY_UNSUPPORTED,
                            "this attack looks at all updates of a round, and where work outlives its round "
                            "they are not made together: round.mode synchronous and round.late refuse");
    if (status != COVEY_OK)
        return wrong_at(checking, "selection", status);
    const double wanted = rules->count != 0 ? rules->count : rules->fraction * devices;
    const double chosen = wanted * (1 + rules->over_selection);
    if (devices != 0 && rules->goal != 0 && rules->goal > chosen + 1)
        return wrong_at(checking, "round.goal",
                        covey_fail(err, COVEY_INVALID,
                                   "goal is %u, but only %.0f devices are chosen; raise selection.count",
                                   rules->goal, chosen));
    if (chosen > COVEY_DEVICES)
        return wrong_at(checking, "selection",
                        covey_fail(err, COVEY_INVALID, "%.0f devices a round; at most %u are possible",
                                   chosen, COVEY_DEVICES));
    return COVEY_OK;
}

static enum covey_status check_method(const struct checking *checking)
{
    const struct covey_scenario *scenario = checking->scenario;
    struct covey_codec codec;
    enum covey_status status = covey_codec_parse(scenario->codec, &codec, checking->err);
    if (status != COVEY_OK)
        return wrong_at(checking, "codec", status);
    if ((status = covey_codec_parse_downlink(scenario->downlink, &codec, checking->err)) != COVEY_OK)
        return wrong_at(checking, "downlink", status);
    struct covey_chain chain;
    if ((status = covey_chain_parse(scenario->strategy, &chain, checking->err)) != COVEY_OK)
        return wrong_at(checking, "strategy", status);
    if ((status = covey_recipe_check(&scenario->train, checking->err)) != COVEY_OK)
        return wrong_at(checking, "train", status);
    if (scenario->epochs_from > scenario->train.epochs)
        return wrong_at(checking, "epochs_from",
                        covey_fail(checking->err, COVEY_INVALID, "epochs_from is %lld, train.epochs %u",
                                   (long long)scenario->epochs_from, scenario->train.epochs));
    struct covey_federation_options combination;
    status = covey_scenario_combination(scenario, NULL, &combination, checking->err);
    return status == COVEY_OK ? status : wrong_at(checking, "train.algorithm", status);
}

/* Parameters, and the workspace of a usual share. */
static enum covey_status check_memory(const struct checking *checking,
                                      const struct covey_model_description *model)
{
    const struct covey_scenario *scenario = checking->scenario;
    const uint32_t devices = covey_scenario_devices(scenario), all = known_examples(scenario);
    const struct covey_training_options options = {.recipe = &scenario->train,
                                                   .examples = scenario->partition.examples > 0
                                                                   ? (uint32_t)scenario->partition.examples
                                                               : devices > 0 && all > devices ? all / devices
                                                                                              : 1000};
    struct covey_model_summary summary;
    uint64_t workspace_bytes;
    COVEY_TRY(covey_model_summarise(model, &summary, checking->err));
    enum covey_status status =
        covey_trainer_workspace_bytes(model, &options, &workspace_bytes, checking->err);
    if (status != COVEY_OK)
        return wrong_at(checking, "train", status);
    status = covey_world_fits(scenario, workspace_bytes + 4 * summary.parameters, checking->err);
    return status == COVEY_OK ? status : wrong_at(checking, "devices", status);
}

static enum covey_status check_model(const struct checking *checking, struct covey_scenario *scenario)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct covey_model_description *model = malloc(sizeof *model);
    if (model == NULL)
        return covey_fail(checking->err, COVEY_NO_MEMORY, "no memory for a model");
    enum covey_status status = covey_scenario_model(scenario, model, checking->err);
    const bool is_error = status == COVEY_OK && model->loss == COVEY_LOSS_MEAN_SQUARED_ERROR;
    if (status != COVEY_OK)
        status = wrong_at(checking, "model", status);
    else
        status = check_memory(checking, model);
    free(model);
    COVEY_TRY(status);
    scenario->rules.lower_is_better = scenario->watch_loss || is_error;
    const struct covey_sim_set *set =
        scenario->data.set != NULL ? covey_sim_set_find(scenario->data.set) : NULL;
    if (set != NULL && (set->classes == 0) != is_error)
        return wrong_at(checking, "model",
                        covey_fail(checking->err, COVEY_INVALID,
                                   "'%.60s' does not fit %s, which is for %s; try %s", scenario->model,
                                   set->name, is_error ? "classification" : "regression", set->model));
    if (scenario->initial == NULL)
        return COVEY_OK;
    if ((status = covey_scenario_path(scenario, scenario->initial, path, checking->err)) == COVEY_OK &&
        access(path, R_OK) != 0)
        status = covey_fail(checking->err, COVEY_NOT_FOUND, "%s: %s", path, strerror(errno));
    return status == COVEY_OK ? status : wrong_at(checking, "initial", status);
}

/* ------------------------------------------------------------------ loading */

/* covey_data_config's own defaults, for those that are named. */
static void fill_data(struct covey_data_config *data)
{
    if (!covey_data_is_named(data))
        return;
    if (!(data->split.alpha > 0))
        data->split.alpha = .5;
    if (data->split.shards == 0)
        data->split.shards = 2;
    if (data->split.devices == 0)
        data->split.devices = 1;
}

static void free_keys(struct scenario_keys *keys, const struct scenario_keys *before)
{
    covey_yaml_free(scenario_fields, keys, before);
}

/* File and overrides, each reading on top of the one before: texts of the one before stay its own, so all
 * readings are kept until the end, and what comes out is read anew from one text. */
static enum covey_status read_all(const char *file, const char *const *settings, uint32_t setting_count,
                                  char **text, struct covey_error *err)
{
    struct scenario_keys *steps = calloc((size_t)setting_count + 1, sizeof *steps);
    uint32_t done = 0;
    if (steps == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a scenario");
    steps[0] = scenario_defaults;
    enum covey_status status = covey_yaml_load_file(file, scenario_fields, &steps[0], sizeof steps[0], err);
    for (; status == COVEY_OK && done < setting_count; done++) {
        steps[done + 1] = steps[done];
        status = apply_setting(settings[done], &steps[done + 1], err);
    }
    struct scenario_keys filled = steps[done];
    fill_data(&filled.scenario.data.train);
    fill_data(&filled.scenario.data.test);
    scenario_from_keys(&filled);
    if (status == COVEY_OK && covey_scenario_write(&filled.scenario, text) != COVEY_OK)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for a scenario");
    for (; done > 0; done--)
        free_keys(&steps[done], &steps[done - 1]);
    free_keys(&steps[0], &scenario_defaults);
    free(steps);
    return status;
}

static enum covey_status place(struct covey_scenario *scenario, const char *file, struct covey_error *err)
{
    const char *slash = strrchr(file, '/');
    if (strlen(file) >= sizeof scenario->file)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", file);
    (void)snprintf(scenario->file, sizeof scenario->file, "%s", file);
    if (slash == NULL)
        (void)snprintf(scenario->folder, sizeof scenario->folder, ".");
    else
        (void)snprintf(scenario->folder, sizeof scenario->folder, "%.*s",
                       slash == file ? 1 : (int)(slash - file), file);
    return COVEY_OK;
}

static enum covey_status hash_scenario(struct covey_scenario *scenario, struct covey_error *err)
{
    char *text = NULL;
    enum covey_status status = covey_scenario_write(scenario, &text);
    if (status == COVEY_OK)
        status = covey_hash_bytes((struct covey_bytes){(const uint8_t *)text, strlen(text)}, &scenario->hash);
    free(text);
    return status == COVEY_OK ? status : covey_fail(err, status, "the scenario cannot be hashed");
}

static enum covey_status finish(struct covey_scenario *scenario, const char *const *settings,
                                uint32_t setting_count, struct covey_error *err)
{
    const struct checking checking = {scenario, settings, setting_count, err};
    COVEY_TRY(check_named(&checking));
    COVEY_TRY(check_data(&checking));
    COVEY_TRY(check_partition(&checking));
    const char *key = NULL;
    const enum covey_status status = covey_world_check(scenario, &key, err);
    if (status != COVEY_OK)
        return wrong_at(&checking, key != NULL ? key : "devices", status);
    COVEY_TRY(check_method(&checking));
    COVEY_TRY(check_model(&checking, scenario));
    COVEY_TRY(check_cohort(&checking));
    return hash_scenario(scenario, err);
}

enum covey_status covey_scenario_load(const char *file, const char *const *settings, uint32_t setting_count,
                                      struct covey_scenario *out, struct covey_error *err)
{
    char *text = NULL;
    struct scenario_keys keys = scenario_defaults;
    if (setting_count > COVEY_SIM_SETTINGS)
        return covey_fail(err, COVEY_LIMIT, "more than %d times --set", COVEY_SIM_SETTINGS);
    COVEY_TRY(covey_crypto_start(err));
    COVEY_TRY(read_all(file, settings, setting_count, &text, err));
    enum covey_status status =
        covey_yaml_load_text(file, text, strlen(text), scenario_fields, &keys, sizeof keys, err);
    free(text);
    if (status != COVEY_OK)
        return status;
    scenario_from_keys(&keys);
    status = place(&keys.scenario, file, err);
    if (status == COVEY_OK)
        status = finish(&keys.scenario, settings, setting_count, err);
    if (status != COVEY_OK) {
        covey_scenario_free(&keys.scenario);
        return status;
    }
    *out = keys.scenario;
    return COVEY_OK;
}

void covey_scenario_free(struct covey_scenario *scenario)
{
    struct scenario_keys keys = {.scenario = *scenario};
    if (scenario->name != NULL || scenario->codec != NULL)
        free_keys(&keys, &scenario_defaults);
    *scenario = (struct covey_scenario){0};
}

enum covey_status covey_scenario_write(const struct covey_scenario *scenario, char **out)
{
    struct scenario_keys keys;
    scenario_to_keys(scenario, &keys);
    return covey_yaml_write(scenario_fields, &keys, out);
}

/* ------------------------------------------------------------------ what it names */

enum covey_status covey_scenario_path(const struct covey_scenario *scenario, const char *name,
                                      char out[COVEY_FILE_PATH_BYTES], struct covey_error *err)
{
    const bool plain = name[0] == '/' || strcmp(scenario->folder, ".") == 0;
    const int size =
        snprintf(out, COVEY_FILE_PATH_BYTES, "%s%s%s", plain ? "" : scenario->folder, plain ? "" : "/", name);
    if (size < 0 || size >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path of more than %d characters", name,
                          COVEY_FILE_PATH_BYTES - 1);
    return COVEY_OK;
}

enum covey_status covey_scenario_model(const struct covey_scenario *scenario,
                                       struct covey_model_description *out, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    const size_t size = strlen(scenario->model);
    if (size <= 5 || strcmp(scenario->model + size - 5, ".yaml") != 0) {
        COVEY_TRY(covey_model_load(scenario->model, out, err));
    } else {
        COVEY_TRY(covey_scenario_path(scenario, scenario->model, path, err));
        COVEY_TRY(covey_model_load_file(path, out, err));
    }
    out->control_variates = scenario->train.algorithm == COVEY_LOCAL_SCAFFOLD;
    return COVEY_OK;
}

enum covey_status covey_scenario_combination(const struct covey_scenario *scenario,
                                             const struct covey_layout *layout,
                                             struct covey_federation_options *out, struct covey_error *err)
{
    const uint32_t devices = covey_scenario_devices(scenario);
    *out = (struct covey_federation_options){
        .layout = layout,
        .recipe = scenario->train,
        .rules = scenario->rules,
        .population = scenario->population > 0 ? (uint32_t)scenario->population : devices};
    if (out->population == 0)
        out->population = 1; /* it comes with the data */
    covey_keys_weighting(&scenario->weighting, &out->weighting);
    (void)snprintf(out->codec, sizeof out->codec, "%s", scenario->codec);
    (void)snprintf(out->strategy, sizeof out->strategy, "%s", scenario->strategy);
    COVEY_TRY(
        covey_keys_server_rule(&scenario->server_optimiser, scenario->server_rate, &out->server_rule, err));
    return covey_combination_settle(out, err);
}

uint32_t covey_scenario_devices(const struct covey_scenario *scenario)
{
    if (scenario->partition.devices != 0)
        return (uint32_t)scenario->partition.devices;
    if (scenario->partition.kind == COVEY_PARTITION_FILES)
        return scenario->data.files.count;
    const struct covey_sim_set *set =
        scenario->data.set != NULL ? covey_sim_set_find(scenario->data.set) : NULL;
    return set != NULL && scenario->partition.kind == COVEY_PARTITION_NATURAL ? set->owners : 0;
}
