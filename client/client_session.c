#include "client_session.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "memory_use.h"
#include "source.h"

#define STEP_MS 1000
#define LIVE_STEP_MS 200 /* with a live line, or a timeout to keep */

/* A signal handler has no other way to what it should stop. */
static struct covey_client *_Atomic signalled;

static void on_signal(int number)
{
    struct covey_client *client = atomic_load(&signalled);
    (void)number;
    if (client != NULL)
        covey_client_stop(client);
}

static void catch_signals(struct covey_client *client)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    atomic_store(&signalled, client);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* ------------------------------------------------------------------ pieces */

enum covey_status covey_session_configure(struct covey_session *session, const char *dir, bool quiet,
                                          struct covey_error *err)
{
    COVEY_TRY(covey_client_config_load(dir, &session->config, err));
    covey_progress_init(&session->progress, STDERR_FILENO, quiet);
    session->log.level = (enum covey_log_level)session->config.log.level;
    session->log.sink = session->config.log.journal ? covey_log_to_journal : covey_progress_log;
    session->log.user = &session->progress;
    session->env = covey_env_system(&session->log);
    return COVEY_OK;
}

enum covey_status covey_session_identify(struct covey_session *session, struct covey_error *err)
{
    const struct covey_client_config *config = &session->config;
    const char *name = config->server_name[0] != 0 ? config->server_name : config->host;
    return covey_credentials_load_device(config->folder, name, &session->env, &session->store, err);
}

enum covey_status covey_session_load_data(struct covey_session *session, struct covey_error *err)
{
    COVEY_TRY(covey_source_load(&session->config, &session->all, err));
    session->dataset = session->all;
    session->dataset.storage = NULL;
    if (session->all.count == 0 || !(session->config.hold_out > 0))
        return COVEY_OK;
    return covey_dataset_hold_out(&session->all, session->config.hold_out, &session->dataset,
                                  &session->held_out, &session->split, err);
}

enum covey_status covey_session_open(struct covey_session *session, const char *dir, bool quiet,
                                     struct covey_error *err)
{
    COVEY_TRY(covey_session_configure(session, dir, quiet, err));
    COVEY_TRY(covey_session_identify(session, err));
    return covey_session_load_data(session, err);
}

void covey_session_close(struct covey_session *session)
{
    if (session->env.now_ms != NULL)
        covey_progress_deinit(&session->progress);
    covey_dataset_deinit(&session->all);
    free(session->split);
    covey_credential_store_destroy(session->store);
    covey_client_config_free(&session->config);
    session->store = NULL;
}

enum covey_status covey_session_open_link(void *user, const struct covey_link_events *events,
                                          struct covey_link_handle *out, struct covey_error *err)
{
    const struct covey_session *session = user;
    const struct covey_coap_link_config config = {.credentials = covey_credential_store_view(session->store),
                                                  .env = session->env,
                                                  .events = *events,
                                                  .congestion =
                                                      (enum covey_congestion_rule)session->config.congestion};
    return covey_coap_link_create(&config, out, err);
}

/* ------------------------------------------------------------------ output */

static void write_report(struct covey_json *json, const struct covey_client_report *report,
                         const struct covey_dataset *dataset)
{
    struct covey_memory_use memory;
    uint64_t mapped, heap;
    covey_memory_use(&memory);
    covey_dataset_memory(dataset, &mapped, &heap);
    covey_json_int(json, "examples", report->examples);
    covey_json_int(json, "steps", report->steps);
    covey_json_real(json, "loss_before", report->loss_before);
    covey_json_real(json, "loss", report->loss_after);
    covey_json_int(json, "update_bytes_up", (int64_t)report->update_bytes_up);
    covey_json_int(json, "upload_bytes_up", (int64_t)report->upload_bytes_up);
    covey_json_int(json, "bytes_up", (int64_t)report->bytes_up);
    covey_json_int(json, "bytes_down", (int64_t)report->bytes_down);
    covey_json_int(json, "bytes_up_fp32", (int64_t)report->bytes_up_fp32);
    covey_json_int(json, "model_bytes_down", (int64_t)report->model_bytes_down);
    covey_json_int(json, "bytes_down_fp32", (int64_t)report->bytes_down_fp32);
    covey_json_int(json, "blocks_repeated", (int64_t)report->blocks_repeated);
    covey_json_real(json, "training_s", (double)report->training_ms / 1000);
    covey_json_real(json, "fetch_s", (double)report->fetch_ms / 1000);
    covey_json_real(json, "send_s", (double)report->send_ms / 1000);
    covey_json_int(json, "peak_rss_bytes", (int64_t)memory.peak_bytes);
    covey_json_int(json, "mapped_data_bytes", (int64_t)mapped);
}

static void print_round(void *user, const struct covey_client_report *round,
                        const struct covey_client_report *total)
{
    const struct covey_session *session = user;
    char text[1024];
    struct covey_json json;
    (void)total;
    if (!session->json)
        return;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_int(&json, "round", round->round);
    write_report(&json, round, &session->dataset);
    covey_json_close(&json, '}');
    covey_print_json(&json);
}

static void print_total(const struct covey_session *session, const struct covey_client_view *view,
                        double seconds)
{
    char text[1024];
    struct covey_json json;
    struct covey_client_report total = view->total;
    total.bytes_up = view->traffic.bytes_up; /* what came after the last update counts too */
    total.bytes_down = view->traffic.bytes_down;
    total.upload_bytes_up = view->traffic.upload_bytes_up;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_bool(&json, "total", true);
    covey_json_int(&json, "rounds", total.rounds);
    covey_json_int(&json, "last_round", total.round);
    write_report(&json, &total, &session->dataset);
    covey_json_real(&json, "seconds", seconds);
    covey_json_bool(&json, "ended", view->ended);
    covey_json_close(&json, '}');
    covey_print_json(&json);
}

/* "round 12  training 30/60  loss 0.412  3 updates  up 1.2 MB (fp32 4.7 MB)  down 810 kB" */
static void show_line(struct covey_session *session, const struct covey_client_view *view)
{
    char up[16], fp32[16], down[16], work[64], loss[32] = "";
    if (view->work == COVEY_WORK_TRAIN && view->steps > 0)
        snprintf(work, sizeof work, "training %u/%u", view->step, view->steps);
    else if (view->work == COVEY_WORK_NONE)
        snprintf(work, sizeof work, "%s",
                 view->link == COVEY_CLIENT_READY ? "waiting for the next plan"
                                                  : covey_client_link_name(view->link));
    else
        snprintf(work, sizeof work, "%s", covey_client_work_name(view->work));
    if (isfinite(view->loss))
        snprintf(loss, sizeof loss, "  loss %.3f", view->loss);
    covey_progress_show(&session->progress, "round %u  %s%s  %u update%s  up %s (fp32 %s)  down %s%s%.60s",
                        view->round, work, loss, view->total.rounds, view->total.rounds == 1 ? "" : "s",
                        covey_progress_bytes(view->traffic.bytes_up, up),
                        covey_progress_bytes(view->total.bytes_up_fp32, fp32),
                        covey_progress_bytes(view->traffic.bytes_down, down),
                        view->trouble[0] != 0 ? "  ! " : "", view->trouble);
}

/* ------------------------------------------------------------------ running */

static void loop(struct covey_session *session, struct covey_client *client, uint64_t end_ms)
{
    uint32_t wait_ms = session->progress.live || end_ms != UINT64_MAX ? LIVE_STEP_MS : STEP_MS;
    while (!covey_client_finished(client)) {
        struct covey_client_view view;
        covey_client_step(client, wait_ms);
        if (session->progress.live) {
            covey_client_view(client, &view);
            show_line(session, &view);
        }
        if (session->env.now_ms(session->env.user) >= end_ms)
            covey_client_stop(client);
    }
}

int covey_session_run(struct covey_session *session, const struct covey_command *command, uint32_t stop_after,
                      uint64_t timeout_ms)
{
    struct covey_client *client = NULL;
    struct covey_client_view view;
    struct covey_error err = {0};
    const struct covey_client_options options = {
        .config = &session->config,
        .env = session->env,
        .device_name = covey_credential_store_name(session->store),
        .trust = covey_credential_store_trust(session->store),
        .dataset = session->dataset.count != 0 ? &session->dataset : NULL,
        .held_out = session->held_out.count != 0 ? &session->held_out : NULL,
        .open_link = covey_session_open_link,
        .link_user = session,
        .stop_after = stop_after,
        .on_round = print_round,
        .user = session};
    enum covey_status status = covey_client_create(&options, &client, &err);
    if (status != COVEY_OK)
        return covey_command_fail(command, status, &err);
    uint64_t start_ms = session->env.now_ms(session->env.user);
    catch_signals(client);
    loop(session, client, timeout_ms != 0 ? start_ms + timeout_ms : UINT64_MAX);
    atomic_store(&signalled, NULL);
    covey_client_view(client, &view);
    bool short_of = stop_after != 0 && view.total.rounds < stop_after;
    covey_progress_deinit(&session->progress);
    if (session->json)
        print_total(session, &view, (double)(session->env.now_ms(session->env.user) - start_ms) / 1000);
    if (short_of)
        fprintf(stderr, "covey-client %s: no round was finished%s%s\n", command->name,
                view.trouble[0] != 0 ? ": " : "", view.trouble);
    covey_client_destroy(client);
    return short_of ? COVEY_EXIT_FAILED : COVEY_EXIT_DONE;
}
