/* Compiled with -mavx2 (common/CMakeLists.txt), x86-64 only. */
#include "block_kernels.h"

extern const struct covey_block_kernels covey_block_kernels_avx2;

#define KERNELS covey_block_kernels_avx2
#define KERNELS_NAME "avx2"
#include "block_kernels_body.h"
