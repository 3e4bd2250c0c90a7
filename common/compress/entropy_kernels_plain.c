#include "entropy_kernels.h"

extern const struct covey_entropy_kernels covey_entropy_kernels_plain;

#define KERNELS covey_entropy_kernels_plain
#define KERNELS_NAME "plain"
#include "entropy_kernels_body.h"
