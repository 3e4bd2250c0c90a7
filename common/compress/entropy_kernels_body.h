/* The bodies of covey_entropy_kernels, as plain loops that vectorise. Included once by each file that
 * compiles them for one kind of machine; that file defines KERNELS (the table's name), KERNELS_NAME,
 * KERNELS_LANES if it has the loops over lanes by itself: decode_lanes and encode_lanes, and KERNELS_SCANS if
 * it has count_tokens and find_outside. */
#include <string.h>

#include "entropy_kernels.h"

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline int32_t code_of(float x, float inverse, float rounding)
{
    const int32_t sign = -(int32_t)(bits_of(x) >> 31);
    const int32_t magnitude = (int32_t)(__builtin_fabsf(x) * inverse + rounding);
    return (magnitude ^ sign) - sign;
}

static void make_tokens(const struct covey_token_rule *rule, const float *restrict x, size_t count,
                        int8_t *restrict tokens)
{
    const float inverse = rule->inverse, rounding = rule->rounding;
    const int32_t shift = rule->shift, lowest = rule->lowest, highest = rule->highest;
    for (size_t i = 0; i < count; i++) {
        const int32_t token = code_of(x[i], inverse, rounding) >> shift;
        const int32_t above = token < lowest ? lowest : token;
        tokens[i] = (int8_t)(above > highest ? highest : above);
    }
}

static void make_low_bits(const struct covey_token_rule *rule, const float *restrict x, size_t count,
                          uint8_t *restrict low)
{
    const float inverse = rule->inverse, rounding = rule->rounding;
    const int32_t mask = (1 << rule->shift) - 1;
    for (size_t i = 0; i < count; i++)
        low[i] = (uint8_t)(code_of(x[i], inverse, rounding) & mask);
}

#ifndef KERNELS_SCANS
/* Few tokens, of which the most are the same: comparisons are faster than counters. Returns 0 where there are
 * others than -3 to 3. */
#define FEW_TOKENS 2048 /* at once: 64 counters of at most 32 */
static inline int count_few(const int8_t *restrict tokens, uint32_t *restrict counts)
{
    uint8_t equal[6][64] = {{0}};
    uint32_t sums[6] = {0}, all = 0;
    for (size_t i = 0; i < FEW_TOKENS; i += 64)
        for (size_t j = 0; j < 64; j++) {
            const int8_t token = tokens[i + j];
            equal[0][j] = (uint8_t)(equal[0][j] + (token == 1));
            equal[1][j] = (uint8_t)(equal[1][j] + (token == -1));
            equal[2][j] = (uint8_t)(equal[2][j] + (token == 2));
            equal[3][j] = (uint8_t)(equal[3][j] + (token == -2));
            equal[4][j] = (uint8_t)(equal[4][j] + (token == 3));
            equal[5][j] = (uint8_t)(equal[5][j] + (token == -3));
        }
    uint8_t zeros[64] = {0};
    for (size_t i = 0; i < FEW_TOKENS; i += 64)
        for (size_t j = 0; j < 64; j++)
            zeros[j] = (uint8_t)(zeros[j] + (tokens[i + j] == 0));
    for (size_t j = 0; j < 64; j++) {
        for (size_t k = 0; k < 6; k++)
            sums[k] += equal[k][j];
        all += zeros[j];
    }
    if (all + sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] != FEW_TOKENS)
        return 0;
    counts[0] += all;
    for (size_t k = 0; k < 3; k++) {
        counts[k + 1] += sums[2 * k];
        counts[255 - k] += sums[2 * k + 1];
    }
    return 1;
}

static void count_tokens(const int8_t *tokens, size_t count, uint32_t counts[256])
{
    uint32_t parts[4][256];
    size_t i = 0;
    while (count - i >= FEW_TOKENS && count_few(tokens + i, counts))
        i += FEW_TOKENS;
    if (i == count)
        return;
    memset(parts, 0, sizeof parts); /* four, as the same counter twice in a row would have to wait */
    for (; i + 8 <= count; i += 8) {
        uint64_t eight;
        memcpy(&eight, tokens + i, sizeof eight);
        for (unsigned j = 0; j < 8; j++)
            parts[j & 3][eight >> 8 * j & 0xFF]++;
    }
    for (; i < count; i++)
        parts[0][(uint8_t)tokens[i]]++;
    for (size_t j = 0; j < 256; j++)
        counts[j] += parts[0][j] + parts[1][j] + parts[2][j] + parts[3][j];
}

static size_t find_outside(const int8_t *tokens, size_t count, int32_t lowest, int32_t highest,
                           uint16_t *indices)
{
    const int8_t low = (int8_t)lowest, high = (int8_t)highest;
    size_t found = 0;
    for (size_t at = 0; at < count; at += 64) {
        const size_t here = count - at < 64 ? count - at : 64;
        uint8_t any = 0;
        if (here == 64)
            for (size_t i = 0; i < 64; i++)
                any = (uint8_t)(any | (tokens[at + i] < low) | (tokens[at + i] > high));
        if (here == 64 && !any)
            continue;
        for (size_t i = at; i < at + here; i++) {
            indices[found] = (uint16_t)i;
            found += tokens[i] < low || tokens[i] > high;
        }
    }
    return found;
}
#endif

static void make_levels(const struct covey_level_rule *rule, const int8_t *restrict tokens, size_t count,
                        int32_t *restrict levels)
{
    const int16_t first = (int16_t)rule->moves[0], second = (int16_t)rule->moves[1],
                  others = (int16_t)rule->moves[2];
    for (size_t i = 0; i < count; i++) {
        const int16_t token = tokens[i], sign = (int16_t)(token >> 15);
        const int16_t magnitude = (int16_t)((token ^ sign) - sign);
        int16_t move = magnitude == 1 ? first : others;
        move = magnitude == 2 ? second : move;
        move = magnitude == 0 ? 0 : move;
        levels[i] = (int16_t)((int16_t)(token * 64) + (int16_t)((move ^ sign) - sign));
    }
}

static void make_levels_with_low(const int8_t *restrict tokens, const uint8_t *restrict low, size_t count,
                                 int32_t shift, int32_t *restrict levels)
{
    const int32_t factor = 1 << shift;
    for (size_t i = 0; i < count; i++)
        levels[i] = (int32_t)tokens[i] * factor + (int32_t)low[i];
}

#ifndef KERNELS_LANES
/* No branch depends on the data. */
static size_t decode_lanes(const uint32_t *slots, uint32_t *lanes, const uint8_t **words, const uint8_t *end,
                           size_t groups, int8_t *symbols)
{
    const uint8_t *at = *words;
    size_t done = 0;
    for (; done < groups && end - at >= 2 * COVEY_RANS_LANES; done++, symbols += COVEY_RANS_LANES) {
        for (size_t lane = 0; lane < COVEY_RANS_LANES; lane++) {
            const uint32_t packed = slots[lanes[lane] & (COVEY_RANS_SLOTS - 1)];
            const uint32_t x = (packed & (COVEY_RANS_SLOTS - 1)) * (lanes[lane] >> COVEY_RANS_BITS) +
                               (packed >> COVEY_RANS_BITS & (COVEY_RANS_SLOTS - 1));
            const uint32_t wants = x < COVEY_RANS_LOW;
            const uint32_t word = at[0] | (uint32_t)at[1] << 8;
            symbols[lane] = (int8_t)(packed >> 24);
            lanes[lane] = x << 16 * wants | (word & (0 - wants));
            at += 2 * wants;
        }
    }
    *words = at;
    return done;
}

static uint8_t *encode_lanes(const uint32_t *ranges, uint32_t *lanes, const int8_t *symbols, size_t groups,
                             uint8_t *end)
{
    for (size_t i = groups * COVEY_RANS_LANES; i-- > 0;) {
        const uint32_t range = ranges[(uint8_t)symbols[i]];
        const uint32_t frequency = range & (COVEY_RANS_SLOTS - 1);
        uint32_t x = lanes[i % COVEY_RANS_LANES];
        const uint32_t gives = x >= frequency << (31 - COVEY_RANS_BITS);
        end[-2] = (uint8_t)x;
        end[-1] = (uint8_t)(x >> 8);
        end -= 2 * gives;
        x >>= 16 * gives;
        lanes[i % COVEY_RANS_LANES] =
            (x / frequency << COVEY_RANS_BITS) + x % frequency + (range >> COVEY_RANS_BITS);
    }
    return end;
}
#endif

const struct covey_entropy_kernels KERNELS = {
    .name = KERNELS_NAME,
    .tokens = make_tokens,
    .low_bits = make_low_bits,
    .count = count_tokens,
    .outside = find_outside,
    .levels = make_levels,
    .levels_with_low = make_levels_with_low,
    .decode = decode_lanes,
    .encode = encode_lanes,
};
