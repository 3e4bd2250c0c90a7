/* Requests, replies and pushed notifications, in words of this project, as two tables of functions: what a
 * device calls, and what a server is. Implementations: CoAP over DTLS (covey/coap.h) and in-process
 * (covey/inprocess.h); what uses this header cannot tell them apart.
 *
 * Whole bodies go in and come out. Cutting them into blocks, several in flight, resending and checking the
 * hash is the transport's business (common/blockwise/); every declared size is checked before it costs
 * memory. */
#ifndef COVEY_TRANSPORT_H
#define COVEY_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"

enum covey_method { COVEY_GET = 1, COVEY_POST = 2, COVEY_PUT = 3, COVEY_DELETE = 4 };

/* CoAP response codes, class << 5 | detail (RFC 7252 section 12.1.2, RFC 7959 section 2.9). */
enum covey_code {
    COVEY_CODE_CREATED = 0x41,
    COVEY_CODE_VALID = 0x43,
    COVEY_CODE_CHANGED = 0x44,
    COVEY_CODE_CONTENT = 0x45,
    COVEY_CODE_CONTINUE = 0x5f,
    COVEY_CODE_BAD_REQUEST = 0x80,
    COVEY_CODE_UNAUTHORIZED = 0x81,
    COVEY_CODE_BAD_OPTION = 0x82,
    COVEY_CODE_FORBIDDEN = 0x83,
    COVEY_CODE_NOT_FOUND = 0x84,
    COVEY_CODE_METHOD_NOT_ALLOWED = 0x85,
    COVEY_CODE_INCOMPLETE = 0x88,
    COVEY_CODE_CONFLICT = 0x89,
    COVEY_CODE_TOO_LARGE = 0x8d,
    COVEY_CODE_UNSUPPORTED_FORMAT = 0x8f,
    COVEY_CODE_UNPROCESSABLE = 0x96,
    COVEY_CODE_TOO_MANY = 0x9d,
    COVEY_CODE_INTERNAL = 0xa0,
    COVEY_CODE_UNAVAILABLE = 0xa3
};
static inline bool covey_code_is_success(uint8_t code)
{
    return code >= 0x40 && code < 0x60;
}

/* Counted at the socket: UDP payloads, so DTLS records with all framing and handshakes. */
struct covey_traffic {
    uint64_t bytes_up, bytes_down; /* every datagram, from the device's point of view */
    uint64_t datagrams_up, datagrams_down;
    uint64_t upload_bytes_up; /* the part of bytes_up that carried bodies of PUT, with all framing, repeats
                                 included */
    uint64_t blocks_sent, blocks_repeated;
};

/* ------------------------------------------------------------------ the device's side */

struct covey_reply {
    enum covey_status
        status; /* OK: `code` is the server's answer; else why there is none (TIMEOUT, CLOSED, CANCELLED,
                   CORRUPT: body does not have the expected hash, LIMIT: body over reply_limit_bytes) */
    uint8_t code;
    struct covey_bytes body; /* borrowed for the call; of an error: its diagnostic text */
    uint32_t max_age_s;      /* 60 when the server did not say */
};
typedef void covey_reply_fn(void *user, const struct covey_reply *reply);

struct covey_request {
    enum covey_method method;
    const char *path;                /* "f/digits/plan", no leading slash, copied */
    const char *query;               /* "have=..." or NULL, copied */
    int content_format;              /* of the body; negative = none */
    struct covey_bytes body;         /* borrowed until the reply */
    const struct covey_hash *expect; /* the reply's whole body must hash to this; NULL = any; copied */
    size_t expect_bytes; /* if not 0: known length of the reply's body, so that several blocks can start at
                            once */
    size_t reply_limit_bytes; /* more than this is refused before it costs memory */
    uint16_t window_blocks;   /* in flight at the most; 0 = default, 1 = one by one (the plan tells) */
    uint32_t timeout_ms;      /* for the whole exchange; 0 = default */
    bool resume; /* a body that went out before, perhaps from a process that is gone: ask first what the
                    server has, send what is missing. Nothing is sent, and the reply is 2.04, when it has
                    taken it all */
};

enum covey_link_state { COVEY_LINK_DOWN, COVEY_LINK_CONNECTING, COVEY_LINK_UP };

struct covey_link_events {
    void *user;
    /* UP once the peer has proved who it is; DOWN with the reason (handshake refused and why, timeout,
     * closed). */
    void (*on_state)(void *user, enum covey_link_state state, const struct covey_error *reason);
};

struct covey_link; /* one device's connection; an implementation's own */

/* All of these run on one thread, and call back on it from inside `run` only. `wake` alone may be called from
 * any. */
struct covey_link_ops {
    /* Starts to connect (again); the address is "HOST:PORT", "[IPV6]:PORT". on_state tells how it went. */
    enum covey_status (*connect)(struct covey_link *link, const char *address, struct covey_error *err);
    void (*disconnect)(struct covey_link *link);
    /* Exactly one call of reply for each OK, later, also when the link goes down (CLOSED). *out_id for
     * cancel. */
    enum covey_status (*request)(struct covey_link *link, const struct covey_request *request,
                                 covey_reply_fn *reply, void *user, uint32_t *out_id,
                                 struct covey_error *err);
    void (*cancel)(struct covey_link *link, uint32_t id); /* no call after this */
    /* Like request, but reply is called again for each notification (RFC 7641), in order, until cancel or the
     * link is down (a last call, CLOSED). Bodies fit one datagram. */
    enum covey_status (*observe)(struct covey_link *link, const struct covey_request *request,
                                 covey_reply_fn *reply, void *user, uint32_t *out_id,
                                 struct covey_error *err);
    /* Sends, receives, keeps timers; returns after wait_ms at the most, or sooner when something was done or
     * woken. */
    void (*run)(struct covey_link *link, uint32_t wait_ms);
    void (*wake)(struct covey_link *link);
    void (*traffic)(const struct covey_link *link, struct covey_traffic *out);
    void (*destroy)(
        struct covey_link *link); /* NULL is legal; outstanding replies are called with CANCELLED */
};

struct covey_link_handle {
    const struct covey_link_ops *ops;
    struct covey_link *link;
};

/* ------------------------------------------------------------------ the server's side */

/* A body that many replies share (a model, a delta, a plan): counted references, thread-safe. */
struct covey_blob;
/* Takes a copy of bytes (or, with free_fn, the memory itself: free_fn(owner) when the last reference goes).
 * hash may be NULL: then it is computed. */
COVEY_MUST_CHECK enum covey_status covey_blob_create(struct covey_bytes bytes, const struct covey_hash *hash,
                                                     void (*free_fn)(void *owner), void *owner,
                                                     struct covey_blob **out);
struct covey_blob *covey_blob_retain(struct covey_blob *blob); /* NULL -> NULL */
void covey_blob_release(struct covey_blob *blob);              /* NULL is legal */
struct covey_bytes covey_blob_view(const struct covey_blob *blob);
const struct covey_hash *covey_blob_hash(const struct covey_blob *blob);

/* Who asks, as DTLS proved it: the certificate's common name, or the PSK identity. */
struct covey_peer {
    char name[COVEY_NAME_BYTES];
    char address[64]; /* for logs */
    uint32_t shard;
};

struct covey_incoming {
    enum covey_method method;
    const char *path;                   /* without leading slash */
    const char *query;                  /* "" when none; pairs joined by '&' */
    int content_format;                 /* negative = none */
    struct covey_bytes body;            /* whole; borrowed for the call */
    const struct covey_hash *body_hash; /* of `body` when it came in blocks or is not empty; else NULL */
    const struct covey_peer *peer;
    bool observe; /* the device asks to be notified at this path: the response starts the observation if 2.xx
                   */
    bool stop_observing;
};

struct covey_response {
    uint8_t code;
    int content_format;      /* negative = none */
    struct covey_blob *blob; /* body by reference (retained by the transport), or */
    struct covey_bytes body; /* body by copy: at most one block, an error's diagnostic text */
    uint32_t max_age_s;      /* 0 = leave the option out */
};

/* The right to answer one request, once. */
struct covey_exchange;

/* What a server answers with. serve and admit_body run on the shard's thread and must not block (no fsync, no
 * long lock). */
struct covey_service {
    void *user;
    /* A whole request. Respond now, or keep `exchange` and respond later from any thread; exactly once. For a
     * Block2 download it runs for each block (stateless): be quick, and give the same blob. */
    void (*serve)(void *user, const struct covey_incoming *incoming, struct covey_exchange *exchange);
    /* A body of body_bytes is about to come in blocks for incoming->path (its body is empty yet): 0 = let it
     * come (it costs body_bytes of memory), or the error code to refuse with. */
    uint8_t (*admit_body)(void *user, const struct covey_incoming *incoming, uint64_t body_bytes);
    /* A session came or went; name as in covey_peer. Optional (NULL). */
    void (*on_peer)(void *user, const struct covey_peer *peer, bool present);
    /* GET of an upload's path: the service says what it knows (a covey_upload_state, complete or not; 4.03
     * when it is not wanted any more); while blocks of it are here, the transport puts its own
     * covey_upload_state in the place of an answer that says neither. */
};

/* Answers and frees the exchange. Thread-safe. The blob is retained, the body copied. */
void covey_exchange_respond(struct covey_exchange *exchange, const struct covey_response *response);

struct covey_host; /* one server's transport: all its shards */

struct covey_host_ops {
    /* Pushes body to everything that peer `name` observes at `path`; thread-safe; to nobody is OK. Never
     * blocks. */
    enum covey_status (*notify)(struct covey_host *host, const char *name, const char *path,
                                struct covey_blob *body, int content_format);
    /* Is someone of that name connected now? thread-safe */
    bool (*present)(struct covey_host *host, const char *name);
    /* Closes the sessions of that name (revoked). thread-safe */
    void (*drop)(struct covey_host *host, const char *name);
    void (*traffic)(struct covey_host *host, struct covey_traffic *out);
    /* Stops the threads, answers outstanding exchanges 5.03, frees. */
    void (*destroy)(struct covey_host *host);
};

struct covey_host_handle {
    const struct covey_host_ops *ops;
    struct covey_host *host;
};

#endif
