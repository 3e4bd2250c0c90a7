#include "covey/root_update.h"

#include <stdlib.h>
#include <string.h>

#include "covey/random.h"
#include "covey/trainer.h"

#define ROOT_NAME "root data" /* no device can be called so: the order of examples is the server's own */

struct covey_root_update {
    struct covey_trainer *trainer;
    const struct covey_layout *layout;
    const struct covey_dataset *dataset;
    const float *initial;
    float *local; /* (layout->count) */
};

enum covey_status covey_root_update_create(const struct covey_model_description *model,
                                           const struct covey_layout *layout, const float *initial,
                                           const struct covey_dataset *dataset,
                                           const struct covey_recipe *recipe, struct covey_root_update **out,
                                           struct covey_error *err)
{
    const struct covey_training_options options = {.recipe = recipe, .examples = dataset->count};
    if (layout->control_count > 0)
        return covey_fail(err, COVEY_UNSUPPORTED, "a model with control variates takes no root data");
    if (dataset->count == 0)
        return covey_fail(err, COVEY_INVALID, "there are no examples in the root data");
    struct covey_root_update *root = calloc(1, sizeof *root);
    if (root == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the root data");
    *root = (struct covey_root_update){.layout = layout, .dataset = dataset, .initial = initial};
    enum covey_status status = covey_trainer_create(model, &options, &root->trainer, err);
    root->local = aligned_alloc(64, (layout->count * sizeof(float) + 63) / 64 * 64);
    if (status == COVEY_OK && root->local == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu values", layout->count);
    if (status != COVEY_OK) {
        covey_root_update_destroy(root);
        return status;
    }
    *out = root;
    return COVEY_OK;
}

enum covey_status covey_root_update_make(void *user, const float *shared, const struct covey_recipe *recipe,
                                         uint32_t round, float *delta, struct covey_error *err)
{
    struct covey_root_update *root = user;
    const size_t shared_count = root->layout->shared_count;
    struct covey_recipe plain = *recipe;
    struct covey_training_result result;
    plain.algorithm = COVEY_LOCAL_PLAIN;
    const struct covey_training_run run = {
        .device = covey_random_id(ROOT_NAME), .round = round, .seed = recipe->seed};
    memcpy(root->local, shared, shared_count * sizeof *root->local);
    memcpy(root->local + shared_count, root->initial + shared_count,
           (root->layout->count - shared_count) * sizeof *root->local);
    COVEY_TRY(covey_trainer_run(root->trainer, root->local, root->dataset, &plain, &run, &result, err));
    for (size_t i = 0; i < root->layout->update_count; i++)
        delta[i] = root->local[i] - shared[i];
    return COVEY_OK;
}

void covey_root_update_destroy(struct covey_root_update *root)
{
    if (root == NULL)
        return;
    covey_trainer_destroy(root->trainer);
    free(root->local);
    free(root);
}
