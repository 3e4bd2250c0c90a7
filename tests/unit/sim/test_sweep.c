#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "outcome.h"
#include "outcome_fields.h"
#include "sweep.h"

static char folder[64];

static void make(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/covey-sweep-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void drop(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

TestSuite(sweep, .init = make, .fini = drop);

/* Runs that only leave a summary; `fail` and `stop` are cells that end so. */
struct fake {
    const struct covey_sweep *sweep;
    uint32_t waiting[COVEY_SWEEP_JOBS], running, most, starts, order[16];
    uint32_t fail, stop, stop_after;
};

/* Stands for the canonical text: ".1" and "0.1" are the same. */
static enum covey_status identify(void *user, const char *const *settings, uint32_t count,
                                  struct covey_hash *out, struct covey_error *err)
{
    (void)user;
    memset(out, 0, sizeof *out);
    for (uint32_t i = 0; i < count; i++) {
        const char *value = strchr(settings[i], '=') + 1;
        if (strcmp(value, "bad") == 0)
            return covey_fail(err, COVEY_INVALID, "--set %s: no such thing", settings[i]);
        const double number = strtod(value, NULL);
        memcpy(out->bytes + 8 * i, &number, sizeof number);
        out->bytes[31] = (uint8_t)(out->bytes[31] + value[strlen(value) - 1] * (int)(i + 1));
    }
    /* the folder's name is the first half */
    for (int i = 0; i < 16; i++)
        out->bytes[i % 8] = (uint8_t)(out->bytes[i % 8] * 31 + out->bytes[16 + i] + out->bytes[8 + i % 8]);
    return COVEY_OK;
}

static void leave(const struct covey_sweep_cell *cell, bool interrupted)
{
    struct covey_outcome *outcome;
    struct covey_sim_summary summary;
    struct covey_error err = {0};
    const struct covey_sim_round round = {.round = 1, .metric = .5, .best = .5};
    covey_outcome_fields_clear(covey_summary_fields, &summary, sizeof summary);
    summary.scenario_hash = cell->hash;
    summary.interrupted = interrupted;
    cr_assert_eq(covey_outcome_create(cell->folder, 0, &outcome, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_outcome_round(outcome, &round, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_outcome_summary(outcome, &summary, &err), COVEY_OK, "%s", err.text);
    covey_outcome_destroy(outcome);
}

static enum covey_status start(void *user, const struct covey_sweep_cell *cell, uint32_t index,
                               struct covey_error *err)
{
    struct fake *fake = user;
    (void)err;
    cr_assert_eq(&fake->sweep->cells[index], cell);
    cr_assert(fake->running < COVEY_SWEEP_JOBS);
    fake->order[fake->starts++ % 16] = index;
    fake->waiting[fake->running++] = index;
    fake->most = fake->running > fake->most ? fake->running : fake->most;
    if (index != fake->fail)
        leave(cell, index == fake->stop);
    return COVEY_OK;
}

static enum covey_status wait_for(void *user, uint32_t *index, bool *good, struct covey_error *err)
{
    struct fake *fake = user;
    (void)err;
    cr_assert(fake->running > 0, "nothing runs");
    *index = fake->waiting[--fake->running];
    *good = *index != fake->fail;
    return COVEY_OK;
}

static bool stopped(void *user)
{
    const struct fake *fake = user;
    return fake->starts >= fake->stop_after;
}

static void plan(struct covey_sweep *sweep, struct fake *fake, struct covey_sweep_runner *runner,
                 const char *first, const char *second)
{
    static struct covey_sweep_key keys[2];
    struct covey_error err = {0};
    *fake = (struct fake){.sweep = sweep, .fail = UINT32_MAX, .stop = UINT32_MAX, .stop_after = UINT32_MAX};
    *runner = (struct covey_sweep_runner){fake, identify, start, wait_for, stopped, NULL};
    cr_assert_eq(covey_sweep_key_read(first, &keys[0], &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_sweep_key_read(second, &keys[1], &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_sweep_plan(keys, 2, NULL, 0, folder, runner, sweep, &err), COVEY_OK, "%s", err.text);
}

static void run(struct covey_sweep *sweep, const struct covey_sweep_runner *runner)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_sweep_run(sweep, runner, &err), COVEY_OK, "%s", err.text);
}

Test(sweep, keys_and_values)
{
    static const char *const wrong[] = {"", "a", "=1", "a=", "a=1,,2", "a=1,", "a=,1"};
    struct covey_sweep_key key;
    struct covey_error err = {0};
    cr_assert_eq(covey_sweep_key_read("train.learning_rate=.1,.2,ec:1", &key, &err), COVEY_OK);
    cr_assert_str_eq(key.key, "train.learning_rate");
    cr_assert_eq(key.count, 3);
    cr_assert_str_eq(key.values[2], "ec:1");
    cr_assert_eq(covey_sweep_key_read("links=[{class: wifi, share: 2},{class: lte-m}],[]", &key, &err),
                 COVEY_OK);
    cr_assert_eq(key.count, 2);
    cr_assert_str_eq(key.values[0], "[{class: wifi, share: 2},{class: lte-m}]");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(covey_sweep_key_read(wrong[i], &key, &err), COVEY_INVALID, "%s", wrong[i]);
}

Test(sweep, every_combination_is_a_cell)
{
    struct covey_sweep sweep;
    struct covey_sweep_runner runner;
    struct fake fake;
    char label[128];
    plan(&sweep, &fake, &runner, "a=1,2", "b=3,4,5");
    cr_assert_eq(sweep.count, 6);
    covey_sweep_label(&sweep.cells[4], label, sizeof label);
    cr_assert_str_eq(label, "a=2, b=4");
    run(&sweep, &runner);
    cr_assert_eq(fake.starts, 6);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(sweep.cells[i].state, COVEY_SWEEP_DONE);
    cr_assert_eq(fake.most, 1);
    covey_sweep_free(&sweep);
}

Test(sweep, what_is_complete_is_not_run_again)
{
    struct covey_sweep sweep;
    struct covey_sweep_runner runner;
    struct fake fake;
    plan(&sweep, &fake, &runner, "a=1,2", "b=3,4");
    run(&sweep, &runner);
    covey_sweep_free(&sweep);
    plan(&sweep, &fake, &runner, "a=2,3", "b=3,4"); /* two of them are new */
    run(&sweep, &runner);
    cr_assert_eq(fake.starts, 2);
    cr_assert_eq(sweep.cells[0].state, COVEY_SWEEP_CACHED);
    cr_assert_eq(sweep.cells[1].state, COVEY_SWEEP_CACHED);
    cr_assert_eq(sweep.cells[2].state, COVEY_SWEEP_DONE);
    covey_sweep_free(&sweep);
}

Test(sweep, another_configurations_run_does_not_count)
{
    struct covey_sweep sweep;
    struct covey_sweep_runner runner;
    struct fake fake;
    plan(&sweep, &fake, &runner, "a=1", "b=3");
    struct covey_sweep_cell other = sweep.cells[0];
    other.hash.bytes[20] ^= 1; /* behind what the folder is named by */
    leave(&other, false);
    cr_assert(!covey_sweep_complete(sweep.cells[0].folder, &sweep.cells[0].hash));
    run(&sweep, &runner);
    cr_assert_eq(fake.starts, 1);
    covey_sweep_free(&sweep);
}

Test(sweep, failed_and_stopped_cells_are_run_again)
{
    struct covey_sweep sweep;
    struct covey_sweep_runner runner;
    struct fake fake;
    plan(&sweep, &fake, &runner, "a=1,2", "b=3,4");
    fake.fail = 1;
    fake.stop = 2;
    run(&sweep, &runner);
    cr_assert_eq(fake.starts, 4, "the others go on");
    cr_assert_eq(sweep.cells[1].state, COVEY_SWEEP_FAILED);
    cr_assert_eq(sweep.cells[2].state, COVEY_SWEEP_STOPPED);
    covey_sweep_free(&sweep);
    plan(&sweep, &fake, &runner, "a=1,2", "b=3,4");
    run(&sweep, &runner);
    cr_assert_eq(fake.starts, 2);
    cr_assert_eq(fake.order[0], 1);
    cr_assert_eq(fake.order[1], 2);
    covey_sweep_free(&sweep);
}

Test(sweep, several_at_a_time_and_no_more_when_stopped)
{
    struct covey_sweep sweep;
    struct covey_sweep_runner runner;
    struct fake fake;
    plan(&sweep, &fake, &runner, "a=1,2,3", "b=3,4,5");
    sweep.jobs = 3;
    fake.stop_after = 5;
    run(&sweep, &runner);
    cr_assert_eq(fake.starts, 5);
    cr_assert_eq(fake.most, 3);
    cr_assert_eq(fake.running, 0, "those that ran were waited for");
    cr_assert_eq(sweep.cells[8].state, COVEY_SWEEP_WAITING);
    covey_sweep_free(&sweep);
}

Test(sweep, values_that_mean_the_same_are_one_cell)
{
    struct covey_sweep sweep;
    struct covey_sweep_runner runner;
    struct fake fake;
    plan(&sweep, &fake, &runner, "a=.1,0.1", "b=3");
    run(&sweep, &runner);
    cr_assert_eq(fake.starts, 1);
    cr_assert_eq(sweep.cells[1].state, COVEY_SWEEP_SAME);
    covey_sweep_free(&sweep);
}

Test(sweep, a_wrong_value_is_refused_before_anything_runs)
{
    struct covey_sweep_key key;
    struct covey_sweep sweep = {0};
    struct fake fake = {.stop_after = UINT32_MAX};
    const struct covey_sweep_runner runner = {&fake, identify, start, wait_for, stopped, NULL};
    struct covey_error err = {0};
    cr_assert_eq(covey_sweep_key_read("codec=1,2,bad", &key, &err), COVEY_OK);
    cr_assert_eq(covey_sweep_plan(&key, 1, NULL, 0, folder, &runner, &sweep, &err), COVEY_INVALID);
    cr_assert_not_null(strstr(err.text, "bad"));
    cr_assert_eq(fake.starts, 0);
    cr_assert_null(sweep.cells);
}

Test(sweep, a_grid_has_an_end)
{
    struct covey_sweep_key keys[2];
    struct covey_sweep sweep;
    struct covey_error err = {0};
    const struct covey_sweep_runner runner = {NULL, identify, start, wait_for, stopped, NULL};
    char text[512] = "a=1";
    for (int i = 0; i < 99; i++)
        (void)strcat(text, ",1");
    cr_assert_eq(covey_sweep_key_read(text, &keys[0], &err), COVEY_OK);
    cr_assert_eq(covey_sweep_key_read(text, &keys[1], &err), COVEY_OK);
    cr_assert_eq(covey_sweep_plan(keys, 2, NULL, 0, folder, &runner, &sweep, &err), COVEY_LIMIT);
}
