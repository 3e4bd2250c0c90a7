/* Partial sums, as a parent gets them. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_partial_sum *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_partial_sum_encode(value, out, capacity, out_bytes, NULL);
}

DEFINE_ROUND_TRIP(struct covey_partial_sum, covey_partial_sum_decode, encode)
