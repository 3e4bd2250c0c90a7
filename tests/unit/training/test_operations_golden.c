/* Every operation and both losses against PyTorch's f64 (tests/golden/training/make_golden.py). */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"

#include "golden_file.h"
#include "loss_runner.h"
#include "op_cases.h"
#include "op_runner.h"
#include "op_tables.h"

#define BATCH 3

/* Tensor number `which` of a case: uniform in [-spread, spread), rounded to f32. */
static double *drawn(const char *name, uint32_t which, size_t count, double spread)
{
    struct covey_random random;
    double *values = calloc(count + 1, sizeof *values);
    covey_random_init(&random, 1, covey_random_id(name), which, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)(float)(spread * (2.0 * (double)covey_random_float(&random) - 1.0));
    return values;
}

static double *drawn_tokens(const char *name, uint32_t which, size_t count, uint32_t bound)
{
    struct covey_random random;
    double *values = calloc(count + 1, sizeof *values);
    covey_random_init(&random, 1, covey_random_id(name), which, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        values[i] = covey_random_u32(&random) % bound;
    return values;
}

static void draw_parameters(const struct op_case *at, const struct covey_op *op, struct op_run *run)
{
    for (uint32_t p = 0, number = 10; p < op->parameter_count; p++) {
        const size_t count = op->parameters[p].count;
        if (count == 0)
            continue;
        run->w[p] = drawn(at->name, number++, count, 1.0);
        for (size_t i = 0; op->kind == COVEY_OP_BATCH_NORM && p == 3 && i < count; i++)
            run->w[p][i] = 0.5 + fabs(run->w[p][i]);
        if (op->parameters[p].role == COVEY_ROLE_TRAINABLE)
            run->dw[p] = calloc(count, sizeof(double));
    }
}

static void check_case(const struct op_case *at, const struct covey_kernels *kernels,
                       struct golden_file *golden, double tolerance)
{
    struct covey_op op;
    struct covey_error err = {0};
    char what[160];
    cr_assert_eq(covey_op_resolve(&at->op, at->input_count, at->inputs, &op, &err), COVEY_OK, "%s: %s",
                 at->name, err.text);
    struct op_run run = {
        .op = &op, .kernels = kernels->rows[op.kind], .batch = BATCH, .training = true, .alpha = 1};
    const double spread = op.kind == COVEY_OP_RELU6 ? 9.0 : 2.0;
    for (uint32_t i = 0; i < op.input_count; i++) {
        const size_t count = BATCH * op.in[i].count;
        const bool tokens = op.kind == COVEY_OP_EMBEDDING;
        run.in[i] =
            tokens ? drawn_tokens(at->name, i, count, op.vocabulary) : drawn(at->name, i, count, spread);
        run.dx[i] = tokens ? NULL : calloc(count, sizeof(double));
    }
    draw_parameters(at, &op, &run);
    run.dy = drawn(at->name, 20, BATCH * op.out.count, 1.0);
    run.out = calloc(BATCH * op.out.count, sizeof(double));
    (kernels->real_bytes == sizeof(double) ? op_run_f64 : op_run_f32)(&run);
    (void)snprintf(what, sizeof what, "%s (%s), y", at->name, kernels->name);
    golden_check(golden, what, run.out, BATCH * op.out.count, tolerance);
    for (uint32_t i = 0; i < op.input_count; i++) {
        (void)snprintf(what, sizeof what, "%s (%s), dx of input %u", at->name, kernels->name, i);
        if (run.dx[i] != NULL)
            golden_check(golden, what, run.dx[i], BATCH * op.in[i].count, tolerance);
        free(run.in[i]);
        free(run.dx[i]);
    }
    for (uint32_t p = 0; p < op.parameter_count; p++) {
        (void)snprintf(what, sizeof what, "%s (%s), d%s", at->name, kernels->name, op.parameters[p].suffix);
        if (run.dw[p] != NULL)
            golden_check(golden, what, run.dw[p], op.parameters[p].count, tolerance);
        free(run.dw[p]);
    }
    for (uint32_t p = 0; p < op.parameter_count; p++) {
        (void)snprintf(what, sizeof what, "%s (%s), %s", at->name, kernels->name, op.parameters[p].suffix);
        if (op.kind == COVEY_OP_BATCH_NORM && p >= 2)
            golden_check(golden, what, run.w[p], op.parameters[p].count, tolerance);
        free(run.w[p]);
    }
    free(run.dy);
    free(run.out);
}

/* Fused and frozen cases are of test_operations alone; a frozen batch norm is golden too. */
static bool is_golden(const struct op_case *at)
{
    return !at->relu && !at->pool && (at->op.role != COVEY_ROLE_FROZEN || at->op.kind == COVEY_OP_BATCH_NORM);
}

static void check_losses(struct golden_file *golden, bool wide, double tolerance)
{
    double *logits = drawn("softmax", 0, 28, 5.0), *labels = drawn_tokens("softmax", 1, 4, 7);
    double *values = drawn("squares", 0, 12, 2.0), *targets = drawn("squares", 1, 12, 2.0), gradient[28];
    const double entropy = (wide ? loss_softmax_f64 : loss_softmax_f32)(logits, labels, 4, 7, gradient);
    cr_assert(fabs(entropy - golden_next(golden)) <= tolerance * entropy);
    golden_check(golden, "softmax cross-entropy's gradient", gradient, 28, tolerance);
    const double squares = (wide ? loss_squares_f64 : loss_squares_f32)(values, targets, 12, gradient);
    cr_assert(fabs(squares - golden_next(golden)) <= tolerance * squares);
    golden_check(golden, "mean squared error's gradient", gradient, 12, tolerance);
    free(logits);
    free(labels);
    free(values);
    free(targets);
}

static void check_table(const struct covey_kernels *kernels, double tolerance)
{
    struct golden_file golden;
    golden_open(&golden, "operations.npy");
    for (const struct op_case *at = op_cases; at->name != NULL; at++)
        if (is_golden(at))
            check_case(at, kernels, &golden, tolerance);
    check_losses(&golden, kernels->real_bytes == sizeof(double), tolerance);
    golden_close(&golden);
}

Test(operations_golden, the_reference_gives_what_pytorch_gives_in_f64)
{
    check_table(&covey_kernels_plain_f64, 1e-12);
}

Test(operations_golden, f32_kernels_give_what_pytorch_gives)
{
    for (size_t t = 0; op_tables_f32[t] != NULL; t++)
        check_table(op_tables_f32[t], 2e-5);
}
