#include "covey/selection.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "covey/random.h"

#define CANDIDATES 3.    /* of power of choice, times the cohort */
#define EXPLORATION .1   /* Oort's floor is .2 of 130 % selected */
#define CUT_OFF .95      /* Oort, section 4.3: who has so much of the last one's utility may be drawn too */
#define UNSEEN_WEIGHT .1 /* Oort, equation 1: of ln(round) / last round */

/* Who stands before whom: smaller keys, then by chance, then by place. */
struct rank {
    double key;
    uint64_t chance;
    uint32_t place;
};

/* One selection at work. */
struct draw {
    const struct covey_selection *selection;
    const struct covey_candidates *candidates;
    uint64_t seed;
    uint32_t round;
};

static bool precedes(const struct rank *x, const struct rank *y)
{
    if (x->key < y->key || x->key > y->key)
        return x->key < y->key;
    return x->chance != y->chance ? x->chance < y->chance : x->place < y->place;
}

static int by_place(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Puts item in at the root of a heap whose last one in order stands first. */
static void sift_down(struct rank *heap, size_t count, struct rank item)
{
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && precedes(&heap[child], &heap[child + 1]))
            child++;
        if (!precedes(&item, &heap[child]))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

static void sift_up(struct rank *heap, size_t at, struct rank item)
{
    for (; at > 0 && precedes(&heap[(at - 1) / 2], &item); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

/* ------------------------------------------------------------------ what is known */

static struct covey_device_record record_of(const struct draw *draw, uint32_t i)
{
    const struct covey_candidates *candidates = draw->candidates;
    if (candidates->records == NULL)
        return (struct covey_device_record){0};
    return candidates->records[candidates->places == NULL ? i : candidates->places[i]];
}

static uint64_t chance_of(const struct draw *draw, uint32_t i)
{
    struct covey_random random;
    covey_random_init(&random, draw->seed, draw->candidates->ids[i], draw->round, COVEY_PURPOSE_SELECT);
    return covey_random_u64(&random);
}

/* Small for heavy ones: -ln(u) / w, the negative logarithm of Efraimidis and Spirakis' key. */
static double weighted_key(uint64_t chance, double weight)
{
    const double u = ((double)(chance >> 11) + .5) * 0x1p-53;
    return -log(u) / weight;
}

/* Those who never sent any stand for the mean of those who did. */
static double usual_examples(const struct draw *draw)
{
    double sum = 0;
    uint32_t known = 0;
    for (uint32_t i = 0; i < draw->candidates->count; i++) {
        const struct covey_device_record record = record_of(draw, i);
        sum += record.examples;
        known += record.examples > 0;
    }
    return known == 0 ? 1 : sum / known;
}

/* Oort, equations 1 and 2, with the mean loss for the root of the mean square. */
static double utility_of(const struct draw *draw, const struct covey_device_record *record)
{
    const double loss = isfinite(record->loss) && record->loss > 0 ? (double)record->loss : 0;
    const double taken_s = record->taken_ms / 1000., pace_s = draw->selection->pace_s;
    const double round = draw->round > 1 ? draw->round : 2;
    double utility = record->examples * (loss + sqrt(UNSEEN_WEIGHT * log(round) / record->last_round));
    if (pace_s > 0 && taken_s > pace_s)
        utility *= (pace_s / taken_s) * (pace_s / taken_s);
    return utility;
}

/* ------------------------------------------------------------------ choosing */

typedef double key_fn(const struct draw *draw, uint32_t candidate, uint64_t chance, const void *context);

/* The first `choose` in order of their keys are kept in a heap; of a million devices hardly one in a hundred
 * gets that far. among: (count) candidates, NULL: all of them. out: (choose), in no order. */
static enum covey_status take_first(const struct draw *draw, const uint32_t *among, uint32_t count,
                                    key_fn *key, const void *context, uint32_t choose, uint32_t *out)
{
    if (choose == 0)
        return COVEY_OK;
    struct rank *heap = malloc(choose * sizeof *heap);
    if (heap == NULL)
        return COVEY_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t candidate = among == NULL ? i : among[i];
        const uint64_t chance = chance_of(draw, candidate);
        const struct rank rank = {key(draw, candidate, chance, context), chance, candidate};
        if (i < choose)
            sift_up(heap, i, rank);
        else if (precedes(&rank, &heap[0]))
            sift_down(heap, choose, rank);
    }
    for (uint32_t i = 0; i < choose; i++)
        out[i] = heap[i].place;
    free(heap);
    return COVEY_OK;
}

static double key_alike(const struct draw *draw, uint32_t candidate, uint64_t chance, const void *context)
{
    (void)draw, (void)candidate, (void)chance, (void)context;
    return 0;
}

static double key_turns(const struct draw *draw, uint32_t candidate, uint64_t chance, const void *context)
{
    (void)chance, (void)context;
    return record_of(draw, candidate).chosen;
}

/* context: examples of one of whom nothing is known */
static double key_examples(const struct draw *draw, uint32_t candidate, uint64_t chance, const void *context)
{
    const uint32_t examples = record_of(draw, candidate).examples;
    return weighted_key(chance, examples > 0 ? examples : *(const double *)context);
}

static double key_loss(const struct draw *draw, uint32_t candidate, uint64_t chance, const void *context)
{
    const struct covey_device_record record = record_of(draw, candidate);
    (void)chance, (void)context;
    return record.last_round == 0 || isnan(record.loss) ? -INFINITY : -(double)record.loss;
}

static double key_utility(const struct draw *draw, uint32_t candidate, uint64_t chance, const void *context)
{
    const struct covey_device_record record = record_of(draw, candidate);
    (void)chance, (void)context;
    return -utility_of(draw, &record);
}

/* context: the least utility that may be drawn */
static double key_useful(const struct draw *draw, uint32_t candidate, uint64_t chance, const void *context)
{
    const struct covey_device_record record = record_of(draw, candidate);
    const double utility = utility_of(draw, &record);
    return utility < *(const double *)context ? INFINITY
           : utility > 0                      ? weighted_key(chance, utility)
                                              : (double)(chance >> 11) * 0x1p11;
}

static enum covey_status by_power_of_choice(const struct draw *draw, uint32_t choose, uint32_t *chosen)
{
    const double examples = usual_examples(draw);
    const double times = draw->selection->candidates > 0 ? draw->selection->candidates : CANDIDATES;
    const double wanted = ceil(times * choose);
    const uint32_t count = wanted < draw->candidates->count ? (uint32_t)wanted : draw->candidates->count;
    uint32_t *drawn = malloc(count * sizeof *drawn);
    enum covey_status status = drawn == NULL ? COVEY_NO_MEMORY : COVEY_OK;
    if (status == COVEY_OK)
        status = take_first(draw, NULL, draw->candidates->count, key_examples, &examples, count, drawn);
    if (status == COVEY_OK)
        status = take_first(draw, drawn, count, key_loss, NULL, choose, chosen);
    free(drawn);
    return status;
}

/* The useful ones: drawn by utility from those near the best `choose`, so that not always the same go. */
static enum covey_status exploit(const struct draw *draw, const uint32_t *known, uint32_t count,
                                 uint32_t choose, uint32_t *chosen)
{
    double least = INFINITY;
    COVEY_TRY(take_first(draw, known, count, key_utility, NULL, choose, chosen));
    for (uint32_t i = 0; i < choose; i++) {
        const double utility = -key_utility(draw, chosen[i], 0, NULL);
        least = utility < least ? utility : least;
    }
    least *= CUT_OFF;
    return take_first(draw, known, count, key_useful, &least, choose, chosen);
}

static enum covey_status by_utility(const struct draw *draw, uint32_t choose, uint32_t *chosen)
{
    const uint32_t count = draw->candidates->count;
    const double share = draw->selection->exploration > 0 ? draw->selection->exploration : EXPLORATION;
    uint32_t *sorted =
        malloc(count * sizeof *sorted); /* the known from the left, the others from the right */
    uint32_t known = 0, unknown = 0;
    if (sorted == NULL)
        return COVEY_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        if (record_of(draw, i).last_round > 0)
            sorted[known++] = i;
        else
            sorted[count - ++unknown] = i;
    }
    uint32_t explore = (uint32_t)ceil(share * choose - 1e-9);
    if (explore > unknown)
        explore = unknown;
    if (choose - explore > known)
        explore = choose - known;
    enum covey_status status = exploit(draw, sorted, known, choose - explore, chosen);
    if (status == COVEY_OK)
        status =
            take_first(draw, sorted + known, unknown, key_alike, NULL, explore, chosen + choose - explore);
    free(sorted);
    return status;
}

enum covey_status covey_selection_check(const struct covey_selection *selection, struct covey_error *err)
{
    if (selection->policy < 0 || selection->policy >= COVEY_SELECT_POLICIES)
        return covey_fail(err, COVEY_INVALID, "selection.policy: there is no such policy");
    if (selection->candidates != 0 && !(selection->candidates >= 1 && selection->candidates <= 1000))
        return covey_fail(err, COVEY_INVALID, "selection.candidates must be 1 to 1000 times the cohort");
    if (!(selection->exploration >= 0 && selection->exploration <= 1))
        return covey_fail(err, COVEY_INVALID, "selection.exploration is a share: 0 to 1");
    if (!(selection->pace_s >= 0 && selection->pace_s <= 4e6))
        return covey_fail(err, COVEY_INVALID, "selection.pace_s must be 0 to 4e6 seconds");
    if (selection->candidates != 0 && selection->policy != COVEY_SELECT_POWER_OF_CHOICE)
        return covey_fail(err, COVEY_INVALID, "selection.candidates needs policy: power-of-choice");
    if ((selection->exploration != 0 || selection->pace_s != 0) && selection->policy != COVEY_SELECT_UTILITY)
        return covey_fail(err, COVEY_INVALID, "selection.exploration and pace_s need policy: utility");
    return COVEY_OK;
}

enum covey_status covey_cohort_select(const struct covey_selection *selection, uint64_t seed, uint32_t round,
                                      const struct covey_candidates *candidates, uint32_t choose,
                                      uint32_t *chosen)
{
    assert(choose <= candidates->count);
    if (choose == 0)
        return COVEY_OK;
    const struct draw draw = {selection, candidates, seed, round};
    double examples;
    enum covey_status status = COVEY_INVALID;
    switch ((enum covey_selection_policy)selection->policy) {
    case COVEY_SELECT_RANDOM:
    case COVEY_SELECT_POLICIES:
        status = take_first(&draw, NULL, candidates->count, key_alike, NULL, choose, chosen);
        break;
    case COVEY_SELECT_EXAMPLES:
        examples = usual_examples(&draw);
        status = take_first(&draw, NULL, candidates->count, key_examples, &examples, choose, chosen);
        break;
    case COVEY_SELECT_ROUND_ROBIN:
        status = take_first(&draw, NULL, candidates->count, key_turns, NULL, choose, chosen);
        break;
    case COVEY_SELECT_POWER_OF_CHOICE:
        status = by_power_of_choice(&draw, choose, chosen);
        break;
    case COVEY_SELECT_UTILITY:
        status = by_utility(&draw, choose, chosen);
        break;
    }
    if (status == COVEY_OK)
        qsort(chosen, choose, sizeof *chosen, by_place);
    return status;
}
