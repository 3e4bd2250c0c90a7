/* What hostile devices do. Who is hostile the world says (covey_world_device); here is what comes of it: on
 * their labels before training, or on their model after it.
 *
 *   label-flip   label y becomes classes - 1 - y (Fung et al. 2020, "The limitations of federated learning in
 *                sybil settings", use one pair; all labels here)
 *   sign-flip    the delta is sent backwards, `strength` times as long (1: mirrored)
 *   noise        the delta is normal noise of `strength` times the honest delta's RMS */
#ifndef COVEY_ATTACK_H
#define COVEY_ATTACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/dataset.h"
#include "covey/status.h"
#include "scenario.h"

/* The training part as hostile devices see it: the same tables with other labels. *out owns its labels
 * (covey_attack_data_free) and must not outlive train. With an attack that leaves the data alone *out is all
 * zero. INVALID: nothing to flip. */
COVEY_MUST_CHECK enum covey_status covey_attack_data(const struct covey_scenario *scenario,
                                                     const struct covey_dataset *train,
                                                     struct covey_dataset *out, struct covey_error *err);
void covey_attack_data_free(struct covey_dataset *poisoned); /* an all-zero one is legal */

/* What a hostile device makes of its trained model before it is uploaded. start: (count) what training began
 * from; trained: (count) in place. Does nothing for attacks on the data. A pure function of its arguments and
 * the scenario's seed; any number of threads. */
void covey_attack_model(const struct covey_scenario *scenario, uint32_t device, uint32_t round,
                        const float *start, float *trained, size_t count);

#endif
