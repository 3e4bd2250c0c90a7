/* covey-sim sweep: a grid of runs, each a process of its own, so that its memory and time are its own. */
#include "sim_commands.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "covey/progress.h"
#include "report.h"
#include "scenario.h"
#include "sweep.h"

static const char help[] =
    "usage: covey-sim sweep SCENARIO.yaml --grid KEY=VALUE,VALUE... [--grid ...] [OPTIONS]\n"
    "\n"
    "Runs every combination, each into a folder named by the hash of its configuration: what is complete is\n"
    "not run again, what was stopped goes on. Ends with a table, in which * marks the Pareto front of bytes "
    "up,\n"
    "virtual time and accuracy, and DIR/report.html. With seed as a grid key, means and spread over the "
    "seeds.\n"
    "\n"
    "  --grid KEY=A,B,C     a key of the scenario and its values, as codec=raw32,int8 or seed=1,2,3\n"
    "  --set KEY.PATH=VALUE for all cells\n"
    "  --out DIR            where the cells are kept (default: sweep)\n"
    "  --target A           metric to reach: rounds, time and bytes until then\n"
    "  --jobs N             runs at a time (default 1)\n"
    "  --threads N          of each run (default: the processors, shared out among the jobs)\n"
    "  --dry-run            list the cells and which are complete, run nothing\n"
    "  --json               an object a cell, then one for each group of seeds\n"
    "\n"
    "Ctrl-C stops after the rounds that run; the same command goes on later.\n";

struct sweep_options {
    const char *file, *out;
    const char *settings[COVEY_SIM_SETTINGS];
    uint32_t setting_count, key_count;
    struct covey_sweep_key keys[COVEY_SWEEP_KEYS];
    double target;
    long jobs, threads;
    bool dry, json;
};

struct job {
    pid_t process; /* 0: free */
    uint32_t cell;
};

struct processes {
    const struct sweep_options *options;
    struct job jobs[COVEY_SWEEP_JOBS];
    struct covey_progress progress;
    struct timespec started;
    uint32_t ran;
};

/* For the signal handler alone. */
static volatile sig_atomic_t stop_asked;
static volatile sig_atomic_t children[COVEY_SWEEP_JOBS];

/* Each run is a process group of its own, so that it hears of a Ctrl-C from here alone, once for each. */
static void on_signal(int number)
{
    (void)number;
    stop_asked = 1;
    for (size_t i = 0; i < COVEY_SWEEP_JOBS; i++)
        if (children[i] > 0)
            (void)kill((pid_t)children[i], SIGINT);
}

/* ---- options ---- */

static int wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "covey-sim sweep: %s%s%s\n\n%s", what, value != NULL ? ": " : "",
                  value != NULL ? value : "", help);
    return 2;
}

static bool refuse(const char *what, const char *value)
{
    (void)wrong(what, value);
    return false;
}

static bool parse_number(const char *text, long most, long *out)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < 1 || value > most)
        return false;
    *out = value;
    return true;
}

static bool add_key(struct sweep_options *options, const char *text)
{
    struct covey_error err = {0};
    if (options->key_count == COVEY_SWEEP_KEYS)
        return refuse("too many --grid", text);
    if (covey_sweep_key_read(text, &options->keys[options->key_count], &err) != COVEY_OK)
        return refuse(err.text, NULL);
    options->key_count++;
    return true;
}

static bool set_option(struct sweep_options *options, int option)
{
    char *end;
    switch (option) {
    case 'g':
        return add_key(options, optarg);
    case 'x':
        if (options->setting_count == COVEY_SIM_SETTINGS)
            return refuse("too many --set", optarg);
        options->settings[options->setting_count++] = optarg;
        return true;
    case 'o':
        options->out = optarg;
        return true;
    case 'a':
        options->target = strtod(optarg, &end);
        return (end != optarg && *end == '\0' && isfinite(options->target)) ||
               refuse("--target wants a number", optarg);
    case 'n':
        return parse_number(optarg, COVEY_SWEEP_JOBS, &options->jobs) ||
               refuse("--jobs wants a number from 1 to 64", optarg);
    case 't':
        return parse_number(optarg, 256, &options->threads) ||
               refuse("--threads wants a number from 1 to 256", optarg);
    case 'd':
        options->dry = true;
        return true;
    case 'j':
        options->json = true;
        return true;
    default:
        (void)fprintf(stderr, "\n%s", help);
        return false;
    }
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct sweep_options *options)
{
    static const struct option longs[] = {
        {"grid", required_argument, NULL, 'g'}, {"set", required_argument, NULL, 'x'},
        {"out", required_argument, NULL, 'o'},  {"target", required_argument, NULL, 'a'},
        {"jobs", required_argument, NULL, 'n'}, {"threads", required_argument, NULL, 't'},
        {"dry-run", no_argument, NULL, 'd'},    {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},       {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (option == 'h') {
            (void)fputs(help, stdout);
            return 0;
        }
        if (!set_option(options, option))
            return 2;
    }
    if (optind + 1 != argc)
        return wrong("one scenario is wanted", NULL);
    if (options->key_count == 0)
        return wrong("no --grid is given", NULL);
    if (options->threads == 0) {
        const long processors = sysconf(_SC_NPROCESSORS_ONLN);
        options->threads = processors > options->jobs ? processors / options->jobs : 1;
    }
    options->file = argv[optind];
    return -1;
}

/* ---- cells as processes ---- */

static enum covey_status identify(void *user, const char *const *settings, uint32_t count,
                                  struct covey_hash *out, struct covey_error *err)
{
    const struct processes *processes = user;
    struct covey_scenario scenario = {0};
    COVEY_TRY(covey_scenario_load(processes->options->file, settings, count, &scenario, err));
    *out = scenario.hash;
    covey_scenario_free(&scenario);
    return COVEY_OK;
}

static bool has_checkpoint(const struct covey_sweep_cell *cell)
{
    char path[COVEY_FILE_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/checkpoint", cell->folder);
    return access(path, F_OK) == 0;
}

#define WORDS (12 + 2 * (COVEY_SIM_SETTINGS + COVEY_SWEEP_KEYS))

/* In the child. Between fork and exec only what is safe there; the words were made before. */
static void become_run(char **words, pid_t parent, const sigset_t *signals)
{
    const int nothing = open("/dev/null", O_WRONLY);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, signals, NULL);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGINT);
    if (nothing < 0 || dup2(nothing, STDOUT_FILENO) < 0 || getppid() != parent)
        _exit(1);
    (void)execv("/proc/self/exe", words);
    _exit(1);
}

static enum covey_status start(void *user, const struct covey_sweep_cell *cell, uint32_t index,
                               struct covey_error *err)
{
    struct processes *processes = user;
    const struct sweep_options *options = processes->options;
    char threads[24];
    const char *words[WORDS];
    size_t count = 0, slot = 0;
    (void)snprintf(threads, sizeof threads, "%ld", options->threads);
    const char *first[] = {"covey-sim", "run",        options->file, "--quiet",
                           "--out",     cell->folder, "--threads",   threads};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        words[count++] = first[i];
    for (uint32_t i = 0; i < options->setting_count; i++, count += 2) {
        words[count] = "--set";
        words[count + 1] = options->settings[i];
    }
    for (uint32_t i = 0; i < cell->setting_count; i++, count += 2) {
        words[count] = "--set";
        words[count + 1] = cell->settings[i];
    }
    if (has_checkpoint(cell))
        words[count++] = "--resume";
    words[count] = NULL;
    while (slot < COVEY_SWEEP_JOBS - 1 && processes->jobs[slot].process != 0)
        slot++;
    /* Held back until the handler knows the new process. */
    sigset_t held, before;
    (void)sigemptyset(&held);
    (void)sigaddset(&held, SIGINT);
    (void)sigaddset(&held, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &held, &before);
    const pid_t parent = getpid(), process = fork();
    if (process == 0)
        become_run((char **)words, parent, &before);
    if (process > 0) {
        processes->jobs[slot] = (struct job){process, index};
        children[slot] = (sig_atomic_t)process;
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return process > 0 ? COVEY_OK : covey_fail(err, COVEY_IO, "a run cannot be started: %s", strerror(errno));
}

/* Nothing goes on from a run that is complete: its devices' residuals may be large. */
static void tidy(const struct covey_sweep_cell *cell)
{
    char path[COVEY_FILE_PATH_BYTES + 16];
    if (!covey_sweep_complete(cell->folder, &cell->hash))
        return;
    (void)snprintf(path, sizeof path, "%s/personal", cell->folder);
    (void)unlink(path);
}

static enum covey_status wait_for(void *user, uint32_t *index, bool *good, struct covey_error *err)
{
    struct processes *processes = user;
    for (;;) {
        int result = 0;
        const pid_t process = waitpid(-1, &result, 0);
        if (process < 0 && errno == EINTR)
            continue;
        if (process < 0)
            return covey_fail(err, COVEY_IO, "a run cannot be waited for: %m");
        for (size_t i = 0; i < COVEY_SWEEP_JOBS; i++) {
            if (processes->jobs[i].process != process)
                continue;
            children[i] = 0;
            processes->jobs[i].process = 0;
            *index = processes->jobs[i].cell;
            *good = WIFEXITED(result) && WEXITSTATUS(result) == 0;
            return COVEY_OK;
        }
    }
}

static bool stopped(void *user)
{
    (void)user;
    return stop_asked != 0;
}

static void tell(void *user, const struct covey_sweep *sweep, uint32_t index)
{
    struct processes *processes = user;
    const struct covey_sweep_cell *cell = &sweep->cells[index];
    uint32_t over = 0, left = 0, running = 0;
    char wait[24], label[256], remaining[48] = "";
    struct timespec now;
    for (uint32_t i = 0; i < sweep->count; i++) {
        running += sweep->cells[i].state == COVEY_SWEEP_RUNNING ? 1 : 0;
        left += sweep->cells[i].state <= COVEY_SWEEP_RUNNING ? 1 : 0;
    }
    over = sweep->count - left;
    if (cell->state == COVEY_SWEEP_DONE) {
        processes->ran++;
        tidy(cell);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    const double spent = (double)(now.tv_sec - processes->started.tv_sec);
    if (processes->ran > 0)
        (void)snprintf(remaining, sizeof remaining, "  %s left",
                       covey_progress_seconds(spent / processes->ran * left, wait));
    covey_sweep_label(cell, label, sizeof label);
    covey_progress_show(&processes->progress, "%u of %u cells  %u running%s  %.200s", over, sweep->count,
                        running, remaining, label);
}

/* ---- what came out ---- */

static enum covey_status write_outcome(const struct sweep_options *options, const struct covey_sweep *sweep,
                                       struct covey_error *err)
{
    struct covey_outcome_run *runs = calloc(sweep->count, sizeof *runs);
    struct covey_report *report = NULL;
    char path[COVEY_FILE_PATH_BYTES];
    uint32_t count = 0;
    enum covey_status status = runs != NULL ? COVEY_OK : covey_fail(err, COVEY_NO_MEMORY, "no memory");
    for (uint32_t i = 0; i < sweep->count && status == COVEY_OK; i++) {
        const enum covey_sweep_state state = sweep->cells[i].state;
        if (state != COVEY_SWEEP_CACHED && state != COVEY_SWEEP_DONE)
            continue;
        status = covey_outcome_read(sweep->cells[i].folder, &runs[count], err);
        count += status == COVEY_OK ? 1 : 0;
    }
    if (status != COVEY_OK || count == 0)
        goto cleanup;
    status = covey_report_create(runs, count, options->target, &report, err);
    if (status != COVEY_OK)
        goto cleanup;
    if (options->json)
        covey_report_json(stdout, report);
    else
        covey_report_text(stdout, report);
    if (snprintf(path, sizeof path, "%s/report.html", options->out) >= (int)sizeof path)
        status = covey_fail(err, COVEY_LIMIT, "the path of the page is too long");
    else
        status = covey_report_save(path, report, runs[0].summary.scenario, err);
    if (status == COVEY_OK && !options->json)
        (void)printf("%s\n", path);

cleanup:
    covey_report_destroy(report);
    for (uint32_t i = 0; i < count; i++)
        covey_outcome_free(&runs[i]);
    free(runs);
    return status;
}

static const char *const state_words[] = {"to run", "running", "complete",     "complete",
                                          "failed", "stopped", "as one before"};

static void list_cells(const struct covey_sweep *sweep)
{
    char label[COVEY_SWEEP_KEYS * COVEY_SWEEP_SETTING_BYTES];
    for (uint32_t i = 0; i < sweep->count; i++) {
        const struct covey_sweep_cell *cell = &sweep->cells[i];
        covey_sweep_label(cell, label, sizeof label);
        const bool complete = covey_sweep_complete(cell->folder, &cell->hash);
        (void)printf("%s  %-13s  %s\n", cell->folder, complete ? "complete" : state_words[cell->state],
                     label);
    }
}

/* Says which cells did not come to their end; returns how many. */
static uint32_t name_failures(const struct covey_sweep *sweep)
{
    char label[COVEY_SWEEP_KEYS * COVEY_SWEEP_SETTING_BYTES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sweep->count; i++) {
        const struct covey_sweep_cell *cell = &sweep->cells[i];
        if (cell->state == COVEY_SWEEP_DONE || cell->state == COVEY_SWEEP_CACHED ||
            cell->state == COVEY_SWEEP_SAME)
            continue;
        covey_sweep_label(cell, label, sizeof label);
        (void)fprintf(stderr, "covey-sim sweep: %s: %s (%s)\n",
                      cell->state == COVEY_SWEEP_WAITING ? "not run" : state_words[cell->state], label,
                      cell->folder);
        count++;
    }
    return count;
}

static void listen_for_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

int command_sweep(int argc, char **argv)
{
    struct sweep_options options = {.out = "sweep", .target = NAN, .jobs = 1};
    struct processes processes = {.options = &options};
    const struct covey_sweep_runner runner = {&processes, identify, start, wait_for, stopped, tell};
    struct covey_sweep sweep = {0};
    struct covey_error err = {0};
    const int done = parse_options(argc, argv, &options);
    if (done >= 0)
        return done;
    if (covey_sweep_plan(options.keys, options.key_count, options.settings, options.setting_count,
                         options.out, &runner, &sweep, &err) != COVEY_OK) {
        (void)fprintf(stderr, "covey-sim sweep: %s\n", err.text);
        return 2;
    }
    sweep.jobs = (uint32_t)options.jobs;
    if (options.dry) {
        list_cells(&sweep);
        covey_sweep_free(&sweep);
        return 0;
    }
    listen_for_signals();
    (void)clock_gettime(CLOCK_MONOTONIC, &processes.started);
    covey_progress_init(&processes.progress, STDERR_FILENO, false);
    enum covey_status status =
        mkdir(options.out, 0777) == 0 || errno == EEXIST
            ? covey_sweep_run(&sweep, &runner, &err)
            : covey_fail(&err, COVEY_IO, "%s: cannot make this folder: %m", options.out);
    covey_progress_deinit(&processes.progress);
    if (status == COVEY_OK)
        status = write_outcome(&options, &sweep, &err);
    if (status != COVEY_OK)
        (void)fprintf(stderr, "covey-sim sweep: %s\n", err.text);
    const uint32_t failures = status == COVEY_OK ? name_failures(&sweep) : 1;
    covey_sweep_free(&sweep);
    return failures > 0 ? 1 : 0;
}
