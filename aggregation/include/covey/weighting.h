/* What an update counts for in the mean, and what the mean is scaled by afterwards.
 *
 *   examples  n                                         FedAvg (McMahan et al. 2017)
 *   equal     1                                         SCAFFOLD, FedDyn
 *   steps     n / tau, mean * (sum n tau / sum n) (sum n / tau) / (sum n)
 *             FedNova (Wang et al. 2020, equation 7): each delta by its own effective steps tau, their mean
 * by the mean of tau loss      F^q, mean * sum F^q / sum (F^q + q F^(q-1) L |delta|^2) q-FedAvg (Li et al.
 * 2020, algorithm 2), L = 1 / the devices' learning rate
 *
 * The aggregation rounds weights to integers, and a tally adds up the rest in integers, so the scale is the
 * same for any order, any number of threads and after a restart; it is reckoned with the weights as they
 * counted. */
#ifndef COVEY_WEIGHTING_H
#define COVEY_WEIGHTING_H

#include <stdint.h>

#include "covey/status.h"

enum covey_weighting_kind {
    COVEY_WEIGH_EXAMPLES,
    COVEY_WEIGH_EQUAL,
    COVEY_WEIGH_STEPS,
    COVEY_WEIGH_LOSS,
    COVEY_WEIGHTINGS
};

struct covey_weighting {
    enum covey_weighting_kind kind;
    double power;      /* q, (0, 16] */
    double smoothness; /* L, > 0 */
};

/* What is known of one update. */
struct covey_weighed {
    uint64_t examples; /* 1 and more */
    double steps;      /* effective; below 1 counts as 1 */
    double loss;       /* F, before training; what is not above 1e-10 counts as that */
    double norm;       /* of the delta; read where the weighting is by loss */
};

/* Sums over the updates that are in the mean. All-zero: none yet. */
struct covey_weighting_tally {
    __extension__ unsigned __int128 examples, other;
};

COVEY_MUST_CHECK enum covey_status covey_weighting_check(const struct covey_weighting *weighting,
                                                         struct covey_error *err);

/* The largest weight that is to be expected, for covey_aggregation_plan: the smaller, the finer the grid.
 * examples_max and batch (0: all examples in one) of the devices. */
double covey_weighting_cap(const struct covey_weighting *weighting, double examples_max, uint32_t batch);

/* Finite and > 0. */
double covey_weighting_weight(const struct covey_weighting *weighting, const struct covey_weighed *update);

void covey_weighting_add(const struct covey_weighting *weighting, const struct covey_weighed *update,
                         struct covey_weighting_tally *tally);

/* What the mean is to be multiplied by. weight_sum: as in the aggregation's report. Finite and > 0. */
double covey_weighting_scale(const struct covey_weighting *weighting,
                             const struct covey_weighting_tally *tally, double weight_sum);

#endif
