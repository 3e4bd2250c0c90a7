#include "key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/limits.h"

static enum covey_status fail_io(struct covey_error *err, const char *what, const char *path)
{
    const int number = errno;
    const enum covey_status status = number == ENOENT   ? COVEY_NOT_FOUND
                                     : number == EEXIST ? COVEY_EXISTS
                                                        : COVEY_IO;
    return covey_fail(err, status, "cannot %s %s: %s", what, path, strerror(number));
}

enum covey_status covey_key_file_path(char *out, const char *dir, const char *name, struct covey_error *err)
{
    const int length = snprintf(out, COVEY_FILE_PATH_BYTES, "%s/%s", dir, name);
    if (length < 0 || length >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "the path %s/%s is too long", dir, name);
    return COVEY_OK;
}

static enum covey_status check_file(int fd, enum covey_file_kind kind, const char *path, size_t capacity,
                                    struct covey_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fail_io(err, "read", path);
    if (!S_ISREG(info.st_mode))
        return covey_fail(err, COVEY_INVALID, "%s is no plain file", path);
    if (kind == COVEY_FILE_SECRET && (info.st_mode & 077) != 0)
        return covey_fail(err, COVEY_DENIED, "%s can be read by others (mode %03o): chmod 600 it", path,
                          (unsigned)(info.st_mode & 0777));
    if (info.st_size < 0 || (size_t)info.st_size >= capacity)
        return covey_fail(err, COVEY_LIMIT, "%s has %lld bytes, at most %zu can be read", path,
                          (long long)info.st_size, capacity - 1);
    return COVEY_OK;
}

static enum covey_status read_all(int fd, char *out, size_t capacity, size_t *size, const char *path,
                                  struct covey_error *err)
{
    size_t have = 0;
    while (have < capacity - 1) {
        const ssize_t got = read(fd, out + have, capacity - 1 - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_io(err, "read", path);
        if (got == 0)
            break;
        have += (size_t)got;
    }
    out[have] = '\0';
    *size = have + 1;
    return COVEY_OK;
}

enum covey_status covey_key_file_read(const char *path, enum covey_file_kind kind, char *out, size_t capacity,
                                      size_t *size, struct covey_error *err)
{
    const int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a pipe that is in its place */
    if (fd < 0)
        return fail_io(err, "open", path);
    enum covey_status status = check_file(fd, kind, path, capacity, err);
    if (status == COVEY_OK)
        status = read_all(fd, out, capacity, size, path, err);
    (void)close(fd);
    return status;
}

/* ---- writing ---- */

static int write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t put = write(fd, data, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        data += put;
        size -= (size_t)put;
    }
    return 0;
}

/* A temporary file beside path, written and synced; its name goes to temporary. */
static enum covey_status write_aside(const char *path, enum covey_file_kind kind, const void *data,
                                     size_t size, char *temporary, struct covey_error *err)
{
    const int length = snprintf(temporary, COVEY_FILE_PATH_BYTES, "%s.XXXXXX", path);
    if (length < 0 || length >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "the path %s is too long", path);
    const int fd = mkostemp(temporary, O_CLOEXEC); /* O_EXCL, 0600 */
    if (fd < 0)
        return fail_io(err, "write", path);
    enum covey_status status = COVEY_OK;
    if (write_all(fd, data, size) != 0 || fchmod(fd, kind == COVEY_FILE_SECRET ? 0600 : 0644) != 0 ||
        fsync(fd) != 0)
        status = fail_io(err, "write", path);
    if (close(fd) != 0 && status == COVEY_OK)
        status = fail_io(err, "write", path);
    if (status != COVEY_OK)
        (void)unlink(temporary);
    return status;
}

/* The new name without ever taking an old one; link() where the file system cannot rename so. */
static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(from, to) != 0)
        return -1;
    (void)unlink(from);
    return 0;
}

enum covey_status covey_key_file_sync_dir(const char *dir, struct covey_error *err)
{
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_io(err, "open", dir);
    enum covey_status status = COVEY_OK;
    if (fsync(fd) != 0 && errno != EINVAL) /* EINVAL: a file system that cannot */
        status = fail_io(err, "sync", dir);
    (void)close(fd);
    return status;
}

static enum covey_status sync_parent(const char *path, struct covey_error *err)
{
    char copy[COVEY_FILE_PATH_BYTES];
    (void)snprintf(copy, sizeof copy, "%s", path);
    return covey_key_file_sync_dir(dirname(copy), err);
}

enum covey_status covey_key_file_create(const char *path, enum covey_file_kind kind, const void *data,
                                        size_t size, struct covey_error *err)
{
    char temporary[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(write_aside(path, kind, data, size, temporary, err));
    if (rename_new(temporary, path) != 0) {
        enum covey_status status = fail_io(err, "make", path);
        (void)unlink(temporary);
        return status;
    }
    return sync_parent(path, err);
}

enum covey_status covey_key_file_replace(const char *path, enum covey_file_kind kind, const void *data,
                                         size_t size, struct covey_error *err)
{
    char temporary[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(write_aside(path, kind, data, size, temporary, err));
    if (rename(temporary, path) != 0) {
        enum covey_status status = fail_io(err, "replace", path);
        (void)unlink(temporary);
        return status;
    }
    return sync_parent(path, err);
}
