#include "command.h"

#include <stdio.h>

#include "covey/authority.h"

int command_revoke(const struct command *command, int argc, char **argv)
{
    struct covey_error err = {0};
    bool as_json = false;
    int result;
    if (!command_only_json(command, argc, argv, &as_json, &result))
        return result;
    if (!command_has(argc, 2))
        return command_misused(command, "the server's directory and the device's name are wanted");
    const char *dir = argv[optind], *name = argv[optind + 1];
    if (covey_authority_revoke(dir, name, &err) != COVEY_OK)
        return command_failed(&err);
    if (!as_json) {
        printf("%s is withdrawn. A running server closes its session within seconds.\n", name);
        return EXIT_DONE;
    }
    char text[512];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "device", name);
    covey_json_bool(&json, "revoked", true);
    covey_json_close(&json, '}');
    return command_print(&json);
}
