/* A configuration file from anywhere, against a table with a field of every kind. */
#include <stdlib.h>
#include <string.h>

#include "covey/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct item {
    char *name;
    double *values;
    uint32_t value_count;
};

struct top {
    bool on;
    int64_t count;
    double share;
    char *title;
    int64_t colour;
    struct item inner;
    struct item *items;
    uint32_t item_count;
};

static const char *const colours[] = {"red", "green", NULL};

static const struct covey_field item_fields[] = {
    {.key = "name", .kind = COVEY_FIELD_TEXT, .offset = offsetof(struct item, name), .required = true},
    {.key = "values",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct item, values),
     .count_offset = offsetof(struct item, value_count),
     .item_kind = COVEY_FIELD_REAL,
     .item_bytes = sizeof(double),
     .item_limit = 8},
    {0}};

static const struct covey_field top_fields[] = {
    {.key = "on", .kind = COVEY_FIELD_BOOL, .offset = offsetof(struct top, on)},
    {.key = "count",
     .kind = COVEY_FIELD_INT,
     .offset = offsetof(struct top, count),
     .minimum = -5,
     .maximum = 5},
    {.key = "share", .kind = COVEY_FIELD_REAL, .offset = offsetof(struct top, share)},
    {.key = "title", .kind = COVEY_FIELD_TEXT, .offset = offsetof(struct top, title)},
    {.key = "colour", .kind = COVEY_FIELD_CHOICE, .offset = offsetof(struct top, colour), .choices = colours},
    {.key = "inner",
     .kind = COVEY_FIELD_MAPPING,
     .offset = offsetof(struct top, inner),
     .fields = item_fields},
    {.key = "items",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct top, items),
     .count_offset = offsetof(struct top, item_count),
     .item_kind = COVEY_FIELD_MAPPING,
     .item_bytes = sizeof(struct item),
     .fields = item_fields,
     .item_limit = 4},
    {0}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct top defaults = {.title = "default"};
    struct top top = defaults;
    struct covey_error err = {0};
    if (covey_yaml_load_text("fuzz", (const char *)data, size, top_fields, &top, sizeof top, &err) !=
        COVEY_OK) {
        if (err.text[0] == '\0' || memcmp(&top, &defaults, sizeof top) != 0)
            abort();
        return 0;
    }
    covey_yaml_free(top_fields, &top, &defaults);
    if (memcmp(&top.title, &defaults.title, sizeof top.title) != 0 || top.items != NULL)
        abort();
    return 0;
}
