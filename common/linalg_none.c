/* Without a BLAS (COVEY_LINALG=plain): the plain kernels under the general names. */
#include "covey/linalg.h"

#include <stdio.h>

void covey_sgemm(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    covey_sgemm_plain(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void covey_gram(size_t n, size_t k, const double *a, size_t lda, double *c, size_t ldc)
{
    covey_gram_plain(n, k, a, lda, c, ldc);
}

void covey_linalg_start(void)
{
}

void covey_linalg_describe(char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "plain");
}
