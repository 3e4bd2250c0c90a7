/* client.yaml: what suffices, what is refused, and where it says so. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "covey/client_config.h"

#define LEAST "server: fl.example.org\nfederation: digits\n"

static enum covey_status load(const char *text, struct covey_client_config *out, struct covey_error *err)
{
    *err = (struct covey_error){0};
    return covey_client_config_load_text("/etc/covey", text, out, err);
}

Test(client_config, addresses)
{
    static const struct {
        const char *server, *host;
        unsigned port;
    } cases[] = {
        {"fl.example.org", "fl.example.org", 5684},
        {"fl.example.org:7000", "fl.example.org", 7000},
        {"coaps://fl.example.org:7000", "fl.example.org", 7000},
        {"192.0.2.7", "192.0.2.7", 5684},
        {"\"[2001:db8::1]:7000\"", "2001:db8::1", 7000},
        {"\"[2001:db8::1]\"", "2001:db8::1", 5684},
        {"\"2001:db8::1\"", "2001:db8::1", 5684},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200], address[COVEY_ADDRESS_BYTES];
        struct covey_client_config config = {0};
        struct covey_error err;
        snprintf(text, sizeof text, "server: %s\nfederation: digits\n", cases[i].server);
        cr_assert(load(text, &config, &err) == COVEY_OK, "%s", err.text);
        cr_assert(strcmp(config.host, cases[i].host) == 0 && config.port == cases[i].port, "%s -> %s %u",
                  cases[i].server, config.host, config.port);
        covey_client_address(config.host, 1, address);
        cr_assert((address[0] == '[') == (strchr(config.host, ':') != NULL), "%s", address);
        covey_client_config_free(&config);
    }
}

Test(client_config, defaults)
{
    struct covey_client_config config = {0};
    struct covey_error err;
    char path[COVEY_FILE_PATH_BYTES];
    cr_assert(load(LEAST, &config, &err) == COVEY_OK, "%s", err.text);
    cr_assert(config.mode == COVEY_MODE_LISTEN && config.error_feedback == COVEY_FEEDBACK_AUTO &&
              config.keep_last);
    cr_assert(config.reconnect_ms == 1000 && !config.exit_when_done && config.log.level == COVEY_LOG_INFO);
    cr_assert(covey_client_config_path(&config, config.state, path, NULL) == COVEY_OK);
    cr_assert(strcmp(path, "/etc/covey/state") == 0, "%s", path);
    cr_assert(covey_client_config_path(&config, "/var/x", path, NULL) == COVEY_OK &&
              strcmp(path, "/var/x") == 0);
    covey_client_config_free(&config);
    covey_client_config_free(&config);
}

Test(client_config, everything)
{
    static const char text[] =
        LEAST "server_name: fl\nmode: poll\ncongestion: standard\nstate: /var/lib/covey\n"
              "data: {inputs: [a, b], labels: [c], classes: 6}\n"
              "policy: {hours: 22-6, mains: true, battery_percent: 40, temperature_celsius: 70, load: .5}\n"
              "error_feedback: off\nfeedback_rounds: 3\nclip_norm: 2.5\nexit_when_done: true\n"
              "keep_last: false\nreconnect_ms: 500\nreconnect_limit_ms: 9000\n"
              "memory_limit_bytes: 8000000\nlog: {level: debug, journal: true}\n";
    struct covey_client_config config = {0};
    struct covey_error err;
    cr_assert(load(text, &config, &err) == COVEY_OK, "%s", err.text);
    cr_assert(config.mode == COVEY_MODE_POLL && config.data.inputs.count == 2 && config.data.classes == 6);
    cr_assert(config.policy.mains && config.policy.load == .5 && strcmp(config.policy.hours, "22-6") == 0);
    cr_assert(config.error_feedback == COVEY_FEEDBACK_OFF && config.clip_norm == 2.5 && config.log.journal);
    cr_assert(config.log.level == COVEY_LOG_DEBUG && !config.keep_last &&
              config.memory_limit_bytes == 8000000);
    covey_client_config_free(&config);
}

Test(client_config, refused_with_file_and_line)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"federation: digits\n", "server"},
        {"server: a\n", "federation"},
        {LEAST "sever: b\n", "client.yaml:3"},
        {LEAST "mode: push\n", "client.yaml:3"},
        {LEAST "reconnect_ms: 0\n", "client.yaml:3"},
        {LEAST "policy: {hours: 22}\n", "hours"},
        {LEAST "data: {input: [a]}\n", "client.yaml:3"},
        {"server: a:99999\nfederation: digits\n", "port"},
        {"server: a:x\nfederation: digits\n", "port"},
        {"server: \":5684\"\nfederation: digits\n", "host"},
        {"server: \"[::1\"\nfederation: digits\n", "HOST:PORT"},
        {"server: a\nfederation: ../x\n", "federation"},
        {"server: a\nfederation: \"\"\n", "federation"},
        {LEAST "reconnect_ms: 5000\nreconnect_limit_ms: 100\n", "reconnect_limit_ms"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct covey_client_config config = {0};
        struct covey_error err;
        cr_assert(load(cases[i].text, &config, &err) != COVEY_OK, "'%s' was taken", cases[i].text);
        cr_assert(strstr(err.text, cases[i].says) != NULL && strstr(err.text, "client.yaml") != NULL,
                  "'%s': %s", cases[i].text, err.text);
        cr_assert(config.server == NULL);
    }
}

/* By itself, a device keeps a residual of what is not unbiased. */
Test(client_config, residuals)
{
    static const struct {
        const char *codec;
        bool on, by_itself;
    } rows[] = {{"raw32", false, false},  {"int8", true, false},       {"eden1", true, false},
                {"mask:.1", true, false}, {"fp16", true, true},        {"ec:1", true, true},
                {"stc:.01", true, true},  {"mask:.1:fp16", true, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct covey_codec codec;
        cr_assert_eq(covey_codec_parse(rows[i].codec, &codec, NULL), COVEY_OK);
        cr_expect_eq(covey_client_keeps_residual(COVEY_FEEDBACK_ON, &codec), rows[i].on, "%s", rows[i].codec);
        cr_expect(!covey_client_keeps_residual(COVEY_FEEDBACK_OFF, &codec));
        cr_expect_eq(covey_client_keeps_residual(COVEY_FEEDBACK_AUTO, &codec), rows[i].by_itself, "%s",
                     rows[i].codec);
    }
}
