/* A vector of LANES floats and what GCC's vector types leave to be said. Included by vectors_*.c, which
 * define LANES (4, 8 or 16) and how the first few lanes are loaded and stored, LOAD_PART and STORE_PART, and
 * how a value is kept in a register, IN_REGISTER, and whether a vector of integers has any bit set, ANY_BITS;
 * everything is local to that file. */
#include "vector_kernels.h"

#include <stdbool.h>
#include <string.h>

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
/* the same anywhere in memory, under any type */
typedef float loose_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* UNROLL: before loops over a tile, whose bounds are constants once inlined; rolled up, the tile would live
 * in memory. */
#if defined(__clang__)
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#define UNROLL _Pragma("GCC unroll 16")
#endif

INLINE vec load(const float *p)
{
    return *(const loose_vec *)p;
}

INLINE void store(float *p, vec v)
{
    *(loose_vec *)p = v;
}

/* The first count (< LANES) values, zeros behind them; touches no others. */
INLINE vec load_part(const float *p, size_t count)
{
    return LOAD_PART(p, count);
}

INLINE void store_part(float *p, vec v, size_t count)
{
    STORE_PART(p, v, count);
}

/* count < LANES loads a part, anything else a whole vector; count is a constant LANES where it matters. */
INLINE vec load_up_to(const float *p, size_t count)
{
    return count < LANES ? load_part(p, count) : load(p);
}

INLINE void store_up_to(float *p, vec v, size_t count)
{
    if (count < LANES)
        store_part(p, v, count);
    else
        store(p, v);
}

/* Loaded once: else the compiler reads memory again for each use, and loads are what these loops run out of.
 */
INLINE vec in_register(vec v)
{
    IN_REGISTER(v);
    return v;
}

/* mask: all ones or all zeros a lane, as comparisons give */
INLINE vec choose(ivec mask, vec yes, vec no)
{
    return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask));
}

/* ReLU; NaN stays NaN, so that a training gone wrong shows in its loss. */
INLINE vec positive(vec v)
{
    return (vec)((ivec)v & ~(v <= 0));
}

/* Pairs added within each 128 bits: of a in the first half, of b in the second. */
INLINE vec add_pairs(vec a, vec b)
{
#if LANES == 4
    return SHUFFLE(a, b, 0, 2, 4, 6) + SHUFFLE(a, b, 1, 3, 5, 7);
#elif LANES == 8
    return SHUFFLE(a, b, 0, 2, 8, 10, 4, 6, 12, 14) + SHUFFLE(a, b, 1, 3, 9, 11, 5, 7, 13, 15);
#else
    return SHUFFLE(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
           SHUFFLE(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
#endif
}

/* out[i] = sum of the lanes of v[i] */
INLINE void sum_lanes(const vec *v, float *out)
{
    typedef float quad __attribute__((vector_size(16)));
    vec sums = add_pairs(add_pairs(v[0], v[1]), add_pairs(v[2], v[3]));
    quad parts[LANES / 4], sum;

    memcpy(parts, &sums, sizeof parts);
    sum = parts[0];
    for (size_t i = 1; i < LANES / 4; i++)
        sum += parts[i];
    memcpy(out, &sum, sizeof sum);
}
