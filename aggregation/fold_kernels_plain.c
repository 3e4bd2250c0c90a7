#define KERNELS covey_fold_kernels_plain
#define KERNELS_NAME "plain"
#define FOLD_CODES fold_codes
#include "fold_kernels_body.h"
