/* FedAvg (McMahan et al. 2017, Algorithm 1): the mean of the updates weighted by their examples, streaming,
 * on the grid. An update is read twice: once to admit it, once to fold it; nothing of a refused one reaches
 * the sums. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "covey/admit.h"
#include "clip.h"
#include "covey/strategy.h"
#include "stream_fold.h"

extern const struct covey_strategy covey_strategy_fedavg, covey_strategy_norm_bound;

#define BELOW_BYTES 8 /* behind a saved sum, of clip=quantile: updates that were not above the bound */

struct fedavg {
    pthread_mutex_t
        mutex; /* of everything below but grid.ends, grid.exponents and rule, which stay as they are */
    struct covey_grid grid;
    struct covey_fold_pool *pool;
    struct covey_admit_rule rule;
    struct covey_clip clip;
    uint64_t updates_max;
    double weight_max;
    uint64_t refused, scaled_down, capped;
    bool finished;
    struct covey_fold_input *inputs; /* (COVEY_FOLD_INPUTS) */
    float *peaks;                    /* (COVEY_FOLD_INPUTS, tensors) */
};

static void destroy(void *state)
{
    struct fedavg *fedavg = state;
    if (fedavg == NULL)
        return;
    covey_fold_pool_destroy(fedavg->pool);
    covey_grid_deinit(&fedavg->grid);
    free(fedavg->inputs);
    free(fedavg->peaks);
    (void)pthread_mutex_destroy(&fedavg->mutex);
    free(fedavg);
}

static enum covey_status prepare(struct fedavg *fedavg, const struct covey_chain *chain,
                                 const struct covey_aggregation_plan *plan, struct covey_error *err)
{
    struct covey_grid_split split;
    if (!(plan->norm_limit >= 0.0) || !isfinite(plan->norm_limit))
        return covey_fail(err, COVEY_INVALID, "the limit of the norm is %g, must be 0 (none) or more",
                          plan->norm_limit);
    COVEY_TRY(covey_grid_split(plan->updates_max, plan->weight_max, &split, err));
    COVEY_TRY(covey_grid_init(&fedavg->grid, plan->ends, plan->tensor_count, plan->exponents, &split, err));
    COVEY_TRY(covey_fold_pool_create(plan->threads, &fedavg->pool, err));
    fedavg->inputs = calloc(COVEY_FOLD_INPUTS, sizeof *fedavg->inputs);
    fedavg->peaks = calloc(COVEY_FOLD_INPUTS * plan->tensor_count, sizeof *fedavg->peaks);
    if (fedavg->inputs == NULL || fedavg->peaks == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to fold %d updates at once", COVEY_FOLD_INPUTS);
    COVEY_TRY(covey_clip_begin(&fedavg->clip, chain, plan->kept, NULL, 0, err));
    fedavg->updates_max = plan->updates_max;
    fedavg->weight_max = plan->weight_max;
    fedavg->rule = (struct covey_admit_rule){.ends = fedavg->grid.ends,
                                             .tensor_count = fedavg->grid.tensor_count,
                                             .exponents = fedavg->grid.exponents,
                                             .refuse_range = plan->refuse_range,
                                             .norm_limit = plan->norm_limit,
                                             .wants_norm = fedavg->clip.kind != COVEY_CLIP_NONE};
    return COVEY_OK;
}

static enum covey_status begin(const struct covey_chain *chain, const struct covey_aggregation_plan *plan,
                               void **state, struct covey_error *err)
{

    struct fedavg *fedavg = calloc(1, sizeof *fedavg);
    if (fedavg == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to begin an aggregation");
    (void)pthread_mutex_init(&fedavg->mutex, NULL);
    const enum covey_status status = prepare(fedavg, chain, plan, err);
    if (status != COVEY_OK) {
        destroy(fedavg);
        return status;
    }
    *state = fedavg;
    return COVEY_OK;
}

/* ---- add ---- */

/* One update by itself: reads rule and grid's layout only, so it needs no lock. */
static void examine(const struct fedavg *fedavg, const struct covey_contribution *update, float *peaks,
                    struct covey_fold_input *input, struct covey_verdict *verdict)
{
    struct covey_admission admission = {.scale = 1.0, .norm = -1.0};
    *verdict = (struct covey_verdict){.scale = 1.0, .norm = -1.0};
    verdict->status = covey_grid_weight(&fedavg->grid.split, update->weight, &input->weight);
    if (verdict->status != COVEY_OK) {
        (void)covey_fail(&verdict->error, verdict->status, "the update's weight is %g, must be above 0",
                         update->weight);
        return;
    }
    verdict->status = covey_admit(update->stream, &fedavg->rule, &admission, peaks, &verdict->error);
    if (verdict->status != COVEY_OK)
        return;
    verdict->status =
        covey_decoder_init(&input->decoder, update->stream, fedavg->grid.count, &verdict->error);
    input->scale = admission.scale * covey_clip_scale(&fedavg->clip, admission.norm);
    verdict->scale = admission.scale;
    verdict->norm = admission.norm;
    verdict->weight = ldexp((double)input->weight, -fedavg->grid.split.weight_exponent);
}

/* Some updates at once, for the pool. */
struct batch {
    struct fedavg *fedavg;
    const struct covey_contribution *updates;
    struct covey_verdict *verdicts;
};

static void examine_one(void *user, size_t index)
{
    const struct batch *batch = user;
    struct fedavg *fedavg = batch->fedavg;
    examine(fedavg, &batch->updates[index], fedavg->peaks + index * fedavg->grid.tensor_count,
            &fedavg->inputs[index], &batch->verdicts[index]);
}

/* Counts an update that was found sound; refuses it when the round is full. */
static void admit_to_sum(struct fedavg *fedavg, const struct covey_contribution *update, uint64_t weight,
                         const float *peaks, struct covey_verdict *verdict)
{
    if (verdict->status == COVEY_OK && (fedavg->grid.update_count >= fedavg->updates_max ||
                                        covey_grid_count(&fedavg->grid, weight, peaks) != COVEY_OK))
        verdict->status = covey_fail(&verdict->error, COVEY_LIMIT, "the round is full: it takes %llu updates",
                                     (unsigned long long)fedavg->updates_max);
    if (verdict->status != COVEY_OK) {
        fedavg->refused++;
        return;
    }
    covey_clip_count(&fedavg->clip, verdict->norm);
    fedavg->scaled_down += verdict->scale < 1.0;
    fedavg->capped += update->weight > fedavg->weight_max;
}

static enum covey_status check_open(const struct fedavg *fedavg, struct covey_error *err)
{
    return fedavg->finished
               ? covey_fail(err, COVEY_STATE, "the mean was taken already: begin another aggregation")
               : COVEY_OK;
}

/* A single update is examined before the lock, so that several threads can do so side by side. */
static enum covey_status add_one(struct fedavg *fedavg, const struct covey_contribution *update,
                                 struct covey_verdict *verdict, struct covey_error *err)
{
    struct covey_fold_input input = {.weight = 0};
    float peaks[COVEY_MODEL_TENSORS];
    examine(fedavg, update, peaks, &input, verdict);
    (void)pthread_mutex_lock(&fedavg->mutex);
    const enum covey_status status = check_open(fedavg, err);
    if (status == COVEY_OK) {
        admit_to_sum(fedavg, update, input.weight, peaks, verdict);
        if (verdict->status == COVEY_OK)
            covey_fold(&fedavg->grid, &input, 1, fedavg->pool, false);
    }
    (void)pthread_mutex_unlock(&fedavg->mutex);
    return status;
}

/* At most COVEY_FOLD_INPUTS, under the lock. */
static void add_some(struct fedavg *fedavg, const struct covey_contribution *updates, size_t count,
                     struct covey_verdict *verdicts)
{
    struct batch batch = {fedavg, updates, verdicts};
    size_t accepted = 0;
    covey_fold_pool_run(fedavg->pool, count, examine_one, &batch);
    for (size_t i = 0; i < count; i++) {
        admit_to_sum(fedavg, &updates[i], fedavg->inputs[i].weight,
                     fedavg->peaks + i * fedavg->grid.tensor_count, &verdicts[i]);
        if (verdicts[i].status == COVEY_OK) {
            if (accepted != i)
                fedavg->inputs[accepted] = fedavg->inputs[i];
            accepted++;
        }
    }
    covey_fold(&fedavg->grid, fedavg->inputs, accepted, fedavg->pool, false);
}

static enum covey_status add(void *state, const struct covey_contribution *updates, size_t count,
                             struct covey_verdict *verdicts, struct covey_error *err)
{
    struct fedavg *fedavg = state;
    if (count == 1)
        return add_one(fedavg, updates, verdicts, err);
    (void)pthread_mutex_lock(&fedavg->mutex);
    const enum covey_status status = check_open(fedavg, err);
    for (size_t at = 0; status == COVEY_OK && at < count; at += COVEY_FOLD_INPUTS)
        add_some(fedavg, updates + at, count - at < COVEY_FOLD_INPUTS ? count - at : COVEY_FOLD_INPUTS,
                 verdicts + at);
    (void)pthread_mutex_unlock(&fedavg->mutex);
    return status;
}

/* ---- partial sums ---- */

static enum covey_status merge(void *state, struct covey_bytes saved, struct covey_error *err)
{
    struct fedavg *fedavg = state;
    struct covey_grid part;
    uint64_t below = 0;
    if (fedavg->clip.kind == COVEY_CLIP_QUANTILE) {
        if (saved.size < BELOW_BYTES)
            return covey_fail(err, COVEY_CORRUPT, "a partial sum of %zu bytes: cut short", saved.size);
        saved.size -= BELOW_BYTES;
        for (size_t i = 0; i < BELOW_BYTES; i++)
            below |= (uint64_t)saved.data[saved.size + i] << (8 * i);
    }
    COVEY_TRY(covey_grid_load(&part, saved, fedavg->grid.count, err));
    (void)pthread_mutex_lock(&fedavg->mutex);
    enum covey_status status = check_open(fedavg, err);
    if (status == COVEY_OK && part.update_count > fedavg->updates_max - fedavg->grid.update_count)
        status = covey_fail(err, COVEY_LIMIT, "with the partial sum the round would pass its %llu updates",
                            (unsigned long long)fedavg->updates_max);
    if (status == COVEY_OK)
        status = covey_grid_merge(&fedavg->grid, &part, err);
    if (status == COVEY_OK)
        fedavg->clip.below += below;
    (void)pthread_mutex_unlock(&fedavg->mutex);
    covey_grid_deinit(&part);
    return status;
}

static size_t save_bytes(void *state)
{
    const struct fedavg *fedavg = state;
    return covey_grid_save_bytes(&fedavg->grid) +
           (fedavg->clip.kind == COVEY_CLIP_QUANTILE ? BELOW_BYTES : 0);
}

static enum covey_status save(void *state, uint8_t *out, size_t capacity, size_t *out_bytes)
{
    struct fedavg *fedavg = state;
    (void)pthread_mutex_lock(&fedavg->mutex);
    const size_t tail = fedavg->clip.kind == COVEY_CLIP_QUANTILE ? BELOW_BYTES : 0;
    enum covey_status status = COVEY_STATE;
    if (!fedavg->finished)
        status =
            capacity < tail ? COVEY_LIMIT : covey_grid_save(&fedavg->grid, out, capacity - tail, out_bytes);
    if (status == COVEY_OK) {
        for (size_t i = 0; i < tail; i++)
            out[*out_bytes + i] = (uint8_t)(fedavg->clip.below >> (8 * i));
        *out_bytes += tail;
    }
    (void)pthread_mutex_unlock(&fedavg->mutex);
    return status;
}

/* ---- finish ---- */

/* The means take the place of the sums, chunk by chunk. */
static void mean_of_chunk(void *user, size_t chunk)
{
    struct covey_grid *grid = user;
    const size_t first = chunk * COVEY_CHUNK_VALUES;
    const size_t left = grid->count - first;
    covey_grid_mean(grid, first, first + (left < COVEY_CHUNK_VALUES ? left : COVEY_CHUNK_VALUES),
                    (double *)(void *)(grid->sums + first));
}

static enum covey_status finish(void *state, const double **mean, int16_t *next_exponents,
                                struct covey_error *err)
{
    struct fedavg *fedavg = state;
    _Static_assert(sizeof(double) == sizeof(int64_t), "means lie where the sums were");
    (void)pthread_mutex_lock(&fedavg->mutex);
    enum covey_status status = check_open(fedavg, err);
    if (status == COVEY_OK && fedavg->grid.weight_sum == 0)
        status = covey_fail(err, COVEY_STATE, "no update is in: there is no mean");
    if (status == COVEY_OK) {
        fedavg->finished = true;
        if (next_exponents != NULL)
            covey_grid_next_exponents(&fedavg->grid, next_exponents);
        const size_t chunks = (fedavg->grid.count + COVEY_CHUNK_VALUES - 1) / COVEY_CHUNK_VALUES;
        covey_fold_pool_run(fedavg->pool, chunks, mean_of_chunk, &fedavg->grid);
        *mean = (const double *)(const void *)fedavg->grid.sums;
    }
    (void)pthread_mutex_unlock(&fedavg->mutex);
    return status;
}

static void report(void *state, struct covey_aggregation_report *out)
{
    struct fedavg *fedavg = state;
    (void)pthread_mutex_lock(&fedavg->mutex);
    *out = (struct covey_aggregation_report){
        .updates = fedavg->grid.update_count,
        .refused = fedavg->refused,
        .scaled_down = fedavg->scaled_down,
        .capped = fedavg->capped,
        .weight_sum = ldexp((double)fedavg->grid.weight_sum, -fedavg->grid.split.weight_exponent),
        .coordinate_bits = fedavg->grid.split.coordinate_bits,
    };
    (void)pthread_mutex_unlock(&fedavg->mutex);
}

static enum covey_status keep(void *state, struct covey_round_state *out, struct covey_error *err)
{
    const struct fedavg *fedavg = state;
    return covey_clip_keep(&fedavg->clip, fedavg->grid.update_count, NULL, 0, out, err);
}

#define COMMON                                                                                               \
    .needs = COVEY_NEEDS_SUM, .takes = COVEY_TAKES_CLIP, .begin = begin, .add = add, .finish = finish,       \
    .report = report, .merge = merge, .save_bytes = save_bytes, .save = save, .keep = keep,                  \
    .destroy = destroy

const struct covey_strategy covey_strategy_norm_bound = {
    .name = "norm-bound",
    .summary = "the weighted mean of updates that are shortened to clip_norm",
    .source = "Sun et al. 2019",
    .inspects = COVEY_INSPECTS_NORM,
    .always_clips = true,
    COMMON};

const struct covey_strategy covey_strategy_fedavg = {.name = "fedavg",
                                                     .summary =
                                                         "mean of the updates weighted by their examples",
                                                     .source = "McMahan et al. 2017, Algorithm 1",
                                                     .inspects = COVEY_INSPECTS_NOTHING,
                                                     COMMON};
