#define KERNELS covey_trellis_kernels_plain
#define KERNELS_NAME "plain"
#include "trellis_kernels_body.h"
