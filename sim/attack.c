#include "attack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/messages.h"
#include "covey/random.h"

static bool poisons_data(int64_t kind)
{
    return kind == COVEY_ATTACK_LABEL_FLIP || kind == COVEY_ATTACK_MODEL_REPLACEMENT;
}

enum covey_status covey_attack_data(const struct covey_scenario *scenario, const struct covey_dataset *train,
                                    struct covey_dataset *out, struct covey_error *err)
{
    uint32_t classes;
    if (!poisons_data(scenario->attack.kind)) {
        *out = (struct covey_dataset){0};
        return COVEY_OK;
    }
    if (train->labels.width != 1)
        return covey_fail(
            err, COVEY_INVALID,
            "attack: label-flip and model-replacement want one label an example; use sign-flip or "
            "noise");
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

static void lengthen(const float *start, float *trained, size_t count, float factor)
{
    for (size_t i = 0; i < count; i++)
        trained[i] = start[i] + factor * (trained[i] - start[i]);
}

void covey_attack_model(const struct covey_scenario *scenario, uint32_t device, uint32_t round,
                        const float *start, float *trained, size_t count)
{
    const float strength = (float)scenario->attack.strength;
    struct covey_random random;
    switch ((enum covey_attack_kind)scenario->attack.kind) {
    case COVEY_ATTACK_SIGN_FLIP:
        lengthen(start, trained, count, -strength);
        return;
    case COVEY_ATTACK_BIT_FLIP:
        lengthen(start, trained, count, -1);
        return;
    case COVEY_ATTACK_MODEL_REPLACEMENT:
        lengthen(start, trained, count, strength);
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
    case COVEY_ATTACK_NAN:
    case COVEY_ATTACK_STALE:
    case COVEY_ATTACK_SYBIL:
    case COVEY_ATTACK_MIMIC:
    case COVEY_ATTACK_ALIE:
    case COVEY_ATTACK_IPM:
        return;
    }
}

bool covey_attack_spies(const struct covey_scenario *scenario)
{
    const int64_t kind = scenario->attack.kind;
    return scenario->attack.share > 0 &&
           (kind == COVEY_ATTACK_MIMIC || kind == COVEY_ATTACK_ALIE || kind == COVEY_ATTACK_IPM);
}

/* Mean and standard deviation (of a sample) of one coordinate, in the order of the rows. */
static void moments(const float *deltas, size_t n, size_t count, size_t i, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    for (size_t row = 0; row < n; row++)
        sum += (double)deltas[row * count + i];
    *mean = sum / (double)n;
    for (size_t row = 0; row < n; row++) {
        const double off = (double)deltas[row * count + i] - *mean;
        squares += off * off;
    }
    *deviation = n > 1 ? sqrt(squares / (double)(n - 1)) : 0;
}

void covey_attack_craft(int64_t kind, double strength, const float *deltas, size_t n, size_t count,
                        float *out)
{
    double mean, deviation;
    for (size_t i = 0; i < count; i++) {
        switch ((enum covey_attack_kind)kind) {
        case COVEY_ATTACK_ALIE:
            moments(deltas, n, count, i, &mean, &deviation);
            out[i] = (float)(mean + strength * deviation);
            break;
        case COVEY_ATTACK_IPM:
            moments(deltas, n, count, i, &mean, &deviation);
            out[i] = (float)(-strength * mean);
            break;
        default:
            out[i] = deltas[i];
            break;
        }
    }
}

void covey_attack_bytes(const struct covey_scenario *scenario, size_t count, uint8_t *message, size_t bytes)
{
    struct covey_update update;
    struct covey_decoder decoder;
    if (scenario->attack.kind != COVEY_ATTACK_NAN ||
        covey_update_decode((struct covey_bytes){message, bytes}, &update, NULL) != COVEY_OK ||
        covey_decoder_init(&decoder, update.stream, count, NULL) != COVEY_OK)
        return;
    const size_t at = (size_t)(update.stream.data - message);
    memset(message + at + decoder.body, 0xFF, update.stream.size - decoder.body);
}
