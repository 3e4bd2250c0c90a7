/* Plans, as a device gets them. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_plan *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_plan_encode(value, out, capacity, out_bytes, NULL);
}

DEFINE_ROUND_TRIP(struct covey_plan, covey_plan_decode, encode)
