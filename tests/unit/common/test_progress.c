#include "covey/progress.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A pseudo-terminal: what is drawn on the slave is read at the master. */
static int open_terminal(int *slave)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    *slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    cr_assert(*slave >= 0);
    return master;
}

Test(progress, draws_in_place_on_a_terminal_and_ends_its_line)
{
    (void)setenv("TERM", "xterm", 1);
    int slave;
    int master = open_terminal(&slave);
    struct covey_progress progress;
    covey_progress_init(&progress, slave, false);
    cr_assert(progress.live);
    covey_progress_show(&progress, "round %d", 1);
    covey_progress_show(&progress, "round %d", 2); /* too soon to draw: kept for the end */
    covey_progress_deinit(&progress);
    static const char drawn[] = "\r\033[Kround 1\r\033[Kround 2\r\n";
    char seen[256] = {0};
    for (size_t at = 0; at < sizeof drawn - 1;) { /* a terminal hands over what it has so far */
        const ssize_t count = read(master, seen + at, sizeof seen - 1 - at);
        cr_assert(count > 0);
        at += (size_t)count;
    }
    cr_assert_str_eq(seen, drawn);
    (void)close(slave);
    (void)close(master);
}

Test(progress, prints_nothing_without_a_terminal)
{
    int ends[2];
    cr_assert(pipe(ends) == 0);
    struct covey_progress progress;
    covey_progress_init(&progress, ends[1], false);
    cr_assert_not(progress.live);
    covey_progress_show(&progress, "round %d", 1);
    covey_progress_deinit(&progress);
    (void)close(ends[1]);
    char seen[8];
    cr_assert_eq(read(ends[0], seen, sizeof seen), 0);
    (void)close(ends[0]);
}

Test(progress, figures_for_people)
{
    char out[24];
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0 B"},      {999, "999 B"},     {1000, "1.0 kB"},
                 {9960, "10 kB"}, {999600, "1.0 MB"}, {6653480, "6.7 MB"}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        cr_expect_str_eq(covey_progress_bytes(sizes[i].bytes, out), sizes[i].text);
    static const struct {
        double seconds;
        const char *text;
    } times[] = {{0, "0 s"}, {59.4, "59 s"}, {185, "3 min 05 s"}, {7800, "2 h 10 min"}, {-1, "?"}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        cr_expect_str_eq(covey_progress_seconds(times[i].seconds, out), times[i].text);
}
