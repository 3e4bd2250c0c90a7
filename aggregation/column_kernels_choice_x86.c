/* The choice where there are wider vectors to choose (x86-64). */
#include "column_kernels.h"

extern const struct covey_column_kernels covey_column_kernels_avx2;

const struct covey_column_kernels *covey_column_kernels_at(size_t index)
{
    static const struct covey_column_kernels *const with_avx2[] = {&covey_column_kernels_avx2,
                                                                   &covey_column_kernels_plain};
    const size_t skipped = __builtin_cpu_supports("avx2") ? 0 : 1;
    return index < 2 - skipped ? with_avx2[index + skipped] : NULL;
}
