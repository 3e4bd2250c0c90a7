#include "tiny_server.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/model.h"

static void must(enum covey_status status, const struct covey_error *err)
{
    cr_assert(status == COVEY_OK, "%s: %s", covey_status_text(status), err != NULL ? err->text : "");
}

/* ------------------------------------------------------------------ bodies by hash */

static struct covey_hash keep(struct tiny_server *server, const void *bytes, size_t size)
{
    struct covey_blob *blob = NULL;
    must(covey_blob_create((struct covey_bytes){bytes, size}, NULL, NULL, NULL, &blob), NULL);
    cr_assert(server->blob_count < TINY_BLOBS);
    server->blobs[server->blob_count++] = blob;
    return *covey_blob_hash(blob);
}

static struct covey_blob *find(struct tiny_server *server, const char *text)
{
    struct covey_hash hash;
    if (covey_hex_read(text, hash.bytes, sizeof hash.bytes) != 0)
        return NULL;
    for (uint32_t i = 0; i < server->blob_count; i++)
        if (covey_hash_equal(covey_blob_hash(server->blobs[i]), &hash))
            return server->blobs[i];
    return NULL;
}

/* ------------------------------------------------------------------ the published line */

static struct covey_hash keep_stream(struct tiny_server *server, const char *codec_name, const float *values,
                                     uint64_t *size, float *decoded)
{
    struct covey_codec codec;
    struct covey_error err = {0};
    size_t n = server->layout.shared_count, bytes;
    must(covey_codec_parse(codec_name, &codec, &err), &err);
    uint8_t *stream = malloc(covey_codec_bound(&codec, n));
    const struct covey_encode_options options = {.seed = 1};
    must(covey_codec_encode(&codec, values, n, &options, stream, covey_codec_bound(&codec, n), &bytes,
                            decoded, &err),
         &err);
    struct covey_hash hash = keep(server, stream, bytes);
    free(stream);
    *size = bytes;
    return hash;
}

static void sign_manifest(struct tiny_server *server)
{
    uint8_t payload[COVEY_MANIFEST_BYTES], message[COVEY_MANIFEST_BYTES];
    size_t payload_bytes, message_bytes;
    struct covey_error err = {0};
    must(covey_manifest_encode(&server->manifest, payload, sizeof payload, &payload_bytes, &err), &err);
    must(covey_sign_message(server->signer, (struct covey_bytes){payload, payload_bytes}, message,
                            sizeof message, &message_bytes, &err),
         &err);
    server->manifest_hash = keep(server, message, message_bytes);
}

void tiny_server_publish_with(struct tiny_server *server, float step,
                              void (*change)(struct covey_manifest *manifest))
{
    size_t n = server->layout.shared_count;
    float *delta = malloc(n * sizeof *delta);
    pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < n; i++)
        delta[i] = step * (float)(1 + i % 3);
    struct covey_manifest *manifest = &server->manifest;
    uint64_t from_sequence = server->sequence;
    struct covey_hash from_model = server->model;
    memset(manifest->deltas, 0, sizeof manifest->deltas);
    manifest->delta_count = server->sequence == 0 ? 0 : 1;
    memset(manifest->steps, 0, sizeof manifest->steps);
    manifest->step_count = 0;
    manifest->sums_from = 0;
    manifest->deltas[0].from_sequence = from_sequence;
    manifest->deltas[0].from_model = from_model;
    manifest->deltas[0].stream = keep_stream(server, "fp16", delta, &manifest->deltas[0].stream_bytes, delta);
    for (size_t i = 0; i < n; i++)
        server->params[i] = server->params[i] + delta[i];
    free(delta);
    must(covey_hash_floats(server->params, n, &server->model), NULL);
    manifest->sequence = ++server->sequence;
    manifest->round = (uint32_t)server->sequence;
    manifest->model = server->model;
    manifest->shared_count = n;
    memcpy(manifest->federation, server->federation, sizeof manifest->federation);
    manifest->full = keep_stream(server, "raw32", server->params, &manifest->full_bytes, NULL);
    if (change != NULL)
        change(manifest);
    sign_manifest(server);
    pthread_mutex_unlock(&server->lock);
}

#define LATTICE -6
#define STEPS_KEPT 8

static struct covey_blob *blob_of(struct tiny_server *server, const struct covey_hash *hash)
{
    char text[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(hash->bytes, sizeof hash->bytes, text);
    return find(server, text);
}

void tiny_server_publish_step(struct tiny_server *server, float step,
                              void (*change)(struct covey_manifest *manifest))
{
    struct covey_error err = {0};
    const size_t n = server->layout.shared_count;
    struct covey_manifest *manifest = &server->manifest;
    float *delta = malloc(n * sizeof *delta);
    pthread_mutex_lock(&server->lock);
    if (manifest->step_count == 0) { /* the line begins here */
        cr_assert(covey_round_to_power(server->params, n, LATTICE, server->params));
        manifest->sums_from = server->sequence + 1;
    } else {
        for (uint32_t i = STEPS_KEPT - 1; i > 0; i--)
            manifest->steps[i] = manifest->steps[i - 1];
    }
    for (size_t i = 0; i < n; i++)
        delta[i] = step * (float)(1 + i % 3);
    memset(manifest->deltas, 0, sizeof manifest->deltas);
    manifest->delta_count = 0;
    struct covey_manifest_step *first = &manifest->steps[0];
    first->grid = COVEY_GRID_ZERO + LATTICE;
    first->stream = keep_stream(server, "int8", delta, &first->stream_bytes, NULL);
    const struct covey_bytes stream = covey_blob_view(blob_of(server, &first->stream));
    must(covey_codec_apply_rounded(stream, server->layout.update_count, LATTICE, server->params, &err), &err);
    if (manifest->step_count < STEPS_KEPT)
        manifest->step_count++;
    free(delta);
    must(covey_hash_floats(server->params, n, &server->model), NULL);
    manifest->sequence = ++server->sequence;
    manifest->round = (uint32_t)server->sequence;
    manifest->model = server->model;
    manifest->full = keep_stream(server, "raw32", server->params, &manifest->full_bytes, NULL);
    if (change != NULL)
        change(manifest);
    sign_manifest(server);
    pthread_mutex_unlock(&server->lock);
}

void tiny_server_publish(struct tiny_server *server, float step)
{
    tiny_server_publish_with(server, step, NULL);
}

void tiny_server_push(struct tiny_server *server, const struct covey_plan *plan)
{
    uint8_t bytes[COVEY_PLAN_BYTES];
    size_t size;
    struct covey_blob *blob = NULL;
    struct covey_error err = {0};
    pthread_mutex_lock(&server->lock);
    server->plan = *plan;
    pthread_mutex_unlock(&server->lock);
    must(covey_plan_encode(plan, bytes, sizeof bytes, &size, &err), &err);
    must(covey_blob_create((struct covey_bytes){bytes, size}, NULL, NULL, NULL, &blob), NULL);
    must(server->host.ops->notify(server->host.host, "device", "f/" TINY_FEDERATION "/plan", blob,
                                  COVEY_FORMAT_CBOR),
         NULL);
    covey_blob_release(blob);
}

void tiny_server_assign(struct tiny_server *server, uint8_t assignment, const char *codec)
{
    tiny_server_assign_rate(server, assignment, codec, .1f);
}

void tiny_server_assign_rate(struct tiny_server *server, uint8_t assignment, const char *codec, float rate)
{
    struct covey_plan plan = {.kind = COVEY_PLAN_TRAIN,
                              .round = assignment,
                              .assignment = {{assignment}},
                              .manifest = server->manifest_hash,
                              .recipe = {.epochs = 1, .batch = 4, .learning_rate = rate, .seed = 5},
                              .deadline_ms = 600000,
                              .retry_after_ms = 60000,
                              .heartbeat_ms = 60000};
    snprintf(plan.codec, sizeof plan.codec, "%s", codec);
    tiny_server_push(server, &plan);
}

/* ------------------------------------------------------------------ requests */

static void answer(struct covey_exchange *exchange, uint8_t code, const void *bytes, size_t size)
{
    const struct covey_response response = {
        .code = code, .content_format = -1, .body = {bytes, size}, .max_age_s = 1};
    covey_exchange_respond(exchange, &response);
}

static uint8_t take_update(struct tiny_server *server, const struct covey_incoming *incoming)
{
    struct covey_update update;
    struct covey_error err = {0};
    server->puts++;
    if (server->put_code_count > 0) {
        server->put_code_count--;
        return server->put_code;
    }
    if (covey_update_decode(incoming->body, &update, &err) != COVEY_OK)
        return COVEY_CODE_BAD_REQUEST;
    for (uint32_t i = 0; i < server->update_count; i++)
        if (memcmp(&server->updates[i].assignment, &update.assignment, sizeof update.assignment) == 0)
            return covey_hash_equal(&server->updates[i].hash, incoming->body_hash) ? COVEY_CODE_CHANGED
                                                                                   : COVEY_CODE_CONFLICT;
    struct tiny_update *kept = &server->updates[server->update_count++];
    *kept = (struct tiny_update){.assignment = update.assignment,
                                 .hash = *incoming->body_hash,
                                 .examples = update.examples,
                                 .bytes = malloc(incoming->body.size),
                                 .size = incoming->body.size};
    memcpy(kept->bytes, incoming->body.data, incoming->body.size);
    return COVEY_CODE_CHANGED;
}

static void serve_plan(struct tiny_server *server, struct covey_exchange *exchange)
{
    uint8_t bytes[COVEY_PLAN_BYTES];
    size_t size;
    server->plans++;
    if (server->plan_code != 0) {
        answer(exchange, server->plan_code, "no", 2);
        return;
    }
    must(covey_plan_encode(&server->plan, bytes, sizeof bytes, &size, NULL), NULL);
    answer(exchange, COVEY_CODE_CONTENT, bytes, size);
}

/* Taken, or the round is over: a server that closes its rounds at once. */
static void tell_fate(struct tiny_server *server, const char *text, struct covey_exchange *exchange)
{
    struct covey_upload_state state = {.complete = 1};
    struct covey_assignment_id id;
    uint8_t bytes[64];
    size_t size;
    must(covey_upload_state_encode(&state, bytes, sizeof bytes, &size), NULL);
    cr_assert(covey_hex_read(text, id.bytes, sizeof id.bytes) == 0);
    server->asks++;
    for (uint32_t i = 0; i < server->update_count; i++) {
        if (memcmp(&server->updates[i].assignment, &id, sizeof id) == 0) {
            answer(exchange, COVEY_CODE_CONTENT, bytes, size);
            return;
        }
    }
    answer(exchange, COVEY_CODE_FORBIDDEN, NULL, 0);
}

static void serve_locked(struct tiny_server *server, const struct covey_incoming *incoming,
                         struct covey_exchange *exchange)
{
    const char *federation = "f/" TINY_FEDERATION "/", *path = incoming->path;
    server->requests++;
    if (strcmp(path, "where") == 0) {
        answer(exchange, COVEY_CODE_NOT_FOUND, NULL, 0);
        return;
    }
    if (strncmp(path, federation, strlen(federation)) != 0) {
        answer(exchange, COVEY_CODE_NOT_FOUND, NULL, 0);
        return;
    }
    path += strlen(federation);
    if (strcmp(path, "plan") == 0) {
        serve_plan(server, exchange);
    } else if (strncmp(path, "d/", 2) == 0) {
        struct covey_blob *blob = find(server, path + 2);
        server->fetches++;
        if (server->blob_code != 0 || blob == NULL) {
            answer(exchange, server->blob_code != 0 ? server->blob_code : COVEY_CODE_NOT_FOUND, NULL, 0);
            return;
        }
        const struct covey_response response = {
            .code = COVEY_CODE_CONTENT, .content_format = 42, .blob = blob};
        covey_exchange_respond(exchange, &response);
    } else if (strncmp(path, "s/", 2) == 0) {
        server->sums++;
        if (server->sum == NULL || server->sum_code != 0) {
            answer(exchange, server->sum_code != 0 ? server->sum_code : COVEY_CODE_NOT_FOUND, NULL, 0);
            return;
        }
        const struct covey_response response = {
            .code = COVEY_CODE_CONTENT, .content_format = 42, .blob = server->sum};
        covey_exchange_respond(exchange, &response);
    } else if (strncmp(path, "a/", 2) == 0 && incoming->method == COVEY_PUT) {
        uint8_t code = take_update(server, incoming);
        if (server->lose_acknowledgement && code == COVEY_CODE_CHANGED) {
            server->lose_acknowledgement = false;
            code = COVEY_CODE_UNAVAILABLE; /* as good as lost */
        }
        answer(exchange, code, NULL, 0);
    } else if (strncmp(path, "a/", 2) == 0 && incoming->method == COVEY_GET) {
        tell_fate(server, path + 2, exchange);
    } else if (strcmp(path, "metrics") == 0 && incoming->method == COVEY_POST) {
        server->posts++;
        must(covey_metrics_decode(incoming->body, &server->metrics, NULL), NULL);
        answer(exchange, COVEY_CODE_CHANGED, NULL, 0);
    } else {
        answer(exchange, COVEY_CODE_NOT_FOUND, NULL, 0);
    }
}

static void serve(void *user, const struct covey_incoming *incoming, struct covey_exchange *exchange)
{
    struct tiny_server *server = user;
    pthread_mutex_lock(&server->lock);
    serve_locked(server, incoming, exchange);
    pthread_mutex_unlock(&server->lock);
}

static uint8_t admit_body(void *user, const struct covey_incoming *incoming, uint64_t body_bytes)
{
    (void)user;
    (void)incoming;
    (void)body_bytes;
    return 0;
}

uint32_t tiny_server_updates(struct tiny_server *server)
{
    pthread_mutex_lock(&server->lock);
    uint32_t count = server->update_count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

/* ------------------------------------------------------------------ beginning and end */

static void describe(struct tiny_server *server, const char *model_yaml)
{
    struct covey_error err = {0};
    uint8_t *bytes = malloc(COVEY_DESCRIPTION_BYTES);
    size_t size;
    server->description = calloc(1, sizeof *server->description);
    must(covey_model_load_text("model", model_yaml, strlen(model_yaml), server->description, &err), &err);
    must(covey_model_layout(server->description, &server->layout, &err), &err);
    server->params = calloc(server->layout.count, sizeof *server->params);
    must(covey_model_initialise(server->description, &server->layout, 3, server->params, &err), &err);
    must(covey_description_encode(server->description, bytes, COVEY_DESCRIPTION_BYTES, &size, &err), &err);
    server->manifest.description = keep(server, bytes, size);
    server->manifest.description_bytes = size;
    free(bytes);
}

void tiny_server_start(struct tiny_server *server, const char *model_yaml, bool threaded)
{
    struct covey_error err = {0};
    struct covey_public_key public;
    memset(server, 0, sizeof *server);
    pthread_mutex_init(&server->lock, NULL);
    must(covey_crypto_start(&err), &err);
    must(covey_key_generate(&server->signer, &err), &err);
    must(covey_key_public(server->signer, &public, &err), &err);
    must(covey_trust_add(&server->trust, &public, &err), &err);
    strcpy(server->federation, TINY_FEDERATION);
    describe(server, model_yaml);
    server->plan =
        (struct covey_plan){.kind = COVEY_PLAN_WAIT, .retry_after_ms = 60000, .heartbeat_ms = 60000};
    const struct covey_inprocess_network_config network = {
        .mode = threaded ? COVEY_INPROCESS_THREADED : COVEY_INPROCESS_SINGLE, .env = covey_env_system(NULL)};
    must(covey_inprocess_network_create(&network, &server->network), NULL);
    const struct covey_inprocess_host_config host = {
        .name = "server", .port = 1, .service = {.user = server, .serve = serve, .admit_body = admit_body}};
    must(covey_inprocess_host_create(server->network, &host, &server->host, &err), &err);
    tiny_server_publish(server, .25f);
}

void tiny_server_stop(struct tiny_server *server)
{
    server->host.ops->destroy(server->host.host);
    covey_inprocess_network_destroy(server->network);
    for (uint32_t i = 0; i < server->blob_count; i++)
        covey_blob_release(server->blobs[i]);
    covey_blob_release(server->sum);
    for (uint32_t i = 0; i < server->update_count; i++)
        free(server->updates[i].bytes);
    covey_key_destroy(server->signer);
    covey_layout_deinit(&server->layout);
    free(server->description);
    free(server->params);
    pthread_mutex_destroy(&server->lock);
}
