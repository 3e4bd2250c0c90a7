#include "yaml_check.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one, if `have` */
    bool have;
    const char *name;
    struct covey_error *err;
};

static size_t line_of(const struct reader *reader)
{
    return reader->event.start_mark.line + 1;
}

/* ---- hints ---- */

#define WORD_BYTES 64

/* Edits (insert, delete, replace, swap of neighbours) from a to b: Levenshtein's recurrence with three rows.
 */
static size_t edit_distance(const char *a, const char *b)
{
    const size_t m = strnlen(a, WORD_BYTES - 1), n = strnlen(b, WORD_BYTES - 1);
    size_t rows[3][WORD_BYTES];
    size_t *above2 = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= n; j++)
        above[j] = j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && above2[j - 2] + 1 < best)
                best = above2[j - 2] + 1;
            row[j] = best;
        }
        size_t *spare = above2;
        above2 = above;
        above = row;
        row = spare;
    }
    return above[n];
}

/* The word at index of a list of choices or of keys; NULL past the end. */
typedef const char *word_at(const void *list, size_t index);

static const char *choice_at(const void *list, size_t index)
{
    return ((const char *const *)list)[index];
}

static const char *key_at(const void *list, size_t index)
{
    return ((const struct covey_field *)list)[index].key;
}

/* "did you mean 'epochs'?" when one word is near, otherwise "one of: a, b, c". */
static void suggest(const char *wrong, const void *list, word_at *at, char *out, size_t out_bytes)
{
    const char *nearest = NULL;
    size_t best = strlen(wrong) / 3 + 1;
    for (size_t i = 0; at(list, i) != NULL; i++) {
        const size_t distance = edit_distance(wrong, at(list, i));
        if (distance <= best && (nearest == NULL || distance < best)) {
            best = distance;
            nearest = at(list, i);
        }
    }
    if (nearest != NULL) {
        (void)snprintf(out, out_bytes, "did you mean '%s'?", nearest);
        return;
    }
    size_t used = (size_t)snprintf(out, out_bytes, "possible here:");
    for (size_t i = 0; at(list, i) != NULL && used < out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s %s", i > 0 ? "," : "", at(list, i));
}

/* ---- scalars ---- */

static enum covey_status wrong(const struct covey_field *field, const char *expected, const char *text,
                               struct covey_error *err)
{
    const char *hint = field->hint;
    return covey_fail(err, COVEY_INVALID, "'%s' must be %s, not '%.60s'%s%s", field->key, expected, text,
                      hint != NULL ? ": " : "", hint != NULL ? hint : "");
}

static bool read_bool(const char *text, bool *out)
{
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        for (int value = 0; value < 2; value++) {
            if (strcmp(text, words[i][value]) == 0) {
                *out = value;
                return true;
            }
        }
    }
    return false;
}

static bool read_integer(const char *text, int64_t *out)
{
    char *end = NULL;
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || strchr(" \t\n", text[0]) != NULL)
        return false;
    *out = value;
    return true;
}

static bool read_real(const char *text, double *out)
{
    char *end = NULL;
    /* No hexadecimal floats, no "inf", no "nan". */
    if (text[0] == '\0' || text[strspn(text, "+-.0123456789eE")] != '\0')
        return false;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(value))
        return false;
    *out = value;
    return true;
}

static enum covey_status check_range(const struct covey_field *field, double value, const char *text,
                                     struct covey_error *err)
{
    if ((field->minimum == 0.0 && field->maximum == 0.0) ||
        (value >= field->minimum && value <= field->maximum))
        return COVEY_OK;
    const char *hint = field->hint;
    return covey_fail(err, COVEY_INVALID, "'%s' is %.60s, must be from %.15g to %.15g%s%s", field->key, text,
                      field->minimum, field->maximum, hint != NULL ? ": " : "", hint != NULL ? hint : "");
}

static enum covey_status read_choice(const struct covey_field *field, const char *text, int64_t *out,
                                     struct covey_error *err)
{
    char hint[256];
    for (size_t i = 0; field->choices[i] != NULL; i++) {
        if (strcmp(text, field->choices[i]) == 0) {
            *out = (int64_t)i;
            return COVEY_OK;
        }
    }
    suggest(text, field->choices, choice_at, hint, sizeof hint);
    return covey_fail(err, COVEY_INVALID, "'%s' cannot be '%.60s': %s", field->key, text, hint);
}

enum covey_status covey_yaml_scalar(const struct covey_field *field, enum covey_field_kind kind,
                                    const char *text, union covey_yaml_value *out, struct covey_error *err)
{
    switch (kind) {
    case COVEY_FIELD_BOOL:
        return read_bool(text, &out->truth) ? COVEY_OK : wrong(field, "true or false", text, err);
    case COVEY_FIELD_INT:
        if (!read_integer(text, &out->integer))
            return wrong(field, "a whole number", text, err);
        return check_range(field, (double)out->integer, text, err);
    case COVEY_FIELD_REAL:
        if (!read_real(text, &out->real))
            return wrong(field, "a number", text, err);
        return check_range(field, out->real, text, err);
    case COVEY_FIELD_CHOICE:
        return read_choice(field, text, &out->integer, err);
    case COVEY_FIELD_TEXT:
        return COVEY_OK;
    case COVEY_FIELD_MAPPING:
    case COVEY_FIELD_LIST:
        break;
    }
    return covey_fail(err, COVEY_INVALID, "'%s' is no single value", field->key);
}

/* ---- the walk over the events ---- */

static enum covey_status next_event(struct reader *reader)
{
    if (reader->have)
        yaml_event_delete(&reader->event);
    reader->have = false;
    if (!yaml_parser_parse(&reader->parser, &reader->event)) {
        if (reader->parser.error == YAML_MEMORY_ERROR)
            return covey_fail(reader->err, COVEY_NO_MEMORY, "%s: no memory to read it", reader->name);
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: not valid YAML: %s", reader->name,
                          reader->parser.problem_mark.line + 1,
                          reader->parser.problem != NULL ? reader->parser.problem : "unreadable");
    }
    reader->have = true;
    if (reader->event.type == YAML_ALIAS_EVENT)
        return covey_fail(reader->err, COVEY_INVALID,
                          "%s:%zu: aliases are not supported: write the value of '*%s' out", reader->name,
                          line_of(reader), (const char *)reader->event.data.alias.anchor);
    return COVEY_OK;
}

static const char *event_noun(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SEQUENCE_START_EVENT:
        return "a list";
    case YAML_MAPPING_START_EVENT:
        return "a mapping";
    default:
        return event->data.scalar.length > 0 ? "a single value" : "nothing";
    }
}

static enum covey_status wrong_event(struct reader *reader, const char *key, const char *expected)
{
    return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: '%s' must be %s, but %s stands there",
                      reader->name, line_of(reader), key, expected, event_noun(&reader->event));
}

/* The text of the current scalar event, which holds no zero byte. */
static enum covey_status event_text(struct reader *reader, const char **out)
{
    const char *text = (const char *)reader->event.data.scalar.value;
    if (strlen(text) != reader->event.data.scalar.length)
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: a text must not hold a zero byte",
                          reader->name, line_of(reader));
    *out = text;
    return COVEY_OK;
}

static enum covey_status check_scalar(struct reader *reader, const struct covey_field *field,
                                      enum covey_field_kind kind)
{
    const char *text = NULL;
    union covey_yaml_value value;
    if (reader->event.type != YAML_SCALAR_EVENT)
        return wrong_event(reader, field->key, "a single value");
    COVEY_TRY(event_text(reader, &text));
    if (kind != COVEY_FIELD_TEXT && kind != COVEY_FIELD_CHOICE &&
        reader->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: '%s' is a text here: leave out the quotes",
                          reader->name, line_of(reader), field->key);
    const enum covey_status status = covey_yaml_scalar(field, kind, text, &value, reader->err);
    return status == COVEY_OK ? COVEY_OK
                              : covey_fail_at(reader->err, status, "%s:%zu: ", reader->name, line_of(reader));
}

static enum covey_status check_mapping(struct reader *reader, const struct covey_field *fields, int depth);

/* The current event is the value's first one. */
static enum covey_status check_item(struct reader *reader, const struct covey_field *field,
                                    enum covey_field_kind kind, int depth)
{
    if (kind != COVEY_FIELD_MAPPING)
        return check_scalar(reader, field, kind);
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return wrong_event(reader, field->key, "a mapping (lines of key: value)");
    return check_mapping(reader, field->fields, depth + 1);
}

static enum covey_status check_list(struct reader *reader, const struct covey_field *field, int depth)
{
    uint32_t count = 0;
    if (reader->event.type != YAML_SEQUENCE_START_EVENT)
        return wrong_event(reader, field->key, "a list ([a, b], or lines that begin with -)");
    for (;;) {
        COVEY_TRY(next_event(reader));
        if (reader->event.type == YAML_SEQUENCE_END_EVENT)
            return COVEY_OK;
        if (count++ == field->item_limit)
            return covey_fail(reader->err, COVEY_INVALID,
                              "%s:%zu: '%s' has too many items: at most %u are possible", reader->name,
                              line_of(reader), field->key, field->item_limit);
        COVEY_TRY(check_item(reader, field, field->item_kind, depth));
    }
}

/* The current event is a key. *out: its place in fields. */
static enum covey_status check_key(struct reader *reader, const struct covey_field *fields, uint8_t *seen,
                                   size_t *out)
{
    const char *key = NULL;
    char hint[256];
    size_t at = 0;
    if (reader->event.type != YAML_SCALAR_EVENT)
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: a key must be a word", reader->name,
                          line_of(reader));
    COVEY_TRY(event_text(reader, &key));
    while (fields[at].key != NULL && strcmp(fields[at].key, key) != 0)
        at++;
    if (fields[at].key == NULL) {
        suggest(key, fields, key_at, hint, sizeof hint);
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: unknown key '%.60s': %s", reader->name,
                          line_of(reader), key, hint);
    }
    if (at >= COVEY_YAML_FIELDS || seen[at])
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: key '%s' is there twice", reader->name,
                          line_of(reader), key);
    seen[at] = 1;
    *out = at;
    return COVEY_OK;
}

static enum covey_status check_required(struct reader *reader, const struct covey_field *fields,
                                        const uint8_t *seen, size_t line)
{
    for (size_t i = 0; fields[i].key != NULL && i < COVEY_YAML_FIELDS; i++) {
        const char *hint = fields[i].hint;
        if (fields[i].required && !seen[i])
            return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: key '%s' is missing%s%s", reader->name,
                              line, fields[i].key, hint != NULL ? ": " : "", hint != NULL ? hint : "");
    }
    return COVEY_OK;
}

/* The current event is the mapping's start. */
static enum covey_status check_mapping(struct reader *reader, const struct covey_field *fields, int depth)
{
    uint8_t seen[COVEY_YAML_FIELDS] = {0};
    const size_t line = line_of(reader);
    if (depth > COVEY_YAML_DEPTH)
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: more than %d levels", reader->name, line,
                          COVEY_YAML_DEPTH);
    for (;;) {
        size_t at = 0;
        COVEY_TRY(next_event(reader));
        if (reader->event.type == YAML_MAPPING_END_EVENT)
            return check_required(reader, fields, seen, line);
        COVEY_TRY(check_key(reader, fields, seen, &at));
        COVEY_TRY(next_event(reader));
        if (fields[at].kind == COVEY_FIELD_LIST)
            COVEY_TRY(check_list(reader, &fields[at], depth));
        else
            COVEY_TRY(check_item(reader, &fields[at], fields[at].kind, depth));
    }
}

static enum covey_status check_stream(struct reader *reader, const struct covey_field *fields)
{
    static const uint8_t none[COVEY_YAML_FIELDS] = {0};
    COVEY_TRY(next_event(reader)); /* start of the stream */
    COVEY_TRY(next_event(reader));
    if (reader->event.type == YAML_STREAM_END_EVENT)
        return check_required(reader, fields, none, 1);
    COVEY_TRY(next_event(reader));
    if (reader->event.type != YAML_MAPPING_START_EVENT)
        return covey_fail(reader->err, COVEY_INVALID,
                          "%s:%zu: the file must be a mapping (lines of key: value)", reader->name,
                          line_of(reader));
    COVEY_TRY(check_mapping(reader, fields, 1));
    COVEY_TRY(next_event(reader)); /* end of the document */
    COVEY_TRY(next_event(reader));
    if (reader->event.type != YAML_STREAM_END_EVENT)
        return covey_fail(reader->err, COVEY_INVALID, "%s:%zu: a second document begins: one is possible",
                          reader->name, line_of(reader));
    return COVEY_OK;
}

enum covey_status covey_yaml_check(const char *name, const char *text, size_t text_bytes,
                                   const struct covey_field *fields, struct covey_error *err)
{
    struct reader reader = {.name = name, .err = err};
    if (!yaml_parser_initialize(&reader.parser))
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory to read it", name);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, text_bytes);
    const enum covey_status status = check_stream(&reader, fields);
    if (reader.have)
        yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return status;
}
