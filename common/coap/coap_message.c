#include "coap_message.h"

#include <string.h>

bool covey_coap_token_equal(const struct covey_coap_token *a, const struct covey_coap_token *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

bool covey_coap_tag_equal(const struct covey_coap_tag *a, const struct covey_coap_tag *b)
{
    return a->present == b->present && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

struct covey_coap_tag covey_coap_tag_of_hash(const struct covey_hash *hash)
{
    struct covey_coap_tag tag = {.size = COVEY_COAP_TAG_BYTES, .present = true};
    memcpy(tag.bytes, hash->bytes, COVEY_COAP_TAG_BYTES);
    return tag;
}

void covey_coap_message_init(struct covey_coap_message *message, enum covey_coap_kind kind, uint8_t code)
{
    memset(message, 0, sizeof *message);
    message->kind = kind;
    message->code = code;
    message->content_format = -1;
}
