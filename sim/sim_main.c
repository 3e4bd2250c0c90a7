/* covey-sim: options and wiring only; a file for each subcommand. */
#include "sim_commands.h"

#include "covey/hash.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *text;
} commands[] = {
    {"run", command_run, "play a scenario: a crowd of virtual devices under a virtual clock"},
    {"sweep", command_sweep, "a grid of runs, kept and compared"},
    {"report", command_report, "what runs came to: a table, and a page with pictures"},
    {"partition", command_partition, "cut a data set into the shares of several devices"},
};

static int usage(FILE *out, int status)
{
    (void)fprintf(out, "usage: covey-sim COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        (void)fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].text);
    (void)fprintf(
        out, "\n  covey-sim COMMAND --help tells a command's options; covey-sim --version the version.\n");
    return status;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr, 2);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return usage(stdout, 0);
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("covey-sim " COVEY_VERSION "\n");
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    (void)fprintf(stderr, "covey-sim: unknown command '%s'\n\n", argv[1]);
    return usage(stderr, 2);
}
