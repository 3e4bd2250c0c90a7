#include <stdlib.h>
#include <string.h>

#include "covey/random.h"
#include "span.h"

size_t covey_mix_buckets(size_t n, size_t bucket)
{
    return (n + bucket - 1) / bucket;
}

enum covey_status covey_mix_bucketing(size_t n, size_t bucket, uint64_t seed, uint32_t round, double *out,
                                      struct covey_error *err)
{
    const size_t buckets = covey_mix_buckets(n, bucket);
    struct covey_random random;
    size_t *order = calloc(n, sizeof *order);
    if (order == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to mix %zu updates", n);
    covey_random_init(&random, seed, 0, round, COVEY_PURPOSE_MIX);
    for (size_t i = 0; i < n; i++) { /* Fisher and Yates, inside out */
        const size_t j = (size_t)(covey_random_u64(&random) % (i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    memset(out, 0, buckets * n * sizeof *out);
    for (size_t b = 0; b < buckets; b++) {
        const size_t first = b * bucket, last = first + bucket < n ? first + bucket : n;
        for (size_t i = first; i < last; i++)
            out[b * n + order[i]] = 1.0 / (double)(last - first);
    }
    free(order);
    return COVEY_OK;
}

struct neighbour {
    double distance;
    size_t place;
};

static int by_distance(const void *a, const void *b)
{
    const struct neighbour *x = a, *y = b;
    if (x->distance < y->distance || x->distance > y->distance)
        return x->distance < y->distance ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

enum covey_status covey_mix_nearest(const double *distances, size_t n, size_t hostile, double *out,
                                    struct covey_error *err)
{
    const size_t taken = n - hostile;
    struct neighbour *near = calloc(n, sizeof *near);
    if (near == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to mix %zu updates", n);
    memset(out, 0, n * n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) /* itself before its doubles */
            near[j] = (struct neighbour){j == i ? -1.0 : distances[i * n + j], j};
        qsort(near, n, sizeof *near, by_distance);
        for (size_t j = 0; j < taken; j++)
            out[i * n + near[j].place] = 1.0 / (double)taken;
    }
    free(near);
    return COVEY_OK;
}
