/* What is fused in behind every convolution: ReLU and max pooling, there and back. */
#include <string.h>

#include "conv_ways.h"
#include "vector_kernels.h"

uint32_t *covey_conv_where(const struct covey_conv_shape *s, const struct covey_op_call *call, size_t n)
{
    return s->pool && call->saved ? (uint32_t *)call->saved + n * s->pooled_pixels * s->units : NULL;
}

void covey_conv_finish(const struct covey_conv_shape *s, const struct covey_op_call *call, size_t n,
                       const float *raw, size_t step, const uint32_t *codes)
{
    struct covey_pool_forward p = {
        .width = s->out_width,
        .channels = s->units,
        .x_step = step,
        .out_height = s->pool_height,
        .out_width = s->pool_width,
        .kernel = {s->pool_kernel[0], s->pool_kernel[1]},
        .stride = {s->pool_stride[0], s->pool_stride[1]},
        .relu = s->relu,
        .x = raw,
        .codes = codes,
        .y = call->out + n * s->pooled_pixels * s->units,
        .where = call->training ? covey_conv_where(s, call, n) : NULL,
    };

    covey_vector_kernels()->pool_forward(&p);
}

void covey_conv_fill_codes(const struct covey_conv_shape *s, size_t pixel_step, size_t row_step,
                           uint32_t *codes)
{
    for (size_t i = 0; i < s->pool_kernel[0]; i++)
        for (size_t j = 0; j < s->pool_kernel[1]; j++)
            *codes++ = (uint32_t)(i * row_step + j * pixel_step);
}

static void unpool(const struct covey_conv_shape *s, const float *dy, const float *y, const uint32_t *where,
                   float *raw)
{
    memset(raw, 0, s->pixels * s->units * sizeof *raw);
    for (size_t i = 0; i < s->pool_height; i++)
        for (size_t j = 0; j < s->pool_width; j++) {
            float *first = raw + (i * s->pool_stride[0] * s->out_width + j * s->pool_stride[1]) * s->units;
            for (size_t u = 0; u < s->units; u++, dy++, y++, where++)
                first[*where + u] = s->relu && !(*y > 0) ? 0 : *dy;
        }
}

void covey_conv_spread(const struct covey_conv_shape *s, const struct covey_op_call *call, size_t n,
                       float *raw)
{
    size_t count = s->pooled_pixels * s->units;
    const float *dy = call->dy + n * count, *y = call->out + n * count;

    if (s->pool)
        unpool(s, dy, y, covey_conv_where(s, call, n), raw);
    else
        for (size_t i = 0; i < count; i++)
            raw[i] = s->relu && !(y[i] > 0) ? 0 : dy[i];
}

void covey_conv_apply(const struct covey_op_call *call, float *dw, const float *sum, size_t rows,
                      size_t length, size_t step)
{
    for (size_t r = 0; r < rows; r++, dw += length, sum += step)
        if (call->beta == 0)
            for (size_t i = 0; i < length; i++)
                dw[i] = call->alpha * sum[i];
        else
            for (size_t i = 0; i < length; i++)
                dw[i] = call->alpha * sum[i] + call->beta * dw[i];
}
