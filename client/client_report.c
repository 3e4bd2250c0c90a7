/* What a round came to. */
#include "client_core.h"

#include <stdio.h>

#include "memory_use.h"
#include "policy.h"

void covey_client_report_round(struct covey_client *client)
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
    round.model_bytes_down = client->download.values_bytes - client->total.model_bytes_down;
    round.bytes_down_fp32 = client->download.values_bytes_fp32 - client->total.bytes_down_fp32;
    round.fetch_ms = client->download.waited_ms - client->waited_counted_ms;
    round.send_ms = client->sent_ms;
    client->waited_counted_ms = client->download.waited_ms;
    client->sent_ms = 0;
    client->note.failure = COVEY_ROUND_DELIVERED;
    client->note.round = round;
    client->note.judged =
        client->job.plan.round == round.round ? client->job.judged : (struct covey_score){0};

    struct covey_client_report *total = &client->total;
    total->round = round.round;
    total->rounds++;
    total->examples += round.examples;
    total->steps += round.steps;
    total->loss_before = round.loss_before;
    total->loss_after = round.loss_after;
    total->update_bytes_up += round.update_bytes_up;
    total->bytes_up_fp32 += round.bytes_up_fp32;
    total->model_bytes_down += round.model_bytes_down;
    total->bytes_down_fp32 += round.bytes_down_fp32;
    total->training_ms += round.training_ms;
    total->fetch_ms += round.fetch_ms;
    total->send_ms += round.send_ms;
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

/* ------------------------------------------------------------------ what the server is told */

void covey_client_note_failure(struct covey_client *client, enum covey_round_failure failure)
{
    client->note.failure = failure;
    client->note.round = (struct covey_client_report){.round = client->machine.plan.round};
}

enum covey_round_failure covey_client_failure_to_train(enum covey_status status)
{
    switch (status) {
    case COVEY_NOT_FINITE:
        return COVEY_ROUND_DIVERGED;
    case COVEY_NO_MEMORY:
    case COVEY_LIMIT:
        return COVEY_ROUND_NO_MEMORY;
    default:
        return COVEY_ROUND_OTHER;
    }
}

/* Of the round that is reported, unless the process was another one then. */
static void add_judged(const struct covey_client *client, struct covey_metrics *out)
{
    const struct covey_score *judged = &client->note.judged;
    if (judged->examples == 0)
        return;
    covey_metrics_add(out, COVEY_METRIC_JUDGED, "", judged->rmse > 0 ? judged->rmse : judged->accuracy);
    covey_metrics_add(out, COVEY_METRIC_JUDGED_EXAMPLES, "", judged->examples);
}

static void fill_metrics(struct covey_client *client, struct covey_metrics *out)
{
    const struct covey_client_report *round = &client->note.round;
    struct covey_conditions conditions;
    struct covey_memory_use memory;
    const char *root = client->options.sensor_root != NULL ? client->options.sensor_root : "";
    *out = (struct covey_metrics){0};
    covey_metrics_add(out, COVEY_METRIC_ROUND, "", round->round);
    covey_metrics_add(out, COVEY_METRIC_FAILED, "", client->note.failure);
    if (client->note.failure == COVEY_ROUND_DELIVERED) {
        covey_metrics_add(out, COVEY_METRIC_EXAMPLES, "", round->examples);
        covey_metrics_add(out, COVEY_METRIC_STEPS, "", round->steps);
        covey_metrics_add(out, COVEY_METRIC_LOSS_BEFORE, "", round->loss_before);
        covey_metrics_add(out, COVEY_METRIC_LOSS_AFTER, "", round->loss_after);
        covey_metrics_add(out, COVEY_METRIC_TRAINING, "s", (double)round->training_ms / 1000);
        covey_metrics_add(out, COVEY_METRIC_UPDATE_BYTES, "B", (double)round->update_bytes_up);
        covey_metrics_add(out, COVEY_METRIC_UPLOAD_BYTES, "B", (double)round->upload_bytes_up);
        covey_metrics_add(out, COVEY_METRIC_BYTES_UP, "B", (double)round->bytes_up);
        covey_metrics_add(out, COVEY_METRIC_BYTES_DOWN, "B", (double)round->bytes_down);
        add_judged(client, out);
    }
    covey_memory_use(&memory);
    if (memory.peak_bytes > 0)
        covey_metrics_add(out, COVEY_METRIC_MEMORY, "B", (double)memory.peak_bytes);
    covey_conditions_read(root, client->env.wall_s(client->env.user), &conditions);
    if (conditions.battery_percent >= 0)
        covey_metrics_add(out, COVEY_METRIC_BATTERY, "%EL", conditions.battery_percent);
}

static void answer_report(struct covey_client *client, bool taken)
{
    struct covey_client_event *event = covey_client_post(client, COVEY_CLIENT_REPORTED);
    event->ticket = client->report_ticket;
    event->allowed = taken;
}

static void on_reported(void *user, const struct covey_reply *reply)
{
    struct covey_client *client = user;
    client->reporting = false;
    /* A server that does not want it is not asked again. */
    const bool over = reply->status == COVEY_OK && reply->code < COVEY_CODE_INTERNAL;
    if (reply->status != COVEY_OK || !covey_code_is_success(reply->code))
        covey_log_event(client->env.log, COVEY_LOG_DEBUG, "metrics-not-taken", "code=%u.%02u",
                        reply->code >> 5, reply->code & 31);
    answer_report(client, over);
}

void covey_client_send_report(struct covey_client *client, uint32_t ticket)
{
    struct covey_metrics metrics;
    struct covey_error err = {0};
    char path[COVEY_PATH_BYTES];
    size_t size = 0;
    covey_client_cancel(client, &client->reporting, client->report_id);
    client->report_ticket = ticket;
    fill_metrics(client, &metrics);
    snprintf(path, sizeof path, "f/%s/metrics", client->options.config->federation);
    enum covey_status status =
        covey_metrics_encode(&metrics, client->note.bytes, sizeof client->note.bytes, &size, &err);
    if (status == COVEY_OK) {
        const struct covey_request request = {.method = COVEY_POST,
                                              .path = path,
                                              .content_format = COVEY_FORMAT_SENML_CBOR,
                                              .body = {client->note.bytes, size},
                                              .reply_limit_bytes = COVEY_BLOCK_BYTES};
        status = client->link.ops->request(client->link.link, &request, on_reported, client,
                                           &client->report_id, &err);
    }
    client->reporting = status == COVEY_OK;
    if (status != COVEY_OK)
        answer_report(client, false);
    else if (client->note.failure != COVEY_ROUND_DELIVERED)
        covey_log_event(client->env.log, COVEY_LOG_WARNING, "round-failed", "round=%u reason=\"%s\"",
                        client->note.round.round, covey_round_failure_text(client->note.failure));
}
