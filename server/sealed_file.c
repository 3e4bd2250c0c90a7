#include "sealed_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/hash.h"
#include "covey/limits.h"
#include "durable_file.h"

enum covey_status covey_sealed_write(const char *folder, const char *name, struct covey_bytes bytes,
                                     struct covey_error *err)
{
    struct covey_hash seal;
    COVEY_TRY(covey_hash_bytes(bytes, &seal));
    const struct covey_bytes pieces[] = {bytes, {seal.bytes, sizeof seal.bytes}};
    return covey_file_replace(&covey_file_calls_system, folder, name, 0600, pieces, 2, err);
}

static enum covey_status read_all(FILE *file, const char *path, size_t most, uint8_t **out, size_t *size,
                                  struct covey_error *err)
{
    const long end = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (end < 0 || fseek(file, 0, SEEK_SET) != 0)
        return covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    if ((size_t)end < COVEY_HASH_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "%s is cut short", path);
    if ((size_t)end - COVEY_HASH_BYTES > most)
        return covey_fail(err, COVEY_LIMIT, "%s has %ld bytes", path, end);
    uint8_t *bytes = malloc((size_t)end);
    if (bytes == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %s", path);
    struct covey_hash seal;
    *size = (size_t)end - COVEY_HASH_BYTES;
    enum covey_status status = COVEY_OK;
    if (fread(bytes, 1, (size_t)end, file) != (size_t)end)
        status = covey_fail(err, COVEY_IO, "%s could not be read", path);
    if (status == COVEY_OK)
        status = covey_hash_bytes((struct covey_bytes){bytes, *size}, &seal);
    if (status == COVEY_OK && memcmp(seal.bytes, bytes + *size, sizeof seal.bytes) != 0)
        status = covey_fail(err, COVEY_CORRUPT, "%s is damaged", path);
    if (status != COVEY_OK) {
        free(bytes);
        return status;
    }
    *out = bytes;
    return COVEY_OK;
}

enum covey_status covey_sealed_read(const char *folder, const char *name, size_t most, uint8_t **out,
                                    size_t *size, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
        return covey_fail(err, COVEY_LIMIT, "the path %s/%s is too long", folder, name);
    FILE *file = fopen(path, "rbe");
    if (file == NULL)
        return covey_fail(err, errno == ENOENT ? COVEY_NOT_FOUND : COVEY_IO, "%s: %s", path, strerror(errno));
    const enum covey_status status = read_all(file, path, most, out, size, err);
    (void)fclose(file);
    return status;
}

void covey_sealed_remove(const char *folder, const char *name)
{
    char path[COVEY_FILE_PATH_BYTES];
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path)
        (void)unlink(path);
}
