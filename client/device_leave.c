#include <stdio.h>

#include "client_session.h"
#include "client_state.h"

int covey_command_leave(const struct covey_command *command, int argc, char **argv)
{
    struct covey_client_config config = {0};
    struct covey_client_state *state = NULL;
    struct covey_error err = {0};
    char folder[COVEY_FILE_PATH_BYTES], text[2048];
    const char *dir;
    int json_wanted = 0;
    const struct covey_option options[] = {{"--json", NULL, &json_wanted}, {NULL, NULL, NULL}};
    int result = covey_options_read(command, argc, argv, options, &dir);
    if (result >= 0)
        return result;
    enum covey_status status = covey_client_config_load(dir, &config, &err);
    if (status == COVEY_OK)
        status = covey_client_config_path(&config, config.state, folder, &err);
    if (status == COVEY_OK) /* BUSY while a client runs */
        status = covey_client_state_open(folder, config.federation, NULL, NULL, &state, &err);
    if (status == COVEY_OK)
        status = covey_client_state_forget(state, &err);
    if (status != COVEY_OK) {
        result = covey_command_fail(command, status, &err);
    } else if (json_wanted) {
        struct covey_json json;
        covey_json_init(&json, text, sizeof text);
        covey_json_open(&json, NULL, '{');
        covey_json_text(&json, "federation", config.federation);
        covey_json_text(&json, "removed", covey_client_state_folder(state));
        covey_json_close(&json, '}');
        covey_print_json(&json);
        result = COVEY_EXIT_DONE;
    } else {
        printf("%s is removed. The credentials in %s still work: `covey-server revoke` ends that.\n",
               covey_client_state_folder(state), dir);
        result = COVEY_EXIT_DONE;
    }
    covey_client_state_close(state);
    covey_client_config_free(&config);
    return result;
}
