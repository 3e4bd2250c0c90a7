/* One operation by the fast row and by the plain one, on the same values, and how far they are apart. */
#ifndef COVEY_TEST_KERNEL_TRIAL_H
#define COVEY_TEST_KERNEL_TRIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "op.h"

struct kernel_trial {
    const char *name;
    struct covey_op_description op;
    struct covey_shape input;
    bool relu;
    uint32_t pool[2]; /* kernel and stride of a max pooling behind it; 0: none */
    size_t batch;
};

/* Normalised mean squared errors, |fast - plain|^2 / |plain|^2; NaN when either holds one. */
struct kernel_errors {
    double out, dx, dw, db;
    double updated;  /* weights and bias after dw == w, alpha -.1, beta .5 */
    double dx_then;  /* dx of that call, which must have used the old weights */
    double dx_alone; /* with frozen weights */
    double dw_alone; /* nobody wants dx */
};

/* False when the fast row does not take what the trial wants fused, or the operation is refused. Scratch,
 * saved and outputs begin as NaN; every array is as large as promised and no larger, so that a sanitizer sees
 * overruns. */
bool kernel_trial_run(const struct kernel_trial *trial, struct kernel_errors *out);

/* The largest of all errors, NaN if any is. */
double kernel_errors_worst(const struct kernel_errors *errors);

#endif
