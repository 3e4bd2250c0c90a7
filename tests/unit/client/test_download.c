/* What a device believes, and what it fetches: against a server that lies in every way that a manifest
 * allows. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_rig.h"
#include "client_state.h"
#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/random.h"
#include "download.h"
#include "local_model.h"

static struct client_rig rig;
static struct covey_client_state *state;
static struct covey_local_model model;
static struct covey_download download;
static struct covey_link_handle link;
static bool up, ended;
static enum covey_status result;
static enum covey_client_failure failure;
static struct covey_error reason;

static void on_state(void *user, enum covey_link_state now, const struct covey_error *why)
{
    (void)user;
    (void)why;
    up = now == COVEY_LINK_UP;
}

static void on_done(void *user, enum covey_status status, enum covey_client_failure kind, uint32_t wait_ms,
                    const struct covey_error *err)
{
    (void)user;
    (void)wait_ms;
    ended = true;
    result = status;
    failure = kind;
    reason = err != NULL ? *err : (struct covey_error){0};
}

static void set_up(void)
{
    const struct covey_link_events events = {NULL, on_state};
    client_rig_start(&rig, "", false);
    up = ended = false;
    memset(&model, 0, sizeof model);
    cr_assert(covey_client_state_open(rig.folder, "digits", NULL, NULL, &state, NULL) == COVEY_OK);
    cr_assert(covey_inprocess_link_create(rig.server.network, "device", &events, &link, NULL) == COVEY_OK);
    cr_assert(link.ops->connect(link.link, "server:1", NULL) == COVEY_OK);
    while (!up)
        link.ops->run(link.link, 1);
    download = (struct covey_download){.link = link,
                                       .federation = "digits",
                                       .trust = &rig.server.trust,
                                       .state = state,
                                       .model = &model,
                                       .done = on_done};
}

static void tear_down(void)
{
    covey_download_cancel(&download);
    link.ops->destroy(link.link);
    covey_local_model_deinit(&model);
    covey_client_state_close(state);
    client_rig_stop(&rig);
}

TestSuite(download, .init = set_up, .fini = tear_down);

/* Fetches the server's newest; true when it is installed. */
static bool fetch(void)
{
    bool there = false;
    struct covey_error err = {0};
    ended = false;
    cr_assert(covey_download_start(&download, &rig.server.manifest_hash, 0, &there, &err) == COVEY_OK, "%s",
              err.text);
    if (there)
        return true;
    for (int i = 0; i < 10000 && !ended; i++)
        link.ops->run(link.link, 1);
    cr_assert(ended, "the download never ended");
    return result == COVEY_OK;
}

static void expect_installed(void)
{
    cr_assert(model.installed && covey_hash_equal(&model.facts.model, &rig.server.model));
    cr_assert(memcmp(model.params, rig.server.params, rig.server.layout.shared_count * sizeof(float)) == 0);
    cr_assert(model.facts.sequence == rig.server.sequence);
}

Test(download, only_what_is_new)
{
    cr_assert(fetch(), "%s", reason.text);
    expect_installed();
    cr_assert(rig.server.fetches == 3, "manifest, description, model");
    cr_assert(fetch() && rig.server.fetches == 3, "all there");
    tiny_server_publish(&rig.server, .5f);
    cr_assert(fetch(), "%s", reason.text);
    expect_installed();
    cr_assert(rig.server.fetches == 5 && download.way.kind == COVEY_DOWNLOAD_DELTA, "manifest, delta");
    tiny_server_publish(&rig.server, .5f);
    tiny_server_publish(&rig.server, .5f); /* two behind: no delta leads there */
    cr_assert(fetch(), "%s", reason.text);
    expect_installed();
    cr_assert(rig.server.fetches == 7 && download.way.kind == COVEY_DOWNLOAD_FULL);
}

Test(download, what_the_state_holds_is_not_fetched)
{
    cr_assert(fetch());
    covey_local_model_deinit(&model);
    covey_client_state_close(state);
    cr_assert(covey_client_state_open(rig.folder, "digits", NULL, NULL, &state, NULL) == COVEY_OK);
    download.state = state;
    struct covey_error err = {0};
    cr_assert(covey_local_model_restore(&model, state, &err) == COVEY_OK, "%s", err.text);
    expect_installed();
    cr_assert(fetch() && rig.server.fetches == 3);
}

static void another_hash(struct covey_manifest *manifest)
{
    manifest->model.bytes[0] ^= 1;
}

static void another_delta(struct covey_manifest *manifest)
{
    manifest->deltas[0].stream = manifest->full; /* not what leads there; of another length too */
    manifest->deltas[0].stream_bytes = manifest->full_bytes - 1;
}

static void missing_delta(struct covey_manifest *manifest)
{
    manifest->deltas[0].stream.bytes[3] ^= 1;
}

static void more_values(struct covey_manifest *manifest)
{
    manifest->shared_count += 1;
}

static void another_federation(struct covey_manifest *manifest)
{
    strcpy(manifest->federation, "fashion");
}

static void older(struct covey_manifest *manifest)
{
    manifest->sequence = 1;
    manifest->delta_count = 0;
}

Test(download, lies_are_refused)
{
    static const struct {
        void (*change)(struct covey_manifest *manifest);
        const char *says;
        bool fresh; /* without a model beforehand */
    } cases[] = {
        {another_hash, "hash", true},
        {another_hash, "hash", false},
        {more_values, "values", true},
        {another_federation, "fashion", true},
        {older, "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (i > 0) {
            tear_down();
            set_up();
        }
        if (!cases[i].fresh)
            cr_assert(fetch(), "%s", reason.text);
        bool had = model.installed;
        struct covey_hash before = model.facts.model;
        tiny_server_publish(&rig.server, .5f);
        tiny_server_publish_with(&rig.server, .5f, cases[i].change);
        cr_assert(!fetch(), "case %zu was believed", i);
        cr_assert(failure == COVEY_FAILURE_FINAL && strstr(reason.text, cases[i].says) != NULL,
                  "case %zu: %s", i, reason.text);
        cr_assert(!had || covey_hash_equal(&model.facts.model, &before));
        /* an honest one is believed again */
        memcpy(rig.server.manifest.federation, "digits", 7);
        rig.server.sequence += 10;
        tiny_server_publish(&rig.server, .5f);
        cr_assert(fetch(), "case %zu: %s", i, reason.text);
        expect_installed();
    }
}

Test(download, a_useless_delta_costs_a_full_model)
{
    static void (*const changes[])(struct covey_manifest *) = {another_delta, missing_delta};
    for (size_t i = 0; i < 2; i++) {
        cr_assert(fetch(), "%s", reason.text);
        tiny_server_publish_with(&rig.server, .5f, changes[i]);
        cr_assert(fetch() && download.full_only, "%s", reason.text);
        expect_installed();
    }
}

/* What the server sums up: delta of the params that were, in one stream. */
static void make_sum(const float *before, size_t extra)
{
    const size_t n = rig.server.layout.update_count;
    struct covey_codec codec;
    struct covey_error err = {0};
    float *sum = malloc(n * sizeof *sum);
    for (size_t i = 0; i < n; i++)
        sum[i] = rig.server.params[i] - before[i];
    cr_assert(covey_codec_exact(-6, &codec, &err) == COVEY_OK, "%s", err.text);
    const size_t bound = covey_codec_bound(&codec, n), scratch_bytes = covey_codec_scratch_bytes(&codec, n);
    uint8_t *stream = calloc(1, bound + extra);
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    size_t size = 0;
    const struct covey_encode_options options = {.scratch = scratch, .scratch_bytes = scratch_bytes};
    cr_assert(covey_codec_encode(&codec, sum, n, &options, stream, bound, &size, NULL, &err) == COVEY_OK,
              "%s", err.text);
    covey_blob_release(rig.server.sum);
    rig.server.sum = NULL;
    cr_assert(covey_blob_create((struct covey_bytes){stream, size + extra}, NULL, NULL, NULL,
                                &rig.server.sum) == COVEY_OK);
    free(scratch);
    free(stream);
    free(sum);
}

static void missing_step(struct covey_manifest *manifest)
{
    manifest->steps[0].stream.bytes[5] ^= 1;
}

static void another_grid(struct covey_manifest *manifest)
{
    manifest->steps[0].grid += 6; /* what was added is less than half of that: nothing */
}

/* Each way from three models behind, and what happens when it leads nowhere. */
Test(download, steps_and_sums)
{
    static const struct {
        const char *what;
        uint32_t behind;
        int sum; /* 0: none; 1: right; 2: too long; 3: of other values; 4: busy */
        void (*change)(struct covey_manifest *manifest);
        enum covey_download_kind kind;
        uint32_t fetches; /* of d/, the manifest included */
        bool later;
    } cases[] = {
        {"one step", 1, 0, NULL, COVEY_DOWNLOAD_STEPS, 2, false},
        {"three steps", 3, 0, NULL, COVEY_DOWNLOAD_STEPS, 4, false},
        {"a sum", 3, 1, NULL, COVEY_DOWNLOAD_SUM, 1, false},
        {"a long sum", 3, 2, NULL, COVEY_DOWNLOAD_STEPS, 4, false},
        {"a wrong sum", 3, 3, NULL, COVEY_DOWNLOAD_STEPS, 4, false},
        {"a busy server", 3, 4, NULL, COVEY_DOWNLOAD_SUM, 1, true},
        {"a step is missing", 3, 0, missing_step, COVEY_DOWNLOAD_FULL, 5, false},
        {"a step is another", 3, 0, another_grid, COVEY_DOWNLOAD_FULL, 5, false},
        {"a step is missing, a sum is there", 3, 1, missing_step, COVEY_DOWNLOAD_SUM, 1, false},
    };
    const size_t n = rig.server.layout.shared_count;
    float *before = malloc(n * sizeof *before);
    tiny_server_publish_step(&rig.server, .25f, NULL);
    cr_assert(fetch(), "%s", reason.text);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig.server.sum_code = 0;
        covey_blob_release(rig.server.sum);
        rig.server.sum = NULL;
        tiny_server_publish(&rig.server, .25f); /* the line begins anew */
        tiny_server_publish_step(&rig.server, .25f, NULL);
        cr_assert(fetch(), "%s: %s", cases[i].what, reason.text);
        memcpy(before, rig.server.params, n * sizeof *before);
        for (uint32_t k = 1; k <= cases[i].behind; k++)
            tiny_server_publish_step(&rig.server, .125f, k == cases[i].behind ? cases[i].change : NULL);
        if (cases[i].sum == 3)
            before[0] += 1;
        if (cases[i].sum > 0)
            make_sum(before, cases[i].sum == 2 ? 10000 : 0);
        if (cases[i].sum == 4)
            rig.server.sum_code = COVEY_CODE_UNAVAILABLE;
        const uint32_t fetches = rig.server.fetches, sums = rig.server.sums;
        cr_assert(fetch() == !cases[i].later, "%s: %s", cases[i].what, reason.text);
        cr_expect_eq(download.way.kind, cases[i].kind, "%s: %d", cases[i].what, download.way.kind);
        cr_expect_eq(rig.server.fetches - fetches, cases[i].fetches, "%s: %u", cases[i].what,
                     rig.server.fetches - fetches);
        cr_expect_eq(rig.server.sums - sums, cases[i].behind > 1, "%s", cases[i].what);
        if (!cases[i].later)
            expect_installed();
        else
            cr_expect(failure == COVEY_FAILURE_LATER &&
                      memcmp(model.params, before, n * sizeof *before) == 0);
        while (rig.server.blob_count > 2) /* the description comes first */
            covey_blob_release(rig.server.blobs[--rig.server.blob_count]);
    }
    free(before);
}

Test(download, a_foreign_signature)
{
    struct covey_trust other = {0};
    struct covey_key *key;
    struct covey_public_key public;
    cr_assert(covey_key_generate(&key, NULL) == COVEY_OK && covey_key_public(key, &public, NULL) == COVEY_OK);
    cr_assert(covey_trust_add(&other, &public, NULL) == COVEY_OK);
    download.trust = &other;
    cr_assert(!fetch() && failure == COVEY_FAILURE_FINAL && !model.installed);
    uint64_t sequence;
    struct covey_hash hash;
    cr_assert(!covey_client_state_sequence(state, &sequence, &hash), "it left a trace");
    download.trust = &rig.server.trust;
    cr_assert(fetch(), "%s", reason.text);
    covey_key_destroy(key);
}

Test(download, a_busy_server_is_asked_later)
{
    rig.server.blob_code = COVEY_CODE_UNAVAILABLE;
    cr_assert(!fetch() && failure == COVEY_FAILURE_LATER);
    rig.server.blob_code = COVEY_CODE_NOT_FOUND;
    cr_assert(!fetch() && failure == COVEY_FAILURE_FINAL);
    rig.server.blob_code = 0;
    cr_assert(fetch(), "%s", reason.text);
}

/* Any bytes as a manifest: refused, without a trace. */
Test(download, noise)
{
    struct covey_random random;
    struct covey_manifest manifest;
    covey_random_init(&random, 3, 0, 0, COVEY_PURPOSE_TEST);
    struct covey_bytes good = covey_blob_view(rig.server.blobs[rig.server.blob_count - 1]);
    for (int i = 0; i < 3000; i++) {
        uint8_t bytes[COVEY_MANIFEST_BYTES];
        size_t size = good.size;
        memcpy(bytes, good.data, size);
        bytes[covey_random_below(&random, (uint32_t)size)] ^= (uint8_t)(1 + covey_random_below(&random, 255));
        if (i % 3 == 0)
            size = covey_random_below(&random, (uint32_t)size);
        struct covey_error err = {0};
        enum covey_status status = covey_download_check_manifest(&rig.server.trust, "digits", state,
                                                                 (struct covey_bytes){bytes, size},
                                                                 &rig.server.manifest_hash, &manifest, &err);
        cr_assert(status != COVEY_OK, "try %d was believed", i);
    }
}
