/* Every operation's gradients against central differences of the f64 reference's forward pass, for the
 * reference itself, the plain f32 and the fast f32 kernels; and the rest of the kernel contract (op_call.h):
 * alpha and beta, weights updated in place, values in place, what is not asked for. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"

#include "op_cases.h"
#include "op_runner.h"
#include "op_tables.h"

#define BATCH 3
#define DIFFERENCE 1e-5 /* half the width of a central difference */

/* A case made ready: shapes resolved, values chosen. */
struct trial {
    struct covey_op op; /* with what is fused */
    struct covey_op relu, pool;
    bool relu_apart, pool_apart; /* run after op by plain kernels, because the table does not fuse */
    size_t in_count[3], out_count;
    double *in[COVEY_OP_INPUTS], *w[COVEY_OP_PARAMETERS], *out, *coefficients;
};

static double *numbers(size_t count)
{
    return calloc(count > 0 ? count : 1, sizeof(double));
}

/* count values in [-spread, spread], in any order, all apart by 2 spread / count and as far from zero:
 * central differences across the kinks of max and relu would be wrong. Exact in f32. */
static double *apart(struct covey_random *random, size_t count, double spread)
{
    double *values = numbers(count);
    uint32_t *order = malloc(count * sizeof *order);
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    covey_random_shuffle(random, order, count);
    for (size_t i = 0; i < count; i++)
        values[i] =
            (double)(float)(spread * ((2.0 * order[i] + 1.0) / (double)(2 * ((count + 1) / 2)) - 1.0));
    free(order);
    return values;
}

static void choose_values(const struct op_case *at, struct trial *trial)
{
    struct covey_random random;
    covey_random_init(&random, covey_random_id(at->name), 0, 0, COVEY_PURPOSE_TEST);
    const double spread = at->spread > 0 ? at->spread : 2.0;
    for (uint32_t i = 0; i < trial->op.input_count; i++) {
        trial->in_count[i] = BATCH * trial->op.in[i].count;
        trial->in[i] = apart(&random, trial->in_count[i], spread);
        for (size_t k = 0; trial->op.kind == COVEY_OP_EMBEDDING && k < trial->in_count[i]; k++)
            trial->in[i][k] = covey_random_below(&random, trial->op.vocabulary);
    }
    for (uint32_t p = 0; p < trial->op.parameter_count; p++) {
        const size_t count = trial->op.parameters[p].count;
        trial->w[p] = count > 0 ? apart(&random, count, 1.0) : NULL;
        for (size_t k = 0; trial->op.kind == COVEY_OP_BATCH_NORM && p == 3 && k < count; k++)
            trial->w[p][k] = 0.5 + fabs(trial->w[p][k]); /* a variance */
    }
    trial->coefficients = apart(&random, BATCH * trial->out_count, 1.0);
    trial->out = numbers(BATCH * trial->out_count);
}

static void prepare(const struct op_case *at, const struct covey_kernels *kernels, struct trial *trial)
{
    struct covey_error err = {0};
    struct covey_shape shapes[3];
    const unsigned fuses = kernels->rows[at->op.kind]->fuses;
    memset(trial, 0, sizeof *trial);
    memcpy(shapes, at->inputs, sizeof shapes);
    cr_assert_eq(covey_op_resolve(&at->op, at->input_count, shapes, &trial->op, &err), COVEY_OK, "%s: %s",
                 at->name, err.text);
    if (at->relu) {
        const struct covey_op_description relu = {.kind = COVEY_OP_RELU};
        cr_assert_eq(covey_op_resolve(&relu, 1, &trial->op.out, &trial->relu, &err), COVEY_OK);
        trial->relu_apart = (fuses & COVEY_FUSES_RELU) == 0 || !covey_op_fuse(&trial->op, &trial->relu);
    }
    if (at->pool) {
        const struct covey_op_description pool = {.kind = COVEY_OP_MAX_POOL,
                                                  .kernel = {trial->op.out.size[0] > 1 ? 2 : 1, 2}};
        cr_assert_eq(covey_op_resolve(&pool, 1, &trial->op.out, &trial->pool, &err), COVEY_OK);
        trial->pool_apart = trial->relu_apart || (fuses & COVEY_FUSES_MAX_POOL) == 0 ||
                            !covey_op_fuse(&trial->op, &trial->pool);
    }
    trial->out_count = trial->pool_apart ? trial->pool.out.count
                                         : trial->op.out.count; /* of the last that is apart; relu keeps it */
    choose_values(at, trial);
}

static void discard(struct trial *trial)
{
    for (uint32_t i = 0; i < COVEY_OP_INPUTS; i++)
        free(trial->in[i]);
    for (uint32_t p = 0; p < COVEY_OP_PARAMETERS; p++)
        free(trial->w[p]);
    free(trial->out);
    free(trial->coefficients);
}

static void run_with(const struct covey_kernels *kernels, struct op_run *run)
{
    run->kernels = kernels->rows[run->op->kind];
    if (kernels->real_bytes == sizeof(double))
        op_run_f64(run);
    else
        op_run_f32(run);
}

/* One operation behind another: y = f(x), or dx from dy. */
static void run_single(const struct covey_kernels *kernels, const struct covey_op *op, const double *x,
                       double *y, const double *dy, double *dx)
{
    struct op_run run = {.op = op, .batch = BATCH, .training = true, .alpha = 1};
    double *spare = y == NULL ? numbers(BATCH * op->out.count) : NULL;
    run.in[0] = (double *)(uintptr_t)x;
    run.out = y != NULL ? y : spare;
    run.dy = (double *)(uintptr_t)dy;
    run.dx[0] = dx;
    run_with(kernels, &run);
    free(spare);
}

/* Forward through op and what stands apart behind it; and, with dx and dw, back. */
static void run_trial(const struct covey_kernels *kernels, const struct trial *trial, double *const *dx,
                      double *const *dw, double alpha, double beta, bool in_place, bool over_weights)
{
    const size_t middle = BATCH * trial->op.out.count;
    double *value = numbers(middle), *rectified = numbers(middle), *gradient = numbers(middle);
    struct op_run run = {.op = &trial->op,
                         .batch = BATCH,
                         .training = true,
                         .alpha = alpha,
                         .beta = beta,
                         .in_place = in_place,
                         .over_weights = over_weights,
                         .out = value};
    double *buffers[2] = {0};
    memcpy(run.in, trial->in, sizeof run.in);
    memcpy(run.w, trial->w, sizeof run.w);
    for (uint32_t p = 2; p < 4 && trial->op.kind == COVEY_OP_BATCH_NORM; p++) { /* it writes these */
        run.w[p] = buffers[p - 2] = numbers(trial->op.parameters[p].count);
        memcpy(run.w[p], trial->w[p], trial->op.parameters[p].count * sizeof(double));
    }
    run_with(kernels, &run);
    const double *last = value;
    if (trial->relu_apart) {
        run_single(kernels, &trial->relu, value, rectified, NULL, NULL);
        last = rectified;
    }
    if (trial->pool_apart)
        run_single(kernels, &trial->pool, last, trial->out, NULL, NULL);
    else
        memcpy(trial->out, last, middle * sizeof(double));
    if (dx != NULL) {
        double *back = numbers(middle);
        memcpy(gradient, trial->coefficients, BATCH * trial->out_count * sizeof(double));
        if (trial->pool_apart)
            run_single(kernels, &trial->pool, last, NULL, trial->coefficients, gradient);
        memcpy(back, gradient, middle * sizeof(double));
        if (trial->relu_apart)
            run_single(kernels, &trial->relu, value, NULL, gradient, back);
        run.dy = back;
        memcpy(run.dx, dx, sizeof run.dx);
        memcpy(run.dw, dw, sizeof run.dw);
        run_with(kernels, &run);
        free(back);
    }
    free(value);
    free(rectified);
    free(gradient);
    free(buffers[0]);
    free(buffers[1]);
}

/* The scalar that is differentiated: outputs times fixed coefficients, by the f64 reference. */
static double objective(const struct trial *trial)
{
    double sum = 0;
    run_trial(&covey_kernels_plain_f64, trial, NULL, NULL, 0, 0, false, false);
    for (size_t i = 0; i < BATCH * trial->out_count; i++)
        sum += trial->out[i] * trial->coefficients[i];
    return sum;
}

static double central_difference(const struct trial *trial, double *value)
{
    const double at = *value;
    *value = at + DIFFERENCE;
    const double above = objective(trial);
    *value = at - DIFFERENCE;
    const double below = objective(trial);
    *value = at;
    return (above - below) / (2 * DIFFERENCE);
}

/* At most so many values of a tensor are differentiated, evenly spread. */
#define PROBES 60
#define TENSORS (COVEY_OP_INPUTS + COVEY_OP_PARAMETERS)

static size_t probe_step(size_t count)
{
    return count > PROBES ? count / PROBES : 1;
}

static bool is_token_input(const struct trial *trial)
{
    return trial->op.kind == COVEY_OP_EMBEDDING;
}

/* Tensor t of a trial: its inputs, then its parameters. *values is NULL where nothing is differentiated. */
static size_t tensor_of(const struct trial *trial, size_t t, double **values, const char **name)
{
    static const char *const input_names[] = {"dx0", "dx1", "dx2"};
    *values = NULL;
    if (t < COVEY_OP_INPUTS) {
        if (t >= trial->op.input_count || is_token_input(trial))
            return 0;
        *values = trial->in[t];
        *name = input_names[t];
        return trial->in_count[t];
    }
    const struct covey_op_parameter *parameter = &trial->op.parameters[t - COVEY_OP_INPUTS];
    if (t - COVEY_OP_INPUTS >= trial->op.parameter_count || parameter->role != COVEY_ROLE_TRAINABLE)
        return 0;
    *values = trial->w[t - COVEY_OP_INPUTS];
    *name = parameter->suffix;
    return *values != NULL ? parameter->count : 0;
}

/* The expected gradient at the probes of each tensor. */
static void differentiate(const struct trial *trial, double *expected[TENSORS])
{
    for (size_t t = 0; t < TENSORS; t++) {
        double *values;
        const char *name;
        const size_t count = tensor_of(trial, t, &values, &name);
        expected[t] = numbers(count);
        for (size_t i = 0; i < count; i += probe_step(count))
            expected[t][i] = central_difference(trial, &values[i]);
    }
}

static void compare(const char *name, const char *what, const double *expected, size_t count,
                    const double *gradient, double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        cr_assert(isfinite(gradient[i]), "%s: %s[%zu] is %g", name, what, i, gradient[i]);
        largest = fmax(largest, fabs(gradient[i]));
    }
    for (size_t i = 0; i < count; i += probe_step(count)) {
        const double scale = fmax(fabs(expected[i]), 1e-2 * fmax(largest, 1e-3));
        const double error = fabs(gradient[i] - expected[i]) / scale;
        cr_assert(error <= tolerance, "%s: %s[%zu] is %.12g, by differences %.12g", name, what, i,
                  gradient[i], expected[i]);
    }
}

static void check_gradients(const struct op_case *at, const struct covey_kernels *kernels,
                            double *const expected[TENSORS], double tolerance)
{
    struct trial trial;
    double *gradients[TENSORS] = {0};
    char name[128];
    (void)snprintf(name, sizeof name, "%s (%s)", at->name, kernels->name);
    prepare(at, kernels, &trial);
    for (size_t t = 0; t < TENSORS; t++) {
        double *values;
        const char *what;
        const size_t count = tensor_of(&trial, t, &values, &what);
        gradients[t] = values != NULL ? numbers(count) : NULL;
    }
    run_trial(kernels, &trial, gradients, gradients + COVEY_OP_INPUTS, 1, 0, false, false);
    for (size_t t = 0; t < TENSORS; t++) {
        double *values;
        const char *what = "";
        const size_t count = tensor_of(&trial, t, &values, &what);
        compare(name, what, expected[t], count, gradients[t], tolerance);
        free(gradients[t]);
    }
    discard(&trial);
}

Test(operations, gradients_agree_with_central_differences_f64_within_1e_6_f32_within_1e_3)
{
    for (const struct op_case *at = op_cases; at->name != NULL; at++) {
        struct trial reference; /* fuses nothing; the other tables get the same values */
        double *expected[TENSORS];
        prepare(at, &covey_kernels_plain_f64, &reference);
        differentiate(&reference, expected);
        check_gradients(at, &covey_kernels_plain_f64, expected, 1e-6);
        for (size_t t = 0; op_tables_f32[t] != NULL; t++)
            check_gradients(at, op_tables_f32[t], expected, 1e-3);
        for (size_t t = 0; t < TENSORS; t++)
            free(expected[t]);
        discard(&reference);
    }
}

/* |a - b| small against the largest of b */
static void assert_near(const char *name, const double *a, const double *b, size_t count, double tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(b[i]));
    for (size_t i = 0; i < count; i++)
        cr_assert(fabs(a[i] - b[i]) <= tolerance * fmax(largest, 1e-6), "%s: value %zu is %.9g, not %.9g",
                  name, i, a[i], b[i]);
}

static double tolerance_of(const struct covey_kernels *kernels)
{
    return kernels->real_bytes == sizeof(double) ? 1e-13 : 2e-5;
}

static const struct covey_kernels *all_tables(size_t index)
{
    return index == 0 ? &covey_kernels_plain_f64 : op_tables_f32[index - 1];
}

/* dw = alpha g + beta dw, and the same over the weights themselves where the row can. */
static void check_update(const struct op_case *at, const struct covey_kernels *kernels)
{
    struct trial trial;
    double *dx[COVEY_OP_INPUTS] = {0}, *none[COVEY_OP_INPUTS] = {0};
    double *plain[COVEY_OP_PARAMETERS] = {0}, *blended[COVEY_OP_PARAMETERS] = {0},
           *over[COVEY_OP_PARAMETERS] = {0};
    char name[128];
    (void)snprintf(name, sizeof name, "%s (%s)", at->name, kernels->name);
    prepare(at, kernels, &trial);
    for (uint32_t i = 0; i < trial.op.input_count && !is_token_input(&trial); i++)
        dx[i] = numbers(trial.in_count[i]);
    for (uint32_t p = 0; p < trial.op.parameter_count; p++) {
        const size_t count = trial.op.parameters[p].count;
        if (trial.op.parameters[p].role != COVEY_ROLE_TRAINABLE || trial.w[p] == NULL)
            continue;
        plain[p] = numbers(count);
        blended[p] = numbers(count);
        over[p] = numbers(count);
        for (size_t i = 0; i < count; i++)
            blended[p][i] = trial.w[p][i];
    }
    run_trial(kernels, &trial, dx, plain, 1, 0, false, false);
    run_trial(kernels, &trial, none, blended, -0.5, 0.75, false, false); /* and nobody wants dx */
    const bool can = (kernels->rows[at->op.kind]->abilities & COVEY_UPDATES_WEIGHTS) != 0;
    double *again[COVEY_OP_INPUTS] = {0};
    for (uint32_t i = 0; i < trial.op.input_count && dx[i] != NULL; i++)
        again[i] = numbers(trial.in_count[i]);
    if (can)
        run_trial(kernels, &trial, again, over, -0.5, 1, false, true);
    for (uint32_t p = 0; p < trial.op.parameter_count; p++) {
        const size_t count = plain[p] != NULL ? trial.op.parameters[p].count : 0;
        for (size_t i = 0; i < count; i++) {
            const double g = plain[p][i];
            plain[p][i] = 0.75 * trial.w[p][i] - 0.5 * g;
            if (can)
                over[p][i] -= 0.25 * trial.w[p][i];
        }
        assert_near(name, blended[p], plain[p], count, tolerance_of(kernels));
        if (can)
            assert_near(name, over[p], plain[p], count, tolerance_of(kernels));
        free(plain[p]);
        free(blended[p]);
        free(over[p]);
    }
    for (uint32_t i = 0; i < trial.op.input_count; i++) {
        if (can && dx[i] != NULL)
            assert_near(name, again[i], dx[i], trial.in_count[i], 0);
        free(dx[i]);
        free(again[i]);
    }
    discard(&trial);
}

Test(operations, weights_are_blended_and_updated_in_place_as_promised)
{
    for (size_t t = 0; all_tables(t) != NULL; t++)
        for (const struct op_case *at = op_cases; at->name != NULL; at++)
            check_update(at, all_tables(t));
}

Test(operations, rows_that_may_run_in_place_give_the_same_there)
{
    for (size_t t = 0; all_tables(t) != NULL; t++)
        for (const struct op_case *at = op_cases; at->name != NULL; at++) {
            const struct covey_kernels *kernels = all_tables(t);
            if ((kernels->rows[at->op.kind]->abilities & COVEY_IN_PLACE) == 0)
                continue;
            struct trial trial;
            prepare(at, kernels, &trial);
            double *dx[COVEY_OP_INPUTS] = {numbers(trial.in_count[0])}, *dw[COVEY_OP_PARAMETERS] = {0};
            double *there[COVEY_OP_INPUTS] = {numbers(trial.in_count[0])};
            double *out = numbers(BATCH * trial.out_count);
            run_trial(kernels, &trial, dx, dw, 1, 0, false, false);
            memcpy(out, trial.out, BATCH * trial.out_count * sizeof *out);
            run_trial(kernels, &trial, there, dw, 1, 0, true, false);
            assert_near(at->name, trial.out, out, BATCH * trial.out_count, 0);
            assert_near(at->name, there[0], dx[0], trial.in_count[0], 0);
            free(dx[0]);
            free(there[0]);
            free(out);
            discard(&trial);
        }
}

/* Each kernel against the plain f64 one: outputs and gradients, relative to the largest. */
Test(operations, f32_kernels_follow_the_reference)
{
    for (size_t t = 0; op_tables_f32[t] != NULL; t++)
        for (const struct op_case *at = op_cases; at->name != NULL; at++) {
            struct trial trial, reference;
            prepare(at, op_tables_f32[t], &trial);
            prepare(at, &covey_kernels_plain_f64, &reference);
            run_trial(op_tables_f32[t], &trial, NULL, NULL, 0, 0, false, false);
            (void)objective(&reference);
            assert_near(at->name, trial.out, reference.out, BATCH * trial.out_count, 2e-5);
            discard(&trial);
            discard(&reference);
        }
}

Test(operations, dropout_keeps_the_right_share_and_repeats_itself)
{
    const struct covey_op_description description = {.kind = COVEY_OP_DROPOUT, .rate = 0.25f};
    const struct covey_shape shape = {.rank = 1, .size = {20000}};
    struct covey_op op;
    cr_assert_eq(covey_op_resolve(&description, 1, &shape, &op, NULL), COVEY_OK);
    double *x = numbers(20000), *y = numbers(20000), *z = numbers(20000), sum = 0;
    for (size_t i = 0; i < 20000; i++)
        x[i] = 1;
    struct op_run run = {.op = &op, .batch = 1, .training = true, .in = {x}, .out = y};
    run_with(&covey_kernels_plain_f64, &run);
    run.out = z;
    run_with(&covey_kernels_plain_f64, &run);
    for (size_t i = 0; i < 20000; i++) {
        cr_assert(y[i] == 0 || fabs(y[i] - 1 / 0.75) < 1e-12);
        cr_assert_eq(y[i], z[i]);
        sum += y[i];
    }
    /* Standard deviation of the mean: sqrt(.25 * .75 / 20000) / .75 = .0041 */
    cr_assert(fabs(sum / 20000 - 1) < 0.0165);
    run.training = false;
    run_with(&covey_kernels_plain_f64, &run);
    for (size_t i = 0; i < 20000; i++)
        cr_assert_eq(z[i], 1);
    free(x);
    free(y);
    free(z);
}
