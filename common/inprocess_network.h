/* What the two halves of the in-process transport share. One lock, the network's, guards every list here;
 * callbacks run without it. */
#ifndef COVEY_INPROCESS_NETWORK_H
#define COVEY_INPROCESS_NETWORK_H

#include <pthread.h>

#include "covey/inprocess.h"
#include "exchange.h"

#define INPROCESS_QUERY_BYTES 192
#define INPROCESS_BUCKETS 1024 /* by device name */

struct covey_inprocess_network {
    struct covey_inprocess_network_config config;
    pthread_mutex_t lock;
    pthread_cond_t host_idle; /* a call into some host has ended */
    struct covey_host *hosts;
    struct covey_link *links;
    struct covey_link *named[INPROCESS_BUCKETS];
};

/* Something on its way to a link's owner. */
enum parcel_kind { PARCEL_STATE, PARCEL_REPLY };
struct parcel {
    struct parcel *next;
    uint64_t due_ms;
    enum parcel_kind kind;
    uint32_t generation;         /* of the connection it belongs to */
    enum covey_link_state state; /* STATE */
    struct covey_error reason;
    uint32_t id; /* REPLY: the request's */
    bool notification;
    bool observed; /* REPLY: more will follow */
    uint8_t code;
    uint32_t max_age_s;
    struct covey_blob *blob;
    size_t copy_bytes;
    uint8_t copy[];
};

enum order_stage { ORDER_FREE, ORDER_QUEUED, ORDER_SERVED };
/* One request of a link. */
struct order {
    enum order_stage stage;
    uint32_t id;
    bool observe, stop; /* stop: ends an observation, nobody waits for the answer */
    uint64_t due_ms, timeout_ms;
    enum covey_method method;
    char path[COVEY_PATH_BYTES];
    char query[INPROCESS_QUERY_BYTES];
    int content_format;
    struct covey_bytes body;
    bool has_expect;
    struct covey_hash expect;
    size_t reply_limit_bytes;
    covey_reply_fn *reply;
    void *user;
};

struct covey_link {
    struct covey_inprocess_network *network;
    struct covey_link *next, *next_named;
    struct covey_link_events events;
    struct covey_peer peer;
    pthread_cond_t stirred;
    bool woken;
    struct covey_host *host; /* NULL: not connected */
    uint32_t generation;
    uint32_t next_id;
    uint32_t bucket; /* of its name */
    uint32_t order_count;
    struct order orders[COVEY_INPROCESS_REQUESTS];
    struct parcel *inbox; /* by due_ms */
    struct covey_traffic traffic;
};

struct observation {
    struct observation *next;
    struct covey_link *link;
    uint32_t id, generation;
    char path[COVEY_PATH_BYTES];
};

struct covey_host {
    struct covey_inprocess_network *network;
    struct covey_host *next;
    struct covey_inprocess_host_config config;
    char name[128];
    pthread_mutex_t serving; /* one call into the service at a time */
    uint32_t users;          /* threads inside or on their way into the service */
    struct observation *observations[INPROCESS_BUCKETS];
    struct pending *pending; /* exchanges that are not answered yet */
    struct covey_traffic traffic;
};

/* An exchange: owned by the service until it is answered; link and host become NULL when they go first. */
struct pending {
    struct covey_exchange base;
    struct covey_inprocess_network *network;
    struct covey_host *host;
    struct covey_link *link;
    struct pending *next;
    uint32_t id, generation;
    bool observe;
    char path[COVEY_PATH_BYTES];
};

uint32_t covey_inprocess_bucket(const char *name);
uint64_t covey_inprocess_now_ms(const struct covey_inprocess_network *network);

/* With the lock held: puts a parcel into the link's inbox; `bytes` is what it weighs on the way. A parcel
 * that is lost is freed. */
void covey_inprocess_post(struct covey_link *link, struct parcel *parcel, size_t bytes);
void covey_inprocess_parcel_free(struct parcel *parcel);

/* With the lock held: the connection is over as the owner will hear in its next run. */
void covey_inprocess_hang_up(struct covey_link *link, enum covey_status status, const char *text);

/* Without the lock; host has been counted as used. */
void covey_inprocess_serve(struct covey_host *host, struct covey_link *link, const struct order *order);
void covey_inprocess_peer(struct covey_host *host, const struct covey_peer *peer, bool present);

/* With the lock held. */
void covey_inprocess_forget_link(struct covey_host *host, const struct covey_link *link);
void covey_inprocess_host_use(struct covey_host *host);
void covey_inprocess_host_leave(struct covey_host *host);

#endif
