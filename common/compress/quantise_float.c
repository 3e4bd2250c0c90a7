/* Values kept as floats: raw32 (binary32 as it is) and fp16 (binary16, to nearest even, saturating at 65504).
 */
#include <string.h>

#include "stage.h"

#define INFINITE 0x7F800000u /* bits of infinity; NaN is above */

static size_t first_not_finite(const float *x, size_t count)
{
    size_t i = 0;
    for (; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        if ((bits & 0x7FFFFFFFu) >= INFINITE)
            break;
    }
    return i;
}

static enum covey_status raw32_encode(const struct covey_encode_run *run, size_t first, const float *x,
                                      size_t count, uint8_t *side, uint8_t *codes, float *decoded,
                                      size_t *bad)
{
    (void)first;
    (void)side;
    if (run->kernels->to_raw(x, count, codes) >= INFINITE) {
        *bad = first_not_finite(x, count);
        return COVEY_NOT_FINITE;
    }
    if (decoded != NULL && decoded != x)
        memcpy(decoded, x, count * sizeof *x);
    return COVEY_OK;
}

static enum covey_status raw32_decode(const struct covey_block_kernels *kernels, const uint8_t *side,
                                      const uint8_t *codes, size_t count, float *out)
{
    (void)side;
    return kernels->from_raw(codes, count, out) < INFINITE ? COVEY_OK : COVEY_NOT_FINITE;
}

static enum covey_status fp16_decode(const struct covey_block_kernels *kernels, const uint8_t *side,
                                     const uint8_t *codes, size_t count, float *out)
{
    (void)side;
    return kernels->from_half(codes, count, out) < 0x7C00u ? COVEY_OK : COVEY_NOT_FINITE;
}

static enum covey_status fp16_encode(const struct covey_encode_run *run, size_t first, const float *x,
                                     size_t count, uint8_t *side, uint8_t *codes, float *decoded, size_t *bad)
{
    (void)first;
    if (run->kernels->to_half(x, count, codes) >= INFINITE) {
        *bad = first_not_finite(x, count);
        return COVEY_NOT_FINITE;
    }
    return decoded == NULL ? COVEY_OK : fp16_decode(run->kernels, side, codes, count, decoded);
}

const struct covey_quantiser covey_quantise_raw32 = {
    .name = "raw32", .code_bits = 32, .encode = raw32_encode, .decode = raw32_decode};

const struct covey_quantiser covey_quantise_fp16 = {
    .name = "fp16", .code_bits = 16, .encode = fp16_encode, .decode = fp16_decode};
