/* The in-process transport: the network and the device's side. The server's side is in inprocess_host.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "covey/hash.h"
#include "covey/random.h"
#include "inprocess_network.h"

#define REQUEST_MS 60000u
#define TRANSFER_MS 3600000u
#define EVENTS_A_RUN 256 /* then the owner gets the thread back */

/* ---- weight: what CoAP over DTLS would send (docs/transport.md) ---- */

#define RECORD_BYTES 29       /* DTLS 1.2 header 13, AEAD tag 16 (ChaCha20-Poly1305, RFC 7905) */
#define COAP_BYTES 8          /* header 4, token 4 */
#define BLOCK_OPTION_BYTES 19 /* Block 4, Size 5, Request-Tag or ETag 10 */

_Static_assert(COVEY_INPROCESS_ANSWER_BYTES == RECORD_BYTES + COAP_BYTES + 4, "record, header, Block1");

struct covey_inprocess_weight covey_inprocess_weigh(const char *path, size_t body_bytes)
{
    struct covey_inprocess_weight weight = {0};
    size_t options = strlen(path) + 2; /* a length byte for each segment, a marker or two */
    uint64_t blocks =
        body_bytes <= COVEY_BLOCK_BYTES ? 1 : (body_bytes + COVEY_BLOCK_BYTES - 1) / COVEY_BLOCK_BYTES;
    uint64_t framing = RECORD_BYTES + COAP_BYTES + options + (body_bytes > 0 ? 3u : 0u);
    if (blocks > 1)
        framing += BLOCK_OPTION_BYTES;
    weight.datagrams = blocks;
    weight.bytes = blocks * framing + body_bytes;
    weight.answer_datagrams = blocks - 1; /* the last block's answer is the reply itself */
    weight.answer_bytes = (blocks - 1) * COVEY_INPROCESS_ANSWER_BYTES;
    return weight;
}

/* ---- network ---- */

static uint64_t clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint32_t covey_inprocess_bucket(const char *name)
{
    return (uint32_t)(covey_random_id(name) % INPROCESS_BUCKETS);
}

uint64_t covey_inprocess_now_ms(const struct covey_inprocess_network *network)
{
    const struct covey_env *env = &network->config.env;
    return env->now_ms != NULL ? env->now_ms(env->user) : clock_ms();
}

static bool init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
    bool done = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(condition, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return done;
}

enum covey_status covey_inprocess_network_create(const struct covey_inprocess_network_config *config,
                                                 struct covey_inprocess_network **out)
{
    struct covey_inprocess_network *network = calloc(1, sizeof *network);
    if (network == NULL)
        return COVEY_NO_MEMORY;
    network->config = *config;
    if (pthread_mutex_init(&network->lock, NULL) != 0 || !init_condition(&network->host_idle)) {
        free(network);
        return COVEY_NO_MEMORY;
    }
    *out = network;
    return COVEY_OK;
}

void covey_inprocess_network_destroy(struct covey_inprocess_network *network)
{
    if (network == NULL)
        return;
    (void)pthread_cond_destroy(&network->host_idle);
    (void)pthread_mutex_destroy(&network->lock);
    free(network);
}

/* ---- parcels ---- */

void covey_inprocess_parcel_free(struct parcel *parcel)
{
    covey_blob_release(parcel->blob);
    free(parcel);
}

/* By due time, and among equals in order of arrival. */
static void insert_parcel(struct covey_link *link, struct parcel *parcel)
{
    struct parcel **at = &link->inbox;
    while (*at != NULL && (*at)->due_ms <= parcel->due_ms)
        at = &(*at)->next;
    parcel->next = *at;
    *at = parcel;
    (void)pthread_cond_signal(&link->stirred);
}

void covey_inprocess_post(struct covey_link *link, struct parcel *parcel, size_t bytes)
{
    const struct covey_inprocess_network_config *config = &link->network->config;
    parcel->due_ms = covey_inprocess_now_ms(link->network);
    if (config->transit_ms != NULL && parcel->kind != PARCEL_STATE) {
        int64_t transit = config->transit_ms(config->user, link->peer.name, bytes, false);
        if (transit < 0) {
            covey_inprocess_parcel_free(parcel);
            return;
        }
        parcel->due_ms += (uint64_t)transit;
    }
    insert_parcel(link, parcel);
}

static struct parcel *state_parcel(const struct covey_link *link, enum covey_link_state state,
                                   enum covey_status status, const char *text)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);
    if (parcel == NULL)
        return NULL;
    parcel->kind = PARCEL_STATE;
    parcel->generation = link->generation;
    parcel->state = state;
    if (status != COVEY_OK)
        (void)covey_fail(&parcel->reason, status, "%s", text);
    return parcel;
}

static void post_state(struct covey_link *link, enum covey_link_state state, uint64_t after_ms,
                       enum covey_status status, const char *text)
{
    struct parcel *parcel = state_parcel(link, state, status, text);
    if (parcel == NULL)
        return;
    parcel->due_ms = covey_inprocess_now_ms(link->network) + after_ms;
    insert_parcel(link, parcel);
}

void covey_inprocess_hang_up(struct covey_link *link, enum covey_status status, const char *text)
{
    link->host = NULL;
    post_state(link, COVEY_LINK_DOWN, 0, status, text);
}

/* ---- connect and disconnect ---- */

static struct covey_host *find_host(struct covey_inprocess_network *network, const char *address,
                                    uint32_t *shard)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL)
        return NULL;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != '\0')
        return NULL;
    for (struct covey_host *host = network->hosts; host != NULL; host = host->next) {
        bool named = strlen(host->name) == (size_t)(colon - address) &&
                     memcmp(host->name, address, (size_t)(colon - address)) == 0;
        if (named && port >= host->config.port && port - host->config.port < host->config.shard_count) {
            *shard = (uint32_t)(port - host->config.port);
            return host;
        }
    }
    return NULL;
}

/* With the lock held, which it lets go for the service's on_peer. */
static void leave_host(struct covey_link *link)
{
    struct covey_host *host = link->host;
    if (host == NULL)
        return;
    link->host = NULL;
    covey_inprocess_forget_link(host, link);
    covey_inprocess_host_use(host);
    (void)pthread_mutex_unlock(&link->network->lock);
    covey_inprocess_peer(host, &link->peer, false);
    (void)pthread_mutex_lock(&link->network->lock);
    covey_inprocess_host_leave(host);
}

static void link_disconnect(struct covey_link *link)
{
    (void)pthread_mutex_lock(&link->network->lock);
    if (link->host != NULL) {
        leave_host(link);
        post_state(link, COVEY_LINK_DOWN, 0, COVEY_CLOSED, "disconnected");
    }
    (void)pthread_mutex_unlock(&link->network->lock);
}

static enum covey_status link_connect(struct covey_link *link, const char *address, struct covey_error *err)
{
    struct covey_inprocess_network *network = link->network;
    if (strrchr(address, ':') == NULL)
        return covey_fail(err, COVEY_INVALID, "%s: want HOST:PORT", address);
    link_disconnect(link);
    (void)pthread_mutex_lock(&network->lock);
    link->generation++;
    struct covey_host *host = find_host(network, address, &link->peer.shard);
    bool allowed = host != NULL && (host->config.allow_peer == NULL ||
                                    host->config.allow_peer(host->config.allow_user, link->peer.name));
    post_state(link, COVEY_LINK_CONNECTING, 0, COVEY_OK, NULL);
    if (host == NULL) {
        post_state(link, COVEY_LINK_DOWN, 0, COVEY_NOT_FOUND, "no server at this address");
    } else if (!allowed) {
        post_state(link, COVEY_LINK_DOWN, 0, COVEY_DENIED, "the server refused this device: not allowed");
    } else {
        link->host = host;
        (void)snprintf(link->peer.address, sizeof link->peer.address, "in-process");
        covey_inprocess_host_use(host);
        (void)pthread_mutex_unlock(&network->lock);
        covey_inprocess_peer(host, &link->peer, true);
        (void)pthread_mutex_lock(&network->lock);
        covey_inprocess_host_leave(host);
        if (link->host != NULL)
            post_state(link, COVEY_LINK_UP, 0, COVEY_OK, NULL);
    }
    (void)pthread_mutex_unlock(&network->lock);
    return COVEY_OK;
}

/* ---- requests ---- */

static struct order *find_order(struct covey_link *link, uint32_t id)
{
    for (size_t i = 0; i < COVEY_INPROCESS_REQUESTS; i++) {
        if (link->orders[i].stage != ORDER_FREE && link->orders[i].id == id)
            return &link->orders[i];
    }
    return NULL;
}

static void end_order(struct covey_link *link, struct order *order)
{
    if (order->stage != ORDER_FREE)
        link->order_count--;
    order->stage = ORDER_FREE;
}

static struct order *free_order(struct covey_link *link)
{
    for (size_t i = 0; i < COVEY_INPROCESS_REQUESTS; i++) {
        if (link->orders[i].stage == ORDER_FREE)
            return &link->orders[i];
    }
    return NULL;
}

static void fill_order(struct covey_link *link, struct order *order, const struct covey_request *request,
                       bool observe, covey_reply_fn *reply, void *user)
{
    bool large = request->body.size > COVEY_BLOCK_BYTES || request->expect_bytes > COVEY_BLOCK_BYTES;
    uint64_t now = covey_inprocess_now_ms(link->network);
    memset(order, 0, sizeof *order);
    order->stage = ORDER_QUEUED;
    link->order_count++;
    order->id = ++link->next_id;
    order->observe = observe;
    order->due_ms = now;
    order->timeout_ms = now + (request->timeout_ms > 0 ? request->timeout_ms
                               : large                 ? TRANSFER_MS
                                                       : REQUEST_MS);
    order->method = request->method;
    (void)snprintf(order->path, sizeof order->path, "%s", request->path);
    (void)snprintf(order->query, sizeof order->query, "%s", request->query != NULL ? request->query : "");
    order->content_format = request->body.size > 0 ? request->content_format : -1;
    order->body = request->body;
    if (request->expect != NULL) {
        order->has_expect = true;
        order->expect = *request->expect;
    }
    order->reply_limit_bytes =
        request->reply_limit_bytes > 0 ? request->reply_limit_bytes : COVEY_BLOCK_BYTES;
    order->reply = reply;
    order->user = user;
}

/* What goes up costs bytes and time, or is lost. */
static void send_order(struct covey_link *link, struct order *order)
{
    const struct covey_inprocess_network_config *config = &link->network->config;
    struct covey_inprocess_weight weight = covey_inprocess_weigh(order->path, order->body.size);
    link->traffic.bytes_up += weight.bytes;
    link->traffic.datagrams_up += weight.datagrams;
    link->traffic.bytes_down += weight.answer_bytes;
    link->traffic.datagrams_down += weight.answer_datagrams;
    if (order->body.size > 0 && order->method == COVEY_PUT) {
        link->traffic.upload_bytes_up += weight.bytes;
        link->traffic.blocks_sent += weight.datagrams;
    }
    if (config->transit_ms != NULL) {
        int64_t transit = config->transit_ms(config->user, link->peer.name, weight.bytes, true);
        if (transit < 0)
            order->stage = ORDER_SERVED; /* nobody will answer: the timeout ends it */
        else
            order->due_ms += (uint64_t)transit;
    }
}

static enum covey_status start_order(struct covey_link *link, const struct covey_request *request,
                                     bool observe, covey_reply_fn *reply, void *user, uint32_t *out_id,
                                     struct covey_error *err)
{
    if (strlen(request->path) >= COVEY_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%s: path over %d bytes", request->path, COVEY_PATH_BYTES - 1);
    if (request->query != NULL && strlen(request->query) >= INPROCESS_QUERY_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%s: query over %d bytes", request->path,
                          INPROCESS_QUERY_BYTES - 1);
    if (request->body.size > COVEY_BODY_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%s: body over the limit", request->path);
    (void)pthread_mutex_lock(&link->network->lock);
    enum covey_status status = COVEY_OK;
    struct order *order = free_order(link);
    if (link->host == NULL) {
        status = covey_fail(err, COVEY_CLOSED, "%s: not connected", request->path);
    } else if (order == NULL) {
        status = covey_fail(err, COVEY_BUSY, "%s: %d requests are outstanding already", request->path,
                            COVEY_INPROCESS_REQUESTS);
    } else {
        fill_order(link, order, request, observe, reply, user);
        send_order(link, order);
        if (out_id != NULL)
            *out_id = order->id;
    }
    (void)pthread_mutex_unlock(&link->network->lock);
    return status;
}

static enum covey_status link_request(struct covey_link *link, const struct covey_request *request,
                                      covey_reply_fn *reply, void *user, uint32_t *out_id,
                                      struct covey_error *err)
{
    return start_order(link, request, false, reply, user, out_id, err);
}

static enum covey_status link_observe(struct covey_link *link, const struct covey_request *request,
                                      covey_reply_fn *reply, void *user, uint32_t *out_id,
                                      struct covey_error *err)
{
    return start_order(link, request, true, reply, user, out_id, err);
}

static void link_cancel(struct covey_link *link, uint32_t id)
{
    (void)pthread_mutex_lock(&link->network->lock);
    struct order *order = find_order(link, id);
    if (order != NULL) {
        bool tell = order->observe && link->host != NULL;
        order->stage = ORDER_QUEUED;
        if (!tell)
            end_order(link, order);
        order->stop = true;
        order->observe = false;
        order->due_ms = covey_inprocess_now_ms(link->network);
    }
    (void)pthread_mutex_unlock(&link->network->lock);
}

/* ---- run: each step does one thing with the lock held, letting it go around callbacks; false = nothing was
 * due ---- */

static bool take_timeout(struct covey_link *link, uint64_t now)
{
    for (size_t i = 0; link->order_count > 0 && i < COVEY_INPROCESS_REQUESTS; i++) {
        struct order *order = &link->orders[i];
        if (order->stage == ORDER_FREE || order->observe || now < order->timeout_ms)
            continue;
        struct order copy = *order;
        end_order(link, order);
        if (copy.stop)
            return true;
        (void)pthread_mutex_unlock(&link->network->lock);
        copy.reply(copy.user, &(struct covey_reply){.status = COVEY_TIMEOUT});
        (void)pthread_mutex_lock(&link->network->lock);
        return true;
    }
    return false;
}

static bool deliver_order(struct covey_link *link, uint64_t now)
{
    struct order *next = NULL; /* lowest id first: what was asked first is served first */
    for (size_t i = 0; link->order_count > 0 && i < COVEY_INPROCESS_REQUESTS; i++) {
        struct order *order = &link->orders[i];
        if (order->stage == ORDER_QUEUED && order->due_ms <= now && (next == NULL || order->id < next->id))
            next = order;
    }
    if (next == NULL || link->host == NULL)
        return false;
    struct covey_host *host = link->host;
    struct order copy = *next;
    next->stage = ORDER_SERVED;
    if (copy.stop)
        end_order(link, next);
    covey_inprocess_host_use(host);
    (void)pthread_mutex_unlock(&link->network->lock);
    covey_inprocess_serve(host, link, &copy);
    (void)pthread_mutex_lock(&link->network->lock);
    covey_inprocess_host_leave(host);
    return true;
}

static void close_orders(struct covey_link *link, enum covey_status status)
{
    for (size_t i = 0; i < COVEY_INPROCESS_REQUESTS; i++) {
        struct order copy = link->orders[i];
        end_order(link, &link->orders[i]);
        if (copy.stage == ORDER_FREE || copy.stop)
            continue;
        (void)pthread_mutex_unlock(&link->network->lock);
        copy.reply(copy.user, &(struct covey_reply){.status = status});
        (void)pthread_mutex_lock(&link->network->lock);
    }
}

/* The body must be what was asked for; what is not is reported, never handed on. */
static enum covey_status check_body(const struct order *order, const struct parcel *parcel,
                                    struct covey_bytes body)
{
    if (!covey_code_is_success(parcel->code))
        return COVEY_OK;
    if (body.size > order->reply_limit_bytes)
        return COVEY_LIMIT;
    if (!order->has_expect)
        return COVEY_OK;
    struct covey_hash hash;
    if (parcel->blob != NULL)
        hash = *covey_blob_hash(parcel->blob);
    else
        COVEY_TRY(covey_hash_bytes(body, &hash));
    return covey_hash_equal(&hash, &order->expect) ? COVEY_OK : COVEY_CORRUPT;
}

static void deliver_reply(struct covey_link *link, const struct parcel *parcel)
{
    struct order *order = find_order(link, parcel->id);
    if (order == NULL || order->stop || parcel->generation != link->generation)
        return;
    struct order copy = *order;
    struct covey_bytes body = parcel->blob != NULL ? covey_blob_view(parcel->blob)
                                                   : (struct covey_bytes){parcel->copy, parcel->copy_bytes};
    if (!parcel->observed)
        end_order(link, order);
    struct covey_inprocess_weight weight = covey_inprocess_weigh(order->path, body.size);
    link->traffic.bytes_down += weight.bytes;
    link->traffic.datagrams_down += weight.datagrams;
    link->traffic.bytes_up += weight.answer_bytes;
    link->traffic.datagrams_up += weight.answer_datagrams;
    (void)pthread_mutex_unlock(&link->network->lock);
    struct covey_reply reply = {.status = check_body(&copy, parcel, body),
                                .code = parcel->code,
                                .body = body,
                                .max_age_s = parcel->max_age_s > 0 ? parcel->max_age_s : 60};
    if (reply.status != COVEY_OK)
        reply = (struct covey_reply){.status = reply.status};
    copy.reply(copy.user, &reply);
    (void)pthread_mutex_lock(&link->network->lock);
}

static void deliver_state(struct covey_link *link, const struct parcel *parcel)
{
    if (parcel->state == COVEY_LINK_DOWN)
        close_orders(link, COVEY_CLOSED);
    if (link->events.on_state == NULL)
        return;
    (void)pthread_mutex_unlock(&link->network->lock);
    link->events.on_state(link->events.user, parcel->state,
                          parcel->reason.status != COVEY_OK ? &parcel->reason : NULL);
    (void)pthread_mutex_lock(&link->network->lock);
}

static bool deliver_parcel(struct covey_link *link, uint64_t now)
{
    struct parcel *parcel = link->inbox;
    if (parcel == NULL || parcel->due_ms > now)
        return false;
    link->inbox = parcel->next;
    if (parcel->kind == PARCEL_STATE)
        deliver_state(link, parcel);
    else
        deliver_reply(link, parcel);
    covey_inprocess_parcel_free(parcel);
    return true;
}

/* With the lock held: when this link next has something to do. */
static uint64_t next_due(const struct covey_link *link)
{
    uint64_t due = link->inbox != NULL ? link->inbox->due_ms : UINT64_MAX;
    for (size_t i = 0; link->order_count > 0 && i < COVEY_INPROCESS_REQUESTS; i++) {
        const struct order *order = &link->orders[i];
        if (order->stage == ORDER_QUEUED && order->due_ms < due)
            due = order->due_ms;
        if (order->stage != ORDER_FREE && !order->observe && order->timeout_ms < due)
            due = order->timeout_ms;
    }
    return due;
}

static struct timespec monotonic_after(uint64_t wait_ms)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(wait_ms / 1000);
    at.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

/* THREADED: sleeps until something is due, woken, or wait_ms are over. */
static void await_work(struct covey_link *link, uint32_t wait_ms)
{
    struct timespec end = monotonic_after(wait_ms);
    int outcome = 0;
    while (!link->woken && outcome != ETIMEDOUT) {
        uint64_t now = covey_inprocess_now_ms(link->network), due = next_due(link);
        if (due <= now)
            return;
        struct timespec until = end;
        if (due - now < wait_ms) {
            struct timespec early = monotonic_after(due - now);
            if (early.tv_sec < end.tv_sec || (early.tv_sec == end.tv_sec && early.tv_nsec < end.tv_nsec))
                until = early;
        }
        outcome = pthread_cond_timedwait(&link->stirred, &link->network->lock, &until);
    }
}

static void link_run(struct covey_link *link, uint32_t wait_ms)
{
    (void)pthread_mutex_lock(&link->network->lock);
    if (link->network->config.mode == COVEY_INPROCESS_THREADED && wait_ms > 0)
        await_work(link, wait_ms);
    link->woken = false;
    uint64_t now = covey_inprocess_now_ms(link->network);
    for (int events = 0; events < EVENTS_A_RUN; events++) {
        if (!deliver_order(link, now) && !deliver_parcel(link, now) && !take_timeout(link, now))
            break;
    }
    (void)pthread_mutex_unlock(&link->network->lock);
}

static void link_wake(struct covey_link *link)
{
    (void)pthread_mutex_lock(&link->network->lock);
    link->woken = true;
    (void)pthread_cond_signal(&link->stirred);
    (void)pthread_mutex_unlock(&link->network->lock);
}

static void link_traffic(const struct covey_link *link, struct covey_traffic *out)
{
    (void)pthread_mutex_lock(&link->network->lock);
    *out = link->traffic;
    (void)pthread_mutex_unlock(&link->network->lock);
}

static void link_destroy(struct covey_link *link)
{
    if (link == NULL)
        return;
    struct covey_inprocess_network *network = link->network;
    (void)pthread_mutex_lock(&network->lock);
    leave_host(link);
    close_orders(link, COVEY_CANCELLED);
    for (struct covey_link **at = &network->links; *at != NULL; at = &(*at)->next) {
        if (*at == link) {
            *at = link->next;
            break;
        }
    }
    for (struct covey_link **at = &network->named[link->bucket]; *at != NULL; at = &(*at)->next_named) {
        if (*at == link) {
            *at = link->next_named;
            break;
        }
    }
    while (link->inbox != NULL) {
        struct parcel *parcel = link->inbox;
        link->inbox = parcel->next;
        covey_inprocess_parcel_free(parcel);
    }
    (void)pthread_mutex_unlock(&network->lock);
    (void)pthread_cond_destroy(&link->stirred);
    free(link);
}

static const struct covey_link_ops link_ops = {
    .connect = link_connect,
    .disconnect = link_disconnect,
    .request = link_request,
    .cancel = link_cancel,
    .observe = link_observe,
    .run = link_run,
    .wake = link_wake,
    .traffic = link_traffic,
    .destroy = link_destroy,
};

enum covey_status covey_inprocess_link_create(struct covey_inprocess_network *network, const char *peer_name,
                                              const struct covey_link_events *events,
                                              struct covey_link_handle *out, struct covey_error *err)
{
    if (strlen(peer_name) >= COVEY_NAME_BYTES)
        return covey_fail(err, COVEY_LIMIT, "device name over %d bytes", COVEY_NAME_BYTES - 1);
    struct covey_link *link = calloc(1, sizeof *link);
    if (link == NULL || !init_condition(&link->stirred)) {
        free(link);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a link");
    }
    link->network = network;
    link->events = *events;
    (void)snprintf(link->peer.name, sizeof link->peer.name, "%s", peer_name);
    (void)pthread_mutex_lock(&network->lock);
    link->next = network->links;
    network->links = link;
    link->bucket = covey_inprocess_bucket(peer_name);
    link->next_named = network->named[link->bucket];
    network->named[link->bucket] = link;
    (void)pthread_mutex_unlock(&network->lock);
    *out = (struct covey_link_handle){&link_ops, link};
    return COVEY_OK;
}

uint64_t covey_inprocess_next_due_ms(const struct covey_inprocess_network *network)
{
    struct covey_inprocess_network *shared = (struct covey_inprocess_network *)(uintptr_t)network;
    uint64_t due = UINT64_MAX;
    (void)pthread_mutex_lock(&shared->lock);
    for (const struct covey_link *link = network->links; link != NULL; link = link->next) {
        uint64_t of_link = next_due(link);
        if (of_link < due)
            due = of_link;
    }
    (void)pthread_mutex_unlock(&shared->lock);
    return due;
}
