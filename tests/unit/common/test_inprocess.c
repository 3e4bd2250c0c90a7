/* The in-process transport, under a virtual clock and with threads. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "covey/hash.h"
#include "covey/inprocess.h"

struct server {
    struct covey_blob *model;
    struct covey_exchange *held; /* a request kept for later */
    struct covey_hash last_body;
    size_t last_body_bytes;
    int served, admitted, present, stopped;
};

struct answers {
    int calls;
    struct covey_reply last;
    uint8_t body[2048];
};

static uint64_t virtual_now(void *user)
{
    return *(uint64_t *)user;
}

static void answer(struct covey_exchange *exchange, uint8_t code)
{
    covey_exchange_respond(exchange, &(struct covey_response){.code = code, .content_format = -1});
}

static void serve(void *user, const struct covey_incoming *in, struct covey_exchange *exchange)
{
    struct server *server = user;
    server->served++;
    if (in->stop_observing)
        server->stopped++;
    cr_assert_str_eq(in->peer->name, "lamp");
    if (in->body.size > 0) {
        cr_assert_not_null(in->body_hash);
        server->last_body = *in->body_hash;
        server->last_body_bytes = in->body.size;
        answer(exchange, COVEY_CODE_CHANGED);
    } else if (strcmp(in->path, "later") == 0) {
        server->held = exchange;
    } else if (strcmp(in->path, "missing") == 0) {
        answer(exchange, COVEY_CODE_NOT_FOUND);
    } else {
        covey_exchange_respond(exchange, &(struct covey_response){.code = COVEY_CODE_CONTENT,
                                                                  .content_format = 60,
                                                                  .blob = server->model,
                                                                  .max_age_s = 7});
    }
}

static uint8_t admit(void *user, const struct covey_incoming *in, uint64_t body_bytes)
{
    struct server *server = user;
    server->admitted++;
    cr_assert_eq(in->body.size, 0);
    return body_bytes > 100000 ? COVEY_CODE_TOO_LARGE : 0;
}

static void on_peer(void *user, const struct covey_peer *peer, bool present)
{
    (void)peer;
    ((struct server *)user)->present += present ? 1 : -1;
}

static void on_reply(void *user, const struct covey_reply *reply)
{
    struct answers *answers = user;
    answers->calls++;
    answers->last = *reply;
    if (reply->body.size > 0 && reply->body.size <= sizeof answers->body)
        memcpy(answers->body, reply->body.data, reply->body.size);
}

struct states {
    enum covey_link_state state;
    int ups, downs;
    struct covey_error reason;
};

static void on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
{
    struct states *states = user;
    states->state = state;
    states->ups += state == COVEY_LINK_UP;
    states->downs += state == COVEY_LINK_DOWN;
    if (reason != NULL)
        states->reason = *reason;
}

struct rig {
    uint64_t now_ms;
    struct covey_inprocess_network *network;
    struct server server;
    struct covey_host_handle host;
    struct covey_link_handle link;
    struct states states;
    uint8_t bytes[5000];
};

static void start_host(struct rig *rig)
{
    struct covey_inprocess_host_config config = {
        .name = "home",
        .port = 5684,
        .shard_count = 2,
        .service = {.user = &rig->server, .serve = serve, .admit_body = admit, .on_peer = on_peer}};
    cr_assert_eq(covey_inprocess_host_create(rig->network, &config, &rig->host, NULL), COVEY_OK);
}

static struct rig *start(enum covey_inprocess_mode mode,
                         int64_t (*transit)(void *, const char *, size_t, bool), void *user)
{
    struct rig *rig = calloc(1, sizeof *rig);
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    for (size_t i = 0; i < sizeof rig->bytes; i++)
        rig->bytes[i] = (uint8_t)(i * 7 + 1);
    struct covey_inprocess_network_config config = {.mode = mode, .transit_ms = transit, .user = user};
    if (mode == COVEY_INPROCESS_SINGLE)
        config.env = (struct covey_env){.now_ms = virtual_now, .user = &rig->now_ms};
    cr_assert_eq(covey_inprocess_network_create(&config, &rig->network), COVEY_OK);
    cr_assert_eq(covey_blob_create((struct covey_bytes){rig->bytes, sizeof rig->bytes}, NULL, NULL, NULL,
                                   &rig->server.model),
                 COVEY_OK);
    start_host(rig);
    struct covey_link_events events = {.user = &rig->states, .on_state = on_state};
    cr_assert_eq(covey_inprocess_link_create(rig->network, "lamp", &events, &rig->link, NULL), COVEY_OK);
    return rig;
}

static void stop(struct rig *rig)
{
    rig->link.ops->destroy(rig->link.link);
    if (rig->host.host != NULL)
        rig->host.ops->destroy(rig->host.host);
    covey_blob_release(rig->server.model);
    covey_inprocess_network_destroy(rig->network);
    free(rig);
}

static void run(struct rig *rig)
{
    rig->link.ops->run(rig->link.link, 0);
}

static void connect_up(struct rig *rig, const char *address)
{
    cr_assert_eq(rig->link.ops->connect(rig->link.link, address, NULL), COVEY_OK);
    run(rig);
    cr_assert_eq(rig->states.state, COVEY_LINK_UP, "%s", rig->states.reason.text);
}

static uint32_t ask(struct rig *rig, const struct covey_request *request, struct answers *answers)
{
    uint32_t id = 0;
    cr_assert_eq(rig->link.ops->request(rig->link.link, request, on_reply, answers, &id, NULL), COVEY_OK);
    return id;
}

Test(inprocess, request_and_reply)
{
    struct rig *rig = start(COVEY_INPROCESS_SINGLE, NULL, NULL);
    struct answers answers = {0};
    connect_up(rig, "home:5685");
    cr_assert_eq(rig->server.present, 1);
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "f/x/d", .reply_limit_bytes = 5000},
        &answers);
    cr_assert_eq(answers.calls, 0, "callbacks come from run only");
    run(rig);
    cr_assert_eq(answers.calls, 1);
    cr_assert_eq(answers.last.status, COVEY_OK);
    cr_assert_eq(answers.last.code, COVEY_CODE_CONTENT);
    cr_assert_eq(answers.last.body.size, 5000);
    cr_assert_eq(answers.last.max_age_s, 7);
    stop(rig);
}

Test(inprocess, limits_and_hashes)
{
    struct rig *rig = start(COVEY_INPROCESS_SINGLE, NULL, NULL);
    struct answers small = {0}, wrong = {0}, right = {0}, error = {0}, refused = {0};
    struct covey_hash other = {{1}};
    static uint8_t big[200000];
    connect_up(rig, "home:5684");
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "d", .reply_limit_bytes = 4999}, &small);
    ask(rig,
        &(struct covey_request){
            .method = COVEY_GET, .path = "d", .reply_limit_bytes = 5000, .expect = &other},
        &wrong);
    ask(rig,
        &(struct covey_request){.method = COVEY_GET,
                                .path = "d",
                                .reply_limit_bytes = 5000,
                                .expect = covey_blob_hash(rig->server.model)},
        &right);
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "missing", .expect = &other}, &error);
    ask(rig, &(struct covey_request){.method = COVEY_PUT, .path = "a", .body = {big, sizeof big}}, &refused);
    run(rig);
    cr_assert_eq(small.last.status, COVEY_LIMIT);
    cr_assert_eq(wrong.last.status, COVEY_CORRUPT);
    cr_assert_eq(wrong.last.body.size, 0);
    cr_assert_eq(right.last.status, COVEY_OK);
    cr_assert_eq(error.last.status, COVEY_OK);
    cr_assert_eq(error.last.code, COVEY_CODE_NOT_FOUND);
    cr_assert_eq(refused.last.code, COVEY_CODE_TOO_LARGE);
    cr_assert_eq(rig->server.last_body_bytes, 0, "a refused body is not served");
    stop(rig);
}

Test(inprocess, upload_is_counted)
{
    struct rig *rig = start(COVEY_INPROCESS_SINGLE, NULL, NULL);
    struct answers answers = {0};
    struct covey_traffic traffic;
    connect_up(rig, "home:5684");
    ask(rig,
        &(struct covey_request){.method = COVEY_PUT,
                                .path = "f/digits/a/0123456789abcdef",
                                .content_format = 60,
                                .body = {rig->bytes, 5000}},
        &answers);
    run(rig);
    cr_assert_eq(answers.last.code, COVEY_CODE_CHANGED);
    cr_assert_eq(rig->server.admitted, 1);
    cr_assert(covey_hash_equal(&rig->server.last_body, covey_blob_hash(rig->server.model)));
    rig->link.ops->traffic(rig->link.link, &traffic);
    cr_assert_eq(traffic.datagrams_up, 5);
    cr_assert_gt(traffic.upload_bytes_up, 5000);
    cr_assert_lt(traffic.upload_bytes_up, 5500);
    stop(rig);
}

Test(inprocess, observe_notify_cancel)
{
    struct rig *rig = start(COVEY_INPROCESS_SINGLE, NULL, NULL);
    struct answers answers = {0};
    uint32_t id;
    connect_up(rig, "home:5684");
    struct covey_request request = {.method = COVEY_GET, .path = "f/x/plan", .reply_limit_bytes = 5000};
    cr_assert_eq(rig->link.ops->observe(rig->link.link, &request, on_reply, &answers, &id, NULL), COVEY_OK);
    run(rig);
    cr_assert_eq(answers.calls, 1);
    cr_assert(rig->host.ops->present(rig->host.host, "lamp"));
    cr_assert_not(rig->host.ops->present(rig->host.host, "other"));
    for (int i = 0; i < 3; i++)
        cr_assert_eq(rig->host.ops->notify(rig->host.host, "lamp", "f/x/plan", rig->server.model, 60),
                     COVEY_OK);
    cr_assert_eq(rig->host.ops->notify(rig->host.host, "lamp", "f/y/plan", rig->server.model, 60), COVEY_OK);
    cr_assert_eq(rig->host.ops->notify(rig->host.host, "nobody", "f/x/plan", rig->server.model, 60),
                 COVEY_OK);
    run(rig);
    cr_assert_eq(answers.calls, 4);
    rig->link.ops->cancel(rig->link.link, id);
    run(rig);
    cr_assert_eq(rig->server.stopped, 1);
    cr_assert_eq(rig->host.ops->notify(rig->host.host, "lamp", "f/x/plan", rig->server.model, 60), COVEY_OK);
    run(rig);
    cr_assert_eq(answers.calls, 4, "no call after cancel");
    stop(rig);
}

Test(inprocess, separate_response_and_drop)
{
    struct rig *rig = start(COVEY_INPROCESS_SINGLE, NULL, NULL);
    struct answers later = {0}, lost = {0};
    connect_up(rig, "home:5684");
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "later"}, &later);
    run(rig);
    cr_assert_eq(later.calls, 0);
    answer(rig->server.held, COVEY_CODE_VALID);
    run(rig);
    cr_assert_eq(later.last.code, COVEY_CODE_VALID);
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "later"}, &lost);
    run(rig);
    rig->host.ops->drop(rig->host.host, "lamp");
    run(rig);
    cr_assert_eq(lost.last.status, COVEY_CLOSED);
    cr_assert_eq(rig->states.state, COVEY_LINK_DOWN);
    answer(rig->server.held, COVEY_CODE_VALID); /* nobody waits: only freed */
    cr_assert_eq(rig->link.ops->request(rig->link.link,
                                        &(struct covey_request){.method = COVEY_GET, .path = "d"}, on_reply,
                                        &lost, NULL, NULL),
                 COVEY_CLOSED);
    stop(rig);
}

Test(inprocess, server_restart)
{
    struct rig *rig = start(COVEY_INPROCESS_SINGLE, NULL, NULL);
    struct answers answers = {0};
    connect_up(rig, "home:5684");
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "later"}, &answers);
    run(rig);
    rig->host.ops->destroy(rig->host.host);
    rig->host.host = NULL;
    run(rig);
    cr_assert_eq(answers.last.code, COVEY_CODE_UNAVAILABLE);
    cr_assert_eq(rig->states.state, COVEY_LINK_DOWN);
    answer(rig->server.held, COVEY_CODE_VALID);
    cr_assert_eq(rig->link.ops->connect(rig->link.link, "home:5684", NULL), COVEY_OK);
    run(rig);
    cr_assert_eq(rig->states.reason.status, COVEY_NOT_FOUND);
    start_host(rig);
    connect_up(rig, "home:5684");
    struct covey_host_handle second;
    struct covey_error err = {0};
    struct covey_inprocess_host_config config = {.name = "home", .port = 5685};
    cr_assert_eq(covey_inprocess_host_create(rig->network, &config, &second, &err), COVEY_EXISTS, "%s",
                 err.text);
    stop(rig);
}

static int64_t transit(void *user, const char *name, size_t bytes, bool up)
{
    (void)name;
    (void)bytes;
    return up && *(int *)user ? -1 : up ? 100 : 30;
}

Test(inprocess, virtual_time_and_loss)
{
    int lose = 0;
    struct rig *rig = start(COVEY_INPROCESS_SINGLE, transit, &lose);
    struct answers answers = {0};
    connect_up(rig, "home:5684");
    cr_assert_eq(covey_inprocess_next_due_ms(rig->network), UINT64_MAX);
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "d", .reply_limit_bytes = 5000}, &answers);
    run(rig);
    cr_assert_eq(covey_inprocess_next_due_ms(rig->network), 100);
    rig->now_ms = 100;
    run(rig);
    cr_assert_eq(rig->server.served, 1);
    cr_assert_eq(answers.calls, 0);
    cr_assert_eq(covey_inprocess_next_due_ms(rig->network), 130);
    rig->now_ms = 130;
    run(rig);
    cr_assert_eq(answers.calls, 1);
    lose = 1;
    ask(rig, &(struct covey_request){.method = COVEY_GET, .path = "d", .timeout_ms = 500}, &answers);
    cr_assert_eq(covey_inprocess_next_due_ms(rig->network), 630);
    rig->now_ms = 630;
    run(rig);
    cr_assert_eq(answers.calls, 2);
    cr_assert_eq(answers.last.status, COVEY_TIMEOUT);
    cr_assert_eq(rig->server.served, 1);
    stop(rig);
}

/* ---- threads: pushes from one, a link on another ---- */

static void *pusher(void *user)
{
    struct rig *rig = user;
    for (int i = 0; i < 200; i++)
        (void)rig->host.ops->notify(rig->host.host, "lamp", "plan", rig->server.model, 60);
    return NULL;
}

Test(inprocess, threads)
{
    struct rig *rig = start(COVEY_INPROCESS_THREADED, NULL, NULL);
    struct answers answers = {0}, fetched = {0};
    connect_up(rig, "home:5684");
    struct covey_request request = {.method = COVEY_GET, .path = "plan", .reply_limit_bytes = 5000};
    cr_assert_eq(rig->link.ops->observe(rig->link.link, &request, on_reply, &answers, NULL, NULL), COVEY_OK);
    run(rig);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, pusher, rig), 0);
    for (int i = 0; i < 2000 && answers.calls < 201; i++) {
        if (i % 8 == 0)
            ask(rig, &request, &fetched);
        rig->link.ops->run(rig->link.link, 100);
    }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(answers.calls, 201);
    cr_assert_gt(fetched.calls, 0);
    stop(rig);
}

static void *waker(void *user)
{
    struct rig *rig = user;
    rig->link.ops->wake(rig->link.link);
    return NULL;
}

Test(inprocess, wake_ends_a_wait, .timeout = 30)
{
    struct rig *rig = start(COVEY_INPROCESS_THREADED, NULL, NULL);
    connect_up(rig, "home:5684");
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, waker, rig), 0);
    rig->link.ops->run(rig->link.link, 60000);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    stop(rig);
}
