#include <criterion/criterion.h>

#include "clock.h"
#include "covey/random.h"

Test(clock, gives_events_in_order_of_time_device_and_kind)
{
    struct covey_clock clock = {0};
    struct covey_random random;
    struct covey_clock_event last = {0}, event;
    covey_random_init(&random, 1, 2, 3, COVEY_PURPOSE_TEST);
    for (uint32_t i = 0; i < 5000; i++) {
        const struct covey_clock_event one = {.at_ms = covey_random_below(&random, 50),
                                              .device = covey_random_below(&random, 20),
                                              .kind = covey_random_below(&random, 3),
                                              .place = i};
        cr_assert_eq(covey_clock_post(&clock, &one), COVEY_OK);
    }
    for (uint32_t i = 0; i < 5000; i++) {
        cr_assert(covey_clock_next(&clock, &event));
        const bool rises = last.at_ms != event.at_ms     ? last.at_ms < event.at_ms
                           : last.device != event.device ? last.device < event.device
                           : last.kind != event.kind     ? last.kind < event.kind
                                                     : i == 0 || last.place < event.place; /* as they came */
        cr_assert(rises, "event %u", i);
        cr_assert_eq(clock.now_ms, event.at_ms);
        last = event;
    }
    cr_expect(!covey_clock_next(&clock, &event));
    covey_clock_deinit(&clock);
}

Test(clock, never_falls)
{
    struct covey_clock clock = {0};
    struct covey_clock_event event;
    cr_assert_eq(covey_clock_post(&clock, &(struct covey_clock_event){.at_ms = 10}), COVEY_OK);
    cr_assert(covey_clock_next(&clock, &event));
    cr_assert_eq(covey_clock_post(&clock, &(struct covey_clock_event){.at_ms = 3}), COVEY_OK);
    cr_assert(covey_clock_next(&clock, &event));
    cr_expect_eq(event.at_ms, 10);
    cr_assert_eq(covey_clock_post(&clock, &(struct covey_clock_event){.at_ms = 30}), COVEY_OK);
    covey_clock_clear(&clock);
    cr_expect(!covey_clock_next(&clock, &event));
    cr_expect_eq(clock.now_ms, 10);
    covey_clock_deinit(&clock);
}
