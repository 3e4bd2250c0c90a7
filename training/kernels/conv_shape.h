/* One convolution as the fast kernels see it: padded images, whose every row under the kernel is one run of
 * values. Signals (length, 1, channels) are turned into images (1, length, channels), so that a run is as
 * long as can be. */
#ifndef COVEY_CONV_SHAPE_H
#define COVEY_CONV_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../op.h"

struct covey_conv_shape {
    size_t height, width, channels, units; /* of the input; output channels */
    size_t kernel[2], stride[2], top, left;
    size_t out_height, out_width; /* before pooling */
    bool relu, pool;
    size_t pool_kernel[2], pool_stride[2];
    size_t pool_height, pool_width; /* after pooling; without: as out */

    /* derived: how everything lies in memory, in values */
    size_t padded_height, padded_width,
        padded_count;     /* what the kernel reaches; count has room for a vector more */
    size_t row_step;      /* of the padded image: padded_width * channels */
    size_t run;           /* kernel width * channels (without groups) */
    size_t image_count;   /* height * width * channels */
    size_t pixels;        /* out_height * out_width */
    size_t pooled_pixels; /* pool_height * pool_width: the output has this times units */
};

struct covey_conv_shape covey_conv_shape_of(const struct covey_op *op);

/* Value of the padded image under the first cell of the kernel at output pixel (row, column). */
static inline size_t covey_conv_origin(const struct covey_conv_shape *s, size_t row, size_t column)
{
    return row * s->stride[0] * s->row_step + column * s->stride[1] * s->channels;
}

/* x: (height, width, channels) -> padded, zeros around. Between calls on the same padded the border stays
 * zero: clear first, once. */
void covey_conv_clear(const struct covey_conv_shape *s, float *padded);
void covey_conv_pad(const struct covey_conv_shape *s, const float *x, float *padded);

/* The inside of padded -> x, overwritten; zeros where no kernel reached. */
void covey_conv_crop(const struct covey_conv_shape *s, const float *padded, float *x);

#endif
