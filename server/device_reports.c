/* What devices report of a round besides their update: kept for whoever asks, and heeded where a round waits.
 */
#include "federation.h"

#include <stdlib.h>
#include <string.h>

#include "covey/device_metrics.h"
#include "covey/log.h"

#include "device_scores.h"

struct metrics_note {
    struct covey_work work;
    struct covey_federation *federation;
    struct covey_exchange *exchange;
    char device[COVEY_NAME_BYTES];
    struct covey_metrics metrics;
};

static void run_metrics(struct covey_work *work)
{
    struct metrics_note *note = (struct metrics_note *)work;
    struct covey_server *server = note->federation->server;
    const enum covey_status status =
        covey_ledger_note_metrics(server->ledger, note->federation->options.name, note->device,
                                  covey_server_wall_ms(server) / 1000, &note->metrics, NULL);
    if (status == COVEY_OK)
        covey_exchange_respond(note->exchange,
                               &(struct covey_response){.code = COVEY_CODE_CHANGED, .content_format = -1});
    else
        covey_answer(note->exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S, "%s",
                     covey_status_text(status));
    free(note);
}

/* A device that says that it will not deliver the open round is not waited for; it may deliver after all. */
static void heed_failure(struct covey_federation *federation, uint32_t place, const char *device,
                         const struct covey_metrics *metrics)
{
    double round, failed;
    bool waited = false;
    if (!covey_metrics_find(metrics, COVEY_METRIC_FAILED, &failed) || !(failed >= 1 && failed < 1e6) ||
        !covey_metrics_find(metrics, COVEY_METRIC_ROUND, &round))
        return;
    pthread_mutex_lock(&federation->mutex);
    const bool awaits = federation->open || covey_federation_lasts(federation);
    if (awaits && place < federation->member_capacity && federation->members[place].slot != COVEY_NO_SLOT) {
        struct covey_slot *slot = &federation->cohort.slots[federation->members[place].slot];
        const uint32_t own_round =
            federation->options.parent != NULL ? federation->errand.plan.round : slot->round;
        waited = slot->state == COVEY_SLOT_WAITING && !slot->refused && round == (double)own_round;
        slot->refused |= waited;
    }
    pthread_mutex_unlock(&federation->mutex);
    if (!waited)
        return;
    covey_log_event(federation->server->options.env.log, COVEY_LOG_WARNING, "device-failed",
                    "federation=%s device=%s round=%.0f reason=\"%s\"", federation->options.name, device,
                    round, covey_round_failure_text((uint32_t)failed));
    covey_server_wake(federation->server);
}

/* What it says of the model counts when it was asked, and has delivered. */
static void heed_judgement(struct covey_federation *federation, uint32_t place,
                           const struct covey_metrics *metrics)
{
    double round = 0;
    const uint64_t id = covey_registry_id(federation->server->registry, place);
    if (!covey_metrics_find(metrics, COVEY_METRIC_ROUND, &round) || !(round >= 1 && round <= COVEY_ROUNDS) ||
        !covey_device_is_asked(&federation->options, id, (uint32_t)round))
        return;
    pthread_mutex_lock(&federation->mutex);
    const bool delivered = place < federation->member_capacity &&
                           federation->members[place].record.last_round >= (uint32_t)round &&
                           (uint32_t)round <= federation->cohort.round;
    pthread_mutex_unlock(&federation->mutex);
    if (delivered)
        (void)covey_device_scores_take(federation->scores, place, metrics,
                                       federation->options.metric_is_error);
}

void covey_reports_take(struct covey_federation *federation, uint32_t place,
                        const struct covey_incoming *incoming, struct covey_exchange *exchange)
{
    struct covey_error err = {0};
    if (incoming->body.size > COVEY_METRICS_BYTES) {
        covey_answer(exchange, COVEY_CODE_TOO_LARGE, 0, "at most %u bytes", COVEY_METRICS_BYTES);
        return;
    }
    struct metrics_note *note = calloc(1, sizeof *note);
    if (note == NULL) {
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S, "no memory");
        return;
    }
    note->work.run = run_metrics;
    note->federation = federation;
    note->exchange = exchange;
    memcpy(note->device, incoming->peer->name, sizeof note->device);
    if (covey_metrics_decode(incoming->body, &note->metrics, &err) != COVEY_OK) {
        covey_answer(exchange, COVEY_CODE_BAD_REQUEST, 0, "%s", err.text);
        free(note);
        return;
    }
    heed_failure(federation, place, note->device, &note->metrics);
    heed_judgement(federation, place, &note->metrics);
    if (covey_workers_post(federation->server->intake, &note->work) != COVEY_OK) {
        covey_answer(exchange, COVEY_CODE_UNAVAILABLE, COVEY_BUSY_AGE_S, "the server is busy");
        free(note);
    }
}
