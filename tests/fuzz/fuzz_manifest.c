/* Manifests, without their signature. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_manifest *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_manifest_encode(value, out, capacity, out_bytes, NULL);
}

DEFINE_ROUND_TRIP(struct covey_manifest, covey_manifest_decode, encode)
