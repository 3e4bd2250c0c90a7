/* The losses of either precision on f64 values; returns the mean loss. gradient: as large as y. */
#ifndef COVEY_TEST_LOSS_RUNNER_H
#define COVEY_TEST_LOSS_RUNNER_H

#include <stddef.h>

double loss_softmax_f32(const double *y, const double *labels, size_t rows, size_t classes, double *gradient);
double loss_softmax_f64(const double *y, const double *labels, size_t rows, size_t classes, double *gradient);
double loss_squares_f32(const double *y, const double *targets, size_t count, double *gradient);
double loss_squares_f64(const double *y, const double *targets, size_t count, double *gradient);

#endif
