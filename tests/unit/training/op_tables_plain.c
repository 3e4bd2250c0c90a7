#include "op_tables.h"

#include <stddef.h>

const struct covey_kernels *const op_tables_f32[] = {&covey_kernels_plain_f32, NULL};
