/* A request that waits for the service's answer, and how the answer becomes a message. */
#ifndef COVEY_COAP_EXCHANGE_H
#define COVEY_COAP_EXCHANGE_H

#include "coap_shard.h"
#include "exchange.h"

struct covey_coap_exchange {
    struct covey_exchange base; /* first */
    struct covey_coap_mail mail;
    struct covey_coap_mailbox *mailbox;     /* held */
    struct covey_coap_shard *shard;         /* valid while the mailbox is open */
    pthread_t thread;                       /* the shard's */
    struct covey_coap_exchange *next, **at; /* in the shard's list */
    struct covey_coap_peering *peering;     /* held */
    struct covey_coap_upload *upload;       /* NULL: the body came in one datagram, or none */
    enum covey_coap_kind kind;
    enum covey_method method;
    struct covey_coap_token token;
    struct covey_coap_block block2;
    bool observe;
    char path[COVEY_PATH_BYTES];
    bool answered_inside; /* during serve(), on the shard's thread */
    atomic_int parting;   /* when the shard ends first: it and the service part, the second one frees */
    /* the answer */
    uint8_t code;
    int content_format;
    uint32_t max_age_s;
    struct covey_blob *blob;
    size_t copy_bytes;
    uint8_t copy[COVEY_BLOCK_BYTES];
};

/* NULL: no memory, or COVEY_COAP_EXCHANGES are outstanding. */
struct covey_coap_exchange *covey_coap_exchange_open(struct covey_coap_shard *shard,
                                                     struct covey_coap_peering *peering,
                                                     const struct covey_coap_message *request,
                                                     struct covey_coap_upload *upload);
/* An outstanding one of this request (a repeat)? */
bool covey_coap_exchange_is_open(const struct covey_coap_shard *shard,
                                 const struct covey_coap_peering *peering,
                                 const struct covey_coap_token *token);
/* Writes the answer into `message` (its token and kind are set), with the side effects: observation, upload,
 * memory of repeats. The payload is borrowed from the exchange. */
void covey_coap_exchange_answer(struct covey_coap_exchange *exchange, struct covey_coap_message *message);
/* Sends the answer as a message of its own and frees the exchange. */
void covey_coap_exchange_send(struct covey_coap_exchange *exchange);
void covey_coap_exchange_close(struct covey_coap_exchange *exchange);
/* 5.03 to everybody: the shard ends. Memory of an exchange stays with the service until it answers. */
void covey_coap_exchange_abandon_all(struct covey_coap_shard *shard);

/* Observations (RFC 7641): one for each device and path. */
void covey_coap_observation_stop(struct covey_coap_shard *shard, const char *name, const char *path);
struct covey_coap_peering *covey_coap_shard_named(const struct covey_coap_shard *shard, const char *name);

uint64_t covey_coap_shard_now_ms(void);

#endif
