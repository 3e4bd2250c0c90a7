#include "client_session.h"

int covey_command_run(const struct covey_command *command, int argc, char **argv)
{
    struct covey_session session = {.json = false};
    struct covey_error err = {0};
    const char *dir;
    int json = 0, quiet = 0;
    const struct covey_option options[] = {
        {"--json", NULL, &json}, {"--quiet", NULL, &quiet}, {NULL, NULL, NULL}};
    int result = covey_options_read(command, argc, argv, options, &dir);
    if (result >= 0)
        return result;
    enum covey_status status = covey_session_open(&session, dir, quiet != 0, &err);
    session.json = json != 0;
    result = status == COVEY_OK ? covey_session_run(&session, command, 0, 0)
                                : covey_command_fail(command, status, &err);
    covey_session_close(&session);
    return result;
}
