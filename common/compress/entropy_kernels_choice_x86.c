/* The choice where there are wider vectors to choose (x86-64). */
#include "entropy_kernels.h"

extern const struct covey_entropy_kernels covey_entropy_kernels_avx2, covey_entropy_kernels_plain;

const struct covey_entropy_kernels *covey_entropy_kernels_at(size_t index)
{
    static const struct covey_entropy_kernels *const with_avx2[] = {&covey_entropy_kernels_avx2,
                                                                    &covey_entropy_kernels_plain};
    const size_t skipped = __builtin_cpu_supports("avx2") ? 0 : 1;
    return index < 2 - skipped ? with_avx2[index + skipped] : NULL;
}
