/* The update: what one device learned (docs/wire.cddl: update). The codec's stream is the last field, so that
 * a device can write the head, and encode the stream right behind it. */
#include "covey/messages.h"

#include "covey/limits.h"
#include "wire/cbor_fields.h"

static const struct covey_field update_fields[] = {
    COVEY_FIXED(struct covey_update, assignment, 1, COVEY_FIELD_REQUIRED),
    COVEY_FIXED(struct covey_update, model, 2, COVEY_FIELD_REQUIRED),
    COVEY_UNSIGNED(struct covey_update, examples, 3, COVEY_FIELD_REQUIRED, 1, COVEY_UPDATE_EXAMPLES),
    COVEY_UNSIGNED(struct covey_update, steps, 4, COVEY_FIELD_OPTIONAL, 0, UINT32_MAX),
    COVEY_UNSIGNED(struct covey_update, training_ms, 5, COVEY_FIELD_OPTIONAL, 0, UINT32_MAX),
    COVEY_FLOAT(struct covey_update, loss_before, 6, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_ANY),
    COVEY_FLOAT(struct covey_update, loss_after, 7, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_ANY),
    COVEY_FLOAT(struct covey_update, clipped, 8, COVEY_FIELD_REQUIRED, COVEY_FLOAT_UP_TO_ONE),
    COVEY_FLOAT(struct covey_update, effective_steps, 9, COVEY_FIELD_OPTIONAL, COVEY_FLOAT_NOT_NEGATIVE),
    COVEY_VIEW(struct covey_update, stream, 20, COVEY_FIELD_REQUIRED, 1, COVEY_BODY_BYTES),
};
static const struct covey_record update_record = COVEY_RECORD(update_fields);

enum covey_status covey_update_encode(const struct covey_update *update, uint8_t *out, size_t capacity,
                                      size_t *out_bytes, struct covey_error *err)
{
    if (update->stream.data == NULL)
        return covey_fail(err, COVEY_INVALID, "update: stream: missing");
    return covey_message_encode(&update_record, update, "update", out, capacity, out_bytes, err);
}

enum covey_status covey_update_encode_head(const struct covey_update *update, size_t stream_bytes,
                                           uint8_t *out, size_t capacity, size_t *out_bytes,
                                           struct covey_error *err)
{
    struct covey_update head = *update;
    head.stream = (struct covey_bytes){NULL, stream_bytes};
    return covey_message_encode(&update_record, &head, "update", out, capacity, out_bytes, err);
}

enum covey_status covey_update_decode(struct covey_bytes message, struct covey_update *out,
                                      struct covey_error *err)
{
    struct covey_update update = {0};
    COVEY_TRY(covey_message_decode(&update_record, message, "update", &update, err));
    *out = update;
    return COVEY_OK;
}
