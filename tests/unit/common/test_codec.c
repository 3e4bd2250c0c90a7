#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/limits.h"
#include "covey/random.h"

static struct covey_codec codec_of(const char *name)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    cr_assert_eq(covey_codec_parse(name, &codec, &err), COVEY_OK, "%s", err.text);
    return codec;
}

static float *normal_values(size_t count, uint64_t seed)
{
    struct covey_random random;
    float *x = malloc((count + 1) * sizeof *x);
    covey_random_init(&random, seed, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)covey_random_normal(&random) * 0.01f;
    return x;
}

struct stream {
    uint8_t *bytes;
    size_t size;
};

/* What encoding needs beside the stream, for vectors of up to the largest count in this file. */
static struct covey_encode_options with_scratch(struct covey_encode_options options)
{
    enum { BYTES = 24 << 20 };
    static _Alignas(64) uint8_t scratch[BYTES];
    options.scratch = scratch;
    options.scratch_bytes = sizeof scratch;
    return options;
}

static struct stream encode(const char *name, const float *x, size_t count, uint64_t seed, float *decoded)
{
    const struct covey_codec codec = codec_of(name);
    const struct covey_encode_options options =
        with_scratch((struct covey_encode_options){.seed = seed, .device = 1, .round = 2});
    const size_t capacity = covey_codec_bound(&codec, count);
    struct stream stream = {malloc(capacity), 0};
    struct covey_error err = {0};
    cr_assert_eq(
        covey_codec_encode(&codec, x, count, &options, stream.bytes, capacity, &stream.size, decoded, &err),
        COVEY_OK, "%s: %s", name, err.text);
    cr_assert(stream.size <= capacity);
    return stream;
}

static struct covey_bytes view(const struct stream *stream)
{
    return (struct covey_bytes){stream->bytes, stream->size};
}

Test(codec, names)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    for (size_t i = 0; covey_codec_name(i) != NULL; i++) {
        cr_assert_eq(covey_codec_parse(covey_codec_name(i), &codec, NULL), COVEY_OK);
        cr_expect_str_eq(codec.name, covey_codec_name(i));
    }
    static const char *const wrong[] = {"",         "int",     "int88",
                                        "INT8",     "ec:",     "ec:0",
                                        "ec:0.049", "ec:8.1",  "ec:1e0",
                                        "ec:-1",    "ec:1.0.", "ec:.",
                                        "ec:nan",   "ec: 1",   "ec:0.500000000000000000000000001",
                                        "int8 "};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(covey_codec_parse(wrong[i], &codec, &err), COVEY_INVALID, "'%s'", wrong[i]);
    static const char *const begin = "there is no codec 'int8 '; there are: raw32 fp16 int8 int4 ";
    cr_expect_eq(strncmp(err.text, begin, strlen(begin)), 0, "%s", err.text);
}

/* Sizes around every boundary; what the encoder says it decodes to is what the decoder gives. */
Test(codec, there_and_back_at_every_size)
{
    static const size_t counts[] = {0,    1,    2,     63,    64,    65,    127,    129,    4032,  4095,
                                    4096, 4097, 65535, 65536, 65537, 69633, 131072, 131073, 200001};
    float *x = normal_values(200001, 1);
    for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
        for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++) {
            const size_t count = counts[k];
            float *decoded = malloc((count + 1) * sizeof *x), *back = malloc((count + 1) * sizeof *x);
            struct covey_error err = {0};
            struct stream stream = encode(covey_codec_name(c), x, count, 5, decoded);
            struct stream again = encode(covey_codec_name(c), x, count, 5, NULL);
            cr_expect(stream.size == again.size && memcmp(stream.bytes, again.bytes, stream.size) == 0);
            cr_assert_eq(covey_codec_decode(view(&stream), count, back, &err), COVEY_OK, "%s", err.text);
            cr_expect_eq(memcmp(decoded, back, count * sizeof *x), 0, "%s, %zu", covey_codec_name(c), count);
            /* In place. */
            memcpy(decoded, x, count * sizeof *x);
            struct stream in_place = encode(covey_codec_name(c), decoded, count, 5, decoded);
            cr_expect_eq(memcmp(stream.bytes, in_place.bytes, stream.size), 0);
            cr_expect_eq(memcmp(decoded, back, count * sizeof *x), 0);
            /* Too little room. */
            const struct covey_codec codec = codec_of(covey_codec_name(c));
            size_t size = 77;
            const struct covey_encode_options options =
                with_scratch((struct covey_encode_options){.seed = 5, .device = 1, .round = 2});
            cr_expect_eq(covey_codec_encode(&codec, x, count, &options, in_place.bytes, stream.size - 1,
                                            &size, NULL, NULL),
                         COVEY_LIMIT, "%s, %zu", covey_codec_name(c), count);
            cr_expect_eq(size, 77);
            free(stream.bytes);
            free(again.bytes);
            free(in_place.bytes);
            free(decoded);
            free(back);
        }
    }
    free(x);
}

Test(codec, sizes_are_as_promised)
{
    static const struct {
        const char *name;
        double bits;
    } rows[] = {{"raw32", 32}, {"fp16", 16}, {"int8", 32 / 3.8}, {"int4", 32 / 7.5}};
    static const size_t counts[] = {7850, 199210, 1663370};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < 3; k++) {
            float *x = normal_values(counts[k], 2);
            struct stream stream = encode(rows[i].name, x, counts[k], 5, NULL);
            const double header = i < 2 ? 9 : 0; /* the compressing ones keep it within their ratio */
            cr_expect(8. * (double)stream.size <= rows[i].bits * (double)counts[k] + 8 * header,
                      "%s: %zu bytes for %zu", rows[i].name, stream.size, counts[k]);
            free(stream.bytes);
            free(x);
        }
    }
}

Test(codec, error_is_that_of_the_quantiser)
{
    static const struct {
        const char *name;
        double nmse; /* at the most, on a normal vector */
    } rows[] = {{"raw32", 0}, {"fp16", 1e-7}, {"int8", 7.3e-5}, {"int4", .0240}};
    enum { COUNT = 1 << 18 };
    float *x = normal_values(COUNT, 3), *y = malloc(COUNT * sizeof *y);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stream stream = encode(rows[i].name, x, COUNT, 5, y);
        double error = 0, squares = 0;
        for (size_t j = 0; j < COUNT; j++) {
            error += ((double)y[j] - (double)x[j]) * ((double)y[j] - (double)x[j]);
            squares += (double)x[j] * (double)x[j];
        }
        cr_expect(error / squares <= rows[i].nmse, "%s: NMSE %g", rows[i].name, error / squares);
        free(stream.bytes);
    }
    free(x);
    free(y);
}

/* The scale of each value's block. */
static void read_scales(const struct stream *stream, size_t count, float *out)
{
    struct covey_decoder decoder;
    static struct covey_codes codes;
    cr_assert_eq(covey_decoder_init(&decoder, view(stream), count, NULL), COVEY_OK);
    for (size_t at = 0; at < count; at += codes.count) {
        cr_assert_eq(covey_decoder_next_scales(&decoder, &codes), COVEY_OK);
        for (size_t i = 0; i < codes.count; i++)
            out[at + i] = codes.scales[i / COVEY_BLOCK_VALUES];
    }
}

/* Over many seeds the decoded value is right on average: each value's mean error, over the standard error
 * that its place p between two levels gives, sqrt(p (1 - p) / seeds) steps, behaves as a standard normal
 * variable does. */
Test(codec, stochastic_rounding_is_unbiased)
{
    enum { COUNT = 4096 + 100, SEEDS = 1500 };
    static const char *const names[] = {"int8", "int4"};
    float *x = normal_values(COUNT, 4), *y = malloc(COUNT * sizeof *y),
          *scales = malloc(COUNT * sizeof *scales);
    for (size_t i = 0; i < 64; i++)
        x[128 + i] =
            i == 5 ? 1.0f : 0.3f / 127; /* every value but one at the same place between two levels */
    for (size_t c = 0; c < 2; c++) {
        double *sum = calloc(COUNT, sizeof *sum), total = 0, chi2 = 0, used = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct stream stream = encode(names[c], x, COUNT, seed, y);
            if (seed == 0)
                read_scales(&stream, COUNT, scales);
            free(stream.bytes);
            for (size_t i = 0; i < COUNT; i++)
                sum[i] += (double)y[i] - (double)x[i];
        }
        for (size_t i = 0; i < COUNT; i++) {
            const double steps = (double)x[i] / (double)scales[i], place = steps - floor(steps);
            if (place < .02 || place > .98)
                continue; /* rounded the other way too rarely for a normal variable */
            const double z = sum[i] / SEEDS / ((double)scales[i] * sqrt(place * (1 - place) / SEEDS));
            cr_assert(!(fabs(z) > 6), "%s: value %zu is off by %g standard errors", names[c], i, z);
            total += z;
            chi2 += z * z;
            used++;
        }
        cr_assert(used > .9 * COUNT);
        cr_expect(!(fabs(total / sqrt(used)) > 5.5), "%s: mean off by %g standard errors", names[c],
                  total / sqrt(used));
        cr_expect(!(fabs(chi2 - used) > 5.5 * sqrt(2 * used)), "%s: chi2 %g of %g", names[c], chi2, used);
        free(sum);
    }
    free(x);
    free(y);
    free(scales);
}

/* The decoded sum of many devices' streams of the same vector: errors of neighbours must not add up. */
Test(codec, rounding_errors_of_neighbours_are_independent)
{
    enum { COUNT = 4096, SEEDS = 400 };
    float *x = malloc(COUNT * sizeof *x), *y = malloc(COUNT * sizeof *y);
    for (size_t i = 0; i < COUNT; i++)
        x[i] = i % 64 == 0 ? 127.0f : 0.5f; /* half a step, everywhere */
    double squares = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        double sum = 0;
        struct stream stream = encode("int8", x, COUNT, seed, y);
        free(stream.bytes);
        for (size_t i = 0; i < COUNT; i++)
            sum += i % 64 == 0 ? 0 : (double)y[i] - (double)x[i];
        squares += sum * sum;
    }
    /* The sum of COUNT * 63 / 64 errors of variance 1/4 each, roughly (a scale is a little above 1). */
    const double expected = COUNT * 63. / 64 * .25, ratio = squares / SEEDS / expected;
    cr_expect(!(fabs(ratio - 1) > 6 * sqrt(2. / SEEDS)), "variance of the sum is %g times what it should be",
              ratio);
    free(x);
    free(y);
}

Test(codec, special_vectors)
{
    enum { COUNT = 300 };
    static const float specials[][2] = {{0, 0},           {-0.0f, 0},        {1, 1},         {-3e-5f, -3e-5f},
                                        {0, 1e30f},       {1e-38f, 1e-45f},  {1e-42f, 0},    {-1, 1e-20f},
                                        {3e38f, -3e38f},  {1.6e38f, 1e-38f}, {65504, 65519}, {65520, -1e6f},
                                        {6e-8f, 5.9e-8f}, {2.98e-8f, 3e-8f}};
    for (size_t s = 0; s < sizeof specials / sizeof specials[0]; s++) {
        for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
            float x[COUNT], y[COUNT];
            const struct covey_codec codec = codec_of(covey_codec_name(c));
            if (codec.transform != 0 || codec.bits == 1)
                continue; /* test_eden.c, test_extend.c: no bound for each value by its block */
            for (size_t i = 0; i < COUNT; i++)
                x[i] = i % 97 == 13 ? specials[s][1] : specials[s][0];
            uint8_t out[COUNT * 4 + 16];
            size_t size = 0;
            struct covey_error err = {0};
            if (codec.rate > 0)
                continue; /* test_uniform.c */
            const struct covey_encode_options options = {0};
            const enum covey_status status =
                covey_codec_encode(&codec, x, COUNT, &options, out, sizeof out, &size, y, &err);
            const int too_large = fabsf(specials[s][0]) >= 0x1p127f && codec.bits <= 8;
            cr_assert_eq(status, too_large ? COVEY_RANGE : COVEY_OK, "%s: %g: %s", codec.name,
                         (double)specials[s][0], err.text);
            if (too_large)
                continue;
            for (size_t b = 0; b < COUNT; b += 64) {
                float most = 0;
                for (size_t i = b; i < COUNT && i < b + 64; i++)
                    most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
                for (size_t i = b; i < COUNT && i < b + 64; i++) {
                    const double error = fabs((double)y[i] - (double)x[i]);
                    double bound = 0;
                    if (codec.bits == 16)
                        bound = fabs((double)x[i]) > 65504 ? fabs((double)x[i]) - 65504
                                                           : fmax(fabs((double)x[i]) * 0x1p-11, 0x1p-25);
                    else if (codec.bits <= 8)
                        bound = (double)most < 0x1p-93 ? (double)most
                                                       : (double)most / (codec.bits == 8 ? 127 : 7) * 1.01;
                    cr_expect(error <= bound, "%s: value %zu = %g became %g", codec.name, i, (double)x[i],
                              (double)y[i]);
                }
            }
        }
    }
}

Test(codec, what_is_not_finite_is_refused_with_its_place)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    static const size_t places[] = {0, 63, 64, 4095, 4096, 69999};
    enum { COUNT = 70000 };
    float *x = normal_values(COUNT, 6), *copy = malloc(COUNT * sizeof *copy);
    uint8_t *out = malloc(COUNT * 4 + 16);
    const struct covey_encode_options options = with_scratch((struct covey_encode_options){0});
    for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
        const struct covey_codec codec = codec_of(covey_codec_name(c));
        for (size_t i = 0; i < 4 * 6; i++) {
            char place[32];
            size_t size = 77;
            struct covey_error err = {0};
            const float kept = x[places[i / 4]];
            x[places[i / 4]] = bad[i % 4];
            cr_expect_eq(
                covey_codec_encode(&codec, x, COUNT, &options, out, COUNT * 4 + 16, &size, NULL, &err),
                COVEY_NOT_FINITE);
            (void)snprintf(place, sizeof place, "value %zu is", places[i / 4]);
            cr_expect(strstr(err.text, place) == err.text, "%s: %s", codec.name, err.text);
            cr_expect_eq(size, 77);
            memcpy(copy, x, COUNT * sizeof *x);
            cr_expect_eq(covey_codec_encode(&codec, x, COUNT, &options, out, COUNT * 4 + 16, &size, x, &err),
                         COVEY_NOT_FINITE);
            cr_expect_eq(memcmp(copy, x, COUNT * sizeof *x), 0, "in place, nothing was changed");
            x[places[i / 4]] = kept;
        }
    }
    free(x);
    free(copy);
    free(out);
}

/* The whole of a stream by tiles, from a copy of exactly its size so that a sanitizer sees a read past its
 * end. */
static enum covey_status decode_exact(const uint8_t *bytes, size_t size, size_t count, float *out)
{
    uint8_t *exact = malloc(size + 1);
    memcpy(exact, bytes, size);
    uint8_t *end = malloc(size > 0 ? size : 1);
    memcpy(end, bytes, size);
    const enum covey_status status = covey_codec_decode((struct covey_bytes){end, size}, count, out, NULL);
    free(exact);
    free(end);
    return status;
}

Test(codec, every_truncation_is_refused)
{
    enum { COUNT = 333 };
    float *x = normal_values(COUNT, 7), y[COUNT];
    for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
        struct stream stream = encode(covey_codec_name(c), x, COUNT, 5, NULL);
        for (size_t size = 0; size < stream.size; size++)
            cr_expect_neq(decode_exact(stream.bytes, size, COUNT, y), COVEY_OK);
        uint8_t *longer = calloc(stream.size + 1, 1);
        memcpy(longer, stream.bytes, stream.size);
        cr_expect_eq(decode_exact(longer, stream.size + 1, COUNT, y), COVEY_CORRUPT);
        cr_expect_eq(decode_exact(stream.bytes, stream.size, COUNT - 1, y), COVEY_MISMATCH);
        free(longer);
        free(stream.bytes);
    }
    free(x);
}

Test(codec, every_bit_flip_is_refused_or_stays_finite)
{
    enum { COUNT = 333 };
    float *x = normal_values(COUNT, 8), y[COUNT];
    for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
        struct stream stream = encode(covey_codec_name(c), x, COUNT, 5, NULL);
        size_t header_passed = 0;
        for (size_t bit = 0; bit < 8 * stream.size; bit++) {
            stream.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (decode_exact(stream.bytes, stream.size, COUNT, y) == COVEY_OK) {
                header_passed += bit < 8 * 6;
                for (size_t i = 0; i < COUNT; i++)
                    cr_assert(isfinite(y[i]));
            }
            stream.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        cr_expect_eq(header_passed, 0, "%s: a changed header was taken", covey_codec_name(c));
        free(stream.bytes);
    }
    free(x);
}

Test(codec, seeking_gives_what_reading_gives)
{
    enum { COUNT = 3 * COVEY_CHUNK_VALUES + 777 };
    float *x = normal_values(COUNT, 9), *whole = malloc(COUNT * sizeof *x), *part = malloc(COUNT * sizeof *x);
    for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
        struct stream stream = encode(covey_codec_name(c), x, COUNT, 5, whole);
        struct covey_decoder decoder;
        cr_assert_eq(covey_decoder_init(&decoder, view(&stream), COUNT, NULL), COVEY_OK);
        /* what auto makes of values that are all alike is a stream of ec; whose mask it is, is not told */
        const char *name = strncmp(covey_codec_name(c), "auto:", 5) == 0  ? "ec:"
                           : strncmp(covey_codec_name(c), "same", 4) == 0 ? "mask:"
                                                                          : covey_codec_name(c);
        cr_expect_eq(strncmp(decoder.codec.name, name, strcspn(name, ":")), 0, "%s of %s", decoder.codec.name,
                     covey_codec_name(c));
        for (size_t k = COUNT / decoder.chunk_values + 1; k-- > 0;) {
            size_t at = k * decoder.chunk_values, decoded = 0;
            cr_assert_eq(covey_decoder_seek(&decoder, at), COVEY_OK);
            for (;;) {
                cr_assert_eq(covey_decoder_next(&decoder, part, &decoded), COVEY_OK);
                if (decoded == 0)
                    break;
                cr_assert(decoded <= COVEY_DECODE_VALUES);
                cr_expect_eq(memcmp(whole + at, part, decoded * sizeof *x), 0, "%s at %zu",
                             covey_codec_name(c), at);
                at += decoded;
            }
            cr_expect_eq(at, COUNT);
        }
        cr_expect_eq(covey_decoder_seek(&decoder, 1), COVEY_INVALID);
        cr_expect_eq(covey_decoder_seek(&decoder, 4 * COVEY_CHUNK_VALUES), COVEY_INVALID);
        free(stream.bytes);
    }
    free(x);
    free(whole);
    free(part);
}

Test(codec, codes_times_scales_are_the_values)
{
    enum { COUNT = COVEY_CHUNK_VALUES + 4096 + 333 };
    float *x = normal_values(COUNT, 10), *values = malloc(COUNT * sizeof *x);
    for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
        struct stream stream = encode(covey_codec_name(c), x, COUNT, 5, values);
        struct covey_decoder decoder;
        static struct covey_codes codes, scales;
        cr_assert_eq(covey_decoder_init(&decoder, view(&stream), COUNT, NULL), COVEY_OK);
        if (!covey_decoder_has_codes(&decoder)) {
            cr_expect_eq(covey_decoder_next_codes(&decoder, &codes), COVEY_STATE);
            cr_expect_eq(covey_decoder_next_scales(&decoder, &codes),
                         covey_decoder_has_scales(&decoder) ? COVEY_OK : COVEY_STATE);
            free(stream.bytes);
            continue;
        }
        struct covey_decoder second = decoder;
        for (size_t at = 0;; at += codes.count) {
            cr_assert_eq(covey_decoder_next_codes(&decoder, &codes), COVEY_OK);
            float peak = INFINITY;
            const bool has_peak = covey_decoder_peak(&second, 0, COUNT, &peak);
            if (has_peak) {
                cr_expect_eq(covey_decoder_next_scales(&second, &scales), COVEY_STATE);
                memcpy(scales.scales, codes.scales, sizeof scales.scales);
            } else {
                cr_assert_eq(covey_decoder_next_scales(&second, &scales), COVEY_OK);
                cr_assert_eq(codes.count, scales.count);
            }
            if (codes.count == 0) {
                cr_expect_eq(at, COUNT);
                break;
            }
            for (size_t i = 0; i < codes.count; i++) {
                const float scale = codes.scales[i / COVEY_BLOCK_VALUES];
                cr_assert(scale == scales.scales[i / COVEY_BLOCK_VALUES]);
                const int32_t code = codes.codes != NULL ? codes.codes[i] : codes.wide[i];
                cr_assert((uint32_t)abs(code) <= codes.code_limit);
                cr_assert((float)code * scale == values[at + i]);
                cr_assert((double)code * (double)scale == (double)values[at + i], "exact");
                cr_assert(fabsf(values[at + i]) <= peak);
            }
        }
        free(stream.bytes);
    }
    free(x);
    free(values);
}

Test(codec, apply_adds_or_changes_nothing)
{
    enum { COUNT = 5000 };
    float *x = normal_values(COUNT, 11), *base = normal_values(COUNT, 12), values[COUNT], sum[COUNT];
    for (size_t c = 0; covey_codec_name(c) != NULL; c++) {
        struct stream stream = encode(covey_codec_name(c), x, COUNT, 5, values);
        memcpy(sum, base, sizeof sum);
        cr_assert_eq(covey_codec_apply(view(&stream), COUNT, sum, NULL), COVEY_OK);
        for (size_t i = 0; i < COUNT; i++)
            cr_assert(sum[i] == base[i] + values[i]);
        if (codec_of(covey_codec_name(c)).transform != 0 || codec_of(covey_codec_name(c)).rate > 0 ||
            codec_of(covey_codec_name(c)).bits == 1) {
            free(stream.bytes);
            continue;
        }
        /* An infinite value or scale in the last tile. */
        memset(stream.bytes + stream.size - (codec_of(covey_codec_name(c)).bits > 8 ? 4 : 8), 0xFF, 4);
        if (codec_of(covey_codec_name(c)).bits <= 8)
            memset(stream.bytes + 7 + 2 * 70, 0xFF, 2 * 8);
        memcpy(sum, base, sizeof sum);
        cr_expect_neq(covey_codec_apply(view(&stream), COUNT, sum, NULL), COVEY_OK, "%s",
                      covey_codec_name(c));
        cr_expect_eq(memcmp(sum, base, sizeof sum), 0);
        free(stream.bytes);
    }
    free(x);
    free(base);
}

Test(codec, seeds_devices_and_rounds_round_differently)
{
    enum { COUNT = 4096 };
    float *x = normal_values(COUNT, 13);
    const struct covey_codec codec = codec_of("int8");
    const struct covey_encode_options options[] = {{.seed = 1, .device = 1, .round = 1},
                                                   {.seed = 2, .device = 1, .round = 1},
                                                   {.seed = 1, .device = 2, .round = 1},
                                                   {.seed = 1, .device = 1, .round = 2}};
    uint8_t streams[4][COUNT + 200];
    size_t size = 0;
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(covey_codec_encode(&codec, x, COUNT, &options[i], streams[i], sizeof streams[i], &size,
                                        NULL, NULL),
                     COVEY_OK);
        for (size_t j = 0; j < i; j++) {
            size_t different = 0;
            for (size_t k = 200; k < size; k++)
                different += streams[i][k] != streams[j][k];
            cr_expect(different > COUNT / 5 && different < COUNT / 2, "%zu %zu: %zu", i, j, different);
        }
    }
    free(x);
}

Test(codec, headers_from_elsewhere)
{
    static const struct {
        uint8_t bytes[8];
        size_t size;
        enum covey_status expected;
    } rows[] = {
        {{0}, 0, COVEY_CORRUPT},
        {{0xC1, 0, 0x20, 0x40}, 4, COVEY_CORRUPT},
        {{0xD1, 0, 0x20, 0, 0}, 5, COVEY_CORRUPT},                         /* magic */
        {{0xC2, 0, 0x20, 0, 0}, 5, COVEY_UNSUPPORTED},                     /* a later version */
        {{0xC1, 0, 0x20, 0x80, 0x00, 0}, 6, COVEY_CORRUPT},                /* zero in two bytes */
        {{0xC1, 0, 0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F}, 8, COVEY_CORRUPT}, /* 2^35 - 1 values */
        {{0xC1, 0, 0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 8, COVEY_CORRUPT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct covey_decoder decoder;
        cr_expect_eq(covey_decoder_init(&decoder, (struct covey_bytes){rows[i].bytes, rows[i].size}, 0, NULL),
                     rows[i].expected, "row %zu", i);
    }
    const struct covey_codec codec = codec_of("int8");
    size_t size = 7;
    cr_expect_eq(covey_codec_encode(&codec, NULL, COVEY_MODEL_PARAMETERS + 1,
                                    &(struct covey_encode_options){0}, NULL, 0, &size, NULL, NULL),
                 COVEY_LIMIT);
}
