#include "relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "covey/random.h"

#define DATAGRAM_BYTES 2048
#define HEADERS_BYTES 28 /* IPv4 and UDP, for the rate */
#define BUFFER_BYTES (4 << 20)

struct client {
    struct sockaddr_in address;
    int fd; /* towards the server */
    uint32_t since_change;
    uint64_t free_us[2]; /* up, down: when its own link has room again */
};

struct pending {
    uint64_t at_us, order;
    uint32_t client;
    bool up;
    uint16_t size;
    uint8_t *bytes;
};

struct relay {
    int front;
    char address[32];
    uint16_t port;
    struct sockaddr_storage target;
    socklen_t target_size;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock; /* guards network, counters and log */
    struct relay_network network;
    struct relay_counters counters[2]; /* up, down */
    struct relay_entry *log;
    size_t log_used, log_size;
    /* the thread's own */
    struct covey_random random;
    struct client clients[RELAY_CLIENTS];
    uint32_t client_count;
    struct pending *heap;
    size_t pending_count;
    uint64_t order, free_us[2];
    struct pollfd polled[RELAY_CLIENTS + 1];
};

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool relay_is_records(const uint8_t *bytes, size_t size)
{
    size_t at = 0;
    while (at < size) {
        if (size - at < 13)
            return false;
        uint8_t type = bytes[at];
        bool version = bytes[at + 1] == 0xfe && (bytes[at + 2] == 0xff || bytes[at + 2] == 0xfd);
        size_t length = (size_t)bytes[at + 11] << 8 | bytes[at + 12];
        if (type < 20 || type > 23 || !version || length > size - at - 13)
            return false;
        at += 13 + length;
    }
    return size > 0;
}

/* ---------------------------------------------------------------- what is on its way */

static bool sooner(const struct pending *a, const struct pending *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void push(struct relay *relay, struct pending pending)
{
    if (relay->pending_count == RELAY_PENDING) {
        free(pending.bytes);
        return;
    }
    size_t i = relay->pending_count++;
    while (i > 0 && sooner(&pending, &relay->heap[(i - 1) / 2])) {
        relay->heap[i] = relay->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    relay->heap[i] = pending;
}

static struct pending pop(struct relay *relay)
{
    struct pending top = relay->heap[0], last = relay->heap[--relay->pending_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= relay->pending_count)
            break;
        if (child + 1 < relay->pending_count && sooner(&relay->heap[child + 1], &relay->heap[child]))
            child++;
        if (!sooner(&relay->heap[child], &last))
            break;
        relay->heap[i] = relay->heap[child];
        i = child;
    }
    relay->heap[i] = last;
    return top;
}

static void launch(struct relay *relay, uint32_t client, bool up, const uint8_t *bytes, size_t size,
                   uint64_t at_us)
{
    struct pending pending = {.at_us = at_us,
                              .order = relay->order++,
                              .client = client,
                              .up = up,
                              .size = (uint16_t)size,
                              .bytes = malloc(size)};
    if (pending.bytes == NULL)
        return;
    memcpy(pending.bytes, bytes, size);
    push(relay, pending);
}

/* When the last bit of it has left; 0: the queue is full. */
static uint64_t departure_us(struct relay *relay, const struct relay_network *network, uint32_t client,
                             bool up, size_t size, uint64_t now)
{
    const bool own = !up && network->down_bits_per_s > 0;
    const uint64_t bits_per_s = own ? network->down_bits_per_s : network->bits_per_s;
    if (bits_per_s == 0)
        return now;
    uint64_t *free_us =
        network->each ? &relay->clients[client].free_us[up ? 0 : 1] : &relay->free_us[up ? 0 : 1];
    uint64_t start = *free_us > now ? *free_us : now;
    if (network->queue_us > 0 && start - now > network->queue_us)
        return 0;
    *free_us = start + (size + HEADERS_BYTES) * 8 * 1000000 / bits_per_s;
    return *free_us;
}

/* ---------------------------------------------------------------- in */

static void record(struct relay *relay, bool up, const uint8_t *bytes, size_t size, bool lost, bool repeated,
                   uint64_t now)
{
    struct relay_counters *counters = &relay->counters[up ? 0 : 1];
    counters->datagrams++;
    counters->bytes += size;
    counters->lost += lost;
    counters->repeated += repeated;
    if (relay->network.unlogged || relay->log_used == RELAY_LOG)
        return;
    if (relay->log_used == relay->log_size) {
        size_t grown = relay->log_size > 0 ? 2 * relay->log_size : 1024;
        struct relay_entry *log = realloc(relay->log, grown * sizeof *log);
        if (log == NULL)
            return;
        relay->log = log;
        relay->log_size = grown;
    }
    struct relay_entry *entry = &relay->log[relay->log_used++];
    *entry = (struct relay_entry){.at_us = now,
                                  .size = (uint32_t)size,
                                  .up = up,
                                  .lost = lost,
                                  .records = relay_is_records(bytes, size)};
    memcpy(entry->head, bytes, size < RELAY_LOG_HEAD ? size : RELAY_LOG_HEAD);
}

static void take(struct relay *relay, uint32_t client, bool up, const uint8_t *bytes, size_t size)
{
    uint64_t now = now_us();
    pthread_mutex_lock(&relay->lock);
    struct relay_network network = relay->network;
    uint64_t leaves = departure_us(relay, &network, client, up, size, now);
    bool lost = covey_random_double(&relay->random) < network.loss || leaves == 0;
    bool repeated = covey_random_double(&relay->random) < network.repeat && !lost;
    bool late = covey_random_double(&relay->random) < network.reorder;
    uint32_t late_us =
        late && network.late_us > 0 ? covey_random_below(&relay->random, network.late_us) + 1 : 0;
    record(relay, up, bytes, size, lost, repeated, now);
    pthread_mutex_unlock(&relay->lock);
    if (lost)
        return;
    launch(relay, client, up, bytes, size, leaves + network.delay_us + late_us);
    if (repeated)
        launch(relay, client, up, bytes, size, leaves + network.delay_us);
}

static int connect_upstream(const struct relay *relay)
{
    int fd = socket(relay->target.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int size = BUFFER_BYTES;
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (connect(fd, (const struct sockaddr *)&relay->target, relay->target_size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static uint32_t find_client(struct relay *relay, const struct sockaddr_in *address)
{
    for (uint32_t i = 0; i < relay->client_count; i++) {
        if (relay->clients[i].address.sin_port == address->sin_port &&
            relay->clients[i].address.sin_addr.s_addr == address->sin_addr.s_addr)
            return i;
    }
    if (relay->client_count == RELAY_CLIENTS)
        return RELAY_CLIENTS;
    int fd = connect_upstream(relay);
    if (fd < 0)
        return RELAY_CLIENTS;
    relay->clients[relay->client_count] = (struct client){.address = *address, .fd = fd};
    return relay->client_count++;
}

static void change_port(struct relay *relay, struct client *client)
{
    pthread_mutex_lock(&relay->lock);
    uint32_t every = relay->network.change_port;
    pthread_mutex_unlock(&relay->lock);
    if (every == 0 || ++client->since_change < every)
        return;
    int fd = connect_upstream(relay);
    if (fd < 0)
        return;
    close(client->fd);
    client->fd = fd;
    client->since_change = 0;
}

static void receive_up(struct relay *relay)
{
    uint8_t bytes[DATAGRAM_BYTES];
    struct sockaddr_in from;
    for (;;) {
        socklen_t size = sizeof from;
        ssize_t got =
            recvfrom(relay->front, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (got < 0)
            return;
        uint32_t client = find_client(relay, &from);
        if (client == RELAY_CLIENTS || got == 0)
            continue;
        change_port(relay, &relay->clients[client]);
        take(relay, client, true, bytes, (size_t)got);
    }
}

static void receive_down(struct relay *relay, uint32_t client)
{
    uint8_t bytes[DATAGRAM_BYTES];
    ssize_t got;
    while ((got = recv(relay->clients[client].fd, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
        take(relay, client, false, bytes, (size_t)got);
}

/* ---------------------------------------------------------------- out */

static uint64_t send_due(struct relay *relay)
{
    while (relay->pending_count > 0) {
        if (relay->heap[0].at_us > now_us())
            return relay->heap[0].at_us;
        struct pending pending = pop(relay);
        const struct client *client = &relay->clients[pending.client];
        ssize_t sent = pending.up ? send(client->fd, pending.bytes, pending.size, 0)
                                  : sendto(relay->front, pending.bytes, pending.size, 0,
                                           (const struct sockaddr *)&client->address, sizeof client->address);
        pthread_mutex_lock(&relay->lock);
        relay->counters[pending.up ? 0 : 1].forwarded += sent > 0;
        pthread_mutex_unlock(&relay->lock);
        free(pending.bytes);
    }
    return UINT64_MAX;
}

static void *run(void *user)
{
    struct relay *relay = user;
    struct pollfd *fds = relay->polled;
    while (!atomic_load(&relay->stopping)) {
        uint64_t due = send_due(relay), now = now_us();
        uint64_t wait = due > now ? due - now : 0;
        if (wait > 50000)
            wait = 50000;
        fds[0] = (struct pollfd){.fd = relay->front, .events = POLLIN};
        uint32_t count = relay->client_count;
        for (uint32_t i = 0; i < count; i++)
            fds[i + 1] = (struct pollfd){.fd = relay->clients[i].fd, .events = POLLIN};
        struct timespec timeout = {.tv_nsec = (long)wait * 1000};
        if (ppoll(fds, count + 1, &timeout, NULL) <= 0)
            continue;
        for (uint32_t i = 0; i < count; i++) {
            if (fds[i + 1].revents != 0)
                receive_down(relay, i);
        }
        if (fds[0].revents != 0)
            receive_up(relay);
    }
    return NULL;
}

/* ---------------------------------------------------------------- life */

static bool resolve(struct relay *relay, const char *target)
{
    char host[128];
    const char *colon = strrchr(target, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found = NULL;
    if (colon == NULL)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - target), target);
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0 && /* no /etc/hosts? then as the transport does */
        (strcmp(host, "localhost") != 0 || getaddrinfo("127.0.0.1", colon + 1, &hints, &found) != 0))
        return false;
    const struct addrinfo *best = found; /* as the transport does: IPv6 first */
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (at->ai_family == AF_INET6)
            best = at;
    }
    memcpy(&relay->target, best->ai_addr, best->ai_addrlen);
    relay->target_size = best->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool open_front(struct relay *relay, const char *host, uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof address;
    int buffer = BUFFER_BYTES;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return false;
    relay->front = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (relay->front < 0)
        return false;
    setsockopt(relay->front, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (bind(relay->front, (struct sockaddr *)&address, size) != 0 ||
        getsockname(relay->front, (struct sockaddr *)&address, &size) != 0)
        return false;
    relay->port = ntohs(address.sin_port);
    snprintf(relay->address, sizeof relay->address, "%.15s:%u", host, relay->port);
    return true;
}

struct relay *relay_start_at(const char *address, uint16_t port, const char *target,
                             const struct relay_network *network, uint64_t seed)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return NULL;
    relay->front = -1;
    relay->network = *network;
    relay->heap = malloc(RELAY_PENDING * sizeof *relay->heap);
    pthread_mutex_init(&relay->lock, NULL);
    covey_random_init(&relay->random, seed, 99, 0, COVEY_PURPOSE_NETWORK);
    if (relay->heap != NULL && resolve(relay, target) && open_front(relay, address, port) &&
        pthread_create(&relay->thread, NULL, run, relay) == 0)
        return relay;
    if (relay->front >= 0)
        close(relay->front);
    free(relay->heap);
    free(relay);
    return NULL;
}

struct relay *relay_start(const char *target, const struct relay_network *network, uint64_t seed)
{
    return relay_start_at("127.0.0.1", 0, target, network, seed);
}

uint16_t relay_port(const struct relay *relay)
{
    return relay->port;
}

const char *relay_address(const struct relay *relay)
{
    return relay->address;
}

void relay_set(struct relay *relay, const struct relay_network *network)
{
    pthread_mutex_lock(&relay->lock);
    relay->network = *network;
    pthread_mutex_unlock(&relay->lock);
}

void relay_count(struct relay *relay, struct relay_counters *up, struct relay_counters *down)
{
    pthread_mutex_lock(&relay->lock);
    *up = relay->counters[0];
    *down = relay->counters[1];
    pthread_mutex_unlock(&relay->lock);
}

size_t relay_log(struct relay *relay, struct relay_entry **out)
{
    pthread_mutex_lock(&relay->lock);
    size_t used = relay->log_used;
    *out = malloc((used > 0 ? used : 1) * sizeof **out);
    if (*out != NULL && used > 0)
        memcpy(*out, relay->log, used * sizeof **out);
    else
        used = 0;
    pthread_mutex_unlock(&relay->lock);
    return used;
}

size_t relay_strangers(struct relay *relay)
{
    size_t strangers = 0;
    pthread_mutex_lock(&relay->lock);
    for (size_t i = 0; i < relay->log_used; i++)
        strangers += !relay->log[i].records;
    pthread_mutex_unlock(&relay->lock);
    return strangers;
}

void relay_stop(struct relay *relay)
{
    if (relay == NULL)
        return;
    atomic_store(&relay->stopping, true);
    pthread_join(relay->thread, NULL);
    while (relay->pending_count > 0)
        free(pop(relay).bytes);
    for (uint32_t i = 0; i < relay->client_count; i++)
        close(relay->clients[i].fd);
    close(relay->front);
    pthread_mutex_destroy(&relay->lock);
    free(relay->log);
    free(relay->heap);
    free(relay);
}
