/* The devices that the server knows: names in the order of their coming (a device's place, which decides its
 * shard), who is connected, when each was last seen. Names are what DTLS proved. Thread-safe; every call is
 * short. */
#ifndef COVEY_REGISTRY_H
#define COVEY_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/status.h"

#include "ledger.h"

struct covey_registry;

/* limit: devices at the most, up to COVEY_DEVICES. */
COVEY_MUST_CHECK enum covey_status covey_registry_create(uint32_t limit, struct covey_registry **out,
                                                         struct covey_error *err);
void covey_registry_destroy(struct covey_registry *registry); /* NULL is legal */

/* From the ledger, in the order of their places, before anything else; gaps close up. CORRUPT: a name twice.
 */
COVEY_MUST_CHECK enum covey_status covey_registry_restore(struct covey_registry *registry,
                                                          const struct covey_ledger_device *device,
                                                          struct covey_error *err);

/* The place of a name, new or known, seen now. LIMIT: there are too many. */
COVEY_MUST_CHECK enum covey_status covey_registry_enter(struct covey_registry *registry, const char *name,
                                                        int64_t now_s, uint32_t *place);
/* NOT_FOUND. */
COVEY_MUST_CHECK enum covey_status covey_registry_find(struct covey_registry *registry, const char *name,
                                                       uint32_t *place);

/* A session came (+1) or went (-1); a device that reconnects has two for a while. Returns the sessions that
 * it has now. */
uint32_t covey_registry_session(struct covey_registry *registry, uint32_t place, int change);

/* What is known of a place below the count. */
bool covey_registry_is_present(struct covey_registry *registry, uint32_t place);
void covey_registry_name(struct covey_registry *registry, uint32_t place, char out[COVEY_NAME_BYTES]);
uint64_t covey_registry_id(struct covey_registry *registry, uint32_t place); /* covey_random_id of the name */
void covey_registry_counts(struct covey_registry *registry, uint32_t *known, uint32_t *present);

/* Up to capacity devices that were seen since they were last taken, to be written to the ledger. */
uint32_t covey_registry_take_seen(struct covey_registry *registry, struct covey_ledger_device *out,
                                  uint32_t capacity);

#endif
