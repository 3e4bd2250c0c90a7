/* The rules that compare updates, against ByzFL's documented values and against the plain definition. */
#include <criterion/criterion.h>
#include <math.h>

#include "columns.h"
#include "covey/linalg.h"
#include "span.h"

/* x = [[1,2,3],[4,5,6],[7,8,9]]: the input of ByzFL's documentation. */
static const double x[3][3] = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};

static void gram_of(double *out)
{
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            out[3 * i + j] = 0;
            for (int k = 0; k < 3; k++)
                out[3 * i + j] += x[i][k] * x[j][k];
        }
    }
}

static void expect_combination(const double *weights, const double *expected)
{
    for (int k = 0; k < 3; k++) {
        double value = 0;
        for (int i = 0; i < 3; i++)
            value += weights[i] * x[i][k];
        cr_expect(fabs(value - expected[k]) <= 1e-6, "coordinate %d: %.9g, expected %.9g", k, value,
                  expected[k]);
    }
}

Test(span, geometric_median_is_byzfls)
{
    double gram[9], weights[3];
    gram_of(gram);
    cr_assert_eq(covey_geometric_median(gram, 3, .1, 3, weights, NULL), COVEY_OK);
    expect_combination(weights, (const double[]){3.78788764, 4.78788764, 5.78788764});
}

Test(span, krum_and_multi_krum_are_byzfls)
{
    double gram[9], distances[9];
    size_t order[3];
    gram_of(gram);
    covey_span_distances(gram, 3, distances);
    cr_assert_eq(covey_krum_order(distances, 3, 1, order, NULL), COVEY_OK);
    double krum[3] = {0}, multi[3] = {0};
    krum[order[0]] = 1;
    expect_combination(krum, (const double[]){1, 2, 3});
    multi[order[0]] = multi[order[1]] = .5; /* n - f = 2 */
    expect_combination(multi, (const double[]){2.5, 3.5, 4.5});
}

Test(span, nearest_neighbour_mixing_is_byzfls)
{
    static const double expected[3][3] = {{2.5, 3.5, 4.5}, {2.5, 3.5, 4.5}, {5.5, 6.5, 7.5}};
    double gram[9], distances[9], mix[9];
    gram_of(gram);
    covey_span_distances(gram, 3, distances);
    cr_assert_eq(covey_mix_nearest(distances, 3, 1, mix, NULL), COVEY_OK);
    for (int i = 0; i < 3; i++)
        expect_combination(mix + 3 * i, expected[i]);
}

Test(span, buckets_hold_every_update_once)
{
    double mix[4 * 7];
    cr_assert_eq(covey_mix_buckets(7, 2), 4);
    cr_assert_eq(covey_mix_bucketing(7, 2, 1, 3, mix, NULL), COVEY_OK);
    for (int i = 0; i < 7; i++) {
        int in = 0;
        for (int b = 0; b < 4; b++)
            in += mix[7 * b + i] > 0.0;
        cr_expect_eq(in, 1, "update %d is in %d buckets", i, in);
    }
    for (int b = 0; b < 4; b++) {
        double sum = 0;
        for (int i = 0; i < 7; i++)
            sum += mix[7 * b + i];
        cr_expect(fabs(sum - 1) <= 1e-15, "bucket %d: %g", b, sum);
    }
}

/* v + mean of (x - v) shortened to the radius: Karimireddy et al. 2021, equation 2, step by step. */
Test(span, centred_clipping_follows_its_equation)
{
    const double centre[3] = {1, 0, 2}, radius = 3;
    const double *points[4] = {x[0], x[1], x[2], centre};
    double gram[16], weights[4], v[3] = {1, 0, 2};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            gram[4 * i + j] = 0;
            for (int k = 0; k < 3; k++)
                gram[4 * i + j] += points[i][k] * points[j][k];
        }
    }
    for (int step = 0; step < 4; step++) {
        double next[3] = {v[0], v[1], v[2]};
        for (int i = 0; i < 3; i++) {
            double square = 0;
            for (int k = 0; k < 3; k++)
                square += (x[i][k] - v[k]) * (x[i][k] - v[k]);
            const double share = fmin(1, radius / sqrt(square)) / 3;
            for (int k = 0; k < 3; k++)
                next[k] += share * (x[i][k] - v[k]);
        }
        for (int k = 0; k < 3; k++)
            v[k] = next[k];
    }
    cr_assert_eq(covey_centred_clipping(gram, 3, radius, 4, weights, NULL), COVEY_OK);
    for (int k = 0; k < 3; k++) {
        double value = weights[3] * centre[k];
        for (int i = 0; i < 3; i++)
            value += weights[i] * x[i][k];
        cr_expect(fabs(value - v[k]) <= 1e-12, "coordinate %d: %.15g, expected %.15g", k, value, v[k]);
    }
}

/* The products that all of these begin with: the fast kernel against the plain one. */
Test(span, products_are_those_of_the_plain_kernel)
{
    enum { N = 13, K = 700, LD = 720 };
    static double a[N * LD], fast[N * N], plain[N * N];
    uint32_t state = 3;
    for (size_t i = 0; i < N * LD; i++) {
        state = state * 1664525u + 1013904223u;
        a[i] = (double)(int32_t)state * 0x1p-31;
    }
    for (int twice = 0; twice < 2; twice++) { /* it adds */
        covey_gram(N, K, a, LD, fast, N);
        covey_gram_plain(N, K, a, LD, plain, N);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j <= i; j++)
            cr_expect(fabs(fast[i * N + j] - plain[i * N + j]) <= 1e-9, "(%zu, %zu): %.17g, plain %.17g", i,
                      j, fast[i * N + j], plain[i * N + j]);
}

/* ---- columns ---- */

static double apply(enum covey_column_rule rule, const float *values, size_t n, size_t trim)
{
    struct covey_columns columns;
    double out = NAN;
    cr_assert_eq(covey_columns_init(&columns, rule, n, trim, NULL), COVEY_OK);
    float *scratch = calloc(covey_columns_scratch(&columns), sizeof *scratch);
    covey_columns_apply(&columns, values, 1, 1, scratch, &out);
    free(scratch);
    covey_columns_deinit(&columns);
    return out;
}

Test(columns, medians_and_trimmed_means)
{
    static const float values[] = {5, -1, 9, 2, 100, 3, -50, 4};
    cr_expect_float_eq(apply(COVEY_COLUMN_MEDIAN, values, 7, 0), 3, 1e-12);
    cr_expect_float_eq(apply(COVEY_COLUMN_MEDIAN, values, 8, 0), 3.5, 1e-12);
    cr_expect_float_eq(apply(COVEY_COLUMN_MEDIAN, values, 1, 0), 5, 1e-12);
    cr_expect_float_eq(apply(COVEY_COLUMN_TRIMMED, values, 8, 1), 22.0 / 6, 1e-12);
    cr_expect_float_eq(apply(COVEY_COLUMN_TRIMMED, values, 8, 0), 9, 1e-12);
    cr_expect_float_eq(apply(COVEY_COLUMN_NEAREST, values, 8, 2), 3.5, 1e-12); /* 2 3 4 5 */
}

Test(columns, any_number_of_rows_is_sorted)
{
    float values[130];
    uint32_t state = 1;
    for (size_t n = 1; n <= 130; n++) {
        double sorted[131] = {0};
        for (size_t i = 0; i < n; i++) {
            state = state * 1664525u + 1013904223u;
            values[i] = (float)(int32_t)state * 0x1p-20f;
            size_t at = i;
            while (at > 0 && sorted[at - 1] > (double)values[i]) {
                sorted[at] = sorted[at - 1];
                at--;
            }
            sorted[at] = (double)values[i];
        }
        const double expected = (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
        cr_assert(fabs(apply(COVEY_COLUMN_MEDIAN, values, n, 0) - expected) <= 0, "%zu rows", n);
    }
}
