/* A model description as it comes over the network: decoded from CBOR, checked, planned for training and
 * evaluation, and run for one step when that is cheap. Whatever passes the check must then be safe to run. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "covey/messages.h"
#include "covey/model.h"
#include "covey/trainer.h"

#define WORKSPACE_TO_RUN (4u << 20)
#define FLOPS_TO_RUN (1u << 22)
#define VALUES_TO_RUN (1u << 16)

static const struct covey_recipe recipe = {.epochs = 1, .batch = 2, .learning_rate = 1e-3f};

/* Three examples of zeroes. */
static void train(const struct covey_model_description *model, const struct covey_model_summary *summary,
                  size_t inputs)
{
    static const uint8_t zeroes[VALUES_TO_RUN * 4];
    const struct covey_training_options options = {.engine = &covey_engine_plain,
                                                   .recipe = &recipe,
                                                   .examples = 3,
                                                   .memory_limit_bytes = WORKSPACE_TO_RUN};
    const struct covey_dataset dataset = {
        .count = 3,
        .rows = 3,
        .inputs = {.values = zeroes, .type = COVEY_ELEMENT_U8, .width = (uint32_t)inputs},
        .labels = {.values = zeroes, .type = COVEY_ELEMENT_U8, .width = summary->target_count},
        .targets = {.values = zeroes, .type = COVEY_ELEMENT_U8, .width = summary->target_count}};
    const struct covey_training_run run = {.seed = 1};
    struct covey_training_result result;
    struct covey_trainer *trainer = NULL;
    struct covey_score score;
    struct covey_error err = {0};
    if (covey_trainer_create(model, &options, &trainer, &err) != COVEY_OK)
        return;
    float *params = malloc(covey_trainer_layout(trainer)->count * sizeof *params);
    if (params != NULL &&
        covey_model_initialise(model, covey_trainer_layout(trainer), 1, params, &err) == COVEY_OK) {
        const enum covey_status trained =
            covey_trainer_run(trainer, params, &dataset, &recipe, &run, &result, &err);
        const enum covey_status scored = covey_trainer_evaluate(trainer, params, &dataset, &score, &err);
        /* Zeroes are legal inputs, tokens and labels: all else that can go wrong is the arithmetic. */
        if ((trained != COVEY_OK && trained != COVEY_NOT_FINITE) || scored != COVEY_OK)
            abort();
    }
    free(params);
    covey_trainer_destroy(trainer);
}

static void plan(const struct covey_model_description *model)
{
    struct covey_model_summary summary;
    struct covey_training_plan *made = NULL;
    const struct covey_training_options evaluation = {.engine = &covey_engine_plain};
    struct covey_error err = {0};
    size_t inputs = 1;
    if (covey_model_summarise(model, &summary, &err) != COVEY_OK)
        return;
    if (covey_training_plan_create(model, &evaluation, &made, &err) == COVEY_OK)
        covey_training_plan_destroy(made);
    for (uint32_t i = 0; i < model->input_rank; i++)
        inputs *= model->input_shape[i];
    if (summary.forward_flops <= FLOPS_TO_RUN && summary.parameters <= VALUES_TO_RUN &&
        inputs <= VALUES_TO_RUN && summary.target_count <= VALUES_TO_RUN)
        train(model, &summary, inputs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct covey_error err = {0};
    struct covey_model_description *model = calloc(1, sizeof *model);
    if (model == NULL)
        return 0;
    if (covey_description_decode((struct covey_bytes){data, size}, model, &err) == COVEY_OK)
        plan(model);
    free(model);
    return 0;
}
