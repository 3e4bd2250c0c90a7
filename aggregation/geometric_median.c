#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "span.h"

/* distances: (n) of the first n points to the combination of all m by weights. scratch: (m). */
static void distances_to(const double *gram, size_t m, size_t n, const double *weights, double *scratch,
                         double *distances)
{
    double square = 0;
    for (size_t i = 0; i < m; i++) {
        scratch[i] = 0;
        for (size_t j = 0; j < m; j++)
            scratch[i] += gram[i * m + j] * weights[j];
        square += weights[i] * scratch[i];
    }
    for (size_t i = 0; i < n; i++) {
        const double d = gram[i * m + i] - 2 * scratch[i] + square;
        distances[i] = d > 0.0 ? sqrt(d) : 0.0;
    }
}

enum covey_status covey_geometric_median(const double *gram, size_t n, double smoothing, uint32_t iterations,
                                         double *weights, struct covey_error *err)
{
    double *scratch = calloc(n, sizeof *scratch), *distances = calloc(n, sizeof *distances);
    enum covey_status status = COVEY_OK;
    if (scratch == NULL || distances == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to compare %zu updates", n);
    memset(weights, 0, n * sizeof *weights);
    for (uint32_t step = 0; status == COVEY_OK && step < iterations; step++) {
        double sum = 0;
        distances_to(gram, n, n, weights, scratch, distances);
        for (size_t i = 0; i < n; i++) {
            weights[i] = 1.0 / (distances[i] > smoothing ? distances[i] : smoothing);
            sum += weights[i];
        }
        for (size_t i = 0; i < n; i++)
            weights[i] /= sum;
    }
    free(scratch);
    free(distances);
    return status;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* values are reordered. */
static double median_of(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_size);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

enum covey_status covey_centred_clipping(const double *gram, size_t n, double radius, uint32_t iterations,
                                         double *weights, struct covey_error *err)
{
    const size_t m = n + 1;
    double *scratch = calloc(m, sizeof *scratch), *distances = calloc(n, sizeof *distances);
    enum covey_status status = COVEY_OK;
    if (scratch == NULL || distances == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to compare %zu updates", n);
    memset(weights, 0, m * sizeof *weights);
    weights[n] = 1;
    for (uint32_t step = 0; status == COVEY_OK && step < iterations; step++) {
        double most = radius, moved = 0;
        distances_to(gram, m, n, weights, scratch, distances);
        if (!(radius > 0.0)) {
            memcpy(scratch, distances, n * sizeof *scratch);
            most = median_of(scratch, n);
        }
        for (size_t i = 0; i < n; i++) {
            distances[i] = (distances[i] > most ? most / distances[i] : 1.0) / (double)n;
            moved += distances[i];
        }
        for (size_t i = 0; i < m; i++)
            weights[i] = (1.0 - moved) * weights[i] + (i < n ? distances[i] : 0.0);
    }
    free(scratch);
    free(distances);
    return status;
}
