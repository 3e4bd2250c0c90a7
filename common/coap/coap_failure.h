/* Why a handshake failed, for people on both sides. */
#ifndef COVEY_COAP_FAILURE_H
#define COVEY_COAP_FAILURE_H

#include <stdbool.h>

#include "covey/credentials.h"
#include "covey/status.h"

struct covey_coap_failure {
    enum covey_side side; /* ours */
    int error;            /* Mbed TLS's, 0 = none */
    int alert;            /* that the peer sent (RFC 5246 section 7.2), -1 = none */
    bool by_psk;
    const char *refusal; /* what our own check of the peer said; "" = it said nothing */
};

/* Fills err with status and one line; returns the status: DENIED when one side refused the other, else CRYPTO
 * or CLOSED. */
enum covey_status covey_coap_failure_tell(const struct covey_coap_failure *failure, struct covey_error *err);

#endif
