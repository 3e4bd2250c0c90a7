/* covey-sim partition: shows who holds what in a scenario; or cuts a data set into shares, a folder each with
 * plain IDX files, so that a federation can be tried on one host with every device holding data of its own.
 */
#include "sim_commands.h"

#include "covey/dataset_load.h"
#include "dealing.h"
#include "partition_picture.h"
#include "scenario.h"
#include "sim_data.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LABELS_SHOWN 20

static const char help[] =
    "usage: covey-sim partition SCENARIO.yaml [--set KEY.PATH=VALUE]... [--picture FILE.svg] [--json]\n"
    "       covey-sim partition --inputs FILE --labels FILE --devices N --out DIR [OPTIONS]\n"
    "\n"
    "Shows how a scenario's examples lie on its devices, as a table and as a picture.\n"
    "\n"
    "  --set KEY=VALUE   in place of what the file says, as partition.alpha=.1\n"
    "  --picture FILE    a bar a device, stacked by label, as SVG\n"
    "\n"
    "Cuts a data set (IDX or NPY, .gz or not) into shares: DIR/device-01/inputs.idx and labels.idx, and so "
    "on.\n"
    "\n"
    "  --split KIND      iid, dirichlet (default: as many examples each, unlike labels), dirichlet-uneven, "
    "shards\n"
    "  --alpha A         of dirichlet; small = unlike (default .5)\n"
    "  --shards K        of shards: labels a device, about (default 2)\n"
    "  --hold-out N      the first N examples of a shuffled order go to DIR/held-out instead (default 0)\n"
    "  --seed S          same seed, same shares (default 1)\n"
    "  --json            one object on standard output instead of the table\n";

struct partition_options {
    char *inputs, *labels;
    const char *out;
    struct covey_data_split split;
    long hold_out;
    bool json;
    const char *scenario, *picture;
    const char *settings[COVEY_SIM_SETTINGS];
    uint32_t setting_count;
};

static int wrong(const char *what, const char *value)
{
    (void)fprintf(stderr, "covey-sim partition: %s%s%s\n\n%s", what, value != NULL ? ": " : "",
                  value != NULL ? value : "", help);
    return 2;
}

static bool parse_whole(const char *text, long minimum, long maximum, long *out)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < minimum || value > maximum)
        return false;
    *out = value;
    return true;
}

static bool parse_split(const char *word, int64_t *kind)
{
    static const struct {
        const char *word;
        enum covey_split_kind kind;
    } kinds[] = {{"iid", COVEY_SPLIT_IID},
                 {"dirichlet", COVEY_SPLIT_DIRICHLET},
                 {"dirichlet-uneven", COVEY_SPLIT_DIRICHLET_UNEVEN},
                 {"shards", COVEY_SPLIT_SHARDS}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(word, kinds[i].word) == 0) {
            *kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct partition_options *options)
{
    static const struct option longs[] = {
        {"inputs", required_argument, NULL, 'i'},   {"labels", required_argument, NULL, 'l'},
        {"devices", required_argument, NULL, 'n'},  {"out", required_argument, NULL, 'o'},
        {"split", required_argument, NULL, 'p'},    {"alpha", required_argument, NULL, 'a'},
        {"shards", required_argument, NULL, 'k'},   {"seed", required_argument, NULL, 's'},
        {"hold-out", required_argument, NULL, 'v'}, {"set", required_argument, NULL, 'S'},
        {"picture", required_argument, NULL, 'P'},  {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    long number = 0;
    for (int option; (option = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        bool good = true;
        switch (option) {
        case 'i':
            options->inputs = optarg;
            break;
        case 'l':
            options->labels = optarg;
            break;
        case 'o':
            options->out = optarg;
            break;
        case 'j':
            options->json = true;
            break;
        case 'P':
            options->picture = optarg;
            break;
        case 'S':
            good = options->setting_count < COVEY_SIM_SETTINGS;
            if (good)
                options->settings[options->setting_count++] = optarg;
            break;
        case 'h':
            (void)fputs(help, stdout);
            return 0;
        case 'p':
            good = parse_split(optarg, &options->split.kind);
            break;
        case 'n':
            good = parse_whole(optarg, 1, COVEY_DEVICES, &number);
            options->split.devices = number;
            break;
        case 'k':
            good = parse_whole(optarg, 1, 1000, &number);
            options->split.shards = number;
            break;
        case 's':
            good = parse_whole(optarg, 0, 1L << 30, &number);
            options->split.seed = number;
            break;
        case 'v':
            good = parse_whole(optarg, 0, (long)COVEY_DATASET_EXAMPLES, &options->hold_out);
            break;
        case 'a': {
            char *end;
            options->split.alpha = strtod(optarg, &end);
            good = *end == '\0' && options->split.alpha > 0 && options->split.alpha < 1e6;
            break;
        }
        default:
            (void)fprintf(stderr, "\n%s", help);
            return 2;
        }
        if (!good)
            return wrong("not a value that this option takes", optarg);
    }
    if (optind < argc)
        options->scenario = argv[optind++];
    if (optind < argc)
        return wrong("unexpected argument", argv[optind]);
    if (options->scenario != NULL)
        return options->inputs == NULL && options->labels == NULL && options->out == NULL
                   ? -1
                   : wrong("a scenario, or --inputs, --labels and --out; not both", NULL);
    if (options->setting_count != 0 || options->picture != NULL)
        return wrong("--set and --picture want a scenario", NULL);
    if (options->inputs == NULL || options->labels == NULL || options->out == NULL ||
        options->split.devices == 0)
        return wrong("--inputs, --labels, --devices and --out are needed", NULL);
    return -1;
}

static enum covey_status make_folder(const char *path, struct covey_error *err)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return covey_fail(err, COVEY_IO, "%s: cannot make this folder: %s", path, strerror(errno));
    return COVEY_OK;
}

/* One share as DIR/NAME/inputs.idx and labels.idx. */
static enum covey_status write_share(const struct covey_dataset *dataset, const char *out, const char *name,
                                     const uint32_t *picked, uint32_t count, struct covey_error *err)
{
    char folder[COVEY_FILE_PATH_BYTES], inputs[COVEY_FILE_PATH_BYTES + 16],
        labels[COVEY_FILE_PATH_BYTES + 16];
    if (snprintf(folder, sizeof folder, "%s/%s", out, name) >= (int)sizeof folder)
        return covey_fail(err, COVEY_LIMIT, "%s: the path is too long", out);
    COVEY_TRY(make_folder(folder, err));
    (void)snprintf(inputs, sizeof inputs, "%s/inputs.idx", folder);
    (void)snprintf(labels, sizeof labels, "%s/labels.idx", folder);
    return covey_data_write_idx(dataset, picked, count, inputs, labels, err);
}

/* A line of the table, or an element of the JSON array: how many of each label. */
static void print_share(const struct covey_dataset *dataset, const char *name, const uint32_t *picked,
                        uint32_t count, bool json, bool first)
{
    uint32_t counts[LABELS_SHOWN] = {0};
    int32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        const int32_t label = covey_dataset_label(dataset, picked[i]);
        if (label >= 0 && label < LABELS_SHOWN)
            counts[label]++;
        most = label > most && label < LABELS_SHOWN ? label : most;
    }
    if (json)
        (void)printf("%s{\"name\":\"%s\",\"examples\":%u,\"labels\":[", first ? "" : ",", name, count);
    else
        (void)printf("%-10s %7u  ", name, count);
    for (int32_t label = 0; label <= most; label++)
        (void)printf(json ? "%s%u" : "%s%6u", json && label > 0 ? "," : "", counts[label]);
    (void)printf(json ? "]}" : "\n");
}

/* The held-out part comes from the seed's own IID order, so it is like the whole. */
static enum covey_status hold_out(const struct covey_dataset *whole, const struct partition_options *options,
                                  uint32_t *order, struct covey_dataset *rest, struct covey_error *err)
{
    struct covey_data_split shuffle = {.kind = COVEY_SPLIT_IID, .devices = 1, .seed = options->split.seed};
    uint32_t end;
    if (options->hold_out >= (long)whole->count)
        return covey_fail(err, COVEY_INVALID, "--hold-out %ld: the set has only %u examples",
                          options->hold_out, whole->count);
    COVEY_TRY(covey_data_split(whole, &shuffle, order, &end, err));
    const uint32_t held = (uint32_t)options->hold_out;
    if (held > 0)
        COVEY_TRY(write_share(whole, options->out, "held-out", order, held, err));
    return covey_dataset_view(whole, order + held, whole->count - held, rest, err);
}

static enum covey_status partition(const struct partition_options *options, struct covey_error *err)
{
    char *input_names[] = {options->inputs}, *label_names[] = {options->labels};
    const struct covey_data_config config = {.inputs = {input_names, 1}, .labels = {label_names, 1}};
    struct covey_dataset whole = {0}, rest = {0};
    uint32_t *order = NULL, *ends = NULL;
    enum covey_status status = covey_data_load(&config, NULL, &whole, err);
    if (status != COVEY_OK)
        goto cleanup;
    order = calloc(whole.count, sizeof *order);
    ends = calloc((size_t)options->split.devices, sizeof *ends);
    if (order == NULL || ends == NULL) {
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %u examples", whole.count);
        goto cleanup;
    }
    if ((status = make_folder(options->out, err)) != COVEY_OK ||
        (status = hold_out(&whole, options, order, &rest, err)) != COVEY_OK ||
        (status = covey_data_split(&rest, &options->split, order, ends, err)) != COVEY_OK)
        goto cleanup;
    if (options->json)
        (void)printf("{\"shares\":[");
    for (uint32_t device = 0, first = 0; device < (uint32_t)options->split.devices; first = ends[device++]) {
        char name[32];
        (void)snprintf(name, sizeof name, "device-%02u", device + 1);
        status = write_share(&rest, options->out, name, order + first, ends[device] - first, err);
        if (status != COVEY_OK)
            goto cleanup;
        print_share(&rest, name, order + first, ends[device] - first, options->json, device == 0);
    }
    if (options->json)
        (void)printf("]}\n");

cleanup:
    free(order);
    free(ends);
    covey_dataset_deinit(&rest);
    covey_dataset_deinit(&whole);
    return status;
}

/* ------------------------------------------------------------------ of a scenario */

static enum covey_status draw(const char *path, const struct covey_partition_view *view,
                              struct covey_error *err)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    enum covey_status status = covey_partition_draw(file, view, err);
    if (fclose(file) != 0 && status == COVEY_OK)
        status = covey_fail(err, COVEY_IO, "%s: %s", path, strerror(errno));
    return status;
}

/* *load_failed: the scenario is wrong, not what was done with it. */
static enum covey_status show(const struct partition_options *options, bool *load_failed,
                              struct covey_error *err)
{
    struct covey_scenario scenario = {0};
    struct covey_sim_data data = {0};
    struct covey_partition *partition = NULL;
    bool *hostile = NULL;
    struct covey_partition_view view;
    enum covey_status status =
        covey_scenario_load(options->scenario, options->settings, options->setting_count, &scenario, err);
    *load_failed = status != COVEY_OK;
    if (status == COVEY_OK)
        status = covey_sim_data_load(&scenario, &data, err);
    if (status == COVEY_OK)
        status = covey_deal(&scenario, &data, &partition, &hostile, err);
    if (status == COVEY_OK)
        status = covey_partition_view(scenario.name, &data.train, partition, &view, err);
    if (status == COVEY_OK)
        status = options->json ? covey_partition_print_json(stdout, &view, err)
                               : covey_partition_print(stdout, &view, err);
    if (status == COVEY_OK && options->picture != NULL)
        status = draw(options->picture, &view, err);
    covey_partition_destroy(partition);
    free(hostile);
    covey_sim_data_free(&data);
    covey_scenario_free(&scenario);
    return status;
}

int command_partition(int argc, char **argv)
{
    struct partition_options options = {
        .split = {.kind = COVEY_SPLIT_DIRICHLET, .alpha = .5, .shards = 2, .seed = 1}};
    const int done = parse_options(argc, argv, &options);
    if (done >= 0)
        return done;
    struct covey_error err = {0};
    bool wrong_scenario = false;
    const enum covey_status status =
        options.scenario != NULL ? show(&options, &wrong_scenario, &err) : partition(&options, &err);
    if (status != COVEY_OK) {
        (void)fprintf(stderr, "covey-sim partition: %s\n", err.text);
        return wrong_scenario ? 2 : 1;
    }
    return 0;
}
