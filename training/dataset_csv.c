#include "dataset_csv.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data_file.h"

enum column_use { USE_FEATURE, USE_LABEL, USE_TARGET, USE_NOTHING };

#define ROWS_START 256

/* The tables while they grow. Which column is what is settled by the first file. */
struct csv_tables {
    const struct covey_data_csv *csv;
    uint8_t *uses;     /* (COVEY_CSV_COLUMNS) enum column_use */
    uint16_t *targets; /* (COVEY_CSV_COLUMNS) place of a target column among the targets */
    uint32_t columns, features, target_count;
    bool has_label;
    float *x, *y;
    int32_t *labels;
    uint32_t rows, capacity;
};

/* A column by name, or by number; NOT_FOUND says which there are. names: (count) of the header, or NULL. */
static enum covey_status find_column(const struct covey_csv_reader *reader, bool named, const char *wanted,
                                     uint32_t *out, struct covey_error *err)
{
    for (uint32_t i = 0; named && i < reader->count; i++) {
        if (strcmp(reader->fields[i], wanted) == 0) {
            *out = i;
            return COVEY_OK;
        }
    }
    char *end;
    unsigned long number = isdigit((unsigned char)*wanted) ? strtoul(wanted, &end, 10) : reader->count;
    if (number < reader->count && *end == 0) {
        *out = (uint32_t)number;
        return COVEY_OK;
    }
    return covey_fail(err, COVEY_NOT_FOUND, "%s:%u: no column '%s'%s; the first of %u is '%s'", reader->name,
                      reader->line, wanted, named ? "" : " (without a header columns are numbers from 0)",
                      reader->count, reader->fields[0]);
}

static enum covey_status mark_columns(struct csv_tables *tables, const struct covey_csv_reader *reader,
                                      bool named, const struct covey_data_names *list, enum column_use use,
                                      struct covey_error *err)
{
    for (uint32_t i = 0; i < list->count; i++) {
        uint32_t column;
        COVEY_TRY(find_column(reader, named, list->names[i], &column, err));
        if (tables->uses[column] != USE_FEATURE)
            return covey_fail(err, COVEY_INVALID, "%s: column '%s' is named twice", reader->name,
                              list->names[i]);
        tables->uses[column] = (uint8_t)use;
        tables->targets[column] = (uint16_t)i;
    }
    return COVEY_OK;
}

/* The reader stands on the first row. */
static enum covey_status settle_columns(struct csv_tables *tables, const struct covey_csv_reader *reader,
                                        bool named, struct covey_error *err)
{
    const struct covey_data_csv *csv = tables->csv;
    tables->columns = reader->count;
    memset(tables->uses, USE_FEATURE, reader->count);
    if (csv->label != NULL && csv->label[0] != 0) {
        uint32_t column;
        COVEY_TRY(find_column(reader, named, csv->label, &column, err));
        tables->uses[column] = USE_LABEL;
        tables->has_label = true;
    }
    COVEY_TRY(mark_columns(tables, reader, named, &csv->targets, USE_TARGET, err));
    COVEY_TRY(mark_columns(tables, reader, named, &csv->ignore, USE_NOTHING, err));
    tables->target_count = csv->targets.count;
    for (uint32_t i = 0; i < reader->count; i++)
        tables->features += tables->uses[i] == USE_FEATURE;
    if (tables->features == 0)
        return covey_fail(err, COVEY_INVALID, "%s: no column is left for the inputs", reader->name);
    return COVEY_OK;
}

static bool is_class(const struct covey_data_names *classes, const char *field)
{
    for (uint32_t i = 0; i < classes->count; i++)
        if (strcmp(field, classes->names[i]) == 0)
            return true;
    return false;
}

/* A word that is neither a number nor a label makes the first row a header. */
static bool is_header(const struct covey_csv_reader *reader, const struct covey_data_csv *csv)
{
    double ignored;
    for (uint32_t i = 0; i < reader->count; i++)
        if (covey_csv_number(reader->fields[i], &ignored) < 0 && !is_class(&csv->classes, reader->fields[i]))
            return true;
    return false;
}

static enum covey_status grow(struct csv_tables *tables, struct covey_error *err)
{
    if (tables->rows < tables->capacity)
        return COVEY_OK;
    size_t capacity = tables->capacity != 0 ? 2 * (size_t)tables->capacity : ROWS_START;
    if (capacity > COVEY_DATASET_EXAMPLES)
        return covey_fail(err, COVEY_LIMIT, "more than %u rows", COVEY_DATASET_EXAMPLES);
    /* capacity <= 2^28 and columns <= 2^12: no overflow in 64 bits, and refused by realloc in 32 */
    float *x = realloc(tables->x, capacity * tables->features * sizeof *x);
    if (x != NULL)
        tables->x = x;
    float *y = realloc(tables->y, capacity * tables->target_count * sizeof *y + 1);
    if (y != NULL)
        tables->y = y;
    int32_t *labels = realloc(tables->labels, capacity * sizeof *labels);
    if (labels != NULL)
        tables->labels = labels;
    if (x == NULL || y == NULL || labels == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu rows of %u features", capacity,
                          tables->features);
    tables->capacity = (uint32_t)capacity;
    return COVEY_OK;
}

static enum covey_status read_label(const struct csv_tables *tables, const struct covey_csv_reader *reader,
                                    uint32_t column, int32_t *out, struct covey_error *err)
{
    const char *field = reader->fields[column];
    const struct covey_data_names *classes = &tables->csv->classes;
    for (uint32_t i = 0; i < classes->count; i++) {
        if (strcmp(field, classes->names[i]) == 0) {
            *out = (int32_t)i;
            return COVEY_OK;
        }
    }
    double value;
    if (classes->count != 0)
        return covey_fail(err, COVEY_INVALID, "%s:%u: the label '%s' is not among `classes`", reader->name,
                          reader->line, field);
    if (covey_csv_number(field, &value) != 1 || value != floor(value) ||
        !(value >= 0 && value < 2147483648.0))
        return covey_fail(err, COVEY_INVALID,
                          "%s:%u: the label '%s' is not a whole number from 0; list the words as `classes`",
                          reader->name, reader->line, field);
    *out = (int32_t)value;
    return COVEY_OK;
}

static enum covey_status read_row(struct csv_tables *tables, const struct covey_csv_reader *reader,
                                  struct covey_error *err)
{
    if (reader->count != tables->columns)
        return covey_fail(err, COVEY_INVALID, "%s:%u: %u columns where %u are expected", reader->name,
                          reader->line, reader->count, tables->columns);
    COVEY_TRY(grow(tables, err));
    float *x = tables->x + (size_t)tables->rows * tables->features;
    float *y = tables->y + (size_t)tables->rows * tables->target_count;
    for (uint32_t i = 0; i < reader->count; i++) {
        double value;
        if (tables->uses[i] == USE_NOTHING)
            continue;
        if (tables->uses[i] == USE_LABEL) {
            COVEY_TRY(read_label(tables, reader, i, &tables->labels[tables->rows], err));
            continue;
        }
        if (covey_csv_number(reader->fields[i], &value) < 0)
            return covey_fail(err, COVEY_INVALID,
                              "%s:%u: column %u holds '%.40s', which is no number: `ignore` the column?",
                              reader->name, reader->line, i, reader->fields[i]);
        if (tables->uses[i] == USE_TARGET)
            y[tables->targets[i]] = (float)value;
        else
            *x++ = (float)value;
    }
    tables->rows++;
    return COVEY_OK;
}

static enum covey_status read_rows(struct csv_tables *tables, struct covey_csv_reader *reader, bool first,
                                   struct covey_error *err)
{
    enum covey_status status = covey_csv_next(reader, err);
    if (status == COVEY_NOT_FOUND)
        return covey_fail(err, COVEY_INVALID, "%s: is empty", reader->name);
    COVEY_TRY(status);
    bool header = tables->csv->header == COVEY_HEADER_YES ||
                  (tables->csv->header == COVEY_HEADER_AUTO && is_header(reader, tables->csv));
    if (first)
        COVEY_TRY(settle_columns(tables, reader, header, err));
    if (!header)
        COVEY_TRY(read_row(tables, reader, err));
    while ((status = covey_csv_next(reader, err)) == COVEY_OK)
        COVEY_TRY(read_row(tables, reader, err));
    return status == COVEY_NOT_FOUND ? COVEY_OK : status;
}

static enum covey_status read_csv_file(struct csv_tables *tables, struct covey_csv_reader *reader,
                                       const char *path, bool first, struct covey_error *err)
{
    struct covey_data_file file = {.descriptor = -1};
    char *text = NULL;
    size_t bytes;
    const char *separator = tables->csv->separator;
    enum covey_status status = covey_data_file_open(path, &file, err);
    if (status == COVEY_OK)
        status = covey_data_file_read_all(&file, COVEY_CSV_BYTES, &text, &bytes, err);
    if (status == COVEY_OK) {
        covey_csv_begin(reader, path, text, bytes, separator != NULL ? separator[0] : 0);
        status = read_rows(tables, reader, first, err);
    }
    free(text);
    covey_data_file_close(&file);
    return status;
}

/* Moves a grown array into the storage, cut to its size. */
static void *keep(struct covey_dataset_storage *storage, const void *values, size_t count, size_t size)
{
    void *kept = covey_storage_take(storage, count, size);
    if (kept != NULL)
        memcpy(kept, values, count * size);
    return kept;
}

static enum covey_status keep_tables(const struct csv_tables *tables, struct covey_dataset_storage *storage,
                                     struct covey_dataset *out, struct covey_error *err)
{
    size_t rows = tables->rows;
    const void *x = keep(storage, tables->x, rows * tables->features, sizeof *tables->x);
    const void *labels = tables->has_label ? keep(storage, tables->labels, rows, sizeof *tables->labels) : "";
    const void *y = tables->target_count != 0
                        ? keep(storage, tables->y, rows * tables->target_count, sizeof *tables->y)
                        : "";
    if (x == NULL || labels == NULL || y == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u rows of %u features", tables->rows,
                          tables->features);
    out->inputs = (struct covey_table){.values = x, .type = COVEY_ELEMENT_F32, .width = tables->features};
    if (tables->has_label)
        out->labels = (struct covey_table){.values = labels, .type = COVEY_ELEMENT_I32, .width = 1};
    if (tables->target_count != 0)
        out->targets =
            (struct covey_table){.values = y, .type = COVEY_ELEMENT_F32, .width = tables->target_count};
    out->rows = out->count = tables->rows;
    out->rank = 1;
    out->shape[0] = tables->features;
    return COVEY_OK;
}

enum covey_status covey_csv_load(const struct covey_data_csv *csv, char *const *paths, uint32_t count,
                                 struct covey_dataset_storage *storage, struct covey_dataset *out,
                                 struct covey_error *err)
{
    struct csv_tables tables = {.csv = csv};
    struct covey_csv_reader reader = {0};
    enum covey_status status = COVEY_OK;

    reader.fields = malloc(COVEY_CSV_COLUMNS * sizeof *reader.fields);
    tables.uses = malloc(COVEY_CSV_COLUMNS);
    tables.targets = malloc(COVEY_CSV_COLUMNS * sizeof *tables.targets);
    if (reader.fields == NULL || tables.uses == NULL || tables.targets == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for reading CSV");
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++)
        status = read_csv_file(&tables, &reader, paths[i], i == 0, err);
    if (status == COVEY_OK && tables.rows == 0)
        status = covey_fail(err, COVEY_INVALID, "%s: holds no examples", paths[0]);
    if (status == COVEY_OK)
        status = keep_tables(&tables, storage, out, err);
    free(reader.fields);
    free(tables.uses);
    free(tables.targets);
    free(tables.x);
    free(tables.y);
    free(tables.labels);
    return status;
}
