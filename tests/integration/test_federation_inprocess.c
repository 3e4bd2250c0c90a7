/* A whole federation in one process: the real server, real clients, real training, over both transports. The
 * last model is the same, bit for bit, whatever the transport, the number of fold threads and the order in
 * which updates arrive. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "covey/authority.h"
#include "covey/client.h"
#include "covey/coap.h"
#include "covey/credential_store.h"
#include "covey/hash.h"
#include "covey/inprocess.h"
#include "covey/linalg.h"
#include "covey/model.h"
#include "covey/server.h"

#include "clouds.h"
#include "play_device.h"

#define DEVICES 4
#define ROUNDS 3
#define BUFFERS 8
#define WAIT_S 240 /* and a round's deadline: nobody is left out because the machine is slow */

enum wire { WIRE_INPROCESS, WIRE_COAP };

/* ------------------------------------------------------------------ devices */

struct device {
    char name[32];
    char folder[96];
    struct clouds clouds;
    struct covey_client_config config;
    struct covey_credential_store *credentials; /* CoAP */
    struct covey_inprocess_network *network;    /* in-process */
    const struct covey_trust *trust;
    uint32_t lag_ms; /* before each step: shuffles the arrivals */
    pthread_t thread;
};

static enum covey_status open_link(void *user, const struct covey_link_events *events,
                                   struct covey_link_handle *out, struct covey_error *err)
{
    struct device *device = user;
    if (device->network != NULL)
        return covey_inprocess_link_create(device->network, device->name, events, out, err);
    const struct covey_coap_link_config config = {.credentials =
                                                      covey_credential_store_view(device->credentials),
                                                  .env = covey_env_system(NULL),
                                                  .events = *events};
    return covey_coap_link_create(&config, out, err);
}

static void *run_device(void *user)
{
    struct device *device = user;
    const struct covey_client_options options = {.config = &device->config,
                                                 .env = covey_env_system(NULL),
                                                 .device_name = device->name,
                                                 .trust = device->trust,
                                                 .dataset = &device->clouds.dataset,
                                                 .open_link = open_link,
                                                 .link_user = device};
    play_device(&options, WAIT_S, device->lag_ms);
    return NULL;
}

/* ------------------------------------------------------------------ one federation */

struct rig {
    char folder[64];
    struct covey_model_description *model;
    struct covey_layout layout;
    uint8_t *description;
    size_t description_bytes;
    float *initial;
    struct covey_key *signer;                   /* in-process */
    struct covey_credential_store *credentials; /* CoAP */
    struct covey_trust trust;
    struct covey_inprocess_network *network;
    struct covey_server *server;
    struct covey_host_handle host;
    char address[64];
    pthread_t loop;
    struct device devices[DEVICES];
};

static void make_model(struct rig *rig)
{
    struct covey_error err = {0};
    rig->model = calloc(1, sizeof *rig->model);
    rig->description = malloc(COVEY_DESCRIPTION_BYTES);
    cr_assert_eq(covey_model_load_text("little", cloud_model, strlen(cloud_model), rig->model, &err),
                 COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_model_layout(rig->model, &rig->layout, &err), COVEY_OK, "%s", err.text);
    rig->initial = malloc(rig->layout.count * sizeof *rig->initial);
    cr_assert_eq(covey_model_initialise(rig->model, &rig->layout, 3, rig->initial, &err), COVEY_OK);
    cr_assert_eq(covey_description_encode(rig->model, rig->description, COVEY_DESCRIPTION_BYTES,
                                          &rig->description_bytes, &err),
                 COVEY_OK, "%s", err.text);
}

static void make_trust(struct rig *rig, enum wire wire)
{
    struct covey_error err = {0};
    if (wire == WIRE_COAP) {
        const char *const names[] = {"localhost"};
        const struct covey_authority_options authority = {
            .server_names = names, .server_name_count = 1, .now_s = time(NULL)};
        cr_assert_eq(covey_authority_create(rig->folder, &authority, &err), COVEY_OK, "%s", err.text);
        cr_assert_eq(covey_credentials_load_server(rig->folder, NULL, &rig->credentials, &err), COVEY_OK,
                     "%s", err.text);
        return;
    }
    struct covey_public_key public_key;
    cr_assert_eq(covey_key_generate(&rig->signer, &err), COVEY_OK);
    cr_assert_eq(covey_key_public(rig->signer, &public_key, &err), COVEY_OK);
    cr_assert_eq(covey_trust_add(&rig->trust, &public_key, &err), COVEY_OK);
}

static void *run_server(void *user)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_run(user, &err), COVEY_OK, "%s", err.text);
    return NULL;
}

static void make_server(struct rig *rig, enum wire wire, uint32_t fold_threads, bool asynchronous)
{
    const uint32_t rounds = asynchronous ? BUFFERS : ROUNDS;
    char state[96];
    struct covey_error err = {0};
    (void)snprintf(state, sizeof state, "%s/state", rig->folder);
    const struct covey_federation_options federation = {
        .name = "little",
        .description = {rig->description, rig->description_bytes},
        .layout = &rig->layout,
        .initial = rig->initial,
        .recipe = {.epochs = 2,
                   .batch = 10,
                   .optimiser = COVEY_OPTIMISER_MOMENTUM,
                   .learning_rate = 0.05f,
                   .momentum = 0.9f,
                   .seed = 11},
        .codec = "int4",
        .downlink = "fp16",
        .strategy = "fedavg",
        .rules = {.minimum_devices = DEVICES,
                  .fraction = 1,
                  .deadline_ms = WAIT_S * 1000,
                  .stop_rounds = rounds,
                  .mode = asynchronous ? COVEY_ROUND_ASYNCHRONOUS : COVEY_ROUND_SYNCHRONOUS,
                  .buffer = asynchronous ? 2 : 0,
                  .concurrency = asynchronous ? 3 : 0,
                  .staleness_max = asynchronous ? 10 : 0,
                  .minimum_updates = asynchronous ? 0 : DEVICES},
        .retry_ms = 500};
    const struct covey_server_options options = {
        .folder = state,
        .env = covey_env_system(NULL),
        .signer = wire == WIRE_COAP ? covey_credential_store_signer(rig->credentials) : rig->signer,
        .federations = &federation,
        .federation_count = 1,
        .fold_threads = fold_threads,
        .end_when_done = true};
    cr_assert_eq(covey_server_create(&options, &rig->server, &err), COVEY_OK, "%s", err.text);
    if (wire == WIRE_COAP) {
        const struct covey_coap_host_config host = {.address = "127.0.0.1",
                                                    .credentials =
                                                        covey_credential_store_view(rig->credentials),
                                                    .env = covey_env_system(NULL),
                                                    .service = covey_server_service(rig->server)};
        cr_assert_eq(covey_coap_host_create(&host, &rig->host, &err), COVEY_OK, "%s", err.text);
        const uint16_t port = covey_coap_host_port(rig->host.host, 0);
        covey_server_attach(rig->server, &rig->host, port);
        (void)snprintf(rig->address, sizeof rig->address, "127.0.0.1:%u", port);
    } else {
        const struct covey_inprocess_network_config network = {.mode = COVEY_INPROCESS_THREADED,
                                                               .env = covey_env_system(NULL)};
        cr_assert_eq(covey_inprocess_network_create(&network, &rig->network), COVEY_OK);
        const struct covey_inprocess_host_config host = {
            .name = "server", .port = 5684, .service = covey_server_service(rig->server)};
        cr_assert_eq(covey_inprocess_host_create(rig->network, &host, &rig->host, &err), COVEY_OK, "%s",
                     err.text);
        covey_server_attach(rig->server, &rig->host, 5684);
        (void)snprintf(rig->address, sizeof rig->address, "server:5684");
    }
    cr_assert_eq(pthread_create(&rig->loop, NULL, run_server, rig->server), 0);
}

static void start_device(struct rig *rig, enum wire wire, uint32_t i, uint64_t seed)
{
    struct device *device = &rig->devices[i];
    struct covey_error err = {0};
    char text[512];
    struct covey_random random;
    (void)snprintf(device->name, sizeof device->name, "device-%u", i);
    (void)snprintf(device->folder, sizeof device->folder, "%s/device-%u", rig->folder, i);
    device->trust = &rig->trust;
    device->network = rig->network;
    if (wire == WIRE_COAP) {
        const struct covey_device_order order = {.name = device->name,
                                                 .out_dir = device->folder,
                                                 .mode = COVEY_DEVICE_CERTIFICATE,
                                                 .now_s = time(NULL)};
        cr_assert_eq(covey_authority_add_device(rig->folder, &order, &err), COVEY_OK, "%s", err.text);
        cr_assert_eq(
            covey_credentials_load_device(device->folder, "localhost", NULL, &device->credentials, &err),
            COVEY_OK, "%s", err.text);
        device->trust = covey_credential_store_trust(device->credentials);
    } else {
        (void)snprintf(text, sizeof text, "mkdir -p '%s'", device->folder);
        cr_assert_eq(system(text), 0);
    }
    (void)snprintf(text, sizeof text,
                   "server: \"%s\"\nserver_name: localhost\nfederation: little\nexit_when_done: true\n"
                   "keep_last: true\nreconnect_ms: 100\n",
                   rig->address);
    cr_assert_eq(covey_client_config_load_text(device->folder, text, &device->config, &err), COVEY_OK, "%s",
                 err.text);
    clouds_make(&device->clouds, i, CLOUD_EXAMPLES);
    covey_random_init(&random, seed, i, 0, COVEY_PURPOSE_TEST);
    device->lag_ms = seed == 0 ? 0 : covey_random_below(&random, 40);
    cr_assert_eq(pthread_create(&device->thread, NULL, run_device, device), 0);
}

/* Plays it to the end; the hash of the last model. */
static struct covey_hash play(enum wire wire, uint32_t fold_threads, uint64_t seed, bool asynchronous)
{
    struct rig *rig = calloc(1, sizeof *rig);
    struct covey_error err = {0};
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
    covey_linalg_start();
    (void)snprintf(rig->folder, sizeof rig->folder, "/tmp/covey-federation-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->folder));
    make_model(rig);
    make_trust(rig, wire);
    make_server(rig, wire, fold_threads, asynchronous);
    for (uint32_t i = 0; i < DEVICES; i++)
        start_device(rig, wire, i, seed);
    for (uint32_t i = 0; i < DEVICES; i++)
        pthread_join(rig->devices[i].thread, NULL);
    pthread_join(rig->loop, NULL);
    struct covey_federation_view view;
    covey_server_federation_view(rig->server, 0, &view);
    cr_expect_eq(view.round.completed, asynchronous ? BUFFERS : ROUNDS);
    cr_expect_eq(view.round.abandoned, 0);

    rig->host.ops->destroy(rig->host.host);
    covey_server_destroy(rig->server);
    covey_inprocess_network_destroy(rig->network);
    for (uint32_t i = 0; i < DEVICES; i++) {
        covey_client_config_free(&rig->devices[i].config);
        covey_credential_store_destroy(rig->devices[i].credentials);
    }
    covey_credential_store_destroy(rig->credentials);
    covey_key_destroy(rig->signer);
    covey_layout_deinit(&rig->layout);
    free(rig->initial);
    free(rig->description);
    free(rig->model);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", rig->folder);
    cr_assert_eq(system(command), 0);
    free(rig);
    return view.model;
}

Test(federation, ends_with_the_same_model_over_both_transports_with_any_threads_in_any_order, .timeout = 900)
{
    static const struct {
        enum wire wire;
        uint32_t fold_threads;
        uint64_t seed;
    } runs[] = {{WIRE_INPROCESS, 1, 0}, {WIRE_INPROCESS, 2, 1}, {WIRE_INPROCESS, 8, 2},
                {WIRE_COAP, 1, 3},      {WIRE_COAP, 2, 0},      {WIRE_COAP, 8, 4}};
    struct covey_hash first = {{0}};
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const struct covey_hash hash = play(runs[i].wire, runs[i].fold_threads, runs[i].seed, false);
        if (i == 0)
            first = hash;
        cr_expect(covey_hash_equal(&first, &hash), "run %zu (%s, %u threads) ends elsewhere", i,
                  runs[i].wire == WIRE_COAP ? "CoAP" : "in-process", runs[i].fold_threads);
    }
}

/* Who is slower is drawn: what becomes of it depends on who comes when, so what must hold is that every
 * buffer becomes a model and every device hears of the end. */
Test(federation, goes_on_asynchronously_over_both_transports, .timeout = 900)
{
    (void)play(WIRE_INPROCESS, 2, 1, true);
    (void)play(WIRE_COAP, 2, 2, true);
}
