/* Compiled for AVX-512 with BW, DQ and VL (aggregation/CMakeLists.txt), x86-64 only. */
#include <immintrin.h>

#include "covey/codec.h"
#include "fold_kernels.h"

extern const struct covey_fold_kernels covey_fold_kernels_avx512;

/* The 64 sums of a block stay in eight registers while every lane is added: what a loop over a memory of sums
 * costs is its loads and stores. */
static void fold_codes_in_registers(int64_t *restrict sums, const struct covey_fold_lane *lanes,
                                    size_t lane_count, size_t block_count)
{
    for (size_t b = 0; b < block_count; b++, sums += COVEY_BLOCK_VALUES) {
        __m512i sum[COVEY_BLOCK_VALUES / 8];
        for (size_t i = 0; i < COVEY_BLOCK_VALUES / 8; i++)
            sum[i] = _mm512_loadu_si512(sums + 8 * i);
        for (size_t lane = 0; lane < lane_count; lane++) {
            const struct covey_fold_block block = lanes[lane].blocks[b];
            const int8_t *codes = lanes[lane].codes + b * COVEY_BLOCK_VALUES;
            _mm_prefetch((const char *)codes + COVEY_DECODE_VALUES, _MM_HINT_T1); /* the lane's next tile */
            const __m512i factor = _mm512_set1_epi64(block.factor);
            const __m128i shift = _mm_cvtsi32_si128(block.shift);
            for (size_t i = 0; i < COVEY_BLOCK_VALUES / 8; i++) {
                const __m512i code = _mm512_cvtepi8_epi64(_mm_loadl_epi64((const void *)(codes + 8 * i)));
                sum[i] = _mm512_add_epi64(sum[i], _mm512_sll_epi64(_mm512_mul_epi32(code, factor), shift));
            }
        }
        for (size_t i = 0; i < COVEY_BLOCK_VALUES / 8; i++)
            _mm512_storeu_si512(sums + 8 * i, sum[i]);
    }
}

#define KERNELS covey_fold_kernels_avx512
#define KERNELS_NAME "avx512"
#define FOLD_CODES fold_codes_in_registers
#include "fold_kernels_body.h"
