/* A file that is there whole or not at all: written under a temporary name, fsync, rename, fsync of the
 * folder. The system calls are a table, so that a test can fail the n-th one. */
#ifndef COVEY_DURABLE_FILE_H
#define COVEY_DURABLE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "covey/bytes.h"
#include "covey/status.h"

#define COVEY_TEMPORARY_SUFFIX ".tmp"

/* As the calls of the same names, errno included. */
struct covey_file_calls {
    int (*open)(void *user, const char *path, int flags, mode_t mode);
    ssize_t (*write)(void *user, int file, const void *data, size_t size);
    int (*fsync)(void *user, int file);
    int (*close)(void *user, int file);
    int (*rename)(void *user, const char *from, const char *to);
    int (*unlink)(void *user, const char *path);
    void *user;
};
extern const struct covey_file_calls covey_file_calls_system;

/* pieces: (count), written one after another as folder/name; a file of that name is replaced. IO with errno's
 * text; then the old file, if there was one, is as it was, and the temporary one is gone. (After a failed
 * fsync of the folder the new file may be there: it is whole.) */
COVEY_MUST_CHECK enum covey_status covey_file_replace(const struct covey_file_calls *calls,
                                                      const char *folder, const char *name, mode_t mode,
                                                      const struct covey_bytes *pieces, size_t count,
                                                      struct covey_error *err);

#endif
