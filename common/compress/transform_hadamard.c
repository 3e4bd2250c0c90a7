/* The randomised Hadamard transform in blocks: signs at random, then Walsh-Hadamard, normalised, which makes
 * the values of a block nearly independent and normal whatever they were (Suresh et al., "Distributed mean
 * estimation with limited communication", ICML 2017, section 3). Its parameter in the stream's header is the
 * 32-bit seed of the signs. */
#include <endian.h>
#include <string.h>

#include "covey/random.h"
#include "eden_kernels.h"
#include "stage.h"
#include "transform_hadamard.h"

#define SEED_BYTES 4
#define KEY1 0x526F7461u /* the second half of the signs' key; the seed is the first */

static void describe(const struct covey_encode_run *run, uint8_t *parameters)
{
    struct covey_random random;
    covey_random_init(&random, run->options->seed, run->options->device, run->options->round,
                      COVEY_PURPOSE_TRANSFORM);
    const uint32_t seed = htole32(covey_random_u32(&random));
    memcpy(parameters, &seed, sizeof seed);
}

static void tile_signs(const struct covey_eden_kernels *kernels, const uint8_t *parameters, size_t first,
                       uint32_t words[COVEY_SIGN_WORDS])
{
    uint32_t seed;
    memcpy(&seed, parameters, sizeof seed);
    const uint32_t key[2] = {le32toh(seed), KEY1};
    kernels->signs(key, (uint32_t)(first / COVEY_DECODE_VALUES), words);
}

/* 1 / sqrt(count), for powers of two: exact for the even ones. */
static float normaliser(size_t count)
{
    float factor = 1.0f;
    for (; count >= 4; count /= 4)
        factor *= 0.5f;
    return count == 2 ? factor * 0.707106781f : factor;
}

static void forward(const uint8_t *parameters, size_t first, float *x, size_t count)
{
    const struct covey_eden_kernels *kernels = covey_eden_kernels_at(0);
    uint32_t words[COVEY_SIGN_WORDS];
    tile_signs(kernels, parameters, first, words);
    if (count == COVEY_DECODE_VALUES) {
        kernels->rotate(x, words, normaliser(COVEY_DECODE_VALUES));
        return;
    }
    for (size_t at = 0, block; at < count; at += block) {
        block = covey_rotation_power(count - at);
        kernels->flip(x + at, at, block, words, normaliser(block));
        kernels->hadamard(x + at, block);
    }
}

static void inverse(const uint8_t *parameters, size_t first, float *x, size_t count)
{
    const struct covey_eden_kernels *kernels = covey_eden_kernels_at(0);
    uint32_t words[COVEY_SIGN_WORDS];
    tile_signs(kernels, parameters, first, words);
    if (count == COVEY_DECODE_VALUES) {
        kernels->rotate_back(x, words, normaliser(COVEY_DECODE_VALUES));
        return;
    }
    for (size_t at = 0, block; at < count; at += block) {
        block = covey_rotation_power(count - at);
        kernels->hadamard(x + at, block);
        kernels->flip(x + at, at, block, words, normaliser(block));
    }
}

const struct covey_transform covey_transform_hadamard = {.name = "hadamard",
                                                         .parameter_bytes = SEED_BYTES,
                                                         .describe = describe,
                                                         .forward = forward,
                                                         .inverse = inverse};
