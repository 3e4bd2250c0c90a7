/* Keeping house, on the work thread: who was seen goes into the ledger, what the server is doing into
 * FOLDER/status.json, which `covey-server status` shows while the server runs. */
#include "federation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/json.h"
#include "covey/log.h"
#include "device_scores.h"

#define SEEN_BATCH 512
#define STATUS_BYTES (64u << 10) /* 64 federations of less than 1 KiB each */

static void note_seen(struct covey_server *server)
{
    struct covey_ledger_device *devices = malloc(SEEN_BATCH * sizeof *devices);
    struct covey_error err = {0};
    uint32_t count;
    while (devices != NULL && (count = covey_registry_take_seen(server->registry, devices, SEEN_BATCH)) > 0)
        if (covey_ledger_note_devices(server->ledger, devices, count, &err) != COVEY_OK) {
            covey_log_event(server->options.env.log, COVEY_LOG_ERROR, "ledger-failed", "%s", err.text);
            break;
        }
    free(devices);
}

void covey_write_device_summary(struct covey_json *json, const struct covey_device_summary *devices)
{
    if (devices->devices == 0)
        return;
    covey_json_open(json, "devices_judged", '{');
    covey_json_int(json, "round", devices->round);
    covey_json_int(json, "devices", devices->devices);
    covey_json_int(json, "examples", (int64_t)devices->examples);
    covey_json_real(json, "mean", devices->mean);
    covey_json_real(json, "weighted", devices->weighted);
    covey_json_real(json, "worst_decile", devices->worst_decile);
    covey_json_real(json, "tenth", devices->tenth);
    covey_json_real(json, "median", devices->median);
    covey_json_real(json, "ninetieth", devices->ninetieth);
    covey_json_close(json, '}');
}

/* For `covey-server status` when no server runs. */
static void note_devices_judged(struct covey_server *server)
{
    for (uint32_t i = 0; i < server->options.federation_count; i++) {
        struct covey_federation *federation = &server->federations[i];
        struct covey_device_summary summary;
        struct covey_error err = {0};
        char text[COVEY_SCORES_TEXT_BYTES];
        if (!covey_device_scores_sum(federation->scores, federation->options.metric_is_error, true, &summary))
            continue;
        covey_device_summary_write(&summary, text);
        if (covey_ledger_set_note(server->ledger, federation->options.name, COVEY_DEVICES_JUDGED_NOTE, text,
                                  &err) != COVEY_OK)
            covey_log_event(server->options.env.log, COVEY_LOG_ERROR, "ledger-failed", "%s", err.text);
    }
}

static void write_federation(struct covey_json *json, const struct covey_federation_view *view)
{
    char hash[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(view->model.bytes, sizeof view->model.bytes, hash);
    covey_json_open(json, NULL, '{');
    covey_json_text(json, "federation", view->name);
    covey_json_text(json, "phase", covey_round_phase_name(view->round.phase));
    covey_json_int(json, "round", view->round.round);
    covey_json_int(json, "completed", view->round.completed);
    covey_json_int(json, "abandoned", view->round.abandoned);
    covey_json_int(json, "chosen", view->round.slots);
    covey_json_int(json, "goal", view->round.goal);
    covey_json_int(json, "done", view->round.done);
    covey_json_int(json, "members", view->members);
    covey_json_int(json, "available", view->available);
    covey_json_int(json, "sequence", (int64_t)view->sequence);
    covey_json_text(json, "model_sha256", hash);
    covey_json_real(json, "train_loss", view->train_loss);
    covey_json_real(json, "loss", view->loss);
    covey_json_real(json, "metric", view->metric);
    covey_json_real(json, "best", view->round.best);
    covey_json_int(json, "update_bytes_up", (int64_t)view->update_bytes_up);
    covey_json_int(json, "bytes_up_fp32", (int64_t)view->bytes_up_fp32);
    covey_write_device_summary(json, &view->devices);
    if (view->round.phase == COVEY_PHASE_ENDED)
        covey_json_text(json, "end", covey_round_end_name(view->round.end));
    covey_json_close(json, '}');
}

static void write_status(struct covey_server *server)
{
    char *text = malloc(STATUS_BYTES);
    if (text == NULL)
        return;
    struct covey_json json;
    struct covey_server_view view;
    covey_server_view(server, &view);
    covey_json_init(&json, text, STATUS_BYTES);
    covey_json_open(&json, NULL, '{');
    covey_json_int(&json, "pid", getpid());
    covey_json_int(&json, "written_s", covey_server_wall_ms(server) / 1000);
    covey_json_int(&json, "port", server->port);
    covey_json_int(&json, "shards", server->options.shard_count);
    covey_json_int(&json, "devices_known", view.known);
    covey_json_int(&json, "devices_present", view.present);
    covey_json_int(&json, "bytes_up", (int64_t)view.traffic.bytes_up);
    covey_json_int(&json, "bytes_down", (int64_t)view.traffic.bytes_down);
    covey_json_int(&json, "upload_bytes_up", (int64_t)view.traffic.upload_bytes_up);
    covey_json_int(&json, "refused", (int64_t)view.refused);
    covey_json_int(&json, "ledger_jobs", (int64_t)view.ledger_updates);
    covey_json_int(&json, "ledger_commits", (int64_t)view.ledger_commits);
    covey_json_open(&json, "federations", '[');
    for (uint32_t i = 0; i < server->options.federation_count; i++) {
        struct covey_federation_view federation;
        covey_server_federation_view(server, i, &federation);
        write_federation(&json, &federation);
    }
    covey_json_close(&json, ']');
    covey_json_close(&json, '}');
    struct covey_error err = {0};
    const struct covey_bytes pieces[] = {{(const uint8_t *)text, strlen(text)}, {(const uint8_t *)"\n", 1}};
    if (!json.overflow && covey_file_replace(&covey_file_calls_system, server->options.folder, "status.json",
                                             0644, pieces, 2, &err) != COVEY_OK)
        covey_log_event(server->options.env.log, COVEY_LOG_WARNING, "status-failed", "%s", err.text);
    free(text);
}

void covey_server_keep_house(struct covey_server *server)
{
    note_seen(server);
    note_devices_judged(server);
    write_status(server);
}
