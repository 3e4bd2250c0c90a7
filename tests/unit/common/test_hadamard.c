/* The rotation and its kernels: every table against plain words for the transform, and the transform against
 * what it should be. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"
#include "quantise_lloyd.h"
#include "stage.h"
#include "transform_hadamard.h"

#define TILE COVEY_DECODE_VALUES

static void random_values(float *x, size_t count, uint64_t seed)
{
    struct covey_random random;
    covey_random_init(&random, seed, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        x[i] = (covey_random_float(&random) - 0.5f) * (float)(1 << covey_random_below(&random, 12));
}

/* Butterflies at distances count / 2 to 1, one after the other. */
static void plain_hadamard(float *x, size_t count)
{
    for (size_t distance = count / 2; distance > 0; distance /= 2) {
        for (size_t i = 0; i < count; i++) {
            if ((i & distance) != 0)
                continue;
            const float a = x[i], b = x[i + distance];
            x[i] = a + b;
            x[i + distance] = a - b;
        }
    }
}

static void plain_flip(float *x, size_t first, size_t count, const uint32_t *signs, float factor)
{
    for (size_t i = first; i < first + count; i++)
        x[i - first] *= (signs[i % COVEY_SIGN_WORDS] >> i / COVEY_SIGN_WORDS & 1) != 0 ? -factor : factor;
}

Test(hadamard, every_table_gives_the_bits_of_the_plain_words)
{
    static float x[TILE], expected[TILE], y[TILE];
    const uint32_t key[2] = {0x12345678, 0x9ABCDEF0};
    for (size_t k = 0; covey_eden_kernels_at(k) != NULL; k++) {
        const struct covey_eden_kernels *kernels = covey_eden_kernels_at(k);
        uint32_t signs[COVEY_SIGN_WORDS];
        kernels->signs(key, 77, signs);
        for (uint32_t i = 0; i < COVEY_SIGN_WORDS; i++) {
            const uint32_t counter[4] = {77 * 32 + i / 64 * 16 + i % 16, 0, 0, 0};
            uint32_t block[4];
            covey_random_philox(counter, key, block);
            cr_assert_eq(signs[i], block[i % 64 / 16], "word %u", i);
        }
        for (size_t count = 1; count <= TILE; count *= 2) {
            random_values(x, count, count);
            memcpy(expected, x, sizeof x);
            plain_hadamard(expected, count);
            memcpy(y, x, sizeof x);
            kernels->hadamard(y, count);
            cr_expect_eq(memcmp(y, expected, count * sizeof *y), 0, "%s, %zu", kernels->name, count);
            const size_t first = TILE - count;
            memcpy(expected, x, sizeof x);
            memcpy(y, x, sizeof x);
            plain_flip(expected, first, count, signs, 0.3f);
            kernels->flip(y, first, count, signs, 0.3f);
            cr_expect_eq(memcmp(y, expected, count * sizeof *y), 0, "%s, %zu", kernels->name, count);
        }
        random_values(x, TILE, 5);
        memcpy(expected, x, sizeof x);
        plain_flip(expected, 0, TILE, signs, 0x1p-6f);
        plain_hadamard(expected, TILE);
        memcpy(y, x, sizeof x);
        kernels->rotate(y, signs, 0x1p-6f);
        cr_expect_eq(memcmp(y, expected, sizeof y), 0, "%s", kernels->name);
        plain_hadamard(expected, TILE);
        plain_flip(expected, 0, TILE, signs, 0x1p-6f);
        kernels->rotate_back(y, signs, 0x1p-6f);
        cr_expect_eq(memcmp(y, expected, sizeof y), 0, "%s", kernels->name);
    }
}

static double norm(const float *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

/* Of every length: the norm stays, the inverse brings the values back, another tile has other signs. */
Test(hadamard, is_orthonormal_at_every_length)
{
    static const size_t counts[] = {1, 2, 3, 10, 31, 63, 64, 65, 100, 127, 128, 1000, 2049, 3754, 4095, TILE};
    const struct covey_transform *transform = covey_transform_row(1);
    static float x[TILE], y[TILE], other[TILE];
    uint8_t seed[4] = {0, 2, 3, 4};
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
        const size_t count = counts[k];
        seed[0] = (uint8_t)k; /* odd ones rotate twice */
        random_values(x, count, k);
        memcpy(y, x, sizeof x);
        memcpy(other, x, sizeof x);
        transform->forward(seed, 5 * TILE, y, count);
        transform->forward(seed, 6 * TILE, other, count);
        cr_expect(count < 16 || memcmp(y, other, count * sizeof *y) != 0, "%zu", count);
        cr_expect(!(fabs(norm(y, count) / norm(x, count) - 1) > 1e-6), "%zu", count);
        transform->inverse(seed, 5 * TILE, y, count);
        for (size_t i = 0; i < count; i++)
            y[i] -= x[i];
        cr_expect(!(norm(y, count) > 1e-6 * norm(x, count)), "%zu: %g", count, norm(y, count));
    }
}

/* A rotated spike is spread evenly, over its block and no further. */
Test(hadamard, spreads_a_spike)
{
    static float x[TILE];
    const uint8_t seed[4] = {8, 9, 9, 9};
    x[1234] = 64.0f;
    covey_transform_row(1)->forward(seed, 0, x, TILE);
    for (size_t i = 0; i < TILE; i++)
        cr_assert(fabsf(x[i]) == 1.0f);
    memset(x, 0, sizeof x);
    x[2500] = 32.0f; /* of 3754 values: the block of 1024 behind the one of 2048 */
    covey_transform_row(1)->forward(seed, 0, x, 3754);
    for (size_t i = 0; i < 3754; i++)
        cr_assert(fabsf(x[i]) == (i >= 2048 && i < 3072 ? 1.0f : 0.0f), "%zu", i);
}

/* One value, as eden_kernels.h describes it. */
static float level_of(unsigned bits, float z)
{
    size_t index = 0;
    while (index + 1 < 1u << (bits - 1) && fabsf(z) > covey_lloyd_thresholds[bits - 1][index])
        index++;
    return signbit(z) ? -covey_lloyd_levels[bits - 1][index] : covey_lloyd_levels[bits - 1][index];
}

Test(hadamard, quantiser_takes_the_nearest_level)
{
    static float x[TILE], y[TILE], reference[TILE];
    static uint8_t planes[TILE / 2 + 1], others[TILE / 2 + 1];
    for (unsigned bits = 1; bits <= 4; bits++) {
        for (size_t words = 1; words <= TILE / 32; words *= 2) {
            random_values(x, 32 * words, bits);
            memcpy(x, covey_lloyd_thresholds[bits - 1], sizeof(float) * 7); /* on the edge, too */
            double product = 0;
            for (size_t i = 0; i < 32 * words; i++) {
                const float z = x[i] * 0.75f;
                reference[i] = level_of(bits, z);
                product += (double)z * (double)reference[i];
                reference[i] = (signbit(z) ? -1.0f : 1.0f) * (fabsf(reference[i]) * 3.3f);
            }
            const double plain = covey_eden_kernels_plain.quantise(bits, x, words, 0.75f, others + 1);
            cr_expect(!(fabs(plain / product - 1) > 1e-5), "%u bits: %g, not %g", bits, plain, product);
            for (size_t k = 0; covey_eden_kernels_at(k) != NULL; k++) {
                const struct covey_eden_kernels *kernels = covey_eden_kernels_at(k);
                cr_expect(kernels->quantise(bits, x, words, 0.75f, planes + 1) == plain, "%s", kernels->name);
                cr_expect_eq(memcmp(planes + 1, others + 1, 4 * bits * words), 0, "%s", kernels->name);
                kernels->reconstruct(bits, planes + 1, words, 3.3f, y);
                cr_expect_eq(memcmp(y, reference, 32 * words * sizeof *y), 0, "%s, %u bits, %zu words",
                             kernels->name, bits, words);
                cr_expect(kernels->squares(x, 32 * words, 2) ==
                          covey_eden_kernels_plain.squares(x, 32 * words, 2));
            }
        }
    }
}

/* Lloyd's conditions (quantise_lloyd.h), by libm. */
Test(hadamard, levels_are_those_of_lloyd_and_max)
{
    const double root = sqrt(2 * acos(-1.0));
    for (unsigned bits = 1; bits <= 4; bits++) {
        const size_t count = 1u << (bits - 1);
        for (size_t k = 0; k < count; k++) {
            const float *levels = covey_lloyd_levels[bits - 1],
                        *thresholds = covey_lloyd_thresholds[bits - 1];
            const double a = k > 0 ? (double)thresholds[k - 1] : 0,
                         b = k + 1 < count ? (double)thresholds[k] : 40;
            const double mass = .5 * (erfc(a / sqrt(2)) - erfc(b / sqrt(2)));
            const double mean = (exp(-a * a / 2) - exp(-b * b / 2)) / root / mass;
            cr_expect(!(fabs(mean - (double)levels[k]) > 2e-7), "%u bits, level %zu: %g", bits, k, mean);
            if (k + 1 < count)
                cr_expect(!(fabs(.5 * ((double)levels[k] + (double)levels[k + 1]) - b) > 2e-7));
        }
    }
}
