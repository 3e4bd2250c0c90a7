/* The choice where there are wider vectors to choose (x86-64). */
#include "column_kernels.h"

#include "covey/vectors_x86.h"

extern const struct covey_column_kernels covey_column_kernels_avx512, covey_column_kernels_avx2;

const struct covey_column_kernels *covey_column_kernels_at(size_t index)
{
    static const struct covey_column_kernels *const tables[COVEY_VECTOR_TABLES] = {
        &covey_column_kernels_avx512, &covey_column_kernels_avx2, &covey_column_kernels_plain};
    const size_t skipped = covey_vectors_skipped();
    return index < COVEY_VECTOR_TABLES - skipped ? tables[index + skipped] : NULL;
}
