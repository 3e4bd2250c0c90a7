/* Terms of a sum, as a gateway gets them. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_sum_terms *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_sum_terms_encode(value, out, capacity, out_bytes, NULL);
}

DEFINE_ROUND_TRIP(struct covey_sum_terms, covey_sum_terms_decode, encode)
