/* The subcommands of covey-server: a row of the table in server_main.c, a file each. */
#ifndef COVEY_COMMAND_H
#define COVEY_COMMAND_H

#include <getopt.h>
#include <stdbool.h>

#include "covey/json.h"
#include "covey/status.h"

#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2 /* wrong usage or configuration */

struct command {
    const char *name;
    const char *usage;                                                /* what follows the name */
    const char *summary;                                              /* one line */
    const char *help;                                                 /* options, a line each */
    int (*run)(const struct command *command, int argc, char **argv); /* argv[0] is the command */
};

int command_init(const struct command *command, int argc, char **argv);
int command_run(const struct command *command, int argc, char **argv);
int command_status(const struct command *command, int argc, char **argv);
int command_device(const struct command *command, int argc, char **argv);
int command_devices(const struct command *command, int argc, char **argv);
int command_revoke(const struct command *command, int argc, char **argv);
int command_model(const struct command *command, int argc, char **argv);
int command_strategies(const struct command *command, int argc, char **argv);
int command_federation(const struct command *command, int argc, char **argv);

/* ---- what they share (server_main.c) ---- */

/* The next option of `options`, getopt_long without short ones but -h; --help prints and gives 'h'; -1: no
 * more;
 * '?': a wrong one was named on standard error. */
int command_option(const struct command *command, int argc, char **argv, const struct option *options);
/* For a command that has no option but --json: true when it was read and the command goes on; false: *result
 * is the exit status (--help, or a wrong option). */
bool command_only_json(const struct command *command, int argc, char **argv, bool *as_json, int *result);
/* Prints how to use it to standard error; returns EXIT_USAGE. */
int command_misused(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints err to standard error, and returns the exit status for it: configuration that cannot be read is
 * EXIT_USAGE. */
int command_failed(const struct covey_error *err);
/* Exactly `count` arguments after the options; the first is at argv[optind]. */
bool command_has(int argc, int count);
/* Prints a finished object to standard output, a line. */
int command_print(const struct covey_json *json);

#endif
