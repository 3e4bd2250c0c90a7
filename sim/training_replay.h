/* Training times of a real run, in place of the world's: a CSV of lines "device,round,training_ms" with a
 * header, where a device is its name or its number. */
#ifndef COVEY_TRAINING_REPLAY_H
#define COVEY_TRAINING_REPLAY_H

#include <stdint.h>

#include "covey/status.h"

struct covey_training_replay;

/* INVALID with "FILE:LINE: ...". */
COVEY_MUST_CHECK enum covey_status covey_training_replay_load(const char *file,
                                                              struct covey_training_replay **out,
                                                              struct covey_error *err);
void covey_training_replay_destroy(struct covey_training_replay *replay); /* NULL is legal */

/* otherwise_ms: what the file does not say; replay NULL: always. */
uint64_t covey_training_replay_ms(const struct covey_training_replay *replay, uint32_t device, uint32_t round,
                                  uint64_t otherwise_ms);

#endif
