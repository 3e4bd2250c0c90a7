/* libcoap's messages and ours. The types of libcoap are only named here, never opened. */
#ifndef COVEY_COAP_PDU_H
#define COVEY_COAP_PDU_H

#include "coap_message.h"

struct coap_pdu_t;

/* Reads every option that we know; the payload is borrowed from pdu. Elective options that we do not know are
 * skipped (critical ones were refused by libcoap before). */
void covey_coap_pdu_read(const struct coap_pdu_t *pdu, struct covey_coap_message *out);

/* Writes options and payload behind the token that is in pdu already. LIMIT: it does not fit a datagram. */
COVEY_MUST_CHECK enum covey_status covey_coap_pdu_write(const struct covey_coap_message *message,
                                                        struct coap_pdu_t *pdu);

/* For the fuzzer: parses a datagram as libcoap would, then reads it. CORRUPT when it is no CoAP message. */
COVEY_MUST_CHECK enum covey_status covey_coap_pdu_parse_datagram(
    struct covey_bytes datagram, void (*use)(void *user, const struct covey_coap_message *), void *user);

#endif
