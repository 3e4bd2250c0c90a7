/* What a federation learns by: the devices' algorithm, what an update counts for, the rule and the server's
 * own step. One word of a configuration may decide several of them; what does not go together is refused
 * here, with the reason, by the server, by `covey-server federation check` and by the simulator alike. */
#ifndef COVEY_COMBINATION_H
#define COVEY_COMBINATION_H

#include "covey/server.h"
#include "covey/server_optimiser.h"
#include "covey/staleness.h"
#include "covey/status.h"
#include "covey/strategy.h"
#include "covey/weighting.h"

/* Fills in what follows from the others: strategy, weighting, recipe.measures and server_rule of options.
 * Again on what it filled in: nothing changes. INVALID or UNSUPPORTED. */
COVEY_MUST_CHECK enum covey_status covey_combination_settle(struct covey_federation_options *options,
                                                            struct covey_error *err);

/* The devices that a mean is of as a share of all, (0, 1]; 1 where nobody asks. */
double covey_combination_share(const struct covey_federation_options *options, uint64_t updates);

/* A round's mean as the server's own step takes it. options: settled, with their layout. values, report: from
 * covey_aggregation_finish. tallies: of the updates that are in it. */
struct covey_server_mean covey_combination_mean(const struct covey_federation_options *options,
                                                const struct covey_weighting *weighting,
                                                const struct covey_weighting_tally *weights,
                                                const struct covey_staleness_tally *staleness,
                                                const double *values,
                                                const struct covey_aggregation_report *report);

#endif
