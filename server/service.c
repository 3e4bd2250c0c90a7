/* What the transport asks: a table of resources. Everything here runs on a shard's thread: short locks, no
 * disk. */
#include "federation.h"
#include "inquiry.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "covey/log.h"

#define WHERE_VALID_S 86400

void covey_answer(struct covey_exchange *exchange, uint8_t code, uint32_t max_age_s, const char *format, ...)
{
    char text[COVEY_ERROR_TEXT_BYTES];
    va_list values;
    va_start(values, format);
    (void)vsnprintf(text, sizeof text, format, values);
    va_end(values);
    const struct covey_response response = {.code = code,
                                            .content_format = -1,
                                            .body = {(const uint8_t *)text, strlen(text)},
                                            .max_age_s = max_age_s};
    covey_exchange_respond(exchange, &response);
}

static void answer_bytes(struct covey_exchange *exchange, const uint8_t *bytes, size_t size, int format,
                         uint32_t max_age_s)
{
    const struct covey_response response = {
        .code = COVEY_CODE_CONTENT, .content_format = format, .body = {bytes, size}, .max_age_s = max_age_s};
    covey_exchange_respond(exchange, &response);
}

/* ------------------------------------------------------------------ one function a resource */

/* A request whose path was understood. */
struct request {
    struct covey_server *server;
    struct covey_federation *federation; /* NULL for what stands outside of them */
    const char *rest;                    /* of the path, after the resource's own word */
    uint32_t place;                      /* of the device, in the registry */
    const struct covey_incoming *incoming;
    struct covey_exchange *exchange;
};

static void serve_where(const struct request *request)
{
    const struct covey_server *server = request->server;
    const uint32_t shards = server->options.shard_count;
    const uint32_t shard = request->place / server->options.shard_devices % shards;
    const struct covey_where where = {(uint16_t)(server->port + shard), WHERE_VALID_S};
    uint8_t bytes[64];
    size_t size = 0;
    if (covey_where_encode(&where, bytes, sizeof bytes, &size) == COVEY_OK)
        answer_bytes(request->exchange, bytes, size, COVEY_FORMAT_CBOR, WHERE_VALID_S);
    else
        covey_answer(request->exchange, COVEY_CODE_INTERNAL, 0, "no answer");
}

static void serve_plan(const struct request *request)
{
    struct covey_plan plan;
    uint8_t bytes[COVEY_PLAN_BYTES];
    size_t size = 0;
    struct covey_error err = {0};
    struct covey_asking asking = {.observe = request->incoming->observe};
    if (covey_hours_read_query(request->incoming->query, &asking.hours, &asking.minute_of_day, &err) !=
        COVEY_OK) {
        covey_answer(request->exchange, COVEY_CODE_BAD_REQUEST, 0, "%s", err.text);
        return;
    }
    if (request->incoming->stop_observing)
        covey_federation_gone(request->federation, request->place);
    enum covey_status status = covey_federation_ask(request->federation, request->place, &asking, &plan);
    if (status == COVEY_OK)
        status = covey_plan_encode(&plan, bytes, sizeof bytes, &size, &err);
    if (status == COVEY_OK)
        answer_bytes(request->exchange, bytes, size, COVEY_FORMAT_CBOR, plan.retry_after_ms / 1000 + 1);
    else
        covey_answer(request->exchange, COVEY_CODE_INTERNAL, COVEY_BUSY_AGE_S, "no plan: %s",
                     covey_status_text(status));
}

static void serve_blob(const struct request *request)
{
    struct covey_hash hash;
    struct covey_blob *blob = NULL;
    if (covey_hex_read(request->rest, hash.bytes, sizeof hash.bytes) == 0)
        blob = covey_shelf_find(&request->federation->shelf, &hash);
    if (blob == NULL) {
        covey_answer(request->exchange, COVEY_CODE_NOT_FOUND, 0,
                     "nothing of that hash here: it may be of an older model, ask for the plan");
        return;
    }
    const struct covey_response response = {
        .code = COVEY_CODE_CONTENT, .content_format = COVEY_FORMAT_OCTETS, .blob = blob, .max_age_s = 3600};
    covey_exchange_respond(request->exchange, &response);
    covey_blob_release(blob);
}

static void serve_sum(const struct request *request)
{
    covey_catch_up_get(request->federation, request->rest, request->exchange);
}

static bool read_assignment(const struct request *request, struct covey_assignment_id *out)
{
    return covey_hex_read(request->rest, out->bytes, sizeof out->bytes) == 0;
}

static void serve_update(const struct request *request)
{
    struct covey_assignment_id id;
    if (read_assignment(request, &id))
        covey_intake_put(request->federation, request->place, &id, request->incoming, request->exchange);
    else
        covey_answer(request->exchange, COVEY_CODE_NOT_FOUND, 0, "an assignment has %d hexadecimal digits",
                     2 * COVEY_ASSIGNMENT_BYTES);
}

static void serve_upload_state(const struct request *request)
{
    struct covey_assignment_id id;
    if (read_assignment(request, &id))
        covey_inquiry_get(request->federation, request->place, &id, request->exchange);
    else
        covey_answer(request->exchange, COVEY_CODE_NOT_FOUND, 0, "an assignment has %d hexadecimal digits",
                     2 * COVEY_ASSIGNMENT_BYTES);
}

static void serve_metrics(const struct request *request)
{
    covey_reports_take(request->federation, request->place, request->incoming, request->exchange);
}

/* ------------------------------------------------------------------ the table */

struct resource {
    const char *word; /* ends with '/' when something follows */
    bool in_federation;
    enum covey_method method;
    void (*serve)(const struct request *request);
    size_t body_limit; /* 0: no body; SIZE_MAX: as the assignment says */
};

static const struct resource resources[] = {
    {"where", false, COVEY_GET, serve_where, 0},
    {"plan", true, COVEY_GET, serve_plan, 0},
    {"d/", true, COVEY_GET, serve_blob, 0},
    {"s/", true, COVEY_GET, serve_sum, 0},
    {"a/", true, COVEY_PUT, serve_update, SIZE_MAX},
    {"a/", true, COVEY_GET, serve_upload_state, 0},
    {"metrics", true, COVEY_POST, serve_metrics, COVEY_METRICS_BYTES},
};

static bool word_fits(const char *path, const char *word)
{
    const size_t size = strlen(word);
    return word[size - 1] == '/' ? strncmp(path, word, size) == 0 : strcmp(path, word) == 0;
}

/* The resource of a request, or NULL and the code to refuse with. */
static const struct resource *route(struct covey_server *server, const struct covey_incoming *incoming,
                                    struct covey_federation **federation, const char **rest, uint8_t *code)
{
    const char *path = incoming->path;
    *federation = NULL;
    *code = COVEY_CODE_NOT_FOUND;
    if (strncmp(path, "f/", 2) == 0) {
        const char *name = path + 2, *slash = strchr(name, '/');
        if (slash == NULL)
            return NULL;
        *federation = covey_federation_find(server, name, (size_t)(slash - name));
        if (*federation == NULL)
            return NULL;
        path = slash + 1;
    }
    for (size_t i = 0; i < sizeof resources / sizeof resources[0]; i++) {
        const struct resource *resource = &resources[i];
        if (resource->in_federation != (*federation != NULL) || !word_fits(path, resource->word))
            continue;
        *code = COVEY_CODE_METHOD_NOT_ALLOWED;
        if (resource->method != incoming->method)
            continue;
        *rest = path + strlen(resource->word);
        return resource;
    }
    return NULL;
}

static void serve(void *user, const struct covey_incoming *incoming, struct covey_exchange *exchange)
{
    struct covey_server *server = user;
    struct request request = {.server = server, .incoming = incoming, .exchange = exchange};
    uint8_t code;
    const struct resource *resource = route(server, incoming, &request.federation, &request.rest, &code);
    if (!atomic_load(&server->accepting)) {
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S,
                     "the server is not ready, or stopping");
    } else if (resource == NULL) {
        covey_answer(exchange, code, 0, code == COVEY_CODE_NOT_FOUND ? "there is no %s here" : "not with %s",
                     incoming->path);
    } else if (covey_registry_enter(server->registry, incoming->peer->name,
                                    covey_server_wall_ms(server) / 1000, &request.place) != COVEY_OK) {
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, 60, "the server has as many devices as it can");
    } else {
        resource->serve(&request);
    }
}

static uint8_t admit_body(void *user, const struct covey_incoming *incoming, uint64_t body_bytes)
{
    struct covey_server *server = user;
    struct covey_federation *federation;
    const char *rest = "";
    uint8_t code;
    uint32_t place;
    const struct resource *resource = route(server, incoming, &federation, &rest, &code);
    if (resource == NULL)
        return code;
    if (!atomic_load(&server->accepting))
        return COVEY_CODE_UNAVAILABLE;
    if (resource->body_limit != SIZE_MAX)
        return body_bytes <= resource->body_limit ? 0 : COVEY_CODE_TOO_LARGE;
    struct covey_assignment_id id;
    if (covey_hex_read(rest, id.bytes, sizeof id.bytes) != 0 ||
        covey_registry_find(server->registry, incoming->peer->name, &place) != COVEY_OK)
        return COVEY_CODE_NOT_FOUND;
    return covey_intake_admit_body(federation, place, &id, body_bytes);
}

static void on_peer(void *user, const struct covey_peer *peer, bool present)
{
    struct covey_server *server = user;
    uint32_t place;
    if (covey_registry_enter(server->registry, peer->name, covey_server_wall_ms(server) / 1000, &place) !=
        COVEY_OK)
        return;
    const uint32_t sessions = covey_registry_session(server->registry, place, present ? 1 : -1);
    covey_log_event(server->options.env.log, COVEY_LOG_DEBUG, present ? "device-came" : "device-went",
                    "device=%s address=%s sessions=%u", peer->name, peer->address, sessions);
    if (sessions == 0)
        for (uint32_t i = 0; i < server->options.federation_count; i++)
            covey_federation_gone(&server->federations[i], place);
    covey_server_wake(server);
}

struct covey_service covey_server_service(struct covey_server *server)
{
    return (struct covey_service){server, serve, admit_body, on_peer};
}
