#include "fake_host.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/messages.h"
#include "covey/random.h"
#include "covey/sign.h"
#include "exchange.h"

/* ------------------------------------------------------------------ models and options */

static void make_model(struct fake_model *model, uint32_t rows, bool statistics, bool controls)
{
    memset(model, 0, sizeof *model);
    covey_layout_init(&model->layout);
    cr_assert_eq(covey_layout_add(&model->layout, "a.weight", 2, (uint32_t[]){rows, 70}, COVEY_ROLE_TRAINABLE,
                                  COVEY_SCOPE_SHARED, NULL),
                 COVEY_OK);
    cr_assert_eq(covey_layout_add(&model->layout, "frozen", 1, (uint32_t[]){FAKE_FROZEN}, COVEY_ROLE_FROZEN,
                                  COVEY_SCOPE_SHARED, NULL),
                 COVEY_OK);
    cr_assert_eq(covey_layout_add(&model->layout, "a.bias", 1, (uint32_t[]){70}, COVEY_ROLE_TRAINABLE,
                                  COVEY_SCOPE_SHARED, NULL),
                 COVEY_OK);
    if (statistics)
        cr_assert_eq(covey_layout_add(&model->layout, "statistics", 1, (uint32_t[]){3}, COVEY_ROLE_BUFFER,
                                      COVEY_SCOPE_SHARED, NULL),
                     COVEY_OK);
    if (controls)
        cr_assert_eq(covey_layout_add_controls(&model->layout, NULL), COVEY_OK);
    covey_layout_finish(&model->layout);
    model->initial = malloc(model->layout.shared_count * sizeof(float));
    struct covey_random random;
    covey_random_init(&random, 1, 2, 3, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < model->layout.shared_count; i++)
        model->initial[i] = covey_random_float(&random) - 0.5f;
    memcpy(model->description, "fake description", sizeof model->description);
}

void fake_model_init(struct fake_model *model, uint32_t rows)
{
    make_model(model, rows, true, false);
}

void fake_model_init_plain(struct fake_model *model, uint32_t rows, bool controls)
{
    make_model(model, rows, false, controls);
}

void fake_model_deinit(struct fake_model *model)
{
    covey_layout_deinit(&model->layout);
    free(model->initial);
}

void fake_options(const struct fake_model *model, struct covey_federation_options *federation,
                  struct covey_server_options *options, const char *folder, const struct covey_key *signer)
{
    *federation = (struct covey_federation_options){
        .name = "digits",
        .description = {model->description, sizeof model->description},
        .layout = &model->layout,
        .initial = model->initial,
        .recipe = {.epochs = 1, .batch = 10, .learning_rate = 0.1f, .seed = 7},
        .codec = "int8",
        .downlink = "raw32",
        .strategy = "fedavg",
        .rules = {.minimum_devices = 2, .fraction = 1, .deadline_ms = FAKE_DEADLINE_MS, .stop_rounds = 3},
        .retry_ms = 1000};
    *options = (struct covey_server_options){.folder = folder,
                                             .env = covey_env_system(NULL),
                                             .signer = signer,
                                             .federations = federation,
                                             .federation_count = 1,
                                             .fold_threads = 2,
                                             .intake_threads = 2};
}

/* ------------------------------------------------------------------ the host's table */

static enum covey_status notify(struct covey_host *opaque, const char *name, const char *path,
                                struct covey_blob *body, int content_format)
{
    struct fake_host *host = (struct fake_host *)opaque;
    (void)name, (void)path, (void)content_format;
    struct covey_plan plan;
    cr_assert_leq(covey_blob_view(body).size, COVEY_PLAN_BYTES);
    cr_assert_eq(covey_plan_decode(covey_blob_view(body), &plan, NULL), COVEY_OK);
    pthread_mutex_lock(&host->mutex);
    host->pushes++;
    pthread_mutex_unlock(&host->mutex);
    return COVEY_OK;
}
static bool present(struct covey_host *host, const char *name)
{
    (void)host, (void)name;
    return true;
}
static void drop(struct covey_host *opaque, const char *name)
{
    (void)name;
    struct fake_host *host = (struct fake_host *)opaque;
    pthread_mutex_lock(&host->mutex);
    host->drops++;
    pthread_mutex_unlock(&host->mutex);
}
static void traffic(struct covey_host *host, struct covey_traffic *out)
{
    (void)host;
    *out = (struct covey_traffic){0};
}
static void destroy(struct covey_host *host)
{
    (void)host;
}
static const struct covey_host_ops ops = {notify, present, drop, traffic, destroy};

static void *run(void *user)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_run(user, &err), COVEY_OK, "%s", err.text);
    return NULL;
}

void fake_host_start(struct fake_host *host, struct covey_server *server)
{
    memset(host, 0, sizeof *host);
    host->server = server;
    host->service = covey_server_service(server);
    host->handle = (struct covey_host_handle){&ops, (struct covey_host *)host};
    pthread_mutex_init(&host->mutex, NULL);
    covey_server_attach(server, &host->handle, 5684);
    cr_assert_eq(pthread_create(&host->thread, NULL, run, server), 0);
    host->running = true;
}

void fake_host_stop(struct fake_host *host)
{
    if (host->running) {
        covey_server_stop(host->server);
        pthread_join(host->thread, NULL);
        pthread_mutex_destroy(&host->mutex);
    }
    host->running = false;
}

/* ------------------------------------------------------------------ requests */

struct waiting {
    struct covey_exchange base;
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    bool done;
    struct fake_answer *answer;
};

static void respond(struct covey_exchange *exchange, const struct covey_response *response)
{
    struct waiting *waiting = (struct waiting *)exchange;
    const struct covey_bytes body = response->blob != NULL ? covey_blob_view(response->blob) : response->body;
    pthread_mutex_lock(&waiting->mutex);
    cr_assert(!waiting->done, "answered twice");
    waiting->done = true;
    waiting->answer->code = response->code;
    waiting->answer->max_age_s = response->max_age_s;
    waiting->answer->content_format = response->content_format;
    waiting->answer->size = body.size;
    waiting->answer->body = malloc(body.size + 1);
    if (body.size > 0)
        memcpy(waiting->answer->body, body.data, body.size);
    waiting->answer->body[body.size] = '\0';
    pthread_cond_signal(&waiting->ready);
    pthread_mutex_unlock(&waiting->mutex);
}

void fake_request(struct fake_host *host, const char *device, enum covey_method method, const char *path,
                  struct covey_bytes body, bool observe, struct fake_answer *answer)
{
    struct waiting waiting = {{respond}, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, answer};
    struct covey_peer peer = {.address = "test"};
    (void)snprintf(peer.name, sizeof peer.name, "%s", device);
    struct covey_hash hash;
    char resource[COVEY_PATH_BYTES];
    const size_t path_bytes = strcspn(path, "?");
    (void)snprintf(resource, sizeof resource, "%.*s", (int)path_bytes, path);
    cr_assert_eq(covey_hash_bytes(body, &hash), COVEY_OK);
    const struct covey_incoming incoming = {.method = method,
                                            .path = resource,
                                            .query = path[path_bytes] == '?' ? path + path_bytes + 1 : "",
                                            .content_format = -1,
                                            .body = body,
                                            .body_hash = body.size > 0 ? &hash : NULL,
                                            .peer = &peer,
                                            .observe = observe};
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FAKE_WAIT_MS / 1000;
    if (body.size > COVEY_BLOCK_BYTES) { /* it would come in blocks: asked first, with the body empty yet */
        struct covey_incoming announced = incoming;
        announced.body = (struct covey_bytes){NULL, 0};
        announced.body_hash = NULL;
        const uint8_t code = host->service.admit_body(host->service.user, &announced, body.size);
        if (code != 0) {
            *answer = (struct fake_answer){.code = code, .body = calloc(1, 2), .size = 1};
            return;
        }
    }
    host->service.serve(host->service.user, &incoming, &waiting.base);
    pthread_mutex_lock(&waiting.mutex);
    while (!waiting.done)
        cr_assert_neq(pthread_cond_timedwait(&waiting.ready, &waiting.mutex, &until), ETIMEDOUT,
                      "no answer to %s", path);
    pthread_mutex_unlock(&waiting.mutex);
}

void fake_come(struct fake_host *host, const char *device, bool is_present)
{
    struct covey_peer peer = {.address = "test"};
    (void)snprintf(peer.name, sizeof peer.name, "%s", device);
    host->service.on_peer(host->service.user, &peer, is_present);
}

/* ------------------------------------------------------------------ devices */

struct covey_plan fake_plan(struct fake_host *host, const char *device, const char *federation)
{
    char path[COVEY_PATH_BYTES];
    (void)snprintf(path, sizeof path, "f/%s/plan", federation);
    struct fake_answer answer;
    struct covey_plan plan;
    struct covey_error err = {0};
    fake_request(host, device, COVEY_GET, path, (struct covey_bytes){0}, true, &answer);
    cr_assert_eq(answer.code, COVEY_CODE_CONTENT, "%s", answer.body);
    cr_assert_eq(covey_plan_decode((struct covey_bytes){answer.body, answer.size}, &plan, &err), COVEY_OK,
                 "%s", err.text);
    free(answer.body);
    return plan;
}

struct covey_plan fake_await(struct fake_host *host, const char *device, const char *federation,
                             enum covey_plan_kind kind, uint32_t round)
{
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS; waited += 5) {
        const struct covey_plan plan = fake_plan(host, device, federation);
        if (plan.kind == kind && plan.round >= round)
            return plan;
        fake_sleep_ms(5);
    }
    cr_assert(false, "%s: no plan of kind %d for round %u", device, (int)kind, round);
    return (struct covey_plan){0};
}

static struct fake_answer get_blob(struct fake_host *host, const char *device, const char *federation,
                                   const struct covey_hash *hash)
{
    char path[COVEY_PATH_BYTES], hex[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(hash->bytes, sizeof hash->bytes, hex);
    (void)snprintf(path, sizeof path, "f/%s/d/%s", federation, hex);
    struct fake_answer answer;
    struct covey_hash got;
    fake_request(host, device, COVEY_GET, path, (struct covey_bytes){0}, false, &answer);
    cr_assert_eq(answer.code, COVEY_CODE_CONTENT, "%s: %s", path, answer.body);
    cr_assert_eq(covey_hash_bytes((struct covey_bytes){answer.body, answer.size}, &got), COVEY_OK);
    cr_assert(covey_hash_equal(&got, hash), "%s does not have its hash", path);
    return answer;
}

float *fake_fetch(struct fake_host *host, const char *device, const char *federation,
                  const struct covey_plan *plan, const struct covey_key *signer, const float *before,
                  struct covey_manifest *manifest)
{
    struct covey_public_key public_key;
    struct covey_trust trust = {0};
    struct covey_bytes payload;
    struct covey_hash hash;
    struct covey_error err = {0};
    cr_assert_eq(covey_key_public(signer, &public_key, NULL), COVEY_OK);
    cr_assert_eq(covey_trust_add(&trust, &public_key, NULL), COVEY_OK);
    struct fake_answer message = get_blob(host, device, federation, &plan->manifest);
    cr_assert_eq(
        covey_verify_message(&trust, (struct covey_bytes){message.body, message.size}, &payload, &err),
        COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_manifest_decode(payload, manifest, &err), COVEY_OK, "%s", err.text);
    struct fake_answer description = get_blob(host, device, federation, &manifest->description);
    cr_assert_eq(description.size, manifest->description_bytes);
    free(description.body);
    struct fake_answer full = get_blob(host, device, federation, &manifest->full);
    const size_t count = (size_t)manifest->shared_count;
    float *values = malloc(count * sizeof *values);
    cr_assert_eq(covey_codec_decode((struct covey_bytes){full.body, full.size}, count, values, &err),
                 COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_hash_floats(values, count, &hash), COVEY_OK);
    cr_assert(covey_hash_equal(&hash, &manifest->model), "the full model is not what was signed");
    if (before != NULL && manifest->delta_count + manifest->step_count > 0) {
        const bool rounds = manifest->step_count > 0;
        struct fake_answer delta = get_blob(
            host, device, federation, rounds ? &manifest->steps[0].stream : &manifest->deltas[0].stream);
        const struct covey_bytes stream = {delta.body, delta.size};
        float *replica = malloc(count * sizeof *replica);
        memcpy(replica, before, count * sizeof *replica);
        cr_assert_eq(rounds
                         ? covey_codec_apply_rounded(stream, count - FAKE_FROZEN,
                                                     manifest->steps[0].grid - COVEY_GRID_ZERO, replica, &err)
                         : covey_codec_apply(stream, count, replica, &err),
                     COVEY_OK, "%s", err.text);
        cr_assert_eq(memcmp(replica, values, count * sizeof *replica), 0, "the delta leads elsewhere");
        free(replica);
        free(delta.body);
    }
    free(full.body);
    free(message.body);
    return values;
}

uint8_t *fake_update(const struct fake_model *model, const char *device, const struct covey_plan *plan,
                     const struct covey_hash *base, uint32_t spoil, size_t *size)
{
    const size_t count = model->layout.update_count;
    struct covey_codec codec;
    cr_assert_eq(covey_codec_parse(plan->codec, &codec, NULL), COVEY_OK);
    const size_t bound = covey_codec_bound(&codec, count),
                 scratch_bytes = covey_codec_scratch_bytes(&codec, count);
    float *delta = malloc(count * sizeof *delta);
    uint8_t *stream = malloc(bound), *out = malloc(bound + COVEY_UPDATE_HEAD_BYTES);
    void *scratch = aligned_alloc(64, scratch_bytes / 64 * 64 + 64);
    struct covey_random random;
    const uint64_t id = covey_random_id(device);
    covey_random_init(&random, 9 + spoil, id, plan->round, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < count; i++)
        delta[i] = 0.1f * (covey_random_float(&random) - 0.5f);
    const struct covey_encode_options options = {.seed = plan->recipe.seed,
                                                 .device = id,
                                                 .round = plan->round,
                                                 .scratch = scratch,
                                                 .scratch_bytes = scratch_bytes};
    size_t stream_bytes = 0;
    struct covey_error err = {0};
    cr_assert_eq(covey_codec_encode(&codec, delta, count, &options, stream, bound, &stream_bytes, NULL, &err),
                 COVEY_OK, "%s", err.text);
    const struct covey_update update = {.assignment = plan->assignment,
                                        .model = *base,
                                        .examples = 10 + (uint32_t)(id % 90),
                                        .steps = 3 + (uint32_t)(id % 5),
                                        .training_ms = 5,
                                        .loss_before = 2 + (float)(id % 7) / 8,
                                        .effective_steps = 2.5f + (float)(id % 5),
                                        .loss_after = 1,
                                        .clipped = 1,
                                        .stream = {stream, stream_bytes}};
    cr_assert_eq(covey_update_encode(&update, out, bound + COVEY_UPDATE_HEAD_BYTES, size, &err), COVEY_OK,
                 "%s", err.text);
    free(scratch);
    free(delta);
    free(stream);
    return out;
}

void fake_put_path(const struct covey_plan *plan, const char *federation, char out[COVEY_PATH_BYTES])
{
    char hex[2 * COVEY_ASSIGNMENT_BYTES + 1];
    covey_hex_write(plan->assignment.bytes, sizeof plan->assignment.bytes, hex);
    (void)snprintf(out, COVEY_PATH_BYTES, "f/%s/a/%s", federation, hex);
}

uint8_t fake_work(struct fake_host *host, const struct fake_model *model, const char *device,
                  const char *federation, const struct covey_plan *plan, const struct covey_key *signer)
{
    struct covey_manifest manifest;
    char path[COVEY_PATH_BYTES];
    size_t size = 0;
    struct fake_answer answer;
    float *values = fake_fetch(host, device, federation, plan, signer, NULL, &manifest);
    uint8_t *update = fake_update(model, device, plan, &manifest.model, 0, &size);
    fake_put_path(plan, federation, path);
    fake_request(host, device, COVEY_PUT, path, (struct covey_bytes){update, size}, false, &answer);
    free(answer.body);
    free(update);
    free(values);
    return answer.code;
}

/* ------------------------------------------------------------------ folders, time */

void fake_folder_make(char out[64])
{
    (void)snprintf(out, 64, "/tmp/covey-server-XXXXXX");
    cr_assert_not_null(mkdtemp(out));
}

void fake_folder_remove(const char *folder)
{
    char command[128];
    cr_assert_eq(strncmp(folder, "/tmp/covey-server-", 18), 0);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

void fake_sleep_ms(uint32_t ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}
