/* Device metrics as SenML in CBOR (RFC 8428 section 6): an array of records, base values first. Written by
 * any SenML producer: base name, time, unit and value are resolved (section 4.6); what is no number is
 * stepped over. */
#include "covey/messages.h"

#include <math.h>
#include <string.h>

#include "covey/limits.h"
#include "wire/cbor_fields.h"

/* Labels, RFC 8428 table 4. */
enum label {
    LABEL_BASE_VERSION = -1,
    LABEL_BASE_NAME = -2,
    LABEL_BASE_TIME = -3,
    LABEL_BASE_UNIT = -4,
    LABEL_BASE_VALUE = -5,
    LABEL_NAME = 0,
    LABEL_UNIT = 1,
    LABEL_VALUE = 2
};
#define SENML_VERSION 10

/* ---- writing ---- */

static enum covey_status put_text(struct covey_cbor_writer *writer, const char *text, size_t size,
                                  struct covey_error *err)
{
    const size_t length = strnlen(text, size);
    if (length == size)
        return covey_fail(err, COVEY_INVALID, "metrics: a text longer than %zu characters", size - 1);
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return covey_fail(err, COVEY_INVALID, "metrics: a text that is not printable ASCII");
    covey_cbor_put_text(writer, text, length);
    return COVEY_OK;
}

/* RFC 8949 section 4.2.1: in order of the encoded keys, so 0, 1, 2 before -2, -3. */
static enum covey_status put_record(struct covey_cbor_writer *writer, const struct covey_metrics *metrics,
                                    const struct covey_metric *metric, struct covey_error *err)
{
    const bool first = metric == &metrics->records[0];
    const bool with_name = first && metrics->base_name[0] != '\0';
    const bool with_time = first && (metrics->base_time < 0 || metrics->base_time > 0);
    const bool with_unit = metric->unit[0] != '\0';
    covey_cbor_put_map(writer, 2u + with_unit + with_name + with_time);
    covey_cbor_put_signed(writer, LABEL_NAME);
    COVEY_TRY(put_text(writer, metric->name, sizeof metric->name, err));
    if (with_unit) {
        covey_cbor_put_signed(writer, LABEL_UNIT);
        COVEY_TRY(put_text(writer, metric->unit, sizeof metric->unit, err));
    }
    covey_cbor_put_signed(writer, LABEL_VALUE);
    covey_cbor_put_float(writer, metric->value);
    if (with_name) {
        covey_cbor_put_signed(writer, LABEL_BASE_NAME);
        COVEY_TRY(put_text(writer, metrics->base_name, sizeof metrics->base_name, err));
    }
    if (with_time) {
        covey_cbor_put_signed(writer, LABEL_BASE_TIME);
        covey_cbor_put_float(writer, metrics->base_time);
    }
    return COVEY_OK;
}

enum covey_status covey_metrics_encode(const struct covey_metrics *metrics, uint8_t *out, size_t capacity,
                                       size_t *out_bytes, struct covey_error *err)
{
    if (metrics->count == 0 || metrics->count > COVEY_METRICS_RECORDS)
        return covey_fail(err, COVEY_INVALID, "metrics: %u records, 1 to %d can go", metrics->count,
                          COVEY_METRICS_RECORDS);
    if (!isfinite(metrics->base_time))
        return covey_fail(err, COVEY_INVALID, "metrics: the base time is NaN or infinite");
    struct covey_cbor_writer writer;
    covey_cbor_writer_init(&writer, out, capacity < COVEY_METRICS_BYTES ? capacity : COVEY_METRICS_BYTES);
    covey_cbor_put_array(&writer, metrics->count);
    for (uint32_t i = 0; i < metrics->count; i++) {
        if (!isfinite(metrics->records[i].value))
            return covey_fail(err, COVEY_INVALID, "metrics: records[%u]: NaN or infinity", i);
        COVEY_TRY(put_record(&writer, metrics, &metrics->records[i], err));
    }
    return covey_cbor_finish(&writer, out_bytes, err);
}

/* ---- reading ---- */

/* The base values in force, and the record being read. */
struct pack {
    struct covey_metrics metrics;
    char base_unit[sizeof(((struct covey_metric *)0)->unit)];
    double base_value;
    bool has_base_name, has_base_time;
    struct covey_metric metric;
    bool has_value, has_unit;
};

static enum covey_status read_number(struct covey_cbor_reader *reader, double *out)
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_next(reader, &item));
    if (item.type == COVEY_CBOR_UNSIGNED)
        *out = (double)item.value;
    else if (item.type == COVEY_CBOR_NEGATIVE)
        *out = -1.0 - (double)item.value;
    else if (item.type == COVEY_CBOR_FLOAT && isfinite(item.number))
        *out = item.number;
    else if (item.type == COVEY_CBOR_TAG)
        return covey_fail(reader->err, COVEY_UNSUPPORTED, "a number with a tag before byte %zu",
                          reader->position);
    else
        return covey_fail(reader->err, COVEY_CORRUPT, "no finite number before byte %zu", reader->position);
    return COVEY_OK;
}

static enum covey_status read_text(struct covey_cbor_reader *reader, char *out, size_t size)
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_TEXT, &item));
    return covey_cbor_copy_text(reader, &item, out, size);
}

static enum covey_status read_version(struct covey_cbor_reader *reader)
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_UNSIGNED, &item));
    if (item.value > SENML_VERSION)
        return covey_fail(reader->err, COVEY_UNSUPPORTED, "SenML version %llu, up to %d is known",
                          (unsigned long long)item.value, SENML_VERSION);
    return COVEY_OK;
}

/* struct covey_metrics has room for one base name and one base time: a pack that changes them is refused, not
 * bent. */
static enum covey_status read_base_name(struct covey_cbor_reader *reader, struct pack *pack)
{
    char name[COVEY_NAME_BYTES] = "";
    COVEY_TRY(read_text(reader, name, sizeof name));
    if (pack->has_base_name ? strcmp(name, pack->metrics.base_name) != 0 : pack->metrics.count > 0)
        return covey_fail(reader->err, COVEY_UNSUPPORTED, "a base name that changes");
    memcpy(pack->metrics.base_name, name, sizeof name);
    pack->has_base_name = true;
    return COVEY_OK;
}

static enum covey_status read_base_time(struct covey_cbor_reader *reader, struct pack *pack)
{
    double base_time = 0;
    COVEY_TRY(read_number(reader, &base_time));
    const double before = pack->metrics.base_time;
    if (pack->has_base_time ? base_time < before || base_time > before : pack->metrics.count > 0)
        return covey_fail(reader->err, COVEY_UNSUPPORTED, "a base time that changes");
    pack->metrics.base_time = base_time;
    pack->has_base_time = true;
    return COVEY_OK;
}

/* RFC 8428 section 4.4: who does not know a label that ends in '_' must not go on. */
static enum covey_status skip_label(struct covey_cbor_reader *reader, const struct covey_cbor_item *label)
{
    if (label->type == COVEY_CBOR_TEXT && label->bytes.size > 0 &&
        label->bytes.data[label->bytes.size - 1] == '_')
        return covey_fail(reader->err, COVEY_UNSUPPORTED, "a label that must be understood");
    if (label->type == COVEY_CBOR_ARRAY || label->type == COVEY_CBOR_MAP || label->type == COVEY_CBOR_TAG)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s as a label", covey_cbor_type_name(label->type));
    return covey_cbor_skip(reader);
}

static enum covey_status read_label(struct covey_cbor_reader *reader, struct pack *pack)
{
    struct covey_cbor_item label;
    COVEY_TRY(covey_cbor_next(reader, &label));
    const bool is_small =
        (label.type == COVEY_CBOR_UNSIGNED || label.type == COVEY_CBOR_NEGATIVE) && label.value < 64;
    if (!is_small)
        return skip_label(reader, &label);
    switch (label.type == COVEY_CBOR_UNSIGNED ? (int)label.value : -1 - (int)label.value) {
    case LABEL_BASE_VERSION:
        return read_version(reader);
    case LABEL_BASE_NAME:
        return read_base_name(reader, pack);
    case LABEL_BASE_TIME:
        return read_base_time(reader, pack);
    case LABEL_BASE_UNIT:
        return read_text(reader, pack->base_unit, sizeof pack->base_unit);
    case LABEL_BASE_VALUE:
        return read_number(reader, &pack->base_value);
    case LABEL_NAME:
        return read_text(reader, pack->metric.name, sizeof pack->metric.name);
    case LABEL_UNIT:
        pack->has_unit = true;
        return read_text(reader, pack->metric.unit, sizeof pack->metric.unit);
    case LABEL_VALUE:
        pack->has_value = true;
        return read_number(reader, &pack->metric.value);
    default:
        return covey_cbor_skip(reader);
    }
}

static enum covey_status finish_record(struct covey_cbor_reader *reader, struct pack *pack)
{
    struct covey_metrics *metrics = &pack->metrics;
    if (!pack->has_value)
        return COVEY_OK;
    if (metrics->count == COVEY_METRICS_RECORDS)
        return covey_fail(reader->err, COVEY_CORRUPT, "more than %d records", COVEY_METRICS_RECORDS);
    pack->metric.value += pack->base_value;
    if (!isfinite(pack->metric.value))
        return covey_fail(reader->err, COVEY_CORRUPT, "a sum with the base value that overflows");
    if (!pack->has_unit)
        memcpy(pack->metric.unit, pack->base_unit, sizeof pack->base_unit);
    metrics->records[metrics->count++] = pack->metric;
    return COVEY_OK;
}

static enum covey_status read_pack(struct covey_cbor_reader *reader, struct pack *pack)
{
    struct covey_cbor_item array, map;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_ARRAY, &array));
    COVEY_TRY(covey_cbor_enter(reader));
    for (uint64_t i = 0; i < array.value; i++) {
        COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_MAP, &map));
        COVEY_TRY(covey_cbor_enter(reader));
        memset(&pack->metric, 0, sizeof pack->metric);
        pack->has_value = pack->has_unit = false;
        for (uint64_t j = 0; j < map.value; j++)
            COVEY_TRY(read_label(reader, pack));
        COVEY_TRY(finish_record(reader, pack));
        covey_cbor_leave(reader);
    }
    if (pack->metrics.count == 0)
        return covey_fail(reader->err, COVEY_CORRUPT, "no record with a number");
    return covey_cbor_end(reader);
}

enum covey_status covey_metrics_decode(struct covey_bytes message, struct covey_metrics *out,
                                       struct covey_error *err)
{
    if (message.size > COVEY_METRICS_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "metrics: %zu bytes, at most %d", message.size,
                          COVEY_METRICS_BYTES);
    struct covey_cbor_reader reader;
    struct pack pack = {0};
    covey_cbor_reader_init(&reader, message, err);
    enum covey_status status = read_pack(&reader, &pack);
    if (status != COVEY_OK)
        return covey_fail_at(err, status, "metrics: ");
    *out = pack.metrics;
    return COVEY_OK;
}
