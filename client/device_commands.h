/* The subcommands of covey-client, a file each. Each gets what stands behind its name and returns the exit
 * status. */
#ifndef COVEY_CLIENT_COMMANDS_H
#define COVEY_CLIENT_COMMANDS_H

#include "covey/json.h"
#include "covey/status.h"

enum covey_exit { COVEY_EXIT_DONE = 0, COVEY_EXIT_FAILED = 1, COVEY_EXIT_USAGE = 2 };

struct covey_command {
    const char *name, *arguments, *summary;
    const char *help; /* the options, a line each */
    int (*run)(const struct covey_command *command, int argc, char **argv);
};

int covey_command_run(const struct covey_command *command, int argc, char **argv);
int covey_command_once(const struct covey_command *command, int argc, char **argv);
int covey_command_plan(const struct covey_command *command, int argc, char **argv);
int covey_command_status(const struct covey_command *command, int argc, char **argv);
int covey_command_check(const struct covey_command *command, int argc, char **argv);
int covey_command_leave(const struct covey_command *command, int argc, char **argv);

/* Options that a command takes: "--name VALUE" with a place for the value, or "--name" with a flag. Ended by
 * a NULL name. */
struct covey_option {
    const char *name;
    const char **value;
    int *flag;
};
/* Fills in options and *operand (one is wanted unless operand is NULL). Returns -1 to go on, or the exit
 * status: DONE after
 * --help, USAGE after saying what was wrong. */
int covey_options_read(const struct covey_command *command, int argc, char **argv,
                       const struct covey_option *options, const char **operand);
/* A whole number within bounds, or USAGE after saying so; -1: *out is set. */
int covey_option_number(const struct covey_command *command, const char *name, const char *text,
                        long long minimum, long long maximum, long long *out);

/* Says what failed on standard error; returns USAGE for a wrong configuration, FAILED otherwise. */
int covey_command_fail(const struct covey_command *command, enum covey_status status,
                       const struct covey_error *err);

/* One line on standard output, at once. */
void covey_print_json(struct covey_json *json);

#endif
