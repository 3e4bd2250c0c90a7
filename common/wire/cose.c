/* The envelope of a signed message: COSE_Sign1, tag 18 (RFC 9052 section 4.2). Bytes only, no cryptography.
 */
#include "covey/messages.h"

#include <string.h>

#include "wire/cbor_fields.h"

#define TAG_SIGN1 18
#define HEADER_ALG 1 /* RFC 9052 section 3.1 */
#define HEADER_CRIT 2
#define HEADER_KID 4
#define ALG_ES256 (-7) /* RFC 9053 section 2.1 */

struct covey_bytes covey_cose_es256_header(void)
{
    static const uint8_t header[] = {0xa1, 0x01, 0x26}; /* {1: -7} */
    return (struct covey_bytes){header, sizeof header};
}

enum covey_status covey_cose_to_be_signed(struct covey_bytes protected_header, struct covey_bytes payload,
                                          uint8_t *out, size_t capacity, size_t *out_bytes)
{
    static const char context[] = "Signature1";
    struct covey_cbor_writer writer;
    covey_cbor_writer_init(&writer, out, capacity);
    covey_cbor_put_array(&writer, 4);
    covey_cbor_put_text(&writer, context, sizeof context - 1);
    covey_cbor_put_bytes(&writer, protected_header);
    covey_cbor_put_bytes(&writer, (struct covey_bytes){NULL, 0});
    covey_cbor_put_bytes(&writer, payload);
    return covey_cbor_finish(&writer, out_bytes, NULL);
}

enum covey_status covey_cose_encode(const struct covey_cose_sign1 *message, uint8_t *out, size_t capacity,
                                    size_t *out_bytes)
{
    struct covey_cbor_writer writer;
    covey_cbor_writer_init(&writer, out, capacity);
    covey_cbor_put_tag(&writer, TAG_SIGN1);
    covey_cbor_put_array(&writer, 4);
    covey_cbor_put_bytes(&writer, message->protected_header);
    covey_cbor_put_map(&writer, 1);
    covey_cbor_put_unsigned(&writer, HEADER_KID);
    covey_cbor_put_bytes(&writer, (struct covey_bytes){message->key_id, sizeof message->key_id});
    covey_cbor_put_bytes(&writer, message->payload);
    covey_cbor_put_bytes(&writer, (struct covey_bytes){message->signature, sizeof message->signature});
    return covey_cbor_finish(&writer, out_bytes, NULL);
}

/* What one of the two header maps said. */
struct header {
    bool alg, kid;
};

static enum covey_status read_alg(struct covey_cbor_reader *reader, struct header *found)
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_next(reader, &item));
    if (found->alg)
        return covey_fail(reader->err, COVEY_CORRUPT, "alg: there twice");
    if (item.type != COVEY_CBOR_NEGATIVE || item.value != -1 - ALG_ES256)
        return covey_fail(reader->err, COVEY_UNSUPPORTED, "alg: only ES256 (-7) is known");
    found->alg = true;
    return COVEY_OK;
}

static enum covey_status read_kid(struct covey_cbor_reader *reader, struct header *found,
                                  uint8_t key_id[COVEY_KEY_ID_BYTES])
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_BYTES, &item));
    if (found->kid)
        return covey_fail(reader->err, COVEY_CORRUPT, "kid: there twice");
    if (item.bytes.size != COVEY_KEY_ID_BYTES)
        return covey_fail(reader->err, COVEY_CORRUPT, "kid: %zu bytes, not %d", item.bytes.size,
                          COVEY_KEY_ID_BYTES);
    memcpy(key_id, item.bytes.data, COVEY_KEY_ID_BYTES);
    found->kid = true;
    return COVEY_OK;
}

/* One header map, the reader standing in front of it. The algorithm counts only where the signature covers
 * it; the key's id stands beside, as it is what the signature is checked with. */
static enum covey_status read_header(struct covey_cbor_reader *reader, bool is_protected,
                                     struct header *found, uint8_t key_id[COVEY_KEY_ID_BYTES])
{
    struct covey_cbor_item map, label;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_MAP, &map));
    COVEY_TRY(covey_cbor_enter(reader));
    for (uint64_t i = 0; i < map.value; i++) {
        COVEY_TRY(covey_cbor_next(reader, &label));
        if (label.type != COVEY_CBOR_UNSIGNED && label.type != COVEY_CBOR_NEGATIVE &&
            label.type != COVEY_CBOR_TEXT)
            return covey_fail(reader->err, COVEY_CORRUPT, "%s as a header label",
                              covey_cbor_type_name(label.type));
        const uint64_t number = label.type == COVEY_CBOR_UNSIGNED ? label.value : 0;
        if (number == HEADER_ALG && !is_protected)
            return covey_fail(reader->err, COVEY_CORRUPT, "alg: not in the protected header");
        if (number == HEADER_KID && is_protected)
            return covey_fail(reader->err, COVEY_CORRUPT, "kid: not in the unprotected header");
        if (number == HEADER_CRIT)
            return covey_fail(reader->err, COVEY_UNSUPPORTED, "crit: no critical header is known");
        if (number == HEADER_ALG)
            COVEY_TRY(read_alg(reader, found));
        else if (number == HEADER_KID)
            COVEY_TRY(read_kid(reader, found, key_id));
        else
            COVEY_TRY(covey_cbor_skip(reader));
    }
    covey_cbor_leave(reader);
    return COVEY_OK;
}

static enum covey_status read_protected(struct covey_cbor_reader *reader, struct header *found,
                                        struct covey_cose_sign1 *out)
{
    struct covey_cbor_item item;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_BYTES, &item));
    out->protected_header = item.bytes;
    struct covey_cbor_reader inner;
    covey_cbor_reader_init(&inner, item.bytes, reader->err);
    enum covey_status status = read_header(&inner, true, found, out->key_id);
    if (status == COVEY_OK)
        status = covey_cbor_end(&inner);
    return status == COVEY_OK ? status : covey_fail_at(reader->err, status, "protected header: ");
}

static enum covey_status read_sign1(struct covey_cbor_reader *reader, struct covey_cose_sign1 *out)
{
    struct covey_cbor_item item;
    struct header found = {0};
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_TAG, &item));
    if (item.value != TAG_SIGN1)
        return covey_fail(reader->err, COVEY_CORRUPT, "tag %llu, not %d", (unsigned long long)item.value,
                          TAG_SIGN1);
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_ARRAY, &item));
    if (item.value != 4)
        return covey_fail(reader->err, COVEY_CORRUPT, "%llu parts, not 4", (unsigned long long)item.value);
    COVEY_TRY(read_protected(reader, &found, out));
    COVEY_TRY(read_header(reader, false, &found, out->key_id));
    if (!found.alg || !found.kid)
        return covey_fail(reader->err, COVEY_CORRUPT, "%s: missing", found.alg ? "kid" : "alg");
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_BYTES, &item));
    out->payload = item.bytes;
    COVEY_TRY(covey_cbor_expect(reader, COVEY_CBOR_BYTES, &item));
    if (item.bytes.size != COVEY_SIGNATURE_BYTES)
        return covey_fail(reader->err, COVEY_CORRUPT, "signature: %zu bytes, not %d", item.bytes.size,
                          COVEY_SIGNATURE_BYTES);
    memcpy(out->signature, item.bytes.data, COVEY_SIGNATURE_BYTES);
    return covey_cbor_end(reader);
}

enum covey_status covey_cose_decode(struct covey_bytes message, struct covey_cose_sign1 *out,
                                    struct covey_error *err)
{
    struct covey_cose_sign1 sign1 = {0};
    struct covey_cbor_reader reader;
    covey_cbor_reader_init(&reader, message, err);
    enum covey_status status = read_sign1(&reader, &sign1);
    if (status != COVEY_OK)
        return covey_fail_at(err, status, "signed message: ");
    *out = sign1;
    return COVEY_OK;
}
