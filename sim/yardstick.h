/* The figures that a run is judged by, computed from what it left behind: rounds to a target, how evenly the
 * work was shared out, the worst tenth, and which of several runs nothing beats. Pure functions. */
#ifndef COVEY_YARDSTICK_H
#define COVEY_YARDSTICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "outcome.h"

/* First crossing of the best metric so far, interpolated between the rounds at which the model was judged
 * (McMahan et al. 2017, section 3). All NaN and 0: not reached. */
struct covey_target_crossing {
    bool reached;
    double rounds, virtual_s, wall_s, joules;
    double bytes_up; /* of all rounds up to there */
};

/* Fed round by round; start with an all-zero one and a target that is not NaN. */
struct covey_target_watch {
    double target;
    bool lower_is_better;                          /* the metric is an error */
    bool begun;                                    /* a judged round went before */
    double best;                                   /* of the rounds judged so far */
    double bytes_up, joules;                       /* summed over all rounds so far */
    struct covey_target_crossing before, crossing; /* before: sums at the last judged round */
};
void covey_target_watch_add(struct covey_target_watch *watch, const struct covey_sim_round *round);

/* The same over rounds (count) that are all there. */
void covey_target_find(const struct covey_sim_round *rounds, uint32_t count, double target,
                       bool lower_is_better, struct covey_target_crossing *out);

/* Gini coefficient of non-negative values, given as a histogram: weights[i] of them are values[i], which rise
 * strictly. 0: all alike, towards 1: one has everything. 0 where there is nothing to share out. */
double covey_gini(const double *values, const double *weights, size_t count);
/* The same of counts (devices) as they come; sorts `counts` in place. */
double covey_gini_counts(uint32_t *counts, size_t count);

double covey_mean(const double *values, size_t count);      /* NaN of none */
double covey_deviation(const double *values, size_t count); /* of a sample (n - 1); NaN under two values */

/* Which of `count` points no other one beats: none is at least as good in everything and better in something.
 * points: (count, dimensions), each to be made small; a point with a NaN is never on the front. */
void covey_pareto_front(const double *points, size_t count, size_t dimensions, bool *out);

#endif
