#define KERNELS covey_column_kernels_plain
#define KERNELS_NAME "plain"
#include "column_kernels_body.h"
