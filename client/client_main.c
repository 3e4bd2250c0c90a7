/* covey-client: options and wiring only. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_commands.h"
#include "covey/codec.h"
#include "covey/hash.h"
#include "covey/linalg.h"

#define LARGE_BYTES (64 * 1024)

static const struct covey_command commands[] = {
    {"run", "DIR", "take part, for ever",
     "  DIR               the device's folder: client.yaml and its credentials\n"
     "  --json            one object a round, and one with the totals at the end\n"
     "  --quiet           no live line\n",
     covey_command_run},
    {"once", "DIR", "one round, then exit",
     "  DIR               the device's folder\n"
     "  --timeout S       give up after so many seconds (default 600)\n"
     "  --json            one object for the round, and one with the totals\n"
     "  --quiet           no live line\n",
     covey_command_once},
    {"plan", "MODEL", "what a model will cost, before anything runs",
     "  MODEL             a description (path.yaml), or the name of one that is shipped: 2nn\n"
     "  --batch N         examples a batch (default 10)\n"
     "  --examples N      local examples (default 600)\n"
     "  --epochs N        passes over them a round (default 1)\n"
     "  --codec C         of updates: raw32 int8 ec:1 ... (default " COVEY_CODEC_DEFAULT ")\n"
     "  --downlink C      of models (default " COVEY_DOWNLINK_DEFAULT ")\n"
     "  --optimiser O     sgd momentum adam (default sgd)\n"
     "  --plain           with the plain kernels\n"
     "  --no-feedback     without error feedback\n"
     "  --json            one object\n",
     covey_command_plan},
    {"status", "DIR", "what this device holds",
     "  DIR               the device's folder\n"
     "  --json            one object\n",
     covey_command_status},
    {"check", "DIR", "test configuration, certificates, data and connection",
     "  DIR               the device's folder\n"
     "  --offline         all but the connection\n"
     "  --timeout S       of the connection (default 20)\n"
     "  --json            one object\n",
     covey_command_check},
    {"leave", "DIR", "forget the federation's model and all state",
     "  DIR               the device's folder; its credentials and client.yaml stay\n"
     "  --json            one object\n",
     covey_command_leave},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static void print_usage(FILE *out)
{
    fprintf(out, "covey-client " COVEY_VERSION ": federated learning on this device\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  covey-client %-7s%-6s %s\n", commands[i].name, commands[i].arguments,
                commands[i].summary);
    fprintf(out, "\nEach takes --help. Exit status: 0 done, 1 failed, 2 wrong usage or configuration.\n");
}

/* A device's memory is counted: one arena for all threads, and large blocks go back to the system when they
 * are freed. */
static void set_allocator(void)
{
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
#endif
}

int main(int argc, char **argv)
{
    struct covey_error err = {0};
    if (argc < 2) {
        print_usage(stderr);
        return COVEY_EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return COVEY_EXIT_DONE;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("covey-client " COVEY_VERSION);
        return COVEY_EXIT_DONE;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        set_allocator();
        if (covey_crypto_start(&err) != COVEY_OK)
            return covey_command_fail(&commands[i], err.status, &err);
        covey_linalg_start();
        return commands[i].run(&commands[i], argc - 2, argv + 2);
    }
    fprintf(stderr, "covey-client: there is no command '%s'; see covey-client --help\n", argv[1]);
    return COVEY_EXIT_USAGE;
}
