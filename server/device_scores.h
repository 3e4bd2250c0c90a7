/* What devices say of the published model on examples of their own (evaluation.devices): one metric and a
 * count each, of the newest round that was judged by devices. The simulator sums up with the same function.
 */
#ifndef COVEY_DEVICE_SCORES_H
#define COVEY_DEVICE_SCORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/device_metrics.h"
#include "covey/json.h"
#include "covey/server.h"

#define COVEY_SCORED_DEVICES 4096u /* of a round, at the most; later ones do not count */
#define COVEY_SCORES_TEXT_BYTES 256
#define COVEY_DEVICES_JUDGED_NOTE "devices-judged" /* of the ledger: the newest summary, as written below */

struct covey_device_score {
    uint32_t place, examples;
    double metric; /* accuracy, or an error, of which less is better */
};

/* *out but its round. count 0: NaN. Values that are not finite are passed over. */
COVEY_MUST_CHECK enum covey_status covey_device_summary_make(const struct covey_device_score *scores,
                                                             size_t count, bool lower_is_better,
                                                             struct covey_device_summary *out);
/* One line of text for the ledger's note, and back: false when it is none. */
void covey_device_summary_write(const struct covey_device_summary *summary,
                                char out[COVEY_SCORES_TEXT_BYTES]);
bool covey_device_summary_read(const char *text, struct covey_device_summary *out);

/* As `devices_judged` of the object that is open; nothing without devices. */
void covey_write_device_summary(struct covey_json *json, const struct covey_device_summary *summary);

/* Whether the device is asked in that round: every `every`-th, with a chance of `share`. */
bool covey_device_is_asked(const struct covey_federation_options *options, uint64_t device, uint32_t round);

/* Thread-safe. */
struct covey_device_scores;
COVEY_MUST_CHECK enum covey_status covey_device_scores_create(struct covey_device_scores **out,
                                                              struct covey_error *err);
void covey_device_scores_destroy(struct covey_device_scores *scores); /* NULL is legal */
/* From a report; false: it says nothing of the kind, or of a round before. A newer round begins anew; a
 * device's second report of a round takes the place of its first. */
bool covey_device_scores_take(struct covey_device_scores *scores, uint32_t place,
                              const struct covey_metrics *metrics, bool is_error);
/* devices 0: nothing yet. True: changed since it was last asked with `note`. */
bool covey_device_scores_sum(struct covey_device_scores *scores, bool is_error, bool note,
                             struct covey_device_summary *out);

#endif
