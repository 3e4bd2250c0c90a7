/* Compiled for AVX-512 (common/CMakeLists.txt), x86-64 only. */
#include "eden_kernels.h"

extern const struct covey_eden_kernels covey_eden_kernels_avx512;

#define KERNELS covey_eden_kernels_avx512
#define KERNELS_NAME "avx512"
#define LANES 8
#define WIDE 16
#include "eden_kernels_body.h"
