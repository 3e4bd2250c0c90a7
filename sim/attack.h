/* What hostile devices do. Who is hostile says covey_deal; here is what comes of it: on
 * their labels before training, or on their model after it.
 *
 *   label-flip         label y becomes classes - 1 - y (Fung et al. 2020, "The limitations of federated
 *                      learning in sybil settings", use one pair; all labels here)
 *   sign-flip          the delta is sent backwards, `strength` times as long
 *   bit-flip           every value's sign bit is flipped (Karimireddy et al. 2022): sign-flip, 1
 *   noise              the delta is normal noise of `strength` times the honest delta's RMS
 *   model-replacement  trained on flipped labels, then `strength` times as long (Bagdasaryan et al. 2020)
 *   nan                the bytes of a sound update, all ones behind the header: NaN where there are floats
 *   stale              what it made in round 1 of the first model, again and again
 *   sybil              one device under many names: all send what the first of them in the cohort makes
 *
 * and those who see what the honest devices of the round make, before anything is compressed:
 *
 *   mimic              all send what the first honest device of the cohort sends (Karimireddy et al. 2022)
 *   alie               mean + `strength` deviations, coordinate by coordinate (Baruch et al. 2019)
 *   ipm                -`strength` times the mean (Xie et al. 2020, inner-product manipulation) */
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

/* Whether the hostile devices see what the honest ones make. */
bool covey_attack_spies(const struct covey_scenario *scenario);
/* What they make of it. deltas: (n, count) of the honest devices by slot, n >= 1; out: (count). */
void covey_attack_craft(int64_t kind, double strength, const float *deltas, size_t n, size_t count,
                        float *out);

/* On the encoded message of an update of `count` values, in place. Does nothing but for `nan`. */
void covey_attack_bytes(const struct covey_scenario *scenario, size_t count, uint8_t *message, size_t bytes);

#endif
