/* eden1 to eden4 as a whole: error, bias, lengths, vectors at the edges. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/random.h"

static const char *const names[] = {"eden1", "eden2", "eden3", "eden4"};
static const double nmse[] = {.5708, .1331, .03578, .009592}; /* D / (1 - D), YARDSTICKS */
#define EDENS 4

static size_t encode(const char *name, const float *x, size_t count, uint64_t seed, uint8_t **out, float *y)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    size_t size = 0;
    cr_assert_eq(covey_codec_parse(name, &codec, NULL), COVEY_OK);
    cr_assert(codec.unbiased);
    const size_t capacity = covey_codec_bound(&codec, count);
    *out = malloc(capacity);
    cr_assert_eq(covey_codec_encode(&codec, x, count, &(struct covey_encode_options){.seed = seed}, *out,
                                    capacity, &size, y, &err),
                 COVEY_OK, "%s", err.text);
    return size;
}

enum shape { NORMAL, LAPLACE, LOG_NORMAL, SHAPES, SPIKES };

static void draw(enum shape shape, float *x, size_t count)
{
    struct covey_random random;
    covey_random_init(&random, (uint64_t)shape, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++) {
        const double normal = covey_random_normal(&random), uniform = covey_random_double(&random);
        x[i] = (float)(shape == NORMAL       ? normal
                       : shape == LAPLACE    ? (normal > 0 ? 1 : -1) * log(1 - uniform)
                       : shape == LOG_NORMAL ? exp(normal)
                       : i % 3000 == 77      ? 200.0
                                             : normal);
    }
}

/* The NMSE of a vector this long scatters by about a tenth of a percent; log-normal blocks are not quite
 * normal after one rotation, and a little better for it. */
Test(eden, error_is_that_of_the_levels_whatever_the_distribution)
{
    enum { COUNT = 1 << 18 };
    float *x = malloc(COUNT * sizeof *x), *y = malloc(COUNT * sizeof *y);
    for (enum shape shape = NORMAL; shape < SHAPES; shape++) {
        draw(shape, x, COUNT);
        for (size_t k = 0; k < EDENS; k++) {
            uint8_t *bytes;
            double error = 0, product = 0, squares = 0;
            const size_t size = encode(names[k], x, COUNT, 3, &bytes, y);
            for (size_t i = 0; i < COUNT; i++) {
                error += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
                product += (double)y[i] * (double)x[i];
                squares += (double)x[i] * (double)x[i];
            }
            cr_expect(!(fabs(error / squares / nmse[k] - 1) > .015), "%s, shape %d: NMSE %g", names[k], shape,
                      error / squares);
            cr_expect(!(fabs(product / squares - 1) > 1e-5), "%s: along x by %g", names[k],
                      product / squares);
            cr_expect_eq(size, 11 + COUNT / 4096 * 4 + COUNT * (k + 1) / 8, "%zu", size);
            free(bytes);
        }
    }
    free(x);
    free(y);
}

/* Over many seeds, whatever x is: the mean of what is decoded goes to x. Its squared distance from x, over
 * |x|^2, is NMSE / SEEDS for an unbiased codec; a bias would stay. */
Test(eden, is_unbiased_for_every_distribution)
{
    enum { COUNT = 4096 + 1024, SEEDS = 400 };
    static const enum shape shapes[] = {NORMAL, LAPLACE, LOG_NORMAL, SPIKES};
    static float x[COUNT], y[COUNT];
    static double mean[COUNT];
    for (size_t s = 0; s < 4; s++) {
        const enum shape shape = shapes[s];
        for (size_t k = 0; k < EDENS; k++) {
            double error = 0, squares = 0;
            draw(shape, x, COUNT);
            memset(mean, 0, sizeof mean);
            for (uint64_t seed = 0; seed < SEEDS; seed++) {
                uint8_t *bytes;
                (void)encode(names[k], x, COUNT, seed, &bytes, y);
                free(bytes);
                for (size_t i = 0; i < COUNT; i++)
                    mean[i] += (double)y[i] / SEEDS;
            }
            for (size_t i = 0; i < COUNT; i++) {
                error += (mean[i] - (double)x[i]) * (mean[i] - (double)x[i]);
                squares += (double)x[i] * (double)x[i];
            }
            cr_expect(!(error / squares > 1.15 * nmse[k] / SEEDS), "%s, shape %d: %g where %g is noise",
                      names[k], shape, error / squares, nmse[k] / SEEDS);
        }
    }
}

/* Of every length: as long as promised, decoded by tiles as a whole, <decoded, x> = |x|^2. */
Test(eden, every_length)
{
    static float x[9000], y[9000], back[9000];
    draw(NORMAL, x, 9000);
    for (size_t k = 0; k < EDENS; k++) {
        for (size_t count = 1; count < 9000; count += count < 300 ? 1 : 443) {
            uint8_t *bytes;
            double product = 0, squares = 0;
            const size_t size = encode(names[k], x, count, 3, &bytes, y);
            cr_assert_eq(covey_codec_decode((struct covey_bytes){bytes, size}, count, back, NULL), COVEY_OK);
            cr_assert_eq(memcmp(y, back, count * sizeof *y), 0);
            cr_assert_eq(covey_codec_decode((struct covey_bytes){bytes, size - 1}, count, back, NULL),
                         COVEY_CORRUPT);
            for (size_t i = 0; i < count; i++) {
                product += (double)y[i] * (double)x[i];
                squares += (double)x[i] * (double)x[i];
            }
            cr_assert(!(fabs(product / squares - 1) > 1e-5), "%s, %zu: %g", names[k], count,
                      product / squares);
            free(bytes);
        }
    }
}

Test(eden, vectors_at_the_edges)
{
    enum { COUNT = 4096 + 333 };
    static const float specials[][2] = {{0, 0},          {-0.0f, 0},       {1, 1},      {-3e-5f, -3e-5f},
                                        {0, 1e30f},      {1e-38f, 1e-45f}, {1e-42f, 0}, {-1, 1e-20f},
                                        {0x1.fp99f, -1}, {1e-28f, 1e-30f}, {0, 1e-28f}, {1e30f, 1e-30f}};
    static float x[COUNT], y[COUNT];
    for (size_t s = 0; s < sizeof specials / sizeof specials[0]; s++) {
        for (size_t k = 0; k < EDENS; k++) {
            uint8_t *bytes;
            double product = 0, squares = 0;
            for (size_t i = 0; i < COUNT; i++)
                x[i] = i == 13 || i == 4196 ? specials[s][1] : specials[s][0];
            (void)encode(names[k], x, COUNT, 3, &bytes, y);
            for (size_t i = 0; i < COUNT; i++) {
                cr_assert(isfinite(y[i]));
                product += (double)y[i] * (double)x[i];
                squares += (double)x[i] * (double)x[i];
            }
            if (squares > 0x1p-180) /* above that which counts as zero */
                cr_expect(!(fabs(product / squares - 1) > 1e-5), "%s, row %zu: %g", names[k], s,
                          product / squares);
            else
                cr_expect(product <= 2 * squares, "%s, row %zu", names[k], s);
            free(bytes);
        }
    }
}

Test(eden, what_is_too_large_is_refused)
{
    static float x[5000], y[5000];
    struct covey_codec codec;
    struct covey_error err = {0};
    uint8_t out[5000];
    size_t size = 77;
    x[4321] = -0x1p100f;
    cr_assert_eq(covey_codec_parse("eden1", &codec, NULL), COVEY_OK);
    cr_expect_eq(covey_codec_encode(&codec, x, 5000, &(struct covey_encode_options){0}, out, sizeof out,
                                    &size, y, &err),
                 COVEY_RANGE);
    cr_expect_not_null(strstr(err.text, "value 4321 is too large"), "%s", err.text);
    cr_expect_eq(size, 77);
}

/* Scales from elsewhere: negative, NaN, too large for the rotation; and codes of any kind. */
Test(eden, streams_from_elsewhere)
{
    enum { COUNT = 4096 + 333 };
    static float x[COUNT], y[COUNT];
    draw(NORMAL, x, COUNT);
    for (size_t k = 0; k < EDENS; k++) {
        uint8_t *bytes;
        const size_t size = encode(names[k], x, COUNT, 3, &bytes, NULL);
        const struct covey_bytes stream = {bytes, size};
        const size_t header = 10; /* three bytes, two of the count, four of the seed, the check */
        static const uint8_t scales[][4] = {{0, 0, 0, 0x80}, {0, 0, 0xC0, 0x7F}, {1, 0, 0, 0x78}};
        memset(bytes + header + 4 * 4, 0xA5, size - header - 4 * 4);
        cr_assert_eq(covey_codec_decode(stream, COUNT, y, NULL), COVEY_OK);
        for (size_t block = 0; block < 4; block++) {
            uint8_t kept[4];
            memcpy(kept, bytes + header + 4 * block, 4);
            for (size_t s = 0; s < 3; s++) {
                memcpy(bytes + header + 4 * block, scales[s], 4);
                memset(y, 0, sizeof y);
                cr_expect_eq(covey_codec_apply(stream, COUNT, y, NULL), COVEY_CORRUPT);
                for (size_t i = 0; i < COUNT; i++)
                    cr_assert(y[i] == 0.0f, "%s, block %zu, scale %zu, value %zu", names[k], block, s, i);
            }
            memcpy(bytes + header + 4 * block, (const uint8_t[4]){0, 0, 0, 0x78}, 4);
            cr_expect_eq(covey_codec_decode(stream, COUNT, y, NULL), COVEY_OK);
            for (size_t i = 0; i < COUNT; i++)
                cr_assert(isfinite(y[i]));
            memcpy(bytes + header + 4 * block, kept, 4);
        }
        free(bytes);
    }
}
