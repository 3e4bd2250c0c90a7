/* The plain kernels: no dependency, the same bits everywhere; reference for the fast ones, and all there is
 * on a small device. The stack they take is at most 37 KiB for f32, 69 KiB for f64. */
#include "covey/linalg.h"

#include <string.h>

#define REAL float
#define NAME(x) f32_##x
#include "gemm_blocks.h"
#undef REAL
#undef NAME

#define REAL double
#define NAME(x) f64_##x
#include "gemm_blocks.h"
#undef REAL
#undef NAME

void covey_sgemm_plain(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k,
                       float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                       float *c, size_t ldc)
{
    f32_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void covey_dgemm_plain(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k,
                       double alpha, const double *a, size_t lda, const double *b, size_t ldb, double beta,
                       double *c, size_t ldc)
{
    f64_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void covey_gram_plain(size_t n, size_t k, const double *a, size_t lda, double *c, size_t ldc)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += a[i * lda + l] * a[j * lda + l];
            c[i * ldc + j] += sum;
        }
    }
}
