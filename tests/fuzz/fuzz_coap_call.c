/* A device's request under any sequence of answers from a server: downloads, uploads, observations. The first
 * byte chooses the request; each twelve bytes are one answer. It ends, and never hands on more than it was
 * allowed to. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coap_call.h"
#include "covey/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT_BYTES 20000
#define STEP 12

static const uint8_t bytes[8192] = {4, 5, 6};

static void make_answer(const struct covey_coap_call *call, const uint8_t *in, struct covey_coap_message *out)
{
    static const uint8_t codes[] = {
        COVEY_CODE_CONTENT,   COVEY_CODE_CONTINUE,    COVEY_CODE_CHANGED, COVEY_CODE_INCOMPLETE,
        COVEY_CODE_NOT_FOUND, COVEY_CODE_UNAVAILABLE, COVEY_CODE_VALID,   0x60};
    covey_coap_message_init(out, COVEY_COAP_KIND_NON, codes[in[0] & 7]);
    out->token = (struct covey_coap_token){
        .size = 4, .bytes = {(uint8_t)(call->token >> 8), (uint8_t)call->token, 0, in[1]}};
    out->block1 = (struct covey_coap_block){
        .number = in[2], .szx = in[3] & 7, .more = in[3] & 8, .present = in[3] & 16};
    out->block2 = (struct covey_coap_block){
        .number = in[4], .szx = in[5] & 7, .more = in[5] & 8, .present = in[5] & 16};
    out->sized2 = (in[5] & 32) != 0;
    out->size2 = (uint32_t)in[6] << 8 | in[7];
    if (in[5] & 64)
        out->size2 |= 0xf0000000u;
    out->etag.present = (in[0] & 8) != 0;
    out->etag.size = in[0] & 16 ? 8 : 1;
    out->etag.bytes[0] = in[0] >> 6;
    out->observed = (in[0] & 32) != 0;
    out->observe = (uint32_t)in[8] << 16 | in[9];
    size_t length = in[3] & 64 ? covey_coap_block_bytes(out->block2.szx & 7) : (size_t)in[10] << 2;
    out->payload = (struct covey_bytes){bytes, length};
    if (in[3] & 32 && in[11] < 80)
        out->payload = (struct covey_bytes){in, in[11] < STEP ? in[11] : STEP};
}

static struct covey_coap_call *make_call(uint8_t choice, struct covey_block_path *path)
{
    struct covey_coap_call *call;
    struct covey_hash expect = {{1}};
    struct covey_request request = {.method = COVEY_GET, .path = "f/x", .reply_limit_bytes = LIMIT_BYTES};
    if ((choice & 3) == 1) {
        request.method = COVEY_PUT;
        request.body = (struct covey_bytes){bytes, choice & 4 ? 8000 : 800};
    } else if ((choice & 3) == 2) {
        request.expect_bytes = 5000;
        request.expect = choice & 4 ? &expect : NULL;
    }
    request.window_blocks = choice >> 5;
    if (covey_coap_call_create(&request, (choice & 3) == 3, 1100, path, 0, &call, NULL) != COVEY_OK)
        abort();
    if (choice & 8)
        covey_coap_call_resume(call, 0);
    return call;
}

static void pump(struct covey_coap_call *call, uint64_t now_us)
{
    struct covey_coap_move move;
    int sends = 0;
    do {
        covey_coap_call_next(call, now_us, 32, &move);
        if (++sends > 64)
            abort();
    } while (move.step == COVEY_COAP_STEP_SEND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct covey_block_path path;
    if (size == 0)
        return 0;
    if (covey_crypto_start(NULL) != COVEY_OK)
        abort();
    covey_block_path_init(&path, 0);
    struct covey_coap_call *call = make_call(data[0], &path);
    uint64_t now_us = 0;
    for (size_t at = 1; at + STEP <= size; at += STEP) {
        struct covey_coap_message answer;
        struct covey_reply reply;
        pump(call, now_us);
        make_answer(call, data + at, &answer);
        now_us += (uint64_t)data[at + 11] * 1000;
        covey_coap_call_answer(call, &answer, now_us);
        while (call->phase != COVEY_COAP_PHASE_DONE && covey_coap_call_take_reply(call, &reply)) {
            if (reply.body.size > COVEY_BLOCK_BYTES)
                abort();
        }
    }
    covey_coap_call_end(call, COVEY_CANCELLED);
    struct covey_reply last;
    if (!covey_coap_call_take_reply(call, &last) ||
        (covey_code_is_success(last.code) && last.body.size > LIMIT_BYTES))
        abort();
    covey_coap_call_destroy(call);
    return 0;
}
