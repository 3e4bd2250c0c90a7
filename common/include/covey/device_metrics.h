/* What a device tells of its rounds (POST f/{federation}/metrics, SenML): the names that both sides agree on.
 * A server stores any name; with COVEY_METRIC_ROUND and COVEY_METRIC_FAILED it also learns that this round
 * need not wait for this device. */
#ifndef COVEY_DEVICE_METRICS_H
#define COVEY_DEVICE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/messages.h"

#define COVEY_METRIC_ROUND "round"
#define COVEY_METRIC_FAILED "failed" /* enum covey_round_failure */
#define COVEY_METRIC_EXAMPLES "examples"
#define COVEY_METRIC_STEPS "steps"
#define COVEY_METRIC_LOSS_BEFORE "loss-before"
#define COVEY_METRIC_LOSS_AFTER "loss-after"
#define COVEY_METRIC_TRAINING "training"         /* s */
#define COVEY_METRIC_UPDATE_BYTES "update-bytes" /* B: the encoded update alone */
#define COVEY_METRIC_UPLOAD_BYTES "upload-bytes" /* B: the datagrams that carried it */
#define COVEY_METRIC_BYTES_UP "bytes-up"         /* B: every UDP payload of the round */
#define COVEY_METRIC_BYTES_DOWN "bytes-down"     /* B */
/* The published model on examples of the device's own, where the plan asked: accuracy, or the root of the
 * mean squared error, and of how many examples. Nothing else of them leaves the device. */
#define COVEY_METRIC_JUDGED "judged"
#define COVEY_METRIC_JUDGED_EXAMPLES "judged-examples"
#define COVEY_METRIC_MEMORY "memory"   /* B: largest resident set so far */
#define COVEY_METRIC_BATTERY "battery" /* %EL */

/* Why a device does not deliver a round. */
enum covey_round_failure {
    COVEY_ROUND_DELIVERED,
    COVEY_ROUND_NO_DATA,
    COVEY_ROUND_DIVERGED,
    COVEY_ROUND_NO_MEMORY,
    COVEY_ROUND_NO_MODEL,
    COVEY_ROUND_OTHER
};

/* "out of memory"; of a number that is none of these: "unknown reason". */
const char *covey_round_failure_text(uint32_t failure);

/* Appends a record; what is not finite, or no longer fits, is left out. name, unit: literals. */
void covey_metrics_add(struct covey_metrics *metrics, const char *name, const char *unit, double value);
/* The value of that name; false when it is not there. */
bool covey_metrics_find(const struct covey_metrics *metrics, const char *name, double *value);

#endif
