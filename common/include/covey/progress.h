/* The live line at the bottom of a terminal, for programs: one line that is redrawn in place, with the log
 * scrolling above it. Where standard error is no terminal, showing does nothing and the log goes through
 * plainly.
 *
 *   struct covey_progress progress;
 *   covey_progress_init(&progress, covey_log_to_stderr, NULL);
 *   struct covey_log log = {COVEY_LOG_INFO, covey_progress_sink, &progress};
 *   covey_progress_show(&progress, "round %u/%u  devices %u  accuracy %.1f %%", ...);
 *   covey_progress_deinit(&progress);
 *
 * Thread-safe, the sink too: lines and redraws never mix. */
#ifndef COVEY_PROGRESS_H
#define COVEY_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/log.h"

#define COVEY_PROGRESS_BYTES 512

struct covey_progress {
    pthread_mutex_t mutex;
    covey_log_sink *sink; /* where log lines go, with the live line out of the way */
    void *user;
    bool is_terminal;
    bool visible;
    uint64_t drawn_ms; /* when the line was last drawn: at most 20 times a second */
    char line[COVEY_PROGRESS_BYTES];
};

/* Looks whether standard error is a terminal (and TERM is not "dumb"). sink may be NULL. */
void covey_progress_init(struct covey_progress *progress, covey_log_sink *sink, void *user);

/* Replaces the line; cut to the terminal's width, by characters (UTF-8), without line breaks. */
void covey_progress_show(struct covey_progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Takes the line away, for good output on the terminal; the next show brings it back. */
void covey_progress_hide(struct covey_progress *progress);

/* A log sink; user: the struct covey_progress. */
void covey_progress_sink(void *user, enum covey_log_level level, const char *event, const char *text);

/* Leaves the last line standing, ended by a line break. */
void covey_progress_deinit(struct covey_progress *progress);

#endif
