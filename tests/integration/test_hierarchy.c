/* Two levels in one process: real servers, real clients, real training, over the in-process transport. Six
 * devices make the same models after every round, directly on one server, behind two gateways, some here and
 * some there, and with a gateway that is stopped and started again. A gateway that is gone loses its group
 * alone. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "link_watch.h"

#include "covey/client.h"
#include "covey/hash.h"
#include "covey/inprocess.h"
#include "covey/linalg.h"
#include "covey/model.h"
#include "covey/server.h"

#include "clouds.h"
#include "play_device.h"

#define DEVICES 6
#define SERVERS 3 /* the top, and two gateways */
#define ROUNDS 4
#define WAIT_S 240 /* and a round's deadline: nobody is left out because the machine is slow */

/* ------------------------------------------------------------------ devices */

struct device {
    char name[32], folder[128];
    struct clouds clouds;
    struct covey_client_config config;
    struct covey_inprocess_network *network;
    const struct covey_trust *trust;
    struct link_watch watch;
    pthread_t thread;
};

static enum covey_status open_device_link(void *user, const struct covey_link_events *events,
                                          struct covey_link_handle *out, struct covey_error *err)
{
    struct device *device = user;
    struct covey_link_handle inner;
    COVEY_TRY(covey_inprocess_link_create(device->network, device->name, events, &inner, err));
    *out = link_watch_open(&device->watch, inner);
    return COVEY_OK;
}

static void *run_device(void *user)
{
    struct device *device = user;
    const struct covey_client_options options = {.config = &device->config,
                                                 .env = covey_env_system(NULL),
                                                 .device_name = device->name,
                                                 .trust = device->trust,
                                                 .dataset = &device->clouds.dataset,
                                                 .open_link = open_device_link,
                                                 .link_user = device};
    play_device(&options, WAIT_S, 0);
    return NULL;
}

/* ------------------------------------------------------------------ servers */

struct house {
    struct rig *rig;
    char name[16], address[32], folder[96];
    struct covey_parent parent;
    struct link_watch watch; /* of the link to the parent */
    struct covey_federation_options federation;
    struct covey_server *server;
    struct covey_host_handle host;
    pthread_t loop;
    bool running;
    bool stays; /* after the last round, until it is stopped */
};

struct rig {
    char folder[64];
    struct covey_model_description *model;
    struct covey_layout layout;
    uint8_t *description;
    size_t description_bytes;
    float *initial;
    struct covey_key *signer, *idle_signer; /* gateways have one too, and nothing is signed with it */
    struct covey_trust trust;
    struct covey_inprocess_network *network;
    struct covey_gateway gateways[SERVERS - 1];
    struct house houses[SERVERS];
    struct device devices[DEVICES];
    pthread_mutex_t mutex;
    uint32_t rounds; /* of the top */
    struct covey_hash models[ROUNDS + 1];
};

static void on_round(void *user, const struct covey_round_report *report)
{
    struct rig *rig = user;
    pthread_mutex_lock(&rig->mutex);
    if (!report->abandoned && report->round <= ROUNDS) {
        rig->models[report->round] = report->model;
        rig->rounds = report->round;
    }
    pthread_mutex_unlock(&rig->mutex);
}

static void await_round(struct rig *rig, uint32_t round)
{
    const time_t until = time(NULL) + WAIT_S;
    uint32_t there = 0;
    while (there < round) {
        sleep_ms(10);
        pthread_mutex_lock(&rig->mutex);
        there = rig->rounds;
        pthread_mutex_unlock(&rig->mutex);
        cr_assert_lt(time(NULL), until, "round %u does not come", round);
    }
}

static void *run_server(void *user)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_run(user, &err), COVEY_OK, "%s", err.text);
    return NULL;
}

static enum covey_status open_gateway_link(void *user, const struct covey_link_events *events,
                                           struct covey_link_handle *out, struct covey_error *err)
{
    struct house *house = user;
    struct covey_link_handle inner;
    COVEY_TRY(covey_inprocess_link_create(house->rig->network, house->name, events, &inner, err));
    *out = link_watch_open(&house->watch, inner);
    return COVEY_OK;
}

static void start_house(struct house *house, bool is_top)
{
    struct rig *rig = house->rig;
    struct covey_error err = {0};
    const struct covey_server_options options = {.folder = house->folder,
                                                 .env = covey_env_system(NULL),
                                                 .signer = is_top ? rig->signer : rig->idle_signer,
                                                 .federations = &house->federation,
                                                 .federation_count = 1,
                                                 .fold_threads = 2,
                                                 .end_when_done = !house->stays,
                                                 .events_user = rig,
                                                 .on_round = is_top ? on_round : NULL};
    cr_assert_eq(covey_server_create(&options, &house->server, &err), COVEY_OK, "%s", err.text);
    const struct covey_inprocess_host_config host = {
        .name = house->name, .port = 5684, .service = covey_server_service(house->server)};
    cr_assert_eq(covey_inprocess_host_create(rig->network, &host, &house->host, &err), COVEY_OK, "%s",
                 err.text);
    covey_server_attach(house->server, &house->host, 5684);
    cr_assert_eq(pthread_create(&house->loop, NULL, run_server, house->server), 0);
    house->running = true;
}

static void stop_house(struct house *house)
{
    if (!house->running)
        return;
    covey_server_stop(house->server);
    pthread_join(house->loop, NULL);
    house->host.ops->destroy(house->host.host);
    covey_server_destroy(house->server);
    house->running = false;
}

/* behind[i]: the house of device i, 0 = the top. */
struct plan_of_houses {
    uint32_t behind[DEVICES];
    const char *downlink;
    uint32_t without_steps; /* that gateway finds none at the top; 0: no one */
    bool restart;           /* a gateway, after the first round */
    bool dies;              /* a gateway, after the first round, for good */
};

static uint32_t devices_of(const struct plan_of_houses *plan, uint32_t house)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < DEVICES; i++)
        count += plan->behind[i] == house;
    return count;
}

static void furnish(struct rig *rig, const struct plan_of_houses *plan)
{
    static const char *const names[SERVERS] = {"top", "gate-1", "gate-2"};
    uint32_t gateways = 0;
    for (uint32_t i = 1; i < SERVERS; i++) {
        const uint32_t count = devices_of(plan, i);
        if (count == 0)
            continue;
        (void)snprintf(rig->gateways[gateways].name, sizeof rig->gateways[gateways].name, "%s", names[i]);
        rig->gateways[gateways++].devices = count;
    }
    for (uint32_t i = 0; i < SERVERS; i++) {
        struct house *house = &rig->houses[i];
        const uint32_t count = devices_of(plan, i) + (i == 0 ? gateways : 0);
        house->rig = rig;
        (void)snprintf(house->name, sizeof house->name, "%s", names[i]);
        (void)snprintf(house->address, sizeof house->address, "%s:5684", names[i]);
        (void)snprintf(house->folder, sizeof house->folder, "%s/%s", rig->folder, names[i]);
        house->federation = (struct covey_federation_options){
            .name = "little",
            .description = {rig->description, rig->description_bytes},
            .layout = &rig->layout,
            .initial = rig->initial,
            .recipe = {.epochs = 2, .batch = 10, .learning_rate = 0.05f, .seed = 11},
            .codec = "int4",
            .strategy = "fedavg",
            .rules = {.minimum_devices = i == 0 && plan->dies ? 1 : count,
                      .fraction = 1,
                      .deadline_ms = WAIT_S * 1000,
                      .stop_rounds = ROUNDS,
                      .minimum_updates = i == 0 && plan->dies ? 1 : count},
            .retry_ms = 500,
            .heartbeat_ms = 2000};
        (void)snprintf(house->federation.downlink, sizeof house->federation.downlink, "%s",
                       i == 0 ? plan->downlink : "raw32"); /* the parent's counts */
        if (i == 0) {
            house->federation.gateways = rig->gateways;
            house->federation.gateway_count = gateways;
            continue;
        }
        house->parent = (struct covey_parent){.address = rig->houses[0].address,
                                              .trust = &rig->trust,
                                              .open_link = open_gateway_link,
                                              .link_user = house,
                                              .reconnect_ms = 50};
        house->federation.parent = &house->parent;
        house->watch.hides_steps = i == plan->without_steps;
        house->federation.recipe.seed = 99; /* the parent's counts */
        house->federation.initial = NULL;
    }
}

static void start_device(struct rig *rig, uint32_t index, const struct house *house)
{
    struct device *device = &rig->devices[index];
    struct covey_error err = {0};
    char text[512];
    (void)snprintf(device->name, sizeof device->name, "device-%u", index);
    (void)snprintf(device->folder, sizeof device->folder, "%s/device-%u", rig->folder, index);
    device->trust = &rig->trust;
    device->network = rig->network;
    (void)snprintf(text, sizeof text, "mkdir -p '%s'", device->folder);
    cr_assert_eq(system(text), 0);
    (void)snprintf(text, sizeof text,
                   "server: \"%s\"\nserver_name: localhost\nfederation: little\nexit_when_done: true\n"
                   "keep_last: true\nreconnect_ms: 50\nreconnect_limit_ms: 500\n",
                   house->address);
    cr_assert_eq(covey_client_config_load_text(device->folder, text, &device->config, &err), COVEY_OK, "%s",
                 err.text);
    clouds_make(&device->clouds, index, CLOUD_EXAMPLES - 7 * index); /* weights unlike */
    cr_assert_eq(pthread_create(&device->thread, NULL, run_device, device), 0);
}

static void make_rig(struct rig *rig)
{
    struct covey_error err = {0};
    struct covey_public_key public_key;
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
    covey_linalg_start();
    pthread_mutex_init(&rig->mutex, NULL);
    (void)snprintf(rig->folder, sizeof rig->folder, "/tmp/covey-hierarchy-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->folder));
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
    cr_assert_eq(covey_key_generate(&rig->signer, &err), COVEY_OK);
    cr_assert_eq(covey_key_generate(&rig->idle_signer, &err), COVEY_OK);
    cr_assert_eq(covey_key_public(rig->signer, &public_key, &err), COVEY_OK);
    cr_assert_eq(covey_trust_add(&rig->trust, &public_key, &err), COVEY_OK);
    const struct covey_inprocess_network_config network = {.mode = COVEY_INPROCESS_THREADED,
                                                           .env = covey_env_system(NULL)};
    cr_assert_eq(covey_inprocess_network_create(&network, &rig->network), COVEY_OK);
}

static void free_rig(struct rig *rig)
{
    char command[128];
    for (uint32_t i = SERVERS; i-- > 0;)
        stop_house(&rig->houses[i]);
    covey_inprocess_network_destroy(rig->network);
    for (uint32_t i = 0; i < DEVICES; i++) {
        covey_client_config_free(&rig->devices[i].config);
        link_watch_clear(&rig->devices[i].watch);
    }
    for (uint32_t i = 0; i < SERVERS; i++)
        link_watch_clear(&rig->houses[i].watch);
    covey_key_destroy(rig->signer);
    covey_key_destroy(rig->idle_signer);
    covey_layout_deinit(&rig->layout);
    free(rig->initial);
    free(rig->description);
    free(rig->model);
    pthread_mutex_destroy(&rig->mutex);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", rig->folder);
    cr_assert_eq(system(command), 0);
    free(rig);
}

/* Of a line on a lattice everybody takes the first model whole and each other by a step: gateways from the
 * top, devices from whom they are behind. */
static void expect_steps(const struct rig *rig, const struct plan_of_houses *plan)
{
    for (uint32_t i = 1; i < SERVERS; i++) {
        const struct link_values values = link_watch_values(&rig->houses[i].watch);
        if (devices_of(plan, i) == 0)
            continue;
        const bool has_steps = i != plan->without_steps;
        cr_expect_eq(values.fulls, has_steps ? 1 : ROUNDS + 1, "%s took %u models", rig->houses[i].name,
                     values.fulls);
        cr_expect_eq(values.steps, has_steps ? ROUNDS : 0, "%s took %u steps", rig->houses[i].name,
                     values.steps);
    }
    for (uint32_t i = 0; i < DEVICES; i++) {
        const struct link_values values = link_watch_values(&rig->devices[i].watch);
        if (plan->without_steps != 0 && plan->behind[i] == plan->without_steps)
            continue;
        cr_expect_eq(values.fulls, 1, "%s took %u models", rig->devices[i].name, values.fulls);
        cr_expect_eq(values.steps + values.sums, ROUNDS, "%s took %u steps and %u sums", rig->devices[i].name,
                     values.steps, values.sums);
    }
}

/* To the end; the models after each round. */
static void play(const struct plan_of_houses *plan, struct covey_hash models[ROUNDS + 1])
{
    struct rig *rig = calloc(1, sizeof *rig);
    make_rig(rig);
    furnish(rig, plan);
    rig->houses[0].stays = plan->dies; /* the gateway that comes back must still hear that all is over */
    for (uint32_t i = 0; i < SERVERS; i++)
        if (i == 0 || devices_of(plan, i) > 0)
            start_house(&rig->houses[i], i == 0);
    for (uint32_t i = 0; i < DEVICES; i++)
        start_device(rig, i, &rig->houses[plan->behind[i]]);
    if (plan->restart || plan->dies) {
        await_round(rig, 1);
        stop_house(&rig->houses[2]);
        if (plan->restart)
            start_house(&rig->houses[2], false);
        else
            covey_server_withdraw(rig->houses[0].server, rig->houses[2].name);
    }
    await_round(rig, ROUNDS);
    if (plan->dies) /* for the farewell of its devices, who would wait for ever */
        start_house(&rig->houses[2], false);
    for (uint32_t i = 0; i < DEVICES; i++)
        pthread_join(rig->devices[i].thread, NULL);
    struct covey_federation_view view;
    covey_server_federation_view(rig->houses[0].server, 0, &view);
    cr_expect_eq(view.round.completed, ROUNDS);
    cr_expect_eq(view.round.abandoned, 0);
    memcpy(models, rig->models, sizeof rig->models);
    for (uint32_t i = SERVERS; i-- > 0;)
        stop_house(&rig->houses[i]);
    if (strcmp(plan->downlink, "fp16") != 0 && !plan->dies)
        expect_steps(rig, plan);
    free_rig(rig);
}

static void expect_same_models(const char *downlink)
{
    const struct {
        const char *what;
        struct plan_of_houses plan;
    } runs[] = {
        {"one level", {.behind = {0, 0, 0, 0, 0, 0}}},
        {"two gateways", {.behind = {1, 1, 1, 2, 2, 2}}},
        {"two gateways, other groups", {.behind = {2, 1, 2, 2, 1, 2}}},
        {"a gateway each for two, and two directly", {.behind = {1, 0, 2, 1, 2, 0}}},
        {"a gateway stopped and started", {.behind = {1, 1, 1, 2, 2, 2}, .restart = true}},
        {"a gateway that finds no steps", {.behind = {1, 1, 1, 2, 2, 2}, .without_steps = 1}},
    };
    struct covey_hash first[ROUNDS + 1] = {0}, models[ROUNDS + 1] = {0};
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct plan_of_houses plan = runs[i].plan;
        if (plan.without_steps != 0 && strcmp(downlink, "fp16") == 0)
            continue;
        plan.downlink = downlink;
        play(&plan, models);
        if (i == 0)
            memcpy(first, models, sizeof first);
        for (uint32_t round = 1; round <= ROUNDS; round++)
            cr_expect(covey_hash_equal(&first[round], &models[round]), "%s: another model after round %u",
                      runs[i].what, round);
    }
}

Test(hierarchy, two_levels_make_the_same_models_as_one, .timeout = 900)
{
    expect_same_models("fp16");
}

Test(hierarchy, gateways_and_their_devices_follow_by_steps, .timeout = 900)
{
    expect_same_models("ec:1");
}

Test(hierarchy, a_gateway_that_dies_loses_its_group_alone, .timeout = 900)
{
    const struct plan_of_houses plan = {.behind = {1, 1, 1, 2, 2, 2}, .downlink = "ec:1", .dies = true};
    struct covey_hash models[ROUNDS + 1] = {0};
    play(&plan, models);
}
