/* libcoap behind one door: a context with its DTLS credentials and its one client session or one endpoint.
 * Everything runs on the thread that calls covey_coap_engine_run; nothing here waits. */
#ifndef COVEY_COAP_ENGINE_H
#define COVEY_COAP_ENGINE_H

#include "coap_message.h"
#include "covey/credentials.h"

struct sockaddr;
struct covey_coap_engine;

/* A device's session at a server. `owner` is the server's. */
struct covey_coap_peering {
    struct covey_coap_peering *next_named; /* in the server's table of names */
    struct covey_peer peer;
    bool connected; /* the handshake is complete, name is proved */
    bool gone;      /* closed: nothing can be sent; the memory goes when the last hold is let go */
    uint64_t since_ms;
    void *owner;
    struct coap_session_t *session;
    struct covey_coap_engine *engine;
    char refusal[COVEY_ERROR_TEXT_BYTES]; /* what check_peer said */
};

struct covey_coap_engine_events {
    void *user;
    /* Server. Fill in the response (its code; 0 = later) that goes back with the request's token. */
    void (*request)(void *user, struct covey_coap_peering *peering, const struct covey_coap_message *request,
                    struct covey_coap_message *response);
    void (*arrived)(void *user, struct covey_coap_peering *peering);
    void (*left)(void *user, struct covey_coap_peering *peering); /* after arrived, once */
    void (*refused)(void *user, const char *address, const char *reason);
    /* A confirmable message was given up (token), or the peer rejected one of ours with RST (token, or the
     * message id when it was not confirmable). */
    void (*undelivered)(void *user, struct covey_coap_peering *peering, const struct covey_coap_token *token,
                        uint16_t id, bool rejected);
    /* Client. False: reject it with RST. */
    bool (*response)(void *user, const struct covey_coap_message *response);
};

struct covey_coap_engine_config {
    const struct covey_credentials *credentials;
    struct covey_coap_engine_events events;
    uint32_t handshakes;     /* server: at once */
    uint32_t sessions;       /* server */
    uint32_t session_idle_s; /* server */
};

COVEY_MUST_CHECK enum covey_status covey_coap_engine_create(const struct covey_coap_engine_config *config,
                                                            struct covey_coap_engine **out,
                                                            struct covey_error *err);
void covey_coap_engine_destroy(struct covey_coap_engine *engine); /* NULL is legal */

/* To be polled for reading: something is to be received, or a timer of libcoap's is due. */
int covey_coap_engine_fd(const struct covey_coap_engine *engine);
/* Receives one datagram at the most and keeps libcoap's timers. Never waits. */
void covey_coap_engine_run(struct covey_coap_engine *engine);

struct covey_coap_engine_counts {
    uint64_t sent_bytes, received_bytes, sent_datagrams, received_datagrams;
};
struct covey_coap_engine_counts covey_coap_engine_counts(const struct covey_coap_engine *engine);

/* ---- server ---- */

/* Binds. EXISTS: the port is taken. *out_port: the one that it got. *out_buffer_bytes: what the kernel gave
 * for receiving. */
COVEY_MUST_CHECK enum covey_status covey_coap_engine_listen(
    struct covey_coap_engine *engine, const struct sockaddr *address, uint32_t address_bytes,
    uint32_t receive_buffer_bytes, uint16_t *out_port, uint32_t *out_buffer_bytes, struct covey_error *err);
/* A peering outlives its session while it is held. */
void covey_coap_peering_hold(struct covey_coap_peering *peering);
void covey_coap_peering_release(struct covey_coap_peering *peering);
/* Sends a response or notification; *out_id: its message id. CLOSED: the session is gone; LIMIT: too long. */
COVEY_MUST_CHECK enum covey_status covey_coap_peering_send(struct covey_coap_peering *peering,
                                                           const struct covey_coap_message *message,
                                                           uint16_t *out_id);
void covey_coap_peering_close(struct covey_coap_peering *peering);

/* ---- client ---- */

enum covey_coap_engine_state {
    COVEY_COAP_ENGINE_IDLE,
    COVEY_COAP_ENGINE_HANDSHAKE,
    COVEY_COAP_ENGINE_UP,
    COVEY_COAP_ENGINE_FAILED
};

/* Starts a handshake with the server at this address; whatever was before is closed. */
COVEY_MUST_CHECK enum covey_status covey_coap_engine_connect(struct covey_coap_engine *engine,
                                                             const struct sockaddr *address,
                                                             uint32_t address_bytes, struct covey_error *err);
void covey_coap_engine_disconnect(struct covey_coap_engine *engine);
/* FAILED: the reason is in *reason. */
enum covey_coap_engine_state covey_coap_engine_state(struct covey_coap_engine *engine,
                                                     struct covey_error *reason);
/* Since the last call: did the network say that nobody listens there (ICMP)? */
bool covey_coap_engine_unreachable(struct covey_coap_engine *engine);
/* LIMIT: it does not fit a datagram; CLOSED: no session. Whether it arrives is another matter. */
COVEY_MUST_CHECK enum covey_status covey_coap_engine_send(struct covey_coap_engine *engine,
                                                          const struct covey_coap_message *message);
/* An empty confirmable message, which any living server rejects (RFC 7252 section 4.3). */
void covey_coap_engine_ping(struct covey_coap_engine *engine);

/* Bytes of options and payload that fit a datagram of this session. */
size_t covey_coap_engine_room(const struct covey_coap_engine *engine);

#endif
