#include "command.h"

#include <stdio.h>
#include <string.h>

#include "command_config.h"
#include "covey/model.h"

/* Everything that `run` would do before it binds a port. */
static int check(const struct server_config *config, const struct federation_config *federation, bool as_json)
{
    struct federation_kit kit = {0};
    struct covey_error err = {0};
    struct covey_model_summary summary;
    enum covey_status status = federation_kit_init(&kit, config, federation, &err);
    if (status == COVEY_OK)
        status = covey_round_rules_check(&kit.options.rules, &err);
    if (status == COVEY_OK)
        status = covey_model_summarise(kit.model, &summary, &err);
    if (status != COVEY_OK) {
        federation_kit_deinit(&kit);
        (void)command_failed(&err);
        return EXIT_USAGE;
    }
    int result = EXIT_DONE;
    if (as_json) {
        char text[1024];
        struct covey_json json;
        covey_json_init(&json, text, sizeof text);
        covey_json_open(&json, NULL, '{');
        covey_json_text(&json, "federation", federation->name);
        covey_json_text(&json, "model", federation->model);
        covey_json_int(&json, "parameters", (int64_t)summary.parameters);
        covey_json_int(&json, "update_values", (int64_t)summary.update_count);
        covey_json_text(&json, "codec", kit.options.codec);
        covey_json_text(&json, "strategy", kit.options.strategy);
        covey_json_bool(&json, "validation", kit.options.has_validation);
        covey_json_bool(&json, "test", kit.options.has_test);
        covey_json_close(&json, '}');
        result = command_print(&json);
    } else {
        printf("%s: %s, %llu parameters, updates as %s, %s%s\n", federation->name, federation->model,
               (unsigned long long)summary.parameters, kit.options.codec,
               kit.options.has_validation ? "validated after each round" : "no validation data",
               kit.options.has_test ? ", tested at the end" : "");
    }
    federation_kit_deinit(&kit);
    return result;
}

int command_federation(const struct command *command, int argc, char **argv)
{
    struct covey_error err = {0};
    bool as_json = false;
    int result;
    if (!command_only_json(command, argc, argv, &as_json, &result))
        return result;
    if (!command_has(argc, 2) || strcmp(argv[optind], "check") != 0)
        return command_misused(command, "`check` and the server's directory are wanted");
    struct server_config config = {0};
    result = EXIT_DONE;
    if (server_config_load(argv[optind + 1], &config, &err) != COVEY_OK)
        return command_failed(&err);
    for (uint32_t i = 0; i < config.federation_count && result == EXIT_DONE; i++)
        result = check(&config, &config.federations[i], as_json);
    server_config_free(&config);
    return result;
}
