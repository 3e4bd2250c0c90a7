#include "span.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void covey_span_distances(const double *gram, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            const double square = gram[i * n + i] + gram[j * n + j] - 2 * gram[i * n + j];
            out[i * n + j] = i == j || !(square > 0.0) ? 0.0 : square;
        }
    }
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Scores of those that are not gone, among themselves. scratch: (n). */
static void score(const double *distances, size_t n, size_t neighbours, const bool *gone, double *scratch,
                  double *scores)
{
    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        if (gone[i])
            continue;
        for (size_t j = 0; j < n; j++)
            if (j != i && !gone[j])
                scratch[count++] = distances[i * n + j];
        qsort(scratch, count, sizeof *scratch, by_size);
        scores[i] = 0;
        for (size_t j = 0; j < neighbours && j < count; j++)
            scores[i] += scratch[j];
    }
}

static size_t best_of(const double *scores, size_t n, const bool *gone)
{
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (!gone[i] && (best == n || scores[i] < scores[best]))
            best = i;
    return best;
}

/* Takes `count` places one after the other; with `again` the scores are those of the ones left. */
static enum covey_status take(const double *distances, size_t n, size_t hostile, size_t count, bool again,
                              size_t *out, struct covey_error *err)
{
    double *scratch = calloc(n, sizeof *scratch), *scores = calloc(n, sizeof *scores);
    bool *gone = calloc(n, sizeof *gone);
    enum covey_status status = COVEY_OK;
    if (scratch == NULL || scores == NULL || gone == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to compare %zu updates", n);
    for (size_t taken = 0; status == COVEY_OK && taken < count; taken++) {
        const size_t left = n - taken;
        if (taken == 0 || again)
            score(distances, n, left > hostile + 2 ? left - hostile - 2 : 0, gone, scratch, scores);
        out[taken] = best_of(scores, n, gone);
        gone[out[taken]] = true;
    }
    free(scratch);
    free(scores);
    free(gone);
    return status;
}

enum covey_status covey_krum_order(const double *distances, size_t n, size_t hostile, size_t *order,
                                   struct covey_error *err)
{
    return take(distances, n, hostile, n, false, order, err);
}

enum covey_status covey_bulyan_select(const double *distances, size_t n, size_t hostile, size_t *selected,
                                      struct covey_error *err)
{
    return take(distances, n, hostile, n - 2 * hostile, true, selected, err);
}
