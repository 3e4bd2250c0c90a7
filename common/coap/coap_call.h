/* One request of a device, from its first block to its reply: what goes out next, what an answer means. No
 * sockets, no libcoap; the time is passed in. coap_client.c drives it. */
#ifndef COVEY_COAP_CALL_H
#define COVEY_COAP_CALL_H

#include "coap_body.h"
#include "coap_message.h"
#include "covey/transport.h"

#define COVEY_COAP_ASKS 8     /* times that a sender asks what is missing after a 4.08 */
#define COVEY_COAP_RESTARTS 3 /* times that a download begins anew because the body changed */
#define COVEY_COAP_NEWS                                                                                      \
    4 /* notifications that wait for the owner; an older one gives way (RFC 7641 section 1.3) */

enum covey_coap_phase {
    COVEY_COAP_PHASE_ASK,       /* what does the server have of this upload? */
    COVEY_COAP_PHASE_MOVE,      /* blocks, or the one request */
    COVEY_COAP_PHASE_OBSERVING, /* registered; waits for notifications */
    COVEY_COAP_PHASE_DONE       /* the result is there */
};

/* A reply that waits for the owner. */
struct covey_coap_news {
    enum covey_status status;
    uint8_t code;
    uint32_t max_age_s;
    size_t size;
    uint8_t bytes[COVEY_BLOCK_BYTES];
};

struct covey_coap_call {
    struct covey_coap_call *next;
    uint32_t id;
    uint16_t token; /* first half of every token of this call */
    enum covey_method method;
    char path[COVEY_PATH_BYTES];
    char query[COVEY_COAP_QUERY_BYTES];
    int content_format;
    bool observe, cancelled;
    struct covey_bytes body; /* the owner's */
    bool has_expect;
    struct covey_hash expect;
    size_t expect_bytes, reply_limit_bytes;
    uint16_t window_blocks;
    uint64_t deadline_us;
    covey_reply_fn *reply;
    void *user;

    enum covey_coap_phase phase;
    struct covey_block_path *route;
    struct covey_block_sender sender;
    uint8_t *bitmap; /* sender's; owned */
    uint8_t first_bitmap[1];
    uint8_t szx;
    uint32_t asks;
    uint32_t phase_number;           /* first transmission of the present phase */
    struct covey_coap_tag tag;       /* upload in blocks: Request-Tag */
    uint32_t upload_blocks;          /* 0: no upload; 1: one datagram, without block options */
    struct covey_coap_body incoming; /* download in blocks */
    bool assembling;
    struct covey_coap_tag etag;
    uint32_t restarts;
    bool sequence_known; /* of notifications */
    uint32_t sequence;
    uint64_t sequence_us;

    struct covey_coap_news result; /* DONE; the body of a download in blocks is in `incoming` */
    bool result_assembled;
    struct covey_coap_news *news; /* observe: COVEY_COAP_NEWS of them; owned */
    uint32_t news_first, news_count;
};

/* room: bytes that options and payload may take in a datagram. LIMIT: path, query or body too long. */
COVEY_MUST_CHECK enum covey_status covey_coap_call_create(const struct covey_request *request, bool observe,
                                                          size_t room, struct covey_block_path *route,
                                                          uint64_t now_us, struct covey_coap_call **out,
                                                          struct covey_error *err);
void covey_coap_call_destroy(struct covey_coap_call *call);

/* An upload that was interrupted before: ask first what the server has. */
void covey_coap_call_resume(struct covey_coap_call *call, uint64_t now_us);

/* A download that broke off: what came of it, to go on from (same path and query, same ETag). */
struct covey_coap_partial {
    bool used;
    char path[COVEY_PATH_BYTES];
    char query[COVEY_COAP_QUERY_BYTES];
    uint8_t szx;
    struct covey_coap_tag etag;
    struct covey_coap_body body;
};
void covey_coap_partial_deinit(struct covey_coap_partial *partial);
/* Takes what an ended call has of a body; whatever was in *partial goes. */
void covey_coap_call_keep(struct covey_coap_call *call, struct covey_coap_partial *partial);
/* A new call for the same: goes on where the other stopped. Empties *partial then. */
void covey_coap_call_go_on(struct covey_coap_call *call, struct covey_coap_partial *partial, uint64_t now_us);

enum covey_coap_step { COVEY_COAP_STEP_SEND, COVEY_COAP_STEP_WAIT, COVEY_COAP_STEP_DONE };
struct covey_coap_move {
    enum covey_coap_step step;
    struct covey_coap_message message; /* SEND */
    bool carries_body, repeated;       /* SEND */
    uint64_t wake_us;                  /* WAIT */
};
/* window_blocks: this call's share of what may be in flight on the link now. */
void covey_coap_call_next(struct covey_coap_call *call, uint64_t now_us, uint16_t window_blocks,
                          struct covey_coap_move *out);

/* A response with this call's token. */
void covey_coap_call_answer(struct covey_coap_call *call, const struct covey_coap_message *answer,
                            uint64_t now_us);

/* Ends the call without an answer (CLOSED, CANCELLED, TIMEOUT). */
void covey_coap_call_end(struct covey_coap_call *call, enum covey_status status);

/* Transmissions that wait for an answer. */
static inline uint32_t covey_coap_call_in_flight(const struct covey_coap_call *call)
{
    return call->phase <= COVEY_COAP_PHASE_MOVE ? call->sender.in_flight : 0;
}

/* Is there something for the owner? Fills *out, borrowing from the call until the next use of it. */
bool covey_coap_call_take_reply(struct covey_coap_call *call, struct covey_reply *out);

#endif
