#include "coap_shard.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coap_exchange.h"
#include "covey/random.h"

#define DATAGRAMS_A_TURN 64
#define MAILS_A_TURN 64 /* notifications are paced by what arrives in between */
#define TICK_MS 1000

static const char default_links[] = "</where>;rt=\"covey.where\";ct=60,</f>;rt=\"covey.federation\"";

uint64_t covey_coap_shard_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---------------------------------------------------------------- who is here */

static struct covey_coap_peering **name_bucket(struct covey_coap_shard *shard, const char *name)
{
    return &shard->names[covey_random_id(name) % COVEY_COAP_NAME_BUCKETS];
}

/* One device has a few sessions at the most: what a crash or a new address left behind goes. */
static void limit_sessions(struct covey_coap_shard *shard, const char *name)
{
    struct covey_coap_peering *oldest = NULL;
    uint32_t count = 0;
    for (struct covey_coap_peering *at = covey_coap_shard_named(shard, name); at != NULL;
         at = at->next_named) {
        if (strcmp(at->peer.name, name) != 0 || at->gone)
            continue;
        count++;
        if (oldest == NULL || at->since_ms < oldest->since_ms)
            oldest = at;
    }
    if (count > COVEY_COAP_SESSIONS_PER_PEER)
        covey_coap_peering_close(oldest);
}

static void on_arrived(void *user, struct covey_coap_peering *peering)
{
    struct covey_coap_shard *shard = user;
    const struct covey_service *service = &shard->common->config.service;
    peering->peer.shard = shard->index;
    peering->owner =
        calloc(1, sizeof(struct covey_coap_visitor)); /* NULL: neither observations nor memory of repeats */
    struct covey_coap_peering **bucket = name_bucket(shard, peering->peer.name);
    peering->next_named = *bucket;
    *bucket = peering;
    atomic_fetch_add(&shard->figures.sessions, 1);
    bool first = covey_coap_registry_add(shard->common->registry, peering->peer.name, shard->index);
    covey_log_event(shard->common->config.env.log, COVEY_LOG_DEBUG, "session-open",
                    "peer=%s address=%s shard=%u", peering->peer.name, peering->peer.address, shard->index);
    if (first && service->on_peer != NULL)
        service->on_peer(service->user, &peering->peer, true);
    limit_sessions(shard, peering->peer.name);
}

static void on_left(void *user, struct covey_coap_peering *peering)
{
    struct covey_coap_shard *shard = user;
    const struct covey_service *service = &shard->common->config.service;
    struct covey_coap_visitor *visitor = peering->owner;
    for (struct covey_coap_peering **at = name_bucket(shard, peering->peer.name); *at != NULL;
         at = &(*at)->next_named) {
        if (*at == peering) {
            *at = peering->next_named;
            break;
        }
    }
    for (size_t i = 0; visitor != NULL && i < COVEY_COAP_OBSERVATIONS; i++) {
        if (visitor->observations[i].used)
            atomic_fetch_sub(&shard->figures.observations, 1);
    }
    free(visitor);
    peering->owner = NULL;
    atomic_fetch_sub(&shard->figures.sessions, 1);
    bool last = covey_coap_registry_remove(shard->common->registry, peering->peer.name, shard->index);
    covey_log_event(shard->common->config.env.log, COVEY_LOG_DEBUG, "session-closed", "peer=%s shard=%u",
                    peering->peer.name, shard->index);
    if (last && service->on_peer != NULL)
        service->on_peer(service->user, &peering->peer, false);
}

/* Anybody can make us refuse them; the log must not grow with it. */
static void on_refused(void *user, const char *address, const char *reason)
{
    struct covey_coap_shard *shard = user;
    atomic_fetch_add(&shard->figures.refused, 1);
    if (shard->refusals_logged++ >= COVEY_COAP_REFUSALS_LOGGED)
        return;
    covey_log_event(shard->common->config.env.log, COVEY_LOG_WARNING, "handshake-refused",
                    "address=%s shard=%u reason=\"%s\"", address, shard->index, reason);
}

/* ---------------------------------------------------------------- requests */

static void refuse(struct covey_coap_message *answer, uint8_t code, const char *text)
{
    answer->code = code;
    answer->payload = (struct covey_bytes){(const uint8_t *)text, strlen(text)};
}

static void serve(struct covey_coap_shard *shard, struct covey_coap_peering *peering,
                  const struct covey_coap_message *request, struct covey_coap_upload *upload,
                  struct covey_coap_message *answer)
{
    const struct covey_service *service = &shard->common->config.service;
    struct covey_coap_exchange *exchange = covey_coap_exchange_open(shard, peering, request, upload);
    if (exchange == NULL) {
        if (upload != NULL)
            covey_coap_intake_answered(&shard->intake, upload, COVEY_CODE_UNAVAILABLE,
                                       covey_coap_shard_now_ms());
        refuse(answer, COVEY_CODE_UNAVAILABLE, "too many requests at once");
        return;
    }
    struct covey_hash hash;
    struct covey_incoming incoming = {
        .method = (enum covey_method)request->code,
        .path = request->path,
        .query = upload != NULL ? upload->query : request->query,
        .content_format = upload != NULL ? upload->content_format : request->content_format,
        .body = upload != NULL ? covey_coap_upload_view(upload) : request->payload,
        .peer = &peering->peer,
        .observe = exchange->observe,
        .stop_observing = request->code == COVEY_GET && request->observed && request->observe == 1,
    };
    if (upload != NULL)
        incoming.body_hash = &upload->hash;
    else if (incoming.body.size > 0 && covey_hash_bytes(incoming.body, &hash) == COVEY_OK)
        incoming.body_hash = &hash;
    if (incoming.stop_observing)
        covey_coap_observation_stop(shard, peering->peer.name, request->path);
    shard->serving = exchange;
    service->serve(service->user, &incoming, &exchange->base);
    shard->serving = NULL;
    /* Answered on another thread it is on its way through the mailbox, and belongs to this thread until it is
     * read. */
    if (exchange->answered_inside) {
        covey_coap_exchange_answer(exchange, answer);
        /* the engine copies the payload after this returns: keep what it borrows */
        shard->lingering = exchange;
    }
}

static bool is_repeat(struct covey_coap_shard *shard, const struct covey_coap_peering *peering,
                      const struct covey_coap_message *request, struct covey_coap_message *answer)
{
    const struct covey_coap_visitor *visitor = peering->owner;
    bool kept = request->code != COVEY_GET && visitor != NULL;
    for (size_t i = 0; kept && i < COVEY_COAP_RECENT; i++) {
        if (visitor->recent[i].code != 0 &&
            covey_coap_token_equal(&visitor->recent[i].token, &request->token)) {
            answer->code = visitor->recent[i].code;
            return true;
        }
    }
    return covey_coap_exchange_is_open(shard, peering, &request->token); /* its answer will come */
}

static bool answer_discovery(const struct covey_coap_shard *shard, const struct covey_coap_message *request,
                             struct covey_coap_message *answer)
{
    if (request->code != COVEY_GET || strcmp(request->path, ".well-known/core") != 0)
        return false;
    const char *links = shard->common->config.links != NULL ? shard->common->config.links : default_links;
    answer->code = COVEY_CODE_CONTENT;
    answer->content_format = COVEY_FORMAT_LINK;
    size_t size = strlen(links);
    answer->payload =
        (struct covey_bytes){(const uint8_t *)links, size < COVEY_BLOCK_BYTES ? size : COVEY_BLOCK_BYTES};
    return true;
}

static uint8_t admit(void *user, const struct covey_coap_message *request, const struct covey_peer *peer,
                     uint64_t body_bytes)
{
    const struct covey_coap_shard *shard = user;
    const struct covey_service *service = &shard->common->config.service;
    if (service->admit_body == NULL)
        return 0;
    struct covey_incoming incoming = {.method = (enum covey_method)request->code,
                                      .path = request->path,
                                      .query = request->query,
                                      .content_format = request->content_format,
                                      .peer = peer};
    return service->admit_body(service->user, &incoming, body_bytes);
}

static void take_block(struct covey_coap_shard *shard, struct covey_coap_peering *peering,
                       const struct covey_coap_message *request, struct covey_coap_message *answer)
{
    struct covey_coap_upload *upload;
    if (request->code != COVEY_PUT && request->code != COVEY_POST) {
        refuse(answer, COVEY_CODE_METHOD_NOT_ALLOWED, "only PUT and POST carry a body");
        return;
    }
    if (covey_coap_intake_block(&shard->intake, &peering->peer, request, covey_coap_shard_now_ms(), answer,
                                &upload) == COVEY_COAP_INTAKE_WHOLE)
        serve(shard, peering, request, upload, answer);
}

static bool is_allowed(struct covey_coap_shard *shard, const struct covey_coap_peering *peering)
{
    const struct covey_coap_host_config *config = &shard->common->config;
    return config->allow_peer == NULL || config->allow_peer(config->allow_user, peering->peer.name);
}

static void count_upload(struct covey_coap_shard *shard, const struct covey_coap_message *request)
{
    uint64_t received = covey_coap_engine_counts(shard->engine).received_bytes;
    if (request->payload.size > 0 && request->code == COVEY_PUT)
        atomic_fetch_add(&shard->figures.upload_bytes, received - shard->counted_bytes);
    shard->counted_bytes = received;
}

static void on_request(void *user, struct covey_coap_peering *peering,
                       const struct covey_coap_message *request, struct covey_coap_message *answer)
{
    struct covey_coap_shard *shard = user;
    covey_coap_shard_let_go(shard);
    count_upload(shard, request);
    if (!is_allowed(shard, peering)) {
        refuse(answer, COVEY_CODE_FORBIDDEN, "this device is not allowed any more");
        if (covey_coap_shard_drop(shard, peering->peer.name) != COVEY_OK)
            covey_log_event(shard->common->config.env.log, COVEY_LOG_ERROR, "no-memory", "shard=%u",
                            shard->index);
    } else if (request->malformed) {
        refuse(answer, COVEY_CODE_BAD_REQUEST, "malformed option or path");
    } else if (request->block1.present) {
        take_block(shard, peering, request, answer);
    } else if (!is_repeat(shard, peering, request, answer) && !answer_discovery(shard, request, answer)) {
        serve(shard, peering, request, NULL, answer);
    }
}

/* ---------------------------------------------------------------- notifications */

struct notice {
    struct covey_coap_mail mail;
    char name[COVEY_NAME_BYTES];
    char path[COVEY_PATH_BYTES];
    struct covey_blob *body;
    int content_format;
};

static void free_notice(struct covey_coap_mail *mail)
{
    struct notice *notice = (struct notice *)mail;
    covey_blob_release(notice->body);
    free(notice);
}

static void push(struct covey_coap_shard *shard, struct covey_coap_peering *peering,
                 struct covey_coap_observation *observation, const struct notice *notice)
{
    struct covey_coap_message message;
    /* Confirmable: a push that is lost would cost a round. libcoap repeats it after 1, 2, 4, 8 s. */
    covey_coap_message_init(&message, COVEY_COAP_KIND_CON, COVEY_CODE_CONTENT);
    message.token = observation->token;
    message.observed = true;
    message.observe = ++shard->sequence & 0xffffff;
    message.content_format = notice->content_format;
    message.payload = covey_blob_view(notice->body);
    enum covey_status status = covey_coap_peering_send(peering, &message, &observation->message_id);
    if (status != COVEY_OK)
        covey_log_event(shard->common->config.env.log, COVEY_LOG_WARNING, "notification-not-sent",
                        "peer=%s path=%s reason=\"%s\"", notice->name, notice->path,
                        covey_status_text(status));
}

static void deliver_notice(void *user, struct covey_coap_mail *mail)
{
    struct covey_coap_shard *shard = user;
    const struct notice *notice = (struct notice *)mail;
    struct covey_coap_peering *next;
    for (struct covey_coap_peering *at = covey_coap_shard_named(shard, notice->name); at != NULL; at = next) {
        next = at->next_named; /* sending may end the session */
        struct covey_coap_visitor *visitor = at->owner;
        if (visitor == NULL || strcmp(at->peer.name, notice->name) != 0)
            continue;
        for (size_t i = 0; i < COVEY_COAP_OBSERVATIONS && at->owner == visitor; i++) {
            if (visitor->observations[i].used && strcmp(visitor->observations[i].path, notice->path) == 0)
                push(shard, at, &visitor->observations[i], notice);
        }
    }
    free_notice(mail);
}

enum covey_status covey_coap_shard_notify(struct covey_coap_shard *shard, const char *name, const char *path,
                                          struct covey_blob *body, int content_format)
{
    struct notice *notice = calloc(1, sizeof *notice);
    if (notice == NULL)
        return COVEY_NO_MEMORY;
    notice->mail.deliver = deliver_notice;
    notice->mail.discard = free_notice;
    (void)snprintf(notice->name, sizeof notice->name, "%s", name);
    (void)snprintf(notice->path, sizeof notice->path, "%s", path);
    notice->body = covey_blob_retain(body);
    notice->content_format = content_format;
    covey_coap_mailbox_post(shard->mailbox, &notice->mail);
    return COVEY_OK;
}

/* RST: the device does not want it (any more). Given up: the device is gone, and its session with it. */
static void on_undelivered(void *user, struct covey_coap_peering *peering,
                           const struct covey_coap_token *token, uint16_t id, bool rejected)
{
    struct covey_coap_shard *shard = user;
    struct covey_coap_visitor *visitor = peering->owner;
    for (size_t i = 0; visitor != NULL && i < COVEY_COAP_OBSERVATIONS; i++) {
        struct covey_coap_observation *observation = &visitor->observations[i];
        bool meant = token->size > 0 ? covey_coap_token_equal(&observation->token, token)
                                     : observation->message_id == id;
        if (observation->used && meant) {
            observation->used = false;
            atomic_fetch_sub(&shard->figures.observations, 1);
        }
    }
    if (!rejected)
        covey_coap_peering_close(peering);
}

/* ---------------------------------------------------------------- closing a device's sessions */

static void free_mail(struct covey_coap_mail *mail)
{
    free(mail);
}

static void deliver_drop(void *user, struct covey_coap_mail *mail)
{
    struct covey_coap_shard *shard = user;
    const struct notice *notice = (struct notice *)mail;
    for (;;) {
        struct covey_coap_peering *at = covey_coap_shard_named(shard, notice->name);
        if (at == NULL)
            break;
        covey_coap_peering_close(at); /* takes it out of the table */
        if (covey_coap_shard_named(shard, notice->name) == at)
            break;
    }
    free(mail);
}

enum covey_status covey_coap_shard_drop(struct covey_coap_shard *shard, const char *name)
{
    struct notice *notice = calloc(1, sizeof *notice);
    if (notice == NULL)
        return COVEY_NO_MEMORY;
    notice->mail.deliver = deliver_drop;
    notice->mail.discard = free_mail;
    (void)snprintf(notice->name, sizeof notice->name, "%s", name);
    covey_coap_mailbox_post(shard->mailbox, &notice->mail);
    return COVEY_OK;
}

/* ---------------------------------------------------------------- life */

static void publish_figures(struct covey_coap_shard *shard)
{
    struct covey_coap_engine_counts counts = covey_coap_engine_counts(shard->engine);
    struct covey_coap_shard_figures *figures = &shard->figures;
    atomic_store_explicit(&figures->sent_bytes, counts.sent_bytes, memory_order_relaxed);
    atomic_store_explicit(&figures->received_bytes, counts.received_bytes, memory_order_relaxed);
    atomic_store_explicit(&figures->sent_datagrams, counts.sent_datagrams, memory_order_relaxed);
    atomic_store_explicit(&figures->received_datagrams, counts.received_datagrams, memory_order_relaxed);
    atomic_store_explicit(&figures->transfers, shard->intake.count, memory_order_relaxed);
}

static void keep_house(struct covey_coap_shard *shard)
{
    uint64_t now_ms = covey_coap_shard_now_ms();
    if (now_ms - shard->housekeeping_ms < TICK_MS)
        return;
    shard->housekeeping_ms = now_ms;
    if (shard->refusals_logged > COVEY_COAP_REFUSALS_LOGGED)
        covey_log_event(shard->common->config.env.log, COVEY_LOG_WARNING, "handshakes-refused",
                        "shard=%u more=%u", shard->index,
                        shard->refusals_logged - COVEY_COAP_REFUSALS_LOGGED);
    shard->refusals_logged = 0;
    covey_coap_intake_expire(&shard->intake, now_ms);
}

static void *run(void *user)
{
    struct covey_coap_shard *shard = user;
    struct pollfd fds[2] = {{.fd = covey_coap_engine_fd(shard->engine), .events = POLLIN},
                            {.fd = covey_coap_mailbox_fd(shard->mailbox), .events = POLLIN}};
    covey_coap_engine_run(shard->engine); /* arms libcoap's timer */
    while (!atomic_load(&shard->stopping)) {
        (void)poll(fds, 2, TICK_MS);
        for (int i = 0; i < DATAGRAMS_A_TURN && (i == 0 || poll(fds, 1, 0) > 0); i++) {
            shard->counted_bytes = covey_coap_engine_counts(shard->engine).received_bytes;
            covey_coap_engine_run(shard->engine);
            covey_coap_shard_let_go(shard);
        }
        (void)covey_coap_mailbox_deliver(shard->mailbox, shard, MAILS_A_TURN);
        keep_house(shard);
        publish_figures(shard);
    }
    return NULL;
}

void covey_coap_shard_let_go(struct covey_coap_shard *shard)
{
    if (shard->lingering != NULL)
        covey_coap_exchange_close(shard->lingering);
    shard->lingering = NULL;
}

static void warn_of_buffer(const struct covey_coap_shard *shard, uint32_t wanted, uint32_t got)
{
    if (got >= wanted || shard->index > 0)
        return;
    covey_log_event(shard->common->config.env.log, COVEY_LOG_WARNING, "receive-buffer-capped",
                    "wanted=%u got=%u bytes; a crowd of devices that answer at once will lose datagrams. Set "
                    "net.core.rmem_max (packaging/sysctl.d/60-covey.conf does)",
                    wanted, got);
}

enum covey_status covey_coap_shard_init(struct covey_coap_shard *shard, struct covey_coap_common *common,
                                        uint32_t index, const struct sockaddr *address,
                                        uint32_t address_bytes, struct covey_error *err)
{
    const struct covey_coap_host_config *config = &common->config;
    shard->common = common;
    shard->index = index;
    if (covey_coap_mailbox_create(&shard->mailbox) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for shard %u", index);
    struct covey_coap_engine_config engine = {
        .credentials = config->credentials,
        .events = {.user = shard,
                   .request = on_request,
                   .arrived = on_arrived,
                   .left = on_left,
                   .refused = on_refused,
                   .undelivered = on_undelivered},
        .handshakes = config->shard_handshakes,
        .sessions = config->shard_sessions,
        .session_idle_s = config->session_idle_s,
    };
    COVEY_TRY(covey_coap_engine_create(&engine, &shard->engine, err));
    struct covey_coap_intake_config intake = {.admit = admit,
                                              .user = shard,
                                              .memory_bytes = &common->transfer_memory_bytes,
                                              .memory_limit_bytes = config->transfer_memory_bytes,
                                              .idle_ms = config->transfer_idle_ms};
    covey_coap_intake_init(&shard->intake, &intake);
    uint32_t buffer_bytes;
    COVEY_TRY(covey_coap_engine_listen(shard->engine, address, address_bytes, config->receive_buffer_bytes,
                                       &shard->port, &buffer_bytes, err));
    warn_of_buffer(shard, config->receive_buffer_bytes, buffer_bytes);
    return COVEY_OK;
}

enum covey_status covey_coap_shard_start(struct covey_coap_shard *shard, struct covey_error *err)
{
    sigset_t all, before; /* signals are the program's main thread's */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    shard->started = pthread_create(&shard->thread, NULL, run, shard) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return shard->started ? COVEY_OK
                          : covey_fail(err, COVEY_NO_MEMORY, "no thread for shard %u", shard->index);
}

void covey_coap_shard_deinit(struct covey_coap_shard *shard)
{
    if (shard->mailbox == NULL)
        return;
    atomic_store(&shard->stopping, true);
    covey_coap_mailbox_wake(shard->mailbox);
    if (shard->started)
        (void)pthread_join(shard->thread, NULL);
    covey_coap_shard_let_go(shard);
    covey_coap_mailbox_close(shard->mailbox, shard);
    covey_coap_exchange_abandon_all(shard);
    if (shard->engine != NULL)
        publish_figures(shard);
    covey_coap_engine_destroy(shard->engine); /* with its sessions: on_left runs for each */
    if (shard->intake.config.memory_bytes != NULL)
        covey_coap_intake_deinit(&shard->intake);
    covey_coap_mailbox_release(shard->mailbox);
    memset(shard, 0, sizeof *shard);
}
