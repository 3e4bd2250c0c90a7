/* Inner loops are compiled for several widths of vectors, and a table of them is chosen at run time. Tables
 * stand in the order AVX-512, AVX2, plain. x86-64 only: included by the files that choose.
 *
 * covey-bench has its own function of this name, to measure the tables that the machine would not choose. */
#ifndef COVEY_VECTORS_X86_H
#define COVEY_VECTORS_X86_H

#include <stddef.h>

#define COVEY_VECTOR_TABLES 3

/* How many of the tables, from the first on, this machine cannot run. AVX-512 means F, BW, DQ and VL. */
static inline size_t covey_vectors_missing(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return 0;
    return __builtin_cpu_supports("avx2") ? 1 : 2;
}

/* How many are passed over: those. */
size_t covey_vectors_skipped(void);

#endif
