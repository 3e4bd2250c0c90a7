#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_config.h"
#include "covey/model.h"
#include "covey/safetensors.h"

struct exported {
    struct covey_manifest manifest;
    size_t count;
    char hash[COVEY_HASH_TEXT_BYTES];
};

static enum covey_status export_model(const struct server_config *config,
                                      const struct federation_config *federation, const char *file,
                                      struct exported *out, struct covey_error *err)
{
    char state[COVEY_FILE_PATH_BYTES], sequence[24], round[16];
    struct federation_kit kit = {0};
    float *shared = NULL, *values = NULL;
    COVEY_TRY(server_config_path(config, config->server.state, state, err));
    enum covey_status status = federation_kit_model(&kit, config, federation, err);
    if (status == COVEY_OK)
        status = covey_server_read_model(state, federation->name, &shared, &out->count, &out->manifest, err);
    if (status == COVEY_OK && out->count != kit.layout.shared_count)
        status = covey_fail(err, COVEY_MISMATCH, "the stored model has %zu values, %s has %zu", out->count,
                            federation->model, kit.layout.shared_count);
    if (status == COVEY_OK && (values = malloc(kit.layout.count * sizeof *values)) == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for the model");
    if (status == COVEY_OK) /* personal tensors never come here: as they are initially */
        status = covey_model_initialise(kit.model, &kit.layout, (uint64_t)federation->seed, values, err);
    if (status == COVEY_OK) {
        memcpy(values, shared, out->count * sizeof *values);
        covey_hex_write(out->manifest.model.bytes, COVEY_HASH_BYTES, out->hash);
        (void)snprintf(sequence, sizeof sequence, "%llu", (unsigned long long)out->manifest.sequence);
        (void)snprintf(round, sizeof round, "%u", out->manifest.round);
        const char *const metadata[] = {"federation", federation->name, "model", federation->model,
                                        "sequence",   sequence,         "round", round,
                                        "sha256",     out->hash,        NULL};
        status = covey_safetensors_store(file, &kit.layout, values, metadata, err);
    }
    free(shared);
    free(values);
    federation_kit_deinit(&kit);
    return status;
}

int command_model(const struct command *command, int argc, char **argv)
{
    static const struct option options[] = {{"federation", required_argument, NULL, 'f'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct covey_error err = {0};
    const char *name = NULL;
    bool as_json = false;
    int option;
    while ((option = command_option(command, argc, argv, options)) != -1) {
        if (option == 'f')
            name = optarg;
        else if (option == 'j')
            as_json = true;
        else
            return option == 'h' ? EXIT_DONE : EXIT_USAGE;
    }
    if (!command_has(argc, 3) || strcmp(argv[optind], "export") != 0)
        return command_misused(command, "`export`, the server's directory and a file are wanted");
    const char *dir = argv[optind + 1], *file = argv[optind + 2];
    struct server_config config = {0};
    if (server_config_load(dir, &config, &err) != COVEY_OK)
        return command_failed(&err);
    const struct federation_config *federation = server_config_find(&config, name);
    struct exported *exported = calloc(1, sizeof *exported);
    enum covey_status status = COVEY_OK;
    if (federation == NULL)
        status = covey_fail(&err, COVEY_NOT_FOUND, "there is no federation %s", name);
    else if (exported == NULL)
        status = covey_fail(&err, COVEY_NO_MEMORY, "no memory");
    else
        status = export_model(&config, federation, file, exported, &err);
    int result = EXIT_DONE;
    if (status != COVEY_OK) {
        result = command_failed(&err);
    } else if (as_json) {
        char text[2048];
        struct covey_json json;
        covey_json_init(&json, text, sizeof text);
        covey_json_open(&json, NULL, '{');
        covey_json_text(&json, "federation", federation->name);
        covey_json_text(&json, "file", file);
        covey_json_int(&json, "sequence", (int64_t)exported->manifest.sequence);
        covey_json_int(&json, "round", exported->manifest.round);
        covey_json_text(&json, "model_sha256", exported->hash);
        covey_json_int(&json, "values", (int64_t)exported->count);
        covey_json_close(&json, '}');
        result = command_print(&json);
    } else {
        printf("Wrote model %llu (round %u, SHA-256 %s) to %s.\n",
               (unsigned long long)exported->manifest.sequence, exported->manifest.round, exported->hash,
               file);
    }
    free(exported);
    server_config_free(&config);
    return result;
}
