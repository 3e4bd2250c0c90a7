/* The cohort of a round out of very many devices, on all threads: the same devices as covey_cohort_select,
 * for that orders devices by themselves. Each part of the list is asked for as many as the whole cohort; who
 * is chosen at all is among those. */
#ifndef COVEY_VIRTUAL_COHORT_H
#define COVEY_VIRTUAL_COHORT_H

#include "virtual_crew.h"

/* As covey_cohort_select. Between two rounds. */
COVEY_MUST_CHECK enum covey_status covey_virtual_cohort_select(struct covey_crew *crew, uint64_t seed,
                                                               uint32_t round, const uint64_t *ids,
                                                               uint32_t count, uint32_t choose,
                                                               uint32_t *chosen);

#endif
