/* The server's end of uploads in blocks (Block1): bodies under way, their memory, and the answers of finished
 * ones, so that a late repeat gets the same. Keyed by (device, path, Request-Tag); no sockets, the time is
 * passed in. One shard's thread.
 *
 * Two ways to send: with a size (Size1) blocks come in any order, several in flight; without, one after the
 * other, as a plain client does. Every declared size is refused or admitted before it costs memory. */
#ifndef COVEY_COAP_INTAKE_H
#define COVEY_COAP_INTAKE_H

#include <stdatomic.h>

#include "coap_body.h"
#include "coap_message.h"
#include "covey/messages.h"

#define COVEY_COAP_UPLOAD_PATIENCE_MS                                                                        \
    5000u /* an upload idle for so long gives way to a device's next one                                     \
           */

enum covey_coap_upload_state {
    COVEY_COAP_UPLOAD_COMING,
    COVEY_COAP_UPLOAD_SERVED, /* whole, in the service's hands */
    COVEY_COAP_UPLOAD_DONE    /* answered; the answer is remembered */
};

struct covey_coap_upload {
    struct covey_coap_upload *next;
    char name[COVEY_NAME_BYTES];
    char path[COVEY_PATH_BYTES];
    struct covey_coap_tag tag;
    enum covey_coap_upload_state state;
    enum covey_method method;
    char query[COVEY_COAP_QUERY_BYTES];
    int content_format;
    uint8_t szx;
    uint64_t last_ms;
    uint64_t cost_bytes; /* counted in the shared memory figure */
    bool sized;
    struct covey_coap_body body; /* sized */
    uint8_t *bytes;              /* not sized: what came so far */
    size_t size, capacity;
    struct covey_hash hash; /* SERVED */
    /* the request that the final answer goes to: the latest one of the last block */
    struct covey_coap_token token;
    enum covey_coap_kind kind;
    struct covey_coap_block last_block;
    uint8_t code; /* DONE */
};

struct covey_coap_intake_config {
    /* May a body of so many bytes come for `request` (its path, query, format)? 0 or a code. */
    uint8_t (*admit)(void *user, const struct covey_coap_message *request, const struct covey_peer *peer,
                     uint64_t body_bytes);
    void *user;
    atomic_ullong *memory_bytes; /* shared by all shards */
    uint64_t memory_limit_bytes;
    uint32_t idle_ms;
};

#define COVEY_COAP_INTAKE_BUCKETS 256
struct covey_coap_intake {
    struct covey_coap_intake_config config;
    struct covey_coap_upload *buckets[COVEY_COAP_INTAKE_BUCKETS];
    uint32_t count;
};

void covey_coap_intake_init(struct covey_coap_intake *intake, const struct covey_coap_intake_config *config);
void covey_coap_intake_deinit(struct covey_coap_intake *intake);

enum covey_coap_intake_result {
    COVEY_COAP_INTAKE_ANSWER, /* *answer is to be sent */
    COVEY_COAP_INTAKE_WHOLE,  /* *out_upload is complete and right: serve it */
    COVEY_COAP_INTAKE_WAIT    /* it is being served: its answer will go to this request */
};
/* One request with Block1. */
enum covey_coap_intake_result covey_coap_intake_block(struct covey_coap_intake *intake,
                                                      const struct covey_peer *peer,
                                                      const struct covey_coap_message *request,
                                                      uint64_t now_ms, struct covey_coap_message *answer,
                                                      struct covey_coap_upload **out_upload);
struct covey_bytes covey_coap_upload_view(const struct covey_coap_upload *upload);
/* The service has answered: the body goes, the code stays. After a 5.xx nothing stays: the device may try
 * again. */
void covey_coap_intake_answered(struct covey_coap_intake *intake, struct covey_coap_upload *upload,
                                uint8_t code, uint64_t now_ms);
/* What is there of an upload to this path; false when none is under way. */
bool covey_coap_intake_state(const struct covey_coap_intake *intake, const char *name, const char *path,
                             struct covey_upload_state *out);
/* Drops what is idle. */
void covey_coap_intake_expire(struct covey_coap_intake *intake, uint64_t now_ms);

#endif
