/* Update rules, in the precision of the file that includes this. All as PyTorch's torch.optim has them:
 * weight decay is L2, added to the gradient. */
#ifndef COVEY_OPTIMISER_H
#define COVEY_OPTIMISER_H

#include <stddef.h>
#include <stdint.h>

#include "real.h"

/* One tensor's share of the state; vectors of equal length. */
struct covey_updating {
    real *w;
    real *g;                 /* gradient; overwritten */
    real *m, *v;             /* velocity or Adam's moments */
    const real *anchor;      /* FedProx: the weights that the round began with; else NULL */
    const float *correction; /* SCAFFOLD, FedDyn: added to the gradient; else NULL */
    size_t count;
    double rate, momentum, beta2, epsilon, decay, proximal;
    uint32_t step; /* from 1 */
};

/* w -= rate * g' where g' = g + decay * w + proximal * (w - anchor) + correction, here and below */
void REAL(covey_update_sgd)(const struct covey_updating *at);

/* v holds momentum * v + g already (the kernel did that, or covey_accumulate): adds the rest of g', w -= rate
 * * v. Here v is at->m. */
void REAL(covey_update_velocity)(const struct covey_updating *at);

/* at->m = momentum * at->m + g */
void REAL(covey_accumulate)(const struct covey_updating *at);

/* Kingma and Ba 2015, algorithm 1, in PyTorch's order of operations. */
void REAL(covey_update_adam)(const struct covey_updating *at);

#endif
