/* The conv2d row of the fast table: picks the way for each operation. */
#include "conv_ways.h"
#include "dense_rows.h"
#include "fast_rows.h"

static bool is_pointwise(const struct covey_op *op)
{
    const struct covey_window *w = &op->window;

    return op->groups == 1 && !op->pool && w->kernel[0] == 1 && w->kernel[1] == 1 && w->stride[0] == 1 &&
           w->stride[1] == 1;
}

static const struct covey_conv_way *way_of(const struct covey_op *op)
{
    if (op->groups == 1)
        return &covey_conv_direct;
    return op->groups == op->channels && op->units == op->channels ? &covey_conv_depthwise
                                                                   : &covey_conv_grouped;
}

static size_t saved_bytes(const struct covey_op *op, size_t batch)
{
    return op->pool ? batch * op->out.count * sizeof(uint32_t) : 0;
}

static size_t scratch_bytes(const struct covey_op *op, size_t batch)
{
    struct covey_conv_shape shape = covey_conv_shape_of(op);
    struct covey_arena arena;

    if (is_pointwise(op))
        return covey_dense_rows_scratch(batch * op->height * op->width, op->units) * sizeof(float);
    covey_arena_init(&arena, NULL, 0);
    way_of(op)->count_scratch(op, &shape, &arena);
    return arena.used;
}

static void forward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct covey_conv_shape shape = covey_conv_shape_of(op);
    struct covey_dense_rows rows =
        covey_dense_rows_of(op, call, call->batch * op->height * op->width, op->channels);
    struct covey_arena arena;

    if (is_pointwise(op)) {
        covey_dense_rows_forward(&rows);
        return;
    }
    covey_arena_init(&arena, call->scratch, SIZE_MAX);
    way_of(op)->forward(op, &shape, call, &arena);
}

static void backward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct covey_conv_shape shape = covey_conv_shape_of(op);
    struct covey_dense_rows rows =
        covey_dense_rows_of(op, call, call->batch * op->height * op->width, op->channels);
    struct covey_arena arena;

    if (is_pointwise(op)) {
        covey_dense_rows_backward(&rows, call->scratch);
        return;
    }
    covey_arena_init(&arena, call->scratch, SIZE_MAX);
    way_of(op)->backward(op, &shape, call, &arena);
}

const struct covey_op_kernels covey_fast_conv2d = {
    .name = "fast",
    .fuses = COVEY_FUSES_RELU | COVEY_FUSES_MAX_POOL,
    .needs = COVEY_NEEDS_INPUT | COVEY_NEEDS_OUTPUT, /* output: the mask of a fused relu */
    .abilities = COVEY_UPDATES_WEIGHTS,
    .saved_bytes = saved_bytes,
    .scratch_bytes = scratch_bytes,
    .forward = forward,
    .backward = backward,
};
