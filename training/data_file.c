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

static enum covey_status fail_io(const struct covey_data_file *file, const char *what,
                                 struct covey_error *err)
{
    return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: cannot %s: %s", file->path,
                      what, strerror(errno));
}

/* inflate itself instead of gzopen, which would link deflate too: 45 KB of a small device's program. */
struct covey_gzip {
    z_stream stream;
    bool member; /* inside of a member: its end has not been seen */
    uint8_t input[16384];
};

static enum covey_status open_gzip(struct covey_data_file *file, struct covey_error *err)
{
    struct covey_gzip *gzip = calloc(1, sizeof *gzip);
    if (gzip == NULL || inflateInit2(&gzip->stream, 16 + MAX_WBITS) != Z_OK) {
        free(gzip);
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for inflating it", file->path);
    }
    gzip->member = true;
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
        inflateEnd(&file->gzip->stream);
    free(file->gzip);
    if (file->path != NULL && file->descriptor >= 0)
        close(file->descriptor);
    *file = (struct covey_data_file){.descriptor = -1};
}

/* One read(2); *got is 0 at the end only. */
static enum covey_status read_once(struct covey_data_file *file, void *out, size_t count, size_t *got,
                                   struct covey_error *err)
{
    ssize_t n;
    do
        n = read(file->descriptor, out, count);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail_io(file, "read", err);
    *got = (size_t)n;
    return COVEY_OK;
}

/* At most count bytes, inflated; a file may hold several members one behind the other (RFC 1952 section 2.2).
 */
static enum covey_status inflate_some(struct covey_data_file *file, uint8_t *out, size_t count, size_t *got,
                                      struct covey_error *err)
{
    struct covey_gzip *gzip = file->gzip;
    z_stream *stream = &gzip->stream;
    stream->next_out = out;
    stream->avail_out = (uInt)count;
    while (stream->avail_out > 0) {
        if (stream->avail_in == 0) {
            size_t read_bytes = 0;
            COVEY_TRY(read_once(file, gzip->input, sizeof gzip->input, &read_bytes, err));
            if (read_bytes == 0 && gzip->member)
                return covey_fail(err, COVEY_CORRUPT, "%s: the gzip stream is cut", file->path);
            if (read_bytes == 0)
                break;
            stream->next_in = gzip->input;
            stream->avail_in = (uInt)read_bytes;
        }
        if (!gzip->member && inflateReset(stream) != Z_OK)
            return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory for inflating it", file->path);
        int code = inflate(stream, Z_NO_FLUSH);
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            return covey_fail(err, COVEY_CORRUPT, "%s: damaged gzip stream: %s", file->path,
                              stream->msg != NULL ? stream->msg : "not what gzip writes");
        gzip->member = code != Z_STREAM_END;
    }
    *got = count - stream->avail_out;
    return COVEY_OK;
}

/* At most count bytes; *got less than that only at the end. */
static enum covey_status read_some(struct covey_data_file *file, uint8_t *out, size_t count, size_t *got,
                                   struct covey_error *err)
{
    size_t done = 0;
    while (done < count) {
        size_t step = count - done < READ_STEP_BYTES ? count - done : READ_STEP_BYTES, n = 0;
        COVEY_TRY(file->gzip != NULL ? inflate_some(file, out + done, step, &n, err)
                                     : read_once(file, out + done, step, &n, err));
        if (n == 0)
            break;
        done += n;
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
        return covey_fail(err, COVEY_CORRUPT, "%s: goes on after the %llu bytes that its header declares",
                          file->path, (unsigned long long)file->position - 1);
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
