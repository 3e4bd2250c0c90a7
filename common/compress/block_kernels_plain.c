#define KERNELS covey_block_kernels_plain
#define KERNELS_NAME "plain"
#include "block_kernels_body.h"
