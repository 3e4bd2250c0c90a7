/* Devices that tell their hours are asked within them, and only while enough is left of them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server_run.h"

#define HOUR_MS 3600000u

/* What a device asks and hears; code: of the answer. */
static uint8_t ask(struct run *run, const char *device, const char *query, struct covey_plan *plan)
{
    char path[COVEY_PATH_BYTES];
    struct fake_answer answer;
    (void)snprintf(path, sizeof path, "f/digits/plan?%s", query);
    fake_request(&run->host, device, COVEY_GET, path, (struct covey_bytes){0}, true, &answer);
    if (answer.code == COVEY_CODE_CONTENT)
        cr_assert_eq(covey_plan_decode((struct covey_bytes){answer.body, answer.size}, plan, NULL), COVEY_OK);
    free(answer.body);
    return answer.code;
}

static struct covey_plan await_round(struct run *run, const char *device, const char *query, uint32_t round)
{
    struct covey_plan plan = {0};
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS; waited += 5) {
        cr_assert_eq(ask(run, device, query, &plan), COVEY_CODE_CONTENT);
        if (plan.kind == COVEY_PLAN_TRAIN && plan.round == round)
            return plan;
        fake_sleep_ms(5);
    }
    cr_assert(false, "%s has no work in round %u", device, round);
    return plan;
}

static void work(struct run *run, const char *device, const struct covey_plan *plan)
{
    cr_assert_eq(fake_work(&run->host, &run->model, device, "digits", plan, run->signer), COVEY_CODE_CHANGED);
}

/* It is ten in the morning for all of them. Number 3 comes at half past ten. Number 4 stays until 11:40 and
 * takes an hour for its first update: at eleven too little is left for another. */
Test(availability, who_is_asked_has_time)
{
    static const char *const said[DEVICES] = {"", "minute=600&hours=0-24", "minute=600&hours=9-13:30",
                                              "minute=600&hours=10:30-12", "minute=600&hours=22-11:40"};
    static const int order[DEVICES] = {3, 0, 1, 2, 4};
    struct run run;
    struct test_clock clock = {.system = covey_env_system(NULL)};
    struct covey_plan plan;
    char device[DEVICES][32];
    run_names(device);
    run_set_up(&run, 20);
    run.options.env =
        (struct covey_env){.now_ms = test_clock_now_ms, .wall_s = test_clock_wall_s, .user = &clock};
    run.federation.rules.minimum_devices = 4;
    run.federation.rules.deadline_ms = 2 * HOUR_MS;
    run.federation.rules.stop_rounds = 2;
    run_open(&run);
    for (int i = 0; i < DEVICES; i++) {
        fake_come(&run.host, device[order[i]], true);
        cr_assert_eq(ask(&run, device[order[i]], said[order[i]], &plan), COVEY_CODE_CONTENT);
    }
    for (int i = 0; i < 3; i++) {
        plan = await_round(&run, device[i], said[i], 1);
        work(&run, device[i], &plan);
    }
    plan = await_round(&run, device[4], said[4], 1);
    cr_assert_eq(ask(&run, device[3], said[3], &plan), COVEY_CODE_CONTENT);
    cr_expect_eq(plan.kind, COVEY_PLAN_WAIT, "a device is asked outside of its hours");

    atomic_fetch_add(&clock.ahead_ms, HOUR_MS);
    plan = await_round(&run, device[4], "minute=660&hours=22-11:40", 1);
    work(&run, device[4], &plan);
    for (int i = 0; i < 3; i++) {
        plan = await_round(&run, device[i], i == 0 ? "" : "minute=660&hours=9-13:30", 2);
        work(&run, device[i], &plan);
    }
    cr_assert_eq(ask(&run, device[4], "minute=660&hours=22-11:40", &plan), COVEY_CODE_CONTENT);
    cr_expect_eq(plan.kind, COVEY_PLAN_WAIT, "a device is asked that will not have the time");
    plan = await_round(&run, device[3], "minute=660&hours=10:30-12", 2);
    work(&run, device[3], &plan);
    run_close(&run);
    run_tear_down(&run);
}

Test(availability, bad_hours_are_refused)
{
    struct run run;
    struct covey_plan plan;
    run_set_up(&run, 20);
    run_open(&run);
    fake_come(&run.host, "device-0", true);
    cr_expect_eq(ask(&run, "device-0", "minute=1440&hours=1-2", &plan), COVEY_CODE_BAD_REQUEST);
    cr_expect_eq(ask(&run, "device-0", "hours=1-2", &plan), COVEY_CODE_BAD_REQUEST);
    cr_expect_eq(ask(&run, "device-0", "battery=3", &plan), COVEY_CODE_CONTENT);
    run_close(&run);
    run_tear_down(&run);
}
