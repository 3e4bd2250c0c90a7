#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "command_config.h"
#include "covey/authority.h"
#include "covey/credential_store.h"
#include "durable_file.h"

#define DATA_BYTES (64u << 10)
#define SIGNER_BYTES (16u << 10)

struct add {
    const char *dir, *name, *out, *server, *federation, *data;
    bool psk, again, json;
    int64_t days;
};

static int read_options(const struct command *command, int argc, char **argv, struct add *add)
{
    static const struct option options[] = {{"psk", no_argument, NULL, 'k'},
                                            {"again", no_argument, NULL, 'a'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"server", required_argument, NULL, 's'},
                                            {"federation", required_argument, NULL, 'f'},
                                            {"data", required_argument, NULL, 'd'},
                                            {"days", required_argument, NULL, 'y'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(command, argc, argv, options)) != -1) {
        switch (option) {
        case 'k':
            add->psk = true;
            break;
        case 'a':
            add->again = true;
            break;
        case 'o':
            add->out = optarg;
            break;
        case 's':
            add->server = optarg;
            break;
        case 'f':
            add->federation = optarg;
            break;
        case 'd':
            add->data = optarg;
            break;
        case 'y':
            add->days = atoll(optarg);
            break;
        case 'j':
            add->json = true;
            break;
        default:
            return option == 'h' ? 'h' : '?';
        }
    }
    return 0;
}

/* The file whose lines go into client.yaml, malloc'ed; "" without one. */
static enum covey_status read_data(const char *path, char **out, struct covey_error *err)
{
    static const char example[] = "# data:                 # this device's own; docs/client.md\n"
                                  "#   inputs: [train-images-idx3-ubyte.gz]\n"
                                  "#   labels: [train-labels-idx1-ubyte.gz]\n";
    char *text = calloc(1, DATA_BYTES + 1);
    if (text == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a configuration");
    if (path == NULL) {
        memcpy(text, example, sizeof example);
        *out = text;
        return COVEY_OK;
    }
    FILE *file = fopen(path, "re");
    const size_t size = file == NULL ? 0 : fread(text, 1, DATA_BYTES + 1, file);
    enum covey_status status = COVEY_OK;
    if (file == NULL || ferror(file))
        status = covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    else if (size > DATA_BYTES)
        status = covey_fail(err, COVEY_LIMIT, "%s is larger than %u bytes", path, DATA_BYTES);
    if (file != NULL)
        (void)fclose(file);
    if (status != COVEY_OK) {
        free(text);
        return status;
    }
    text[size] = '\0';
    *out = text;
    return COVEY_OK;
}

/* "HOST:PORT", with brackets around an IPv6 address; what --server says goes first. */
static void server_address(const struct server_config *config, const struct add *add, char *out,
                           size_t out_bytes)
{
    const char *host = add->server != NULL ? add->server : config->server.name;
    const bool is_ipv6 =
        strchr(host, ':') != NULL && strchr(strchr(host, ':') + 1, ':') != NULL && host[0] != '[';
    const bool has_port = !is_ipv6 && strrchr(host, ':') != NULL && strchr(strrchr(host, ':'), ']') == NULL;
    if (has_port)
        (void)snprintf(out, out_bytes, "%s", host);
    else
        (void)snprintf(out, out_bytes, "%s%s%s:%lld", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "",
                       (long long)config->server.port);
}

static enum covey_status write_client(const struct server_config *config, const struct add *add,
                                      const char *address, const char *federation, struct covey_error *err)
{
    char head[2048];
    char *data = NULL;
    COVEY_TRY(read_data(add->data, &data, err));
    const int size = snprintf(head, sizeof head,
                              "# Device %s. docs/client.md has every key.\n"
                              "server: \"%s\"\n"
                              "server_name: \"%s\"    # that the server's certificate must carry\n"
                              "federation: %s\n",
                              add->name, address, config->server.name, federation);
    const struct covey_bytes pieces[] = {{(const uint8_t *)head, (size_t)(size < 0 ? 0 : size)},
                                         {(const uint8_t *)data, strlen(data)}};
    enum covey_status status =
        (size_t)size >= sizeof head
            ? covey_fail(err, COVEY_LIMIT, "a name is too long")
            : covey_file_replace(&covey_file_calls_system, add->out, "client.yaml", 0644, pieces, 2, err);
    free(data);
    return status;
}

/* A gateway signs nothing: its devices believe the parent's signer, whose key came with the gateway's bundle.
 */
static enum covey_status pass_signer_on(const struct server_config *config,
                                        const struct federation_config *federation, const char *out,
                                        struct covey_error *err)
{
    char folder[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES];
    uint8_t text[SIGNER_BYTES];
    if (federation->parent.bundle == NULL || federation->parent.bundle[0] == '\0')
        return COVEY_OK;
    COVEY_TRY(server_config_path(config, federation->parent.bundle, folder, err));
    if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, COVEY_FILE_SIGNER) >= sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", folder);
    FILE *file = fopen(path, "re");
    const size_t size = file == NULL ? 0 : fread(text, 1, sizeof text, file);
    const bool failed = file == NULL || ferror(file) || size == 0 || size == sizeof text;
    if (file != NULL)
        (void)fclose(file);
    if (failed)
        return covey_fail(err, COVEY_IO, "%s: the parent's signer could not be read", path);
    const struct covey_bytes piece = {text, size};
    return covey_file_replace(&covey_file_calls_system, out, COVEY_FILE_SIGNER, 0644, &piece, 1, err);
}

static enum covey_status make_bundle(const struct add *add, char *address, size_t address_bytes,
                                     struct covey_error *err)
{
    struct server_config config = {0};
    COVEY_TRY(server_config_load(add->dir, &config, err));
    const struct federation_config *federation = server_config_find(&config, add->federation);
    enum covey_status status = COVEY_OK;
    if (federation == NULL)
        status = covey_fail(err, COVEY_NOT_FOUND, "there is no federation %s in %s/%s", add->federation,
                            add->dir, COVEY_SERVER_FILE);
    const struct covey_device_order order = {.name = add->name,
                                             .out_dir = add->out,
                                             .mode = add->psk ? COVEY_DEVICE_PSK : COVEY_DEVICE_CERTIFICATE,
                                             .again = add->again,
                                             .now_s = (int64_t)time(NULL),
                                             .validity_s = add->days * 86400};
    if (status == COVEY_OK)
        status = covey_authority_add_device(add->dir, &order, err);
    if (status == COVEY_OK) {
        server_address(&config, add, address, address_bytes);
        status = write_client(&config, add, address, federation->name, err);
    }
    if (status == COVEY_OK)
        status = pass_signer_on(&config, federation, add->out, err);
    server_config_free(&config);
    return status;
}

int command_device(const struct command *command, int argc, char **argv)
{
    struct add add = {0};
    struct covey_error err = {0};
    char out[COVEY_FILE_PATH_BYTES], address[512] = "";
    const int read = read_options(command, argc, argv, &add);
    if (read != 0)
        return read == 'h' ? EXIT_DONE : EXIT_USAGE;
    if (!command_has(argc, 3) || strcmp(argv[optind], "add") != 0)
        return command_misused(command, "`add`, the server's directory and the device's name are wanted");
    add.dir = argv[optind + 1];
    add.name = argv[optind + 2];
    if (!covey_device_name_is_valid(add.name))
        return command_misused(command, "'%s' is no device's name: 1 to 63 of A-Z a-z 0-9 . _ -", add.name);
    if (add.days < 0 || add.days > 36500)
        return command_misused(command, "--days: 1 to 36500");
    if (add.out == NULL) {
        if (snprintf(out, sizeof out, "%s/bundles", add.dir) >= (int)sizeof out)
            return command_misused(command, "%.60s...: a path too long", add.dir);
        (void)mkdir(out, 0700);
        if (snprintf(out, sizeof out, "%s/bundles/%s", add.dir, add.name) >= (int)sizeof out)
            return command_misused(command, "%.60s...: a path too long", add.dir);
        add.out = out;
    }
    if (make_bundle(&add, address, sizeof address, &err) != COVEY_OK)
        return command_failed(&err);
    if (!add.json) {
        printf("Made %s for the device %s. Put it on the device, then: covey-client run %s\n", add.out,
               add.name, add.out);
        return EXIT_DONE;
    }
    char text[4096];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "device", add.name);
    covey_json_text(&json, "bundle", add.out);
    covey_json_text(&json, "server", address);
    covey_json_text(&json, "mode", add.psk ? "psk" : "certificate");
    covey_json_close(&json, '}');
    return command_print(&json);
}
