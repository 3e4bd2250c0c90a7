/* covey-sim as a person meets it whose scenario cannot be run: exit status 2, one message with file, line and
 * a hint, and nothing left behind. The data sets are pretended: a refused scenario is refused unread. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEXT_BYTES 65536

static char work[64];

static void write_file(const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", work, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_folder(void)
{
    char path[256];
    (void)snprintf(work, sizeof work, "/tmp/covey-sim-program-XXXXXX");
    cr_assert_not_null(mkdtemp(work));
    (void)snprintf(path, sizeof path, "%s/mnist", work);
    cr_assert_eq(mkdir(path, 0777), 0);
    write_file("mnist/train-images-idx3-ubyte.gz", "");
    cr_assert_eq(setenv("COVEY_DATA", work, 1), 0);
    cr_assert_eq(setenv("COVEY_CACHE", "/nonexistent", 1), 0);
}

static void remove_folder(void)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", work);
    cr_assert_eq(system(command), 0);
}

TestSuite(sim_program, .init = make_folder, .fini = remove_folder);

/* `covey-sim COMMAND FILE OPTIONS` within the folder; text: (TEXT_BYTES) both outputs. Returns the exit
 * status. */
static int run(const char *command, const char *file, const char *options, char *text)
{
    char line[1024];
    (void)snprintf(line, sizeof line, "cd '%s' && '%s/covey-sim' %s %s %s 2>&1", work, COVEY_BIN_DIR, command,
                   file, options);
    FILE *pipe = popen(line, "r");
    cr_assert_not_null(pipe);
    text[fread(text, 1, TEXT_BYTES - 1, pipe)] = '\0';
    const int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const struct bad {
    const char *what, *text, *options;
    const char *expect[3]; /* place, what is wrong, hint */
} bad_ones[] = {
    {"unknown key",
     "name: bad\ndata: {set: mnist}\npartition: {devices: 100}\nmodel: 2nn\ntrain:\n  epoch: 5\n",
     "",
     {"bad.yaml:6: ", "unknown key 'epoch'", "did you mean 'epochs'?"}},
    {"unknown key far from all others",
     "name: bad\ndata: {set: mnist}\npartition: {devices: 100}\nmodel: 2nn\nzzz: 5\n",
     "",
     {"bad.yaml:5: ", "unknown key 'zzz'", "possible here: name"}},
    {"wrong type",
     "name: bad\ndata: {set: mnist}\npartition:\n  kind: iid\n  devices: many\nmodel: 2nn\n",
     "",
     {"bad.yaml:5: ", "whole number", "many"}},
    {"a list where a block belongs",
     "name: bad\ndata: {set: mnist}\npartition: [100]\nmodel: 2nn\n",
     "",
     {"bad.yaml:3: ", "partition", "mapping"}},
    {"no such choice",
     "name: bad\ndata: {set: mnist}\npartition: {devices: 100, kind: shard}\nmodel: 2nn\n",
     "",
     {"bad.yaml:3: ", "shard", "shards"}},
    {"impossible cohort",
     "name: bad\ndata: {set: mnist}\npartition: {devices: 100}\nmodel: 2nn\nselection: {count: 101}\n",
     "",
     {"bad.yaml:5: ", "selection.count is 101", "only 100 devices"}},
    {"a goal that no round can reach",
     "name: bad\ndata: {set: mnist}\npartition: {devices: 100}\nmodel: 2nn\nselection: {count: 10}\n"
     "round:\n  goal: 20\n",
     "",
     {"bad.yaml:7: ", "goal is 20", "raise selection.count"}},
    {"missing data",
     "name: bad\npartition: {devices: 10}\ndata: {set: har}\nmodel: har\n",
     "",
     {"bad.yaml:3: ", "the data set har is not here", "scripts/data har"}},
    {"missing files of one's own",
     "name: bad\nmodel: 2nn\npartition: {devices: 10}\n"
     "data:\n  train: {inputs: [gone.idx], labels: [gone-too.idx]}\n",
     "",
     {"bad.yaml:4: ", "gone.idx", "No such file"}},
    {"more devices than examples",
     "name: bad\ndata: {set: mnist}\npartition: {devices: 70000}\nmodel: 2nn\n",
     "",
     {"bad.yaml:3: ", "70000 devices cannot share 60000 examples", "kind: drawn"}},
    {"no YAML", "name: [bad\ndata: {set: mnist}\n", "", {"bad.yaml:", "", ""}},
    {"a bad override",
     "name: bad\ndata: {set: mnist}\npartition: {devices: 100}\nmodel: 2nn\n",
     "--set train.epoch=5",
     {"--set train.epoch: ", "unknown key 'epoch'", "did you mean 'epochs'?"}},
};

static void check(const char *command, const struct bad *bad, const char *options)
{
    char *text = malloc(TEXT_BYTES);
    cr_assert_not_null(text);
    write_file("bad.yaml", bad->text);
    const int status = run(command, "bad.yaml", options, text);
    cr_expect_eq(status, 2, "covey-sim %s, %s: status %d: %s", command, bad->what, status, text);
    for (size_t i = 0; i < 3; i++)
        cr_expect_not_null(strstr(text, bad->expect[i]), "covey-sim %s, %s: wants '%s': %s", command,
                           bad->what, bad->expect[i], text);
    const char *end = strchr(text, '\n');
    cr_expect(end != NULL && end[1] == '\0', "covey-sim %s, %s: more than a line: %s", command, bad->what,
              text);
    free(text);
}

Test(sim_program, run_refuses_what_cannot_be_run)
{
    char path[128];
    for (size_t i = 0; i < sizeof bad_ones / sizeof bad_ones[0]; i++)
        check("run", &bad_ones[i], bad_ones[i].options);
    (void)snprintf(path, sizeof path, "%s/left", work);
    check("run", &bad_ones[0], "--out left");
    cr_expect(access(path, F_OK) != 0, "a refused run left a folder");
}

/* Before its first cell runs, also when only one cell of the grid is bad. */
Test(sim_program, sweep_refuses_what_cannot_be_run)
{
    static const struct bad one = {"one bad cell",
                                   "name: bad\ndata: {set: mnist}\npartition: {devices: 100}\nmodel: 2nn\n",
                                   "",
                                   {"--set selection.count: ", "selection.count is 101", "only 100 devices"}};
    char path[128];
    check("sweep", &bad_ones[0], "--grid seed=1,2 --out left");
    check("sweep", &one, "--grid selection.count=10,101 --out left");
    (void)snprintf(path, sizeof path, "%s/left", work);
    cr_expect(access(path, F_OK) != 0, "a refused sweep left a folder");
}

Test(sim_program, a_scenario_that_is_not_there_is_refused)
{
    char *text = malloc(TEXT_BYTES);
    cr_assert_not_null(text);
    cr_expect_eq(run("run", "gone.yaml", "", text), 2, "%s", text);
    cr_expect_not_null(strstr(text, "gone.yaml"), "%s", text);
    free(text);
}
