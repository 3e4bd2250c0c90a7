/* The `data:` block as a table for covey_yaml. */
#include "covey/dataset_load.h"

#define AT(member) .offset = offsetof(struct covey_data_config, member)
#define NAMES_AT(type, member, limit, what)                                                                  \
    .kind = COVEY_FIELD_LIST, .item_kind = COVEY_FIELD_TEXT, .item_bytes = sizeof(char *),                   \
    .item_limit = (limit), .offset = offsetof(type, member.names),                                           \
    .count_offset = offsetof(type, member.count), .hint = (what)
#define COUNT_MAX ((double)COVEY_DATASET_EXAMPLES)

static const char *const missing_words[] = {"refuse", "skip", "mean", NULL};
static const char *const header_words[] = {"auto", "yes", "no", NULL};
static const char *const split_words[] = {"none", "iid", "dirichlet", "dirichlet-uneven", "shards", NULL};

static const struct covey_field csv_fields[] = {
    {.key = "files",
     NAMES_AT(struct covey_data_csv, files, COVEY_DATA_FILES, "a list of CSV files"),
     .required = true},
    {.key = "header",
     .kind = COVEY_FIELD_CHOICE,
     .offset = offsetof(struct covey_data_csv, header),
     .choices = header_words},
    {.key = "separator",
     .kind = COVEY_FIELD_TEXT,
     .offset = offsetof(struct covey_data_csv, separator),
     .hint = "one character"},
    {.key = "label",
     .kind = COVEY_FIELD_TEXT,
     .offset = offsetof(struct covey_data_csv, label),
     .hint = "a column's name, or its number from 0"},
    {.key = "targets", NAMES_AT(struct covey_data_csv, targets, COVEY_CSV_COLUMNS, "a list of columns")},
    {.key = "ignore", NAMES_AT(struct covey_data_csv, ignore, COVEY_CSV_COLUMNS, "a list of columns")},
    {.key = "classes",
     NAMES_AT(struct covey_data_csv, classes, COVEY_CSV_CLASSES, "a list of words, label 0 first")},
    {.key = NULL}};

static const struct covey_field where_fields[] = {
    {.key = "file",
     .kind = COVEY_FIELD_TEXT,
     .offset = offsetof(struct covey_data_where, file),
     .required = true,
     .hint = "an IDX or NPY file of one whole number an example"},
    {.key = "is", .kind = COVEY_FIELD_INT, .offset = offsetof(struct covey_data_where, is)},
    {.key = "from", .kind = COVEY_FIELD_INT, .offset = offsetof(struct covey_data_where, from)},
    {.key = "to", .kind = COVEY_FIELD_INT, .offset = offsetof(struct covey_data_where, to)},
    {.key = NULL}};

static const struct covey_field split_fields[] = {
    {.key = "kind",
     .kind = COVEY_FIELD_CHOICE,
     .offset = offsetof(struct covey_data_split, kind),
     .choices = split_words,
     .required = true},
    {.key = "devices",
     .kind = COVEY_FIELD_INT,
     .offset = offsetof(struct covey_data_split, devices),
     .required = true,
     .minimum = 1,
     .maximum = COVEY_DEVICES},
    {.key = "device",
     .kind = COVEY_FIELD_INT,
     .offset = offsetof(struct covey_data_split, device),
     .required = true,
     .minimum = 0,
     .maximum = COVEY_DEVICES},
    {.key = "alpha",
     .kind = COVEY_FIELD_REAL,
     .offset = offsetof(struct covey_data_split, alpha),
     .minimum = 1e-6,
     .maximum = 1e6},
    {.key = "shards",
     .kind = COVEY_FIELD_INT,
     .offset = offsetof(struct covey_data_split, shards),
     .minimum = 1,
     .maximum = 1000},
    {.key = "seed", .kind = COVEY_FIELD_INT, .offset = offsetof(struct covey_data_split, seed)},
    {.key = NULL}};

const struct covey_field covey_data_fields[] = {
    {.key = "inputs",
     NAMES_AT(struct covey_data_config, inputs, COVEY_DATA_FILES, "a list of IDX or NPY files")},
    {.key = "labels",
     NAMES_AT(struct covey_data_config, labels, COVEY_DATA_FILES, "a list of IDX or NPY files")},
    {.key = "targets",
     NAMES_AT(struct covey_data_config, targets, COVEY_DATA_FILES, "a list of IDX or NPY files")},
    {.key = "csv", .kind = COVEY_FIELD_MAPPING, AT(csv), .fields = csv_fields},
    {.key = "statistics",
     .kind = COVEY_FIELD_TEXT,
     AT(statistics),
     .hint = "a CSV file: feature,mean,deviation"},
    {.key = "scale", .kind = COVEY_FIELD_REAL, AT(scale)},
    {.key = "shift", .kind = COVEY_FIELD_REAL, AT(shift)},
    {.key = "missing", .kind = COVEY_FIELD_CHOICE, AT(missing), .choices = missing_words},
    {.key = "index", .kind = COVEY_FIELD_TEXT, AT(index), .hint = "a file of one example number a line"},
    {.key = "where",
     .kind = COVEY_FIELD_LIST,
     AT(where),
     .count_offset = offsetof(struct covey_data_config, where_count),
     .item_kind = COVEY_FIELD_MAPPING,
     .item_bytes = sizeof(struct covey_data_where),
     .fields = where_fields,
     .item_limit = COVEY_DATA_FILTERS},
    {.key = "classes", .kind = COVEY_FIELD_INT, AT(classes), .minimum = 0, .maximum = 1 << 24},
    {.key = "split", .kind = COVEY_FIELD_MAPPING, AT(split), .fields = split_fields},
    {.key = "skip", .kind = COVEY_FIELD_INT, AT(skip), .minimum = 0, .maximum = COUNT_MAX},
    {.key = "take", .kind = COVEY_FIELD_INT, AT(take), .minimum = 0, .maximum = COUNT_MAX},
    {.key = NULL}};
