/* The fold's private face: the short way from codes gives the bits of the plain way, whatever the kernels. */
#include <criterion/criterion.h>
#include <math.h>

#include "cohort.h"
#include "covey/grid.h"
#include "stream_fold.h"
#include "fold_kernels.h"

static const char *const codecs[] = {"int8", "int4", "fp16",   "raw32",  "ec:.5",
                                     "ec:3", "ec:8", "auto:1", "auto:6", "mask:.2"};
#define CODECS (sizeof codecs / sizeof codecs[0])

/* exponent: from so tight that every block is exact to so wide that every value is rounded. */
static void fold_both_ways(const char *codec, int spread, int16_t exponent, uint64_t weight, double scale)
{
    struct cohort_update update = cohort_update_make(codec, 3, spread, 1);
    struct covey_grid_split split;
    struct covey_grid grids[2];
    struct covey_fold_pool *pool = NULL;
    struct covey_fold_input input = {.scale = scale, .weight = weight};
    int16_t exponents[COHORT_TENSORS];
    for (size_t t = 0; t < COHORT_TENSORS; t++)
        exponents[t] = exponent;
    cr_assert_eq(covey_grid_split(1, (double)(weight > 100 ? weight : 100), &split, NULL), COVEY_OK);
    cr_assert_eq(covey_fold_pool_create(2, &pool, NULL), COVEY_OK);
    cr_assert_eq(covey_decoder_init(&input.decoder, (struct covey_bytes){update.bytes, update.size},
                                    COHORT_COUNT, NULL),
                 COVEY_OK);
    for (int plain = 0; plain < 2; plain++) {
        cr_assert_eq(covey_grid_init(&grids[plain], cohort_ends, COHORT_TENSORS, exponents, &split, NULL),
                     COVEY_OK);
        covey_fold(&grids[plain], &input, 1, pool, plain);
    }
    cr_expect_eq(memcmp(grids[0].sums, grids[1].sums, COHORT_COUNT * sizeof(int64_t)), 0,
                 "%s spread %d exponent %d weight %llu scale %g", codec, spread, exponent,
                 (unsigned long long)weight, scale);
    for (size_t i = 0; i < COHORT_COUNT; i += 7) {
        const double expected =
            nearbyint(ldexp((double)update.values[i] * scale, split.coordinate_bits - exponent)) *
            (double)weight;
        cr_assert_eq(grids[0].sums[i], (int64_t)expected, "coordinate %zu", i);
    }
    covey_grid_deinit(&grids[0]);
    covey_grid_deinit(&grids[1]);
    covey_fold_pool_destroy(pool);
    cohort_update_free(&update);
}

Test(fold, the_short_way_gives_the_same_bits)
{
    static const int16_t exponents[] = {-6, 6, 14, 22, 30};
    for (size_t c = 0; c < CODECS; c++)
        for (size_t e = 0; e < sizeof exponents / sizeof exponents[0]; e++)
            for (int spread = 0; spread < 3; spread += 2) {
                fold_both_ways(codecs[c], spread, exponents[e], 1, 1.0);
                fold_both_ways(codecs[c], spread, exponents[e], 600, 0.25);
            }
    fold_both_ways("int8", 1, -6, 1u << 20, 1.0); /* factors past 2^31 */
    fold_both_ways("int4", 1, -6, 1u << 22, 1.0);
}

Test(fold, a_scale_that_is_no_power_of_two_takes_the_plain_way)
{
    struct cohort_update update = cohort_update_make("int8", 3, 1, 1);
    struct covey_grid_split split;
    struct covey_grid grid;
    struct covey_fold_pool *pool = NULL;
    struct covey_fold_input input = {.scale = 1.0 / 3, .weight = 7};
    cr_assert_eq(covey_grid_split(1, 100, &split, NULL), COVEY_OK);
    cr_assert_eq(covey_fold_pool_create(1, &pool, NULL), COVEY_OK);
    cr_assert_eq(covey_grid_init(&grid, cohort_ends, COHORT_TENSORS, NULL, &split, NULL), COVEY_OK);
    cr_assert_eq(covey_decoder_init(&input.decoder, (struct covey_bytes){update.bytes, update.size},
                                    COHORT_COUNT, NULL),
                 COVEY_OK);
    covey_fold(&grid, &input, 1, pool, false);
    for (size_t i = 0; i < COHORT_COUNT; i++) {
        const double y = nearbyint((double)update.values[i] * ldexp(1.0 / 3, split.coordinate_bits - 6));
        cr_assert_eq(grid.sums[i], (int64_t)y * 7, "coordinate %zu", i);
    }
    covey_grid_deinit(&grid);
    covey_fold_pool_destroy(pool);
    cohort_update_free(&update);
}

#define COUNT 512

Test(fold, every_table_of_kernels_gives_the_same_bits)
{
    struct covey_random random;
    float x[COUNT];
    int8_t codes[COUNT + 2];
    struct covey_fold_block blocks[COUNT / 64], others[COUNT / 64], nothing[COUNT / 64] = {{0, 0}};
    covey_random_init(&random, 9, 0, 0, COVEY_PURPOSE_TEST);
    codes[COUNT] = 127;
    codes[COUNT + 1] = -128;
    for (int i = 0; i < COUNT; i++) {
        x[i] = (covey_random_float(&random) - .5f) * (float)(1u << covey_random_below(&random, 20));
        codes[i] = (int8_t)covey_random_u32(&random);
    }
    for (int b = 0; b < COUNT / 64; b++)
        blocks[b] = (struct covey_fold_block){(int32_t)(covey_random_u32(&random) >> 1), b * 3};
    for (int b = 0; b < COUNT / 64; b++)
        others[b] = (struct covey_fold_block){(int32_t)(covey_random_u32(&random) >> 3), 21 - b};
    const struct covey_fold_kernels *plain = &covey_fold_kernels_plain;
    for (size_t k = 0; covey_fold_kernels_at(k) != NULL; k++) {
        const struct covey_fold_kernels *kernels = covey_fold_kernels_at(k);
        for (size_t count = 0; count <= COUNT; count += count < 70 ? 1 : 13) {
            int64_t a[COUNT] = {0}, b[COUNT] = {0};
            double c[COUNT], d[COUNT];
            kernels->floats(a, x, count, 0x1p20, 12345);
            plain->floats(b, x, count, 0x1p20, 12345);
            const struct covey_fold_lane lanes[] = {
                {codes, blocks}, {codes + 1, others}, {codes, nothing}, {codes + 2, others}};
            for (size_t lanes_used = 1; lanes_used <= 4; lanes_used++) {
                kernels->codes(a, lanes, lanes_used, count / 64);
                plain->codes(b, lanes, lanes_used, count / 64);
            }
            cr_expect_eq(memcmp(a, b, sizeof a), 0, "%s, %zu values", kernels->name, count);
            int32_t wide[COUNT];
            for (size_t i = 0; i < COUNT; i++)
                wide[i] = (int32_t)codes[i] * (1 << (i % 16));
            struct covey_fold_block small[COUNT / 64];
            for (size_t i = 0; i < COUNT / 64; i++)
                small[i] = (struct covey_fold_block){blocks[i].factor >> 16, blocks[i].shift};
            kernels->wide(a, wide, count / 64, small);
            plain->wide(b, wide, count / 64, small);
            cr_expect_eq(memcmp(a, b, sizeof a), 0, "%s, %zu wide codes", kernels->name, count);
            kernels->means(a, count, 0x1p-33, 777, c);
            plain->means(b, count, 0x1p-33, 777, d);
            cr_expect_eq(memcmp(c, d, count * sizeof *c), 0, "%s, %zu values", kernels->name, count);
            cr_expect_eq(kernels->squares(x, count), plain->squares(x, count));
            cr_expect_eq(kernels->largest(x, count), plain->largest(x, count));
        }
    }
}
