#include <criterion/criterion.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "covey/progress.h"

static void say(void *user, enum covey_log_level level, const char *event, const char *text)
{
    (void)user;
    (void)level;
    dprintf(STDERR_FILENO, "%s %s\n", event, text);
}

/* A live line with a log line in between, on whatever standard error is. */
static void perform(void)
{
    struct covey_progress progress;
    covey_progress_init(&progress, say, NULL);
    const struct covey_log log = {COVEY_LOG_INFO, covey_progress_sink, &progress};
    covey_progress_show(&progress, "round %d\n of 5 and äöü much more than the terminal can show", 3);
    covey_log_event(&log, COVEY_LOG_INFO, "event", "k=v");
    covey_progress_hide(&progress);
    covey_progress_deinit(&progress);
}

static void capture(int end, int read_from, char *out, size_t out_bytes)
{
    const int saved = dup(STDERR_FILENO);
    dup2(end, STDERR_FILENO);
    perform();
    dup2(saved, STDERR_FILENO);
    close(saved);
    const ssize_t got = read(read_from, out, out_bytes - 1);
    out[got > 0 ? got : 0] = '\0';
}

Test(progress, without_a_terminal_the_log_goes_through_plainly)
{
    int ends[2];
    char out[1000];
    cr_assert_eq(pipe(ends), 0);
    capture(ends[1], ends[0], out, sizeof out);
    cr_expect_str_eq(out, "event k=v\n");
}

Test(progress, on_a_terminal_the_line_is_redrawn_below_the_log)
{
    int ours, theirs;
    char out[1000];
    struct winsize size = {.ws_col = 21, .ws_row = 10};
    setenv("TERM", "xterm", 1);
    if (openpty(&ours, &theirs, NULL, NULL, &size) != 0)
        cr_skip("no pseudo-terminal here");
    capture(theirs, ours, out, sizeof out);
    /* 20 columns; the line break became a space; the terminal itself turns \n into \r\n */
    const char *line = "\r\x1b[Kround 3  of 5 and äö";
    char expected[200];
    (void)snprintf(expected, sizeof expected, "%s\r\x1b[Kevent k=v\r\n%s\r\x1b[K", line, line);
    cr_expect_str_eq(out, expected);
}

Test(progress, a_dumb_terminal_gets_plain_lines)
{
    int ours, theirs;
    char out[1000];
    setenv("TERM", "dumb", 1);
    if (openpty(&ours, &theirs, NULL, NULL, NULL) != 0)
        cr_skip("no pseudo-terminal here");
    capture(theirs, ours, out, sizeof out);
    cr_expect_str_eq(out, "event k=v\r\n");
}
