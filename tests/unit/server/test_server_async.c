/* Assignments that outlive their round: asynchronous buffers, and updates that come late. */
#include <criterion/criterion.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/random.h"
#include "server_run.h"

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
    run_close(run);
    fake_folder_remove(run->folder);
    memcpy(run->folder, copy, sizeof copy);
    run_open(run);
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
            crowd->kept[i] = run_make_kept(run, crowd->device[i], &plan);
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
    cr_assert_eq(run_send_kept(run, crowd->device[i], &crowd->kept[i]), COVEY_CODE_CHANGED);
    /* again: counted once */
    cr_assert_eq(run_send_kept(run, crowd->device[i], &crowd->kept[i]), COVEY_CODE_CHANGED);
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
    run_names(crowd->device);
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

Test(server_async, gives_the_same_models_asynchronously_with_any_threads_and_order_and_after_any_death)
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
        run_set_up(&run, 500);
        be_asynchronous(&run);
        run.options.fold_threads = run.options.intake_threads = runs[i].threads;
        run_open(&run);
        const struct covey_hash hash =
            play_buffers(&run, runs[i].swapped, runs[i].torn, runs[i].halfway, &stale);
        if (i == 0)
            first = hash;
        cr_expect(covey_hash_equal(&first, &hash), "run %zu, torn in buffer %u, ends elsewhere", i,
                  runs[i].torn);
        cr_expect_gt(stale, 0, "nothing was stale");
        run_close(&run);
        run_tear_down(&run);
    }
}

/* Synchronous rounds with round.late: use. The round closes without two; what they made of its model is
 * folded into the next, and counts beside its goal. */
Test(server_async, uses_what_is_late)
{
    struct reports reports = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct run run;
    char device[DEVICES][32];
    run_names(device);
    run_set_up(&run, 50);
    run.federation.rules = (struct covey_round_rules){.minimum_devices = 3,
                                                      .fraction = 1,
                                                      .goal = 3,
                                                      .minimum_updates = 3,
                                                      .late_use = true,
                                                      .staleness_max = 1,
                                                      .deadline_ms = FAKE_DEADLINE_MS,
                                                      .stop_rounds = 3};
    run.options.events_user = &reports;
    run.options.on_round = reports_on_round;
    run.options.on_end = reports_on_end;
    run_open(&run);
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
        kept[count] = run_make_kept(&run, device[i], &plan);
        chosen[count++] = i;
    }
    cr_assert_geq(count, 3);
    for (uint32_t k = 0; k < 3; k++)
        cr_assert_eq(run_send_kept(&run, device[chosen[k]], &kept[k]), COVEY_CODE_CHANGED);
    await_phase(&run, COVEY_PHASE_UPDATE, 2);
    for (uint32_t k = 3; k < count; k++) {
        const struct covey_plan plan = fake_plan(&run.host, device[chosen[k]], "digits");
        cr_expect_eq(plan.kind, COVEY_PLAN_TRAIN);
        cr_expect_eq(plan.round, 1, "an assignment of round %u took its place", plan.round);
        cr_expect_eq(run_send_kept(&run, device[chosen[k]], &kept[k]), COVEY_CODE_CHANGED);
    }
    for (uint32_t k = 0; k < 3; k++) {
        const struct covey_plan plan =
            fake_await(&run.host, device[chosen[k]], "digits", COVEY_PLAN_TRAIN, 2);
        cr_assert_eq(fake_work(&run.host, &run.model, device[chosen[k]], "digits", &plan, run.signer),
                     COVEY_CODE_CHANGED);
    }
    reports_await(&reports, &reports.rounds, 2);
    cr_expect_geq(reports.last.updates, 3 + (count - 3), "%u updates in round 2", reports.last.updates);
    for (uint32_t k = 0; k < count; k++)
        free(kept[k].bytes);
    run_close(&run);
    run_tear_down(&run);
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
    sending->code = run_send_kept(sending->run, sending->device, sending->kept);
    atomic_store(&sending->answered, true);
    return NULL;
}

Test(server_async, keeps_an_upload_that_comes_between_two_buffers)
{
    struct run run;
    struct crowd *crowd = calloc(1, sizeof *crowd);
    uint32_t at_work[DEVICES];
    run_names(crowd->device);
    run_set_up(&run, 50);
    be_asynchronous(&run);
    run.federation.judge = slow_judge;
    run.federation.has_validation = true;
    run.federation.rules.has_target = true; /* so that the next buffer waits for the judgement */
    run.federation.rules.stop_target = 9;
    run_open(&run);
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
    run_close(&run);
    for (uint32_t i = 0; i < DEVICES; i++)
        free(crowd->kept[i].bytes);
    free(crowd);
    run_tear_down(&run);
}
