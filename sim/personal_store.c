#include "personal_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "covey/limits.h"

#define NO_PLACE 0 /* places count from 1 */

struct record {
    uint32_t place; /* + 1 */
    uint32_t copy;  /* 0, 1: which holds; 2: none yet */
    uint64_t sequence;
};

struct covey_personal_store {
    struct covey_personal_config config;
    size_t place_bytes; /* of both copies */
    uint8_t *mapped;
    size_t mapped_bytes;
    int file;
    uint32_t places;        /* given out */
    struct record *records; /* (devices) */
};

static int open_file(const struct covey_personal_config *config)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (config->folder == NULL) {
        FILE *file = tmpfile();
        if (file == NULL)
            return -1;
        const int copy = dup(fileno(file));
        (void)fclose(file);
        return copy;
    }
    if (snprintf(path, sizeof path, "%s/personal", config->folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(path, O_RDWR | O_CREAT | O_CLOEXEC | (config->resume ? 0 : O_TRUNC), 0644);
}

static enum covey_status map_file(struct covey_personal_store *store, struct covey_error *err)
{
    store->file = open_file(&store->config);
    if (store->file < 0)
        return covey_fail(err, COVEY_IO, "no file for what devices keep: %s", strerror(errno));
    if (ftruncate(store->file, (off_t)store->mapped_bytes) != 0)
        return covey_fail(err, COVEY_IO, "the file for what devices keep cannot have %zu bytes: %s",
                          store->mapped_bytes, strerror(errno));
    void *mapped = mmap(NULL, store->mapped_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, store->file, 0);
    if (mapped == MAP_FAILED)
        return covey_fail(err, COVEY_IO, "the file for what devices keep cannot be mapped: %s",
                          strerror(errno));
    store->mapped = mapped;
    return COVEY_OK;
}

enum covey_status covey_personal_store_create(const struct covey_personal_config *config,
                                              struct covey_personal_store **out, struct covey_error *err)
{
    size_t place_bytes, total;
    if (__builtin_mul_overflow(config->values, 2 * sizeof(float), &place_bytes) ||
        __builtin_mul_overflow(place_bytes, (size_t)config->seen, &total) || total > config->limit_bytes)
        return covey_fail(
            err, COVEY_LIMIT,
            "what %u devices keep would take %.1f GB on the disk (%zu values each, twice), store_bytes "
            "allows %.1f GB: choose fewer devices, a codec that needs no error feedback, or "
            "error_feedback: off",
            config->seen, (double)config->seen * (double)config->values * 8 / 1e9, config->values,
            (double)config->limit_bytes / 1e9);
    struct covey_personal_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory");
    store->config = *config;
    store->file = -1;
    store->place_bytes = place_bytes;
    store->mapped_bytes = total;
    store->records = calloc(config->devices, sizeof *store->records);
    enum covey_status status =
        store->records == NULL ? covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", config->devices)
                               : map_file(store, err);
    if (status != COVEY_OK) {
        covey_personal_store_destroy(store);
        return status;
    }
    *out = store;
    return COVEY_OK;
}

void covey_personal_store_destroy(struct covey_personal_store *store)
{
    if (store == NULL)
        return;
    if (store->mapped != NULL)
        (void)munmap(store->mapped, store->mapped_bytes);
    if (store->file >= 0)
        (void)close(store->file);
    free(store->records);
    free(store);
}

void covey_personal_store_forget(struct covey_personal_store *store)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (store->config.folder != NULL &&
        snprintf(path, sizeof path, "%s/personal", store->config.folder) < (int)sizeof path)
        (void)unlink(path); /* the mapping stays until it is destroyed */
}

enum covey_status covey_personal_store_seat(struct covey_personal_store *store, uint32_t device,
                                            struct covey_error *err)
{
    struct record *record = &store->records[device];
    if (record->place != NO_PLACE)
        return COVEY_OK;
    if (store->places >= store->config.seen)
        return covey_fail(err, COVEY_LIMIT, "more devices took part than the %u that were counted on",
                          store->config.seen);
    *record = (struct record){.place = ++store->places, .copy = 2};
    return COVEY_OK;
}

static float *copy_of(const struct covey_personal_store *store, const struct record *record, uint32_t copy)
{
    uint8_t *at =
        store->mapped + (size_t)(record->place - 1) * store->place_bytes + copy * (store->place_bytes / 2);
    return (float *)(void *)at;
}

const float *covey_personal_store_read(const struct covey_personal_store *store, uint32_t device,
                                       uint64_t *sequence)
{
    const struct record *record = &store->records[device];
    if (record->place == NO_PLACE || record->copy == 2)
        return NULL;
    *sequence = record->sequence;
    return copy_of(store, record, record->copy);
}

float *covey_personal_store_draft(struct covey_personal_store *store, uint32_t device)
{
    const struct record *record = &store->records[device];
    return record->place == NO_PLACE ? NULL : copy_of(store, record, record->copy == 0 ? 1 : 0);
}

void covey_personal_store_keep(struct covey_personal_store *store, uint32_t device, uint64_t sequence)
{
    struct record *record = &store->records[device];
    record->copy = record->copy == 0 ? 1 : 0;
    record->sequence = sequence;
}

size_t covey_personal_store_save_bytes(const struct covey_personal_store *store)
{
    return (size_t)store->config.devices * sizeof *store->records;
}

void covey_personal_store_save(const struct covey_personal_store *store, uint8_t *out)
{
    memcpy(out, store->records, covey_personal_store_save_bytes(store));
}

enum covey_status covey_personal_store_load(struct covey_personal_store *store, const uint8_t *bytes,
                                            size_t size, struct covey_error *err)
{
    if (size != covey_personal_store_save_bytes(store))
        return covey_fail(err, COVEY_MISMATCH, "the checkpoint is of another fleet");
    memcpy(store->records, bytes, size);
    store->places = 0;
    for (uint32_t i = 0; i < store->config.devices; i++) {
        const struct record *record = &store->records[i];
        if (record->place > store->config.seen || record->copy > 2)
            return covey_fail(err, COVEY_CORRUPT,
                              "the checkpoint names a place that the store does not have");
        if (record->place > store->places)
            store->places = record->place;
    }
    return COVEY_OK;
}

enum covey_status covey_personal_store_sync(struct covey_personal_store *store, struct covey_error *err)
{
    if (msync(store->mapped, store->mapped_bytes, MS_SYNC) != 0)
        return covey_fail(err, COVEY_IO, "what devices keep could not be written: %s", strerror(errno));
    return COVEY_OK;
}
