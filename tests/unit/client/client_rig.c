#include "client_rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char model[] = "name: tiny\ninput: {shape: [4]}\nloss: softmax_cross_entropy\n"
                            "ops:\n  - {op: dense, name: hidden, units: 6}\n  - {op: relu}\n"
                            "  - {op: dense, name: output, units: 3}\n";

uint64_t client_rig_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void make_data(struct client_rig *rig)
{
    for (int i = 0; i < RIG_EXAMPLES; i++) {
        rig->labels[i] = (uint8_t)(i % 3);
        for (int j = 0; j < 4; j++)
            rig->inputs[4 * i + j] = (uint8_t)((j == i % 3) * 2 + (i * 7 + j * 3) % 2);
    }
    rig->dataset =
        (struct covey_dataset){.count = RIG_EXAMPLES,
                               .rows = RIG_EXAMPLES,
                               .inputs = {.values = rig->inputs, .type = COVEY_ELEMENT_U8, .width = 4},
                               .labels = {.values = rig->labels, .type = COVEY_ELEMENT_U8, .width = 1}};
}

void client_rig_start(struct client_rig *rig, const char *yaml, bool threaded)
{
    char text[2000];
    memset(rig, 0, sizeof *rig);
    tiny_server_start(&rig->server, model, threaded);
    strcpy(rig->folder, "/tmp/covey-client-XXXXXX");
    cr_assert(mkdtemp(rig->folder) != NULL);
    snprintf(text, sizeof text,
             "server: server:1\nfederation: digits\nreconnect_ms: 10\nreconnect_limit_ms: 50\n%s", yaml);
    struct covey_error err = {0};
    cr_assert(covey_client_config_load_text(rig->folder, text, &rig->config, &err) == COVEY_OK, "%s",
              err.text);
    make_data(rig);
    rig->in_step = !threaded;
    if (getenv("COVEY_TEST_LOG") != NULL)
        rig->log = (struct covey_log){.level = COVEY_LOG_DEBUG, .sink = covey_log_to_stderr};
}

void client_rig_stop(struct client_rig *rig)
{
    char command[128];
    client_rig_close(rig);
    tiny_server_stop(&rig->server);
    covey_client_config_free(&rig->config);
    snprintf(command, sizeof command, "rm -rf %s", rig->folder);
    cr_assert(system(command) == 0);
}

static enum covey_status open_link(void *user, const struct covey_link_events *events,
                                   struct covey_link_handle *out, struct covey_error *err)
{
    struct client_rig *rig = user;
    return covey_inprocess_link_create(rig->server.network, "device", events, out, err);
}

static void on_round(void *user, const struct covey_client_report *round,
                     const struct covey_client_report *total)
{
    struct client_rig *rig = user;
    rig->reported++;
    rig->last = *round;
    cr_assert(total->rounds >= 1);
}

enum covey_status client_rig_open(struct client_rig *rig)
{
    const struct covey_client_options options = {.config = &rig->config,
                                                 .env = covey_env_system(&rig->log),
                                                 .device_name = "device",
                                                 .trust = &rig->server.trust,
                                                 .dataset = rig->dataset.count != 0 ? &rig->dataset : NULL,
                                                 .engine = &covey_engine_plain,
                                                 .open_link = open_link,
                                                 .link_user = rig,
                                                 .train_in_step = rig->in_step,
                                                 .stop_after = rig->stop_after,
                                                 .sensor_root = rig->folder,
                                                 .on_round = on_round,
                                                 .user = rig};
    return covey_client_create(&options, &rig->client, &rig->create_error);
}

void client_rig_close(struct client_rig *rig)
{
    covey_client_destroy(rig->client);
    rig->client = NULL;
}

void client_rig_step(struct client_rig *rig)
{
    covey_client_step(rig->client, 5);
    if (rig->in_step) /* the in-process transport does not wait then */
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
}

struct covey_client_view client_rig_view(const struct client_rig *rig)
{
    struct covey_client_view view;
    covey_client_view(rig->client, &view);
    return view;
}
