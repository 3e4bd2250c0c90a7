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

static const char personal_text[] = "name: personal\n"
                                    "input: {shape: [12]}\n"
                                    "loss: softmax_cross_entropy\n"
                                    "ops:\n"
                                    "  - {op: dense, name: hidden, units: 16}\n"
                                    "  - {op: relu}\n"
                                    "  - {op: dense, name: output, units: 4, scope: personal}\n";

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
    stream = open_in(fleet, "personal.yaml");
    (void)fputs(personal_text, stream);
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

static void on_round(void *user, const struct covey_sim_round *round)
{
    struct little_run *run = user;
    if (run->row_count < LITTLE_ROWS)
        run->rows[run->row_count++] = *round;
    if (round->round == run->stop_after)
        covey_simulation_stop(run->simulation);
}

void little_fleet_play(const struct little_fleet *fleet, const char *const *settings, uint32_t count,
                       struct little_run *run)
{
    struct covey_scenario scenario;
    struct covey_error err = {0};
    run->options.on_round = on_round;
    run->options.user = run;
    cr_assert_eq(covey_scenario_load(fleet->file, settings, count, &scenario, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_simulation_create(&scenario, &run->options, &run->simulation, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_simulation_run(run->simulation, &run->summary, &err), COVEY_OK, "%s", err.text);
    covey_simulation_destroy(run->simulation);
    covey_scenario_free(&scenario);
}

bool little_runs_agree(const struct little_run *a, const struct little_run *b)
{
    if (a->row_count != b->row_count)
        return false;
    for (uint32_t i = 0; i < a->row_count; i++) {
        char text[2][2048];
        const struct covey_sim_round *rows[2] = {&a->rows[i], &b->rows[i]};
        for (int side = 0; side < 2; side++) {
            struct covey_sim_round row = *rows[side];
            row.wall_s = 0;
            FILE *out = fmemopen(text[side], sizeof text[side], "w");
            cr_assert_not_null(out);
            covey_sim_round_write(out, &row);
            (void)fclose(out);
        }
        if (strcmp(text[0], text[1]) != 0) {
            (void)fprintf(stderr, "round %u differs:\n%s\n%s\n", rows[0]->round, text[0], text[1]);
            return false;
        }
    }
    return true;
}
