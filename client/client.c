/* Drives the round machine: what happens becomes an event, an event becomes actions, actions are requests,
 * work and timers.
 *
 *   link -> on_state, on_plan, on_where, on_sent, on_model --+
 *   training job -> ended -----------------------------------+--> events --> covey_client_round_step -->
 * actions clock, covey_client_stop --------------------------------+ | link <- connect, observe, request; job
 * <- start, cancel; policy <- look <-----------------------------+ */
#include "covey/client.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client_state.h"
#include "download.h"
#include "local_model.h"
#include "policy.h"
#include "training_job.h"
#include "upload.h"

#define EVENTS 16 /* waiting ones; each step empties the queue */

/* An event with room for what it points to. */
struct queued {
    struct covey_client_event event;
    struct covey_plan plan;
};

struct covey_client {
    struct covey_client_options options;
    struct covey_env env;
    uint64_t device;
    struct covey_client_round machine;
    struct covey_client_state *state;
    struct covey_local_model model;
    struct covey_download download;
    struct covey_training_job job;
    struct covey_link_handle link;
    bool heeds_link; /* states since the last connect are told; earlier ones are history */
    bool observing, asking, sending;
    uint32_t observe_id, ask_id, send_id;
    uint32_t ticket; /* of the work action under way */
    uint16_t connected_port;
    bool ended;     /* the last plan said so */
    bool held_back; /* the policy forbade; said once */
    struct queued queue[EVENTS];
    uint32_t first, count;
    atomic_bool stop;
    bool stopped;
    struct covey_traffic counted; /* at the last report */
    struct covey_client_report total;
    char trouble[COVEY_ERROR_TEXT_BYTES];
};

/* ------------------------------------------------------------------ events */

static struct covey_client_event *post(struct covey_client *client, enum covey_client_event_kind kind)
{
    assert(client->count < EVENTS);
    struct queued *queued = &client->queue[(client->first + client->count++) % EVENTS];
    queued->event = (struct covey_client_event){.kind = kind, .ticket = client->ticket};
    return &queued->event;
}

/* A newer plan takes the place of one that was not looked at yet: however many are pushed, one waits. */
static void post_plan(struct covey_client *client, const struct covey_plan *plan)
{
    for (uint32_t i = 0; i < client->count; i++) {
        struct queued *waiting = &client->queue[(client->first + i) % EVENTS];
        if (waiting->event.kind == COVEY_CLIENT_PLAN) {
            waiting->plan = *plan;
            return;
        }
    }
    struct queued *queued = &client->queue[(client->first + client->count) % EVENTS];
    struct covey_client_event *event = post(client, COVEY_CLIENT_PLAN);
    queued->plan = *plan;
    event->plan = &queued->plan;
}

static void post_failure(struct covey_client *client, enum covey_client_event_kind kind,
                         enum covey_client_failure failure, uint32_t wait_ms)
{
    struct covey_client_event *event = post(client, kind);
    event->failure = failure;
    event->wait_ms = wait_ms;
}

static uint64_t now_ms(const struct covey_client *client)
{
    return client->env.now_ms(client->env.user);
}

static void note_trouble(struct covey_client *client, const char *event, const char *text)
{
    snprintf(client->trouble, sizeof client->trouble, "%s", text);
    covey_log_event(client->env.log, COVEY_LOG_WARNING, event, "reason=\"%s\"", text);
}

/* ------------------------------------------------------------------ what the link says */

static void on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
{
    struct covey_client *client = user;
    if (state == COVEY_LINK_CONNECTING) {
        client->heeds_link = true;
        return;
    }
    if (!client->heeds_link)
        return;
    if (state == COVEY_LINK_UP) {
        covey_log_event(client->env.log, COVEY_LOG_INFO, "connected", "port=%u", client->connected_port);
        post(client, COVEY_CLIENT_LINK_UP);
    } else {
        note_trouble(client, "connection-lost", reason != NULL ? reason->text : "closed");
        post(client, COVEY_CLIENT_LINK_DOWN);
    }
}

/* Is there an answer of success? If not, says what there is instead; *failure and *wait_ms tell what to make
 * of it. */
static bool is_good(struct covey_client *client, const struct covey_reply *reply, const char *event,
                    enum covey_client_failure *failure, uint32_t *wait_ms)
{
    char text[300];
    *failure = COVEY_FAILURE_LATER;
    *wait_ms = 0;
    if (reply->status == COVEY_OK && covey_code_is_success(reply->code))
        return true;
    if (reply->status != COVEY_OK) {
        snprintf(text, sizeof text, "%s", covey_status_text(reply->status));
    } else {
        bool busy = reply->code >= COVEY_CODE_INTERNAL || reply->code == COVEY_CODE_TOO_MANY ||
                    reply->code == COVEY_CODE_INCOMPLETE;
        *failure = busy ? COVEY_FAILURE_LATER : COVEY_FAILURE_FINAL;
        *wait_ms = busy && reply->max_age_s < UINT32_MAX / 1000 ? reply->max_age_s * 1000 : 0;
        snprintf(text, sizeof text, "the server answered %u.%02u %.*s", reply->code >> 5, reply->code & 31,
                 (int)(reply->body.size < 200 ? reply->body.size : 200), (const char *)reply->body.data);
    }
    note_trouble(client, event, text);
    return false;
}

static void take_plan(struct covey_client *client, const struct covey_reply *reply)
{
    enum covey_client_failure failure;
    struct covey_plan plan;
    struct covey_error err = {0};
    uint32_t wait_ms;
    if (!is_good(client, reply, "no-plan", &failure, &wait_ms)) {
        post_failure(client, COVEY_CLIENT_PLAN_FAILED, failure, wait_ms);
        return;
    }
    if (covey_plan_decode(reply->body, &plan, &err) != COVEY_OK) {
        note_trouble(client, "bad-plan", err.text);
        post_failure(client, COVEY_CLIENT_PLAN_FAILED, COVEY_FAILURE_FINAL, 0);
        return;
    }
    static const char *const kinds[] = {"wait", "train", "done"};
    covey_log_event(client->env.log, COVEY_LOG_DEBUG, "plan", "kind=%s round=%u retry_ms=%u heartbeat_ms=%u",
                    kinds[plan.kind], plan.round, plan.retry_after_ms, plan.heartbeat_ms);
    client->ended = plan.kind == COVEY_PLAN_DONE;
    if (client->machine.link == COVEY_CLIENT_ASKING)
        client->trouble[0] = 0;
    post_plan(client, &plan);
}

static void on_observed(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    if (reply->status != COVEY_OK || !covey_code_is_success(reply->code))
        client->observing = false; /* the transport has ended it */
    take_plan(client, reply);
}

static void on_asked(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    client->asking = false;
    take_plan(client, reply);
}

static void on_where(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    struct covey_where where;
    struct covey_error err = {0};
    client->asking = false;
    if (reply->status != COVEY_OK) {
        post(client, COVEY_CLIENT_LINK_DOWN);
        return;
    }
    /* A server that does not say serves us here. */
    bool said =
        covey_code_is_success(reply->code) && covey_where_decode(reply->body, &where, &err) == COVEY_OK;
    uint16_t port = said && where.port != client->connected_port ? where.port : 0;
    if (covey_client_state_set_shard(client->state, port, &err) != COVEY_OK)
        note_trouble(client, "state-not-stored", err.text);
    post(client, COVEY_CLIENT_WHERE)->port = port;
}

static void on_model(void *user, enum covey_status status, enum covey_client_failure failure,
                     uint32_t wait_ms, const struct covey_error *err)
{
    struct covey_client *client = user;
    if (status == COVEY_OK) {
        covey_log_event(client->env.log, COVEY_LOG_INFO, "model-installed",
                        "round=%u sequence=%llu values=%zu delta=%d", client->model.facts.round,
                        (unsigned long long)client->model.facts.sequence, client->model.layout.shared_count,
                        client->download.delta != NULL);
        post(client, COVEY_CLIENT_FETCHED);
        return;
    }
    note_trouble(client, "model-not-installed", err->text);
    post_failure(client, COVEY_CLIENT_FETCH_FAILED, failure, wait_ms);
}

/* ------------------------------------------------------------------ reports */

static void report_round(struct covey_client *client)
{
    const struct covey_state_update *update = covey_client_state_update(client->state);
    struct covey_traffic now;
    struct covey_client_report round = {.round = client->machine.plan.round,
                                        .rounds = client->total.rounds + 1};
    client->link.ops->traffic(client->link.link, &now);
    if (update != NULL) {
        round.round = update->round;
        round.examples = update->examples;
        round.steps = update->steps;
        round.loss_before = update->loss_before;
        round.loss_after = update->loss_after;
        round.update_bytes_up = update->stream_bytes;
        round.training_ms = update->training_ms;
    }
    round.bytes_up_fp32 = 4 * (uint64_t)client->model.layout.update_count;
    round.upload_bytes_up = now.upload_bytes_up - client->counted.upload_bytes_up;
    round.bytes_up = now.bytes_up - client->counted.bytes_up;
    round.bytes_down = now.bytes_down - client->counted.bytes_down;
    round.blocks_repeated = now.blocks_repeated - client->counted.blocks_repeated;
    client->counted = now;

    struct covey_client_report *total = &client->total;
    total->round = round.round;
    total->rounds++;
    total->examples += round.examples;
    total->steps += round.steps;
    total->loss_before = round.loss_before;
    total->loss_after = round.loss_after;
    total->update_bytes_up += round.update_bytes_up;
    total->bytes_up_fp32 += round.bytes_up_fp32;
    total->training_ms += round.training_ms;
    total->upload_bytes_up = now.upload_bytes_up;
    total->bytes_up = now.bytes_up;
    total->bytes_down = now.bytes_down;
    total->blocks_repeated = now.blocks_repeated;
    covey_log_event(client->env.log, COVEY_LOG_INFO, "update-acknowledged",
                    "round=%u examples=%u loss=%.4f bytes=%llu sent=%llu training_ms=%llu", round.round,
                    round.examples, round.loss_after, (unsigned long long)round.update_bytes_up,
                    (unsigned long long)round.upload_bytes_up, (unsigned long long)round.training_ms);
    if (client->options.on_round != NULL)
        client->options.on_round(client->options.user, &round, total);
}

static void on_sent(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    enum covey_client_failure failure;
    struct covey_error err = {0};
    uint32_t wait_ms;
    client->sending = false;
    if (!is_good(client, reply, "update-refused", &failure, &wait_ms)) {
        if (failure == COVEY_FAILURE_FINAL) {
            client->job.update_offered = false;
            /* Under 4.09 another update of ours is in: the residual that went with it is lost. */
            bool sure = reply->code != COVEY_CODE_CONFLICT;
            if (covey_client_state_drop_update(client->state, sure, &err) != COVEY_OK)
                note_trouble(client, "state-not-stored", err.text);
        }
        post_failure(client, COVEY_CLIENT_SEND_FAILED, failure, wait_ms);
        return;
    }
    client->trouble[0] = 0;
    report_round(client);
    client->job.update_offered = false;
    if (covey_client_state_commit_update(client->state, &err) != COVEY_OK)
        note_trouble(client, "state-not-stored", err.text);
    post(client, COVEY_CLIENT_SENT);
}

/* ------------------------------------------------------------------ actions */

static void cancel(struct covey_client *client, bool *flag, uint32_t id)
{
    if (*flag)
        client->link.ops->cancel(client->link.link, id);
    *flag = false;
}

/* What moves on the link ends with it; the machine hears of it at once. */
static void cancel_transfers(struct covey_client *client, bool tell)
{
    if (client->download.busy) {
        covey_download_cancel(&client->download);
        if (tell)
            post_failure(client, COVEY_CLIENT_FETCH_FAILED, COVEY_FAILURE_LATER, 0);
    }
    if (client->sending) {
        cancel(client, &client->sending, client->send_id);
        if (tell)
            post_failure(client, COVEY_CLIENT_SEND_FAILED, COVEY_FAILURE_LATER, 0);
    }
}

static void disconnect(struct covey_client *client)
{
    cancel_transfers(client, true);
    cancel(client, &client->observing, client->observe_id);
    cancel(client, &client->asking, client->ask_id);
    client->link.ops->disconnect(client->link.link);
    client->heeds_link = false;
}

static void connect_link(struct covey_client *client, uint16_t port)
{
    const struct covey_client_config *config = client->options.config;
    char address[COVEY_ADDRESS_BYTES];
    struct covey_error err = {0};
    client->connected_port = port != 0 ? port : config->port;
    covey_client_address(config->host, client->connected_port, address);
    client->heeds_link = false; /* until the transport says that it connects */
    client->observing = client->asking = false;
    if (client->link.ops->connect(client->link.link, address, &err) == COVEY_OK)
        return;
    note_trouble(client, "no-connection", err.text);
    post(client, COVEY_CLIENT_LINK_DOWN);
}

static void ask_where(struct covey_client *client)
{
    const struct covey_request request = {
        .method = COVEY_GET, .path = "where", .content_format = -1, .reply_limit_bytes = COVEY_BLOCK_BYTES};
    struct covey_error err = {0};
    cancel(client, &client->asking, client->ask_id);
    if (client->link.ops->request(client->link.link, &request, on_where, client, &client->ask_id, &err) !=
        COVEY_OK)
        post(client, COVEY_CLIENT_LINK_DOWN);
    else
        client->asking = true;
}

static void ask_plan(struct covey_client *client, bool observe)
{
    char path[COVEY_PATH_BYTES];
    struct covey_error err = {0};
    snprintf(path, sizeof path, "f/%s/plan", client->options.config->federation);
    const struct covey_request request = {.method = COVEY_GET,
                                          .path = path,
                                          .content_format = -1,
                                          .reply_limit_bytes = COVEY_PLAN_BYTES,
                                          .timeout_ms = observe ? 0 : COVEY_CLIENT_ASK_MS};
    const struct covey_link_ops *ops = client->link.ops;
    bool *flag = observe ? &client->observing : &client->asking;
    uint32_t *id = observe ? &client->observe_id : &client->ask_id;
    cancel(client, flag, *id);
    enum covey_status status = observe
                                   ? ops->observe(client->link.link, &request, on_observed, client, id, &err)
                                   : ops->request(client->link.link, &request, on_asked, client, id, &err);
    if (status != COVEY_OK)
        post_failure(client, COVEY_CLIENT_PLAN_FAILED, COVEY_FAILURE_LATER, 0);
    else
        *flag = true;
}

static void fetch(struct covey_client *client)
{
    const struct covey_plan *plan = &client->machine.plan;
    struct covey_error err = {0};
    bool there;
    client->download.link = client->link;
    if (covey_download_start(&client->download, &plan->manifest, plan->window_blocks, &there, &err) !=
        COVEY_OK)
        post_failure(client, COVEY_CLIENT_FETCH_FAILED, COVEY_FAILURE_LATER, 0);
    else if (there)
        post(client, COVEY_CLIENT_FETCHED);
}

static void look_at_policy(struct covey_client *client)
{
    struct covey_conditions conditions;
    char why[120];
    const char *root = client->options.sensor_root != NULL ? client->options.sensor_root : "";
    covey_conditions_read(root, client->env.wall_s(client->env.user), &conditions);
    bool allowed = covey_policy_allows(&client->options.config->policy, &conditions, why, sizeof why);
    if (!allowed && !client->held_back)
        covey_log_event(client->env.log, COVEY_LOG_INFO, "held-back", "reason=\"%s\"", why);
    client->held_back = !allowed;
    post(client, COVEY_CLIENT_PERMISSION)->allowed = allowed;
}

static enum covey_client_failure failure_of(enum covey_status status)
{
    bool later =
        status == COVEY_IO || status == COVEY_NO_MEMORY || status == COVEY_LIMIT || status == COVEY_CANCELLED;
    return later ? COVEY_FAILURE_LATER : COVEY_FAILURE_FINAL;
}

static void start_training(struct covey_client *client)
{
    struct covey_error err = {0};
    enum covey_status status = covey_training_job_start(&client->job, &client->machine.plan, &err);
    if (status == COVEY_OK) {
        covey_log_event(client->env.log, COVEY_LOG_INFO, "training", "round=%u", client->machine.plan.round);
        return;
    }
    note_trouble(client, "training-failed", err.text);
    post_failure(client, COVEY_CLIENT_TRAIN_FAILED, failure_of(status), 0);
}

static void send_update(struct covey_client *client)
{
    const struct covey_plan *plan = &client->machine.plan;
    struct covey_error err = {0};
    enum covey_status status = COVEY_OK;
    if (client->job.message.size == 0)
        status = covey_training_job_reload(&client->job, &err);
    if (status != COVEY_OK) { /* damaged on the disk: nothing to send any more */
        note_trouble(client, "update-lost", err.text);
        post_failure(client, COVEY_CLIENT_SEND_FAILED, COVEY_FAILURE_FINAL, 0);
        return;
    }
    client->job.update_offered = true;
    status =
        covey_upload_send(client->link, client->options.config->federation, &plan->assignment,
                          client->job.message, plan->window_blocks, on_sent, client, &client->send_id, &err);
    client->sending = status == COVEY_OK;
    if (status != COVEY_OK)
        post_failure(client, COVEY_CLIENT_SEND_FAILED, COVEY_FAILURE_LATER, 0);
}

static void drop(struct covey_client *client)
{
    cancel_transfers(client, false);
    covey_training_job_cancel(&client->job);
    client->job.message = (struct covey_bytes){NULL, 0};
}

static void perform(struct covey_client *client, const struct covey_client_action *action)
{
    if (action->kind >= COVEY_CLIENT_FETCH && action->kind <= COVEY_CLIENT_SEND && action->ticket != 0)
        client->ticket = action->ticket;
    switch (action->kind) {
    case COVEY_CLIENT_CONNECT:
        connect_link(client, action->port);
        break;
    case COVEY_CLIENT_DISCONNECT:
        disconnect(client);
        break;
    case COVEY_CLIENT_ASK_WHERE:
        ask_where(client);
        break;
    case COVEY_CLIENT_OBSERVE:
        ask_plan(client, true);
        break;
    case COVEY_CLIENT_ASK_PLAN:
        ask_plan(client, false);
        break;
    case COVEY_CLIENT_FETCH:
        fetch(client);
        break;
    case COVEY_CLIENT_PERMIT:
        look_at_policy(client);
        break;
    case COVEY_CLIENT_TRAIN:
        start_training(client);
        break;
    case COVEY_CLIENT_SEND:
        send_update(client);
        break;
    case COVEY_CLIENT_DROP:
        drop(client);
        break;
    case COVEY_CLIENT_FINISH:
        break; /* the machine says so itself */
    }
}

/* ------------------------------------------------------------------ the loop */

static void feed(struct covey_client *client, const struct covey_client_event *event)
{
    struct covey_client_actions actions;
    covey_client_round_step(&client->machine, event, now_ms(client), &actions);
    for (uint32_t i = 0; i < actions.count; i++)
        perform(client, &actions.items[i]);
}

static void feed_all(struct covey_client *client)
{
    while (client->count > 0) {
        const struct queued queued = client->queue[client->first];
        struct covey_client_event event = queued.event;
        if (event.plan != NULL)
            event.plan = &queued.plan;
        client->first = (client->first + 1) % EVENTS;
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
        post(client, COVEY_CLIENT_TRAINED);
        return;
    }
    if (client->job.status != COVEY_CANCELLED)
        note_trouble(client, "training-failed", client->job.err.text);
    post_failure(client, COVEY_CLIENT_TRAIN_FAILED, failure_of(client->job.status), 0);
}

void covey_client_step(struct covey_client *client, uint32_t wait_ms)
{
    if (atomic_load(&client->stop) && !client->stopped) {
        client->stopped = true;
        post(client, COVEY_CLIENT_STOP);
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
                                               .done = on_model,
                                               .user = client};
    struct covey_training_job *job = &client->job;
    job->config = config;
    job->dataset = client->options.dataset;
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
        note_trouble(client, "model-lost", err.text);
    client->job.update_offered = update != NULL; /* nobody knows how far it came */
    const struct covey_client_rules rules = {.mode = (enum covey_link_mode)config->mode,
                                             .seed = (uint64_t)client->env.wall_s(client->env.user),
                                             .device = client->device,
                                             .reconnect_ms = (uint32_t)config->reconnect_ms,
                                             .reconnect_limit_ms = (uint32_t)config->reconnect_limit_ms,
                                             .stop_after = client->options.stop_after,
                                             .exit_when_done = config->exit_when_done,
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
        const struct covey_link_events events = {client, on_state};
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
        cancel_transfers(client, false);
        cancel(client, &client->observing, client->observe_id);
        cancel(client, &client->asking, client->ask_id);
        client->link.ops->destroy(client->link.link);
    }
    covey_local_model_deinit(&client->model);
    covey_client_state_close(client->state);
    free(client);
}
