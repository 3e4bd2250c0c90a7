/* The transport over a bad network, through the relay. Times are the bench's business (covey-bench
 * transport); here bodies must arrive whole, and nothing but DTLS may cross. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "coap_rig.h"
#include "covey/blockwise.h"
#include "relay.h"

#define LIMIT_MS (2 * RIG_PATIENCE_MS)
#define BODY_BYTES (256u << 10)

struct course {
    struct rig *rig;
    struct relay *relay;
    struct device *device;
    uint8_t *body;
};

static struct course start(const struct relay_network *handshake, uint64_t seed)
{
    struct course course = {.rig = rig_start(NULL, BODY_BYTES, 1)};
    course.relay = relay_start(course.rig->address, handshake, seed);
    cr_assert_not_null(course.relay);
    struct covey_credentials credentials = rig_psk("device-1");
    course.device = device_start(&credentials);
    cr_assert(device_connect(course.device, relay_address(course.relay)), "%s", course.device->reason.text);
    course.body = malloc(BODY_BYTES);
    fill_bytes(course.body, BODY_BYTES, seed + 7);
    return course;
}

static void stop(struct course *course)
{
    device_stop(course->device);
    relay_stop(course->relay);
    rig_stop(course->rig);
    free(course->body);
}

static void move_both_ways(struct course *course)
{
    struct answer answer;
    struct covey_hash hash;
    struct covey_request upload = {.method = COVEY_PUT,
                                   .path = "f/test/a/0011223344556677",
                                   .content_format = 60,
                                   .body = {course->body, BODY_BYTES}};
    cr_assert(device_ask(course->device, &upload, &answer, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_OK, "%s", covey_status_text(answer.status));
    cr_assert_eq(answer.code, COVEY_CODE_CHANGED);
    cr_assert_eq(covey_hash_bytes(upload.body, &hash), COVEY_OK);
    cr_assert(covey_hash_equal(&hash, &course->rig->last_body));
    cr_assert_eq(atomic_load(&course->rig->uploads), 1, "served once");
    struct covey_request download = {.method = COVEY_GET,
                                     .path = "model",
                                     .reply_limit_bytes = BODY_BYTES,
                                     .expect = covey_blob_hash(course->rig->model),
                                     .expect_bytes = BODY_BYTES};
    cr_assert(device_ask(course->device, &download, &answer, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_OK, "%s", covey_status_text(answer.status));
    cr_assert(covey_hash_equal(&answer.hash, covey_blob_hash(course->rig->model)));
}

Test(network, bodies_arrive_whole, .timeout = 900)
{
    static const struct {
        const char *name;
        struct relay_network network;
        int runs;
    } table[] = {
        {"40 ms", {.delay_us = 20000}, 1},
        {"5 %", {.delay_us = 20000, .loss = .05}, 2},
        {"20 %", {.delay_us = 20000, .loss = .2}, 3},
        {"1 Mbit/s", {.delay_us = 20000, .bits_per_s = 1000000}, 1},
        {"everything", {.delay_us = 10000, .loss = .05, .repeat = .1, .reorder = .2, .late_us = 20000}, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int seed = 1; seed <= table[i].runs; seed++) {
            struct relay_network clean = {.delay_us = table[i].network.delay_us};
            struct course course = start(&clean, (uint64_t)seed);
            relay_set(course.relay, &table[i].network);
            move_both_ways(&course);
            cr_assert_eq(relay_strangers(course.relay), 0, "%s: something that is no DTLS record crossed",
                         table[i].name);
            stop(&course);
        }
    }
}

/* Until the last acknowledgement has crossed: a while in which nothing was sent, and the server has counted
 * as much as the device. */
static void await_quiet(struct course *course)
{
    struct relay_counters up, down, up_before, down_before;
    struct covey_traffic device, server;
    const double end = clock_s() + LIMIT_MS / 1000.0;
    bool quiet = false;
    relay_count(course->relay, &up, &down);
    while (!quiet && clock_s() < end) {
        up_before = up;
        down_before = down;
        device_await(course->device, &(struct answer){0}, 1, 300);
        relay_count(course->relay, &up, &down);
        course->device->link.ops->traffic(course->device->link.link, &device);
        course->rig->host.ops->traffic(course->rig->host.host, &server);
        quiet = up.bytes == up_before.bytes && down.bytes == down_before.bytes &&
                server.bytes_up == device.bytes_up && server.bytes_down == device.bytes_down;
    }
}

/* The longest time in which nothing crossed while blocks went up, as the relay saw it. */
static uint64_t longest_pause_us(const struct relay_entry *log, size_t entries)
{
    uint64_t longest = 0, last = 0;
    for (size_t i = 0; i < entries; i++) {
        if (last > 0 && log[i].at_us > last + longest)
            longest = log[i].at_us - last;
        if (last > 0 || (log[i].up && log[i].size > COVEY_BLOCK_BYTES))
            last = log[i].at_us;
    }
    return longest;
}

/* What both ends count is what the relay saw, to the byte; and the framing of an upload. */
Test(network, traffic_is_counted_exactly, .timeout = 900)
{
    struct relay_network clean = {.delay_us = 1000};
    struct course course = start(&clean, 1);
    move_both_ways(&course);
    struct relay_counters up, down;
    struct covey_traffic device, server;
    await_quiet(&course);
    course.device->link.ops->traffic(course.device->link.link, &device);
    course.rig->host.ops->traffic(course.rig->host.host, &server);
    relay_count(course.relay, &up, &down);
    cr_assert_eq(device.bytes_up, up.bytes);
    cr_assert_eq(device.bytes_down, down.bytes);
    cr_assert_eq(device.datagrams_up, up.datagrams);
    cr_assert_eq(device.datagrams_down, down.datagrams);
    cr_assert_eq(server.bytes_up, up.bytes);
    cr_assert_eq(server.bytes_down, down.bytes);
    cr_assert_eq(server.upload_bytes_up, device.upload_bytes_up);
    cr_assert_eq(device.blocks_sent - device.blocks_repeated, BODY_BYTES / COVEY_BLOCK_BYTES);
    double framing = (double)device.upload_bytes_up / (double)(device.blocks_sent * COVEY_BLOCK_BYTES);
    cr_assert(framing <= 1.10, "%g", framing);
    /* the same from the relay's log: the datagrams of a block's size */
    struct relay_entry *log;
    size_t entries = relay_log(course.relay, &log);
    /* nothing is lost here: a block goes twice only where an end stood still for as long as a timeout */
    cr_assert(device.blocks_repeated == 0 || longest_pause_us(log, entries) >= COVEY_RTO_FLOOR_US / 2,
              "%llu blocks went twice without need", (unsigned long long)device.blocks_repeated);
    uint64_t carried = 0;
    for (size_t i = 0; i < entries; i++)
        carried += log[i].up && log[i].size > COVEY_BLOCK_BYTES ? log[i].size : 0;
    cr_assert_eq(carried, device.upload_bytes_up);
    free(log);
    stop(&course);
}

/* Until a third of the body has passed, one way or the other: by bytes, not by time, so that no machine is
 * too slow to be still in the middle of it. */
static void await_third(struct course *course, const struct answer *answer)
{
    struct relay_counters up, down;
    do {
        cr_assert_not(device_await(course->device, answer, 1, 1));
        relay_count(course->relay, &up, &down);
    } while (up.bytes < BODY_BYTES / 3 && down.bytes < BODY_BYTES / 3);
}

/* The network goes away in the middle of an upload: the link notices; the next one goes on where the first
 * one stopped. */
Test(network, upload_is_resumed, .timeout = 900)
{
    struct relay_network clean = {.delay_us = 20000}, dead = {.loss = 1};
    struct course course = start(&clean, 1);
    struct answer answer = {0};
    struct covey_request upload = {.method = COVEY_PUT,
                                   .path = "f/test/a/0011223344556677",
                                   .content_format = 60,
                                   .body = {course.body, BODY_BYTES}};
    cr_assert_eq(course.device->link.ops->request(course.device->link.link, &upload, answer_taken, &answer,
                                                  NULL, NULL),
                 COVEY_OK);
    await_third(&course, &answer);
    relay_set(course.relay, &dead);
    /* by its own rule of silence, long before the request's time is up (COVEY_COAP_TRANSFER_MS) */
    cr_assert(device_await(course.device, &answer, 1, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_CLOSED, "status %d", answer.status);
    cr_assert_eq(course.device->state, COVEY_LINK_DOWN);
    cr_assert_eq(course.device->reason.status, COVEY_TIMEOUT, "%s", course.device->reason.text);
    cr_assert_not_null(strstr(course.device->reason.text, "silent"), "%s", course.device->reason.text);
    relay_set(course.relay, &clean);
    cr_assert(device_connect(course.device, relay_address(course.relay)), "%s", course.device->reason.text);
    struct covey_traffic before, after;
    course.device->link.ops->traffic(course.device->link.link, &before);
    cr_assert(device_ask(course.device, &upload, &answer, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CHANGED);
    course.device->link.ops->traffic(course.device->link.link, &after);
    uint64_t blocks = after.blocks_sent - before.blocks_sent;
    cr_assert_lt(blocks, BODY_BYTES / COVEY_BLOCK_BYTES, "%llu blocks: what was there was sent again",
                 (unsigned long long)blocks);
    cr_assert_eq(atomic_load(&course.rig->uploads), 1);
    stop(&course);
}

/* The device is killed in the middle of an upload. The next process has nothing but the bytes: told that they
 * went out before, it sends what the server misses. */
Test(network, upload_is_resumed_by_another_process, .timeout = 900)
{
    struct relay_network clean = {.delay_us = 20000};
    struct course course = start(&clean, 1);
    struct answer answer = {0};
    struct covey_request upload = {.method = COVEY_PUT,
                                   .path = "f/test/a/0011223344556677",
                                   .content_format = 60,
                                   .body = {course.body, BODY_BYTES}};
    cr_assert_eq(course.device->link.ops->request(course.device->link.link, &upload, answer_taken, &answer,
                                                  NULL, NULL),
                 COVEY_OK);
    await_third(&course, &answer);
    device_stop(course.device);
    struct covey_credentials credentials = rig_psk("device-1");
    course.device = device_start(&credentials);
    cr_assert(device_connect(course.device, relay_address(course.relay)), "%s", course.device->reason.text);
    upload.resume = true;
    cr_assert(device_ask(course.device, &upload, &answer, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CHANGED);
    struct covey_traffic second;
    course.device->link.ops->traffic(course.device->link.link, &second);
    const uint64_t blocks = BODY_BYTES / COVEY_BLOCK_BYTES;
    cr_assert_leq(second.blocks_sent - second.blocks_repeated, blocks - blocks / 5, "%llu of %llu blocks",
                  (unsigned long long)second.blocks_sent, (unsigned long long)blocks);
    cr_assert_eq(atomic_load(&course.rig->uploads), 1);
    stop(&course);
}

/* The same for a download; and when the body has changed meanwhile, the new one comes whole. */
Test(network, download_is_resumed, .timeout = 900)
{
    struct relay_network clean = {.delay_us = 20000}, dead = {.loss = 1};
    for (int changed = 0; changed < 2; changed++) {
        struct course course = start(&clean, 1);
        struct answer answer = {0};
        struct covey_request download = {
            .method = COVEY_GET, .path = "model", .reply_limit_bytes = BODY_BYTES};
        const struct covey_link_ops *ops = course.device->link.ops;
        struct covey_link *link = course.device->link.link;
        cr_assert_eq(ops->request(link, &download, answer_taken, &answer, NULL, NULL), COVEY_OK);
        await_third(&course, &answer);
        relay_set(course.relay, &dead);
        ops->disconnect(link);
        cr_assert(device_await(course.device, &answer, 1, LIMIT_MS));
        cr_assert_eq(answer.status, COVEY_CLOSED);
        relay_set(course.relay, &clean);
        if (changed) {
            struct covey_blob *old = course.rig->model;
            uint16_t port = course.rig->port;
            rig_stop_server(course.rig);
            cr_assert_eq(covey_blob_create((struct covey_bytes){course.body, BODY_BYTES}, NULL, NULL, NULL,
                                           &course.rig->model),
                         COVEY_OK);
            covey_blob_release(old);
            rig_start_server(course.rig, port, 1);
        }
        cr_assert(device_connect(course.device, relay_address(course.relay)), "%s",
                  course.device->reason.text);
        struct covey_traffic before, after;
        ops->traffic(link, &before);
        cr_assert(device_ask(course.device, &download, &answer, LIMIT_MS));
        ops->traffic(link, &after);
        cr_assert_eq(answer.status, COVEY_OK, "%s", covey_status_text(answer.status));
        cr_assert(covey_hash_equal(&answer.hash, covey_blob_hash(course.rig->model)));
        bool less = after.bytes_down - before.bytes_down < BODY_BYTES;
        cr_assert_eq(less, !changed, "%llu bytes came",
                     (unsigned long long)(after.bytes_down - before.bytes_down));
        stop(&course);
    }
}

/* A slow service is not a dead one: the link stays up while the answer takes longer than the link's patience.
 */
Test(network, slow_service_is_not_silence, .timeout = 900)
{
    struct relay_network clean = {.delay_us = 2000};
    struct course course = start(&clean, 1);
    struct answer answer = {0};
    struct covey_request later = {.method = COVEY_GET, .path = "later"};
    cr_assert_eq(
        course.device->link.ops->request(course.device->link.link, &later, answer_taken, &answer, NULL, NULL),
        COVEY_OK);
    cr_assert_not(device_await(course.device, &answer, 1, 13000));
    cr_assert_eq(course.device->state, COVEY_LINK_UP, "%s", course.device->reason.text);
    rig_release(course.rig, COVEY_CODE_VALID);
    cr_assert(device_await(course.device, &answer, 1, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_VALID);
    stop(&course);
}

/* A push through 20 % loss each way: confirmable ones arrive. */
Test(network, pushes_survive_loss, .timeout = 900)
{
    struct relay_network clean = {.delay_us = 5000}, lossy = {.delay_us = 5000, .loss = .2};
    struct course course = start(&clean, 3);
    struct answer observed = {0};
    struct covey_request plan = {.method = COVEY_GET, .path = "plan"};
    cr_assert_eq(course.device->link.ops->observe(course.device->link.link, &plan, answer_taken, &observed,
                                                  NULL, NULL),
                 COVEY_OK);
    cr_assert(device_await(course.device, &observed, 1, LIMIT_MS));
    relay_set(course.relay, &lossy);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(
            course.rig->host.ops->notify(course.rig->host.host, "device-1", "plan", course.rig->small, 60),
            COVEY_OK);
        cr_assert(device_await(course.device, &observed, 2 + i, LIMIT_MS), "%d", i);
    }
    stop(&course);
}

/* One by one, as the plan may ask: the same body, in its time. */
Test(network, window_of_one, .timeout = 900)
{
    struct relay_network clean = {.delay_us = 1000};
    struct course course = start(&clean, 1);
    struct answer answer;
    struct covey_request upload = {
        .method = COVEY_PUT, .path = "a/1", .body = {course.body, 20000}, .window_blocks = 1};
    cr_assert(device_ask(course.device, &upload, &answer, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CHANGED);
    cr_assert_geq(answer.seconds, 20 * .002);
    stop(&course);
}
