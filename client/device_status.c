#include <stdio.h>

#include "client_session.h"
#include "client_state.h"
#include "policy.h"

/* What is shown, gathered first. */
struct facts {
    const struct covey_session *session;
    const struct covey_client_state *state; /* NULL: none yet */
    struct covey_conditions conditions;
    bool allowed;
    char why[120];
};

static void print_json(const struct facts *facts)
{
    char text[4096], hash[COVEY_HASH_TEXT_BYTES];
    struct covey_json json;
    const struct covey_client_config *config = &facts->session->config;
    const struct covey_state_model *model =
        facts->state != NULL ? covey_client_state_model(facts->state) : NULL;
    const struct covey_state_update *update =
        facts->state != NULL ? covey_client_state_update(facts->state) : NULL;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "server", config->server);
    covey_json_text(&json, "federation", config->federation);
    covey_json_bool(&json, "may_train", facts->allowed);
    if (!facts->allowed)
        covey_json_text(&json, "held_back", facts->why);
    if (model != NULL) {
        covey_hex_write(model->model.bytes, sizeof model->model.bytes, hash);
        covey_json_int(&json, "round", model->round);
        covey_json_int(&json, "sequence", (int64_t)model->sequence);
        covey_json_int(&json, "values", (int64_t)model->count);
        covey_json_text(&json, "model", hash);
    }
    if (update != NULL) {
        covey_json_int(&json, "unsent_round", update->round);
        covey_json_int(&json, "unsent_bytes", (int64_t)update->message_bytes);
    }
    covey_json_bool(&json, "residual",
                    facts->state != NULL && covey_client_state_residual(facts->state) != NULL);
    covey_json_close(&json, '}');
    covey_print_json(&json);
}

static void print_text(const struct facts *facts)
{
    const struct covey_client_config *config = &facts->session->config;
    const struct covey_state_model *model =
        facts->state != NULL ? covey_client_state_model(facts->state) : NULL;
    const struct covey_state_update *update =
        facts->state != NULL ? covey_client_state_update(facts->state) : NULL;
    char hash[COVEY_HASH_TEXT_BYTES];
    printf("federation  %s at %s\n", config->federation, config->server);
    if (model == NULL) {
        printf("model       none yet\n");
    } else {
        covey_hex_write(model->model.bytes, sizeof model->model.bytes, hash);
        printf("model       round %u, sequence %llu, %llu values, %.16s...\n", model->round,
               (unsigned long long)model->sequence, (unsigned long long)model->count, hash);
    }
    if (update != NULL)
        printf("update      of round %u, %llu bytes, not acknowledged yet\n", update->round,
               (unsigned long long)update->message_bytes);
    printf("residual    %s\n",
           facts->state != NULL && covey_client_state_residual(facts->state) != NULL ? "kept" : "none");
    printf("training    %s%s%s\n",
           facts->allowed ? "allowed now" : "held back: ", facts->allowed ? "" : facts->why, "");
}

int covey_command_status(const struct covey_command *command, int argc, char **argv)
{
    struct covey_session session = {.json = false};
    struct covey_client_state *state = NULL;
    struct covey_error err = {0};
    char folder[COVEY_FILE_PATH_BYTES];
    const char *dir;
    int json = 0;
    const struct covey_option options[] = {{"--json", NULL, &json}, {NULL, NULL, NULL}};
    int result = covey_options_read(command, argc, argv, options, &dir);
    if (result >= 0)
        return result;
    enum covey_status status = covey_session_configure(&session, dir, true, &err);
    if (status == COVEY_OK)
        status = covey_client_config_path(&session.config, session.config.state, folder, &err);
    if (status == COVEY_OK)
        status = covey_client_state_look(folder, session.config.federation, &session.log, &state, &err);
    if (status == COVEY_OK || (status == COVEY_NOT_FOUND && session.config.state != NULL)) {
        struct facts facts = {.session = &session, .state = state};
        covey_conditions_read("", session.env.wall_s(session.env.user), &facts.conditions);
        facts.allowed =
            covey_policy_allows(&session.config.policy, &facts.conditions, facts.why, sizeof facts.why);
        if (json)
            print_json(&facts);
        else
            print_text(&facts);
        result = COVEY_EXIT_DONE;
    } else {
        result = covey_command_fail(command, status, &err);
    }
    covey_client_state_close(state);
    covey_session_close(&session);
    return result;
}
