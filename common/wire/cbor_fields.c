#include "wire/cbor_fields.h"

#include <math.h>
#include <string.h>

#include "covey/messages.h"

/* ---- members of the caller's structs ---- */

static uint64_t load_unsigned(const void *at, size_t size)
{
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;
    switch (size) {
    case 1:
        memcpy(&u8, at, size);
        return u8;
    case 2:
        memcpy(&u16, at, size);
        return u16;
    case 4:
        memcpy(&u32, at, size);
        return u32;
    default:
        memcpy(&u64, at, sizeof u64);
        return u64;
    }
}

static void store_unsigned(void *at, size_t size, uint64_t value)
{
    const uint8_t u8 = (uint8_t)value;
    const uint16_t u16 = (uint16_t)value;
    const uint32_t u32 = (uint32_t)value;
    switch (size) {
    case 1:
        memcpy(at, &u8, size);
        break;
    case 2:
        memcpy(at, &u16, size);
        break;
    case 4:
        memcpy(at, &u32, size);
        break;
    default:
        memcpy(at, &value, sizeof value);
    }
}

static uint64_t limit_of(size_t size)
{
    return size >= sizeof(uint64_t) ? UINT64_MAX : (1ull << (8 * size)) - 1;
}

static bool is_list(const struct covey_field *field)
{
    return field->type == COVEY_FIELD_NUMBERS || field->type == COVEY_FIELD_TEXTS ||
           field->type == COVEY_FIELD_RECORDS;
}

static uint32_t entry_count(const struct covey_field *field, const uint8_t *source)
{
    return field->count_offset == COVEY_COUNT_FIXED
               ? field->entries
               : (uint32_t)load_unsigned(source + field->count_offset, sizeof(uint32_t));
}

/* ---- ranges: the same for both directions; `status` is what a breach is called ---- */

static enum covey_status check_unsigned(const struct covey_field *field, uint64_t value,
                                        enum covey_status status, struct covey_error *err)
{
    const uint64_t widest = limit_of(field->type == COVEY_FIELD_NUMBERS ? sizeof(uint32_t) : field->size);
    const uint64_t high = field->high < widest ? field->high : widest;
    if (field->type == COVEY_FIELD_CHOICE && value > high)
        return covey_fail(err, COVEY_UNSUPPORTED, "%s: %llu is not known to this version", field->name,
                          (unsigned long long)value);
    if (value < field->low || value > high)
        return covey_fail(err, status, "%s: %llu is not in %llu..%llu", field->name,
                          (unsigned long long)value, (unsigned long long)field->low,
                          (unsigned long long)high);
    return COVEY_OK;
}

static enum covey_status check_float(const struct covey_field *field, float value, enum covey_status status,
                                     struct covey_error *err)
{
    if (!isfinite(value))
        return covey_fail(err, status, "%s: NaN or infinity", field->name);
    if (field->range != COVEY_FLOAT_ANY && value < 0)
        return covey_fail(err, status, "%s: %g is negative", field->name, (double)value);
    if (field->range == COVEY_FLOAT_BELOW_ONE && value >= 1)
        return covey_fail(err, status, "%s: %g is not below 1", field->name, (double)value);
    if (field->range == COVEY_FLOAT_UP_TO_ONE && value > 1)
        return covey_fail(err, status, "%s: %g is above 1", field->name, (double)value);
    return COVEY_OK;
}

static enum covey_status check_real(const struct covey_field *field, double value, enum covey_status status,
                                    struct covey_error *err)
{
    if (!isfinite(value) || value < 0)
        return covey_fail(err, status, "%s: %g is no finite number of 0 or more", field->name, value);
    return COVEY_OK;
}

static enum covey_status check_signed(const struct covey_field *field, int64_t value,
                                      enum covey_status status, struct covey_error *err)
{
    const uint64_t magnitude = value < 0 ? (uint64_t)(-1 - value) + 1 : (uint64_t)value;
    if (magnitude > field->high)
        return covey_fail(err, status, "%s: %lld is out of range", field->name, (long long)value);
    return COVEY_OK;
}

static bool is_printable(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return false;
    return true;
}

/* ---- writing ---- */

static enum covey_status write_record(struct covey_cbor_writer *writer, const struct covey_record *record,
                                      const uint8_t *source, size_t extra_pairs, struct covey_error *err);

static bool is_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static bool is_written(const struct covey_field *field, const uint8_t *source)
{
    if ((field->flags & COVEY_FIELD_REQUIRED) != 0)
        return true;
    if (is_list(field) && field->count_offset != COVEY_COUNT_FIXED)
        return entry_count(field, source) > 0;
    if (field->type == COVEY_FIELD_TEXT)
        return source[field->offset] != 0;
    return !is_zero(source + field->offset, is_list(field) ? field->size * field->entries : field->size);
}

static enum covey_status write_text(struct covey_cbor_writer *writer, const char *name, const char *text,
                                    size_t size, struct covey_error *err)
{
    const size_t length = strnlen(text, size);
    if (length == size)
        return covey_fail(err, COVEY_INVALID, "%s: longer than %zu characters", name, size - 1);
    if (!is_printable(text, length))
        return covey_fail(err, COVEY_INVALID, "%s: not printable ASCII", name);
    covey_cbor_put_text(writer, text, length);
    return COVEY_OK;
}

static enum covey_status write_entry(struct covey_cbor_writer *writer, const struct covey_field *field,
                                     const uint8_t *at, struct covey_error *err)
{
    switch (field->type) {
    case COVEY_FIELD_TEXTS:
        return write_text(writer, field->name, (const char *)at, field->size, err);
    case COVEY_FIELD_RECORDS:
        return write_record(writer, field->record, at, 0, err);
    default:
        for (size_t i = 0; i < field->per; i++) {
            const uint64_t value = load_unsigned(at + i * sizeof(uint32_t), sizeof(uint32_t));
            COVEY_TRY(check_unsigned(field, value, COVEY_INVALID, err));
            covey_cbor_put_unsigned(writer, value);
        }
        return COVEY_OK;
    }
}

static enum covey_status write_list(struct covey_cbor_writer *writer, const struct covey_field *field,
                                    const uint8_t *source, struct covey_error *err)
{
    const uint32_t count = entry_count(field, source);
    if (count > field->entries)
        return covey_fail(err, COVEY_INVALID, "%s: %u entries, at most %u", field->name, count,
                          field->entries);
    covey_cbor_put_array(writer, field->type == COVEY_FIELD_NUMBERS ? (size_t)count * field->per : count);
    for (uint32_t i = 0; i < count; i++) {
        enum covey_status status = write_entry(writer, field, source + field->offset + i * field->size, err);
        if (status != COVEY_OK)
            return field->type == COVEY_FIELD_RECORDS ? covey_fail_at(err, status, "%s[%u].", field->name, i)
                                                      : status;
    }
    return COVEY_OK;
}

static enum covey_status write_value(struct covey_cbor_writer *writer, const struct covey_field *field,
                                     const uint8_t *source, struct covey_error *err)
{
    const uint8_t *at = source + field->offset;
    uint64_t number;
    int64_t integer;
    float real;
    double wide;
    struct covey_bytes view;
    enum covey_status status;
    switch (field->type) {
    case COVEY_FIELD_UNSIGNED:
    case COVEY_FIELD_CHOICE:
        number = load_unsigned(at, field->size);
        COVEY_TRY(check_unsigned(field, number, COVEY_INVALID, err));
        covey_cbor_put_unsigned(writer, number);
        return COVEY_OK;
    case COVEY_FIELD_SIGNED:
        memcpy(&integer, at, sizeof integer);
        COVEY_TRY(check_signed(field, integer, COVEY_INVALID, err));
        covey_cbor_put_signed(writer, integer);
        return COVEY_OK;
    case COVEY_FIELD_FLOAT:
        memcpy(&real, at, sizeof real);
        COVEY_TRY(check_float(field, real, COVEY_INVALID, err));
        covey_cbor_put_float(writer, (double)real);
        return COVEY_OK;
    case COVEY_FIELD_REAL:
        memcpy(&wide, at, sizeof wide);
        COVEY_TRY(check_real(field, wide, COVEY_INVALID, err));
        covey_cbor_put_float(writer, wide);
        return COVEY_OK;
    case COVEY_FIELD_TEXT:
        return write_text(writer, field->name, (const char *)at, field->size, err);
    case COVEY_FIELD_FIXED:
        covey_cbor_put_bytes(writer, (struct covey_bytes){at, field->size});
        return COVEY_OK;
    case COVEY_FIELD_VIEW:
        memcpy(&view, at, sizeof view);
        if (view.size < field->low || view.size > field->high)
            return covey_fail(err, COVEY_INVALID, "%s: %zu bytes are out of range", field->name, view.size);
        if (view.data == NULL)
            covey_cbor_put_bytes_head(writer, view.size);
        else
            covey_cbor_put_bytes(writer, view);
        return COVEY_OK;
    case COVEY_FIELD_RECORD:
        status = write_record(writer, field->record, at, 0, err);
        return status == COVEY_OK ? status : covey_fail_at(err, status, "%s.", field->name);
    default:
        return write_list(writer, field, source, err);
    }
}

static size_t written_count(const struct covey_record *record, const uint8_t *source)
{
    size_t count = 0;
    for (size_t i = 0; i < record->field_count; i++)
        count += is_written(&record->fields[i], source);
    return count;
}

static enum covey_status write_fields(struct covey_cbor_writer *writer, const struct covey_record *record,
                                      const uint8_t *source, struct covey_error *err)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const struct covey_field *field = &record->fields[i];
        if (!is_written(field, source))
            continue;
        covey_cbor_put_unsigned(writer, field->key);
        COVEY_TRY(write_value(writer, field, source, err));
    }
    return COVEY_OK;
}

static enum covey_status write_record(struct covey_cbor_writer *writer, const struct covey_record *record,
                                      const uint8_t *source, size_t extra_pairs, struct covey_error *err)
{
    covey_cbor_put_map(writer, written_count(record, source) + extra_pairs);
    if (extra_pairs > 0) {
        covey_cbor_put_unsigned(writer, 0);
        covey_cbor_put_unsigned(writer, COVEY_WIRE_VERSION);
    }
    return write_fields(writer, record, source, err);
}

enum covey_status covey_message_encode(const struct covey_record *record, const void *source,
                                       const char *what, uint8_t *out, size_t capacity, size_t *out_bytes,
                                       struct covey_error *err)
{
    struct covey_cbor_writer writer;
    covey_cbor_writer_init(&writer, out, capacity);
    enum covey_status status = write_record(&writer, record, source, 1, err);
    if (status == COVEY_OK)
        status = covey_cbor_finish(&writer, out_bytes, err);
    return status == COVEY_OK ? status : covey_fail_at(err, status, "%s: ", what);
}

/* ---- reading ---- */

static enum covey_status read_record(struct covey_cbor_reader *reader, const struct covey_record *record,
                                     uint64_t pairs, uint8_t *target);

/* Every check of an item puts the field's name in front of what the reader says. */
static enum covey_status expect(struct covey_cbor_reader *reader, const struct covey_field *field,
                                enum covey_cbor_type type, struct covey_cbor_item *item)
{
    enum covey_status status = covey_cbor_expect(reader, type, item);
    return status == COVEY_OK ? status : covey_fail_at(reader->err, status, "%s: ", field->name);
}

enum covey_status covey_cbor_copy_text(struct covey_cbor_reader *reader, const struct covey_cbor_item *item,
                                       char *out, size_t size)
{
    if (item->bytes.size >= size)
        return covey_fail(reader->err, COVEY_CORRUPT, "%zu characters, at most %zu", item->bytes.size,
                          size - 1);
    if (!is_printable((const char *)item->bytes.data, item->bytes.size))
        return covey_fail(reader->err, COVEY_CORRUPT, "not printable ASCII");
    if (item->bytes.size > 0)
        memcpy(out, item->bytes.data, item->bytes.size);
    out[item->bytes.size] = '\0';
    return COVEY_OK;
}

static enum covey_status read_text(struct covey_cbor_reader *reader, const struct covey_field *field,
                                   uint8_t *at)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_TEXT, &item));
    enum covey_status status = covey_cbor_copy_text(reader, &item, (char *)at, field->size);
    return status == COVEY_OK ? status : covey_fail_at(reader->err, status, "%s: ", field->name);
}

static enum covey_status read_unsigned(struct covey_cbor_reader *reader, const struct covey_field *field,
                                       uint8_t *at, size_t size)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_UNSIGNED, &item));
    COVEY_TRY(check_unsigned(field, item.value, COVEY_CORRUPT, reader->err));
    store_unsigned(at, size, item.value);
    return COVEY_OK;
}

static enum covey_status read_signed(struct covey_cbor_reader *reader, const struct covey_field *field,
                                     uint8_t *at)
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_next(reader, &item));
    const bool negative = item.type == COVEY_CBOR_NEGATIVE;
    if ((!negative && item.type != COVEY_CBOR_UNSIGNED) || item.value > INT64_MAX)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: no integer of 64 bits", field->name);
    const int64_t value = negative ? -1 - (int64_t)item.value : (int64_t)item.value;
    COVEY_TRY(check_signed(field, value, COVEY_CORRUPT, reader->err));
    memcpy(at, &value, sizeof value);
    return COVEY_OK;
}

/* Any width is taken, so long as the value is an f32: both sides must train with the same numbers. */
static enum covey_status read_float(struct covey_cbor_reader *reader, const struct covey_field *field,
                                    uint8_t *at)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_FLOAT, &item));
    const float value = (float)item.number;
    COVEY_TRY(check_float(field, value, COVEY_CORRUPT, reader->err));
    if ((double)value != item.number)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: %.17g is no 32-bit float", field->name,
                          item.number);
    memcpy(at, &value, sizeof value);
    return COVEY_OK;
}

static enum covey_status read_real(struct covey_cbor_reader *reader, const struct covey_field *field,
                                   uint8_t *at)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_FLOAT, &item));
    COVEY_TRY(check_real(field, item.number, COVEY_CORRUPT, reader->err));
    memcpy(at, &item.number, sizeof item.number);
    return COVEY_OK;
}

static enum covey_status read_fixed(struct covey_cbor_reader *reader, const struct covey_field *field,
                                    uint8_t *at)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_BYTES, &item));
    if (item.bytes.size != field->size)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: %zu bytes, not %zu", field->name, item.bytes.size,
                          field->size);
    memcpy(at, item.bytes.data, field->size);
    return COVEY_OK;
}

static enum covey_status read_view(struct covey_cbor_reader *reader, const struct covey_field *field,
                                   uint8_t *at)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_BYTES, &item));
    if (item.bytes.size < field->low || item.bytes.size > field->high)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: %zu bytes are out of range", field->name,
                          item.bytes.size);
    memcpy(at, &item.bytes, sizeof item.bytes);
    return COVEY_OK;
}

static enum covey_status read_one_record(struct covey_cbor_reader *reader, const struct covey_field *field,
                                         uint8_t *at)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_MAP, &item));
    COVEY_TRY(covey_cbor_enter(reader));
    COVEY_TRY(read_record(reader, field->record, item.value, at));
    covey_cbor_leave(reader);
    return COVEY_OK;
}

static enum covey_status read_entry(struct covey_cbor_reader *reader, const struct covey_field *field,
                                    uint8_t *at, uint64_t index)
{
    enum covey_status status;
    switch (field->type) {
    case COVEY_FIELD_TEXTS:
        return read_text(reader, field, at);
    case COVEY_FIELD_RECORDS:
        status = read_one_record(reader, field, at);
        return status == COVEY_OK
                   ? status
                   : covey_fail_at(reader->err, status, "%s[%llu].", field->name, (unsigned long long)index);
    default:
        for (size_t i = 0; i < field->per; i++)
            COVEY_TRY(read_unsigned(reader, field, at + i * sizeof(uint32_t), sizeof(uint32_t)));
        return COVEY_OK;
    }
}

static enum covey_status read_list(struct covey_cbor_reader *reader, const struct covey_field *field,
                                   uint8_t *target)
{
    struct covey_cbor_item item;
    COVEY_TRY(expect(reader, field, COVEY_CBOR_ARRAY, &item));
    const uint64_t per = field->type == COVEY_FIELD_NUMBERS ? field->per : 1;
    const uint64_t count = item.value / per;
    if (item.value % per != 0 || count > field->entries ||
        (field->count_offset == COVEY_COUNT_FIXED && count != field->entries))
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: %llu items, at most %u of %llu", field->name,
                          (unsigned long long)item.value, field->entries, (unsigned long long)per);
    COVEY_TRY(covey_cbor_enter(reader));
    for (uint64_t i = 0; i < count; i++)
        COVEY_TRY(read_entry(reader, field, target + field->offset + i * field->size, i));
    covey_cbor_leave(reader);
    if (field->count_offset != COVEY_COUNT_FIXED)
        store_unsigned(target + field->count_offset, sizeof(uint32_t), count);
    return COVEY_OK;
}

static enum covey_status read_value(struct covey_cbor_reader *reader, const struct covey_field *field,
                                    uint8_t *target)
{
    uint8_t *at = target + field->offset;
    enum covey_status status;
    switch (field->type) {
    case COVEY_FIELD_UNSIGNED:
    case COVEY_FIELD_CHOICE:
        return read_unsigned(reader, field, at, field->size);
    case COVEY_FIELD_SIGNED:
        return read_signed(reader, field, at);
    case COVEY_FIELD_FLOAT:
        return read_float(reader, field, at);
    case COVEY_FIELD_REAL:
        return read_real(reader, field, at);
    case COVEY_FIELD_TEXT:
        return read_text(reader, field, at);
    case COVEY_FIELD_FIXED:
        return read_fixed(reader, field, at);
    case COVEY_FIELD_VIEW:
        return read_view(reader, field, at);
    case COVEY_FIELD_RECORD:
        status = read_one_record(reader, field, at);
        return status == COVEY_OK ? status : covey_fail_at(reader->err, status, "%s.", field->name);
    default:
        return read_list(reader, field, target);
    }
}

static const struct covey_field *find_field(const struct covey_record *record,
                                            const struct covey_cbor_item *key)
{
    if (key->type != COVEY_CBOR_UNSIGNED)
        return NULL;
    for (size_t i = 0; i < record->field_count; i++)
        if (record->fields[i].key == key->value)
            return &record->fields[i];
    return NULL;
}

/* A key of a type that we do not use is stepped over like an unknown number; a key that is a container is
 * refused. */
static enum covey_status check_key(struct covey_cbor_reader *reader, const struct covey_cbor_item *key)
{
    if (key->type == COVEY_CBOR_ARRAY || key->type == COVEY_CBOR_MAP || key->type == COVEY_CBOR_TAG)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s as a key before byte %zu",
                          covey_cbor_type_name(key->type), reader->position);
    return COVEY_OK;
}

static enum covey_status check_required(struct covey_cbor_reader *reader, const struct covey_record *record,
                                        uint64_t seen)
{
    for (size_t i = 0; i < record->field_count; i++)
        if ((record->fields[i].flags & COVEY_FIELD_REQUIRED) != 0 &&
            (seen & 1ull << record->fields[i].key) == 0)
            return covey_fail(reader->err, COVEY_CORRUPT, "%s: missing", record->fields[i].name);
    return COVEY_OK;
}

static enum covey_status read_record(struct covey_cbor_reader *reader, const struct covey_record *record,
                                     uint64_t pairs, uint8_t *target)
{
    uint64_t seen = 0;
    for (uint64_t i = 0; i < pairs; i++) {
        struct covey_cbor_item key;
        COVEY_TRY(covey_cbor_next(reader, &key));
        COVEY_TRY(check_key(reader, &key));
        if (key.type == COVEY_CBOR_UNSIGNED && key.value == 0)
            return covey_fail(reader->err, COVEY_CORRUPT, "key 0 is the version's, and stands first only");
        const struct covey_field *field = find_field(record, &key);
        if (field == NULL) {
            COVEY_TRY(covey_cbor_skip(reader));
            continue;
        }
        if ((seen & 1ull << field->key) != 0)
            return covey_fail(reader->err, COVEY_CORRUPT, "%s: there twice", field->name);
        seen |= 1ull << field->key;
        COVEY_TRY(read_value(reader, field, target));
    }
    return check_required(reader, record, seen);
}

/* The version comes first, so that a later one is called by its name whatever else has changed. */
static enum covey_status read_version(struct covey_cbor_reader *reader)
{
    struct covey_cbor_item key, version;
    COVEY_TRY(covey_cbor_next(reader, &key));
    if (key.type != COVEY_CBOR_UNSIGNED || key.value != 0)
        return covey_fail(reader->err, COVEY_CORRUPT, "the version does not come first");
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_UNSIGNED, &version));
    if (version.value == 0)
        return covey_fail(reader->err, COVEY_CORRUPT, "version 0");
    if (version.value > COVEY_WIRE_VERSION)
        return covey_fail(reader->err, COVEY_UNSUPPORTED,
                          "version %llu, this program knows up to %d: a newer Covey is needed",
                          (unsigned long long)version.value, COVEY_WIRE_VERSION);
    return COVEY_OK;
}

static enum covey_status read_message(struct covey_cbor_reader *reader, const struct covey_record *record,
                                      void *target)
{
    struct covey_cbor_item map;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_MAP, &map));
    if (map.value == 0)
        return covey_fail(reader->err, COVEY_CORRUPT, "an empty map");
    COVEY_TRY(covey_cbor_enter(reader));
    COVEY_TRY(read_version(reader));
    COVEY_TRY(read_record(reader, record, map.value - 1, target));
    covey_cbor_leave(reader);
    return covey_cbor_end(reader);
}

enum covey_status covey_message_decode(const struct covey_record *record, struct covey_bytes message,
                                       const char *what, void *target, struct covey_error *err)
{
    struct covey_cbor_reader reader;
    covey_cbor_reader_init(&reader, message, err);
    enum covey_status status = read_message(&reader, record, target);
    return status == COVEY_OK ? status : covey_fail_at(err, status, "%s: ", what);
}
