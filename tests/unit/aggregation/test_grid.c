#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/grid.h"
#include "covey/limits.h"
#include "covey/random.h"

static struct covey_grid_split split_of(uint64_t updates, double weight)
{
    struct covey_grid_split split;
    struct covey_error err = {0};
    cr_assert_eq(covey_grid_split(updates, weight, &split, &err), COVEY_OK, "%s", err.text);
    return split;
}

/* Whatever the plan, the largest sum that it allows stays within 62 bits. */
Test(grid, no_plan_can_overflow)
{
    static const uint64_t updates[] = {1, 2, 3, 10, 1000, 4097, 65536, COVEY_DEVICES - 1, COVEY_DEVICES};
    static const double weights[] = {1e-9, 0.3, 1, 600, 6000, 65537, COVEY_UPDATE_EXAMPLES, 0x1p40};
    for (size_t i = 0; i < sizeof updates / sizeof updates[0]; i++) {
        for (size_t j = 0; j < sizeof weights / sizeof weights[0]; j++) {
            const struct covey_grid_split split = split_of(updates[i], weights[j]);
            const unsigned __int128 sum = (unsigned __int128)updates[i] * split.weight_cap;
            uint64_t largest = 0;
            cr_expect(sum <= split.weight_sum_cap, "%lu updates of weight %g", updates[i], weights[j]);
            cr_expect((unsigned __int128)split.weight_sum_cap << split.coordinate_bits <=
                      (unsigned __int128)1 << COVEY_GRID_BITS);
            cr_expect_eq(covey_grid_weight(&split, weights[j], &largest), COVEY_OK);
            cr_expect(largest <= split.weight_cap && largest >= 1);
        }
    }
}

Test(grid, whole_weights_stay_exact_when_they_fit)
{
    const struct covey_grid_split split = split_of(10, 6000);
    cr_expect_geq(split.weight_exponent, 0);
    for (uint64_t weight = 1; weight <= 6000; weight += 7) {
        uint64_t out = 0;
        cr_assert_eq(covey_grid_weight(&split, (double)weight, &out), COVEY_OK);
        cr_expect_eq(out, weight << split.weight_exponent);
    }
    uint64_t out = 0;
    cr_expect_eq(covey_grid_weight(&split, 1e9, &out), COVEY_OK);
    cr_expect_eq(out, split.weight_cap, "above the largest counts as the largest");
    cr_expect_eq(covey_grid_weight(&split, 1e-30, &out), COVEY_OK);
    cr_expect_eq(out, 1);
    cr_expect_eq(covey_grid_weight(&split, 0, &out), COVEY_INVALID);
    cr_expect_eq(covey_grid_weight(&split, -1, &out), COVEY_INVALID);
    cr_expect_eq(covey_grid_weight(&split, NAN, &out), COVEY_INVALID);
    cr_expect_eq(covey_grid_weight(&split, INFINITY, &out), COVEY_INVALID);
}

Test(grid, plans_that_make_no_sense_are_refused)
{
    struct covey_grid_split split;
    cr_expect_eq(covey_grid_split(0, 1, &split, NULL), COVEY_INVALID);
    cr_expect_eq(covey_grid_split(COVEY_DEVICES + 1, 1, &split, NULL), COVEY_INVALID);
    cr_expect_eq(covey_grid_split(1, 0, &split, NULL), COVEY_INVALID);
    cr_expect_eq(covey_grid_split(1, NAN, &split, NULL), COVEY_INVALID);
    cr_expect_eq(covey_grid_split(1, 0x1p41, &split, NULL), COVEY_INVALID);
    split = split_of(1, 1);
    struct covey_grid grid;
    const size_t empty[] = {0}, back[] = {5, 5}, good[] = {3, 5};
    const int16_t wild[] = {0, 127};
    cr_expect_eq(covey_grid_init(&grid, empty, 1, NULL, &split, NULL), COVEY_INVALID);
    cr_expect_eq(covey_grid_init(&grid, back, 2, NULL, &split, NULL), COVEY_INVALID);
    cr_expect_eq(covey_grid_init(&grid, good, 0, NULL, &split, NULL), COVEY_INVALID);
    cr_expect_eq(covey_grid_init(&grid, good, 2, wild, &split, NULL), COVEY_INVALID);
}

/* The extreme: every weight at the cap, every coordinate at the end of its range, as many updates as planned.
 */
Test(grid, the_extremes_add_up_exactly)
{
    const struct covey_grid_split split = split_of(COVEY_DEVICES, COVEY_UPDATE_EXAMPLES);
    const size_t ends[] = {2};
    const int16_t exponents[] = {3};
    const float x[] = {8.0f, -8.0f}, peak[] = {8.0f};
    struct covey_grid grid;
    cr_assert_eq(covey_grid_init(&grid, ends, 1, exponents, &split, NULL), COVEY_OK);
    for (uint32_t i = 0; i < COVEY_DEVICES; i++) {
        covey_grid_fold(&grid, 0, x, 2, 1.0, split.weight_cap);
        cr_assert_eq(covey_grid_count(&grid, split.weight_cap, peak), COVEY_OK);
    }
    double mean[2];
    covey_grid_mean(&grid, 0, 2, mean);
    cr_expect_eq(mean[0], 8.0);
    cr_expect_eq(mean[1], -8.0);
    cr_expect_eq(grid.sums[0], (int64_t)(grid.weight_sum << split.coordinate_bits));
    const uint64_t room = split.weight_sum_cap - grid.weight_sum;
    cr_expect_eq(covey_grid_count(&grid, room + 1, peak), COVEY_LIMIT);
    covey_grid_deinit(&grid);
}

Test(grid, values_are_rounded_once_to_nearest_even)
{
    const struct covey_grid_split split = split_of(1, 1);
    const size_t ends[] = {8};
    const int16_t exponents[] = {0};
    const float unit = 0x1p-40f; /* c = 40 */
    const float x[8] = {unit * .5f,   unit * 1.5f, unit * 2.5f, -unit * .5f,
                        -unit * 1.5f, unit * .75f, 1.0f,        -0x1p-120f};
    const int64_t expected[8] = {0, 2, 2, 0, -2, 1, 1ll << 40, 0};
    struct covey_grid grid;
    cr_assert_eq(split.coordinate_bits, 40);
    cr_assert_eq(covey_grid_init(&grid, ends, 1, exponents, &split, NULL), COVEY_OK);
    covey_grid_fold(&grid, 0, x, 8, 1.0, 1);
    for (int i = 0; i < 8; i++)
        cr_expect_eq(grid.sums[i], expected[i], "coordinate %d: %ld", i, grid.sums[i]);
    covey_grid_fold(&grid, 6, &(float){4.0f}, 1, 0.25, 3);
    cr_expect_eq(grid.sums[6], 4ll << 40);
    covey_grid_deinit(&grid);
}

static void fill(struct covey_grid *grid, uint64_t seed, size_t count)
{
    float x[100];
    struct covey_random random;
    covey_random_init(&random, seed, 0, 0, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        x[i] = covey_random_float(&random) - .5f;
    const float peaks[2] = {.5f, .25f};
    covey_grid_fold(grid, 0, x, count, 1.0, 3 + seed);
    cr_assert_eq(covey_grid_count(grid, 3 + seed, peaks), COVEY_OK);
}

Test(grid, saved_loaded_and_merged_is_the_same_sum)
{
    const struct covey_grid_split split = split_of(10, 100);
    const size_t ends[] = {30, 100};
    const int16_t exponents[] = {0, 2};
    struct covey_grid whole, a, b, loaded;
    struct covey_error err = {0};
    cr_assert_eq(covey_grid_init(&whole, ends, 2, exponents, &split, NULL), COVEY_OK);
    cr_assert_eq(covey_grid_init(&a, ends, 2, exponents, &split, NULL), COVEY_OK);
    cr_assert_eq(covey_grid_init(&b, ends, 2, exponents, &split, NULL), COVEY_OK);
    for (uint64_t i = 0; i < 6; i++) {
        fill(&whole, i, 100);
        fill(i % 2 ? &a : &b, i, 100);
    }
    const size_t size = covey_grid_save_bytes(&b);
    uint8_t *saved = malloc(size);
    size_t written = 0;
    cr_expect_eq(covey_grid_save(&b, saved, size - 1, &written), COVEY_LIMIT);
    cr_assert_eq(covey_grid_save(&b, saved, size, &written), COVEY_OK);
    cr_assert_eq(written, size);
    cr_assert_eq(covey_grid_load(&loaded, (struct covey_bytes){saved, size}, 100, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_grid_merge(&a, &loaded, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(memcmp(a.sums, whole.sums, 100 * sizeof *a.sums), 0);
    cr_expect_eq(a.weight_sum, whole.weight_sum);
    cr_expect_eq(a.update_count, whole.update_count);
    cr_expect_eq(memcmp(a.peaks, whole.peaks, 2 * COVEY_GRID_PEAK_BINS * sizeof *a.peaks), 0);
    /* Every truncation, and every changed byte, is refused or loads to something within bounds. */
    for (size_t cut = 0; cut < size; cut += cut < 100 || cut > size - 100 ? 1 : 17) {
        struct covey_grid other;
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, saved, cut);
        cr_expect_neq(covey_grid_load(&other, (struct covey_bytes){exact, cut}, 100, NULL), COVEY_OK);
        free(exact);
    }
    for (size_t i = 0; i < size * 8; i++) {
        struct covey_grid other;
        saved[i / 8] ^= (uint8_t)(1u << i % 8);
        if (covey_grid_load(&other, (struct covey_bytes){saved, size}, 100, NULL) == COVEY_OK) {
            if (covey_grid_merge(&a, &other, NULL) == COVEY_OK)
                for (size_t j = 0; j < 100; j++)
                    cr_assert(llabs(a.sums[j]) <= 1ll << COVEY_GRID_BITS);
            covey_grid_deinit(&other);
        }
        saved[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    free(saved);
    covey_grid_deinit(&whole);
    covey_grid_deinit(&a);
    covey_grid_deinit(&b);
    covey_grid_deinit(&loaded);
}

Test(grid, sums_of_unlike_plans_do_not_merge)
{
    const size_t ends[] = {30, 100}, others[] = {31, 100};
    const int16_t exponents[] = {0, 2}, raised[] = {0, 3};
    const struct covey_grid_split split = split_of(10, 100), wider = split_of(10, 6000000);
    const struct {
        const size_t *ends;
        const int16_t *exponents;
        const struct covey_grid_split *split;
        enum covey_status expected;
    } rows[] = {{ends, exponents, &split, COVEY_OK},
                {others, exponents, &split, COVEY_MISMATCH},
                {ends, raised, &split, COVEY_MISMATCH},
                {ends, exponents, &wider, COVEY_MISMATCH}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct covey_grid a, b;
        cr_assert_eq(covey_grid_init(&a, ends, 2, exponents, &split, NULL), COVEY_OK);
        cr_assert_eq(covey_grid_init(&b, rows[i].ends, 2, rows[i].exponents, rows[i].split, NULL), COVEY_OK);
        cr_expect_eq(covey_grid_merge(&a, &b, NULL), rows[i].expected, "row %zu", i);
        covey_grid_deinit(&a);
        covey_grid_deinit(&b);
    }
}

Test(grid, exponents_follow_the_peaks)
{
    const struct covey_grid_split split = split_of(10, 100);
    const size_t ends[] = {1, 2, 3, 4, 5};
    const float peaks[] = {1.0f, 1.5f, 0x1p-140f, 3e38f, 0.0f};
    const int16_t expected[] = {0 + COVEY_GRID_HEADROOM, 1 + COVEY_GRID_HEADROOM, COVEY_GRID_EXPONENT_MIN,
                                COVEY_GRID_EXPONENT_MAX, COVEY_GRID_EXPONENT_WIDE};
    int16_t next[5];
    struct covey_grid grid;
    cr_assert_eq(covey_grid_init(&grid, ends, 5, NULL, &split, NULL), COVEY_OK);
    cr_assert_eq(covey_grid_count(&grid, 1, peaks), COVEY_OK);
    covey_grid_next_exponents(&grid, next);
    for (int t = 0; t < 5; t++)
        cr_expect_eq(next[t], expected[t], "tensor %d: %d", t, next[t]);
    covey_grid_deinit(&grid);
}

/* Ten updates of peaks near 1; some are larger. Honest differences get room; a hostile minority does not get
 * more. */
Test(grid, a_minority_cannot_make_the_grid_coarse)
{
    static const struct {
        int large_count;
        float large;
        int16_t expected;
    } rows[] = {{0, 0, COVEY_GRID_HEADROOM},
                {1, 8.0f, COVEY_GRID_HEADROOM},
                {1, 32.0f, 6},
                {3, 100.0f, 8},
                {1, 1e6f, COVEY_GRID_HEADROOM_MAX},
                {4, 3e38f, COVEY_GRID_HEADROOM_MAX},
                {6, 1024.0f, 10 + COVEY_GRID_HEADROOM}};
    const struct covey_grid_split split = split_of(10, 100);
    const size_t ends[] = {1};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct covey_grid grid;
        int16_t next;
        cr_assert_eq(covey_grid_init(&grid, ends, 1, NULL, &split, NULL), COVEY_OK);
        for (int i = 0; i < 10; i++)
            cr_assert_eq(
                covey_grid_count(&grid, 1, i < rows[r].large_count ? &rows[r].large : &(float){1.0f}),
                COVEY_OK);
        covey_grid_next_exponents(&grid, &next);
        cr_expect_eq(next, rows[r].expected, "row %zu: %d", r, next);
        covey_grid_deinit(&grid);
    }
}
