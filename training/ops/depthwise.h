/* Depthwise convolution, one filter a channel: its runs are one value long, so the loops go over channels
 * instead. Part of conv2d.c's row. */
#ifndef COVEY_DEPTHWISE_H
#define COVEY_DEPTHWISE_H

#include "../op_call.h"

static inline bool covey_is_depthwise(const struct covey_op *op)
{
    return op->groups > 1 && op->groups == op->channels && op->units == op->channels;
}

/* Scratch of either: weights and their gradient, turned to (kernel height, kernel width, channels). */
size_t REAL(covey_depthwise_scratch_bytes)(const struct covey_op *op);
void REAL(covey_depthwise_forward)(const struct covey_op *op, const struct covey_op_call *call);
void REAL(covey_depthwise_backward)(const struct covey_op *op, const struct covey_op_call *call);

#endif
