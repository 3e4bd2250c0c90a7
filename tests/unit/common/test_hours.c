/* Hours of the day: as they are written, how long they last, and how a server is told of them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "covey/hours.h"

Test(hours, hold_from_the_first_minute_to_before_the_last)
{
    static const struct {
        const char *text;
        int inside[3], outside[3]; /* minutes of the day; -1 = none */
    } cases[] = {
        {"", {0, 700, 1439}, {-1, -1, -1}},
        {"22-6", {1320, 1439, 359}, {360, 700, 1319}},
        {"1:30-5, 12-14", {90, 299, 800}, {89, 300, 840}},
        {"0-24", {0, 700, 1439}, {-1, -1, -1}},
        {"8:05-8:06", {485, -1, -1}, {484, 486, -1}},
        {" 7 - 9 ", {420, 539, -1}, {419, 540, -1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct covey_hours hours;
        cr_assert(covey_hours_parse(cases[i].text, &hours, NULL) == COVEY_OK, "'%s'", cases[i].text);
        for (int j = 0; j < 3; j++) {
            if (cases[i].inside[j] >= 0)
                cr_assert(covey_hours_hold(&hours, (uint32_t)cases[i].inside[j]), "'%s' %d", cases[i].text,
                          cases[i].inside[j]);
            if (cases[i].outside[j] >= 0)
                cr_assert(!covey_hours_hold(&hours, (uint32_t)cases[i].outside[j]), "'%s' %d", cases[i].text,
                          cases[i].outside[j]);
        }
    }
    static const char *const wrong[] = {"22",     "22-",     "-6",
                                        "25-26",  "22-6x",   "1:60-2",
                                        "a-b",    "1-2;3-4", "1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2",
                                        "24:01-2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct covey_hours hours;
        cr_assert(covey_hours_parse(wrong[i], &hours, NULL) != COVEY_OK, "'%s' was taken", wrong[i]);
    }
}

/* Minute by minute, whatever the ranges: left is the first minute at which they do not hold. */
Test(hours, left_counts_to_the_end_of_the_window)
{
    static const char *const texts[] = {"",
                                        "22-6",
                                        "1:30-5, 12-14",
                                        "0-24",
                                        "8:05-8:06",
                                        "6-12, 12-18",
                                        "20-2, 1-4",
                                        "0-12, 12-24",
                                        "10-14, 12-16, 15-17",
                                        "23-1, 0:30-3, 2-2:30"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct covey_hours hours;
        cr_assert(covey_hours_parse(texts[i], &hours, NULL) == COVEY_OK);
        for (uint32_t minute = 0; minute < COVEY_DAY_MINUTES; minute++) {
            uint32_t left = 0;
            while (left < COVEY_DAY_MINUTES && covey_hours_hold(&hours, (minute + left) % COVEY_DAY_MINUTES))
                left++;
            cr_assert_eq(covey_hours_left(&hours, minute), left, "'%s' at %u: %u, not %u", texts[i], minute,
                         covey_hours_left(&hours, minute), left);
        }
    }
}

Test(hours, come_back_from_their_query)
{
    static const char *const texts[] = {"22-6", "1:30-5, 12-14", "0-24",
                                        "20:11-20:12,20:13-20:14,20:15-20:16,20:17-20:18,"
                                        "20:19-20:20,20:21-20:22,20:23-20:24,20:25-20:26"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct covey_hours hours, again;
        uint32_t minute;
        char query[COVEY_HOURS_QUERY_BYTES], longer[COVEY_HOURS_QUERY_BYTES + 16];
        struct covey_error err = {0};
        cr_assert(covey_hours_parse(texts[i], &hours, NULL) == COVEY_OK);
        covey_hours_write_query(&hours, 1439, query);
        (void)snprintf(longer, sizeof longer, "x=1&%s&y", query);
        cr_assert_eq(covey_hours_read_query(longer, &again, &minute, &err), COVEY_OK, "%s: %s", query,
                     err.text);
        cr_assert_eq(minute, 1439);
        cr_assert_eq(again.count, hours.count);
        for (uint32_t r = 0; r < hours.count; r++)
            cr_assert(again.ranges[r].first == hours.ranges[r].first &&
                      again.ranges[r].last == hours.ranges[r].last);
    }
    struct covey_hours none;
    uint32_t minute;
    cr_assert_eq(covey_hours_read_query("", &none, &minute, NULL), COVEY_OK);
    cr_assert_eq(none.count, 0);
    static const char *const wrong[] = {"hours=22-6",
                                        "minute=7",
                                        "minute=1440&hours=22-6",
                                        "minute=&hours=22-6",
                                        "minute=1x&hours=22-6",
                                        "minute=99999&hours=22-6",
                                        "minute=1&hours=22",
                                        "minute=1&hours=1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2,1-2"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_neq(covey_hours_read_query(wrong[i], &none, &minute, NULL), COVEY_OK, "'%s' was taken",
                      wrong[i]);
}
