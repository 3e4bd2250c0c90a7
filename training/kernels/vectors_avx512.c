/* x86-64 with AVX-512: 32 registers of 16 floats; a multiply-add takes a broadcast operand from memory. */
#include <immintrin.h>
#include <stddef.h>

#define LOAD_PART(p, count) _mm512_maskz_loadu_ps((__mmask16)((1u << (count)) - 1), p)
#define STORE_PART(p, v, count) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (count)) - 1), v)
#define LANES 16
#define FORWARD_UNITS 2
#define FORWARD_EXAMPLES 5
#define INPUT_EXAMPLES 5
#define INPUT_VECTORS 4
#define WEIGHT_UNITS 4
#define WEIGHT_VECTORS 4
#define TILE_PIXELS 7
#define TILE_VECTORS 4
#define GATHER_VECTORS 10
#define VECTOR_TABLE covey_vectors_avx512
#define VECTOR_TABLE_NAME "avx512"
#include "vector_body.h"
#include "vector_dense_body.h"
#include "vector_conv_body.h"
#include "vector_table_body.h"
