/* libcoap 4.3.5 behind one door. Its faults by their numbers in docs/transport.md, where they bite here:
 *  2  no connection IDs: built without (scripts/recipe/mbedtls.options)
 *  3  block mode 0: libcoap assembles nothing, so a declared size costs nothing; coap_intake.c decides
 *  5  Mbed TLS wants a host name to be set: for an address as the server's name it gets a placeholder, and
 * check_peer judges 6  the end of a handshake is read from the session's state on the device, and from our
 * patch's event on the server 7  every reconnect is a full handshake: callers pace them 10  the ACK timeout
 * of notifications is set once, at 1 s 14  the port is probed, and our patch has removed SO_REUSEADDR 15
 * nothing reconnects by itself: the device's heartbeat does (client/) 16  requests and answers are matched by
 * token in coap_link.c and coap_intake.c, never by libcoap Traps: coap_io_process(ctx, 0) waits for ever, so
 * COAP_IO_NO_WAIT; a response handler that says FAIL sends RST. */
#include "coap_engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <coap3/coap.h>

#include "coap_failure.h"
#include "coap_pdu.h"

#define PLACEHOLDER_NAME "covey.invalid" /* RFC 6761: resolves nowhere */
#define NOTIFICATIONS_AT_ONCE 8          /* confirmable ones in flight to a device (NSTART) */

struct covey_coap_engine {
    struct covey_coap_engine_config config;
    coap_context_t *context;
    coap_endpoint_t *endpoint;
    /* client */
    coap_session_t *session;
    bool failed, unreachable;
    struct covey_error failure;
    char refusal[COVEY_ERROR_TEXT_BYTES];
    char server_name[COVEY_NAME_BYTES];
    /* server: the key of the handshake that is being looked at */
    uint8_t psk[COVEY_PSK_BYTES];
    coap_bin_const_t psk_view;
};

/* libcoap keeps state of the whole process; it is started once, before there are threads that could. */
static void start_libcoap(void)
{
    coap_startup();
    coap_set_log_level(COAP_LOG_EMERG);
    coap_dtls_set_log_level(COAP_LOG_EMERG);
}

static struct covey_coap_engine *engine_of(const coap_session_t *session)
{
    return coap_context_get_app_data(coap_session_get_context(session));
}

static bool is_client(const coap_session_t *session)
{
    return coap_session_get_type(session) == COAP_SESSION_TYPE_CLIENT;
}

/* ---------------------------------------------------------------- who the peer is */

/* Runs for every certificate of the chain, the leaf last (our patch); depth 0 is judged with what was found
 * at all depths. */
static int judge_certificate(const char *common_name, const uint8_t *der, size_t der_bytes,
                             coap_session_t *session, unsigned depth, int validated, void *user)
{
    struct covey_coap_engine *engine = user;
    const struct covey_credentials *credentials = engine->config.credentials;
    (void)common_name;
    if (depth > 0)
        return 1;
    struct covey_coap_peering *peering = is_client(session) ? NULL : coap_session_get_app_data(session);
    char name[COVEY_NAME_BYTES] = "";
    struct covey_error reason = {0};
    enum covey_status status =
        credentials->check_peer(credentials->check_user, (struct covey_bytes){der, der_bytes},
                                coap_session_get_verify_flags(session), name, &reason);
    char *refusal = peering != NULL ? peering->refusal : engine->refusal;
    if (status != COVEY_OK) {
        (void)snprintf(refusal, COVEY_ERROR_TEXT_BYTES, "%s",
                       reason.text[0] != '\0' ? reason.text : covey_status_text(status));
        return validated ? 0 : 1; /* what Mbed TLS found itself makes a better alert than ours would */
    }
    if (peering != NULL)
        (void)snprintf(peering->peer.name, sizeof peering->peer.name, "%.*s", COVEY_NAME_BYTES - 1, name);
    return 1;
}

static const coap_bin_const_t *find_key(coap_bin_const_t *identity, coap_session_t *session, void *user)
{
    struct covey_coap_engine *engine = user;
    const struct covey_credentials *credentials = engine->config.credentials;
    struct covey_coap_peering *peering = coap_session_get_app_data(session);
    char name[COVEY_NAME_BYTES];
    size_t key_bytes = 0;
    if (peering == NULL || identity->length == 0 || identity->length >= sizeof name ||
        memchr(identity->s, 0, identity->length) != NULL)
        return NULL;
    memcpy(name, identity->s, identity->length);
    name[identity->length] = '\0';
    if (credentials->find_psk(credentials->psk_user, name, engine->psk, &key_bytes) != COVEY_OK ||
        key_bytes > sizeof engine->psk) {
        (void)snprintf(peering->refusal, sizeof peering->refusal,
                       "no pre-shared key is known for the device's identity");
        return NULL;
    }
    memcpy(peering->peer.name, name, sizeof name);
    engine->psk_view = (coap_bin_const_t){.length = key_bytes, .s = engine->psk};
    return &engine->psk_view;
}

/* ---------------------------------------------------------------- credentials */

static void fill_define(coap_dtls_pki_t *pki, const struct covey_credentials *credentials)
{
    pki->pki_key.key_type = COAP_PKI_KEY_DEFINE;
    coap_pki_key_define_t *define = &pki->pki_key.key.define;
    define->ca.u_byte = credentials->peer_ca_pem.data;
    define->ca_len = credentials->peer_ca_pem.size;
    define->ca_def = COAP_PKI_KEY_DEF_PEM_BUF;
    define->public_cert.u_byte = credentials->chain_pem.data;
    define->public_cert_len = credentials->chain_pem.size;
    define->public_cert_def = COAP_PKI_KEY_DEF_PEM_BUF;
    define->private_key.u_byte = credentials->key_pem.data;
    define->private_key_len = credentials->key_pem.size;
    define->private_key_def = COAP_PKI_KEY_DEF_PEM_BUF;
}

/* A peer's chain must end at peer_ca_pem and be short; withdrawn ones are our own deny-list's business (fault
 * 4). */
static coap_dtls_pki_t make_pki(struct covey_coap_engine *engine)
{
    const struct covey_credentials *credentials = engine->config.credentials;
    coap_dtls_pki_t pki;
    memset(&pki, 0, sizeof pki);
    pki.version = COAP_DTLS_PKI_SETUP_VERSION;
    pki.verify_peer_cert = 1;
    pki.check_common_ca = 1;
    pki.cert_chain_validation = 1;
    pki.cert_chain_verify_depth = 2;
    pki.allow_no_crl = 1;
    if (credentials->check_peer != NULL) {
        pki.validate_cn_call_back = judge_certificate;
        pki.cn_call_back_arg = engine;
    }
    fill_define(&pki, credentials);
    return pki;
}

static bool has_certificate(const struct covey_credentials *credentials)
{
    return credentials->peer_ca_pem.size > 0;
}

static bool looks_like_pem(struct covey_bytes pem)
{
    static const char mark[] = "-----BEGIN ";
    return pem.size == 0 || (pem.data[pem.size - 1] == '\0' && strstr((const char *)pem.data, mark) != NULL);
}

static enum covey_status check_credentials(const struct covey_credentials *credentials,
                                           struct covey_error *err)
{
    bool server = credentials->side == COVEY_SIDE_SERVER;
    bool psk = server ? credentials->find_psk != NULL : credentials->psk_bytes > 0;
    if (!has_certificate(credentials) && !psk)
        return covey_fail(err, COVEY_INVALID, "no credentials: neither certificates nor a pre-shared key");
    if (!looks_like_pem(credentials->peer_ca_pem) || !looks_like_pem(credentials->chain_pem) ||
        !looks_like_pem(credentials->key_pem))
        return covey_fail(err, COVEY_INVALID, "a certificate or key is not in PEM form");
    if (server && has_certificate(credentials) &&
        (credentials->chain_pem.size == 0 || credentials->key_pem.size == 0))
        return covey_fail(err, COVEY_INVALID, "the server has no certificate of its own");
    return COVEY_OK;
}

static enum covey_status use_server_credentials(struct covey_coap_engine *engine, struct covey_error *err)
{
    const struct covey_credentials *credentials = engine->config.credentials;
    if (has_certificate(credentials)) {
        coap_dtls_pki_t pki = make_pki(engine);
        if (coap_context_set_pki(engine->context, &pki) == 0)
            return covey_fail(err, COVEY_CRYPTO, "the server's certificates were not accepted");
    }
    if (credentials->find_psk == NULL)
        return COVEY_OK;
    coap_dtls_spsk_t psk;
    memset(&psk, 0, sizeof psk);
    psk.version = COAP_DTLS_SPSK_SETUP_VERSION;
    psk.validate_id_call_back = find_key;
    psk.id_call_back_arg = engine;
    /* libcoap wants a default key; find_key answers every identity, so this one opens nothing. */
    psk.psk_info.hint.s = (const uint8_t *)"covey";
    psk.psk_info.hint.length = 5;
    uint8_t unused[COVEY_PSK_BYTES];
    for (size_t i = 0; i < sizeof unused; i++)
        coap_prng(&unused[i], 1);
    psk.psk_info.key.s = unused;
    psk.psk_info.key.length = sizeof unused;
    if (coap_context_set_psk2(engine->context, &psk) == 0)
        return covey_fail(err, COVEY_CRYPTO, "pre-shared keys were not accepted");
    return COVEY_OK;
}

/* ---------------------------------------------------------------- events of libcoap */

static void note_client_failure(struct covey_coap_engine *engine, const coap_session_t *session)
{
    if (engine->failed)
        return;
    struct covey_coap_failure failure = {.side = COVEY_SIDE_DEVICE,
                                         .by_psk = !has_certificate(engine->config.credentials),
                                         .refusal = engine->refusal};
    failure.error = coap_session_get_failure(session, &failure.alert);
    engine->failed = true;
    (void)covey_coap_failure_tell(&failure, &engine->failure);
}

static void tell_refusal(struct covey_coap_peering *peering)
{
    struct covey_coap_engine *engine = peering->engine;
    const struct covey_credentials *credentials = engine->config.credentials;
    struct covey_coap_failure failure = {.side = COVEY_SIDE_SERVER, .alert = -1, .refusal = peering->refusal};
    failure.error = coap_session_get_failure(peering->session, &failure.alert);
    failure.by_psk = peering->peer.name[0] != '\0' && !has_certificate(credentials);
    struct covey_error reason = {0};
    (void)covey_coap_failure_tell(&failure, &reason);
    if (engine->config.events.refused != NULL)
        engine->config.events.refused(engine->config.events.user, peering->peer.address, reason.text);
}

static void make_peering(coap_session_t *session)
{
    struct covey_coap_peering *peering = calloc(1, sizeof *peering);
    if (peering == NULL)
        return; /* requests of a session without one are refused */
    peering->engine = engine_of(session);
    peering->session = session;
    (void)coap_print_addr(coap_session_get_addr_remote(session), (unsigned char *)peering->peer.address,
                          sizeof peering->peer.address);
    coap_session_set_app_data(session, peering);
}

static void peering_connected(coap_session_t *session)
{
    struct covey_coap_peering *peering = coap_session_get_app_data(session);
    if (peering == NULL || peering->connected)
        return;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    peering->since_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    peering->connected = true;
    coap_session_set_nstart(session, NOTIFICATIONS_AT_ONCE);
    coap_session_set_ack_timeout(session, (coap_fixed_point_t){1, 0});
    struct covey_coap_engine *engine = peering->engine;
    if (engine->config.events.arrived != NULL)
        engine->config.events.arrived(engine->config.events.user, peering);
}

static void peering_lost(struct covey_coap_peering *peering)
{
    if (peering == NULL || peering->gone)
        return;
    struct covey_coap_engine *engine = peering->engine;
    peering->gone = true;
    if (!peering->connected) {
        int alert;
        if (coap_session_get_failure(peering->session, &alert) != 0 || peering->refusal[0] != '\0')
            tell_refusal(peering);
    } else if (engine->config.events.left != NULL) {
        engine->config.events.left(engine->config.events.user, peering);
    }
}

static int on_event(coap_session_t *session, const coap_event_t event)
{
    struct covey_coap_engine *engine = engine_of(session);
    bool client = is_client(session);
    switch (event) {
    case COAP_EVENT_SERVER_SESSION_NEW:
        make_peering(session);
        break;
    case COAP_EVENT_DTLS_CONNECTED:
        if (!client)
            peering_connected(session);
        break;
    case COAP_EVENT_DTLS_ERROR:
    case COAP_EVENT_DTLS_CLOSED:
        if (client && session == engine->session)
            note_client_failure(engine, session);
        else if (!client)
            peering_lost(coap_session_get_app_data(session));
        break;
    case COAP_EVENT_SERVER_SESSION_DEL: {
        struct covey_coap_peering *peering = coap_session_get_app_data(session);
        peering_lost(peering);
        coap_session_set_app_data(session, NULL);
        free(peering);
        break;
    }
    default:
        break;
    }
    return 0;
}

static void on_undelivered(coap_session_t *session, const coap_pdu_t *sent, const coap_nack_reason_t reason,
                           const coap_mid_t id)
{
    struct covey_coap_engine *engine = engine_of(session);
    if (is_client(session)) {
        if (reason == COAP_NACK_ICMP_ISSUE)
            engine->unreachable = true;
        else if (reason == COAP_NACK_TLS_FAILED && session == engine->session)
            note_client_failure(engine, session);
        return;
    }
    struct covey_coap_peering *peering = coap_session_get_app_data(session);
    bool rejected = reason == COAP_NACK_RST;
    if (peering == NULL || peering->gone || (!rejected && reason != COAP_NACK_TOO_MANY_RETRIES) ||
        engine->config.events.undelivered == NULL)
        return;
    struct covey_coap_message message;
    struct covey_coap_token none = {.size = 0};
    if (sent != NULL)
        covey_coap_pdu_read(sent, &message);
    engine->config.events.undelivered(engine->config.events.user, peering,
                                      sent != NULL ? &message.token : &none, (uint16_t)id, rejected);
}

static void on_request(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                       const coap_string_t *query, coap_pdu_t *response)
{
    (void)resource;
    (void)query;
    struct covey_coap_peering *peering = coap_session_get_app_data(session);
    if (peering == NULL || !peering->connected) {
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_UNAUTHORIZED);
        return;
    }
    struct covey_coap_message in, out;
    covey_coap_pdu_read(request, &in);
    covey_coap_message_init(&out, in.kind, 0);
    struct covey_coap_engine *engine = peering->engine;
    engine->config.events.request(engine->config.events.user, peering, &in, &out);
    coap_pdu_set_code(response, (coap_pdu_code_t)out.code);
    if (out.code != 0 && covey_coap_pdu_write(&out, response) != COVEY_OK)
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_INTERNAL_ERROR);
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent,
                                   const coap_pdu_t *received, const coap_mid_t id)
{
    struct covey_coap_engine *engine = engine_of(session);
    struct covey_coap_message message;
    (void)sent;
    (void)id;
    if (session != engine->session)
        return COAP_RESPONSE_OK;
    covey_coap_pdu_read(received, &message);
    return engine->config.events.response(engine->config.events.user, &message) ? COAP_RESPONSE_OK
                                                                                : COAP_RESPONSE_FAIL;
}

/* ---------------------------------------------------------------- life */

/* One resource for every path and method (DELETE too, which libcoap would answer 2.02 by itself). It cannot
 * be observed as libcoap sees it: observations are ours (coap_observations.c). */
static bool add_resource(struct covey_coap_engine *engine)
{
    coap_resource_t *resource = coap_resource_unknown_init2(on_request, COAP_RESOURCE_HANDLE_WELLKNOWN_CORE);
    if (resource == NULL)
        return false;
    coap_register_request_handler(resource, COAP_REQUEST_GET, on_request);
    coap_register_request_handler(resource, COAP_REQUEST_POST, on_request);
    coap_register_request_handler(resource, COAP_REQUEST_DELETE, on_request);
    coap_add_resource(engine->context, resource);
    return true;
}

static enum covey_status set_up(struct covey_coap_engine *engine, struct covey_error *err)
{
    const struct covey_coap_engine_config *config = &engine->config;
    engine->context = coap_new_context(NULL);
    if (engine->context == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no CoAP context");
    coap_context_set_app_data(engine->context, engine);
    coap_context_set_block_mode(engine->context, 0);
    coap_register_event_handler(engine->context, on_event);
    coap_register_nack_handler(engine->context, on_undelivered);
    coap_register_response_handler(engine->context, on_response);
    if (config->credentials->side == COVEY_SIDE_DEVICE)
        return COVEY_OK;
    coap_context_set_max_handshake_sessions(engine->context, config->handshakes);
    coap_context_set_max_idle_sessions(engine->context, config->sessions + config->handshakes);
    coap_context_set_session_timeout(engine->context, config->session_idle_s);
    if (!add_resource(engine))
        return covey_fail(err, COVEY_NO_MEMORY, "no CoAP resource");
    return use_server_credentials(engine, err);
}

enum covey_status covey_coap_engine_create(const struct covey_coap_engine_config *config,
                                           struct covey_coap_engine **out, struct covey_error *err)
{
    static pthread_once_t started = PTHREAD_ONCE_INIT;
    COVEY_TRY(check_credentials(config->credentials, err));
    (void)pthread_once(&started, start_libcoap);
    struct covey_coap_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the transport");
    engine->config = *config;
    enum covey_status status = set_up(engine, err);
    if (status != COVEY_OK) {
        covey_coap_engine_destroy(engine);
        return status;
    }
    *out = engine;
    return COVEY_OK;
}

void covey_coap_engine_destroy(struct covey_coap_engine *engine)
{
    if (engine == NULL)
        return;
    covey_coap_engine_disconnect(engine);
    if (engine->context != NULL)
        coap_free_context(engine->context);
    explicit_bzero(engine->psk, sizeof engine->psk);
    free(engine);
}

int covey_coap_engine_fd(const struct covey_coap_engine *engine)
{
    return coap_context_get_coap_fd(engine->context);
}

void covey_coap_engine_run(struct covey_coap_engine *engine)
{
    (void)coap_io_process(engine->context, COAP_IO_NO_WAIT);
}

struct covey_coap_engine_counts covey_coap_engine_counts(const struct covey_coap_engine *engine)
{
    const coap_traffic_t *traffic = coap_context_get_traffic(engine->context);
    return (struct covey_coap_engine_counts){.sent_bytes = traffic->tx_bytes,
                                             .received_bytes = traffic->rx_bytes,
                                             .sent_datagrams = traffic->tx_datagrams,
                                             .received_datagrams = traffic->rx_datagrams};
}

static bool fill_address(coap_address_t *out, const struct sockaddr *address, uint32_t address_bytes)
{
    coap_address_init(out);
    if (address_bytes > sizeof out->addr)
        return false;
    memcpy(&out->addr, address, address_bytes);
    out->size = (socklen_t)address_bytes;
    return true;
}

/* ---------------------------------------------------------------- sending */

static enum covey_status send_message(coap_session_t *session, const struct covey_coap_message *message,
                                      uint16_t *out_id)
{
    coap_pdu_type_t type = message->kind == COVEY_COAP_KIND_CON ? COAP_MESSAGE_CON : COAP_MESSAGE_NON;
    coap_pdu_t *pdu = coap_pdu_init(type, (coap_pdu_code_t)message->code, coap_new_message_id(session),
                                    coap_session_max_pdu_size(session));
    if (pdu == NULL)
        return COVEY_NO_MEMORY;
    if (coap_add_token(pdu, message->token.size, message->token.bytes) == 0 ||
        covey_coap_pdu_write(message, pdu) != COVEY_OK) {
        coap_delete_pdu(pdu);
        return COVEY_LIMIT;
    }
    coap_mid_t id = coap_send(session, pdu); /* takes pdu, in failure too */
    if (id == COAP_INVALID_MID)
        return COVEY_CLOSED;
    if (out_id != NULL)
        *out_id = (uint16_t)id;
    return COVEY_OK;
}

void covey_coap_peering_hold(struct covey_coap_peering *peering)
{
    (void)coap_session_reference(peering->session);
}

void covey_coap_peering_release(struct covey_coap_peering *peering)
{
    coap_session_release(peering->session);
}

enum covey_status covey_coap_peering_send(struct covey_coap_peering *peering,
                                          const struct covey_coap_message *message, uint16_t *out_id)
{
    if (peering->gone)
        return COVEY_CLOSED;
    return send_message(peering->session, message, out_id);
}

void covey_coap_peering_close(struct covey_coap_peering *peering)
{
    if (!peering->gone)
        coap_session_disconnected(peering->session, COAP_NACK_TLS_FAILED);
}

/* ---------------------------------------------------------------- server */

/* bind() tells more than libcoap hands on: who is in the way, or that the address is not ours. */
static enum covey_status probe_port(const struct sockaddr *address, uint32_t address_bytes,
                                    struct covey_error *err)
{
    int fd = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return covey_fail(err, COVEY_IO, "no socket: %s", strerror(errno));
    int off = 0;
    if (address->sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    int failure = bind(fd, address, (socklen_t)address_bytes) == 0 ? 0 : errno;
    (void)close(fd);
    uint16_t port =
        ntohs(address->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)(const void *)address)->sin6_port
                                             : ((const struct sockaddr_in *)(const void *)address)->sin_port);
    if (failure == EADDRINUSE)
        return covey_fail(err, COVEY_EXISTS,
                          "UDP port %u is taken by another program: stop it or choose another port", port);
    if (failure != 0)
        return covey_fail(err, COVEY_IO, "cannot bind UDP port %u: %s", port, strerror(failure));
    return COVEY_OK;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

enum covey_status covey_coap_engine_listen(struct covey_coap_engine *engine, const struct sockaddr *address,
                                           uint32_t address_bytes, uint32_t receive_buffer_bytes,
                                           uint16_t *out_port, uint32_t *out_buffer_bytes,
                                           struct covey_error *err)
{
    coap_address_t own;
    COVEY_TRY(probe_port(address, address_bytes, err));
    if (!fill_address(&own, address, address_bytes))
        return covey_fail(err, COVEY_INVALID, "address of an unknown kind");
    engine->endpoint = coap_new_endpoint(engine->context, &own, COAP_PROTO_DTLS);
    if (engine->endpoint == NULL)
        return covey_fail(err, COVEY_IO, "cannot listen on this UDP port");
    int fd = coap_endpoint_get_fd(engine->endpoint);
    int wanted = (int)receive_buffer_bytes, got = 0;
    socklen_t size = sizeof got;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted); /* a full one acts as loss */
    if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &got, &size) != 0)
        got = 0;
    *out_buffer_bytes = (uint32_t)got / 2; /* Linux reports twice what it was asked for (socket(7)) */
    *out_port = bound_port(fd);
    return COVEY_OK;
}

/* ---------------------------------------------------------------- client */

static bool is_address(const char *name)
{
    struct in6_addr address;
    return inet_pton(AF_INET, name, &address) == 1 || inet_pton(AF_INET6, name, &address) == 1;
}

static coap_session_t *open_session(struct covey_coap_engine *engine, const coap_address_t *server)
{
    const struct covey_credentials *credentials = engine->config.credentials;
    bool nameless = credentials->server_name[0] == '\0' || is_address(credentials->server_name);
    (void)snprintf(engine->server_name, sizeof engine->server_name, "%s",
                   nameless ? PLACEHOLDER_NAME : credentials->server_name);
    if (has_certificate(credentials)) {
        coap_dtls_pki_t pki = make_pki(engine);
        pki.client_sni = engine->server_name;
        return coap_new_client_session_pki(engine->context, NULL, server, COAP_PROTO_DTLS, &pki);
    }
    coap_dtls_cpsk_t psk;
    memset(&psk, 0, sizeof psk);
    psk.version = COAP_DTLS_CPSK_SETUP_VERSION;
    psk.client_sni = engine->server_name;
    psk.psk_info.identity.s = (const uint8_t *)credentials->psk_identity;
    psk.psk_info.identity.length = strlen(credentials->psk_identity);
    psk.psk_info.key.s = credentials->psk;
    psk.psk_info.key.length = credentials->psk_bytes;
    return coap_new_client_session_psk2(engine->context, NULL, server, COAP_PROTO_DTLS, &psk);
}

enum covey_status covey_coap_engine_connect(struct covey_coap_engine *engine, const struct sockaddr *address,
                                            uint32_t address_bytes, struct covey_error *err)
{
    coap_address_t server;
    covey_coap_engine_disconnect(engine);
    engine->failed = false;
    engine->unreachable = false;
    engine->refusal[0] = '\0';
    engine->failure = (struct covey_error){0};
    if (!fill_address(&server, address, address_bytes))
        return covey_fail(err, COVEY_INVALID, "address of an unknown kind");
    engine->session = open_session(engine, &server);
    if (engine->session == NULL)
        return covey_fail(err, COVEY_IO, "no session to this address: %s", strerror(errno));
    return COVEY_OK;
}

void covey_coap_engine_disconnect(struct covey_coap_engine *engine)
{
    coap_session_t *session = engine->session;
    engine->session = NULL; /* events of its end are not failures */
    if (session != NULL)
        coap_session_release(session);
}

enum covey_coap_engine_state covey_coap_engine_state(struct covey_coap_engine *engine,
                                                     struct covey_error *reason)
{
    if (engine->session == NULL)
        return COVEY_COAP_ENGINE_IDLE;
    coap_session_state_t state = coap_session_get_state(engine->session);
    int alert;
    if (!engine->failed && state != COAP_SESSION_STATE_ESTABLISHED &&
        (state == COAP_SESSION_STATE_NONE || coap_session_get_failure(engine->session, &alert) != 0))
        note_client_failure(engine, engine->session);
    if (engine->failed) {
        *reason = engine->failure;
        return COVEY_COAP_ENGINE_FAILED;
    }
    return state == COAP_SESSION_STATE_ESTABLISHED ? COVEY_COAP_ENGINE_UP : COVEY_COAP_ENGINE_HANDSHAKE;
}

bool covey_coap_engine_unreachable(struct covey_coap_engine *engine)
{
    bool unreachable = engine->unreachable;
    engine->unreachable = false;
    return unreachable;
}

enum covey_status covey_coap_engine_send(struct covey_coap_engine *engine,
                                         const struct covey_coap_message *message)
{
    if (engine->session == NULL || engine->failed)
        return COVEY_CLOSED;
    return send_message(engine->session, message, NULL);
}

void covey_coap_engine_ping(struct covey_coap_engine *engine)
{
    if (engine->session != NULL && !engine->failed)
        (void)coap_session_send_ping(engine->session);
}

size_t covey_coap_engine_room(const struct covey_coap_engine *engine)
{
    return engine->session != NULL ? coap_session_max_pdu_size(engine->session) : 0;
}
