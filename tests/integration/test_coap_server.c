/* The life of a server's transport: restarts, lost sessions, crowds, shards, ports. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coap_rig.h"

#define LIMIT_MS RIG_PATIENCE_MS
#define OBSERVERS 200

static struct device *connected(struct rig *rig, const char *name)
{
    struct covey_credentials credentials = rig_psk(name);
    struct device *device = device_start(&credentials);
    cr_assert(device_connect(device, rig->address), "%s", device->reason.text);
    return device;
}

static void run_for(struct device *device, double seconds)
{
    double end = clock_s() + seconds;
    while (clock_s() < end)
        device->link.ops->run(device->link.link, 20);
}

static void nap_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

Test(server, restart_is_noticed_and_survived, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-1");
    struct answer held = {0}, answer;
    uint16_t port = rig->port;
    cr_assert_eq(device->link.ops->request(device->link.link,
                                           &(struct covey_request){.method = COVEY_GET, .path = "later"},
                                           answer_taken, &held, NULL, NULL),
                 COVEY_OK);
    for (double end = clock_s() + LIMIT_MS / 1000.0; rig_held(rig) == 0 && clock_s() < end;)
        run_for(device, .05);
    cr_assert_eq(rig_held(rig), 1);
    rig_stop_server(rig);
    rig_release(rig, COVEY_CODE_VALID); /* after the server is gone: freed, nothing else */
    cr_assert(device_await(device, &held, 1, LIMIT_MS));
    cr_assert_eq(held.code, COVEY_CODE_UNAVAILABLE);
    cr_assert(device_await_down(device), "the end of the server is told");
    cr_assert_eq(device->reason.status, COVEY_CLOSED, "%s", device->reason.text);
    rig_start_server(rig, port, 1);
    cr_assert(device_connect(device, rig->address), "%s", device->reason.text);
    cr_assert(
        device_ask(device, &(struct covey_request){.method = COVEY_GET, .path = "small"}, &answer, LIMIT_MS));
    cr_assert_eq(answer.size, 12);
    device_stop(device);
    rig_stop(rig);
}

Test(server, dropped_device_is_told, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-1"), *other = connected(rig, "device-2");
    struct answer observed = {0}, answer;
    struct covey_request plan = {.method = COVEY_GET, .path = "plan"};
    cr_assert_eq(device->link.ops->observe(device->link.link, &plan, answer_taken, &observed, NULL, NULL),
                 COVEY_OK);
    cr_assert(device_await(device, &observed, 1, LIMIT_MS));
    cr_assert(rig_await(rig, 2));
    rig->host.ops->drop(rig->host.host, "device-1");
    cr_assert(device_await_down(device));
    cr_assert_eq(observed.status, COVEY_CLOSED, "the observation ends with the link");
    cr_assert(rig_await(rig, 1));
    for (double end = clock_s() + LIMIT_MS / 1000.0;
         rig->host.ops->present(rig->host.host, "device-1") && clock_s() < end;)
        nap_ms(10);
    cr_assert_not(rig->host.ops->present(rig->host.host, "device-1"));
    cr_assert(rig->host.ops->present(rig->host.host, "device-2"));
    cr_assert_eq(rig->host.ops->notify(rig->host.host, "device-1", "plan", rig->small, 60), COVEY_OK);
    cr_assert(device_ask(other, &plan, &answer, LIMIT_MS));
    device_stop(device);
    device_stop(other);
    rig_stop(rig);
}

/* The deny-list is asked for every request, also in the middle of a session. */
Test(server, withdrawn_in_mid_session, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-1");
    struct answer answer;
    struct covey_request request = {.method = COVEY_GET, .path = "small"};
    cr_assert(device_ask(device, &request, &answer, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CONTENT);
    atomic_store(&rig->denied_all, 1);
    int served = atomic_load(&rig->served); /* a slow answer may have been asked for twice */
    cr_assert(device_ask(device, &request, &answer, LIMIT_MS));
    cr_assert(answer.code == COVEY_CODE_FORBIDDEN || answer.status == COVEY_CLOSED);
    cr_assert_eq(atomic_load(&rig->served), served);
    cr_assert(device_await_down(device));
    device_stop(device);
    rig_stop(rig);
}

Test(server, port_collision, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct covey_host_handle second;
    struct covey_error err = {0};
    struct covey_coap_host_config config = {
        .address = "localhost", .port = rig->port, .credentials = &rig->server_credentials};
    cr_assert_eq(covey_coap_host_create(&config, &second, &err), COVEY_EXISTS);
    char number[8];
    snprintf(number, sizeof number, "%u", rig->port);
    cr_assert_not_null(strstr(err.text, number), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "taken"), "%s", err.text);
    /* also when the collision is with a later shard */
    config.port = (uint16_t)(rig->port - 1);
    config.shard_count = 2;
    cr_assert_eq(covey_coap_host_create(&config, &second, &err), COVEY_EXISTS, "%s", err.text);
    struct device *device = connected(rig, "device-1");
    struct answer answer;
    cr_assert(
        device_ask(device, &(struct covey_request){.method = COVEY_GET, .path = "small"}, &answer, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CONTENT, "the first server lost nothing");
    device_stop(device);
    rig_stop(rig);
}

Test(server, shards, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 3000, 3);
    struct device *devices[6];
    struct answer observed[6] = {0};
    struct covey_request plan = {.method = COVEY_GET, .path = "plan"};
    for (int i = 0; i < 6; i++) {
        char name[32], address[64];
        snprintf(name, sizeof name, "device-%d", i);
        cr_assert_eq(covey_coap_host_port(rig->host.host, (uint32_t)i % 3), rig->port + i % 3);
        snprintf(address, sizeof address, "localhost:%u", rig->port + i % 3);
        struct covey_credentials credentials = rig_psk(name);
        devices[i] = device_start(&credentials);
        cr_assert(device_connect(devices[i], address), "%s", devices[i]->reason.text);
        cr_assert_eq(devices[i]->link.ops->observe(devices[i]->link.link, &plan, answer_taken, &observed[i],
                                                   NULL, NULL),
                     COVEY_OK);
        cr_assert(device_await(devices[i], &observed[i], 1, LIMIT_MS));
    }
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "device-%d", i);
        cr_assert_eq(rig->host.ops->notify(rig->host.host, name, "plan", rig->small, 60), COVEY_OK);
        cr_assert(device_await(devices[i], &observed[i], 2, LIMIT_MS), "%d", i);
    }
    struct covey_coap_host_figures figures;
    covey_coap_host_figures(rig->host.host, &figures);
    cr_assert_eq(figures.sessions, 6);
    cr_assert_eq(figures.observations, 6);
    cr_assert_eq(covey_coap_host_port(rig->host.host, 3), 0);
    for (int i = 0; i < 6; i++)
        device_stop(devices[i]);
    rig_stop(rig);
}

/* 200 devices observe; one push to each; all get it. */
Test(server, crowd_of_observers, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    static struct device *devices[OBSERVERS];
    static struct answer observed[OBSERVERS];
    struct covey_request plan = {.method = COVEY_GET, .path = "plan"};
    char name[32];
    for (int i = 0; i < OBSERVERS; i++) {
        snprintf(name, sizeof name, "device-%d", i);
        devices[i] = connected(rig, name);
        cr_assert_eq(devices[i]->link.ops->observe(devices[i]->link.link, &plan, answer_taken, &observed[i],
                                                   NULL, NULL),
                     COVEY_OK);
        cr_assert(device_await(devices[i], &observed[i], 1, LIMIT_MS));
    }
    struct covey_coap_host_figures figures;
    covey_coap_host_figures(rig->host.host, &figures);
    cr_assert_eq(figures.observations, OBSERVERS);
    for (int i = 0; i < OBSERVERS; i++) {
        snprintf(name, sizeof name, "device-%d", i);
        cr_assert_eq(rig->host.ops->notify(rig->host.host, name, "plan", rig->small, 60), COVEY_OK);
    }
    int told = 0;
    for (double end = clock_s() + LIMIT_MS / 1000.0; told < OBSERVERS && clock_s() < end;) {
        told = 0;
        for (int i = 0; i < OBSERVERS; i++) {
            devices[i]->link.ops->run(devices[i]->link.link, 0);
            told += observed[i].calls == 2;
        }
        nap_ms(20);
    }
    cr_assert_eq(told, OBSERVERS);
    for (int i = 0; i < OBSERVERS; i++)
        device_stop(devices[i]);
    rig_stop(rig);
}

/* A device that connects anew gets the pushes, whatever became of its old session; old sessions do not pile
 * up. */
Test(server, device_comes_back, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct covey_credentials credentials = rig_psk("device-1");
    struct device *devices[7];
    struct answer observed[7] = {0};
    struct covey_request plan = {.method = COVEY_GET, .path = "plan"};
    for (int i = 0; i < 7; i++) {
        devices[i] = device_start(&credentials);
        cr_assert(device_connect(devices[i], rig->address), "%s", devices[i]->reason.text);
        cr_assert_eq(devices[i]->link.ops->observe(devices[i]->link.link, &plan, answer_taken, &observed[i],
                                                   NULL, NULL),
                     COVEY_OK);
        cr_assert(device_await(devices[i], &observed[i], 1, LIMIT_MS));
    }
    struct covey_coap_host_figures figures;
    covey_coap_host_figures(rig->host.host, &figures);
    cr_assert_leq(figures.sessions, 4);
    cr_assert_eq(figures.observations, 1, "one for a device and path");
    cr_assert_eq(atomic_load(&rig->present), 1);
    cr_assert_eq(rig->host.ops->notify(rig->host.host, "device-1", "plan", rig->small, 60), COVEY_OK);
    cr_assert(device_await(devices[6], &observed[6], 2, LIMIT_MS));
    for (int i = 0; i < 6; i++) {
        run_for(devices[i], .02);
        cr_assert(observed[i].calls == 1 || observed[i].status == COVEY_CLOSED);
    }
    for (int i = 0; i < 7; i++)
        device_stop(devices[i]);
    rig_stop(rig);
}

Test(server, requests_are_bounded_and_cancelled, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-1");
    struct answer answers[COVEY_COAP_REQUESTS + 1] = {0};
    uint32_t ids[COVEY_COAP_REQUESTS];
    struct covey_request later = {.method = COVEY_GET, .path = "later", .timeout_ms = 30000};
    for (int i = 0; i < COVEY_COAP_REQUESTS; i++)
        cr_assert_eq(
            device->link.ops->request(device->link.link, &later, answer_taken, &answers[i], &ids[i], NULL),
            COVEY_OK);
    cr_assert_eq(device->link.ops->request(device->link.link, &later, answer_taken, &answers[0], NULL, NULL),
                 COVEY_BUSY);
    for (int i = 0; i < COVEY_COAP_REQUESTS; i += 2)
        device->link.ops->cancel(device->link.link, ids[i]);
    int answered = 0; /* some requests may come only after the first release */
    for (double end = clock_s() + LIMIT_MS / 1000.0; answered < COVEY_COAP_REQUESTS / 2 && clock_s() < end;) {
        rig_release(rig, COVEY_CODE_VALID);
        run_for(device, .05);
        answered = 0;
        for (int i = 1; i < COVEY_COAP_REQUESTS; i += 2)
            answered += answers[i].calls;
    }
    run_for(device, .3); /* an answer too many would come now */
    for (int i = 0; i < COVEY_COAP_REQUESTS; i++)
        cr_assert_eq(answers[i].calls, i % 2, "%d", i);
    struct answer short_one = {0};
    later.timeout_ms = 300;
    cr_assert(device_ask(device, &later, &short_one, LIMIT_MS));
    cr_assert_eq(short_one.status, COVEY_TIMEOUT);
    cr_assert_eq(device->link.ops->request(device->link.link, &later, answer_taken, &short_one, NULL, NULL),
                 COVEY_OK);
    short_one.calls = 0;
    struct covey_link_handle link = device->link;
    link.ops->destroy(link.link);
    cr_assert_eq(short_one.calls, 1);
    cr_assert_eq(short_one.status, COVEY_CANCELLED);
    free(device);
    rig_stop(rig);
}

/* Connecting and leaving a thousand times leaves nothing behind. */
Test(server, sessions_leave_nothing, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    uint64_t before = 0;
    struct answer answer;
    for (int i = 0; i < 300; i++) {
        struct device *device = connected(rig, "device-1");
        cr_assert(device_ask(device, &(struct covey_request){.method = COVEY_GET, .path = "small"}, &answer,
                             LIMIT_MS));
        device_stop(device);
        if (i == 50)
            before = resident_bytes();
    }
    cr_assert_lt(resident_bytes(), before + (4u << 20));
    struct covey_coap_host_figures figures;
    covey_coap_host_figures(rig->host.host, &figures);
    for (double end = clock_s() + LIMIT_MS / 1000.0; figures.sessions > 0 && clock_s() < end; nap_ms(20))
        covey_coap_host_figures(rig->host.host, &figures);
    cr_assert_eq(figures.sessions, 0);
    cr_assert(rig_await(rig, 0));
    rig_stop(rig);
}

static void serve_nothing(void *user, const struct covey_incoming *in, struct covey_exchange *exchange)
{
    (void)user;
    (void)in;
    covey_exchange_respond(exchange,
                           &(struct covey_response){.code = COVEY_CODE_VALID, .content_format = -1});
}

/* More devices than a shard may have: the longest silent one goes, the newcomer is served. */
Test(server, sessions_are_bounded, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1); /* for its credentials */
    struct covey_host_handle host;
    struct covey_coap_host_config config = {.address = "localhost",
                                            .credentials = &rig->server_credentials,
                                            .service = {.serve = serve_nothing},
                                            .shard_sessions = 4,
                                            .shard_handshakes = 2};
    struct covey_error err = {0};
    cr_assert_eq(covey_coap_host_create(&config, &host, &err), COVEY_OK, "%s", err.text);
    char address[64], name[32];
    snprintf(address, sizeof address, "localhost:%u", covey_coap_host_port(host.host, 0));
    struct device *devices[12];
    struct answer answer;
    for (int i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "device-%d", i);
        struct covey_credentials credentials = rig_psk(name);
        devices[i] = device_start(&credentials);
        cr_assert(device_connect(devices[i], address), "%d: %s", i, devices[i]->reason.text);
        cr_assert(device_ask(devices[i], &(struct covey_request){.method = COVEY_GET, .path = "x"}, &answer,
                             LIMIT_MS));
        cr_assert_eq(answer.code, COVEY_CODE_VALID);
    }
    struct covey_coap_host_figures figures;
    covey_coap_host_figures(host.host, &figures);
    cr_assert_leq(figures.sessions, 4 + 2 + 1);
    cr_assert_geq(figures.sessions, 4);
    cr_assert(device_await_down(devices[0]), "the first one was told");
    for (int i = 0; i < 12; i++)
        device_stop(devices[i]);
    host.ops->destroy(host.host);
    rig_stop(rig);
}
