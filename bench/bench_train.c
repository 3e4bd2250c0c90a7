/* covey-bench train: training steps of one model on one thread, beside a large square matrix product (SGEMM)
 * by the same BLAS in the same run. Both are timed in turn, and medians are given.
 *
 * GFLOP/s counts what the operations are by definition, 2 a multiply-add, three times forward but for
 * gradients that nobody wants: the kernels skip multiplications by gradients that ReLU or pooling made zero,
 * but the count stays. So a convolutional network can be above 100 % of SGEMM. */
#include <fcntl.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/dataset_load.h"
#include "covey/json.h"
#include "covey/linalg.h"
#include "covey/model.h"
#include "covey/random.h"
#include "covey/trainer.h"
#include "covey/training_kernels.h"
#include "measure.h"

#define SGEMM_SIZE 1536
#define PATH_BYTES 512
#define SLICE_NS 100000000u /* of training between two products */

static const char usage[] =
    "usage: covey-bench train [--model NAME] [--batch N] [--engine fast|plain] [--examples N] [--seconds N] "
    "[--json]\n"
    "  NAME: 2nn (default), mcmahan-cnn, logreg, har, har-cnn, any other, or a path to a YAML\n";

struct bench {
    struct covey_model_description *model;
    struct covey_dataset data; /* over the two tables below */
    void *inputs;
    uint32_t *labels;
    const char *data_name;
    const struct covey_engine *engine;
    struct covey_recipe recipe;
    struct covey_trainer *trainer;
    float *initial, *params;
    double *rates, *products; /* examples a second, GFLOP/s; a slice each */
    size_t slices, capacity;
    uint64_t peak_rss_bytes;
};

/* ---- data ---- */

/* Real images where they are at hand: gradients behind ReLU have the zeros of real training then. */
static bool load_images(struct covey_dataset *out, const char **name)
{
    static const char *const sets[] = {"mnist", "fashion-mnist"};
    const char *roots[] = {getenv("COVEY_DATA"), "/usr/share/datasets"};
    char *inputs[] = {(char[]){"t10k-images-idx3-ubyte.gz"}},
         *labels[] = {(char[]){"t10k-labels-idx1-ubyte.gz"}};
    const struct covey_data_config config = {.inputs = {inputs, 1}, .labels = {labels, 1}};
    char folder[PATH_BYTES];

    for (size_t i = 0; i < 4; i++) {
        if (!roots[i / 2])
            continue;
        snprintf(folder, sizeof folder, "%s/%s", roots[i / 2], sets[i % 2]);
        *name = sets[i % 2];
        if (covey_data_load(&config, folder, out, NULL) == COVEY_OK)
            return true;
    }
    return false;
}

/* The first examples as bytes of our own; the whole set is given back before memory is measured. */
static bool take_images(struct bench *b, uint32_t count)
{
    struct covey_dataset whole = {0};
    float *x = malloc(count * 784 * sizeof *x);
    uint8_t *bytes = malloc((size_t)count * 784);
    bool taken = x && bytes && load_images(&whole, &b->data_name) && whole.count >= count &&
                 whole.inputs.width == 784 &&
                 covey_dataset_read(&whole, NULL, 0, count, x, (int32_t *)b->labels, NULL) == COVEY_OK;

    for (size_t i = 0; taken && i < (size_t)count * 784; i++)
        bytes[i] = (uint8_t)x[i];
    free(x);
    covey_dataset_deinit(&whole);
    b->inputs = bytes;
    b->data.inputs = (struct covey_table){bytes, COVEY_ELEMENT_U8, false, 784};
    b->data.scale = 1.0f / 255;
    return taken;
}

/* Otherwise a random centre for each class, and noise around it. */
static bool make_examples(struct bench *b, uint32_t count, uint32_t width, uint32_t classes)
{
    struct covey_random random;
    float *x = malloc((size_t)count * width * sizeof *x),
          *centres = malloc((size_t)classes * width * sizeof *x);

    free(b->inputs);
    b->inputs = x;
    b->data_name = "random clusters";
    b->data.inputs = (struct covey_table){x, COVEY_ELEMENT_F32, false, width};
    b->data.scale = 0;
    covey_random_init(&random, 1, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; centres && i < (size_t)classes * width; i++)
        centres[i] = covey_random_float(&random) * 2 - 1;
    for (uint32_t e = 0; x && centres && e < count; e++) {
        b->labels[e] = covey_random_below(&random, classes);
        for (uint32_t i = 0; i < width; i++)
            x[(size_t)e * width + i] =
                centres[b->labels[e] * width + i] + covey_random_float(&random) * 2 - 1;
    }
    free(centres);
    return x && centres;
}

static enum covey_status make_data(struct bench *b, uint32_t count, struct covey_error *err)
{
    struct covey_model_summary summary;
    uint32_t width = 1;

    COVEY_TRY(covey_model_summarise(b->model, &summary, err));
    if (b->model->input_is_token || summary.classes == 0 || summary.target_count != 1)
        return covey_fail(err, COVEY_UNSUPPORTED, "only models that put numbers into classes are measured");
    for (uint32_t i = 0; i < b->model->input_rank; i++)
        width *= b->model->input_shape[i];
    b->labels = calloc(count, sizeof *b->labels);
    if (!b->labels || (!(width == 784 && summary.classes == 10 && take_images(b, count)) &&
                       !make_examples(b, count, width, summary.classes)))
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u examples", count);
    b->data.count = b->data.rows = count;
    b->data.labels = (struct covey_table){b->labels, COVEY_ELEMENT_I32, false, 1};
    return COVEY_OK;
}

/* ---- setting up ---- */

static enum covey_status make_trainer(struct bench *b, struct covey_error *err)
{
    struct covey_training_options options = {
        .engine = b->engine, .recipe = &b->recipe, .examples = b->data.count};
    const struct covey_layout *layout;

    COVEY_TRY(covey_trainer_create(b->model, &options, &b->trainer, err));
    layout = covey_trainer_layout(b->trainer);
    b->initial = malloc(layout->count * sizeof(float));
    b->params = malloc(layout->count * sizeof(float));
    if (!b->initial || !b->params)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu parameters", layout->count);
    return covey_model_initialise(b->model, layout, 1, b->initial, err);
}

static enum covey_status choose_engine(const char *name, const struct covey_engine **out,
                                       struct covey_error *err)
{
    if (strcmp(name, "plain") == 0)
        *out = &covey_engine_plain;
    else if (strcmp(name, covey_engine_name(covey_engine_default())) == 0 || strcmp(name, "default") == 0)
        *out = covey_engine_default();
    else
        return covey_fail(err, COVEY_INVALID, "there is no engine '%s' in this build; there are plain and %s",
                          name, covey_engine_name(covey_engine_default()));
    return COVEY_OK;
}

static enum covey_status set_up(struct bench *b, int argc, char **argv, struct covey_error *err)
{
    b->recipe = (struct covey_recipe){.epochs = 1, .learning_rate = 0.05f};
    b->recipe.batch = (uint32_t)bench_number(argc, argv, "batch", 10, 1, COVEY_BATCH_EXAMPLES);
    b->model = calloc(1, sizeof *b->model);
    b->capacity = (size_t)bench_number(argc, argv, "seconds", 2, 1, 600) * 10 + 8;
    b->rates = calloc(b->capacity, sizeof *b->rates);
    b->products = calloc(b->capacity, sizeof *b->products);
    if (!b->model || !b->rates || !b->products)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory");
    COVEY_TRY(choose_engine(bench_option(argc, argv, "engine", "default"), &b->engine, err));
    COVEY_TRY(covey_model_load(bench_option(argc, argv, "model", "2nn"), b->model, err));
    COVEY_TRY(make_data(b, (uint32_t)bench_number(argc, argv, "examples", 600, 1, 10000), err));
    return make_trainer(b, err);
}

static void tear_down(struct bench *b)
{
    covey_trainer_destroy(b->trainer);
    free(b->inputs);
    free(b->labels);
    free(b->model);
    free(b->initial);
    free(b->params);
    free(b->rates);
    free(b->products);
}

/* ---- measuring ---- */

/* Rounds of local training, each from the initial weights, for about a slice's time: weights and activations
 * stay what they are in real rounds. */
static enum covey_status train_slice(struct bench *b, double *examples_per_s, struct covey_error *err)
{
    struct covey_training_run run = {.seed = 1};
    struct covey_training_result result;
    const size_t count = covey_trainer_layout(b->trainer)->count;
    uint64_t spent_ns = 0, examples = 0;

    for (; spent_ns < SLICE_NS; run.round++) {
        memcpy(b->params, b->initial, count * sizeof(float));
        const uint64_t start = bench_now_ns();
        COVEY_TRY(covey_trainer_run(b->trainer, b->params, &b->data, &b->recipe, &run, &result, err));
        spent_ns += bench_now_ns() - start;
        examples += result.examples;
    }
    *examples_per_s = (double)examples / ((double)spent_ns * 1e-9);
    return COVEY_OK;
}

static double product_gflops(const float *a, const float *b, float *c)
{
    const uint64_t start = bench_now_ns();

    covey_sgemm(COVEY_PLAIN, COVEY_PLAIN, SGEMM_SIZE, SGEMM_SIZE, SGEMM_SIZE, 1, a, SGEMM_SIZE, b, SGEMM_SIZE,
                0, c, SGEMM_SIZE);
    return 2.0 * SGEMM_SIZE * SGEMM_SIZE * SGEMM_SIZE / (double)(bench_now_ns() - start);
}

/* Forgets what loading the data took (Linux only; elsewhere the peak holds it). */
static void reset_peak_rss(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    malloc_trim(0);
    if (fd >= 0 && write(fd, "5", 1) != 1)
        fprintf(stderr, "covey-bench train: the peak memory includes the loading of data\n");
    if (fd >= 0)
        close(fd);
}

/* Linux: of this program alone. What getrusage says includes the program that started this one. */
static uint64_t peak_rss_bytes(void)
{
    unsigned long long kib = 0;
    char line[128];
    FILE *status = fopen("/proc/self/status", "r");

    while (status && kib == 0 && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %llu", &kib) != 1)
            kib = 0;
    if (status)
        fclose(status);
    return kib > 0 ? kib * 1024 : bench_peak_rss_bytes();
}

static enum covey_status measure(struct bench *b, uint64_t seconds, struct covey_error *err)
{
    const size_t values = (size_t)SGEMM_SIZE * SGEMM_SIZE;
    double warm;

    reset_peak_rss();
    COVEY_TRY(train_slice(b, &warm, err));
    b->peak_rss_bytes = peak_rss_bytes(); /* before the matrices */
    float *matrices = malloc(3 * values * sizeof(float));
    if (!matrices)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for three matrices of %d x %d", SGEMM_SIZE,
                          SGEMM_SIZE);
    for (size_t i = 0; i < 2 * values; i++)
        matrices[i] = (float)(i % 1000) * 0.001f - 0.5f;
    product_gflops(matrices, matrices + values, matrices + 2 * values);
    enum covey_status status = COVEY_OK;
    const uint64_t end = bench_now_ns() + seconds * 1000000000u;
    for (; !status && (b->slices < 4 || bench_now_ns() < end) && b->slices < b->capacity; b->slices++) {
        status = train_slice(b, &b->rates[b->slices], err);
        b->products[b->slices] = product_gflops(matrices, matrices + values, matrices + 2 * values);
    }
    free(matrices);
    return status;
}

/* ---- reporting ---- */

struct report {
    double examples_per_s, gflops, sgemm_gflops, slowest, fastest;
    uint32_t batch;
    char blas[64];
    const char *engine, *instruction_set;
};

static struct report report_of(struct bench *b)
{
    const struct covey_training_plan *plan = covey_trainer_plan(b->trainer);
    struct covey_training_cost cost;
    struct report r = {.batch = b->recipe.batch < b->data.count ? b->recipe.batch : b->data.count};

    covey_training_plan_cost(plan, &cost);
    r.examples_per_s = bench_median(b->rates, b->slices); /* sorts */
    r.slowest = b->rates[0];
    r.fastest = b->rates[b->slices - 1];
    r.gflops = r.examples_per_s * (double)cost.step_flops / (double)cost.batch * 1e-9;
    r.sgemm_gflops = bench_median(b->products, b->slices);
    covey_linalg_describe(r.blas, sizeof r.blas);
    r.engine = covey_engine_name(b->engine);
    r.instruction_set = b->engine == &covey_engine_plain ? "none" : covey_training_instruction_set();
    return r;
}

static void print_json(const struct bench *b, const struct report *r)
{
    char text[1024];
    struct covey_json json;

    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "model", b->model->name);
    covey_json_int(&json, "batch", r->batch);
    covey_json_real(&json, "examples_per_s", round(r->examples_per_s * 10) / 10);
    covey_json_real(&json, "gflops", round(r->gflops * 100) / 100);
    covey_json_real(&json, "sgemm_peak_share", round(r->gflops / r->sgemm_gflops * 1e4) / 1e4);
    covey_json_int(&json, "peak_rss_bytes", (int64_t)b->peak_rss_bytes);
    covey_json_real(&json, "sgemm_gflops", round(r->sgemm_gflops * 100) / 100);
    covey_json_text(&json, "engine", r->engine);
    covey_json_text(&json, "instruction_set", r->instruction_set);
    covey_json_text(&json, "blas", r->blas);
    covey_json_text(&json, "data", b->data_name);
    covey_json_close(&json, '}');
    puts(text);
}

static void print_text(const struct bench *b, const struct report *r)
{
    printf("%s, batch %u, plain SGD, one thread, %u examples of %s\n", b->model->name, r->batch,
           b->data.count, b->data_name);
    printf("  %.0f examples/s (median of %zu; %.0f to %.0f), %.1f GFLOP/s\n", r->examples_per_s, b->slices,
           r->slowest, r->fastest, r->gflops);
    printf("  %.0f %% of SGEMM's %.1f GFLOP/s (%s); engine %s, %s; peak memory %.1f MiB\n",
           100 * r->gflops / r->sgemm_gflops, r->sgemm_gflops, r->blas, r->engine, r->instruction_set,
           (double)b->peak_rss_bytes / 1048576);
}

int bench_train(int argc, char **argv);

int bench_train(int argc, char **argv)
{
    static const char *const values[] = {"model", "batch", "engine", "examples", "seconds", NULL};
    static const char *const flags[] = {"json", "help", NULL};
    struct bench b = {0};
    struct covey_error err = {0};

    if (bench_check_options(argc, argv, values, flags) != 0)
        return 2;
    if (bench_flag(argc, argv, "help")) {
        fputs(usage, stdout);
        return 0;
    }
    covey_linalg_start();
    enum covey_status status = set_up(&b, argc, argv, &err);
    if (!status)
        status = measure(&b, bench_number(argc, argv, "seconds", 2, 1, 600), &err);
    if (status) {
        fprintf(stderr, "covey-bench train: %s\n", err.text);
    } else {
        const struct report r = report_of(&b);
        bench_flag(argc, argv, "json") ? print_json(&b, &r) : print_text(&b, &r);
    }
    tear_down(&b);
    return status ? 1 : 0;
}
