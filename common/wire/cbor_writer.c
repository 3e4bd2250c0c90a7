#include "wire/cbor_writer.h"

#include <cbor.h>
#include <string.h>

void covey_cbor_writer_init(struct covey_cbor_writer *writer, uint8_t *out, size_t capacity)
{
    *writer = (struct covey_cbor_writer){.out = out, .capacity = capacity};
}

/* libcbor's encoders return 0 when the buffer is too small. */
static void advance(struct covey_cbor_writer *writer, size_t written)
{
    if (written == 0)
        writer->overflow = true;
    writer->used += written;
}

static uint8_t *place(const struct covey_cbor_writer *writer)
{
    return writer->out + writer->used;
}

static size_t room(const struct covey_cbor_writer *writer)
{
    return writer->overflow ? 0 : writer->capacity - writer->used;
}

static void put_raw(struct covey_cbor_writer *writer, const void *data, size_t size)
{
    if (size > room(writer)) {
        writer->overflow = true;
        return;
    }
    if (size > 0)
        memcpy(place(writer), data, size);
    writer->used += size;
}

void covey_cbor_put_unsigned(struct covey_cbor_writer *writer, uint64_t value)
{
    advance(writer, cbor_encode_uint(value, place(writer), room(writer)));
}

void covey_cbor_put_signed(struct covey_cbor_writer *writer, int64_t value)
{
    if (value >= 0)
        covey_cbor_put_unsigned(writer, (uint64_t)value);
    else
        advance(writer, cbor_encode_negint((uint64_t)(-1 - value), place(writer), room(writer)));
}

void covey_cbor_put_bytes_head(struct covey_cbor_writer *writer, size_t size)
{
    advance(writer, cbor_encode_bytestring_start(size, place(writer), room(writer)));
}

void covey_cbor_put_bytes(struct covey_cbor_writer *writer, struct covey_bytes bytes)
{
    covey_cbor_put_bytes_head(writer, bytes.size);
    put_raw(writer, bytes.data, bytes.size);
}

void covey_cbor_put_text(struct covey_cbor_writer *writer, const char *text, size_t length)
{
    advance(writer, cbor_encode_string_start(length, place(writer), room(writer)));
    put_raw(writer, text, length);
}

void covey_cbor_put_array(struct covey_cbor_writer *writer, size_t count)
{
    advance(writer, cbor_encode_array_start(count, place(writer), room(writer)));
}

void covey_cbor_put_map(struct covey_cbor_writer *writer, size_t pair_count)
{
    advance(writer, cbor_encode_map_start(pair_count, place(writer), room(writer)));
}

void covey_cbor_put_tag(struct covey_cbor_writer *writer, uint64_t tag)
{
    advance(writer, cbor_encode_tag(tag, place(writer), room(writer)));
}

/* The binary16 (IEEE 754) that is exactly the value of these binary32 bits, if there is one. libcbor's own
 * encoder rounds, and says nothing when it does. */
static bool half_exactly(uint32_t bits, uint16_t *half)
{
    const uint32_t sign = (bits >> 16) & 0x8000u, fraction = bits & 0x7fffffu;
    const int exponent = (int)((bits >> 23) & 0xff) - 127;
    uint32_t magnitude;
    if ((bits & 0x7fffffffu) == 0) {
        magnitude = 0;
    } else if (exponent >= -14 && exponent <= 15) { /* normal */
        if ((fraction & 0x1fffu) != 0)
            return false;
        magnitude = (uint32_t)(exponent + 15) << 10 | fraction >> 13;
    } else if (exponent >= -24 && exponent < -14) { /* subnormal: a multiple of 2^-24 */
        const uint32_t mantissa = fraction | 0x800000u;
        const int shift = -1 - exponent;
        if ((mantissa & ((1u << shift) - 1)) != 0)
            return false;
        magnitude = mantissa >> shift;
    } else {
        return false;
    }
    *half = (uint16_t)(sign | magnitude);
    return true;
}

void covey_cbor_put_float(struct covey_cbor_writer *writer, double value)
{
    const float single = (float)value;
    if ((double)single != value) {
        advance(writer, cbor_encode_double(value, place(writer), room(writer)));
        return;
    }
    uint32_t bits;
    uint16_t half;
    memcpy(&bits, &single, sizeof bits);
    if (half_exactly(bits, &half)) {
        const uint8_t item[3] = {0xf9, (uint8_t)(half >> 8), (uint8_t)half}; /* RFC 8949 section 3.3 */
        put_raw(writer, item, sizeof item);
        return;
    }
    advance(writer, cbor_encode_single(single, place(writer), room(writer)));
}

enum covey_status covey_cbor_finish(const struct covey_cbor_writer *writer, size_t *out_bytes,
                                    struct covey_error *err)
{
    if (writer->overflow)
        return covey_fail(err, COVEY_LIMIT, "does not fit %zu bytes", writer->capacity);
    *out_bytes = writer->used;
    return COVEY_OK;
}
