/* The inner loops of the entropy coded quantisers, compiled once for every machine and once for wider
 * vectors; a table is chosen at run time. All versions give the same bits. */
#ifndef COVEY_ENTROPY_KERNELS_H
#define COVEY_ENTROPY_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "entropy_rans.h"

/* How values become tokens: code = sign(x) * floor(|x| * inverse + rounding), token = code >> shift, kept
 * within lowest and highest. */
struct covey_token_rule {
    float inverse, rounding;
    int32_t shift, lowest, highest;
};

/* How tokens become levels where there are no bits below the token: 64 t, moved away from zero by
 * moves[|t| - 1] (the last one for all above). */
struct covey_level_rule {
    int32_t moves[3];
};

struct covey_entropy_kernels {
    const char *name;

    void (*tokens)(const struct covey_token_rule *rule, const float *x, size_t count, int8_t *tokens);
    /* The bits of the codes below the tokens; shift is 1 to 8. */
    void (*low_bits)(const struct covey_token_rule *rule, const float *x, size_t count, uint8_t *low);
    /* counts[(uint8_t)token] += how many there are. */
    void (*count)(const int8_t *tokens, size_t count, uint32_t counts[256]);

    /* Indices, at most count <= COVEY_DECODE_VALUES of them, of the tokens below `lowest` or above `highest`.
     */
    size_t (*outside)(const int8_t *tokens, size_t count, int32_t lowest, int32_t highest, uint16_t *indices);

    void (*levels)(const struct covey_level_rule *rule, const int8_t *tokens, size_t count, int32_t *levels);
    /* levels[i] = tokens[i] * 2^shift + low[i] */
    void (*levels_with_low)(const int8_t *tokens, const uint8_t *low, size_t count, int32_t shift,
                            int32_t *levels);

    /* Whole groups of COVEY_RANS_LANES symbols, one a lane (entropy_rans.h). decode stops early where a group
     * might read past end; returns the groups done, *words moves on. encode goes from the last group to the
     * first and writes below `end`, of which up to 16 bytes more than it uses are overwritten; returns where
     * the words begin. */
    size_t (*decode)(const uint32_t *slots, uint32_t *lanes, const uint8_t **words, const uint8_t *end,
                     size_t groups, int8_t *symbols);
    uint8_t *(*encode)(const uint32_t *ranges, uint32_t *lanes, const int8_t *symbols, size_t groups,
                       uint8_t *end);
};

/* Every table that this machine can run, NULL past the end; 0 is the one to use. */
const struct covey_entropy_kernels *covey_entropy_kernels_at(size_t index);

#endif
