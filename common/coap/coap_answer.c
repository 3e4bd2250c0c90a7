/* What an answer means for the call that waits for it, and the result that its owner gets. */
#include <stdlib.h>
#include <string.h>

#include "coap_call_parts.h"
#include "covey/messages.h"

#define SEQUENCE_HALF (1u << 23)             /* RFC 7641 section 3.4 */
#define SEQUENCE_STALE_US (128ull * 1000000) /* the same */

/* ---------------------------------------------------------------- results */

static void fill_news(struct covey_coap_news *news, const struct covey_coap_message *answer)
{
    news->status = COVEY_OK;
    news->code = answer->code;
    news->max_age_s = answer->aged ? answer->max_age_s : 60;
    news->size = answer->payload.size < sizeof news->bytes ? answer->payload.size : sizeof news->bytes;
    if (news->size > 0)
        memcpy(news->bytes, answer->payload.data, news->size);
}

/* A reply of one datagram. */
static void finish(struct covey_coap_call *call, const struct covey_coap_message *answer)
{
    fill_news(&call->result, answer);
    call->phase = COVEY_COAP_PHASE_DONE;
    if (!covey_code_is_success(answer->code))
        return;
    struct covey_hash hash;
    if (answer->payload.size > call->reply_limit_bytes || answer->payload.size > sizeof call->result.bytes) {
        call->result.status = COVEY_LIMIT;
    } else if (call->has_expect && (covey_hash_bytes(answer->payload, &hash) != COVEY_OK ||
                                    !covey_hash_equal(&hash, &call->expect))) {
        call->result.status = COVEY_CORRUPT;
    }
    if (call->result.status != COVEY_OK)
        call->result.size = 0;
}

static void finish_download(struct covey_coap_call *call, const struct covey_coap_message *answer)
{
    struct covey_hash hash;
    enum covey_status status = covey_coap_body_finish(&call->incoming, &hash);
    struct covey_coap_tag tag = covey_coap_tag_of_hash(&hash);
    bool right = status == COVEY_OK && (!call->has_expect || covey_hash_equal(&hash, &call->expect)) &&
                 (call->etag.size != COVEY_COAP_TAG_BYTES || covey_coap_tag_equal(&call->etag, &tag));
    fill_news(&call->result, answer);
    call->result.size = 0;
    call->result.status = right ? COVEY_OK : COVEY_CORRUPT;
    call->result_assembled = right;
    call->phase = COVEY_COAP_PHASE_DONE;
}

bool covey_coap_call_take_reply(struct covey_coap_call *call, struct covey_reply *out)
{
    const struct covey_coap_news *news = NULL;
    if (call->news_count > 0) {
        news = &call->news[call->news_first];
        call->news_first = (call->news_first + 1) % COVEY_COAP_NEWS;
        call->news_count--;
    } else if (call->phase == COVEY_COAP_PHASE_DONE) {
        news = &call->result;
    } else {
        return false;
    }
    *out = (struct covey_reply){.status = news->status};
    if (news->status != COVEY_OK)
        return true;
    out->code = news->code;
    out->max_age_s = news->max_age_s;
    if (news == &call->result && call->result_assembled)
        out->body = covey_coap_body_view(&call->incoming);
    else if (news->size > 0)
        out->body = (struct covey_bytes){news->bytes, news->size};
    return true;
}

/* ---------------------------------------------------------------- answers to an upload */

static void move_missing(struct covey_coap_call *call, const struct covey_upload_state *state,
                         uint64_t now_us)
{
    uint32_t first[COVEY_RANGES + 2], count[COVEY_RANGES + 2];
    size_t ranges = 0;
    uint32_t last = call->upload_blocks - 1, listed = 0;
    for (uint32_t i = 0; i < state->range_count; i++) {
        first[ranges] = state->missing[i].first;
        count[ranges++] = state->missing[i].count;
        listed = state->missing[i].first + state->missing[i].count;
    }
    if (state->range_count == COVEY_RANGES &&
        listed < last) { /* there may be more behind what could be listed */
        first[ranges] = listed;
        count[ranges++] = last - listed;
    }
    first[ranges] = last; /* the block whose answer is the final one */
    count[ranges++] = 1;
    covey_coap_call_begin(call, COVEY_COAP_PHASE_MOVE, now_us);
    if (call->phase == COVEY_COAP_PHASE_MOVE)
        covey_block_sender_missing(&call->sender, first, count, ranges);
}

static void answer_ask(struct covey_coap_call *call, const struct covey_coap_message *answer, uint64_t now_us)
{
    struct covey_upload_state state;
    bool told = answer->code == COVEY_CODE_CONTENT &&
                covey_upload_state_decode(answer->payload, &state, NULL) == COVEY_OK;
    bool same = told && !state.complete && state.total_bytes == call->body.size &&
                state.block_bytes == covey_coap_block_bytes(call->szx);
    if (told && state.complete) {
        call->result.code = COVEY_CODE_CHANGED; /* taken before: there is nothing to send */
        call->result.max_age_s = 60;
        call->phase = COVEY_COAP_PHASE_DONE;
    } else if (same)
        move_missing(call, &state, now_us);
    else
        covey_coap_call_begin(call, COVEY_COAP_PHASE_MOVE,
                              now_us); /* it has nothing of this one: from the start */
}

static void answer_upload(struct covey_coap_call *call, const struct covey_coap_message *answer,
                          uint32_t number, uint64_t now_us)
{
    if (answer->code == COVEY_CODE_CONTINUE && call->upload_blocks > 1) {
        uint32_t block = answer->block1.present ? answer->block1.number : COVEY_BLOCK_AS_SENT;
        covey_block_sender_answered(&call->sender, number, block, true, now_us);
        return;
    }
    covey_block_sender_answered(&call->sender, number, COVEY_BLOCK_AS_SENT, false, now_us);
    if (answer->code == COVEY_CODE_INCOMPLETE && call->upload_blocks > 1 && call->asks < COVEY_COAP_ASKS) {
        if (number < call->phase_number)
            return; /* of a round that was asked about already */
        call->asks++;
        covey_coap_call_begin(call, COVEY_COAP_PHASE_ASK, now_us);
        return;
    }
    finish(call, answer);
}

/* ---------------------------------------------------------------- answers to a download */

static enum covey_status begin_body(struct covey_coap_call *call, const struct covey_coap_message *answer)
{
    const struct covey_coap_block *block = &answer->block2;
    uint32_t block_bytes = covey_coap_block_bytes(block->szx);
    uint64_t total = answer->size2;
    if (!answer->sized2) {
        if (block->more)
            return COVEY_UNSUPPORTED; /* a server that does not say how much there is */
        total = (uint64_t)block->number * block_bytes + answer->payload.size;
    }
    if (total > call->reply_limit_bytes || total > COVEY_BODY_BYTES)
        return COVEY_LIMIT;
    if (call->expect_bytes > 0 && total != call->expect_bytes)
        return COVEY_CORRUPT;
    uint32_t blocks = covey_block_count(total, block_bytes);
    if (blocks == 0)
        return COVEY_CORRUPT;
    COVEY_TRY(covey_coap_body_init(&call->incoming, total, block_bytes));
    call->assembling = true;
    call->etag = answer->etag;
    if (call->sender.config.block_count == blocks)
        return COVEY_OK;
    uint8_t *bitmap = malloc(covey_block_bitmap_bytes(blocks));
    if (bitmap == NULL)
        return COVEY_NO_MEMORY;
    enum covey_status status = covey_block_sender_set_count(&call->sender, blocks, bitmap);
    free(call->bitmap);
    call->bitmap = bitmap;
    return status;
}

static void restart_download(struct covey_coap_call *call, uint8_t szx, uint64_t now_us)
{
    covey_coap_body_deinit(&call->incoming);
    call->assembling = false;
    call->szx = szx;
    if (++call->restarts > COVEY_COAP_RESTARTS) {
        covey_coap_call_end(call, COVEY_CORRUPT);
        return;
    }
    covey_coap_call_begin(call, COVEY_COAP_PHASE_MOVE, now_us);
}

static void answer_block(struct covey_coap_call *call, const struct covey_coap_message *answer,
                         uint32_t number, uint64_t now_us)
{
    const struct covey_coap_block *block = &answer->block2;
    if (block->szx > call->szx) {
        covey_coap_call_end(call, COVEY_CORRUPT);
        return;
    }
    if (block->szx < call->szx && (call->assembling || block->number > 0)) {
        restart_download(call, block->szx, now_us); /* the server wants smaller ones (RFC 7959 section 2.4) */
        return;
    }
    call->szx = block->szx;
    enum covey_status status = COVEY_OK;
    if (call->assembling && !covey_coap_tag_equal(&call->etag, &answer->etag)) {
        restart_download(call, call->szx, now_us);
        return;
    }
    if (!call->assembling)
        status = begin_body(call, answer);
    if (status == COVEY_OK)
        status = covey_coap_body_put(&call->incoming, block->number, block->more, answer->payload);
    if (status != COVEY_OK && status != COVEY_EXISTS) {
        covey_coap_call_end(call,
                            status == COVEY_LIMIT || status == COVEY_UNSUPPORTED || status == COVEY_NO_MEMORY
                                ? status
                                : COVEY_CORRUPT);
        return;
    }
    /* of a repeated first request nobody knows which transmission was answered (Karn) */
    bool sample = number > 0 || call->sender.next_number == 1;
    covey_block_sender_answered(&call->sender, number, block->number, sample, now_us);
    if (covey_block_receiver_complete(&call->incoming.receiver))
        finish_download(call, answer);
}

/* ---------------------------------------------------------------- notifications */

/* RFC 7641 section 3.4: is this one newer than the last? */
static bool is_fresh(const struct covey_coap_call *call, uint32_t sequence, uint64_t now_us)
{
    if (!call->sequence_known || now_us > call->sequence_us + SEQUENCE_STALE_US)
        return true;
    uint32_t old = call->sequence;
    return (old < sequence && sequence - old < SEQUENCE_HALF) ||
           (old > sequence && old - sequence > SEQUENCE_HALF);
}

static void answer_observe(struct covey_coap_call *call, const struct covey_coap_message *answer,
                           uint32_t number, uint64_t now_us)
{
    if (call->phase == COVEY_COAP_PHASE_MOVE)
        covey_block_sender_answered(&call->sender, number, COVEY_BLOCK_AS_SENT, call->sender.next_number == 1,
                                    now_us);
    if (!covey_code_is_success(answer->code) || answer->block2.more) {
        finish(call, answer); /* the observation is over, or cannot be (bodies fit one datagram) */
        if (answer->block2.more)
            call->result.status = COVEY_LIMIT;
        return;
    }
    call->phase = COVEY_COAP_PHASE_OBSERVING;
    if (answer->observed) {
        if (!is_fresh(call, answer->observe, now_us))
            return;
        call->sequence_known = true;
        call->sequence = answer->observe;
        call->sequence_us = now_us;
    }
    if (call->news_count == COVEY_COAP_NEWS) {
        call->news_first = (call->news_first + 1) % COVEY_COAP_NEWS;
        call->news_count--;
    }
    struct covey_coap_news *news = &call->news[(call->news_first + call->news_count) % COVEY_COAP_NEWS];
    fill_news(news, answer);
    call->news_count++;
    if (answer->payload.size > call->reply_limit_bytes) {
        news->status = COVEY_LIMIT;
        news->size = 0;
    }
}

/* The transmission number: its lower half came back in the token; it is the latest one that fits. */
static uint32_t number_of(const struct covey_coap_call *call, const struct covey_coap_message *answer)
{
    uint32_t half = (uint32_t)answer->token.bytes[2] << 8 | answer->token.bytes[3];
    uint32_t next = call->sender.next_number;
    uint32_t number = (next & ~0xffffu) | half;
    return number >= next ? number - 0x10000u : number;
}

void covey_coap_call_answer(struct covey_coap_call *call, const struct covey_coap_message *answer,
                            uint64_t now_us)
{
    if (call->phase == COVEY_COAP_PHASE_DONE)
        return;
    uint32_t number = number_of(call, answer);
    if (call->observe) {
        answer_observe(call, answer, number, now_us);
    } else if (call->phase == COVEY_COAP_PHASE_ASK) {
        if (number >= call->phase_number) /* else a late answer to a block */
            answer_ask(call, answer, now_us);
    } else if (call->upload_blocks > 0 || call->method != COVEY_GET) {
        answer_upload(call, answer, number, now_us);
    } else if (covey_code_is_success(answer->code) && answer->block2.present) {
        answer_block(call, answer, number, now_us);
    } else {
        covey_block_sender_answered(&call->sender, number, COVEY_BLOCK_AS_SENT, call->sender.next_number == 1,
                                    now_us);
        finish(call, answer);
    }
}
