/* Compiled for AVX-512 with BW, DQ and VL (aggregation/CMakeLists.txt), x86-64 only. */
#include "column_kernels.h"

extern const struct covey_column_kernels covey_column_kernels_avx512;

#define KERNELS covey_column_kernels_avx512
#define KERNELS_NAME "avx512"
#include "column_kernels_body.h"
