/* covey-bench codec --codec NAME --dist normal|laplace|student3|FILE.npy --dim N --seed S [--runs R]
 *     [--kernels avx512|avx2|plain] [--json]
 *
 * bits_per_param  from the whole stream, header included
 * nmse            ||decoded - x||^2 / ||x||^2, mean of four seeds of the rounding
 * bias            <decoded - x, x> / ||x||^2, mean of the same four: 0 for an unbiased codec, -nmse for one
 * that reconstructs at the conditional mean
 * copy_ns_per_param, rotate_gb_per_s  for comparison, in the same run: memcpy of the values, and the rotation
 * of a tile of 4,096 in the cache
 * *_ns_per_param  minimum of the runs, one thread; fold from the stream to the accumulator, admission
 * included: one update a call, and (fold16) sixteen a call, for each */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/arena.h"
#include "covey/codec.h"
#include "covey/json.h"
#include "covey/limits.h"
#include "covey/strategy.h"
#include "eden_kernels.h"
#include "kernel_choice.h"
#include "measure.h"
#include "vector_source.h"

#define SEEDS 4
#define AT_ONCE 16
#define ROTATIONS 100

int bench_codec(int argc, char **argv);

struct trial {
    struct covey_codec codec;
    const char *dist;
    size_t dim;
    uint64_t seed, runs;
    float *x, *decoded;
    uint8_t *stream;
    void *scratch;
    size_t capacity, stream_bytes, scratch_bytes;
    double nmse, bias, encode_ns, decode_ns, fold_ns, fold16_ns; /* times a parameter */
    double copy_ns, rotate_gbps;
};

static enum covey_status encode(struct trial *trial, uint64_t seed, struct covey_error *err)
{
    const struct covey_encode_options options = {
        .seed = seed, .scratch = trial->scratch, .scratch_bytes = trial->scratch_bytes};
    return covey_codec_encode(&trial->codec, trial->x, trial->dim, &options, trial->stream, trial->capacity,
                              &trial->stream_bytes, NULL, err);
}

static struct covey_bytes stream_of(const struct trial *trial)
{
    return (struct covey_bytes){trial->stream, trial->stream_bytes};
}

static enum covey_status measure_error(struct trial *trial, struct covey_error *err)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        double error = 0, product = 0, squares = 0;
        COVEY_TRY(encode(trial, seed, err));
        COVEY_TRY(covey_codec_decode(stream_of(trial), trial->dim, trial->decoded, err));
        for (size_t i = 0; i < trial->dim; i++) {
            const double x = (double)trial->x[i], e = (double)trial->decoded[i] - x;
            error += e * e;
            product += e * x;
            squares += x * x;
        }
        trial->nmse += squares > 0 ? error / squares / SEEDS : 0;
        trial->bias += squares > 0 ? product / squares / SEEDS : 0;
    }
    return COVEY_OK;
}

static enum covey_status measure_coding(struct trial *trial, struct covey_error *err)
{
    for (uint64_t run = 0; run < trial->runs; run++) {
        const uint64_t start = bench_thread_ns();
        COVEY_TRY(encode(trial, run, err));
        const uint64_t middle = bench_thread_ns();
        COVEY_TRY(covey_codec_decode(stream_of(trial), trial->dim, trial->decoded, err));
        const uint64_t end = bench_thread_ns();
        const double encoding = (double)(middle - start) / (double)trial->dim;
        const double decoding = (double)(end - middle) / (double)trial->dim;
        trial->encode_ns = run == 0 || encoding < trial->encode_ns ? encoding : trial->encode_ns;
        trial->decode_ns = run == 0 || decoding < trial->decode_ns ? decoding : trial->decode_ns;
    }
    return COVEY_OK;
}

static enum covey_status measure_fold(struct trial *trial, size_t at_once, double *out,
                                      struct covey_error *err)
{
    const int16_t exponent = 12; /* room for the bounds of rotated streams too, as after a round of them */
    const struct covey_aggregation_plan plan = {.ends = &trial->dim,
                                                .exponents = &exponent,
                                                .tensor_count = 1,
                                                .updates_max = trial->runs * at_once,
                                                .weight_max = 600,
                                                .threads = 1};
    struct covey_contribution updates[AT_ONCE];
    struct covey_verdict verdicts[AT_ONCE];
    struct covey_aggregation *aggregation = NULL;
    enum covey_status status = COVEY_OK;
    struct covey_chain chain;
    COVEY_TRY(covey_chain_parse("fedavg", &chain, err));
    COVEY_TRY(covey_aggregation_begin(&chain, &plan, &aggregation, err));
    for (size_t i = 0; i < at_once; i++)
        updates[i] = (struct covey_contribution){stream_of(trial), 600, i};
    for (uint64_t run = 0; run < trial->runs && status == COVEY_OK; run++) {
        const uint64_t start = bench_thread_ns();
        status = covey_aggregation_add(aggregation, updates, at_once, verdicts, err);
        const double ns = (double)(bench_thread_ns() - start) / (double)trial->dim / (double)at_once;
        *out = run == 0 || ns < *out ? ns : *out;
        if (status == COVEY_OK && verdicts[0].status != COVEY_OK) {
            *err = verdicts[0].error;
            status = verdicts[0].status;
        }
    }
    covey_aggregation_destroy(aggregation);
    return status;
}

static void measure_machine(struct trial *trial)
{
    const struct covey_eden_kernels *kernels = covey_eden_kernels_at(0);
    static float tile[COVEY_DECODE_VALUES]; /* zeros stay zeros: no value grows */
    uint32_t signs[COVEY_SIGN_WORDS];
    const uint32_t key[2] = {1, 2};
    kernels->signs(key, 0, signs);
    for (uint64_t run = 0; run < trial->runs; run++) {
        const uint64_t start = bench_thread_ns();
        memcpy(trial->decoded, trial->x, trial->dim * sizeof *trial->x);
        const uint64_t middle = bench_thread_ns();
        for (int i = 0; i < ROTATIONS; i++)
            kernels->rotate(tile, signs, 0x1p-6f);
        const double ns = (double)(bench_thread_ns() - middle);
        const double copying = (double)(middle - start) / (double)trial->dim;
        const double speed = ROTATIONS * (double)sizeof tile / ns;
        trial->copy_ns = run == 0 || copying < trial->copy_ns ? copying : trial->copy_ns;
        trial->rotate_gbps = speed > trial->rotate_gbps ? speed : trial->rotate_gbps;
    }
}

static void print_json(const struct trial *trial)
{
    char text[1024];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "codec", trial->codec.name);
    covey_json_text(&json, "dist", trial->dist);
    covey_json_int(&json, "dim", (int64_t)trial->dim);
    covey_json_real(&json, "bits_per_param", 8.0 * (double)trial->stream_bytes / (double)trial->dim);
    covey_json_real(&json, "nmse", trial->nmse);
    covey_json_real(&json, "bias", trial->bias);
    covey_json_real(&json, "encode_ns_per_param", trial->encode_ns);
    covey_json_real(&json, "decode_ns_per_param", trial->decode_ns);
    covey_json_real(&json, "fold_ns_per_param", trial->fold_ns);
    covey_json_real(&json, "fold16_ns_per_param", trial->fold16_ns);
    covey_json_real(&json, "copy_ns_per_param", trial->copy_ns);
    covey_json_real(&json, "rotate_gb_per_s", trial->rotate_gbps);
    covey_json_close(&json, '}');
    puts(text);
}

static void print_plain(const struct trial *trial)
{
    printf("%s, %zu values, %s\n", trial->codec.name, trial->dim, trial->dist);
    printf("  bits a parameter   %.4f\n", 8.0 * (double)trial->stream_bytes / (double)trial->dim);
    printf("  NMSE               %.4g\n  bias               %.2g\n", trial->nmse, trial->bias);
    printf("  ns a parameter     encode %.3f  decode %.3f  fold %.3f  fold of 16 at once %.3f\n",
           trial->encode_ns, trial->decode_ns, trial->fold_ns, trial->fold16_ns);
    printf("  beside             copy %.3f ns a parameter, rotation %.1f GB/s\n", trial->copy_ns,
           trial->rotate_gbps);
}

static enum covey_status run(struct trial *trial, struct covey_error *err)
{
    trial->capacity = covey_codec_bound(&trial->codec, trial->dim);
    trial->stream = malloc(trial->capacity);
    trial->decoded = malloc(trial->dim * sizeof *trial->decoded);
    trial->scratch_bytes = covey_codec_scratch_bytes(&trial->codec, trial->dim);
    trial->scratch =
        aligned_alloc(COVEY_ARENA_ALIGN, (trial->scratch_bytes / COVEY_ARENA_ALIGN + 1) * COVEY_ARENA_ALIGN);
    if (trial->stream == NULL || trial->decoded == NULL || trial->scratch == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu values", trial->dim);
    COVEY_TRY(measure_error(trial, err));
    COVEY_TRY(measure_coding(trial, err));
    COVEY_TRY(measure_fold(trial, 1, &trial->fold_ns, err));
    COVEY_TRY(measure_fold(trial, AT_ONCE, &trial->fold16_ns, err));
    measure_machine(trial);
    return COVEY_OK;
}

int bench_codec(int argc, char **argv)
{
    static const char *const values[] = {"codec", "dist", "dim", "seed", "runs", "kernels", NULL};
    static const char *const flags[] = {"json", NULL};
    struct covey_error err = {0};
    if (bench_check_options(argc, argv, values, flags) != 0 ||
        bench_choose_kernels(bench_option(argc, argv, "kernels", NULL)) != 0)
        return 2;
    struct trial trial = {.dist = bench_option(argc, argv, "dist", "normal"),
                          .dim = bench_number(argc, argv, "dim", 1u << 20, 1, COVEY_MODEL_PARAMETERS),
                          .seed = bench_number(argc, argv, "seed", 1, 0, UINT64_MAX),
                          .runs = bench_number(argc, argv, "runs", 15, 1, 10000)};
    if (covey_codec_parse(bench_option(argc, argv, "codec", "int8"), &trial.codec, &err) != COVEY_OK) {
        fprintf(stderr, "covey-bench codec: %s\n", err.text);
        return 2;
    }
    trial.x = bench_vector(trial.dist, &trial.dim, trial.seed);
    if (trial.x == NULL)
        return 2;
    const enum covey_status status = run(&trial, &err);
    if (status != COVEY_OK)
        fprintf(stderr, "covey-bench codec: %s\n", err.text);
    else if (bench_flag(argc, argv, "json"))
        print_json(&trial);
    else
        print_plain(&trial);
    free(trial.x);
    free(trial.decoded);
    free(trial.scratch);
    free(trial.stream);
    return status == COVEY_OK ? 0 : 1;
}
