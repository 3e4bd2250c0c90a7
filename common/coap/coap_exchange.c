#include "coap_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"

/* ---------------------------------------------------------------- life */

static void respond(struct covey_exchange *base, const struct covey_response *response);

static void mail_delivered(void *shard, struct covey_coap_mail *mail);
static void mail_discarded(struct covey_coap_mail *mail);

static struct covey_coap_exchange *of_mail(struct covey_coap_mail *mail)
{
    return (struct covey_coap_exchange *)((char *)mail - offsetof(struct covey_coap_exchange, mail));
}

struct covey_coap_exchange *covey_coap_exchange_open(struct covey_coap_shard *shard,
                                                     struct covey_coap_peering *peering,
                                                     const struct covey_coap_message *request,
                                                     struct covey_coap_upload *upload)
{
    if (shard->exchange_count >= COVEY_COAP_EXCHANGES)
        return NULL;
    struct covey_coap_exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->base.respond = respond;
    exchange->mail.deliver = mail_delivered;
    exchange->mail.discard = mail_discarded;
    exchange->mailbox = covey_coap_mailbox_retain(shard->mailbox);
    exchange->shard = shard;
    exchange->thread = pthread_self();
    exchange->peering = peering;
    exchange->upload = upload;
    exchange->kind = request->kind;
    exchange->method = (enum covey_method)request->code;
    exchange->token = request->token;
    exchange->block2 = request->block2;
    exchange->observe = request->code == COVEY_GET && request->observed && request->observe == 0;
    (void)snprintf(exchange->path, sizeof exchange->path, "%s", request->path);
    covey_coap_peering_hold(peering);
    exchange->next = shard->exchanges;
    exchange->at = &shard->exchanges;
    if (exchange->next != NULL)
        exchange->next->at = &exchange->next;
    shard->exchanges = exchange;
    shard->exchange_count++;
    return exchange;
}

static void unlink_exchange(struct covey_coap_exchange *exchange)
{
    *exchange->at = exchange->next;
    if (exchange->next != NULL)
        exchange->next->at = exchange->at;
    exchange->shard->exchange_count--;
    covey_coap_peering_release(exchange->peering);
    exchange->peering = NULL;
}

static void free_exchange(struct covey_coap_exchange *exchange)
{
    covey_blob_release(exchange->blob);
    covey_coap_mailbox_release(exchange->mailbox);
    free(exchange);
}

void covey_coap_exchange_close(struct covey_coap_exchange *exchange)
{
    unlink_exchange(exchange);
    free_exchange(exchange);
}

bool covey_coap_exchange_is_open(const struct covey_coap_shard *shard,
                                 const struct covey_coap_peering *peering,
                                 const struct covey_coap_token *token)
{
    for (const struct covey_coap_exchange *at = shard->exchanges; at != NULL; at = at->next) {
        if (at->peering == peering && covey_coap_token_equal(&at->token, token))
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- the service's answer, on any thread */

static void keep_response(struct covey_coap_exchange *exchange, const struct covey_response *response)
{
    exchange->code = response->code;
    exchange->content_format = response->content_format;
    exchange->max_age_s = response->max_age_s;
    exchange->blob = covey_blob_retain(response->blob);
    if (response->blob != NULL || response->body.size == 0)
        return;
    exchange->copy_bytes =
        response->body.size < sizeof exchange->copy ? response->body.size : sizeof exchange->copy;
    memcpy(exchange->copy, response->body.data, exchange->copy_bytes);
}

static void respond(struct covey_exchange *base, const struct covey_response *response)
{
    struct covey_coap_exchange *exchange = (struct covey_coap_exchange *)base;
    keep_response(exchange, response);
    /* Only the shard's own thread can be inside serve(), and only then may it look at the shard without the
     * mailbox. */
    if (pthread_equal(pthread_self(), exchange->thread) && exchange->shard != NULL &&
        exchange->shard->serving == exchange)
        exchange->answered_inside = true;
    else
        covey_coap_mailbox_post(exchange->mailbox, &exchange->mail);
}

static void mail_delivered(void *shard, struct covey_coap_mail *mail)
{
    (void)shard;
    covey_coap_exchange_send(of_mail(mail));
}

/* The shard has ended, or is about to unlink this exchange. */
static void part(struct covey_coap_exchange *exchange)
{
    if (atomic_fetch_add(&exchange->parting, 1) == 1)
        free_exchange(exchange);
}

static void mail_discarded(struct covey_coap_mail *mail)
{
    part(of_mail(mail));
}

/* ---------------------------------------------------------------- observations */

struct covey_coap_peering *covey_coap_shard_named(const struct covey_coap_shard *shard, const char *name)
{
    struct covey_coap_peering *at = shard->names[covey_random_id(name) % COVEY_COAP_NAME_BUCKETS];
    while (at != NULL && strcmp(at->peer.name, name) != 0)
        at = at->next_named;
    return at;
}

void covey_coap_observation_stop(struct covey_coap_shard *shard, const char *name, const char *path)
{
    for (struct covey_coap_peering *at = covey_coap_shard_named(shard, name); at != NULL;
         at = at->next_named) {
        struct covey_coap_visitor *visitor = at->owner;
        if (visitor == NULL || strcmp(at->peer.name, name) != 0)
            continue;
        for (size_t i = 0; i < COVEY_COAP_OBSERVATIONS; i++) {
            struct covey_coap_observation *observation = &visitor->observations[i];
            if (observation->used && strcmp(observation->path, path) == 0) {
                observation->used = false;
                atomic_fetch_sub(&shard->figures.observations, 1);
            }
        }
    }
}

/* False: this device observes COVEY_COAP_OBSERVATIONS paths already. */
static bool start_observation(struct covey_coap_exchange *exchange)
{
    struct covey_coap_shard *shard = exchange->shard;
    struct covey_coap_visitor *visitor = exchange->peering->owner;
    covey_coap_observation_stop(shard, exchange->peering->peer.name, exchange->path);
    for (size_t i = 0; visitor != NULL && i < COVEY_COAP_OBSERVATIONS; i++) {
        struct covey_coap_observation *observation = &visitor->observations[i];
        if (observation->used)
            continue;
        observation->used = true;
        observation->token = exchange->token;
        (void)snprintf(observation->path, sizeof observation->path, "%s", exchange->path);
        atomic_fetch_add(&shard->figures.observations, 1);
        return true;
    }
    return false;
}

/* ---------------------------------------------------------------- the message */

static struct covey_bytes answer_body(const struct covey_coap_exchange *exchange)
{
    return exchange->blob != NULL ? covey_blob_view(exchange->blob)
                                  : (struct covey_bytes){exchange->copy, exchange->copy_bytes};
}

static void say(struct covey_coap_message *message, uint8_t code, const char *text)
{
    message->code = code;
    message->content_format = -1;
    message->payload = (struct covey_bytes){(const uint8_t *)text, strlen(text)};
}

/* One block of the body, as asked for (RFC 7959 section 2.4): stateless, each answered by itself. */
static void fill_body(const struct covey_coap_exchange *exchange, struct covey_coap_message *message)
{
    struct covey_bytes body = answer_body(exchange);
    const struct covey_coap_block *asked = &exchange->block2;
    uint8_t szx = asked->present ? asked->szx : COVEY_COAP_SZX_MAX;
    if (szx > COVEY_COAP_SZX_MAX) {
        say(message, COVEY_CODE_BAD_REQUEST, "block size out of range");
        return;
    }
    uint32_t block_bytes = covey_coap_block_bytes(szx);
    uint32_t number = asked->present ? asked->number : 0;
    uint64_t offset = (uint64_t)number * block_bytes;
    if (number > 0 && offset >= body.size) {
        say(message, COVEY_CODE_BAD_REQUEST, "block number past the end");
        return;
    }
    size_t left = body.size - (size_t)offset;
    message->payload = (struct covey_bytes){body.data != NULL ? body.data + offset : NULL,
                                            left < block_bytes ? left : block_bytes};
    if (exchange->blob != NULL)
        message->etag = covey_coap_tag_of_hash(covey_blob_hash(exchange->blob));
    if (!asked->present && body.size <= block_bytes)
        return;
    message->block2 =
        (struct covey_coap_block){.number = number, .szx = szx, .more = left > block_bytes, .present = true};
    message->sized2 = true;
    message->size2 = (uint32_t)body.size;
}

static void remember(const struct covey_coap_exchange *exchange)
{
    struct covey_coap_visitor *visitor = exchange->peering->owner;
    if (visitor == NULL || exchange->method == COVEY_GET || exchange->upload != NULL)
        return;
    visitor->recent[visitor->recent_next] = (struct covey_coap_recent){exchange->token, exchange->code};
    visitor->recent_next = (visitor->recent_next + 1) % COVEY_COAP_RECENT;
}

/* What is here of an upload to this path takes the place of the service's answer to a GET, unless the service
 * knows better: a body that it has taken before (from the shard's memory that is: before a restart) may be
 * coming once more, and one whose round is over will never be whole. */
static void show_upload(struct covey_coap_exchange *exchange)
{
    struct covey_upload_state here, there;
    size_t bytes;
    const bool silent =
        exchange->code == COVEY_CODE_NOT_FOUND || exchange->code == COVEY_CODE_METHOD_NOT_ALLOWED;
    if (exchange->method != COVEY_GET || exchange->observe ||
        !(silent || covey_code_is_success(exchange->code)) ||
        !covey_coap_intake_state(&exchange->shard->intake, exchange->peering->peer.name, exchange->path,
                                 &here))
        return;
    if (!silent && covey_upload_state_decode(answer_body(exchange), &there, NULL) == COVEY_OK &&
        there.complete)
        return;
    if (covey_upload_state_encode(&here, exchange->copy, sizeof exchange->copy, &bytes) != COVEY_OK)
        return;
    covey_blob_release(exchange->blob);
    exchange->blob = NULL;
    exchange->copy_bytes = bytes;
    exchange->code = COVEY_CODE_CONTENT;
    exchange->content_format = COVEY_FORMAT_CBOR;
}

void covey_coap_exchange_answer(struct covey_coap_exchange *exchange, struct covey_coap_message *message)
{
    show_upload(exchange);
    struct covey_coap_upload *upload = exchange->upload;
    bool success = covey_code_is_success(exchange->code);
    message->code = exchange->code;
    message->content_format = exchange->content_format;
    message->aged = exchange->max_age_s > 0;
    message->max_age_s = exchange->max_age_s;
    remember(exchange);
    if (upload != NULL) {
        message->block1 = upload->last_block;
        message->block1.more = false;
        covey_coap_intake_answered(&exchange->shard->intake, upload, exchange->code,
                                   covey_coap_shard_now_ms());
        exchange->upload = NULL;
    }
    if (success && exchange->method == COVEY_GET) {
        fill_body(exchange, message);
        if (exchange->observe && covey_code_is_success(message->code) && start_observation(exchange)) {
            message->observed = true;
            message->observe = ++exchange->shard->sequence & 0xffffff;
        }
        return;
    }
    struct covey_bytes body = answer_body(exchange);
    message->payload =
        (struct covey_bytes){body.data, body.size < COVEY_BLOCK_BYTES ? body.size : COVEY_BLOCK_BYTES};
}

void covey_coap_exchange_send(struct covey_coap_exchange *exchange)
{
    struct covey_coap_message message;
    covey_coap_message_init(&message,
                            exchange->kind == COVEY_COAP_KIND_CON ? COVEY_COAP_KIND_CON : COVEY_COAP_KIND_NON,
                            exchange->code);
    message.token = exchange->token;
    if (exchange->upload != NULL) { /* whoever asked last gets it */
        message.token = exchange->upload->token;
        message.kind =
            exchange->upload->kind == COVEY_COAP_KIND_CON ? COVEY_COAP_KIND_CON : COVEY_COAP_KIND_NON;
    }
    covey_coap_exchange_answer(exchange, &message);
    enum covey_status status = covey_coap_peering_send(exchange->peering, &message, NULL);
    if (status != COVEY_OK && status != COVEY_CLOSED)
        covey_log_event(exchange->shard->common->config.env.log, COVEY_LOG_WARNING, "answer-not-sent",
                        "peer=%s path=%s reason=\"%s\"", exchange->peering->peer.name, exchange->path,
                        covey_status_text(status));
    covey_coap_exchange_close(exchange);
}

void covey_coap_exchange_abandon_all(struct covey_coap_shard *shard)
{
    while (shard->exchanges != NULL) {
        struct covey_coap_exchange *exchange = shard->exchanges;
        struct covey_coap_message message;
        covey_coap_message_init(&message, COVEY_COAP_KIND_NON, COVEY_CODE_UNAVAILABLE);
        message.token = exchange->upload != NULL ? exchange->upload->token : exchange->token;
        if (covey_coap_peering_send(exchange->peering, &message, NULL) != COVEY_OK)
            covey_log_event(shard->common->config.env.log, COVEY_LOG_DEBUG, "answer-not-sent", "path=%s",
                            exchange->path);
        unlink_exchange(exchange);
        exchange->shard = NULL;
        part(exchange);
    }
}
