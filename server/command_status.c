#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "command_config.h"
#include "device_scores.h"
#include "ledger.h"

#define LIVE_BYTES (64u << 10)
#define ANSWER_BYTES (256u << 10)

/* What the ledger says of a federation. */
struct past {
    uint32_t completed, abandoned;
    struct covey_ledger_round last; /* the newest that was completed */
    struct covey_ledger_round open;
    bool has_last, is_open;
    double best; /* NaN */
    uint64_t update_bytes, bytes_up, bytes_down;
    struct covey_device_summary devices;
};

static bool see_round(void *user, const struct covey_ledger_round *round)
{
    struct past *past = user;
    past->is_open = round->state == COVEY_LEDGER_OPEN;
    if (past->is_open)
        past->open = *round;
    past->abandoned += round->state == COVEY_LEDGER_ABANDONED;
    past->update_bytes += round->update_bytes;
    past->bytes_up += round->bytes_up;
    past->bytes_down += round->bytes_down;
    if (round->state != COVEY_LEDGER_CLOSED)
        return true;
    past->completed++;
    past->last = *round;
    past->has_last = true;
    if (round->judged && !(round->metric <= past->best))
        past->best = round->metric;
    return true;
}

static bool is_locked(const char *state)
{
    char path[COVEY_FILE_PATH_BYTES + 8];
    (void)snprintf(path, sizeof path, "%s/lock", state);
    const int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return false;
    const bool locked = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(file);
    return locked;
}

/* The running server's own account, one line of JSON; "" when there is none. */
static void read_live(const char *state, char out[LIVE_BYTES])
{
    char path[COVEY_FILE_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/status.json", state);
    FILE *file = fopen(path, "re");
    size_t size = file == NULL ? 0 : fread(out, 1, LIVE_BYTES - 1, file);
    if (file != NULL)
        (void)fclose(file);
    while (size > 0 && out[size - 1] == '\n')
        size--;
    out[size] = '\0';
}

static bool print_metric(void *user, const struct covey_ledger_metric *metric)
{
    (void)user;
    printf("  device metric %-20s mean %.6g, %.6g to %.6g %s (%u devices)\n", metric->name, metric->mean,
           metric->minimum, metric->maximum, metric->unit, metric->devices);
    return true;
}

static void print_past(const char *name, const struct past *past)
{
    printf("%s: %u rounds completed, %u abandoned\n", name, past->completed, past->abandoned);
    if (past->is_open)
        printf("  round %u is open: %u devices chosen, goal %u\n", past->open.round, past->open.slots,
               past->open.goal);
    if (!past->has_last)
        return;
    printf("  last: round %u, %u updates, %u missing, training loss %.4f", past->last.round,
           past->last.updates, past->last.dropped, past->last.train_loss);
    if (past->last.judged)
        printf(", validation loss %.4f, metric %.4f (best %.4f)", past->last.loss, past->last.metric,
               past->best);
    printf("\n  updates: %.2f MB in all\n", (double)past->update_bytes / 1e6);
    if (past->devices.devices > 0)
        printf("  by %u devices in round %u: metric %.4f by examples, median %.4f, worst tenth %.4f\n",
               past->devices.devices, past->devices.round, past->devices.weighted, past->devices.median,
               past->devices.worst_decile);
}

static void recall_devices(struct covey_ledger *ledger, const char *federation,
                           struct covey_device_summary *out)
{
    char text[COVEY_SCORES_TEXT_BYTES];
    if (covey_ledger_get_note(ledger, federation, COVEY_DEVICES_JUDGED_NOTE, text, sizeof text, NULL) !=
            COVEY_OK ||
        !covey_device_summary_read(text, out))
        *out = (struct covey_device_summary){0};
}

static bool add_metric(void *user, const struct covey_ledger_metric *metric)
{
    struct covey_json *json = user;
    covey_json_open(json, NULL, '{');
    covey_json_text(json, "name", metric->name);
    covey_json_text(json, "unit", metric->unit);
    covey_json_int(json, "devices", metric->devices);
    covey_json_real(json, "mean", metric->mean);
    covey_json_real(json, "minimum", metric->minimum);
    covey_json_real(json, "maximum", metric->maximum);
    covey_json_close(json, '}');
    return true;
}

static enum covey_status add_past(struct covey_json *json, struct covey_ledger *ledger, const char *name,
                                  const struct past *past, struct covey_error *err)
{
    char hash[COVEY_HASH_TEXT_BYTES] = "";
    if (past->has_last)
        covey_hex_write(past->last.model.bytes, sizeof past->last.model.bytes, hash);
    covey_json_open(json, NULL, '{');
    covey_json_text(json, "federation", name);
    covey_json_int(json, "rounds", past->completed);
    covey_json_int(json, "abandoned", past->abandoned);
    covey_json_bool(json, "open", past->is_open);
    covey_json_int(json, "round", past->is_open ? past->open.round : past->last.round);
    covey_json_int(json, "updates", past->last.updates);
    covey_json_int(json, "dropped", past->last.dropped);
    covey_json_text(json, "model_sha256", hash);
    covey_json_real(json, "train_loss", past->has_last ? past->last.train_loss : (double)NAN);
    covey_json_real(json, "loss", past->last.judged ? past->last.loss : (double)NAN);
    covey_json_real(json, "metric", past->last.judged ? past->last.metric : (double)NAN);
    covey_json_int(json, "update_bytes_up", (int64_t)past->update_bytes);
    covey_json_int(json, "bytes_up", (int64_t)past->bytes_up);
    covey_json_int(json, "bytes_down", (int64_t)past->bytes_down);
    covey_write_device_summary(json, &past->devices);
    covey_json_open(json, "metrics", '[');
    const enum covey_status status = covey_ledger_each_metric(ledger, name, add_metric, json, err);
    covey_json_close(json, ']');
    covey_json_close(json, '}');
    return status;
}

static enum covey_status show(const struct server_config *config, struct covey_ledger *ledger,
                              const char *state, bool as_json, struct covey_error *err)
{
    char *text = calloc(1, ANSWER_BYTES), *live = calloc(1, LIVE_BYTES);
    enum covey_status status = text == NULL || live == NULL ? COVEY_NO_MEMORY : COVEY_OK;
    const bool running = is_locked(state);
    struct covey_json json;
    if (status == COVEY_OK) {
        covey_json_init(&json, text, ANSWER_BYTES);
        covey_json_open(&json, NULL, '{');
        covey_json_bool(&json, "running", running);
        covey_json_open(&json, "federations", '[');
        if (!as_json)
            printf("The server is %s.\n", running ? "running" : "not running");
    }
    for (uint32_t i = 0; i < config->federation_count && status == COVEY_OK; i++) {
        struct past past = {.best = (double)NAN};
        status = covey_ledger_each_round(ledger, config->federations[i].name, 0, see_round, &past, err);
        recall_devices(ledger, config->federations[i].name, &past.devices);
        if (status == COVEY_OK && as_json) {
            status = add_past(&json, ledger, config->federations[i].name, &past, err);
        } else if (status == COVEY_OK) {
            print_past(config->federations[i].name, &past);
            status = covey_ledger_each_metric(ledger, config->federations[i].name, print_metric, NULL, err);
        }
    }
    if (status == COVEY_OK && as_json) {
        covey_json_close(&json, ']');
        if (running)
            read_live(state, live);
        /* the live account is JSON already: it goes in as it is */
        printf("%s%s%s}\n", text, live[0] != '\0' ? ",\"live\":" : "", live);
        if (json.overflow || fflush(stdout) != 0)
            status = covey_fail(err, COVEY_IO, "the answer could not be printed");
    }
    free(text);
    free(live);
    return status;
}

int command_status(const struct command *command, int argc, char **argv)
{
    struct covey_error err = {0};
    bool as_json = false;
    int result;
    if (!command_only_json(command, argc, argv, &as_json, &result))
        return result;
    if (!command_has(argc, 1))
        return command_misused(command, "the server's directory is wanted, and nothing else");
    struct server_config config = {0};
    struct covey_ledger *ledger = NULL;
    char state[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES + 16];
    if (server_config_load(argv[optind], &config, &err) != COVEY_OK)
        return command_failed(&err);
    enum covey_status status = server_config_path(&config, config.server.state, state, &err);
    if (status == COVEY_OK) {
        (void)snprintf(path, sizeof path, "%s/ledger.sqlite", state);
        status = covey_ledger_open_to_read(path, &ledger, &err);
    }
    if (status == COVEY_OK)
        status = show(&config, ledger, state, as_json, &err);
    covey_ledger_close(ledger);
    server_config_free(&config);
    return status == COVEY_OK ? EXIT_DONE : command_failed(&err);
}
