/* The whole server without a network: rounds, plans, the published line, order and threads, restarts. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/random.h"
#include "covey/strategy.h"
#include "fake_host.h"

#define DEVICES 5

static void names(char out[DEVICES][32])
{
    for (int i = 0; i < DEVICES; i++)
        (void)snprintf(out[i], 32, "device-%d", i);
}

struct run {
    char folder[64];
    struct fake_model model;
    struct covey_key *signer;
    struct covey_federation_options federation;
    struct covey_server_options options;
    struct covey_server *server;
    struct fake_host host;
};

static void set_up(struct run *run, uint32_t rows)
{
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    fake_folder_make(run->folder);
    fake_model_init(&run->model, rows);
    cr_assert_eq(covey_key_generate(&run->signer, NULL), COVEY_OK);
    fake_options(&run->model, &run->federation, &run->options, run->folder, run->signer);
    run->federation.rules.minimum_devices = DEVICES;
}

static void open_server(struct run *run)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_create(&run->options, &run->server, &err), COVEY_OK, "%s", err.text);
    fake_host_start(&run->host, run->server);
}

static void close_server(struct run *run)
{
    fake_host_stop(&run->host);
    covey_server_destroy(run->server);
    run->server = NULL;
}

static void tear_down(struct run *run)
{
    fake_model_deinit(&run->model);
    covey_key_destroy(run->signer);
    fake_folder_remove(run->folder);
}

/* Everyone comes and asks; then each round in the order that the seed gives. Returns the last model's hash.
 */
static struct covey_hash play(struct run *run, uint32_t rounds, uint64_t seed)
{
    char device[DEVICES][32];
    names(device);
    for (int i = 0; i < DEVICES; i++) {
        fake_come(&run->host, device[i], true);
        (void)fake_plan(&run->host, device[i], "digits");
    }
    for (uint32_t round = 1; round <= rounds; round++) {
        uint32_t order[DEVICES];
        struct covey_random random;
        covey_random_init(&random, seed, 0, round, COVEY_PURPOSE_TEST);
        for (uint32_t i = 0; i < DEVICES; i++)
            order[i] = i;
        covey_random_shuffle(&random, order, DEVICES);
        for (uint32_t i = 0; i < DEVICES; i++) {
            const char *name = device[order[i]];
            const struct covey_plan plan = fake_await(&run->host, name, "digits", COVEY_PLAN_TRAIN, round);
            cr_assert_eq(fake_work(&run->host, &run->model, name, "digits", &plan, run->signer),
                         COVEY_CODE_CHANGED);
        }
    }
    const struct covey_plan last = fake_await(&run->host, device[0], "digits", COVEY_PLAN_DONE, 0);
    struct covey_manifest manifest;
    free(fake_fetch(&run->host, device[0], "digits", &last, run->signer, NULL, &manifest));
    return manifest.model;
}

Test(server, gives_the_same_model_with_any_threads_and_any_order)
{
    static const uint32_t threads[] = {1, 2, 8, 2, 8};
    struct covey_hash first;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        struct run run;
        set_up(&run, 1000);
        run.options.fold_threads = threads[i];
        run.options.intake_threads = threads[i];
        open_server(&run);
        const struct covey_hash hash = play(&run, 3, i);
        if (i == 0)
            first = hash;
        cr_expect(covey_hash_equal(&first, &hash), "run %zu with %u threads ends elsewhere", i, threads[i]);
        close_server(&run);
        tear_down(&run);
    }
}

Test(server, publishes_a_line_that_replicas_follow_bit_for_bit)
{
    static const char *const downlinks[] = {"raw32", "fp16", "ec:1", "auto:0.5", "tcq:1", "int8", "eden2"};
    for (size_t d = 0; d < sizeof downlinks / sizeof downlinks[0]; d++) {
        struct run run;
        set_up(&run, 100);
        (void)snprintf(run.federation.downlink, sizeof run.federation.downlink, "%s", downlinks[d]);
        run.federation.rules.minimum_devices = 1;
        run.federation.rules.stop_rounds = 4;
        open_server(&run);
        fake_come(&run.host, "one", true);
        float *before = NULL;
        for (uint32_t round = 1; round <= 4; round++) {
            const struct covey_plan plan = fake_await(&run.host, "one", "digits", COVEY_PLAN_TRAIN, round);
            struct covey_manifest manifest;
            float *values = fake_fetch(&run.host, "one", "digits", &plan, run.signer, before, &manifest);
            cr_assert_eq(manifest.sequence, round);
            cr_assert_eq(manifest.round, round - 1);
            cr_assert_eq(manifest.delta_count, round > 1 && d < 2);
            cr_assert_eq(manifest.step_count, d < 2 ? 0 : round - 1);
            cr_assert_eq(manifest.sums_from, d >= 2 && round > 1);
            if (round == 1 && d >= 2)
                for (size_t i = 0; i < manifest.shared_count; i++)
                    cr_assert(fabsf(values[i] - run.model.initial[i]) < 0x1p-9f);
            else if (round == 1)
                cr_assert_eq(memcmp(values, run.model.initial, manifest.shared_count * sizeof *values), 0);
            else
                cr_assert_neq(memcmp(values, before, manifest.shared_count * sizeof *values), 0);
            /* what is frozen never moves */
            const struct covey_tensor *frozen = covey_layout_find(&run.model.layout, "frozen");
            cr_assert_eq(memcmp(values + frozen->offset, run.model.initial + frozen->offset,
                                frozen->count * sizeof *values),
                         0);
            free(before);
            before = values;
            cr_assert_eq(fake_work(&run.host, &run.model, "one", "digits", &plan, run.signer),
                         COVEY_CODE_CHANGED);
        }
        free(before);
        (void)fake_await(&run.host, "one", "digits", COVEY_PLAN_DONE, 0);
        close_server(&run);
        tear_down(&run);
    }
}

static struct fake_answer get_sum(struct run *run, const char *range)
{
    char path[COVEY_PATH_BYTES];
    struct fake_answer answer;
    (void)snprintf(path, sizeof path, "f/digits/s/%s", range);
    fake_request(&run->host, "one", COVEY_GET, path, (struct covey_bytes){0}, false, &answer);
    return answer;
}

/* The sum leads from a model of before to the newest one. */
static void expect_sum(struct run *run, const float *before, uint64_t from, const float *values, uint64_t to)
{
    const size_t count = run->model.layout.update_count;
    char range[48];
    struct covey_error err = {0};
    float *replica = malloc(count * sizeof *replica);
    memcpy(replica, before, count * sizeof *replica);
    (void)snprintf(range, sizeof range, "%d-%d", (int)from, (int)to);
    for (int again = 0; again < 2; again++) { /* made, and kept */
        struct fake_answer sum = get_sum(run, range);
        cr_assert_eq(sum.code, COVEY_CODE_CONTENT, "%s: %s", range, sum.body);
        if (again == 0)
            cr_assert_eq(covey_codec_apply((struct covey_bytes){sum.body, sum.size}, count, replica, &err),
                         COVEY_OK, "%s", err.text);
        free(sum.body);
    }
    cr_expect_eq(memcmp(replica, values, count * sizeof *replica), 0, "%s leads elsewhere", range);
    free(replica);
}

/* A lossy downlink, the server started anew after each round: the line goes on, and whoever missed rounds
 * gets their sum, as far back as the server may keep. */
Test(server, sums_up_for_who_is_behind_across_restarts)
{
    enum { ROUNDS = 9, KEPT = 6 };
    struct run run;
    float *models[ROUNDS + 1] = {NULL};
    set_up(&run, 100);
    (void)snprintf(run.federation.downlink, sizeof run.federation.downlink, "ec:1");
    run.federation.rules.minimum_devices = 1;
    run.federation.rules.stop_rounds = ROUNDS;
    run.federation.deltas_kept = KEPT;
    run.federation.models_kept = 1;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct covey_manifest manifest;
        open_server(&run);
        fake_come(&run.host, "one", true);
        const struct covey_plan plan = fake_await(&run.host, "one", "digits", COVEY_PLAN_TRAIN, round);
        models[round] =
            fake_fetch(&run.host, "one", "digits", &plan, run.signer, models[round - 1], &manifest);
        cr_assert_eq(manifest.sequence, round);
        const uint64_t oldest = round == 1 ? 0 : round > KEPT ? round - KEPT : 1;
        cr_expect_eq(manifest.sums_from, oldest, "round %u: %d", round, (int)manifest.sums_from);
        for (uint64_t from = oldest; from > 0 && from < round; from++)
            if (round - from > 4) /* nearer ones may be shorter step by step */
                expect_sum(&run, models[from], from, models[round], round);
        cr_assert_eq(fake_work(&run.host, &run.model, "one", "digits", &plan, run.signer),
                     COVEY_CODE_CHANGED);
        if (round == ROUNDS) {
            static const char *const ranges[] = {"1-9",  "0-9", "9-9",  "9-3",
                                                 "3-99", "x",   "3-",   "3-9x",
                                                 "-3-9", "",    "3--9", "99999999999999999999-9"};
            for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
                struct fake_answer answer = get_sum(&run, ranges[i]);
                cr_expect_eq(answer.code, COVEY_CODE_NOT_FOUND, "%s: %d", ranges[i], answer.code);
                free(answer.body);
            }
        }
        close_server(&run);
    }
    for (uint32_t round = 0; round <= ROUNDS; round++)
        free(models[round]);
    tear_down(&run);
}

/* An update as a device keeps it: the same bytes each time they are sent. */
struct kept {
    char path[COVEY_PATH_BYTES];
    uint8_t *bytes; /* malloc'ed */
    size_t size;
};

static struct kept make_kept(struct run *run, const char *device, const struct covey_plan *plan)
{
    struct kept kept = {.size = 0};
    struct covey_manifest manifest;
    free(fake_fetch(&run->host, device, "digits", plan, run->signer, NULL, &manifest));
    kept.bytes = fake_update(&run->model, device, plan, &manifest.model, 0, &kept.size);
    fake_put_path(plan, "digits", kept.path);
    return kept;
}

static uint8_t send_kept(struct run *run, const char *device, const struct kept *kept)
{
    struct fake_answer answer;
    fake_request(&run->host, device, COVEY_PUT, kept->path, (struct covey_bytes){kept->bytes, kept->size},
                 false, &answer);
    free(answer.body);
    return answer.code;
}

/* The process dies in the middle of a round, with some updates acknowledged: a copy of its folder is what is
 * left. */
Test(server, goes_on_from_a_copy_of_its_folder_to_the_same_model)
{
    struct run whole, torn;
    char device[DEVICES][32], command[256];
    names(device);
    set_up(&whole, 500);
    open_server(&whole);
    const struct covey_hash expected = play(&whole, 3, 1);
    close_server(&whole);

    for (uint32_t done = 0; done <= DEVICES; done++) {
        set_up(&torn, 500);
        /* the same seed and names: the same updates; ids of assignments differ and do not matter */
        open_server(&torn);
        for (int i = 0; i < DEVICES; i++) {
            fake_come(&torn.host, device[i], true);
            (void)fake_plan(&torn.host, device[i], "digits");
        }
        struct covey_plan plans[DEVICES];
        for (int i = 0; i < DEVICES; i++)
            plans[i] = fake_await(&torn.host, device[i], "digits", COVEY_PLAN_TRAIN, 1);
        /* what each keeps until it is acknowledged: its update's bytes, not the model that it trained from,
         * which may be gone from the server by then */
        struct kept kept[DEVICES];
        for (int i = 0; i < DEVICES; i++)
            kept[i] = make_kept(&torn, device[i], &plans[i]);
        for (uint32_t i = 0; i < done; i++)
            cr_assert_eq(send_kept(&torn, device[i], &kept[i]), COVEY_CODE_CHANGED);
        /* all five: the round may have closed or not when the copy is made; either way it must come out right
         */
        char copy[64];
        fake_folder_make(copy);
        (void)snprintf(command, sizeof command, "cp -r '%s'/. '%s' && rm -f '%s/lock'", torn.folder, copy,
                       copy);
        cr_assert_eq(system(command), 0);
        close_server(&torn);
        fake_folder_remove(torn.folder);
        memcpy(torn.folder, copy, sizeof copy);

        open_server(&torn);
        for (int i = 0; i < DEVICES; i++)
            fake_come(&torn.host, device[i], true);
        for (uint32_t i = 0; i < DEVICES; i++) {
            /* the assignments of before still hold; who was acknowledged and sends again hears the same */
            const struct covey_plan now = fake_plan(&torn.host, device[i], "digits");
            if (i < done)
                cr_assert(now.kind == COVEY_PLAN_WAIT || now.round > 1, "%u of %u", i, done);
            else
                cr_assert_eq(memcmp(&now.assignment, &plans[i].assignment, sizeof now.assignment), 0);
            cr_assert_eq(send_kept(&torn, device[i], &kept[i]), COVEY_CODE_CHANGED, "device %u of %u done", i,
                         done);
            free(kept[i].bytes);
        }
        for (uint32_t round = 2; round <= 3; round++)
            for (int i = 0; i < DEVICES; i++) {
                const struct covey_plan plan =
                    fake_await(&torn.host, device[i], "digits", COVEY_PLAN_TRAIN, round);
                cr_assert_eq(fake_work(&torn.host, &torn.model, device[i], "digits", &plan, torn.signer),
                             COVEY_CODE_CHANGED);
            }
        const struct covey_plan last = fake_await(&torn.host, device[0], "digits", COVEY_PLAN_DONE, 0);
        struct covey_manifest manifest;
        free(fake_fetch(&torn.host, device[0], "digits", &last, torn.signer, NULL, &manifest));
        cr_expect(covey_hash_equal(&manifest.model, &expected), "torn after %u updates: another model", done);
        close_server(&torn);
        tear_down(&torn);
    }
    tear_down(&whole);
}

/* ---- every strategy and optimiser, killed between any two rounds ---- */

static const struct {
    const char *strategy;
    struct covey_server_rule rule;
    bool root;
} kept_ways[] = {
    {.strategy = "fedavg"},
    {.strategy = "fedavg clip=quantile clip_norm=1"},
    {.strategy = "norm-bound clip_norm=1"},
    {.strategy = "norm-bound clip=quantile clip_norm=1"},
    {.strategy = "median hostile=1"},
    {.strategy = "trimmed-mean hostile=1 clip=quantile clip_norm=1"},
    {.strategy = "krum hostile=1"},
    {.strategy = "multi-krum hostile=1 mix=bucketing bucket=1"},
    {.strategy = "bulyan"},
    {.strategy = "geometric-median hostile=1 mix=bucketing"},
    {.strategy = "centred-clipping hostile=1"},
    {.strategy = "centred-clipping hostile=1 clip=quantile clip_norm=1 mix=nearest"},
    {.strategy = "fltrust", .root = true},
    {.strategy = "fedavg", .rule = {COVEY_SERVER_MOMENTUM, .5, .9, 0, 0}},
    {.strategy = "fedavg", .rule = {COVEY_SERVER_ADAGRAD, .1, 0, 0, 1e-3}},
    {.strategy = "fedavg", .rule = {COVEY_SERVER_ADAM, .01, .9, .99, 1e-3}},
    {.strategy = "fedavg clip=quantile clip_norm=1", .rule = {COVEY_SERVER_YOGI, .01, .9, .99, 1e-3}},
    {.strategy = "centred-clipping hostile=1", .rule = {COVEY_SERVER_ADAM, .01, .9, .99, 1e-3}},
    {.strategy = "fltrust", .rule = {COVEY_SERVER_MOMENTUM, .5, .9, 0, 0}, .root = true},
};

/* Stands for training: a function of model, recipe and round. */
static enum covey_status made_up_root(void *user, const float *shared, const struct covey_recipe *recipe,
                                      uint32_t round, float *delta, struct covey_error *err)
{
    const struct fake_model *model = user;
    struct covey_random random;
    (void)err;
    covey_random_init(&random, recipe->seed, 77, round, COVEY_PURPOSE_TEST);
    for (size_t i = 0; i < model->layout.update_count; i++)
        delta[i] = .1f * (covey_random_float(&random) - .5f) - .01f * shared[i];
    return COVEY_OK;
}

static void set_up_kept(struct run *run, size_t way)
{
    set_up(run, 20);
    (void)snprintf(run->federation.strategy, sizeof run->federation.strategy, "%s", kept_ways[way].strategy);
    run->federation.server_rule = kept_ways[way].rule;
    run->federation.root_update = kept_ways[way].root ? made_up_root : NULL;
    run->federation.root_user = &run->model;
    run->federation.rules.stop_rounds = 4;
}

/* The folder as it is now is all that is left; a server starts from it. */
static void tear(struct run *run)
{
    char copy[64], command[256];
    fake_folder_make(copy);
    (void)snprintf(command, sizeof command, "cp -r '%s'/. '%s' && rm -f '%s/lock'", run->folder, copy, copy);
    cr_assert_eq(system(command), 0);
    close_server(run);
    fake_folder_remove(run->folder);
    memcpy(run->folder, copy, sizeof copy);
    open_server(run);
}

/* Four rounds; torn between every two of them where that is wanted. */
static struct covey_hash play_torn(struct run *run, bool is_torn)
{
    char device[DEVICES][32];
    names(device);
    for (uint32_t round = 1; round <= 4; round++) {
        for (int i = 0; i < DEVICES && (round == 1 || is_torn); i++)
            fake_come(&run->host, device[i], true);
        for (int i = 0; i < DEVICES; i++) /* nobody is chosen before all are there */
            (void)fake_plan(&run->host, device[i], "digits");
        for (int i = 0; i < DEVICES; i++) {
            const struct covey_plan plan =
                fake_await(&run->host, device[i], "digits", COVEY_PLAN_TRAIN, round);
            cr_assert_eq(plan.round, round);
            cr_assert_eq(fake_work(&run->host, &run->model, device[i], "digits", &plan, run->signer),
                         COVEY_CODE_CHANGED);
        }
        (void)fake_await(&run->host, device[0], "digits", round == 4 ? COVEY_PLAN_DONE : COVEY_PLAN_TRAIN,
                         round == 4 ? 0 : round + 1);
        if (is_torn && round < 4)
            tear(run);
    }
    const struct covey_plan last = fake_await(&run->host, device[0], "digits", COVEY_PLAN_DONE, 0);
    struct covey_manifest manifest;
    free(fake_fetch(&run->host, device[0], "digits", &last, run->signer, NULL, &manifest));
    return manifest.model;
}

Test(server, keeps_what_every_strategy_and_optimiser_needs_over_a_restart, .timeout = 600)
{
    struct covey_hash plain = {0};
    for (size_t way = 0; way < sizeof kept_ways / sizeof kept_ways[0]; way++) {
        struct run run;
        struct covey_hash hashes[2];
        for (int is_torn = 0; is_torn < 2; is_torn++) {
            set_up_kept(&run, way);
            open_server(&run);
            hashes[is_torn] = play_torn(&run, is_torn != 0);
            close_server(&run);
            tear_down(&run);
        }
        cr_expect(covey_hash_equal(&hashes[0], &hashes[1]), "%s, optimiser %s: another model",
                  kept_ways[way].strategy, covey_server_optimiser_name(kept_ways[way].rule.kind));
        if (way == 0)
            plain = hashes[0];
        else
            cr_expect_not(covey_hash_equal(&plain, &hashes[0]), "%s is fedavg", kept_ways[way].strategy);
    }
}

/* The table above has every strategy and every optimiser that a federation can name. */
Test(server, restarts_with_each_row_of_the_table)
{
    for (size_t s = 0; covey_strategy_at(s) != NULL; s++) {
        const char *name = covey_strategy_at(s)->name;
        bool found = false;
        for (size_t way = 0; way < sizeof kept_ways / sizeof kept_ways[0]; way++)
            found |= strncmp(kept_ways[way].strategy, name, strlen(name)) == 0;
        cr_expect(found, "%s", name);
    }
    for (int kind = 0; kind < COVEY_SERVER_FEDDYN; kind++) {
        bool found = false;
        for (size_t way = 0; way < sizeof kept_ways / sizeof kept_ways[0]; way++)
            found |= kept_ways[way].rule.kind == (enum covey_server_optimiser_kind)kind;
        cr_expect(found, "optimiser %d", kind);
    }
}

Test(server, ends_again_after_a_restart_and_refuses_another_model)
{
    struct run run;
    set_up(&run, 50);
    open_server(&run);
    const struct covey_hash hash = play(&run, 3, 4);
    close_server(&run);
    open_server(&run);
    fake_come(&run.host, "device-0", true);
    const struct covey_plan plan = fake_await(&run.host, "device-0", "digits", COVEY_PLAN_DONE, 0);
    struct covey_manifest manifest;
    free(fake_fetch(&run.host, "device-0", "digits", &plan, run.signer, NULL, &manifest));
    cr_assert(covey_hash_equal(&manifest.model, &hash));
    close_server(&run);

    struct covey_server *server = NULL;
    struct covey_error err = {0};
    run.model.description[0] = 'F';
    cr_expect_eq(covey_server_create(&run.options, &server, &err), COVEY_MISMATCH);
    cr_expect_not_null(strstr(err.text, "description"), "%s", err.text);
    run.model.description[0] = 'f';

    /* one process at a time */
    struct covey_server *second = NULL;
    cr_assert_eq(covey_server_create(&run.options, &server, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(covey_server_create(&run.options, &second, &err), COVEY_EXISTS);
    covey_server_destroy(server);

    float *values = NULL;
    size_t count = 0;
    cr_assert_eq(covey_server_read_model(run.folder, "digits", &values, &count, &manifest, &err), COVEY_OK,
                 "%s", err.text);
    struct covey_hash read;
    cr_assert_eq(covey_hash_floats(values, count, &read), COVEY_OK);
    cr_expect(covey_hash_equal(&read, &hash));
    free(values);
    tear_down(&run);
}

/* ------------------------------------------------------------------ deadlines, absence, withdrawal */

struct reports {
    pthread_mutex_t mutex;
    struct covey_round_report last;
    uint32_t rounds, abandoned, ends;
    struct covey_federation_report end;
};

static void on_round(void *user, const struct covey_round_report *report)
{
    struct reports *reports = user;
    pthread_mutex_lock(&reports->mutex);
    reports->last = *report;
    reports->rounds += !report->abandoned;
    reports->abandoned += report->abandoned;
    pthread_mutex_unlock(&reports->mutex);
}

static void on_end(void *user, const struct covey_federation_report *report)
{
    struct reports *reports = user;
    pthread_mutex_lock(&reports->mutex);
    reports->ends++;
    reports->end = *report;
    pthread_mutex_unlock(&reports->mutex);
}

static void await_count(struct reports *reports, const uint32_t *count, uint32_t wanted)
{
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS; waited += 5) {
        pthread_mutex_lock(&reports->mutex);
        const bool there = *count >= wanted;
        pthread_mutex_unlock(&reports->mutex);
        if (there)
            return;
        fake_sleep_ms(5);
    }
    cr_assert(false, "no report came");
}

/* The system's clock, which a test can put forward: deadlines pass when it says so, never because it was
 * slow. */
struct test_clock {
    struct covey_env system;
    atomic_ullong ahead_ms;
};

static uint64_t clock_now_ms(void *user)
{
    struct test_clock *clock = user;
    return clock->system.now_ms(clock->system.user) + atomic_load(&clock->ahead_ms);
}

static int64_t clock_wall_s(void *user)
{
    struct test_clock *clock = user;
    return clock->system.wall_s(clock->system.user) + (int64_t)(atomic_load(&clock->ahead_ms) / 1000);
}

Test(server, closes_at_the_deadline_without_the_missing_and_abandons_under_its_minimum)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    set_up(&run, 50);
    struct test_clock clock = {.system = covey_env_system(NULL)};
    run.options.env = (struct covey_env){.now_ms = clock_now_ms, .wall_s = clock_wall_s, .user = &clock};
    run.federation.rules.minimum_updates = 3;
    run.federation.rules.stop_rounds = 1;
    run.options.events_user = &reports;
    run.options.on_round = on_round;
    run.options.on_end = on_end;
    open_server(&run);
    char device[DEVICES][32];
    names(device);
    for (int i = 0; i < DEVICES; i++) {
        fake_come(&run.host, device[i], true);
        (void)fake_plan(&run.host, device[i], "digits");
    }
    struct covey_plan late = {0};
    for (int i = 0; i < 2; i++) {
        late = fake_await(&run.host, device[i], "digits", COVEY_PLAN_TRAIN, 1);
        cr_assert_leq(late.deadline_ms, FAKE_DEADLINE_MS);
        if (i == 0)
            cr_assert_eq(fake_work(&run.host, &run.model, device[i], "digits", &late, run.signer),
                         COVEY_CODE_CHANGED);
    }
    atomic_fetch_add(&clock.ahead_ms, FAKE_DEADLINE_MS);
    await_count(&reports, &reports.abandoned, 1);
    cr_expect_eq(reports.last.updates, 1);
    cr_expect_eq(reports.last.dropped, 4);
    cr_expect_eq(reports.last.sequence, 1);
    /* too late: told so, not counted */
    cr_expect_eq(fake_work(&run.host, &run.model, device[1], "digits", &late, run.signer),
                 COVEY_CODE_FORBIDDEN);

    for (int i = 0; i < 3; i++) {
        const struct covey_plan plan = fake_await(&run.host, device[i], "digits", COVEY_PLAN_TRAIN, 2);
        cr_assert_eq(fake_work(&run.host, &run.model, device[i], "digits", &plan, run.signer),
                     COVEY_CODE_CHANGED);
    }
    cr_expect_eq(reports.ends, 0, "the round has not waited for its deadline");
    atomic_fetch_add(&clock.ahead_ms, FAKE_DEADLINE_MS);
    await_count(&reports, &reports.ends, 1);
    cr_expect_eq(reports.last.updates, 3);
    cr_expect_eq(reports.last.dropped, 2);
    cr_expect_eq(reports.end.rounds, 1);
    cr_expect_eq(reports.end.abandoned, 1);
    cr_expect_eq(reports.end.end, COVEY_END_ROUNDS);
    cr_expect_eq(reports.last.bytes_up_fp32, 3 * 4 * run.model.layout.update_count);
    cr_expect_gt(reports.last.update_bytes_up, 0);
    cr_expect_lt(reports.last.update_bytes_up * 7 / 2, reports.last.bytes_up_fp32);
    close_server(&run);
    tear_down(&run);
}

Test(server, does_not_wait_for_the_withdrawn)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    set_up(&run, 50);
    run.federation.rules.stop_rounds = 1;
    run.federation.rules.minimum_updates = 1;
    run.options.events_user = &reports;
    run.options.on_round = on_round;
    open_server(&run);
    char device[DEVICES][32];
    names(device);
    struct covey_plan plans[DEVICES];
    for (int i = 0; i < DEVICES; i++) {
        fake_come(&run.host, device[i], true);
        (void)fake_plan(&run.host, device[i], "digits");
    }
    for (int i = 0; i < DEVICES; i++)
        plans[i] = fake_await(&run.host, device[i], "digits", COVEY_PLAN_TRAIN, 1);
    covey_server_withdraw(run.server, device[4]);
    cr_expect_eq(fake_work(&run.host, &run.model, device[4], "digits", &plans[4], run.signer),
                 COVEY_CODE_FORBIDDEN);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(fake_work(&run.host, &run.model, device[i], "digits", &plans[i], run.signer),
                     COVEY_CODE_CHANGED);
    await_count(&reports, &reports.rounds, 1);
    cr_expect_eq(reports.last.updates, 4);
    cr_expect_eq(run.host.drops, 1);
    close_server(&run);
    tear_down(&run);
}

/* ------------------------------------------------------------------ evaluation */

static enum covey_status judge(void *user, enum covey_part part, const float *shared,
                               struct covey_judgement *out, struct covey_error *err)
{
    (void)shared, (void)err;
    uint32_t *calls = user;
    calls[part]++;
    *out = (struct covey_judgement){100, 1.0 / calls[0], 0.5 + 0.1 * calls[0]};
    return COVEY_OK;
}

Test(server, stops_at_the_target_and_asks_the_test_part_once)
{
    uint32_t calls[2] = {0, 0};
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    set_up(&run, 50);
    run.federation.rules.stop_rounds = 10;
    run.federation.rules.has_target = true;
    run.federation.rules.stop_target = 0.75; /* .6, .7, .8 */
    run.federation.judge = judge;
    run.federation.judge_user = calls;
    run.federation.has_validation = run.federation.has_test = true;
    run.options.events_user = &reports;
    run.options.on_round = on_round;
    run.options.on_end = on_end;
    open_server(&run);
    (void)play(&run, 3, 1);
    await_count(&reports, &reports.ends, 1);
    cr_expect_eq(reports.end.end, COVEY_END_TARGET);
    cr_expect_eq(reports.end.rounds, 3);
    cr_expect_eq(calls[COVEY_PART_VALIDATION], 3);
    cr_expect_eq(calls[COVEY_PART_TEST], 1);
    cr_expect_float_eq(reports.end.metric, 0.8, 1e-12);
    close_server(&run);

    /* after a restart it has still ended, and the test part is not asked again */
    open_server(&run);
    await_count(&reports, &reports.ends, 2);
    cr_expect_eq(calls[COVEY_PART_VALIDATION], 3);
    cr_expect_eq(calls[COVEY_PART_TEST], 1);
    cr_expect_eq(reports.end.end, COVEY_END_TARGET);
    cr_expect_float_eq(reports.end.test_metric, 0.8, 1e-12);
    close_server(&run);
    tear_down(&run);
}

Test(server, takes_new_rules_while_it_runs)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    set_up(&run, 50);
    run.federation.rules.stop_rounds = 0;
    run.options.events_user = &reports;
    run.options.on_end = on_end;
    open_server(&run);
    struct covey_round_rules rules = run.federation.rules;
    struct covey_error err = {0};
    cr_expect_eq(covey_server_set_rules(run.server, "nothing", &rules, &err), COVEY_NOT_FOUND);
    rules.deadline_ms = 0;
    cr_expect_eq(covey_server_set_rules(run.server, "digits", &rules, &err), COVEY_INVALID);
    rules = run.federation.rules;
    rules.stop_rounds = 2;
    cr_expect_eq(covey_server_set_rules(run.server, "digits", &rules, &err), COVEY_OK);
    (void)play(&run, 2, 1);
    await_count(&reports, &reports.ends, 1);
    cr_expect_eq(reports.end.rounds, 2);
    close_server(&run);
    tear_down(&run);
}

/* ------------------------------------------------------------------ options that cannot hold */

Test(server, refuses_options_that_cannot_hold)
{
    struct run run;
    set_up(&run, 10);
    const struct covey_federation_options good = run.federation;
    struct covey_federation_options bad[10];
    for (int i = 0; i < 10; i++)
        bad[i] = good;
    (void)snprintf(bad[0].name, sizeof bad[0].name, "../x");
    (void)snprintf(bad[1].codec, sizeof bad[1].codec, "nonsense");
    (void)snprintf(bad[2].downlink, sizeof bad[2].downlink, "nonsense");
    (void)snprintf(bad[3].strategy, sizeof bad[3].strategy, "nonsense");
    bad[4].rules.minimum_devices = 0;
    bad[5].has_validation = true;                                       /* and nothing to evaluate with */
    bad[6].rules.has_target = true;                                     /* and nothing to evaluate on */
    (void)snprintf(bad[7].strategy, sizeof bad[7].strategy, "fltrust"); /* and no data of the server's */
    bad[8].root_update = made_up_root;                                  /* and nobody looks at it */
    bad[9].server_rule = (struct covey_server_rule){COVEY_SERVER_ADAM, .01, .9, .99, 0};
    for (int i = 0; i < 10; i++) {
        struct covey_server *server = NULL;
        struct covey_error err = {0};
        run.federation = bad[i];
        cr_expect_neq(covey_server_create(&run.options, &server, &err), COVEY_OK, "case %d", i);
        cr_expect_null(server);
        cr_expect_neq(err.text[0], '\0', "case %d says nothing", i);
    }
    tear_down(&run);
}

/* ------------------------------------------------------------------ assignments that outlive their round */

#define BUFFERS 6

static void be_asynchronous(struct run *run)
{
    run->federation.rules = (struct covey_round_rules){.mode = COVEY_ROUND_ASYNCHRONOUS,
                                                       .buffer = 2,
                                                       .concurrency = 4,
                                                       .staleness_max = 3,
                                                       .minimum_devices = DEVICES,
                                                       .fraction = 1,
                                                       .deadline_ms = FAKE_DEADLINE_MS,
                                                       .stop_rounds = BUFFERS};
}

static void await_phase(struct run *run, enum covey_round_phase phase, uint32_t round)
{
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS; waited += 5) {
        struct covey_federation_view view;
        covey_server_federation_view(run->server, 0, &view);
        if (view.round.phase == phase && view.round.round >= round)
            return;
        fake_sleep_ms(5);
    }
    cr_assert(false, "round %u did not come to phase %d", round, (int)phase);
}

static void everyone_comes(struct run *run, char device[DEVICES][32])
{
    for (int i = 0; i < DEVICES; i++) {
        fake_come(&run->host, device[i], true);
        (void)fake_plan(&run->host, device[i], "digits");
    }
}

/* What is left when the process dies now, and a server on it. */
static void die_and_restart(struct run *run, char device[DEVICES][32])
{
    char copy[64], command[256];
    fake_folder_make(copy);
    (void)snprintf(command, sizeof command, "cp -r '%s'/. '%s' && rm -f '%s/lock'", run->folder, copy, copy);
    cr_assert_eq(system(command), 0);
    close_server(run);
    fake_folder_remove(run->folder);
    memcpy(run->folder, copy, sizeof copy);
    open_server(run);
    everyone_comes(run, device);
}

/* Devices at work, by what they are at; who delivers next is drawn, so some are passed over and become stale.
 */
struct crowd {
    char device[DEVICES][32];
    struct kept kept[DEVICES]; /* bytes NULL: nothing to do */
    struct covey_plan plans[DEVICES];
};

/* New plans are fetched and worked at; old ones still stand as they were. */
static uint32_t look_for_work(struct run *run, struct crowd *crowd, uint32_t at_work[DEVICES])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < DEVICES; i++) {
        const struct covey_plan plan = fake_plan(&run->host, crowd->device[i], "digits");
        const bool same = memcmp(&plan.assignment, &crowd->plans[i].assignment, sizeof plan.assignment) == 0;
        if (plan.kind == COVEY_PLAN_TRAIN && !(crowd->kept[i].bytes != NULL && same)) {
            free(crowd->kept[i].bytes);
            crowd->kept[i] = make_kept(run, crowd->device[i], &plan);
        } else if (plan.kind != COVEY_PLAN_TRAIN) {
            free(crowd->kept[i].bytes);
            crowd->kept[i].bytes = NULL;
        }
        crowd->plans[i] = plan;
        if (plan.kind == COVEY_PLAN_TRAIN)
            at_work[count++] = i;
    }
    return count;
}

static void deliver(struct run *run, struct crowd *crowd, uint32_t i)
{
    cr_assert_eq(send_kept(run, crowd->device[i], &crowd->kept[i]), COVEY_CODE_CHANGED);
    /* again: counted once */
    cr_assert_eq(send_kept(run, crowd->device[i], &crowd->kept[i]), COVEY_CODE_CHANGED);
    free(crowd->kept[i].bytes);
    crowd->kept[i].bytes = NULL;
}

/* torn: in that buffer the process dies, before the first or between its two updates; 0: never. Returns the
 * last model; *stale: updates that were older than their buffer. */
static struct covey_hash play_buffers(struct run *run, bool swapped, uint32_t torn, bool halfway,
                                      uint32_t *stale)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    *stale = 0;
    names(crowd->device);
    everyone_comes(run, crowd->device);
    for (uint32_t buffer = 1; buffer <= BUFFERS; buffer++) {
        uint32_t at_work[DEVICES];
        struct covey_random random;
        await_phase(run, COVEY_PHASE_UPDATE, buffer);
        if (buffer == torn && !halfway)
            die_and_restart(run, crowd->device);
        const uint32_t count = look_for_work(run, crowd, at_work);
        cr_assert_eq(count, 4, "%u devices work in buffer %u", count, buffer);
        covey_random_init(&random, 3, 0, buffer, COVEY_PURPOSE_TEST);
        covey_random_shuffle(&random, at_work, count);
        for (uint32_t k = 0; k < 2; k++) {
            const uint32_t i = at_work[swapped ? 1 - k : k];
            *stale += crowd->plans[i].round < buffer;
            if (buffer == torn && halfway && k == 1)
                die_and_restart(run, crowd->device);
            deliver(run, crowd, i);
        }
    }
    const struct covey_plan last = fake_await(&run->host, crowd->device[0], "digits", COVEY_PLAN_DONE, 0);
    struct covey_manifest manifest;
    free(fake_fetch(&run->host, crowd->device[0], "digits", &last, run->signer, NULL, &manifest));
    cr_expect_eq(manifest.sequence, BUFFERS + 1);
    for (uint32_t i = 0; i < DEVICES; i++)
        free(crowd->kept[i].bytes);
    free(crowd);
    return manifest.model;
}

Test(server, gives_the_same_models_asynchronously_with_any_threads_and_order_and_after_any_death)
{
    static const struct {
        uint32_t threads;
        bool swapped;
        uint32_t torn;
        bool halfway;
    } runs[] = {{1, false, 0, false}, {8, true, 0, false},  {2, false, 2, false},
                {2, true, 3, true},   {2, false, 4, false}, {2, false, 6, true}};
    struct covey_hash first;
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct run run;
        uint32_t stale;
        set_up(&run, 500);
        be_asynchronous(&run);
        run.options.fold_threads = run.options.intake_threads = runs[i].threads;
        open_server(&run);
        const struct covey_hash hash =
            play_buffers(&run, runs[i].swapped, runs[i].torn, runs[i].halfway, &stale);
        if (i == 0)
            first = hash;
        cr_expect(covey_hash_equal(&first, &hash), "run %zu, torn in buffer %u, ends elsewhere", i,
                  runs[i].torn);
        cr_expect_gt(stale, 0, "nothing was stale");
        close_server(&run);
        tear_down(&run);
    }
}

/* Synchronous rounds with round.late: use. The round closes without two; what they made of its model is
 * folded into the next, and counts beside its goal. */
Test(server, uses_what_is_late)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    char device[DEVICES][32];
    names(device);
    set_up(&run, 50);
    run.federation.rules = (struct covey_round_rules){.minimum_devices = 3,
                                                      .fraction = 1,
                                                      .goal = 3,
                                                      .minimum_updates = 3,
                                                      .late_use = true,
                                                      .staleness_max = 1,
                                                      .deadline_ms = FAKE_DEADLINE_MS,
                                                      .stop_rounds = 3};
    run.options.events_user = &reports;
    run.options.on_round = on_round;
    run.options.on_end = on_end;
    open_server(&run);
    for (int i = 0; i < DEVICES; i++) {
        fake_come(&run.host, device[i], true);
        (void)fake_plan(&run.host, device[i], "digits");
    }
    await_phase(&run, COVEY_PHASE_UPDATE, 1);
    uint32_t chosen[DEVICES], count = 0;
    struct kept kept[DEVICES];
    for (uint32_t i = 0; i < DEVICES; i++) { /* three or more, as they came */
        const struct covey_plan plan = fake_plan(&run.host, device[i], "digits");
        if (plan.kind != COVEY_PLAN_TRAIN)
            continue;
        kept[count] = make_kept(&run, device[i], &plan);
        chosen[count++] = i;
    }
    cr_assert_geq(count, 3);
    for (uint32_t k = 0; k < 3; k++)
        cr_assert_eq(send_kept(&run, device[chosen[k]], &kept[k]), COVEY_CODE_CHANGED);
    await_phase(&run, COVEY_PHASE_UPDATE, 2);
    for (uint32_t k = 3; k < count; k++) {
        const struct covey_plan plan = fake_plan(&run.host, device[chosen[k]], "digits");
        cr_expect_eq(plan.kind, COVEY_PLAN_TRAIN);
        cr_expect_eq(plan.round, 1, "an assignment of round %u took its place", plan.round);
        cr_expect_eq(send_kept(&run, device[chosen[k]], &kept[k]), COVEY_CODE_CHANGED);
    }
    for (uint32_t k = 0; k < 3; k++) {
        const struct covey_plan plan =
            fake_await(&run.host, device[chosen[k]], "digits", COVEY_PLAN_TRAIN, 2);
        cr_assert_eq(fake_work(&run.host, &run.model, device[chosen[k]], "digits", &plan, run.signer),
                     COVEY_CODE_CHANGED);
    }
    await_count(&reports, &reports.rounds, 2);
    cr_expect_geq(reports.last.updates, 3 + (count - 3), "%u updates in round 2", reports.last.updates);
    for (uint32_t k = 0; k < count; k++)
        free(kept[k].bytes);
    close_server(&run);
    tear_down(&run);
}

/* ---- an upload between two buffers ---- */

static atomic_bool judge_may_go;

static enum covey_status slow_judge(void *user, enum covey_part part, const float *shared,
                                    struct covey_judgement *out, struct covey_error *err)
{
    (void)user, (void)part, (void)shared, (void)err;
    for (uint32_t waited = 0; waited < FAKE_WAIT_MS && !atomic_load(&judge_may_go); waited += 5)
        fake_sleep_ms(5);
    *out = (struct covey_judgement){.count = 1, .loss = 1, .metric = 0};
    return COVEY_OK;
}

struct sending {
    struct run *run;
    const char *device;
    const struct kept *kept;
    atomic_bool answered;
    uint8_t code;
};

static void *send_apart(void *user)
{
    struct sending *sending = user;
    sending->code = send_kept(sending->run, sending->device, sending->kept);
    atomic_store(&sending->answered, true);
    return NULL;
}

Test(server, keeps_an_upload_that_comes_between_two_buffers)
{
    struct run run;
    struct crowd *crowd = calloc(1, sizeof *crowd);
    uint32_t at_work[DEVICES];
    names(crowd->device);
    set_up(&run, 50);
    be_asynchronous(&run);
    run.federation.judge = slow_judge;
    run.federation.has_validation = true;
    run.federation.rules.has_target = true; /* so that the next buffer waits for the judgement */
    run.federation.rules.stop_target = 9;
    open_server(&run);
    everyone_comes(&run, crowd->device);
    await_phase(&run, COVEY_PHASE_UPDATE, 1);
    cr_assert_eq(look_for_work(&run, crowd, at_work), 4);
    deliver(&run, crowd, at_work[0]);
    deliver(&run, crowd, at_work[1]);
    await_phase(&run, COVEY_PHASE_JUDGING, 1);
    struct sending sending = {
        .run = &run, .device = crowd->device[at_work[2]], .kept = &crowd->kept[at_work[2]]};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, send_apart, &sending), 0);
    fake_sleep_ms(50);
    cr_expect(!atomic_load(&sending.answered), "code %u", sending.code);
    atomic_store(&judge_may_go, true);
    pthread_join(thread, NULL);
    cr_expect_eq(sending.code, COVEY_CODE_CHANGED);
    deliver(&run, crowd, at_work[3]);
    await_phase(&run, COVEY_PHASE_UPDATE, 3);
    close_server(&run);
    for (uint32_t i = 0; i < DEVICES; i++)
        free(crowd->kept[i].bytes);
    free(crowd);
    tear_down(&run);
}
