/* x86-64 with AVX2 and FMA: 16 registers of 8 floats, two multiply-adds of latency 4 a cycle. */
#include <immintrin.h>
#include <stddef.h>

static inline __m256i first_lanes(size_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#define LOAD_PART(p, count) _mm256_maskload_ps(p, first_lanes(count))
#define STORE_PART(p, v, count) _mm256_maskstore_ps(p, first_lanes(count), v)
#define IN_REGISTER(v) __asm__("" : "+x"(v))
#define ANY_BITS(v) (!_mm256_testz_si256((__m256i)(v), (__m256i)(v)))
#define LANES 8
#define FORWARD_UNITS 2
#define FORWARD_EXAMPLES 5
#define INPUT_EXAMPLES 5
#define INPUT_VECTORS 2
#define WEIGHT_UNITS 4
#define WEIGHT_VECTORS 3
#define TILE_PIXELS 6
#define TILE_VECTORS 2
#define GATHER_VECTORS 10
#define VECTOR_TABLE covey_vectors_avx2
#define VECTOR_TABLE_NAME "avx2"
#include "vector_body.h"
#include "vector_channel_body.h"
#include "vector_dense_body.h"
#include "vector_conv_body.h"
#include "vector_table_body.h"
