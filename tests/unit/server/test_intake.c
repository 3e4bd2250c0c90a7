/* What comes from outside: each kind of bad input, the code it gets, and that the round goes on. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/device_metrics.h"
#include "covey/hash.h"
#include "covey/messages.h"
#include "fake_host.h"

#define DEVICES 2

struct rig {
    char folder[64];
    struct fake_model model;
    struct covey_key *signer;
    struct covey_federation_options federation;
    struct covey_server_options options;
    struct covey_server *server;
    struct fake_host host;
    struct covey_plan plan; /* of "good" */
    struct covey_hash base;
};

static void set_up(struct rig *rig, const char *codec)
{
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    fake_folder_make(rig->folder);
    fake_model_init(&rig->model, 40);
    cr_assert_eq(covey_key_generate(&rig->signer, NULL), COVEY_OK);
    fake_options(&rig->model, &rig->federation, &rig->options, rig->folder, rig->signer);
    (void)snprintf(rig->federation.codec, sizeof rig->federation.codec, "%s", codec);
    rig->federation.rules.stop_rounds = 1;
    rig->federation.norm_limit = 1e6;
    struct covey_error err = {0};
    cr_assert_eq(covey_server_create(&rig->options, &rig->server, &err), COVEY_OK, "%s", err.text);
    fake_host_start(&rig->host, rig->server);
    fake_come(&rig->host, "good", true);
    fake_come(&rig->host, "other", true);
    (void)fake_plan(&rig->host, "good", "digits");
    (void)fake_plan(&rig->host, "other", "digits");
    rig->plan = fake_await(&rig->host, "good", "digits", COVEY_PLAN_TRAIN, 1);
    struct covey_manifest manifest;
    free(fake_fetch(&rig->host, "good", "digits", &rig->plan, rig->signer, NULL, &manifest));
    rig->base = manifest.model;
}

static void tear_down(struct rig *rig)
{
    fake_host_stop(&rig->host);
    covey_server_destroy(rig->server);
    fake_model_deinit(&rig->model);
    covey_key_destroy(rig->signer);
    fake_folder_remove(rig->folder);
}

static uint8_t put(struct rig *rig, const char *device, const char *path, const uint8_t *body, size_t size)
{
    struct fake_answer answer;
    fake_request(&rig->host, device, COVEY_PUT, path, (struct covey_bytes){body, size}, false, &answer);
    if (!covey_code_is_success(answer.code))
        cr_expect_gt(answer.size, 0, "a refusal of %u.%02u says nothing", answer.code >> 5, answer.code & 31);
    free(answer.body);
    return answer.code;
}

/* ------------------------------------------------------------------ messages made wrong */

/* Rewrites the update of the plan with other fields and a stream of its own. */
static uint8_t *remake(const struct rig *rig, void (*change)(struct covey_update *update),
                       const char *codec_name, size_t count, float last, size_t *size)
{
    struct covey_codec codec;
    cr_assert_eq(covey_codec_parse(codec_name, &codec, NULL), COVEY_OK);
    float *values = calloc(count, sizeof *values);
    const size_t bound = covey_codec_bound(&codec, count),
                 scratch_bytes = covey_codec_scratch_bytes(&codec, count);
    uint8_t *stream = malloc(bound), *out = malloc(bound + COVEY_UPDATE_HEAD_BYTES);
    void *scratch = aligned_alloc(64, scratch_bytes / 64 * 64 + 64);
    const struct covey_encode_options options = {.scratch = scratch, .scratch_bytes = scratch_bytes};
    size_t stream_bytes = 0;
    for (size_t i = 0; i < count; i++)
        values[i] = 0.01f;
    cr_assert_eq(
        covey_codec_encode(&codec, values, count, &options, stream, bound, &stream_bytes, NULL, NULL),
        COVEY_OK);
    if (strcmp(codec_name, "raw32") == 0)
        memcpy(stream + stream_bytes - 4, &last, 4); /* raw32: the last value is the last four bytes */
    struct covey_update update = {.assignment = rig->plan.assignment,
                                  .model = rig->base,
                                  .examples = 10,
                                  .steps = 1,
                                  .loss_before = 1,
                                  .loss_after = 1,
                                  .clipped = 1,
                                  .stream = {stream, stream_bytes}};
    if (change != NULL)
        change(&update);
    struct covey_error err = {0};
    cr_assert_eq(covey_update_encode(&update, out, bound + COVEY_UPDATE_HEAD_BYTES, size, &err), COVEY_OK,
                 "%s", err.text);
    free(scratch);
    free(stream);
    free(values);
    return out;
}

static void other_base(struct covey_update *update)
{
    update->model.bytes[0] ^= 1;
}
static void other_assignment(struct covey_update *update)
{
    update->assignment.bytes[0] ^= 1;
}

Test(intake, refuses_each_kind_of_bad_update_with_its_code_and_goes_on)
{
    struct rig rig;
    set_up(&rig, "raw32");
    const size_t count = rig.model.layout.update_count;
    char path[COVEY_PATH_BYTES];
    fake_put_path(&rig.plan, "digits", path);
    const float nan = __builtin_nanf(""), infinite = __builtin_inff();
    struct {
        const char *what;
        void (*change)(struct covey_update *);
        const char *codec;
        size_t count;
        float last;
        uint8_t code;
    } const cases[] = {
        {"another base model", other_base, "raw32", count, 0, COVEY_CODE_CONFLICT},
        {"another assignment inside", other_assignment, "raw32", count, 0, COVEY_CODE_BAD_REQUEST},
        {"one value too few", NULL, "raw32", count - 1, 0, COVEY_CODE_UNPROCESSABLE},
        {"half of the values", NULL, "raw32", count / 2, 0, COVEY_CODE_UNPROCESSABLE},
        {"not a number", NULL, "raw32", count, nan, COVEY_CODE_UNPROCESSABLE},
        {"infinite", NULL, "raw32", count, infinite, COVEY_CODE_UNPROCESSABLE},
        {"longer than the norm limit", NULL, "raw32", count, 1e7f, COVEY_CODE_UNPROCESSABLE},
        {"another codec than the plan says", NULL, "int8", count, 0, COVEY_CODE_UNPROCESSABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t size = 0;
        uint8_t *body = remake(&rig, cases[i].change, cases[i].codec, cases[i].count, cases[i].last, &size);
        const uint8_t code = put(&rig, "good", path, body, size);
        cr_expect_eq(code, cases[i].code, "%s: %u.%02u", cases[i].what, code >> 5, code & 31);
        free(body);
    }

    /* bytes that are no message at all */
    size_t size = 0;
    uint8_t *body = remake(&rig, NULL, "raw32", count, 0, &size);
    for (size_t cut = 1; cut < size; cut = cut < 200 ? cut + 1 : cut * 2)
        cr_expect_eq(put(&rig, "good", path, body, cut), COVEY_CODE_BAD_REQUEST, "cut at %zu", cut);
    uint8_t nested[4096];
    memset(nested, 0x81, sizeof nested); /* arrays of one array of one array ... */
    cr_expect_eq(put(&rig, "good", path, nested, sizeof nested), COVEY_CODE_BAD_REQUEST);
    memset(nested, 0xff, sizeof nested);
    cr_expect_eq(put(&rig, "good", path, nested, sizeof nested), COVEY_CODE_BAD_REQUEST);
    cr_expect_eq(put(&rig, "good", path, NULL, 0), COVEY_CODE_BAD_REQUEST, "no bytes");
    uint8_t *large = calloc(1, size + 10000);
    cr_expect_eq(put(&rig, "good", path, large, size + 10000), COVEY_CODE_TOO_LARGE);
    free(large);
    free(body);

    /* whose it is */
    char elsewhere[COVEY_PATH_BYTES];
    body = remake(&rig, NULL, "raw32", count, 0, &size);
    cr_expect_eq(put(&rig, "other", path, body, 100), COVEY_CODE_FORBIDDEN, "another device's assignment");
    cr_expect_eq(put(&rig, "other", path, body, size), COVEY_CODE_NOT_FOUND,
                 "in blocks it is refused before the ledger is asked whose it is");
    (void)snprintf(elsewhere, sizeof elsewhere, "f/digits/a/0123456789abcdef");
    cr_expect_eq(put(&rig, "good", elsewhere, body, size), COVEY_CODE_NOT_FOUND);
    cr_expect_eq(put(&rig, "good", "f/digits/a/xyz", body, size), COVEY_CODE_NOT_FOUND);
    cr_expect_eq(put(&rig, "good", "f/nothing/a/0123456789abcdef", body, size), COVEY_CODE_NOT_FOUND);
    cr_expect_eq(put(&rig, "good", "f/digits/plan", body, size), COVEY_CODE_METHOD_NOT_ALLOWED);

    /* after all that: taken, and the same again is the same, and other bytes are not */
    cr_expect_eq(put(&rig, "good", path, body, size), COVEY_CODE_CHANGED);
    cr_expect_eq(put(&rig, "good", path, body, size), COVEY_CODE_CHANGED);
    body[size - 5] ^= 1;
    cr_expect_eq(put(&rig, "good", path, body, size), COVEY_CODE_CONFLICT);
    free(body);
    struct fake_answer answer;
    struct covey_upload_state state;
    fake_request(&rig.host, "good", COVEY_GET, path, (struct covey_bytes){0}, false, &answer);
    cr_assert_eq(answer.code, COVEY_CODE_CONTENT);
    cr_assert_eq(covey_upload_state_decode((struct covey_bytes){answer.body, answer.size}, &state, NULL),
                 COVEY_OK);
    cr_expect(state.complete);
    free(answer.body);

    /* the round ends with the other one, and the model is finite */
    const struct covey_plan other = fake_await(&rig.host, "other", "digits", COVEY_PLAN_TRAIN, 1);
    cr_expect_eq(fake_work(&rig.host, &rig.model, "other", "digits", &other, rig.signer), COVEY_CODE_CHANGED);
    (void)fake_await(&rig.host, "good", "digits", COVEY_PLAN_DONE, 0);
    /* and a repeat after the end still hears that it was recorded */
    body = remake(&rig, NULL, "raw32", count, 0, &size);
    cr_expect_eq(put(&rig, "good", path, body, size), COVEY_CODE_CHANGED);
    free(body);
    tear_down(&rig);
}

/* A device that does not know what became of its update asks, long after too. */
static void expect_account(struct rig *rig, const char *device, const char *path, uint8_t code, bool complete)
{
    struct fake_answer answer;
    struct covey_upload_state state = {0};
    fake_request(&rig->host, device, COVEY_GET, path, (struct covey_bytes){0}, false, &answer);
    cr_assert_eq(answer.code, code, "%s of %s: %u.%02u", path, device, answer.code >> 5, answer.code & 31);
    if (code == COVEY_CODE_CONTENT) {
        cr_assert_eq(covey_upload_state_decode((struct covey_bytes){answer.body, answer.size}, &state, NULL),
                     COVEY_OK);
        cr_assert_eq((bool)state.complete, complete);
    }
    free(answer.body);
}

static void forget_rounds(struct rig *rig)
{
    fake_host_stop(&rig->host);
    covey_server_destroy(rig->server);
    cr_assert_eq(covey_server_create(&rig->options, &rig->server, NULL), COVEY_OK);
    fake_host_start(&rig->host, rig->server);
    fake_come(&rig->host, "good", true);
    fake_come(&rig->host, "other", true);
}

Test(intake, says_what_became_of_an_update)
{
    struct rig rig;
    set_up(&rig, "int8");
    char good[COVEY_PATH_BYTES], other[COVEY_PATH_BYTES];
    const struct covey_plan plan = fake_await(&rig.host, "other", "digits", COVEY_PLAN_TRAIN, 1);
    fake_put_path(&rig.plan, "digits", good);
    fake_put_path(&plan, "digits", other);
    expect_account(&rig, "good", good, COVEY_CODE_CONTENT, false);
    cr_expect_eq(fake_work(&rig.host, &rig.model, "good", "digits", &rig.plan, rig.signer),
                 COVEY_CODE_CHANGED);
    expect_account(&rig, "good", good, COVEY_CODE_CONTENT, true);
    forget_rounds(&rig); /* in mid-round */
    expect_account(&rig, "good", good, COVEY_CODE_CONTENT, true);
    expect_account(&rig, "other", other, COVEY_CODE_CONTENT, false);
    expect_account(&rig, "other", good, COVEY_CODE_FORBIDDEN, false);
    expect_account(&rig, "good", "f/digits/a/0123456789abcdef", COVEY_CODE_NOT_FOUND, false);
    cr_expect_eq(fake_work(&rig.host, &rig.model, "other", "digits", &plan, rig.signer), COVEY_CODE_CHANGED);
    (void)fake_await(&rig.host, "good", "digits", COVEY_PLAN_DONE, 0);
    forget_rounds(&rig); /* now only the ledger knows */
    expect_account(&rig, "good", good, COVEY_CODE_CONTENT, true);
    expect_account(&rig, "other", other, COVEY_CODE_CONTENT, true);
    tear_down(&rig);
}

static uint8_t post_failure(struct rig *rig, const char *device, double round, double failed)
{
    struct covey_metrics metrics = {0};
    uint8_t bytes[COVEY_METRICS_BYTES];
    size_t size = 0;
    covey_metrics_add(&metrics, COVEY_METRIC_ROUND, "", round);
    covey_metrics_add(&metrics, COVEY_METRIC_FAILED, "", failed);
    cr_assert_eq(covey_metrics_encode(&metrics, bytes, sizeof bytes, &size, NULL), COVEY_OK);
    struct fake_answer answer;
    fake_request(&rig->host, device, COVEY_POST, "f/digits/metrics", (struct covey_bytes){bytes, size}, false,
                 &answer);
    free(answer.body);
    return answer.code;
}

Test(intake, does_not_wait_for_a_device_that_says_it_failed)
{
    struct rig rig;
    set_up(&rig, "int8");
    struct covey_federation_view view;
    const struct covey_plan plan = fake_await(&rig.host, "other", "digits", COVEY_PLAN_TRAIN, 1);
    cr_expect_eq(post_failure(&rig, "stranger", 1, COVEY_ROUND_DIVERGED), COVEY_CODE_CHANGED);
    cr_expect_eq(post_failure(&rig, "good", 2, COVEY_ROUND_DIVERGED), COVEY_CODE_CHANGED, "of another round");
    cr_expect_eq(post_failure(&rig, "good", 1, COVEY_ROUND_DELIVERED), COVEY_CODE_CHANGED, "none");
    cr_expect_eq(post_failure(&rig, "good", 1, -1), COVEY_CODE_CHANGED);
    fake_sleep_ms(100);
    covey_server_federation_view(rig.server, 0, &view);
    cr_expect_eq(view.round.lost, 0);
    cr_expect_eq(post_failure(&rig, "good", 1, COVEY_ROUND_DIVERGED), COVEY_CODE_CHANGED);
    for (int i = 0; i < FAKE_WAIT_MS / 10 && view.round.lost == 0; i++) {
        fake_sleep_ms(10);
        covey_server_federation_view(rig.server, 0, &view);
    }
    cr_expect_eq(view.round.lost, 1);
    /* the other one alone makes the round */
    cr_expect_eq(fake_work(&rig.host, &rig.model, "other", "digits", &plan, rig.signer), COVEY_CODE_CHANGED);
    (void)fake_await(&rig.host, "other", "digits", COVEY_PLAN_DONE, 0);
    tear_down(&rig);
}

Test(intake, weighs_declared_sizes_before_they_cost_memory)
{
    struct rig rig;
    set_up(&rig, "int8");
    struct covey_peer good = {.name = "good"}, other = {.name = "other"}, stranger = {.name = "stranger"};
    char path[COVEY_PATH_BYTES];
    fake_put_path(&rig.plan, "digits", path);
    const size_t fp32 = 4 * rig.model.layout.update_count;
    struct {
        const char *path;
        const struct covey_peer *peer;
        enum covey_method method;
        uint64_t bytes;
        uint8_t code;
    } const cases[] = {
        {path, &good, COVEY_PUT, 100, 0},
        {path, &good, COVEY_PUT, 0, COVEY_CODE_BAD_REQUEST},
        {path, &good, COVEY_PUT, fp32, COVEY_CODE_TOO_LARGE},
        {path, &good, COVEY_PUT, 4ull << 30, COVEY_CODE_TOO_LARGE},
        {path, &good, COVEY_PUT, UINT64_MAX, COVEY_CODE_TOO_LARGE},
        {path, &other, COVEY_PUT, 100, COVEY_CODE_NOT_FOUND},
        {path, &stranger, COVEY_PUT, 100, COVEY_CODE_NOT_FOUND},
        {"f/digits/a/0123456789abcdef", &good, COVEY_PUT, 100, COVEY_CODE_NOT_FOUND},
        {"f/digits/metrics", &good, COVEY_POST, COVEY_METRICS_BYTES, 0},
        {"f/digits/metrics", &good, COVEY_POST, COVEY_METRICS_BYTES + 1, COVEY_CODE_TOO_LARGE},
        {"f/digits/plan", &good, COVEY_PUT, 1, COVEY_CODE_METHOD_NOT_ALLOWED},
        {"f/digits/plan", &good, COVEY_GET, 1, COVEY_CODE_TOO_LARGE},
        {"where", &good, COVEY_GET, 1, COVEY_CODE_TOO_LARGE},
        {"f/digits", &good, COVEY_PUT, 1, COVEY_CODE_NOT_FOUND},
        {"", &good, COVEY_PUT, 1, COVEY_CODE_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct covey_incoming incoming = {
            .method = cases[i].method, .path = cases[i].path, .query = "", .peer = cases[i].peer};
        const uint8_t code = rig.host.service.admit_body(rig.host.service.user, &incoming, cases[i].bytes);
        cr_expect_eq(code, cases[i].code, "case %zu: %u.%02u", i, code >> 5, code & 31);
    }
    tear_down(&rig);
}

Test(intake, answers_the_other_resources)
{
    struct rig rig;
    set_up(&rig, "int8");
    struct fake_answer answer;
    struct covey_where where;
    fake_request(&rig.host, "good", COVEY_GET, "where", (struct covey_bytes){0}, false, &answer);
    cr_assert_eq(covey_where_decode((struct covey_bytes){answer.body, answer.size}, &where, NULL), COVEY_OK);
    cr_expect_eq(where.port, 5684);
    free(answer.body);

    struct covey_metrics metrics = {.count = 1, .records = {{"loss", "", 0.5}}};
    uint8_t bytes[COVEY_METRICS_BYTES];
    size_t size = 0;
    cr_assert_eq(covey_metrics_encode(&metrics, bytes, sizeof bytes, &size, NULL), COVEY_OK);
    fake_request(&rig.host, "good", COVEY_POST, "f/digits/metrics", (struct covey_bytes){bytes, size}, false,
                 &answer);
    cr_expect_eq(answer.code, COVEY_CODE_CHANGED, "%s", answer.body);
    free(answer.body);
    fake_request(&rig.host, "good", COVEY_POST, "f/digits/metrics", (struct covey_bytes){bytes, size - 1},
                 false, &answer);
    cr_expect_eq(answer.code, COVEY_CODE_BAD_REQUEST);
    free(answer.body);

    static const struct {
        enum covey_method method;
        const char *path;
        uint8_t code;
    } cases[] = {
        {COVEY_GET, "f/digits/d/00", COVEY_CODE_NOT_FOUND},
        {COVEY_GET, "f/digits/d/0000000000000000000000000000000000000000000000000000000000000000",
         COVEY_CODE_NOT_FOUND},
        {COVEY_POST, "f/digits/plan", COVEY_CODE_METHOD_NOT_ALLOWED},
        {COVEY_DELETE, "where", COVEY_CODE_METHOD_NOT_ALLOWED},
        {COVEY_GET, "f/digits/", COVEY_CODE_NOT_FOUND},
        {COVEY_GET, "f//plan", COVEY_CODE_NOT_FOUND},
        {COVEY_GET, "plan", COVEY_CODE_NOT_FOUND},
        {COVEY_GET, "nothing", COVEY_CODE_NOT_FOUND},
        {COVEY_GET, "f/digits/a/0123456789abcdef", COVEY_CODE_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fake_request(&rig.host, "good", cases[i].method, cases[i].path, (struct covey_bytes){0}, false,
                     &answer);
        cr_expect_eq(answer.code, cases[i].code, "%s: %u.%02u", cases[i].path, answer.code >> 5,
                     answer.code & 31);
        free(answer.body);
    }
    tear_down(&rig);
}

/* ------------------------------------------------------------------ more than there is room for */

struct hurry {
    struct rig *rig;
    char name[32];
    struct covey_plan plan;
    uint32_t turned_away;
};

static void *hurry_in(void *user)
{
    struct hurry *hurry = user;
    struct rig *rig = hurry->rig;
    char path[COVEY_PATH_BYTES];
    size_t size = 0;
    fake_put_path(&hurry->plan, "digits", path);
    uint8_t *body = fake_update(&rig->model, hurry->name, &hurry->plan, &rig->base, 0, &size);
    for (int tries = 0; tries < FAKE_WAIT_MS; tries++) {
        struct fake_answer answer;
        fake_request(&rig->host, hurry->name, COVEY_PUT, path, (struct covey_bytes){body, size}, false,
                     &answer);
        free(answer.body);
        if (answer.code == COVEY_CODE_CHANGED)
            break;
        cr_assert_eq(answer.code, COVEY_CODE_UNAVAILABLE, "%u.%02u", answer.code >> 5, answer.code & 31);
        cr_assert_gt(answer.max_age_s, 0, "when to come back");
        hurry->turned_away++;
        fake_sleep_ms(1);
    }
    free(body);
    return NULL;
}

Test(intake, takes_one_at_a_time_where_there_is_no_room_for_two)
{
    enum { MANY = 8 };
    struct rig rig;
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    fake_folder_make(rig.folder);
    fake_model_init(&rig.model, 3000);
    cr_assert_eq(covey_key_generate(&rig.signer, NULL), COVEY_OK);
    fake_options(&rig.model, &rig.federation, &rig.options, rig.folder, rig.signer);
    rig.options.intake_memory_bytes = 1;
    rig.federation.rules.minimum_devices = MANY;
    rig.federation.rules.stop_rounds = 1;
    struct covey_error err = {0};
    cr_assert_eq(covey_server_create(&rig.options, &rig.server, &err), COVEY_OK, "%s", err.text);
    fake_host_start(&rig.host, rig.server);
    struct hurry hurries[MANY];
    pthread_t threads[MANY];
    for (int i = 0; i < MANY; i++) {
        hurries[i] = (struct hurry){.rig = &rig};
        (void)snprintf(hurries[i].name, sizeof hurries[i].name, "device-%d", i);
        fake_come(&rig.host, hurries[i].name, true);
        (void)fake_plan(&rig.host, hurries[i].name, "digits");
    }
    for (int i = 0; i < MANY; i++)
        hurries[i].plan = fake_await(&rig.host, hurries[i].name, "digits", COVEY_PLAN_TRAIN, 1);
    struct covey_manifest manifest;
    free(fake_fetch(&rig.host, "device-0", "digits", &hurries[0].plan, rig.signer, NULL, &manifest));
    rig.base = manifest.model;
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, hurry_in, &hurries[i]), 0);
    for (int i = 0; i < MANY; i++)
        pthread_join(threads[i], NULL);
    (void)fake_await(&rig.host, "device-0", "digits", COVEY_PLAN_DONE, 0);
    struct covey_federation_view view;
    covey_server_federation_view(rig.server, 0, &view);
    cr_expect_eq(view.round.completed, 1);
    cr_expect_eq(view.bytes_up_fp32, MANY * 4 * rig.model.layout.update_count);
    tear_down(&rig);
}

Test(intake, answers_repeats_of_the_last_round_after_a_restart)
{
    struct rig rig;
    set_up(&rig, "int8");
    char path[COVEY_PATH_BYTES];
    size_t size = 0;
    fake_put_path(&rig.plan, "digits", path);
    uint8_t *body = fake_update(&rig.model, "good", &rig.plan, &rig.base, 0, &size);
    cr_assert_gt(size, COVEY_BLOCK_BYTES, "it shall come in blocks");
    cr_assert_eq(put(&rig, "good", path, body, size), COVEY_CODE_CHANGED);
    const struct covey_plan other = fake_await(&rig.host, "other", "digits", COVEY_PLAN_TRAIN, 1);
    cr_assert_eq(fake_work(&rig.host, &rig.model, "other", "digits", &other, rig.signer), COVEY_CODE_CHANGED);
    (void)fake_await(&rig.host, "good", "digits", COVEY_PLAN_DONE, 0);
    fake_host_stop(&rig.host);
    covey_server_destroy(rig.server);

    struct covey_error err = {0};
    cr_assert_eq(covey_server_create(&rig.options, &rig.server, &err), COVEY_OK, "%s", err.text);
    fake_host_start(&rig.host, rig.server);
    cr_expect_eq(put(&rig, "good", path, body, size), COVEY_CODE_CHANGED, "the answer had been lost");
    body[size - 1] ^= 1;
    cr_expect_eq(put(&rig, "good", path, body, size), COVEY_CODE_CONFLICT);
    free(body);
    tear_down(&rig);
}
