#include "op_tables.h"

#include <stddef.h>

#include "following_engines.h"

const struct covey_kernels *const op_tables_f32[] = {&covey_kernels_plain_f32, NULL};
const struct covey_engine *const following_engines[] = {&covey_engine_plain, NULL};
