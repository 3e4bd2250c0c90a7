#include "step_store.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/limits.h"
#include "covey/little_endian.h"

#define NAME_FORMAT "%08llu.step"
#define STEP_VERSION 1
#define HEADER_BYTES (24 + 4 * COVEY_HASH_BYTES)
#define PATH_BYTES 512

static const uint8_t magic[8] = {'C', 'O', 'V', 'E', 'Y', 'S', 'T', 'P'};

static uint8_t *hash_at(uint8_t *header, int i)
{
    return header + 24 + i * COVEY_HASH_BYTES;
}

static enum covey_status hash_header(const uint8_t *header, struct covey_hash *out)
{
    return covey_hash_bytes((struct covey_bytes){header, HEADER_BYTES - COVEY_HASH_BYTES}, out);
}

enum covey_status covey_step_store_save(const char *folder, const struct covey_file_calls *calls,
                                        uint64_t sequence, const struct covey_stored_step *step,
                                        const uint8_t *stream, struct covey_error *err)
{
    uint8_t header[HEADER_BYTES];
    struct covey_hash hash;
    char name[32];
    memcpy(header, magic, sizeof magic);
    covey_little_put(header + 8, STEP_VERSION, 4);
    covey_little_put(header + 12, step->grid, 4);
    covey_little_put(header + 16, step->bytes, 8);
    memcpy(hash_at(header, 0), step->from.bytes, COVEY_HASH_BYTES);
    memcpy(hash_at(header, 1), step->to.bytes, COVEY_HASH_BYTES);
    memcpy(hash_at(header, 2), step->stream.bytes, COVEY_HASH_BYTES);
    COVEY_TRY(hash_header(header, &hash));
    memcpy(hash_at(header, 3), hash.bytes, COVEY_HASH_BYTES);
    (void)snprintf(name, sizeof name, NAME_FORMAT, (unsigned long long)sequence);
    const struct covey_bytes pieces[] = {{header, HEADER_BYTES}, {stream, (size_t)step->bytes}};
    return covey_file_replace(calls == NULL ? &covey_file_calls_system : calls, folder, name, 0600, pieces, 2,
                              err);
}

static enum covey_status read_header(uint8_t *header, const char *path, struct covey_stored_step *out,
                                     struct covey_error *err)
{
    struct covey_hash hash;
    if (memcmp(header, magic, sizeof magic) != 0)
        return covey_fail(err, COVEY_CORRUPT, "%s is no step of Covey", path);
    if (covey_little_get(header + 8, 4) != STEP_VERSION)
        return covey_fail(err, COVEY_UNSUPPORTED, "%s has version %u, this program knows %d", path,
                          (unsigned)covey_little_get(header + 8, 4), STEP_VERSION);
    COVEY_TRY(hash_header(header, &hash));
    const uint64_t grid = covey_little_get(header + 12, 4), bytes = covey_little_get(header + 16, 8);
    if (memcmp(hash.bytes, hash_at(header, 3), COVEY_HASH_BYTES) != 0 || grid > UINT8_MAX || bytes == 0 ||
        bytes > COVEY_BODY_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "%s is damaged in its header", path);
    *out = (struct covey_stored_step){.bytes = bytes, .grid = (uint8_t)grid};
    memcpy(out->from.bytes, hash_at(header, 0), COVEY_HASH_BYTES);
    memcpy(out->to.bytes, hash_at(header, 1), COVEY_HASH_BYTES);
    memcpy(out->stream.bytes, hash_at(header, 2), COVEY_HASH_BYTES);
    return COVEY_OK;
}

static enum covey_status read_stream(FILE *file, const char *path, const struct covey_stored_step *step,
                                     uint8_t **out, struct covey_error *err)
{
    struct covey_hash hash;
    uint8_t *stream = malloc((size_t)step->bytes);
    if (stream == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %s", path);
    const bool whole = fread(stream, 1, (size_t)step->bytes, file) == step->bytes;
    enum covey_status status = covey_hash_bytes((struct covey_bytes){stream, (size_t)step->bytes}, &hash);
    if (status == COVEY_OK && (!whole || !covey_hash_equal(&hash, &step->stream)))
        status = covey_fail(err, COVEY_CORRUPT, "%s is damaged: the stream does not have its hash", path);
    if (status != COVEY_OK)
        free(stream);
    else
        *out = stream;
    return status;
}

static bool path_of(const char *folder, uint64_t sequence, char path[PATH_BYTES])
{
    return snprintf(path, PATH_BYTES, "%s/" NAME_FORMAT, folder, (unsigned long long)sequence) < PATH_BYTES;
}

enum covey_status covey_step_store_load(const char *folder, uint64_t sequence, struct covey_stored_step *step,
                                        uint8_t **stream, struct covey_error *err)
{
    char path[PATH_BYTES];
    uint8_t header[HEADER_BYTES];
    struct covey_stored_step found;
    if (!path_of(folder, sequence, path))
        return covey_fail(err, COVEY_LIMIT, "the path %.80s... is too long", folder);
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: %s", path, strerror(errno));
    enum covey_status status = COVEY_OK;
    if (fread(header, 1, HEADER_BYTES, file) != HEADER_BYTES)
        status = covey_fail(err, COVEY_CORRUPT, "%s is cut short", path);
    if (status == COVEY_OK)
        status = read_header(header, path, &found, err);
    if (status == COVEY_OK && stream != NULL)
        status = read_stream(file, path, &found, stream, err);
    (void)fclose(file);
    if (status == COVEY_OK)
        *step = found;
    return status;
}

void covey_step_store_remove(const char *folder, uint64_t sequence)
{
    char path[PATH_BYTES];
    if (path_of(folder, sequence, path))
        (void)unlink(path);
}

void covey_step_store_prune(const char *folder, uint64_t up_to)
{
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    while (entries != NULL && (entry = readdir(entries)) != NULL) {
        unsigned long long sequence = 0;
        int end = 0;
        if (sscanf(entry->d_name, "%8llu.step%n", &sequence, &end) == 1 && end == 13 &&
            entry->d_name[end] == '\0' && sequence <= up_to)
            covey_step_store_remove(folder, sequence);
    }
    if (entries != NULL)
        (void)closedir(entries);
}
