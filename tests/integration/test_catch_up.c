/* A real device that was away from a running server for 1, 10 and 100 rounds catches up by the cheapest of
 * the steps, their sum and the full model, and ends with the server's bits. What each way would have taken is
 * worked out here from the steps that lie in the server's folder. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client_state.h"
#include "link_watch.h"
#include "published_line.h"
#include "step_store.h"

#include "covey/client.h"
#include "covey/hash.h"
#include "covey/inprocess.h"
#include "covey/linalg.h"
#include "covey/model.h"
#include "covey/random.h"
#include "covey/server.h"
#include "covey/sign.h"

#define EXAMPLES 30
#define FEATURES 12
#define CLASSES 4
#define ROUNDS 160
#define WAIT_S 240 /* and a round's deadline: the machine may be slow */
#define PAUSE_MS 20
#define FOLDER "/tmp/covey-catch-up-XXXXXX"

static const char model_text[] = "name: little\n"
                                 "input: {shape: [12]}\n"
                                 "loss: softmax_cross_entropy\n"
                                 "ops:\n"
                                 "  - {op: dense, name: hidden, units: 64}\n"
                                 "  - {op: relu}\n"
                                 "  - {op: dense, name: output, units: 4}\n";

enum way { WAY_STEPS, WAY_SUM, WAY_FULL, WAY_COUNT };
static const char *const way_names[WAY_COUNT] = {"steps", "sum", "full"};

struct device {
    const char *name;
    char folder[96];
    float x[EXAMPLES * FEATURES];
    uint8_t labels[EXAMPLES];
    struct covey_dataset dataset;
    struct covey_client_config config;
    struct link_watch watch;
    struct covey_inprocess_network *network;
};

struct rig {
    char folder[sizeof FOLDER];
    struct covey_model_description *model;
    struct covey_layout layout;
    uint8_t *description;
    size_t description_bytes;
    float *initial;
    struct covey_key *signer;
    struct covey_trust trust;
    struct covey_inprocess_network *network;
    struct covey_federation_options federation;
    struct covey_server *server;
    struct covey_host_handle host;
    pthread_t loop;
    struct device steady, sleeper;
    pthread_mutex_t mutex;
    struct covey_hash models[ROUNDS + 2]; /* by sequence, as the server reports them */
};

/* ------------------------------------------------------------------ devices */

static enum covey_status open_link(void *user, const struct covey_link_events *events,
                                   struct covey_link_handle *out, struct covey_error *err)
{
    struct device *device = user;
    struct covey_link_handle inner;
    COVEY_TRY(covey_inprocess_link_create(device->network, device->name, events, &inner, err));
    *out = link_watch_open(&device->watch, inner);
    return COVEY_OK;
}

static void make_device(struct rig *rig, struct device *device, const char *name, uint32_t index)
{
    struct covey_random random;
    struct covey_error err = {0};
    char text[512];
    device->name = name;
    device->network = rig->network;
    (void)snprintf(device->folder, sizeof device->folder, "%s/%s", rig->folder, name);
    (void)snprintf(text, sizeof text, "mkdir -p '%s'", device->folder);
    cr_assert_eq(system(text), 0);
    (void)snprintf(text, sizeof text,
                   "server: \"server:5684\"\nfederation: little\nreconnect_ms: 20\nmetrics: false\n");
    cr_assert_eq(covey_client_config_load_text(device->folder, text, &device->config, &err), COVEY_OK, "%s",
                 err.text);
    covey_random_init(&random, 5, index, 0, COVEY_PURPOSE_TEST);
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        device->labels[i] = (uint8_t)covey_random_below(&random, CLASSES);
        for (uint32_t f = 0; f < FEATURES; f++)
            device->x[i * FEATURES + f] =
                (f % CLASSES == device->labels[i] ? 1.0f : 0.0f) + covey_random_float(&random) - 0.5f;
    }
    device->dataset = (struct covey_dataset){.count = EXAMPLES,
                                             .rows = EXAMPLES,
                                             .inputs = {device->x, COVEY_ELEMENT_F32, false, FEATURES},
                                             .labels = {device->labels, COVEY_ELEMENT_U8, false, 1},
                                             .rank = 1,
                                             .shape = {FEATURES}};
}

/* Comes, has so many updates acknowledged, leaves: a process that is started and ends. */
static void take_part(const struct rig *rig, struct device *device, uint32_t updates)
{
    const struct covey_client_options options = {.config = &device->config,
                                                 .env = covey_env_system(NULL),
                                                 .device_name = device->name,
                                                 .trust = &rig->trust,
                                                 .dataset = &device->dataset,
                                                 .open_link = open_link,
                                                 .link_user = device,
                                                 .train_in_step = true,
                                                 .stop_after = updates};
    struct covey_client *client = NULL;
    struct covey_error err = {0};
    const time_t until = time(NULL) + WAIT_S;
    link_watch_clear(&device->watch);
    cr_assert_eq(covey_client_create(&options, &client, &err), COVEY_OK, "%s", err.text);
    while (!covey_client_finished(client)) {
        covey_client_step(client, 50);
        cr_assert_lt(time(NULL), until, "%s did not finish", device->name);
    }
    covey_client_destroy(client);
}

/* ------------------------------------------------------------------ the server */

static void on_round(void *user, const struct covey_round_report *report)
{
    struct rig *rig = user;
    pthread_mutex_lock(&rig->mutex);
    if (report->sequence < sizeof rig->models / sizeof rig->models[0])
        rig->models[report->sequence] = report->model;
    pthread_mutex_unlock(&rig->mutex);
}

static void *run_server(void *user)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_run(user, &err), COVEY_OK, "%s", err.text);
    return NULL;
}

static void make_model(struct rig *rig)
{
    struct covey_error err = {0};
    rig->model = calloc(1, sizeof *rig->model);
    rig->description = malloc(COVEY_DESCRIPTION_BYTES);
    cr_assert_eq(covey_model_load_text("little", model_text, strlen(model_text), rig->model, &err), COVEY_OK,
                 "%s", err.text);
    cr_assert_eq(covey_model_layout(rig->model, &rig->layout, &err), COVEY_OK, "%s", err.text);
    rig->initial = malloc(rig->layout.count * sizeof *rig->initial);
    cr_assert_eq(covey_model_initialise(rig->model, &rig->layout, 3, rig->initial, &err), COVEY_OK);
    cr_assert_eq(covey_description_encode(rig->model, rig->description, COVEY_DESCRIPTION_BYTES,
                                          &rig->description_bytes, &err),
                 COVEY_OK, "%s", err.text);
}

static void start_server(struct rig *rig)
{
    char state[96];
    struct covey_error err = {0};
    (void)snprintf(state, sizeof state, "%s/state", rig->folder);
    rig->federation = (struct covey_federation_options){
        .name = "little",
        .description = {rig->description, rig->description_bytes},
        .layout = &rig->layout,
        .initial = rig->initial,
        /* the decay makes a hundred rounds' sum larger than what is left of the model */
        .recipe = {.epochs = 1, .batch = 10, .learning_rate = .05f, .weight_decay = .3f, .seed = 11},
        .codec = "int8",
        .downlink = "ec:1",
        .strategy = "fedavg",
        .rules = {.minimum_devices = 1,
                  .fraction = 1,
                  .deadline_ms = WAIT_S * 1000,
                  .pause_ms = PAUSE_MS,
                  .stop_rounds = ROUNDS,
                  .minimum_updates = 1},
        .retry_ms = 200};
    const struct covey_server_options options = {.folder = state,
                                                 .env = covey_env_system(NULL),
                                                 .signer = rig->signer,
                                                 .federations = &rig->federation,
                                                 .federation_count = 1,
                                                 .fold_threads = 1,
                                                 .events_user = rig,
                                                 .on_round = on_round};
    cr_assert_eq(covey_server_create(&options, &rig->server, &err), COVEY_OK, "%s", err.text);
    const struct covey_inprocess_host_config host = {
        .name = "server", .port = 5684, .service = covey_server_service(rig->server)};
    cr_assert_eq(covey_inprocess_host_create(rig->network, &host, &rig->host, &err), COVEY_OK, "%s",
                 err.text);
    covey_server_attach(rig->server, &rig->host, 5684);
    cr_assert_eq(pthread_create(&rig->loop, NULL, run_server, rig->server), 0);
}

static void view_of(const struct rig *rig, struct covey_federation_view *out)
{
    covey_server_federation_view(rig->server, 0, out);
}

/* Until the model is at least that one, and no round is being opened or closed. */
static void await_model(const struct rig *rig, uint64_t sequence, struct covey_federation_view *view)
{
    const struct timespec pause = {0, 5000000};
    const time_t until = time(NULL) + WAIT_S;
    for (view_of(rig, view); view->sequence < sequence || (view->round.phase != COVEY_PHASE_GATHER &&
                                                           view->round.phase != COVEY_PHASE_UPDATE);
         view_of(rig, view)) {
        cr_assert_lt(time(NULL), until, "model %d does not come", (int)sequence);
        (void)nanosleep(&pause, NULL);
    }
}

/* Somebody else plays until the model is at least that one. Where it left so late that the next round had
 * chosen it already, it comes back for that: one more. */
static void play_until(struct rig *rig, uint64_t sequence)
{
    struct covey_federation_view view;
    view_of(rig, &view);
    if (view.sequence < sequence)
        take_part(rig, &rig->steady, (uint32_t)(sequence - view.sequence));
    await_model(rig, sequence, &view);
    while (view.round.phase == COVEY_PHASE_UPDATE) {
        take_part(rig, &rig->steady, 1);
        await_model(rig, view.sequence + 1, &view);
    }
}

static void set_up(struct rig *rig)
{
    struct covey_error err = {0};
    struct covey_public_key public_key;
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
    covey_linalg_start();
    pthread_mutex_init(&rig->mutex, NULL);
    memcpy(rig->folder, FOLDER, sizeof FOLDER);
    cr_assert_not_null(mkdtemp(rig->folder));
    make_model(rig);
    cr_assert_eq(covey_key_generate(&rig->signer, &err), COVEY_OK);
    cr_assert_eq(covey_key_public(rig->signer, &public_key, &err), COVEY_OK);
    cr_assert_eq(covey_trust_add(&rig->trust, &public_key, &err), COVEY_OK);
    const struct covey_inprocess_network_config network = {.mode = COVEY_INPROCESS_THREADED,
                                                           .env = covey_env_system(NULL)};
    cr_assert_eq(covey_inprocess_network_create(&network, &rig->network), COVEY_OK);
    start_server(rig);
    make_device(rig, &rig->steady, "steady", 1);
    make_device(rig, &rig->sleeper, "sleeper", 2);
}

static void tear_down(struct rig *rig)
{
    char command[128];
    covey_server_stop(rig->server);
    pthread_join(rig->loop, NULL);
    rig->host.ops->destroy(rig->host.host);
    covey_server_destroy(rig->server);
    covey_inprocess_network_destroy(rig->network);
    covey_client_config_free(&rig->steady.config);
    covey_client_config_free(&rig->sleeper.config);
    link_watch_clear(&rig->steady.watch);
    link_watch_clear(&rig->sleeper.watch);
    covey_key_destroy(rig->signer);
    covey_layout_deinit(&rig->layout);
    free(rig->initial);
    free(rig->description);
    free(rig->model);
    pthread_mutex_destroy(&rig->mutex);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", rig->folder);
    cr_assert_eq(system(command), 0);
    free(rig);
}

/* ------------------------------------------------------------------ what each way takes */

/* By the steps on the server's disk: all of them one by one, and their sum. */
static void measure_steps(const struct rig *rig, uint64_t from, uint64_t to, uint64_t bytes[WAY_COUNT])
{
    char folder[128];
    struct covey_error err = {0};
    struct covey_line line = {.update_count = rig->layout.update_count,
                              .shared_count = rig->layout.shared_count};
    float *sum = calloc(line.update_count, sizeof *sum);
    uint8_t *stream = NULL;
    size_t size = 0;
    (void)snprintf(folder, sizeof folder, "%s/state/little", rig->folder);
    cr_assert_eq(covey_codec_parse_downlink(rig->federation.downlink, &line.codec, &err), COVEY_OK);
    bytes[WAY_STEPS] = 0;
    for (uint64_t sequence = from + 1; sequence <= to; sequence++) {
        struct covey_stored_step step;
        cr_assert_eq(covey_step_store_load(folder, sequence, &step, &stream, &err), COVEY_OK, "%s", err.text);
        cr_assert_eq(
            covey_line_add(&line, (struct covey_bytes){stream, (size_t)step.bytes}, step.grid, sum, &err),
            COVEY_OK, "%s", err.text);
        bytes[WAY_STEPS] += step.bytes;
        free(stream);
    }
    cr_assert_eq(covey_line_encode_sum(&line, sum, &stream, &size, &err), COVEY_OK, "%s", err.text);
    bytes[WAY_SUM] = size;
    free(stream);
    free(sum);
}

static void read_manifest(const struct link_fetch *fetch, struct covey_manifest *out)
{
    struct covey_cose_sign1 message;
    struct covey_error err = {0};
    cr_assert_eq(fetch->code, COVEY_CODE_CONTENT);
    cr_assert_eq(covey_cose_decode((struct covey_bytes){fetch->body, fetch->bytes}, &message, &err), COVEY_OK,
                 "%s", err.text);
    cr_assert_eq(covey_manifest_decode(message.payload, out, &err), COVEY_OK, "%s", err.text);
}

static struct covey_client_state *look_into(const struct device *device)
{
    char folder[128];
    struct covey_client_state *state = NULL;
    struct covey_error err = {0};
    (void)snprintf(folder, sizeof folder, "%s/state", device->folder);
    cr_assert_eq(covey_client_state_look(folder, "little", NULL, &state, &err), COVEY_OK, "%s", err.text);
    cr_assert_not_null(covey_client_state_model(state));
    return state;
}

static uint64_t sequence_of(const struct device *device)
{
    struct covey_client_state *state = look_into(device);
    const uint64_t sequence = covey_client_state_model(state)->sequence;
    covey_client_state_close(state);
    return sequence;
}

/* What lies on the sleeper's disk: the model of that sequence, with the bits that the server reported. */
static void expect_model(struct rig *rig, uint64_t sequence)
{
    struct covey_client_state *state = look_into(&rig->sleeper);
    const struct covey_state_model *facts = covey_client_state_model(state);
    struct covey_error err = {0};
    struct covey_hash hash;
    cr_assert_eq(facts->sequence, sequence);
    uint8_t *description = malloc((size_t)facts->description_bytes);
    float *values = malloc((size_t)facts->count * sizeof *values);
    cr_assert_eq(covey_client_state_load_model(state, description, values, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_hash_floats(values, rig->layout.shared_count, &hash), COVEY_OK);
    pthread_mutex_lock(&rig->mutex);
    cr_expect(covey_hash_equal(&hash, &rig->models[sequence]), "model %d is not the server's", (int)sequence);
    pthread_mutex_unlock(&rig->mutex);
    free(values);
    free(description);
    covey_client_state_close(state);
}

/* ------------------------------------------------------------------ catching up */

/* Away for so many rounds; the way back. */
static enum way come_back_after(struct rig *rig, uint32_t missed)
{
    uint64_t bytes[WAY_COUNT];
    struct covey_manifest manifest;
    struct covey_federation_view view;
    const uint64_t had = sequence_of(&rig->sleeper), made = had + 1; /* by its own update */
    await_model(rig, made, &view);
    play_until(rig, made + missed);
    take_part(rig, &rig->sleeper, 1);
    cr_assert_gt(rig->sleeper.watch.count, 1);
    const struct link_values values = link_watch_values(&rig->sleeper.watch);
    read_manifest(&rig->sleeper.watch.fetches[0], &manifest);
    const enum way way = values.fulls > 0 ? WAY_FULL : values.sums > 0 ? WAY_SUM : WAY_STEPS;
    const uint64_t taken = values.bytes;
    measure_steps(rig, had, manifest.sequence, bytes);
    bytes[WAY_FULL] = manifest.full_bytes;
    cr_log_info("%d behind: steps %d, sum %d, full %d: %s, %d bytes", (int)(manifest.sequence - had),
                (int)bytes[WAY_STEPS], (int)bytes[WAY_SUM], (int)bytes[WAY_FULL], way_names[way], (int)taken);
    cr_expect_geq(manifest.sequence, made + missed);
    for (int other = 0; other < WAY_COUNT; other++)
        cr_expect_leq(taken, bytes[other], "%u missed: %d bytes by %s, %d by %s", missed, (int)taken,
                      way_names[way], (int)bytes[other], way_names[other]);
    cr_expect_eq(taken, bytes[way], "%u missed: %d bytes, the %s have %d", missed, (int)taken, way_names[way],
                 (int)bytes[way]);
    expect_model(rig, manifest.sequence);
    return way;
}

Test(catch_up, by_the_cheapest_way_after_1_10_and_100_missed_rounds, .timeout = 900)
{
    struct rig *rig = calloc(1, sizeof *rig);
    set_up(rig);
    take_part(rig, &rig->sleeper, 1);
    cr_expect_eq(come_back_after(rig, 0), WAY_STEPS);
    (void)come_back_after(rig, 1); /* two steps or their sum: a few bytes decide */
    cr_expect_eq(come_back_after(rig, 10), WAY_SUM);
    cr_expect_eq(come_back_after(rig, 100), WAY_FULL);
    tear_down(rig);
}
