/* The way back: a struct as YAML, by the same table of fields that reads it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/yaml.h"

static void write_fields(FILE *out, const struct covey_field *fields, const uint8_t *from, int depth,
                         bool after_dash);

/* Does it hold anything that a reader would not assume anyway? */
static bool is_zero(const struct covey_field *fields, const uint8_t *from)
{
    for (; fields->key != NULL; fields++) {
        const uint8_t *place = from + fields->offset;
        int64_t integer = 0;
        double real = 0;
        bool truth = false;
        const char *text = NULL;
        uint32_t count = 0;
        switch (fields->kind) {
        case COVEY_FIELD_BOOL:
            memcpy(&truth, place, sizeof truth);
            break;
        case COVEY_FIELD_INT:
        case COVEY_FIELD_CHOICE:
            memcpy(&integer, place, sizeof integer);
            break;
        case COVEY_FIELD_REAL:
            memcpy(&real, place, sizeof real);
            break;
        case COVEY_FIELD_TEXT:
            memcpy(&text, place, sizeof text);
            break;
        case COVEY_FIELD_MAPPING:
            truth = !is_zero(fields->fields, place);
            break;
        case COVEY_FIELD_LIST:
            memcpy(&count, from + fields->count_offset, sizeof count);
            break;
        }
        if (truth || integer != 0 || real < 0 || real > 0 || text != NULL || count != 0)
            return false;
    }
    return true;
}

/* The shortest decimal that reads back as the same double. */
static void write_real(FILE *out, double value)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (digits == 17 || !(strtod(text, NULL) < value || strtod(text, NULL) > value))
            break;
    }
    (void)fputs(text, out);
}

/* Plain where nothing can be mistaken, in double quotes otherwise (YAML 1.2, section 7.3.1). */
static void write_text(FILE *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./";
    const size_t length = strlen(text);
    if (length > 0 &&
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") == length &&
        strchr(plain, text[0]) != NULL) {
        (void)fputs(text, out);
        return;
    }
    (void)fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            (void)fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20 || *text == 0x7f)
            (void)fprintf(out, "\\x%02x", (unsigned)(unsigned char)*text);
        else
            (void)fputc(*text, out);
    }
    (void)fputc('"', out);
}

static void write_scalar(FILE *out, const struct covey_field *field, enum covey_field_kind kind,
                         const uint8_t *place)
{
    int64_t integer;
    double real;
    bool truth;
    const char *text;
    switch (kind) {
    case COVEY_FIELD_BOOL:
        memcpy(&truth, place, sizeof truth);
        (void)fputs(truth ? "true" : "false", out);
        return;
    case COVEY_FIELD_INT:
        memcpy(&integer, place, sizeof integer);
        (void)fprintf(out, "%" PRId64, integer);
        return;
    case COVEY_FIELD_CHOICE:
        memcpy(&integer, place, sizeof integer);
        (void)fputs(field->choices[integer], out);
        return;
    case COVEY_FIELD_REAL:
        memcpy(&real, place, sizeof real);
        write_real(out, real);
        return;
    default:
        memcpy(&text, place, sizeof text);
        write_text(out, text == NULL ? "" : text);
        return;
    }
}

static void write_list(FILE *out, const struct covey_field *field, const uint8_t *from, int depth)
{
    const uint8_t *items;
    uint32_t count;
    memcpy(&items, from + field->offset, sizeof items);
    memcpy(&count, from + field->count_offset, sizeof count);
    (void)fputc('\n', out);
    for (uint32_t i = 0; i < count; i++) {
        (void)fprintf(out, "%*s- ", 2 * depth + 2, "");
        if (field->item_kind == COVEY_FIELD_MAPPING) {
            write_fields(out, field->fields, items + i * field->item_bytes, depth + 2, true);
        } else {
            write_scalar(out, field, field->item_kind, items + i * field->item_bytes);
            (void)fputc('\n', out);
        }
    }
}

/* Nothing that is left out on purpose: absent text, an empty list, a mapping or a sparse key in which all is
 * zero. */
static bool is_absent(const struct covey_field *field, const uint8_t *from)
{
    const struct covey_field alone[] = {*field, {.key = NULL}};
    return (field->kind == COVEY_FIELD_TEXT || field->kind == COVEY_FIELD_LIST ||
            field->kind == COVEY_FIELD_MAPPING || field->sparse) &&
           is_zero(alone, from);
}

static void write_fields(FILE *out, const struct covey_field *fields, const uint8_t *from, int depth,
                         bool after_dash)
{
    for (; fields->key != NULL; fields++) {
        if (is_absent(fields, from))
            continue;
        (void)fprintf(out, "%*s%s:", after_dash ? 0 : 2 * depth, "", fields->key);
        after_dash = false;
        if (fields->kind == COVEY_FIELD_MAPPING) {
            (void)fputc('\n', out);
            write_fields(out, fields->fields, from + fields->offset, depth + 1, false);
        } else if (fields->kind == COVEY_FIELD_LIST) {
            write_list(out, fields, from, depth);
        } else {
            (void)fputc(' ', out);
            write_scalar(out, fields, fields->kind, from + fields->offset);
            (void)fputc('\n', out);
        }
    }
    if (after_dash)
        (void)fputs("{}\n", out);
}

enum covey_status covey_yaml_write(const struct covey_field *fields, const void *from, char **out)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    if (stream == NULL)
        return COVEY_NO_MEMORY;
    write_fields(stream, fields, from, 0, false);
    const bool failed = ferror(stream) != 0;
    if (fclose(stream) != 0 || failed) {
        free(text);
        return COVEY_NO_MEMORY;
    }
    *out = text;
    return COVEY_OK;
}
