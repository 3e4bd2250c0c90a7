#include "coap_address.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/coap.h"

static bool is_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    return end != text && *end == '\0' && text[0] != '-' && text[0] != '+' && port >= 1 && port <= 65535;
}

enum covey_status covey_coap_address_split(const char *text, char host[COVEY_COAP_HOST_BYTES], char port[8],
                                           struct covey_error *err)
{
    const char *start = text, *end = NULL, *after = NULL;
    if (text[0] == '[') {
        start = text + 1;
        end = strchr(start, ']');
        after = end != NULL ? end + 1 : NULL;
    } else {
        end = strchr(text, ':');
        if (end != NULL && strchr(end + 1, ':') != NULL)
            return covey_fail(err, COVEY_INVALID, "%s: an IPv6 address goes in brackets: [ADDRESS]:PORT",
                              text);
        if (end == NULL)
            end = text + strlen(text);
        after = end;
    }
    if (after == NULL || end == start || (size_t)(end - start) >= COVEY_COAP_HOST_BYTES ||
        (*after != '\0' && *after != ':'))
        return covey_fail(err, COVEY_INVALID, "%s: want HOST:PORT or [IPV6]:PORT", text);
    const char *number = *after == ':' ? after + 1 : NULL;
    if (number != NULL && (!is_port(number) || strlen(number) >= 8))
        return covey_fail(err, COVEY_INVALID, "%s: the port must be 1 to 65535", text);
    (void)snprintf(host, COVEY_COAP_HOST_BYTES, "%.*s", (int)(end - start), start);
    if (number != NULL)
        (void)snprintf(port, 8, "%s", number);
    else
        (void)snprintf(port, 8, "%d", COVEY_COAP_PORT);
    return COVEY_OK;
}

/* As the system knows the name. A small one may have no /etc/hosts, and localhost is this host there too (RFC
 * 6761 section 6.3). */
static int look_up(const char *host, const char *port, bool passive, struct addrinfo **found)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = passive ? AI_PASSIVE : 0};
    const int failure = getaddrinfo(host[0] != '\0' ? host : NULL, port, &hints, found);
    return failure != 0 && strcmp(host, "localhost") == 0 ? getaddrinfo("127.0.0.1", port, &hints, found)
                                                          : failure;
}

enum covey_status covey_coap_address_resolve(const char *host, const char *port, bool passive,
                                             struct covey_coap_address *out, size_t capacity,
                                             size_t *out_count, struct covey_error *err)
{
    struct addrinfo *found = NULL;
    const int failure = look_up(host, port, passive, &found);
    if (failure != 0)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: %s", host, gai_strerror(failure));
    size_t count = 0;
    for (int family = 0; family < 2; family++) {
        int wanted = family == 0 ? AF_INET6 : AF_INET;
        for (const struct addrinfo *at = found; at != NULL && count < capacity; at = at->ai_next) {
            if (at->ai_family != wanted || at->ai_addrlen > sizeof out->bytes)
                continue;
            memcpy(&out[count].bytes, at->ai_addr, at->ai_addrlen);
            out[count++].size = at->ai_addrlen;
        }
    }
    freeaddrinfo(found);
    if (count == 0)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: no address", host);
    *out_count = count;
    return COVEY_OK;
}

void covey_coap_address_text(const struct covey_coap_address *address, char *out, size_t capacity)
{
    char host[64], port[8];
    if (getnameinfo((const struct sockaddr *)&address->bytes, address->size, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        (void)snprintf(out, capacity, "?");
        return;
    }
    bool six = address->bytes.ss_family == AF_INET6;
    (void)snprintf(out, capacity, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
}
