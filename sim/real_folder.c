/* The folder of a real run: what server and devices read, and where they write. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "covey/client_config.h"
#include "covey/dataset_load.h"
#include "real_run.h"

#define MARKER ".covey-real" /* a folder with it may be removed: we made it */
#define SET_UP_MS 60000
#define OPEN_FILES 16

/* ------------------------------------------------------------------ begin and end */

static int remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *place)
{
    (void)facts;
    (void)kind;
    (void)place;
    return remove(path);
}

void real_folder_remove(const char *folder)
{
    char marker[REAL_PATH_BYTES];
    if (snprintf(marker, sizeof marker, "%s/" MARKER, folder) < (int)sizeof marker &&
        access(marker, F_OK) == 0)
        (void)nftw(folder, remove_entry, OPEN_FILES, FTW_DEPTH | FTW_PHYS);
}

static enum covey_status make_folder(const char *path, struct covey_error *err)
{
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return covey_fail(err, COVEY_IO, "%s: cannot make this folder: %s", path, strerror(errno));
    return COVEY_OK;
}

/* With those above it. */
static enum covey_status make_folders(const char *folder, struct covey_error *err)
{
    char path[REAL_PATH_BYTES];
    if (folder[0] == '\0' || snprintf(path, sizeof path, "%s", folder) >= COVEY_FILE_PATH_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: the path is too long", folder);
    for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        COVEY_TRY(make_folder(path, err));
        *at = '/';
    }
    return make_folder(path, err);
}

static enum covey_status open_to_write(const char *path, FILE **out, struct covey_error *err)
{
    if ((*out = fopen(path, "we")) == NULL)
        return covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    return COVEY_OK;
}

static enum covey_status close_written(FILE *file, const char *path, struct covey_error *err)
{
    const bool good = fflush(file) == 0 && !ferror(file);
    if (fclose(file) != 0 || !good)
        return covey_fail(err, COVEY_IO, "%s: cannot be written", path);
    return COVEY_OK;
}

enum covey_status real_folder_make(const char *folder, struct covey_error *err)
{
    char path[REAL_PATH_BYTES];
    FILE *marker;
    COVEY_TRY(make_folders(folder, err));
    (void)snprintf(path, sizeof path, "%s/" MARKER, folder);
    COVEY_TRY(open_to_write(path, &marker, err));
    return close_written(marker, path, err);
}

enum covey_status real_folder_begin(const char *folder, struct covey_error *err)
{
    char path[REAL_PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/" MARKER, folder);
    if (access(folder, F_OK) == 0 && access(path, F_OK) != 0)
        return covey_fail(err, COVEY_INVALID, "%s exists and is not of an earlier real run: another --out",
                          folder);
    real_folder_remove(folder);
    COVEY_TRY(real_folder_make(folder, err));
    (void)snprintf(path, sizeof path, "%s/devices", folder);
    COVEY_TRY(make_folder(path, err));
    (void)snprintf(path, sizeof path, "%s/logs", folder);
    return make_folder(path, err);
}

/* ------------------------------------------------------------------ shares */

/* Examples of a data set as f32 and i32, as the trainer would read them: what a device loads needs no scale,
 * statistics or filters, and is the same number for number. */
struct plain_share {
    float *inputs, *targets;
    int32_t *labels;
    struct covey_dataset dataset; /* of `inputs`; labels beside it */
};

static void free_share(struct plain_share *share)
{
    free(share->inputs);
    free(share->targets);
    free(share->labels);
}

static enum covey_status read_share(const struct covey_dataset *dataset, struct plain_share *out,
                                    struct covey_error *err)
{
    const size_t n = dataset->count;
    *out = (struct plain_share){.inputs = calloc(n * dataset->inputs.width + 1, sizeof *out->inputs),
                                .targets = calloc(n * dataset->targets.width + 1, sizeof *out->targets),
                                .labels = calloc(n * dataset->labels.width + 1, sizeof *out->labels)};
    if (out->inputs == NULL || out->targets == NULL || out->labels == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a share of %zu examples", n);
    if (covey_dataset_read(dataset, NULL, 0, n, out->inputs, dataset->labels.width > 0 ? out->labels : NULL,
                           dataset->targets.width > 0 ? out->targets : NULL) != COVEY_OK)
        return covey_fail(err, COVEY_RANGE, "a share names examples that are not there");
    out->dataset = *dataset;
    out->dataset.index = NULL;
    out->dataset.storage = NULL;
    out->dataset.rows = dataset->count;
    out->dataset.inputs = (struct covey_table){out->inputs, COVEY_ELEMENT_F32, false, dataset->inputs.width};
    out->dataset.labels = (struct covey_table){out->labels, COVEY_ELEMENT_I32, false, dataset->labels.width};
    return COVEY_OK;
}

static enum covey_status write_tables(const struct plain_share *share, const char *stem,
                                      struct covey_error *err)
{
    char inputs[REAL_PATH_BYTES], beside[REAL_PATH_BYTES];
    const uint32_t count = share->dataset.count, targets = share->dataset.targets.width;
    uint32_t *picked = calloc((size_t)count + 1, sizeof *picked);
    if (picked == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u examples", count);
    for (uint32_t i = 0; i < count; i++)
        picked[i] = i;
    (void)snprintf(inputs, sizeof inputs, "%sinputs.idx", stem);
    (void)snprintf(beside, sizeof beside, "%s%s.idx", stem, targets > 0 ? "targets" : "labels");
    enum covey_status status =
        covey_data_write_idx(&share->dataset, picked, count, inputs, targets > 0 ? NULL : beside, err);
    if (status == COVEY_OK && targets > 0) {
        struct covey_dataset table = share->dataset;
        table.inputs = (struct covey_table){share->targets, COVEY_ELEMENT_F32, false, targets};
        table.rank = 0;
        status = covey_data_write_idx(&table, picked, count, beside, NULL, err);
    }
    free(picked);
    return status;
}

/* STEMinputs.idx and STEMlabels.idx or STEMtargets.idx. */
static enum covey_status write_share(const struct covey_dataset *dataset, const char *stem,
                                     struct covey_error *err)
{
    struct plain_share share;
    enum covey_status status = read_share(dataset, &share, err);
    if (status == COVEY_OK)
        status = write_tables(&share, stem, err);
    free_share(&share);
    return status;
}

/* "data: {...}" of what write_share wrote; stem as the configuration sees it. */
static void print_data(FILE *out, const char *key, const struct covey_dataset *dataset, const char *stem)
{
    (void)fprintf(out, "%s: {inputs: [%sinputs.idx], %s: [%s%s.idx]}\n", key, stem,
                  dataset->targets.width > 0 ? "targets" : "labels", stem,
                  dataset->targets.width > 0 ? "targets" : "labels");
}

/* ------------------------------------------------------------------ configurations */

/* Keys that a scenario has beside a server's federation, and those that are written otherwise. */
static const char *const not_the_servers[] = {"name",
                                              "data",
                                              "partition",
                                              "model",
                                              "initial",
                                              "error_feedback",
                                              "feedback_rounds",
                                              "clip_norm",
                                              "store_bytes",
                                              "epochs_from",
                                              "population",
                                              "evaluate_every",
                                              "evaluate_from",
                                              "devices_judged",
                                              "devices_judged_every",
                                              "devices_hold_out",
                                              "devices_validation",
                                              "devices",
                                              "links",
                                              "network",
                                              "availability",
                                              "churn",
                                              "attack"};

static bool is_the_servers(const char *line)
{
    const size_t size = strcspn(line, ":");
    for (size_t i = 0; i < sizeof not_the_servers / sizeof not_the_servers[0]; i++)
        if (strlen(not_the_servers[i]) == size && strncmp(line, not_the_servers[i], size) == 0)
            return false;
    return true;
}

/* The blocks of the scenario's text that are the federation's as well: same keys, same meaning. */
static void print_common_keys(FILE *out, char *text)
{
    bool wanted = false;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] != ' ' && line[0] != '#')
            wanted = is_the_servers(line);
        if (wanted)
            (void)fprintf(out, "    %s\n", line);
    }
}

/* A YAML scalar in single quotes. */
static void print_quoted(FILE *out, const char *text)
{
    (void)fputc('\'', out);
    for (; *text != '\0'; text++)
        (void)fputs(*text == '\'' ? "''" : (char[]){*text, '\0'}, out);
    (void)fputs("'\n", out);
}

/* A file of the scenario's, for a configuration that lies elsewhere. */
static enum covey_status print_file(FILE *out, const char *key, const struct covey_scenario *scenario,
                                    const char *name, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES], whole[PATH_MAX];
    COVEY_TRY(covey_scenario_path(scenario, name, path, err));
    if (realpath(path, whole) == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: %s", path, strerror(errno));
    (void)fprintf(out, "    %s: ", key);
    print_quoted(out, whole);
    return COVEY_OK;
}

static enum covey_status print_model(FILE *out, const struct covey_scenario *scenario,
                                     struct covey_error *err)
{
    const size_t size = strlen(scenario->model);
    if (size > 5 && strcmp(scenario->model + size - 5, ".yaml") == 0)
        COVEY_TRY(print_file(out, "model", scenario, scenario->model, err));
    else
        (void)fprintf(out, "    model: %s\n", scenario->model);
    if (scenario->initial != NULL && scenario->initial[0] != '\0')
        COVEY_TRY(print_file(out, "initial", scenario, scenario->initial, err));
    return COVEY_OK;
}

static enum covey_status print_server(FILE *out, struct real_run *run, struct covey_error *err)
{
    const struct covey_scenario *scenario = run->options.scenario;
    const struct covey_dataset *test = &run->fleet.data.test;
    char *text = NULL;
    (void)fprintf(out,
                  "# Made by covey-sim run --real: the scenario's own keys.\n"
                  "server: {name: localhost, address: 127.0.0.1, port: %u, shards: 1, exit_when_done: true}\n"
                  "log: {level: info}\n"
                  "federations:\n"
                  "  - name: " REAL_FEDERATION "\n",
                  run->port);
    COVEY_TRY(print_model(out, scenario, err));
    if (covey_scenario_write(scenario, &text) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the scenario's text");
    print_common_keys(out, text);
    (void)fprintf(out, "    population: %lld\n",
                  scenario->population > 0 ? (long long)scenario->population : (long long)run->fleet.devices);
    free(text);
    if (test->count > 0) {
        (void)fprintf(out, "    evaluation:\n      ");
        print_data(out, "validation", test, "test-");
    }
    return COVEY_OK;
}

static enum covey_status fill_server(struct real_run *run, struct covey_error *err)
{
    char folder[REAL_PATH_BYTES], path[REAL_PATH_BYTES + 32], log[REAL_PATH_BYTES];
    FILE *file;
    (void)snprintf(folder, sizeof folder, "%s/server", run->options.folder);
    (void)snprintf(log, sizeof log, "%s/logs/set-up.log", run->options.folder);
    const char *const arguments[REAL_ARGUMENTS] = {"init", folder, "--name", "localhost"};
    COVEY_TRY(real_process_run(run->server_program, arguments, log, SET_UP_MS, err));
    (void)snprintf(path, sizeof path, "%s/test-", folder);
    if (run->fleet.data.test.count > 0)
        COVEY_TRY(write_share(&run->fleet.data.test, path, err));
    (void)snprintf(path, sizeof path, "%s/server.yaml", folder);
    COVEY_TRY(open_to_write(path, &file, err));
    const enum covey_status status = print_server(file, run, err);
    const enum covey_status closed = close_written(file, path, status == COVEY_OK ? err : NULL);
    return status != COVEY_OK ? status : closed;
}

void real_relay_address(uint32_t link_class, char out[16])
{
    (void)snprintf(out, 16, "127.0.0.%u", 2 + link_class % REAL_NETWORKS);
}

static void print_client(FILE *out, const struct real_run *run, uint32_t device,
                         const struct covey_dataset *share)
{
    const struct covey_scenario *scenario = run->options.scenario;
    struct covey_virtual_device kind;
    char relay[16];
    covey_world_device(run->world, device, &kind);
    real_relay_address(kind.link_class, relay);
    static const char *const words[] = {
        [COVEY_FEEDBACK_ON] = "on", [COVEY_FEEDBACK_OFF] = "off", [COVEY_FEEDBACK_AUTO] = "auto"};
    (void)fprintf(out,
                  "# Made by covey-sim run --real. The server's address is a relay's, with the link's round "
                  "trip, loss and rate.\n"
                  "server: \"%s:%u\"\n"
                  "server_name: localhost\n"
                  "federation: " REAL_FEDERATION "\n"
                  "exit_when_done: true\n"
                  "keep_last: false # a simulation ends with the last update\n"
                  "metrics: false   # nor has it reports\n"
                  "reconnect_ms: 500\n"
                  "error_feedback: %s\n"
                  "clip_norm: %.17g\n"
                  "log: {level: info}\n",
                  relay, run->port, words[scenario->feedback], scenario->clip_norm);
    if (scenario->feedback_rounds > 0)
        (void)fprintf(out, "feedback_rounds: %lld\n", (long long)scenario->feedback_rounds);
    print_data(out, "data", share, "");
}

static enum covey_status fill_device(struct real_run *run, uint32_t device, uint32_t *scratch,
                                     struct covey_error *err)
{
    char name[COVEY_FLEET_NAME_BYTES], server[REAL_PATH_BYTES], folder[REAL_PATH_BYTES],
        path[REAL_PATH_BYTES + 32], log[REAL_PATH_BYTES];
    struct covey_dataset share;
    FILE *file;
    covey_virtual_fleet_name(device, name);
    (void)snprintf(server, sizeof server, "%s/server", run->options.folder);
    (void)snprintf(folder, sizeof folder, "%s/devices/%s", run->options.folder, name);
    (void)snprintf(log, sizeof log, "%s/logs/set-up.log", run->options.folder);
    const char *const arguments[REAL_ARGUMENTS] = {"device", "add", server, name, "--out", folder};
    COVEY_TRY(real_process_run(run->server_program, arguments, log, SET_UP_MS, err));
    covey_virtual_fleet_share(&run->fleet, device, false, scratch, &share);
    (void)snprintf(path, sizeof path, "%s/", folder);
    COVEY_TRY(write_share(&share, path, err));
    (void)snprintf(path, sizeof path, "%s/client.yaml", folder);
    COVEY_TRY(open_to_write(path, &file, err));
    print_client(file, run, device, &share);
    return close_written(file, path, err);
}

enum covey_status real_folder_fill(struct real_run *run, struct covey_error *err)
{
    COVEY_TRY(fill_server(run, err));
    uint32_t *scratch = calloc((size_t)covey_partition_most(run->fleet.partition) + 1, sizeof *scratch);
    enum covey_status status =
        scratch == NULL ? covey_fail(err, COVEY_NO_MEMORY, "no memory for a share") : COVEY_OK;
    for (uint32_t device = 0; device < run->fleet.devices && status == COVEY_OK; device++)
        status = fill_device(run, device, scratch, err);
    free(scratch);
    return status;
}
