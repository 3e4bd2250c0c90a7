/* Every size of tail, both transpositions, alpha and beta: the product against a sum in double. */
#include "covey/linalg.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN 3 /* columns behind each row that must stay untouched */

static double next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (double)(*state >> 8) / (1 << 23) - 1;
}

static double *noise(size_t count, unsigned *state)
{
    double *values = malloc((count + 1) * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)(float)next(state);
    return values;
}

static float *narrow(const double *values, size_t count)
{
    float *out = malloc((count + 1) * sizeof *out);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)values[i];
    return out;
}

struct product {
    enum covey_transpose ta, tb;
    size_t m, n, k, lda, ldb, ldc;
    double alpha, beta;
};

static void expect(const struct product *p, const double *a, const double *b, double *c)
{
    for (size_t i = 0; i < p->m; i++)
        for (size_t j = 0; j < p->n; j++) {
            double sum = 0;
            for (size_t q = 0; q < p->k; q++)
                sum += (p->ta ? a[q * p->lda + i] : a[i * p->lda + q]) *
                       (p->tb ? b[j * p->ldb + q] : b[q * p->ldb + j]);
            c[i * p->ldc + j] = p->alpha * sum + (p->beta == 0 ? 0 : p->beta * c[i * p->ldc + j]);
        }
}

static double worst(const double *expected, const float *got, size_t count)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        if (!(fabs(expected[i] - (double)got[i]) <= most))
            most = fabs(expected[i] - (double)got[i]);
    return most;
}

static void check(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k,
                  double alpha, double beta)
{
    struct product p = {ta,         tb,    m,   n, k, (ta ? m : k) + MARGIN, (tb ? k : n) + MARGIN,
                        n + MARGIN, alpha, beta};
    unsigned state = (unsigned)(m * 31 + n * 7 + k);
    size_t a_count = (ta ? k : m) * p.lda, b_count = (tb ? n : k) * p.ldb, c_count = m * p.ldc;
    double *a = noise(a_count, &state), *b = noise(b_count, &state), *c = noise(c_count, &state);
    float *fa = narrow(a, a_count), *fb = narrow(b, b_count), *fast = narrow(c, c_count),
          *plain = narrow(c, c_count);
    double *reference = malloc((c_count + 1) * sizeof *reference), tolerance = 2e-7 * (double)(k + 4);

    memcpy(reference, c, c_count * sizeof *c);
    expect(&p, a, b, c);
    covey_sgemm(ta, tb, m, n, k, (float)alpha, fa, p.lda, fb, p.ldb, (float)beta, fast, p.ldc);
    covey_sgemm_plain(ta, tb, m, n, k, (float)alpha, fa, p.lda, fb, p.ldb, (float)beta, plain, p.ldc);
    covey_dgemm_plain(ta, tb, m, n, k, alpha, a, p.lda, b, p.ldb, beta, reference, p.ldc);
    cr_expect(worst(c, fast, c_count) <= tolerance, "sgemm %d%d %zu %zu %zu: %g", ta, tb, m, n, k,
              worst(c, fast, c_count));
    cr_expect(worst(c, plain, c_count) <= tolerance, "plain %d%d %zu %zu %zu: %g", ta, tb, m, n, k,
              worst(c, plain, c_count));
    for (size_t i = 0; i < c_count; i++)
        cr_expect(fabs(c[i] - reference[i]) <= 1e-14 * (double)(k + 4));
    free(a), free(b), free(c), free(fa), free(fb), free(fast), free(plain), free(reference);
}

Test(linalg, products_of_every_shape)
{
    static const size_t sizes[][3] = {{1, 1, 1},      {2, 3, 5},    {4, 8, 16},    {5, 9, 17},
                                      {10, 200, 784}, {64, 8, 128}, {65, 17, 129}, {130, 33, 257},
                                      {7, 1, 300},    {1, 50, 2}};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int t = 0; t < 4; t++) {
            check(t & 1, t >> 1, sizes[s][0], sizes[s][1], sizes[s][2], 1, 0);
            check(t & 1, t >> 1, sizes[s][0], sizes[s][1], sizes[s][2], -.5, 1);
            check(t & 1, t >> 1, sizes[s][0], sizes[s][1], sizes[s][2], 1.5, .25);
        }
}

Test(linalg, empty_products)
{
    check(COVEY_PLAIN, COVEY_PLAIN, 3, 4, 0, 1, .5);
    check(COVEY_PLAIN, COVEY_PLAIN, 3, 4, 0, 1, 0);
    check(COVEY_PLAIN, COVEY_PLAIN, 0, 4, 3, 1, 1);
    check(COVEY_PLAIN, COVEY_PLAIN, 3, 0, 3, 1, 1);
}

Test(linalg, beta_zero_overwrites_nan)
{
    float a[4] = {1, 2, 3, 4}, c[4] = {NAN, NAN, NAN, NAN}, d[4] = {NAN, NAN, NAN, NAN};

    covey_sgemm(COVEY_PLAIN, COVEY_PLAIN, 2, 2, 2, 1, a, 2, a, 2, 0, c, 2);
    covey_sgemm_plain(COVEY_PLAIN, COVEY_PLAIN, 2, 2, 2, 1, a, 2, a, 2, 0, d, 2);
    cr_expect_eq(c[0], 7);
    cr_expect_eq(c[3], 22);
    cr_expect_arr_eq(c, d, sizeof c);
}

Test(linalg, describes_itself_cut_to_fit)
{
    char text[64], cut[5];

    covey_linalg_start();
    covey_linalg_describe(text, sizeof text);
    covey_linalg_describe(cut, sizeof cut);
    cr_expect(strncmp(text, "OpenBLAS ", 9) == 0 || strcmp(text, "plain") == 0, "%s", text);
    cr_expect_eq(strlen(cut), 4);
}
