/* A small cohort for the tests: tensors of unlike sizes and magnitudes, updates from integers only, so that
 * they are the same on every machine. */
#ifndef COVEY_TEST_COHORT_H
#define COVEY_TEST_COHORT_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/random.h"
#include "covey/strategy.h"

/* Ends that fall inside blocks, inside tiles and inside turns of tiles. */
#if defined(__SANITIZE_THREAD__)
#define COHORT_COUNT 17000 /* threads share tiles: races show in few of them */
static const size_t cohort_ends[] = {1, 10, 64, 300, 4096, 5000, 9000, 16001, COHORT_COUNT};
#elif COVEY_SANITIZED
#define COHORT_COUNT 69000
static const size_t cohort_ends[] = {1, 10, 64, 300, 4096, 5000, 40000, 68001, COHORT_COUNT};
#else
#define COHORT_COUNT 150000
static const size_t cohort_ends[] = {1, 10, 64, 300, 4096, 5000, 70000, 140001, COHORT_COUNT};
#endif
#define COHORT_TENSORS (sizeof cohort_ends / sizeof cohort_ends[0])

/* About normal (a sum of four uniform numbers), times a power of two for each tensor. */
static void cohort_values(uint64_t device, int spread, float *out)
{
    struct covey_random random;
    covey_random_init(&random, 11, device, 0, COVEY_PURPOSE_TEST);
    size_t tensor = 0;
    for (size_t i = 0; i < COHORT_COUNT; i++) {
        while (cohort_ends[tensor] <= i)
            tensor++;
        int32_t sum = 0;
        for (int j = 0; j < 4; j++)
            sum += (int32_t)(covey_random_u32(&random) >> 12) - (1 << 19);
        float value = (float)sum * 0x1p-30f;
        for (int j = 0; j < spread * (int)(tensor % 4); j++)
            value *= 0.125f;
        out[i] = value;
    }
}

struct cohort_update {
    uint8_t *bytes;
    size_t size;
    double weight;
    float *values; /* what the stream decodes to */
};

static struct cohort_update cohort_update_make(const char *codec_name, uint64_t device, int spread,
                                               double weight)
{
    struct cohort_update update = {.weight = weight, .values = malloc(COHORT_COUNT * sizeof(float))};
    struct covey_codec codec;
    struct covey_error err = {0};
    cohort_values(device, spread, update.values);
    cr_assert_eq(covey_codec_parse(codec_name, &codec, &err), COVEY_OK, "%s", err.text);
    const size_t scratch_bytes = covey_codec_scratch_bytes(&codec, COHORT_COUNT);
    void *scratch = aligned_alloc(64, scratch_bytes / 64 * 64 + 64);
    const struct covey_encode_options options = {.seed = 5,
                                                 .device = device,
                                                 .ends = cohort_ends,
                                                 .tensor_count = COHORT_TENSORS,
                                                 .scratch = scratch,
                                                 .scratch_bytes = scratch_bytes};
    const size_t capacity = covey_codec_bound(&codec, COHORT_COUNT);
    update.bytes = malloc(capacity);
    cr_assert_eq(covey_codec_encode(&codec, update.values, COHORT_COUNT, &options, update.bytes, capacity,
                                    &update.size, update.values, &err),
                 COVEY_OK, "%s", err.text);
    free(scratch);
    return update;
}

static void cohort_update_free(struct cohort_update *update)
{
    free(update->bytes);
    free(update->values);
}

#endif
