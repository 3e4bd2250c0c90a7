/* mask:SHARE and samemask:SHARE: a part of the values, drawn by lot from what the header says. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/random.h"
#include "stage.h"

#define COUNT (2 * COVEY_DECODE_VALUES + 700)

static struct covey_codec codec_of(const char *name)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    cr_assert_eq(covey_codec_parse(name, &codec, &err), COVEY_OK, "%s", err.text);
    return codec;
}

static void normal_values(float *x)
{
    struct covey_random random;
    covey_random_init(&random, 31, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < COUNT; i++)
        x[i] = 1e-3f * (float)covey_random_normal(&random) + 1e-4f;
}

/* Bytes of the stream; out: covey_codec_bound of COUNT values. */
static size_t encode(const struct covey_codec *codec, const float *x,
                     const struct covey_encode_options *options, uint8_t *out, float *decoded)
{
    size_t size = 0;
    struct covey_error err = {0};
    const size_t bound = covey_codec_bound(codec, COUNT);
    cr_assert_eq(covey_codec_encode(codec, x, COUNT, options, out, bound, &size, decoded, &err), COVEY_OK,
                 "%s", err.text);
    cr_assert(size <= bound);
    return size;
}

Test(mask, names)
{
    struct covey_codec codec;
    static const char *const right[] = {"mask:.1",       "mask:0.5",       "mask:.0005",
                                        "mask:.1:int8",  "mask:.25:eden1", "samemask:.1",
                                        "mask:.1:raw32", "mask:.02:int4",  "samemask:.1:fp16"};
    static const char *const wrong[] = {"mask",
                                        "mask:",
                                        "mask:0",
                                        "mask:.6",
                                        "mask:.0004",
                                        "mask:.1:",
                                        "mask:.1:ec:1",
                                        "mask:.1:ec",
                                        "mask:.1:int9",
                                        "mask:.1:stc:.1",
                                        "mask:.1 ",
                                        "mask:.1:mask:.1",
                                        "mask::int8",
                                        "mask:1e-1",
                                        "mask:.1:auto:1",
                                        "samemask:x",
                                        "mask:.1:int8:int8"};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        cr_assert_eq(covey_codec_parse(right[i], &codec, NULL), COVEY_OK, "%s", right[i]);
        cr_expect_str_eq(codec.name, right[i]);
        cr_expect(codec.kept > 0 && codec.kept <= COVEY_DECODE_VALUES / 2);
        cr_expect_eq(codec.common, right[i][0] == 's');
        cr_expect_eq(codec.unbiased, strstr(right[i], "fp16") == NULL);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(covey_codec_parse(wrong[i], &codec, NULL), COVEY_INVALID, "'%s'", wrong[i]);
}

/* The same number of each tile; what is kept is the value, times the factor without feedback; nothing is
 * sent for the others, nor for where they are. */
Test(mask, keeps_its_share_as_it_is)
{
    static const struct {
        const char *name;
        double bits;      /* of a value that is kept */
        double tolerance; /* of a kept value, of the largest there can be */
    } rows[] = {{"mask:.1:raw32", 32, 1e-7}, {"samemask:.1:raw32", 32, 1e-7},  {"mask:.1:fp16", 16, 1e-3},
                {"mask:.1", 8.31, 1. / 100}, {"mask:.5:int4", 4.26, 1. / 6.5}, {"mask:.0005", 24, 1. / 100}};
    static float x[COUNT], y[COUNT];
    static uint8_t bytes[4 * COUNT];
    normal_values(x);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const struct covey_codec codec = codec_of(rows[r].name);
        for (int feedback = 0; feedback < 2; feedback++) {
            const size_t size = encode(
                &codec, x,
                &(struct covey_encode_options){.seed = 3, .device = 4, .round = 5, .feedback = feedback},
                bytes, y);
            size_t kept_of_all = 0;
            for (size_t tile = 0; tile < COUNT; tile += COVEY_DECODE_VALUES) {
                const size_t count = COUNT - tile < COVEY_DECODE_VALUES ? COUNT - tile : COVEY_DECODE_VALUES;
                const size_t kept = covey_mask_kept(codec.kept, count);
                const float factor = feedback ? 1.0f : (float)count / (float)kept;
                size_t found = 0;
                for (size_t i = tile; i < tile + count; i++) {
                    found += y[i] != 0.0f;
                    cr_assert(y[i] == 0.0f ||
                                  fabsf(y[i] - factor * x[i]) <= rows[r].tolerance * factor * 4e-3f,
                              "%s: value %zu of %g became %g", rows[r].name, i, (double)x[i], (double)y[i]);
                }
                /* a value that is kept may still be rounded to zero */
                cr_expect(found <= kept && (double)found >= (codec.bits < 8 ? .4 : .95) * (double)kept - 1,
                          "%s: %zu of %zu", rows[r].name, found, kept);
                kept_of_all += kept;
            }
            cr_expect((double)size <= rows[r].bits / 8 * (double)kept_of_all + 24, "%s: %zu bytes for %zu",
                      rows[r].name, size, kept_of_all);
        }
    }
}

/* Over many rounds each value is kept as often as every other, and the mean of what is decoded is the value.
 */
Test(mask, every_value_has_the_same_chance)
{
    enum { ROUNDS = 4000 };
    static float x[COUNT], y[COUNT];
    static uint8_t bytes[COUNT];
    static uint32_t times[COUNT];
    static double sum[COUNT];
    const struct covey_codec codec = codec_of("mask:.1:int8");
    for (size_t i = 0; i < COUNT; i++)
        x[i] = i % 3 == 0 ? -1.0f : 1.0f; /* whole steps: nothing is rounded to zero */
    for (uint32_t round = 0; round < ROUNDS; round++) {
        (void)encode(&codec, x, &(struct covey_encode_options){.seed = 1, .device = 2, .round = round}, bytes,
                     y);
        for (size_t i = 0; i < COUNT; i++) {
            times[i] += y[i] != 0.0f;
            sum[i] += (double)y[i] / ROUNDS;
        }
    }
    for (size_t tile = 0; tile < COUNT; tile += COVEY_DECODE_VALUES) {
        const size_t count = COUNT - tile < COVEY_DECODE_VALUES ? COUNT - tile : COVEY_DECODE_VALUES;
        const double p = (double)covey_mask_kept(codec.kept, count) / (double)count;
        double chi2 = 0;
        for (size_t i = tile; i < tile + count; i++) {
            const double z = ((double)times[i] - p * ROUNDS) / sqrt(p * (1 - p) * ROUNDS);
            cr_assert(!(fabs(z) > 6), "value %zu was kept %u times", i, times[i]);
            cr_assert(!(fabs(sum[i] - (double)x[i]) > 6 * sqrt((1 - p) / p / ROUNDS) + .01),
                      "value %zu: mean %g", i, sum[i]);
            chi2 += z * z;
        }
        cr_expect(!(fabs(chi2 / (double)count - 1) > 6 * sqrt(2. / (double)count)), "chi2 %g of %zu", chi2,
                  count);
    }
}

static uint64_t mask_of(const char *name, uint64_t seed, uint64_t device, uint32_t round)
{
    uint64_t words[COVEY_MASK_WORDS];
    uint32_t key[2];
    const struct covey_codec codec = codec_of(name);
    covey_mask_key(&codec, &(struct covey_encode_options){.seed = seed, .device = device, .round = round},
                   key);
    covey_mask_draw(key, 0, COVEY_DECODE_VALUES, covey_mask_kept(codec.kept, COVEY_DECODE_VALUES), words);
    uint64_t hash = 0xCBF29CE484222325u;
    for (size_t i = 0; i < COVEY_MASK_WORDS; i++)
        hash = (hash ^ words[i]) * 0x100000001B3u;
    return hash;
}

Test(mask, is_the_devices_own_or_that_of_all)
{
    const uint64_t own = mask_of("mask:.1", 1, 2, 3), all = mask_of("samemask:.1", 1, 2, 3);
    cr_expect_eq(mask_of("mask:.1:int4", 1, 2, 3), own);
    cr_expect_neq(mask_of("mask:.1", 1, 9, 3), own);
    cr_expect_neq(mask_of("mask:.1", 1, 2, 4), own);
    cr_expect_neq(mask_of("mask:.1", 2, 2, 3), own);
    cr_expect_eq(mask_of("samemask:.1", 1, 9, 3), all);
    cr_expect_neq(mask_of("samemask:.1", 1, 2, 4), all);
    cr_expect_neq(mask_of("samemask:.1", 2, 2, 3), all);
    cr_expect_neq(all, own);
}

/* A header that was made with its check, but makes no sense. */
Test(mask, refuses_nonsense)
{
    static float x[COUNT], y[COUNT];
    static uint8_t bytes[COUNT];
    struct covey_error err = {0};
    const struct covey_codec codec = codec_of("mask:.1");
    normal_values(x);
    const size_t size = encode(&codec, x, &(struct covey_encode_options){.seed = 3}, bytes, NULL);
    enum { KEPT = 5, CHECK = KEPT + COVEY_MASK_BYTES };
    static const uint16_t kept[] = {0, COVEY_DECODE_VALUES, 0x8000, UINT16_MAX, 411, 1};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        const uint8_t saved[2] = {bytes[KEPT], bytes[KEPT + 1]};
        bytes[KEPT] = (uint8_t)kept[i];
        bytes[KEPT + 1] = (uint8_t)(kept[i] >> 8);
        bytes[CHECK] = covey_header_check(bytes, CHECK);
        cr_expect_eq(covey_codec_decode((struct covey_bytes){bytes, size}, COUNT, y, &err), COVEY_CORRUPT,
                     "%u", kept[i]);
        memcpy(bytes + KEPT, saved, 2);
    }
    bytes[2] = 0x81; /* ec's quantiser under a mask */
    bytes[CHECK] = covey_header_check(bytes, CHECK);
    cr_expect_eq(covey_codec_decode((struct covey_bytes){bytes, size}, COUNT, y, &err), COVEY_UNSUPPORTED);
    const struct covey_codec other = codec_of("mask:.2"), same = codec_of("samemask:.1"),
                             plain = codec_of("int8");
    cr_expect(covey_codec_made(&codec, &same) && !covey_codec_made(&codec, &other));
    cr_expect(!covey_codec_made(&codec, &plain) && !covey_codec_made(&plain, &codec));
}

/* The scales bound every value, without a mask being drawn. */
Test(mask, scales_bound_the_values)
{
    static float x[COUNT], y[COUNT];
    static uint8_t bytes[COUNT];
    static struct covey_codes codes;
    struct covey_decoder decoder;
    const struct covey_codec codec = codec_of("mask:.1:int4");
    normal_values(x);
    const size_t size = encode(&codec, x, &(struct covey_encode_options){.seed = 3}, bytes, y);
    cr_assert_eq(covey_decoder_init(&decoder, (struct covey_bytes){bytes, size}, COUNT, NULL), COVEY_OK);
    cr_expect(covey_decoder_has_scales(&decoder) && !covey_decoder_has_codes(&decoder));
    for (size_t first = 0;; first += codes.count) {
        cr_assert_eq(covey_decoder_next_scales(&decoder, &codes), COVEY_OK);
        if (codes.count == 0) {
            cr_expect_eq(first, COUNT);
            break;
        }
        for (size_t i = 0; i < codes.count; i++)
            cr_assert(fabsf(y[first + i]) <= codes.scales[i / COVEY_BLOCK_VALUES] * (float)codes.code_limit);
    }
}

Test(mask, too_large_for_its_factor_is_refused)
{
    static float x[COUNT];
    static uint8_t bytes[4 * COUNT];
    size_t size = 77;
    struct covey_error err = {0};
    static const struct {
        const char *name;
        float largest;
        enum covey_status status;
    } rows[] = {{"mask:.0005", 0x1.fp114f, COVEY_OK},
                {"mask:.0005", 0x1p115f, COVEY_RANGE},
                {"mask:.0005:raw32", 0x1.fp115f, COVEY_OK},
                {"mask:.0005:raw32", 0x1p116f, COVEY_RANGE},
                {"mask:.0005:eden1", 0x1p99f, COVEY_RANGE}};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        const struct covey_codec codec = codec_of(rows[r].name);
        for (size_t i = 0; i < COUNT; i++)
            x[i] = rows[r].largest;
        cr_expect_eq(covey_codec_encode(&codec, x, COUNT, &(struct covey_encode_options){.seed = 1}, bytes,
                                        sizeof bytes, &size, NULL, &err),
                     rows[r].status, "%s: %s", rows[r].name, err.text);
    }
}
