#include "covey/server_round.h"

#include <assert.h>
#include <stdlib.h>

#include "covey/random.h"

struct candidate {
    uint64_t rank;
    uint32_t place;
};

static int by_rank(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int by_place(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

enum covey_status covey_cohort_select(uint64_t seed, uint32_t round, const uint64_t *ids, uint32_t count,
                                      uint32_t choose, uint32_t *chosen)
{
    assert(choose <= count);
    if (choose == 0)
        return COVEY_OK;
    struct candidate *candidates = malloc(count * sizeof *candidates);
    if (candidates == NULL)
        return COVEY_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        struct covey_random random;
        covey_random_init(&random, seed, ids[i], round, COVEY_PURPOSE_SELECT);
        candidates[i] = (struct candidate){covey_random_u64(&random), i};
    }
    qsort(candidates, count, sizeof *candidates, by_rank);
    for (uint32_t i = 0; i < choose; i++)
        chosen[i] = candidates[i].place;
    qsort(chosen, choose, sizeof *chosen, by_place);
    free(candidates);
    return COVEY_OK;
}
