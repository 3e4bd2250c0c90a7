#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "covey/log.h"

struct heard {
    int count;
    enum covey_log_level level;
    char event[64], text[2000];
};

static void listen_to(void *user, enum covey_log_level level, const char *event, const char *text)
{
    struct heard *heard = user;
    heard->count++;
    heard->level = level;
    (void)snprintf(heard->event, sizeof heard->event, "%s", event);
    (void)snprintf(heard->text, sizeof heard->text, "%s", text);
}

Test(log, levels_filter)
{
    struct heard heard = {0};
    for (int limit = COVEY_LOG_ERROR; limit <= COVEY_LOG_DEBUG; limit++) {
        const struct covey_log log = {limit, listen_to, &heard};
        for (int level = COVEY_LOG_ERROR; level <= COVEY_LOG_DEBUG; level++) {
            const int before = heard.count;
            covey_log_event(&log, level, "e", "x=%d", 1);
            cr_expect_eq(heard.count - before, level <= limit ? 1 : 0);
        }
    }
    covey_log_event(NULL, COVEY_LOG_ERROR, "e", "x");
    covey_log_event(&(struct covey_log){.level = COVEY_LOG_DEBUG}, COVEY_LOG_ERROR, "e", "x");
}

Test(log, text_is_formatted_cut_and_made_harmless)
{
    struct heard heard = {0};
    const struct covey_log log = {COVEY_LOG_INFO, listen_to, &heard};
    covey_log_event(&log, COVEY_LOG_WARNING, "round-closed", "round=%u name=%s", 3u, "a\nb\x1b[2J\x7f\tü");
    cr_expect_eq(heard.level, COVEY_LOG_WARNING);
    cr_expect_str_eq(heard.event, "round-closed");
    cr_expect_str_eq(heard.text, "round=3 name=a?b?[2J??ü");
    char text[3000];
    memset(text, 'y', sizeof text);
    text[sizeof text - 1] = '\0';
    covey_log_event(&log, COVEY_LOG_INFO, "long", "%s", text);
    cr_expect_eq(strlen(heard.text), 1000);
}

Test(log, level_names)
{
    enum covey_log_level level = COVEY_LOG_ERROR;
    for (int i = COVEY_LOG_ERROR; i <= COVEY_LOG_DEBUG; i++) {
        cr_expect_eq(covey_log_level_parse(covey_log_level_name(i), &level), 0);
        cr_expect_eq((int)level, i);
    }
    cr_expect_eq(covey_log_level_parse("loud", &level), -1);
    cr_expect_eq(covey_log_level_parse("", &level), -1);
    cr_expect_str_eq(covey_log_level_name(99), "unknown");
}

/* What a sink writes to standard error. */
static void capture(covey_log_sink *sink, char *out, size_t out_bytes)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    const int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    sink(NULL, COVEY_LOG_INFO, "event", "k=v");
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    const ssize_t got = read(ends[0], out, out_bytes - 1);
    out[got > 0 ? got : 0] = '\0';
    close(ends[0]);
}

Test(log, a_line_on_standard_error)
{
    char line[300];
    int year, month, day, hour, minute, second, ms, used = 0;
    capture(covey_log_to_stderr, line, sizeof line);
    cr_expect_eq(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ info event k=v\n%n", &year, &month, &day, &hour,
                        &minute, &second, &ms, &used),
                 7, "%s", line);
    cr_expect(year >= 2024);
    cr_expect_eq((size_t)used, strlen(line));
}

Test(log, without_a_journal_a_priority_stands_before_the_line)
{
    if (access("/run/systemd/journal/socket", F_OK) == 0)
        cr_skip("a journal runs here");
    char line[300];
    capture(covey_log_to_journal, line, sizeof line);
    cr_expect_str_eq(line, "<6>event k=v\n");
}
