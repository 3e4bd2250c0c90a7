/* Compiled with -mavx2 (aggregation/CMakeLists.txt), x86-64 only. */
#include "fold_kernels.h"

extern const struct covey_fold_kernels covey_fold_kernels_avx2;

#define KERNELS covey_fold_kernels_avx2
#define KERNELS_NAME "avx2"
#define FOLD_CODES fold_codes
#include "fold_kernels_body.h"
