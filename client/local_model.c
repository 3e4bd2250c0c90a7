#include "local_model.h"

#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/messages.h"
#include "covey/model.h"

static enum covey_status decode(struct covey_bytes bytes, struct covey_model_description **out,
                                struct covey_error *err)
{
    struct covey_model_description *description = calloc(1, sizeof *description);
    if (description == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a model description");
    enum covey_status status = covey_description_decode(bytes, description, err);
    if (status != COVEY_OK) {
        free(description);
        return status;
    }
    *out = description;
    return COVEY_OK;
}

enum covey_status covey_local_model_decode(const struct covey_local_model *model,
                                           struct covey_model_description **out, struct covey_error *err)
{
    if (model->description == NULL)
        return covey_fail(err, COVEY_STATE, "there is no model yet");
    return decode((struct covey_bytes){model->description, (size_t)model->facts.description_bytes}, out, err);
}

enum covey_status covey_local_model_describe(struct covey_local_model *model, struct covey_bytes description,
                                             const struct covey_hash *hash, struct covey_error *err)
{
    struct covey_local_model next = {.seed = model->seed};
    struct covey_model_description *decoded = NULL;
    COVEY_TRY(decode(description, &decoded, err));
    enum covey_status status = covey_model_layout(decoded, &next.layout, err);
    if (status != COVEY_OK)
        goto cleanup;
    next.description = malloc(description.size);
    next.params = malloc(next.layout.count * sizeof *next.params);
    next.local = malloc(next.layout.count * sizeof *next.local);
    if (next.description == NULL || next.params == NULL || next.local == NULL) {
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for a model of %zu values", next.layout.count);
        goto cleanup;
    }
    /* Only what is personal has to begin somewhere; a small model without it is not touched before it comes.
     */
    if (next.layout.count > next.layout.shared_count)
        status = covey_model_initialise(decoded, &next.layout, model->seed, next.params, err);
    if (status != COVEY_OK)
        goto cleanup;
    memcpy(next.description, description.data, description.size);
    next.facts.description = *hash;
    next.facts.description_bytes = description.size;
    next.facts.count = next.layout.count;
    covey_local_model_deinit(model);
    *model = next;
    next = (struct covey_local_model){0};
cleanup:
    covey_local_model_deinit(&next);
    free(decoded);
    return status;
}

enum covey_status covey_local_model_restore(struct covey_local_model *model, struct covey_client_state *state,
                                            struct covey_error *err)
{
    const struct covey_state_model *stored = covey_client_state_model(state);
    struct covey_hash hash;
    if (stored == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "no model is stored");
    uint8_t *description = malloc((size_t)stored->description_bytes + 1);
    float *values = malloc((size_t)stored->count * sizeof *values + 1);
    enum covey_status status = COVEY_OK;
    if (description == NULL || values == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for a model of %llu values",
                            (unsigned long long)stored->count);
    if (status == COVEY_OK)
        status = covey_client_state_load_model(state, description, values, err);
    if (status == COVEY_OK)
        status = covey_local_model_describe(
            model, (struct covey_bytes){description, (size_t)stored->description_bytes}, &stored->description,
            err);
    if (status == COVEY_OK && model->layout.count != stored->count)
        status = covey_fail(err, COVEY_CORRUPT, "the stored model has %llu values, its description %zu",
                            (unsigned long long)stored->count, model->layout.count);
    if (status == COVEY_OK)
        status = covey_hash_floats(values, model->layout.shared_count, &hash);
    if (status == COVEY_OK && !covey_hash_equal(&hash, &stored->model))
        status = covey_fail(err, COVEY_CORRUPT, "the stored model is not the one that was published");
    if (status == COVEY_OK) {
        free(model->params);
        model->params = values;
        model->facts = *stored;
        model->installed = true;
        values = NULL;
    }
    free(description);
    free(values);
    return status;
}

void covey_local_model_install(struct covey_local_model *model, const struct covey_hash *hash,
                               uint64_t sequence, uint32_t round)
{
    size_t shared = model->layout.shared_count;
    float *published = model->local;
    memcpy(published + shared, model->params + shared, (model->layout.count - shared) * sizeof *published);
    model->local = model->params;
    model->params = published;
    model->facts.model = *hash;
    model->facts.sequence = sequence;
    model->facts.round = round;
    model->installed = true;
}

void covey_local_model_deinit(struct covey_local_model *model)
{
    covey_layout_deinit(&model->layout);
    free(model->description);
    free(model->params);
    free(model->local);
    *model = (struct covey_local_model){0};
}
