/* Model descriptions, as a device gets them. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_model_description *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_description_encode(value, out, capacity, out_bytes, NULL);
}

DEFINE_ROUND_TRIP(struct covey_model_description, covey_description_decode, encode)
