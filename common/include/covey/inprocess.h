/* The transport without sockets: both tables of covey/transport.h inside one process, for the simulator, for
 * tests, and to show that nothing above the transport depends on CoAP. Whole bodies pass by reference;
 * nothing is cut into blocks.
 *
 *   network   where hosts are found by address; links and hosts live on it, in any order
 *   host      a service at "NAME" and its ports
 *   link      one device; what DTLS would have proved, its name, is given when it is made
 *
 * Two ways to run: THREADED, where link, service and notifications may be on different threads (a service is
 * called on the thread that runs the link, one call a host at a time), and SINGLE, without locks or waits,
 * under the clock of env: run() delivers what is due and returns at once, and covey_inprocess_next_due tells
 * a simulator how far it may advance.
 *
 * Bytes are counted as CoAP over DTLS would need them, by a formula (inprocess.c): datagrams of a block each,
 * framing included, no repeats, no handshake. */
#ifndef COVEY_INPROCESS_H
#define COVEY_INPROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/env.h"
#include "covey/status.h"
#include "covey/transport.h"

#define COVEY_INPROCESS_REQUESTS 32 /* outstanding on one link */

enum covey_inprocess_mode { COVEY_INPROCESS_SINGLE, COVEY_INPROCESS_THREADED };

struct covey_inprocess_network_config {
    enum covey_inprocess_mode mode;
    struct covey_env env; /* clock (SINGLE: the virtual one) and log */
    /* How long a message of so many bytes (framing included) takes from or to the device `name`, or negative:
     * it is lost, and the exchange ends by its timeout. NULL: no time at all. */
    int64_t (*transit_ms)(void *user, const char *name, size_t bytes, bool up);
    void *user;
};

struct covey_inprocess_network;
COVEY_MUST_CHECK enum covey_status covey_inprocess_network_create(
    const struct covey_inprocess_network_config *config, struct covey_inprocess_network **out);
/* After all its links and hosts. NULL is legal. */
void covey_inprocess_network_destroy(struct covey_inprocess_network *network);

struct covey_inprocess_host_config {
    const char *name;     /* "HOST" of the address that links connect to, copied */
    uint16_t port;        /* "HOST:PORT"; shard s is at port + s */
    uint32_t shard_count; /* 0 = 1 */
    struct covey_service service;
    bool (*allow_peer)(void *user, const char *name); /* as in covey/coap.h */
    void *allow_user;
};
/* EXISTS: the address is taken. */
COVEY_MUST_CHECK enum covey_status covey_inprocess_host_create(
    struct covey_inprocess_network *network, const struct covey_inprocess_host_config *config,
    struct covey_host_handle *out, struct covey_error *err);

/* peer_name: who the host sees, copied. The link starts DOWN; connect with "HOST:PORT". */
COVEY_MUST_CHECK enum covey_status covey_inprocess_link_create(struct covey_inprocess_network *network,
                                                               const char *peer_name,
                                                               const struct covey_link_events *events,
                                                               struct covey_link_handle *out,
                                                               struct covey_error *err);

/* SINGLE: the earliest time at which a link has something to do, UINT64_MAX when nothing is under way. */
uint64_t covey_inprocess_next_due_ms(const struct covey_inprocess_network *network);

/* ---- weight, for whoever computes the time or cost of a transfer ---- */

#define COVEY_INPROCESS_ANSWER_BYTES 41 /* of the answer to one block of an upload */

/* What a message needs as CoAP over DTLS: datagrams and bytes, of the message itself and of what acknowledges
 * its blocks. path: of the resource. */
struct covey_inprocess_weight {
    uint64_t datagrams, bytes;
    uint64_t answer_datagrams, answer_bytes;
};
struct covey_inprocess_weight covey_inprocess_weigh(const char *path, size_t body_bytes);

#endif
