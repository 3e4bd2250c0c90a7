#include "server_run.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/random.h"

void run_names(char out[DEVICES][32])
{
    for (int i = 0; i < DEVICES; i++)
        (void)snprintf(out[i], 32, "device-%d", i);
}

void run_set_up(struct run *run, uint32_t rows)
{
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    fake_folder_make(run->folder);
    fake_model_init(&run->model, rows);
    cr_assert_eq(covey_key_generate(&run->signer, NULL), COVEY_OK);
    fake_options(&run->model, &run->federation, &run->options, run->folder, run->signer);
    run->federation.rules.minimum_devices = DEVICES;
}

void run_open(struct run *run)
{
    struct covey_error err = {0};
    cr_assert_eq(covey_server_create(&run->options, &run->server, &err), COVEY_OK, "%s", err.text);
    fake_host_start(&run->host, run->server);
}

void run_close(struct run *run)
{
    fake_host_stop(&run->host);
    covey_server_destroy(run->server);
    run->server = NULL;
}

void run_tear_down(struct run *run)
{
    fake_model_deinit(&run->model);
    covey_key_destroy(run->signer);
    fake_folder_remove(run->folder);
}

struct kept run_make_kept(struct run *run, const char *device, const struct covey_plan *plan)
{
    struct kept kept = {.size = 0};
    struct covey_manifest manifest;
    free(fake_fetch(&run->host, device, "digits", plan, run->signer, NULL, &manifest));
    kept.bytes = fake_update(&run->model, device, plan, &manifest.model, 0, &kept.size);
    fake_put_path(plan, "digits", kept.path);
    return kept;
}

uint8_t run_send_kept(struct run *run, const char *device, const struct kept *kept)
{
    struct fake_answer answer;
    fake_request(&run->host, device, COVEY_PUT, kept->path, (struct covey_bytes){kept->bytes, kept->size},
                 false, &answer);
    free(answer.body);
    return answer.code;
}

void reports_on_round(void *user, const struct covey_round_report *report)
{
    struct reports *reports = user;
    pthread_mutex_lock(&reports->mutex);
    reports->last = *report;
    reports->rounds += !report->abandoned;
    reports->abandoned += report->abandoned;
    pthread_mutex_unlock(&reports->mutex);
}

void reports_on_end(void *user, const struct covey_federation_report *report)
{
    struct reports *reports = user;
    pthread_mutex_lock(&reports->mutex);
    reports->ends++;
    reports->end = *report;
    pthread_mutex_unlock(&reports->mutex);
}

void reports_await(struct reports *reports, const uint32_t *count, uint32_t wanted)
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

uint64_t test_clock_now_ms(void *user)
{
    struct test_clock *clock = user;
    return clock->system.now_ms(clock->system.user) + atomic_load(&clock->ahead_ms);
}

int64_t test_clock_wall_s(void *user)
{
    struct test_clock *clock = user;
    return clock->system.wall_s(clock->system.user) + (int64_t)(atomic_load(&clock->ahead_ms) / 1000);
}

enum covey_status run_root_update(void *user, const float *shared, const struct covey_recipe *recipe,
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
