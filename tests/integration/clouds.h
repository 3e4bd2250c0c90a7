/* Data and model of the federations that tests play: four clouds of points, unlike from device to device, and
 * a perceptron that tells them apart. */
#ifndef COVEY_TEST_CLOUDS_H
#define COVEY_TEST_CLOUDS_H

#include <stdint.h>

#include "covey/dataset.h"
#include "covey/random.h"

#define CLOUD_EXAMPLES 60
#define CLOUD_FEATURES 12
#define CLOUD_CLASSES 4

static const char cloud_model[] = "name: little\n"
                                  "input: {shape: [12]}\n"
                                  "loss: softmax_cross_entropy\n"
                                  "ops:\n"
                                  "  - {op: dense, name: hidden, units: 16}\n"
                                  "  - {op: relu}\n"
                                  "  - {op: dense, name: output, units: 4}\n";

struct clouds {
    float x[CLOUD_EXAMPLES * CLOUD_FEATURES];
    uint8_t labels[CLOUD_EXAMPLES];
    struct covey_dataset dataset; /* of the two above */
};

/* count: examples that the device has, at most CLOUD_EXAMPLES. */
static void clouds_make(struct clouds *clouds, uint32_t device, uint32_t count)
{
    struct covey_random random;
    covey_random_init(&random, 5, device, 0, COVEY_PURPOSE_TEST);
    for (uint32_t i = 0; i < CLOUD_EXAMPLES; i++) {
        const uint32_t label = covey_random_below(&random, 3) == 0
                                   ? device % CLOUD_CLASSES
                                   : covey_random_below(&random, CLOUD_CLASSES);
        clouds->labels[i] = (uint8_t)label;
        for (uint32_t f = 0; f < CLOUD_FEATURES; f++)
            clouds->x[i * CLOUD_FEATURES + f] =
                (f % CLOUD_CLASSES == label ? 1.0f : 0.0f) + covey_random_float(&random) - 0.5f;
    }
    clouds->dataset = (struct covey_dataset){.count = count,
                                             .rows = CLOUD_EXAMPLES,
                                             .inputs = {clouds->x, COVEY_ELEMENT_F32, false, CLOUD_FEATURES},
                                             .labels = {clouds->labels, COVEY_ELEMENT_U8, false, 1},
                                             .rank = 1,
                                             .shape = {CLOUD_FEATURES}};
}

#endif
