/* covey-server as a person meets it: commands, exit statuses, messages, signals. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "covey/strategy.h"

#define TEXT_BYTES 65536
#define PATIENCE_MS 120000

struct result {
    int status;
    char text[TEXT_BYTES]; /* standard output and error, as they came */
};

/* Runs `covey-server ARGUMENTS` to its end. DIR in the format stands for the folder. */
static void run(struct result *result, const char *folder, const char *format)
{
    char command[2048], arguments[1024] = "";
    for (const char *at = format; *at != '\0';) {
        const bool is_folder = strncmp(at, "DIR", 3) == 0;
        const size_t used = strlen(arguments);
        (void)snprintf(arguments + used, sizeof arguments - used, is_folder ? "%s" : "%.1s",
                       is_folder ? folder : at);
        at += is_folder ? 3 : 1;
    }
    (void)snprintf(command, sizeof command, "'%s/covey-server' %s 2>&1", COVEY_BIN_DIR, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    result->text[fread(result->text, 1, TEXT_BYTES - 1, pipe)] = '\0';
    const int status = pclose(pipe);
    result->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void make_folder(char out[64])
{
    (void)snprintf(out, 64, "/tmp/covey-program-XXXXXX");
    cr_assert_not_null(mkdtemp(out));
}

static void remove_folder(const char *folder)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    cr_assert_eq(system(command), 0);
}

static void append(const char *folder, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/server.yaml", folder);
    FILE *file = fopen(path, "a");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void check(const char *folder, const char *format, int status, const char *text)
{
    struct result *result = malloc(sizeof *result);
    run(result, folder, format);
    cr_expect_eq(result->status, status, "covey-server %s: %d: %s", format, result->status, result->text);
    cr_expect_not_null(strstr(result->text, text), "covey-server %s does not say '%s': %s", format, text,
                       result->text);
    free(result);
}

Test(server_program, says_how_it_is_used)
{
    check("", "--help", 0, "covey-server init");
    check("", "", 2, "covey-server init");
    check("", "--version", 0, "covey-server ");
    check("", "nonsense", 2, "no command 'nonsense'");
    static const char *const names[] = {"init",    "run",    "status", "device",
                                        "devices", "revoke", "model",  "federation"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char arguments[64];
        (void)snprintf(arguments, sizeof arguments, "%s --help", names[i]);
        check("", arguments, 0, "--json");
        (void)snprintf(arguments, sizeof arguments, "%s --nonsense", names[i]);
        check("", arguments, 2, "--nonsense");
        check("", names[i], 2, "usage:");
    }
}

Test(server_program, makes_a_server_and_its_devices)
{
    char folder[64];
    make_folder(folder);
    check(folder, "init DIR/s --name example.org --name 10.0.0.1 --model logreg --federation digits --json",
          0, "\"federation\":\"digits\"");
    check(folder, "init DIR/s", 1, "already");
    check(folder, "init DIR/t --model nothing", 1, "nothing");
    check(folder, "init DIR/t --federation ../x", 2, "--federation");
    check(folder, "init DIR/t --port 0", 2, "--port");
    check(folder, "federation check DIR/s", 0, "7850 parameters");
    check(folder, "status DIR/s", 1, "has the server run");
    check(folder, "model export DIR/s DIR/m.safetensors", 1, "");
    check(folder, "device add DIR/s one --json", 0, "\"server\":\"example.org:5684\"");
    check(folder, "device add DIR/s two --psk --server [::1]:7 --json", 0, "\"server\":\"[::1]:7\"");
    check(folder, "device add DIR/s one --out DIR/again", 1, "one");
    check(folder, "device add DIR/s one --again --out DIR/again", 0, "Made");
    check(folder, "device add DIR/s ../evil", 2, "no device's name");
    check(folder, "device add DIR/s three --federation nothing", 1, "no federation nothing");
    check(folder, "devices DIR/s", 0, "last seen never");
    check(folder, "devices DIR/s --json", 0, "\"device\":\"two\"");
    check(folder, "revoke DIR/s one", 0, "withdrawn");
    check(folder, "revoke DIR/s nobody", 1, "nobody");
    check(folder, "devices DIR/s --json", 0, "\"revoked\":true");
    remove_folder(folder);
}

Test(server_program, refuses_a_wrong_configuration_with_its_place)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"nonsense: 1\n", "server.yaml:"},
        {"    stopp: {rounds: 1}\n", "stop"},
        {"    norm_limit: many\n", "norm_limit"},
        {"    server_rate: -1\n", "server_rate"},
        {"    models_kept: 1e99\n", "models_kept"},
        {"  - {name: default, model: no-such-model}\n", "no-such-model"},
        {"    server_optimiser: {kind: best}\n", "yogi"},
        {"    server_optimiser: {kind: adam}\n    server_rate: .5\n", "use its rate"},
        {"    root_data: {inputs: [nowhere], labels: [nowhere]}\n", "nowhere"},
        {"  - {name: b, model: logreg, strategy: fltrust}\n", "root_data"},
        {"  - {name: b, model: logreg, strategy: best}\n", "centred-clipping"},
        {"    evaluation: {test: {inputs: [nowhere], labels: [nowhere]}}\n", "nowhere"},
        {"    weighting: {kind: best}\n", "examples"},
        {"    weighting: {kind: loss, power: 20}\n", "power"},
        {"  - {name: b, model: logreg, train: {algorithm: scaffold}}\n", "population"},
        {"  - {name: b, model: logreg, train: {algorithm: scaffold, optimiser: adam}, population: 9}\n",
         "sgd"},
        {"  - {name: b, model: logreg, train: {algorithm: scaffold}, population: 9, codec: \"mask:.1\"}\n",
         "mask"},
        {"  - {name: b, model: logreg, train: {algorithm: feddyn, proximal_mu: 1}, population: 9}\n",
         "proximal_mu"},
        {"  - {name: b, model: logreg, weighting: {kind: steps}, strategy: median}\n", "fedavg"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char folder[64];
        make_folder(folder);
        check(folder, "init DIR/s --model logreg", 0, "Made");
        char inner[80];
        (void)snprintf(inner, sizeof inner, "%s/s", folder);
        append(inner, cases[i].text);
        check(folder, "federation check DIR/s", 2, cases[i].says);
        remove_folder(folder);
    }
    check("", "run /nonexistent", 2, "/nonexistent");
}

/* Every row of the tables stands in the list, and each line is an object to a parser that is not ours. */
Test(server_program, lists_every_strategy)
{
    static const char *const optimisers[] = {"sgd", "momentum", "adagrad", "adam", "yogi"};
    static const char *const algorithms[] = {"fedprox", "client-momentum", "fedper",   "fedbn", "scaffold",
                                             "feddyn",  "fednova",         "q-fedavg", "ditto"};
    static char text[1 << 16], wanted[512];
    size_t size = 0, lines = 0, rows = 0;
    (void)snprintf(wanted, sizeof wanted, "%s/covey-server strategies --json", COVEY_BIN_DIR);
    FILE *output = popen(wanted, "r");
    cr_assert_not_null(output);
    size = fread(text, 1, sizeof text - 1, output);
    text[size] = '\0';
    cr_assert_eq(pclose(output), 0);
    for (size_t i = 0; covey_strategy_at(i) != NULL; i++, rows++) {
        (void)snprintf(wanted, sizeof wanted, "{\"strategy\":\"%s\",", covey_strategy_at(i)->name);
        cr_expect(strstr(text, wanted) != NULL, "%s", wanted);
    }
    for (size_t i = 0; i < sizeof optimisers / sizeof optimisers[0]; i++, rows++) {
        (void)snprintf(wanted, sizeof wanted, "{\"server_optimiser\":\"%s\",", optimisers[i]);
        cr_expect(strstr(text, wanted) != NULL, "%s", wanted);
    }
    static const char *const weightings[] = {"examples", "equal", "steps", "loss"};
    for (size_t i = 0; i < sizeof weightings / sizeof weightings[0]; i++, rows++) {
        (void)snprintf(wanted, sizeof wanted, "{\"weighting\":\"%s\",", weightings[i]);
        cr_expect(strstr(text, wanted) != NULL, "%s", wanted);
    }
    cr_expect(strstr(text, "\"configured\":\"\"") == NULL, "every row can be configured");
    for (size_t i = 0; i < sizeof algorithms / sizeof algorithms[0]; i++, rows++) {
        (void)snprintf(wanted, sizeof wanted, "{\"algorithm\":\"%s\",", algorithms[i]);
        cr_expect(strstr(text, wanted) != NULL, "%s", wanted);
    }
    for (size_t i = 0; covey_chain_parameter_at(i) != NULL; i++) {
        (void)snprintf(wanted, sizeof wanted, "{\"key\":\"%s\",", covey_chain_parameter_at(i)->key);
        cr_expect(strstr(text, wanted) != NULL, "%s", wanted);
    }
    for (const char *at = text; *at != '\0'; at++)
        lines += *at == '\n';
    cr_expect_eq(lines, rows);
    (void)snprintf(wanted, sizeof wanted,
                   "%s/covey-server strategies --json | python3 -c 'import json, sys; "
                   "[json.loads(line)[\"summary\"] for line in sys.stdin]'",
                   COVEY_BIN_DIR);
    cr_expect_eq(system(wanted), 0);
    check("", "strategies", 0, "fedavg");
    check("", "strategies --colour", 2, "");
}

/* ------------------------------------------------------------------ running */

static pid_t start(const char *folder, const char *log)
{
    char program[512], directory[128];
    (void)snprintf(program, sizeof program, "%s/covey-server", COVEY_BIN_DIR);
    (void)snprintf(directory, sizeof directory, "%s/s", folder);
    const pid_t child = fork();
    cr_assert_neq(child, -1);
    if (child != 0)
        return child;
    const int file = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    (void)dup2(file, 1);
    (void)dup2(file, 2);
    execl(program, program, "run", directory, "--json", (char *)NULL);
    _exit(127);
}

/* Until the log says it; false after PATIENCE_MS. */
static bool await_line(const char *log, const char *line)
{
    for (int i = 0; i < PATIENCE_MS / 50; i++) {
        char text[TEXT_BYTES];
        FILE *file = fopen(log, "r");
        const size_t size = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
        text[size] = '\0';
        if (file != NULL)
            fclose(file);
        if (strstr(text, line) != NULL)
            return true;
        const struct timespec pause = {0, 50000000};
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

Test(server_program, runs_reloads_and_finishes_cleanly)
{
    char folder[64], log[80], inner[80], port[32];
    make_folder(folder);
    (void)snprintf(log, sizeof log, "%s/log", folder);
    (void)snprintf(inner, sizeof inner, "%s/s", folder);
    check(folder, "init DIR/s --model logreg", 0, "Made");
    char command[256];
    (void)snprintf(port, sizeof port, "%d", 20000 + (int)(getpid() % 20000));
    (void)snprintf(command, sizeof command, "sed -i 's/port: 5684/port: %s/' '%s/server.yaml'", port, inner);
    cr_assert_eq(system(command), 0);
    const pid_t child = start(folder, log);
    cr_assert(await_line(log, "serving"), "it does not serve");
    check(folder, "run DIR/s", 1, "in use by another covey-server");
    check(folder, "status DIR/s", 0, "is running");
    check(folder, "status DIR/s --json", 0, "\"running\":true");

    /* another folder, the same port: said so, not shared in silence */
    check(folder, "init DIR/t --model logreg", 0, "Made");
    (void)snprintf(command, sizeof command, "sed -i 's/port: 5684/port: %s/' '%s/t/server.yaml'", port,
                   folder);
    cr_assert_eq(system(command), 0);
    check(folder, "run DIR/t", 1, port);

    append(inner, "    norm_limit: 5\n");
    cr_assert_eq(kill(child, SIGHUP), 0);
    cr_expect(await_line(log, "reloaded"));
    append(inner, "nonsense: 5\n");
    cr_assert_eq(kill(child, SIGHUP), 0);
    cr_expect(await_line(log, "reload-failed"));
    cr_assert_eq(kill(child, SIGTERM), 0);
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "it ended with %d", status);
    cr_expect(await_line(log, "\"end\":\"stopped\""));
    remove_folder(folder);
}
