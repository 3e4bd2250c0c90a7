/* covey-bench aggregate --rule "NAME [key=value]..." --clients N --dim D --codec C --threads T [--at-once K]
 * [--runs R]
 * [--json]
 *
 * One round: begin, N updates in calls of K, finish; median of the runs. 32 different streams are made before
 * and handed in again and again, with weights of 1 to 600.
 *
 * bandwidth_share  (bytes of all N streams + 4 bytes a parameter of the model) / seconds, over what memcpy
 * moves in the same process, on as many threads, its reads and its writes counted */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "covey/codec.h"
#include "covey/fold_pool.h"
#include "covey/json.h"
#include "covey/limits.h"
#include "covey/linalg.h"
#include "covey/strategy.h"
#include "measure.h"
#include "vector_source.h"

#define STREAMS 32
#define AT_ONCE_MAX 64
#define COPY_BYTES ((size_t)32 << 20) /* a thread */
#define RUNS_MAX 101

int bench_aggregate(int argc, char **argv);

struct trial {
    struct covey_chain chain;
    struct covey_codec codec;
    uint64_t clients, runs;
    uint32_t threads;
    size_t dim, at_once;
    uint8_t *streams[STREAMS];
    size_t stream_bytes[STREAMS];
    double seconds, cpu_seconds, copy_bytes_per_s;
};

static enum covey_status make_streams(struct trial *trial, struct covey_error *err)
{
    const size_t capacity = covey_codec_bound(&trial->codec, trial->dim);
    size_t count = trial->dim;
    float *x = bench_vector("normal", &count, 1);
    enum covey_status status =
        x != NULL ? COVEY_OK : covey_fail(err, COVEY_NO_MEMORY, "no memory for a vector");
    for (size_t i = 0; i < STREAMS && status == COVEY_OK; i++) {
        const struct covey_encode_options options = {.seed = 1, .device = i};
        trial->streams[i] = malloc(capacity);
        if (trial->streams[i] == NULL)
            status =
                covey_fail(err, COVEY_NO_MEMORY, "no memory for %d streams of %zu bytes", STREAMS, capacity);
        else
            status = covey_codec_encode(&trial->codec, x, trial->dim, &options, trial->streams[i], capacity,
                                        &trial->stream_bytes[i], NULL, err);
    }
    free(x);
    return status;
}

static enum covey_status add_all(struct trial *trial, struct covey_aggregation *aggregation,
                                 struct covey_error *err)
{
    struct covey_contribution updates[AT_ONCE_MAX];
    struct covey_verdict verdicts[AT_ONCE_MAX];
    for (uint64_t at = 0; at < trial->clients; at += trial->at_once) {
        const size_t some =
            trial->clients - at < trial->at_once ? (size_t)(trial->clients - at) : trial->at_once;
        for (size_t i = 0; i < some; i++) {
            const size_t s = (size_t)((at + i) % STREAMS);
            updates[i] = (struct covey_contribution){
                {trial->streams[s], trial->stream_bytes[s]}, (double)(1 + (at + i) * 37 % 600), at + i};
        }
        COVEY_TRY(covey_aggregation_add(aggregation, updates, some, verdicts, err));
        for (size_t i = 0; i < some; i++)
            if (verdicts[i].status != COVEY_OK)
                return covey_fail(err, verdicts[i].status, "update refused: %s", verdicts[i].error.text);
    }
    return COVEY_OK;
}

static enum covey_status run_round(struct trial *trial, double *seconds, struct covey_error *err)
{
    const struct covey_aggregation_plan plan = {.ends = &trial->dim,
                                                .tensor_count = 1,
                                                .updates_max = trial->clients,
                                                .weight_max = 600,
                                                .threads = trial->threads};
    struct covey_aggregation *aggregation = NULL;
    const double *mean = NULL;
    const uint64_t start = bench_now_ns();
    COVEY_TRY(covey_aggregation_begin(&trial->chain, &plan, &aggregation, err));
    enum covey_status status = add_all(trial, aggregation, err);
    if (status == COVEY_OK)
        status = covey_aggregation_finish(aggregation, &mean, NULL, NULL, err);
    *seconds = (double)(bench_now_ns() - start) * 1e-9;
    covey_aggregation_destroy(aggregation);
    return status;
}

static void copy_piece(void *user, size_t index)
{
    uint8_t *memory = user;
    memcpy(memory + 2 * index * COPY_BYTES, memory + (2 * index + 1) * COPY_BYTES, COPY_BYTES);
}

/* Bytes read and written in a second, the best of nine. */
static enum covey_status measure_copy(struct trial *trial, struct covey_error *err)
{
    struct covey_fold_pool *pool = NULL;
    const size_t bytes = 2 * COPY_BYTES * trial->threads;
    uint8_t *memory = malloc(bytes);
    if (memory == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to copy");
    memset(memory, 1, bytes);
    const enum covey_status status = covey_fold_pool_create(trial->threads, &pool, err);
    for (int i = 0; i < 9 && status == COVEY_OK; i++) {
        const uint64_t start = bench_now_ns();
        covey_fold_pool_run(pool, trial->threads, copy_piece, memory);
        const double rate = (double)bytes * 1e9 / (double)(bench_now_ns() - start);
        trial->copy_bytes_per_s = rate > trial->copy_bytes_per_s ? rate : trial->copy_bytes_per_s;
    }
    covey_fold_pool_destroy(pool);
    free(memory);
    return status;
}

/* Of all threads. */
static double cpu_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static enum covey_status run(struct trial *trial, struct covey_error *err)
{
    double seconds[RUNS_MAX];
    COVEY_TRY(make_streams(trial, err));
    const double cpu_from_s = cpu_s();
    for (uint64_t i = 0; i < trial->runs; i++)
        COVEY_TRY(run_round(trial, &seconds[i], err));
    trial->cpu_seconds = (cpu_s() - cpu_from_s) / (double)trial->runs;
    trial->seconds = bench_median(seconds, trial->runs);
    return COVEY_OK;
}

static void print(const struct trial *trial, uint64_t peak_rss_bytes, int as_json)
{
    char text[1024];
    struct covey_json json;
    const double clients = (double)trial->clients, dim = (double)trial->dim;
    const double moved = clients * (double)trial->stream_bytes[0] + 4.0 * dim;
    const double share = moved / trial->seconds / trial->copy_bytes_per_s;
    if (!as_json) {
        printf(
            "%s, %llu updates of %zu parameters (%s), %u threads: %.3f s, %.0f updates/s, %.3g parameters/s, "
            "%.0f %% of a copy's bandwidth, %.0f MB at the most\n",
            trial->chain.strategy->name, (unsigned long long)trial->clients, trial->dim, trial->codec.name,
            trial->threads, trial->seconds, clients / trial->seconds, clients * dim / trial->seconds,
            100 * share, (double)peak_rss_bytes * 1e-6);
        return;
    }
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "rule", trial->chain.strategy->name);
    covey_json_int(&json, "clients", (int64_t)trial->clients);
    covey_json_int(&json, "dim", (int64_t)trial->dim);
    covey_json_text(&json, "codec", trial->codec.name);
    covey_json_int(&json, "threads", trial->threads);
    covey_json_real(&json, "seconds", trial->seconds);
    covey_json_real(&json, "cpu_seconds", trial->cpu_seconds);
    covey_json_real(&json, "updates_per_s", clients / trial->seconds);
    covey_json_real(&json, "params_per_s", clients * dim / trial->seconds);
    covey_json_real(&json, "bandwidth_share", share);
    covey_json_int(&json, "peak_rss_bytes", (int64_t)peak_rss_bytes);
    covey_json_close(&json, '}');
    puts(text);
}

/* 0, or 2 after a message. */
static int read_options(struct trial *trial, int argc, char **argv)
{
    static const char *const values[] = {"rule",    "clients", "dim",  "codec",
                                         "threads", "at-once", "runs", NULL};
    static const char *const flags[] = {"json", NULL};
    struct covey_error err = {0};
    if (bench_check_options(argc, argv, values, flags) != 0)
        return 2;
    const char *rule = bench_option(argc, argv, "rule", "fedavg");
    if (covey_chain_parse(rule, &trial->chain, &err) != COVEY_OK ||
        covey_codec_parse(bench_option(argc, argv, "codec", "int8"), &trial->codec, &err) != COVEY_OK) {
        fprintf(stderr, "covey-bench aggregate: %s\n", err.text);
        return 2;
    }
    trial->clients = bench_number(argc, argv, "clients", 100, 1, COVEY_DEVICES);
    trial->dim = bench_number(argc, argv, "dim", 1663370, 1, COVEY_MODEL_PARAMETERS);
    trial->threads = (uint32_t)bench_number(argc, argv, "threads", 2, 1, COVEY_FOLD_THREADS);
    trial->at_once = bench_number(argc, argv, "at-once", 16, 1, AT_ONCE_MAX);
    trial->runs = bench_number(argc, argv, "runs", 5, 1, RUNS_MAX);
    return 0;
}

int bench_aggregate(int argc, char **argv)
{
    struct trial trial = {0};
    struct covey_error err = {0};
    if (read_options(&trial, argc, argv) != 0)
        return 2;
    covey_linalg_start();
    enum covey_status status = run(&trial, &err);
    const uint64_t peak_rss_bytes = bench_peak_rss_bytes(); /* before the copy's own buffers */
    if (status == COVEY_OK)
        status = measure_copy(&trial, &err);
    if (status == COVEY_OK)
        print(&trial, peak_rss_bytes, bench_flag(argc, argv, "json"));
    else
        fprintf(stderr, "covey-bench aggregate: %s\n", err.text);
    for (size_t i = 0; i < STREAMS; i++)
        free(trial.streams[i]);
    return status == COVEY_OK ? 0 : 1;
}
