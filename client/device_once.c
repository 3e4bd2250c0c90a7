#include "client_session.h"

#define TIMEOUT_S 600

int covey_command_once(const struct covey_command *command, int argc, char **argv)
{
    struct covey_session session = {.json = false};
    struct covey_error err = {0};
    const char *dir, *timeout = NULL;
    int json = 0, quiet = 0;
    long long timeout_s = TIMEOUT_S;
    const struct covey_option options[] = {{"--timeout", &timeout, NULL},
                                           {"--json", NULL, &json},
                                           {"--quiet", NULL, &quiet},
                                           {NULL, NULL, NULL}};
    int result = covey_options_read(command, argc, argv, options, &dir);
    if (result < 0 && timeout != NULL)
        result = covey_option_number(command, "--timeout", timeout, 1, 86400 * 365, &timeout_s);
    if (result >= 0)
        return result;
    enum covey_status status = covey_session_open(&session, dir, quiet != 0, &err);
    session.json = json != 0;
    result = status == COVEY_OK ? covey_session_run(&session, command, 1, (uint64_t)timeout_s * 1000)
                                : covey_command_fail(command, status, &err);
    covey_session_close(&session);
    return result;
}
