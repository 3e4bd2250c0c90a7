#include "registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"

#define FIRST_CAPACITY 64
#define NOBODY UINT32_MAX

struct entry {
    char name[COVEY_NAME_BYTES];
    uint64_t id;
    int64_t first_seen_s, last_seen_s;
    uint32_t sessions;
    bool seen; /* since it was last taken */
};

struct covey_registry {
    pthread_mutex_t mutex;
    struct entry *entries; /* (capacity), by place */
    uint32_t count, capacity, limit, present;
    uint32_t *buckets; /* (2 * capacity) places, open addressing; NOBODY = free */
    uint32_t scan;     /* where take_seen goes on */
};

enum covey_status covey_registry_create(uint32_t limit, struct covey_registry **out, struct covey_error *err)
{
    struct covey_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the registry");
    registry->limit = limit < COVEY_DEVICES ? limit : COVEY_DEVICES;
    pthread_mutex_init(&registry->mutex, NULL);
    *out = registry;
    return COVEY_OK;
}

void covey_registry_destroy(struct covey_registry *registry)
{
    if (registry == NULL)
        return;
    pthread_mutex_destroy(&registry->mutex);
    free(registry->entries);
    free(registry->buckets);
    free(registry);
}

/* The bucket that holds name, or the free one where it belongs. capacity > 0. */
static uint32_t *bucket_of(const struct covey_registry *registry, const char *name, uint64_t id)
{
    const uint32_t mask = 2 * registry->capacity - 1;
    for (uint32_t i = (uint32_t)id & mask;; i = (i + 1) & mask) {
        uint32_t *bucket = &registry->buckets[i];
        if (*bucket == NOBODY)
            return bucket;
        const struct entry *entry = &registry->entries[*bucket];
        if (entry->id == id && strcmp(entry->name, name) == 0)
            return bucket;
    }
}

/* Capacities are powers of two. */
static enum covey_status grow(struct covey_registry *registry)
{
    const uint32_t capacity = registry->capacity == 0 ? FIRST_CAPACITY : 2 * registry->capacity;
    struct entry *entries = realloc(registry->entries, capacity * sizeof *entries);
    if (entries == NULL)
        return COVEY_NO_MEMORY;
    registry->entries = entries;
    uint32_t *buckets = malloc(2 * (size_t)capacity * sizeof *buckets);
    if (buckets == NULL)
        return COVEY_NO_MEMORY;
    memset(buckets, 0xff, 2 * (size_t)capacity * sizeof *buckets);
    free(registry->buckets);
    registry->buckets = buckets;
    registry->capacity = capacity;
    for (uint32_t place = 0; place < registry->count; place++)
        *bucket_of(registry, entries[place].name, entries[place].id) = place;
    return COVEY_OK;
}

static uint32_t find(const struct covey_registry *registry, const char *name, uint64_t id)
{
    return registry->capacity == 0 ? NOBODY : *bucket_of(registry, name, id);
}

static enum covey_status add(struct covey_registry *registry, const char *name, uint64_t id, uint32_t *place)
{
    if (registry->count >= registry->limit)
        return COVEY_LIMIT;
    if (registry->count == registry->capacity)
        COVEY_TRY(grow(registry));
    struct entry *entry = &registry->entries[registry->count];
    *entry = (struct entry){.id = id};
    (void)strncpy(entry->name, name, sizeof entry->name - 1);
    *bucket_of(registry, entry->name, id) = registry->count;
    *place = registry->count++;
    return COVEY_OK;
}

enum covey_status covey_registry_restore(struct covey_registry *registry,
                                         const struct covey_ledger_device *device, struct covey_error *err)
{
    const uint64_t id = covey_random_id(device->name);
    uint32_t place = 0;
    if (find(registry, device->name, id) != NOBODY)
        return covey_fail(err, COVEY_CORRUPT, "ledger: device %s twice", device->name);
    enum covey_status status = add(registry, device->name, id, &place);
    if (status != COVEY_OK)
        return covey_fail(err, status, "ledger: more than %u devices", registry->limit);
    registry->entries[place].first_seen_s = device->first_seen_s;
    registry->entries[place].last_seen_s = device->last_seen_s;
    return COVEY_OK;
}

enum covey_status covey_registry_enter(struct covey_registry *registry, const char *name, int64_t now_s,
                                       uint32_t *place)
{
    const uint64_t id = covey_random_id(name);
    enum covey_status status = COVEY_OK;
    pthread_mutex_lock(&registry->mutex);
    uint32_t found = find(registry, name, id);
    if (found == NOBODY) {
        status = add(registry, name, id, &found);
        if (status == COVEY_OK)
            registry->entries[found].first_seen_s = now_s;
    }
    if (status == COVEY_OK) {
        registry->entries[found].last_seen_s = now_s;
        registry->entries[found].seen = true;
        *place = found;
    }
    pthread_mutex_unlock(&registry->mutex);
    return status;
}

enum covey_status covey_registry_find(struct covey_registry *registry, const char *name, uint32_t *place)
{
    pthread_mutex_lock(&registry->mutex);
    const uint32_t found = find(registry, name, covey_random_id(name));
    pthread_mutex_unlock(&registry->mutex);
    if (found == NOBODY)
        return COVEY_NOT_FOUND;
    *place = found;
    return COVEY_OK;
}

uint32_t covey_registry_session(struct covey_registry *registry, uint32_t place, int change)
{
    uint32_t sessions = 0;
    pthread_mutex_lock(&registry->mutex);
    if (place < registry->count) {
        struct entry *entry = &registry->entries[place];
        const bool before = entry->sessions > 0;
        if (change > 0)
            entry->sessions++;
        else if (entry->sessions > 0)
            entry->sessions--;
        registry->present += (uint32_t)(!before && entry->sessions > 0);
        registry->present -= (uint32_t)(before && entry->sessions == 0);
        sessions = entry->sessions;
    }
    pthread_mutex_unlock(&registry->mutex);
    return sessions;
}

bool covey_registry_is_present(struct covey_registry *registry, uint32_t place)
{
    pthread_mutex_lock(&registry->mutex);
    const bool present = place < registry->count && registry->entries[place].sessions > 0;
    pthread_mutex_unlock(&registry->mutex);
    return present;
}

void covey_registry_name(struct covey_registry *registry, uint32_t place, char out[COVEY_NAME_BYTES])
{
    out[0] = '\0';
    pthread_mutex_lock(&registry->mutex);
    if (place < registry->count)
        memcpy(out, registry->entries[place].name, COVEY_NAME_BYTES);
    pthread_mutex_unlock(&registry->mutex);
}

uint64_t covey_registry_id(struct covey_registry *registry, uint32_t place)
{
    pthread_mutex_lock(&registry->mutex);
    const uint64_t id = place < registry->count ? registry->entries[place].id : 0;
    pthread_mutex_unlock(&registry->mutex);
    return id;
}

void covey_registry_counts(struct covey_registry *registry, uint32_t *known, uint32_t *present)
{
    pthread_mutex_lock(&registry->mutex);
    *known = registry->count;
    *present = registry->present;
    pthread_mutex_unlock(&registry->mutex);
}

uint32_t covey_registry_take_seen(struct covey_registry *registry, struct covey_ledger_device *out,
                                  uint32_t capacity)
{
    uint32_t taken = 0;
    pthread_mutex_lock(&registry->mutex);
    for (uint32_t i = 0; i < registry->count && taken < capacity; i++) {
        const uint32_t place = registry->scan < registry->count ? registry->scan : 0;
        registry->scan = place + 1;
        struct entry *entry = &registry->entries[place];
        if (!entry->seen)
            continue;
        entry->seen = false;
        struct covey_ledger_device *device = &out[taken++];
        *device = (struct covey_ledger_device){
            .place = place, .first_seen_s = entry->first_seen_s, .last_seen_s = entry->last_seen_s};
        memcpy(device->name, entry->name, sizeof device->name);
    }
    pthread_mutex_unlock(&registry->mutex);
    return taken;
}
