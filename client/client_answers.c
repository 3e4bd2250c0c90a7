/* What the link says, made into events: states, plans, shards, models, acknowledgements. */
#include "client_core.h"

#include <stdio.h>

#include "upload.h"

/* ------------------------------------------------------------------ what the link says */

void covey_client_on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
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
        covey_client_post(client, COVEY_CLIENT_LINK_UP);
    } else {
        covey_client_note_trouble(client, "connection-lost", reason != NULL ? reason->text : "closed");
        covey_client_post(client, COVEY_CLIENT_LINK_DOWN);
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
    covey_client_note_trouble(client, event, text);
    return false;
}

static void take_plan(struct covey_client *client, const struct covey_reply *reply)
{
    enum covey_client_failure failure;
    struct covey_plan plan;
    struct covey_error err = {0};
    uint32_t wait_ms;
    if (!is_good(client, reply, "no-plan", &failure, &wait_ms)) {
        covey_client_post_failure(client, COVEY_CLIENT_PLAN_FAILED, failure, wait_ms);
        return;
    }
    if (covey_plan_decode(reply->body, &plan, &err) != COVEY_OK) {
        covey_client_note_trouble(client, "bad-plan", err.text);
        covey_client_post_failure(client, COVEY_CLIENT_PLAN_FAILED, COVEY_FAILURE_FINAL, 0);
        return;
    }
    static const char *const kinds[] = {"wait", "train", "done"};
    covey_log_event(client->env.log, COVEY_LOG_DEBUG, "plan", "kind=%s round=%u retry_ms=%u heartbeat_ms=%u",
                    kinds[plan.kind], plan.round, plan.retry_after_ms, plan.heartbeat_ms);
    client->ended = plan.kind == COVEY_PLAN_DONE;
    if (client->machine.link == COVEY_CLIENT_ASKING)
        client->trouble[0] = 0;
    covey_client_post_plan(client, &plan);
}

void covey_client_on_observed(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    if (reply->status != COVEY_OK || !covey_code_is_success(reply->code))
        client->observing = false; /* the transport has ended it */
    take_plan(client, reply);
}

void covey_client_on_asked(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    client->asking = false;
    take_plan(client, reply);
}

void covey_client_on_where(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    struct covey_where where;
    struct covey_error err = {0};
    client->asking = false;
    if (reply->status != COVEY_OK) {
        covey_client_post(client, COVEY_CLIENT_LINK_DOWN);
        return;
    }
    /* A server that does not say serves us here. */
    bool said =
        covey_code_is_success(reply->code) && covey_where_decode(reply->body, &where, &err) == COVEY_OK;
    uint16_t port = said && where.port != client->connected_port ? where.port : 0;
    if (covey_client_state_set_shard(client->state, port, &err) != COVEY_OK)
        covey_client_note_trouble(client, "state-not-stored", err.text);
    covey_client_post(client, COVEY_CLIENT_WHERE)->port = port;
}

void covey_client_on_model(void *user, enum covey_status status, enum covey_client_failure failure,
                           uint32_t wait_ms, const struct covey_error *err)
{
    struct covey_client *client = user;
    if (status == COVEY_OK) {
        covey_log_event(client->env.log, COVEY_LOG_INFO, "model-installed",
                        "round=%u sequence=%llu values=%zu delta=%d", client->model.facts.round,
                        (unsigned long long)client->model.facts.sequence, client->model.layout.shared_count,
                        client->download.way.kind != COVEY_DOWNLOAD_FULL);
        covey_client_post(client, COVEY_CLIENT_FETCHED);
        return;
    }
    covey_client_note_trouble(client, "model-not-installed", err->text);
    covey_client_note_failure(client, COVEY_ROUND_NO_MODEL);
    covey_client_post_failure(client, COVEY_CLIENT_FETCH_FAILED, failure, wait_ms);
}

/* The server has the update: what the codec kept back of it is the residual now. */
static void commit(struct covey_client *client)
{
    struct covey_error err = {0};
    client->trouble[0] = 0;
    covey_client_report_round(client);
    client->job.update_offered = false;
    if (covey_client_state_commit_update(client->state, &err) != COVEY_OK)
        covey_client_note_trouble(client, "state-not-stored", err.text);
}

void covey_client_on_sent(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    enum covey_client_failure failure;
    struct covey_error err = {0};
    uint32_t wait_ms;
    client->sending = false;
    covey_client_stop_sending_clock(client);
    if (!is_good(client, reply, "update-refused", &failure, &wait_ms)) {
        if (failure == COVEY_FAILURE_FINAL) {
            client->job.update_offered = false;
            /* Under 4.09 another update of ours is in: the residual that went with it is lost. Under 4.04
             * nobody knows any more. */
            bool sure = reply->code != COVEY_CODE_CONFLICT && reply->code != COVEY_CODE_NOT_FOUND;
            if (covey_client_state_drop_update(client->state, sure, &err) != COVEY_OK)
                covey_client_note_trouble(client, "state-not-stored", err.text);
        }
        covey_client_post_failure(client, COVEY_CLIENT_SEND_FAILED, failure, wait_ms);
        return;
    }
    commit(client);
    covey_client_post(client, COVEY_CLIENT_SENT);
}

void covey_client_on_upload_told(void *user, const struct covey_reply *reply)
{
    static const char *const words[] = {"later", "taken", "not-taken", "unknown"};
    struct covey_client *client = user;
    const enum covey_client_fate fate = covey_upload_fate(reply);
    const struct covey_state_update *update = covey_client_state_update(client->state);
    struct covey_error err = {0};
    client->inquiring = false;
    covey_log_event(client->env.log, fate == COVEY_FATE_LATER ? COVEY_LOG_DEBUG : COVEY_LOG_INFO,
                    "update-accounted", "round=%u fate=%s", update != NULL ? update->round : 0, words[fate]);
    if (fate == COVEY_FATE_TAKEN) {
        commit(client);
    } else if (fate != COVEY_FATE_LATER) {
        client->job.update_offered = false;
        if (covey_client_state_drop_update(client->state, fate == COVEY_FATE_NOT_TAKEN, &err) != COVEY_OK)
            covey_client_note_trouble(client, "state-not-stored", err.text);
    }
    struct covey_client_event *event = covey_client_post(client, COVEY_CLIENT_UPLOAD_TOLD);
    event->ticket = client->account_ticket;
    event->fate = fate;
    event->wait_ms =
        reply->code >= COVEY_CODE_INTERNAL && reply->max_age_s < 3600 ? reply->max_age_s * 1000 : 0;
}
