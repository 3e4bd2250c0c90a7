/* Between the two halves of a call: coap_call.c sends, coap_answer.c judges what comes back. */
#ifndef COVEY_COAP_CALL_PARTS_H
#define COVEY_COAP_CALL_PARTS_H

#include "coap_call.h"

/* Sends anew, in that phase; ends the call when there is no memory for it. */
void covey_coap_call_begin(struct covey_coap_call *call, enum covey_coap_phase phase, uint64_t now_us);

#endif
