/* What the server says it has of an upload. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_upload_state *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_upload_state_encode(value, out, capacity, out_bytes);
}

DEFINE_ROUND_TRIP(struct covey_upload_state, covey_upload_state_decode, encode)
