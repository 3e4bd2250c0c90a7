/* Requests, replies, uploads, downloads and pushes over CoAP and DTLS on loopback. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "coap_rig.h"

#define LIMIT_MS RIG_PATIENCE_MS

static struct device *connected(struct rig *rig, const char *name)
{
    struct covey_credentials credentials = rig_psk(name);
    struct device *device = device_start(&credentials);
    cr_assert(device_connect(device, rig->address), "%s", device->reason.text);
    return device;
}

Test(coap, small_request, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-1");
    struct answer answer;
    cr_assert(device_ask(device,
                         &(struct covey_request){.method = COVEY_GET, .path = "echo", .query = "a=1&b=2"},
                         &answer, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_OK);
    cr_assert_eq(answer.code, COVEY_CODE_CONTENT);
    cr_assert_eq(answer.max_age_s, 5);
    cr_assert_eq(answer.size, 7);
    cr_assert_arr_eq(answer.first, "a=1&b=2", 7);
    cr_assert(device_ask(device, &(struct covey_request){.method = COVEY_GET, .path = "missing"}, &answer,
                         LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_NOT_FOUND);
    cr_assert(device_ask(device, &(struct covey_request){.method = COVEY_GET, .path = ".well-known/core"},
                         &answer, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CONTENT);
    cr_assert_arr_eq(answer.first, "</where>", 8);
    device_stop(device);
    rig_stop(rig);
}

Test(coap, download, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 300001, 1);
    struct device *device = connected(rig, "device-1");
    struct answer answer;
    struct covey_request request = {.method = COVEY_GET, .path = "model", .reply_limit_bytes = 300001};
    cr_assert(device_ask(device, &request, &answer, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_OK, "%s", covey_status_text(answer.status));
    cr_assert_eq(answer.size, 300001);
    cr_assert(covey_hash_equal(&answer.hash, covey_blob_hash(rig->model)));
    request.expect = covey_blob_hash(rig->model);
    request.expect_bytes = 300001;
    cr_assert(device_ask(device, &request, &answer, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_OK, "%s", covey_status_text(answer.status));
    struct covey_hash wrong = {{1}};
    request.expect = &wrong;
    cr_assert(device_ask(device, &request, &answer, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_CORRUPT);
    request = (struct covey_request){.method = COVEY_GET, .path = "model", .reply_limit_bytes = 300000};
    cr_assert(device_ask(device, &request, &answer, LIMIT_MS));
    cr_assert_eq(answer.status, COVEY_LIMIT);
    device_stop(device);
    rig_stop(rig);
}

Test(coap, upload, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-2");
    static uint8_t body[262144];
    struct covey_hash hash;
    struct answer answer;
    fill_bytes(body, sizeof body, 5);
    static const size_t sizes[] = {1, 1000, 1024, 1025, 2048, 100000, sizeof body};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct covey_request request = {.method = COVEY_PUT,
                                        .path = "f/digits/a/0123456789abcdef",
                                        .content_format = 60,
                                        .body = {body, sizes[i]}};
        cr_assert(device_ask(device, &request, &answer, LIMIT_MS), "%zu", sizes[i]);
        cr_assert_eq(answer.code, COVEY_CODE_CHANGED, "%zu: %x %s", sizes[i], answer.code, answer.first);
        cr_assert_eq(covey_hash_bytes(request.body, &hash), COVEY_OK);
        cr_assert(covey_hash_equal(&hash, &rig->last_body));
        cr_assert_eq(rig->last_body_bytes, sizes[i]);
        cr_assert_str_eq(rig->last_name, "device-2");
        cr_assert_eq(atomic_load(&rig->uploads), (int)i + 1, "served once");
    }
    device_stop(device);
    rig_stop(rig);
}

Test(coap, observe_and_notify, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-1");
    struct answer answer = {0};
    uint32_t id;
    struct covey_request request = {.method = COVEY_GET, .path = "plan"};
    cr_assert_eq(device->link.ops->observe(device->link.link, &request, answer_taken, &answer, &id, NULL),
                 COVEY_OK);
    cr_assert(device_await(device, &answer, 1, LIMIT_MS));
    cr_assert(rig->host.ops->present(rig->host.host, "device-1"));
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(rig->host.ops->notify(rig->host.host, "device-1", "plan", rig->small, 60), COVEY_OK);
        cr_assert(device_await(device, &answer, 2 + i, LIMIT_MS));
        cr_assert_eq(answer.size, 12);
    }
    device->link.ops->cancel(device->link.link, id);
    for (int i = 0; i < 5; i++)
        device->link.ops->run(device->link.link, 20);
    cr_assert_eq(rig->host.ops->notify(rig->host.host, "device-1", "plan", rig->small, 60), COVEY_OK);
    for (int i = 0; i < 5; i++)
        device->link.ops->run(device->link.link, 20);
    cr_assert_eq(answer.calls, 6);
    device_stop(device);
    rig_stop(rig);
}

Test(coap, separate_response, .timeout = 900)
{
    struct rig *rig = rig_start(NULL, 100, 1);
    struct device *device = connected(rig, "device-1");
    static uint8_t body[50000];
    struct answer answer = {0};
    atomic_store(&rig->hold_uploads, 1);
    struct covey_request request = {.method = COVEY_PUT, .path = "a/1", .body = {body, sizeof body}};
    cr_assert_eq(device->link.ops->request(device->link.link, &request, answer_taken, &answer, NULL, NULL),
                 COVEY_OK);
    while (rig_held(rig) == 0) /* the request ends by itself, with its link, at the latest */
        cr_assert_not(device_await(device, &answer, 1, 20));
    cr_assert_not(device_await(device, &answer, 1, 1500));
    cr_assert_eq(atomic_load(&rig->uploads), 1, "repeats of the last block are not served again");
    rig_release(rig, COVEY_CODE_CHANGED);
    cr_assert(device_await(device, &answer, 1, LIMIT_MS));
    cr_assert_eq(answer.code, COVEY_CODE_CHANGED);
    device_stop(device);
    rig_stop(rig);
}
