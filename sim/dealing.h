/* Who is hostile, and who holds which examples: both follow from the scenario and its data. */
#ifndef COVEY_DEALING_H
#define COVEY_DEALING_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/status.h"
#include "partition.h"
#include "scenario.h"
#include "sim_data.h"

/* share * devices of them, rounded, drawn by the seed. hostile: (devices). */
COVEY_MUST_CHECK enum covey_status covey_draw_hostile(const struct covey_scenario *scenario, uint32_t devices,
                                                      bool *hostile, struct covey_error *err);

/* *out_hostile: (devices of the partition), the caller frees it; NULL: nobody is. With attack.data `sample`
 * the honest share all examples, and each hostile device has a random sample of them (Karimireddy et al.
 * 2022, section 6). */
COVEY_MUST_CHECK enum covey_status covey_deal(const struct covey_scenario *scenario,
                                              const struct covey_sim_data *data,
                                              struct covey_partition **out_partition, bool **out_hostile,
                                              struct covey_error *err);

#endif
