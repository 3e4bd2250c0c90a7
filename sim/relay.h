/* A UDP relay that plays a network: it delays, loses, repeats and reorders datagrams, has a rate and a queue,
 * may change the port that the server sees, and keeps a log of everything, so that a test can prove what
 * crossed. Seeded; a thread of its own. (`tc netem` is not in every kernel.) Tests and the bench use it, and
 * `covey-sim run --real` for the links of a scenario. Any thread may call; it is stopped once. */
#ifndef COVEY_RELAY_H
#define COVEY_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RELAY_CLIENTS 512
#define RELAY_PENDING 65536  /* datagrams on their way */
#define RELAY_LOG (1u << 22) /* entries; what comes later is not logged */
#define RELAY_LOG_HEAD 16    /* bytes of each datagram that are kept: a DTLS record's header is 13 */

/* Each way. */
struct relay_network {
    uint32_t delay_us;   /* one way */
    double loss, repeat; /* shares of datagrams */
    double reorder;      /* share that comes up to late_us later */
    uint32_t late_us;
    uint64_t bits_per_s;      /* 0 = no limit; of UDP payload and 28 bytes of headers */
    uint64_t down_bits_per_s; /* towards the clients when it is another; 0 = the same */
    bool each;                /* every client has a rate and a queue of its own; else they share them */
    bool unlogged;            /* the log stays as it is */
    uint32_t queue_us;        /* what would wait longer is dropped; 0 = no limit */
    uint32_t change_port;     /* after so many datagrams of a client another port to the server; 0 = never */
};

struct relay_counters {
    uint64_t datagrams, bytes; /* that came in from this side */
    uint64_t lost, repeated, forwarded;
};

struct relay_entry {
    uint64_t at_us;
    uint32_t size;
    bool up, lost;
    bool records; /* the datagram is DTLS records from its first to its last byte */
    uint8_t head[RELAY_LOG_HEAD];
};

struct relay;

/* Listens on 127.0.0.1, any free port, for "HOST:PORT". NULL: it could not. */
struct relay *relay_start(const char *target, const struct relay_network *network, uint64_t seed);
/* The same on another IPv4 address of this host; port 0: any free one. */
struct relay *relay_start_at(const char *address, uint16_t port, const char *target,
                             const struct relay_network *network, uint64_t seed);
uint16_t relay_port(const struct relay *relay);
/* "127.0.0.1:PORT" */
const char *relay_address(const struct relay *relay);
/* From now on. */
void relay_set(struct relay *relay, const struct relay_network *network);
void relay_count(struct relay *relay, struct relay_counters *up, struct relay_counters *down);
/* A copy of the log; *out is the caller's to free. Returns the number of entries. */
size_t relay_log(struct relay *relay, struct relay_entry **out);
/* Datagrams that are no DTLS records. */
size_t relay_strangers(struct relay *relay);
void relay_stop(struct relay *relay);

/* Is all of it DTLS 1.0 or 1.2 records (RFC 6347 section 4.1)? */
bool relay_is_records(const uint8_t *bytes, size_t size);

#endif
