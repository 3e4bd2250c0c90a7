/* The live line of a program that runs in a terminal: one line on standard error, drawn again in place, that
 * makes way for log lines. Without a terminal nothing of it is ever printed.
 *
 * Limits: a line is cut to the terminal's width and to 500 bytes; drawn at most ten times a second.
 * Thread-safe. */
#ifndef COVEY_PROGRESS_H
#define COVEY_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "covey/log.h"

#define COVEY_PROGRESS_BYTES 500

struct covey_progress {
    pthread_mutex_t lock;
    int fd;
    bool live;  /* fd is a terminal that can be drawn on */
    bool drawn; /* the line stands there now */
    uint64_t drawn_ms;
    char line[COVEY_PROGRESS_BYTES];
};

/* fd: usually 2. Live only if it is a terminal, TERM is not "dumb" and `quiet` is false. */
void covey_progress_init(struct covey_progress *progress, int fd, bool quiet);
/* Ends the line, if there is one, so that what follows starts on a fresh one. */
void covey_progress_deinit(struct covey_progress *progress);

/* The new text of the line; drawn now, or with a later call when the last drawing was under 100 ms ago. */
void covey_progress_show(struct covey_progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A covey_log_sink: user is a struct covey_progress. The line is erased, the event goes to standard error as
 * covey_log_to_stderr writes it, and the line is drawn again below. */
void covey_progress_log(void *user, enum covey_log_level level, const char *event, const char *text);

/* Bytes for people: "812 B", "4.3 MB". out: at least 16 bytes. */
const char *covey_progress_bytes(uint64_t bytes, char out[16]);
/* Seconds for people: "42 s", "3 min 05 s", "2 h 10 min". out: at least 24 bytes. */
const char *covey_progress_seconds(double seconds, char out[24]);

#endif
