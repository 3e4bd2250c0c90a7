#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "command_config.h"
#include "covey/authority.h"
#include "covey/coap.h"
#include "covey/model.h"
#include "durable_file.h"

#define NAMES 16

/* %1$s name, %2$d port, %3$s federation, %4$s model; the parent's part, or what stands in its place */
static const char template[] =
    "# The server's configuration. docs/server.md has every key; an unknown one is refused.\n"
    "# `covey-server federation check .` tries it; SIGHUP makes a running server read what can change (*).\n"
    "\n"
    "server:\n"
    "  name: \"%1$s\"          # by which devices reach it; goes into their bundles\n"
    "  port: %2$d             # UDP, DTLS; shard number s has port + s\n"
    "  # address: \"\"         # to bind to; \"\" = all, IPv6 and IPv4\n"
    "  # shards: 0            # 0 = as many as the known devices want, 1000 each\n"
    "  # fold_threads: 0      # 0 = one a processor, up to 8\n"
    "  # state: state         # folder of ledger and models\n"
    "\n"
    "log:\n"
    "  level: info            # (*) error, warning, info, debug\n"
    "  # journal: true        # to the systemd journal instead of standard error\n"
    "\n"
    "federations:\n"
    "  - name: %3$s\n"
    "    model: %4$s            # a shipped model, or a file.yaml beside this one\n"
    "    # initial: model.safetensors   # instead of weights drawn from the seed\n"
    "    seed: 1\n"
    "    codec: ec:2          # of updates: raw32, fp16, int8, int4, ec:1, tcq:1 ... (docs/compression.md)\n"
    "    downlink: ec:1       # of the models' steps: any of these\n"
    "    strategy: fedavg\n"
    "\n"
    "    train:               # on the devices\n"
    "      epochs: 1          # passes over the local data a round\n"
    "      batch: 32          # -1 = all in one\n"
    "      optimiser: sgd     # sgd, momentum, adam\n"
    "      learning_rate: 0.1\n"
    "\n"
    "    selection:           # (*)\n"
    "      fraction: 1.0      # of the devices that are there; or `count: 100`\n"
    "      over_selection: 0  # .2 = a fifth more, for those who will not deliver\n"
    "      minimum_devices: 2 # before a round begins\n"
    "      # policy: random   # or examples, round-robin, power-of-choice, utility\n"
    "\n"
    "    round:               # (*)\n"
    "      deadline_s: 300\n"
    "      # goal: 0          # updates that end a round early; 0 = as many as were chosen\n"
    "      # minimum_updates: 0   # fewer at the deadline: abandoned; 0 = half the goal\n"
    "\n"
    "    stop:                # (*)\n"
    "      rounds: 50\n"
    "      # target: 0.9      # of the validation metric (accuracy; rmse for regression)\n"
    "      # patience: 10     # rounds without a gain of more than `gain`\n"
    "\n"
    "    # evaluation:        # data of your own on the server; the same keys as a device's data block\n"
    "    #   validation: {inputs: [images-idx3-ubyte.gz], labels: [labels-idx1-ubyte.gz]}   # after each "
    "round\n"
    "    #   test: {inputs: [t10k-images-idx3-ubyte.gz], labels: [t10k-labels-idx1-ubyte.gz]}   # once, at "
    "the end\n";

/* Of a server that makes its own models. */
static const char no_parent[] =
    "\n"
    "    # gateways:          # participants that answer for a group (docs/server.md, Gateways)\n"
    "    #   - {name: site-a, devices: 100}   # updates in its sum at the most\n";
/* %1$s address, %2$s bundle */
static const char parent_template[] =
    "\n"
    "    parent:              # this server is a gateway: train, codec, strategy, stop ... are the parent's\n"
    "      address: \"%1$s\"\n"
    "      bundle: \"%2$s\"    # made there by `covey-server device add`\n"
    "      # server_name: \"\"  # in the parent's certificate; \"\" = the host of `address`\n";

struct init {
    const char *names[NAMES];
    size_t name_count;
    const char *model, *federation;
    const char *parent, *bundle; /* NULL: no gateway */
    int port;
    bool json;
};

static bool is_plain_word(const char *text)
{
    return text[0] != '\0' &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/:") ==
               strlen(text);
}

/* --help: 'h'; wrong: '?'; all read: 0. */
static int read_options(const struct command *command, int argc, char **argv, struct init *init)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'},
                                            {"model", required_argument, NULL, 'm'},
                                            {"federation", required_argument, NULL, 'f'},
                                            {"port", required_argument, NULL, 'p'},
                                            {"parent", required_argument, NULL, 'a'},
                                            {"bundle", required_argument, NULL, 'b'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(command, argc, argv, options)) != -1) {
        if (option == 'n' && init->name_count < NAMES)
            init->names[init->name_count++] = optarg;
        else if (option == 'm')
            init->model = optarg;
        else if (option == 'f')
            init->federation = optarg;
        else if (option == 'a')
            init->parent = optarg;
        else if (option == 'b')
            init->bundle = optarg;
        else if (option == 'p')
            init->port = atoi(optarg);
        else if (option == 'j')
            init->json = true;
        else
            return option == 'h' ? 'h' : '?';
    }
    return 0;
}

static enum covey_status write_configuration(const char *dir, const struct init *init,
                                             struct covey_error *err)
{
    char text[sizeof template + sizeof parent_template + 2048], path[COVEY_FILE_PATH_BYTES];
    struct stat facts;
    if (snprintf(path, sizeof path, "%s/%s", dir, COVEY_SERVER_FILE) >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", dir);
    if (stat(path, &facts) == 0)
        return covey_fail(err, COVEY_EXISTS, "%s is there already: nothing was changed", path);
    int size =
        snprintf(text, sizeof text, template, init->names[0], init->port, init->federation, init->model);
    if (size >= 0 && (size_t)size < sizeof text)
        size += init->parent == NULL ? snprintf(text + size, sizeof text - (size_t)size, "%s", no_parent)
                                     : snprintf(text + size, sizeof text - (size_t)size, parent_template,
                                                init->parent, init->bundle);
    if (size < 0 || (size_t)size >= sizeof text)
        return covey_fail(err, COVEY_LIMIT, "a name is too long");
    const struct covey_bytes piece = {(const uint8_t *)text, (size_t)size};
    return covey_file_replace(&covey_file_calls_system, dir, COVEY_SERVER_FILE, 0644, &piece, 1, err);
}

static enum covey_status make(const char *dir, const struct init *init, struct covey_error *err)
{
    struct covey_model_description *model = calloc(1, sizeof *model);
    if (model == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a model");
    const size_t size = strlen(init->model);
    enum covey_status status = COVEY_OK;
    if (size <= 5 || strcmp(init->model + size - 5, ".yaml") != 0) /* a file of one's own may come later */
        status = covey_model_load(init->model, model, err);
    free(model);
    COVEY_TRY(status);
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return covey_fail(err, COVEY_IO, "%s could not be made: %s", dir, strerror(errno));
    const struct covey_authority_options authority = {
        .server_names = init->names, .server_name_count = init->name_count, .now_s = (int64_t)time(NULL)};
    COVEY_TRY(covey_authority_create(dir, &authority, err));
    return write_configuration(dir, init, err);
}

int command_init(const struct command *command, int argc, char **argv)
{
    struct init init = {.model = "2nn", .federation = "default", .port = COVEY_COAP_PORT};
    struct covey_error err = {0};
    const int read = read_options(command, argc, argv, &init);
    if (read != 0)
        return read == 'h' ? EXIT_DONE : EXIT_USAGE;
    if (!command_has(argc, 1))
        return command_misused(command, "a directory is wanted, and nothing else");
    const char *dir = argv[optind];
    if (init.name_count == 0)
        init.names[init.name_count++] = "localhost";
    if (init.port < 1 || init.port > 65535)
        return command_misused(command, "--port: 1 to 65535");
    if (!covey_device_name_is_valid(init.federation))
        return command_misused(command, "--federation: 1 to 63 of A-Z a-z 0-9 . _ -");
    if (!is_plain_word(init.model) || !is_plain_word(init.names[0]))
        return command_misused(command, "--model and --name: letters, digits and . _ - / : only");
    if ((init.parent == NULL) != (init.bundle == NULL))
        return command_misused(command, "--parent and --bundle go together");
    if (init.parent != NULL &&
        (strpbrk(init.parent, "\"\\\n") != NULL || strpbrk(init.bundle, "\"\\\n") != NULL))
        return command_misused(command, "--parent and --bundle: no quotes, backslashes or newlines");
    if (make(dir, &init, &err) != COVEY_OK)
        return command_failed(&err);
    if (!init.json) {
        printf("Made %s: authorities and certificates in pki/, configuration in %s.\n"
               "Next: covey-server device add %s NAME, then covey-server run %s\n",
               dir, COVEY_SERVER_FILE, dir, dir);
        return EXIT_DONE;
    }
    char text[4096];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "directory", dir);
    covey_json_text(&json, "name", init.names[0]);
    covey_json_text(&json, "federation", init.federation);
    covey_json_text(&json, "model", init.model);
    covey_json_int(&json, "port", init.port);
    covey_json_close(&json, '}');
    return command_print(&json);
}
