/* Runs one kernel of either precision on values given as f64, so that a test need not know the precision.
 * op_runner.c is compiled twice. */
#ifndef COVEY_TEST_OP_RUNNER_H
#define COVEY_TEST_OP_RUNNER_H

#include "op.h"

/* Arrays are of batch * the count of the shape, or the count of the parameter; NULL where there is none. */
struct op_run {
    const struct covey_op *op;
    const struct covey_op_kernels *kernels;
    size_t batch;
    bool training;
    bool in_place;     /* out over in[0], dx[0] over dy: only for rows that can */
    bool over_weights; /* dw is the memory of w: what comes back in dw is the new w */
    double *in[COVEY_OP_INPUTS];
    double *w[COVEY_OP_PARAMETERS];  /* batch norm's buffers are written */
    double *out;                     /* written */
    double *dy;                      /* only read */
    double *dx[COVEY_OP_INPUTS];     /* written where not NULL */
    double *dw[COVEY_OP_PARAMETERS]; /* read (beta) and written where not NULL */
    double alpha, beta;
};

/* Forward, and backward where dy is not NULL. Memory that the kernel is not promised anything about is filled
 * with NaN before, so that a result that depends on it shows. */
void op_run_f32(const struct op_run *run);
void op_run_f64(const struct op_run *run);

#endif
