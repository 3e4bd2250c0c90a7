/* Memory: training and evaluation allocate nothing, and the n-th allocation may fail for every n while a
 * model is read, a trainer made and weights drawn: NO_MEMORY comes back, and nothing is lost
 * (AddressSanitizer watches). The linker puts the functions below in the place of the allocator (--wrap). */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "covey/model.h"
#include "covey/trainer.h"

static size_t allocations;        /* so far */
static size_t failing = SIZE_MAX; /* the one that fails */

static bool fails(void)
{
    return allocations++ == failing;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return fails() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

#define EXAMPLES 20
static const char text[] =
    "name: t\ninput: {shape: [6, 6, 1]}\nloss: softmax_cross_entropy\nops:\n"
    "  - {op: conv2d, name: a, units: 8, kernel: [3, 3], padding: same}\n  - {op: relu}\n"
    "  - {op: max_pool, kernel: [2, 2]}\n  - {op: batch_norm, name: n}\n"
    "  - {op: dropout, rate: 0.2}\n  - {op: flatten}\n  - {op: dense, name: b, units: 16}\n"
    "  - {op: relu}\n  - {op: dense, name: c, units: 3}\n";

static struct covey_model_description model;
static struct covey_error err;
static const uint8_t zeroes[EXAMPLES * 36];
static const struct covey_dataset dataset = {
    .count = EXAMPLES,
    .rows = EXAMPLES,
    .inputs = {.values = zeroes, .type = COVEY_ELEMENT_U8, .width = 36},
    .labels = {.values = zeroes, .type = COVEY_ELEMENT_U8, .width = 1},
};

static struct covey_recipe recipe_of(int optimiser)
{
    return (struct covey_recipe){.epochs = 2,
                                 .batch = 8,
                                 .learning_rate = 0.1f,
                                 .momentum = 0.9f,
                                 .beta2 = 0.99f,
                                 .epsilon = 1e-6f,
                                 .optimiser = (enum covey_optimiser_kind)optimiser};
}

/* From text to weights ready to train. */
static enum covey_status make(const struct covey_training_options *options, struct covey_trainer **trainer,
                              float *params)
{
    COVEY_TRY(covey_model_load_text("t", text, sizeof text - 1, &model, &err));
    COVEY_TRY(covey_trainer_create(&model, options, trainer, &err));
    return covey_model_initialise(&model, covey_trainer_layout(*trainer), 1, params, &err);
}

Test(training_memory, training_and_evaluation_allocate_nothing)
{
    static const struct covey_engine *engines[] = {NULL, &covey_engine_plain, &covey_engine_reference};
    static float params[4096];
    for (int e = 0; e < 3; e++)
        for (int o = 0; o < 3; o++) {
            const struct covey_recipe recipe = recipe_of(o);
            const struct covey_training_options options = {
                .engine = engines[e], .recipe = &recipe, .examples = EXAMPLES};
            const struct covey_training_run run = {.seed = 1};
            struct covey_trainer *trainer = NULL;
            struct covey_training_result result;
            struct covey_score score;
            cr_assert_eq(make(&options, &trainer, params), COVEY_OK, "%s", err.text);
            const size_t before = allocations;
            cr_assert_eq(covey_trainer_run(trainer, params, &dataset, &recipe, &run, &result, &err),
                         COVEY_OK);
            cr_assert_eq(covey_trainer_evaluate(trainer, params, &dataset, &score, &err), COVEY_OK);
            cr_assert_eq(allocations, before);
            covey_trainer_destroy(trainer);
        }
}

Test(training_memory, any_allocation_may_fail)
{
    static float params[4096];
    const struct covey_recipe recipe = recipe_of(COVEY_OPTIMISER_ADAM);
    const struct covey_training_options options = {.recipe = &recipe, .examples = EXAMPLES};
    enum covey_status status = COVEY_NO_MEMORY;
    size_t count = 0;
    for (; status != COVEY_OK; count++) {
        struct covey_trainer *trainer = NULL;
        allocations = 0;
        failing = count;
        status = make(&options, &trainer, params);
        failing = SIZE_MAX;
        cr_assert(status == COVEY_OK || status == COVEY_NO_MEMORY, "allocation %zu: %s", count, err.text);
        covey_trainer_destroy(trainer);
    }
    cr_assert(count > 10, "only %zu allocations were seen", count);
}
