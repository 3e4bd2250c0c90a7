#define KERNELS covey_fold_kernels_plain
#define KERNELS_NAME "plain"
#include "fold_kernels_body.h"
