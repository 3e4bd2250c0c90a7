/* The cohort of a round out of very many devices, on all threads: the same devices as covey_cohort_select,
 * for that orders devices by themselves. Each part of the list is asked for as many as the whole cohort; who
 * is chosen at all is among those. */
#ifndef COVEY_VIRTUAL_COHORT_H
#define COVEY_VIRTUAL_COHORT_H

#include "covey/selection.h"
#include "virtual_crew.h"

/* As covey_cohort_select, which does it alone where the policy weighs devices against each other. Between two
 * rounds. */
COVEY_MUST_CHECK enum covey_status covey_virtual_cohort_select(struct covey_crew *crew,
                                                               const struct covey_selection *selection,
                                                               uint64_t seed, uint32_t round,
                                                               const struct covey_candidates *candidates,
                                                               uint32_t choose, uint32_t *chosen);

#endif
