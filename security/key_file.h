/* Small files of keys and certificates: read whole with a bound, written whole or not at all. Private to
 * security/. */
#ifndef COVEY_KEY_FILE_H
#define COVEY_KEY_FILE_H

#include <stddef.h>

#include "covey/status.h"

enum covey_file_kind {
    COVEY_FILE_SECRET, /* 0600; refused when others may read it */
    COVEY_FILE_PUBLIC  /* 0644 */
};

/* A text file of at most capacity - 1 bytes, ended by a zero that *size counts. NOT_FOUND, DENIED, LIMIT, IO.
 */
COVEY_MUST_CHECK enum covey_status covey_key_file_read(const char *path, enum covey_file_kind kind, char *out,
                                                       size_t capacity, size_t *size,
                                                       struct covey_error *err);
/* A new file: written aside, synced, then given its name. EXISTS when there is one of that name. */
COVEY_MUST_CHECK enum covey_status covey_key_file_create(const char *path, enum covey_file_kind kind,
                                                         const void *data, size_t size,
                                                         struct covey_error *err);
/* The same, in place of what was there. */
COVEY_MUST_CHECK enum covey_status covey_key_file_replace(const char *path, enum covey_file_kind kind,
                                                          const void *data, size_t size,
                                                          struct covey_error *err);

/* "DIR/NAME" into a buffer of COVEY_FILE_PATH_BYTES; LIMIT when it does not fit. */
COVEY_MUST_CHECK enum covey_status covey_key_file_path(char *out, const char *dir, const char *name,
                                                       struct covey_error *err);
/* Makes names in that directory durable. */
COVEY_MUST_CHECK enum covey_status covey_key_file_sync_dir(const char *dir, struct covey_error *err);

#endif
