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

#include "real_run.h"
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
    "  --real N             first plays it with covey-server and N covey-client processes on this host, "
    "over\n"
    "                       CoAP/DTLS through relays with the scenario's links; then simulates it with "
    "those\n"
    "                       training times, and lays the two side by side; --out gets DIR/real, "
    "DIR/virtual.\n"
    "                       Status 1 when the models are not the same\n"
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
    uint32_t real; /* devices; 0: virtual ones alone */
    bool json, quiet;
};

struct run {
    const struct run_options *options;
    struct covey_sim_progress progress;
    struct real_outcome *outcome; /* --real: what there is to compare; NULL */
    enum covey_status status;     /* of adding to it */
    struct covey_error err;
};

/* For the signal handler alone. */
static _Atomic(struct covey_simulation *) interrupted;
static volatile sig_atomic_t stop_wish;

static void on_signal(int number)
{
    struct covey_simulation *simulation = atomic_load(&interrupted);
    stop_wish = 1;
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

static bool parse_count(const char *text, long limit, uint32_t *out)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > limit)
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
    static const struct option longs[] = {{"threads", required_argument, NULL, 't'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"set", required_argument, NULL, 'x'},
                                          {"out", required_argument, NULL, 'o'},
                                          {"resume", no_argument, NULL, 'r'},
                                          {"replay", required_argument, NULL, 'p'},
                                          {"real", required_argument, NULL, 'R'},
                                          {"quiet", no_argument, NULL, 'q'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        switch (option) {
        case 't':
            if (!parse_count(optarg, COVEY_SIM_THREADS, &options->simulation.threads))
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
        case 'R':
            if (!parse_count(optarg, REAL_DEVICES, &options->real))
                return wrong("--real wants a number of devices from 1 to 64", optarg);
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
    if (options->real > 0 && (options->simulation.resume || options->simulation.replay != NULL))
        return wrong("--real begins anew and makes the times itself: without --resume and --replay", NULL);
    options->file = argv[optind];
    return -1;
}

static void on_round(void *user, const struct covey_sim_round *round)
{
    struct run *run = user;
    covey_sim_progress_round(&run->progress, round);
    if (run->outcome != NULL && run->status == COVEY_OK)
        run->status = real_outcome_add_round(run->outcome, round, &run->err);
    if (!run->options->json || run->outcome != NULL)
        return;
    covey_sim_round_write(stdout, round);
    (void)fputc('\n', stdout);
    (void)fflush(stdout);
}

static void on_update(void *user, const struct covey_sim_update *update)
{
    struct run *run = user;
    if (run->status == COVEY_OK)
        run->status = real_outcome_add_update(run->outcome, update, &run->err);
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

static void catch_signals(void)
{
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
}

/* outcome NULL: nothing is compared. */
static enum covey_status run_scenario(struct run_options *options, const struct covey_scenario *scenario,
                                      struct real_outcome *outcome, struct covey_sim_summary *summary,
                                      struct covey_error *err)
{
    struct run run = {.options = options, .outcome = outcome};
    struct covey_simulation *simulation = NULL;
    const bool shows = options->simulation.ranks->rank == 0; /* one of several */
    options->simulation.on_round = shows ? on_round : NULL;
    options->simulation.on_progress = shows ? on_progress : NULL;
    options->simulation.on_update = outcome != NULL ? on_update : NULL;
    options->simulation.user = &run;
    covey_sim_progress_init(&run.progress, scenario->rules.stop_rounds, options->quiet || !shows);
    enum covey_status status = covey_simulation_create(scenario, &options->simulation, &simulation, err);
    if (status == COVEY_OK) {
        atomic_store(&interrupted, simulation);
        catch_signals();
        status = covey_simulation_run(simulation, summary, err);
        atomic_store(&interrupted, NULL);
    }
    covey_sim_progress_deinit(&run.progress);
    covey_simulation_destroy(simulation);
    if (status == COVEY_OK && run.status != COVEY_OK) {
        *err = run.err;
        return run.status;
    }
    return status;
}

/* ------------------------------------------------------------------ --real */

static void show_real_round(void *user, const struct covey_sim_round *round)
{
    covey_sim_progress_round(&((struct run *)user)->progress, round);
}

static enum covey_status play_real(struct run_options *options, const struct covey_scenario *scenario,
                                   const char *folder, struct real_outcome *out, struct covey_error *err)
{
    struct run run = {.options = options};
    const struct real_options real = {.scenario = scenario,
                                      .folder = folder,
                                      .stop = &stop_wish,
                                      .on_round = show_real_round,
                                      .user = &run};
    catch_signals();
    covey_sim_progress_init(&run.progress, scenario->rules.stop_rounds, options->quiet);
    const enum covey_status status = real_run(&real, options->real, out, err);
    covey_sim_progress_deinit(&run.progress);
    return status;
}

static enum covey_status play_virtual(struct run_options *options, const struct covey_scenario *scenario,
                                      const char *folder, const char *replay, struct real_outcome *out,
                                      struct covey_error *err)
{
    char times[REAL_PATH_BYTES + 32];
    options->simulation.folder = folder;
    options->simulation.replay = replay;
    COVEY_TRY(run_scenario(options, scenario, out, &out->summary, err));
    real_outcome_sort(out);
    (void)snprintf(times, sizeof times, "%s/times.csv", folder);
    return real_outcome_write_times(out, times, err);
}

/* Both runs, in DIR/real and DIR/virtual; without --out in a folder that goes when all is well. */
static enum covey_status run_both(struct run_options *options, const struct covey_scenario *scenario,
                                  bool *equal, struct covey_error *err)
{
    char own[] = "/tmp/covey-real-XXXXXX", real_folder[REAL_PATH_BYTES], virtual_folder[REAL_PATH_BYTES],
         replay[REAL_PATH_BYTES + 16];
    struct real_outcome real = {0}, simulated = {0};
    const char *folder = options->simulation.folder;
    const bool keeps = folder != NULL;
    COVEY_TRY(real_check(scenario, options->real, err));
    if (!keeps && (folder = mkdtemp(own)) == NULL)
        return covey_fail(err, COVEY_IO, "%s: cannot be made", own);
    if (!keeps)
        COVEY_TRY(real_folder_make(folder, err));
    (void)snprintf(real_folder, sizeof real_folder, "%s/real", folder);
    (void)snprintf(virtual_folder, sizeof virtual_folder, "%s/virtual", folder);
    (void)snprintf(replay, sizeof replay, "%s/times.csv", real_folder);
    enum covey_status status = play_real(options, scenario, real_folder, &real, err);
    if (status == COVEY_OK)
        status = play_virtual(options, scenario, virtual_folder, replay, &simulated, err);
    if (status == COVEY_OK)
        real_compare(stdout, &real, &simulated, options->json, equal);
    if (!keeps && status == COVEY_OK)
        real_folder_remove(folder);
    else if (!keeps)
        (void)fprintf(stderr, "covey-sim run: what was played lies in %s\n", folder);
    real_outcome_free(&real);
    real_outcome_free(&simulated);
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
    bool equal = true;
    if (status == COVEY_OK && options.real > 0 && ranks.count > 1)
        status = covey_fail(&err, COVEY_INVALID, "--real is for one process: without mpirun");
    else if (status == COVEY_OK && options.real > 0)
        status = run_both(&options, &scenario, &equal, &err);
    else if (status == COVEY_OK)
        status = run_scenario(&options, &scenario, NULL, &summary, &err);
    covey_scenario_free(&scenario);
    if (status != COVEY_OK)
        (void)fprintf(stderr, "covey-sim run: %s\n", err.text);
    else if (ranks.rank == 0 && options.real == 0)
        print_summary(&options, &summary);
    covey_ranks_stop(&ranks, status != COVEY_OK);
    const bool wrong_use = options.real > 0 && (status == COVEY_INVALID || status == COVEY_NOT_FOUND);
    return wrong_use ? 2 : status != COVEY_OK || !equal;
}
