/* What the two transports share on the server's side: an exchange knows how it is answered. An implementation
 * embeds this as the first member of its own. */
#ifndef COVEY_EXCHANGE_H
#define COVEY_EXCHANGE_H

#include "covey/transport.h"

struct covey_exchange {
    void (*respond)(struct covey_exchange *exchange, const struct covey_response *response);
};

/* Length of the body that a response carries: the blob's, or the copied bytes'. */
struct covey_bytes covey_response_view(const struct covey_response *response);

#endif
