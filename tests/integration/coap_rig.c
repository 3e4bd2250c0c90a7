#include "coap_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "covey/random.h"

double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

uint64_t resident_bytes(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 0;
#else
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%lu %lu", &pages, &resident), 2);
    fclose(file);
    return (uint64_t)resident * 4096;
#endif
}

void fill_bytes(uint8_t *bytes, size_t size, uint64_t seed)
{
    struct covey_random random;
    covey_random_init(&random, seed, 1, 2, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)covey_random_u32(&random);
}

/* ---------------------------------------------------------------- keys */

static void key_of(const char *name, uint8_t key[COVEY_PSK_BYTES])
{
    for (size_t i = 0; i < COVEY_PSK_BYTES; i++)
        key[i] = (uint8_t)(covey_random_id(name) >> (8 * (i % 8)) ^ i);
}

static enum covey_status find_psk(void *user, const char *identity, uint8_t key[COVEY_PSK_BYTES],
                                  size_t *key_bytes)
{
    (void)user;
    if (strncmp(identity, "device", 6) != 0)
        return COVEY_NOT_FOUND;
    key_of(identity, key);
    *key_bytes = COVEY_PSK_BYTES;
    return COVEY_OK;
}

struct covey_credentials rig_psk(const char *name)
{
    struct covey_credentials credentials = {.side = COVEY_SIDE_DEVICE, .psk_bytes = COVEY_PSK_BYTES};
    snprintf(credentials.psk_identity, sizeof credentials.psk_identity, "%s", name);
    key_of(name, credentials.psk);
    return credentials;
}

/* ---------------------------------------------------------------- service */

static void log_line(void *user, enum covey_log_level level, const char *event, const char *text)
{
    struct rig *rig = user;
    pthread_mutex_lock(&rig->lock);
    size_t left = sizeof rig->log_text - rig->log_used;
    int written =
        snprintf(rig->log_text + rig->log_used, left, "%s %s %s\n", covey_log_level_name(level), event, text);
    if (written > 0 && (size_t)written < left)
        rig->log_used += (size_t)written;
    pthread_mutex_unlock(&rig->lock);
}

uint32_t rig_held(struct rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    uint32_t held = rig->held_count;
    pthread_mutex_unlock(&rig->lock);
    return held;
}

bool rig_logged(struct rig *rig, const char *text)
{
    pthread_mutex_lock(&rig->lock);
    bool found = strstr(rig->log_text, text) != NULL;
    pthread_mutex_unlock(&rig->lock);
    return found;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

bool rig_await(struct rig *rig, int present)
{
    const double end = clock_s() + RIG_PATIENCE_MS / 1000.0;
    while (atomic_load(&rig->present) != present && clock_s() < end)
        nap();
    return atomic_load(&rig->present) == present;
}

bool rig_await_held(struct rig *rig, uint32_t wanted)
{
    const double end = clock_s() + RIG_PATIENCE_MS / 1000.0;
    while (rig_held(rig) != wanted && clock_s() < end)
        nap();
    return rig_held(rig) == wanted;
}

bool rig_await_log(struct rig *rig, const char *text)
{
    const double end = clock_s() + RIG_PATIENCE_MS / 1000.0;
    while (!rig_logged(rig, text) && clock_s() < end)
        nap();
    return rig_logged(rig, text);
}

static void respond(struct covey_exchange *exchange, uint8_t code, struct covey_blob *blob)
{
    covey_exchange_respond(
        exchange,
        &(struct covey_response){.code = code, .content_format = blob != NULL ? 42 : -1, .blob = blob});
}

static void hold(struct rig *rig, struct covey_exchange *exchange)
{
    pthread_mutex_lock(&rig->lock);
    cr_assert_lt(rig->held_count, 64);
    rig->held[rig->held_count++] = exchange;
    pthread_mutex_unlock(&rig->lock);
}

void rig_release(struct rig *rig, uint8_t code)
{
    pthread_mutex_lock(&rig->lock);
    while (rig->held_count > 0)
        respond(rig->held[--rig->held_count], code, NULL);
    pthread_mutex_unlock(&rig->lock);
}

static void take_body(struct rig *rig, const struct covey_incoming *in)
{
    pthread_mutex_lock(&rig->lock);
    rig->last_body = *in->body_hash;
    rig->last_body_bytes = in->body.size;
    snprintf(rig->last_name, sizeof rig->last_name, "%s", in->peer->name);
    pthread_mutex_unlock(&rig->lock);
    atomic_fetch_add(&rig->uploads, 1);
}

static void serve(void *user, const struct covey_incoming *in, struct covey_exchange *exchange)
{
    struct rig *rig = user;
    atomic_fetch_add(&rig->served, 1);
    if (in->method == COVEY_PUT || in->method == COVEY_POST) {
        if (in->body.size > 0)
            take_body(rig, in);
        if (atomic_load(&rig->hold_uploads))
            hold(rig, exchange);
        else
            respond(exchange, COVEY_CODE_CHANGED, NULL);
    } else if (in->method == COVEY_DELETE) {
        respond(exchange, COVEY_CODE_METHOD_NOT_ALLOWED, NULL);
    } else if (strcmp(in->path, "model") == 0) {
        respond(exchange, COVEY_CODE_CONTENT, rig->model);
    } else if (strcmp(in->path, "small") == 0 || strcmp(in->path, "plan") == 0) {
        respond(exchange, COVEY_CODE_CONTENT, rig->small);
    } else if (strcmp(in->path, "later") == 0) {
        hold(rig, exchange);
    } else if (strcmp(in->path, "echo") == 0) {
        covey_exchange_respond(
            exchange, &(struct covey_response){.code = COVEY_CODE_CONTENT,
                                               .content_format = -1,
                                               .body = {(const uint8_t *)in->query, strlen(in->query)},
                                               .max_age_s = 5});
    } else {
        respond(exchange, COVEY_CODE_NOT_FOUND, NULL);
    }
}

static uint8_t admit(void *user, const struct covey_incoming *in, uint64_t body_bytes)
{
    struct rig *rig = user;
    (void)in;
    atomic_fetch_add(&rig->admitted, 1);
    return body_bytes > atomic_load(&rig->admit_limit) ? COVEY_CODE_TOO_LARGE : 0;
}

static void on_peer(void *user, const struct covey_peer *peer, bool present)
{
    (void)peer;
    atomic_fetch_add(&((struct rig *)user)->present, present ? 1 : -1);
}

static bool allow(void *user, const char *name)
{
    (void)name;
    return !atomic_load(&((struct rig *)user)->denied_all);
}

/* ---------------------------------------------------------------- server */

void rig_start_server(struct rig *rig, uint16_t port, uint32_t shards)
{
    struct covey_error err = {0};
    rig->log = (struct covey_log){.level = COVEY_LOG_DEBUG, .sink = log_line, .user = rig};
    struct covey_coap_host_config config = {
        .address = "localhost",
        .port = port,
        .shard_count = shards,
        .credentials = &rig->server_credentials,
        .env = {.log = &rig->log},
        .service = {.user = rig, .serve = serve, .admit_body = admit, .on_peer = on_peer},
        .allow_peer = allow,
        .allow_user = rig,
        .transfer_memory_bytes = 64u << 20,
    };
    cr_assert_eq(covey_coap_host_create(&config, &rig->host, &err), COVEY_OK, "%s", err.text);
    rig->port = covey_coap_host_port(rig->host.host, 0);
    snprintf(rig->address, sizeof rig->address, "localhost:%u", rig->port);
}

void rig_stop_server(struct rig *rig)
{
    if (rig->host.host != NULL)
        rig->host.ops->destroy(rig->host.host);
    rig->host.host = NULL;
}

struct rig *rig_start(const struct covey_credentials *credentials, size_t model_bytes, uint32_t shards)
{
    struct rig *rig = calloc(1, sizeof *rig);
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    pthread_mutex_init(&rig->lock, NULL);
    if (credentials != NULL)
        rig->server_credentials = *credentials;
    else
        rig->server_credentials = (struct covey_credentials){.side = COVEY_SIDE_SERVER, .find_psk = find_psk};
    atomic_store(&rig->admit_limit, 16u << 20);
    uint8_t *bytes = malloc(model_bytes);
    fill_bytes(bytes, model_bytes, 1);
    cr_assert_eq(covey_blob_create((struct covey_bytes){bytes, model_bytes}, NULL, free, bytes, &rig->model),
                 COVEY_OK);
    cr_assert_eq(covey_blob_create((struct covey_bytes){(const uint8_t *)"a small body", 12}, NULL, NULL,
                                   NULL, &rig->small),
                 COVEY_OK);
    rig_start_server(rig, 0, shards);
    return rig;
}

void rig_stop(struct rig *rig)
{
    rig_release(rig, COVEY_CODE_UNAVAILABLE);
    rig_stop_server(rig);
    covey_blob_release(rig->model);
    covey_blob_release(rig->small);
    pthread_mutex_destroy(&rig->lock);
    free(rig);
}

/* ---------------------------------------------------------------- device */

static void on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
{
    struct device *device = user;
    device->state = state;
    device->ups += state == COVEY_LINK_UP;
    device->downs += state == COVEY_LINK_DOWN;
    if (reason != NULL)
        device->reason = *reason;
}

struct device *device_start(const struct covey_credentials *credentials)
{
    struct device *device = calloc(1, sizeof *device);
    struct covey_error err = {0};
    device->credentials = *credentials;
    struct covey_coap_link_config config = {.credentials = &device->credentials,
                                            .events = {.user = device, .on_state = on_state}};
    cr_assert_eq(covey_coap_link_create(&config, &device->link, &err), COVEY_OK, "%s", err.text);
    return device;
}

bool device_connect(struct device *device, const char *address)
{
    struct covey_error err = {0};
    int downs = device->downs, ups = device->ups;
    cr_assert_eq(device->link.ops->connect(device->link.link, address, &err), COVEY_OK, "%s", err.text);
    double end = clock_s() + RIG_PATIENCE_MS / 1000.0;
    while (device->ups == ups && device->downs == downs && clock_s() < end)
        device->link.ops->run(device->link.link, 100);
    return device->state == COVEY_LINK_UP;
}

bool device_await_down(struct device *device)
{
    const double end = clock_s() + RIG_PATIENCE_MS / 1000.0;
    while (device->state != COVEY_LINK_DOWN && clock_s() < end)
        device->link.ops->run(device->link.link, 50);
    return device->state == COVEY_LINK_DOWN;
}

void device_stop(struct device *device)
{
    device->link.ops->destroy(device->link.link);
    free(device);
}

void answer_taken(void *user, const struct covey_reply *reply)
{
    struct answer *answer = user;
    answer->calls++;
    answer->status = reply->status;
    answer->code = reply->code;
    answer->size = reply->body.size;
    answer->max_age_s = reply->max_age_s;
    if (covey_hash_bytes(reply->body, &answer->hash) != COVEY_OK)
        answer->size = SIZE_MAX;
    size_t kept = reply->body.size < sizeof answer->first ? reply->body.size : sizeof answer->first;
    if (kept > 0)
        memcpy(answer->first, reply->body.data, kept);
}

bool device_await(struct device *device, const struct answer *answer, int calls, uint32_t limit_ms)
{
    double end = clock_s() + limit_ms / 1000.0;
    while (answer->calls < calls && clock_s() < end)
        device->link.ops->run(device->link.link, 100);
    return answer->calls >= calls;
}

bool device_ask(struct device *device, const struct covey_request *request, struct answer *answer,
                uint32_t limit_ms)
{
    struct covey_error err = {0};
    double start = clock_s();
    memset(answer, 0, sizeof *answer);
    enum covey_status status =
        device->link.ops->request(device->link.link, request, answer_taken, answer, NULL, &err);
    cr_assert_eq(status, COVEY_OK, "%s", err.text);
    bool answered = device_await(device, answer, 1, limit_ms);
    answer->seconds = clock_s() - start;
    return answered;
}
