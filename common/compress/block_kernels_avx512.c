/* Compiled for AVX-512 (common/CMakeLists.txt), x86-64 only. */
#include "block_kernels.h"

extern const struct covey_block_kernels covey_block_kernels_avx512;

#define KERNELS covey_block_kernels_avx512
#define KERNELS_NAME "avx512"
#include "block_kernels_body.h"
