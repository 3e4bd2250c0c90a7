#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "covey/random.h"

struct vector {
    uint32_t counter[4], key[2], out[4];
};

/* Known answers of philox4x32-10 as published with Random123 (kat_vectors). */
static const struct vector vectors[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

Test(random, known_answers)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint32_t out[4];
        covey_random_philox(vectors[i].counter, vectors[i].key, out);
        cr_expect_eq(memcmp(out, vectors[i].out, sizeof out), 0, "%08x %08x %08x %08x", out[0], out[1],
                     out[2], out[3]);
    }
}

Test(random, each_part_of_the_name_matters_and_nothing_else)
{
    struct covey_random a, b;
    covey_random_init(&a, 1, 2, 3, COVEY_PURPOSE_TEST);
    covey_random_init(&b, 1, 2, 3, COVEY_PURPOSE_TEST);
    for (int i = 0; i < 100; i++)
        cr_expect_eq(covey_random_u32(&a), covey_random_u32(&b));
    const struct {
        uint64_t seed, device;
        uint32_t round;
        enum covey_purpose purpose;
    } others[] = {{2, 2, 3, COVEY_PURPOSE_TEST}, {1ull << 40 | 1, 2, 3, COVEY_PURPOSE_TEST},
                  {1, 3, 3, COVEY_PURPOSE_TEST}, {1, 1ull << 40 | 2, 3, COVEY_PURPOSE_TEST},
                  {1, 2, 4, COVEY_PURPOSE_TEST}, {1, 2, 3, COVEY_PURPOSE_CODEC}};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        int same = 0;
        covey_random_init(&a, 1, 2, 3, COVEY_PURPOSE_TEST);
        covey_random_init(&b, others[i].seed, others[i].device, others[i].round, others[i].purpose);
        for (int j = 0; j < 64; j++)
            same += covey_random_u32(&a) == covey_random_u32(&b);
        cr_expect_eq(same, 0, "row %zu", i);
    }
}

/* Pinned: what is replayed years later must come out the same. */
Test(random, the_stream_of_a_name_never_changes)
{
    struct covey_random random;
    uint32_t got[6];
    covey_random_init(&random, 42, covey_random_id("device-1"), 7, COVEY_PURPOSE_SHUFFLE);
    for (int i = 0; i < 6; i++)
        got[i] = covey_random_u32(&random);
    const uint32_t expected[6] = {0xa393acc9, 0x54e5470d, 0x681b3c94, 0xf4c7a76e, 0xcbfc043e, 0x43e2da47};
    cr_expect_eq(memcmp(got, expected, sizeof got), 0, "%#x, %#x, %#x, %#x, %#x, %#x", got[0], got[1], got[2],
                 got[3], got[4], got[5]);
}

Test(random, below_is_uniform_and_in_bounds)
{
    enum { BOUND = 10, DRAWS = 100000 };
    struct covey_random random;
    int counts[BOUND] = {0};
    covey_random_init(&random, 1, 0, 0, COVEY_PURPOSE_TEST);
    for (int i = 0; i < DRAWS; i++)
        counts[covey_random_below(&random, BOUND)]++;
    double chi2 = 0;
    for (int i = 0; i < BOUND; i++) {
        const double d = counts[i] - DRAWS / (double)BOUND;
        chi2 += d * d / (DRAWS / (double)BOUND);
    }
    cr_expect(!(chi2 > 27.9), "chi2 = %g with 9 degrees of freedom (p = .001)", chi2);
    for (int i = 0; i < 100; i++)
        cr_expect_eq(covey_random_below(&random, 1), 0);
    for (int i = 0; i < 1000; i++)
        cr_expect(covey_random_below(&random, 0xC0000000u) < 0xC0000000u);
}

Test(random, reals_have_the_moments_of_their_distribution)
{
    enum { DRAWS = 200000 };
    struct covey_random random;
    covey_random_init(&random, 3, 0, 0, COVEY_PURPOSE_TEST);
    double sum = 0, sum2 = 0, normal = 0, normal2 = 0, normal4 = 0;
    for (int i = 0; i < DRAWS; i++) {
        const double u = i % 2 ? covey_random_double(&random) : (double)covey_random_float(&random);
        const double z = covey_random_normal(&random);
        cr_assert(u >= 0 && u < 1 && isfinite(z));
        sum += u;
        sum2 += u * u;
        normal += z;
        normal2 += z * z;
        normal4 += z * z * z * z;
    }
    const double tolerance = 5 / sqrt(DRAWS); /* five standard errors of a unit-variance mean */
    cr_expect(!(fabs(sum / DRAWS - .5) > tolerance * .29));
    cr_expect(!(fabs(sum2 / DRAWS - 1. / 3) > tolerance * .3));
    cr_expect(!(fabs(normal / DRAWS) > tolerance));
    cr_expect(!(fabs(normal2 / DRAWS - 1) > tolerance * sqrt(2)));
    cr_expect(!(fabs(normal4 / DRAWS - 3) > tolerance * sqrt(96)));
}

Test(random, shuffle_permutes)
{
    uint32_t indices[100], first[5] = {0};
    struct covey_random random;
    covey_random_init(&random, 5, 0, 0, COVEY_PURPOSE_TEST);
    int seen[100] = {0}, moved = 0;
    for (uint32_t i = 0; i < 100; i++)
        indices[i] = i;
    covey_random_shuffle(&random, indices, 100);
    for (uint32_t i = 0; i < 100; i++) {
        seen[indices[i]]++;
        moved += indices[i] != i;
    }
    for (int i = 0; i < 100; i++)
        cr_expect_eq(seen[i], 1);
    cr_expect(moved > 80);
    for (int i = 0; i < 10000; i++) {
        uint32_t five[5] = {0, 1, 2, 3, 4};
        covey_random_shuffle(&random, five, 5);
        first[five[0]]++;
    }
    for (int i = 0; i < 5; i++)
        cr_expect(first[i] > 1800 && first[i] < 2200, "%u", first[i]);
    covey_random_shuffle(&random, NULL, 0);
}

Test(random, ids_of_names_differ_everywhere)
{
    const uint64_t a = covey_random_id("device-1"), b = covey_random_id("device-2");
    cr_expect_neq(a, b);
    cr_expect(__builtin_popcountll(a ^ b) > 12, "%d bits differ", __builtin_popcountll(a ^ b));
    cr_expect_neq(covey_random_id(""), covey_random_id("a"));
}
