/* The two losses and their gradients, in the precision of the file that includes this. */
#ifndef COVEY_LOSS_H
#define COVEY_LOSS_H

#include "network.h"
#include "real.h"

/* y: (rows, classes) logits; labels: (rows), each in [0, classes). Adds loss and right answers to tally; dy,
 * where not NULL, gets scale * (softmax(y) - one at the label), overwritten. y and dy may be the same. */
void REAL(covey_softmax_cross_entropy)(const real *y, const int32_t *labels, size_t rows, size_t classes,
                                       real scale, real *dy, struct covey_tally *tally);

/* y, targets: (count). dy, where not NULL, gets 2 * scale * (y - target). */
void REAL(covey_mean_squared_error)(const real *y, const float *targets, size_t count, real scale, real *dy,
                                    struct covey_tally *tally);

#endif
