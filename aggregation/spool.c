#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "covey/limits.h"

enum covey_status covey_spool_init(struct covey_spool *spool, const char *folder, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    const char *where = folder == NULL || folder[0] == '\0' ? "/tmp" : folder;
    if ((size_t)snprintf(path, sizeof path, "%s/covey-spool-XXXXXX", where) >= sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", where);
    const int file = mkostemp(path, O_CLOEXEC);
    if (file < 0)
        return covey_fail(err, COVEY_IO, "%s: no file for a round's updates can be made there: %s", where,
                          strerror(errno));
    (void)unlink(path);
    *spool = (struct covey_spool){.file = file};
    return COVEY_OK;
}

void covey_spool_deinit(struct covey_spool *spool)
{
    if (spool->map != NULL)
        (void)munmap(spool->map, (size_t)spool->bytes);
    if (spool->file >= 0)
        (void)close(spool->file);
    *spool = (struct covey_spool){.file = -1};
}

enum covey_status covey_spool_append(struct covey_spool *spool, struct covey_bytes stream, uint64_t *at,
                                     struct covey_error *err)
{
    size_t done = 0;
    while (done < stream.size) {
        const ssize_t some =
            pwrite(spool->file, stream.data + done, stream.size - done, (off_t)(spool->bytes + done));
        if (some < 0 && errno == EINTR)
            continue;
        if (some <= 0)
            return covey_fail(err, COVEY_IO, "an update could not be put aside for the round: %s",
                              strerror(errno));
        done += (size_t)some;
    }
    *at = spool->bytes;
    spool->bytes += stream.size;
    return COVEY_OK;
}

enum covey_status covey_spool_map(struct covey_spool *spool, struct covey_error *err)
{
    if (spool->map != NULL || spool->bytes == 0)
        return COVEY_OK;
    void *map = mmap(NULL, (size_t)spool->bytes, PROT_READ, MAP_SHARED, spool->file, 0);
    if (map == MAP_FAILED)
        return covey_fail(err, COVEY_NO_MEMORY, "the round's updates could not be mapped: %s",
                          strerror(errno));
    spool->map = map;
    return COVEY_OK;
}

struct covey_bytes covey_spool_view(const struct covey_spool *spool, uint64_t at, size_t bytes)
{
    return (struct covey_bytes){(const uint8_t *)spool->map + at, bytes};
}

void covey_spool_release(const struct covey_spool *spool)
{
    if (spool->map != NULL)
        (void)madvise(spool->map, (size_t)spool->bytes, MADV_DONTNEED);
}
