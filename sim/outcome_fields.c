#include "outcome_fields.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/json.h"
#include "json_object.h"

#define OBJECT_BYTES 8192 /* the longest object that the tables make, with room */

#define FIELD(type, kind, key, member)                                                                       \
    {                                                                                                        \
        key, COVEY_OUTCOME_##kind, offsetof(struct type, member), sizeof(((struct type *)NULL)->member)      \
    }
#define ROUND(kind, key, member) FIELD(covey_sim_round, kind, key, member)
#define SUMMARY(kind, key, member) FIELD(covey_sim_summary, kind, key, member)

const struct covey_outcome_field covey_round_fields[] = {
    ROUND(U32, "round", round),
    ROUND(BOOL, "abandoned", abandoned),
    ROUND(REAL, "metric", metric),
    ROUND(REAL, "best", best),
    ROUND(REAL, "loss", loss),
    ROUND(REAL, "devices_metric", devices_metric),
    ROUND(REAL, "worst_decile", worst_decile),
    ROUND(REAL, "train_loss", train_loss),
    ROUND(U32, "chosen", chosen),
    ROUND(U32, "updates", updates),
    ROUND(U32, "late", late),
    ROUND(U32, "dropped", dropped),
    ROUND(U32, "refused", refused),
    ROUND(U64, "examples", examples),
    ROUND(U64, "bytes_up", bytes_up),
    ROUND(U64, "bytes_down", bytes_down),
    ROUND(U64, "update_bytes_up", update_bytes_up),
    ROUND(U64, "bytes_up_fp32", bytes_up_fp32),
    ROUND(REAL, "joules", joules),
    ROUND(REAL, "virtual_s", virtual_s),
    ROUND(REAL, "wall_s", wall_s),
    ROUND(HASH, "model_sha256", model),
    {.key = NULL},
};

/* The first eleven, in this order, are what `covey-sim run --json` promises. */
const struct covey_outcome_field covey_summary_fields[] = {
    SUMMARY(TEXT, "scenario", scenario),
    SUMMARY(U32, "rounds", rounds),
    SUMMARY(REAL, "accuracy", accuracy),
    SUMMARY(HASH, "model_sha256", model),
    SUMMARY(U64, "updates", updates),
    SUMMARY(REAL, "updates_per_s", updates_per_s),
    SUMMARY(U64, "bytes_up", bytes_up),
    SUMMARY(U64, "bytes_down", bytes_down),
    SUMMARY(REAL, "virtual_s", virtual_s),
    SUMMARY(REAL, "wall_s", wall_s),
    SUMMARY(U64, "peak_rss_bytes", peak_rss_bytes),
    SUMMARY(REAL, "best", best),
    SUMMARY(BOOL, "metric_is_error", metric_is_error),
    SUMMARY(REAL, "target", target),
    SUMMARY(REAL, "rounds_to_target", rounds_to_target),
    SUMMARY(REAL, "virtual_s_to_target", virtual_s_to_target),
    SUMMARY(U64, "bytes_up_to_target", bytes_up_to_target),
    SUMMARY(U32, "abandoned", abandoned),
    SUMMARY(U64, "late", late),
    SUMMARY(U64, "dropped", dropped),
    SUMMARY(U64, "refused", refused),
    SUMMARY(U64, "update_bytes_up", update_bytes_up),
    SUMMARY(U64, "bytes_up_fp32", bytes_up_fp32),
    SUMMARY(REAL, "joules", joules),
    SUMMARY(REAL, "worst_decile", worst_decile),
    SUMMARY(REAL, "participation_gini", participation_gini),
    SUMMARY(REAL, "battery_share_a_day", battery_share_a_day),
    SUMMARY(REAL, "training_cpu_s", training_cpu_s),
    SUMMARY(REAL, "other_cpu_s", other_cpu_s),
    SUMMARY(U32, "devices", devices),
    SUMMARY(U32, "threads", threads),
    SUMMARY(U32, "ranks", ranks),
    SUMMARY(TEXT, "cpu", cpu),
    SUMMARY(TEXT, "blas", blas),
    SUMMARY(HASH, "scenario_sha256", scenario_hash),
    SUMMARY(BOOL, "interrupted", interrupted),
    {.key = NULL},
};

/* ---- a field's place as what it is ---- */

static uint64_t whole_of(const struct covey_outcome_field *field, const void *from)
{
    const char *place = (const char *)from + field->offset;
    uint32_t narrow;
    uint64_t wide;
    if (field->kind == COVEY_OUTCOME_U32) {
        memcpy(&narrow, place, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, place, sizeof wide);
    return wide;
}

static double real_of(const struct covey_outcome_field *field, const void *from)
{
    double value;
    memcpy(&value, (const char *)from + field->offset, sizeof value);
    return value;
}

static bool truth_of(const struct covey_outcome_field *field, const void *from)
{
    bool value;
    memcpy(&value, (const char *)from + field->offset, sizeof value);
    return value;
}

void covey_outcome_fields_clear(const struct covey_outcome_field *fields, void *into, size_t into_bytes)
{
    const double unknown = NAN;
    memset(into, 0, into_bytes);
    for (; fields->key != NULL; fields++)
        if (fields->kind == COVEY_OUTCOME_REAL)
            memcpy((char *)into + fields->offset, &unknown, sizeof unknown);
}

/* ---- writing ---- */

/* All zero where there is none: of a round that was not judged. */
static bool has_hash(const struct covey_outcome_field *field, const void *from)
{
    static const struct covey_hash none;
    return memcmp((const char *)from + field->offset, &none, sizeof none) != 0;
}

static void write_field(struct covey_json *json, const struct covey_outcome_field *field, const void *from)
{
    char hash[COVEY_HASH_TEXT_BYTES];
    switch (field->kind) {
    case COVEY_OUTCOME_BOOL:
        covey_json_bool(json, field->key, truth_of(field, from));
        break;
    case COVEY_OUTCOME_U32:
    case COVEY_OUTCOME_U64:
        covey_json_int(json, field->key, (int64_t)whole_of(field, from));
        break;
    case COVEY_OUTCOME_REAL:
        covey_json_real(json, field->key, real_of(field, from));
        break;
    case COVEY_OUTCOME_HASH:
        covey_hex_write((const char *)from + field->offset, COVEY_HASH_BYTES, hash);
        covey_json_text(json, field->key, has_hash(field, from) ? hash : NULL);
        break;
    case COVEY_OUTCOME_TEXT:
        covey_json_text(json, field->key, (const char *)from + field->offset);
        break;
    }
}

void covey_outcome_fields_write(FILE *out, const struct covey_outcome_field *fields, const void *from)
{
    char text[OBJECT_BYTES];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    for (; fields->key != NULL; fields++)
        write_field(&json, fields, from);
    covey_json_close(&json, '}');
    (void)fputs(text, out);
}

static void write_cell(FILE *out, const struct covey_outcome_field *field, const void *from)
{
    char hash[COVEY_HASH_TEXT_BYTES];
    switch (field->kind) {
    case COVEY_OUTCOME_BOOL:
        (void)fputs(truth_of(field, from) ? "1" : "0", out);
        break;
    case COVEY_OUTCOME_U32:
    case COVEY_OUTCOME_U64:
        (void)fprintf(out, "%" PRIu64, whole_of(field, from));
        break;
    case COVEY_OUTCOME_REAL:
        if (isfinite(real_of(field, from)))
            (void)fprintf(out, "%.9g", real_of(field, from));
        break;
    case COVEY_OUTCOME_HASH:
        covey_hex_write((const char *)from + field->offset, COVEY_HASH_BYTES, hash);
        (void)fputs(has_hash(field, from) ? hash : "", out);
        break;
    case COVEY_OUTCOME_TEXT:
        break;
    }
}

void covey_outcome_fields_row(FILE *out, const struct covey_outcome_field *fields, const void *from)
{
    for (const struct covey_outcome_field *field = fields; field->key != NULL; field++) {
        if (field > fields)
            (void)fputc(',', out);
        if (from == NULL)
            (void)fputs(field->key, out);
        else
            write_cell(out, field, from);
    }
    (void)fputc('\n', out);
}

void covey_sim_round_write(FILE *out, const struct covey_sim_round *round)
{
    covey_outcome_fields_write(out, covey_round_fields, round);
}

void covey_sim_summary_write(FILE *out, const struct covey_sim_summary *summary)
{
    covey_outcome_fields_write(out, covey_summary_fields, summary);
}

/* ---- reading ---- */

struct target {
    const struct covey_outcome_field *fields;
    char *into;
};

static enum covey_status read_whole(const struct covey_outcome_field *field,
                                    const struct covey_json_value *value, char *place,
                                    struct covey_error *err)
{
    char *end = NULL;
    const uint64_t limit = field->kind == COVEY_OUTCOME_U32 ? UINT32_MAX : INT64_MAX;
    errno = 0;
    const uint64_t whole = value->kind == COVEY_JSON_NUMBER ? strtoull(value->text, &end, 10) : 0;
    if (value->kind != COVEY_JSON_NUMBER || value->text[0] == '-' || *end != '\0' || errno != 0 ||
        whole > limit)
        return covey_fail(err, COVEY_CORRUPT, "'%s' must be a whole number from 0 to %" PRIu64, field->key,
                          limit);
    const uint32_t narrow = (uint32_t)whole;
    if (field->kind == COVEY_OUTCOME_U32)
        memcpy(place, &narrow, sizeof narrow);
    else
        memcpy(place, &whole, sizeof whole);
    return COVEY_OK;
}

static enum covey_status read_real(const struct covey_outcome_field *field,
                                   const struct covey_json_value *value, char *place, struct covey_error *err)
{
    const double number = value->kind == COVEY_JSON_NULL ? NAN : value->number;
    if (value->kind != COVEY_JSON_NULL && (value->kind != COVEY_JSON_NUMBER || !isfinite(value->number)))
        return covey_fail(err, COVEY_CORRUPT, "'%s' must be a number or null", field->key);
    memcpy(place, &number, sizeof number);
    return COVEY_OK;
}

static enum covey_status read_text(const struct covey_outcome_field *field,
                                   const struct covey_json_value *value, char *place, struct covey_error *err)
{
    struct covey_hash hash;
    if (value->kind == COVEY_JSON_NULL && field->kind == COVEY_OUTCOME_HASH)
        return COVEY_OK;
    if (value->kind != COVEY_JSON_TEXT)
        return covey_fail(err, COVEY_CORRUPT, "'%s' must be a text", field->key);
    if (field->kind == COVEY_OUTCOME_TEXT) {
        const size_t bytes = strnlen(value->text, field->bytes - 1);
        memcpy(place, value->text, bytes);
        place[bytes] = '\0';
        return COVEY_OK;
    }
    if (covey_hex_read(value->text, &hash, sizeof hash) != 0)
        return covey_fail(err, COVEY_CORRUPT, "'%s' must be %u hexadecimal digits", field->key,
                          2 * COVEY_HASH_BYTES);
    memcpy(place, &hash, sizeof hash);
    return COVEY_OK;
}

static enum covey_status read_member(void *user, const char *key, const struct covey_json_value *value,
                                     struct covey_error *err)
{
    const struct target *target = user;
    const struct covey_outcome_field *field = target->fields;
    while (field->key != NULL && strcmp(field->key, key) != 0)
        field++;
    if (field->key == NULL)
        return COVEY_OK;
    char *place = target->into + field->offset;
    switch (field->kind) {
    case COVEY_OUTCOME_BOOL:
        if (value->kind != COVEY_JSON_BOOL)
            return covey_fail(err, COVEY_CORRUPT, "'%s' must be true or false", key);
        memcpy(place, &value->truth, sizeof value->truth);
        return COVEY_OK;
    case COVEY_OUTCOME_U32:
    case COVEY_OUTCOME_U64:
        return read_whole(field, value, place, err);
    case COVEY_OUTCOME_REAL:
        return read_real(field, value, place, err);
    default:
        return read_text(field, value, place, err);
    }
}

enum covey_status covey_outcome_fields_read(const char *text, size_t text_bytes,
                                            const struct covey_outcome_field *fields, void *into,
                                            struct covey_error *err)
{
    struct target target = {fields, into};
    return covey_json_object_read(text, text_bytes, read_member, &target, err);
}
