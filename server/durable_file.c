#include "durable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WRITE_BYTES                                                                                          \
    (64u << 20) /* of one call: Linux takes 2 GiB at the most, and says so by writing less                   \
                 */

static int system_open(void *user, const char *path, int flags, mode_t mode)
{
    (void)user;
    return open(path, flags, mode);
}
static ssize_t system_write(void *user, int file, const void *data, size_t size)
{
    (void)user;
    return write(file, data, size);
}
static int system_fsync(void *user, int file)
{
    (void)user;
    return fsync(file);
}
static int system_close(void *user, int file)
{
    (void)user;
    return close(file);
}
static int system_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return rename(from, to);
}
static int system_unlink(void *user, const char *path)
{
    (void)user;
    return unlink(path);
}

const struct covey_file_calls covey_file_calls_system = {
    system_open, system_write, system_fsync, system_close, system_rename, system_unlink, NULL};

static enum covey_status write_all(const struct covey_file_calls *calls, int file, struct covey_bytes bytes)
{
    while (bytes.size > 0) {
        const size_t want = bytes.size < WRITE_BYTES ? bytes.size : WRITE_BYTES;
        const ssize_t written = calls->write(calls->user, file, bytes.data, want);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return COVEY_IO;
        bytes.data += written;
        bytes.size -= (size_t)written;
    }
    return COVEY_OK;
}

static enum covey_status sync_folder(const struct covey_file_calls *calls, const char *folder,
                                     struct covey_error *err)
{
    const int file = calls->open(calls->user, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (file < 0)
        return covey_fail(err, COVEY_IO, "%s could not be opened: %s", folder, strerror(errno));
    enum covey_status status = COVEY_OK;
    if (calls->fsync(calls->user, file) != 0)
        status =
            covey_fail(err, COVEY_IO, "%s could not be flushed to the disk: %s", folder, strerror(errno));
    (void)calls->close(calls->user, file);
    return status;
}

static enum covey_status write_temporary(const struct covey_file_calls *calls, const char *path, mode_t mode,
                                         const struct covey_bytes *pieces, size_t count,
                                         struct covey_error *err)
{
    const int file = calls->open(calls->user, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (file < 0)
        return covey_fail(err, COVEY_IO, "%s could not be made: %s", path, strerror(errno));
    enum covey_status status = COVEY_OK;
    for (size_t i = 0; i < count && status == COVEY_OK; i++)
        if (write_all(calls, file, pieces[i]) != COVEY_OK)
            status = covey_fail(err, COVEY_IO, "%s could not be written: %s", path, strerror(errno));
    if (status == COVEY_OK && calls->fsync(calls->user, file) != 0)
        status = covey_fail(err, COVEY_IO, "%s could not be flushed to the disk: %s", path, strerror(errno));
    if (calls->close(calls->user, file) != 0 && status == COVEY_OK)
        status = covey_fail(err, COVEY_IO, "%s could not be closed: %s", path, strerror(errno));
    return status;
}

enum covey_status covey_file_replace(const struct covey_file_calls *calls, const char *folder,
                                     const char *name, mode_t mode, const struct covey_bytes *pieces,
                                     size_t count, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES], temporary[COVEY_FILE_PATH_BYTES];
    const int a = snprintf(path, sizeof path, "%s/%s", folder, name);
    const int b = snprintf(temporary, sizeof temporary, "%s/%s%s", folder, name, COVEY_TEMPORARY_SUFFIX);
    if (a < 0 || b < 0 || (size_t)b >= sizeof temporary)
        return covey_fail(err, COVEY_LIMIT, "the path %s/%s is too long", folder, name);
    enum covey_status status = write_temporary(calls, temporary, mode, pieces, count, err);
    if (status == COVEY_OK && calls->rename(calls->user, temporary, path) != 0)
        status = covey_fail(err, COVEY_IO, "%s could not be renamed: %s", temporary, strerror(errno));
    if (status != COVEY_OK) {
        (void)calls->unlink(calls->user, temporary);
        return status;
    }
    return sync_folder(calls, folder, err);
}
