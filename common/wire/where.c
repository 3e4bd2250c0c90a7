/* Which shard serves a device (docs/wire.cddl: where). */
#include "covey/messages.h"

#include "wire/cbor_fields.h"

static const struct covey_field where_fields[] = {
    COVEY_UNSIGNED(struct covey_where, port, 1, COVEY_FIELD_REQUIRED, 1, UINT16_MAX),
    COVEY_UNSIGNED(struct covey_where, valid_s, 2, COVEY_FIELD_OPTIONAL, 0, UINT32_MAX),
};
static const struct covey_record where_record = COVEY_RECORD(where_fields);

enum covey_status covey_where_encode(const struct covey_where *where, uint8_t *out, size_t capacity,
                                     size_t *out_bytes)
{
    return covey_message_encode(&where_record, where, "where", out, capacity, out_bytes, NULL);
}

enum covey_status covey_where_decode(struct covey_bytes message, struct covey_where *out,
                                     struct covey_error *err)
{
    struct covey_where where = {0};
    COVEY_TRY(covey_message_decode(&where_record, message, "where", &where, err));
    *out = where;
    return COVEY_OK;
}
