#include "covey/progress.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_MS 100

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One write(2), so that lines of several threads do not mix. A terminal that went away is no error of ours.
 */
static void put(const struct covey_progress *progress, const char *text)
{
    ssize_t written = write(progress->fd, text, strlen(text));
    (void)written;
}

static void erase(struct covey_progress *progress)
{
    if (progress->drawn)
        put(progress, "\r\033[K");
    progress->drawn = false;
}

static int terminal_columns(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static void draw(struct covey_progress *progress)
{
    char out[COVEY_PROGRESS_BYTES + 16];
    int columns = terminal_columns(progress->fd) - 1; /* the last column would wrap */
    (void)snprintf(out, sizeof out, "\r\033[K%.*s", columns, progress->line);
    put(progress, out);
    progress->drawn = progress->line[0] != '\0';
    progress->drawn_ms = monotonic_ms();
}

void covey_progress_init(struct covey_progress *progress, int fd, bool quiet)
{
    memset(progress, 0, sizeof *progress);
    (void)pthread_mutex_init(&progress->lock, NULL);
    progress->fd = fd;
    const char *terminal = getenv("TERM");
    progress->live = !quiet && isatty(fd) == 1 && (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

void covey_progress_deinit(struct covey_progress *progress)
{
    if (progress->drawn) {
        draw(progress); /* what the limit on redrawing may have kept back */
        put(progress, "\n");
    }
    progress->drawn = false;
    (void)pthread_mutex_destroy(&progress->lock);
}

void covey_progress_show(struct covey_progress *progress, const char *format, ...)
{
    if (!progress->live)
        return;
    (void)pthread_mutex_lock(&progress->lock);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(progress->line, sizeof progress->line, format, args);
    va_end(args);
    if (!progress->drawn || monotonic_ms() - progress->drawn_ms >= REDRAW_MS)
        draw(progress);
    (void)pthread_mutex_unlock(&progress->lock);
}

void covey_progress_log(void *user, enum covey_log_level level, const char *event, const char *text)
{
    struct covey_progress *progress = user;
    (void)pthread_mutex_lock(&progress->lock);
    bool again = progress->drawn;
    erase(progress);
    covey_log_to_stderr(NULL, level, event, text);
    if (again)
        draw(progress);
    (void)pthread_mutex_unlock(&progress->lock);
}

const char *covey_progress_bytes(uint64_t bytes, char out[16])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1000;
        unit++;
    }
    (void)snprintf(out, 16, unit > 0 && value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return out;
}

const char *covey_progress_seconds(double seconds, char out[24])
{
    if (!(seconds >= 0 && seconds < 1e8)) {
        (void)snprintf(out, 24, "?");
        return out;
    }
    unsigned whole = (unsigned)lround(seconds);
    if (whole < 60)
        (void)snprintf(out, 24, "%u s", whole);
    else if (whole < 3600)
        (void)snprintf(out, 24, "%u min %02u s", whole / 60, whole % 60);
    else
        (void)snprintf(out, 24, "%u h %02u min", whole / 3600, whole / 60 % 60);
    return out;
}
