/* Status codes and the error text that goes with them.
 *
 * A function that can fail returns `enum covey_status`, gives its result through an out-pointer that
 * stays untouched on failure, and, where a person will read it, fills a `struct covey_error` with what
 * was wrong, where, and what to do about it. */
#ifndef COVEY_STATUS_H
#define COVEY_STATUS_H

#include <stdarg.h>

#define COVEY_STATUS_LIST(X)                                                                                 \
    X(OK, "ok")                                                                                              \
    X(INVALID, "invalid input")                                                                              \
    X(NO_MEMORY, "out of memory")                                                                            \
    X(IO, "input or output failed")                                                                          \
    X(NOT_FOUND, "not found")                                                                                \
    X(EXISTS, "exists already")                                                                              \
    X(LIMIT, "over a limit")                                                                                 \
    X(CORRUPT, "malformed bytes")                                                                            \
    X(UNSUPPORTED, "unsupported version or feature")                                                         \
    X(MISMATCH, "shape or identity does not match")                                                          \
    X(NOT_FINITE, "NaN or infinity")                                                                         \
    X(RANGE, "value out of range")                                                                           \
    X(CONFLICT, "conflicts with what was recorded")                                                          \
    X(DENIED, "not allowed")                                                                                 \
    X(CRYPTO, "cryptographic operation failed")                                                              \
    X(TIMEOUT, "timed out")                                                                                  \
    X(CLOSED, "connection closed")                                                                           \
    X(BUSY, "busy, try again")                                                                               \
    X(CANCELLED, "cancelled")                                                                                \
    X(STATE, "not possible in this state")

enum covey_status {
#define COVEY_STATUS_ENUM(name, text) COVEY_##name,
    COVEY_STATUS_LIST(COVEY_STATUS_ENUM)
#undef COVEY_STATUS_ENUM
};

#define COVEY_MUST_CHECK __attribute__((warn_unused_result))

#define COVEY_ERROR_TEXT_BYTES 512

/* The reason of a failure, in the caller's storage. An all-zero one is ready for use. */
struct covey_error {
    enum covey_status status;
    char text[COVEY_ERROR_TEXT_BYTES]; /* one line, no newline at its end */
};

/* The status in words, for ever valid. */
const char *covey_status_text(enum covey_status status);

/* Writes the text (cut to fit) into err, which may be NULL, and returns status: `return covey_fail(...)`. */
enum covey_status covey_fail(struct covey_error *err, enum covey_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts a place in front of what err says already: "server.yaml:12: ..." ; returns err's status. */
enum covey_status covey_fail_at(struct covey_error *err, enum covey_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define COVEY_TRY(expression)                                                                                \
    do {                                                                                                     \
        enum covey_status covey_try_status_ = (expression);                                                  \
        if (covey_try_status_ != COVEY_OK)                                                                   \
            return covey_try_status_;                                                                        \
    } while (0)

#endif
