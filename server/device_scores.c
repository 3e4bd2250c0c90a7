#include "device_scores.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "covey/limits.h"
#include "covey/random.h"

/* ---- the figures of a round ---- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Between two values where it falls between them, as NumPy does it. sorted: (n) */
static double quantile(const double *sorted, size_t n, double share)
{
    const double at = share * (double)(n - 1);
    const size_t below = (size_t)at, above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

enum covey_status covey_device_summary_make(const struct covey_device_score *scores, size_t count,
                                            bool lower_is_better, struct covey_device_summary *out)
{
    const double none = (double)NAN, sign = lower_is_better ? -1 : 1; /* sorted from the worst on */
    double *sorted = malloc((count + 1) * sizeof *sorted), sum = 0, weighted = 0, worst = 0;
    struct covey_device_summary made = {.mean = none,
                                        .weighted = none,
                                        .worst_decile = none,
                                        .tenth = none,
                                        .median = none,
                                        .ninetieth = none};
    if (sorted == NULL)
        return COVEY_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(scores[i].metric))
            continue;
        sorted[made.devices++] = sign * scores[i].metric;
        made.examples += scores[i].examples;
        weighted += scores[i].metric * scores[i].examples;
    }
    const size_t n = made.devices, tenth = n >= 10 ? n / 10 : 1;
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0; i < n; i++) {
        sum += sorted[i];
        worst += i < tenth ? sorted[i] : 0;
    }
    if (n > 0) {
        made.mean = sign * sum / (double)n;
        made.weighted = made.examples > 0 ? weighted / (double)made.examples : none;
        made.worst_decile = sign * worst / (double)tenth;
        made.tenth = sign * quantile(sorted, n, .1);
        made.median = sign * quantile(sorted, n, .5);
        made.ninetieth = sign * quantile(sorted, n, .9);
    }
    free(sorted);
    *out = made;
    return COVEY_OK;
}

void covey_device_summary_write(const struct covey_device_summary *summary, char out[COVEY_SCORES_TEXT_BYTES])
{
    (void)snprintf(out, COVEY_SCORES_TEXT_BYTES, "%u %u %llu %.9g %.9g %.9g %.9g %.9g %.9g", summary->round,
                   summary->devices, (unsigned long long)summary->examples, summary->mean, summary->weighted,
                   summary->worst_decile, summary->tenth, summary->median, summary->ninetieth);
}

bool covey_device_summary_read(const char *text, struct covey_device_summary *out)
{
    struct covey_device_summary read = {0};
    unsigned long long examples = 0;
    if (sscanf(text, "%u %u %llu %lf %lf %lf %lf %lf %lf", &read.round, &read.devices, &examples, &read.mean,
               &read.weighted, &read.worst_decile, &read.tenth, &read.median, &read.ninetieth) != 9)
        return false;
    read.examples = examples;
    *out = read;
    return true;
}

/* ---- who is asked ---- */

bool covey_device_is_asked(const struct covey_federation_options *options, uint64_t device, uint32_t round)
{
    struct covey_random random;
    if (options->devices_every == 0 || round % options->devices_every != 0)
        return false;
    /* apart from the draw of the cohort, which would leave only its own kind */
    covey_random_init(&random, ~options->recipe.seed, device, round, COVEY_PURPOSE_SELECT);
    return covey_random_double(&random) < options->devices_share;
}

/* ---- what comes in ---- */

struct covey_device_scores {
    pthread_mutex_t mutex;
    uint32_t round;
    size_t count;
    bool changed;
    struct covey_device_score items[COVEY_SCORED_DEVICES];
};

enum covey_status covey_device_scores_create(struct covey_device_scores **out, struct covey_error *err)
{
    struct covey_device_scores *scores = calloc(1, sizeof *scores);
    if (scores == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for what devices say of the model");
    (void)pthread_mutex_init(&scores->mutex, NULL);
    *out = scores;
    return COVEY_OK;
}

void covey_device_scores_destroy(struct covey_device_scores *scores)
{
    if (scores == NULL)
        return;
    (void)pthread_mutex_destroy(&scores->mutex);
    free(scores);
}

/* A whole number of a metric within [least, most]; 0 otherwise. */
static uint32_t whole(const struct covey_metrics *metrics, const char *name, uint32_t most)
{
    double value = 0;
    if (!covey_metrics_find(metrics, name, &value) || !(value >= 1 && value <= (double)most) ||
        value > floor(value))
        return 0;
    return (uint32_t)value;
}

bool covey_device_scores_take(struct covey_device_scores *scores, uint32_t place,
                              const struct covey_metrics *metrics, bool is_error)
{
    double metric;
    const uint32_t round = whole(metrics, COVEY_METRIC_ROUND, COVEY_ROUNDS);
    const uint32_t examples = whole(metrics, COVEY_METRIC_JUDGED_EXAMPLES, COVEY_UPDATE_EXAMPLES);
    if (round == 0 || examples == 0 || !covey_metrics_find(metrics, COVEY_METRIC_JUDGED, &metric) ||
        !(metric >= 0 && metric <= (is_error ? 1e30 : 1)))
        return false;
    (void)pthread_mutex_lock(&scores->mutex);
    if (round > scores->round) {
        scores->round = round;
        scores->count = 0;
    }
    size_t at = 0;
    while (at < scores->count && scores->items[at].place != place)
        at++;
    const bool taken = round == scores->round && at < COVEY_SCORED_DEVICES;
    if (taken) {
        scores->items[at] = (struct covey_device_score){place, examples, metric};
        scores->count += at == scores->count;
        scores->changed = true;
    }
    (void)pthread_mutex_unlock(&scores->mutex);
    return taken;
}

bool covey_device_scores_sum(struct covey_device_scores *scores, bool is_error, bool note,
                             struct covey_device_summary *out)
{
    *out = (struct covey_device_summary){0};
    (void)pthread_mutex_lock(&scores->mutex);
    const bool changed = scores->changed;
    if (covey_device_summary_make(scores->items, scores->count, is_error, out) == COVEY_OK)
        out->round = scores->round;
    if (note)
        scores->changed = false;
    (void)pthread_mutex_unlock(&scores->mutex);
    return changed;
}
