/* The choice where there are wider vectors to choose (x86-64). */
#include "trellis_kernels.h"

extern const struct covey_trellis_kernels covey_trellis_kernels_avx2;

const struct covey_trellis_kernels *covey_trellis_kernels_at(size_t index)
{
    static const struct covey_trellis_kernels *const with_avx2[] = {&covey_trellis_kernels_avx2,
                                                                    &covey_trellis_kernels_plain};
    const size_t skipped = __builtin_cpu_supports("avx2") ? 0 : 1;
    return index < 2 - skipped ? with_avx2[index + skipped] : NULL;
}
