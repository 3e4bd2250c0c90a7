/* The inner loops of the trellis coded quantiser (quantise_trellis.c), compiled once for every machine and
 * once for wider vectors; a table is chosen at run time. All versions give the same bits.
 *
 * The trellis: eight states. In an even state a value is v = 2 t, in an odd one v = 2 t + 1, for any integer
 * t; the next state is 2 (s mod 4) + (bit 0 of t ^ bit 1 of s ^ bit 2 of s). So the values that a state may
 * take are two of the four cosets of 4 Z, and each coset leads to another state: the 8-state trellis of
 * Ungerboeck, as Marcellin and Fischer use it ("Trellis coded quantization of memoryless and Gauss-Markov
 * sources", IEEE Trans. Commun. 38(1), 1990), over the union codebooks of entropy coded TCQ (Fischer and
 * Wang 1992). v alone tells the kind of its state: that it is even or odd.
 *
 * Value i of a segment belongs to trellis i % lanes; each begins in state 0. */
#ifndef COVEY_TRELLIS_KERNELS_H
#define COVEY_TRELLIS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "entropy_rans.h"

#define COVEY_TRELLIS_LANES COVEY_RANS_LANES
#define COVEY_TRELLIS_STEP 16     /* units of a value handed to the search, in a step */
#define COVEY_TRELLIS_REACH 30000 /* |value| in these units at the most */
#define COVEY_TRELLIS_DIRECT 123  /* |v| above are folded by multiples of 4 into 124 to 127 */
#define COVEY_TRELLIS_SLOTS (COVEY_RANS_SLOTS / 2)
#define COVEY_TRELLIS_RATES 16
#define COVEY_TRELLIS_RATE_MAX 187 /* then no path's cost can overflow */
#define COVEY_TRELLIS_SHIFT_MAX 16

/* What a choice costs beside its squared error. Row |v| / 2, rounded down; the last rate for all above. */
struct covey_trellis_costs {
    uint8_t rates[2][COVEY_TRELLIS_RATES]; /* by v mod 2, row; in 1/32 of a squared step */
    /* By |v| mod 4: how much farther a larger value may be before it is taken: 0 to SHIFT_MAX units. */
    int16_t shifts[4];
};

/* Moves of magnitudes 1, 2 and above, in 1/32 of a step: level = 32 v, away from zero by the move. */
struct covey_trellis_moves {
    int32_t moves[3];
};

struct covey_trellis_kernels {
    const char *name;

    /* q[i] = x[i] * inverse to the nearest integer, within +-COVEY_TRELLIS_REACH; |x[i] * inverse| < 2^22. */
    void (*units)(const float *x, size_t count, float inverse, int16_t *q);

    /* The cheapest path of each trellis: classes[i] = v mod 4 of value i. steps * lanes values. */
    void (*search)(const struct covey_trellis_costs *costs, const int16_t *q, size_t steps, size_t lanes,
                   uint8_t *classes);

    /* symbols[i] = v of the class that fits q best, folded. */
    void (*symbols)(const struct covey_trellis_costs *costs, const int16_t *q, const uint8_t *classes,
                    size_t count, int8_t *symbols);

    /* As covey_entropy_kernels' decode, with the slots that the lane's state asks for. slots: (2 *
     * COVEY_TRELLIS_SLOTS), those of even states first: entry slot / 2 is frequency | (slot - start) << 12 |
     * v << 24. states: (32). */
    size_t (*decode)(const uint32_t *slots, uint32_t *lanes, uint32_t *states, const uint8_t **words,
                     const uint8_t *end, size_t groups, int8_t *symbols);

    void (*levels)(const struct covey_trellis_moves *moves, const int8_t *symbols, size_t count,
                   int32_t *levels);
};

static inline uint32_t covey_trellis_next(uint32_t state, int32_t v)
{
    return (state << 1 & 6) | (((uint32_t)(v >> 1) ^ state >> 1 ^ state >> 2) & 1);
}

extern const struct covey_trellis_kernels covey_trellis_kernels_plain;

/* Every table that this machine can run, NULL past the end; 0 is the one to use. */
const struct covey_trellis_kernels *covey_trellis_kernels_at(size_t index);

#endif
