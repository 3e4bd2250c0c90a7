/* Trainers side by side in threads, on one data set and one description: each gives what it gives alone. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>

#include "covey/model.h"
#include "covey/random.h"
#include "covey/trainer.h"

#define THREADS 4
#define EXAMPLES 40
#define FEATURES 36
#define PARAMETERS 4096

static const char text[] =
    "name: t\ninput: {shape: [6, 6, 1]}\nloss: softmax_cross_entropy\nops:\n"
    "  - {op: conv2d, name: a, units: 8, kernel: [3, 3], padding: same}\n  - {op: relu}\n"
    "  - {op: max_pool, kernel: [2, 2]}\n  - {op: group_norm, name: n, groups: 4}\n"
    "  - {op: dropout, rate: 0.2}\n  - {op: flatten}\n"
    "  - {op: dense, name: b, units: 16}\n  - {op: relu}\n  - {op: dense, name: c, units: 3}\n";

static struct covey_model_description model;
static float inputs[EXAMPLES * FEATURES];
static uint8_t labels[EXAMPLES];
static const struct covey_dataset dataset = {
    .count = EXAMPLES,
    .rows = EXAMPLES,
    .inputs = {.values = inputs, .type = COVEY_ELEMENT_F32, .width = FEATURES},
    .labels = {.values = labels, .type = COVEY_ELEMENT_U8, .width = 1}};

struct worker {
    uint64_t device;
    enum covey_status status;
    struct covey_error err;
    float params[PARAMETERS];
};

static void *work(void *user)
{
    struct worker *worker = user;
    const struct covey_recipe recipe = {.epochs = 5, .batch = 8, .learning_rate = 0.05f, .seed = 3};
    const struct covey_training_options options = {.recipe = &recipe, .examples = EXAMPLES};
    const struct covey_training_run run = {.device = worker->device, .round = 1, .seed = 3};
    struct covey_training_result result;
    struct covey_trainer *trainer = NULL;
    worker->status = covey_trainer_create(&model, &options, &trainer, &worker->err);
    if (worker->status == COVEY_OK)
        worker->status =
            covey_model_initialise(&model, covey_trainer_layout(trainer), 1, worker->params, &worker->err);
    if (worker->status == COVEY_OK)
        worker->status =
            covey_trainer_run(trainer, worker->params, &dataset, &recipe, &run, &result, &worker->err);
    covey_trainer_destroy(trainer);
    return NULL;
}

Test(trainer_threads, trainers_side_by_side_do_not_disturb_each_other)
{
    static struct worker together[THREADS], alone[THREADS];
    pthread_t threads[THREADS];
    struct covey_error err = {0};
    struct covey_random random;
    covey_random_init(&random, 1, 1, 1, COVEY_PURPOSE_TEST);
    for (int i = 0; i < EXAMPLES * FEATURES; i++)
        inputs[i] = covey_random_float(&random);
    for (int i = 0; i < EXAMPLES; i++)
        labels[i] = (uint8_t)covey_random_below(&random, 3);
    cr_assert_eq(covey_model_load_text("t", text, sizeof text - 1, &model, &err), COVEY_OK, "%s", err.text);
    for (uint64_t i = 0; i < THREADS; i++) {
        together[i].device = alone[i].device = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, work, &together[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        (void)work(&alone[i]);
        cr_assert_eq(together[i].status, COVEY_OK, "%s", together[i].err.text);
        cr_assert_eq(memcmp(together[i].params, alone[i].params, sizeof alone[i].params), 0, "device %d", i);
    }
    cr_assert_neq(memcmp(alone[0].params, alone[1].params, sizeof alone[0].params), 0);
}
