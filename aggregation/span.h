/* Rules that only ask how far updates lie from each other. What they give is a combination of the updates, so
 * they need the updates' products alone: gram (n,n) f64 row-major, gram[i][j] = x_i . x_j. All are pure, in
 * one fixed order; ties go to the lower place. Those with scratch of their own can fail with NO_MEMORY. */
#ifndef COVEY_SPAN_H
#define COVEY_SPAN_H

#include <stddef.h>
#include <stdint.h>

#include "covey/status.h"

/* out: (n,n) squared distances. */
void covey_span_distances(const double *gram, size_t n, double *out);

/* Krum (Blanchard et al. 2017): order: (n) places by score, the sum of the squared distances to the
 * n - hostile - 2 nearest others, the lowest first. */
COVEY_MUST_CHECK enum covey_status covey_krum_order(const double *distances, size_t n, size_t hostile,
                                                    size_t *order, struct covey_error *err);
/* Bulyan's first half (El Mhamdi et al. 2018): selected: (n - 2 hostile) places, by Krum, each time among
 * those left. */
COVEY_MUST_CHECK enum covey_status covey_bulyan_select(const double *distances, size_t n, size_t hostile,
                                                       size_t *selected, struct covey_error *err);

/* Geometric median by `iterations` steps of Weiszfeld from 0, no distance below smoothing (Pillutla et al.
 * 2022, Algorithm 2). weights: (n), overwritten: the median is their combination. */
COVEY_MUST_CHECK enum covey_status covey_geometric_median(const double *gram, size_t n, double smoothing,
                                                          uint32_t iterations, double *weights,
                                                          struct covey_error *err);

/* Centred clipping (Karimireddy et al. 2021, equation 2) of the first n from the centre, which is the last of
 * gram (n + 1, n + 1). radius: 0 = the median of the distances to the centre, anew in each step. weights:
 * (n + 1), overwritten. */
COVEY_MUST_CHECK enum covey_status covey_centred_clipping(const double *gram, size_t n, double radius,
                                                          uint32_t iterations, double *weights,
                                                          struct covey_error *err);

/* FLTrust (Cao et al. 2021, Algorithm 2): of the first n by the server's own update, which is the last of
 * gram (n + 1, n + 1): each as long as that one, weighted by the cosine with it where that is above 0.
 * weights: (n + 1), overwritten; all 0 where nobody is trusted. */
void covey_fltrust(const double *gram, size_t n, double *weights);

/* Mixing: rows of weights, out: (covey_mix_buckets, n) or (n, n). Bucketing (Karimireddy et al. 2022,
 * Algorithm 1): means of `bucket` updates each, drawn by (seed, round). Nearest neighbours (Allouah et al.
 * 2023, Algorithm 2): each update becomes the mean of the n - hostile nearest, itself among them. */
size_t covey_mix_buckets(size_t n, size_t bucket);
COVEY_MUST_CHECK enum covey_status covey_mix_bucketing(size_t n, size_t bucket, uint64_t seed, uint32_t round,
                                                       double *out, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_mix_nearest(const double *distances, size_t n, size_t hostile,
                                                     double *out, struct covey_error *err);

#endif
