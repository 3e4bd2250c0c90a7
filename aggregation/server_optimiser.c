#include "covey/server_optimiser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A row for each kind: how many f64 of state a coordinate needs, and the new weight of one coordinate. */
struct kind {
    const char *word;
    size_t state_values;
    double (*step)(const struct covey_server_optimiser *optimiser, size_t i, double weight, double mean);
};

static double sgd_step(const struct covey_server_optimiser *optimiser, size_t i, double weight, double mean)
{
    (void)i;
    return weight + optimiser->rate * mean;
}

static const struct kind kinds[] = {[COVEY_SERVER_SGD] = {"sgd", 0, sgd_step}};
#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

int covey_server_optimiser_parse(const char *word, enum covey_server_optimiser_kind *out)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(word, kinds[i].word) == 0) {
            *out = (enum covey_server_optimiser_kind)i;
            return 0;
        }
    }
    return -1;
}

enum covey_status covey_server_optimiser_init(struct covey_server_optimiser *optimiser,
                                              enum covey_server_optimiser_kind kind, double rate,
                                              size_t count, struct covey_error *err)
{
    if ((size_t)kind >= KIND_COUNT)
        return covey_fail(err, COVEY_INVALID, "there is no server optimiser number %d", (int)kind);
    if (!(rate > 0.0) || !isfinite(rate))
        return covey_fail(err, COVEY_INVALID, "the server's rate is %g, must be above 0", rate);
    double *state = NULL;
    if (kinds[kind].state_values > 0) {
        state = calloc(count, kinds[kind].state_values * sizeof *state);
        if (state == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for the server optimiser's state");
    }
    *optimiser = (struct covey_server_optimiser){.kind = kind, .rate = rate, .count = count, .state = state};
    return COVEY_OK;
}

void covey_server_optimiser_deinit(struct covey_server_optimiser *optimiser)
{
    free(optimiser->state);
    *optimiser = (struct covey_server_optimiser){0};
}

enum covey_status covey_server_optimiser_step(struct covey_server_optimiser *optimiser, const double *mean,
                                              float *weights, struct covey_error *err)
{
    const struct kind *kind = &kinds[optimiser->kind];
    for (size_t i = 0; i < optimiser->count; i++)
        if (!isfinite((float)kind->step(optimiser, i, (double)weights[i], mean[i])))
            return covey_fail(err, COVEY_NOT_FINITE,
                              "the step would make weight %zu infinite or NaN: the model stays", i);
    for (size_t i = 0; i < optimiser->count; i++)
        weights[i] = (float)kind->step(optimiser, i, (double)weights[i], mean[i]);
    return COVEY_OK;
}
