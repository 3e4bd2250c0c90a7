/* A model description as a user might write it, or break it: parsed, and what parses is planned and
 * initialised when it is small. */
#include <stdint.h>
#include <stdlib.h>

#include "covey/model.h"
#include "covey/training_plan.h"

#define PARAMETERS_TO_INITIALISE 100000

static void use(const struct covey_model_description *model)
{
    struct covey_layout layout;
    struct covey_training_plan *plan = NULL;
    struct covey_error err = {0};
    const struct covey_recipe recipe = {.epochs = 1, .batch = 3, .learning_rate = 0.1f};
    const struct covey_training_options options = {
        .engine = &covey_engine_plain, .recipe = &recipe, .examples = 10};
    if (covey_model_layout(model, &layout, &err) != COVEY_OK)
        abort(); /* it was checked when it was loaded */
    if (layout.count <= PARAMETERS_TO_INITIALISE) {
        float *params = malloc(layout.count * sizeof *params);
        if (params == NULL || covey_model_initialise(model, &layout, 1, params, &err) != COVEY_OK)
            abort();
        free(params);
    }
    covey_layout_deinit(&layout);
    if (covey_training_plan_create(model, &options, &plan, &err) == COVEY_OK)
        covey_training_plan_destroy(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct covey_error err = {0};
    struct covey_model_description *model = calloc(1, sizeof *model);
    if (model == NULL)
        return 0;
    if (covey_model_load_text("fuzz.yaml", (const char *)data, size, model, &err) == COVEY_OK)
        use(model);
    free(model);
    return 0;
}
