#include "wire/cbor_reader.h"

#include <cbor.h>

#include "covey/limits.h"

void covey_cbor_reader_init(struct covey_cbor_reader *reader, struct covey_bytes message,
                            struct covey_error *err)
{
    *reader = (struct covey_cbor_reader){.message = message, .err = err};
}

const char *covey_cbor_type_name(enum covey_cbor_type type)
{
    static const char *const names[] = {"an unsigned integer",
                                        "a negative integer",
                                        "a byte string",
                                        "a text",
                                        "an array",
                                        "a map",
                                        "a tag",
                                        "a float",
                                        "a boolean",
                                        "null",
                                        "an indefinite length"};
    const size_t count = sizeof names / sizeof names[0];
    return (size_t)type < count ? names[type] : "nothing known";
}

/* ---- libcbor's callbacks: each fills in the item that is being read ---- */

static void set(void *context, enum covey_cbor_type type, uint64_t value)
{
    struct covey_cbor_item *item = context;
    item->type = type;
    item->value = value;
}

static void on_uint8(void *context, uint8_t value)
{
    set(context, COVEY_CBOR_UNSIGNED, value);
}

static void on_uint16(void *context, uint16_t value)
{
    set(context, COVEY_CBOR_UNSIGNED, value);
}

static void on_uint32(void *context, uint32_t value)
{
    set(context, COVEY_CBOR_UNSIGNED, value);
}

static void on_uint64(void *context, uint64_t value)
{
    set(context, COVEY_CBOR_UNSIGNED, value);
}

static void on_negint8(void *context, uint8_t value)
{
    set(context, COVEY_CBOR_NEGATIVE, value);
}

static void on_negint16(void *context, uint16_t value)
{
    set(context, COVEY_CBOR_NEGATIVE, value);
}

static void on_negint32(void *context, uint32_t value)
{
    set(context, COVEY_CBOR_NEGATIVE, value);
}

static void on_negint64(void *context, uint64_t value)
{
    set(context, COVEY_CBOR_NEGATIVE, value);
}

static void on_bytes(void *context, cbor_data data, size_t size)
{
    set(context, COVEY_CBOR_BYTES, size);
    ((struct covey_cbor_item *)context)->bytes = (struct covey_bytes){data, size};
}

static void on_text(void *context, cbor_data data, size_t size)
{
    set(context, COVEY_CBOR_TEXT, size);
    ((struct covey_cbor_item *)context)->bytes = (struct covey_bytes){data, size};
}

static void on_array(void *context, size_t count)
{
    set(context, COVEY_CBOR_ARRAY, count);
}

static void on_map(void *context, size_t count)
{
    set(context, COVEY_CBOR_MAP, count);
}

static void on_tag(void *context, uint64_t value)
{
    set(context, COVEY_CBOR_TAG, value);
}

static void on_float(void *context, float value)
{
    set(context, COVEY_CBOR_FLOAT, 0);
    ((struct covey_cbor_item *)context)->number = (double)value;
}

static void on_double(void *context, double value)
{
    set(context, COVEY_CBOR_FLOAT, 0);
    ((struct covey_cbor_item *)context)->number = value;
}

static void on_bool(void *context, bool value)
{
    set(context, COVEY_CBOR_BOOL, value ? 1 : 0);
}

static void on_null(void *context)
{
    set(context, COVEY_CBOR_NULL, 0);
}

static void on_indefinite(void *context)
{
    set(context, COVEY_CBOR_INDEFINITE, 0);
}

static const struct cbor_callbacks callbacks = {
    .uint8 = on_uint8,
    .uint16 = on_uint16,
    .uint32 = on_uint32,
    .uint64 = on_uint64,
    .negint8 = on_negint8,
    .negint16 = on_negint16,
    .negint32 = on_negint32,
    .negint64 = on_negint64,
    .byte_string_start = on_indefinite,
    .byte_string = on_bytes,
    .string = on_text,
    .string_start = on_indefinite,
    .indef_array_start = on_indefinite,
    .array_start = on_array,
    .indef_map_start = on_indefinite,
    .map_start = on_map,
    .tag = on_tag,
    .float2 = on_float,
    .float4 = on_float,
    .float8 = on_double,
    .undefined = on_null,
    .null = on_null,
    .boolean = on_bool,
    .indef_break = on_indefinite,
};

/* ---- */

static enum covey_status corrupt(struct covey_cbor_reader *reader, const char *what)
{
    return covey_fail(reader->err, COVEY_CORRUPT, "%s at byte %zu of %zu", what, reader->position,
                      reader->message.size);
}

/* Every item is at least a byte, so a count past the bytes left is a lie: found before anyone loops or
 * reserves by it. */
static bool count_fits(const struct covey_cbor_item *item, size_t left)
{
    if (item->type == COVEY_CBOR_ARRAY)
        return item->value <= left;
    if (item->type == COVEY_CBOR_MAP)
        return item->value <= left / 2;
    return true;
}

/* Tags 0 to 23 are one byte (RFC 8949 section 3.4). libcbor 0.8 knows only those that were assigned when it
 * was written, and 18, COSE_Sign1, is not among them. */
static bool is_small_tag(uint8_t byte)
{
    return byte >= 0xc0 && byte <= 0xd7;
}

enum covey_status covey_cbor_next(struct covey_cbor_reader *reader, struct covey_cbor_item *item)
{
    const size_t left = reader->message.size - reader->position;
    if (left == 0)
        return corrupt(reader, "the message ends too early");
    struct covey_cbor_item found = {.type = COVEY_CBOR_INDEFINITE};
    const uint8_t first = reader->message.data[reader->position];
    if (is_small_tag(first)) {
        *item = (struct covey_cbor_item){.type = COVEY_CBOR_TAG, .value = first & 0x1f};
        reader->position++;
        return COVEY_OK;
    }
    const struct cbor_decoder_result result =
        cbor_stream_decode(reader->message.data + reader->position, left, &callbacks, &found);
    if (result.status == CBOR_DECODER_NEDATA)
        return corrupt(reader, "an item runs past the end");
    if (result.status != CBOR_DECODER_FINISHED || result.read == 0 || result.read > left)
        return corrupt(reader, "no well-formed CBOR");
    if (found.type == COVEY_CBOR_INDEFINITE)
        return corrupt(reader, "an indefinite length");
    if (!count_fits(&found, left - result.read))
        return corrupt(reader, "a count that the message cannot hold");
    reader->position += result.read;
    *item = found;
    return COVEY_OK;
}

enum covey_status covey_cbor_enter(struct covey_cbor_reader *reader)
{
    if (reader->depth >= COVEY_CBOR_DEPTH)
        return corrupt(reader, "nesting too deep");
    reader->depth++;
    return COVEY_OK;
}

void covey_cbor_leave(struct covey_cbor_reader *reader)
{
    reader->depth--;
}

static uint64_t child_count(const struct covey_cbor_item *item)
{
    switch (item->type) {
    case COVEY_CBOR_ARRAY:
        return item->value;
    case COVEY_CBOR_MAP:
        return 2 * item->value; /* count_fits: no overflow */
    case COVEY_CBOR_TAG:
        return 1;
    default:
        return 0;
    }
}

enum covey_status covey_cbor_skip(struct covey_cbor_reader *reader)
{
    uint64_t left[COVEY_CBOR_DEPTH + 1] = {1}; /* items still to come at each level */
    const unsigned outside = reader->depth;
    enum covey_status status = COVEY_OK;
    for (unsigned level = 0; status == COVEY_OK;) {
        struct covey_cbor_item item;
        if ((status = covey_cbor_next(reader, &item)) != COVEY_OK)
            break;
        left[level]--;
        const uint64_t children = child_count(&item);
        if (children > 0) {
            if ((status = covey_cbor_enter(reader)) != COVEY_OK)
                break;
            left[++level] = children;
        }
        while (left[level] == 0 && level > 0) {
            covey_cbor_leave(reader);
            level--;
        }
        if (left[level] == 0)
            break;
    }
    reader->depth = outside;
    return status;
}

enum covey_status covey_cbor_expect(struct covey_cbor_reader *reader, enum covey_cbor_type type,
                                    struct covey_cbor_item *item)
{
    const size_t at = reader->position;
    COVEY_TRY(covey_cbor_next(reader, item));
    if (item->type == type)
        return COVEY_OK;
    return covey_fail(reader->err, COVEY_CORRUPT, "expected %s, found %s at byte %zu",
                      covey_cbor_type_name(type), covey_cbor_type_name(item->type), at);
}

enum covey_status covey_cbor_end(struct covey_cbor_reader *reader)
{
    if (reader->position != reader->message.size)
        return corrupt(reader, "bytes left over");
    return COVEY_OK;
}
