/* A round closes, on the work thread: the last uploads are waited for, the mean becomes the server
 * optimiser's step, the step a model, the model is stored and shown, the ledger notes it. Or it is abandoned.
 */
#include "federation.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/codec.h"
#include "covey/log.h"
#include "covey/server_optimiser.h"

#include "combination.h"

struct closing {
    struct covey_work work;
    struct covey_federation *federation;
    struct covey_round_action action;
};

/* Nothing new comes in: the door was shut when this was posted. What is on its way always ends. */
static void drain(struct covey_federation *federation)
{
    pthread_mutex_lock(&federation->mutex);
    while (federation->in_flight > 0)
        pthread_cond_wait(&federation->drained, &federation->mutex);
    pthread_mutex_unlock(&federation->mutex);
}

static void drop_sum(struct covey_federation *federation)
{
    covey_aggregation_destroy(federation->aggregation);
    federation->aggregation = NULL;
    federation->must_refold = true;
}

/* The server's own update of the open round, where the strategy compares with one: *delta is malloc'ed, and
 * borrowed by the aggregation. From the model that the devices train from, which is the current one while the
 * round is open. */
static enum covey_status make_reference(struct covey_federation *federation, float **delta,
                                        struct covey_error *err)
{
    const struct covey_federation_options *options = &federation->options;
    if (options->root_update == NULL)
        return COVEY_OK;
    float *shared = malloc(federation->shared_count * sizeof *shared);
    float *made = malloc(federation->update_count * sizeof *made);
    enum covey_status status =
        shared == NULL || made == NULL
            ? covey_fail(err, COVEY_NO_MEMORY, "no memory for the server's own update")
            : covey_codec_decode(covey_blob_view(federation->full), federation->shared_count, shared, err);
    if (status == COVEY_OK)
        status = options->root_update(options->root_user, shared, &options->recipe, federation->opened.round,
                                      made, err);
    if (status == COVEY_OK)
        status = covey_aggregation_refer(federation->aggregation, made, err);
    free(shared);
    if (status != COVEY_OK) {
        free(made);
        return covey_fail_at(err, status, "root_data: ");
    }
    *delta = made;
    return COVEY_OK;
}

/* W(r+1) in *weights, malloc'ed, the exponents of the round after, and what is kept with that model. The sum
 * is gone afterwards, either way. */
static enum covey_status step_weights(struct covey_federation *federation, float **weights,
                                      int16_t exponents[COVEY_MODEL_TENSORS], struct covey_round_state *next,
                                      struct covey_error *err)
{
    struct covey_server *server = federation->server;
    struct covey_aggregation_report report;
    const double *mean = NULL;
    float *w = NULL, *reference = NULL;
    enum covey_status status = covey_fold_settle(federation, err);
    if (status == COVEY_OK)
        status = make_reference(federation, &reference, err);
    if (status == COVEY_OK)
        status = covey_aggregation_finish(federation->aggregation, &mean, &report, exponents, err);
    if (status == COVEY_OK)
        status = covey_aggregation_keep(federation->aggregation, next, err);
    if (status == COVEY_OK)
        status = covey_publish_weights(federation, &w, err);
    if (status == COVEY_OK) {
        const struct covey_server_mean step =
            covey_combination_mean(&federation->options, &federation->terms.weighting,
                                   &federation->tally.weighting, &federation->tally.staleness, mean, &report);
        status = covey_server_optimiser_advance(&federation->options.server_rule, &federation->state, &step,
                                                federation->update_count, w, next, err);
    }
    drop_sum(federation);
    free(reference);
    if (status != COVEY_OK) {
        free(w);
        return status;
    }
    if (report.scaled_down > 0 || report.capped > 0)
        covey_log_event(server->options.env.log, COVEY_LOG_WARNING, "updates-fitted",
                        "federation=%s round=%u scaled_down=%llu capped=%llu", federation->options.name,
                        federation->opened.round, (unsigned long long)report.scaled_down,
                        (unsigned long long)report.capped);
    *weights = w;
    return COVEY_OK;
}

static enum covey_status make_model(struct covey_federation *federation, struct covey_error *err)
{
    float *weights = NULL;
    int16_t exponents[COVEY_MODEL_TENSORS];
    struct covey_round_state state = {0};
    enum covey_status status = step_weights(federation, &weights, exponents, &state, err);
    if (status == COVEY_OK) {
        const struct covey_next_model next = {.round = federation->opened.round,
                                              .weights = weights,
                                              .has_exponents = true,
                                              .exponents = exponents,
                                              .state = &state};
        status = covey_publish_next(federation, &next, err);
    }
    free(weights);
    covey_round_state_deinit(&state);
    return status;
}

/* ------------------------------------------------------------------ figures */

/* Of the open round's cohort: not delivered, and not awaited any more. With the mutex held. */
static uint32_t count_dropped(const struct covey_federation *federation)
{
    const uint64_t now_ms = covey_server_now_ms(federation->server);
    uint32_t count = 0;
    for (uint32_t i = 0; i < federation->cohort.count; i++)
        count +=
            federation->cohort.slots[i].state != COVEY_SLOT_RECORDED &&
            !covey_slot_lasts(federation, &federation->cohort.slots[i], federation->cohort.round + 1, now_ms);
    return count;
}

/* The ledger's line of the round that is over, and the report of it. With nothing in flight. */
static void sum_up(struct covey_federation *federation, bool abandoned, struct covey_ledger_round *line,
                   struct covey_round_report *report)
{
    struct covey_server *server = federation->server;
    struct covey_traffic now;
    covey_server_traffic(server, &now);
    pthread_mutex_lock(&federation->mutex);
    const struct covey_round_tally *tally = &federation->tally;
    *line = federation->opened;
    line->state = abandoned ? COVEY_LEDGER_ABANDONED : COVEY_LEDGER_CLOSED;
    line->closed_ms = covey_server_wall_ms(server);
    line->sequence = abandoned ? 0 : federation->sequence;
    line->model = federation->model;
    line->updates = tally->recorded;
    line->dropped = count_dropped(federation);
    line->keep_rounds = federation->options.rules.staleness_max + 1;
    line->examples = tally->examples;
    line->update_bytes = tally->update_bytes;
    line->bytes_up = now.bytes_up - federation->at_opening.bytes_up;
    line->bytes_down = now.bytes_down - federation->at_opening.bytes_down;
    line->train_loss = tally->examples > 0 ? tally->loss_sum / (double)tally->examples : (double)NAN;
    const uint64_t took_ms = covey_server_now_ms(server) - federation->opened_at_ms;
    if (!abandoned) {
        federation->train_loss = line->train_loss;
        federation->round_ms_mean =
            federation->round_ms_mean == 0 ? took_ms : (3 * federation->round_ms_mean + took_ms) / 4;
    }
    const uint32_t round = federation->options.parent != NULL ? federation->errand.plan.round : line->round;
    *report = (struct covey_round_report){.round = round,
                                          .abandoned = abandoned,
                                          .sequence = federation->sequence,
                                          .model = federation->model,
                                          .chosen = federation->cohort.count,
                                          .goal = line->goal,
                                          .updates = line->updates,
                                          .dropped = line->dropped,
                                          .examples = line->examples,
                                          .train_loss = line->train_loss,
                                          .loss = (double)NAN,
                                          .metric = (double)NAN,
                                          .bytes_up = line->bytes_up,
                                          .bytes_down = line->bytes_down,
                                          .update_bytes_up = line->update_bytes,
                                          .bytes_up_fp32 = 4ull * federation->update_count * line->updates,
                                          .refused = tally->refused,
                                          .seconds = (double)took_ms / 1000};
    pthread_mutex_unlock(&federation->mutex);
    memcpy(report->federation, federation->options.name, sizeof report->federation);
}

static void note_in_ledger(struct covey_federation *federation, const struct covey_ledger_round *line)
{
    struct covey_error err = {0};
    if (covey_ledger_close_round(federation->server->ledger, line, &err) != COVEY_OK)
        covey_log_event(federation->server->options.env.log, COVEY_LOG_ERROR, "ledger-failed",
                        "federation=%s round=%u reason=%s", federation->options.name, line->round, err.text);
}

/* ------------------------------------------------------------------ the works */

static void answer_closed(struct covey_federation *federation, uint32_t round, bool stored)
{
    pthread_mutex_lock(&federation->mutex);
    federation->closed_answer = true;
    federation->answer_round = round;
    federation->answer_stored = stored;
    pthread_mutex_unlock(&federation->mutex);
    covey_server_wake(federation->server);
}

/* With nothing in flight. */
static double mean_staleness(const struct covey_federation *federation)
{
    const struct covey_round_tally *tally = &federation->tally;
    return tally->folded == 0 ? 0 : (double)tally->staleness.sum / tally->folded;
}

static void run_closing(struct covey_work *work)
{
    struct closing *closing = (struct closing *)work;
    struct covey_federation *federation = closing->federation;
    const struct covey_log *log = federation->server->options.env.log;
    const uint32_t round = closing->action.round;
    struct covey_error err = {0};
    free(closing);
    drain(federation);
    const bool is_gateway = federation->options.parent != NULL;
    const enum covey_status made =
        is_gateway ? covey_errand_report(federation, &err) : make_model(federation, &err);
    if (is_gateway)
        drop_sum(federation);
    if (made != COVEY_OK) {
        covey_log_event(log, COVEY_LOG_ERROR, "round-not-stored", "federation=%s round=%u reason=%s",
                        federation->options.name, round, err.text);
        answer_closed(federation, round, false);
        return;
    }
    struct covey_ledger_round line;
    struct covey_round_report report;
    char hash[COVEY_HASH_TEXT_BYTES];
    sum_up(federation, false, &line, &report);
    note_in_ledger(federation, &line);
    if (is_gateway)
        covey_errand_end(federation, false);
    covey_hex_write(line.model.bytes, sizeof line.model.bytes, hash);
    covey_log_event(log, COVEY_LOG_INFO, "round-closed",
                    "federation=%s round=%u updates=%u dropped=%u staleness=%.2f train_loss=%.4f model=%s "
                    "seconds=%.2f",
                    federation->options.name, round, line.updates, line.dropped, mean_staleness(federation),
                    line.train_loss, hash, report.seconds);
    answer_closed(federation, round, true); /* first: the machine hears STORED before it hears JUDGED */
    covey_post_report(federation, &report);
}

static void run_abandoning(struct covey_work *work)
{
    struct closing *closing = (struct closing *)work;
    struct covey_federation *federation = closing->federation;
    const struct covey_round_action action = closing->action;
    free(closing);
    drain(federation);
    if (federation->opened.round != action.round || federation->opened.state != COVEY_LEDGER_OPEN)
        return; /* it was never recorded */
    drop_sum(federation);
    struct covey_ledger_round line;
    struct covey_round_report report;
    sum_up(federation, true, &line, &report);
    note_in_ledger(federation, &line);
    if (federation->options.parent != NULL)
        covey_errand_end(federation, true);
    covey_log_event(federation->server->options.env.log, COVEY_LOG_WARNING, "round-abandoned",
                    "federation=%s round=%u updates=%u chosen=%u: too few; the model stays",
                    federation->options.name, action.round, line.updates, line.slots);
    covey_post_report(federation, &report);
}

static void shut_the_door(struct covey_federation *federation)
{
    pthread_mutex_lock(&federation->mutex);
    federation->open = false;
    pthread_mutex_unlock(&federation->mutex);
}

static bool post(struct covey_federation *federation, const struct covey_round_action *action,
                 void (*run)(struct covey_work *work))
{
    shut_the_door(federation);
    struct closing *closing = calloc(1, sizeof *closing);
    if (closing == NULL)
        return false;
    *closing = (struct closing){{.run = run}, federation, *action};
    if (covey_workers_post(federation->server->work, &closing->work) == COVEY_OK)
        return true;
    free(closing);
    return false;
}

void covey_post_closing(struct covey_federation *federation, const struct covey_round_action *action)
{
    if (!post(federation, action, run_closing))
        answer_closed(federation, action->round, false); /* the machine tries again, later */
}

void covey_post_abandoning(struct covey_federation *federation, const struct covey_round_action *action)
{
    (void)post(federation, action,
               run_abandoning); /* at worst the ledger shows it as abandoned after the next start */
}
