/* The codecs' inner loops: every table against the plain one, and the plain one against the simplest words
 * for it. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "block_kernels.h"
#include "covey/random.h"

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void random_values(float *x, size_t count, uint64_t seed)
{
    struct covey_random random;
    covey_random_init(&random, seed, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++) {
        /* any finite float below 2^127, blocks of unlike magnitudes */
        uint32_t bits = covey_random_u32(&random);
        bits = (bits & 0x807FFFFFu) | (covey_random_below(&random, 20) + 10 * (uint32_t)(i / 64 % 20)) << 23;
        x[i] = float_of(bits);
    }
}

/* One value, as the header describes it, from the generator that everybody uses. */
static int8_t round_one(const uint32_t key[2], const uint32_t high[2], uint32_t tile, size_t place, float x,
                        uint16_t scale)
{
    uint32_t words[4], multiplier = 1;
    const size_t i = place % 64;
    const uint32_t counter[4] = {tile * 16 + (uint32_t)(i % 16), 0, high[0], high[1]};
    covey_random_philox(counter, key, words);
    for (size_t b = 0; b < place / 64; b++)
        multiplier *= COVEY_TILE_MULTIPLIER;
    if (scale == 0)
        return 0;
    const float factor = 0x1p23f / float_of((uint32_t)scale << 15);
    const double t = trunc((double)(x * factor)); /* in units of 2^-23 */
    return (int8_t)floor((t + (double)(words[i / 16] * multiplier >> 9)) / 0x1p23);
}

Test(block_kernels, rounding_is_as_described)
{
    enum { COUNT = COVEY_DECODE_VALUES };
    static float x[COUNT];
    static int8_t codes[COUNT];
    uint16_t scales[COVEY_TILE_BLOCKS];
    const uint32_t key[2] = {0x12345678, 0x9ABCDEF0}, high[2] = {0xCAFEBABE, 0xDEADBEEF}, levels[] = {127, 7};
    for (size_t l = 0; l < 2; l++) {
        random_values(x, COUNT, l);
        memset(x + 640, 0, 64 * sizeof *x);
        (void)covey_block_kernels_plain.round_tile(key, high, 3, levels[l], x, COVEY_TILE_BLOCKS, scales,
                                                   codes);
        for (size_t b = 0; b < COVEY_TILE_BLOCKS; b++) {
            float most = 0;
            for (size_t i = 0; i < 64; i++)
                most = fabsf(x[b * 64 + i]) > most ? fabsf(x[b * 64 + i]) : most;
            const double scale = (double)float_of((uint32_t)scales[b] << 15);
            if (most == 0) {
                cr_expect_eq(scales[b], 0);
            } else if (scale > 0) {
                cr_expect(scale * levels[l] >= (double)most, "block %zu clips", b);
                cr_expect(scale * levels[l] <= (double)most * (1 + 0x1p-7), "block %zu wastes range", b);
            } else {
                cr_expect(most < 0x1p-90f);
            }
            for (size_t i = b * 64; i < b * 64 + 64; i++)
                cr_assert_eq(codes[i], round_one(key, high, 3, i, x[i], scales[b]), "value %zu", i);
        }
    }
}

Test(block_kernels, every_table_gives_the_same_bits)
{
    enum { COUNT = COVEY_DECODE_VALUES };
    static float x[COUNT], a[COUNT], b[COUNT];
    static int8_t codes[COUNT], others[COUNT];
    static uint8_t packed[2 * COUNT + 1], repacked[2 * COUNT + 1];
    uint16_t scales[COVEY_TILE_BLOCKS] = {0}, other_scales[COVEY_TILE_BLOCKS] = {0};
    float multipliers[COVEY_TILE_BLOCKS];
    const uint32_t key[2] = {1, 2}, high[2] = {3, 4};
    const struct covey_block_kernels *plain = &covey_block_kernels_plain;
    for (size_t k = 0; covey_block_kernels_at(k) != NULL; k++) {
        const struct covey_block_kernels *kernels = covey_block_kernels_at(k);
        for (size_t blocks = 0; blocks <= COVEY_TILE_BLOCKS; blocks += blocks < 9 ? 1 : 11) {
            const size_t count = blocks * 64;
            random_values(x, COUNT, 7 + blocks);
            cr_expect_eq(kernels->largest(x, count), plain->largest(x, count));
            cr_expect_eq(
                kernels->round_tile(key, high, (uint32_t)blocks, 127, x, blocks, scales, codes),
                plain->round_tile(key, high, (uint32_t)blocks, 127, x, blocks, other_scales, others));
            cr_expect_eq(memcmp(scales, other_scales, sizeof scales), 0, "%s", kernels->name);
            cr_expect_eq(memcmp(codes, others, count), 0, "%s", kernels->name);
            for (size_t i = 0; i < blocks; i++)
                multipliers[i] = float_of((uint32_t)scales[i] << 15);
            kernels->multiply(codes, multipliers, count, a);
            plain->multiply(codes, multipliers, count, b);
            cr_expect_eq(memcmp(a, b, count * sizeof *a), 0, "%s", kernels->name);
            for (size_t i = 0; i < count; i++)
                codes[i] = (int8_t)((codes[i] & 15) - 8);
            kernels->pack4(codes, count, packed);
            plain->pack4(codes, count, repacked);
            cr_expect_eq(memcmp(packed, repacked, count / 2), 0, "%s", kernels->name);
            kernels->unpack4(packed, count, others);
            cr_expect_eq(memcmp(codes, others, count), 0, "%s", kernels->name);
            static uint8_t raw[4 * COUNT + 1];
            cr_expect_eq(kernels->to_raw(x, count, raw + 1), plain->largest(x, count));
            cr_expect_eq(kernels->from_raw(raw + 1, count, a), plain->largest(x, count));
            cr_expect_eq(memcmp(a, x, count * sizeof *a), 0, "%s", kernels->name);
            for (size_t odd = 0; odd < 3 && odd <= count; odd++) {
                cr_expect_eq(kernels->to_half(x, count - odd, packed + 1),
                             plain->to_half(x, count - odd, repacked + 1));
                cr_expect_eq(memcmp(packed + 1, repacked + 1, 2 * (count - odd)), 0, "%s", kernels->name);
                cr_expect_eq(kernels->from_half(packed + 1, count - odd, a),
                             plain->from_half(packed + 1, count - odd, b));
                cr_expect_eq(memcmp(a, b, (count - odd) * sizeof *a), 0, "%s", kernels->name);
            }
        }
    }
}

/* A half's value, from its definition (IEEE 754 section 3.4). */
static double half_value(uint32_t half)
{
    const double fraction = half & 0x3FF;
    const int exponent = (int)(half >> 10 & 31);
    const double magnitude = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

Test(block_kernels, every_half_is_decoded_and_encoded_back)
{
    for (size_t k = 0; covey_block_kernels_at(k) != NULL; k++) {
        const struct covey_block_kernels *kernels = covey_block_kernels_at(k);
        for (uint32_t half = 0; half < 0x10000; half++) {
            const uint8_t in[2] = {(uint8_t)half, (uint8_t)(half >> 8)};
            uint8_t back[2];
            float value;
            const uint32_t magnitude = kernels->from_half(in, 1, &value);
            cr_assert_eq(magnitude, half & 0x7FFF);
            if ((half & 0x7C00) == 0x7C00)
                continue; /* not finite: refused above this level */
            cr_assert((double)value == half_value(half), "%04x", half);
            cr_assert_eq(signbit(value) != 0, half >> 15);
            (void)kernels->to_half(&value, 1, back);
            cr_assert(back[0] == in[0] && back[1] == in[1], "%04x", half);
        }
    }
}

Test(block_kernels, halves_are_rounded_to_nearest_even_and_saturate)
{
    for (size_t k = 0; covey_block_kernels_at(k) != NULL; k++) {
        const struct covey_block_kernels *kernels = covey_block_kernels_at(k);
        for (uint32_t half = 0; half < 0x7BFF; half++) {
            /* The point half way to the next half, and its neighbours among the floats. */
            const float middle = (float)(.5 * (half_value(half) + half_value(half + 1)));
            const float points[3] = {float_of(bits_of(middle) - 1), middle, float_of(bits_of(middle) + 1)};
            const uint32_t expected[3] = {half, half + (half & 1), half + 1};
            uint8_t out[6];
            (void)kernels->to_half(points, 3, out);
            for (int i = 0; i < 3; i++)
                cr_assert_eq((uint32_t)(out[2 * i] | out[2 * i + 1] << 8), expected[i], "half %04x point %d",
                             half, i);
        }
        const float large[4] = {65504, 65520, 1e30f, -70000};
        uint8_t out[8];
        cr_expect_eq(kernels->to_half(large, 4, out), bits_of(1e30f));
        for (int i = 0; i < 4; i++)
            cr_expect_eq(out[2 * i] | out[2 * i + 1] << 8, i == 3 ? 0xFBFF : 0x7BFF);
    }
}

/* The length of the shortest vector of the lattice of pairs (w, a w mod 2^32), by Gauss's reduction. */
static double shortest_vector(uint32_t a)
{
    __int128 u0 = 1, u1 = a, v0 = 0, v1 = (__int128)1 << 32;
    for (;;) {
        if (u0 * u0 + u1 * u1 > v0 * v0 + v1 * v1) {
            const __int128 s0 = u0, s1 = u1;
            u0 = v0;
            u1 = v1;
            v0 = s0;
            v1 = s1;
        }
        const __int128 square = u0 * u0 + u1 * u1, product = u0 * v0 + u1 * v1;
        const __int128 q =
            (2 * product + square - (2 * product + square < 0 ? 2 * square - 1 : 0)) / (2 * square);
        if (q == 0)
            return sqrt((double)square);
        v0 -= q * u0;
        v1 -= q * u1;
    }
}

Test(block_kernels, no_two_blocks_of_a_tile_share_a_poor_lattice)
{
    uint32_t power = 1;
    for (int k = 1; k < COVEY_TILE_BLOCKS; k++) {
        power *= COVEY_TILE_MULTIPLIER;
        cr_expect(!(shortest_vector(power) < .42 * 0x1p16), "power %d: %g", k, shortest_vector(power));
    }
}
