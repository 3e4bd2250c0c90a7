/* Two readings: covey_yaml_check says what is wrong and where; then libcyaml loads every scalar as text into
 * a shadow of the caller's struct, by a schema built from the table of fields, and the texts are converted
 * into place. So libcyaml's own lenient numbers and booleans never count, and a key that is absent can be
 * told from one that is zero. */
#include "covey/yaml.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cyaml/cyaml.h>

#include "covey/limits.h"
#include "yaml_check.h"

/* ---- the schema and the shadow ---- */

/* A list in the shadow. Scalars are a char * each, mappings lie in place. */
struct shadow_list {
    void *items;
    uint32_t count;
};

static size_t shadow_bytes(const struct covey_field *fields);

static size_t shadow_item_bytes(const struct covey_field *field, enum covey_field_kind kind)
{
    return kind == COVEY_FIELD_MAPPING ? shadow_bytes(field->fields) : sizeof(char *);
}

static size_t shadow_slot_bytes(const struct covey_field *field)
{
    return field->kind == COVEY_FIELD_LIST ? sizeof(struct shadow_list)
                                           : shadow_item_bytes(field, field->kind);
}

static size_t shadow_bytes(const struct covey_field *fields)
{
    size_t bytes = 0;
    for (; fields->key != NULL; fields++)
        bytes += shadow_slot_bytes(fields);
    return bytes;
}

static size_t count_fields(const struct covey_field *fields)
{
    size_t count = 1; /* the end marker */
    for (; fields->key != NULL; fields++)
        count += 1 + (fields->fields != NULL ? count_fields(fields->fields) : 0);
    return count;
}

struct schema {
    cyaml_schema_field_t *fields;  /* storage for all levels */
    cyaml_schema_value_t *entries; /* of lists */
    size_t field_count, entry_count;
};

static const cyaml_schema_field_t *build_fields(struct schema *schema, const struct covey_field *fields);

static cyaml_schema_value_t value_schema(struct schema *schema, const struct covey_field *field,
                                         enum covey_field_kind kind)
{
    cyaml_schema_value_t value = {.flags = CYAML_FLAG_OPTIONAL};
    if (kind == COVEY_FIELD_MAPPING) {
        value.type = CYAML_MAPPING;
        value.data_size = (uint32_t)shadow_bytes(field->fields);
        value.mapping.fields = build_fields(schema, field->fields);
    } else if (kind == COVEY_FIELD_LIST) {
        cyaml_schema_value_t *entry = &schema->entries[schema->entry_count++];
        *entry = value_schema(schema, field, field->item_kind);
        value.type = CYAML_SEQUENCE;
        value.flags = CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER;
        /* Of text, a list holds pointers: their size, not that of a char. */
        value.data_size = (uint32_t)shadow_item_bytes(field, field->item_kind);
        value.sequence.entry = entry;
        value.sequence.max = field->item_limit;
    } else {
        value.type = CYAML_STRING;
        value.flags = CYAML_FLAG_OPTIONAL | CYAML_FLAG_POINTER;
        value.data_size = 1;
        value.string.max = COVEY_YAML_BYTES;
    }
    return value;
}

static const cyaml_schema_field_t *build_fields(struct schema *schema, const struct covey_field *fields)
{
    size_t count = 0, offset = 0;
    while (fields[count].key != NULL)
        count++;
    cyaml_schema_field_t *built = &schema->fields[schema->field_count];
    schema->field_count += count + 1; /* the last stays zero: its key is NULL */
    for (size_t i = 0; i < count; i++) {
        built[i].key = fields[i].key;
        built[i].data_offset = (uint32_t)offset;
        built[i].value = value_schema(schema, &fields[i], fields[i].kind);
        if (fields[i].kind == COVEY_FIELD_LIST) {
            built[i].count_offset = (uint32_t)(offset + offsetof(struct shadow_list, count));
            built[i].count_size = sizeof(uint32_t);
        }
        offset += shadow_slot_bytes(&fields[i]);
    }
    return built;
}

/* ---- from the shadow into place ---- */

static enum covey_status convert_fields(const struct covey_field *fields, const uint8_t *shadow,
                                        uint8_t *into, struct covey_error *err);

static enum covey_status convert_scalar(const struct covey_field *field, enum covey_field_kind kind,
                                        const char *text, uint8_t *into, struct covey_error *err)
{
    union covey_yaml_value value;
    char *copy;
    COVEY_TRY(covey_yaml_scalar(field, kind, text, &value, err));
    switch (kind) {
    case COVEY_FIELD_BOOL:
        memcpy(into, &value.truth, sizeof value.truth);
        return COVEY_OK;
    case COVEY_FIELD_INT:
    case COVEY_FIELD_CHOICE:
        memcpy(into, &value.integer, sizeof value.integer);
        return COVEY_OK;
    case COVEY_FIELD_REAL:
        memcpy(into, &value.real, sizeof value.real);
        return COVEY_OK;
    default:
        copy = strdup(text);
        if (copy == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for '%s'", field->key);
        memcpy(into, &copy, sizeof copy);
        return COVEY_OK;
    }
}

static enum covey_status convert_item(const struct covey_field *field, enum covey_field_kind kind,
                                      const uint8_t *shadow, uint8_t *into, struct covey_error *err)
{
    if (kind == COVEY_FIELD_MAPPING)
        return convert_fields(field->fields, shadow, into, err);
    const char *text;
    memcpy(&text, shadow, sizeof text);
    return text == NULL ? COVEY_OK : convert_scalar(field, kind, text, into, err);
}

/* The new list is in place before its items are read, so that covey_yaml_free finds whatever was allocated.
 */
static enum covey_status convert_list(const struct covey_field *field, const uint8_t *shadow, uint8_t *into,
                                      struct covey_error *err)
{
    struct shadow_list list;
    memcpy(&list, shadow, sizeof list);
    if (list.count == 0)
        return COVEY_OK;
    uint8_t *items = calloc(list.count, field->item_bytes);
    if (items == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for '%s'", field->key);
    memcpy(into + field->offset, &items, sizeof items);
    memcpy(into + field->count_offset, &list.count, sizeof list.count);
    const size_t step = shadow_item_bytes(field, field->item_kind);
    for (uint32_t i = 0; i < list.count; i++)
        COVEY_TRY(convert_item(field, field->item_kind, (const uint8_t *)list.items + i * step,
                               items + i * field->item_bytes, err));
    return COVEY_OK;
}

static enum covey_status convert_fields(const struct covey_field *fields, const uint8_t *shadow,
                                        uint8_t *into, struct covey_error *err)
{
    for (; fields->key != NULL; shadow += shadow_slot_bytes(fields), fields++) {
        if (fields->kind == COVEY_FIELD_LIST)
            COVEY_TRY(convert_list(fields, shadow, into, err));
        else
            COVEY_TRY(convert_item(fields, fields->kind, shadow, into + fields->offset, err));
    }
    return COVEY_OK;
}

/* ---- loading ---- */

static enum covey_status load_shadow(const char *name, const char *text, size_t text_bytes,
                                     const struct covey_field *fields, uint8_t *staged,
                                     struct covey_error *err)
{
    const cyaml_config_t config = {
        .mem_fn = cyaml_mem, .log_level = CYAML_LOG_ERROR, .flags = CYAML_CFG_NO_ALIAS};
    const size_t count = count_fields(fields);
    struct schema schema = {.fields = calloc(count, sizeof *schema.fields),
                            .entries = calloc(count, sizeof *schema.entries)};
    cyaml_data_t *shadow = NULL;
    cyaml_schema_value_t top = {.type = CYAML_MAPPING, .flags = CYAML_FLAG_POINTER};
    enum covey_status status = COVEY_NO_MEMORY;
    if (schema.fields == NULL || schema.entries == NULL) {
        (void)covey_fail(err, status, "%s: no memory to read it", name);
        goto cleanup;
    }
    top.data_size = (uint32_t)shadow_bytes(fields);
    top.mapping.fields = build_fields(&schema, fields);
    const cyaml_err_t result =
        cyaml_load_data((const uint8_t *)text, text_bytes, &config, &top, &shadow, NULL);
    if (result != CYAML_OK) { /* everything else was refused by the check */
        status = covey_fail(err, result == CYAML_ERR_OOM ? COVEY_NO_MEMORY : COVEY_INVALID, "%s:1: %s", name,
                            cyaml_strerror(result));
        goto cleanup;
    }
    status = shadow != NULL ? convert_fields(fields, shadow, staged, err) : COVEY_OK;
cleanup:
    if (shadow != NULL)
        (void)cyaml_free(&config, &top, shadow, 0);
    free(schema.fields);
    free(schema.entries);
    return status;
}

enum covey_status covey_yaml_load_text(const char *name, const char *text, size_t text_bytes,
                                       const struct covey_field *fields, void *into, size_t into_bytes,
                                       struct covey_error *err)
{
    if (text_bytes > COVEY_YAML_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%s: larger than %u bytes", name, COVEY_YAML_BYTES);
    COVEY_TRY(covey_yaml_check(name, text, text_bytes, fields, err));
    uint8_t *staged = malloc(into_bytes);
    if (staged == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory to read it", name);
    memcpy(staged, into, into_bytes);
    const enum covey_status status = load_shadow(name, text, text_bytes, fields, staged, err);
    if (status == COVEY_OK)
        memcpy(into, staged, into_bytes);
    else
        covey_yaml_free(fields, staged, into);
    free(staged);
    return status;
}

/* Reads at most one byte more than is legal, so that a size that changes meanwhile does no harm. */
static enum covey_status read_file(const char *file, char *out, size_t capacity, size_t *out_bytes,
                                   struct covey_error *err)
{
    size_t used = 0;
    ssize_t got = 0;
    struct stat info;
    const int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: cannot be opened: %m", file);
    if (fstat(fd, &info) != 0 || S_ISDIR(info.st_mode)) {
        (void)close(fd);
        return covey_fail(err, COVEY_IO, "%s: is no file", file);
    }
    while (used < capacity && (got = read(fd, out + used, capacity - used)) > 0)
        used += (size_t)got;
    (void)close(fd);
    if (got < 0)
        return covey_fail(err, COVEY_IO, "%s: cannot be read: %m", file);
    *out_bytes = used;
    return COVEY_OK;
}

enum covey_status covey_yaml_load_file(const char *file, const struct covey_field *fields, void *into,
                                       size_t into_bytes, struct covey_error *err)
{
    size_t bytes = 0;
    char *text = malloc(COVEY_YAML_BYTES + 1);
    if (text == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory to read it", file);
    enum covey_status status = read_file(file, text, COVEY_YAML_BYTES + 1, &bytes, err);
    if (status == COVEY_OK)
        status = covey_yaml_load_text(file, text, bytes, fields, into, into_bytes, err);
    free(text);
    return status;
}

/* ---- freeing ---- */

static void free_text(uint8_t *place, const uint8_t *initial)
{
    char *text, *before = NULL;
    memcpy(&text, place, sizeof text);
    if (initial != NULL)
        memcpy(&before, initial, sizeof before);
    if (text != before)
        free(text);
    memcpy(place, &before, sizeof before);
}

static void free_list(const struct covey_field *field, uint8_t *into, const uint8_t *defaults)
{
    uint8_t *items, *before = NULL;
    uint32_t count, count_before = 0;
    memcpy(&items, into + field->offset, sizeof items);
    memcpy(&count, into + field->count_offset, sizeof count);
    if (defaults != NULL) {
        memcpy(&before, defaults + field->offset, sizeof before);
        memcpy(&count_before, defaults + field->count_offset, sizeof count_before);
    }
    if (items == before)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (field->item_kind == COVEY_FIELD_MAPPING)
            covey_yaml_free(field->fields, items + i * field->item_bytes, NULL);
        else if (field->item_kind == COVEY_FIELD_TEXT)
            free_text(items + i * field->item_bytes, NULL);
    }
    free(items);
    memcpy(into + field->offset, &before, sizeof before);
    memcpy(into + field->count_offset, &count_before, sizeof count_before);
}

void covey_yaml_free(const struct covey_field *fields, void *into, const void *defaults)
{
    uint8_t *place = into;
    const uint8_t *initial = defaults;
    for (; fields->key != NULL; fields++) {
        const uint8_t *before = initial != NULL ? initial + fields->offset : NULL;
        if (fields->kind == COVEY_FIELD_TEXT)
            free_text(place + fields->offset, before);
        else if (fields->kind == COVEY_FIELD_MAPPING)
            covey_yaml_free(fields->fields, place + fields->offset, before);
        else if (fields->kind == COVEY_FIELD_LIST)
            free_list(fields, place, initial);
    }
}
