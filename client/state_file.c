#include "state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/little_endian.h"

#define LEAD_BYTES 24 /* magic, version, kind, total */
#define PIECE_BYTES 4096

static const char magic[8] = {'c', 'o', 'v', 'e', 'y', '-', 's', 't'};

static int open_file(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

const struct covey_disk covey_disk_system = {open_file, write, fsync, rename, unlink};

static enum covey_status make_path(const char *folder, const char *name, const char *suffix,
                                   char out[COVEY_STATE_PATH_BYTES], struct covey_error *err)
{
    if (snprintf(out, COVEY_STATE_PATH_BYTES, "%s/%s%s", folder, name, suffix) >= COVEY_STATE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", folder);
    return COVEY_OK;
}

static void turn_floats(uint8_t *bytes, size_t count)
{
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
        for (size_t i = 0; i + 4 <= count; i += 4)
            covey_little_put(bytes + i, __builtin_bswap32((uint32_t)covey_little_get(bytes + i, 4)), 4);
}

/* ------------------------------------------------------------------ writing */

struct writer {
    const struct covey_disk *disk;
    const char *path;
    int descriptor;
    struct covey_hasher *hasher;
    struct covey_error *err;
};

static enum covey_status fail_write(const struct writer *writer)
{
    int cause = errno;
    return covey_fail(writer->err, cause == ENOSPC || cause == EDQUOT ? COVEY_LIMIT : COVEY_IO,
                      "%s: cannot write: %s", writer->path, strerror(cause));
}

static enum covey_status write_all(struct writer *writer, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = writer->disk->write(writer->descriptor, bytes, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_write(writer);
        bytes += n;
        count -= (size_t)n;
    }
    return COVEY_OK;
}

static enum covey_status write_hashed(struct writer *writer, const uint8_t *bytes, size_t count)
{
    COVEY_TRY(covey_hasher_add(writer->hasher, (struct covey_bytes){bytes, count}));
    return write_all(writer, bytes, count);
}

/* From where it lies; on big-endian machines through a small buffer. */
static enum covey_status write_part(struct writer *writer, const struct covey_state_part *part)
{
    uint8_t piece[PIECE_BYTES];
    const uint8_t *bytes = part->data;
    if (!part->floats || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        return write_hashed(writer, bytes, (size_t)part->bytes);
    for (uint64_t done = 0; done < part->bytes; done += PIECE_BYTES) {
        size_t n = part->bytes - done < PIECE_BYTES ? (size_t)(part->bytes - done) : PIECE_BYTES;
        memcpy(piece, bytes + done, n);
        turn_floats(piece, n);
        COVEY_TRY(write_hashed(writer, piece, n));
    }
    return COVEY_OK;
}

static enum covey_status write_body(struct writer *writer, uint32_t kind,
                                    const struct covey_state_part *parts, size_t count)
{
    uint8_t lead[LEAD_BYTES];
    struct covey_hash hash;
    uint64_t total = LEAD_BYTES + COVEY_HASH_BYTES;
    for (size_t i = 0; i < count; i++)
        total += parts[i].bytes;
    memcpy(lead, magic, sizeof magic);
    covey_little_put(lead + 8, COVEY_STATE_VERSION, 4);
    covey_little_put(lead + 12, kind, 4);
    covey_little_put(lead + 16, total, 8);
    COVEY_TRY(covey_hasher_create(&writer->hasher));
    enum covey_status status = write_hashed(writer, lead, sizeof lead);
    for (size_t i = 0; i < count && status == COVEY_OK; i++)
        status = write_part(writer, &parts[i]);
    if (status != COVEY_OK) {
        covey_hasher_destroy(writer->hasher);
        return status;
    }
    COVEY_TRY(covey_hasher_finish(writer->hasher, &hash));
    return write_all(writer, hash.bytes, sizeof hash.bytes);
}

/* A rename is durable when its folder is. */
static enum covey_status sync_folder(const struct covey_disk *disk, const char *folder,
                                     struct covey_error *err)
{
    int descriptor = disk->open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    int result = descriptor < 0 ? -1 : disk->sync(descriptor);
    int cause = errno;
    if (descriptor >= 0)
        close(descriptor);
    return result == 0 ? COVEY_OK : covey_fail(err, COVEY_IO, "%s: cannot sync: %s", folder, strerror(cause));
}

enum covey_status covey_state_file_write(const struct covey_disk *disk, const char *folder, const char *name,
                                         uint32_t kind, const struct covey_state_part *parts, size_t count,
                                         struct covey_error *err)
{
    char path[COVEY_STATE_PATH_BYTES], temporary[COVEY_STATE_PATH_BYTES];
    COVEY_TRY(make_path(folder, name, "", path, err));
    COVEY_TRY(make_path(folder, name, ".new", temporary, err));
    struct writer writer = {.disk = disk, .path = path, .err = err};
    writer.descriptor = disk->open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (writer.descriptor < 0)
        return fail_write(&writer);
    enum covey_status status = write_body(&writer, kind, parts, count);
    if (status == COVEY_OK && disk->sync(writer.descriptor) != 0)
        status = fail_write(&writer);
    if (close(writer.descriptor) != 0 && status == COVEY_OK)
        status = fail_write(&writer);
    if (status == COVEY_OK && disk->rename(temporary, path) != 0)
        status = fail_write(&writer);
    if (status == COVEY_OK)
        return sync_folder(disk, folder, err);
    (void)disk->unlink(temporary);
    return status;
}

/* ------------------------------------------------------------------ reading */

struct reader {
    const char *path;
    FILE *file;
    uint64_t left; /* bytes before the hash */
    struct covey_hasher *hasher;
    struct covey_error *err;
};

static enum covey_status fail_read(const struct reader *reader, const char *what)
{
    return covey_fail(reader->err, COVEY_CORRUPT, "%s: %s", reader->path, what);
}

static enum covey_status read_hashed(struct reader *reader, void *into, size_t count)
{
    if (count > reader->left || fread(into, 1, count, reader->file) != count)
        return fail_read(reader, "is cut");
    reader->left -= count;
    return covey_hasher_add(reader->hasher, (struct covey_bytes){into, count});
}

static enum covey_status open_reader(struct reader *reader, uint32_t kind)
{
    uint8_t lead[LEAD_BYTES];
    struct stat facts;
    reader->file = fopen(reader->path, "rbe");
    if (reader->file == NULL)
        return covey_fail(reader->err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: %s", reader->path,
                          strerror(errno));
    COVEY_TRY(covey_hasher_create(&reader->hasher));
    reader->left = LEAD_BYTES;
    COVEY_TRY(read_hashed(reader, lead, sizeof lead));
    if (memcmp(lead, magic, sizeof magic) != 0 || covey_little_get(lead + 12, 4) != kind)
        return fail_read(reader, "is not what its name says");
    if (covey_little_get(lead + 8, 4) != COVEY_STATE_VERSION)
        return covey_fail(reader->err, COVEY_UNSUPPORTED, "%s: version %llu; this program knows %d",
                          reader->path, (unsigned long long)covey_little_get(lead + 8, 4),
                          COVEY_STATE_VERSION);
    uint64_t total = covey_little_get(lead + 16, 8);
    if (fstat(fileno(reader->file), &facts) != 0 || (uint64_t)facts.st_size != total ||
        total < LEAD_BYTES + COVEY_HASH_BYTES)
        return fail_read(reader, "is cut or too long");
    reader->left = total - LEAD_BYTES - COVEY_HASH_BYTES;
    return COVEY_OK;
}

static enum covey_status pass_over(struct reader *reader, uint64_t count)
{
    uint8_t piece[PIECE_BYTES];
    for (; count > 0; count -= count < PIECE_BYTES ? count : PIECE_BYTES)
        COVEY_TRY(read_hashed(reader, piece, count < PIECE_BYTES ? (size_t)count : PIECE_BYTES));
    return COVEY_OK;
}

static enum covey_status check_hash(struct reader *reader)
{
    struct covey_hash stored, computed;
    if (reader->left != 0)
        return fail_read(reader, "has another length than expected");
    if (fread(stored.bytes, sizeof stored.bytes, 1, reader->file) != 1)
        return fail_read(reader, "is cut");
    struct covey_hasher *hasher = reader->hasher;
    reader->hasher = NULL;
    COVEY_TRY(covey_hasher_finish(hasher, &computed));
    return covey_hash_equal(&stored, &computed) ? COVEY_OK
                                                : fail_read(reader, "is damaged: its hash does not fit");
}

static void close_reader(struct reader *reader)
{
    covey_hasher_destroy(reader->hasher);
    if (reader->file != NULL)
        fclose(reader->file);
}

enum covey_status covey_state_file_probe(const char *folder, const char *name, uint32_t kind, void *head,
                                         size_t head_bytes, uint64_t *rest_bytes, struct covey_error *err)
{
    char path[COVEY_STATE_PATH_BYTES];
    struct reader reader = {.path = path, .err = err};
    COVEY_TRY(make_path(folder, name, "", path, err));
    enum covey_status status = open_reader(&reader, kind);
    if (status == COVEY_OK)
        status = read_hashed(&reader, head, head_bytes);
    uint64_t rest = reader.left;
    if (status == COVEY_OK)
        status = pass_over(&reader, rest);
    if (status == COVEY_OK)
        status = check_hash(&reader);
    close_reader(&reader);
    if (status == COVEY_OK)
        *rest_bytes = rest;
    return status;
}

enum covey_status covey_state_file_read(const char *folder, const char *name, uint32_t kind,
                                        const struct covey_state_part *parts, size_t count,
                                        struct covey_error *err)
{
    char path[COVEY_STATE_PATH_BYTES];
    struct reader reader = {.path = path, .err = err};
    COVEY_TRY(make_path(folder, name, "", path, err));
    enum covey_status status = open_reader(&reader, kind);
    for (size_t i = 0; i < count && status == COVEY_OK; i++) {
        if (parts[i].into == NULL)
            status = pass_over(&reader, parts[i].bytes);
        else
            status = read_hashed(&reader, parts[i].into, (size_t)parts[i].bytes);
    }
    if (status == COVEY_OK)
        status = check_hash(&reader);
    for (size_t i = 0; i < count && status == COVEY_OK; i++)
        if (parts[i].floats && parts[i].into != NULL)
            turn_floats(parts[i].into, (size_t)parts[i].bytes);
    close_reader(&reader);
    return status;
}

enum covey_status covey_state_file_move(const struct covey_disk *disk, const char *folder, const char *from,
                                        const char *to, struct covey_error *err)
{
    char source[COVEY_STATE_PATH_BYTES], target[COVEY_STATE_PATH_BYTES];
    COVEY_TRY(make_path(folder, from, "", source, err));
    COVEY_TRY(make_path(folder, to, "", target, err));
    if (disk->rename(source, target) != 0) {
        if (errno == ENOENT)
            return COVEY_OK;
        return covey_fail(err, COVEY_IO, "%s: cannot rename: %s", source, strerror(errno));
    }
    return sync_folder(disk, folder, err);
}

enum covey_status covey_state_file_remove(const struct covey_disk *disk, const char *folder, const char *name,
                                          struct covey_error *err)
{
    char path[COVEY_STATE_PATH_BYTES];
    COVEY_TRY(make_path(folder, name, "", path, err));
    if (disk->unlink(path) != 0) {
        if (errno == ENOENT)
            return COVEY_OK;
        return covey_fail(err, COVEY_IO, "%s: cannot remove: %s", path, strerror(errno));
    }
    return sync_folder(disk, folder, err);
}
