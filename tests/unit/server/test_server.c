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
#include "server_run.h"

/* Everyone comes and asks; then each round in the order that the seed gives. Returns the last model's hash.
 */
static struct covey_hash play(struct run *run, uint32_t rounds, uint64_t seed)
{
    char device[DEVICES][32];
    run_names(device);
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
        run_set_up(&run, 1000);
        run.options.fold_threads = threads[i];
        run.options.intake_threads = threads[i];
        run_open(&run);
        const struct covey_hash hash = play(&run, 3, i);
        if (i == 0)
            first = hash;
        cr_expect(covey_hash_equal(&first, &hash), "run %zu with %u threads ends elsewhere", i, threads[i]);
        run_close(&run);
        run_tear_down(&run);
    }
}

Test(server, publishes_a_line_that_replicas_follow_bit_for_bit)
{
    static const char *const downlinks[] = {"raw32", "fp16", "ec:1", "auto:0.5", "tcq:1", "int8", "eden2"};
    for (size_t d = 0; d < sizeof downlinks / sizeof downlinks[0]; d++) {
        struct run run;
        run_set_up(&run, 100);
        (void)snprintf(run.federation.downlink, sizeof run.federation.downlink, "%s", downlinks[d]);
        run.federation.rules.minimum_devices = 1;
        run.federation.rules.stop_rounds = 4;
        run_open(&run);
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
        run_close(&run);
        run_tear_down(&run);
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
    run_set_up(&run, 100);
    (void)snprintf(run.federation.downlink, sizeof run.federation.downlink, "ec:1");
    run.federation.rules.minimum_devices = 1;
    run.federation.rules.stop_rounds = ROUNDS;
    run.federation.deltas_kept = KEPT;
    run.federation.models_kept = 1;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        struct covey_manifest manifest;
        run_open(&run);
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
        run_close(&run);
    }
    for (uint32_t round = 0; round <= ROUNDS; round++)
        free(models[round]);
    run_tear_down(&run);
}

/* The process dies in the middle of a round, with some updates acknowledged: a copy of its folder is what is
 * left. */
Test(server, goes_on_from_a_copy_of_its_folder_to_the_same_model)
{
    struct run whole, torn;
    char device[DEVICES][32], command[256];
    run_names(device);
    run_set_up(&whole, 500);
    run_open(&whole);
    const struct covey_hash expected = play(&whole, 3, 1);
    run_close(&whole);

    for (uint32_t done = 0; done <= DEVICES; done++) {
        run_set_up(&torn, 500);
        /* the same seed and names: the same updates; ids of assignments differ and do not matter */
        run_open(&torn);
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
            kept[i] = run_make_kept(&torn, device[i], &plans[i]);
        for (uint32_t i = 0; i < done; i++)
            cr_assert_eq(run_send_kept(&torn, device[i], &kept[i]), COVEY_CODE_CHANGED);
        /* all five: the round may have closed or not when the copy is made; either way it must come out right
         */
        char copy[64];
        fake_folder_make(copy);
        (void)snprintf(command, sizeof command, "cp -r '%s'/. '%s' && rm -f '%s/lock'", torn.folder, copy,
                       copy);
        cr_assert_eq(system(command), 0);
        run_close(&torn);
        fake_folder_remove(torn.folder);
        memcpy(torn.folder, copy, sizeof copy);

        run_open(&torn);
        for (int i = 0; i < DEVICES; i++)
            fake_come(&torn.host, device[i], true);
        for (uint32_t i = 0; i < DEVICES; i++) {
            /* the assignments of before still hold; who was acknowledged and sends again hears the same */
            const struct covey_plan now = fake_plan(&torn.host, device[i], "digits");
            if (i < done)
                cr_assert(now.kind == COVEY_PLAN_WAIT || now.round > 1, "%u of %u", i, done);
            else
                cr_assert_eq(memcmp(&now.assignment, &plans[i].assignment, sizeof now.assignment), 0);
            cr_assert_eq(run_send_kept(&torn, device[i], &kept[i]), COVEY_CODE_CHANGED,
                         "device %u of %u done", i, done);
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
        run_close(&torn);
        run_tear_down(&torn);
    }
    run_tear_down(&whole);
}

Test(server, ends_again_after_a_restart_and_refuses_another_model)
{
    struct run run;
    run_set_up(&run, 50);
    run_open(&run);
    const struct covey_hash hash = play(&run, 3, 4);
    run_close(&run);
    run_open(&run);
    fake_come(&run.host, "device-0", true);
    const struct covey_plan plan = fake_await(&run.host, "device-0", "digits", COVEY_PLAN_DONE, 0);
    struct covey_manifest manifest;
    free(fake_fetch(&run.host, "device-0", "digits", &plan, run.signer, NULL, &manifest));
    cr_assert(covey_hash_equal(&manifest.model, &hash));
    run_close(&run);

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
    run_tear_down(&run);
}

/* ------------------------------------------------------------------ deadlines, absence, withdrawal */

Test(server, closes_at_the_deadline_without_the_missing_and_abandons_under_its_minimum)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    run_set_up(&run, 50);
    struct test_clock clock = {.system = covey_env_system(NULL)};
    run.options.env =
        (struct covey_env){.now_ms = test_clock_now_ms, .wall_s = test_clock_wall_s, .user = &clock};
    run.federation.rules.minimum_updates = 3;
    run.federation.rules.stop_rounds = 1;
    run.options.events_user = &reports;
    run.options.on_round = reports_on_round;
    run.options.on_end = reports_on_end;
    run_open(&run);
    char device[DEVICES][32];
    run_names(device);
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
    reports_await(&reports, &reports.abandoned, 1);
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
    reports_await(&reports, &reports.ends, 1);
    cr_expect_eq(reports.last.updates, 3);
    cr_expect_eq(reports.last.dropped, 2);
    cr_expect_eq(reports.end.rounds, 1);
    cr_expect_eq(reports.end.abandoned, 1);
    cr_expect_eq(reports.end.end, COVEY_END_ROUNDS);
    cr_expect_eq(reports.last.bytes_up_fp32, 3 * 4 * run.model.layout.update_count);
    cr_expect_gt(reports.last.update_bytes_up, 0);
    cr_expect_lt(reports.last.update_bytes_up * 7 / 2, reports.last.bytes_up_fp32);
    run_close(&run);
    run_tear_down(&run);
}

Test(server, does_not_wait_for_the_withdrawn)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    run_set_up(&run, 50);
    run.federation.rules.stop_rounds = 1;
    run.federation.rules.minimum_updates = 1;
    run.options.events_user = &reports;
    run.options.on_round = reports_on_round;
    run_open(&run);
    char device[DEVICES][32];
    run_names(device);
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
    reports_await(&reports, &reports.rounds, 1);
    cr_expect_eq(reports.last.updates, 4);
    cr_expect_eq(run.host.drops, 1);
    run_close(&run);
    run_tear_down(&run);
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
    run_set_up(&run, 50);
    run.federation.rules.stop_rounds = 10;
    run.federation.rules.has_target = true;
    run.federation.rules.stop_target = 0.75; /* .6, .7, .8 */
    run.federation.judge = judge;
    run.federation.judge_user = calls;
    run.federation.has_validation = run.federation.has_test = true;
    run.options.events_user = &reports;
    run.options.on_round = reports_on_round;
    run.options.on_end = reports_on_end;
    run_open(&run);
    (void)play(&run, 3, 1);
    reports_await(&reports, &reports.ends, 1);
    cr_expect_eq(reports.end.end, COVEY_END_TARGET);
    cr_expect_eq(reports.end.rounds, 3);
    cr_expect_eq(calls[COVEY_PART_VALIDATION], 3);
    cr_expect_eq(calls[COVEY_PART_TEST], 1);
    cr_expect_float_eq(reports.end.metric, 0.8, 1e-12);
    run_close(&run);

    /* after a restart it has still ended, and the test part is not asked again */
    run_open(&run);
    reports_await(&reports, &reports.ends, 2);
    cr_expect_eq(calls[COVEY_PART_VALIDATION], 3);
    cr_expect_eq(calls[COVEY_PART_TEST], 1);
    cr_expect_eq(reports.end.end, COVEY_END_TARGET);
    cr_expect_float_eq(reports.end.test_metric, 0.8, 1e-12);
    run_close(&run);
    run_tear_down(&run);
}

Test(server, takes_new_rules_while_it_runs)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    run_set_up(&run, 50);
    run.federation.rules.stop_rounds = 0;
    run.options.events_user = &reports;
    run.options.on_end = reports_on_end;
    run_open(&run);
    struct covey_round_rules rules = run.federation.rules;
    struct covey_error err = {0};
    cr_expect_eq(covey_server_set_rules(run.server, "nothing", &rules, &err), COVEY_NOT_FOUND);
    rules.deadline_ms = 0;
    cr_expect_eq(covey_server_set_rules(run.server, "digits", &rules, &err), COVEY_INVALID);
    rules = run.federation.rules;
    rules.stop_rounds = 2;
    cr_expect_eq(covey_server_set_rules(run.server, "digits", &rules, &err), COVEY_OK);
    (void)play(&run, 2, 1);
    reports_await(&reports, &reports.ends, 1);
    cr_expect_eq(reports.end.rounds, 2);
    run_close(&run);
    run_tear_down(&run);
}

/* ------------------------------------------------------------------ options that cannot hold */

Test(server, refuses_options_that_cannot_hold)
{
    struct run run;
    run_set_up(&run, 10);
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
    bad[8].root_update = run_root_update;                               /* and nobody looks at it */
    bad[9].server_rule = (struct covey_server_rule){COVEY_SERVER_ADAM, .01, .9, .99, 0};
    for (int i = 0; i < 10; i++) {
        struct covey_server *server = NULL;
        struct covey_error err = {0};
        run.federation = bad[i];
        cr_expect_neq(covey_server_create(&run.options, &server, &err), COVEY_OK, "case %d", i);
        cr_expect_null(server);
        cr_expect_neq(err.text[0], '\0', "case %d says nothing", i);
    }
    run_tear_down(&run);
}
