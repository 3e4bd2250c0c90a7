/* The choice where there are wider vectors to choose (x86-64). */
#include "entropy_kernels.h"

#include "covey/vectors_x86.h"

extern const struct covey_entropy_kernels covey_entropy_kernels_avx512, covey_entropy_kernels_avx2,
    covey_entropy_kernels_plain;

const struct covey_entropy_kernels *covey_entropy_kernels_at(size_t index)
{
    static const struct covey_entropy_kernels *const tables[COVEY_VECTOR_TABLES] = {
        &covey_entropy_kernels_avx512, &covey_entropy_kernels_avx2, &covey_entropy_kernels_plain};
    const size_t skipped = covey_vectors_skipped();
    return index < COVEY_VECTOR_TABLES - skipped ? tables[index + skipped] : NULL;
}
