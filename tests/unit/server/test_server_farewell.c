/* With end_when_done a server ends by itself: once its devices have gone, or have had their time; and not
 * before they can have come back to one that was started again. */
#include <criterion/criterion.h>

#include <stdatomic.h>
#include <stdlib.h>

#include "server_run.h"

#define HALF_MS 5000 /* of what devices get */

static bool has_ended(struct run *run)
{
    struct fake_answer answer = {0};
    fake_request(&run->host, "who", COVEY_GET, "f/digits/plan", (struct covey_bytes){NULL, 0}, false,
                 &answer);
    free(answer.body);
    return answer.code == COVEY_CODE_UNAVAILABLE;
}

static void await_end(struct run *run)
{
    for (int i = 0; i < FAKE_WAIT_MS / 10 && !has_ended(run); i++)
        fake_sleep_ms(10);
    cr_assert(has_ended(run), "the server does not end");
}

static void play_only_round(struct run *run)
{
    fake_come(&run->host, "one", true);
    const struct covey_plan plan = fake_await(&run->host, "one", "digits", COVEY_PLAN_TRAIN, 1);
    cr_assert_eq(fake_work(&run->host, &run->model, "one", "digits", &plan, run->signer), COVEY_CODE_CHANGED);
    (void)fake_await(&run->host, "one", "digits", COVEY_PLAN_DONE, 0);
}

static void set_up(struct run *run, struct test_clock *clock)
{
    run_set_up(run, 20);
    clock->system = covey_env_system(NULL);
    run->options.env =
        (struct covey_env){.now_ms = test_clock_now_ms, .wall_s = test_clock_wall_s, .user = clock};
    run->options.end_when_done = true;
    run->federation.rules.minimum_devices = 1;
    run->federation.rules.stop_rounds = 1;
    run_open(run);
    play_only_round(run);
}

Test(server_farewell, ends_when_its_devices_have_gone_or_have_had_their_time)
{
    for (int goes = 0; goes < 2; goes++) {
        struct test_clock clock = {.ahead_ms = 0};
        struct run run;
        set_up(&run, &clock);
        if (goes != 0)
            fake_come(&run.host, "one", false);
        else
            atomic_fetch_add(&clock.ahead_ms, 2 * HALF_MS);
        await_end(&run);
        run_close(&run);
        run_tear_down(&run);
    }
}

Test(server_farewell, waits_for_devices_that_have_to_come_back_after_a_restart)
{
    struct test_clock clock = {.ahead_ms = 0};
    struct run run;
    set_up(&run, &clock);
    run_close(&run);
    run_open(&run);
    fake_sleep_ms(50); /* its loop has run, and found nobody */
    atomic_fetch_add(&clock.ahead_ms, HALF_MS);
    for (int i = 0; i < 100; i++) { /* it looks again each quarter of a second at least */
        cr_assert_not(has_ended(&run), "gone before its device could come back");
        fake_sleep_ms(10);
    }
    fake_come(&run.host, "one", true);
    cr_expect_eq(fake_plan(&run.host, "one", "digits").kind, COVEY_PLAN_DONE);
    fake_come(&run.host, "one", false);
    atomic_fetch_add(&clock.ahead_ms, HALF_MS);
    await_end(&run);
    run_close(&run);
    run_tear_down(&run);
}
