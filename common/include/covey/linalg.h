/* Dense linear algebra, row-major. One of two files is linked: linalg_blas.c (OpenBLAS) or linalg_plain.c
 * (no dependency, for small devices), chosen by COVEY_LINALG when configured; the plain kernels are always
 * there under their own names, and one is tested against the other. Thread-safe; one thread a call. */
#ifndef COVEY_LINALG_H
#define COVEY_LINALG_H

#include <stddef.h>

enum covey_transpose { COVEY_PLAIN, COVEY_TRANSPOSED };

/* c = alpha op(a) op(b) + beta c. op(a): (m,k), op(b): (k,n), c: (m,n). lda/ldb/ldc: values between the rows
 * as stored. beta = 0 overwrites c, whatever it holds. */
void covey_sgemm(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k, float alpha,
                 const float *a, size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);
void covey_sgemm_plain(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k,
                       float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                       float *c, size_t ldc);
/* The same in f64, plain only: the reference that training is checked against. */
void covey_dgemm_plain(enum covey_transpose ta, enum covey_transpose tb, size_t m, size_t n, size_t k,
                       double alpha, const double *a, size_t lda, const double *b, size_t ldb, double beta,
                       double *c, size_t ldc);

/* c += a a' in f64, a: (n,k), c: (n,n); only c's lower triangle is touched. What rules that compare updates
 * ask. */
void covey_gram(size_t n, size_t k, const double *a, size_t lda, double *c, size_t ldc);
void covey_gram_plain(size_t n, size_t k, const double *a, size_t lda, double *c, size_t ldc);

/* Once, at the start of a program: one BLAS thread a worker. */
void covey_linalg_start(void);

/* Which kernels run, for reports: "OpenBLAS 0.3.21 Zen" or "plain". Written to out, cut to fit. */
void covey_linalg_describe(char *out, size_t out_bytes);

#endif
