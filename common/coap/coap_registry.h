/* Which device has a session at which shard. All shards share it; thread-safe. */
#ifndef COVEY_COAP_REGISTRY_H
#define COVEY_COAP_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/status.h"

struct covey_coap_registry;

COVEY_MUST_CHECK enum covey_status covey_coap_registry_create(struct covey_coap_registry **out);
void covey_coap_registry_destroy(struct covey_coap_registry *registry); /* NULL is legal */

/* A session came or went. True: the device was absent before (is absent now). Without memory a device counts
 * as absent. */
bool covey_coap_registry_add(struct covey_coap_registry *registry, const char *name, uint32_t shard);
bool covey_coap_registry_remove(struct covey_coap_registry *registry, const char *name, uint32_t shard);

/* Bit s: there is a session at shard s. */
uint64_t covey_coap_registry_find(struct covey_coap_registry *registry, const char *name);

#endif
