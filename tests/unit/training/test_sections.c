/* auto:RATE on vectors of several tensors: each with a quantiser of its own, the rate shared between them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/dataset_load.h"
#include "covey/limits.h"
#include "covey/model.h"
#include "covey/random.h"
#include "covey/trainer.h"
#include "covey/training_kernels.h"

#define SECTIONS_ROW 10

struct tensors {
    float *x;
    size_t count, ends[COVEY_MODEL_TENSORS], tensor_count;
};

struct coded {
    uint8_t *bytes;
    size_t size;
    double nmse;
    struct covey_codec made; /* what the stream says */
};

static struct covey_bytes stream_of(const struct coded *coded)
{
    return (struct covey_bytes){coded->bytes, coded->size};
}

static struct coded code(const char *name, const struct tensors *tensors)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    static struct covey_decoder decoder;
    struct coded coded = {0};
    cr_assert_eq(covey_codec_parse(name, &codec, &err), COVEY_OK, "%s", err.text);
    const size_t capacity = covey_codec_bound(&codec, tensors->count),
                 scratch_bytes = covey_codec_scratch_bytes(&codec, tensors->count);
    float *y = malloc(tensors->count * sizeof *y), *again = malloc(tensors->count * sizeof *y);
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    const struct covey_encode_options options = {.seed = 1,
                                                 .ends = tensors->ends,
                                                 .tensor_count = tensors->tensor_count,
                                                 .scratch = scratch,
                                                 .scratch_bytes = scratch_bytes};
    coded.bytes = malloc(capacity);
    cr_assert_eq(covey_codec_encode(&codec, tensors->x, tensors->count, &options, coded.bytes, capacity,
                                    &coded.size, y, &err),
                 COVEY_OK, "%s: %s", name, err.text);
    cr_assert_eq(covey_codec_decode(stream_of(&coded), tensors->count, again, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(memcmp(y, again, tensors->count * sizeof *y), 0);
    cr_assert_eq(covey_decoder_init(&decoder, stream_of(&coded), tensors->count, NULL), COVEY_OK);
    coded.made = decoder.codec;
    cr_expect(covey_codec_made(&codec, &decoder.codec));
    double error = 0, squares = 0;
    for (size_t i = 0; i < tensors->count; i++) {
        error += ((double)y[i] - (double)tensors->x[i]) * ((double)y[i] - (double)tensors->x[i]);
        squares += (double)tensors->x[i] * (double)tensors->x[i];
    }
    coded.nmse = squares > 0 ? error / squares : 0;
    free(scratch);
    free(again);
    free(y);
    return coded;
}

/* deviations: of each tensor; 0: zeros; below 0: values of about that one size. */
static struct tensors make(const size_t *sizes, const double *deviations, size_t tensor_count)
{
    struct covey_random random;
    struct tensors tensors = {.tensor_count = tensor_count};
    covey_random_init(&random, 11, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t t = 0; t < tensor_count; t++)
        tensors.ends[t] = tensors.count += sizes[t];
    tensors.x = malloc(tensors.count * sizeof *tensors.x);
    for (size_t t = 0, i = 0; t < tensor_count; t++)
        for (; i < tensors.ends[t]; i++) {
            const double z = covey_random_normal(&random), sign = covey_random_u32(&random) & 1 ? 1 : -1;
            tensors.x[i] = (float)(deviations[t] * (deviations[t] >= 0 ? z : sign * (1 + 0.05 * z)));
        }
    return tensors;
}

static const struct {
    size_t sizes[8];
    double deviations[8];
    size_t count;
} rows[] = {
    {{156800, 200, 40000, 200, 2000, 10}, {.002, .005, .004, .003, .02, .01}, 6}, /* 2nn's */
    {{7840, 10}, {.01, .02}, 2},
    {{5000, 3000}, {1, .01}, 2},
    {{70001, 64, 130000, 77, 300000}, {.01, .1, .0001, 3, .03}, 5},
    {{20000, 20000, 20000}, {-.01, .01, 0}, 3}, /* the first one had better be rotated */
    {{1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000}, {1, 2, 4, 8, 16, 32, 64, 128}, 8},
    {{30, 20, 10}, {1, 2, 3}, 3},
};

/* Within 1 % or 24 bytes, and never worse than one quantiser for all. */
Test(sections, rate_is_met_and_error_is_least)
{
#if COVEY_SANITIZED
    static const double rates[] = {0.1, 4};
#else
    static const double rates[] = {0.05, 0.1, 0.5, 1, 2, 4, 6, 8};
#endif
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct tensors tensors = make(rows[r].sizes, rows[r].deviations, rows[r].count);
        for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
            char names[2][16];
            (void)snprintf(names[0], sizeof names[0], "ec:%.2f", rates[i]);
            (void)snprintf(names[1], sizeof names[1], "auto:%.2f", rates[i]);
            const struct coded whole = code(names[0], &tensors), shared = code(names[1], &tensors);
            const double wanted = rates[i] * (double)tensors.count / 8, off = (double)shared.size - wanted;
            if (tensors.count >= 7850)
                cr_expect(!(off > fmax(24, wanted / 100)) &&
                              (!(off < -fmax(24, wanted / 100)) || shared.nmse < 1e-6),
                          "%s, row %zu: %zu bytes for %.1f", names[1], r, shared.size, wanted);
            cr_expect(!(shared.nmse > 1.01 * whole.nmse) || tensors.count < 1000,
                      "%s, row %zu: NMSE %g, as one %g", names[1], r, shared.nmse, whole.nmse);
            free(whole.bytes);
            free(shared.bytes);
        }
        free(tensors.x);
    }
}

/* Two normal tensors of unlike deviation a and b, of as many values: at high rates each of them is worth
 * RATE +- log2(a / b) / 2 bits, and the error is what one of deviation sqrt(a b) would have. */
Test(sections, the_rate_is_shared_by_variance)
{
    const size_t sizes[] = {1 << 18, 1 << 18};
    struct tensors tensors = make(sizes, (const double[]){8, 1}, 2),
                   alike = make(sizes, (const double[]){sqrt(8), sqrt(8)}, 2);
    const struct coded shared = code("auto:4", &tensors), one = code("ec:4", &alike);
    const double expected = one.nmse * 8 / ((64 + 1) / 2.0);
    cr_expect_eq(shared.made.quantise, SECTIONS_ROW);
    cr_expect(!(fabs(shared.nmse / expected - 1) > 0.02), "NMSE %g, should be %g", shared.nmse, expected);
    free(shared.bytes);
    free(one.bytes);
    free(tensors.x);
    free(alike.x);
}

Test(sections, only_what_gains_by_it_is_rotated)
{
    struct tensors tensors = make(rows[4].sizes, rows[4].deviations, rows[4].count);
    const struct coded shared = code("auto:.1", &tensors);
    static struct covey_decoder decoder;
    float peak;
    cr_expect_eq(shared.made.quantise, SECTIONS_ROW);
    cr_expect_eq(shared.made.transform, 1);
    cr_assert_eq(covey_decoder_init(&decoder, stream_of(&shared), tensors.count, NULL), COVEY_OK);
    cr_expect(!covey_decoder_has_codes(&decoder) && !covey_decoder_peak(&decoder, 0, 1, &peak));
    free(shared.bytes);
    free(tensors.x);
}

/* Chunks can be read alone, in any order; the peak of a part of the vector is that of its sections. */
Test(sections, seeking)
{
    static const size_t sizes[] = {(1 << 19) + 5, 400000, (1 << 19) + 777};
    static const char *const names[] = {"auto:.7", "auto:6"};
    struct tensors tensors = make(sizes, (const double[]){.01, .3, .0004}, 3);
    float *whole = malloc(tensors.count * sizeof *whole), part[COVEY_DECODE_VALUES], peaks[2];
    for (size_t c = 0; c < 2; c++) {
        const struct coded coded = code(names[c], &tensors);
        static struct covey_decoder decoder;
        cr_assert_eq(coded.made.quantise, SECTIONS_ROW);
        cr_assert_eq(covey_codec_decode(stream_of(&coded), tensors.count, whole, NULL), COVEY_OK);
        cr_assert_eq(covey_decoder_init(&decoder, stream_of(&coded), tensors.count, NULL), COVEY_OK);
        cr_assert(decoder.chunk_values < tensors.count);
        for (size_t k = tensors.count / decoder.chunk_values + 1; k-- > 0;) {
            size_t at = k * decoder.chunk_values, decoded = 0;
            cr_assert_eq(covey_decoder_seek(&decoder, at), COVEY_OK);
            for (int tile = 0; tile < 140 && at < tensors.count; tile++, at += decoded) {
                cr_assert_eq(covey_decoder_next(&decoder, part, &decoded), COVEY_OK);
                cr_assert_eq(memcmp(whole + at, part, decoded * sizeof *part), 0, "%s at %zu", names[c], at);
            }
        }
        cr_expect(covey_decoder_peak(&decoder, 0, tensors.ends[0] - 100, &peaks[0]) &&
                  covey_decoder_peak(&decoder, 0, tensors.count, &peaks[1]) && peaks[0] < peaks[1]);
        free(coded.bytes);
    }
    free(whole);
    free(tensors.x);
}

/* Whatever the bytes say, what is decoded stays within the peak, and the decoder within the bytes. */
Test(sections, garbage_is_refused_or_stays_within_the_peak)
{
    static const size_t sizes[] = {3000, 2000, 4000};
    static const char *const names[] = {"auto:.3", "auto:2", "auto:7"};
    struct tensors tensors = make(sizes, (const double[]){1, .03, 20}, 3);
    struct covey_random random;
    static struct covey_decoder decoder;
    float y[COVEY_DECODE_VALUES];
    covey_random_init(&random, 3, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t c = 0; c < 3; c++) {
        const struct coded coded = code(names[c], &tensors);
        size_t taken = 0;
        cr_assert_eq(coded.made.quantise, SECTIONS_ROW);
        for (int trial = 0; trial < 400; trial++) {
            const size_t size =
                trial % 5 == 0 ? covey_random_below(&random, (uint32_t)coded.size) : coded.size;
            uint8_t *bytes = malloc(size + 1); /* of exactly that size for the sanitizer, but for 0 */
            size_t decoded = 0;
            float peak = 0;
            memcpy(bytes, coded.bytes, size);
            for (int i = 0; i < trial % 20 && size > 200; i++)
                bytes[trial % 2 == 0 ? 150 + covey_random_below(&random, (uint32_t)size - 150)
                                     : covey_random_below(&random, (uint32_t)size)] =
                    (uint8_t)covey_random_u32(&random);
            if (covey_decoder_init(&decoder, (struct covey_bytes){bytes, size}, tensors.count, NULL) ==
                COVEY_OK) {
                const bool has_peak = covey_decoder_peak(&decoder, 0, tensors.count, &peak);
                enum covey_status status;
                cr_assert(isfinite(peak));
                taken++;
                do {
                    status = covey_decoder_next(&decoder, y, &decoded);
                    cr_assert(status == COVEY_OK || (status == COVEY_NOT_FINITE && !has_peak));
                    for (size_t i = 0; has_peak && i < decoded; i++)
                        cr_assert(fabsf(y[i]) <= peak);
                } while (status == COVEY_OK && decoded > 0);
            }
            free(bytes);
        }
        cr_expect(taken > 20, "%s: %zu", names[c], taken);
        free(coded.bytes);
    }
    free(tensors.x);
}

/* What a device sends after one epoch on 600 digits, in the third round. */
static struct tensors train(const char *name)
{
    char folder[512], inputs[] = "t10k-images-idx3-ubyte.gz", labels[] = "t10k-labels-idx1-ubyte.gz";
    const struct covey_data_config config = {.inputs = {(char *[]){inputs}, 1},
                                             .labels = {(char *[]){labels}, 1}};
    const struct covey_recipe recipe = {.epochs = 1, .batch = 10, .learning_rate = 0.05f};
    struct covey_model_description *model = calloc(1, sizeof *model);
    struct covey_dataset data = {0};
    struct covey_trainer *trainer = NULL;
    struct covey_error err = {0};
    uint32_t index[600];
    (void)snprintf(folder, sizeof folder, "%s/mnist", getenv("COVEY_DATA"));
    cr_assert_eq(covey_model_load(name, model, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_data_load(&config, folder, &data, &err), COVEY_OK, "%s", err.text);
    data.scale = 1.0f / 255;
    data.index = index;
    data.count = 600;
    const struct covey_training_options options = {
        .engine = covey_engine_default(), .recipe = &recipe, .examples = data.count};
    cr_assert_eq(covey_trainer_create(model, &options, &trainer, &err), COVEY_OK, "%s", err.text);
    const struct covey_layout *layout = covey_trainer_layout(trainer);
    struct tensors tensors = {.x = malloc(layout->count * sizeof(float)), .count = layout->update_count};
    float *before = malloc(layout->count * sizeof *before);
    cr_assert_eq(covey_model_initialise(model, layout, 1, tensors.x, &err), COVEY_OK, "%s", err.text);
    for (uint32_t round = 0; round < 3; round++) {
        const struct covey_training_run run = {.seed = 1, .round = round};
        struct covey_training_result result;
        for (uint32_t i = 0; i < 600; i++)
            index[i] = (round * 600 + i) * 7919 % 10000;
        memcpy(before, tensors.x, layout->count * sizeof *before);
        cr_assert_eq(covey_trainer_run(trainer, tensors.x, &data, &recipe, &run, &result, &err), COVEY_OK,
                     "%s", err.text);
    }
    for (size_t i = 0; i < tensors.count; i++)
        tensors.x[i] -= before[i];
    tensors.tensor_count = covey_layout_update_ends(layout, tensors.ends, COVEY_MODEL_TENSORS);
    free(before);
    data.index = NULL;
    covey_dataset_deinit(&data);
    covey_trainer_destroy(trainer);
    free(model);
    return tensors;
}

Test(sections, updates_of_real_models)
{
    static const char *const models[] = {"2nn", "mcmahan-cnn"}, *const rates[] = {".1", ".5", "1", "2", "4"};
    if (getenv("COVEY_DATA") == NULL) {
        fprintf(stderr, "COVEY-SKIP: COVEY_DATA is not set, nothing to learn from (scripts/data)\n");
        return;
    }
    for (size_t m = 0; m < 2; m++) {
        struct tensors tensors = train(models[m]);
        for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++) {
            char names[2][16];
            (void)snprintf(names[0], sizeof names[0], "ec:%s", rates[r]);
            (void)snprintf(names[1], sizeof names[1], "auto:%s", rates[r]);
            const struct coded whole = code(names[0], &tensors), shared = code(names[1], &tensors);
            printf("%s, %s: %zu bytes, NMSE %.4g; with one quantiser %zu, %.4g\n", models[m], names[1],
                   shared.size, shared.nmse, whole.size, whole.nmse);
            cr_expect(!(shared.nmse > 0.98 * whole.nmse), "%s of %s: NMSE %g, as one %g", names[1], models[m],
                      shared.nmse, whole.nmse);
            cr_expect(!((double)shared.size > 1.01 * (double)whole.size));
            free(whole.bytes);
            free(shared.bytes);
        }
        free(tensors.x);
    }
}
