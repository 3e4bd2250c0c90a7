/* The `data:` block becomes a data set: files -> tables -> filters -> statistics. */
#include "covey/dataset_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataset_csv.h"
#include "dataset_filter.h"
#include "dataset_storage.h"
#include "table_file.h"

static enum covey_status join_path(const char *folder, const char *name, char out[COVEY_FILE_PATH_BYTES],
                                   struct covey_error *err)
{
    bool plain = folder == NULL || name[0] == '/';
    int length = snprintf(out, COVEY_FILE_PATH_BYTES, "%s%s%s", plain ? "" : folder, plain ? "" : "/", name);
    if (length < 0 || length >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path of more than %d characters", name,
                          COVEY_FILE_PATH_BYTES - 1);
    return COVEY_OK;
}

/* ---- tables: one file mapped, or several read one behind the other ---- */

/* Shape and type of a table that several files make. */
struct table_plan {
    struct covey_table table;
    uint32_t rows, rank, shape[COVEY_TENSOR_RANK];
};

static enum covey_status add_to_plan(struct table_plan *plan, const struct covey_table_file *file, bool first,
                                     struct covey_error *err)
{
    if (first) {
        plan->table = (struct covey_table){.type = file->type, .width = file->width};
        plan->rank = file->dimensions - 1;
        memcpy(plan->shape, file->size + 1, plan->rank * sizeof *plan->shape);
    } else if (plan->table.type != file->type || plan->rank != file->dimensions - 1 ||
               memcmp(plan->shape, file->size + 1, plan->rank * sizeof *plan->shape) != 0) {
        return covey_fail(err, COVEY_MISMATCH,
                          "%s: its type or shape (%s, %u values an example) is not that of the "
                          "files before it (%s, %u values)",
                          file->file.path, covey_element_name(file->type), file->width,
                          covey_element_name(plan->table.type), plan->table.width);
    }
    if (file->size[0] > COVEY_DATASET_EXAMPLES - plan->rows)
        return covey_fail(err, COVEY_LIMIT, "%s: more than %u examples together", file->file.path,
                          COVEY_DATASET_EXAMPLES);
    plan->rows += file->size[0];
    return COVEY_OK;
}

static enum covey_status map_table(struct covey_table_file *file, struct table_plan *plan,
                                   struct covey_dataset_storage *storage, struct covey_error *err)
{
    const uint8_t *map;
    COVEY_TRY(covey_data_file_map(&file->file, &map, err));
    if (covey_storage_adopt_map(storage, (void *)(uintptr_t)map, (size_t)file->file.size) != COVEY_OK)
        return covey_fail(err, COVEY_LIMIT, "too many tables");
    plan->table.values = map + file->header_bytes;
    plan->table.swapped = file->swapped;
    return COVEY_OK;
}

static enum covey_status open_at(const char *folder, const char *name, char path[COVEY_FILE_PATH_BYTES],
                                 struct covey_table_file *out, struct covey_error *err)
{
    COVEY_TRY(join_path(folder, name, path, err));
    return covey_table_file_open(path, out, err);
}

static enum covey_status read_tables(const struct covey_data_names *files, const char *folder,
                                     struct table_plan *plan, struct covey_dataset_storage *storage,
                                     struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    size_t example = (size_t)plan->table.width * covey_element_bytes(plan->table.type), bytes;
    if (__builtin_mul_overflow(example, (size_t)plan->rows, &bytes))
        return covey_fail(err, COVEY_LIMIT, "%s: more data than this machine can address", files->names[0]);
    uint8_t *values = covey_storage_take(storage, bytes, 1), *at = values, *end = values + bytes;
    if (values == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for %zu bytes", files->names[0], bytes);
    plan->table.values = values;
    for (uint32_t i = 0; i < files->count; i++) {
        struct covey_table_file file;
        COVEY_TRY(open_at(folder, files->names[i], path, &file, err));
        uint64_t size = covey_table_file_bytes(&file);
        enum covey_status status =
            size <= (uint64_t)(end - at) /* it may have been replaced since it was measured */
                ? covey_table_file_read(&file, at, err)
                : covey_fail(err, COVEY_CORRUPT, "%s: changed while it was read", path);
        covey_table_file_close(&file);
        if (status != COVEY_OK)
            return status;
        at += size;
    }
    if (at != end)
        return covey_fail(err, COVEY_CORRUPT, "%s: changed while it was read", files->names[0]);
    return COVEY_OK;
}

static enum covey_status load_tables(const struct covey_data_names *files, const char *folder,
                                     struct covey_dataset_storage *storage, struct table_plan *out,
                                     struct covey_error *err)
{
    struct table_plan plan = {.rows = 0};
    char path[COVEY_FILE_PATH_BYTES];
    for (uint32_t i = 0; i < files->count; i++) {
        struct covey_table_file file;
        COVEY_TRY(open_at(folder, files->names[i], path, &file, err));
        enum covey_status status = add_to_plan(&plan, &file, i == 0, err);
        bool map = status == COVEY_OK && files->count == 1 && covey_table_file_can_map(&file);
        if (map)
            status = map_table(&file, &plan, storage, err);
        covey_table_file_close(&file);
        if (status != COVEY_OK)
            return status;
        if (map) {
            *out = plan;
            return COVEY_OK;
        }
    }
    COVEY_TRY(read_tables(files, folder, &plan, storage, err));
    *out = plan;
    return COVEY_OK;
}

static enum covey_status check_rows(const struct covey_data_names *files, uint32_t rows, uint32_t expected,
                                    struct covey_error *err)
{
    if (rows == expected)
        return COVEY_OK;
    return covey_fail(err, COVEY_MISMATCH, "%s: %u examples, the inputs have %u", files->names[0], rows,
                      expected);
}

static enum covey_status load_files(const struct covey_data_config *config, const char *folder,
                                    struct covey_dataset_storage *storage, struct covey_dataset *out,
                                    struct covey_error *err)
{
    struct table_plan plan;
    COVEY_TRY(load_tables(&config->inputs, folder, storage, &plan, err));
    out->inputs = plan.table;
    out->count = out->rows = plan.rows;
    out->rank = plan.rank == 0 ? 1 : plan.rank;
    memcpy(out->shape, plan.shape, sizeof out->shape);
    if (plan.rank == 0)
        out->shape[0] = 1;
    if (config->labels.count != 0) {
        COVEY_TRY(load_tables(&config->labels, folder, storage, &plan, err));
        COVEY_TRY(check_rows(&config->labels, plan.rows, out->rows, err));
        out->labels = plan.table;
    }
    if (config->targets.count != 0) {
        COVEY_TRY(load_tables(&config->targets, folder, storage, &plan, err));
        COVEY_TRY(check_rows(&config->targets, plan.rows, out->rows, err));
        out->targets = plan.table;
    }
    return COVEY_OK;
}

static enum covey_status load_csv(const struct covey_data_config *config, const char *folder,
                                  struct covey_dataset_storage *storage, struct covey_dataset *out,
                                  struct covey_error *err)
{
    const struct covey_data_names *files = &config->csv.files;
    char **paths = calloc(files->count, sizeof *paths), path[COVEY_FILE_PATH_BYTES];
    enum covey_status status = COVEY_OK;
    if (paths == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u file names", files->count);
    for (uint32_t i = 0; i < files->count && status == COVEY_OK; i++) {
        status = join_path(folder, files->names[i], path, err);
        if (status == COVEY_OK && (paths[i] = strdup(path)) == NULL)
            status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %u file names", files->count);
    }
    if (status == COVEY_OK)
        status = covey_csv_load(&config->csv, paths, files->count, storage, out, err);
    for (uint32_t i = 0; i < files->count; i++)
        free(paths[i]);
    free(paths);
    return status;
}

/* ---- filters ---- */

static enum covey_status apply_where(const struct covey_data_where *where, const char *folder,
                                     struct covey_dataset *dataset, struct covey_dataset_storage *storage,
                                     struct covey_error *err)
{
    struct covey_dataset_storage *own = NULL; /* the table is needed only here */
    struct table_plan plan;
    bool exact = where->from == 0 && where->to == 0;
    int64_t high = where->to < where->from ? INT32_MAX : where->to;
    if (covey_storage_create(&own) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %s", where->file);
    struct covey_data_names files = {.names = (char **)(uintptr_t)&where->file, .count = 1};
    enum covey_status status = load_tables(&files, folder, own, &plan, err);
    if (status == COVEY_OK)
        status = check_rows(&files, plan.rows, dataset->rows, err);
    if (status == COVEY_OK && plan.table.width != 1)
        status = covey_fail(err, COVEY_INVALID, "%s: %u values an example; `where` wants one", where->file,
                            plan.table.width);
    if (status == COVEY_OK)
        status = covey_filter_values(dataset, &plan.table, exact ? where->is : where->from,
                                     exact ? where->is : high, where->file, storage, err);
    covey_storage_destroy(own);
    return status;
}

static enum covey_status apply_filters(const struct covey_data_config *config, const char *folder,
                                       struct covey_dataset *dataset, struct covey_dataset_storage *storage,
                                       struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (config->index != NULL && config->index[0] != 0) {
        COVEY_TRY(join_path(folder, config->index, path, err));
        COVEY_TRY(covey_filter_index_file(dataset, path, storage, err));
    }
    for (uint32_t i = 0; i < config->where_count; i++)
        COVEY_TRY(apply_where(&config->where[i], folder, dataset, storage, err));
    if (config->classes > 0) {
        if (dataset->labels.width != 1)
            return covey_fail(err, COVEY_INVALID, "`classes` wants one label an example, there are %u",
                              dataset->labels.width);
        COVEY_TRY(
            covey_filter_values(dataset, &dataset->labels, 0, config->classes - 1, "classes", storage, err));
    }
    COVEY_TRY(covey_filter_missing(dataset, (enum covey_data_missing)config->missing, storage, err));
    if (config->split.kind != COVEY_SPLIT_NONE)
        COVEY_TRY(covey_filter_split(dataset, &config->split, storage, err));
    COVEY_TRY(covey_filter_range(dataset, config->skip, config->take, storage, err));
    if (config->statistics != NULL && config->statistics[0] != 0) {
        COVEY_TRY(join_path(folder, config->statistics, path, err));
        COVEY_TRY(covey_statistics_load(dataset, path, storage, err));
    }
    dataset->scale = (float)config->scale;
    dataset->shift = (float)config->shift;
    return COVEY_OK;
}

bool covey_data_is_named(const struct covey_data_config *config)
{
    return config->inputs.count != 0 || config->csv.files.count != 0;
}

static enum covey_status check_config(const struct covey_data_config *config, struct covey_error *err)
{
    bool csv = config->csv.files.count != 0;
    if (!covey_data_is_named(config))
        return covey_fail(err, COVEY_INVALID, "data: name `inputs` (IDX or NPY files) or `csv`");
    if (csv && (config->inputs.count != 0 || config->labels.count != 0 || config->targets.count != 0))
        return covey_fail(err, COVEY_INVALID,
                          "data: `csv` holds inputs and labels; leave `inputs`, `labels` and "
                          "`targets` out beside it");
    return COVEY_OK;
}

enum covey_status covey_data_load(const struct covey_data_config *config, const char *folder,
                                  struct covey_dataset *out, struct covey_error *err)
{
    struct covey_dataset dataset = {0};
    struct covey_dataset_storage *storage = NULL;
    COVEY_TRY(check_config(config, err));
    if (covey_storage_create(&storage) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a data set");
    enum covey_status status = config->csv.files.count != 0
                                   ? load_csv(config, folder, storage, &dataset, err)
                                   : load_files(config, folder, storage, &dataset, err);
    if (status == COVEY_OK)
        status = apply_filters(config, folder, &dataset, storage, err);
    if (status != COVEY_OK) {
        covey_storage_destroy(storage);
        return status;
    }
    dataset.storage = storage;
    *out = dataset;
    return COVEY_OK;
}
