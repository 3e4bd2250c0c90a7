/* The fast dense row against the plain one: every tail of the register tiles, both sides of where BLAS takes
 * over. */
#include <criterion/criterion.h>

#include "kernel_trial.h"

#define TOLERANCE 1e-11 /* NMSE; both are f32, summed in another order over at most 3,136 values */

static void check(const struct kernel_trial *trial)
{
    struct kernel_errors e;

    cr_assert(kernel_trial_run(trial, &e), "%s: refused", trial->name);
    cr_expect(kernel_errors_worst(&e) <= TOLERANCE,
              "%s, batch %zu, %u -> %u: y %.1e dx %.1e dw %.1e db %.1e updated %.1e dx %.1e alone %.1e %.1e",
              trial->name, trial->batch, trial->input.size[trial->input.rank - 1], trial->op.units, e.out,
              e.dx, e.dw, e.db, e.updated, e.dx_then, e.dx_alone, e.dw_alone);
}

static struct kernel_trial dense(size_t batch, uint32_t features, uint32_t units, bool relu)
{
    return (struct kernel_trial){.name = "dense",
                                 .op = {.kind = COVEY_OP_DENSE, .units = units},
                                 .input = {.rank = 1, .size = {features}, .count = features},
                                 .relu = relu,
                                 .batch = batch};
}

Test(kernels_dense, every_tail)
{
    static const uint32_t features[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 40, 64, 97, 131};
    static const uint32_t units[] = {1, 2, 3, 4, 5, 9, 17, 33};

    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        for (size_t j = 0; j < sizeof units / sizeof *units; j++)
            for (size_t batch = 1; batch <= 12; batch++) {
                const struct kernel_trial trial = dense(batch, features[i], units[j], batch % 2 == 0);
                check(&trial);
            }
}

Test(kernels_dense, layers_of_the_named_models)
{
    static const uint32_t layers[][2] = {{784, 10}, {784, 200},  {200, 200},
                                         {200, 10}, {3136, 512}, {114, 64}};
    static const size_t batches[] = {1, 10, 32};

    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            const struct kernel_trial trial = dense(batches[b], layers[i][0], layers[i][1], true);
            check(&trial);
        }
}

Test(kernels_dense, few_rows_and_many)
{
    static const size_t batches[] = {47, 48, 49, 64, 100};

    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++)
        for (int relu = 0; relu < 2; relu++) {
            const struct kernel_trial trial = dense(batches[b], 70, 19, relu);
            check(&trial);
        }
}

Test(kernels_dense, rows_of_a_sequence_and_no_bias)
{
    const struct kernel_trial sequence = {.name = "sequence",
                                          .op = {.kind = COVEY_OP_DENSE, .units = 6},
                                          .input = {.rank = 2, .size = {9, 13}, .count = 117},
                                          .relu = true,
                                          .batch = 7};
    const struct kernel_trial bare = {.name = "no bias",
                                      .op = {.kind = COVEY_OP_DENSE, .units = 11, .no_bias = 1},
                                      .input = {.rank = 1, .size = {21}, .count = 21},
                                      .batch = 5};
    struct kernel_trial many = bare;

    check(&sequence);
    check(&bare);
    many.batch = 60;
    check(&many);
}
