/* x86-64 with AVX-512: 32 registers of 16 floats; a multiply-add takes a broadcast operand from memory. */
#include <immintrin.h>
#include <stddef.h>

#define LOAD_PART(p, count) _mm512_maskz_loadu_ps((__mmask16)((1u << (count)) - 1), p)
#define STORE_PART(p, v, count) _mm512_mask_storeu_ps(p, (__mmask16)((1u << (count)) - 1), v)
#define IN_REGISTER(v) __asm__("" : "+v"(v))
#define ANY_BITS(v) (_mm512_test_epi32_mask((__m512i)(v), (__m512i)(v)) != 0)
#define VECTOR_TABLE covey_vectors_avx512
#define VECTOR_TABLE_NAME "avx512"
#include "tiles_avx512.h"

#include "vector_body.h"
#include "vector_channel_body.h"
#include "vector_dense_body.h"
#include "vector_conv_body.h"
#include "vector_table_body.h"
