/* delta, residual, clip, quantise, encode: each by what it should give. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "upload.h"

#define COUNT 300

struct bench {
    struct covey_layout layout;
    struct covey_codec codec;
    struct covey_plan plan;
    struct covey_hash model;
    struct covey_training_result training;
    float base[COUNT], local[COUNT], delta[COUNT], residual[COUNT];
    uint8_t room[8192];
    struct covey_upload_job job;
    struct covey_encoded_update encoded;
    struct covey_error err;
};

static struct bench bench;

static void set_up(const char *codec)
{
    const uint32_t weight[] = {29, 10}, bias[] = {10};
    memset(&bench, 0, sizeof bench);
    cr_assert(covey_crypto_start(NULL) == COVEY_OK);
    covey_layout_init(&bench.layout);
    cr_assert(covey_layout_add(&bench.layout, "w", 2, weight, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED,
                               NULL) == COVEY_OK);
    cr_assert(covey_layout_add(&bench.layout, "b", 1, bias, COVEY_ROLE_TRAINABLE, COVEY_SCOPE_SHARED, NULL) ==
              COVEY_OK);
    covey_layout_finish(&bench.layout);
    cr_assert(bench.layout.update_count == COUNT);
    cr_assert(covey_codec_parse(codec, &bench.codec, NULL) == COVEY_OK);
    bench.plan = (struct covey_plan){
        .kind = COVEY_PLAN_TRAIN, .round = 4, .assignment = {{1, 2, 3}}, .recipe.seed = 8};
    bench.model.bytes[5] = 77;
    bench.training = (struct covey_training_result){
        .examples = 600, .steps = 60, .loss_before = 2, .loss_after = 1, .ms = 12};
    for (int i = 0; i < COUNT; i++) {
        bench.base[i] = .1f * (float)(i % 7);
        bench.delta[i] = .01f * sinf((float)i);
        bench.local[i] = bench.base[i] + bench.delta[i];
        bench.delta[i] = bench.local[i] - bench.base[i]; /* as f32 has it */
    }
    bench.job = (struct covey_upload_job){.plan = &bench.plan,
                                          .codec = &bench.codec,
                                          .layout = &bench.layout,
                                          .model = &bench.model,
                                          .base = bench.base,
                                          .local = bench.local,
                                          .device = 5,
                                          .training = &bench.training,
                                          .room = bench.room,
                                          .room_bytes = sizeof bench.room};
    bench.job.scratch_bytes = covey_codec_scratch_bytes(&bench.codec, COUNT);
    bench.job.scratch =
        bench.job.scratch_bytes != 0 ? aligned_alloc(64, (bench.job.scratch_bytes + 63) / 64 * 64) : NULL;
}

static void tear_down(void)
{
    free(bench.job.scratch);
    covey_layout_deinit(&bench.layout);
}

TestSuite(upload, .fini = tear_down);

/* The message as the server sees it: values: (COUNT), what it will fold. */
static struct covey_update decode(float *values)
{
    struct covey_update update;
    cr_assert(covey_update_decode(bench.encoded.message, &update, &bench.err) == COVEY_OK, "%s",
              bench.err.text);
    cr_assert(covey_codec_decode(update.stream, COUNT, values, &bench.err) == COVEY_OK, "%s", bench.err.text);
    return update;
}

static void encode(void)
{
    cr_assert(covey_upload_encode(&bench.job, &bench.encoded, &bench.err) == COVEY_OK, "%s", bench.err.text);
}

Test(upload, the_message_says_what_was_done)
{
    float values[COUNT];
    set_up("raw32");
    encode();
    struct covey_update update = decode(values);
    cr_assert(memcmp(values, bench.delta, sizeof values) == 0, "raw32 is exact");
    cr_assert(memcmp(&update.assignment, &bench.plan.assignment, sizeof update.assignment) == 0);
    cr_assert(covey_hash_equal(&update.model, &bench.model));
    cr_assert(update.examples == 600 && update.steps == 60 && update.training_ms == 12);
    cr_assert(update.loss_before == 2 && update.loss_after == 1 && update.clipped == 1);
    cr_assert(update.stream.size == bench.encoded.stream_bytes);
    cr_assert(bench.encoded.message.size <= covey_upload_room_bytes(&bench.codec, COUNT));
}

/* residual = (delta + old residual) - decoded, and nothing is ever lost: over the rounds what was sent plus
 * what is kept back is what was trained. */
Test(upload, error_feedback_loses_nothing)
{
    static const char *const codecs[] = {"fp16", "int8", "int4"};
    for (size_t c = 0; c < sizeof codecs / sizeof *codecs; c++) {
        double sent[COUNT] = {0}, trained[COUNT] = {0};
        if (c > 0)
            tear_down();
        set_up(codecs[c]);
        bench.job.kept = bench.job.residual = bench.residual;
        for (uint32_t round = 0; round < 20; round++) {
            float values[COUNT], before[COUNT];
            bench.plan.round = round;
            for (int i = 0; i < COUNT; i++) {
                bench.local[i] = bench.base[i] + bench.delta[i];
                trained[i] += (double)(bench.local[i] - bench.base[i]);
            }
            memcpy(before, bench.residual, sizeof before);
            encode();
            decode(values);
            for (int i = 0; i < COUNT; i++) {
                float wanted = bench.delta[i] + before[i];
                cr_assert(bench.residual[i] == wanted - values[i], "%s round %u value %d", codecs[c], round,
                          i);
                sent[i] += (double)values[i];
            }
        }
        for (int i = 0; i < COUNT; i++)
            cr_assert(fabs(sent[i] + (double)bench.residual[i] - trained[i]) <= 1e-6, "%s value %d: %g",
                      codecs[c], i, sent[i] + (double)bench.residual[i] - trained[i]);
    }
}

Test(upload, clips_to_the_norm)
{
    float values[COUNT];
    double squares = 0;
    set_up("raw32");
    bench.job.clip_norm = .01;
    encode();
    struct covey_update update = decode(values);
    for (int i = 0; i < COUNT; i++)
        squares += (double)values[i] * (double)values[i];
    cr_assert(fabs(sqrt(squares) - .01) <= 1e-7, "%g", sqrt(squares));
    cr_assert(fabs((double)update.clipped * bench.encoded.norm - .01) <= 1e-7 && update.clipped < 1);
}

Test(upload, the_same_bytes_by_the_same_seed)
{
    uint8_t first[8192];
    set_up("int4");
    encode();
    size_t size = bench.encoded.message.size;
    memcpy(first, bench.encoded.message.data, size);
    for (int other = 0; other < 3; other++) {
        for (int i = 0; i < COUNT; i++)
            bench.local[i] = bench.base[i] + bench.delta[i];
        bench.plan.round = other == 1 ? 5 : 4;
        bench.job.device = other == 2 ? 6 : 5;
        encode();
        bool same =
            bench.encoded.message.size == size && memcmp(first, bench.encoded.message.data, size) == 0;
        cr_assert(same == (other == 0), "variant %d", other);
    }
}

Test(upload, what_an_answer_says_of_the_fate)
{
    static const struct covey_upload_state taken = {.complete = 1},
                                           coming = {.total_bytes = 3000,
                                                     .block_bytes = 1024,
                                                     .range_count = 1,
                                                     .missing = {{.first = 1, .count = 2}}},
                                           nothing = {0};
    static const struct {
        enum covey_status status;
        uint8_t code;
        const struct covey_upload_state *state;
        enum covey_client_fate fate;
    } table[] = {{COVEY_OK, COVEY_CODE_CONTENT, &taken, COVEY_FATE_TAKEN},
                 {COVEY_OK, COVEY_CODE_CONTENT, &coming, COVEY_FATE_LATER},
                 {COVEY_OK, COVEY_CODE_CONTENT, &nothing, COVEY_FATE_LATER},
                 {COVEY_OK, COVEY_CODE_CONTENT, NULL, COVEY_FATE_UNKNOWN},
                 {COVEY_OK, COVEY_CODE_FORBIDDEN, NULL, COVEY_FATE_NOT_TAKEN},
                 {COVEY_OK, COVEY_CODE_NOT_FOUND, NULL, COVEY_FATE_UNKNOWN},
                 {COVEY_OK, COVEY_CODE_TOO_MANY, NULL, COVEY_FATE_LATER},
                 {COVEY_OK, COVEY_CODE_UNAVAILABLE, NULL, COVEY_FATE_LATER},
                 {COVEY_CLOSED, 0, NULL, COVEY_FATE_LATER},
                 {COVEY_TIMEOUT, 0, NULL, COVEY_FATE_LATER}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        uint8_t bytes[512] = {0};
        size_t size = 1; /* a byte that is no message */
        if (table[i].state != NULL)
            cr_assert(covey_upload_state_encode(table[i].state, bytes, sizeof bytes, &size) == COVEY_OK);
        const struct covey_reply reply = {
            .status = table[i].status, .code = table[i].code, .body = {bytes, size}};
        cr_assert(covey_upload_fate(&reply) == table[i].fate, "row %zu: %d", i, covey_upload_fate(&reply));
    }
}

Test(upload, refuses_what_diverged)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (i > 0)
            tear_down();
        set_up("int8");
        bench.local[17] = bad[i];
        bench.base[17] = i == 3 ? -3e38f : 0;
        cr_assert(covey_upload_encode(&bench.job, &bench.encoded, &bench.err) == COVEY_NOT_FINITE, "case %zu",
                  i);
        cr_assert(bench.err.text[0] != 0);
    }
    bench.job.room_bytes = 100;
    cr_assert(covey_upload_encode(&bench.job, &bench.encoded, &bench.err) == COVEY_LIMIT);
}
