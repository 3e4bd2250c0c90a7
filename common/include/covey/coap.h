/* The transport over CoAP and DTLS 1.2 (RFC 7252, 7641, 7959, 9175; RFC 6347): both tables of
 * covey/transport.h. Only common/coap/ knows libcoap. docs/transport.md: what goes over the wire, what was
 * measured, which faults of libcoap 4.3.5 are avoided and how.
 *
 * A link is driven by its owner (run); a host has a thread, a port and an event loop for each shard. Real
 * sockets go with the machine's own monotonic clock; of env only the log is used. covey_crypto_start() comes
 * first. */
#ifndef COVEY_COAP_H
#define COVEY_COAP_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/blockwise.h"
#include "covey/credentials.h"
#include "covey/env.h"
#include "covey/status.h"
#include "covey/transport.h"

#define COVEY_COAP_PORT 5684 /* coaps, RFC 7252 section 6.2 */
#define COVEY_COAP_SHARDS 64
#define COVEY_COAP_HANDSHAKE_MS 10000u  /* then it is given up; the caller connects again */
#define COVEY_COAP_SILENCE_MS 10000u    /* a link that sends and hears nothing for so long is down */
#define COVEY_COAP_EXCHANGE_MS 60000u   /* default of covey_request.timeout_ms: a small request */
#define COVEY_COAP_TRANSFER_MS 3600000u /* the same for one that moves blocks */
#define COVEY_COAP_REQUESTS 32          /* outstanding on one link */
#define COVEY_COAP_HANDSHAKES 100       /* at once, a shard */
#define COVEY_COAP_OBSERVATIONS 8       /* a device */
#define COVEY_COAP_RECEIVE_BUFFER_BYTES (8u << 20)
#define COVEY_COAP_TRANSFER_MEMORY_BYTES (256ull << 20) /* bodies under way, all shards together */
#define COVEY_COAP_TRANSFER_IDLE_MS 120000u             /* an upload without a block for so long is dropped */
#define COVEY_COAP_SESSION_IDLE_S 7200u

/* ---------------------------------------------------------------- device */

struct covey_coap_link_config {
    const struct covey_credentials *credentials; /* borrowed while the link lives */
    struct covey_env env;                        /* the log */
    struct covey_link_events events;
    enum covey_congestion_rule congestion;
    uint32_t handshake_ms; /* 0 = default; so below */
    uint32_t silence_ms;
};

/* INVALID: neither a certificate nor a key in the credentials, or ones that do not parse. */
COVEY_MUST_CHECK enum covey_status covey_coap_link_create(const struct covey_coap_link_config *config,
                                                          struct covey_link_handle *out,
                                                          struct covey_error *err);

/* ---------------------------------------------------------------- server */

struct covey_coap_host_config {
    const char *address;  /* to bind to, a name or a number; NULL or "" = all, IPv6 and IPv4 */
    uint16_t port;        /* of shard 0, the well-known one; shard s has port + s. 0 = a free one (tests) */
    uint32_t shard_count; /* 0 = 1; at most COVEY_COAP_SHARDS */
    const struct covey_credentials *credentials; /* borrowed while the host lives */
    struct covey_env env;                        /* the log */
    struct covey_service service;
    /* Asked for each request: may this peer still talk to us (deny-list)? NULL = yes. Any shard's thread;
     * quick. */
    bool (*allow_peer)(void *user, const char *name);
    void *allow_user;
    const char
        *links; /* what GET /.well-known/core answers (RFC 6690), at most one block; NULL = /where and /f */
    /* caps; 0 = default */
    uint32_t shard_sessions; /* COVEY_SHARD_DEVICES; beyond it the longest silent one goes */
    uint32_t shard_handshakes;
    uint32_t receive_buffer_bytes; /* of the socket; a warning when the kernel caps it */
    uint64_t transfer_memory_bytes;
    uint32_t transfer_idle_ms;
    uint32_t session_idle_s;
};

/* Binds every port and starts the threads. EXISTS: a port is taken (the text says which); LIMIT: too many
 * shards; INVALID: credentials that do not parse. */
COVEY_MUST_CHECK enum covey_status covey_coap_host_create(const struct covey_coap_host_config *config,
                                                          struct covey_host_handle *out,
                                                          struct covey_error *err);

/* The UDP port of a shard; 0 when there is no such shard. */
uint16_t covey_coap_host_port(const struct covey_host *host, uint32_t shard);

struct covey_coap_host_figures {
    uint32_t sessions;  /* authenticated, now */
    uint32_t transfers; /* uploads under way, finished ones remembered included */
    uint64_t transfer_memory_bytes;
    uint32_t observations;
    uint64_t refused_handshakes;
};
/* Thread-safe. */
void covey_coap_host_figures(struct covey_host *host, struct covey_coap_host_figures *out);

#endif
