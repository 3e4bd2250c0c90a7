/* What a kernel is called with, in the precision of the file that includes this (real.h). */
#ifndef COVEY_OP_CALL_H
#define COVEY_OP_CALL_H

#include "op.h"
#include "real.h"

/* One forward or backward call of one operation, on `batch` examples (at most what the workspace was made
 * for).
 *
 * Forward reads in and w and writes out; a training one writes saved too, and batch norm its buffers in w.
 *
 * Backward reads dy, w, saved, and of in and out what the row said it needs (the others may hold anything),
 * and writes dx[i]   overwritten; NULL where nobody wants it dw[p] = alpha * (gradient summed over the batch)
 * + beta * dw[p];  NULL for frozen weights and buffers in this order: dw may be the memory of w itself, so
 * whatever is computed from w is computed before the first dw is written. beta = 0 overwrites, whatever dw
 * holds. dy belongs to the call and may be overwritten. A mean over the batch is in dy already. */
struct covey_op_call {
    size_t batch;
    bool training; /* dropout drops, batch norm uses the batch's statistics, saved is written */
    const real *in[COVEY_OP_INPUTS];
    real *out;
    real *w[COVEY_OP_PARAMETERS]; /* as in op->parameters; NULL where there is none */
    real *dy;
    real *dx[COVEY_OP_INPUTS];
    real *dw[COVEY_OP_PARAMETERS];
    real alpha, beta;
    void *saved, *scratch;
    uint64_t seed, device; /* with round and step the key of dropout's random numbers */
    uint32_t round, step;
};

/* The plain rows, one an operation. */
#define COVEY_DECLARE_ROW(kind, name) extern const struct covey_op_kernels REAL(covey_plain_##name);
COVEY_OPERATIONS(COVEY_DECLARE_ROW)
#undef COVEY_DECLARE_ROW

#endif
