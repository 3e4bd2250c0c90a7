#include "sparsify_mask.h"

#include <endian.h>
#include <string.h>

#include "covey/random.h"

#define COUNTER3 0x4D61736Bu /* the last word of the mask's counters */

size_t covey_mask_kept(unsigned kept_of_tile, size_t count)
{
    if (kept_of_tile == 0)
        return count;
    return (count * kept_of_tile + COVEY_DECODE_VALUES - 1) / COVEY_DECODE_VALUES;
}

void covey_mask_key(const struct covey_codec *codec, const struct covey_encode_options *options,
                    uint32_t key[2])
{
    struct covey_random random;
    covey_random_init(&random, options->seed, codec->common ? 0 : options->device, options->round,
                      COVEY_PURPOSE_MASK);
    key[0] = covey_random_u32(&random);
    key[1] = covey_random_u32(&random);
}

static bool has(const uint64_t *words, size_t i)
{
    return (words[i / 64] >> i % 64 & 1) != 0;
}

/* Floyd's sample without replacement (Bentley and Floyd, "A sample of brilliance", CACM 30(9), 1987): as many
 * draws as values are kept. A draw below n by one product of 32 bits is off by n / 2^32 at the most. */
void covey_mask_draw(const uint32_t key[2], size_t first, size_t count, size_t kept, uint64_t *words)
{
    uint32_t counter[4] = {0, (uint32_t)(first / COVEY_DECODE_VALUES), 0, COUNTER3}, block[4];
    memset(words, 0, COVEY_MASK_WORDS * sizeof *words);
    for (size_t i = 0; i < kept; i++) {
        const size_t last = count - kept + i;
        if (i % 4 == 0) {
            covey_random_philox(counter, key, block);
            counter[0]++;
        }
        const size_t drawn = (size_t)((uint64_t)block[i % 4] * (last + 1) >> 32);
        const size_t place = has(words, drawn) ? last : drawn;
        words[place / 64] |= (uint64_t)1 << place % 64;
    }
}

void covey_mask_gather(const uint64_t *words, size_t count, float factor, float *x)
{
    size_t kept = 0;
    for (size_t at = 0; at < count; at += 64)
        for (uint64_t left = words[at / 64]; left != 0; left &= left - 1)
            x[kept++] = x[at + (size_t)__builtin_ctzll(left)] * factor;
}

/* From the end: a kept value never lies behind its place. */
void covey_mask_scatter(const uint64_t *words, size_t count, size_t kept, float *x)
{
    for (size_t i = count; i-- > 0;) {
        const bool is_kept = has(words, i);
        kept -= is_kept;
        x[i] = is_kept ? x[kept] : 0.0f;
    }
}

void covey_mask_write(unsigned kept_of_tile, const uint32_t key[2], uint8_t out[COVEY_MASK_BYTES])
{
    const uint16_t kept = htole16((uint16_t)kept_of_tile);
    const uint32_t stored[2] = {htole32(key[0]), htole32(key[1])};
    memcpy(out, &kept, sizeof kept);
    memcpy(out + sizeof kept, stored, sizeof stored);
}

bool covey_mask_read(const uint8_t in[COVEY_MASK_BYTES], uint16_t *kept_of_tile, uint32_t key[2])
{
    uint16_t kept;
    uint32_t stored[2];
    memcpy(&kept, in, sizeof kept);
    memcpy(stored, in + sizeof kept, sizeof stored);
    *kept_of_tile = le16toh(kept);
    key[0] = le32toh(stored[0]);
    key[1] = le32toh(stored[1]);
    return *kept_of_tile > 0 && *kept_of_tile < COVEY_DECODE_VALUES;
}
