/* Compiled with -mavx2 (common/CMakeLists.txt), x86-64 only. */
#include "eden_kernels.h"

extern const struct covey_eden_kernels covey_eden_kernels_avx2;

#define KERNELS covey_eden_kernels_avx2
#define KERNELS_NAME "avx2"
#define LANES 8
#include "eden_kernels_body.h"
