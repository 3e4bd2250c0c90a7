/* How fast one core of this machine trains: class `host` of virtual devices. Measured once for each CPU and
 * kept in the user's cache, so that a second run has the same virtual times. */
#ifndef COVEY_CALIBRATION_H
#define COVEY_CALIBRATION_H

#include <stdbool.h>
#include <stddef.h>

#include "covey/status.h"

/* FLOP/s in training (three times the forward pass an example), of the network 784-200-200-10 in batches of
 * 10. About a third of a second when it is measured. */
COVEY_MUST_CHECK enum covey_status covey_calibration_flops_per_s(double *out, struct covey_error *err);

/* This machine's CPU by name; "unknown" when the system does not tell. */
void covey_calibration_cpu(char *out, size_t out_bytes);

/* The user's cache folder: $COVEY_CACHE, or covey under $XDG_CACHE_HOME or ~/.cache. False: there is none. */
bool covey_calibration_cache(char *out, size_t out_bytes);

#endif
