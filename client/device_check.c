/* Goes through everything that a round needs, in the order in which it is needed, and says how far it came.
 */
#include <stdio.h>
#include <string.h>

#include "client_session.h"
#include "covey/certificates.h"
#include "covey/messages.h"
#include "policy.h"

#define TIMEOUT_S 20

struct check {
    struct covey_session session;
    const char *dir;
    uint64_t end_ms;
    struct covey_link_handle link;
    bool up, answered;
    struct covey_error reason; /* of a link that came down */
    struct covey_plan plan;
    char detail[600]; /* of the step that went well */
};

/* ------------------------------------------------------------------ the steps */

static enum covey_status check_configuration(struct check *check, struct covey_error *err)
{
    COVEY_TRY(covey_session_configure(&check->session, check->dir, true, err));
    check->session.log.level = COVEY_LOG_ERROR;
    snprintf(check->detail, sizeof check->detail, "federation %s at %s port %u",
             check->session.config.federation, check->session.config.host, check->session.config.port);
    return COVEY_OK;
}

static enum covey_status check_credentials(struct check *check, struct covey_error *err)
{
    struct covey_certificate_facts facts;
    COVEY_TRY(covey_session_identify(&check->session, err));
    const struct covey_credentials *credentials = covey_credential_store_view(check->session.store);
    const char *name = covey_credential_store_name(check->session.store);
    int used = snprintf(check->detail, sizeof check->detail, "this is %s", name);
    if (credentials->chain_pem.size == 0) {
        snprintf(check->detail + used, sizeof check->detail - (size_t)used, ", with a pre-shared key");
        return COVEY_OK;
    }
    COVEY_TRY(covey_certificate_describe(credentials->chain_pem, &facts, err));
    int64_t days = (facts.not_after_s - check->session.env.wall_s(check->session.env.user)) / 86400;
    snprintf(check->detail + used, sizeof check->detail - (size_t)used,
             ", certified by %s for %lld more days", facts.issuer, (long long)days);
    return COVEY_OK;
}

static enum covey_status check_data(struct check *check, struct covey_error *err)
{
    const struct covey_dataset *dataset = &check->session.dataset;
    uint32_t classes = 0;
    uint64_t mapped, heap;
    if (!covey_data_is_named(&check->session.config.data))
        return covey_fail(err, COVEY_INVALID, "client.yaml has no `data:` block: this device cannot train");
    COVEY_TRY(covey_session_load_data(&check->session, err));
    COVEY_TRY(covey_dataset_classes(dataset, &classes, err));
    covey_dataset_memory(dataset, &mapped, &heap);
    snprintf(check->detail, sizeof check->detail,
             "%u examples of %u values (%s), %u classes, %u targets; %llu bytes mapped, %llu in memory",
             dataset->count, dataset->inputs.width, covey_element_name(dataset->inputs.type), classes,
             dataset->targets.width, (unsigned long long)mapped, (unsigned long long)heap);
    return COVEY_OK;
}

static enum covey_status check_policy(struct check *check, struct covey_error *err)
{
    struct covey_conditions now;
    char why[120];
    (void)err;
    covey_conditions_read("", check->session.env.wall_s(check->session.env.user), &now);
    if (covey_policy_allows(&check->session.config.policy, &now, why, sizeof why))
        snprintf(check->detail, sizeof check->detail, "training is allowed now");
    else
        snprintf(check->detail, sizeof check->detail, "training is held back now: %s", why);
    return COVEY_OK;
}

static void on_state(void *user, enum covey_link_state state, const struct covey_error *reason)
{
    struct check *check = user;
    check->up = state == COVEY_LINK_UP;
    if (state == COVEY_LINK_DOWN)
        check->reason =
            reason != NULL ? *reason : (struct covey_error){.status = COVEY_CLOSED, .text = "closed"};
}

/* Runs the link until *done, or it came down, or time is over. */
static enum covey_status await(struct check *check, const bool *done, const char *what,
                               struct covey_error *err)
{
    const struct covey_env *env = &check->session.env;
    while (!*done && check->reason.status == COVEY_OK && env->now_ms(env->user) < check->end_ms)
        check->link.ops->run(check->link.link, 100);
    if (*done)
        return COVEY_OK;
    if (check->reason.status != COVEY_OK)
        return covey_fail(err, check->reason.status, "%s: %s", what, check->reason.text);
    return covey_fail(err, COVEY_TIMEOUT, "%s: nothing came in time", what);
}

static enum covey_status check_connection(struct check *check, struct covey_error *err)
{
    const struct covey_link_events events = {check, on_state};
    const struct covey_client_config *config = &check->session.config;
    char address[COVEY_ADDRESS_BYTES];
    COVEY_TRY(covey_session_open_link(&check->session, &events, &check->link, err));
    covey_client_address(config->host, config->port, address);
    COVEY_TRY(check->link.ops->connect(check->link.link, address, err));
    COVEY_TRY(await(check, &check->up, address, err));
    snprintf(check->detail, sizeof check->detail, "%s proved who it is", address);
    return COVEY_OK;
}

static void on_plan(void *user, const struct covey_reply *reply)
{
    struct check *check = user;
    check->answered = true;
    if (reply->status != COVEY_OK)
        (void)covey_fail(&check->reason, reply->status, "no plan: %s", covey_status_text(reply->status));
    else if (!covey_code_is_success(reply->code))
        (void)covey_fail(&check->reason, COVEY_DENIED, "the server answered %u.%02u %.*s", reply->code >> 5,
                         reply->code & 31, (int)(reply->body.size < 200 ? reply->body.size : 200),
                         (const char *)reply->body.data);
    else
        check->reason.status = covey_plan_decode(reply->body, &check->plan, &check->reason);
}

static enum covey_status check_plan(struct check *check, struct covey_error *err)
{
    static const char *const kinds[] = {"wait", "train", "the federation has ended"};
    char path[COVEY_PATH_BYTES];
    snprintf(path, sizeof path, "f/%s/plan", check->session.config.federation);
    const struct covey_request request = {
        .method = COVEY_GET, .path = path, .content_format = -1, .reply_limit_bytes = COVEY_PLAN_BYTES};
    uint32_t id;
    COVEY_TRY(check->link.ops->request(check->link.link, &request, on_plan, check, &id, err));
    COVEY_TRY(await(check, &check->answered, path, err));
    if (check->reason.status != COVEY_OK)
        return covey_fail(err, check->reason.status, "%s: %s", path, check->reason.text);
    snprintf(check->detail, sizeof check->detail, "the server says: %s (round %u)", kinds[check->plan.kind],
             check->plan.round);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ all of them */

static const struct {
    const char *name;
    enum covey_status (*run)(struct check *check, struct covey_error *err);
    bool online;
} steps[] = {{"configuration", check_configuration, false},
             {"credentials", check_credentials, false},
             {"data", check_data, false},
             {"policy", check_policy, false},
             {"connection", check_connection, true},
             {"plan", check_plan, true}};

/* A wrong piece does not keep the independent ones after it from being looked at; without a configuration, or
 * without a connection, nothing else can be. */
static bool ends_all(size_t step)
{
    return steps[step].run == check_configuration || steps[step].run == check_connection;
}

static int run_steps(struct check *check, bool offline, struct covey_json *json)
{
    int result = COVEY_EXIT_DONE;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct covey_error err = {0};
        if (steps[i].online && (offline || check->session.store == NULL))
            continue;
        enum covey_status status = steps[i].run(check, &err);
        const char *detail = status == COVEY_OK ? check->detail : err.text;
        if (status != COVEY_OK && result != COVEY_EXIT_USAGE)
            result = i == 0 ? COVEY_EXIT_USAGE : COVEY_EXIT_FAILED;
        if (json != NULL) {
            covey_json_open(json, steps[i].name, '{');
            covey_json_bool(json, "ok", status == COVEY_OK);
            covey_json_text(json, "detail", detail);
            covey_json_close(json, '}');
        } else {
            printf("%-6s %-14s %s\n", status == COVEY_OK ? "ok" : "WRONG", steps[i].name, detail);
        }
        if (status != COVEY_OK && ends_all(i))
            break;
    }
    return result;
}

int covey_command_check(const struct covey_command *command, int argc, char **argv)
{
    struct check check = {.answered = false};
    char text[8192];
    const char *timeout = NULL;
    int offline = 0, json_wanted = 0;
    long long timeout_s = TIMEOUT_S;
    const struct covey_option options[] = {{"--offline", NULL, &offline},
                                           {"--timeout", &timeout, NULL},
                                           {"--json", NULL, &json_wanted},
                                           {NULL, NULL, NULL}};
    int result = covey_options_read(command, argc, argv, options, &check.dir);
    if (result < 0 && timeout != NULL)
        result = covey_option_number(command, "--timeout", timeout, 1, 3600, &timeout_s);
    if (result >= 0)
        return result;
    struct covey_env env = covey_env_system(NULL);
    check.end_ms = env.now_ms(env.user) + (uint64_t)timeout_s * 1000;
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    result = run_steps(&check, offline != 0, json_wanted ? &json : NULL);
    covey_json_bool(&json, "ok", result == COVEY_EXIT_DONE);
    covey_json_close(&json, '}');
    if (json_wanted)
        covey_print_json(&json);
    if (check.link.ops != NULL)
        check.link.ops->destroy(check.link.link);
    covey_session_close(&check.session);
    return result;
}
