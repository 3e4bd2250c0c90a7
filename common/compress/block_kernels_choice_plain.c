/* The choice where there is none: the vectors that every machine of the kind has are in the plain loops
 * already. */
#include "block_kernels.h"

const struct covey_block_kernels *covey_block_kernels_at(size_t index)
{
    return index == 0 ? &covey_block_kernels_plain : NULL;
}
