#include <criterion/criterion.h>
#include <stdatomic.h>
#include <string.h>

#include "covey/fold_pool.h"
#include "covey/limits.h"

#define TASKS 1000

struct tally {
    int done[TASKS]; /* each task writes its own place only */
    atomic_int total;
};

static void count(void *user, size_t index)
{
    struct tally *tally = user;
    tally->done[index]++;
    atomic_fetch_add(&tally->total, 1);
}

Test(fold_pool, every_task_is_done_once)
{
    static const uint32_t threads[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        struct covey_fold_pool *pool = NULL;
        static struct tally tally;
        memset(&tally, 0, sizeof tally);
        cr_assert_eq(covey_fold_pool_create(threads[i], &pool, NULL), COVEY_OK);
        cr_expect_eq(covey_fold_pool_threads(pool), threads[i]);
        for (size_t run = 0; run < 200; run++)
            covey_fold_pool_run(pool, run * 5, count, &tally);
        cr_expect_eq(atomic_load(&tally.total), 199 * 200 / 2 * 5);
        for (size_t j = 0; j < TASKS; j++)
            cr_expect_eq(tally.done[j], 199 - (int)(j / 5), "task %zu: %d", j, tally.done[j]);
        covey_fold_pool_destroy(pool);
    }
    covey_fold_pool_destroy(NULL);
}

Test(fold_pool, a_number_of_threads_that_is_wrong_is_refused)
{
    struct covey_fold_pool *pool = NULL;
    cr_expect_eq(covey_fold_pool_create(0, &pool, NULL), COVEY_INVALID);
    cr_expect_eq(covey_fold_pool_create(COVEY_FOLD_THREADS + 1, &pool, NULL), COVEY_INVALID);
    cr_expect_null(pool);
}
