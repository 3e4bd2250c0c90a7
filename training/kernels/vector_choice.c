/* Which instruction set this CPU has: by file list here, by one question at run time. */
#include "vector_kernels.h"

#include "covey/training_kernels.h"

const struct covey_vector_kernels *covey_vector_kernels(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return &covey_vectors_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &covey_vectors_avx2;
#endif
    return &covey_vectors_base;
}

const char *covey_training_instruction_set(void)
{
    return covey_vector_kernels()->name;
}
