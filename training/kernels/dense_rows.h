/* Dense layers over any number of rows, for the operation itself and for convolutions that are one in
 * disguise. */
#ifndef COVEY_DENSE_ROWS_H
#define COVEY_DENSE_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "../op_call.h"

/* x: (rows, features), w: (units, features), b: (units) or NULL, y: (rows, units) */
struct covey_dense_rows {
    size_t rows, features, units;
    const float *x, *w, *b;
    float *y; /* forward: overwritten; backward: read when relu */
    bool relu;
    bool training;  /* forward: inputs that are zero for all rows may be left out */
    float *dy;      /* overwritten by backward */
    float *dx;      /* NULL: not wanted */
    float *dw, *db; /* NULL: not wanted; may be w and b */
    float alpha, beta;
};

/* An operation's call as a dense layer from `features` to op->units values on so many rows. */
struct covey_dense_rows covey_dense_rows_of(const struct covey_op *op, const struct covey_op_call *call,
                                            size_t rows, size_t features);

void covey_dense_rows_forward(const struct covey_dense_rows *d);

/* scratch: as many values as covey_dense_rows_scratch says, which covers fewer rows too. */
void covey_dense_rows_backward(const struct covey_dense_rows *d, float *scratch);
size_t covey_dense_rows_scratch(size_t rows, size_t units);

#endif
