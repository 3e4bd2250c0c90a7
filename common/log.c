#include "covey/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TEXT_BYTES 1001
#define LINE_BYTES (TEXT_BYTES + 128)
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

static const char *const level_names[] = {"error", "warning", "info", "debug"};
static const int level_priorities[] = {3, 4, 6, 7}; /* syslog's */

const char *covey_log_level_name(enum covey_log_level level)
{
    return (size_t)level < sizeof level_names / sizeof level_names[0] ? level_names[level] : "unknown";
}

int covey_log_level_parse(const char *word, enum covey_log_level *out)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(word, level_names[i]) == 0) {
            *out = (enum covey_log_level)i;
            return 0;
        }
    }
    return -1;
}

void covey_log_event(const struct covey_log *log, enum covey_log_level level, const char *event,
                     const char *format, ...)
{
    if (log == NULL || log->sink == NULL || level > log->level)
        return;
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, format);
    const int written = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (written < 0)
        text[0] = '\0';
    /* Names and errors may come from outside: no line breaks or terminal codes in a log. */
    for (char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = '?';
    log->sink(log->user, level, event, text);
}

/* A log line that cannot be written has nowhere to be reported. */
static void write_line(const char *line, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t written = write(STDERR_FILENO, line, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        line += written;
        bytes -= (size_t)written;
    }
}

static size_t fitted(int written, size_t size)
{
    if (written < 0)
        return 0;
    return (size_t)written < size ? (size_t)written : size - 1;
}

void covey_log_to_stderr(void *user, enum covey_log_level level, const char *event, const char *text)
{
    (void)user;
    struct timespec now;
    struct tm utc;
    char line[LINE_BYTES], stamp[32];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &utc) == NULL || strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        stamp[0] = '\0';
    const size_t used =
        fitted(snprintf(line, sizeof line - 1, "%s.%03ldZ %s %s%s%s", stamp, now.tv_nsec / 1000000,
                        covey_log_level_name(level), event, text[0] != '\0' ? " " : "", text),
               sizeof line - 1);
    line[used] = '\n';
    write_line(line, used + 1);
}

/* One datagram of FIELD=value lines, as systemd's "native journal protocol" has it. The text holds no line
 * break (covey_log_event replaced them), so the simple form of a field is always enough. 0, or -1. */
static int send_to_journal(const char *fields, size_t bytes)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const ssize_t sent =
        sendto(fd, fields, bytes, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof address);
    (void)close(fd);
    return sent == (ssize_t)bytes ? 0 : -1;
}

void covey_log_to_journal(void *user, enum covey_log_level level, const char *event, const char *text)
{
    (void)user;
    char line[LINE_BYTES + 128];
    const int priority =
        (size_t)level < sizeof level_priorities / sizeof level_priorities[0] ? level_priorities[level] : 6;
    size_t used = fitted(
        snprintf(line, sizeof line, "MESSAGE=%s%s%s\nPRIORITY=%d\nCOVEY_EVENT=%s\nSYSLOG_IDENTIFIER=%s\n",
                 event, text[0] != '\0' ? " " : "", text, priority, event, program_invocation_short_name),
        sizeof line);
    if (send_to_journal(line, used) == 0)
        return;
    used = fitted(
        snprintf(line, sizeof line - 1, "<%d>%s%s%s", priority, event, text[0] != '\0' ? " " : "", text),
        sizeof line - 1);
    line[used] = '\n';
    write_line(line, used + 1);
}
