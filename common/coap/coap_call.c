/* The life of a call and what goes out for it; what an answer means is in coap_answer.c. */
#include "coap_call_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/coap.h"

/* Options of a block at their longest beside path and query: Content-Format 3, Block1 5, Size1 6, Request-Tag
 * 11, payload marker 1, token 4. */
#define BLOCK_OVERHEAD_BYTES 30

/* ---------------------------------------------------------------- life */

/* Uri-Path or Uri-Query as options: a byte or two before each segment (RFC 7252 section 3.1). */
static size_t segments_bytes(const char *text, char separator)
{
    size_t total = 0;
    while (*text != '\0') {
        size_t size = strcspn(text, (char[]){separator, '\0'});
        total += size + (size >= 13 ? 2 : 1);
        text += size + (text[size] != '\0' ? 1 : 0);
    }
    return total;
}

/* Blocks that we send have the path beside them; those that we are sent have not. */
static bool fits(const struct covey_coap_call *call, uint8_t szx, size_t room)
{
    const bool sends = call->body.size > 0;
    size_t names = sends ? segments_bytes(call->path, '/') + segments_bytes(call->query, '&') : 0;
    return covey_coap_block_bytes(szx) + BLOCK_OVERHEAD_BYTES + names <= room;
}

static enum covey_status choose_blocks(struct covey_coap_call *call, size_t room, struct covey_error *err)
{
    call->szx = COVEY_COAP_SZX_MAX;
    while (call->szx > 0 && !fits(call, call->szx, room))
        call->szx--;
    uint32_t block_bytes = covey_coap_block_bytes(call->szx);
    if (call->body.size == 0)
        return COVEY_OK;
    call->upload_blocks = covey_block_count(call->body.size, block_bytes);
    if (call->upload_blocks == 0)
        return covey_fail(err, COVEY_LIMIT, "%s: a body of %zu bytes is too large", call->path,
                          call->body.size);
    if (call->upload_blocks == 1)
        return COVEY_OK;
    struct covey_hash hash;
    COVEY_TRY(covey_hash_bytes(call->body, &hash));
    call->tag = covey_coap_tag_of_hash(&hash);
    return COVEY_OK;
}

static uint32_t known_blocks(const struct covey_coap_call *call)
{
    if (call->phase == COVEY_COAP_PHASE_ASK)
        return 1;
    if (call->upload_blocks > 0)
        return call->upload_blocks;
    if (call->assembling)
        return call->incoming.receiver.block_count;
    if (call->method == COVEY_GET && !call->observe)
        return covey_block_count(call->expect_bytes,
                                 covey_coap_block_bytes(call->szx)); /* 0 when it is not known */
    return 1;
}

/* Begins to send anew in the present phase; transmission numbers go on, so that late answers stay
 * unambiguous. */
static enum covey_status start_sender(struct covey_coap_call *call, uint64_t now_us)
{
    uint32_t number = call->sender.next_number;
    uint64_t repeated = call->sender.repeated;
    struct covey_block_sender_config config = {
        .block_count = known_blocks(call),
        .window_blocks = call->window_blocks,
        .last_alone = call->upload_blocks > 1 && call->phase == COVEY_COAP_PHASE_MOVE,
        .rule = call->sender.config.rule,
    };
    uint8_t *bitmap = call->first_bitmap;
    if (config.block_count > 8) {
        uint8_t *grown = realloc(call->bitmap, covey_block_bitmap_bytes(config.block_count));
        if (grown == NULL)
            return COVEY_NO_MEMORY;
        bitmap = call->bitmap = grown;
    }
    COVEY_TRY(covey_block_sender_init(&call->sender, &config, call->route, bitmap, now_us));
    call->sender.next_number = number;
    call->sender.recovery_number = number;
    call->sender.repeated = repeated;
    return COVEY_OK;
}

static enum covey_status fill_call(struct covey_coap_call *call, const struct covey_request *request,
                                   bool observe, uint64_t now_us, struct covey_error *err)
{
    const char *query = request->query != NULL ? request->query : "";
    if (strlen(request->path) >= sizeof call->path)
        return covey_fail(err, COVEY_LIMIT, "%s: path over %d bytes", request->path, COVEY_PATH_BYTES - 1);
    if (strlen(query) >= sizeof call->query)
        return covey_fail(err, COVEY_LIMIT, "%s: query over %d bytes", request->path,
                          COVEY_COAP_QUERY_BYTES - 1);
    (void)snprintf(call->path, sizeof call->path, "%s", request->path);
    (void)snprintf(call->query, sizeof call->query, "%s", query);
    call->method = request->method;
    call->content_format = request->body.size > 0 ? request->content_format : -1;
    call->observe = observe;
    call->body = request->body;
    call->has_expect = request->expect != NULL;
    if (call->has_expect)
        call->expect = *request->expect;
    call->expect_bytes = request->expect_bytes;
    call->reply_limit_bytes = request->reply_limit_bytes > 0 ? request->reply_limit_bytes : COVEY_BLOCK_BYTES;
    call->window_blocks = request->window_blocks;
    bool large = request->body.size > COVEY_BLOCK_BYTES || call->reply_limit_bytes > COVEY_BLOCK_BYTES;
    uint32_t timeout_ms = request->timeout_ms > 0 ? request->timeout_ms
                          : large                 ? COVEY_COAP_TRANSFER_MS
                                                  : COVEY_COAP_EXCHANGE_MS;
    call->deadline_us = now_us + 1000ull * timeout_ms;
    if (request->expect_bytes > call->reply_limit_bytes)
        return covey_fail(err, COVEY_LIMIT, "%s: a reply of %zu bytes is over the limit of %zu",
                          request->path, request->expect_bytes, call->reply_limit_bytes);
    return COVEY_OK;
}

enum covey_status covey_coap_call_create(const struct covey_request *request, bool observe, size_t room,
                                         struct covey_block_path *route, uint64_t now_us,
                                         struct covey_coap_call **out, struct covey_error *err)
{
    struct covey_coap_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a request");
    call->route = route;
    call->phase = COVEY_COAP_PHASE_MOVE;
    enum covey_status status = fill_call(call, request, observe, now_us, err);
    if (status == COVEY_OK)
        status = choose_blocks(call, room, err);
    if (status == COVEY_OK && observe) {
        call->news = calloc(COVEY_COAP_NEWS, sizeof *call->news);
        status =
            call->news != NULL ? COVEY_OK : covey_fail(err, COVEY_NO_MEMORY, "no memory for an observation");
    }
    if (status == COVEY_OK)
        status = start_sender(call, now_us);
    if (status != COVEY_OK) {
        covey_coap_call_destroy(call);
        return status;
    }
    *out = call;
    return COVEY_OK;
}

void covey_coap_call_destroy(struct covey_coap_call *call)
{
    if (call == NULL)
        return;
    covey_coap_body_deinit(&call->incoming);
    free(call->bitmap);
    free(call->news);
    free(call);
}

void covey_coap_call_end(struct covey_coap_call *call, enum covey_status status)
{
    if (call->phase == COVEY_COAP_PHASE_DONE)
        return;
    call->phase = COVEY_COAP_PHASE_DONE;
    call->result.status = status;
    call->result.size = 0;
}

void covey_coap_call_begin(struct covey_coap_call *call, enum covey_coap_phase phase, uint64_t now_us)
{
    call->phase = phase;
    call->phase_number = call->sender.next_number;
    enum covey_status status = start_sender(call, now_us);
    if (status != COVEY_OK)
        covey_coap_call_end(call, status);
}

void covey_coap_call_resume(struct covey_coap_call *call, uint64_t now_us)
{
    if (call->upload_blocks > 1)
        covey_coap_call_begin(call, COVEY_COAP_PHASE_ASK, now_us);
}

/* ---------------------------------------------------------------- going on after a break */

void covey_coap_partial_deinit(struct covey_coap_partial *partial)
{
    covey_coap_body_deinit(&partial->body);
    memset(partial, 0, sizeof *partial);
}

void covey_coap_call_keep(struct covey_coap_call *call, struct covey_coap_partial *partial)
{
    if (!call->assembling || call->result_assembled || !call->etag.present ||
        covey_block_receiver_complete(&call->incoming.receiver))
        return;
    covey_coap_partial_deinit(partial);
    partial->used = true;
    memcpy(partial->path, call->path, sizeof partial->path);
    memcpy(partial->query, call->query, sizeof partial->query);
    partial->szx = call->szx;
    partial->etag = call->etag;
    partial->body = call->incoming;
    memset(&call->incoming, 0, sizeof call->incoming);
    call->assembling = false;
}

void covey_coap_call_go_on(struct covey_coap_call *call, struct covey_coap_partial *partial, uint64_t now_us)
{
    const struct covey_block_receiver *receiver = &partial->body.receiver;
    if (!partial->used || call->method != COVEY_GET || call->observe ||
        strcmp(call->path, partial->path) != 0 || strcmp(call->query, partial->query) != 0 ||
        receiver->total_bytes > call->reply_limit_bytes ||
        (call->expect_bytes > 0 && receiver->total_bytes != call->expect_bytes))
        return;
    call->incoming = partial->body;
    memset(&partial->body, 0, sizeof partial->body);
    call->szx = partial->szx;
    call->etag = partial->etag;
    call->assembling = true;
    covey_coap_partial_deinit(partial);
    covey_coap_call_begin(call, COVEY_COAP_PHASE_MOVE, now_us);
    if (call->phase == COVEY_COAP_PHASE_MOVE)
        covey_block_sender_assume(&call->sender, call->incoming.bitmap);
}

/* ---------------------------------------------------------------- what goes out */

/* What may be one datagram keeps its token when it is repeated: the server knows the repeat by it, and
 * serves it once. Blocks have a token for each transmission. */
static bool keeps_token(const struct covey_coap_call *call)
{
    return call->phase != COVEY_COAP_PHASE_ASK && call->sender.config.block_count <= 1;
}

static struct covey_coap_token make_token(const struct covey_coap_call *call, uint32_t number)
{
    uint32_t half = keeps_token(call) ? 0 : number & 0xffff;
    struct covey_coap_token token = {.size = 4};
    token.bytes[0] = (uint8_t)(call->token >> 8);
    token.bytes[1] = (uint8_t)call->token;
    token.bytes[2] = (uint8_t)(half >> 8);
    token.bytes[3] = (uint8_t)half;
    return token;
}

static void fill_upload(const struct covey_coap_call *call, uint32_t block,
                        struct covey_coap_message *message)
{
    uint32_t block_bytes = covey_coap_block_bytes(call->szx);
    size_t offset = (size_t)block * block_bytes;
    size_t left = call->body.size - offset;
    message->content_format = call->content_format;
    message->payload =
        (struct covey_bytes){call->body.data + offset, left < block_bytes ? left : block_bytes};
    if (call->upload_blocks == 1)
        return;
    message->block1 = (struct covey_coap_block){
        .number = block, .szx = call->szx, .more = block + 1 < call->upload_blocks, .present = true};
    message->sized1 = true;
    message->size1 = (uint32_t)call->body.size;
    message->request_tag = call->tag;
}

static void fill_message(const struct covey_coap_call *call, const struct covey_block_action *action,
                         struct covey_coap_message *message)
{
    bool asks = call->phase == COVEY_COAP_PHASE_ASK;
    covey_coap_message_init(message, COVEY_COAP_KIND_NON, (uint8_t)(asks ? COVEY_GET : call->method));
    message->token = make_token(call, action->number);
    memcpy(message->path, call->path, sizeof message->path);
    if (asks)
        return;
    memcpy(message->query, call->query, sizeof message->query);
    if (call->upload_blocks > 0) {
        fill_upload(call, action->block, message);
        return;
    }
    message->observed = call->observe;
    if (call->method == COVEY_GET && (action->block > 0 || call->sender.config.block_count > 1))
        message->block2 =
            (struct covey_coap_block){.number = action->block, .szx = call->szx, .present = true};
}

void covey_coap_call_next(struct covey_coap_call *call, uint64_t now_us, uint16_t window_blocks,
                          struct covey_coap_move *out)
{
    memset(out, 0, sizeof *out);
    out->step = COVEY_COAP_STEP_WAIT;
    out->wake_us = UINT64_MAX;
    if (call->phase == COVEY_COAP_PHASE_DONE) {
        out->step = COVEY_COAP_STEP_DONE;
        return;
    }
    if (call->phase == COVEY_COAP_PHASE_OBSERVING)
        return;
    if (now_us >= call->deadline_us) {
        covey_coap_call_end(call, COVEY_TIMEOUT);
        out->step = COVEY_COAP_STEP_DONE;
        return;
    }
    uint16_t own = call->window_blocks > 0 ? call->window_blocks : COVEY_WINDOW_BLOCKS;
    call->sender.config.window_blocks = own < window_blocks ? own : window_blocks;
    struct covey_block_action action;
    covey_block_sender_next(&call->sender, now_us, &action);
    switch (action.step) {
    case COVEY_BLOCK_SEND:
        out->step = COVEY_COAP_STEP_SEND;
        out->repeated = action.repeated;
        fill_message(call, &action, &out->message);
        out->carries_body = out->message.payload.size > 0 && call->method == COVEY_PUT;
        break;
    case COVEY_BLOCK_WAIT:
        out->wake_us = action.wake_us < call->deadline_us ? action.wake_us : call->deadline_us;
        break;
    case COVEY_BLOCK_SILENT:
    case COVEY_BLOCK_COMPLETE: /* every answer was looked at, and none ended the call: the server makes no
                                  sense */
        covey_coap_call_end(call, action.step == COVEY_BLOCK_SILENT ? COVEY_TIMEOUT : COVEY_CORRUPT);
        out->step = COVEY_COAP_STEP_DONE;
        break;
    }
}
