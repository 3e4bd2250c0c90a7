/* Compiled for AVX-512 (aggregation/CMakeLists.txt), x86-64 only. */
#include "fold_kernels.h"

extern const struct covey_fold_kernels covey_fold_kernels_avx512;

#define KERNELS covey_fold_kernels_avx512
#define KERNELS_NAME "avx512"
#include "fold_kernels_body.h"
