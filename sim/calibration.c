#include "calibration.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "covey/limits.h"
#include "covey/model.h"
#include "covey/random.h"
#include "covey/trainer.h"

#define EXAMPLES 300u
#define PIXELS 784u
#define PASSES 8u /* the fastest counts: others use the machine too */

/* ------------------------------------------------------------------ the cache */

bool covey_calibration_cache(char *out, size_t out_bytes)
{
    const char *cache = getenv("COVEY_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int size = -1;
    if (cache != NULL && cache[0] != '\0')
        size = snprintf(out, out_bytes, "%s", cache);
    else if (xdg != NULL && xdg[0] != '\0')
        size = snprintf(out, out_bytes, "%s/covey", xdg);
    else if (home != NULL && home[0] != '\0')
        size = snprintf(out, out_bytes, "%s/.cache/covey", home);
    return size > 0 && (size_t)size < out_bytes;
}

void covey_calibration_cpu(char *out, size_t out_bytes)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    (void)snprintf(out, out_bytes, "unknown");
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (value == NULL)
            continue;
        value += 1 + strspn(value + 1, " \t");
        (void)snprintf(out, out_bytes, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    (void)fclose(file);
}

static bool cache_file(char *out, size_t out_bytes)
{
    char folder[COVEY_FILE_PATH_BYTES];
    return covey_calibration_cache(folder, sizeof folder) &&
           snprintf(out, out_bytes, "%s/training-speed", folder) < (int)out_bytes;
}

/* Lines "FLOP/s CPU". 0: this CPU is not there. */
static double recall(const char *cpu)
{
    char path[COVEY_FILE_PATH_BYTES], line[256];
    double found = 0;
    FILE *file = cache_file(path, sizeof path) ? fopen(path, "re") : NULL;
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        char *end;
        const double value = strtod(line, &end);
        line[strcspn(line, "\n")] = '\0';
        if (*end == ' ' && strcmp(end + 1, cpu) == 0 && value > 1e6 && value < 1e15)
            found = value;
    }
    (void)fclose(file);
    return found;
}

/* A cache that cannot be written costs a measurement the next time, no more. */
static void remember(const char *cpu, double flops_per_s)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (!cache_file(path, sizeof path))
        return;
    *strrchr(path, '/') = '\0';
    (void)mkdir(path, 0755);
    path[strlen(path)] = '/';
    FILE *file = fopen(path, "ae");
    if (file == NULL)
        return;
    (void)fprintf(file, "%.4g %s\n", flops_per_s, cpu);
    (void)fclose(file);
}

/* ------------------------------------------------------------------ the measurement */

static const char network[] = "name: speed\n"
                              "input: {shape: [784]}\n"
                              "loss: softmax_cross_entropy\n"
                              "ops:\n"
                              "  - {op: dense, units: 200}\n"
                              "  - {op: relu}\n"
                              "  - {op: dense, units: 200}\n"
                              "  - {op: relu}\n"
                              "  - {op: dense, units: 10}\n";

static double now_s(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct measurement {
    struct covey_model_description *model;
    struct covey_layout layout;
    struct covey_trainer *trainer;
    uint8_t *pixels, *labels;
    float *params;
};

static void release(struct measurement *m)
{
    covey_trainer_destroy(m->trainer);
    if (m->layout.tensors != NULL)
        covey_layout_deinit(&m->layout);
    free(m->model);
    free(m->pixels);
    free(m->labels);
    free(m->params);
}

static enum covey_status prepare(struct measurement *m, const struct covey_recipe *recipe,
                                 struct covey_error *err)
{
    const struct covey_training_options options = {.recipe = recipe, .examples = EXAMPLES};
    struct covey_random random;
    m->model = calloc(1, sizeof *m->model);
    m->pixels = malloc(EXAMPLES * PIXELS);
    m->labels = malloc(EXAMPLES);
    if (m->model == NULL || m->pixels == NULL || m->labels == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to measure this machine's speed");
    COVEY_TRY(covey_model_load_text("speed", network, sizeof network - 1, m->model, err));
    COVEY_TRY(covey_model_layout(m->model, &m->layout, err));
    m->params = malloc(m->layout.count * sizeof *m->params);
    if (m->params == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to measure this machine's speed");
    COVEY_TRY(covey_model_initialise(m->model, &m->layout, 1, m->params, err));
    covey_random_init(&random, 1, 0, 0, COVEY_PURPOSE_TEST);
    for (uint32_t i = 0; i < EXAMPLES * PIXELS; i++)
        m->pixels[i] = (uint8_t)covey_random_below(&random, 256);
    for (uint32_t i = 0; i < EXAMPLES; i++)
        m->labels[i] = (uint8_t)covey_random_below(&random, 10);
    return covey_trainer_create(m->model, &options, &m->trainer, err);
}

static enum covey_status measure(double *out, struct covey_error *err)
{
    struct measurement m = {0};
    const struct covey_recipe recipe = {.epochs = 1, .batch = 10, .learning_rate = .001f};
    struct covey_model_summary summary;
    double fastest_s = 1e9;
    enum covey_status status = prepare(&m, &recipe, err);
    if (status == COVEY_OK)
        status = covey_model_summarise(m.model, &summary, err);
    const struct covey_dataset dataset = {.count = EXAMPLES,
                                          .rows = EXAMPLES,
                                          .inputs = {.values = m.pixels, .width = PIXELS},
                                          .labels = {.values = m.labels, .width = 1},
                                          .scale = 1.0f / 255};
    for (uint32_t pass = 0; pass < PASSES && status == COVEY_OK; pass++) {
        const struct covey_training_run run = {.round = pass};
        struct covey_training_result result;
        const double began_s = now_s();
        status = covey_trainer_run(m.trainer, m.params, &dataset, &recipe, &run, &result, err);
        const double took_s = now_s() - began_s;
        fastest_s = took_s < fastest_s ? took_s : fastest_s;
    }
    release(&m);
    if (status == COVEY_OK)
        *out = 3.0 * (double)summary.forward_flops * EXAMPLES / (fastest_s > 1e-9 ? fastest_s : 1e-9);
    return status;
}

enum covey_status covey_calibration_flops_per_s(double *out, struct covey_error *err)
{
    char cpu[128];
    covey_calibration_cpu(cpu, sizeof cpu);
    const double known = recall(cpu);
    if (known > 0) {
        *out = known;
        return COVEY_OK;
    }
    COVEY_TRY(measure(out, err));
    remember(cpu, *out);
    const double kept = recall(cpu); /* as it will read the next time */
    if (kept > 0)
        *out = kept;
    return COVEY_OK;
}
