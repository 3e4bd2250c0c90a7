/* One line an event, to a sink that is handed in. The library itself never prints.
 *
 *   covey_log_event(log, COVEY_LOG_INFO, "round-closed", "round=%u updates=%u", round, updates);
 *
 * The event is a short kebab-case word that scripts may search for; the text holds key=value pairs. */
#ifndef COVEY_LOG_H
#define COVEY_LOG_H

enum covey_log_level { COVEY_LOG_ERROR, COVEY_LOG_WARNING, COVEY_LOG_INFO, COVEY_LOG_DEBUG };

/* Called with one formatted event; may be called from any thread, at once from several. */
typedef void covey_log_sink(void *user, enum covey_log_level level, const char *event, const char *text);

struct covey_log {
    enum covey_log_level level; /* what is above is dropped before it is formatted */
    covey_log_sink *sink;       /* NULL: silent */
    void *user;
};

/* A NULL log is legal and silent. Text past 1,000 bytes is cut; control characters become '?'. */
void covey_log_event(const struct covey_log *log, enum covey_log_level level, const char *event,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* "error" "warning" "info" "debug" -> level; returns 0, or -1 for another word. */
int covey_log_level_parse(const char *word, enum covey_log_level *out);
const char *covey_log_level_name(enum covey_log_level level);

/* Sink: "2026-11-22T15:04:05.123Z info round-closed round=3" on standard error, one write(2) a line. */
void covey_log_to_stderr(void *user, enum covey_log_level level, const char *event, const char *text);

/* Sink: the journal's own protocol (native socket), or standard error with <N> priorities where that
 * socket does not exist. */
void covey_log_to_journal(void *user, enum covey_log_level level, const char *event, const char *text);

#endif
