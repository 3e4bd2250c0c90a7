/* Folding several streams at once into a grid, by chunks of coordinates on a pool of threads. */
#ifndef COVEY_STREAM_FOLD_H
#define COVEY_STREAM_FOLD_H

#include "covey/codec.h"
#include "covey/fold_pool.h"
#include "covey/grid.h"

#define COVEY_FOLD_INPUTS 16 /* updates that one pass over the sums takes in */

/* One admitted update: its decoder at the beginning, and what it is multiplied by. */
struct covey_fold_input {
    struct covey_decoder decoder;
    double scale;
    uint64_t weight;
};

/* Adds all inputs to grid->sums. The streams were read to their end before and the weights fit: nothing can
 * fail. With `plain` every value goes through f32, for the test that the short way gives the same bits. */
void covey_fold(struct covey_grid *grid, const struct covey_fold_input *inputs, size_t count,
                struct covey_fold_pool *pool, bool plain);

#endif
