/* One request of a device against answers made by hand: what no well-behaved server on a loopback sends. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "coap_call.h"
#include "covey/coap.h"
#include "covey/hash.h"
#include "covey/messages.h"

#define ROOM 1119
#define ANY 0xffffffffu

static uint8_t body[5 * 1024 + 7];
static struct covey_block_path path;

static struct covey_coap_call *make(const struct covey_request *request, bool observe)
{
    struct covey_coap_call *call;
    struct covey_error err = {0};
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    covey_block_path_init(&path, 100000);
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 13);
    cr_assert_eq(covey_coap_call_create(request, observe, ROOM, &path, 0, &call, &err), COVEY_OK, "%s",
                 err.text);
    call->token = 0x1234;
    return call;
}

static struct covey_coap_message next(struct covey_coap_call *call, uint64_t now_us)
{
    struct covey_coap_move move;
    covey_coap_call_next(call, now_us, 32, &move);
    cr_assert_eq(move.step, COVEY_COAP_STEP_SEND);
    cr_assert(move.message.token.bytes[0] == 0x12 && move.message.token.bytes[1] == 0x34);
    return move.message;
}

static void expect_wait(struct covey_coap_call *call, uint64_t now_us)
{
    struct covey_coap_move move;
    covey_coap_call_next(call, now_us, 32, &move);
    cr_assert_eq(move.step, COVEY_COAP_STEP_WAIT);
}

static struct covey_coap_message answer_to(const struct covey_coap_message *request, uint8_t code)
{
    struct covey_coap_message answer;
    covey_coap_message_init(&answer, COVEY_COAP_KIND_NON, code);
    answer.token = request->token;
    answer.block1 = request->block1;
    return answer;
}

static void expect_reply(struct covey_coap_call *call, enum covey_status status, uint8_t code)
{
    struct covey_reply reply;
    cr_assert_eq(call->phase, COVEY_COAP_PHASE_DONE);
    cr_assert(covey_coap_call_take_reply(call, &reply));
    cr_assert_eq(reply.status, status, "%s", covey_status_text(reply.status));
    cr_assert_eq(reply.code, code);
}

static const struct covey_request upload = {
    .method = COVEY_PUT, .path = "f/x/a/1", .content_format = 60, .body = {body, sizeof body}};

/* Sends blocks 0 to 4 and has them acknowledged; returns the request of the last one. */
static struct covey_coap_message send_all(struct covey_coap_call *call)
{
    struct covey_coap_message sent[5];
    for (uint32_t i = 0; i < 5; i++) {
        sent[i] = next(call, 1);
        cr_assert_eq(sent[i].block1.number, i);
        cr_assert(sent[i].block1.more && sent[i].sized1 && sent[i].size1 == sizeof body);
        cr_assert_eq(sent[i].request_tag.size, 8);
        cr_assert_eq(sent[i].payload.size, 1024);
    }
    expect_wait(call, 2);
    for (uint32_t i = 0; i < 5; i++) {
        struct covey_coap_message answer = answer_to(&sent[i], COVEY_CODE_CONTINUE);
        covey_coap_call_answer(call, &answer, 40000);
    }
    struct covey_coap_message last = next(call, 40001);
    cr_assert_eq(last.block1.number, 5);
    cr_assert_not(last.block1.more);
    cr_assert_eq(last.payload.size, 7);
    return last;
}

Test(coap_call, missing_blocks_are_asked_for_and_sent, .timeout = 30)
{
    struct covey_coap_call *call = make(&upload, false);
    struct covey_coap_message last = send_all(call);
    struct covey_coap_message incomplete = answer_to(&last, COVEY_CODE_INCOMPLETE);
    covey_coap_call_answer(call, &incomplete, 80000);
    cr_assert_eq(call->phase, COVEY_COAP_PHASE_ASK);
    struct covey_coap_message ask = next(call, 80001);
    cr_assert_eq(ask.code, COVEY_GET);
    cr_assert_str_eq(ask.path, "f/x/a/1");
    covey_coap_call_answer(call, &incomplete, 80002); /* a late one is no answer to that */
    cr_assert_eq(call->phase, COVEY_COAP_PHASE_ASK);
    uint8_t encoded[512];
    size_t encoded_bytes;
    struct covey_upload_state state = {.total_bytes = sizeof body,
                                       .block_bytes = 1024,
                                       .range_count = 1,
                                       .missing = {{.first = 1, .count = 2}}};
    cr_assert_eq(covey_upload_state_encode(&state, encoded, sizeof encoded, &encoded_bytes), COVEY_OK);
    struct covey_coap_message told = answer_to(&ask, COVEY_CODE_CONTENT);
    told.payload = (struct covey_bytes){encoded, encoded_bytes};
    covey_coap_call_answer(call, &told, 120000);
    for (uint32_t i = 1; i <= 2; i++) {
        struct covey_coap_message block = next(call, 120001);
        cr_assert_eq(block.block1.number, i);
        struct covey_coap_message answer = answer_to(&block, COVEY_CODE_CONTINUE);
        covey_coap_call_answer(call, &answer, 160000);
    }
    last = next(call, 160001);
    cr_assert_eq(last.block1.number, 5);
    covey_coap_call_answer(call, &incomplete, 160002); /* of the first round */
    cr_assert_eq(call->phase, COVEY_COAP_PHASE_MOVE);
    struct covey_coap_message done = answer_to(&last, COVEY_CODE_CHANGED);
    covey_coap_call_answer(call, &done, 200000);
    expect_reply(call, COVEY_OK, COVEY_CODE_CHANGED);
    covey_coap_call_destroy(call);
}

/* What another process may have sent: the server is asked first. */
Test(coap_call, nothing_is_sent_of_what_was_taken_before, .timeout = 30)
{
    static const struct covey_upload_state states[] = {{.complete = 1}, {.complete = 0}};
    for (int i = 0; i < 2; i++) {
        struct covey_coap_call *call = make(&upload, false);
        covey_coap_call_resume(call, 0);
        struct covey_coap_message ask = next(call, 1);
        cr_assert_eq(ask.code, COVEY_GET);
        uint8_t encoded[512];
        size_t encoded_bytes;
        cr_assert_eq(covey_upload_state_encode(&states[i], encoded, sizeof encoded, &encoded_bytes),
                     COVEY_OK);
        struct covey_coap_message told = answer_to(&ask, COVEY_CODE_CONTENT);
        told.payload = (struct covey_bytes){encoded, encoded_bytes};
        covey_coap_call_answer(call, &told, 40000);
        if (states[i].complete) {
            expect_reply(call, COVEY_OK, COVEY_CODE_CHANGED);
        } else { /* it has nothing: all of it, from the start */
            cr_assert_eq(next(call, 40001).block1.number, 0);
        }
        covey_coap_call_destroy(call);
    }
}

/* A server that never has it whole is not asked for ever. */
Test(coap_call, asking_ends, .timeout = 30)
{
    struct covey_coap_call *call = make(&upload, false);
    struct covey_coap_message last = send_all(call);
    uint64_t now = 80000;
    int asks = 0;
    while (call->phase != COVEY_COAP_PHASE_DONE && asks < 100) {
        struct covey_coap_message incomplete = answer_to(&last, COVEY_CODE_INCOMPLETE);
        covey_coap_call_answer(call, &incomplete, ++now);
        if (call->phase != COVEY_COAP_PHASE_ASK)
            break;
        asks++;
        struct covey_coap_message ask = next(call, ++now), nothing = answer_to(&ask, COVEY_CODE_NOT_FOUND);
        covey_coap_call_answer(call, &nothing, ++now);
        for (uint32_t i = 0; i < 5; i++) { /* from the start then */
            struct covey_coap_message block = next(call, ++now),
                                      fine = answer_to(&block, COVEY_CODE_CONTINUE);
            covey_coap_call_answer(call, &fine, ++now);
        }
        last = next(call, ++now);
    }
    cr_assert_eq(asks, COVEY_COAP_ASKS);
    expect_reply(call, COVEY_OK, COVEY_CODE_INCOMPLETE);
    covey_coap_call_destroy(call);
}

Test(coap_call, refusals_end_an_upload_early, .timeout = 30)
{
    static const uint8_t codes[] = {COVEY_CODE_TOO_LARGE,     COVEY_CODE_FORBIDDEN,   COVEY_CODE_CONFLICT,
                                    COVEY_CODE_UNPROCESSABLE, COVEY_CODE_UNAVAILABLE, COVEY_CODE_CHANGED};
    for (size_t i = 0; i < sizeof codes; i++) {
        struct covey_coap_call *call = make(&upload, false);
        struct covey_coap_message first = next(call, 1), answer = answer_to(&first, codes[i]);
        covey_coap_call_answer(call, &answer, 2);
        expect_reply(call, COVEY_OK, codes[i]);
        covey_coap_call_destroy(call);
    }
}

static struct covey_coap_message block_of(const struct covey_coap_message *request, uint32_t number,
                                          bool more, uint8_t szx, size_t size, uint32_t total, uint8_t etag)
{
    struct covey_coap_message answer = answer_to(request, COVEY_CODE_CONTENT);
    answer.block2 = (struct covey_coap_block){.number = number, .more = more, .szx = szx, .present = true};
    answer.sized2 = total != ANY;
    answer.size2 = total;
    answer.etag = (struct covey_coap_tag){.size = 1, .bytes = {etag}, .present = true};
    answer.payload = (struct covey_bytes){body + (size_t)number * (16u << szx), size};
    return answer;
}

Test(coap_call, downloads_that_are_refused, .timeout = 30)
{
    static const struct {
        const char *what;
        uint32_t total, number;
        uint8_t szx;
        bool more;
        size_t size;
        enum covey_status status;
    } table[] = {
        {"over the limit", 3001, 0, 6, true, 1024, COVEY_LIMIT},
        {"4 GiB", 0xfffffff0u, 0, 6, true, 1024, COVEY_LIMIT},
        {"no size", ANY, 0, 6, true, 1024, COVEY_UNSUPPORTED},
        {"nothing", 0, 0, 6, false, 0, COVEY_CORRUPT},
        {"larger blocks than asked for", 3000, 0, 7, true, 1024, COVEY_CORRUPT},
        {"past its own size", 2048, 2, 6, true, 1024, COVEY_CORRUPT},
        {"a short block", 3000, 0, 6, true, 1000, COVEY_CORRUPT},
        {"last where it is not", 3000, 0, 6, false, 1024, COVEY_CORRUPT},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct covey_request request = {.method = COVEY_GET, .path = "d", .reply_limit_bytes = 3000};
        struct covey_coap_call *call = make(&request, false);
        struct covey_coap_message get = next(call, 1);
        struct covey_coap_message answer =
            block_of(&get, table[i].number, table[i].more, table[i].szx, table[i].size, table[i].total, 1);
        covey_coap_call_answer(call, &answer, 2);
        cr_assert_eq(call->phase, COVEY_COAP_PHASE_DONE, "%s", table[i].what);
        expect_reply(call, table[i].status, 0);
        covey_coap_call_destroy(call);
    }
}

/* The server wants blocks of 512: the download goes on with them. */
Test(coap_call, smaller_blocks, .timeout = 30)
{
    struct covey_request request = {.method = COVEY_GET, .path = "d", .reply_limit_bytes = 1500};
    struct covey_coap_call *call = make(&request, false);
    struct covey_coap_message get = next(call, 1), answer = block_of(&get, 0, true, 5, 512, 1500, 1);
    covey_coap_call_answer(call, &answer, 2);
    for (uint32_t i = 1; i <= 2; i++) {
        get = next(call, 3);
        cr_assert_eq(get.block2.szx, 5);
        answer = block_of(&get, get.block2.number, get.block2.number < 2, 5,
                          get.block2.number < 2 ? 512 : 476, 1500, 1);
        covey_coap_call_answer(call, &answer, 4);
    }
    struct covey_reply reply;
    cr_assert(covey_coap_call_take_reply(call, &reply));
    cr_assert_eq(reply.status, COVEY_OK);
    cr_assert_eq(reply.body.size, 1500);
    cr_assert_arr_eq(reply.body.data, body, 1500);
    covey_coap_call_destroy(call);
}

/* Notifications that overtake each other: the older one is not handed on (RFC 7641 section 3.4), over the
 * wrap too. */
Test(coap_call, notifications_in_order, .timeout = 30)
{
    struct covey_request request = {.method = COVEY_GET, .path = "plan"};
    struct covey_coap_call *call = make(&request, true);
    struct covey_coap_message get = next(call, 1);
    cr_assert(get.observed && get.observe == 0);
    static const struct {
        uint32_t sequence;
        uint64_t at_us;
        bool fresh;
    } table[] = {{10, 1, true},        {12, 2, true},       {11, 3, false},      {12, 4, false},
                 {0xfffff0, 5, false}, {0x700000, 6, true}, {0xe00000, 7, true}, {5, 8, true},
                 {0xfffff0, 9, false}, {4, 200000000, true}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct covey_coap_message news = answer_to(&get, COVEY_CODE_CONTENT);
        struct covey_reply reply;
        news.observed = true;
        news.observe = table[i].sequence;
        covey_coap_call_answer(call, &news, table[i].at_us);
        cr_assert_eq(covey_coap_call_take_reply(call, &reply), table[i].fresh, "%zu", i);
    }
    struct covey_coap_message gone = answer_to(&get, COVEY_CODE_NOT_FOUND);
    covey_coap_call_answer(call, &gone, 10);
    expect_reply(call, COVEY_OK, COVEY_CODE_NOT_FOUND);
    covey_coap_call_destroy(call);
}

Test(coap_call, requests_that_cannot_be, .timeout = 30)
{
    static char long_path[COVEY_PATH_BYTES + 1];
    struct covey_coap_call *call;
    memset(long_path, 'x', COVEY_PATH_BYTES);
    struct covey_request request = {.method = COVEY_GET, .path = long_path};
    cr_assert_eq(covey_coap_call_create(&request, false, ROOM, &path, 0, &call, NULL), COVEY_LIMIT);
    request = (struct covey_request){.method = COVEY_GET, .path = "x", .query = long_path};
    cr_assert_eq(covey_coap_call_create(&request, false, ROOM, &path, 0, &call, NULL), COVEY_LIMIT);
    request =
        (struct covey_request){.method = COVEY_GET, .path = "x", .expect_bytes = 10, .reply_limit_bytes = 9};
    cr_assert_eq(covey_coap_call_create(&request, false, ROOM, &path, 0, &call, NULL), COVEY_LIMIT);
    /* a long path leaves less room: smaller blocks */
    long_path[150] = '\0';
    request = (struct covey_request){.method = COVEY_PUT, .path = long_path, .body = {body, sizeof body}};
    call = make(&request, false);
    struct covey_coap_message first = next(call, 1);
    cr_assert_eq(first.block1.szx, 5);
    cr_assert_eq(first.payload.size, 512);
    covey_coap_call_destroy(call);
    /* but not in the answers to a GET: they do not repeat it */
    request = (struct covey_request){.method = COVEY_GET,
                                     .path = long_path,
                                     .expect_bytes = sizeof body,
                                     .reply_limit_bytes = sizeof body};
    call = make(&request, false);
    cr_assert_eq(next(call, 1).block2.szx, COVEY_COAP_SZX_MAX);
    covey_coap_call_destroy(call);
}
