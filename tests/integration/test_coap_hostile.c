/* What a device with valid credentials may send that it should not, and what strangers may throw at the port:
 * the right code, no memory, and the service goes on. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coap_address.h"
#include "coap_engine.h"
#include "coap_rig.h"
#include "covey/messages.h"
#include "covey/random.h"

#define LIMIT_S (RIG_PATIENCE_MS / 1000.0)

/* A device that says whatever the test wants. */
struct rogue {
    struct covey_credentials credentials;
    struct covey_coap_engine *engine;
    struct covey_coap_message last;
    uint8_t payload[2048];
    int answers;
    uint16_t token;
};

static bool on_response(void *user, const struct covey_coap_message *response)
{
    struct rogue *rogue = user;
    rogue->last = *response;
    rogue->answers++;
    if (response->payload.size <= sizeof rogue->payload && response->payload.size > 0)
        memcpy(rogue->payload, response->payload.data, response->payload.size);
    rogue->last.payload.data = rogue->payload;
    return true;
}

static void turn(struct rogue *rogue)
{
    struct pollfd fd = {.fd = covey_coap_engine_fd(rogue->engine), .events = POLLIN};
    (void)poll(&fd, 1, 20);
    covey_coap_engine_run(rogue->engine);
}

static struct rogue *rogue_start(struct rig *rig, const char *name)
{
    struct rogue *rogue = calloc(1, sizeof *rogue);
    struct covey_coap_address address;
    size_t count;
    char port[8];
    struct covey_error err = {0};
    rogue->credentials = rig_psk(name);
    struct covey_coap_engine_config config = {.credentials = &rogue->credentials,
                                              .events = {.user = rogue, .response = on_response}};
    cr_assert_eq(covey_coap_engine_create(&config, &rogue->engine, &err), COVEY_OK, "%s", err.text);
    snprintf(port, sizeof port, "%u", rig->port);
    cr_assert_eq(covey_coap_address_resolve("localhost", port, false, &address, 1, &count, &err), COVEY_OK);
    cr_assert_eq(
        covey_coap_engine_connect(rogue->engine, (struct sockaddr *)&address.bytes, address.size, &err),
        COVEY_OK, "%s", err.text);
    double end = clock_s() + LIMIT_S;
    while (covey_coap_engine_state(rogue->engine, &err) == COVEY_COAP_ENGINE_HANDSHAKE && clock_s() < end)
        turn(rogue);
    cr_assert_eq(covey_coap_engine_state(rogue->engine, &err), COVEY_COAP_ENGINE_UP, "%s", err.text);
    return rogue;
}

static void rogue_stop(struct rogue *rogue)
{
    covey_coap_engine_destroy(rogue->engine);
    free(rogue);
}

/* The code of the answer; 0: none came. */
static uint8_t say(struct rogue *rogue, struct covey_coap_message *message)
{
    rogue->token++;
    message->token =
        (struct covey_coap_token){.size = 2, .bytes = {(uint8_t)(rogue->token >> 8), (uint8_t)rogue->token}};
    int before = rogue->answers;
    cr_assert_eq(covey_coap_engine_send(rogue->engine, message), COVEY_OK);
    double end = clock_s() + LIMIT_S;
    while (rogue->answers == before && clock_s() < end)
        turn(rogue);
    return rogue->answers > before ? rogue->last.code : 0;
}

static uint8_t zeros[1024];

static struct covey_coap_message put(const char *path, uint32_t number, bool more, uint8_t szx, size_t size)
{
    struct covey_coap_message message;
    covey_coap_message_init(&message, COVEY_COAP_KIND_NON, COVEY_PUT);
    snprintf(message.path, sizeof message.path, "%s", path);
    message.block1 = (struct covey_coap_block){.number = number, .more = more, .szx = szx, .present = true};
    message.payload = (struct covey_bytes){zeros, size};
    return message;
}

static struct covey_coap_message sized(struct covey_coap_message message, uint32_t total, uint8_t tag)
{
    message.sized1 = true;
    message.size1 = total;
    message.request_tag = (struct covey_coap_tag){.size = 2, .bytes = {tag, 1}, .present = true};
    return message;
}

static uint64_t memory_in_use(struct rig *rig)
{
    struct covey_coap_host_figures figures;
    covey_coap_host_figures(rig->host.host, &figures);
    return figures.transfer_memory_bytes;
}

static void expect_service(struct rig *rig)
{
    struct covey_credentials credentials = rig_psk("device-good");
    struct device *device = device_start(&credentials);
    static uint8_t body[20000];
    struct answer answer;
    cr_assert(device_connect(device, rig->address), "%s", device->reason.text);
    struct covey_request request = {.method = COVEY_PUT, .path = "a/1", .body = {body, sizeof body}};
    cr_assert(device_ask(device, &request, &answer, RIG_PATIENCE_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CHANGED);
    device_stop(device);
}

Test(hostile, shapes_of_blocks, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 5000, 1);
    struct rogue *rogue = rogue_start(rig, "device-bad");
    struct {
        const char *what;
        struct covey_coap_message message;
        uint8_t code;
    } table[] = {
        {"Size1 of 4 GiB", sized(put("a/1", 0, true, 6, 1024), UINT32_MAX, 1), COVEY_CODE_TOO_LARGE},
        {"Size1 just over the bound", sized(put("a/1", 0, true, 6, 1024), (1u << 30) + (1u << 20) + 1, 1),
         COVEY_CODE_TOO_LARGE},
        {"Size1 that the service refuses", sized(put("a/1", 0, true, 6, 1024), 17u << 20, 1),
         COVEY_CODE_TOO_LARGE},
        {"Size1 of nothing", sized(put("a/1", 0, true, 6, 1024), 0, 1), COVEY_CODE_TOO_LARGE},
        {"more blocks than numbers", sized(put("a/1", 0, true, 0, 16), 1u << 30, 1), COVEY_CODE_TOO_LARGE},
        {"number past the end", sized(put("a/1", 3, true, 6, 1024), 2048, 1), COVEY_CODE_BAD_REQUEST},
        {"largest number", sized(put("a/1", (1u << 20) - 1, true, 6, 1024), 2048, 1), COVEY_CODE_BAD_REQUEST},
        {"last block says more", sized(put("a/1", 1, true, 6, 1024), 2048, 1), COVEY_CODE_BAD_REQUEST},
        {"first block says last", sized(put("a/1", 0, false, 6, 1024), 2048, 1), COVEY_CODE_BAD_REQUEST},
        {"SZX 7", sized(put("a/1", 0, true, 7, 1024), 4096, 1), COVEY_CODE_BAD_REQUEST},
        {"short block", sized(put("a/1", 0, true, 6, 1000), 4096, 1), COVEY_CODE_BAD_REQUEST},
        {"long block", sized(put("a/1", 0, true, 5, 1024), 4096, 1), COVEY_CODE_BAD_REQUEST},
        {"empty last block", sized(put("a/1", 1, false, 6, 0), 2048, 1), COVEY_CODE_BAD_REQUEST},
        {"long last block", sized(put("a/1", 1, false, 6, 1024), 2000, 1), COVEY_CODE_BAD_REQUEST},
        {"middle of nothing", put("a/1", 5, true, 6, 1024), COVEY_CODE_INCOMPLETE},
        {"end of nothing", put("a/1", 5, false, 6, 10), COVEY_CODE_INCOMPLETE},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        uint8_t code = say(rogue, &table[i].message);
        cr_assert_eq(code, table[i].code, "%s: %u.%02u", table[i].what, code >> 5, code & 31);
        cr_assert_leq(memory_in_use(rig), 4100, "%s cost memory", table[i].what);
    }
    cr_assert_eq(atomic_load(&rig->uploads), 0);
    expect_service(rig);
    rogue_stop(rogue);
    rig_stop(rig);
}

Test(hostile, downloads, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 5000, 1);
    struct rogue *rogue = rogue_start(rig, "device-bad");
    struct covey_coap_message get;
    covey_coap_message_init(&get, COVEY_COAP_KIND_NON, COVEY_GET);
    snprintf(get.path, sizeof get.path, "model");
    static const struct {
        uint32_t number;
        uint8_t szx, code;
        size_t size;
    } table[] = {{0, 6, COVEY_CODE_CONTENT, 1024},    {4, 6, COVEY_CODE_CONTENT, 904},
                 {5, 6, COVEY_CODE_BAD_REQUEST, 0},   {(1 << 20) - 1, 6, COVEY_CODE_BAD_REQUEST, 0},
                 {0, 0, COVEY_CODE_CONTENT, 16},      {312, 0, COVEY_CODE_CONTENT, 8},
                 {313, 0, COVEY_CODE_BAD_REQUEST, 0}, {0, 7, COVEY_CODE_BAD_REQUEST, 0}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        get.block2 =
            (struct covey_coap_block){.number = table[i].number, .szx = table[i].szx, .present = true};
        cr_assert_eq(say(rogue, &get), table[i].code, "%zu", i);
        if (table[i].code == COVEY_CODE_CONTENT) {
            cr_assert_eq(rogue->last.payload.size, table[i].size);
            cr_assert_eq(rogue->last.size2, 5000);
            cr_assert_eq(rogue->last.block2.number, table[i].number);
            cr_assert_eq(rogue->last.etag.size, 8);
            struct covey_bytes model = covey_blob_view(rig->model);
            size_t offset = (size_t)table[i].number * (16u << table[i].szx);
            cr_assert_arr_eq(rogue->last.payload.data, model.data + offset, table[i].size);
        }
    }
    rogue_stop(rogue);
    rig_stop(rig);
}

Test(hostile, paths, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 5000, 1);
    struct rogue *rogue = rogue_start(rig, "device-bad");
    struct covey_coap_message get;
    covey_coap_message_init(&get, COVEY_COAP_KIND_NON, COVEY_GET);
    memset(get.path, 'x', sizeof get.path - 1);
    cr_assert_eq(say(rogue, &get), COVEY_CODE_NOT_FOUND, "as long as it may be");
    snprintf(get.path, sizeof get.path, "a\nb");
    cr_assert_eq(say(rogue, &get), COVEY_CODE_BAD_REQUEST);
    get.path[0] = '\0';
    cr_assert_eq(say(rogue, &get), COVEY_CODE_NOT_FOUND);
    get.code = COVEY_DELETE;
    snprintf(get.path, sizeof get.path, "model");
    cr_assert_eq(say(rogue, &get), COVEY_CODE_METHOD_NOT_ALLOWED);
    get.code = 5; /* FETCH */
    uint8_t code = say(rogue, &get);
    cr_assert_eq(code >> 5, 4, "%x", code);
    struct covey_coap_message blocked = put("model", 0, true, 6, 1024);
    blocked.code = COVEY_GET;
    cr_assert_eq(say(rogue, &blocked), COVEY_CODE_METHOD_NOT_ALLOWED);
    rogue_stop(rogue);
    rig_stop(rig);
}

/* Blocks of one upload that contradict each other; a wrong hash; a gap. */
Test(hostile, contradictions, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 5000, 1);
    struct rogue *rogue = rogue_start(rig, "device-bad");
    struct covey_coap_message message = sized(put("a/2", 0, true, 6, 1024), 3000, 7);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE, "a repeat is fine");
    static uint8_t ones[1024] = {1};
    message.payload.data = ones;
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CONFLICT, "with other bytes it is not");
    message = sized(put("a/2", 1, true, 6, 1024), 2900, 7);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_BAD_REQUEST, "another size");
    message = sized(put("a/2", 2, true, 5, 512), 3000, 7);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_BAD_REQUEST, "another block size");
    message = sized(put("a/2", 2, false, 6, 952), 3000, 7);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_INCOMPLETE, "block 1 is missing");
    struct covey_coap_message ask;
    covey_coap_message_init(&ask, COVEY_COAP_KIND_NON, COVEY_GET);
    snprintf(ask.path, sizeof ask.path, "a/2");
    cr_assert_eq(say(rogue, &ask), COVEY_CODE_CONTENT);
    struct covey_upload_state state;
    cr_assert_eq(covey_upload_state_decode(rogue->last.payload, &state, NULL), COVEY_OK);
    cr_assert_eq(state.total_bytes, 3000);
    cr_assert_eq(state.range_count, 1);
    cr_assert(state.missing[0].first == 1 && state.missing[0].count == 1);
    message = sized(put("a/2", 1, true, 6, 1024), 3000, 7);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE);
    message = sized(put("a/2", 2, false, 6, 952), 3000, 7);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CHANGED);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CHANGED, "a late repeat gets the same");
    message = sized(put("a/2", 0, true, 6, 1024), 3000, 7);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CHANGED, "of any block");
    cr_assert_eq(atomic_load(&rig->uploads), 1);

    message = sized(put("a/3", 0, true, 6, 1024), 2048, 0);
    message.request_tag =
        (struct covey_coap_tag){.size = 8, .bytes = {1, 2, 3, 4, 5, 6, 7, 8}, .present = true};
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE);
    message.block1.number = 1;
    message.block1.more = false;
    cr_assert_eq(say(rogue, &message), COVEY_CODE_UNPROCESSABLE,
                 "eight bytes are a hash, and this one is wrong");
    cr_assert_eq(atomic_load(&rig->uploads), 1);
    rogue_stop(rogue);
    rig_stop(rig);
}

/* A device may have four uploads under way; the fifth waits. All devices together have the memory that was
 * configured. */
Test(hostile, caps, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 5000, 1);
    struct rogue *rogue = rogue_start(rig, "device-bad");
    for (uint8_t i = 0; i < COVEY_TRANSFERS_PER_PEER; i++) {
        struct covey_coap_message message = sized(put("a/1", 0, true, 6, 1024), 16u << 20, i);
        uint8_t code = say(rogue, &message);
        /* 64 MiB in all, and each costs a little more than 16 */
        cr_assert_eq(code, i < 3 ? COVEY_CODE_CONTINUE : COVEY_CODE_UNAVAILABLE, "%u: %x", i, code);
    }
    cr_assert_leq(memory_in_use(rig), 64u << 20);
    struct covey_coap_message message = sized(put("a/1", 0, true, 6, 1024), 4096, 9);
    cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE);
    message.request_tag.bytes[0] = 10;
    cr_assert_eq(say(rogue, &message), COVEY_CODE_TOO_MANY, "the fifth");
    struct rogue *other = rogue_start(rig, "device-other");
    cr_assert_eq(say(other, &message), COVEY_CODE_CONTINUE, "another device is not touched");
    rogue_stop(other);
    rogue_stop(rogue);
    expect_service(rig);
    rig_stop(rig);
}

/* One block at a time without tag or size, as a plain client does; with a repeat, and a smaller block size on
 * the way. */
Test(hostile, plain_client, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 5000, 1);
    struct rogue *rogue = rogue_start(rig, "device-plain");
    for (int round = 1; round <= 2; round++) {
        struct covey_coap_message message = put("a/9", 0, true, 6, 1024);
        cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE);
        cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE);
        message = put("a/9", 16, true, 2, 64); /* 1024 = 16 * 64 */
        cr_assert_eq(say(rogue, &message), COVEY_CODE_CONTINUE);
        message = put("a/9", 18, true, 2, 64);
        cr_assert_eq(say(rogue, &message), COVEY_CODE_INCOMPLETE, "a gap");
        message = put("a/9", 17, false, 2, 10);
        cr_assert_eq(say(rogue, &message), COVEY_CODE_CHANGED);
        cr_assert_eq(say(rogue, &message), COVEY_CODE_CHANGED);
        cr_assert_eq(atomic_load(&rig->uploads), round);
        cr_assert_eq(rig->last_body_bytes, 1024 + 64 + 10);
    }
    cr_assert_eq(memory_in_use(rig), 0);
    rogue_stop(rogue);
    rig_stop(rig);
}

/* ---- strangers ---- */

static int open_socket(struct rig *rig)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found;
    char port[8];
    snprintf(port, sizeof port, "%u", rig->port);
    if (getaddrinfo("localhost", port, &hints, &found) != 0) /* no /etc/hosts? then as the transport does */
        cr_assert_eq(getaddrinfo("127.0.0.1", port, &hints, &found), 0);
    const struct addrinfo *at = found;
    while (at->ai_family != AF_INET6 && at->ai_next != NULL)
        at = at->ai_next;
    int fd = socket(at->ai_family, SOCK_DGRAM, 0);
    cr_assert_eq(connect(fd, at->ai_addr, at->ai_addrlen), 0);
    freeaddrinfo(found);
    return fd;
}

/* Noise, plain CoAP, cut records, and ClientHellos without a cookie from two thousand ports (fault 1). */
Test(hostile, strangers, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 5000, 1);
    expect_service(rig);
    uint64_t before = resident_bytes();
    struct covey_random random;
    covey_random_init(&random, 5, 5, 5, COVEY_PURPOSE_TEST);
    uint8_t noise[1400];
    int fd = open_socket(rig);
    for (int i = 0; i < 3000; i++) {
        size_t size = 1 + covey_random_below(&random, sizeof noise);
        for (size_t k = 0; k < size; k++)
            noise[k] = (uint8_t)covey_random_u32(&random);
        if (i % 3 == 1)
            memcpy(noise, "\x17\xfe\xfd\x00\x01", 5);
        else if (i % 3 == 2)
            memcpy(noise, "\x40\x01\x12\x34\xb5model", 10);
        (void)send(fd, noise, size, 0);
    }
    close(fd);
    static const uint8_t hello[] = {
        22, 0xfe, 0xfd, 0,    0,  0,  0,  0,  0,  0,  0,  0,  54, 1,  0,  0,  42, 0,    0,    0,  0,  0,  0,
        0,  42,   0xfe, 0xfd, 1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,   15,   16, 17, 18, 19,
        20, 21,   22,   23,   24, 25, 26, 27, 28, 29, 30, 31, 32, 0,  0,  0,  2,  0xc0, 0xac, 1,  0};
    for (int i = 0; i < 2000; i++) {
        fd = open_socket(rig);
        (void)send(fd, hello, sizeof hello, 0);
        close(fd);
    }
    expect_service(rig);
    cr_assert_lt(resident_bytes(), before + (8u << 20));
    struct covey_coap_host_figures figures;
    covey_coap_host_figures(rig->host.host, &figures);
    cr_assert_leq(figures.sessions, 2);
    rig_stop(rig);
}
