/* Compiled with -mavx2 (aggregation/CMakeLists.txt), x86-64 only. */
#include "column_kernels.h"

extern const struct covey_column_kernels covey_column_kernels_avx2;

#define KERNELS covey_column_kernels_avx2
#define KERNELS_NAME "avx2"
#include "column_kernels_body.h"
