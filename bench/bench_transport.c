/* covey-bench transport: bodies over CoAP and DTLS through the simulator's relay, against the targets of the
 * issue's point 8.
 *
 *   covey-bench transport [--json] [--only NAME] [--bytes N] [--window N] [--runs N] [--standard]
 *
 * One line a network and direction. Each run is a new device with a new seed, its handshake made on a clean
 * network, then one upload and one download, cold. --window 1 is stop-and-wait; --standard the congestion
 * rule of RFC 8085. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/coap.h"
#include "covey/hash.h"
#include "covey/json.h"
#include "covey/random.h"
#include "measure.h"
#include "relay.h"

#define RUNS_MOST 1000
#define LIMIT_S 120.0

int bench_transport(int argc, char **argv);

struct scenario {
    const char *name;
    struct relay_network network;
    size_t runs;
    double median_limit_s, worst_limit_s; /* targets for 256 KiB; 0 = none */
    double repeated_limit;                /* share of packets sent twice; 0 = none */
};

static const struct scenario scenarios[] = {
    {"40ms", {.delay_us = 20000}, 5, 0, .6, 0},
    {"40ms-5%", {.delay_us = 20000, .loss = .05}, 20, .8, 1.5, 0},
    {"40ms-20%", {.delay_us = 20000, .loss = .2}, 100, 0, 10, 0},
    {"1mbit", {.delay_us = 20000, .bits_per_s = 1000000}, 3, 0, 3, .15},
    {"200ms-5%", {.delay_us = 100000, .loss = .05}, 5, 0, 0, 0},
    {"reorder", {.delay_us = 20000, .reorder = .3, .late_us = 30000}, 5, 0, 0, 0},
    {"loopback", {.delay_us = 0}, 5, 0, 0, 0},
};

struct options {
    size_t bytes, runs;
    uint16_t window;
    enum covey_congestion_rule rule;
    bool json;
    const char *only;
};

struct server {
    struct covey_blob *model;
    struct covey_hash uploaded;
    pthread_mutex_t lock;
};

struct outcome {
    bool done;
    enum covey_status status;
    uint8_t code;
    struct covey_hash hash;
};

static const uint8_t key[COVEY_PSK_BYTES] = {7, 1, 8, 2, 8, 1, 8, 2, 8, 4, 5, 9, 0, 4, 5, 2};

static enum covey_status find_psk(void *user, const char *identity, uint8_t out[COVEY_PSK_BYTES],
                                  size_t *out_bytes)
{
    (void)user;
    (void)identity;
    memcpy(out, key, sizeof key);
    *out_bytes = sizeof key;
    return COVEY_OK;
}

static void serve(void *user, const struct covey_incoming *in, struct covey_exchange *exchange)
{
    struct server *server = user;
    struct covey_response response = {.code = COVEY_CODE_CHANGED, .content_format = -1};
    if (in->method == COVEY_GET) {
        response =
            (struct covey_response){.code = COVEY_CODE_CONTENT, .content_format = 42, .blob = server->model};
    } else if (in->body_hash != NULL) {
        pthread_mutex_lock(&server->lock);
        server->uploaded = *in->body_hash;
        pthread_mutex_unlock(&server->lock);
    }
    covey_exchange_respond(exchange, &response);
}

static void on_reply(void *user, const struct covey_reply *reply)
{
    struct outcome *outcome = user;
    outcome->status = reply->status;
    outcome->code = reply->code;
    outcome->done = covey_hash_bytes(reply->body, &outcome->hash) == COVEY_OK;
}

static void on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
{
    (void)reason;
    *(enum covey_link_state *)user = state;
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(bench_now_ns() - start_ns) / 1e9;
}

static bool connect_up(struct covey_link_handle link, const enum covey_link_state *state, const char *address)
{
    uint64_t start = bench_now_ns();
    if (link.ops->connect(link.link, address, NULL) != COVEY_OK)
        return false;
    do
        link.ops->run(link.link, 100);
    while (*state == COVEY_LINK_CONNECTING && seconds_since(start) < 20);
    return *state == COVEY_LINK_UP;
}

/* Seconds, or -1 when it did not end well. */
static double exchange(struct covey_link_handle link, const struct covey_request *request,
                       struct outcome *outcome)
{
    uint64_t start = bench_now_ns();
    memset(outcome, 0, sizeof *outcome);
    if (link.ops->request(link.link, request, on_reply, outcome, NULL, NULL) != COVEY_OK)
        return -1;
    while (!outcome->done && seconds_since(start) < LIMIT_S)
        link.ops->run(link.link, 100);
    return outcome->done && outcome->status == COVEY_OK ? seconds_since(start) : -1;
}

struct sample {
    double up_s, down_s; /* -1: failed */
    double repeated, overhead;
};

static struct sample measure(const struct scenario *scenario, const struct options *options,
                             struct server *server, const char *target, struct covey_bytes body,
                             uint64_t seed)
{
    struct sample sample = {.up_s = -1, .down_s = -1};
    struct relay_network clean = {.delay_us = scenario->network.delay_us};
    struct relay *relay = relay_start(target, &clean, seed);
    enum covey_link_state state = COVEY_LINK_CONNECTING;
    struct covey_credentials credentials = {.side = COVEY_SIDE_DEVICE, .psk_bytes = sizeof key};
    snprintf(credentials.psk_identity, sizeof credentials.psk_identity, "bench-%llu",
             (unsigned long long)seed);
    memcpy(credentials.psk, key, sizeof key);
    struct covey_coap_link_config config = {.credentials = &credentials,
                                            .congestion = options->rule,
                                            .events = {.user = &state, .on_state = on_state}};
    struct covey_link_handle link = {0};
    struct outcome outcome;
    struct covey_traffic before, after;
    struct covey_hash hash;
    if (relay == NULL || covey_coap_link_create(&config, &link, NULL) != COVEY_OK)
        goto cleanup;
    if (!connect_up(link, &state, relay_address(relay)))
        goto cleanup;
    relay_set(relay, &scenario->network);
    link.ops->traffic(link.link, &before);
    char path[64]; /* the server remembers what it has taken: a new path each time */
    snprintf(path, sizeof path, "f/bench/a/%016llx",
             (unsigned long long)(covey_random_id(scenario->name) ^ seed << 8));
    struct covey_request upload = {.method = COVEY_PUT,
                                   .path = path,
                                   .content_format = 60,
                                   .body = body,
                                   .window_blocks = options->window};
    double seconds = exchange(link, &upload, &outcome);
    link.ops->traffic(link.link, &after);
    pthread_mutex_lock(&server->lock);
    bool right = covey_hash_bytes(body, &hash) == COVEY_OK && covey_hash_equal(&hash, &server->uploaded);
    memset(&server->uploaded, 0, sizeof server->uploaded);
    pthread_mutex_unlock(&server->lock);
    if (right && outcome.code == COVEY_CODE_CHANGED)
        sample.up_s = seconds;
    double blocks = (double)(after.blocks_sent - before.blocks_sent);
    double repeats = (double)(after.blocks_repeated - before.blocks_repeated);
    sample.repeated = blocks > repeats ? repeats / (blocks - repeats) : 0;
    sample.overhead = (double)(after.upload_bytes_up - before.upload_bytes_up) / (double)body.size;
    struct covey_request download = {.method = COVEY_GET,
                                     .path = "f/bench/d/model",
                                     .expect = covey_blob_hash(server->model),
                                     .expect_bytes = body.size,
                                     .reply_limit_bytes = body.size,
                                     .window_blocks = options->window};
    seconds = exchange(link, &download, &outcome);
    if (covey_hash_equal(&outcome.hash, covey_blob_hash(server->model)))
        sample.down_s = seconds;
cleanup:
    if (link.ops != NULL)
        link.ops->destroy(link.link);
    relay_stop(relay);
    return sample;
}

/* Prints one line; true when every target of a 256 KiB body was met. */
static bool report(const struct scenario *scenario, const struct options *options, const char *direction,
                   double *seconds, size_t runs, double repeated, double overhead)
{
    size_t complete = 0;
    for (size_t i = 0; i < runs; i++) {
        complete += seconds[i] >= 0;
        if (seconds[i] < 0)
            seconds[i] = LIMIT_S;
    }
    double median = bench_median(seconds, runs), worst = seconds[runs - 1]; /* sorted now */
    bool met = complete == runs && (scenario->median_limit_s <= 0 || median <= scenario->median_limit_s) &&
               (scenario->worst_limit_s <= 0 || worst <= scenario->worst_limit_s) &&
               (scenario->repeated_limit <= 0 || repeated <= scenario->repeated_limit);
    if (!options->json) {
        printf("%-10s %-5s %3zu of %3zu complete  median %6.3f s  worst %6.3f s  repeated %4.1f %%  framing "
               "%.3f  %s\n",
               scenario->name, direction, complete, runs, median, worst, 100 * repeated, overhead,
               met ? "" : "over its target");
        fflush(stdout);
        return met;
    }
    char text[512];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "network", scenario->name);
    covey_json_text(&json, "direction", direction);
    covey_json_int(&json, "bytes", (int64_t)options->bytes);
    covey_json_int(&json, "runs", (int64_t)runs);
    covey_json_int(&json, "complete", (int64_t)complete);
    covey_json_real(&json, "median_s", median);
    covey_json_real(&json, "worst_s", worst);
    covey_json_real(&json, "repeated_share", repeated);
    covey_json_real(&json, "framing", overhead);
    covey_json_bool(&json, "met", met);
    covey_json_close(&json, '}');
    puts(text);
    fflush(stdout);
    return met;
}

static bool run_scenario(const struct scenario *scenario, const struct options *options,
                         struct server *server, const char *target, struct covey_bytes body)
{
    static double up[RUNS_MOST], down[RUNS_MOST];
    size_t runs = options->runs > 0 ? options->runs : scenario->runs;
    double repeated = 0, overhead = 0;
    for (size_t i = 0; i < runs; i++) {
        struct sample sample = measure(scenario, options, server, target, body, i + 1);
        up[i] = sample.up_s;
        down[i] = sample.down_s;
        repeated = sample.repeated > repeated ? sample.repeated : repeated;
        overhead = sample.overhead > overhead ? sample.overhead : overhead;
    }
    bool met = report(scenario, options, "up", up, runs, repeated, overhead);
    return report(scenario, options, "down", down, runs, 0, 0) && met;
}

static int run_all(const struct options *options, struct server *server, const char *target,
                   struct covey_bytes body)
{
    bool met = true, found = false;
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++) {
        if (options->only != NULL && strcmp(options->only, scenarios[i].name) != 0)
            continue;
        found = true;
        met = run_scenario(&scenarios[i], options, server, target, body) && met;
    }
    if (!found)
        fprintf(stderr, "covey-bench transport: there is no network '%s'\n", options->only);
    return !found ? 2 : met ? 0 : 1;
}

int bench_transport(int argc, char **argv)
{
    static const char *const values[] = {"only", "bytes", "window", "runs", NULL};
    static const char *const flags[] = {"json", "standard", NULL};
    if (bench_check_options(argc, argv, values, flags) != 0)
        return 2;
    struct options options = {
        .bytes = bench_number(argc, argv, "bytes", 256 << 10, 2048, 64 << 20),
        .runs = bench_number(argc, argv, "runs", 0, 0, RUNS_MOST),
        .window = (uint16_t)bench_number(argc, argv, "window", 0, 0, COVEY_WINDOW_BLOCKS),
        .rule = bench_flag(argc, argv, "standard") ? COVEY_CONGESTION_STANDARD : COVEY_CONGESTION_GATED,
        .json = bench_flag(argc, argv, "json"),
        .only = bench_option(argc, argv, "only", NULL),
    };
    struct covey_error err = {0};
    struct server server = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct covey_credentials credentials = {.side = COVEY_SIDE_SERVER, .find_psk = find_psk};
    struct covey_coap_host_config config = {
        .address = "127.0.0.1", .credentials = &credentials, .service = {.user = &server, .serve = serve}};
    struct covey_host_handle host = {0};
    uint8_t *bytes = malloc(options.bytes);
    int status = 1;
    if (bytes == NULL)
        return 1;
    struct covey_random random;
    covey_random_init(&random, 1, 1, 1, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < options.bytes; i++)
        bytes[i] = (uint8_t)covey_random_u32(&random);
    struct covey_bytes body = {bytes, options.bytes};
    if (covey_crypto_start(&err) != COVEY_OK ||
        covey_blob_create(body, NULL, NULL, NULL, &server.model) != COVEY_OK ||
        covey_coap_host_create(&config, &host, &err) != COVEY_OK) {
        fprintf(stderr, "covey-bench transport: %s\n", err.text);
        goto cleanup;
    }
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1:%u", covey_coap_host_port(host.host, 0));
    status = run_all(&options, &server, target, body);
cleanup:
    if (host.ops != NULL)
        host.ops->destroy(host.host);
    covey_blob_release(server.model);
    free(bytes);
    return status;
}
