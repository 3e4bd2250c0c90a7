/* Whole multiples of a power of two: coded without loss, rounded to, added exactly. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/random.h"

#define COUNT 9000

static size_t encode(const float *x, size_t count, int exponent, float *decoded, enum covey_status expected)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    cr_assert_eq(covey_codec_exact(exponent, &codec, &err), COVEY_OK, "%s", err.text);
    const size_t bound = covey_codec_bound(&codec, count),
                 scratch_bytes = covey_codec_scratch_bytes(&codec, count);
    uint8_t *stream = malloc(bound);
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    const struct covey_encode_options options = {.scratch = scratch, .scratch_bytes = scratch_bytes};
    size_t size = 0;
    cr_assert_eq(covey_codec_encode(&codec, x, count, &options, stream, bound, &size, decoded, &err),
                 expected, "%s", err.text);
    free(scratch);
    free(stream);
    return size;
}

Test(lattice, whole_multiples_come_back)
{
    static const size_t counts[] = {1, 7, 64, COUNT};
    static const int exponents[] = {COVEY_EXPONENT_MIN, -17, 0, 5, COVEY_EXPONENT_MAX};
    static float x[COUNT], decoded[COUNT];
    struct covey_random random;
    covey_random_init(&random, 1, 0, 0, COVEY_PURPOSE_TEST);
    for (uint32_t bits = 0; bits <= COVEY_EXACT_BITS; bits++)
        for (uint32_t kind = 0; kind < 4; kind++)
            for (size_t c = 0; c < 4; c++) {
                const int exponent = exponents[(bits + c) % 5];
                for (size_t i = 0; i < counts[c]; i++) {
                    float u = 2 * covey_random_float(&random) - 1;
                    u = kind == 0 ? u : kind == 1 ? u * u * u * u * u : kind == 2 ? 1 : (float)(i == 3);
                    const int32_t code = (int32_t)(u * (float)(1 << bits));
                    const int32_t most = (1 << COVEY_EXACT_BITS) - 1;
                    x[i] = (float)(code > most ? most : code) * covey_power_of_two(exponent);
                }
                const size_t size = encode(x, counts[c], exponent, decoded, COVEY_OK);
                for (size_t i = 0; i < counts[c]; i++)
                    cr_assert(decoded[i] == x[i], "%u bits, kind %u: %a came back as %a", bits, kind,
                              (double)x[i], (double)decoded[i]);
                cr_expect(kind != 0 || c < 3 || (double)size * 8 / COUNT <= bits + 2.5,
                          "%u bits took %zu bytes", bits, size);
            }
    x[COUNT / 2] = (float)(1 << COVEY_EXACT_BITS);
    (void)encode(x, COUNT, 0, decoded, COVEY_LIMIT); /* refused, not changed */
    struct covey_codec codec;
    cr_expect_eq(covey_codec_exact(COVEY_EXPONENT_MIN - 1, &codec, NULL), COVEY_RANGE);
    cr_expect_eq(covey_codec_exact(COVEY_EXPONENT_MAX + 1, &codec, NULL), COVEY_RANGE);
}

Test(lattice, rounds_halves_to_even)
{
    static const float cases[][3] = {
        /* value, exponent, rounded */
        {.5f, 0, 0}, {1.5f, 0, 2}, {-2.5f, 0, -2},   {-.4f, 0, 0},          {.3f, -2, .25f},        {3, 2, 4},
        {2, 2, 0},   {-6, 2, -8},  {1e-40f, -64, 0}, {0x1p22f, 0, 0x1p22f}, {-0x1p22f, 0, -0x1p22f}};
    static const float past[][2] = {{0x1.8p22f, 0}, {1e30f, -60}, {INFINITY, 3}, {NAN, 0}};
    float out;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_expect(covey_round_to_power(&cases[i][0], 1, (int)cases[i][1], &out));
        cr_expect(out == cases[i][2] && (out != 0 || !signbit(out)), "case %zu: %a", i, (double)out);
    }
    for (size_t i = 0; i < sizeof past / sizeof past[0]; i++)
        cr_expect(!covey_round_to_power(&past[i][0], 1, (int)past[i][1], &out), "case %zu", i);
}
