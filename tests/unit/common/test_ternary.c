/* stc:SHARE: the largest magnitudes as +-1 times their mean, the others zero. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/random.h"

static size_t encode(const char *name, const float *x, size_t count, uint8_t **out, float *y)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    size_t size = 0;
    cr_assert_eq(covey_codec_parse(name, &codec, NULL), COVEY_OK);
    const size_t capacity = covey_codec_bound(&codec, count),
                 scratch_bytes = covey_codec_scratch_bytes(&codec, count);
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    *out = malloc(capacity);
    cr_assert_eq(
        covey_codec_encode(&codec, x, count,
                           &(struct covey_encode_options){.scratch = scratch, .scratch_bytes = scratch_bytes},
                           *out, capacity, &size, y, &err),
        COVEY_OK, "%s", err.text);
    free(scratch);
    return size;
}

static float *normal_values(size_t count)
{
    struct covey_random random;
    float *x = malloc(count * sizeof *x);
    covey_random_init(&random, 21, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        x[i] = 1e-3f * (float)covey_random_normal(&random);
    return x;
}

static int by_magnitude(const void *a, const void *b)
{
    const float x = fabsf(*(const float *)a), y = fabsf(*(const float *)b);
    return (x < y) - (x > y);
}

/* Exactly the share that was asked for, the largest, each with its own sign, at their mean. */
Test(ternary, keeps_the_largest)
{
    static const struct {
        const char *name;
        double share;
    } rows[] = {{"stc:0.0005", .0005}, {"stc:0.01", .01}, {"stc:0.1", .1}, {"stc:0.5", .5}};
    static const size_t counts[] = {1000, 7850, 300000};
    for (size_t c = 0; c < 3; c++) {
        const size_t count = counts[c];
        float *x = normal_values(count), *y = malloc(count * sizeof *y), *sorted = malloc(count * sizeof *x);
        memcpy(sorted, x, count * sizeof *x);
        qsort(sorted, count, sizeof *sorted, by_magnitude);
        for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
            const double wanted = (double)(float)rows[r].share * (double)count; /* as the codec has it */
            const size_t kept = wanted < 1 ? 1 : (size_t)(wanted + .5);
            double mean = 0;
            uint8_t *bytes;
            for (size_t i = 0; i < kept; i++)
                mean += (double)fabsf(sorted[i]) / (double)kept;
            const size_t size = encode(rows[r].name, x, count, &bytes, y);
            size_t found = 0;
            for (size_t i = 0; i < count; i++) {
                cr_assert_eq(y[i] != 0.0f, fabsf(x[i]) >= fabsf(sorted[kept - 1]), "%s, value %zu",
                             rows[r].name, i);
                if (y[i] == 0.0f)
                    continue;
                found++;
                cr_assert_eq(signbit(y[i]), signbit(x[i]));
                cr_assert(!(fabs((double)fabsf(y[i]) / mean - 1) > 0x1p-9));
            }
            cr_expect_eq(found, kept);
            /* The positions' entropy and a sign each; parameters and lanes. */
            const double p = (double)kept / (double)count;
            const double bits = (-p * log2(p / 2) - (1 - p) * log2(1 - p)) * (double)count;
            cr_expect(!((double)size > bits / 8 * 1.015 + 30 + 40 * ((double)count / 262144)),
                      "%s: %zu bytes, entropy %g", rows[r].name, size, bits / 8);
            free(bytes);
        }
        free(x);
        free(y);
        free(sorted);
    }
}

/* .916 at .091 bits (YARDSTICKS). */
Test(ternary, error_on_a_normal_vector)
{
    enum { COUNT = 1 << 19 };
    float *x = normal_values(COUNT), *y = malloc(COUNT * sizeof *y);
    uint8_t *bytes;
    double error = 0, squares = 0;
    const size_t size = encode("stc:0.01", x, COUNT, &bytes, y);
    for (size_t i = 0; i < COUNT; i++) {
        error += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
        squares += (double)x[i] * (double)x[i];
    }
    cr_expect(!(fabs(error / squares - .916) > .002), "%g", error / squares);
    cr_expect(!(8. * (double)size / COUNT > .0918), "%g bits", 8. * (double)size / COUNT);
    free(bytes);
    free(x);
    free(y);
}

Test(ternary, vectors_at_the_edges)
{
    enum { COUNT = 3000 };
    static const float specials[][2] = {{0, 0},      {1, 1},          {-1, -1},        {0, -5},
                                        {1e-42f, 0}, {1e-38f, 1e38f}, {1e-20f, 1e-3f}, {0, 1e-25f}};
    float x[COUNT], y[COUNT];
    for (size_t s = 0; s < sizeof specials / sizeof specials[0]; s++) {
        uint8_t *bytes;
        for (size_t i = 0; i < COUNT; i++)
            x[i] = i == 77 ? specials[s][1] : specials[s][0];
        (void)encode("stc:0.01", x, COUNT, &bytes, y);
        for (size_t i = 0; i < COUNT; i++)
            cr_assert(isfinite(y[i]));
        free(bytes);
    }
}

Test(ternary, names)
{
    static const char *const wrong[] = {"stc:", "stc:0", "stc:0.0004", "stc:0.6", "stc:1", "stc:x"};
    struct covey_codec codec;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(covey_codec_parse(wrong[i], &codec, NULL), COVEY_INVALID, "%s", wrong[i]);
}
