/* Device metrics, as the server gets them: SenML of any producer. */
#include "round_trip.h"

static enum covey_status encode(const struct covey_metrics *value, uint8_t *out, size_t capacity,
                                size_t *out_bytes)
{
    return covey_metrics_encode(value, out, capacity, out_bytes, NULL);
}

DEFINE_ROUND_TRIP(struct covey_metrics, covey_metrics_decode, encode)
