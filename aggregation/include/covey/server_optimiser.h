/* The server's own step: the mean delta of a round as a direction (FedOpt: Reddi et al. 2021, Algorithm 2).
 * In f64, in one fixed order, so the same everywhere. Today plain SGD: W = W + rate * mean; rate 1 is FedAvg.
 */
#ifndef COVEY_SERVER_OPTIMISER_H
#define COVEY_SERVER_OPTIMISER_H

#include <stddef.h>

#include "covey/status.h"

enum covey_server_optimiser_kind { COVEY_SERVER_SGD };

struct covey_server_optimiser {
    enum covey_server_optimiser_kind kind;
    double rate;
    size_t count;  /* coordinates */
    double *state; /* of the kinds that have one; NULL for SGD */
};

/* rate: finite, > 0: INVALID otherwise. */
COVEY_MUST_CHECK enum covey_status covey_server_optimiser_init(struct covey_server_optimiser *optimiser,
                                                               enum covey_server_optimiser_kind kind,
                                                               double rate, size_t count,
                                                               struct covey_error *err);
void covey_server_optimiser_deinit(struct covey_server_optimiser *optimiser);

/* "sgd"; returns 0, or -1 for another word. */
int covey_server_optimiser_parse(const char *word, enum covey_server_optimiser_kind *out);

/* mean: (count) as from covey_aggregation_finish; weights: (count) f32, changed in place, only when every
 * result is finite: NOT_FINITE otherwise. */
COVEY_MUST_CHECK enum covey_status covey_server_optimiser_step(struct covey_server_optimiser *optimiser,
                                                               const double *mean, float *weights,
                                                               struct covey_error *err);

#endif
