/* The one adapter of OpenBLAS. */
#include "covey/linalg.h"

#include <assert.h>
#include <cblas.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* COVEY_MODEL_PARAMETERS and COVEY_BATCH_EXAMPLES keep every dimension far below this. */
static blasint dimension(size_t n)
{
    assert(n <= INT_MAX);
    return (blasint)n;
}

static CBLAS_TRANSPOSE transpose(enum covey_transpose t)
{
    return t == COVEY_PLAIN ? CblasNoTrans : CblasTrans;
}

void covey_sgemm(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    if (m == 0 || n == 0)
        return;
    if (k == 0) { /* BLAS wants leading dimensions that an empty matrix may not have */
        covey_sgemm_plain(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    cblas_sgemm(CblasRowMajor, transpose(ta), transpose(tb), dimension(m), dimension(n), dimension(k), alpha,
                a, dimension(lda), b, dimension(ldb), beta, c, dimension(ldc));
}

void covey_gram(size_t n, size_t k, const double *a, size_t lda, double *c, size_t ldc)
{
    if (n > 0 && k > 0)
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, dimension(n), dimension(k), 1, a, dimension(lda),
                    1, c, dimension(ldc));
}

void covey_linalg_start(void)
{
    openblas_set_num_threads(1);
}

/* The configuration string begins with name and version: "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ...". */
void covey_linalg_describe(char *out, size_t out_bytes)
{
    const char *config = openblas_get_config();
    const char *version = strchr(config, ' ');
    size_t length = version ? (size_t)(version + 1 - config) + strcspn(version + 1, " ") : strlen(config);

    snprintf(out, out_bytes, "%.*s %s", (int)length, config, openblas_get_corename());
}
