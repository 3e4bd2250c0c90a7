/* Philox4x32-10 (covey/random.h) on sixteen counters side by side, for files of kernels to include. */
#ifndef COVEY_PHILOX_LANES_H
#define COVEY_PHILOX_LANES_H

#include <stddef.h>
#include <stdint.h>

#define COVEY_PHILOX_LANES 16

/* One round; words: sixteen of each, by place. A function of its own, because only as a loop by itself the
 * compiler makes vectors of it. */
static inline void philox_round(uint32_t *restrict w0, uint32_t *restrict w1, uint32_t *restrict w2,
                                uint32_t *restrict w3, uint32_t key0, uint32_t key1)
{
    for (size_t lane = 0; lane < COVEY_PHILOX_LANES; lane++) {
        const uint64_t product0 = (uint64_t)0xD2511F53u * w0[lane];
        const uint64_t product1 = (uint64_t)0xCD9E8D57u * w2[lane];
        w0[lane] = (uint32_t)(product1 >> 32) ^ w1[lane] ^ key0;
        w1[lane] = (uint32_t)product1;
        w2[lane] = (uint32_t)(product0 >> 32) ^ w3[lane] ^ key1;
        w3[lane] = (uint32_t)product0;
    }
}

/* Words 16 w .. 16 w + 15 are word w of the counters {first + lane, 0, high[0], high[1]}. */
static inline void philox_lanes(const uint32_t key[2], const uint32_t high[2], uint32_t first,
                                uint32_t words[4 * COVEY_PHILOX_LANES])
{
    for (uint32_t lane = 0; lane < COVEY_PHILOX_LANES; lane++) {
        words[lane] = first + lane;
        words[COVEY_PHILOX_LANES + lane] = 0;
        words[2 * COVEY_PHILOX_LANES + lane] = high[0];
        words[3 * COVEY_PHILOX_LANES + lane] = high[1];
    }
    for (uint32_t i = 0; i < 10; i++)
        philox_round(words, words + COVEY_PHILOX_LANES, words + 2 * COVEY_PHILOX_LANES,
                     words + 3 * COVEY_PHILOX_LANES, key[0] + i * 0x9E3779B9u, key[1] + i * 0xBB67AE85u);
}

#endif
