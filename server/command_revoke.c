#include "command.h"

#include <stdio.h>

#include "covey/authority.h"

int command_revoke(const struct command *command, int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct covey_error err = {0};
    bool as_json = false;
    int option;
    while ((option = command_option(command, argc, argv, options)) != -1) {
        if (option != 'j')
            return option == 'h' ? EXIT_DONE : EXIT_USAGE;
        as_json = true;
    }
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
