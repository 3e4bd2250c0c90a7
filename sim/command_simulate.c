/* covey-sim run: a scenario from beginning to end, with a line a round. */
#include "sim_commands.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_progress.h"
#include "simulation.h"

static const char help[] =
    "usage: covey-sim run SCENARIO.yaml [OPTIONS]\n"
    "\n"
    "Plays a scenario: the real client and server code, under a virtual clock.\n"
    "\n"
    "  --threads N          that train (default: one a processor); the result does not depend on it\n"
    "  --seed S             in place of the scenario's\n"
    "  --set KEY.PATH=VALUE in place of what the scenario says; as often as wanted\n"
    "  --out DIR            leaves the outcome there, for `covey-sim report`\n"
    "  --resume             goes on where the run in --out DIR was stopped\n"
    "  --replay FILE        training times of a real run: lines device,round,training_ms\n"
    "  --quiet              no live line\n"
    "  --json               a line of JSON a round, and one at the end\n"
    "\n"
    "Ctrl-C lets the round end, writes what there is and a checkpoint; a second one ends at once.\n";

struct run_options {
    const char *file;
    const char *settings[COVEY_SIM_SETTINGS];
    uint32_t setting_count;
    char seed[32];
    struct covey_simulation_options simulation;
    bool json, quiet;
};

struct run {
    const struct run_options *options;
    struct covey_sim_progress progress;
};

/* For the signal handler alone. */
static _Atomic(struct covey_simulation *) interrupted;

static void on_signal(int number)
{
    struct covey_simulation *simulation = atomic_load(&interrupted);
    if (simulation != NULL)
        covey_simulation_stop(simulation);
    (void)signal(number, SIG_DFL); /* the second one is meant */
}

static int wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "covey-sim run: %s%s%s\n\n%s", what, value != NULL ? ": " : "",
                  value != NULL ? value : "", help);
    return 2;
}

static bool parse_threads(const char *text, uint32_t *out)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > COVEY_SIM_THREADS)
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool add_setting(struct run_options *options, const char *setting)
{
    if (options->setting_count >= COVEY_SIM_SETTINGS)
        return false;
    options->settings[options->setting_count++] = setting;
    return true;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct run_options *options)
{
    static const struct option longs[] = {
        {"threads", required_argument, NULL, 't'}, {"seed", required_argument, NULL, 's'},
        {"set", required_argument, NULL, 'x'},     {"out", required_argument, NULL, 'o'},
        {"resume", no_argument, NULL, 'r'},        {"replay", required_argument, NULL, 'p'},
        {"quiet", no_argument, NULL, 'q'},         {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (option) {
        case 't':
            if (!parse_threads(optarg, &options->simulation.threads))
                return wrong("--threads wants a number from 1 to 256", optarg);
            break;
        case 's':
            if (snprintf(options->seed, sizeof options->seed, "seed=%s", optarg) >=
                    (int)sizeof options->seed ||
                !add_setting(options, options->seed))
                return wrong("--seed wants a number", optarg);
            break;
        case 'x':
            if (!add_setting(options, optarg))
                return wrong("too many --set", optarg);
            break;
        case 'o':
            options->simulation.folder = optarg;
            break;
        case 'r':
            options->simulation.resume = true;
            break;
        case 'p':
            options->simulation.replay = optarg;
            break;
        case 'q':
            options->quiet = true;
            break;
        case 'j':
            options->json = true;
            break;
        case 'h':
            (void)fputs(help, stdout);
            return 0;
        default:
            (void)fprintf(stderr, "\n%s", help);
            return 2;
        }
    }
    if (optind + 1 != argc)
        return wrong("one scenario is wanted", NULL);
    if (options->simulation.resume && options->simulation.folder == NULL)
        return wrong("--resume goes on in a folder: give --out", NULL);
    options->file = argv[optind];
    return -1;
}

static void on_round(void *user, const struct covey_sim_round *round)
{
    struct run *run = user;
    covey_sim_progress_round(&run->progress, round);
    if (!run->options->json)
        return;
    covey_sim_round_write(stdout, round);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

static void on_progress(void *user, uint32_t round, uint32_t done, uint32_t chosen, double virtual_s)
{
    struct run *run = user;
    covey_sim_progress_work(&run->progress, round, done, chosen, virtual_s);
}

static void print_summary(const struct run_options *options, const struct covey_sim_summary *summary)
{
    char hash[COVEY_HASH_TEXT_BYTES];
    if (options->json) {
        covey_sim_summary_write(stdout, summary);
        (void)fputc('\n', stdout);
        return;
    }
    covey_hex_write(summary->model.bytes, sizeof summary->model.bytes, hash);
    (void)printf(
        "%s: %u rounds, metric %.4f (best %.4f), %llu updates (%llu late, %llu dropped, %llu refused)\n"
        "up %.1f MB, down %.1f MB, %.1f kJ, %.0f s of virtual time in %.2f s, %.0f updates/s, peak %.0f MB\n"
        "model %s\n",
        summary->scenario, summary->rounds, summary->accuracy, summary->best,
        (unsigned long long)summary->updates, (unsigned long long)summary->late,
        (unsigned long long)summary->dropped, (unsigned long long)summary->refused,
        (double)summary->bytes_up / 1e6, (double)summary->bytes_down / 1e6, summary->joules / 1e3,
        summary->virtual_s, summary->wall_s, summary->updates_per_s, (double)summary->peak_rss_bytes / 1e6,
        hash);
    if (summary->interrupted && options->simulation.folder != NULL)
        (void)printf("stopped; go on with the same command and --resume\n");
}

static enum covey_status run_scenario(struct run_options *options, const struct covey_scenario *scenario,
                                      struct covey_sim_summary *summary, struct covey_error *err)
{
    struct run run = {.options = options};
    struct covey_simulation *simulation = NULL;
    const bool shows = options->simulation.ranks->rank == 0; /* one of several */
    options->simulation.on_round = shows ? on_round : NULL;
    options->simulation.on_progress = shows ? on_progress : NULL;
    options->simulation.user = &run;
    covey_sim_progress_init(&run.progress, scenario->rules.stop_rounds, options->quiet || !shows);
    enum covey_status status = covey_simulation_create(scenario, &options->simulation, &simulation, err);
    if (status == COVEY_OK) {
        atomic_store(&interrupted, simulation);
        (void)signal(SIGINT, on_signal);
        (void)signal(SIGTERM, on_signal);
        status = covey_simulation_run(simulation, summary, err);
        atomic_store(&interrupted, NULL);
    }
    covey_sim_progress_deinit(&run.progress);
    covey_simulation_destroy(simulation);
    return status;
}

int command_run(int argc, char **argv)
{
    struct run_options options = {0};
    struct covey_scenario scenario = {0};
    struct covey_sim_summary summary;
    struct covey_ranks ranks;
    struct covey_error err = {0};
    const int done = parse_options(argc, argv, &options);
    /* vectors of the model's size come and go with every round: they stay with the process */
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 28);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 28);
    if (done >= 0)
        return done;
    if (covey_scenario_load(options.file, options.settings, options.setting_count, &scenario, &err) !=
        COVEY_OK) {
        (void)fprintf(stderr, "covey-sim run: %s\n", err.text);
        return 2;
    }
    enum covey_status status = covey_ranks_start(&ranks, &err);
    options.simulation.ranks = &ranks;
    if (status == COVEY_OK)
        status = run_scenario(&options, &scenario, &summary, &err);
    covey_scenario_free(&scenario);
    if (status != COVEY_OK)
        (void)fprintf(stderr, "covey-sim run: %s\n", err.text);
    else if (ranks.rank == 0)
        print_summary(&options, &summary);
    covey_ranks_stop(&ranks, status != COVEY_OK);
    return status != COVEY_OK;
}
