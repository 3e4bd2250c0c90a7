#include <criterion/criterion.h>
#include <stdalign.h>
#include <stdint.h>

#include "covey/arena.h"

Test(arena, pieces_are_aligned_apart_and_inside)
{
    alignas(COVEY_ARENA_ALIGN) static uint8_t block[1024];
    struct covey_arena arena;
    covey_arena_init(&arena, block, sizeof block);
    uint8_t *a = covey_arena_take(&arena, 1, 1), *b = covey_arena_take(&arena, 3, 40);
    cr_assert(a == block && b == block + 64);
    cr_expect_eq(arena.used, 192);
    uint8_t *c = covey_arena_take(&arena, 1, 1024 - 192);
    cr_expect_eq(c, block + 192);
    cr_expect_not(arena.failed);
    cr_expect_null(covey_arena_take(&arena, 1, 1));
    cr_expect(arena.failed);
    cr_expect_eq(arena.used, 1024);
}

Test(arena, a_counting_pass_tells_the_size)
{
    alignas(COVEY_ARENA_ALIGN) static uint8_t block[512];
    struct covey_arena counting, real;
    covey_arena_init(&counting, NULL, 0);
    covey_arena_init(&real, block, sizeof block);
    for (size_t i = 1; i < 6; i++) {
        cr_expect_null(covey_arena_take(&counting, i, 13));
        cr_expect_not_null(covey_arena_take(&real, i, 13));
    }
    cr_expect_not(counting.failed);
    cr_expect_eq(counting.peak, real.peak);
}

Test(arena, release_gives_back_and_peak_remembers)
{
    alignas(COVEY_ARENA_ALIGN) static uint8_t block[256];
    struct covey_arena arena;
    covey_arena_init(&arena, block, sizeof block);
    (void)covey_arena_take(&arena, 1, 64);
    const size_t mark = arena.used;
    void *first = covey_arena_take(&arena, 1, 128);
    covey_arena_release(&arena, mark);
    cr_expect_eq(covey_arena_take(&arena, 1, 64), first);
    cr_expect_eq(arena.peak, 192);
    covey_arena_release(&arena, 1000);
    cr_expect_eq(arena.used, 128);
}

Test(arena, sizes_that_overflow_fail)
{
    struct covey_arena arena;
    const size_t counts[][2] = {{SIZE_MAX, 2}, {SIZE_MAX, 1}, {SIZE_MAX / 64 + 1, 64}, {1, SIZE_MAX - 10}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        covey_arena_init(&arena, NULL, 0);
        cr_expect_null(covey_arena_take(&arena, counts[i][0], counts[i][1]));
        cr_expect(arena.failed, "row %zu", i);
    }
}
