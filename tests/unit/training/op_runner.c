#include "op_runner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "op_call.h"

static real *blank(size_t count)
{
    real *values = aligned_alloc(64, (count * sizeof(real) + 127) / 64 * 64);
    for (size_t i = 0; i < count; i++)
        values[i] = (real)NAN;
    return values;
}

static real *copied(const double *from, size_t count)
{
    real *values = blank(count);
    for (size_t i = 0; from != NULL && i < count; i++)
        values[i] = (real)from[i];
    return values;
}

static void give_back(const real *from, double *to, size_t count)
{
    for (size_t i = 0; to != NULL && i < count; i++)
        to[i] = (double)from[i];
}

static size_t bytes_of(size_t (*ask)(const struct covey_op *, size_t), const struct op_run *run)
{
    return ask != NULL ? ask(run->op, run->batch) : 0;
}

static void run_backward(const struct op_run *run, struct covey_op_call *call)
{
    const struct covey_op *op = run->op;
    const size_t out_count = run->batch * op->out.count;
    real *dx[COVEY_OP_INPUTS] = {0}, *dw[COVEY_OP_PARAMETERS] = {0}, *dy = copied(run->dy, out_count);
    for (uint32_t i = 0; i < op->input_count; i++) {
        if ((run->kernels->needs & COVEY_NEEDS_INPUT) == 0 && !run->in_place)
            for (size_t k = 0; k < run->batch * op->in[i].count; k++)
                ((real *)(uintptr_t)call->in[i])[k] = (real)NAN;
        if (run->dx[i] != NULL)
            dx[i] = run->in_place ? dy : blank(run->batch * op->in[i].count);
        call->dx[i] = dx[i];
    }
    if ((run->kernels->needs & COVEY_NEEDS_OUTPUT) == 0)
        for (size_t k = 0; k < out_count; k++)
            call->out[k] = (real)NAN;
    for (uint32_t p = 0; p < op->parameter_count; p++) {
        if (run->dw[p] == NULL)
            continue;
        dw[p] = run->over_weights ? call->w[p] : copied(run->dw[p], op->parameters[p].count);
        if (run->beta == 0)
            for (size_t k = 0; k < op->parameters[p].count; k++)
                dw[p][k] = (real)NAN;
        call->dw[p] = dw[p];
    }
    call->dy = dy;
    call->alpha = (real)run->alpha;
    call->beta = (real)run->beta;
    run->kernels->backward(op, call);
    for (uint32_t i = 0; i < op->input_count; i++) {
        give_back(dx[i], run->dx[i], dx[i] != NULL ? run->batch * op->in[i].count : 0);
        if (dx[i] != dy)
            free(dx[i]);
    }
    for (uint32_t p = 0; p < op->parameter_count; p++) {
        give_back(dw[p], run->dw[p], dw[p] != NULL ? op->parameters[p].count : 0);
        if (!run->over_weights)
            free(dw[p]);
    }
    free(dy);
}

void REAL(op_run)(const struct op_run *run)
{
    const struct covey_op *op = run->op;
    const size_t saved = bytes_of(run->kernels->saved_bytes, run);
    const size_t scratch = bytes_of(run->kernels->scratch_bytes, run);
    struct covey_op_call call = {
        .batch = run->batch, .training = run->training, .seed = 11, .device = 5, .step = 3};
    real *in[COVEY_OP_INPUTS] = {0};
    for (uint32_t i = 0; i < op->input_count; i++)
        call.in[i] = in[i] = copied(run->in[i], run->batch * op->in[i].count);
    for (uint32_t p = 0; p < op->parameter_count; p++)
        call.w[p] = op->parameters[p].count > 0 ? copied(run->w[p], op->parameters[p].count) : NULL;
    call.out = run->in_place ? in[0] : blank(run->batch * op->out.count);
    call.saved = saved > 0 ? aligned_alloc(64, (saved + 63) / 64 * 64) : NULL;
    call.scratch = scratch > 0 ? blank(scratch / sizeof(real) + 1) : NULL;
    if (saved > 0)
        memset(call.saved, 0xff, saved);
    run->kernels->forward(op, &call);
    give_back(call.out, run->out, run->batch * op->out.count);
    for (uint32_t p = 2; p < op->parameter_count && op->kind == COVEY_OP_BATCH_NORM; p++)
        give_back(call.w[p], run->w[p], op->parameters[p].count);
    if (scratch > 0)
        memset(call.scratch, 0xff, scratch);
    if (run->dy != NULL)
        run_backward(run, &call);
    for (uint32_t i = 0; i < op->input_count; i++)
        free(in[i]);
    for (uint32_t p = 0; p < op->parameter_count; p++)
        free(call.w[p]);
    if (!run->in_place)
        free(call.out);
    free(call.saved);
    free(call.scratch);
}
