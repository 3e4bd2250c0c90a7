/* The world: the same answers always, anywhere; and the answers that its classes promise. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world_rig.h"

/* ------------------------------------------------------------------ what devices are */

Test(world, classes_come_by_their_shares)
{
    struct covey_scenario scenario = plain_scenario();
    struct covey_device_class_config devices[] = {{.class_name = WORD("pi-zero-2"), .share = 6},
                                                  {.class_name = WORD("pi-4"), .share = 3},
                                                  {.class_name = WORD("pi-5"), .link = WORD("ethernet")}};
    struct covey_link_class_config links[] = {{.class_name = WORD("wifi"), .share = 1},
                                              {.class_name = WORD("lte-m"), .share = 3}};
    uint32_t counts[3] = {0}, link_counts[3] = {0};
    scenario.devices = devices;
    scenario.device_class_count = 3;
    scenario.links = links;
    scenario.link_class_count = 2;
    struct covey_world *world = make(&scenario, 1e6);
    for (uint32_t device = 0; device < 10000; device++) {
        struct covey_virtual_device what, again;
        covey_world_device(world, device, &what);
        covey_world_device(world, device, &again);
        cr_assert(what.device_class == again.device_class && what.link_class == again.link_class);
        cr_assert((what.device_class == 2) == (what.link_class == 2)); /* its own link, nobody else's */
        counts[what.device_class]++;
        link_counts[what.link_class]++;
    }
    cr_assert(!(fabs(counts[0] - 6000.0) > 200) && !(fabs(counts[1] - 3000.0) > 200));
    cr_assert(!(fabs(link_counts[0] - 2250.0) > 200) && !(fabs(link_counts[1] - 6750.0) > 200));
    cr_assert(strcmp(covey_world_device_class(world, 1), "pi-4") == 0);
    cr_assert(strcmp(covey_world_link_class(world, 2), "ethernet") == 0);
    covey_world_destroy(world);
}

Test(world, training_takes_flops_over_speed_and_a_tail)
{
    struct covey_scenario scenario = plain_scenario();
    struct covey_device_class_config devices[] = {
        {.class_name = WORD("pi-4"), .slow_share = .1, .slow_factor = 4}};
    uint32_t slow = 0;
    scenario.devices = devices;
    scenario.device_class_count = 1;
    struct covey_world *world = make(&scenario, 1e6);
    const double speed = device_class_find("pi-4")->flops_per_s;
    const uint64_t usual_ms = (uint64_t)(600 * 1e6 / speed * 1000 + .5);
    for (uint32_t round = 0; round < 2000; round++) {
        const uint64_t ms = covey_world_training_ms(world, 5, round, 600);
        cr_assert(ms == usual_ms || (ms >= 4 * usual_ms - 4 && ms <= 4 * usual_ms + 4));
        slow += ms != usual_ms;
    }
    cr_assert(!(fabs(slow - 200.0) > 60), "%u", slow);
    covey_world_destroy(world);
    devices[0].examples_per_s = 100; /* in place of the catalogue's */
    devices[0].slow_share = 0;
    world = make(&scenario, 1e6);
    cr_assert(covey_world_training_ms(world, 5, 1, 600) == 6000);
    covey_world_destroy(world);
}

Test(world, some_vanish_and_energy_adds_up)
{
    struct covey_scenario scenario = plain_scenario();
    struct covey_link_class_config links[] = {{.class_name = WORD("lte-m")}};
    uint32_t vanished = 0;
    scenario.links = links;
    scenario.link_class_count = 1;
    struct covey_world *world = make(&scenario, 2e9);
    cr_assert(covey_world_vanishes(world, 1, 1) < 0);
    const struct device_class *pi = device_class_find("pi-4");
    const struct link_class *lte = link_class_find("lte-m");
    const double expected =
        10 * 2 * pi->joules_per_gflop + 1000 * lte->joules_per_byte_up + 500 * lte->joules_per_byte_down;
    cr_assert(!(fabs(covey_world_joules(world, 1, 10, 1000, 500) - expected) > 1e-9 * expected));
    covey_world_destroy(world);
    scenario.churn.drop_rate = .25;
    world = make(&scenario, 1e6);
    for (uint32_t device = 0; device < 4000; device++) {
        const double part = covey_world_vanishes(world, device, 3);
        cr_assert(part < 1);
        vanished += part >= 0;
    }
    cr_assert(!(fabs(vanished - 1000.0) > 120), "%u", vanished);
    covey_world_destroy(world);
}

/* ------------------------------------------------------------------ availability */

/* Steps through a month by until_ms: states alternate, and what is said holds in between. */
static double available_share(const struct covey_world *world, uint32_t device, uint64_t days)
{
    uint64_t now = 0, there_ms = 0;
    for (int steps = 0; now < days * DAY_MS; steps++) {
        uint64_t until = 0, ignored;
        const bool there = covey_world_available(world, device, now, &until);
        cr_assert(until > now && steps < 10000);
        if (until > days * DAY_MS)
            until = days * DAY_MS;
        cr_assert(covey_world_available(world, device, now + (until - now) / 2, &ignored) == there);
        cr_assert(covey_world_available(world, device, until - 1, &ignored) == there);
        there_ms += there ? until - now : 0;
        now = until;
    }
    return (double)there_ms / (double)(days * DAY_MS);
}

Test(world, always_is_always)
{
    struct covey_scenario scenario = plain_scenario();
    struct covey_world *world = make(&scenario, 1e6);
    uint64_t until;
    cr_assert(covey_world_available(world, 3, 123456, &until) && until == UINT64_MAX);
    covey_world_destroy(world);
}

Test(world, day_and_night_by_zone)
{
    struct covey_scenario scenario = plain_scenario();
    scenario.availability.kind = COVEY_AVAILABLE_DAY_NIGHT;
    scenario.availability.from_hour = 22;
    scenario.availability.to_hour = 6;
    struct covey_world *world = make(&scenario, 1e6);
    for (uint64_t hour = 0; hour < 72; hour++) {
        uint64_t until;
        const bool there = covey_world_available(world, 1, hour * HOUR_MS, &until);
        cr_assert(there == (hour % 24 >= 22 || hour % 24 < 6), "hour %llu", (unsigned long long)hour);
    }
    covey_world_destroy(world);
    scenario.availability.spread_hours = 24;
    world = make(&scenario, 1e6);
    uint32_t there = 0;
    for (uint32_t device = 0; device < 1000; device++) {
        uint64_t until;
        cr_assert(!(fabs(available_share(world, device, 30) - 8.0 / 24) > .02));
        there += covey_world_available(world, device, 12 * HOUR_MS, &until);
    }
    cr_assert(there > 250 && there < 420, "%u of 1000 at noon", there);
    covey_world_destroy(world);
}

Test(world, charging_windows_vary)
{
    struct covey_scenario scenario = plain_scenario();
    scenario.availability.kind = COVEY_AVAILABLE_CHARGING;
    scenario.availability.from_hour = 23;
    scenario.availability.hours = 6;
    scenario.availability.spread_hours = 3;
    struct covey_world *world = make(&scenario, 1e6);
    for (uint32_t device = 0; device < 200; device++) {
        const double share = available_share(world, device, 60);
        cr_assert(share > .22 && share < .28, "%g", share);
    }
    covey_world_destroy(world);
}

Test(world, leavers_do_not_come_back)
{
    struct covey_scenario scenario = plain_scenario();
    scenario.churn.leave_per_day = .1;
    struct covey_world *world = make(&scenario, 1e6);
    uint32_t left = 0;
    for (uint32_t device = 0; device < 2000; device++) {
        uint64_t until, later;
        const bool there = covey_world_available(world, device, 10 * DAY_MS, &until);
        if (!there) {
            cr_assert(until == UINT64_MAX && !covey_world_available(world, device, 100 * DAY_MS, &later));
            left++;
        }
    }
    cr_assert(!(fabs(left - 2000 * (1 - exp(-1))) > 100), "%u", left);
    covey_world_destroy(world);
}

Test(world, a_trace_is_followed_and_repeated)
{
    struct covey_scenario scenario = plain_scenario();
    char path[] = "/tmp/covey-trace-XXXXXX";
    const int file = mkstemp(path);
    static const char text[] = "device,from_s,to_s\n1,10,20\n0,0,5\n0,50,100\n";
    cr_assert(file >= 0 && write(file, text, sizeof text - 1) == sizeof text - 1);
    close(file);
    scenario.availability.kind = COVEY_AVAILABLE_TRACE;
    scenario.availability.trace = path;
    struct covey_world *world = make(&scenario, 1e6);
    static const struct {
        uint32_t device;
        uint64_t at_s;
        bool there;
        uint64_t until_s;
    } cases[] = {{0, 0, true, 5},   {0, 5, false, 50},    {0, 99, true, 100},  {0, 100, true, 105},
                 {1, 0, false, 10}, {1, 19, true, 20},    {1, 20, false, 110}, {1, 115, true, 120},
                 {2, 3, true, 5},   {3, 1010, true, 1020}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t until;
        cr_assert(covey_world_available(world, cases[i].device, cases[i].at_s * 1000, &until) ==
                      cases[i].there,
                  "case %zu", i);
        cr_assert(until == cases[i].until_s * 1000, "case %zu: %llu", i, (unsigned long long)until);
    }
    covey_world_destroy(world);
    cr_assert(unlink(path) == 0);
}

Test(world, a_bad_trace_is_refused_with_its_line)
{
    struct covey_scenario scenario = plain_scenario();
    static const char *const texts[] = {"a,b,c\n0,5,1\n", "0,1,2\nwhat\n", "device,from_s,to_s\n",
                                        "0,-1,2\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char path[] = "/tmp/covey-trace-XXXXXX";
        struct covey_world *world = NULL;
        struct covey_error err = {0};
        const int file = mkstemp(path);
        cr_assert(file >= 0 && write(file, texts[i], strlen(texts[i])) == (ssize_t)strlen(texts[i]));
        close(file);
        scenario.availability.kind = COVEY_AVAILABLE_TRACE;
        scenario.availability.trace = path;
        cr_assert(covey_world_create(&scenario, 1, 1, &world, &err) == COVEY_INVALID, "case %zu", i);
        cr_assert(strstr(err.text, path) != NULL, "%s", err.text);
        cr_assert(unlink(path) == 0);
    }
}

/* ------------------------------------------------------------------ transfers */

static struct covey_transfer transfer_on(const char *link, bool exact, uint32_t device, bool up,
                                         uint64_t bytes)
{
    struct covey_scenario scenario = plain_scenario();
    struct covey_link_class_config links[] = {{.class_name = WORD(link)}};
    struct covey_transfer transfer;
    scenario.links = links;
    scenario.link_class_count = 1;
    scenario.network = exact ? COVEY_NETWORK_EXACT : COVEY_NETWORK_TABLE;
    struct covey_world *world = make(&scenario, 1e6);
    covey_world_transfer(world, device, 1, 3, up, bytes, &transfer);
    covey_world_destroy(world);
    return transfer;
}

Test(world, a_perfect_link_takes_no_time_and_counts_bytes)
{
    const struct covey_transfer transfer = transfer_on("perfect", false, 1, true, 100 * 1024);
    cr_assert(!transfer.failed && transfer.ms == 0);
    cr_assert(transfer.bytes_up > 100 * 1024 && transfer.bytes_up < 112 * 1024);
    cr_assert(transfer.bytes_down > 100 * 30 && transfer.bytes_down < 100 * 60);
}

/* At the line's rate where nothing is lost; at least a round trip. */
/* Answers that are due at one moment come in the order in which they were sent: nothing looks lost. */
Test(world, a_perfect_link_repeats_nothing_of_a_long_body)
{
    const uint64_t body_bytes = 6653480;
    const struct covey_transfer transfer = transfer_on("perfect", true, 1, true, body_bytes);
    cr_assert_not(transfer.failed);
    cr_assert_eq(transfer.ms, 0);
    cr_assert_lt(transfer.bytes_up, body_bytes + body_bytes / 10);
}

Test(world, a_transfer_takes_what_rate_and_round_trip_say)
{
    static const struct {
        const char *link;
        bool up;
        uint64_t bytes;
        double from_ms, to_ms;
    } cases[] = {
        /* 100 Mbit/s, 1 ms: 256 KiB are 23 ms on the line */
        {"ethernet", true, 256 << 10, 22, 30},
        {"ethernet", false, 256 << 10, 22, 30},
        {"ethernet", true, 100, 1, 2},
        /* 375 kbit/s up, 300 down, 100 ms, 1 %: 256 KiB are 6.3 and 7.8 s */
        {"lte-m", true, 256 << 10, 6000, 8500},
        {"lte-m", false, 256 << 10, 7500, 10500},
        {"lte-m", true, 100, 100, 3000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (uint32_t device = 0; device < 8; device++) {
            for (int exact = 0; exact < 2; exact++) {
                const struct covey_transfer transfer =
                    transfer_on(cases[i].link, exact, device, cases[i].up, cases[i].bytes);
                cr_assert(!transfer.failed, "case %zu", i);
                cr_assert(transfer.ms >= cases[i].from_ms && transfer.ms <= cases[i].to_ms,
                          "case %zu, device %u, %s: %llu ms", i, device, exact ? "exact" : "table",
                          (unsigned long long)transfer.ms);
            }
        }
    }
}

/* The table's mean is the exact runs' mean, also between the sizes that it has. */
Test(world, the_table_agrees_with_exact_runs)
{
    static const uint64_t sizes[] = {300, 5000, 30 * 1024, 31500, 90001, 199210};
    static const char *const names[] = {"wifi", "lte-m", "nb-iot", "802.15.4"};
    for (size_t link = 0; link < 4; link++) {
        struct covey_scenario scenario = plain_scenario();
        struct covey_link_class_config links[] = {{.class_name = WORD(names[link])}};
        scenario.links = links;
        scenario.link_class_count = 1;
        struct covey_world *table = make(&scenario, 1e6);
        scenario.network = COVEY_NETWORK_EXACT;
        struct covey_world *exact = make(&scenario, 1e6);
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            for (int up = 0; up < 2; up++) {
                double ms[2] = {0}, bytes[2] = {0}, square = 0;
                uint32_t failed = 0;
                for (uint32_t device = 0; device < 200; device++) {
                    struct covey_transfer a, b;
                    covey_world_transfer(table, device, 1, 3, up, sizes[i], &a);
                    covey_world_transfer(exact, device, 1, 3, up, sizes[i], &b);
                    ms[0] += (double)a.ms / 200;
                    ms[1] += (double)b.ms / 200;
                    square += (double)b.ms * (double)b.ms / 200;
                    bytes[0] += (double)(a.bytes_up + a.bytes_down) / 200;
                    bytes[1] += (double)(b.bytes_up + b.bytes_down) / 200;
                    failed += a.failed + b.failed;
                }
                fprintf(
                    stderr,
                    "%-9s %s %7llu bytes: table %8.1f ms, exact %8.1f ms; bytes %9.0f, %9.0f; %u failed\n",
                    names[link], up ? "up  " : "down", (unsigned long long)sizes[i], ms[0], ms[1], bytes[0],
                    bytes[1], failed);
                /* four standard errors of the mean of the exact runs, and a twentieth for the lines between
                 */
                const double error_ms = sqrt((square - ms[1] * ms[1]) / 200);
                cr_assert(!(fabs(ms[0] - ms[1]) > 4 * error_ms + .05 * ms[1] + 1), "%s %llu", names[link],
                          (unsigned long long)sizes[i]);
                cr_assert(!(fabs(bytes[0] / bytes[1] - 1) > .05));
            }
        }
        covey_world_destroy(table);
        covey_world_destroy(exact);
    }
}
