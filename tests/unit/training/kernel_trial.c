#include "kernel_trial.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "op_call.h"

/* What the two sides have in common. */
struct setting {
    struct covey_op fused, op, relu, pool; /* fused: for the fast row; the others one behind the other */
    bool has_relu, has_pool;
    size_t batch, in, middle, out, weights, biases; /* values */
    float *x, *w, *b, *dy;
};

/* What a backward call gives. */
struct gradients {
    float *dx, *w, *b; /* w, b: dw and db, or the new weights */
};

struct request {
    bool want_dx, want_dw, over;
    float alpha, beta;
};

static float *numbers(size_t count, unsigned seed)
{
    float *values = malloc(count * sizeof *values);

    for (size_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
    }
    return values;
}

static float *nans(size_t bytes)
{
    float *values = aligned_alloc(64, (bytes + 64) / 64 * 64);

    memset(values, 0xff, (bytes + 64) / 64 * 64);
    return values;
}

static bool set_up(const struct kernel_trial *t, struct setting *s)
{
    const struct covey_op_description relu = {.kind = COVEY_OP_RELU};
    const struct covey_op_description pool = {.kind = COVEY_OP_MAX_POOL, .kernel = {t->pool[0], t->pool[1]}};

    *s = (struct setting){.batch = t->batch, .has_relu = t->relu, .has_pool = t->pool[0] > 0};
    if (covey_op_resolve(&t->op, 1, &t->input, &s->op, NULL))
        return false;
    s->fused = s->op;
    s->middle = s->out = t->batch * s->op.out.count;
    if (s->has_relu &&
        (covey_op_resolve(&relu, 1, &s->op.out, &s->relu, NULL) || !covey_op_fuse(&s->fused, &s->relu)))
        return false;
    if (s->has_pool &&
        (covey_op_resolve(&pool, 1, &s->op.out, &s->pool, NULL) || !covey_op_fuse(&s->fused, &s->pool)))
        return false;
    if (s->has_pool)
        s->out = t->batch * s->pool.out.count;
    s->in = t->batch * s->op.in[0].count;
    s->weights = s->op.parameters[0].count;
    s->biases = s->op.parameter_count > 1 ? s->op.parameters[1].count : 0;
    s->x = numbers(s->in, 1);
    s->w = numbers(s->weights, 2);
    s->b = s->biases ? numbers(s->biases, 3) : NULL;
    s->dy = numbers(s->out, 4);
    return true;
}

static void tear_down(struct setting *s)
{
    free(s->x);
    free(s->w);
    free(s->b);
    free(s->dy);
}

static float *copy(const float *values, size_t count)
{
    float *out = values ? malloc(count * sizeof *out) : NULL;

    if (out)
        memcpy(out, values, count * sizeof *out);
    return out;
}

/* ---- one kernel call ---- */

static struct covey_op_call call_of(const struct setting *s, const struct covey_op *op,
                                    const struct covey_op_kernels *row, float *x, float *y)
{
    size_t saved = row->saved_bytes ? row->saved_bytes(op, s->batch) : 0;
    size_t scratch = row->scratch_bytes ? row->scratch_bytes(op, s->batch) : 0;

    return (struct covey_op_call){.batch = s->batch,
                                  .training = true,
                                  .in = {x},
                                  .out = y,
                                  .alpha = 1,
                                  .saved = saved ? nans(saved) : NULL,
                                  .scratch = scratch ? nans(scratch) : NULL};
}

static void free_call(struct covey_op_call *call)
{
    free(call->saved);
    free(call->scratch);
}

static struct gradients weights_of(const struct setting *s, const struct request *r,
                                   struct covey_op_call *call)
{
    struct gradients g = {r->want_dx ? nans(s->in * sizeof(float)) : NULL, NULL, NULL};

    g.w = r->over || r->beta != 0 ? copy(s->w, s->weights) : nans(s->weights * sizeof(float));
    if (s->b)
        g.b = r->over || r->beta != 0 ? copy(s->b, s->biases) : nans(s->biases * sizeof(float));
    call->w[0] = r->over ? g.w : s->w;
    call->w[1] = r->over ? g.b : s->b;
    call->dw[0] = r->want_dw ? g.w : NULL;
    call->dw[1] = r->want_dw ? g.b : NULL;
    call->dx[0] = g.dx;
    call->alpha = r->alpha;
    call->beta = r->beta;
    return g;
}

static struct gradients run_fast(const struct setting *s, const struct request *r, float *y)
{
    const struct covey_op_kernels *row = covey_kernels_fast.rows[s->op.kind];
    struct covey_op_call call = call_of(s, &s->fused, row, s->x, y);
    struct gradients g = weights_of(s, r, &call);

    row->forward(&s->fused, &call);
    call.dy = copy(s->dy, s->out);
    row->backward(&s->fused, &call);
    free(call.dy);
    free_call(&call);
    return g;
}

/* A parameterless operation behind: y, or dx from dy. */
static void run_behind(const struct setting *s, const struct covey_op *op, float *x, float *y, float *dy,
                       float *dx)
{
    const struct covey_op_kernels *row = covey_kernels_plain_f32.rows[op->kind];
    struct covey_op_call call = call_of(s, op, row, x, y);

    row->forward(op, &call);
    call.dy = dy;
    call.dx[0] = dx;
    if (dy)
        row->backward(op, &call);
    free_call(&call);
}

static struct gradients run_plain(const struct setting *s, const struct request *r, float *y)
{
    const struct covey_op_kernels *row = covey_kernels_plain_f32.rows[s->op.kind];
    float *raw = nans(s->middle * sizeof(float)), *rectified = nans(s->middle * sizeof(float));
    float *draw = nans(s->middle * sizeof(float)), *drectified = nans(s->middle * sizeof(float));
    struct covey_op_call call = call_of(s, &s->op, row, s->x, raw);
    struct request apart = *r;

    apart.over = false; /* the plain row promises it too, but let the reference be the simplest */
    struct gradients g = weights_of(s, &apart, &call);
    if (r->over) {
        memcpy(g.w, s->w, s->weights * sizeof(float));
        if (s->b)
            memcpy(g.b, s->b, s->biases * sizeof(float));
    }
    row->forward(&s->op, &call);
    memcpy(rectified, raw, s->middle * sizeof(float));
    if (s->has_relu)
        run_behind(s, &s->relu, raw, rectified, NULL, NULL);
    memcpy(y, rectified, (s->has_pool ? 0 : s->out) * sizeof(float));
    memcpy(drectified, s->dy, (s->has_pool ? 0 : s->out) * sizeof(float));
    float *dy = copy(s->dy, s->out);
    if (s->has_pool)
        run_behind(s, &s->pool, rectified, y, dy, drectified);
    memcpy(draw, drectified, s->middle * sizeof(float));
    if (s->has_relu)
        run_behind(s, &s->relu, raw, rectified, drectified, draw);
    call.dy = draw;
    row->backward(&s->op, &call);
    free(dy), free(raw), free(rectified), free(draw), free(drectified);
    free_call(&call);
    return g;
}

/* ---- comparison ---- */

/* Relative to an RMS of at least .1, since a tensor of one value may cancel to nearly nothing; values given
 * are of RMS .6. */
static double nmse(const float *a, const float *expected, size_t count)
{
    double error = 0, power = 1e-2 * (double)count;

    for (size_t i = 0; i < count; i++) {
        double difference = (double)a[i] - (double)expected[i];
        error += difference * difference;
        power += (double)expected[i] * (double)expected[i];
    }
    return error / power;
}

static void free_gradients(struct gradients *g)
{
    free(g->dx);
    free(g->w);
    free(g->b);
}

static void compare(const struct setting *s, const struct request *r, double *y_error, double *dx_error,
                    double *dw_error, double *db_error)
{
    float *fast_y = nans(s->out * sizeof(float)), *plain_y = nans(s->out * sizeof(float));
    struct gradients fast = run_fast(s, r, fast_y), plain = run_plain(s, r, plain_y);

    if (y_error)
        *y_error = nmse(fast_y, plain_y, s->out);
    if (r->want_dx)
        *dx_error = nmse(fast.dx, plain.dx, s->in);
    if (r->want_dw) {
        *dw_error = nmse(fast.w, plain.w, s->weights);
        *db_error = s->b ? nmse(fast.b, plain.b, s->biases) : 0;
    }
    free_gradients(&fast);
    free_gradients(&plain);
    free(fast_y);
    free(plain_y);
}

bool kernel_trial_run(const struct kernel_trial *trial, struct kernel_errors *out)
{
    struct setting s;
    double bias_updated, bias_alone;

    if (!set_up(trial, &s))
        return false;
    compare(&s, &(struct request){true, true, false, 1, 0}, &out->out, &out->dx, &out->dw, &out->db);
    compare(&s, &(struct request){true, true, true, -.1f, .5f}, NULL, &out->dx_then, &out->updated,
            &bias_updated);
    compare(&s, &(struct request){true, false, false, 1, 0}, NULL, &out->dx_alone, NULL, NULL);
    compare(&s, &(struct request){false, true, false, -.3f, 1}, NULL, NULL, &out->dw_alone, &bias_alone);
    out->updated = out->updated + bias_updated;
    out->dw_alone = out->dw_alone + bias_alone;
    tear_down(&s);
    return true;
}

double kernel_errors_worst(const struct kernel_errors *e)
{
    const double all[] = {e->out, e->dx, e->dw, e->db, e->updated, e->dx_then, e->dx_alone, e->dw_alone};
    double worst = 0;

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!(all[i] <= worst))
            worst = all[i];
    return worst;
}
