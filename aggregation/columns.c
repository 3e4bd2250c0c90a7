#include "columns.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "column_kernels.h"

#define LANES COVEY_COLUMN_LANES

/* Batcher's merge exchange (Knuth, The Art of Computer Programming 3, section 5.2.2, Algorithm M). out: NULL
 * to count only. */
static size_t network(size_t n, uint16_t (*out)[2])
{
    size_t count = 0, top = 1;
    while (2 * top < n)
        top *= 2;
    for (size_t p = top; n > 1 && p > 0; p /= 2) {
        size_t q = top, r = 0, d = p;
        for (;;) {
            for (size_t i = 0; i + d < n; i++) {
                if ((i & p) != r)
                    continue;
                if (out != NULL) {
                    out[count][0] = (uint16_t)i;
                    out[count][1] = (uint16_t)(i + d);
                }
                count++;
            }
            if (q == p)
                break;
            d = q - p;
            q /= 2;
            r = p;
        }
    }
    return count;
}

/* Leaves out what the two middle rows do not depend on, all that a median looks at; the order stays. */
static enum covey_status prune(struct covey_columns *columns, struct covey_error *err)
{
    const size_t n = columns->rows;
    bool *needed = calloc(n, sizeof *needed);
    if (needed == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to sort %zu updates", n);
    needed[(n - 1) / 2] = needed[n / 2] = true;
    size_t kept = columns->pair_count;
    for (size_t p = columns->pair_count; p-- > 0;) {
        const uint16_t *pair = columns->pairs[p];
        if (!needed[pair[0]] && !needed[pair[1]])
            continue;
        needed[pair[0]] = needed[pair[1]] = true;
        kept--;
        columns->pairs[kept][0] = pair[0];
        columns->pairs[kept][1] = pair[1];
    }
    columns->pair_count -= kept;
    memmove(columns->pairs, columns->pairs + kept, columns->pair_count * sizeof *columns->pairs);
    free(needed);
    return COVEY_OK;
}

enum covey_status covey_columns_init(struct covey_columns *columns, enum covey_column_rule rule, size_t rows,
                                     size_t trim, struct covey_error *err)
{
    const size_t count = network(rows, NULL);
    uint16_t(*pairs)[2] = calloc(count > 0 ? count : 1, sizeof *pairs);
    if (pairs == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to sort %zu updates", rows);
    (void)network(rows, pairs);
    *columns =
        (struct covey_columns){.rule = rule, .rows = rows, .trim = trim, .pairs = pairs, .pair_count = count};
    return rule == COVEY_COLUMN_MEDIAN ? prune(columns, err) : COVEY_OK;
}

void covey_columns_deinit(struct covey_columns *columns)
{
    free(columns->pairs);
    *columns = (struct covey_columns){0};
}

size_t covey_columns_scratch(const struct covey_columns *columns)
{
    return columns->rows * LANES;
}

static double median_of(const float *sorted, size_t n)
{
    return ((double)sorted[(n - 1) / 2 * LANES] + (double)sorted[n / 2 * LANES]) / 2;
}

/* sorted: a value every LANES. Of sorted values the nearest to any point are neighbours. */
static double nearest_mean(const float *sorted, size_t n, size_t kept)
{
    const double middle = median_of(sorted, n);
    size_t first = 0;
    double sum = 0;
    while (first + kept < n &&
           middle - (double)sorted[first * LANES] > (double)sorted[(first + kept) * LANES] - middle)
        first++;
    for (size_t i = first; i < first + kept; i++)
        sum += (double)sorted[i * LANES];
    return sum / (double)kept;
}

static void finish_lanes(const struct covey_columns *columns, const float *sorted, size_t count, double *out)
{
    const size_t n = columns->rows, kept = n - 2 * columns->trim;
    double sums[LANES] = {0};
    switch (columns->rule) {
    case COVEY_COLUMN_MEDIAN:
        for (size_t l = 0; l < count; l++)
            out[l] = median_of(sorted + l, n);
        return;
    case COVEY_COLUMN_TRIMMED:
        covey_column_kernels_at(0)->sum(sorted, columns->trim, n - columns->trim, sums);
        for (size_t l = 0; l < count; l++)
            out[l] = sums[l] / (double)kept;
        return;
    case COVEY_COLUMN_NEAREST:
        for (size_t l = 0; l < count; l++)
            out[l] = nearest_mean(sorted + l, n, kept);
        return;
    }
}

void covey_columns_apply(const struct covey_columns *columns, const float *x, size_t stride, size_t count,
                         float *scratch, double *out)
{
    const struct covey_column_kernels *kernels = covey_column_kernels_at(0);
    for (size_t first = 0; first < count; first += LANES) {
        const size_t some = count - first < LANES ? count - first : LANES;
        for (size_t row = 0; row < columns->rows; row++) {
            memcpy(scratch + row * LANES, x + row * stride + first, some * sizeof *x);
            memset(scratch + row * LANES + some, 0, (LANES - some) * sizeof *x);
        }
        kernels->sort(scratch, columns->pairs, columns->pair_count);
        finish_lanes(columns, scratch, some, out + first);
    }
}
