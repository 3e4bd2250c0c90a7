#include <string.h>

#include "covey/limits.h"
#include "stage.h"

#define MAGIC 0xC0
#define VERSION 1
#define LENGTH_BYTES 5 /* LEB128 of 32 bits */

uint8_t covey_header_check(const uint8_t *bytes, size_t count)
{
    uint8_t crc = 0;
    for (size_t i = 0; i < count; i++) {
        crc = (uint8_t)(crc ^ bytes[i]);
        for (int bit = 0; bit < 8; bit++)
            crc = (uint8_t)(crc << 1 ^ (crc & 0x80 ? 0x07 : 0));
    }
    return crc;
}

size_t covey_length_read(const uint8_t *at, const uint8_t *end, uint32_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < LENGTH_BYTES && at + i < end; i++) {
        value |= (uint64_t)(at[i] & 0x7F) << 7 * i;
        if (at[i] & 0x80)
            continue;
        *out = (uint32_t)value;
        return value > UINT32_MAX || (i > 0 && at[i] == 0) ? 0 : i + 1;
    }
    return 0;
}

size_t covey_length_write(size_t value, uint8_t *out)
{
    size_t used = 0;
    for (; value >= 0x80; value >>= 7)
        out[used++] = (uint8_t)(value | 0x80);
    out[used++] = (uint8_t)value;
    return used;
}

size_t covey_header_write(const struct covey_codec *codec, size_t count, const uint8_t *parameters,
                          uint8_t *out)
{
    const size_t parameter_bytes = (size_t)covey_transform_row(codec->transform)->parameter_bytes +
                                   covey_sparsifier_row(codec->sparsify)->parameter_bytes;
    size_t used = 0;
    out[used++] = MAGIC | VERSION;
    out[used++] = (uint8_t)(codec->transform << 4 | codec->sparsify);
    out[used++] = (uint8_t)(codec->quantise << 4 | codec->entropy);
    used += covey_length_write(count, out + used);
    memcpy(out + used, parameters, parameter_bytes);
    used += parameter_bytes;
    out[used] = covey_header_check(out, used);
    return used + 1;
}

/* The rows, if this program has them all. */
static enum covey_status read_rows(const uint8_t *bytes, struct covey_codec *out, struct covey_error *err)
{
    *out = (struct covey_codec){.transform = bytes[0] >> 4,
                                .sparsify = bytes[0] & 15,
                                .quantise = bytes[1] >> 4,
                                .entropy = bytes[1] & 15};
    if (covey_transform_row(out->transform) == NULL || covey_sparsifier_row(out->sparsify) == NULL ||
        covey_quantiser_row(out->quantise) == NULL || covey_entropy_row(out->entropy) == NULL)
        return covey_fail(err, COVEY_UNSUPPORTED, "codec stream: stages %02x%02x are unknown to this program",
                          bytes[0], bytes[1]);
    const bool variable = covey_entropy_row(out->entropy)->variable;
    if ((covey_quantiser_row(out->quantise)->vector != NULL) != variable ||
        (out->sparsify == COVEY_SPARSIFY_MASK && variable))
        return covey_fail(err, COVEY_UNSUPPORTED, "codec stream: stages %02x%02x do not go together",
                          bytes[0], bytes[1]);
    return COVEY_OK;
}

enum covey_status covey_header_read(struct covey_bytes stream, struct covey_codec *codec, size_t *count,
                                    const uint8_t **parameters, uint32_t mask[2], size_t *header_bytes,
                                    struct covey_error *err)
{
    uint32_t values = 0;
    if (stream.size < 5 || (stream.data[0] & 0xF0) != MAGIC)
        return covey_fail(err, COVEY_CORRUPT, "not a codec stream: its first byte or its length is wrong");
    if ((stream.data[0] & 0x0F) != VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "codec stream of version %d; this program knows %d",
                          stream.data[0] & 0x0F, VERSION);
    const size_t counted = 3 + covey_length_read(stream.data + 3, stream.data + stream.size, &values);
    if (counted == 3 || values > COVEY_MODEL_PARAMETERS || counted >= stream.size)
        return covey_fail(err, COVEY_CORRUPT,
                          "codec stream: its number of values is unreadable or too large");
    const struct covey_transform *transform = covey_transform_row(stream.data[1] >> 4);
    const struct covey_sparsifier *sparsifier = covey_sparsifier_row(stream.data[1] & 15);
    const size_t behind = counted + (transform != NULL ? transform->parameter_bytes : 0);
    const size_t used = behind + (sparsifier != NULL ? sparsifier->parameter_bytes : 0);
    if (transform != NULL && sparsifier != NULL &&
        (used >= stream.size || covey_header_check(stream.data, used) != stream.data[used]))
        return covey_fail(err, COVEY_CORRUPT, "codec stream: the header's check does not match");
    COVEY_TRY(read_rows(stream.data + 1, codec, err));
    if (codec->sparsify == COVEY_SPARSIFY_MASK && !covey_mask_read(stream.data + behind, &codec->kept, mask))
        return covey_fail(err, COVEY_CORRUPT, "codec stream: its mask keeps all values or none");
    *count = values;
    *parameters = stream.data + counted;
    *header_bytes = used + 1;
    return COVEY_OK;
}
