/* Drives the round machine: what happens becomes an event (client_answers.c, and the training job's end
 * here), the machine turns an event into actions, and actions are requests, work and timers
 * (client_actions.c). */
#include "client_core.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ events */

struct covey_client_event *covey_client_post(struct covey_client *client, enum covey_client_event_kind kind)
{
    assert(client->count < COVEY_CLIENT_EVENTS);
    struct covey_client_queued *queued =
        &client->queue[(client->first + client->count++) % COVEY_CLIENT_EVENTS];
    queued->event = (struct covey_client_event){.kind = kind, .ticket = client->ticket};
    return &queued->event;
}

void covey_client_post_plan(struct covey_client *client, const struct covey_plan *plan)
{
    for (uint32_t i = 0; i < client->count; i++) {
        struct covey_client_queued *waiting = &client->queue[(client->first + i) % COVEY_CLIENT_EVENTS];
        if (waiting->event.kind == COVEY_CLIENT_PLAN) {
            waiting->plan = *plan;
            return;
        }
    }
    struct covey_client_queued *queued =
        &client->queue[(client->first + client->count) % COVEY_CLIENT_EVENTS];
    struct covey_client_event *event = covey_client_post(client, COVEY_CLIENT_PLAN);
    queued->plan = *plan;
    event->plan = &queued->plan;
}

void covey_client_post_failure(struct covey_client *client, enum covey_client_event_kind kind,
                               enum covey_client_failure failure, uint32_t wait_ms)
{
    struct covey_client_event *event = covey_client_post(client, kind);
    event->failure = failure;
    event->wait_ms = wait_ms;
}

static uint64_t now_ms(const struct covey_client *client)
{
    return client->env.now_ms(client->env.user);
}

void covey_client_note_trouble(struct covey_client *client, const char *event, const char *text)
{
    snprintf(client->trouble, sizeof client->trouble, "%s", text);
    covey_log_event(client->env.log, COVEY_LOG_WARNING, event, "reason=\"%s\"", text);
}

/* ------------------------------------------------------------------ the loop */

enum covey_client_failure covey_client_failure_of(enum covey_status status)
{
    bool later =
        status == COVEY_IO || status == COVEY_NO_MEMORY || status == COVEY_LIMIT || status == COVEY_CANCELLED;
    return later ? COVEY_FAILURE_LATER : COVEY_FAILURE_FINAL;
}

static void feed(struct covey_client *client, const struct covey_client_event *event)
{
    struct covey_client_actions actions;
    covey_client_round_step(&client->machine, event, now_ms(client), &actions);
    for (uint32_t i = 0; i < actions.count; i++)
        covey_client_perform(client, &actions.items[i]);
}

static void feed_all(struct covey_client *client)
{
    while (client->count > 0) {
        const struct covey_client_queued queued = client->queue[client->first];
        struct covey_client_event event = queued.event;
        if (event.plan != NULL)
            event.plan = &queued.plan;
        client->first = (client->first + 1) % COVEY_CLIENT_EVENTS;
        client->count--;
        feed(client, &event);
    }
}

static void look_at_job(struct covey_client *client)
{
    if (!covey_training_job_take(&client->job))
        return;
    if (client->job.status == COVEY_OK) {
        client->job.update_offered = false;
        covey_client_post(client, COVEY_CLIENT_TRAINED);
        return;
    }
    if (client->job.status != COVEY_CANCELLED) {
        covey_client_note_trouble(client, "training-failed", client->job.err.text);
        covey_client_note_failure(client, covey_client_failure_to_train(client->job.status));
    }
    covey_client_post_failure(client, COVEY_CLIENT_TRAIN_FAILED, covey_client_failure_of(client->job.status),
                              0);
}

void covey_client_step(struct covey_client *client, uint32_t wait_ms)
{
    if (atomic_load(&client->stop) && !client->stopped) {
        client->stopped = true;
        covey_client_post(client, COVEY_CLIENT_STOP);
        feed_all(client);
    }
    if (covey_client_finished(client))
        return;
    uint64_t next = covey_client_round_next_ms(&client->machine), now = now_ms(client);
    uint64_t until = next > now ? next - now : 0;
    client->link.ops->run(client->link.link, until < wait_ms ? (uint32_t)until : wait_ms);
    look_at_job(client);
    feed_all(client);
    feed(client, &(struct covey_client_event){.kind = COVEY_CLIENT_TICK});
    look_at_job(client); /* trained in step */
    feed_all(client);
}

uint64_t covey_client_next_ms(const struct covey_client *client)
{
    return client->count > 0 ? 0 : covey_client_round_next_ms(&client->machine);
}

bool covey_client_finished(const struct covey_client *client)
{
    return client->machine.finished;
}

void covey_client_stop(struct covey_client *client)
{
    atomic_store(&client->stop, true);
    client->link.ops->wake(client->link.link);
}

/* From the training thread. */
static void wake(void *user)
{
    struct covey_client *client = user;
    client->link.ops->wake(client->link.link);
}

void covey_client_view(const struct covey_client *client, struct covey_client_view *out)
{
    *out = (struct covey_client_view){.link = client->machine.link,
                                      .work = client->machine.work,
                                      .ended = client->ended,
                                      .round = client->machine.plan.round,
                                      .step = atomic_load(&client->job.step),
                                      .steps = atomic_load(&client->job.steps),
                                      .loss = NAN,
                                      .total = client->total,
                                      .trouble = client->trouble};
    client->link.ops->traffic(client->link.link, &out->traffic);
    out->total.model_bytes_down = client->download.values_bytes; /* the last one trains nobody */
    out->total.bytes_down_fp32 = client->download.values_bytes_fp32;
    if (out->work == COVEY_WORK_TRAIN && out->step > 0)
        out->loss = (double)atomic_load(&client->job.loss);
    else if (client->total.rounds > 0)
        out->loss = client->total.loss_after;
}

/* ------------------------------------------------------------------ beginning and end */

static void wire(struct covey_client *client)
{
    const struct covey_client_config *config = client->options.config;
    client->download = (struct covey_download){.federation = config->federation,
                                               .trust = client->options.trust,
                                               .state = client->state,
                                               .model = &client->model,
                                               .log = client->env.log,
                                               .env = &client->env,
                                               .done = covey_client_on_model,
                                               .user = client};
    struct covey_training_job *job = &client->job;
    job->config = config;
    job->dataset = client->options.dataset;
    job->judged_on = client->options.held_out != NULL ? client->options.held_out : client->options.dataset;
    job->engine = client->options.engine;
    job->env = client->env;
    job->state = client->state;
    job->model = &client->model;
    job->device = client->device;
    job->in_step = client->options.train_in_step;
    job->wake = wake;
    job->user = client;
    client->model.seed = client->device;
}

static void restore(struct covey_client *client)
{
    const struct covey_client_config *config = client->options.config;
    const struct covey_state_update *update = covey_client_state_update(client->state);
    struct covey_error err = {0};
    enum covey_status status = covey_local_model_restore(&client->model, client->state, &err);
    if (status == COVEY_OK)
        covey_log_event(client->env.log, COVEY_LOG_INFO, "model-found", "round=%u sequence=%llu",
                        client->model.facts.round, (unsigned long long)client->model.facts.sequence);
    else if (status != COVEY_NOT_FOUND)
        covey_client_note_trouble(client, "model-lost", err.text);
    client->job.update_offered = update != NULL; /* nobody knows how far it came */
    const struct covey_client_rules rules = {.mode = (enum covey_link_mode)config->mode,
                                             .seed = (uint64_t)client->env.wall_s(client->env.user),
                                             .device = client->device,
                                             .reconnect_ms = (uint32_t)config->reconnect_ms,
                                             .reconnect_limit_ms = (uint32_t)config->reconnect_limit_ms,
                                             .stop_after = client->options.stop_after,
                                             .exit_when_done = config->exit_when_done,
                                             .report = config->metrics,
                                             .keep_last = config->keep_last};
    covey_client_round_init(&client->machine, &rules, covey_client_state_shard(client->state),
                            update != NULL ? &update->assignment : NULL);
}

enum covey_status covey_client_create(const struct covey_client_options *options, struct covey_client **out,
                                      struct covey_error *err)
{
    char folder[COVEY_FILE_PATH_BYTES];
    COVEY_TRY(covey_client_config_path(options->config, options->config->state, folder, err));
    struct covey_client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a client");
    client->options = *options;
    client->env = options->env;
    client->device = covey_random_id(options->device_name);
    enum covey_status status = covey_client_state_open(
        folder, options->config->federation, &covey_disk_system, client->env.log, &client->state, err);
    if (status == COVEY_OK) {
        wire(client);
        restore(client);
        const struct covey_link_events events = {client, covey_client_on_state};
        status = options->open_link(options->link_user, &events, &client->link, err);
    }
    if (status != COVEY_OK) {
        covey_client_destroy(client);
        return status;
    }
    *out = client;
    return COVEY_OK;
}

void covey_client_destroy(struct covey_client *client)
{
    if (client == NULL)
        return;
    covey_training_job_deinit(&client->job);
    if (client->link.ops != NULL) {
        covey_client_cancel_transfers(client, false);
        covey_client_cancel(client, &client->inquiring, client->inquiry_id);
        covey_client_cancel(client, &client->reporting, client->report_id);
        covey_client_cancel(client, &client->observing, client->observe_id);
        covey_client_cancel(client, &client->asking, client->ask_id);
        client->link.ops->destroy(client->link.link);
    }
    covey_local_model_deinit(&client->model);
    covey_client_state_close(client->state);
    free(client);
}
