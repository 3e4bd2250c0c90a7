#include "covey/client_config.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/blockwise.h"
#include "covey/yaml.h"
#include "policy.h"

#define AT(member) .offset = offsetof(struct covey_client_config, member)
#define POLICY_AT(member) .offset = offsetof(struct covey_client_policy, member)

static const char *const mode_words[] = {"listen", "poll", NULL};
static const char *const congestion_words[] = {"gated", "standard", NULL};
static const char *const feedback_words[] = {"on", "off", "auto", NULL};
static const char *const level_words[] = {"error", "warning", "info", "debug", NULL};

static const struct covey_field policy_fields[] = {
    {.key = "hours",
     .kind = COVEY_FIELD_TEXT,
     POLICY_AT(hours),
     .hint = "\"22-6\" or \"1:30-5, 12-14\", local time"},
    {.key = "mains", .kind = COVEY_FIELD_BOOL, POLICY_AT(mains)},
    {.key = "battery_percent",
     .kind = COVEY_FIELD_INT,
     POLICY_AT(battery_percent),
     .minimum = 0,
     .maximum = 100},
    {.key = "temperature_celsius",
     .kind = COVEY_FIELD_REAL,
     POLICY_AT(temperature_celsius),
     .minimum = 0,
     .maximum = 150},
    {.key = "load", .kind = COVEY_FIELD_REAL, POLICY_AT(load), .minimum = 0, .maximum = 1000},
    {.key = NULL}};

static const struct covey_field log_fields[] = {
    {.key = "level",
     .kind = COVEY_FIELD_CHOICE,
     .offset = offsetof(struct covey_client_config, log.level) - offsetof(struct covey_client_config, log),
     .choices = level_words},
    {.key = "journal",
     .kind = COVEY_FIELD_BOOL,
     .offset = offsetof(struct covey_client_config, log.journal) - offsetof(struct covey_client_config, log)},
    {.key = NULL}};

static const struct covey_field config_fields[] = {
    {.key = "server",
     .kind = COVEY_FIELD_TEXT,
     AT(server),
     .required = true,
     .hint = "HOST:PORT of the server"},
    {.key = "server_name",
     .kind = COVEY_FIELD_TEXT,
     AT(server_name),
     .hint = "the name in the server's certificate"},
    {.key = "federation",
     .kind = COVEY_FIELD_TEXT,
     AT(federation),
     .required = true,
     .hint = "a federation's name"},
    {.key = "mode", .kind = COVEY_FIELD_CHOICE, AT(mode), .choices = mode_words},
    {.key = "congestion", .kind = COVEY_FIELD_CHOICE, AT(congestion), .choices = congestion_words},
    {.key = "data", .kind = COVEY_FIELD_MAPPING, AT(data), .fields = covey_data_fields},
    {.key = "state", .kind = COVEY_FIELD_TEXT, AT(state), .hint = "a folder"},
    {.key = "policy", .kind = COVEY_FIELD_MAPPING, AT(policy), .fields = policy_fields},
    {.key = "error_feedback", .kind = COVEY_FIELD_CHOICE, AT(error_feedback), .choices = feedback_words},
    {.key = "feedback_rounds",
     .kind = COVEY_FIELD_INT,
     AT(feedback_rounds),
     .minimum = 1,
     .maximum = 1 << 24},
    {.key = "clip_norm", .kind = COVEY_FIELD_REAL, AT(clip_norm), .minimum = 0, .maximum = 1e30},
    {.key = "hold_out", .kind = COVEY_FIELD_REAL, AT(hold_out), .minimum = 0, .maximum = .9},
    {.key = "exit_when_done", .kind = COVEY_FIELD_BOOL, AT(exit_when_done)},
    {.key = "keep_last", .kind = COVEY_FIELD_BOOL, AT(keep_last)},
    {.key = "metrics", .kind = COVEY_FIELD_BOOL, AT(metrics)},
    {.key = "reconnect_ms", .kind = COVEY_FIELD_INT, AT(reconnect_ms), .minimum = 10, .maximum = 3600000},
    {.key = "reconnect_limit_ms",
     .kind = COVEY_FIELD_INT,
     AT(reconnect_limit_ms),
     .minimum = 10,
     .maximum = 86400000},
    {.key = "memory_limit_bytes",
     .kind = COVEY_FIELD_INT,
     AT(memory_limit_bytes),
     .minimum = 0,
     .maximum = 1e15},
    {.key = "log", .kind = COVEY_FIELD_MAPPING, AT(log), .fields = log_fields},
    {.key = NULL}};

/* What the file leaves out. The texts are literals; covey_yaml tells them from what it allocated. */
static const struct covey_client_config defaults = {
    .server_name = (char *)(uintptr_t) "",
    .state = (char *)(uintptr_t) "state",
    .error_feedback = COVEY_FEEDBACK_AUTO,
    .feedback_rounds = 100,
    .exit_when_done = false,
    .keep_last = true,
    .metrics = true,
    .reconnect_ms = 1000,
    .reconnect_limit_ms = 300000,
    .data = {.split = {.alpha = .5, .shards = 2}},
    .log = {.level = COVEY_LOG_INFO},
};

/* "host", "host:port", "1.2.3.4:port", "[::1]:port", "::1" */
static enum covey_status parse_server(const char *file, struct covey_client_config *config,
                                      struct covey_error *err)
{
    const char *text = config->server, *host = text, *port = NULL;
    size_t length;
    if (strncmp(text, "coaps://", 8) == 0)
        host = text += 8;
    if (*text == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL || (end[1] != 0 && end[1] != ':'))
            return covey_fail(err, COVEY_INVALID, "%s: server: '%s' is not HOST:PORT", file, config->server);
        host = text + 1;
        length = (size_t)(end - host);
        port = end[1] == ':' ? end + 2 : NULL;
    } else {
        const char *colon = strchr(text, ':');
        bool many = colon != NULL && strchr(colon + 1, ':') != NULL; /* an IPv6 address without a port */
        length = colon != NULL && !many ? (size_t)(colon - text) : strlen(text);
        port = colon != NULL && !many ? colon + 1 : NULL;
    }
    if (length == 0 || length >= sizeof config->host - 9)
        return covey_fail(err, COVEY_INVALID, "%s: server: '%s' names no host", file, config->server);
    config->port = COVEY_CLIENT_PORT;
    if (port != NULL) {
        char *end;
        unsigned long value = isdigit((unsigned char)*port) ? strtoul(port, &end, 10) : 0;
        if (value < 1 || value > 65535 || *end != 0)
            return covey_fail(err, COVEY_INVALID, "%s: server: '%s' is not a port (1 to 65535)", file, port);
        config->port = (uint16_t)value;
    }
    memcpy(config->host, host, length);
    config->host[length] = 0;
    return COVEY_OK;
}

static bool is_path_word(const char *name)
{
    for (const char *c = name; *c != 0; c++)
        if (!isalnum((unsigned char)*c) && strchr("._-", *c) == NULL)
            return false;
    return *name != 0 && strlen(name) < COVEY_NAME_BYTES;
}

static enum covey_status check(const char *file, struct covey_client_config *config, struct covey_error *err)
{
    struct covey_hours hours;
    COVEY_TRY(parse_server(file, config, err));
    if (!is_path_word(config->federation))
        return covey_fail(err, COVEY_INVALID,
                          "%s: federation: '%.40s': up to %d of A-Z a-z 0-9 . _ - are expected", file,
                          config->federation, COVEY_NAME_BYTES - 1);
    if (config->server_name[0] != 0 && strlen(config->server_name) >= COVEY_NAME_BYTES)
        return covey_fail(err, COVEY_INVALID, "%s: server_name: longer than %d characters", file,
                          COVEY_NAME_BYTES - 1);
    if (config->reconnect_limit_ms < config->reconnect_ms)
        return covey_fail(err, COVEY_INVALID, "%s: reconnect_limit_ms is below reconnect_ms", file);
    if (config->policy.hours != NULL && covey_hours_parse(config->policy.hours, &hours, err) != COVEY_OK)
        return covey_fail_at(err, COVEY_INVALID, "%s: policy: hours", file);
    return COVEY_OK;
}

static enum covey_status load(const char *dir, const char *text, struct covey_client_config *out,
                              struct covey_error *err)
{
    struct covey_client_config *config = malloc(sizeof *config);
    char file[COVEY_FILE_PATH_BYTES + 16];
    enum covey_status status;
    if (config == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a configuration");
    *config = defaults;
    if (snprintf(file, sizeof file, "%s/client.yaml", dir) >= COVEY_FILE_PATH_BYTES) {
        free(config);
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", dir);
    }
    status = text != NULL
                 ? covey_yaml_load_text(file, text, strlen(text), config_fields, config, sizeof *config, err)
                 : covey_yaml_load_file(file, config_fields, config, sizeof *config, err);
    if (status == COVEY_OK) {
        snprintf(config->folder, sizeof config->folder, "%s", dir);
        status = check(file, config, err);
        if (status == COVEY_OK)
            *out = *config;
        else
            covey_yaml_free(config_fields, config, &defaults);
    }
    free(config);
    return status;
}

enum covey_status covey_client_config_load(const char *dir, struct covey_client_config *out,
                                           struct covey_error *err)
{
    return load(dir, NULL, out, err);
}

enum covey_status covey_client_config_load_text(const char *dir, const char *text,
                                                struct covey_client_config *out, struct covey_error *err)
{
    return load(dir, text, out, err);
}

void covey_client_config_free(struct covey_client_config *config)
{
    if (config->server != NULL)
        covey_yaml_free(config_fields, config, &defaults);
    *config = (struct covey_client_config){0};
}

bool covey_client_keeps_residual(int64_t feedback, const struct covey_codec *codec)
{
    if (strcmp(codec->name, "raw32") == 0)
        return false;
    return feedback == COVEY_FEEDBACK_ON || (feedback == COVEY_FEEDBACK_AUTO && !codec->unbiased);
}

enum covey_status covey_client_config_path(const struct covey_client_config *config, const char *name,
                                           char out[COVEY_FILE_PATH_BYTES], struct covey_error *err)
{
    bool absolute = name[0] == '/';
    int length = snprintf(out, COVEY_FILE_PATH_BYTES, "%s%s%s", absolute ? "" : config->folder,
                          absolute ? "" : "/", name);
    if (length < 0 || length >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path of more than %d characters", name,
                          COVEY_FILE_PATH_BYTES - 1);
    return COVEY_OK;
}

void covey_client_address(const char *host, uint16_t port, char out[COVEY_ADDRESS_BYTES])
{
    bool brackets = strchr(host, ':') != NULL;
    snprintf(out, COVEY_ADDRESS_BYTES, "%s%.255s%s:%u", brackets ? "[" : "", host, brackets ? "]" : "", port);
}
