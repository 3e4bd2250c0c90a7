/* A server's uploads under any sequence of Block1 requests: each ten bytes of input are one request (path,
 * tag, number, flags, size, length). Memory stays under its limit and comes back; a body that is handed on
 * has the size that was declared. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coap_intake.h"
#include "covey/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_LIMIT (64u << 10)
#define STEP 10

static uint8_t admit(void *user, const struct covey_coap_message *request, const struct covey_peer *peer,
                     uint64_t body_bytes)
{
    (void)user;
    (void)request;
    (void)peer;
    return body_bytes > 60000 ? COVEY_CODE_TOO_LARGE : 0;
}

static void make_request(const uint8_t *in, struct covey_coap_message *out)
{
    static const uint8_t bytes[1024] = {1, 2, 3};
    covey_coap_message_init(out, in[0] & 1 ? COVEY_COAP_KIND_CON : COVEY_COAP_KIND_NON, COVEY_PUT);
    snprintf(out->path, sizeof out->path, "a/%u", (in[0] >> 1) & 3);
    out->token = (struct covey_coap_token){.size = 1, .bytes = {in[1]}};
    out->request_tag.present = (in[0] & 8) != 0;
    out->request_tag.size = in[0] & 16 ? 8 : 1;
    out->request_tag.bytes[0] = in[2] & 3;
    out->block1 = (struct covey_coap_block){.number = (uint32_t)in[3] | (uint32_t)(in[4] & 1) << 19,
                                            .szx = in[5] & 7,
                                            .more = (in[5] & 8) != 0,
                                            .present = true};
    out->sized1 = (in[5] & 16) != 0;
    out->size1 = (uint32_t)in[6] << 8 | in[7];
    if (in[5] & 32)
        out->size1 |= 0xff000000u;
    size_t length =
        in[5] & 64 ? covey_coap_block_bytes(out->block1.szx & 7) : (size_t)in[8] << 2 | (in[9] & 3);
    out->payload = (struct covey_bytes){bytes, length < sizeof bytes ? length : sizeof bytes};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    atomic_ullong memory = 0;
    struct covey_coap_intake intake;
    struct covey_coap_intake_config config = {
        .admit = admit, .memory_bytes = &memory, .memory_limit_bytes = MEMORY_LIMIT, .idle_ms = 100};
    const struct covey_peer peer = {.name = "fuzz"};
    if (covey_crypto_start(NULL) != COVEY_OK)
        abort();
    covey_coap_intake_init(&intake, &config);
    uint64_t now_ms = 1000;
    for (size_t at = 0; at + STEP <= size; at += STEP) {
        struct covey_coap_message request, answer;
        struct covey_coap_upload *upload = NULL;
        struct covey_upload_state state;
        make_request(data + at, &request);
        covey_coap_message_init(&answer, COVEY_COAP_KIND_NON, 0);
        now_ms += data[at] >> 5;
        enum covey_coap_intake_result result =
            covey_coap_intake_block(&intake, &peer, &request, now_ms, &answer, &upload);
        if (atomic_load(&memory) > MEMORY_LIMIT || intake.count > COVEY_TRANSFERS_PER_PEER)
            abort();
        if (result == COVEY_COAP_INTAKE_ANSWER && answer.code == 0)
            abort();
        if (result == COVEY_COAP_INTAKE_WHOLE) {
            struct covey_bytes body = covey_coap_upload_view(upload);
            if (body.size == 0 || (upload->sized && body.size != upload->body.receiver.total_bytes))
                abort();
            covey_coap_intake_answered(
                &intake, upload, data[at + 9] & 4 ? COVEY_CODE_UNAVAILABLE : COVEY_CODE_CHANGED, now_ms);
        }
        (void)covey_coap_intake_state(&intake, "fuzz", "a/1", &state);
        if ((data[at + 1] & 31) == 31)
            covey_coap_intake_expire(&intake, now_ms);
    }
    covey_coap_intake_deinit(&intake);
    if (atomic_load(&memory) != 0)
        abort();
    return 0;
}
