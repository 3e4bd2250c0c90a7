/* Sets whose examples have a number to be told: air quality by station, turbofan engines. */
#include "sim_sets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/dataset_load.h"

/* ------------------------------------------------------------------ air quality */

#define AIR_UNIT 100.0f /* ug/m3: targets near 1 learn at usual rates */

/* Replaces the targets by a table of our own, divided by `unit`. */
static enum covey_status rescale_targets(struct covey_dataset *dataset, float unit, void **memory,
                                         struct covey_error *err)
{
    const size_t count = dataset->rows;
    float *targets = calloc(count + 1, sizeof *targets), *x = calloc(dataset->inputs.width + 1u, sizeof *x);
    enum covey_status status = COVEY_OK;
    if (targets == NULL || x == NULL || dataset->targets.width != 1 || dataset->index != NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu targets", count);
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++) {
        status = covey_dataset_read(dataset, NULL, i, 1, x, NULL, &targets[i]);
        targets[i] /= unit;
    }
    free(x);
    if (status != COVEY_OK) {
        free(targets);
        return status;
    }
    *memory = targets;
    dataset->targets = (struct covey_table){.values = targets, .type = COVEY_ELEMENT_F32, .width = 1};
    return COVEY_OK;
}

enum covey_status set_load_beijing_air(const char *folder, struct covey_sim_data *out,
                                       struct covey_error *err)
{
    static const char *const stations[] = {
        "Aotizhongxin", "Changping", "Dingling", "Dongsi", "Guanyuan",      "Gucheng", "Huairou",
        "Nongzhanguan", "Shunyi",    "Tiantan",  "Wanliu", "Wanshouxigong", NULL};
    struct set_files files = {.folder = folder,
                              .parts = stations,
                              .inputs = "train-x-idx2-float.gz",
                              .targets = "train-y-idx1-float.gz",
                              .statistics = "feature-stats.csv"};
    COVEY_TRY(set_load_files(&files, &out->train, &out->owners, err));
    out->owner_count = sizeof stations / sizeof stations[0] - 1;
    files.inputs = "test-x-idx2-float.gz";
    files.targets = "test-y-idx1-float.gz";
    COVEY_TRY(set_load_files(&files, &out->test, NULL, err));
    COVEY_TRY(rescale_targets(&out->train, AIR_UNIT, &out->memory[0], err));
    return rescale_targets(&out->test, AIR_UNIT, &out->memory[1], err);
}

/* ------------------------------------------------------------------ turbofan engines */

#define ENGINE_COLUMNS 26u
#define SENSORS 15u /* the columns that vary */
#define WINDOW 30u  /* cycles */
#define LIFE 125.0f /* cycles: remaining life is capped there, and told as a part of it */
#define ENGINE_FEATURES (2 * SENSORS)

/* A table as it is stored: engine, cycle, three settings, 21 sensors a row. */
struct cycles {
    float *values; /* (count, ENGINE_COLUMNS) */
    uint32_t count;
};

/* Columns from 0, mean and deviation over the training part (feature-stats.csv). */
struct sensor_statistics {
    uint32_t column[SENSORS];
    float mean[SENSORS], inverse[SENSORS];
};

static enum covey_status load_cycles(const char *folder, const char *name, struct cycles *out,
                                     struct covey_error *err)
{
    char *names[] = {(char *)(uintptr_t)name};
    const struct covey_data_config config = {.inputs = {names, 1}};
    struct covey_dataset table = {0};
    COVEY_TRY(covey_data_load(&config, folder, &table, err));
    enum covey_status status = COVEY_OK;
    float *values = calloc((size_t)table.count * ENGINE_COLUMNS + 1, sizeof *values);
    if (values == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "%s/%s: no memory", folder, name);
    else if (table.inputs.width != ENGINE_COLUMNS)
        status = covey_fail(err, COVEY_MISMATCH, "%s/%s: %u columns, not %u", folder, name,
                            table.inputs.width, ENGINE_COLUMNS);
    else
        status = covey_dataset_read(&table, NULL, 0, table.count, values, NULL, NULL);
    for (uint32_t row = 0; row < table.count && status == COVEY_OK; row++)
        if (!(values[(size_t)row * ENGINE_COLUMNS] >= 0 && values[(size_t)row * ENGINE_COLUMNS] < 1e6f))
            status = covey_fail(err, COVEY_CORRUPT, "%s/%s: row %u names no engine", folder, name, row);
    if (status == COVEY_OK)
        *out = (struct cycles){values, table.count};
    else
        free(values);
    covey_dataset_deinit(&table);
    return status;
}

static enum covey_status load_statistics(const char *folder, struct sensor_statistics *out,
                                         struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES], line[160];
    uint32_t count = 0;
    if (snprintf(path, sizeof path, "%s/feature-stats.csv", folder) >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", folder);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "%s cannot be read", path);
    while (count < SENSORS && fgets(line, sizeof line, file) != NULL) {
        unsigned column;
        float mean, deviation;
        if (sscanf(line, "%u,%f,%f", &column, &mean, &deviation) != 3 || column >= ENGINE_COLUMNS ||
            !(deviation > 0))
            continue; /* the header */
        out->column[count] = column;
        out->mean[count] = mean;
        out->inverse[count++] = 1 / deviation;
    }
    (void)fclose(file);
    return count == SENSORS ? COVEY_OK
                            : covey_fail(err, COVEY_CORRUPT, "%s: %u columns, not %u", path, count, SENSORS);
}

/* Of the rows first .. row of one engine: for each sensor the mean over the last WINDOW, and how much the
 * newer half's mean is above the older's. x: (ENGINE_FEATURES) */
static void engine_features(const struct cycles *cycles, const struct sensor_statistics *statistics,
                            uint32_t first, uint32_t row, float *x)
{
    const uint32_t from = row - first + 1 > WINDOW ? row + 1 - WINDOW : first;
    const uint32_t count = row - from + 1, half = count / 2;
    for (uint32_t s = 0; s < SENSORS; s++) {
        float older = 0, newer = 0;
        for (uint32_t i = 0; i < count; i++) {
            const float raw = cycles->values[(size_t)(from + i) * ENGINE_COLUMNS + statistics->column[s]];
            const float value = (raw - statistics->mean[s]) * statistics->inverse[s];
            if (i < half)
                older += value;
            else
                newer += value;
        }
        x[s] = (older + newer) / (float)count;
        x[SENSORS + s] = half == 0 ? 0 : newer / (float)(count - half) - older / (float)half;
    }
}

static uint32_t engine_of(const struct cycles *cycles, uint32_t row)
{
    return (uint32_t)cycles->values[(size_t)row * ENGINE_COLUMNS];
}

/* The row behind the last of the engine that `row` is of. */
static uint32_t engine_end(const struct cycles *cycles, uint32_t row)
{
    const uint32_t engine = engine_of(cycles, row);
    while (row < cycles->count && engine_of(cycles, row) == engine)
        row++;
    return row;
}

static struct covey_dataset engine_dataset(float *x, float *y, uint32_t count)
{
    return (struct covey_dataset){
        .count = count,
        .rows = count,
        .inputs = {.values = x, .type = COVEY_ELEMENT_F32, .width = ENGINE_FEATURES},
        .targets = {.values = y, .type = COVEY_ELEMENT_F32, .width = 1},
        .rank = 1,
        .shape = {ENGINE_FEATURES}};
}

static float life_left(uint32_t cycles)
{
    return ((float)cycles < LIFE ? (float)cycles : LIFE) / LIFE;
}

/* Every cycle of every training engine. */
static enum covey_status make_engine_train(const struct cycles *cycles,
                                           const struct sensor_statistics *statistics,
                                           struct covey_sim_data *out, struct covey_error *err)
{
    float *x = out->memory[0] = calloc((size_t)cycles->count * ENGINE_FEATURES + 1, sizeof *x);
    float *y = out->memory[1] = calloc((size_t)cycles->count + 1, sizeof *y);
    out->owners = calloc((size_t)cycles->count + 1, sizeof *out->owners);
    if (x == NULL || y == NULL || out->owners == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u cycles", cycles->count);
    for (uint32_t first = 0; first < cycles->count; out->owner_count++) {
        const uint32_t end = engine_end(cycles, first);
        for (uint32_t row = first; row < end; row++) {
            engine_features(cycles, statistics, first, row, x + (size_t)row * ENGINE_FEATURES);
            y[row] = life_left(end - 1 - row);
            out->owners[row] = out->owner_count;
        }
        first = end;
    }
    out->train = engine_dataset(x, y, cycles->count);
    return COVEY_OK;
}

/* The last cycle of each test engine, as the benchmark wants it. life: (engines) cycles left then. */
static enum covey_status make_engine_test(const struct cycles *cycles,
                                          const struct sensor_statistics *statistics, const int32_t *life,
                                          uint32_t engines, struct covey_sim_data *out,
                                          struct covey_error *err)
{
    float *x = out->memory[2] = calloc((size_t)engines * ENGINE_FEATURES + 1, sizeof *x);
    float *y = out->memory[3] = calloc((size_t)engines + 1, sizeof *y);
    uint32_t count = 0;
    if (x == NULL || y == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u engines", engines);
    for (uint32_t first = 0; first < cycles->count && count < engines; count++) {
        const uint32_t end = engine_end(cycles, first);
        engine_features(cycles, statistics, first, end - 1, x + (size_t)count * ENGINE_FEATURES);
        y[count] = life_left(life[count] > 0 ? (uint32_t)life[count] : 0);
        first = end;
    }
    out->test = engine_dataset(x, y, count);
    return COVEY_OK;
}

enum covey_status set_load_turbofan(const char *folder, struct covey_sim_data *out, struct covey_error *err)
{
    struct cycles train = {0}, test = {0};
    struct sensor_statistics statistics = {0};
    int32_t *life = NULL;
    uint32_t engines = 0;
    enum covey_status status = load_statistics(folder, &statistics, err);
    if (status == COVEY_OK)
        status = load_cycles(folder, "train-idx2-float.gz", &train, err);
    if (status == COVEY_OK)
        status = load_cycles(folder, "test-idx2-float.gz", &test, err);
    if (status == COVEY_OK)
        status = set_load_integers(folder, "test-rul-idx1-int.gz", &life, &engines, err);
    if (status == COVEY_OK)
        status = make_engine_train(&train, &statistics, out, err);
    if (status == COVEY_OK)
        status = make_engine_test(&test, &statistics, life, engines, out, err);
    free(train.values);
    free(test.values);
    free(life);
    return status;
}
