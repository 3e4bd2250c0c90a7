#include "little_fleet.h"

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"

#define FEATURES 12
#define CLASSES 4

static const char model_text[] = "name: little\n"
                                 "input: {shape: [12]}\n"
                                 "loss: softmax_cross_entropy\n"
                                 "ops:\n"
                                 "  - {op: dense, name: hidden, units: 16}\n"
                                 "  - {op: relu}\n"
                                 "  - {op: dense, name: output, units: 4}\n";

static const char scenario_text[] = "name: little\n"
                                    "seed: 7\n"
                                    "data:\n"
                                    "  train: {csv: {files: [train.csv], label: label}}\n"
                                    "  test: {csv: {files: [test.csv], label: label}}\n"
                                    "model: little.yaml\n"
                                    "devices: [{class: pi-4}]\n";

static FILE *open_in(const struct little_fleet *fleet, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", fleet->folder, name);
    FILE *stream = fopen(path, "w");
    cr_assert_not_null(stream);
    return stream;
}

static void write_points(const struct little_fleet *fleet, const char *name, uint32_t count, uint64_t seed)
{
    struct covey_random random;
    FILE *stream = open_in(fleet, name);
    covey_random_init(&random, seed, 0, 0, COVEY_PURPOSE_TEST);
    for (uint32_t f = 0; f < FEATURES; f++)
        (void)fprintf(stream, "x%u,", f);
    (void)fprintf(stream, "label\n");
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t label = covey_random_below(&random, CLASSES);
        for (uint32_t f = 0; f < FEATURES; f++)
            (void)fprintf(stream, "%.6f,", (f % CLASSES == label) + covey_random_double(&random) - .5);
        (void)fprintf(stream, "%u\n", label);
    }
    (void)fclose(stream);
}

void little_fleet_init(struct little_fleet *fleet, const char *more)
{
    (void)snprintf(fleet->folder, sizeof fleet->folder, "/tmp/covey-little-XXXXXX");
    cr_assert_not_null(mkdtemp(fleet->folder));
    (void)snprintf(fleet->file, sizeof fleet->file, "%s/scenario.yaml", fleet->folder);
    write_points(fleet, "train.csv", 400, 1);
    write_points(fleet, "test.csv", 1200, 2);
    FILE *stream = open_in(fleet, "little.yaml");
    (void)fputs(model_text, stream);
    (void)fclose(stream);
    stream = open_in(fleet, "scenario.yaml");
    (void)fputs(scenario_text, stream);
    (void)fputs(more, stream);
    (void)fclose(stream);
}

void little_fleet_deinit(struct little_fleet *fleet)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fleet->folder);
    cr_assert_eq(system(command), 0);
}

void little_fleet_play(const struct little_fleet *fleet, const char *const *settings, uint32_t count,
                       const struct covey_simulation_options *options, struct covey_sim_summary *out)
{
    struct covey_scenario scenario;
    struct covey_simulation *simulation = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_scenario_load(fleet->file, settings, count, &scenario, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_simulation_create(&scenario, options, &simulation, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_simulation_run(simulation, out, &err), COVEY_OK, "%s", err.text);
    covey_simulation_destroy(simulation);
    covey_scenario_free(&scenario);
}
