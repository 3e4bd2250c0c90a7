/* Group norm (Wu and He 2018, eq. 1 to 4) and batch norm (Ioffe and Szegedy 2015, algorithms 1 and 2).
 *
 * Both are y = w (x - mean) / sqrt(variance + epsilon) + b with the statistics of a set of values: group norm
 * of one example's group of channels, batch norm of one channel over the batch. With h = (x - mean) * inverse
 * and g = dy w, dx = inverse * (g - mean(g) - h mean(g h)),  dw = sum of dy h,  db = sum of dy. */
#include <math.h>
#include <string.h>

#include "../op_call.h"
#include "../real_vector.h"

struct statistics {
    real mean, inverse; /* 1 / sqrt(variance + epsilon) */
};

/* A set of values: for each of `rows` rows, `width` of them side by side. */
struct region {
    size_t start, rows, width, step; /* step: from row to row */
    size_t channel;                  /* of the first value of a row */
};

static real mean_of(const real *x, const struct region *region)
{
    real sum = 0;
    for (size_t r = 0; r < region->rows; r++)
        for (size_t c = 0; c < region->width; c++)
            sum += x[region->start + r * region->step + c];
    return sum / (real)(region->rows * region->width);
}

static real variance_of(const real *x, const struct region *region, real mean)
{
    real sum = 0;
    for (size_t r = 0; r < region->rows; r++)
        for (size_t c = 0; c < region->width; c++) {
            const real difference = x[region->start + r * region->step + c] - mean;
            sum += difference * difference;
        }
    return sum / (real)(region->rows * region->width);
}

static void normalise(const struct covey_op_call *call, const struct region *region,
                      struct statistics statistics)
{
    const real *w = call->w[0] + region->channel, *b = call->w[1] + region->channel;
    for (size_t r = 0; r < region->rows; r++) {
        const real *x = call->in[0] + region->start + r * region->step;
        real *y = call->out + region->start + r * region->step;
        for (size_t c = 0; c < region->width; c++)
            y[c] = w[c] * ((x[c] - statistics.mean) * statistics.inverse) + b[c];
    }
}

/* dw and db of the region's channels are added to. */
static void add_parameter_gradients(const struct covey_op_call *call, const struct region *region,
                                    struct statistics statistics)
{
    for (size_t r = 0; r < region->rows; r++) {
        const real *x = call->in[0] + region->start + r * region->step;
        const real *dy = call->dy + region->start + r * region->step;
        for (size_t c = 0; c < region->width && call->dw[0] != NULL; c++)
            call->dw[0][region->channel + c] +=
                call->alpha * dy[c] * ((x[c] - statistics.mean) * statistics.inverse);
        for (size_t c = 0; c < region->width && call->dw[1] != NULL; c++)
            call->dw[1][region->channel + c] += call->alpha * dy[c];
    }
}

/* constant: the statistics do not depend on x */
static void propagate(const struct covey_op_call *call, const struct region *region,
                      struct statistics statistics, bool constant)
{
    const real *w = call->w[0] + region->channel;
    const real count = (real)(region->rows * region->width);
    real sum = 0, product = 0;
    for (size_t r = 0; r < region->rows && !constant; r++) {
        const real *x = call->in[0] + region->start + r * region->step;
        const real *dy = call->dy + region->start + r * region->step;
        for (size_t c = 0; c < region->width; c++) {
            sum += dy[c] * w[c];
            product += dy[c] * w[c] * ((x[c] - statistics.mean) * statistics.inverse);
        }
    }
    for (size_t r = 0; r < region->rows; r++) {
        const real *x = call->in[0] + region->start + r * region->step;
        const real *dy = call->dy + region->start + r * region->step;
        real *dx = call->dx[0] + region->start + r * region->step;
        for (size_t c = 0; c < region->width; c++) {
            const real h = (x[c] - statistics.mean) * statistics.inverse;
            dx[c] = statistics.inverse * (dy[c] * w[c] - sum / count - h * (product / count));
        }
    }
}

static void differentiate(const struct covey_op_call *call, const struct region *region,
                          struct statistics statistics, bool constant)
{
    if (call->dx[0] != NULL)
        propagate(call, region, statistics, constant);
    add_parameter_gradients(call, region, statistics);
}

static void scale_gradients(const struct covey_op *op, const struct covey_op_call *call)
{
    for (uint32_t p = 0; p < 2; p++)
        if (call->dw[p] != NULL)
            scale_by(call->dw[p], call->beta, op->features);
}

/* ---- group norm ---- saved: statistics of each (example, group) */

static size_t group_saved_bytes(const struct covey_op *op, size_t batch)
{
    return batch * op->groups * sizeof(struct statistics);
}

static struct region group_region(const struct covey_op *op, size_t n, size_t group)
{
    const size_t width = op->features / op->groups;
    return (struct region){.start = n * op->in[0].count + group * width,
                           .rows = op->rows,
                           .width = width,
                           .step = op->features,
                           .channel = group * width};
}

static void group_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct statistics *saved = call->training ? call->saved : NULL;
    for (size_t n = 0; n < call->batch; n++)
        for (size_t group = 0; group < op->groups; group++) {
            const struct region region = group_region(op, n, group);
            const real mean = mean_of(call->in[0], &region);
            const real variance = variance_of(call->in[0], &region, mean);
            const struct statistics statistics = {mean, REAL_C(1.0) /
                                                            REAL_MATH(sqrt)(variance + (real)op->epsilon)};
            normalise(call, &region, statistics);
            if (saved != NULL)
                saved[n * op->groups + group] = statistics;
        }
}

static void group_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const struct statistics *saved = call->saved;
    scale_gradients(op, call);
    for (size_t n = 0; n < call->batch; n++)
        for (size_t group = 0; group < op->groups; group++) {
            const struct region region = group_region(op, n, group);
            differentiate(call, &region, saved[n * op->groups + group], false);
        }
}

/* ---- batch norm ---- saved: statistics of each channel. Frozen, it normalises by its running statistics in
 * training too, and leaves them. */

static size_t batch_saved_bytes(const struct covey_op *op, size_t batch)
{
    (void)batch;
    return op->features * sizeof(struct statistics);
}

static bool learns_statistics(const struct covey_op *op)
{
    return op->parameters[2].role == COVEY_ROLE_BUFFER;
}

static struct region channel_region(const struct covey_op *op, const struct covey_op_call *call,
                                    size_t channel)
{
    return (struct region){.start = channel,
                           .rows = call->batch * op->rows,
                           .width = 1,
                           .step = op->features,
                           .channel = channel};
}

/* running = (1 - momentum) running + momentum new; the variance without bias, as PyTorch. */
static void update_running(const struct covey_op *op, const struct covey_op_call *call, size_t channel,
                           real mean, real variance)
{
    const size_t count = call->batch * op->rows;
    const real share = (real)op->momentum;
    const real unbiased = count > 1 ? variance * ((real)count / (real)(count - 1)) : variance;
    call->w[2][channel] = (REAL_C(1.0) - share) * call->w[2][channel] + share * mean;
    call->w[3][channel] = (REAL_C(1.0) - share) * call->w[3][channel] + share * unbiased;
}

static void batch_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    struct statistics *saved = call->training ? call->saved : NULL;
    for (size_t channel = 0; channel < op->features; channel++) {
        const struct region region = channel_region(op, call, channel);
        real mean = call->w[2][channel], variance = call->w[3][channel];
        if (call->training && learns_statistics(op)) {
            mean = mean_of(call->in[0], &region);
            variance = variance_of(call->in[0], &region, mean);
            update_running(op, call, channel, mean, variance);
        }
        const struct statistics statistics = {mean,
                                              REAL_C(1.0) / REAL_MATH(sqrt)(variance + (real)op->epsilon)};
        normalise(call, &region, statistics);
        if (saved != NULL)
            saved[channel] = statistics;
    }
}

static void batch_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const struct statistics *saved = call->saved;
    scale_gradients(op, call);
    for (size_t channel = 0; channel < op->features; channel++) {
        const struct region region = channel_region(op, call, channel);
        differentiate(call, &region, saved[channel], !learns_statistics(op));
    }
}

const struct covey_op_kernels REAL(covey_plain_group_norm) = {
    .name = "plain",
    .needs = COVEY_NEEDS_INPUT,
    .saved_bytes = group_saved_bytes,
    .forward = group_forward,
    .backward = group_backward,
};

const struct covey_op_kernels REAL(covey_plain_batch_norm) = {
    .name = "plain",
    .needs = COVEY_NEEDS_INPUT,
    .saved_bytes = batch_saved_bytes,
    .forward = batch_forward,
    .backward = batch_backward,
};
