/* What the fold needs of the grid beyond its public face. */
#ifndef COVEY_GRID_INTERNAL_H
#define COVEY_GRID_INTERNAL_H

#include "covey/grid.h"

/* The tensor that a coordinate lies in. */
size_t covey_grid_tensor_at(const struct covey_grid *grid, size_t coordinate);

/* scale * 2^(c - e): what a value of that tensor is multiplied by. */
double covey_grid_factor(const struct covey_grid *grid, size_t tensor, double scale);

#endif
