/* The table of plain kernels, in the precision of this compilation. */
#include "../op_call.h"

#define ROW(kind, name) [COVEY_OP_##kind] = &REAL(covey_plain_##name),

const struct covey_kernels REAL(covey_kernels_plain) = {
    .name = REAL_TABLE,
    .real_bytes = sizeof(real),
    .rows = {COVEY_OPERATIONS(ROW)},
};
