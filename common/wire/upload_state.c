/* What the server has of an upload (docs/wire.cddl: upload-state). */
#include "covey/messages.h"

#include "covey/limits.h"
#include "wire/cbor_fields.h"

static const struct covey_field state_fields[] = {
    COVEY_UNSIGNED(struct covey_upload_state, complete, 1, COVEY_FIELD_OPTIONAL, 0, 1),
    COVEY_UNSIGNED(struct covey_upload_state, total_bytes, 2, COVEY_FIELD_OPTIONAL, 0, COVEY_BODY_BYTES),
    COVEY_UNSIGNED(struct covey_upload_state, block_bytes, 3, COVEY_FIELD_OPTIONAL, 0, COVEY_BLOCK_BYTES),
    COVEY_NUMBERS(struct covey_upload_state, missing, 4, COVEY_FIELD_OPTIONAL,
                  offsetof(struct covey_upload_state, range_count), COVEY_RANGES, 2, 0, COVEY_BLOCK_COUNT),
};
static const struct covey_record state_record = COVEY_RECORD(state_fields);

/* Ranges in order, apart, none empty, all inside what block numbers can say. */
static enum covey_status check_ranges(const struct covey_upload_state *state, enum covey_status status,
                                      struct covey_error *err)
{
    uint32_t free_from = 0;
    for (uint32_t i = 0; i < state->range_count && i < COVEY_RANGES; i++) {
        const uint32_t first = state->missing[i].first, count = state->missing[i].count;
        if (count == 0 || first < free_from || first > COVEY_BLOCK_COUNT || count > COVEY_BLOCK_COUNT - first)
            return covey_fail(err, status,
                              "upload state: missing[%u]: %u blocks from %u are out of order or range", i,
                              count, first);
        free_from = first + count;
    }
    return COVEY_OK;
}

enum covey_status covey_upload_state_encode(const struct covey_upload_state *state, uint8_t *out,
                                            size_t capacity, size_t *out_bytes)
{
    COVEY_TRY(check_ranges(state, COVEY_INVALID, NULL));
    return covey_message_encode(&state_record, state, "upload state", out, capacity, out_bytes, NULL);
}

enum covey_status covey_upload_state_decode(struct covey_bytes message, struct covey_upload_state *out,
                                            struct covey_error *err)
{
    struct covey_upload_state state = {0};
    COVEY_TRY(covey_message_decode(&state_record, message, "upload state", &state, err));
    COVEY_TRY(check_ranges(&state, COVEY_CORRUPT, err));
    *out = state;
    return COVEY_OK;
}
