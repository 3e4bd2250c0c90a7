/* The simulation and the real thing end with the same model, bit for bit: ten devices, all required, the real
 * server and the real clients over the in-process transport on one side, the same scenario in virtual time on
 * the other. */
#include <criterion/criterion.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../unit/sim/little_fleet.h"
#include "covey/client.h"
#include "covey/hash.h"
#include "covey/inprocess.h"
#include "covey/linalg.h"
#include "covey/root_update.h"
#include "covey/server.h"
#include "virtual_fleet.h"
#include "play_device.h"

#define WAIT_S 60
#define JUDGED_ROUND 3 /* of four, so that all reports are there at the end */

struct real_device {
    struct covey_inprocess_network *network;
    const struct covey_trust *trust;
    char name[COVEY_FLEET_NAME_BYTES];
    char folder[160];
    struct covey_client_config config;
    struct covey_dataset dataset, judged_on;
    uint32_t *share, *held;
    pthread_t thread;
};

static enum covey_status open_link(void *user, const struct covey_link_events *events,
                                   struct covey_link_handle *out, struct covey_error *err)
{
    struct real_device *device = user;
    return covey_inprocess_link_create(device->network, device->name, events, out, err);
}

static void *run_device(void *user)
{
    struct real_device *device = user;
    const struct covey_client_options options = {.config = &device->config,
                                                 .env = covey_env_system(NULL),
                                                 .device_name = device->name,
                                                 .trust = device->trust,
                                                 .dataset = &device->dataset,
                                                 .held_out = &device->judged_on,
                                                 .open_link = open_link,
                                                 .link_user = device};
    play_device(&options, WAIT_S, 0);
    return NULL;
}

static void *run_server(void *user)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_run(user, &err), COVEY_OK, "%s", err.text);
    return NULL;
}

static void start_device(struct real_device *device, uint32_t number, const struct covey_virtual_fleet *fleet,
                         const struct covey_scenario *scenario, const char *folder)
{
    struct covey_error err = {0};
    char text[512];
    covey_virtual_fleet_name(number, device->name);
    (void)snprintf(device->folder, sizeof device->folder, "%s/%s", folder, device->name);
    (void)snprintf(text, sizeof text, "mkdir -p '%s'", device->folder);
    cr_assert_eq(system(text), 0);
    static const char *const feedback[] = {"on", "off", "auto"};
    (void)snprintf(
        text, sizeof text,
        "server: \"server:5684\"\nserver_name: localhost\nfederation: little\nexit_when_done: true\n"
        "reconnect_ms: 100\nerror_feedback: %s\nfeedback_rounds: %lld\nclip_norm: %g\n",
        feedback[scenario->feedback], (long long)scenario->feedback_rounds, scenario->clip_norm);
    cr_assert_eq(covey_client_config_load_text(device->folder, text, &device->config, &err), COVEY_OK, "%s",
                 err.text);
    device->share = calloc(covey_partition_most(fleet->partition), sizeof *device->share);
    device->held = calloc(covey_partition_most(fleet->partition), sizeof *device->held);
    covey_virtual_fleet_share(fleet, number, false, device->share, &device->dataset);
    covey_virtual_fleet_judged(fleet, number, device->held, &device->judged_on);
    cr_assert_eq(pthread_create(&device->thread, NULL, run_device, device), 0);
}

/* The scenario with the real server and clients: the hash of the last model. */
static struct covey_hash play_real(const struct little_fleet *little, const char *const *settings,
                                   uint32_t count, struct covey_device_summary *judged)
{
    struct covey_scenario scenario;
    struct covey_virtual_fleet fleet;
    struct covey_error err = {0};
    struct covey_key *signer = NULL;
    struct covey_public_key public_key;
    struct covey_trust trust = {0};
    struct covey_inprocess_network *network = NULL;
    struct covey_host_handle host;
    struct covey_server *server = NULL;
    struct covey_federation_view view;
    static uint8_t description[COVEY_DESCRIPTION_BYTES];
    static struct real_device devices[LITTLE_DEVICES];
    size_t description_bytes = 0;
    char state[256];
    pthread_t loop;
    memset(devices, 0, sizeof devices);
    cr_assert_eq(covey_scenario_load(little->file, settings, count, &scenario, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_virtual_fleet_init(&fleet, &scenario, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(fleet.devices, LITTLE_DEVICES);
    cr_assert_eq(covey_key_generate(&signer, &err), COVEY_OK);
    cr_assert_eq(covey_key_public(signer, &public_key, &err), COVEY_OK);
    cr_assert_eq(covey_trust_add(&trust, &public_key, &err), COVEY_OK);
    cr_assert_eq(
        covey_description_encode(fleet.model, description, sizeof description, &description_bytes, &err),
        COVEY_OK);
    struct covey_root_update *root = NULL;
    if (fleet.data.root.count > 0)
        cr_assert_eq(covey_root_update_create(fleet.model, &fleet.layout, fleet.initial, &fleet.data.root,
                                              &scenario.train, &root, &err),
                     COVEY_OK, "%s", err.text);
    struct covey_federation_options federation = {
        .name = "little",
        .description = {description, description_bytes},
        .layout = &fleet.layout,
        .initial = fleet.initial,
        .recipe = scenario.train,
        .root_update = root == NULL ? NULL : covey_root_update_make,
        .root_user = root,
        .population = scenario.population > 0 ? (uint32_t)scenario.population : LITTLE_DEVICES,
        .norm_limit = scenario.norm_limit,
        .weight_cap = scenario.weight_cap,
        .rules = scenario.rules,
        .devices_every = JUDGED_ROUND,
        .devices_share = 1,
        .retry_ms = 500};
    covey_keys_weighting(&scenario.weighting, &federation.weighting);
    (void)snprintf(federation.codec, sizeof federation.codec, "%s", scenario.codec);
    (void)snprintf(federation.strategy, sizeof federation.strategy, "%s", scenario.strategy);
    cr_assert_eq(covey_keys_server_rule(&scenario.server_optimiser, scenario.server_rate,
                                        &federation.server_rule, &err),
                 COVEY_OK, "%s", err.text);
    (void)snprintf(federation.downlink, sizeof federation.downlink, "%s", scenario.downlink);
    (void)snprintf(state, sizeof state, "%s/state", little->folder);
    const struct covey_server_options options = {.folder = state,
                                                 .env = covey_env_system(NULL),
                                                 .signer = signer,
                                                 .federations = &federation,
                                                 .federation_count = 1,
                                                 .end_when_done = true};
    cr_assert_eq(covey_server_create(&options, &server, &err), COVEY_OK, "%s", err.text);
    const struct covey_inprocess_network_config wires = {.mode = COVEY_INPROCESS_THREADED,
                                                         .env = covey_env_system(NULL)};
    cr_assert_eq(covey_inprocess_network_create(&wires, &network), COVEY_OK);
    const struct covey_inprocess_host_config at = {
        .name = "server", .port = 5684, .service = covey_server_service(server)};
    cr_assert_eq(covey_inprocess_host_create(network, &at, &host, &err), COVEY_OK, "%s", err.text);
    covey_server_attach(server, &host, 5684);
    cr_assert_eq(pthread_create(&loop, NULL, run_server, server), 0);
    for (uint32_t i = 0; i < LITTLE_DEVICES; i++) {
        devices[i].network = network;
        devices[i].trust = &trust;
        start_device(&devices[i], i, &fleet, &scenario, little->folder);
    }
    for (uint32_t i = 0; i < LITTLE_DEVICES; i++)
        pthread_join(devices[i].thread, NULL);
    pthread_join(loop, NULL);
    covey_server_federation_view(server, 0, &view);
    cr_expect_eq(view.round.completed, scenario.rules.stop_rounds);
    host.ops->destroy(host.host);
    covey_server_destroy(server);
    covey_inprocess_network_destroy(network);
    for (uint32_t i = 0; i < LITTLE_DEVICES; i++) {
        covey_client_config_free(&devices[i].config);
        free(devices[i].share);
        free(devices[i].held);
    }
    covey_key_destroy(signer);
    covey_root_update_destroy(root);
    covey_virtual_fleet_deinit(&fleet);
    covey_scenario_free(&scenario);
    (void)snprintf(state, sizeof state, "rm -rf '%s/state' %s/device-*", little->folder, little->folder);
    cr_assert_eq(system(state), 0);
    *judged = view.devices;
    return view.model;
}

static const char lines[] =
    "partition: {kind: dirichlet, devices: 10, alpha: .5}\n"
    "train: {epochs: 2, batch: 10, learning_rate: .05, optimiser: momentum, momentum: .9}\n"
    "selection: {minimum_devices: 10, fraction: 1}\n"
    "round: {minimum_updates: 10, deadline_s: 600}\n"
    "stop: {rounds: 4}\n"
    "devices_judged: 10\n"
    "devices_judged_every: 1\n"
    "links: [{class: wifi}]\n";

Test(virtual_federation, ends_with_the_model_of_the_real_one, .timeout = 300)
{
    static const char uneven[] = "partition={kind: dirichlet-uneven, devices: 10, alpha: .5}";
    static const char *const ways[][4] = {
        {"codec=int8", "downlink=raw32", "error_feedback=off", "seed=3"},
        {"codec=int8", "downlink=fp16", "error_feedback=on", "seed=4"},
        {"codec=int4", "downlink=int8", "error_feedback=on", "clip_norm=.5"},
        {"codec=raw32", "downlink=raw32", "server_rate=.5", "seed=5"},
        {"codec=ec:1", "downlink=raw32", "error_feedback=auto", "seed=6"},
        {"codec=mask:.2", "downlink=raw32", "error_feedback=auto", "seed=7"},
        {"codec=int8", "downlink=ec:1", "error_feedback=on", "seed=8"},
        {"codec=ec:1", "downlink=auto:1", "error_feedback=on", "seed=9"},
        {"codec=int8", "downlink=tcq:0.5", "error_feedback=on", "model=personal.yaml"},
        {"codec=int8", "downlink=raw32", "model=personal.yaml", "error_feedback=on"},
        {"codec=int8", "train.algorithm=client-momentum", "train.strength=.5", "error_feedback=on"},
        {"codec=int8", "strategy=fltrust", "data.root_data=60", "seed=6"},
        {"codec=int4", "strategy=fltrust", "data.root_data=40", "model=personal.yaml"},
        {"codec=int8", "strategy=centred-clipping hostile=2 mix=bucketing", "error_feedback=off", "seed=7"},
        {"codec=int8", "server_optimiser={kind: adam, rate: .01}", "downlink=fp16", "seed=8"},
        {"codec=int8", "server_optimiser={kind: momentum, rate: .5}", "strategy=median hostile=2", "seed=9"},
        {"codec=int8", "train.algorithm=scaffold", "population=20", "seed=10"},
        {"codec=ec:1", "train.algorithm=scaffold", "error_feedback=on", "server_rate=.5"},
        {"codec=int8", "train.algorithm=feddyn", "train.strength=.1", "downlink=fp16"},
        {"codec=int4", "train.algorithm=ditto", "train.strength=.5", "error_feedback=on"},
        {"codec=int8", "train.algorithm=ditto", "devices_hold_out=.25", "seed=13"},
        {"codec=int8", "model=personal.yaml", "devices_hold_out=.2", "seed=14"},
        {"codec=int8", "weighting.kind=equal", "train.proximal_mu=.1", "seed=11"},
        {"codec=int8", "weighting.kind=steps", uneven, "seed=12"},
        {"codec=int4", "weighting={kind: loss, power: 2}", "error_feedback=on", uneven},
    };
    struct little_fleet fleet;
    struct covey_error err = {0};
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
    covey_linalg_start();
    little_fleet_init(&fleet, lines);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct little_run run = {.options = {.threads = 2}};
        little_fleet_play(&fleet, ways[i], 4, &run);
        struct covey_device_summary judged;
        const struct covey_hash real = play_real(&fleet, ways[i], 4, &judged);
        cr_expect(covey_hash_equal(&run.summary.model, &real), "%s, %s: the simulation ends elsewhere",
                  ways[i][0], ways[i][1]);
        /* the devices of round 3 judge what round 2 made, as all devices of the simulation did after it */
        cr_expect_eq(judged.round, JUDGED_ROUND);
        cr_expect_eq(judged.devices, LITTLE_DEVICES);
        const struct covey_sim_round *row = &run.rows[JUDGED_ROUND - 2];
        cr_expect(fabs(judged.weighted - row->devices_metric) <= 1e-9, "%g, simulated %g", judged.weighted,
                  row->devices_metric);
        cr_expect(fabs(judged.worst_decile - row->worst_decile) <= 1e-9, "%g, simulated %g",
                  judged.worst_decile, row->worst_decile);
    }
    little_fleet_deinit(&fleet);
}
