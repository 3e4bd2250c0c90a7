/* Updates, as the server gets them. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_update *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_update_encode(value, out, capacity, out_bytes, NULL);
}

DEFINE_ROUND_TRIP(struct covey_update, covey_update_decode, encode)
