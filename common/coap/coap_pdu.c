#include "coap_pdu.h"

#include <string.h>

#include <coap3/coap.h>

/* ---- reading ---- */

/* Joins a segment to a path or query. A segment with a separator, a control character or a zero in it would
 * mean another resource than the one that the sender named: malformed. */
static void join(struct covey_coap_message *message, char *text, size_t capacity, char separator,
                 const uint8_t *bytes, size_t size)
{
    size_t used = strlen(text);
    size_t gap = used > 0 ? 1 : 0;
    if (used + gap + size >= capacity) {
        message->malformed = true;
        return;
    }
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == (uint8_t)separator || bytes[i] < 0x20 || bytes[i] == 0x7f)
            message->malformed = true;
    }
    if (message->malformed)
        return;
    if (gap > 0)
        text[used] = separator;
    memcpy(text + used + gap, bytes, size);
    text[used + gap + size] = '\0';
}

/* NUM, M and SZX in 0 to 3 bytes (RFC 7959 section 2.2). SZX 7 is left to the reader to refuse. */
static struct covey_coap_block read_block(uint32_t value)
{
    return (struct covey_coap_block){
        .number = value >> 4, .more = (value & 8) != 0, .szx = value & 7, .present = true};
}

static struct covey_coap_tag read_tag(const uint8_t *bytes, size_t size)
{
    struct covey_coap_tag tag = {.size = (uint8_t)size, .present = true};
    memcpy(tag.bytes, bytes, size);
    return tag;
}

/* Longest value of each option of ours (RFC 7252 section 5.10, 7641, 7959, 9175); longer ones are malformed.
 */
static size_t longest(uint16_t number)
{
    switch (number) {
    case COAP_OPTION_CONTENT_FORMAT:
        return 2;
    case COAP_OPTION_OBSERVE:
    case COAP_OPTION_BLOCK1:
    case COAP_OPTION_BLOCK2:
        return 3;
    case COAP_OPTION_SIZE1:
    case COAP_OPTION_SIZE2:
    case COAP_OPTION_MAXAGE:
        return 4;
    case COAP_OPTION_ETAG:
    case COAP_OPTION_RTAG:
        return COVEY_COAP_TAG_BYTES;
    default:
        return 255;
    }
}

static void read_option(struct covey_coap_message *message, uint16_t number, const uint8_t *bytes,
                        size_t size)
{
    if (size > longest(number)) {
        message->malformed = true;
        return;
    }
    uint32_t value = size <= 4 ? coap_decode_var_bytes(bytes, size) : 0;
    switch (number) {
    case COAP_OPTION_URI_PATH:
        join(message, message->path, sizeof message->path, '/', bytes, size);
        break;
    case COAP_OPTION_URI_QUERY:
        join(message, message->query, sizeof message->query, '&', bytes, size);
        break;
    case COAP_OPTION_CONTENT_FORMAT:
        message->content_format = (int)value;
        break;
    case COAP_OPTION_OBSERVE:
        message->observed = true;
        message->observe = value;
        break;
    case COAP_OPTION_BLOCK1:
        message->block1 = read_block(value);
        break;
    case COAP_OPTION_BLOCK2:
        message->block2 = read_block(value);
        break;
    case COAP_OPTION_SIZE1:
        message->sized1 = true;
        message->size1 = value;
        break;
    case COAP_OPTION_SIZE2:
        message->sized2 = true;
        message->size2 = value;
        break;
    case COAP_OPTION_MAXAGE:
        message->aged = true;
        message->max_age_s = value;
        break;
    case COAP_OPTION_ETAG:
        message->etag = read_tag(bytes, size);
        break;
    case COAP_OPTION_RTAG:
        message->request_tag = read_tag(bytes, size);
        break;
    default:
        break;
    }
}

static enum covey_coap_kind read_kind(coap_pdu_type_t type)
{
    switch (type) {
    case COAP_MESSAGE_CON:
        return COVEY_COAP_KIND_CON;
    case COAP_MESSAGE_NON:
        return COVEY_COAP_KIND_NON;
    case COAP_MESSAGE_ACK:
        return COVEY_COAP_KIND_ACK;
    default:
        return COVEY_COAP_KIND_RST;
    }
}

void covey_coap_pdu_read(const struct coap_pdu_t *pdu, struct covey_coap_message *out)
{
    covey_coap_message_init(out, read_kind(coap_pdu_get_type(pdu)), (uint8_t)coap_pdu_get_code(pdu));
    out->id = (uint16_t)coap_pdu_get_mid(pdu);
    coap_bin_const_t token = coap_pdu_get_token(pdu);
    if (token.length <= COVEY_COAP_TOKEN_MAX_BYTES) {
        out->token.size = (uint8_t)token.length;
        if (token.length > 0)
            memcpy(out->token.bytes, token.s, token.length);
    } else {
        out->malformed = true;
    }
    coap_opt_iterator_t iterator;
    coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
    for (coap_opt_t *option; (option = coap_option_next(&iterator)) != NULL;)
        read_option(out, iterator.number, coap_opt_value(option), coap_opt_length(option));
    size_t size = 0;
    const uint8_t *data = NULL;
    if (coap_get_data(pdu, &size, &data) != 0)
        out->payload = (struct covey_bytes){data, size};
}

enum covey_status covey_coap_pdu_parse_datagram(struct covey_bytes datagram,
                                                void (*use)(void *user, const struct covey_coap_message *),
                                                void *user)
{
    struct covey_coap_message message;
    coap_pdu_t *pdu = coap_pdu_init(0, 0, 0, datagram.size > 4 ? datagram.size - 4 : 0);
    if (pdu == NULL)
        return COVEY_NO_MEMORY;
    enum covey_status status = COVEY_CORRUPT;
    if (coap_pdu_parse(COAP_PROTO_UDP, datagram.data, datagram.size, pdu) != 0) {
        covey_coap_pdu_read(pdu, &message);
        use(user, &message);
        status = COVEY_OK;
    }
    coap_delete_pdu(pdu);
    return status;
}

/* ---- writing: in the order of option numbers, as coap_add_option wants ---- */

struct writer {
    coap_pdu_t *pdu;
    bool full;
};

static void put_bytes(struct writer *writer, uint16_t number, const void *bytes, size_t size)
{
    if (coap_add_option(writer->pdu, number, size, bytes) == 0)
        writer->full = true;
}

static void put_number(struct writer *writer, uint16_t number, uint32_t value)
{
    uint8_t bytes[4];
    put_bytes(writer, number, bytes, coap_encode_var_safe(bytes, sizeof bytes, value));
}

static void put_segments(struct writer *writer, uint16_t number, const char *text, char separator)
{
    while (*text != '\0') {
        const char *end = strchr(text, separator);
        size_t size = end != NULL ? (size_t)(end - text) : strlen(text);
        put_bytes(writer, number, text, size);
        text += size + (end != NULL ? 1 : 0);
    }
}

static void put_block(struct writer *writer, uint16_t number, const struct covey_coap_block *block)
{
    if (block->present)
        put_number(writer, number, block->number << 4 | (block->more ? 8u : 0u) | block->szx);
}

static void put_tag(struct writer *writer, uint16_t number, const struct covey_coap_tag *tag)
{
    if (tag->present)
        put_bytes(writer, number, tag->bytes, tag->size);
}

enum covey_status covey_coap_pdu_write(const struct covey_coap_message *message, struct coap_pdu_t *pdu)
{
    struct writer writer = {.pdu = pdu};
    put_tag(&writer, COAP_OPTION_ETAG, &message->etag);
    if (message->observed)
        put_number(&writer, COAP_OPTION_OBSERVE, message->observe);
    put_segments(&writer, COAP_OPTION_URI_PATH, message->path, '/');
    if (message->content_format >= 0)
        put_number(&writer, COAP_OPTION_CONTENT_FORMAT, (uint32_t)message->content_format);
    if (message->aged)
        put_number(&writer, COAP_OPTION_MAXAGE, message->max_age_s);
    put_segments(&writer, COAP_OPTION_URI_QUERY, message->query, '&');
    put_block(&writer, COAP_OPTION_BLOCK2, &message->block2);
    put_block(&writer, COAP_OPTION_BLOCK1, &message->block1);
    if (message->sized2)
        put_number(&writer, COAP_OPTION_SIZE2, message->size2);
    if (message->sized1)
        put_number(&writer, COAP_OPTION_SIZE1, message->size1);
    put_tag(&writer, COAP_OPTION_RTAG, &message->request_tag);
    if (message->payload.size > 0 && coap_add_data(pdu, message->payload.size, message->payload.data) == 0)
        writer.full = true;
    return writer.full ? COVEY_LIMIT : COVEY_OK;
}
