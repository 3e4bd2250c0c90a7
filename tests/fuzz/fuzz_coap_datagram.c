/* A datagram, after DTLS: libcoap's parser, then ours, then what a server does with a Block1 request. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "coap_intake.h"
#include "coap_pdu.h"
#include "covey/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY_LIMIT (1u << 20)

static void use(void *user, const struct covey_coap_message *message)
{
    struct covey_coap_intake *intake = user;
    struct covey_coap_message answer;
    struct covey_coap_upload *upload;
    const struct covey_peer peer = {.name = "fuzz"};
    if (strlen(message->path) >= sizeof message->path || strlen(message->query) >= sizeof message->query)
        abort();
    if (message->token.size > COVEY_COAP_TOKEN_MAX_BYTES || message->etag.size > COVEY_COAP_TAG_BYTES ||
        message->request_tag.size > COVEY_COAP_TAG_BYTES)
        abort();
    if (!message->block1.present || message->malformed)
        return;
    covey_coap_message_init(&answer, COVEY_COAP_KIND_NON, 0);
    if (covey_coap_intake_block(intake, &peer, message, 1000, &answer, &upload) == COVEY_COAP_INTAKE_WHOLE)
        covey_coap_intake_answered(intake, upload, COVEY_CODE_CHANGED, 1000);
    else if (answer.code == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    atomic_ullong memory = 0;
    struct covey_coap_intake intake;
    struct covey_coap_intake_config config = {
        .memory_bytes = &memory, .memory_limit_bytes = MEMORY_LIMIT, .idle_ms = 1000};
    if (covey_crypto_start(NULL) != COVEY_OK)
        abort();
    covey_coap_intake_init(&intake, &config);
    enum covey_status status = covey_coap_pdu_parse_datagram((struct covey_bytes){data, size}, use, &intake);
    if (status != COVEY_OK && status != COVEY_CORRUPT)
        abort();
    if (atomic_load(&memory) > MEMORY_LIMIT)
        abort();
    covey_coap_intake_deinit(&intake);
    if (atomic_load(&memory) != 0)
        abort();
    return 0;
}
