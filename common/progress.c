#include "covey/progress.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_MS 50
#define ERASE "\r\x1b[K" /* ECMA-48: to the first column, erase to the end of the line */

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

/* A terminal that cannot be written to has nowhere to be reported. */
static void write_all(const char *text, size_t bytes)
{
    while (bytes > 0) {
        const ssize_t written = write(STDERR_FILENO, text, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        bytes -= (size_t)written;
    }
}

/* Bytes of text that fill at most so many columns; a UTF-8 character counts as one. */
static size_t fitting_bytes(const char *text, size_t columns)
{
    size_t bytes = 0;
    for (; text[bytes] != '\0'; bytes++) {
        const bool begins = ((unsigned char)text[bytes] & 0xC0) != 0x80;
        if (begins && columns-- == 0)
            break;
    }
    return bytes;
}

/* The last column stays free: some terminals wrap when it is filled. */
static void draw(struct covey_progress *progress)
{
    char out[COVEY_PROGRESS_BYTES + sizeof ERASE];
    const size_t bytes = fitting_bytes(progress->line, terminal_columns() - 1);
    memcpy(out, ERASE, sizeof ERASE - 1);
    memcpy(out + sizeof ERASE - 1, progress->line, bytes);
    write_all(out, sizeof ERASE - 1 + bytes);
    progress->visible = true;
}

static void erase(struct covey_progress *progress)
{
    if (progress->visible)
        write_all(ERASE, sizeof ERASE - 1);
    progress->visible = false;
}

void covey_progress_init(struct covey_progress *progress, covey_log_sink *sink, void *user)
{
    const char *terminal = getenv("TERM");
    *progress = (struct covey_progress){.sink = sink, .user = user};
    (void)pthread_mutex_init(&progress->mutex, NULL);
    progress->is_terminal = isatty(STDERR_FILENO) && (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

void covey_progress_show(struct covey_progress *progress, const char *format, ...)
{
    if (!progress->is_terminal)
        return;
    (void)pthread_mutex_lock(&progress->mutex);
    va_list args;
    va_start(args, format);
    if (vsnprintf(progress->line, sizeof progress->line, format, args) < 0)
        progress->line[0] = '\0';
    va_end(args);
    for (char *at = progress->line; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = ' ';
    const uint64_t now = now_ms();
    if (!progress->visible || now - progress->drawn_ms >= REDRAW_MS) {
        draw(progress);
        progress->drawn_ms = now;
    }
    (void)pthread_mutex_unlock(&progress->mutex);
}

void covey_progress_hide(struct covey_progress *progress)
{
    (void)pthread_mutex_lock(&progress->mutex);
    erase(progress);
    (void)pthread_mutex_unlock(&progress->mutex);
}

void covey_progress_sink(void *user, enum covey_log_level level, const char *event, const char *text)
{
    struct covey_progress *progress = user;
    (void)pthread_mutex_lock(&progress->mutex);
    const bool was_visible = progress->visible;
    erase(progress);
    if (progress->sink != NULL)
        progress->sink(progress->user, level, event, text);
    if (was_visible)
        draw(progress);
    (void)pthread_mutex_unlock(&progress->mutex);
}

void covey_progress_deinit(struct covey_progress *progress)
{
    if (progress->visible) {
        draw(progress); /* what a redraw that came too soon left out */
        write_all("\n", 1);
    }
    (void)pthread_mutex_destroy(&progress->mutex);
}
