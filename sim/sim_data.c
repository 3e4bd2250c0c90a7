#include "sim_data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calibration.h"
#include "covey/dataset_load.h"
#include "covey/random.h"
#include "sim_sets.h"

static const struct covey_sim_set sets[] = {
    {.name = "fashion-mnist",
     .folder = "fashion-mnist",
     .marker = "train-images-idx3-ubyte.gz",
     .examples = 60000,
     .classes = 10,
     .model = "2nn",
     .text = "grey images of 10 garments",
     .load = set_load_fashion_mnist},
    {.name = "mnist",
     .folder = "mnist",
     .marker = "train-images-idx3-ubyte.gz",
     .owner = "writer",
     .owners = 539,
     .examples = 60000,
     .classes = 10,
     .model = "2nn",
     .text = "grey images of 10 digits",
     .load = set_load_mnist},
    {.name = "har",
     .folder = "har-smartphones",
     .marker = "manifest.csv",
     .owner = "person",
     .owners = 21,
     .examples = 7415,
     .classes = 6,
     .model = "har",
     .text = "activity from a smartphone's motion, 114 features",
     .load = set_load_har},
    {.name = "beijing-air",
     .folder = "beijing-air",
     .marker = "manifest.csv",
     .owner = "station",
     .owners = 12,
     .examples = 50864,
     .model = "air-quality",
     .text = "PM2.5 six hours ahead, 23 features",
     .load = set_load_beijing_air},
    {.name = "turbofan",
     .folder = "turbofan-fd001",
     .marker = "train-idx2-float.gz",
     .owner = "engine",
     .owners = 100,
     .examples = 20631,
     .model = "turbofan",
     .text = "remaining life of an engine, 30 features",
     .load = set_load_turbofan},
    {.name = "spoken-digits",
     .folder = "spoken-digits",
     .marker = "manifest.csv",
     .owner = "speaker",
     .owners = 6,
     .examples = 2700,
     .classes = 10,
     .model = "spoken-digits",
     .text = "log energies of spoken digits, 32 x 20",
     .load = set_load_spoken_digits},
    {.name = "shakespeare",
     .folder = "shakespeare-by-role",
     .marker = "clients.tsv",
     .owner = "role",
     .owners = 993,
     .examples = 412580,
     .classes = 128,
     .model = "shakespeare-gru",
     .text = "the next character after 80",
     .load = set_load_shakespeare},
};

const struct covey_sim_set *covey_sim_set_at(size_t index)
{
    return index < sizeof sets / sizeof sets[0] ? &sets[index] : NULL;
}

const struct covey_sim_set *covey_sim_set_find(const char *name)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (strcmp(sets[i].name, name) == 0)
            return &sets[i];
    return NULL;
}

/* ------------------------------------------------------------------ where it is */

/* The data folder of scripts/data's cache. */
static bool cache_folder(char *out, size_t out_bytes)
{
    char cache[COVEY_FILE_PATH_BYTES];
    return covey_calibration_cache(cache, sizeof cache) &&
           snprintf(out, out_bytes, "%s/data", cache) < (int)out_bytes;
}

static bool is_in(const char *root, const struct covey_sim_set *set, char out[COVEY_FILE_PATH_BYTES])
{
    char marker[COVEY_FILE_PATH_BYTES];
    if (root == NULL || root[0] == '\0' ||
        snprintf(marker, sizeof marker, "%s/%s/%s", root, set->folder, set->marker) >= (int)sizeof marker ||
        access(marker, R_OK) != 0)
        return false;
    (void)snprintf(out, COVEY_FILE_PATH_BYTES, "%.500s/%.100s", root, set->folder);
    return true;
}

enum covey_status covey_sim_set_folder(const struct covey_sim_set *set, char out[COVEY_FILE_PATH_BYTES],
                                       struct covey_error *err)
{
    char cache[COVEY_FILE_PATH_BYTES] = "";
    if (is_in(getenv("COVEY_DATA"), set, out) || is_in("/usr/share/datasets", set, out) ||
        (cache_folder(cache, sizeof cache) && is_in(cache, set, out)))
        return COVEY_OK;
    return covey_fail(
        err, COVEY_NOT_FOUND,
        "the data set %s is not here (looked in $COVEY_DATA, /usr/share/datasets and %.200s): run "
        "`scripts/data %s`",
        set->name, cache[0] != '\0' ? cache : "the user's cache", set->name);
}

/* ------------------------------------------------------------------ the user's own */

static enum covey_status check_file(const struct covey_scenario *scenario, const char *name,
                                    struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_scenario_path(scenario, name, path, err));
    if (access(path, R_OK) != 0)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: %s", path, strerror(errno));
    return COVEY_OK;
}

static enum covey_status check_names(const struct covey_scenario *scenario,
                                     const struct covey_data_names *names, struct covey_error *err)
{
    for (uint32_t i = 0; i < names->count; i++)
        COVEY_TRY(check_file(scenario, names->names[i], err));
    return COVEY_OK;
}

static enum covey_status check_config(const struct covey_scenario *scenario,
                                      const struct covey_data_config *config, struct covey_error *err)
{
    COVEY_TRY(check_names(scenario, &config->inputs, err));
    COVEY_TRY(check_names(scenario, &config->labels, err));
    COVEY_TRY(check_names(scenario, &config->targets, err));
    COVEY_TRY(check_names(scenario, &config->csv.files, err));
    return config->statistics != NULL ? check_file(scenario, config->statistics, err) : COVEY_OK;
}

enum covey_status covey_sim_data_check(const struct covey_scenario *scenario, struct covey_error *err)
{
    if (scenario->data.files.count == 0)
        COVEY_TRY(check_config(scenario, &scenario->data.train, err));
    COVEY_TRY(check_names(scenario, &scenario->data.files, err));
    COVEY_TRY(check_config(scenario, &scenario->data.test, err));
    return scenario->data.owners != NULL ? check_file(scenario, scenario->data.owners, err) : COVEY_OK;
}

static enum covey_status load_owners(const struct covey_scenario *scenario, struct covey_sim_data *out,
                                     struct covey_error *err)
{
    int32_t *owners = NULL;
    uint32_t count = 0;
    enum covey_status status;
    COVEY_TRY(set_load_integers(scenario->folder, scenario->data.owners, &owners, &count, err));
    if (count != out->train.rows) {
        free(owners);
        return covey_fail(err, COVEY_MISMATCH, "%s: %u owners for %u examples", scenario->data.owners, count,
                          out->train.rows);
    }
    for (uint32_t i = 0; i < out->train.count && out->train.index != NULL; i++)
        owners[i] = owners[out->train.index[i]]; /* of filters the index only rises */
    out->owner_count = set_number_owners(owners, out->train.count, err, &status);
    if (status == COVEY_OK)
        out->owners = (uint32_t *)owners;
    else
        free(owners);
    return status;
}

/* One a device: folders with files as data.train names them (inputs.idx, labels.idx when it names none), or
 * CSV files. */
static enum covey_status load_device_files(const struct covey_scenario *scenario, struct covey_sim_data *out,
                                           struct covey_error *err)
{
    const struct covey_data_config *train = &scenario->data.train;
    const char *first = scenario->data.files.names[0];
    if (strlen(first) > 4 && strcmp(first + strlen(first) - 4, ".csv") == 0)
        return set_load_csv(scenario->folder, train, &scenario->data.files, out, err);
    const char **parts = calloc((size_t)scenario->data.files.count + 1, sizeof *parts);
    if (parts == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u file names", scenario->data.files.count);
    for (uint32_t i = 0; i < scenario->data.files.count; i++)
        parts[i] = scenario->data.files.names[i];
    const struct set_files files = {.folder = scenario->folder,
                                    .parts = parts,
                                    .inputs =
                                        train->inputs.count != 0 ? train->inputs.names[0] : "inputs.idx",
                                    .labels = train->labels.count != 0    ? train->labels.names[0]
                                              : train->targets.count != 0 ? NULL
                                                                          : "labels.idx",
                                    .targets = train->targets.count != 0 ? train->targets.names[0] : NULL,
                                    .statistics = train->statistics,
                                    .classes = train->classes,
                                    .scale = train->scale};
    const enum covey_status status = set_load_files(&files, &out->train, &out->owners, err);
    free(parts);
    out->owner_count = scenario->data.files.count;
    return status;
}

/* A part of the training examples that is taken away to judge on. */
struct held_part {
    const char *key; /* that says how many */
    int64_t examples;
    uint32_t draw; /* each part has a shuffle of its own */
};

/* Which examples are held out: the first of a shuffled order, or with shares by owner all of those of the
 * first owners of a shuffled order, until there are enough. held: (count), overwritten. */
static enum covey_status choose_held(const struct covey_scenario *scenario, const struct covey_sim_data *data,
                                     const struct held_part *part, bool *held, struct covey_error *err)
{
    const bool by_owner = data->owners != NULL && (scenario->partition.kind == COVEY_PARTITION_NATURAL ||
                                                   scenario->partition.kind == COVEY_PARTITION_FILES);
    const uint32_t units = by_owner ? data->owner_count : data->train.count;
    uint32_t *order = calloc((size_t)units + 1, sizeof *order);
    bool *unit_held = calloc((size_t)units + 1, sizeof *unit_held);
    struct covey_random random;
    enum covey_status status = COVEY_OK;
    uint32_t done = 0;
    if (order == NULL || unit_held == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %u examples", data->train.count);
    covey_random_init(&random, (uint64_t)scenario->seed, 0, part->draw, COVEY_PURPOSE_SPLIT);
    for (uint32_t i = 0; i < units && status == COVEY_OK; i++)
        order[i] = i;
    if (status == COVEY_OK)
        covey_random_shuffle(&random, order, units);
    for (uint32_t i = 0; i < units && status == COVEY_OK && done < part->examples; i++) {
        unit_held[order[i]] = true;
        for (uint32_t k = 0; by_owner && k < data->train.count; k++)
            done += data->owners[k] == order[i];
        done += !by_owner;
    }
    for (uint32_t i = 0; i < data->train.count && status == COVEY_OK; i++)
        held[i] = unit_held[by_owner ? data->owners[i] : i];
    free(order);
    free(unit_held);
    return status;
}

/* held, picked: (count of train); picked is scratch. What was held goes to *into, in place of what was there.
 */
static enum covey_status part_data(struct covey_sim_data *data, const struct held_part *part,
                                   struct covey_dataset *into, const bool *held, uint32_t *picked,
                                   struct covey_error *err)
{
    struct covey_dataset all = data->train, test = {0}, rest = {0};
    uint32_t test_count = 0, rest_count = 0;
    enum covey_status status;
    for (uint32_t i = 0; i < all.count; i++)
        if (held[i])
            picked[test_count++] = i;
    if (test_count == all.count)
        return covey_fail(err, COVEY_INVALID, "data.%s leaves nothing to train on: there are %u examples",
                          part->key, all.count);
    COVEY_TRY(covey_dataset_view(&all, picked, test_count, &test, err));
    for (uint32_t i = 0; i < all.count; i++) {
        if (held[i])
            continue;
        if (data->owners != NULL)
            data->owners[rest_count] = data->owners[i];
        picked[rest_count++] = i;
    }
    if ((status = covey_dataset_view(&all, picked, rest_count, &rest, err)) != COVEY_OK) {
        covey_dataset_deinit(&test);
        return status;
    }
    if (data->whole.rows == 0)
        data->whole = all; /* has the values; a view has but its list */
    else
        covey_dataset_deinit(&all);
    covey_dataset_deinit(into);
    *into = test;
    data->train = rest;
    if (data->owners == NULL)
        return COVEY_OK;
    data->owner_count = set_number_owners((int32_t *)data->owners, rest_count, err, &status);
    return status;
}

static enum covey_status hold_out(const struct covey_scenario *scenario, const struct held_part *part,
                                  struct covey_sim_data *data, struct covey_dataset *into,
                                  struct covey_error *err)
{
    if (part->examples == 0)
        return COVEY_OK;
    bool *held = calloc((size_t)data->train.count + 1, sizeof *held);
    uint32_t *picked = calloc((size_t)data->train.count + 1, sizeof *picked);
    enum covey_status status =
        held == NULL || picked == NULL
            ? covey_fail(err, COVEY_NO_MEMORY, "no memory for %u examples", data->train.count)
            : choose_held(scenario, data, part, held, err);
    if (status == COVEY_OK)
        status = part_data(data, part, into, held, picked, err);
    free(held);
    free(picked);
    return status;
}

static enum covey_status load_own(const struct covey_scenario *scenario, struct covey_sim_data *out,
                                  struct covey_error *err)
{
    if (scenario->data.files.count != 0) {
        COVEY_TRY(load_device_files(scenario, out, err));
    } else {
        COVEY_TRY(covey_data_load(&scenario->data.train, scenario->folder, &out->train, err));
        if (scenario->data.owners != NULL)
            COVEY_TRY(load_owners(scenario, out, err));
    }
    if (covey_data_is_named(&scenario->data.test))
        return covey_data_load(&scenario->data.test, scenario->folder, &out->test, err);
    const struct held_part part = {"hold_out", scenario->data.hold_out, 1};
    return hold_out(scenario, &part, out, &out->test, err);
}

enum covey_status covey_sim_data_load(const struct covey_scenario *scenario, struct covey_sim_data *out,
                                      struct covey_error *err)
{
    struct covey_sim_data data = {0};
    char folder[COVEY_FILE_PATH_BYTES];
    enum covey_status status;
    if (scenario->data.set == NULL) {
        status = load_own(scenario, &data, err);
    } else {
        const struct covey_sim_set *set = covey_sim_set_find(scenario->data.set);
        if (set == NULL)
            return covey_fail(err, COVEY_NOT_FOUND, "no data set is called '%.60s'", scenario->data.set);
        COVEY_TRY(covey_sim_set_folder(set, folder, err));
        status = set->load(folder, &data, err);
    }
    const struct held_part validation = {"validation", scenario->data.validation, 2};
    if (status == COVEY_OK)
        status = hold_out(scenario, &validation, &data, &data.test, err);
    const struct held_part root = {"root_data", scenario->data.root_data, 3};
    if (status == COVEY_OK)
        status = hold_out(scenario, &root, &data, &data.root, err);
    if (status == COVEY_OK)
        *out = data;
    else
        covey_sim_data_free(&data);
    return status;
}

void covey_sim_data_free(struct covey_sim_data *data)
{
    covey_dataset_deinit(&data->train);
    covey_dataset_deinit(&data->test);
    covey_dataset_deinit(&data->root);
    covey_dataset_deinit(&data->whole);
    free(data->owners);
    for (size_t i = 0; i < sizeof data->memory / sizeof data->memory[0]; i++)
        free(data->memory[i]);
    *data = (struct covey_sim_data){0};
}
