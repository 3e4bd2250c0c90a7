/* The randomised Hadamard transform in blocks: signs at random, then Walsh-Hadamard, normalised, which makes
 * the values of a block nearly independent and normal whatever they were (Suresh et al., "Distributed mean
 * estimation with limited communication", ICML 2017, section 3). Its parameter in the stream's header is the
 * seed of the signs.
 *
 * One rotation of a block that is nearly one spike gives values of nearly one magnitude, whose signs say
 * nothing of the others: coarse levels would be biased. Where a tile of the vector has such a spike, all are
 * rotated twice, with other signs, and the seed is odd. */
#include <endian.h>
#include <string.h>

#include "covey/random.h"
#include "eden_kernels.h"
#include "stage.h"
#include "transform_hadamard.h"

#define SEED_BYTES 4
#define KEY1 0x526F7461u         /* the second half of the signs' key; the seed is the first */
#define SECOND_TILES 0x01000000u /* the second rotation's signs are those of the tile so much further on */
#define SPIKE_SHARE (1.0 / 32)   /* of a tile's sum of squares; measured: below, one value's bias is noise */
#define SPIKE_VALUES 512         /* shorter tiles are not looked at */

static bool has_spike(const struct covey_encode_run *run, const float *x, size_t count)
{
    const uint32_t most = run->kernels->largest(x, count);
    if (most < COVEY_ROTATION_ZERO_BITS || most >= COVEY_ROTATION_LIMIT_BITS)
        return false;
    float largest;
    memcpy(&largest, &most, sizeof largest);
    const float unit = covey_rotation_unit(most);
    const double peak = (double)largest * (double)unit;
    return peak * peak > SPIKE_SHARE * covey_eden_kernels_at(0)->squares(x, count / 32 * 32, unit);
}

static void describe(const struct covey_encode_run *run, const float *x, size_t count, uint8_t *parameters)
{
    struct covey_random random;
    bool spike = false;
    for (size_t at = 0; at + SPIKE_VALUES <= count && !spike; at += COVEY_DECODE_VALUES)
        spike = has_spike(run, x + at, count - at < COVEY_DECODE_VALUES ? count - at : COVEY_DECODE_VALUES);
    covey_random_init(&random, run->options->seed, run->options->device, run->options->round,
                      COVEY_PURPOSE_TRANSFORM);
    const uint32_t seed = htole32((covey_random_u32(&random) & ~1u) | (spike ? 1 : 0));
    memcpy(parameters, &seed, sizeof seed);
}

static bool rotates_twice(const uint8_t *parameters)
{
    return (parameters[0] & 1) != 0;
}

/* 1 / sqrt(count), for powers of two: exact for the even ones. */
static float normaliser(size_t count)
{
    float factor = 1.0f;
    for (; count >= 4; count /= 4)
        factor *= 0.5f;
    return count == 2 ? factor * 0.707106781f : factor;
}

/* Normalised rotation of a tile, forwards or back, by its first or second signs. */
static void rotate(const uint8_t *parameters, bool second, bool back, size_t first, float *x, size_t count)
{
    const struct covey_eden_kernels *kernels = covey_eden_kernels_at(0);
    const uint32_t tile = (uint32_t)(first / COVEY_DECODE_VALUES) + (second ? SECOND_TILES : 0);
    uint32_t seed, words[COVEY_SIGN_WORDS];
    memcpy(&seed, parameters, sizeof seed);
    kernels->signs((const uint32_t[2]){le32toh(seed), KEY1}, tile, words);
    if (count == COVEY_DECODE_VALUES) {
        (back ? kernels->rotate_back : kernels->rotate)(x, words, normaliser(COVEY_DECODE_VALUES));
        return;
    }
    for (size_t at = 0, block; at < count; at += block) {
        block = covey_rotation_power(count - at);
        if (back)
            kernels->hadamard(x + at, block);
        kernels->flip(x + at, at, block, words, normaliser(block));
        if (!back)
            kernels->hadamard(x + at, block);
    }
}

static void forward(const uint8_t *parameters, size_t first, float *x, size_t count)
{
    rotate(parameters, false, false, first, x, count);
    if (rotates_twice(parameters))
        rotate(parameters, true, false, first, x, count);
}

static void inverse(const uint8_t *parameters, size_t first, float *x, size_t count)
{
    if (rotates_twice(parameters))
        rotate(parameters, true, true, first, x, count);
    rotate(parameters, false, true, first, x, count);
}

const struct covey_transform covey_transform_hadamard = {.name = "hadamard",
                                                         .parameter_bytes = SEED_BYTES,
                                                         .describe = describe,
                                                         .forward = forward,
                                                         .inverse = inverse};
