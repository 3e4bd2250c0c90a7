/* Shares of one data set for many devices, unlike as the real ones are. Every kind settles the owner of each
 * example; the lists follow from that. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/dataset_load.h"
#include "covey/random.h"

/* A split under way. The examples lie sorted by label, shuffled within a label. */
struct splitter {
    struct covey_random random;
    uint32_t count, devices, classes;
    double alpha;
    uint32_t *sorted;      /* (count) examples by label */
    uint32_t *class_start; /* (classes + 1) into sorted */
    uint32_t *owner;       /* (count) device of each example */
    double *weights;       /* (max(classes, devices)) of one draw */
};

/* The logarithm of a gamma variable: Marsaglia and Tsang, "A simple method for generating gamma variables",
 * 2000; below 1 by their boost in section 6. Small shapes give values that no double holds, hence the
 * logarithm. */
static double draw_log_gamma(struct covey_random *random, double shape)
{
    double boost = 0;
    if (shape < 1) {
        boost = log(1 - covey_random_double(random)) / shape;
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = covey_random_normal(random), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(1 - covey_random_double(random)) < 0.5 * x * x + d - d * v + d * log(v))
            return boost + log(d * v);
    }
}

/* weights: (n), logarithms, from a symmetric Dirichlet, without dividing by their sum. */
static void draw_dirichlet(struct splitter *splitter, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        splitter->weights[i] = draw_log_gamma(&splitter->random, splitter->alpha);
}

/* The largest of the weights: what the others are measured against. present: (n), 0 = not in the draw; NULL:
 * all are. */
static double largest_weight(const struct splitter *splitter, uint32_t n, const uint32_t *present)
{
    double most = -HUGE_VAL;
    for (uint32_t i = 0; i < n; i++)
        if ((present == NULL || present[i] != 0) && splitter->weights[i] > most)
            most = splitter->weights[i];
    return most;
}

static void split_iid(struct splitter *splitter)
{
    covey_random_shuffle(&splitter->random, splitter->sorted, splitter->count);
    for (uint32_t i = 0; i < splitter->count; i++)
        splitter->owner[splitter->sorted[i]] = (uint32_t)((uint64_t)i * splitter->devices / splitter->count);
}

/* McMahan et al. 2017, section 3: sorted by label, cut in pieces, each device gets some. pieces: (devices *
 * shards). */
static void split_shards(struct splitter *splitter, uint32_t shards, uint32_t *pieces)
{
    uint32_t piece_count = splitter->devices * shards;
    for (uint32_t i = 0; i < piece_count; i++)
        pieces[i] = i;
    covey_random_shuffle(&splitter->random, pieces, piece_count);
    for (uint32_t i = 0; i < splitter->count; i++) {
        uint32_t piece = (uint32_t)((uint64_t)i * piece_count / splitter->count);
        splitter->owner[splitter->sorted[i]] = pieces[piece] / shards;
    }
}

/* A class with examples left, by weight. left: (classes). */
static uint32_t draw_class(struct splitter *splitter, const uint32_t *left)
{
    double most = largest_weight(splitter, splitter->classes, left), sum = 0;
    uint32_t last = 0;
    for (uint32_t k = 0; k < splitter->classes; k++)
        sum += left[k] != 0 ? exp(splitter->weights[k] - most) : 0;
    double at = covey_random_double(&splitter->random) * sum;
    for (uint32_t k = 0; k < splitter->classes; k++) {
        if (left[k] == 0)
            continue;
        last = k;
        at -= exp(splitter->weights[k] - most);
        if (at < 0)
            break;
    }
    return last;
}

/* Hsu, Qi, Brown 2019, section 3: a mixture for each device, drawn from what the others left. left:
 * (classes). */
static void split_dirichlet(struct splitter *splitter, uint32_t *left)
{
    for (uint32_t k = 0; k < splitter->classes; k++)
        left[k] = splitter->class_start[k + 1] - splitter->class_start[k];
    for (uint32_t device = 0, done = 0; device < splitter->devices; device++) {
        uint32_t end = (uint32_t)((uint64_t)splitter->count * (device + 1) / splitter->devices);
        draw_dirichlet(splitter, splitter->classes);
        for (; done < end; done++) {
            uint32_t k = draw_class(splitter, left);
            splitter->owner[splitter->sorted[splitter->class_start[k] + --left[k]]] = device;
        }
    }
}

/* A device without an example takes one from the richest. sizes: (devices). */
static void feed_empty(struct splitter *splitter, uint32_t *sizes)
{
    memset(sizes, 0, splitter->devices * sizeof *sizes);
    for (uint32_t i = 0; i < splitter->count; i++)
        sizes[splitter->owner[i]]++;
    for (uint32_t device = 0; device < splitter->devices; device++) {
        uint32_t richest = 0, example = 0;
        if (sizes[device] != 0)
            continue;
        for (uint32_t i = 1; i < splitter->devices; i++)
            if (sizes[i] > sizes[richest])
                richest = i;
        while (splitter->owner[example] != richest)
            example++;
        splitter->owner[example] = device;
        sizes[richest]--;
        sizes[device]++;
    }
}

/* Li et al. 2022 (NIID-Bench), section 4: each label dealt out by its own draw. */
static void split_uneven(struct splitter *splitter, uint32_t *sizes)
{
    for (uint32_t k = 0; k < splitter->classes; k++) {
        uint32_t first = splitter->class_start[k], n = splitter->class_start[k + 1] - first, done = 0;
        double sum = 0, at = 0;
        draw_dirichlet(splitter, splitter->devices);
        double most = largest_weight(splitter, splitter->devices, NULL);
        for (uint32_t device = 0; device < splitter->devices; device++)
            sum += exp(splitter->weights[device] - most);
        for (uint32_t device = 0; device < splitter->devices; device++) {
            at += exp(splitter->weights[device] - most);
            uint32_t end = device + 1 == splitter->devices ? n : (uint32_t)(at / sum * n);
            for (; done < end && done < n; done++)
                splitter->owner[splitter->sorted[first + done]] = device;
        }
    }
    feed_empty(splitter, sizes);
}

/* Counting sort of the examples by label, after a shuffle. cursor: (classes). */
static void sort_by_label(struct splitter *splitter, const struct covey_dataset *dataset, uint32_t *cursor,
                          uint32_t *shuffled)
{
    memset(splitter->class_start, 0, (splitter->classes + 1) * sizeof *splitter->class_start);
    for (uint32_t i = 0; i < splitter->count; i++) {
        shuffled[i] = i;
        splitter->class_start[covey_dataset_label(dataset, i) + 1]++;
    }
    covey_random_shuffle(&splitter->random, shuffled, splitter->count);
    for (uint32_t k = 0; k < splitter->classes; k++) {
        splitter->class_start[k + 1] += splitter->class_start[k];
        cursor[k] = splitter->class_start[k];
    }
    for (uint32_t i = 0; i < splitter->count; i++)
        splitter->sorted[cursor[covey_dataset_label(dataset, shuffled[i])]++] = shuffled[i];
}

/* order: device after device; within one as drawn for IID, ascending for the others. */
static void write_lists(const struct splitter *splitter, bool as_drawn, uint32_t *order, uint32_t *ends)
{
    memset(ends, 0, splitter->devices * sizeof *ends);
    for (uint32_t i = 0; i < splitter->count; i++)
        if (splitter->owner[i] + 1 < splitter->devices)
            ends[splitter->owner[i] + 1]++;
    for (uint32_t device = 1; device < splitter->devices; device++)
        ends[device] += ends[device - 1]; /* starts as yet; each moves to its end as its list fills */
    for (uint32_t i = 0; i < splitter->count; i++) {
        uint32_t example = as_drawn ? splitter->sorted[i] : i;
        order[ends[splitter->owner[example]]++] = example;
    }
}

static enum covey_status check_split(const struct covey_dataset *dataset,
                                     const struct covey_data_split *split, struct covey_error *err)
{
    bool by_alpha = split->kind == COVEY_SPLIT_DIRICHLET || split->kind == COVEY_SPLIT_DIRICHLET_UNEVEN;
    if (split->kind <= COVEY_SPLIT_NONE || split->kind > COVEY_SPLIT_SHARDS)
        return covey_fail(err, COVEY_INVALID, "split: name its kind");
    if (split->devices < 1 || split->devices > COVEY_DEVICES)
        return covey_fail(err, COVEY_INVALID, "split: %lld devices; 1 to %u are possible",
                          (long long)split->devices, COVEY_DEVICES);
    if (by_alpha && !(split->alpha >= 1e-6 && split->alpha <= 1e6))
        return covey_fail(err, COVEY_INVALID, "split: alpha %g; .000001 to 1000000 are possible, .5 is usual",
                          split->alpha);
    if (split->kind == COVEY_SPLIT_SHARDS && (split->shards < 1 || split->shards > 1000))
        return covey_fail(err, COVEY_INVALID,
                          "split: %lld shards a device; 1 to 1000 are possible, 2 is usual",
                          (long long)split->shards);
    if (split->kind != COVEY_SPLIT_IID && dataset->labels.width == 0)
        return covey_fail(err, COVEY_INVALID,
                          "split: this kind goes by labels, and there are none; use `iid`");
    int64_t pieces = split->kind == COVEY_SPLIT_SHARDS ? split->devices * split->shards : split->devices;
    if (dataset->count < pieces)
        return covey_fail(err, COVEY_LIMIT, "split: %u examples are too few for %lld shares", dataset->count,
                          (long long)pieces);
    return COVEY_OK;
}

static void run_split(struct splitter *splitter, const struct covey_data_split *split, uint32_t *work)
{
    switch ((enum covey_split_kind)split->kind) {
    case COVEY_SPLIT_SHARDS:
        split_shards(splitter, (uint32_t)split->shards, work);
        break;
    case COVEY_SPLIT_DIRICHLET:
        split_dirichlet(splitter, work);
        break;
    case COVEY_SPLIT_DIRICHLET_UNEVEN:
        split_uneven(splitter, work);
        break;
    default:
        split_iid(splitter);
        break;
    }
}

enum covey_status covey_data_split(const struct covey_dataset *dataset, const struct covey_data_split *split,
                                   uint32_t *order, uint32_t *ends, struct covey_error *err)
{
    struct splitter splitter = {.count = dataset->count, .alpha = split->alpha};
    uint32_t *work = NULL;
    enum covey_status status = COVEY_OK;
    COVEY_TRY(check_split(dataset, split, err));
    COVEY_TRY(covey_dataset_classes(dataset, &splitter.classes, err));
    if (splitter.classes > COVEY_DATASET_EXAMPLES)
        return covey_fail(err, COVEY_LIMIT, "split: labels up to %u", splitter.classes);
    if (splitter.classes == 0)
        splitter.classes = 1;
    splitter.devices = (uint32_t)split->devices;
    covey_random_init(&splitter.random, (uint64_t)split->seed, 0, 0, COVEY_PURPOSE_SPLIT);

    size_t most = splitter.classes > splitter.devices ? splitter.classes : splitter.devices;
    size_t pieces =
        (size_t)splitter.devices * (size_t)(split->shards > 0 && split->shards <= 1000 ? split->shards : 1);
    size_t work_count = splitter.count > most ? splitter.count : most;
    splitter.sorted = calloc(splitter.count, sizeof *splitter.sorted);
    splitter.owner = calloc(splitter.count, sizeof *splitter.owner);
    splitter.class_start = calloc((size_t)splitter.classes + 1, sizeof *splitter.class_start);
    splitter.weights = calloc(most, sizeof *splitter.weights);
    work = calloc(work_count > pieces ? work_count : pieces, sizeof *work);
    if (splitter.sorted == NULL || splitter.owner == NULL || splitter.class_start == NULL ||
        splitter.weights == NULL || work == NULL) {
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for splitting %u examples", splitter.count);
    } else {
        sort_by_label(&splitter, dataset, work,
                      splitter.owner); /* owner: room for the shuffled list until it is filled */
        run_split(&splitter, split, work);
        write_lists(&splitter, split->kind == COVEY_SPLIT_IID, order, ends);
    }
    free(splitter.sorted);
    free(splitter.owner);
    free(splitter.class_start);
    free(splitter.weights);
    free(work);
    return status;
}
