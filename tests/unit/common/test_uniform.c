/* ec:RATE: the rate is met, the error is what theory allows, and nothing that comes from outside harms. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/limits.h"
#include "covey/random.h"

enum distribution { NORMAL, LAPLACE, STUDENT3, HALF };

/* Unit variance, times 0.01. HALF: generalised Gaussian with shape 1/2, whose root of |x| is a gamma variable
 * of shape 2: the sum of two exponential ones. */
static double draw(enum distribution distribution, struct covey_random *random)
{
    const double a = -log1p(-covey_random_double(random)), b = -log1p(-covey_random_double(random));
    const double sign = covey_random_u32(random) & 1 ? 1 : -1;
    double squares = 0;
    switch (distribution) {
    case LAPLACE:
        return sign * a * sqrt(0.5);
    case STUDENT3:
        for (int i = 0; i < 3; i++) {
            const double z = covey_random_normal(random);
            squares += z * z;
        }
        return covey_random_normal(random) / sqrt(squares);
    case HALF:
        return sign * (a + b) * (a + b) / sqrt(120);
    default:
        return covey_random_normal(random);
    }
}

static float *values_of(enum distribution distribution, size_t count)
{
    struct covey_random random;
    float *x = malloc((count + 1) * sizeof *x);
    covey_random_init(&random, 1, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(0.01 * draw(distribution, &random));
    return x;
}

struct coded {
    uint8_t *bytes;
    size_t size;
    double nmse;
};

static struct coded code_as(const struct covey_codec *codec, const float *x, size_t count)
{
    struct covey_error err = {0};
    const size_t capacity = covey_codec_bound(codec, count),
                 scratch_bytes = covey_codec_scratch_bytes(codec, count);
    struct coded coded = {malloc(capacity), 0, 0};
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    float *y = malloc((count + 1) * sizeof *y);
    const struct covey_encode_options options = {.scratch = scratch, .scratch_bytes = scratch_bytes};
    cr_assert_eq(covey_codec_encode(codec, x, count, &options, coded.bytes, capacity, &coded.size, y, &err),
                 COVEY_OK, "%s: %s", codec->name, err.text);
    cr_assert(coded.size <= capacity);
    double error = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        cr_assert(isfinite(y[i]));
        error += ((double)y[i] - (double)x[i]) * ((double)y[i] - (double)x[i]);
        squares += (double)x[i] * (double)x[i];
    }
    coded.nmse = squares > 0 ? error / squares : 0;
    free(scratch);
    free(y);
    return coded;
}

static struct coded code(const char *name, const float *x, size_t count)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    cr_assert_eq(covey_codec_parse(name, &codec, &err), COVEY_OK, "%s", err.text);
    return code_as(&codec, x, count);
}

/* Within 1 % or 24 bytes, whichever is more, header included. */
Test(uniform, rate_is_met)
{
    static const char *const names[] = {"ec:0.05", "ec:0.1", "ec:0.3", "ec:.5", "ec:1",   "ec:1.7",
                                        "ec:2",    "ec:3.3", "ec:4",   "ec:5",  "ec:6.5", "ec:8"};
    static const size_t counts[] = {7850, 40000, 199210, 600000};
    for (enum distribution d = NORMAL; d <= HALF; d++) {
        for (size_t k = 0; k < 4; k++) {
            float *x = values_of(d, counts[k]);
            for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                const double wanted = atof(names[i] + 3) * (double)counts[k] / 8;
                const struct coded coded = code(names[i], x, counts[k]);
                cr_expect(!(fabs((double)coded.size - wanted) > fmax(24, wanted / 100)),
                          "%s of %zu values, distribution %d: %zu bytes for %.1f", names[i], counts[k], d,
                          coded.size, wanted);
                free(coded.bytes);
            }
            free(x);
        }
    }
}

/* The project's table: 2^20 values, at the bits really produced. */
Test(uniform, error_is_near_the_bound)
{
    static const char *const names[] = {"ec:.1", "ec:.5", "ec:1", "ec:2", "ec:4", "ec:8"};
    static const double most[2][6] = {{.910, .619, .349, .0892, .0056, 2.18e-5},
                                      {.833, .488, .263, .0733, .0048, 1.89e-5}};
    for (enum distribution d = NORMAL; d <= LAPLACE; d++) {
        float *x = values_of(d, 1u << 20);
        for (size_t i = 0; i < 6; i++) {
            const struct coded coded = code(names[i], x, 1u << 20);
            cr_expect(!(coded.nmse > most[d][i]), "%s, distribution %d: NMSE %g", names[i], d, coded.nmse);
            free(coded.bytes);
        }
        free(x);
    }
}

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Bits of the vector's values if their frequencies were known for nothing. */
static double entropy_of(float *y, size_t count)
{
    double bits = 0;
    qsort(y, count, sizeof *y, by_value);
    for (size_t i = 0, n; i < count; i += n) {
        for (n = 1; i + n < count && y[i + n] == y[i];)
            n++;
        bits -= (double)n * log2((double)n / (double)count);
    }
    return bits;
}

/* What a small model pays for header, parameters and lanes. */
Test(uniform, overhead_of_small_vectors)
{
    static const struct {
        size_t count;
        const char *name;
        double most; /* bits a value */
    } rows[] = {{7850, "ec:.5", .02}, {199210, "ec:.1", .001}};
    for (size_t i = 0; i < 2; i++) {
        float *x = values_of(NORMAL, rows[i].count);
        const struct coded coded = code(rows[i].name, x, rows[i].count);
        cr_assert_eq(
            covey_codec_decode((struct covey_bytes){coded.bytes, coded.size}, rows[i].count, x, NULL),
            COVEY_OK);
        const double over = (8.0 * (double)coded.size - entropy_of(x, rows[i].count)) / (double)rows[i].count;
        cr_expect(!(over > rows[i].most), "%s of %zu values: %g bits a value", rows[i].name, rows[i].count,
                  over);
        free(coded.bytes);
        free(x);
    }
}

/* What cannot be coded at the rate is coded below it, and never beyond the bound. */
Test(uniform, vectors_that_are_not_smooth)
{
    enum { COUNT = 20000, KINDS = 10 };
    static const char *const names[] = {"ec:0.05", "ec:0.4", "ec:1", "ec:3", "ec:8"};
    float *x = malloc(COUNT * sizeof *x), *noise = values_of(NORMAL, COUNT);
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t i = 0; i < COUNT; i++) {
            const float kinds[KINDS] = {0,
                                        -0.0f,
                                        3.7f,
                                        noise[i] > 0 ? 0.01f : -0.01f,
                                        i == 777 ? -1e30f : 0,
                                        i == 777 ? 1e6f : noise[i],
                                        noise[i] * 1e-39f,
                                        noise[i] > 0.02f ? noise[i] : 0,
                                        noise[i] * 1e38f,
                                        1.7e38f};
            x[i] = kinds[kind];
        }
        for (size_t c = 0; c < sizeof names / sizeof names[0]; c++) {
            const struct coded coded = code(names[c], x, COUNT);
            cr_expect(coded.nmse <= 1.01, "%s, kind %zu: NMSE %g", names[c], kind, coded.nmse);
            if (kind == 4 || kind == 5)
                cr_expect(coded.nmse < 1e-5, "%s, kind %zu: NMSE %g", names[c], kind, coded.nmse);
            free(coded.bytes);
        }
    }
    free(x);
    free(noise);
}

Test(uniform, what_it_refuses)
{
    float x[100] = {1};
    struct covey_codec codec;
    struct covey_error err = {0};
    uint8_t out[1000];
    static _Alignas(64) uint8_t scratch[4096];
    size_t size = 77;
    struct covey_encode_options options = {.scratch = scratch, .scratch_bytes = sizeof scratch};
    cr_assert_eq(covey_codec_parse("ec:2", &codec, &err), COVEY_OK);
    cr_expect(codec.rate == 2 && !codec.unbiased);
    x[7] = 0x1p127f;
    cr_expect_eq(covey_codec_encode(&codec, x, 100, &options, out, sizeof out, &size, NULL, &err),
                 COVEY_RANGE);
    x[7] = NAN;
    cr_expect_eq(covey_codec_encode(&codec, x, 100, &options, out, sizeof out, &size, NULL, &err),
                 COVEY_NOT_FINITE);
    x[7] = 0;
    options.scratch_bytes = 10;
    cr_expect_eq(covey_codec_encode(&codec, x, 100, &options, out, sizeof out, &size, NULL, &err),
                 COVEY_LIMIT);
    cr_expect_eq(size, 77);
}

/* Segments can be read alone, in any order. */
Test(uniform, seeking)
{
    enum { COUNT = (1 << 20) + 777 };
    static const char *const names[] = {"ec:.7", "ec:8"};
    float *x = values_of(STUDENT3, COUNT), *whole = malloc(COUNT * sizeof *x), part[COVEY_DECODE_VALUES];
    for (size_t c = 0; c < 2; c++) {
        const struct coded coded = code(names[c], x, COUNT);
        const struct covey_bytes stream = {coded.bytes, coded.size};
        struct covey_decoder decoder;
        cr_assert_eq(covey_codec_decode(stream, COUNT, whole, NULL), COVEY_OK);
        cr_assert_eq(covey_decoder_init(&decoder, stream, COUNT, NULL), COVEY_OK);
        cr_assert(decoder.chunk_values < COUNT);
        for (size_t k = COUNT / decoder.chunk_values + 1; k-- > 0;) {
            size_t at = k * decoder.chunk_values, decoded = 0;
            cr_assert_eq(covey_decoder_seek(&decoder, at), COVEY_OK);
            for (int tile = 0; tile < 70 && at < COUNT; tile++, at += decoded) {
                cr_assert_eq(covey_decoder_next(&decoder, part, &decoded), COVEY_OK);
                cr_assert_eq(memcmp(whole + at, part, decoded * sizeof *x), 0, "%s at %zu", names[c], at);
            }
        }
        cr_expect_eq(covey_decoder_seek(&decoder, COVEY_CHUNK_VALUES), COVEY_INVALID);
        free(coded.bytes);
    }
    free(x);
    free(whole);
}

/* Whatever the segments say, what is decoded stays within the peak, and the decoder within the bytes. */
Test(uniform, garbage_stays_within_the_peak)
{
    enum { COUNT = 9000 };
    static const char *const names[] = {"ec:.1", "ec:1", "ec:3", "ec:8"};
    float *x = values_of(HALF, COUNT), y[COVEY_DECODE_VALUES];
    struct covey_random random;
    covey_random_init(&random, 3, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t c = 0; c < sizeof names / sizeof names[0]; c++) {
        const struct coded coded = code(names[c], x, COUNT);
        uint8_t *bytes = malloc(coded.size);
        size_t taken = 0;
        for (int trial = 0; trial < 300; trial++) {
            memcpy(bytes, coded.bytes, coded.size);
            for (int i = 0; i < 1 + trial % 20; i++)
                bytes[trial % 2 == 0 ? 40 + covey_random_below(&random, (uint32_t)coded.size - 40)
                                     : covey_random_below(&random, (uint32_t)coded.size)] =
                    (uint8_t)covey_random_u32(&random);
            struct covey_decoder decoder;
            size_t decoded = 0;
            float peak = 0;
            if (covey_decoder_init(&decoder, (struct covey_bytes){bytes, coded.size}, COUNT, NULL) !=
                COVEY_OK)
                continue;
            cr_assert(covey_decoder_peak(&decoder, 0, COUNT, &peak) && isfinite(peak));
            taken++;
            do {
                cr_assert_eq(covey_decoder_next(&decoder, y, &decoded), COVEY_OK);
                for (size_t i = 0; i < decoded; i++)
                    cr_assert(fabsf(y[i]) <= peak);
            } while (decoded > 0);
        }
        cr_expect(taken > 20, "%s: %zu", names[c], taken);
        free(bytes);
        free(coded.bytes);
    }
    free(x);
}

/* The whole stream's error with and without the rotation, and what is chosen. */
Test(uniform, adaptive_choice_is_the_better_one)
{
    enum { COUNT = 200000, KINDS = 6 };
    static const char *const rates[] = {"0.1", "0.5", "1", "3"};
    for (size_t kind = 0; kind < KINDS; kind++) {
        float *x = values_of(kind < 4 ? (enum distribution)kind : NORMAL, COUNT);
        for (size_t i = 0; i < COUNT && kind >= 4; i++) /* of one size; evenly distributed */
            x[i] = kind == 4 ? copysignf(.01f + .0005f * x[i], x[i]) : erff(x[i] * 70);
        for (size_t r = 0; r < 4; r++) {
            char names[2][16];
            (void)snprintf(names[0], sizeof names[0], "ec:%s", rates[r]);
            (void)snprintf(names[1], sizeof names[1], "auto:%s", rates[r]);
            const struct coded raw = code(names[0], x, COUNT), chosen = code(names[1], x, COUNT);
            struct covey_decoder decoder;
            struct covey_codec assigned;
            cr_assert_eq(covey_codec_parse(names[1], &assigned, NULL), COVEY_OK);
            assigned.adaptive = 0; /* always rotated */
            const struct coded rotated = code_as(&assigned, x, COUNT);
            assigned.adaptive = 1;
            cr_expect(!(chosen.nmse > 1.01 * fmin(raw.nmse, rotated.nmse)),
                      "%s, kind %zu: NMSE %g, raw %g, rotated %g", names[1], kind, chosen.nmse, raw.nmse,
                      rotated.nmse);
            cr_assert_eq(
                covey_decoder_init(&decoder, (struct covey_bytes){chosen.bytes, chosen.size}, COUNT, NULL),
                COVEY_OK);
            cr_expect(covey_codec_made(&assigned, &decoder.codec));
            if (kind == HALF)
                cr_expect_eq(decoder.codec.transform, 0);
            free(raw.bytes);
            free(chosen.bytes);
            free(rotated.bytes);
        }
        free(x);
    }
}
