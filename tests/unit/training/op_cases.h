/* The operations that the tests go through: every kind, with the shapes, strides, paddings and groups at
 * which kernels go wrong. */
#ifndef COVEY_TEST_OP_CASES_H
#define COVEY_TEST_OP_CASES_H

#include "op.h"

struct op_case {
    const char *name;
    struct covey_op_description op;
    uint32_t input_count;
    struct covey_shape inputs[3];
    bool relu, pool; /* followed by relu, by 2 x 2 max pooling: fused where the kernels can */
    double spread;   /* inputs lie in [-spread, spread]; 0 reads as 2 */
};

/* Ended by a NULL name. */
extern const struct op_case op_cases[];

#endif
