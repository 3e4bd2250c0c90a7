/* covey-server: options and wiring only. */
#include "command.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "covey/hash.h"
#include "covey/linalg.h"

static const struct command commands[] = {
    {"init",
     "DIR [--name HOST]... [--model MODEL] [--federation NAME] [--port N]\n"
     "                    [--parent HOST:PORT --bundle FOLDER] [--json]",
     "make the authorities, the server's certificate and a first configuration",
     "  --name HOST        name or address by which devices reach the server; several times; the first\n"
     "                     goes into the devices' bundles (default: localhost)\n"
     "  --model MODEL      a shipped model (logreg, 2nn, mcmahan-cnn, har, har-cnn) or a file.yaml (default: "
     "2nn)\n"
     "  --federation NAME  name of the first federation (default: default)\n"
     "  --port N           UDP port (default: 5684)\n"
     "  --parent HOST:PORT the server above: this one is a gateway for its devices (docs/server.md)\n"
     "  --bundle FOLDER    what `device add` there has made for this gateway\n"
     "  --json             print one object\n",
     command_init},
    {"run", "DIR [--json] [--exit-when-done] [--rounds N] [--port N] [--quiet] [--log-level LEVEL]",
     "serve the federations of DIR/server.yaml",
     "  --json             one object a round on standard output, and one at the end\n"
     "  --exit-when-done   end once every federation has ended and its devices were told\n"
     "  --rounds N         instead of stop.rounds of the configuration\n"
     "  --port N           instead of server.port of the configuration\n"
     "  --quiet            no live line on a terminal\n"
     "  --log-level LEVEL  error, warning, info or debug\n"
     "SIGTERM and SIGINT finish cleanly; SIGHUP reads again what can change (log level, stop rules, "
     "selection,\n"
     "round times, the deny-list).\n",
     command_run},
    {"status", "DIR [--json]", "what the server is doing, or was", "  --json             print one object\n",
     command_status},
    {"device",
     "add DIR NAME [--psk] [--again] [--out DIR] [--server HOST[:PORT]] [--federation NAME] [--data FILE] "
     "[--json]",
     "make a device's bundle: key, certificate, client.yaml",
     "  --psk              a pre-shared key instead of a certificate: for the smallest devices\n"
     "  --again            also for a device that has one: a second certificate, to replace the first in "
     "time\n"
     "  --out DIR          where the bundle goes (default: DIR/bundles/NAME)\n"
     "  --server HOST:PORT instead of server.name and server.port of the configuration\n"
     "  --federation NAME  which one it joins (default: the first)\n"
     "  --data FILE        YAML whose lines are put into client.yaml: the data block, and what else it "
     "needs\n"
     "  --days N           validity of the certificate (default: 730)\n"
     "  --json             print one object\n",
     command_device},
    {"devices", "DIR [--json]", "list the devices: issued, withdrawn, last seen",
     "  --json             one object a line\n", command_devices},
    {"revoke", "DIR NAME [--json]", "withdraw a device; a running server follows within seconds",
     "  --json             print one object\n", command_revoke},
    {"model", "export DIR FILE.safetensors [--federation NAME] [--json]",
     "write the newest model as safetensors",
     "  --federation NAME  which one (default: the first)\n"
     "  --json             print one object\n",
     command_model},
    {"federation", "check DIR [--json]",
     "check the configuration, models and evaluation data without serving",
     "  --json             one object a line\n", command_federation},
    {"strategies", "[--json]", "list how updates can be aggregated: rules, parameters, sources, exclusions",
     "  --json             one object a line\n", command_strategies},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_usage(FILE *out)
{
    fprintf(out, "covey-server %s: the server of federated learning for small devices\n\n", COVEY_VERSION);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  covey-server %s %s\n      %s\n", commands[i].name, commands[i].usage,
                commands[i].summary);
    fprintf(out, "\n`covey-server COMMAND --help` says more. Exit status: 0 done, 1 failed, 2 wrong usage or "
                 "configuration.\n");
}

int command_option(const struct command *command, int argc, char **argv, const struct option *options)
{
    opterr = 0;
    const int option = getopt_long(argc, argv, "h", options, NULL);
    if (option == 'h') {
        printf("covey-server %s %s\n\n%s\n%s", command->name, command->usage, command->summary,
               command->help);
    } else if (option == '?') {
        fprintf(stderr, "covey-server %s: unknown option, or one without its value: %s\n", command->name,
                argv[optind > 1 ? optind - 1 : 0]);
        fprintf(stderr, "usage: covey-server %s %s\n", command->name, command->usage);
    }
    return option;
}

bool command_only_json(const struct command *command, int argc, char **argv, bool *as_json, int *result)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = command_option(command, argc, argv, options)) == 'j')
        *as_json = true;
    *result = option == '?' ? EXIT_USAGE : EXIT_DONE;
    return option == -1;
}

int command_misused(const struct command *command, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "covey-server %s: ", command->name);
    vfprintf(stderr, format, values);
    fprintf(stderr, "\nusage: covey-server %s %s\n", command->name, command->usage);
    va_end(values);
    return EXIT_USAGE;
}

int command_failed(const struct covey_error *err)
{
    fprintf(stderr, "covey-server: %s\n", err->text[0] != '\0' ? err->text : covey_status_text(err->status));
    return err->status == COVEY_INVALID || err->status == COVEY_LIMIT ? EXIT_USAGE : EXIT_FAILED;
}

bool command_has(int argc, int count)
{
    return argc - optind == count;
}

int command_print(const struct covey_json *json)
{
    if (json->overflow) {
        fprintf(stderr, "covey-server: the answer does not fit\n");
        return EXIT_FAILED;
    }
    if (puts(json->out) < 0 || fflush(stdout) != 0) {
        fprintf(stderr, "covey-server: standard output is closed\n");
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    struct covey_error err = {0};
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("covey-server %s\n", COVEY_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        covey_linalg_start();
        if (covey_crypto_start(&err) != COVEY_OK)
            return command_failed(&err);
        return commands[i].run(&commands[i], argc - 1, argv + 1);
    }
    fprintf(stderr, "covey-server: there is no command '%s'; `covey-server --help` lists them\n", argv[1]);
    return EXIT_USAGE;
}
