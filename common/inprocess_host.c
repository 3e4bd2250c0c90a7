/* The in-process transport: the server's side. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "inprocess_network.h"

#define COPIED_BODY_BYTES COVEY_BLOCK_BYTES

/* ---- use counts: a host is not freed while a thread is in its service ---- */

void covey_inprocess_host_use(struct covey_host *host)
{
    host->users++;
}

void covey_inprocess_host_leave(struct covey_host *host)
{
    if (--host->users == 0)
        (void)pthread_cond_broadcast(&host->network->host_idle);
}

/* ---- answers ---- */

static struct parcel *reply_parcel(uint32_t id, uint32_t generation, const struct covey_response *response)
{
    size_t copy_bytes = response->blob == NULL ? response->body.size : 0;
    if (copy_bytes > COPIED_BODY_BYTES)
        copy_bytes = COPIED_BODY_BYTES;
    struct parcel *parcel = calloc(1, sizeof *parcel + copy_bytes);
    if (parcel == NULL)
        return NULL;
    parcel->kind = PARCEL_REPLY;
    parcel->id = id;
    parcel->generation = generation;
    parcel->code = response->code;
    parcel->max_age_s = response->max_age_s;
    parcel->blob = covey_blob_retain(response->blob);
    parcel->copy_bytes = copy_bytes;
    if (copy_bytes > 0)
        memcpy(parcel->copy, response->body.data, copy_bytes);
    return parcel;
}

static void drop_observation(struct covey_host *host, const struct covey_link *link, const char *path)
{
    for (struct observation **at = &host->observations[link->bucket]; *at != NULL;) {
        struct observation *observation = *at;
        if (observation->link == link && (path == NULL || strcmp(observation->path, path) == 0)) {
            *at = observation->next;
            free(observation);
        } else {
            at = &observation->next;
        }
    }
}

/* One observation a device and path: a new one replaces the old. False when there is no memory for it. */
static bool add_observation(struct covey_host *host, const struct pending *pending)
{
    struct observation *observation = calloc(1, sizeof *observation);
    if (observation == NULL)
        return false;
    drop_observation(host, pending->link, pending->path);
    observation->link = pending->link;
    observation->id = pending->id;
    observation->generation = pending->generation;
    (void)snprintf(observation->path, sizeof observation->path, "%s", pending->path);
    observation->next = host->observations[pending->link->bucket];
    host->observations[pending->link->bucket] = observation;
    return true;
}

static void count_down(struct covey_host *host, const char *path, size_t body_bytes)
{
    struct covey_inprocess_weight weight = covey_inprocess_weigh(path, body_bytes);
    host->traffic.bytes_down += weight.bytes;
    host->traffic.datagrams_down += weight.datagrams;
    host->traffic.bytes_up += weight.answer_bytes;
    host->traffic.datagrams_up += weight.answer_datagrams;
}

/* With the lock held. */
static void answer(struct pending *pending, const struct covey_response *response)
{
    struct covey_host *host = pending->host;
    size_t body_bytes = covey_response_view(response).size;
    struct parcel *parcel = reply_parcel(pending->id, pending->generation, response);
    if (parcel == NULL)
        return;
    if (pending->observe && covey_code_is_success(response->code))
        parcel->observed = add_observation(host, pending);
    count_down(host, pending->path, body_bytes);
    covey_inprocess_post(pending->link, parcel, covey_inprocess_weigh(pending->path, body_bytes).bytes);
}

static void unlink_pending(struct covey_host *host, const struct pending *pending)
{
    for (struct pending **at = &host->pending; *at != NULL; at = &(*at)->next) {
        if (*at == pending) {
            *at = pending->next;
            return;
        }
    }
}

static void pending_respond(struct covey_exchange *exchange, const struct covey_response *response)
{
    struct pending *pending = (struct pending *)exchange;
    pthread_mutex_t *lock = &pending->network->lock;
    (void)pthread_mutex_lock(lock);
    if (pending->host != NULL) {
        if (pending->link != NULL && pending->link->host == pending->host)
            answer(pending, response);
        unlink_pending(pending->host, pending);
    }
    (void)pthread_mutex_unlock(lock);
    free(pending);
}

void covey_inprocess_forget_link(struct covey_host *host, const struct covey_link *link)
{
    drop_observation(host, link, NULL);
    for (struct pending *pending = host->pending; pending != NULL; pending = pending->next) {
        if (pending->link == link)
            pending->link = NULL;
    }
}

/* ---- requests ---- */

static struct pending *take_exchange(struct covey_host *host, struct covey_link *link,
                                     const struct order *order)
{
    struct pending *pending = calloc(1, sizeof *pending);
    if (pending == NULL)
        return NULL;
    pending->base.respond = pending_respond;
    pending->network = host->network;
    pending->host = host;
    pending->link = order->stop ? NULL : link;
    pending->id = order->id;
    pending->generation = link->generation;
    pending->observe = order->observe;
    (void)snprintf(pending->path, sizeof pending->path, "%s", order->path);
    (void)pthread_mutex_lock(&host->network->lock);
    if (order->stop)
        drop_observation(host, link, order->path);
    struct covey_inprocess_weight weight = covey_inprocess_weigh(order->path, order->body.size);
    host->traffic.bytes_up += weight.bytes;
    host->traffic.datagrams_up += weight.datagrams;
    host->traffic.bytes_down += weight.answer_bytes;
    host->traffic.datagrams_down += weight.answer_datagrams;
    if (order->body.size > 0)
        host->traffic.upload_bytes_up += weight.bytes;
    pending->next = host->pending;
    host->pending = pending;
    (void)pthread_mutex_unlock(&host->network->lock);
    return pending;
}

/* 0, or the code to refuse with before the body is looked at. */
static uint8_t refusal(struct covey_host *host, const struct covey_incoming *incoming)
{
    const struct covey_inprocess_host_config *config = &host->config;
    if (config->allow_peer != NULL && !config->allow_peer(config->allow_user, incoming->peer->name))
        return COVEY_CODE_FORBIDDEN;
    if (incoming->body.size <= COVEY_BLOCK_BYTES || config->service.admit_body == NULL)
        return 0;
    struct covey_incoming head = *incoming;
    head.body = (struct covey_bytes){NULL, 0};
    head.body_hash = NULL;
    return config->service.admit_body(config->service.user, &head, incoming->body.size);
}

void covey_inprocess_serve(struct covey_host *host, struct covey_link *link, const struct order *order)
{
    struct covey_hash hash;
    struct pending *pending = take_exchange(host, link, order);
    if (pending == NULL)
        return;
    struct covey_incoming incoming = {
        .method = order->method,
        .path = order->path,
        .query = order->query,
        .content_format = order->content_format,
        .body = order->body,
        .peer = &link->peer,
        .observe = order->observe,
        .stop_observing = order->stop,
    };
    (void)pthread_mutex_lock(&host->serving);
    uint8_t code = refusal(host, &incoming);
    if (code == 0 && order->body.size > 0) {
        if (covey_hash_bytes(order->body, &hash) == COVEY_OK)
            incoming.body_hash = &hash;
        else
            code = COVEY_CODE_INTERNAL;
    }
    if (code != 0)
        covey_exchange_respond(&pending->base, &(struct covey_response){.code = code, .content_format = -1});
    else
        host->config.service.serve(host->config.service.user, &incoming, &pending->base);
    (void)pthread_mutex_unlock(&host->serving);
}

void covey_inprocess_peer(struct covey_host *host, const struct covey_peer *peer, bool present)
{
    const struct covey_service *service = &host->config.service;
    if (service->on_peer == NULL)
        return;
    (void)pthread_mutex_lock(&host->serving);
    service->on_peer(service->user, peer, present);
    (void)pthread_mutex_unlock(&host->serving);
}

/* ---- the table ---- */

static enum covey_status host_notify(struct covey_host *host, const char *name, const char *path,
                                     struct covey_blob *body, int content_format)
{
    enum covey_status status = COVEY_OK;
    (void)content_format;
    (void)pthread_mutex_lock(&host->network->lock);
    struct observation *at = host->observations[covey_inprocess_bucket(name)];
    for (; at != NULL; at = at->next) {
        if (strcmp(at->path, path) != 0 || strcmp(at->link->peer.name, name) != 0)
            continue;
        struct covey_response response = {.code = COVEY_CODE_CONTENT, .blob = body};
        struct parcel *parcel = reply_parcel(at->id, at->generation, &response);
        if (parcel == NULL) {
            status = COVEY_NO_MEMORY;
            continue;
        }
        size_t body_bytes = covey_response_view(&response).size;
        parcel->observed = true;
        parcel->notification = true;
        count_down(host, path, body_bytes);
        covey_inprocess_post(at->link, parcel, covey_inprocess_weigh(path, body_bytes).bytes);
    }
    (void)pthread_mutex_unlock(&host->network->lock);
    return status;
}

static bool host_present(struct covey_host *host, const char *name)
{
    bool present = false;
    (void)pthread_mutex_lock(&host->network->lock);
    const struct covey_link *link = host->network->named[covey_inprocess_bucket(name)];
    for (; link != NULL && !present; link = link->next_named)
        present = link->host == host && strcmp(link->peer.name, name) == 0;
    (void)pthread_mutex_unlock(&host->network->lock);
    return present;
}

/* With the lock held: name NULL = everybody. */
static void hang_up(struct covey_host *host, const char *name, const char *text)
{
    for (struct covey_link *link = host->network->links; link != NULL; link = link->next) {
        if (link->host != host || (name != NULL && strcmp(link->peer.name, name) != 0))
            continue;
        covey_inprocess_forget_link(host, link);
        covey_inprocess_hang_up(link, COVEY_CLOSED, text);
    }
}

static void host_drop(struct covey_host *host, const char *name)
{
    (void)pthread_mutex_lock(&host->network->lock);
    hang_up(host, name, "the server closed the session");
    (void)pthread_mutex_unlock(&host->network->lock);
}

static void host_traffic(struct covey_host *host, struct covey_traffic *out)
{
    (void)pthread_mutex_lock(&host->network->lock);
    *out = host->traffic;
    (void)pthread_mutex_unlock(&host->network->lock);
}

static void host_destroy(struct covey_host *host)
{
    if (host == NULL)
        return;
    struct covey_inprocess_network *network = host->network;
    (void)pthread_mutex_lock(&network->lock);
    for (struct covey_host **at = &network->hosts; *at != NULL; at = &(*at)->next) {
        if (*at == host) {
            *at = host->next;
            break;
        }
    }
    while (host->users > 0)
        (void)pthread_cond_wait(&network->host_idle, &network->lock);
    const struct covey_response gone = {.code = COVEY_CODE_UNAVAILABLE, .content_format = -1};
    for (struct pending *pending = host->pending; pending != NULL; pending = pending->next) {
        if (pending->link != NULL)
            answer(pending, &gone);
        pending->host = NULL; /* the service still owns it, and frees it by answering */
        pending->link = NULL;
    }
    hang_up(host, NULL, "the server is shutting down");
    (void)pthread_mutex_unlock(&network->lock);
    (void)pthread_mutex_destroy(&host->serving);
    free(host);
}

static const struct covey_host_ops host_ops = {
    .notify = host_notify,
    .present = host_present,
    .drop = host_drop,
    .traffic = host_traffic,
    .destroy = host_destroy,
};

static bool overlaps(const struct covey_host *a, const struct covey_host *b)
{
    return strcmp(a->name, b->name) == 0 && a->config.port < b->config.port + b->config.shard_count &&
           b->config.port < a->config.port + a->config.shard_count;
}

enum covey_status covey_inprocess_host_create(struct covey_inprocess_network *network,
                                              const struct covey_inprocess_host_config *config,
                                              struct covey_host_handle *out, struct covey_error *err)
{
    struct covey_host *host = calloc(1, sizeof *host);
    if (host == NULL || pthread_mutex_init(&host->serving, NULL) != 0) {
        free(host);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a server");
    }
    host->network = network;
    host->config = *config;
    if (host->config.shard_count == 0)
        host->config.shard_count = 1;
    (void)snprintf(host->name, sizeof host->name, "%s", config->name);
    host->config.name = host->name;
    bool taken = false;
    (void)pthread_mutex_lock(&network->lock);
    for (struct covey_host *other = network->hosts; other != NULL && !taken; other = other->next)
        taken = overlaps(host, other);
    if (!taken) {
        host->next = network->hosts;
        network->hosts = host;
    }
    (void)pthread_mutex_unlock(&network->lock);
    if (taken) {
        enum covey_status status =
            covey_fail(err, COVEY_EXISTS, "another server is at %s:%u", host->name, (unsigned)config->port);
        (void)pthread_mutex_destroy(&host->serving);
        free(host);
        return status;
    }
    *out = (struct covey_host_handle){&host_ops, host};
    return COVEY_OK;
}
