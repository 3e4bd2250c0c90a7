/* The subcommands of covey-sim: argv[0] is the command's name; they return the exit status (0 done, 1 failed,
 * 2 wrong usage). */
#ifndef COVEY_SIM_COMMANDS_H
#define COVEY_SIM_COMMANDS_H

int command_partition(int argc, char **argv);
int command_run(int argc, char **argv);
int command_report(int argc, char **argv);
int command_sweep(int argc, char **argv);

#endif
