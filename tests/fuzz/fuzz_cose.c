/* The envelope of a signed message. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_cose_sign1 *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_cose_encode(value, out, capacity, out_bytes);
}

DEFINE_ROUND_TRIP(struct covey_cose_sign1, covey_cose_decode, encode)
