/* Group norm and batch norm of the fast table, by sums and factors of channels. As in ops/norm.c, a set of
 * values is normalised to h = (x - mean) inverse, y = w h + b; dx = inverse (g - mean(g) - h mean(g h)) with
 * g = w dy. By channel that is y = of_x x + constant and dx = of_x x + of_dy dy + constant. Group norm does
 * so for each example, its sets being groups of channels; batch norm once for the batch, every channel being
 * a set. */
#include <math.h>
#include <string.h>

#include "covey/arena.h"

#include "../op_call.h"
#include "fast_rows.h"
#include "vector_kernels.h"

/* What is normalised in one go: all rows of it, in sets of so many channels. */
struct sheet {
    size_t rows, channels, width;
    const float *x;
    float *mean, *inverse; /* (channels): of the set that a channel is in */
};

/* Scratch, (channels) each. */
struct factors {
    float *mean, *inverse; /* when not saved */
    float *first, *second, *of_x, *of_dy, *constant, *dw, *db;
};

static struct factors take(const struct covey_op *op, struct covey_arena *arena)
{
    struct factors f;
    float **const all[] = {&f.mean,  &f.inverse,  &f.first, &f.second, &f.of_x,
                           &f.of_dy, &f.constant, &f.dw,    &f.db};

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        *all[i] = covey_arena_take(arena, op->features, sizeof(float));
    return f;
}

static struct factors factors_of(const struct covey_op *op, const struct covey_op_call *call)
{
    struct covey_arena arena;

    covey_arena_init(&arena, call->scratch, SIZE_MAX);
    return take(op, &arena);
}

static size_t scratch_bytes(const struct covey_op *op, size_t batch)
{
    struct covey_arena arena;

    (void)batch;
    covey_arena_init(&arena, NULL, 0);
    take(op, &arena);
    return arena.used;
}

/* Each channel gets the mean over the channels of its set. */
static void average_sets(const struct sheet *s, float *sums)
{
    for (size_t c = 0; c < s->channels; c += s->width) {
        float sum = 0;
        for (size_t i = 0; i < s->width; i++)
            sum += sums[c + i];
        sum /= (float)(s->rows * s->width);
        for (size_t i = 0; i < s->width; i++)
            sums[c + i] = sum;
    }
}

/* Mean, then variance about it: two passes, as one loses digits when the mean is large. variance goes to
 * f->second. */
static void measure(const struct sheet *s, const struct factors *f)
{
    struct covey_channel_sums sums = {s->rows, s->channels, s->x, NULL, NULL, f->first, f->second};

    covey_vector_kernels()->channel_sums(&sums);
    average_sets(s, f->first);
    memcpy(s->mean, f->first, s->channels * sizeof(float));
    sums.mean = s->mean;
    covey_vector_kernels()->channel_sums(&sums);
    average_sets(s, f->second);
}

static void invert(const struct covey_op *op, size_t channels, const float *variance, float *inverse)
{
    for (size_t c = 0; c < channels; c++)
        inverse[c] = 1.0f / sqrtf(variance[c] + op->epsilon);
}

static void normalise(const struct sheet *s, const struct factors *f, const float *w, const float *b,
                      float *y)
{
    const struct covey_channel_blend blend = {s->rows, s->channels, s->x,        NULL,
                                              f->of_x, NULL,        f->constant, y};

    for (size_t c = 0; c < s->channels; c++) {
        f->of_x[c] = w[c] * s->inverse[c];
        f->constant[c] = b[c] - s->mean[c] * f->of_x[c];
    }
    covey_vector_kernels()->channel_blend(&blend);
}

/* constant: the statistics do not depend on x. Adds to f->dw and f->db. */
static void differentiate(const struct sheet *s, const struct factors *f, const float *w, const float *dy,
                          float *dx, bool constant)
{
    const struct covey_channel_sums sums = {s->rows, s->channels, s->x, s->mean, dy, f->first, f->second};
    const struct covey_channel_blend blend = {s->rows, s->channels, s->x,        dy,
                                              f->of_x, f->of_dy,    f->constant, dx};

    covey_vector_kernels()->channel_sums(&sums);
    for (size_t c = 0; c < s->channels; c++) {
        f->second[c] *= s->inverse[c];
        f->db[c] += f->first[c];
        f->dw[c] += f->second[c];
        f->first[c] *= w[c];
        f->second[c] *= w[c];
    }
    if (!dx)
        return;
    average_sets(s, f->first);  /* mean(g) */
    average_sets(s, f->second); /* mean(g h) */
    for (size_t c = 0; c < s->channels; c++) {
        const float inverse = s->inverse[c];
        f->of_dy[c] = inverse * w[c];
        f->of_x[c] = constant ? 0 : -inverse * inverse * f->second[c];
        f->constant[c] = constant ? 0 : -inverse * f->first[c] - s->mean[c] * f->of_x[c];
    }
    covey_vector_kernels()->channel_blend(&blend);
}

static void begin_gradients(const struct covey_op *op, const struct factors *f)
{
    memset(f->dw, 0, op->features * sizeof(float));
    memset(f->db, 0, op->features * sizeof(float));
}

static void end_gradients(const struct covey_op *op, const struct covey_op_call *call,
                          const struct factors *f)
{
    const float *const sums[2] = {f->dw, f->db};

    for (size_t p = 0; p < 2; p++)
        for (size_t c = 0; c < op->features && call->dw[p]; c++)
            call->dw[p][c] = call->alpha * sums[p][c] + (call->beta == 0 ? 0 : call->beta * call->dw[p][c]);
}

/* ---- group norm ---- saved: mean and inverse by channel, for each example */

static size_t group_saved_bytes(const struct covey_op *op, size_t batch)
{
    return batch * 2 * op->features * sizeof(float);
}

static struct sheet example_sheet(const struct covey_op *op, const struct covey_op_call *call,
                                  const struct factors *f, size_t n)
{
    float *saved = call->training ? (float *)call->saved + n * 2 * op->features : NULL;

    return (struct sheet){op->rows,
                          op->features,
                          op->features / op->groups,
                          call->in[0] + n * op->in[0].count,
                          saved ? saved : f->mean,
                          saved ? saved + op->features : f->inverse};
}

static void group_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const struct factors f = factors_of(op, call);

    for (size_t n = 0; n < call->batch; n++) {
        const struct sheet s = example_sheet(op, call, &f, n);
        measure(&s, &f);
        invert(op, s.channels, f.second, s.inverse);
        normalise(&s, &f, call->w[0], call->w[1], call->out + n * op->out.count);
    }
}

static void group_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const struct factors f = factors_of(op, call);

    begin_gradients(op, &f);
    for (size_t n = 0; n < call->batch; n++) {
        const struct sheet s = example_sheet(op, call, &f, n);
        differentiate(&s, &f, call->w[0], call->dy + n * op->out.count,
                      call->dx[0] ? call->dx[0] + n * op->in[0].count : NULL, false);
    }
    end_gradients(op, call, &f);
}

/* ---- batch norm ---- saved: mean and inverse by channel. Frozen, it normalises by its running statistics in
 * training too, and leaves them. */

static size_t batch_saved_bytes(const struct covey_op *op, size_t batch)
{
    (void)batch;
    return 2 * op->features * sizeof(float);
}

static bool learns_statistics(const struct covey_op *op)
{
    return op->parameters[2].role == COVEY_ROLE_BUFFER;
}

static struct sheet batch_sheet(const struct covey_op *op, const struct covey_op_call *call,
                                const struct factors *f)
{
    float *saved = call->training ? call->saved : NULL;

    return (struct sheet){call->batch * op->rows,
                          op->features,
                          1,
                          call->in[0],
                          saved ? saved : f->mean,
                          saved ? saved + op->features : f->inverse};
}

/* running = (1 - momentum) running + momentum new; the variance without bias, as PyTorch. */
static void update_running(const struct covey_op *op, const struct covey_op_call *call, const struct sheet *s,
                           const float *variance)
{
    const float share = op->momentum, count = (float)s->rows;

    for (size_t c = 0; c < s->channels; c++) {
        const float unbiased = s->rows > 1 ? variance[c] * (count / (count - 1)) : variance[c];
        call->w[2][c] = (1 - share) * call->w[2][c] + share * s->mean[c];
        call->w[3][c] = (1 - share) * call->w[3][c] + share * unbiased;
    }
}

static void batch_forward(const struct covey_op *op, const struct covey_op_call *call)
{
    const struct factors f = factors_of(op, call);
    const struct sheet s = batch_sheet(op, call, &f);
    const float *variance = call->w[3];

    if (call->training && learns_statistics(op)) {
        measure(&s, &f);
        update_running(op, call, &s, f.second);
        variance = f.second;
    } else {
        memcpy(s.mean, call->w[2], s.channels * sizeof(float));
    }
    invert(op, s.channels, variance, s.inverse);
    normalise(&s, &f, call->w[0], call->w[1], call->out);
}

static void batch_backward(const struct covey_op *op, const struct covey_op_call *call)
{
    const struct factors f = factors_of(op, call);
    const struct sheet s = batch_sheet(op, call, &f);

    begin_gradients(op, &f);
    differentiate(&s, &f, call->w[0], call->dy, call->dx[0], !learns_statistics(op));
    end_gradients(op, call, &f);
}

const struct covey_op_kernels covey_fast_group_norm = {
    .name = "fast",
    .needs = COVEY_NEEDS_INPUT,
    .saved_bytes = group_saved_bytes,
    .scratch_bytes = scratch_bytes,
    .forward = group_forward,
    .backward = group_backward,
};

const struct covey_op_kernels covey_fast_batch_norm = {
    .name = "fast",
    .needs = COVEY_NEEDS_INPUT,
    .saved_bytes = batch_saved_bytes,
    .scratch_bytes = scratch_bytes,
    .forward = batch_forward,
    .backward = batch_backward,
};
