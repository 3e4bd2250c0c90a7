#include "coap_registry.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "covey/coap.h"
#include "covey/random.h"

#define BUCKETS 4096

struct entry {
    struct entry *next;
    char name[COVEY_NAME_BYTES];
    uint32_t sessions;
    uint16_t at[COVEY_COAP_SHARDS];
};

struct covey_coap_registry {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
};

enum covey_status covey_coap_registry_create(struct covey_coap_registry **out)
{
    struct covey_coap_registry *registry = calloc(1, sizeof *registry);
    if (registry == NULL || pthread_mutex_init(&registry->lock, NULL) != 0) {
        free(registry);
        return COVEY_NO_MEMORY;
    }
    *out = registry;
    return COVEY_OK;
}

void covey_coap_registry_destroy(struct covey_coap_registry *registry)
{
    if (registry == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (registry->buckets[i] != NULL) {
            struct entry *entry = registry->buckets[i];
            registry->buckets[i] = entry->next;
            free(entry);
        }
    }
    (void)pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* Where the entry hangs, or would. */
static struct entry **find(struct covey_coap_registry *registry, const char *name)
{
    struct entry **at = &registry->buckets[covey_random_id(name) % BUCKETS];
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

bool covey_coap_registry_add(struct covey_coap_registry *registry, const char *name, uint32_t shard)
{
    bool first = false;
    (void)pthread_mutex_lock(&registry->lock);
    struct entry **at = find(registry, name);
    if (*at == NULL && (*at = calloc(1, sizeof **at)) != NULL)
        memcpy((*at)->name, name, strlen(name) + 1);
    if (*at != NULL) {
        first = (*at)->sessions++ == 0;
        (*at)->at[shard]++;
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return first;
}

bool covey_coap_registry_remove(struct covey_coap_registry *registry, const char *name, uint32_t shard)
{
    bool last = false;
    (void)pthread_mutex_lock(&registry->lock);
    struct entry **at = find(registry, name);
    if (*at != NULL && (*at)->at[shard] > 0) {
        struct entry *entry = *at;
        entry->at[shard]--;
        last = --entry->sessions == 0;
        if (last) {
            *at = entry->next;
            free(entry);
        }
    }
    (void)pthread_mutex_unlock(&registry->lock);
    return last;
}

uint64_t covey_coap_registry_find(struct covey_coap_registry *registry, const char *name)
{
    uint64_t shards = 0;
    (void)pthread_mutex_lock(&registry->lock);
    const struct entry *entry = *find(registry, name);
    for (uint32_t i = 0; entry != NULL && i < COVEY_COAP_SHARDS; i++)
        shards |= (uint64_t)(entry->at[i] > 0) << i;
    (void)pthread_mutex_unlock(&registry->lock);
    return shards;
}
