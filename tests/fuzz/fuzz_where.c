/* Which shard serves a device. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_where *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_where_encode(value, out, capacity, out_bytes);
}

DEFINE_ROUND_TRIP(struct covey_where, covey_where_decode, encode)
