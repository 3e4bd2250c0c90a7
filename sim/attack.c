#include "attack.h"

#include <math.h>
#include <stdlib.h>

#include "covey/random.h"

enum covey_status covey_attack_data(const struct covey_scenario *scenario, const struct covey_dataset *train,
                                    struct covey_dataset *out, struct covey_error *err)
{
    uint32_t classes;
    if (scenario->attack.kind != COVEY_ATTACK_LABEL_FLIP) {
        *out = (struct covey_dataset){0};
        return COVEY_OK;
    }
    if (train->labels.width != 1)
        return covey_fail(err, COVEY_INVALID,
                          "attack: label-flip wants one label an example; use sign-flip or noise");
    COVEY_TRY(covey_dataset_classes(train, &classes, err));
    int32_t *labels = calloc((size_t)train->rows + 1, sizeof *labels);
    if (labels == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u labels", train->rows);
    for (uint32_t i = 0; i < train->count; i++)
        labels[train->index != NULL ? train->index[i] : i] =
            (int32_t)classes - 1 - covey_dataset_label(train, i);
    *out = *train;
    out->storage = NULL;
    out->labels = (struct covey_table){.values = labels, .type = COVEY_ELEMENT_I32, .width = 1};
    return COVEY_OK;
}

void covey_attack_data_free(struct covey_dataset *poisoned)
{
    free((void *)(uintptr_t)poisoned->labels.values);
    *poisoned = (struct covey_dataset){0};
}

static float rms_of(const float *start, const float *trained, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        const double delta = (double)trained[i] - (double)start[i];
        sum += delta * delta;
    }
    return count > 0 ? (float)sqrt(sum / (double)count) : 0;
}

void covey_attack_model(const struct covey_scenario *scenario, uint32_t device, uint32_t round,
                        const float *start, float *trained, size_t count)
{
    const float strength = (float)scenario->attack.strength;
    struct covey_random random;
    switch ((enum covey_attack_kind)scenario->attack.kind) {
    case COVEY_ATTACK_SIGN_FLIP:
        for (size_t i = 0; i < count; i++)
            trained[i] = start[i] - strength * (trained[i] - start[i]);
        return;
    case COVEY_ATTACK_NOISE: {
        const float rms = rms_of(start, trained, count) * strength;
        covey_random_init(&random, (uint64_t)scenario->seed, device, round, COVEY_PURPOSE_ATTACK);
        for (size_t i = 0; i < count; i++)
            trained[i] = start[i] + rms * (float)covey_random_normal(&random);
        return;
    }
    case COVEY_ATTACK_NONE:
    case COVEY_ATTACK_LABEL_FLIP:
        return;
    }
}
