#include "comparing.h"

#include <stdlib.h>
#include <string.h>

#include "column_kernels.h"
#include "columns.h"
#include "covey/arena.h"
#include "covey/linalg.h"
#include "span.h"

#define GRAM_COLUMNS 512 /* of a tile, that go to f64 at a time */

/* What the readings share. Points are what the rule sees: the rows, or what mixing made of them, and behind
 * them the centre where there is one. */
struct comparing {
    const struct covey_comparison *given;
    size_t rows, vectors, points, mixed; /* vectors: rows and the centre; points: mixed rows and the centre */
    double *gram;                        /* (vectors, vectors), then (points, points) */
    double *mix;                         /* (mixed, rows); NULL: the rows themselves */
    double *weights;                     /* (vectors) of the result, for rules that combine */
    size_t *chosen;                      /* (points) */
    size_t chosen_count;
    struct covey_columns columns;
    float *mix_f32; /* (columns.rows, rows) for rules by columns; NULL: the rows themselves */
    double *out;

    double *slot_grams; /* (slots, vectors, vectors) */
    double *slot_tiles; /* (slots, vectors, GRAM_COLUMNS) */
    float *slot_mixed;  /* (slots, columns.rows, COVEY_TILE_STRIDE) */
    float *slot_sort;   /* (slots, covey_columns_scratch) */
};

static void *take(size_t count, size_t bytes, struct covey_error *err, enum covey_status *status)
{
    void *memory = NULL;
    if (*status == COVEY_OK && (memory = calloc(count > 0 ? count : 1, bytes)) == NULL)
        *status = covey_fail(err, COVEY_NO_MEMORY, "no memory to compare a round's updates");
    return memory;
}

/* ---- products ---- */

static void gram_tile(void *user, size_t slot, size_t first, size_t count, float *x)
{
    const struct comparing *comparing = user;
    const size_t m = comparing->vectors;
    double *tile = comparing->slot_tiles + slot * m * GRAM_COLUMNS;
    for (size_t at = 0; at < count; at += GRAM_COLUMNS) {
        const size_t some = count - at < GRAM_COLUMNS ? count - at : GRAM_COLUMNS;
        for (size_t i = 0; i < m; i++) {
            const float *row =
                i < comparing->rows ? x + i * COVEY_TILE_STRIDE + at : comparing->given->centre + first + at;
            for (size_t j = 0; j < some; j++)
                tile[i * GRAM_COLUMNS + j] = (double)row[j];
        }
        covey_gram(m, some, tile, GRAM_COLUMNS, comparing->slot_grams + slot * m * m, m);
    }
}

static void gram_settle(void *user, size_t slot)
{
    const struct comparing *comparing = user;
    const size_t m = comparing->vectors;
    double *part = comparing->slot_grams + slot * m * m;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j <= i; j++)
            comparing->gram[i * m + j] += part[i * m + j];
    memset(part, 0, m * m * sizeof *part);
}

static enum covey_status make_gram(struct comparing *comparing, struct covey_error *err)
{
    const size_t m = comparing->vectors, slots = covey_rows_slots(&comparing->given->rows);
    enum covey_status status = COVEY_OK;
    comparing->gram = take(m * m, sizeof(double), err, &status);
    comparing->slot_grams = take(slots * m * m, sizeof(double), err, &status);
    comparing->slot_tiles = take(slots * m * GRAM_COLUMNS, sizeof(double), err, &status);
    const struct covey_rows_reader reader = {.user = comparing, .tile = gram_tile, .settle = gram_settle};
    if (status == COVEY_OK)
        status = covey_rows_read(&comparing->given->rows, &reader, err);
    for (size_t i = 0; i < m && status == COVEY_OK; i++)
        for (size_t j = 0; j < i; j++)
            comparing->gram[j * m + i] = comparing->gram[i * m + j];
    free(comparing->slot_grams);
    free(comparing->slot_tiles);
    comparing->slot_grams = comparing->slot_tiles = NULL;
    return status;
}

/* ---- mixing ---- */

/* Points' products from the vectors': M G M', where M is the mixing and keeps the centre. */
static enum covey_status mix_gram(struct comparing *comparing, struct covey_error *err)
{
    const size_t m = comparing->vectors, p = comparing->points, n = comparing->rows;
    enum covey_status status = COVEY_OK;
    double *half = take(p * m, sizeof(double), err, &status);
    double *whole = take(p * p, sizeof(double), err, &status);
    double *matrix = take(p * m, sizeof(double), err, &status);
    if (status == COVEY_OK) {
        for (size_t i = 0; i < comparing->mixed; i++)
            memcpy(matrix + i * m, comparing->mix + i * n, n * sizeof *matrix);
        for (size_t i = comparing->mixed; i < p; i++)
            matrix[i * m + n + i - comparing->mixed] = 1;
        covey_dgemm_plain(COVEY_PLAIN, COVEY_PLAIN, p, m, m, 1, matrix, m, comparing->gram, m, 0, half, m);
        covey_dgemm_plain(COVEY_PLAIN, COVEY_TRANSPOSED, p, p, m, 1, half, m, matrix, m, 0, whole, p);
        free(comparing->gram);
        comparing->gram = whole;
        whole = NULL;
    }
    free(half);
    free(whole);
    free(matrix);
    return status;
}

static enum covey_status mix(struct comparing *comparing, struct covey_error *err)
{
    const struct covey_comparison *given = comparing->given;
    const size_t n = comparing->rows;
    enum covey_status status = COVEY_OK;
    comparing->mixed =
        given->chain->mix == COVEY_MIX_BUCKETING ? covey_mix_buckets(n, given->chain->bucket) : n;
    comparing->points = comparing->mixed + comparing->vectors - n;
    if (given->chain->mix == COVEY_MIX_NONE)
        return COVEY_OK;
    comparing->mix = take(comparing->mixed * n, sizeof(double), err, &status);
    if (status == COVEY_OK && given->chain->mix == COVEY_MIX_BUCKETING)
        status = covey_mix_bucketing(n, given->chain->bucket, given->seed, given->round, comparing->mix, err);
    if (status == COVEY_OK && given->chain->mix == COVEY_MIX_NEAREST) {
        /* the centre, if there is one, is the last: products of the rows are looked at alone */
        double *distances = take(n * n, sizeof(double), err, &status);
        double *products = take(n * n, sizeof(double), err, &status);
        for (size_t i = 0; status == COVEY_OK && i < n; i++)
            memcpy(products + i * n, comparing->gram + i * comparing->vectors, n * sizeof *products);
        if (status == COVEY_OK) {
            covey_span_distances(products, n, distances);
            status = covey_mix_nearest(distances, n, given->chain->hostile, comparing->mix, err);
        }
        free(distances);
        free(products);
    }
    if (status == COVEY_OK && comparing->gram != NULL)
        status = mix_gram(comparing, err);
    return status;
}

/* ---- rules that choose or combine ---- */

/* The first `count` in order of Krum's scores; all that Bulyan selects. */
static enum covey_status choose(struct comparing *comparing, struct covey_error *err)
{
    const struct covey_chain *chain = comparing->given->chain;
    const size_t n = comparing->points, hostile = chain->hostile;
    enum covey_status status = COVEY_OK;
    double *distances = take(n * n, sizeof(double), err, &status);
    comparing->chosen = take(n, sizeof(size_t), err, &status);
    if (status == COVEY_OK) {
        covey_span_distances(comparing->gram, n, distances);
        if (comparing->given->rule == COVEY_RULE_BULYAN) {
            comparing->chosen_count = n - 2 * hostile;
            status = covey_bulyan_select(distances, n, hostile, comparing->chosen, err);
        } else {
            const size_t keep = chain->keep == 0 || chain->keep > n - hostile ? n - hostile : chain->keep;
            comparing->chosen_count = comparing->given->rule == COVEY_RULE_KRUM ? 1 : keep;
            status = covey_krum_order(distances, n, hostile, comparing->chosen, err);
        }
    }
    free(distances);
    return status;
}

/* points' weights -> vectors' weights */
static enum covey_status spread_weights(struct comparing *comparing, const double *points,
                                        struct covey_error *err)
{
    const size_t n = comparing->rows;
    enum covey_status status = COVEY_OK;
    comparing->weights = take(comparing->vectors, sizeof(double), err, &status);
    if (status != COVEY_OK)
        return status;
    for (size_t p = 0; p < comparing->mixed; p++) {
        if (comparing->mix == NULL)
            comparing->weights[p] = points[p];
        for (size_t i = 0; comparing->mix != NULL && i < n; i++)
            comparing->weights[i] += points[p] * comparing->mix[p * n + i];
    }
    for (size_t v = n; v < comparing->vectors; v++)
        comparing->weights[v] = points[comparing->mixed + v - n];
    return COVEY_OK;
}

static enum covey_status weigh(struct comparing *comparing, struct covey_error *err)
{
    const struct covey_chain *chain = comparing->given->chain;
    enum covey_status status = COVEY_OK;
    double *points = take(comparing->points, sizeof(double), err, &status);
    if (status == COVEY_OK) {
        switch (comparing->given->rule) {
        case COVEY_RULE_GEOMETRIC_MEDIAN:
            status = covey_geometric_median(comparing->gram, comparing->points, chain->smoothing,
                                            chain->iterations, points, err);
            break;
        case COVEY_RULE_CENTRED_CLIPPING:
            status = covey_centred_clipping(comparing->gram, comparing->mixed, chain->radius,
                                            chain->iterations, points, err);
            break;
        case COVEY_RULE_FLTRUST:
            covey_fltrust(comparing->gram, comparing->mixed, points);
            break;
        default:
            for (size_t i = 0; i < comparing->chosen_count; i++)
                points[comparing->chosen[i]] = 1.0 / (double)comparing->chosen_count;
            break;
        }
    }
    if (status == COVEY_OK)
        status = spread_weights(comparing, points, err);
    free(points);
    return status;
}

static void combine_tile(void *user, size_t slot, size_t first, size_t count, float *x)
{
    const struct comparing *comparing = user;
    const struct covey_column_kernels *kernels = covey_column_kernels_at(0);
    double *out = comparing->out + first;
    (void)slot;
    memset(out, 0, count * sizeof *out);
    for (size_t i = 0; i < comparing->vectors; i++) {
        const float *row = i < comparing->rows ? x + i * COVEY_TILE_STRIDE : comparing->given->centre + first;
        const double weight = comparing->weights[i];
        if (weight < 0.0 || weight > 0.0)
            kernels->add(out, row, count, weight);
    }
}

/* ---- rules by columns ---- */

static void columns_tile(void *user, size_t slot, size_t first, size_t count, float *x)
{
    const struct comparing *comparing = user;
    const size_t rows = comparing->columns.rows;
    const float *seen = x;
    if (comparing->mix_f32 != NULL) {
        float *mixed = comparing->slot_mixed + slot * rows * COVEY_TILE_STRIDE;
        covey_sgemm(COVEY_PLAIN, COVEY_PLAIN, rows, count, comparing->rows, 1, comparing->mix_f32,
                    comparing->rows, x, COVEY_TILE_STRIDE, 0, mixed, COVEY_TILE_STRIDE);
        seen = mixed;
    }
    covey_columns_apply(&comparing->columns, seen, COVEY_TILE_STRIDE, count,
                        comparing->slot_sort + slot * covey_columns_scratch(&comparing->columns),
                        comparing->out + first);
}

/* Row r of what is sorted: point r, or Bulyan's choice in the order of places. */
static size_t point_of(const struct comparing *comparing, const uint8_t *is_chosen, size_t r)
{
    if (comparing->chosen == NULL)
        return r;
    for (size_t p = 0;; p++)
        if (is_chosen[p] && r-- == 0)
            return p;
}

static enum covey_status fill_mix(struct comparing *comparing, struct covey_error *err)
{
    const size_t rows = comparing->columns.rows, n = comparing->rows;
    enum covey_status status = COVEY_OK;
    uint8_t *is_chosen = take(comparing->points, 1, err, &status);
    comparing->mix_f32 = take(rows * n, sizeof(float), err, &status);
    comparing->slot_mixed = take(covey_rows_slots(&comparing->given->rows) * rows * COVEY_TILE_STRIDE,
                                 sizeof(float), err, &status);
    for (size_t i = 0; status == COVEY_OK && i < comparing->chosen_count; i++)
        is_chosen[comparing->chosen[i]] = 1;
    for (size_t r = 0; status == COVEY_OK && r < rows; r++) {
        const size_t p = point_of(comparing, is_chosen, r);
        for (size_t i = 0; i < n; i++)
            comparing->mix_f32[r * n + i] =
                comparing->mix != NULL ? (float)comparing->mix[p * n + i] : (float)(i == p);
    }
    free(is_chosen);
    return status;
}

static enum covey_status by_columns(struct comparing *comparing, struct covey_error *err)
{
    const enum covey_comparing_rule rule = comparing->given->rule;
    const size_t rows = rule == COVEY_RULE_BULYAN ? comparing->chosen_count : comparing->points;
    const enum covey_column_rule column_rule = rule == COVEY_RULE_MEDIAN         ? COVEY_COLUMN_MEDIAN
                                               : rule == COVEY_RULE_TRIMMED_MEAN ? COVEY_COLUMN_TRIMMED
                                                                                 : COVEY_COLUMN_NEAREST;
    COVEY_TRY(
        covey_columns_init(&comparing->columns, column_rule, rows, comparing->given->chain->hostile, err));
    enum covey_status status = COVEY_OK;
    if (comparing->mix != NULL || rule == COVEY_RULE_BULYAN)
        status = fill_mix(comparing, err);
    comparing->slot_sort =
        take(covey_rows_slots(&comparing->given->rows) * covey_columns_scratch(&comparing->columns),
             sizeof(float), err, &status);
    const struct covey_rows_reader reader = {.user = comparing, .tile = columns_tile};
    return status == COVEY_OK ? covey_rows_read(&comparing->given->rows, &reader, err) : status;
}

/* ---- all of it ---- */

static enum covey_status run(struct comparing *comparing, struct covey_error *err)
{
    const struct covey_comparison *given = comparing->given;
    const bool by_column = given->rule == COVEY_RULE_MEDIAN || given->rule == COVEY_RULE_TRIMMED_MEAN;
    if (!by_column || given->chain->mix == COVEY_MIX_NEAREST)
        COVEY_TRY(make_gram(comparing, err));
    COVEY_TRY(mix(comparing, err));
    if (given->rule == COVEY_RULE_KRUM || given->rule == COVEY_RULE_MULTI_KRUM ||
        given->rule == COVEY_RULE_BULYAN)
        COVEY_TRY(choose(comparing, err));
    if (by_column || given->rule == COVEY_RULE_BULYAN)
        return by_columns(comparing, err);
    COVEY_TRY(weigh(comparing, err));
    const struct covey_rows_reader reader = {.user = comparing, .tile = combine_tile};
    return covey_rows_read(&given->rows, &reader, err);
}

enum covey_status covey_compare(const struct covey_comparison *comparison, double *out,
                                struct covey_error *err)
{
    struct comparing comparing = {.given = comparison,
                                  .rows = comparison->rows.rows,
                                  .vectors = comparison->rows.rows + (comparison->centre != NULL ? 1 : 0),
                                  .out = out};
    const uint64_t least = covey_chain_updates_min(comparison->chain);
    if (comparing.rows < least)
        return covey_fail(err, COVEY_STATE, "%zu updates are in; with hostile=%u the strategy needs %llu",
                          comparing.rows, comparison->chain->hostile, (unsigned long long)least);
    const enum covey_status status = run(&comparing, err);
    free(comparing.gram);
    free(comparing.mix);
    free(comparing.weights);
    free(comparing.chosen);
    free(comparing.mix_f32);
    free(comparing.slot_mixed);
    free(comparing.slot_sort);
    covey_columns_deinit(&comparing.columns);
    return status;
}
