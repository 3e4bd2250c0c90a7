/* Evaluation and reports, on the judge thread, in the order of the rounds. */
#include "federation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/log.h"
#include "device_scores.h"

struct judging {
    struct covey_work work;
    struct covey_federation *federation;
    struct covey_blob *full; /* of the model to be judged; NULL: no evaluation */
    uint32_t round;
    bool has_report, is_end;
    struct covey_round_report report;
    enum covey_round_end end;
};

/* Decodes the model and asks the program. */
static enum covey_status judge(struct covey_federation *federation, struct covey_blob *full,
                               enum covey_part part, struct covey_judgement *out, struct covey_error *err)
{
    const size_t count = federation->shared_count;
    float *values = malloc(count * sizeof *values);
    if (values == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to evaluate %zu values", count);
    enum covey_status status = covey_codec_decode(covey_blob_view(full), count, values, err);
    if (status == COVEY_OK)
        status = federation->options.judge(federation->options.judge_user, part, values, out, err);
    free(values);
    if (status != COVEY_OK)
        covey_log_event(federation->server->options.env.log, COVEY_LOG_ERROR, "evaluation-failed",
                        "federation=%s reason=%s", federation->options.name, err->text);
    return status;
}

/* ------------------------------------------------------------------ after a round */

static void answer_judged(struct covey_federation *federation, uint32_t round, double value)
{
    pthread_mutex_lock(&federation->mutex);
    federation->judged_answer = true;
    federation->judged_round = round;
    federation->judged_value = value;
    pthread_mutex_unlock(&federation->mutex);
    covey_server_wake(federation->server);
}

static void judge_round(struct judging *judging)
{
    struct covey_federation *federation = judging->federation;
    struct covey_server *server = federation->server;
    struct covey_error err = {0};
    struct covey_judgement judgement;
    double value = (double)NAN;
    if (judge(federation, judging->full, COVEY_PART_VALIDATION, &judgement, &err) == COVEY_OK) {
        value = federation->options.watch == COVEY_WATCH_LOSS ? judgement.loss : judgement.metric;
        judging->report.loss = judgement.loss;
        judging->report.metric = judgement.metric;
        pthread_mutex_lock(&federation->mutex);
        federation->loss = judgement.loss;
        federation->metric = judgement.metric;
        pthread_mutex_unlock(&federation->mutex);
        covey_log_event(server->options.env.log, COVEY_LOG_INFO, "round-judged",
                        "federation=%s round=%u loss=%.4f metric=%.4f examples=%llu",
                        federation->options.name, judging->round, judgement.loss, judgement.metric,
                        (unsigned long long)judgement.count);
        if (covey_ledger_judge_round(server->ledger, federation->options.name, judging->round, judgement.loss,
                                     judgement.metric, &err) != COVEY_OK)
            covey_log_event(server->options.env.log, COVEY_LOG_ERROR, "ledger-failed", "%s", err.text);
    }
    answer_judged(federation, judging->round, value);
}

static void run_judging(struct covey_work *work)
{
    struct judging *judging = (struct judging *)work;
    struct covey_federation *federation = judging->federation;
    const struct covey_server_options *options = &federation->server->options;
    if (judging->full != NULL) {
        judge_round(judging);
        pthread_mutex_lock(&federation->mutex);
        federation->judging--;
        pthread_mutex_unlock(&federation->mutex);
    }
    (void)covey_device_scores_sum(federation->scores, federation->options.metric_is_error, false,
                                  &judging->report.devices);
    if (judging->has_report && options->on_round != NULL)
        options->on_round(options->events_user, &judging->report);
    covey_blob_release(judging->full);
    free(judging);
}

/* ------------------------------------------------------------------ at the end */

#define TEST_NOTE "test" /* "SEQUENCE LOSS METRIC": the test part is asked once a model */

static bool recall_test(struct covey_federation *federation, struct covey_federation_report *report)
{
    char text[128];
    unsigned long long sequence = 0;
    return covey_ledger_get_note(federation->server->ledger, federation->options.name, TEST_NOTE, text,
                                 sizeof text, NULL) == COVEY_OK &&
           sscanf(text, "%llu %lf %lf", &sequence, &report->test_loss, &report->test_metric) == 3 &&
           sequence == report->sequence;
}

static void run_test_part(struct judging *judging, struct covey_federation_report *report)
{
    struct covey_federation *federation = judging->federation;
    struct covey_error err = {0};
    struct covey_judgement judgement;
    report->test_loss = report->test_metric = (double)NAN;
    if (!federation->options.has_test || recall_test(federation, report))
        return;
    report->test_loss = report->test_metric = (double)NAN;
    if (judge(federation, judging->full, COVEY_PART_TEST, &judgement, &err) != COVEY_OK)
        return;
    report->test_loss = judgement.loss;
    report->test_metric = judgement.metric;
    char text[128];
    (void)snprintf(text, sizeof text, "%llu %.17g %.17g", (unsigned long long)report->sequence,
                   judgement.loss, judgement.metric);
    if (covey_ledger_set_note(federation->server->ledger, federation->options.name, TEST_NOTE, text, &err) !=
        COVEY_OK)
        covey_log_event(federation->server->options.env.log, COVEY_LOG_ERROR, "ledger-failed", "%s",
                        err.text);
}

/* All that is known without asking the test part. */
static struct covey_federation_report sum_up(struct covey_federation *federation, enum covey_round_end end)
{
    struct covey_traffic traffic;
    covey_server_traffic(federation->server, &traffic);
    pthread_mutex_lock(&federation->mutex);
    struct covey_federation_report report = {.end = end,
                                             .rounds = federation->view.completed,
                                             .abandoned = federation->view.abandoned,
                                             .sequence = federation->sequence,
                                             .model = federation->model,
                                             .loss = federation->loss,
                                             .metric = federation->metric,
                                             .update_bytes_up = federation->update_bytes_up,
                                             .bytes_up_fp32 = federation->bytes_up_fp32,
                                             .bytes_up = traffic.bytes_up,
                                             .bytes_down = traffic.bytes_down,
                                             .upload_bytes_up = traffic.upload_bytes_up,
                                             .devices = federation->member_count};
    pthread_mutex_unlock(&federation->mutex);
    memcpy(report.federation, federation->options.name, sizeof report.federation);
    return report;
}

static void run_end(struct covey_work *work)
{
    struct judging *judging = (struct judging *)work;
    struct covey_federation *federation = judging->federation;
    struct covey_server *server = federation->server;
    struct covey_federation_report report = sum_up(federation, judging->end);
    run_test_part(judging, &report);
    report.seconds = (double)(covey_server_now_ms(server) - server->started_ms) / 1000;
    covey_log_event(server->options.env.log, COVEY_LOG_INFO, "federation-ended",
                    "federation=%s reason=%s rounds=%u abandoned=%u metric=%.4f test_metric=%.4f",
                    report.federation, covey_round_end_name(report.end), report.rounds, report.abandoned,
                    report.metric, report.test_metric);
    if (server->options.on_end != NULL)
        server->options.on_end(server->options.events_user, &report);
    pthread_mutex_lock(&federation->mutex);
    federation->end_reported = true;
    pthread_mutex_unlock(&federation->mutex);
    covey_server_wake(server);
    covey_blob_release(judging->full);
    free(judging);
}

/* ------------------------------------------------------------------ posting */

static void post(struct judging *judging)
{
    if (covey_workers_post(judging->federation->server->judge, &judging->work) == COVEY_OK)
        return;
    struct covey_federation *federation = judging->federation;
    covey_log_event(federation->server->options.env.log, COVEY_LOG_WARNING, "evaluation-skipped",
                    "federation=%s round=%u: too many are waiting", federation->options.name, judging->round);
    if (judging->full != NULL && !judging->is_end)
        answer_judged(federation, judging->round, (double)NAN);
    covey_blob_release(judging->full);
    free(judging);
}

static bool rule_waits(const struct covey_round_rules *rules)
{
    return rules->has_target || rules->stop_patience != 0;
}

static struct judging *make(struct covey_federation *federation, uint32_t round, bool evaluate)
{
    struct judging *judging = calloc(1, sizeof *judging);
    if (judging == NULL)
        return NULL;
    judging->work.run = run_judging;
    judging->federation = federation;
    judging->round = round;
    pthread_mutex_lock(&federation->mutex);
    if (evaluate && (federation->judging < COVEY_JUDGE_BACKLOG || rule_waits(&federation->options.rules))) {
        judging->full = covey_blob_retain(federation->full);
        federation->judging++;
    }
    pthread_mutex_unlock(&federation->mutex);
    return judging;
}

void covey_post_report(struct covey_federation *federation, const struct covey_round_report *report)
{
    struct judging *judging =
        make(federation, report->round, federation->options.has_validation && !report->abandoned);
    if (judging == NULL) {
        if (!report->abandoned)
            answer_judged(federation, report->round, (double)NAN);
        return;
    }
    judging->has_report = true;
    judging->report = *report;
    post(judging);
}

void covey_post_judging(struct covey_federation *federation, uint32_t round)
{
    struct judging *judging = make(federation, round, federation->options.has_validation);
    if (judging == NULL)
        answer_judged(federation, round, (double)NAN);
    else
        post(judging);
}

/* ------------------------------------------------------------------ telling everyone */

static void run_farewell(struct covey_work *work)
{
    struct judging *judging = (struct judging *)work;
    struct covey_federation *federation = judging->federation;
    uint32_t capacity;
    pthread_mutex_lock(&federation->mutex);
    federation->ended = true;
    capacity = federation->member_capacity;
    judging->full = covey_blob_retain(federation->full);
    pthread_mutex_unlock(&federation->mutex);
    covey_federation_unpark(federation);
    for (uint32_t place = 0; place < capacity; place++) {
        pthread_mutex_lock(&federation->mutex);
        const bool observing = federation->members[place].observing;
        pthread_mutex_unlock(&federation->mutex);
        if (observing)
            covey_federation_push(federation, place);
    }
    judging->work.run = run_end;
    post(judging);
}

void covey_post_end(struct covey_federation *federation, enum covey_round_end end)
{
    struct judging *judging = calloc(1, sizeof *judging);
    if (judging != NULL) {
        judging->work.run = run_farewell;
        judging->federation = federation;
        judging->is_end = true;
        judging->end = end;
        if (covey_workers_post(federation->server->work, &judging->work) == COVEY_OK)
            return;
    }
    free(judging);
    pthread_mutex_lock(&federation->mutex);
    federation->ended = federation->end_reported = true;
    pthread_mutex_unlock(&federation->mutex);
}
