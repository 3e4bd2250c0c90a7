/* covey-server run: configuration, credentials, transport and server put together; signals; the live line;
 * --json. */
#include "command.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "command_config.h"
#include "command_parent.h"
#include "device_scores.h"
#include "covey/authority.h"
#include "covey/coap.h"
#include "covey/credential_store.h"
#include "covey/env.h"
#include "covey/log.h"
#include "covey/progress.h"

#define LOOK_MS 250 /* between two looks at signals, the deny-list and the live line */

struct run {
    const char *dir;
    bool json, exit_when_done, quiet;
    int64_t rounds, port; /* -1: as configured */
    const char *log_level;

    struct server_config config;
    struct federation_kit *kits; /* (config.federation_count) */
    struct covey_federation_options *federations;
    struct parent_kit *parents; /* (config.federation_count) */
    struct covey_log log;
    struct covey_progress progress;
    struct covey_credential_store *credentials;
    struct covey_server *server;
    struct covey_host_handle host;
    uint16_t bound_port;
    uint32_t shard_count;

    pthread_mutex_t mutex;                /* of what the events below write */
    struct covey_federation_report *ends; /* (federation_count); federation "" until it ended */
    atomic_bool over;
    enum covey_status status;
    struct covey_error err;
    uint64_t started_ms;
    struct timespec denied_at; /* when the deny-list last changed */
};

/* ------------------------------------------------------------------ JSON */

static const struct federation_kit *kit_of(const struct run *run, const char *federation)
{
    for (uint32_t i = 0; i < run->config.federation_count; i++)
        if (strcmp(run->kits[i].options.name, federation) == 0)
            return &run->kits[i];
    return &run->kits[0];
}

static void add_hash(struct covey_json *json, const struct covey_hash *hash)
{
    char text[COVEY_HASH_TEXT_BYTES];
    covey_hex_write(hash->bytes, sizeof hash->bytes, text);
    covey_json_text(json, "model_sha256", text);
}

static void print_round(const struct run *run, const struct covey_round_report *report)
{
    const char *metric = kit_of(run, report->federation)->is_error ? "rmse" : "accuracy";
    char text[4096];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "federation", report->federation);
    covey_json_int(&json, "round", report->round);
    covey_json_bool(&json, "abandoned", report->abandoned);
    covey_json_int(&json, "sequence", (int64_t)report->sequence);
    add_hash(&json, &report->model);
    covey_json_real(&json, metric, report->metric);
    covey_json_real(&json, "loss", report->loss);
    covey_json_real(&json, "train_loss", report->train_loss);
    covey_json_int(&json, "chosen", report->chosen);
    covey_json_int(&json, "goal", report->goal);
    covey_json_int(&json, "updates", report->updates);
    covey_json_int(&json, "dropped", report->dropped);
    covey_json_int(&json, "refused", report->refused);
    covey_json_int(&json, "examples", (int64_t)report->examples);
    covey_json_int(&json, "bytes_up", (int64_t)report->bytes_up);
    covey_json_int(&json, "bytes_down", (int64_t)report->bytes_down);
    covey_json_int(&json, "update_bytes_up", (int64_t)report->update_bytes_up);
    covey_json_int(&json, "bytes_up_fp32", (int64_t)report->bytes_up_fp32);
    covey_json_real(&json, "seconds", report->seconds);
    covey_write_device_summary(&json, &report->devices);
    covey_json_close(&json, '}');
    (void)command_print(&json);
}

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int64_t peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (int64_t)usage.ru_maxrss * 1024 : 0;
}

/* After the loop: the totals, with what the devices fetched at the very end. */
static void print_end(struct run *run, uint32_t index, const struct covey_traffic *traffic)
{
    const struct covey_federation_report *end = &run->ends[index];
    const char *metric = run->kits[index].is_error ? "rmse" : "accuracy";
    const char *test_metric = run->kits[index].is_error ? "test_rmse" : "test_accuracy";
    struct covey_federation_view view;
    char text[4096];
    struct covey_json json;
    covey_server_federation_view(run->server, index, &view);
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "federation", view.name);
    covey_json_text(&json, "end", end->federation[0] != '\0' ? covey_round_end_name(end->end) : "stopped");
    covey_json_int(&json, "rounds", view.round.completed);
    covey_json_int(&json, "abandoned", view.round.abandoned);
    covey_json_int(&json, "sequence", (int64_t)view.sequence);
    add_hash(&json, &view.model);
    covey_json_real(&json, metric, view.metric);
    covey_json_real(&json, "loss", view.loss);
    covey_json_real(&json, test_metric, end->test_metric);
    covey_json_real(&json, "test_loss", end->test_loss);
    covey_json_int(&json, "devices", view.members);
    covey_json_int(&json, "update_bytes_up", (int64_t)view.update_bytes_up);
    covey_json_int(&json, "upload_bytes_up", (int64_t)traffic->upload_bytes_up);
    covey_json_int(&json, "bytes_up", (int64_t)traffic->bytes_up);
    covey_json_int(&json, "bytes_down", (int64_t)traffic->bytes_down);
    covey_json_int(&json, "bytes_up_fp32", (int64_t)view.bytes_up_fp32);
    covey_json_int(&json, "peak_rss_bytes", peak_rss_bytes());
    covey_json_real(&json, "seconds", (double)(monotonic_ms() - run->started_ms) / 1000);
    covey_json_close(&json, '}');
    (void)command_print(&json);
}

/* ------------------------------------------------------------------ events */

static void on_round(void *user, const struct covey_round_report *report)
{
    const struct run *run = user;
    if (run->json)
        print_round(run, report);
}

static void on_end(void *user, const struct covey_federation_report *report)
{
    struct run *run = user;
    pthread_mutex_lock(&run->mutex);
    for (uint32_t i = 0; i < run->config.federation_count; i++)
        if (strcmp(run->kits[i].options.name, report->federation) == 0)
            run->ends[i] = *report;
    pthread_mutex_unlock(&run->mutex);
}

/* ------------------------------------------------------------------ the live line */

static void show_progress(struct run *run)
{
    struct covey_server_view server;
    struct covey_federation_view view;
    char sent[16], plain[16], up[16], down[16], left[24] = "", value[48] = "";
    uint32_t shown = 0;
    covey_server_view(run->server, &server);
    for (uint32_t i = 0; i < run->config.federation_count; i++) { /* the first one that is at work */
        covey_server_federation_view(run->server, i, &view);
        shown = i;
        if (view.round.phase != COVEY_PHASE_ENDED)
            break;
    }
    if (!isnan(view.metric))
        (void)snprintf(value, sizeof value, " | %s %.4f loss %.4f",
                       run->kits[shown].is_error ? "rmse" : "accuracy", view.metric, view.loss);
    else if (!isnan(view.train_loss))
        (void)snprintf(value, sizeof value, " | training loss %.4f", view.train_loss);
    if (view.rounds_wanted > view.round.completed && view.round_seconds > 0)
        (void)covey_progress_seconds(view.round_seconds * (view.rounds_wanted - view.round.completed), left);
    covey_progress_show(
        &run->progress,
        "%s: round %u%s%.0u %s | devices %u there, %u of %u done%s | updates %s of %s fp32 | up %s down "
        "%s%s%s",
        view.name, view.round.round, view.rounds_wanted != 0 ? "/" : "", view.rounds_wanted,
        covey_round_phase_name(view.round.phase), server.present, view.round.done, view.round.slots, value,
        covey_progress_bytes(view.update_bytes_up, sent), covey_progress_bytes(view.bytes_up_fp32, plain),
        covey_progress_bytes(server.traffic.bytes_up, up),
        covey_progress_bytes(server.traffic.bytes_down, down), left[0] != '\0' ? " | left " : "", left);
}

/* ------------------------------------------------------------------ reading again */

static void withdrawn(void *user, const char *name)
{
    covey_server_withdraw(((struct run *)user)->server, name);
}

static void reload_deny_list(struct run *run)
{
    struct covey_error err = {0};
    if (covey_credentials_reload(run->credentials, withdrawn, run, &err) != COVEY_OK)
        covey_log_event(&run->log, COVEY_LOG_ERROR, "deny-list-failed", "%s", err.text);
}

/* `covey-server revoke` only writes the file. */
static void watch_deny_list(struct run *run)
{
    char path[COVEY_FILE_PATH_BYTES];
    struct stat facts;
    (void)snprintf(path, sizeof path, "%s/pki/revoked", run->dir);
    if (stat(path, &facts) != 0 ||
        (facts.st_mtim.tv_sec == run->denied_at.tv_sec && facts.st_mtim.tv_nsec == run->denied_at.tv_nsec))
        return;
    run->denied_at = facts.st_mtim;
    reload_deny_list(run);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static void say_fixed(const struct run *run, bool changed, const char *what)
{
    if (changed)
        covey_log_event(&run->log, COVEY_LOG_WARNING, "reload-needs-restart", "key=%s", what);
}

/* What only a restart takes up. */
static void say_what_stays(const struct run *run, const struct server_config *now)
{
    const struct server_config *old = &run->config;
    say_fixed(run, !same_text(old->server.address, now->server.address), "server.address");
    say_fixed(run, old->server.port != now->server.port, "server.port");
    say_fixed(run, !same_text(old->server.state, now->server.state), "server.state");
    say_fixed(run, old->server.shards != now->server.shards, "server.shards");
    say_fixed(run, old->server.shard_devices != now->server.shard_devices, "server.shard_devices");
    say_fixed(run, old->server.fold_threads != now->server.fold_threads, "server.fold_threads");
    say_fixed(run, old->log.journal != now->log.journal, "log.journal");
    say_fixed(run, old->federation_count != now->federation_count, "federations");
}

static bool gateways_differ(const struct federation_config *old, const struct federation_config *now)
{
    bool differ = old->gateway_count != now->gateway_count;
    for (uint32_t i = 0; i < old->gateway_count && !differ; i++)
        differ = !same_text(old->gateways[i].name, now->gateways[i].name) ||
                 old->gateways[i].devices != now->gateways[i].devices;
    return differ;
}

static void say_what_stays_of(const struct run *run, const struct federation_config *old,
                              const struct federation_config *now)
{
    say_fixed(run, !same_text(old->model, now->model) || !same_text(old->initial, now->initial), "model");
    say_fixed(run, !same_text(old->codec, now->codec), "codec");
    say_fixed(run, !same_text(old->downlink, now->downlink), "downlink");
    say_fixed(run, !same_text(old->strategy, now->strategy), "strategy");
    say_fixed(run, gateways_differ(old, now), "gateways");
    say_fixed(run,
              !same_text(old->parent.address, now->parent.address) ||
                  !same_text(old->parent.bundle, now->parent.bundle),
              "parent");
    /* numbers of eight bytes each: no padding between them */
    say_fixed(run, old->seed != now->seed || memcmp(&old->train, &now->train, sizeof old->train) != 0,
              "train");
    say_fixed(run, memcmp(&old->weighting, &now->weighting, sizeof old->weighting) != 0, "weighting");
    say_fixed(run, old->population != now->population, "population");
    say_fixed(run, old->stop.watch != now->stop.watch, "stop.watch");
}

static void reload(struct run *run)
{
    struct server_config now = {0};
    struct covey_error err = {0};
    if (server_config_load(run->dir, &now, &err) != COVEY_OK) {
        covey_log_event(&run->log, COVEY_LOG_ERROR, "reload-failed", "%s; everything stays as it was",
                        err.text);
        return;
    }
    say_what_stays(run, &now);
    if (run->log_level == NULL)
        run->log.level = (enum covey_log_level)now.log.level;
    for (uint32_t i = 0; i < run->config.federation_count; i++) {
        const struct federation_config *old = &run->config.federations[i];
        const struct federation_config *fresh = server_config_find(&now, old->name);
        struct covey_round_rules rules;
        if (fresh == NULL) {
            say_fixed(run, true, "federations");
            continue;
        }
        say_what_stays_of(run, old, fresh);
        covey_keys_rules(&fresh->selection, &fresh->round, &fresh->stop, &rules);
        if (run->rounds >= 0)
            rules.stop_rounds = (uint32_t)run->rounds;
        if (covey_server_set_rules(run->server, old->name, &rules, &err) != COVEY_OK)
            covey_log_event(&run->log, COVEY_LOG_ERROR, "reload-failed", "federation=%s %s", old->name,
                            err.text);
    }
    server_config_free(&now);
    reload_deny_list(run);
    covey_log_event(&run->log, COVEY_LOG_INFO, "reloaded", "directory=%s", run->dir);
}

/* ------------------------------------------------------------------ putting it together */

static void start_log(struct run *run)
{
    enum covey_log_level level = (enum covey_log_level)run->config.log.level;
    if (run->log_level != NULL)
        (void)covey_log_level_parse(run->log_level, &level);
    run->log = run->config.log.journal ? (struct covey_log){level, covey_log_to_journal, NULL}
                                       : (struct covey_log){level, covey_progress_log, &run->progress};
}

static enum covey_status load_federations(struct run *run, struct covey_error *err)
{
    const uint32_t count = run->config.federation_count;
    run->kits = calloc(count, sizeof *run->kits);
    run->federations = calloc(count, sizeof *run->federations);
    run->ends = calloc(count, sizeof *run->ends);
    run->parents = calloc(count, sizeof *run->parents);
    if (run->parents == NULL || run->kits == NULL || run->federations == NULL || run->ends == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u federations", count);
    for (uint32_t i = 0; i < count; i++) {
        run->ends[i].test_loss = run->ends[i].test_metric = (double)NAN;
        COVEY_TRY(federation_kit_init(&run->kits[i], &run->config, &run->config.federations[i], err));
        run->federations[i] = run->kits[i].options;
        const struct covey_env env = covey_env_system(&run->log);
        COVEY_TRY(parent_kit_init(&run->parents[i], &run->config, &run->config.federations[i], &env, err));
        if (run->parents[i].store != NULL)
            run->federations[i].parent = &run->parents[i].parent;
        if (run->rounds >= 0)
            run->federations[i].rules.stop_rounds = (uint32_t)run->rounds;
    }
    return COVEY_OK;
}

static void count_device(void *user, const struct covey_device_entry *entry)
{
    *(uint32_t *)user += !entry->revoked;
}

static uint32_t shards_wanted(const struct run *run)
{
    uint32_t devices = 0;
    if (run->config.server.shards > 0)
        return (uint32_t)run->config.server.shards;
    if (covey_authority_list(run->dir, count_device, &devices, NULL) != COVEY_OK || devices == 0)
        return 1;
    const uint32_t each = (uint32_t)run->config.server.shard_devices;
    const uint32_t wanted = (devices + each - 1) / each;
    return wanted < COVEY_COAP_SHARDS ? wanted : COVEY_COAP_SHARDS;
}

static enum covey_status start_server(struct run *run, struct covey_error *err)
{
    char state[COVEY_FILE_PATH_BYTES];
    const struct covey_env env = covey_env_system(&run->log);
    COVEY_TRY(server_config_path(&run->config, run->config.server.state, state, err));
    COVEY_TRY(covey_credentials_load_server(run->dir, &env, &run->credentials, err));
    run->shard_count = shards_wanted(run);
    const struct covey_server_options options = {
        .folder = state,
        .env = env,
        .signer = covey_credential_store_signer(run->credentials),
        .federations = run->federations,
        .federation_count = run->config.federation_count,
        .fold_threads = (uint32_t)run->config.server.fold_threads,
        .intake_threads = (uint32_t)run->config.server.intake_threads,
        .intake_memory_bytes = (uint64_t)run->config.server.intake_memory_bytes,
        .shard_count = run->shard_count,
        .shard_devices = (uint32_t)run->config.server.shard_devices,
        .end_when_done = run->exit_when_done || run->config.server.exit_when_done,
        .events_user = run,
        .on_round = on_round,
        .on_end = on_end,
    };
    COVEY_TRY(covey_server_create(&options, &run->server, err));
    for (uint32_t i = 0; i < run->config.federation_count; i++) { /* only needed for the first model */
        free(run->kits[i].initial);
        run->kits[i].initial = NULL;
    }
    return COVEY_OK;
}

static enum covey_status start_host(struct run *run, struct covey_error *err)
{
    const struct covey_coap_host_config host = {
        .address = run->config.server.address,
        .port = (uint16_t)(run->port >= 0 ? run->port : run->config.server.port),
        .shard_count = run->shard_count,
        .credentials = covey_credential_store_view(run->credentials),
        .env = covey_env_system(&run->log),
        .service = covey_server_service(run->server),
        .shard_sessions = (uint32_t)run->config.server.shard_devices,
        .receive_buffer_bytes = (uint32_t)run->config.server.receive_buffer_bytes,
    };
    COVEY_TRY(covey_coap_host_create(&host, &run->host, err));
    run->bound_port = covey_coap_host_port(run->host.host, 0);
    covey_server_attach(run->server, &run->host, run->bound_port);
    covey_log_event(&run->log, COVEY_LOG_INFO, "serving", "port=%u shards=%u federations=%u", run->bound_port,
                    run->shard_count, run->config.federation_count);
    return COVEY_OK;
}

static void *run_loop(void *user)
{
    struct run *run = user;
    run->status = covey_server_run(run->server, &run->err);
    atomic_store(&run->over, true);
    return NULL;
}

/* Signals, the deny-list, the live line; until the loop is over. */
static void attend(struct run *run, const sigset_t *signals)
{
    const struct timespec pause = {0, LOOK_MS * 1000000l};
    while (!atomic_load(&run->over)) {
        const int signal = sigtimedwait(signals, NULL, &pause);
        if (signal == SIGTERM || signal == SIGINT) {
            covey_log_event(&run->log, COVEY_LOG_INFO, "stopping", "signal=%d", signal);
            covey_server_stop(run->server);
        } else if (signal == SIGHUP) {
            reload(run);
        }
        watch_deny_list(run);
        if (run->progress.live)
            show_progress(run);
    }
}

static enum covey_status serve(struct run *run, const sigset_t *signals, struct covey_error *err)
{
    pthread_t loop;
    if (pthread_create(&loop, NULL, run_loop, run) != 0)
        return covey_fail(err, COVEY_NO_MEMORY, "the server's loop could not be started");
    attend(run, signals);
    (void)pthread_join(loop, NULL);
    if (run->status != COVEY_OK && err != NULL)
        *err = run->err;
    if (run->json && run->status == COVEY_OK) {
        struct covey_server_view view;
        covey_server_view(run->server, &view);
        for (uint32_t i = 0; i < run->config.federation_count; i++)
            print_end(run, i, &view.traffic);
    }
    return run->status;
}

static void clean_up(struct run *run)
{
    if (run->host.ops != NULL)
        run->host.ops->destroy(run->host.host);
    covey_server_destroy(run->server);
    covey_credential_store_destroy(run->credentials);
    for (uint32_t i = 0; run->kits != NULL && i < run->config.federation_count; i++)
        federation_kit_deinit(&run->kits[i]);
    for (uint32_t i = 0; run->parents != NULL && i < run->config.federation_count; i++)
        parent_kit_deinit(&run->parents[i]);
    free(run->parents);
    free(run->kits);
    free(run->federations);
    free(run->ends);
    server_config_free(&run->config);
    covey_progress_deinit(&run->progress);
    pthread_mutex_destroy(&run->mutex);
}

static int read_options(const struct command *command, int argc, char **argv, struct run *run)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},         {"exit-when-done", no_argument, NULL, 'e'},
        {"rounds", required_argument, NULL, 'r'}, {"port", required_argument, NULL, 'p'},
        {"quiet", no_argument, NULL, 'q'},        {"log-level", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(command, argc, argv, options)) != -1) {
        switch (option) {
        case 'j':
            run->json = true;
            break;
        case 'e':
            run->exit_when_done = true;
            break;
        case 'r':
            run->rounds = atoll(optarg);
            break;
        case 'p':
            run->port = atoll(optarg);
            break;
        case 'q':
            run->quiet = true;
            break;
        case 'l':
            run->log_level = optarg;
            break;
        default:
            return option == 'h' ? 'h' : '?';
        }
    }
    return 0;
}

int command_run(const struct command *command, int argc, char **argv)
{
    struct run *run = calloc(1, sizeof *run);
    struct covey_error err = {0};
    enum covey_log_level level;
    sigset_t signals;
    if (run == NULL)
        return EXIT_FAILED;
    run->rounds = run->port = -1;
    const int read = read_options(command, argc, argv, run);
    if (read != 0 || !command_has(argc, 1)) {
        free(run);
        if (read != 0)
            return read == 'h' ? EXIT_DONE : EXIT_USAGE;
        return command_misused(command, "the server's directory is wanted, and nothing else");
    }
    if (run->port > 65535 || run->rounds > COVEY_ROUNDS ||
        (run->log_level != NULL && covey_log_level_parse(run->log_level, &level) != 0)) {
        free(run);
        return command_misused(command, "a value is out of range, or an unknown log level");
    }
    /* before any thread: they inherit it, and the main thread alone takes these signals */
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);

    run->dir = argv[optind];
    run->started_ms = monotonic_ms();
    pthread_mutex_init(&run->mutex, NULL);
    covey_progress_init(&run->progress, STDERR_FILENO, run->quiet);
    enum covey_status status = server_config_load(run->dir, &run->config, &err);
    if (status == COVEY_OK) {
        start_log(run);
        status = load_federations(run, &err);
    }
    if (status == COVEY_OK)
        status = start_server(run, &err);
    if (status == COVEY_OK)
        status = start_host(run, &err);
    if (status == COVEY_OK)
        status = serve(run, &signals, &err);
    clean_up(run);
    free(run);
    return status == COVEY_OK ? EXIT_DONE : command_failed(&err);
}
