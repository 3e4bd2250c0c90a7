/* The vector kernels with AVX-512's lanes and tiles, but for any CPU: the compiler splits the vectors. So the
 * source of vectors_avx512.c is tested where there is no AVX-512. */
#include <stddef.h>

typedef float wide __attribute__((vector_size(64)));

static inline __attribute__((always_inline)) wide load_first(const float *p, size_t count)
{
    wide v = {0};
    for (size_t i = 0; i < count; i++)
        v[i] = p[i];
    return v;
}

static inline __attribute__((always_inline)) void store_first(float *p, wide v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        p[i] = v[i];
}

static inline __attribute__((always_inline)) int any_bits(const int *v)
{
    int all = 0;
    for (size_t i = 0; i < 16; i++)
        all |= v[i];
    return all != 0;
}

#define LOAD_PART(p, count) load_first(p, count)
#define STORE_PART(p, v, count) store_first(p, v, count)
#define IN_REGISTER(v) (void)0
#define ANY_BITS(v) any_bits((const int *)&(v))
#define VECTOR_TABLE covey_vectors_wide
#define VECTOR_TABLE_NAME "wide"
#include "kernels/tiles_avx512.h"

#include "kernels/vector_body.h"
#include "kernels/vector_channel_body.h"
#include "kernels/vector_conv_body.h"
#include "kernels/vector_dense_body.h"
#include "kernels/vector_table_body.h"
