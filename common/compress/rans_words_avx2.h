/* Which of the next words of a run is a lane's own, for each set of eight lanes that want one: a byte a lane.
 * For files of kernels for AVX2 to include. */
#ifndef COVEY_RANS_WORDS_AVX2_H
#define COVEY_RANS_WORDS_AVX2_H

#include <stdint.h>

#define WORDS_BEFORE(set, lane) ((uint64_t)__builtin_popcount((set) & ((1u << (lane)) - 1)))
#define WORDS_OF(set)                                                                                        \
    (WORDS_BEFORE(set, 1) << 8 | WORDS_BEFORE(set, 2) << 16 | WORDS_BEFORE(set, 3) << 24 |                   \
     WORDS_BEFORE(set, 4) << 32 | WORDS_BEFORE(set, 5) << 40 | WORDS_BEFORE(set, 6) << 48 |                  \
     WORDS_BEFORE(set, 7) << 56)
#define WORDS_OF_4(set) WORDS_OF(set), WORDS_OF((set) + 1), WORDS_OF((set) + 2), WORDS_OF((set) + 3)
#define WORDS_OF_16(set) WORDS_OF_4(set), WORDS_OF_4((set) + 4), WORDS_OF_4((set) + 8), WORDS_OF_4((set) + 12)
#define WORDS_OF_64(set)                                                                                     \
    WORDS_OF_16(set), WORDS_OF_16((set) + 16), WORDS_OF_16((set) + 32), WORDS_OF_16((set) + 48)

static const uint64_t rans_words[256] = {WORDS_OF_64(0u), WORDS_OF_64(64u), WORDS_OF_64(128u),
                                         WORDS_OF_64(192u)};

#endif
