/* "HOST:PORT" and "[IPV6]:PORT": names, IPv4, IPv6. */
#ifndef COVEY_COAP_ADDRESS_H
#define COVEY_COAP_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "covey/status.h"

#define COVEY_COAP_ADDRESSES 8 /* of one name */
#define COVEY_COAP_HOST_BYTES 256

struct covey_coap_address {
    struct sockaddr_storage bytes;
    socklen_t size;
};

/* Splits; a missing port is COVEY_COAP_PORT. INVALID: says what was expected. */
COVEY_MUST_CHECK enum covey_status covey_coap_address_split(const char *text,
                                                            char host[COVEY_COAP_HOST_BYTES], char port[8],
                                                            struct covey_error *err);

/* Asks the resolver, which may take its time (resolv.conf(5) bounds it). host "" and passive: every address,
 * IPv6 first. Returns how many were found through *out_count. NOT_FOUND: the name is unknown. */
COVEY_MUST_CHECK enum covey_status covey_coap_address_resolve(const char *host, const char *port,
                                                              bool passive, struct covey_coap_address *out,
                                                              size_t capacity, size_t *out_count,
                                                              struct covey_error *err);

/* "[::1]:5684" for logs. */
void covey_coap_address_text(const struct covey_coap_address *address, char *out, size_t capacity);

#endif
