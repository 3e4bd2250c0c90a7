/* What the round machine wants, done: the link, the download, the training job, the upload. */
#include "client_core.h"

#include <stdio.h>

#include "policy.h"
#include "upload.h"

void covey_client_cancel(struct covey_client *client, bool *flag, uint32_t id)
{
    if (*flag)
        client->link.ops->cancel(client->link.link, id);
    *flag = false;
}

void covey_client_stop_sending_clock(struct covey_client *client)
{
    client->sent_ms += client->env.now_ms(client->env.user) - client->send_at_ms;
}

/* What moves on the link ends with it; the machine hears of it at once. */
void covey_client_cancel_transfers(struct covey_client *client, bool tell)
{
    if (client->download.busy) {
        covey_download_cancel(&client->download);
        if (tell)
            covey_client_post_failure(client, COVEY_CLIENT_FETCH_FAILED, COVEY_FAILURE_LATER, 0);
    }
    if (client->sending) {
        covey_client_stop_sending_clock(client);
        covey_client_cancel(client, &client->sending, client->send_id);
        if (tell)
            covey_client_post_failure(client, COVEY_CLIENT_SEND_FAILED, COVEY_FAILURE_LATER, 0);
    }
}

/* While the update itself is sent, its answer tells all. */
static void stop_asking(struct covey_client *client)
{
    covey_client_cancel(client, &client->inquiring, client->inquiry_id);
}

static void disconnect(struct covey_client *client)
{
    covey_client_cancel_transfers(client, true);
    stop_asking(client);
    covey_client_cancel(client, &client->reporting, client->report_id);
    covey_client_cancel(client, &client->observing, client->observe_id);
    covey_client_cancel(client, &client->asking, client->ask_id);
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
    covey_client_note_trouble(client, "no-connection", err.text);
    covey_client_post(client, COVEY_CLIENT_LINK_DOWN);
}

static void ask_where(struct covey_client *client)
{
    const struct covey_request request = {
        .method = COVEY_GET, .path = "where", .content_format = -1, .reply_limit_bytes = COVEY_BLOCK_BYTES};
    struct covey_error err = {0};
    covey_client_cancel(client, &client->asking, client->ask_id);
    if (client->link.ops->request(client->link.link, &request, covey_client_on_where, client, &client->ask_id,
                                  &err) != COVEY_OK)
        covey_client_post(client, COVEY_CLIENT_LINK_DOWN);
    else
        client->asking = true;
}

/* The hours of its policy, for the server to choose by; NULL when it has none. */
static const char *say_hours(const struct covey_client *client, char out[COVEY_HOURS_QUERY_BYTES])
{
    const char *text = client->options.config->policy.hours;
    struct covey_hours hours;
    if (text == NULL || covey_hours_parse(text, &hours, NULL) != COVEY_OK || hours.count == 0)
        return NULL;
    covey_hours_write_query(&hours, covey_minute_of_day(client->env.wall_s(client->env.user)), out);
    return out;
}

static void ask_plan(struct covey_client *client, bool observe)
{
    char path[COVEY_PATH_BYTES], query[COVEY_HOURS_QUERY_BYTES];
    struct covey_error err = {0};
    snprintf(path, sizeof path, "f/%s/plan", client->options.config->federation);
    const struct covey_request request = {.method = COVEY_GET,
                                          .path = path,
                                          .query = say_hours(client, query),
                                          .content_format = -1,
                                          .reply_limit_bytes = COVEY_PLAN_BYTES,
                                          .timeout_ms = observe ? 0 : COVEY_CLIENT_ASK_MS};
    const struct covey_link_ops *ops = client->link.ops;
    bool *flag = observe ? &client->observing : &client->asking;
    uint32_t *id = observe ? &client->observe_id : &client->ask_id;
    covey_client_cancel(client, flag, *id);
    enum covey_status status =
        observe ? ops->observe(client->link.link, &request, covey_client_on_observed, client, id, &err)
                : ops->request(client->link.link, &request, covey_client_on_asked, client, id, &err);
    if (status != COVEY_OK)
        covey_client_post_failure(client, COVEY_CLIENT_PLAN_FAILED, COVEY_FAILURE_LATER, 0);
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
        covey_client_post_failure(client, COVEY_CLIENT_FETCH_FAILED, COVEY_FAILURE_LATER, 0);
    else if (there)
        covey_client_post(client, COVEY_CLIENT_FETCHED);
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
    covey_client_post(client, COVEY_CLIENT_PERMISSION)->allowed = allowed;
}

static void start_training(struct covey_client *client)
{
    struct covey_error err = {0};
    enum covey_status status = covey_training_job_start(&client->job, &client->machine.plan, &err);
    if (status == COVEY_OK) {
        covey_log_event(client->env.log, COVEY_LOG_INFO, "training", "round=%u", client->machine.plan.round);
        return;
    }
    covey_client_note_trouble(client, "training-failed", err.text);
    covey_client_note_failure(client, client->options.dataset == NULL
                                          ? COVEY_ROUND_NO_DATA
                                          : covey_client_failure_to_train(status));
    covey_client_post_failure(client, COVEY_CLIENT_TRAIN_FAILED, covey_client_failure_of(status), 0);
}

static void ask_upload(struct covey_client *client, uint32_t ticket)
{
    struct covey_error err = {0};
    stop_asking(client);
    client->account_ticket = ticket;
    if (covey_upload_ask(client->link, client->options.config->federation, &client->machine.ready,
                         covey_client_on_upload_told, client, &client->inquiry_id, &err) == COVEY_OK)
        client->inquiring = true;
    else
        covey_client_post(client, COVEY_CLIENT_UPLOAD_TOLD)->ticket = ticket; /* later */
}

static void send_update(struct covey_client *client, bool again)
{
    const struct covey_plan *plan = &client->machine.plan;
    struct covey_error err = {0};
    enum covey_status status = COVEY_OK;
    if (client->job.message.size == 0)
        status = covey_training_job_reload(&client->job, &err);
    if (status != COVEY_OK) { /* damaged on the disk: nothing to send any more */
        covey_client_note_trouble(client, "update-lost", err.text);
        covey_client_post_failure(client, COVEY_CLIENT_SEND_FAILED, COVEY_FAILURE_FINAL, 0);
        return;
    }
    stop_asking(client);
    client->job.update_offered = true;
    status = covey_upload_send(client->link, client->options.config->federation, &plan->assignment,
                               client->job.message, plan->window_blocks, again, covey_client_on_sent, client,
                               &client->send_id, &err);
    client->sending = status == COVEY_OK;
    client->send_at_ms = client->env.now_ms(client->env.user);
    if (status != COVEY_OK)
        covey_client_post_failure(client, COVEY_CLIENT_SEND_FAILED, COVEY_FAILURE_LATER, 0);
}

static void drop(struct covey_client *client)
{
    covey_client_cancel_transfers(client, false);
    covey_training_job_cancel(&client->job);
    client->job.message = (struct covey_bytes){NULL, 0};
}

void covey_client_perform(struct covey_client *client, const struct covey_client_action *action)
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
        send_update(client, action->again);
        break;
    case COVEY_CLIENT_ASK_UPLOAD:
        ask_upload(client, action->ticket);
        break;
    case COVEY_CLIENT_REPORT:
        covey_client_send_report(client, action->ticket);
        break;
    case COVEY_CLIENT_DROP:
        drop(client);
        break;
    case COVEY_CLIENT_FINISH:
        break; /* the machine says so itself */
    }
}
