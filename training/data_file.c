#include "data_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

/* Deflate expands at most 1032 times (zlib's technical details, "Maximum Compression Factor"). */
#define GZIP_EXPANSION 1032u
#define GZIP_SLACK_BYTES 1024u
#define READ_STEP_BYTES (1u << 20)

static enum covey_status fail_io(const struct covey_data_file *file, const char *what, struct covey_error *err)
{
    return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: cannot %s: %s", file->path, what,
                      strerror(errno));
}

static enum covey_status open_gzip(struct covey_data_file *file, struct covey_error *err)
{
    gzFile gzip = gzdopen(file->descriptor, "rb");
    if (gzip == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for inflating it", file->path);
    file->gzip = gzip;
    file->size = file->size * GZIP_EXPANSION + GZIP_SLACK_BYTES;
    return COVEY_OK;
}

enum covey_status covey_data_file_open(const char *path, struct covey_data_file *out, struct covey_error *err)
{
    struct covey_data_file file = {.path = path, .descriptor = -1};
    struct stat facts;
    uint8_t magic[2];
    enum covey_status status = COVEY_OK;

    file.descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (file.descriptor < 0)
        return fail_io(&file, "open", err);
    if (fstat(file.descriptor, &facts) != 0)
        status = fail_io(&file, "examine", err);
    else if (!S_ISREG(facts.st_mode))
        status = covey_fail(err, COVEY_INVALID, "%s: is not a regular file", path);
    else
        file.size = (uint64_t)facts.st_size;
    if (status == COVEY_OK && pread(file.descriptor, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
        magic[0] == 0x1f && magic[1] == 0x8b)
        status = open_gzip(&file, err);
    if (status != COVEY_OK) {
        covey_data_file_close(&file);
        return status;
    }
    *out = file;
    return COVEY_OK;
}

void covey_data_file_close(struct covey_data_file *file)
{
    if (file->gzip != NULL)
        gzclose(file->gzip); /* closes the descriptor */
    else if (file->path != NULL && file->descriptor >= 0)
        close(file->descriptor);
    *file = (struct covey_data_file){.descriptor = -1};
}

static enum covey_status fail_gzip(const struct covey_data_file *file, struct covey_error *err)
{
    int code;
    const char *text = gzerror(file->gzip, &code);
    return covey_fail(err, COVEY_CORRUPT, "%s: damaged gzip stream: %s", file->path,
                      code == Z_ERRNO ? strerror(errno) : text);
}

/* At most count bytes; *got less than that only at the end. */
static enum covey_status read_some(struct covey_data_file *file, uint8_t *out, size_t count, size_t *got,
                                   struct covey_error *err)
{
    size_t done = 0;
    while (done < count) {
        size_t step = count - done < READ_STEP_BYTES ? count - done : READ_STEP_BYTES;
        ssize_t n = file->gzip != NULL ? (ssize_t)gzread(file->gzip, out + done, (unsigned)step)
                                       : read(file->descriptor, out + done, step);
        if (n < 0 && file->gzip == NULL && errno == EINTR)
            continue;
        if (n < 0)
            return file->gzip != NULL ? fail_gzip(file, err) : fail_io(file, "read", err);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    if (done < count && file->gzip != NULL) {
        int code; /* a cut stream gives what it has and then says so here only */
        gzerror(file->gzip, &code);
        if (code != Z_OK && code != Z_STREAM_END)
            return fail_gzip(file, err);
    }
    file->position += done;
    *got = done;
    return COVEY_OK;
}

enum covey_status covey_data_file_read(struct covey_data_file *file, void *out, size_t count,
                                       struct covey_error *err)
{
    size_t got;
    COVEY_TRY(read_some(file, out, count, &got, err));
    if (got < count)
        return covey_fail(err, COVEY_CORRUPT, "%s: ends after %llu bytes, %zu more were expected", file->path,
                          (unsigned long long)file->position, count - got);
    return COVEY_OK;
}

enum covey_status covey_data_file_end(struct covey_data_file *file, struct covey_error *err)
{
    uint8_t extra;
    size_t got;
    COVEY_TRY(read_some(file, &extra, 1, &got, err));
    if (got != 0)
        return covey_fail(err, COVEY_CORRUPT, "%s: goes on after the %llu bytes that its header declares", file->path,
                          (unsigned long long)file->position - 1);
    return COVEY_OK;
}

enum covey_status covey_data_file_map(const struct covey_data_file *file, const uint8_t **out,
                                      struct covey_error *err)
{
    if (file->size == 0)
        return covey_fail(err, COVEY_CORRUPT, "%s: is empty", file->path);
    void *map = mmap(NULL, (size_t)file->size, PROT_READ, MAP_PRIVATE, file->descriptor, 0);
    if (map == MAP_FAILED)
        return fail_io(file, "map", err);
    *out = map;
    return COVEY_OK;
}

enum covey_status covey_data_file_read_all(struct covey_data_file *file, size_t limit, char **out,
                                           size_t *out_bytes, struct covey_error *err)
{
    size_t capacity = file->gzip == NULL ? (size_t)file->size + 1 : READ_STEP_BYTES, used = 0, got;
    char *text = NULL;
    enum covey_status status = COVEY_OK;
    if (file->gzip == NULL && file->size > limit)
        return covey_fail(err, COVEY_LIMIT, "%s: %llu bytes are more than the %zu allowed", file->path,
                          (unsigned long long)file->size, limit);
    for (;;) {
        char *larger = realloc(text, capacity + 1);
        if (larger == NULL) {
            status = covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for %zu bytes", file->path, capacity);
            goto cleanup;
        }
        text = larger;
        status = read_some(file, (uint8_t *)text + used, capacity - used, &got, err);
        if (status != COVEY_OK)
            goto cleanup;
        used += got;
        if (used > limit) {
            status = covey_fail(err, COVEY_LIMIT, "%s: inflates to more than %zu bytes", file->path, limit);
            goto cleanup;
        }
        if (used < capacity)
            break;
        capacity *= 2;
    }
    text[used] = 0;
    *out = text;
    *out_bytes = used;
    text = NULL;
cleanup:
    free(text);
    return status;
}
