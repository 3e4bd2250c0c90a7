/* One CoAP message in plain words (RFC 7252 section 3): what the rest of common/coap/ works with. Only
 * coap_pdu.c turns it into libcoap's form and back. */
#ifndef COVEY_COAP_MESSAGE_H
#define COVEY_COAP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/bytes.h"
#include "covey/status.h"
#include "covey/transport.h"

#define COVEY_COAP_TOKEN_MAX_BYTES 8
#define COVEY_COAP_TAG_BYTES 8 /* ETag and Request-Tag: of ours, the first bytes of a SHA-256 */
#define COVEY_COAP_QUERY_BYTES 192
#define COVEY_COAP_SZX_MAX 6      /* 1,024 bytes; 7 is reserved (RFC 7959 section 2.2) */
#define COVEY_COAP_TEXT_BYTES 200 /* diagnostic payload that we write */

enum covey_coap_kind { COVEY_COAP_KIND_CON, COVEY_COAP_KIND_NON, COVEY_COAP_KIND_ACK, COVEY_COAP_KIND_RST };

struct covey_coap_token {
    uint8_t bytes[COVEY_COAP_TOKEN_MAX_BYTES];
    uint8_t size;
};

/* ETag or Request-Tag: 0 to 8 bytes, or none at all. */
struct covey_coap_tag {
    uint8_t bytes[COVEY_COAP_TAG_BYTES];
    uint8_t size;
    bool present;
};

/* Block1 or Block2 (RFC 7959 section 2.2). */
struct covey_coap_block {
    uint32_t number;
    uint8_t szx;
    bool more;
    bool present;
};

struct covey_coap_message {
    enum covey_coap_kind kind;
    uint8_t code;
    uint16_t id;
    struct covey_coap_token token;
    bool malformed;                     /* of options: what could be read of them is here */
    char path[COVEY_PATH_BYTES];        /* requests: Uri-Path joined by '/', */
    char query[COVEY_COAP_QUERY_BYTES]; /* Uri-Query by '&' */
    int content_format;                 /* negative = none */
    bool observed;
    uint32_t observe;
    struct covey_coap_block block1, block2;
    bool sized1, sized2;
    uint32_t size1, size2;
    struct covey_coap_tag etag, request_tag;
    bool aged;
    uint32_t max_age_s;
    struct covey_bytes payload; /* borrowed */
};

static inline uint32_t covey_coap_block_bytes(uint8_t szx)
{
    return 16u << szx;
}

bool covey_coap_token_equal(const struct covey_coap_token *a, const struct covey_coap_token *b);
bool covey_coap_tag_equal(const struct covey_coap_tag *a, const struct covey_coap_tag *b);
struct covey_coap_tag covey_coap_tag_of_hash(const struct covey_hash *hash);

/* An empty message with the defaults that matter (no content format). */
void covey_coap_message_init(struct covey_coap_message *message, enum covey_coap_kind kind, uint8_t code);

#endif
