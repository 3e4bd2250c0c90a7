/* Strategies that compare the updates of a round: each is admitted as it comes and put aside, compressed;
 * when the round closes they are read again, in the order of their places, by tiles of coordinates. An update
 * counts once, whatever its examples: a weight is only what a device says. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clip.h"
#include "comparing.h"
#include "covey/admit.h"
#include "covey/grid.h"
#include "covey/strategy.h"
#include "spool.h"

extern const struct covey_strategy covey_strategy_median, covey_strategy_trimmed_mean, covey_strategy_krum,
    covey_strategy_multi_krum, covey_strategy_bulyan, covey_strategy_geometric_median,
    covey_strategy_centred_clipping, covey_strategy_fltrust;

/* One update that is in. */
struct gathered {
    uint64_t place, at;
    size_t bytes;
    double scale; /* into the grid's range, and the clip's */
};

struct gathering {
    pthread_mutex_t mutex; /* of everything that add changes */
    struct covey_chain chain;
    enum covey_comparing_rule rule;
    struct covey_grid grid; /* exponents, peaks, weights; its sums become the result */
    struct covey_fold_pool *pool;
    struct covey_admit_rule admit;
    struct covey_clip clip;
    struct covey_spool spool;
    struct gathered *items;
    size_t count, capacity;
    float *centre;          /* (coordinates) of centred clipping; NULL otherwise */
    const float *reference; /* (coordinates) of FLTrust, borrowed; NULL otherwise */
    uint64_t seed, updates_max, refused, scaled_down;
    uint32_t round;
    bool finished;
};

static void destroy(void *state)
{
    struct gathering *gathering = state;
    if (gathering == NULL)
        return;
    covey_fold_pool_destroy(gathering->pool);
    covey_grid_deinit(&gathering->grid);
    covey_spool_deinit(&gathering->spool);
    free(gathering->items);
    free(gathering->centre);
    (void)pthread_mutex_destroy(&gathering->mutex);
    free(gathering);
}

static enum covey_status prepare(struct gathering *gathering, const struct covey_aggregation_plan *plan,
                                 struct covey_error *err)
{
    struct covey_grid_split split;
    if (!(plan->norm_limit >= 0.0) || !isfinite(plan->norm_limit))
        return covey_fail(err, COVEY_INVALID, "the limit of the norm is %g, must be 0 (none) or more",
                          plan->norm_limit);
    if (plan->updates_max > COVEY_COMPARED_UPDATES)
        return covey_fail(
            err, COVEY_LIMIT, "the strategy '%s' compares up to %u updates, the round may take %llu",
            gathering->chain.strategy->name, COVEY_COMPARED_UPDATES, (unsigned long long)plan->updates_max);
    COVEY_TRY(covey_grid_split(plan->updates_max, 1, &split, err));
    COVEY_TRY(
        covey_grid_init(&gathering->grid, plan->ends, plan->tensor_count, plan->exponents, &split, err));
    COVEY_TRY(covey_fold_pool_create(plan->threads, &gathering->pool, err));
    COVEY_TRY(covey_spool_init(&gathering->spool, plan->spool_folder, err));
    if (gathering->rule == COVEY_RULE_CENTRED_CLIPPING) {
        gathering->centre = calloc(gathering->grid.count, sizeof *gathering->centre);
        if (gathering->centre == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for the centre");
    }
    COVEY_TRY(covey_clip_begin(&gathering->clip, &gathering->chain, plan->kept, gathering->centre,
                               gathering->grid.count, err));
    gathering->admit = (struct covey_admit_rule){.ends = gathering->grid.ends,
                                                 .tensor_count = gathering->grid.tensor_count,
                                                 .exponents = gathering->grid.exponents,
                                                 .refuse_range = plan->refuse_range,
                                                 .norm_limit = plan->norm_limit,
                                                 .wants_norm = gathering->clip.kind != COVEY_CLIP_NONE};
    return COVEY_OK;
}

static enum covey_status begin(enum covey_comparing_rule rule, const struct covey_chain *chain,
                               const struct covey_aggregation_plan *plan, void **state,
                               struct covey_error *err)
{
    struct gathering *gathering = calloc(1, sizeof *gathering);
    if (gathering == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to begin an aggregation");
    (void)pthread_mutex_init(&gathering->mutex, NULL);
    gathering->chain = *chain;
    gathering->rule = rule;
    gathering->spool.file = -1;
    gathering->seed = plan->seed;
    gathering->round = plan->round;
    gathering->updates_max = plan->updates_max;
    const enum covey_status status = prepare(gathering, plan, err);
    if (status != COVEY_OK) {
        destroy(gathering);
        return status;
    }
    *state = gathering;
    return COVEY_OK;
}

/* ---- add ---- */

static enum covey_status put_aside(struct gathering *gathering, const struct covey_contribution *update,
                                   double scale, struct covey_error *err)
{
    if (gathering->count >= gathering->updates_max)
        return covey_fail(err, COVEY_LIMIT, "the round is full: it takes %llu updates",
                          (unsigned long long)gathering->updates_max);
    if (gathering->count == gathering->capacity) {
        const size_t capacity = gathering->capacity == 0 ? 64 : 2 * gathering->capacity;
        struct gathered *items = reallocarray(gathering->items, capacity, sizeof *items);
        if (items == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu updates", capacity);
        gathering->items = items;
        gathering->capacity = capacity;
    }
    struct gathered *item = &gathering->items[gathering->count];
    *item = (struct gathered){.place = update->place, .bytes = update->stream.size, .scale = scale};
    COVEY_TRY(covey_spool_append(&gathering->spool, update->stream, &item->at, err));
    gathering->count++;
    return COVEY_OK;
}

static void add_one(struct gathering *gathering, const struct covey_contribution *update,
                    struct covey_verdict *verdict)
{
    struct covey_admission admission = {.scale = 1.0, .norm = -1.0};
    float peaks[COVEY_MODEL_TENSORS];
    *verdict = (struct covey_verdict){.scale = 1.0, .norm = -1.0, .weight = 1.0};
    if (!(update->weight > 0.0) || !isfinite(update->weight))
        verdict->status = covey_fail(&verdict->error, COVEY_INVALID,
                                     "the update's weight is %g, must be above 0", update->weight);
    else
        verdict->status = covey_admit(update->stream, &gathering->admit, &admission, peaks, &verdict->error);
    (void)pthread_mutex_lock(&gathering->mutex);
    if (verdict->status == COVEY_OK) {
        verdict->scale = admission.scale;
        verdict->norm = admission.norm;
        verdict->status =
            put_aside(gathering, update, admission.scale * covey_clip_scale(&gathering->clip, admission.norm),
                      &verdict->error);
    }
    if (verdict->status == COVEY_OK) {
        const enum covey_status counted = covey_grid_count(&gathering->grid, 1, peaks);
        (void)counted; /* updates_max weights of 1 fit */
        covey_clip_count(&gathering->clip, admission.norm);
        gathering->scaled_down += admission.scale < 1.0;
    } else {
        gathering->refused++;
    }
    (void)pthread_mutex_unlock(&gathering->mutex);
}

static enum covey_status check_open(struct gathering *gathering, struct covey_error *err)
{
    (void)pthread_mutex_lock(&gathering->mutex);
    const bool finished = gathering->finished;
    (void)pthread_mutex_unlock(&gathering->mutex);
    return finished ? covey_fail(err, COVEY_STATE, "the mean was taken already: begin another aggregation")
                    : COVEY_OK;
}

static enum covey_status add(void *state, const struct covey_contribution *updates, size_t count,
                             struct covey_verdict *verdicts, struct covey_error *err)
{
    struct gathering *gathering = state;
    COVEY_TRY(check_open(gathering, err));
    for (size_t i = 0; i < count; i++)
        add_one(gathering, &updates[i], &verdicts[i]);
    return COVEY_OK;
}

/* ---- finish ---- */

static int by_place(const void *a, const void *b)
{
    const struct gathered *x = a, *y = b;
    return x->place < y->place ? -1 : x->place > y->place;
}

static enum covey_status compare(struct gathering *gathering, struct covey_error *err)
{
    const size_t n = gathering->count;
    struct covey_bytes *streams = calloc(n, sizeof *streams);
    double *scales = calloc(n, sizeof *scales);
    enum covey_status status = COVEY_OK;
    if (streams == NULL || scales == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to compare %zu updates", n);
    if (status == COVEY_OK)
        status = covey_spool_map(&gathering->spool, err);
    if (status == COVEY_OK) {
        qsort(gathering->items, n, sizeof *gathering->items, by_place);
        for (size_t i = 0; i < n; i++) {
            streams[i] =
                covey_spool_view(&gathering->spool, gathering->items[i].at, gathering->items[i].bytes);
            scales[i] = gathering->items[i].scale;
        }
        const struct covey_comparison comparison = {
            .rows = {&gathering->spool, streams, scales, n, gathering->grid.count, gathering->pool},
            .chain = &gathering->chain,
            .rule = gathering->rule,
            .seed = gathering->seed,
            .round = gathering->round,
            .centre = gathering->reference != NULL ? gathering->reference : gathering->centre};
        status = covey_compare(&comparison, (double *)(void *)gathering->grid.sums, err);
    }
    free(streams);
    free(scales);
    return status;
}

static enum covey_status refer(void *state, const float *reference, struct covey_error *err)
{
    struct gathering *gathering = state;
    for (size_t i = 0; i < gathering->grid.count; i++)
        if (!isfinite(reference[i]))
            return covey_fail(err, COVEY_NOT_FINITE, "the server's own update is not finite at value %zu", i);
    gathering->reference = reference;
    return COVEY_OK;
}

static enum covey_status finish(void *state, const double **mean, int16_t *next_exponents,
                                struct covey_error *err)
{
    struct gathering *gathering = state;
    COVEY_TRY(check_open(gathering, err));
    if (gathering->count == 0)
        return covey_fail(err, COVEY_STATE, "no update is in: there is no mean");
    if (gathering->rule == COVEY_RULE_FLTRUST && gathering->reference == NULL)
        return covey_fail(err, COVEY_STATE, "there is no update of the server's own to compare with");
    COVEY_TRY(compare(gathering, err));
    gathering->finished = true;
    if (next_exponents != NULL)
        covey_grid_next_exponents(&gathering->grid, next_exponents);
    *mean = (const double *)(const void *)gathering->grid.sums;
    return COVEY_OK;
}

static void report(void *state, struct covey_aggregation_report *out)
{
    struct gathering *gathering = state;
    (void)pthread_mutex_lock(&gathering->mutex);
    *out = (struct covey_aggregation_report){.updates = gathering->count,
                                             .refused = gathering->refused,
                                             .scaled_down = gathering->scaled_down,
                                             .weight_sum = (double)gathering->count,
                                             .coordinate_bits = gathering->grid.split.coordinate_bits};
    (void)pthread_mutex_unlock(&gathering->mutex);
}

/* The mean is where centred clipping begins the next time. */
static enum covey_status keep(void *state, struct covey_round_state *out, struct covey_error *err)
{
    struct gathering *gathering = state;
    const double *mean = (const double *)(const void *)gathering->grid.sums;
    for (size_t i = 0; gathering->centre != NULL && i < gathering->grid.count; i++)
        gathering->centre[i] = (float)mean[i];
    return covey_clip_keep(&gathering->clip, gathering->count, gathering->centre, gathering->grid.count, out,
                           err);
}

/* ---- the rows ---- */

static uint64_t more_than_twice(const struct covey_chain *chain)
{
    return 2 * (uint64_t)chain->hostile + 1;
}

static uint64_t krum_min(const struct covey_chain *chain)
{
    return 2 * (uint64_t)chain->hostile + 3;
}

static uint64_t bulyan_min(const struct covey_chain *chain)
{
    return 4 * (uint64_t)chain->hostile + 3;
}

#define COMMON                                                                                               \
    .needs = COVEY_NEEDS_INDIVIDUAL, .inspects = COVEY_INSPECTS_EVERYTHING, .add = add, .finish = finish,    \
    .report = report, .keep = keep, .destroy = destroy
#define TAKES (COVEY_TAKES_HOSTILE | COVEY_TAKES_MIX | COVEY_TAKES_CLIP)
#define BEGIN(name, rule)                                                                                    \
    static enum covey_status begin_##name(const struct covey_chain *chain,                                   \
                                          const struct covey_aggregation_plan *plan, void **state,           \
                                          struct covey_error *err)                                           \
    {                                                                                                        \
        return begin(rule, chain, plan, state, err);                                                         \
    }

BEGIN(median, COVEY_RULE_MEDIAN)
BEGIN(trimmed_mean, COVEY_RULE_TRIMMED_MEAN)
BEGIN(krum, COVEY_RULE_KRUM)
BEGIN(multi_krum, COVEY_RULE_MULTI_KRUM)
BEGIN(bulyan, COVEY_RULE_BULYAN)
BEGIN(geometric_median, COVEY_RULE_GEOMETRIC_MEDIAN)
BEGIN(centred_clipping, COVEY_RULE_CENTRED_CLIPPING)
BEGIN(fltrust, COVEY_RULE_FLTRUST)

const struct covey_strategy covey_strategy_median = {.name = "median",
                                                     .summary = "the median of each coordinate",
                                                     .source = "Yin et al. 2018",
                                                     .takes = TAKES,
                                                     .updates_min = more_than_twice,
                                                     .begin = begin_median,
                                                     COMMON};
const struct covey_strategy covey_strategy_trimmed_mean = {
    .name = "trimmed-mean",
    .summary = "each coordinate's mean without its f lowest and f highest values",
    .source = "Yin et al. 2018",
    .takes = TAKES,
    .updates_min = more_than_twice,
    .begin = begin_trimmed_mean,
    COMMON};
const struct covey_strategy covey_strategy_krum = {
    .name = "krum",
    .summary = "the one update that its n - f - 2 nearest are nearest to",
    .source = "Blanchard et al. 2017",
    .takes = TAKES,
    .updates_min = krum_min,
    .begin = begin_krum,
    COMMON};
const struct covey_strategy covey_strategy_multi_krum = {.name = "multi-krum",
                                                         .summary = "the mean of the best updates by Krum",
                                                         .source = "Blanchard et al. 2017, section 5",
                                                         .takes = TAKES | COVEY_TAKES_KEEP,
                                                         .updates_min = krum_min,
                                                         .begin = begin_multi_krum,
                                                         COMMON};
const struct covey_strategy covey_strategy_bulyan = {
    .name = "bulyan",
    .summary = "of n - 2f updates chosen by Krum, each coordinate's mean near its median",
    .source = "El Mhamdi et al. 2018",
    .takes = TAKES,
    .updates_min = bulyan_min,
    .begin = begin_bulyan,
    COMMON};
const struct covey_strategy covey_strategy_geometric_median = {
    .name = "geometric-median",
    .summary = "the point with the smallest sum of distances (smoothed Weiszfeld, RFA)",
    .source = "Pillutla et al. 2022",
    .takes = TAKES | COVEY_TAKES_ITERATIONS | COVEY_TAKES_SMOOTHING,
    .updates_min = more_than_twice,
    .begin = begin_geometric_median,
    COMMON};
const struct covey_strategy covey_strategy_centred_clipping = {
    .name = "centred-clipping",
    .summary = "from the last round's mean, steps towards the updates, each no longer than the radius",
    .source = "Karimireddy et al. 2021",
    .takes = TAKES | COVEY_TAKES_ITERATIONS | COVEY_TAKES_RADIUS,
    .updates_min = more_than_twice,
    .begin = begin_centred_clipping,
    COMMON};
const struct covey_strategy covey_strategy_fltrust = {
    .name = "fltrust",
    .summary = "each as long as the server's own update of root_data, weighted by the cosine with it",
    .source = "Cao et al. 2021",
    .needs_reference = true,
    .begin = begin_fltrust,
    .refer = refer,
    COMMON};
