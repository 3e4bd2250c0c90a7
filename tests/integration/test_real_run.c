/* covey-sim run --real: the server and devices as processes, through the relay, beside their simulation. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit/sim/little_fleet.h"
#include "real_run.h"

#define TEXT_BYTES 65536

static const char lines[] = "partition: {kind: dirichlet, devices: 3, alpha: .5}\n"
                            "train: {epochs: 2, batch: 10, learning_rate: .05}\n"
                            "selection: {minimum_devices: 3}\n"
                            "round: {minimum_updates: 3, deadline_s: 600}\n"
                            "stop: {rounds: 2}\n"
                            "links: [{class: perfect, round_trip_ms: 10, loss: .02}]\n";

struct result {
    int status;
    char text[TEXT_BYTES]; /* standard output and error */
};

static void run(struct result *result, const char *arguments)
{
    char command[1024];
    (void)snprintf(command, sizeof command, "'%s/covey-sim' %s 2>&1", COVEY_BIN_DIR, arguments);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe);
    result->text[fread(result->text, 1, TEXT_BYTES - 1, pipe)] = '\0';
    const int status = pclose(pipe);
    result->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void play(struct result *result, const struct little_fleet *fleet, const char *more)
{
    char arguments[512];
    (void)snprintf(arguments, sizeof arguments, "run '%s' --quiet %s", fleet->file, more);
    run(result, arguments);
}

static void read_summary(const struct little_fleet *fleet, const char *name, struct covey_sim_summary *out)
{
    struct covey_error err = {0};
    char folder[160];
    (void)snprintf(folder, sizeof folder, "%s/both/%s", fleet->folder, name);
    cr_assert_eq(covey_outcome_read_summary(folder, out, &err), COVEY_OK, "%s", err.text);
}

Test(real_run, ends_with_the_model_of_its_simulation, .timeout = 600)
{
    static struct result result;
    struct little_fleet fleet;
    struct covey_sim_summary real, simulated;
    char arguments[256], path[160];
    little_fleet_init(&fleet, lines);
    (void)snprintf(arguments, sizeof arguments, "--real 3 --json --out %s/both", fleet.folder);
    for (int again = 0; again < 2; again++) { /* an earlier run's folder is made anew */
        play(&result, &fleet, arguments);
        cr_assert_eq(result.status, 0, "%s", result.text);
        cr_expect_not_null(strstr(result.text, "\"equal\":true"), "%s", result.text);
        cr_expect_not_null(strstr(result.text, "\"updates\":{\"real\":6,\"virtual\":6}"), "%s", result.text);
    }
    read_summary(&fleet, "real", &real);
    read_summary(&fleet, "virtual", &simulated);
    cr_expect(covey_hash_equal(&real.model, &simulated.model));
    cr_expect_eq(real.rounds, 2);
    cr_expect_eq(real.update_bytes_up, simulated.update_bytes_up);
    cr_expect(!(real.accuracy < simulated.accuracy) && !(real.accuracy > simulated.accuracy));
    (void)snprintf(path, sizeof path, "%s/both/virtual/times.csv", fleet.folder);
    cr_expect_eq(access(path, R_OK), 0);
    (void)snprintf(arguments, sizeof arguments, "report %s/both/real %s/both/virtual --json", fleet.folder,
                   fleet.folder);
    run(&result, arguments);
    cr_expect_eq(result.status, 0, "%s", result.text);
    little_fleet_deinit(&fleet);
}

Test(real_run, says_why_a_scenario_cannot_be_real, .timeout = 600)
{
    static const struct {
        const char *arguments, *says;
    } table[] = {
        {"--real 4", "--real 3, or --set partition.devices=4"},
        {"--real 3 --set attack.kind=sign-flip --set attack.share=.4", "--set attack.kind=none"},
        {"--real 3 --set availability.kind=day-night", "--set availability.kind=always"},
        {"--real 3 --set churn.drop_rate=.1", "--set churn.drop_rate=0"},
        {"--real 3 --set selection.minimum_devices=2", "--set selection.minimum_devices=3"},
        {"--real 3 --set round.minimum_updates=2", "--set round.minimum_updates=3"},
        {"--real 3 --set round.minimum_updates=2 --set round.goal=2", "--set round.goal=0"},
        {"--real 3 --resume --out nowhere", "--real begins anew"},
        {"--real 3 --replay nothing.csv", "--real begins anew"},
        {"--real 0", "--real wants a number"},
        {"--real 1000", "--real wants a number"},
    };
    static struct result result;
    struct little_fleet fleet;
    char arguments[128], path[128];
    little_fleet_init(&fleet, lines);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        play(&result, &fleet, table[i].arguments);
        cr_expect_eq(result.status, 2, "%s: %s", table[i].arguments, result.text);
        cr_expect_not_null(strstr(result.text, table[i].says), "%s: %s", table[i].arguments, result.text);
    }
    (void)snprintf(path, sizeof path, "%s/mine", fleet.folder); /* somebody's own */
    cr_assert_eq(mkdir(path, 0777), 0);
    (void)snprintf(path, sizeof path, "%s/mine/real", fleet.folder);
    cr_assert_eq(mkdir(path, 0777), 0);
    (void)snprintf(arguments, sizeof arguments, "--real 3 --out %s/mine", fleet.folder);
    play(&result, &fleet, arguments);
    cr_expect_eq(result.status, 2, "%s", result.text);
    cr_expect_not_null(strstr(result.text, "not of an earlier real run"), "%s", result.text);
    cr_expect_eq(rmdir(path), 0, "it was not left alone");
    little_fleet_deinit(&fleet);
}

Test(real_process, is_waited_for_heard_and_ended, .timeout = 120)
{
    struct real_process process;
    struct covey_error err = {0};
    char log[] = "/tmp/covey-words-XXXXXX", words[REAL_WORDS_BYTES];
    const int fd = mkstemp(log);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    const char *const fails[REAL_ARGUMENTS] = {"-c", "echo one >&2; echo two three >&2; exit 3"};
    cr_expect_eq(real_process_run("/bin/sh", fails, log, 60000, &err), COVEY_STATE);
    cr_expect_not_null(strstr(err.text, "ended with status 3: two three"), "%s", err.text);
    const char *const good[REAL_ARGUMENTS] = {"-c", "exit 0"};
    cr_expect_eq(real_process_run("/bin/sh", good, log, 60000, &err), COVEY_OK);
    const char *const slow[REAL_ARGUMENTS] = {"-c", "exec sleep 100"};
    cr_expect_eq(real_process_run("/bin/sh", slow, log, 50, &err), COVEY_STATE);
    const char *const deaf[REAL_ARGUMENTS] = {"-c", "trap '' TERM; echo up; while :; do sleep 1; done"};
    cr_assert_eq(real_process_start(&process, "/bin/sh", deaf, NULL, log, &err), COVEY_OK, "%s", err.text);
    struct stat facts;
    for (int i = 0; i < 1000 && (stat(log, &facts) != 0 || facts.st_size == 0); i++)
        real_pause_ms(10); /* until it does not hear any more */
    cr_expect_not(real_process_ended(&process));
    real_process_end(&process, 100);
    cr_expect(real_process_ended(&process) && !real_process_good(&process));
    real_process_last_words(&process, words);
    cr_expect_not_null(strstr(words, "was ended by signal 9"), "%s", words);
    (void)unlink(log);
}
