/* One shard of a server: an engine, its thread, the devices that are connected here. */
#ifndef COVEY_COAP_SHARD_H
#define COVEY_COAP_SHARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "coap_engine.h"
#include "coap_intake.h"
#include "coap_mailbox.h"
#include "coap_registry.h"
#include "covey/coap.h"

#define COVEY_COAP_SESSIONS_PER_PEER 4 /* of one device at a shard; the oldest gives way */
#define COVEY_COAP_EXCHANGES 4096      /* that wait for the service, a shard */
#define COVEY_COAP_RECENT 8            /* answers remembered for repeats, a session */
#define COVEY_COAP_NAME_BUCKETS 1024
#define COVEY_COAP_REFUSALS_LOGGED 10 /* a second */

/* What all shards of a host share; all of it thread-safe or constant. */
struct covey_coap_common {
    struct covey_coap_host_config config;
    struct covey_coap_registry *registry;
    atomic_ullong transfer_memory_bytes;
};

/* What a shard tells other threads. */
struct covey_coap_shard_figures {
    atomic_ullong sent_bytes, received_bytes, sent_datagrams, received_datagrams, upload_bytes;
    atomic_uint sessions, transfers, observations;
    atomic_ullong refused;
};

struct covey_coap_observation {
    bool used;
    char path[COVEY_PATH_BYTES];
    struct covey_coap_token token;
    uint16_t message_id; /* of the last notification */
};

struct covey_coap_recent {
    struct covey_coap_token token;
    uint8_t code;
};

/* A device's session, beside what the engine knows of it. */
struct covey_coap_visitor {
    struct covey_coap_observation observations[COVEY_COAP_OBSERVATIONS];
    struct covey_coap_recent recent[COVEY_COAP_RECENT];
    uint32_t recent_next;
};

struct covey_coap_exchange;

struct covey_coap_shard {
    struct covey_coap_common *common;
    uint32_t index;
    uint16_t port;
    struct covey_coap_engine *engine;
    struct covey_coap_mailbox *mailbox;
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    struct covey_coap_peering *names[COVEY_COAP_NAME_BUCKETS];
    struct covey_coap_intake intake;
    struct covey_coap_exchange *exchanges; /* not answered yet */
    uint32_t exchange_count;
    struct covey_coap_exchange *serving; /* the service is being called for this one, on this thread */
    struct covey_coap_exchange
        *lingering;         /* answered; its body is borrowed by the message that is going out */
    uint32_t sequence;      /* of notifications, 24 bits on the wire */
    uint64_t counted_bytes; /* received, up to the datagram before this one */
    uint64_t housekeeping_ms;
    uint32_t refusals_logged;
    uint8_t scratch[COVEY_PLAN_BYTES]; /* an encoded upload state */
    struct covey_coap_shard_figures figures;
};

/* Binds address, but starts no thread yet. */
COVEY_MUST_CHECK enum covey_status covey_coap_shard_init(struct covey_coap_shard *shard,
                                                         struct covey_coap_common *common, uint32_t index,
                                                         const struct sockaddr *address,
                                                         uint32_t address_bytes, struct covey_error *err);
COVEY_MUST_CHECK enum covey_status covey_coap_shard_start(struct covey_coap_shard *shard,
                                                          struct covey_error *err);
/* Stops the thread, answers what is outstanding with 5.03, closes all sessions. An all-zero one is legal. */
void covey_coap_shard_deinit(struct covey_coap_shard *shard);

/* The shard's thread: frees what lingers. */
void covey_coap_shard_let_go(struct covey_coap_shard *shard);

/* From any thread. NO_MEMORY. */
COVEY_MUST_CHECK enum covey_status covey_coap_shard_notify(struct covey_coap_shard *shard, const char *name,
                                                           const char *path, struct covey_blob *body,
                                                           int content_format);
COVEY_MUST_CHECK enum covey_status covey_coap_shard_drop(struct covey_coap_shard *shard, const char *name);

#endif
