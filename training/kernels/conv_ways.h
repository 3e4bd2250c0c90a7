/* The ways to compute a convolution, of which conv2d_fast.c picks one for each operation:
 *
 *   pointwise  1 x 1, stride 1, not pooled: a dense layer over all pixels of the batch
 *   depthwise  a filter a channel
 *   direct     without groups: forward from padded images with the sums in registers; backward only where the
 * gradient is not zero, which behind ReLU and pooling is one place in eight grouped    all others: columns of
 * an image and a group at a time, and matrix products
 *
 * Each handles any kernel, stride and padding, an image at a time, and any number of images. The workspace of
 * a call is laid out in an arena, so that a counting pass tells its size. */
#ifndef COVEY_CONV_WAYS_H
#define COVEY_CONV_WAYS_H

#include "covey/arena.h"

#include "../op_call.h"
#include "conv_shape.h"

struct covey_conv_way {
    /* takes what forward and backward need, the larger of both, from a counting arena */
    void (*count_scratch)(const struct covey_op *op, const struct covey_conv_shape *shape,
                          struct covey_arena *arena);
    void (*forward)(const struct covey_op *op, const struct covey_conv_shape *shape,
                    const struct covey_op_call *call, struct covey_arena *arena);
    void (*backward)(const struct covey_op *op, const struct covey_conv_shape *shape,
                     const struct covey_op_call *call, struct covey_arena *arena);
};

extern const struct covey_conv_way covey_conv_direct, covey_conv_depthwise, covey_conv_grouped;

/* Image n of what a call is about; NULL stays NULL. */
static inline const float *covey_conv_input(const struct covey_conv_shape *s,
                                            const struct covey_op_call *call, size_t n)
{
    return call->in[0] + n * s->image_count;
}

static inline float *covey_conv_input_gradient(const struct covey_conv_shape *s,
                                               const struct covey_op_call *call, size_t n)
{
    return call->dx[0] ? call->dx[0] + n * s->image_count : NULL;
}

/* Pooling and ReLU of one image: raw (pixels, step) -> y and, when training and pooled, where of image n.
 * codes: what stands in where for each cell of the pooling window. */
void covey_conv_finish(const struct covey_conv_shape *s, const struct covey_op_call *call, size_t n,
                       const float *raw, size_t step, const uint32_t *codes);

/* Which cell of the pooling window each output of image n came from; NULL when not pooled. (pooled_pixels,
 * units) */
uint32_t *covey_conv_where(const struct covey_conv_shape *s, const struct covey_op_call *call, size_t n);

/* Codes of cells. From a cell to the next, in values of an image with so many in a pixel and in a row: the
 * offset of a cell from the first. (cells of the pooling window) */
void covey_conv_fill_codes(const struct covey_conv_shape *s, size_t pixel_step, size_t row_step,
                           uint32_t *codes);

/* Gradient of image n before pooling and ReLU: (pixels, units), overwritten. Codes are offsets in it. */
void covey_conv_spread(const struct covey_conv_shape *s, const struct covey_op_call *call, size_t n,
                       float *raw);

/* dw = alpha * sum + beta * dw over count values; sum may be strided rows: `rows` of `length`, `step` apart.
 */
void covey_conv_apply(const struct covey_op_call *call, float *dw, const float *sum, size_t rows,
                      size_t length, size_t step);

#endif
