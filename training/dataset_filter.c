#include "dataset_filter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data_file.h"
#include "dataset_csv.h"

#define INDEX_FILE_BYTES (1ull << 32)

/* The index as something that can be cut down; the identity at first. */
static enum covey_status own_index(struct covey_dataset *dataset, struct covey_dataset_storage *storage,
                                   uint32_t **out, struct covey_error *err)
{
    if (dataset->index != NULL) {
        *out = (uint32_t *)(uintptr_t)dataset->index; /* only the filters make one, from this very storage */
        return COVEY_OK;
    }
    uint32_t *index = covey_storage_take(storage, dataset->count, sizeof *index);
    if (index == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a list of %u examples", dataset->count);
    for (uint32_t i = 0; i < dataset->count; i++)
        index[i] = i;
    dataset->index = index;
    *out = index;
    return COVEY_OK;
}

static enum covey_status cut_to(struct covey_dataset *dataset, uint32_t count, const char *filter,
                                struct covey_error *err)
{
    if (count == 0)
        return covey_fail(err, COVEY_INVALID, "no example is left after `%s` (there were %u before it)",
                          filter, dataset->count);
    dataset->count = count;
    return COVEY_OK;
}

static enum covey_status parse_index(char *text, const char *path, struct covey_dataset *dataset,
                                     uint32_t *index, size_t capacity, struct covey_error *err)
{
    uint32_t count = 0, line = 1;
    for (char *at = text; *at != 0; line++) {
        char *end;
        size_t length = strcspn(at, "\n");
        bool last = at[length] == 0;
        at[length] = 0;
        if (length != 0 && !(length == 1 && *at == '\r')) {
            unsigned long long value = strtoull(at, &end, 10);
            if (*at < '0' || *at > '9' || (*end != 0 && strcmp(end, "\r") != 0) || value >= dataset->rows)
                return covey_fail(err, COVEY_INVALID,
                                  "%s:%u: '%.20s' is not the number of one of %u examples", path, line, at,
                                  dataset->rows);
            if (count == capacity)
                return covey_fail(err, COVEY_LIMIT, "%s: more than %zu lines", path, capacity);
            index[count++] = (uint32_t)value;
        }
        at += length + !last;
    }
    return cut_to(dataset, count, "index", err);
}

enum covey_status covey_filter_index_file(struct covey_dataset *dataset, const char *path,
                                          struct covey_dataset_storage *storage, struct covey_error *err)
{
    struct covey_data_file file = {.descriptor = -1};
    char *text = NULL;
    size_t bytes, lines = 1;
    enum covey_status status = covey_data_file_open(path, &file, err);
    if (status == COVEY_OK)
        status = covey_data_file_read_all(&file, INDEX_FILE_BYTES, &text, &bytes, err);
    covey_data_file_close(&file);
    if (status == COVEY_OK) {
        for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++)
            lines++;
        uint32_t *index =
            lines <= COVEY_DATASET_EXAMPLES ? covey_storage_take(storage, lines, sizeof *index) : NULL;
        if (index == NULL) {
            status = covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for %zu lines", path, lines);
        } else {
            dataset->index = index;
            status = parse_index(text, path, dataset, index, lines, err);
        }
    }
    free(text);
    return status;
}

enum covey_status covey_filter_values(struct covey_dataset *dataset, const struct covey_table *table,
                                      int64_t low, int64_t high, const char *name,
                                      struct covey_dataset_storage *storage, struct covey_error *err)
{
    struct covey_dataset column = {.count = dataset->rows, .rows = dataset->rows, .labels = *table};
    uint32_t *index, kept = 0;
    COVEY_TRY(own_index(dataset, storage, &index, err));
    for (uint32_t i = 0; i < dataset->count; i++) {
        int32_t value = covey_dataset_label(&column, index[i]);
        if (value >= low && value <= high)
            index[kept++] = index[i];
    }
    return cut_to(dataset, kept, name, err);
}

static bool is_real(const struct covey_table *table)
{
    return table->width != 0 && (table->type == COVEY_ELEMENT_F32 || table->type == COVEY_ELEMENT_F64);
}

/* Mean over the values that are there, put where they are not. values: (rows, width), in our own memory. */
static enum covey_status fill_with_mean(const struct covey_dataset *dataset, struct covey_error *err)
{
    const struct covey_table *table = &dataset->inputs;
    float *values = (float *)(uintptr_t)table->values;
    for (uint32_t column = 0; column < table->width; column++) {
        double sum = 0;
        uint32_t present = 0;
        for (uint32_t i = 0; i < dataset->rows; i++) {
            float value = values[(size_t)i * table->width + column];
            if (!isnan(value)) {
                sum += (double)value;
                present++;
            }
        }
        if (present == 0)
            return covey_fail(err, COVEY_INVALID, "column %u of the inputs is missing in every example",
                              column);
        for (uint32_t i = 0; i < dataset->rows; i++)
            if (isnan(values[(size_t)i * table->width + column]))
                values[(size_t)i * table->width + column] = (float)(sum / present);
    }
    return COVEY_OK;
}

static bool in_own_memory(const struct covey_dataset_storage *storage, const void *values)
{
    for (size_t i = 0; i < storage->count; i++)
        if (storage->blocks[i].base == values && !storage->blocks[i].mapped)
            return true;
    return false;
}

static bool has_nan(const float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return true;
    return false;
}

/* Reads every example once; *bad: (count) numbers of those with a value missing, dropped from the index if
 * drop. */
static enum covey_status find_missing(struct covey_dataset *dataset, bool drop,
                                      struct covey_dataset_storage *storage, struct covey_error *err)
{
    size_t width = (size_t)dataset->inputs.width + dataset->targets.width;
    float *values = malloc(width * sizeof *values);
    uint32_t *index = NULL, kept = 0;
    enum covey_status status = COVEY_OK;
    if (values == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for one example of %zu values", width);
    if (drop)
        status = own_index(dataset, storage, &index, err);
    for (uint32_t i = 0; i < dataset->count && status == COVEY_OK; i++) {
        status = covey_dataset_read(dataset, NULL, i, 1, values, NULL, values + dataset->inputs.width);
        bool bad = status == COVEY_OK && has_nan(values, width);
        if (bad && !drop)
            status =
                covey_fail(err, COVEY_NOT_FINITE,
                           "example %u has a missing or infinite value; set `missing: skip` or `mean`", i);
        if (drop && !bad)
            index[kept++] = index[i];
    }
    free(values);
    return status == COVEY_OK && drop ? cut_to(dataset, kept, "missing: skip", err) : status;
}

enum covey_status covey_filter_missing(struct covey_dataset *dataset, enum covey_data_missing policy,
                                       struct covey_dataset_storage *storage, struct covey_error *err)
{
    if (!is_real(&dataset->inputs) && !is_real(&dataset->targets))
        return COVEY_OK;
    if (policy == COVEY_MISSING_MEAN && is_real(&dataset->inputs)) {
        if (dataset->inputs.type != COVEY_ELEMENT_F32 || !in_own_memory(storage, dataset->inputs.values))
            return covey_fail(
                err, COVEY_UNSUPPORTED,
                "`missing: mean` wants CSV or a compressed float file; this one stays on the disk as it is");
        COVEY_TRY(fill_with_mean(dataset, err));
    }
    return find_missing(dataset, policy == COVEY_MISSING_SKIP, storage, err);
}

enum covey_status covey_filter_split(struct covey_dataset *dataset, const struct covey_data_split *split,
                                     struct covey_dataset_storage *storage, struct covey_error *err)
{
    uint32_t count = dataset->count, first, *index;
    if (split->device < 0 || split->device >= split->devices)
        return covey_fail(err, COVEY_INVALID, "split: device %lld of %lld; they count from 0",
                          (long long)split->device, (long long)split->devices);
    COVEY_TRY(own_index(dataset, storage, &index, err));
    uint32_t *order = malloc((size_t)count * sizeof *order);
    uint32_t *ends = malloc((size_t)split->devices * sizeof *ends);
    enum covey_status status = COVEY_OK;
    if (order == NULL || ends == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for splitting %u examples", count);
    if (status == COVEY_OK)
        status = covey_data_split(dataset, split, order, ends, err);
    if (status == COVEY_OK) {
        first = split->device == 0 ? 0 : ends[split->device - 1];
        uint32_t mine = ends[split->device] - first;
        for (uint32_t i = 0; i < mine; i++)
            order[first + i] = index[order[first + i]];
        memcpy(index, order + first, mine * sizeof *index);
        status = cut_to(dataset, mine, "split", err);
    }
    free(order);
    free(ends);
    return status;
}

enum covey_status covey_filter_range(struct covey_dataset *dataset, int64_t skip, int64_t take,
                                     struct covey_dataset_storage *storage, struct covey_error *err)
{
    uint32_t *index;
    if (skip <= 0 && (take <= 0 || take >= dataset->count))
        return COVEY_OK;
    uint32_t first = skip < dataset->count ? (uint32_t)skip : dataset->count;
    uint32_t left = dataset->count - first;
    if (take > 0 && take < left)
        left = (uint32_t)take;
    if (first == 0 && dataset->index == NULL)
        return cut_to(dataset, left, "take", err); /* the first rows need no list */
    COVEY_TRY(own_index(dataset, storage, &index, err));
    memmove(index, index + first, left * sizeof *index);
    return cut_to(dataset, left, "skip and take", err);
}

static enum covey_status read_statistics(struct covey_csv_reader *reader, uint32_t width, float *mean,
                                         float *inverse_deviation, struct covey_error *err)
{
    enum covey_status status = covey_csv_next(reader, err); /* the header */
    while (status == COVEY_OK && (status = covey_csv_next(reader, err)) == COVEY_OK) {
        double feature, average, deviation;
        if (reader->count < 3 || covey_csv_number(reader->fields[0], &feature) != 1 ||
            covey_csv_number(reader->fields[1], &average) != 1 ||
            covey_csv_number(reader->fields[2], &deviation) != 1 || !(deviation >= 0))
            return covey_fail(err, COVEY_INVALID, "%s:%u: 'feature,mean,deviation' is expected", reader->name,
                              reader->line);
        if (!(feature >= 0 && feature < width) || feature != floor(feature))
            return covey_fail(err, COVEY_INVALID, "%s:%u: feature %s; the inputs have %u", reader->name,
                              reader->line, reader->fields[0], width);
        mean[(uint32_t)feature] = (float)average;
        /* a feature that never varied is only centred */
        inverse_deviation[(uint32_t)feature] = deviation > 0 ? (float)(1 / deviation) : 1;
    }
    return status == COVEY_NOT_FOUND ? COVEY_OK : status;
}

enum covey_status covey_statistics_load(struct covey_dataset *dataset, const char *path,
                                        struct covey_dataset_storage *storage, struct covey_error *err)
{
    uint32_t width = dataset->inputs.width;
    struct covey_data_file file = {.descriptor = -1};
    struct covey_csv_reader reader = {0};
    char *text = NULL;
    size_t bytes;
    float *statistics = covey_storage_take(storage, (size_t)2 * width, sizeof *statistics);
    enum covey_status status = COVEY_OK;

    reader.fields = malloc(COVEY_CSV_COLUMNS * sizeof *reader.fields);
    if (statistics == NULL || reader.fields == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for the statistics of %u features", width);
    if (status == COVEY_OK)
        status = covey_data_file_open(path, &file, err);
    if (status == COVEY_OK)
        status = covey_data_file_read_all(&file, COVEY_CSV_BYTES, &text, &bytes, err);
    if (status == COVEY_OK) {
        for (uint32_t i = 0; i < width; i++) {
            statistics[i] = 0;
            statistics[width + i] = 1;
        }
        covey_csv_begin(&reader, path, text, bytes, 0);
        status = read_statistics(&reader, width, statistics, statistics + width, err);
    }
    if (status == COVEY_OK) {
        dataset->mean = statistics;
        dataset->inverse_deviation = statistics + width;
    }
    free(text);
    free(reader.fields);
    covey_data_file_close(&file);
    return status;
}
