#define KERNELS covey_eden_kernels_plain
#define KERNELS_NAME "plain"
#define LANES 4
#include "eden_kernels_body.h"
