/* One service and one course of requests over both transports: what the service sees and what the device gets
 * are the same, byte for byte. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coap_rig.h"
#include "covey/inprocess.h"

#define EVENTS 64
#define LIMIT_S (RIG_PATIENCE_MS / 1000.0)

/* What happened, in order; texts are hashed so that it stays small. */
struct trace {
    pthread_mutex_t lock;
    struct {
        int kind, code, format;
        size_t size;
        struct covey_hash hash;
        char path[64], query[32], name[COVEY_NAME_BYTES];
    } seen[EVENTS], got[EVENTS];
    int seen_count, got_count;
    struct covey_blob *model, *plan;
    enum covey_link_state state;
};

static void hash_into(struct covey_hash *out, struct covey_bytes bytes)
{
    cr_assert_eq(covey_hash_bytes(bytes, out), COVEY_OK);
}

/* A download is served for each block, and a question whose answer is slow may come twice. The course asks
 * nothing else twice in a row. */
static bool is_repeat(const struct trace *trace, const struct covey_incoming *in, int kind)
{
    if (in->method != COVEY_GET || trace->seen_count == 0)
        return false;
    const int last = trace->seen_count - 1;
    return trace->seen[last].kind == kind && strcmp(trace->seen[last].path, in->path) == 0 &&
           strcmp(trace->seen[last].query, in->query) == 0;
}

static void serve(void *user, const struct covey_incoming *in, struct covey_exchange *exchange)
{
    struct trace *trace = user;
    pthread_mutex_lock(&trace->lock);
    const int kind = (int)in->method | (in->observe ? 16 : 0) | (in->stop_observing ? 32 : 0);
    if (!is_repeat(trace, in, kind) && trace->seen_count < EVENTS) {
        int i = trace->seen_count++;
        trace->seen[i].kind = kind;
        trace->seen[i].format = in->content_format;
        trace->seen[i].size = in->body.size;
        hash_into(&trace->seen[i].hash, in->body);
        snprintf(trace->seen[i].path, 64, "%s", in->path);
        snprintf(trace->seen[i].query, 32, "%s", in->query);
        snprintf(trace->seen[i].name, COVEY_NAME_BYTES, "%s", in->peer->name);
        if (in->body.size > 0)
            cr_assert(covey_hash_equal(in->body_hash, &trace->seen[i].hash));
    }
    pthread_mutex_unlock(&trace->lock);
    struct covey_response response = {
        .code = COVEY_CODE_NOT_FOUND, .content_format = -1, .body = {(const uint8_t *)"no such thing", 13}};
    if (in->method != COVEY_GET)
        response = (struct covey_response){.code = COVEY_CODE_CHANGED, .content_format = -1};
    else if (strcmp(in->path, "model") == 0 || strcmp(in->path, "plan") == 0)
        response = (struct covey_response){.code = COVEY_CODE_CONTENT,
                                           .content_format = 60,
                                           .max_age_s = 9,
                                           .blob = in->path[0] == 'm' ? trace->model : trace->plan};
    covey_exchange_respond(exchange, &response);
}

static uint8_t admit(void *user, const struct covey_incoming *in, uint64_t body_bytes)
{
    (void)user;
    (void)in;
    return body_bytes > 100000 ? COVEY_CODE_TOO_LARGE : 0;
}

static void on_reply(void *user, const struct covey_reply *reply)
{
    struct trace *trace = user;
    cr_assert_lt(trace->got_count, EVENTS);
    int i = trace->got_count++;
    bool error = !covey_code_is_success(reply->code);
    trace->got[i].kind = (int)reply->status;
    trace->got[i].code = reply->code;
    trace->got[i].format = (int)reply->max_age_s;
    trace->got[i].size =
        error && reply->code == COVEY_CODE_TOO_LARGE ? 0 : reply->body.size; /* texts may differ */
    hash_into(&trace->got[i].hash, (struct covey_bytes){reply->body.data, trace->got[i].size});
}

static void on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
{
    (void)reason;
    ((struct trace *)user)->state = state;
}

static void run_until(struct covey_link_handle link, const struct trace *trace, int replies)
{
    double end = clock_s() + LIMIT_S;
    while (trace->got_count < replies && clock_s() < end)
        link.ops->run(link.link, 20);
    cr_assert_eq(trace->got_count, replies);
}

static void ask(struct covey_link_handle link, struct trace *trace, const struct covey_request *request)
{
    int before = trace->got_count;
    cr_assert_eq(link.ops->request(link.link, request, on_reply, trace, NULL, NULL), COVEY_OK);
    run_until(link, trace, before + 1);
}

/* The course, whatever the transport. */
static void walk(struct covey_link_handle link, struct covey_host_handle host, const char *address,
                 struct trace *trace)
{
    static uint8_t body[150000];
    struct covey_hash wrong = {{9}};
    uint32_t id;
    fill_bytes(body, sizeof body, 3);
    cr_assert_eq(link.ops->connect(link.link, address, NULL), COVEY_OK);
    double end = clock_s() + LIMIT_S;
    while (trace->state != COVEY_LINK_UP && clock_s() < end)
        link.ops->run(link.link, 20);
    cr_assert(trace->state == COVEY_LINK_UP);
    size_t model_bytes = covey_blob_view(trace->model).size;
    const struct covey_hash *model = covey_blob_hash(trace->model);
    ask(link, trace,
        &(struct covey_request){.method = COVEY_GET, .path = "model", .reply_limit_bytes = model_bytes});
    ask(link, trace, &(struct covey_request){.method = COVEY_GET, .path = "missing", .query = "a=1&b"});
    ask(link, trace, &(struct covey_request){.method = COVEY_GET, .path = "plan", .query = "have=7"});
    ask(link, trace,
        &(struct covey_request){.method = COVEY_GET,
                                .path = "model",
                                .reply_limit_bytes = model_bytes,
                                .expect = model,
                                .expect_bytes = model_bytes});
    ask(link, trace,
        &(struct covey_request){.method = COVEY_GET, .path = "model", .reply_limit_bytes = model_bytes - 1});
    ask(link, trace,
        &(struct covey_request){
            .method = COVEY_GET, .path = "model", .reply_limit_bytes = model_bytes, .expect = &wrong});
    static const size_t sizes[] = {1, 1024, 1025, 99999};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        ask(link, trace,
            &(struct covey_request){.method = i % 2 ? COVEY_PUT : COVEY_POST,
                                    .path = "f/x/a/0123",
                                    .content_format = 60,
                                    .body = {body, sizes[i]}});
    ask(link, trace,
        &(struct covey_request){.method = COVEY_PUT, .path = "f/x/a/9", .body = {body, sizeof body}});
    struct covey_request plan = {.method = COVEY_GET, .path = "plan"};
    int before = trace->got_count;
    cr_assert_eq(link.ops->observe(link.link, &plan, on_reply, trace, &id, NULL), COVEY_OK);
    run_until(link, trace, before + 1);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(host.ops->notify(host.host, "device-1", "plan", trace->plan, 60), COVEY_OK);
        run_until(link, trace, before + 2 + i);
    }
    link.ops->cancel(link.link, id);
    end = clock_s() + LIMIT_S;
    for (int stopped = 0; !stopped && clock_s() < end;) {
        link.ops->run(link.link, 20);
        pthread_mutex_lock(&trace->lock);
        stopped = (trace->seen[trace->seen_count - 1].kind & 32) != 0;
        pthread_mutex_unlock(&trace->lock);
    }
}

static struct trace *make_trace(void)
{
    struct trace *trace = calloc(1, sizeof *trace);
    static uint8_t bytes[70001];
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    fill_bytes(bytes, sizeof bytes, 11);
    pthread_mutex_init(&trace->lock, NULL);
    cr_assert_eq(
        covey_blob_create((struct covey_bytes){bytes, sizeof bytes}, NULL, NULL, NULL, &trace->model),
        COVEY_OK);
    cr_assert_eq(covey_blob_create((struct covey_bytes){bytes, 400}, NULL, NULL, NULL, &trace->plan),
                 COVEY_OK);
    return trace;
}

static void free_trace(struct trace *trace)
{
    covey_blob_release(trace->model);
    covey_blob_release(trace->plan);
    pthread_mutex_destroy(&trace->lock);
    free(trace);
}

static struct covey_service service_of(struct trace *trace)
{
    return (struct covey_service){.user = trace, .serve = serve, .admit_body = admit};
}

static struct trace *over_coap(void)
{
    struct trace *trace = make_trace();
    struct rig *rig = rig_start(NULL, 10, 1); /* for its credentials */
    struct covey_host_handle host;
    struct covey_link_handle link;
    struct covey_coap_host_config config = {
        .address = "localhost", .credentials = &rig->server_credentials, .service = service_of(trace)};
    cr_assert_eq(covey_coap_host_create(&config, &host, NULL), COVEY_OK);
    struct covey_credentials credentials = rig_psk("device-1");
    struct covey_coap_link_config link_config = {.credentials = &credentials,
                                                 .events = {.user = trace, .on_state = on_state}};
    cr_assert_eq(covey_coap_link_create(&link_config, &link, NULL), COVEY_OK);
    char address[64];
    snprintf(address, sizeof address, "localhost:%u", covey_coap_host_port(host.host, 0));
    walk(link, host, address, trace);
    link.ops->destroy(link.link);
    host.ops->destroy(host.host);
    rig_stop(rig);
    return trace;
}

static struct trace *in_process(enum covey_inprocess_mode mode)
{
    struct trace *trace = make_trace();
    struct covey_inprocess_network *network;
    struct covey_host_handle host;
    struct covey_link_handle link;
    struct covey_inprocess_network_config config = {.mode = mode};
    cr_assert_eq(covey_inprocess_network_create(&config, &network), COVEY_OK);
    struct covey_inprocess_host_config host_config = {
        .name = "localhost", .port = 5684, .service = service_of(trace)};
    cr_assert_eq(covey_inprocess_host_create(network, &host_config, &host, NULL), COVEY_OK);
    struct covey_link_events events = {.user = trace, .on_state = on_state};
    cr_assert_eq(covey_inprocess_link_create(network, "device-1", &events, &link, NULL), COVEY_OK);
    walk(link, host, "localhost:5684", trace);
    link.ops->destroy(link.link);
    host.ops->destroy(host.host);
    covey_inprocess_network_destroy(network);
    return trace;
}

static void expect_same(const struct trace *a, const struct trace *b)
{
    cr_assert_eq(a->seen_count, b->seen_count, "%d and %d", a->seen_count, b->seen_count);
    cr_assert_eq(a->got_count, b->got_count);
    for (int i = 0; i < a->seen_count; i++)
        cr_assert_arr_eq(&a->seen[i], &b->seen[i], sizeof a->seen[i], "request %d, %s", i, a->seen[i].path);
    for (int i = 0; i < a->got_count; i++)
        cr_assert_arr_eq(&a->got[i], &b->got[i], sizeof a->got[i], "reply %d: %d %x %zu, and %d %x %zu", i,
                         a->got[i].kind, a->got[i].code, a->got[i].size, b->got[i].kind, b->got[i].code,
                         b->got[i].size);
}

Test(transports, cannot_be_told_apart, .timeout = 900)
{
    struct trace *coap = over_coap(), *single = in_process(COVEY_INPROCESS_SINGLE),
                 *threaded = in_process(COVEY_INPROCESS_THREADED);
    cr_assert_gt(coap->got_count, 14);
    expect_same(coap, single);
    expect_same(coap, threaded);
    free_trace(coap);
    free_trace(single);
    free_trace(threaded);
}
