#include "covey/server_round.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#include "covey/random.h"

struct candidate {
    uint64_t rank;
    uint32_t place;
};

static bool precedes(const struct candidate *x, const struct candidate *y)
{
    return x->rank != y->rank ? x->rank < y->rank : x->place < y->place;
}

static int by_place(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Puts item in at the root of a heap whose last one in order stands first. */
static void sift_down(struct candidate *heap, size_t count, struct candidate item)
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

static void sift_up(struct candidate *heap, size_t at, struct candidate item)
{
    for (; at > 0 && precedes(&heap[(at - 1) / 2], &item); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

/* The first `choose` in order are kept in a heap; of a million devices hardly one in a hundred gets that far.
 */
enum covey_status covey_cohort_select(uint64_t seed, uint32_t round, const uint64_t *ids, uint32_t count,
                                      uint32_t choose, uint32_t *chosen)
{
    assert(choose <= count);
    if (choose == 0)
        return COVEY_OK;
    struct candidate *heap = malloc(choose * sizeof *heap);
    if (heap == NULL)
        return COVEY_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        struct covey_random random;
        covey_random_init(&random, seed, ids[i], round, COVEY_PURPOSE_SELECT);
        const struct candidate candidate = {covey_random_u64(&random), i};
        if (i < choose)
            sift_up(heap, i, candidate);
        else if (precedes(&candidate, &heap[0]))
            sift_down(heap, choose, candidate);
    }
    for (uint32_t i = 0; i < choose; i++)
        chosen[i] = heap[i].place;
    qsort(chosen, choose, sizeof *chosen, by_place);
    free(heap);
    return COVEY_OK;
}
