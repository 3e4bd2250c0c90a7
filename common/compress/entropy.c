/* The last stage: from codes to bytes. "none" stores each code in its fixed number of bits. */
#include "stage.h"

#include <string.h>

static size_t fixed_bound(uint8_t code_bits, size_t count)
{
    return (count * code_bits + 7) / 8;
}

/* Only four bits are packed: wider codes are stored as they lie (in_place). An odd count leaves half a byte
 * of zeros. */
static void pack_nibbles(const struct covey_block_kernels *kernels, uint8_t code_bits, const uint8_t *codes,
                         size_t count, uint8_t *out)
{
    (void)code_bits;
    kernels->pack4((const int8_t *)codes, count & ~(size_t)1, out);
    if (count % 2 != 0)
        out[count / 2] = codes[count - 1] & 15;
}

static void unpack_nibbles(const struct covey_block_kernels *kernels, uint8_t code_bits, const uint8_t *in,
                           size_t count, uint8_t *codes)
{
    (void)code_bits;
    kernels->unpack4(in, count & ~(size_t)1, (int8_t *)codes);
    if (count % 2 != 0)
        codes[count - 1] = (uint8_t)(((in[count / 2] & 15) ^ 8) - 8);
}

/* The quantiser's vector coder knows how many bytes there are. */
static size_t nothing(uint8_t code_bits, size_t count)
{
    (void)code_bits;
    (void)count;
    return 0;
}

static const struct covey_entropy_coder rows[] = {
    {.name = "none", .in_place = true, .bound = fixed_bound, .pack = pack_nibbles, .unpack = unpack_nibbles},
    {.name = "rans", .variable = true, .bound = nothing}};

const struct covey_entropy_coder *covey_entropy_row(unsigned row)
{
    return row < sizeof rows / sizeof rows[0] ? &rows[row] : NULL;
}
