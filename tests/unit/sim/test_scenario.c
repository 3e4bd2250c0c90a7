/* Scenario files: what is read, overridden, written back, and refused with its place. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/yaml.h"
#include "scenario.h"
#include "sim_data.h"

#define SCENARIOS COVEY_SOURCE_DIR "/examples/scenarios"

static char work[64];

/* A data folder in which every set of the catalogue seems to be: loading a scenario only looks for a marker.
 */
static void pretend_data(void)
{
    const struct covey_sim_set *set;
    char path[256];
    snprintf(work, sizeof work, "/tmp/covey-scenario-XXXXXX");
    cr_assert(mkdtemp(work) != NULL);
    for (size_t i = 0; (set = covey_sim_set_at(i)) != NULL; i++) {
        snprintf(path, sizeof path, "mkdir -p %s/data/%s && : >%s/data/%s/%s", work, set->folder, work,
                 set->folder, set->marker);
        cr_assert(system(path) == 0);
    }
    snprintf(path, sizeof path, "%s/data", work);
    setenv("COVEY_DATA", path, 1);
}

static void clear(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", work);
    cr_assert(system(command) == 0);
}

TestSuite(scenario, .init = pretend_data, .fini = clear);

static const char *write_file(const char *text)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/scenario.yaml", work);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
    return path;
}

static const char small[] = "name: small\n"
                            "data: {set: mnist}\n"
                            "partition: {kind: iid, devices: 50}\n"
                            "model: 2nn\n";

/* ------------------------------------------------------------------ what ships */

Test(scenario, every_shipped_one_loads_and_is_written_back_to_the_same_hash)
{
    struct dirent *entry;
    uint32_t count = 0;
    DIR *folder = opendir(SCENARIOS);
    cr_assert(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        char path[512], *text = NULL;
        struct covey_scenario scenario = {0}, again = {0};
        struct covey_error err = {0};
        if (strstr(entry->d_name, ".yaml") == NULL)
            continue;
        snprintf(path, sizeof path, SCENARIOS "/%s", entry->d_name);
        cr_assert(covey_scenario_load(path, NULL, 0, &scenario, &err) == COVEY_OK, "%s", err.text);
        char expected[300];
        snprintf(expected, sizeof expected, "%s.yaml", scenario.name);
        cr_assert(strcmp(expected, entry->d_name) == 0, "%s calls itself %s", entry->d_name, scenario.name);
        cr_assert(covey_scenario_write(&scenario, &text) == COVEY_OK);
        cr_assert(covey_scenario_load(write_file(text), NULL, 0, &again, &err) == COVEY_OK, "%s\n%s",
                  err.text, text);
        cr_assert(memcmp(&scenario.hash, &again.hash, sizeof scenario.hash) == 0, "%s", text);
        free(text);
        covey_scenario_free(&scenario);
        covey_scenario_free(&again);
        count++;
    }
    closedir(folder);
    cr_assert(count >= 11, "%u scenarios", count);
}

/* ------------------------------------------------------------------ defaults and overrides */

Test(scenario, defaults_are_those_of_a_federation)
{
    struct covey_scenario scenario = {0};
    struct covey_error err = {0};
    cr_assert(covey_scenario_load(write_file(small), NULL, 0, &scenario, &err) == COVEY_OK, "%s", err.text);
    cr_assert(scenario.train.epochs == 1 && scenario.train.batch == 32);
    cr_assert(!(scenario.train.learning_rate < .1f || scenario.train.learning_rate > .1f));
    cr_assert(strcmp(scenario.codec, "ec:2") == 0 && strcmp(scenario.downlink, "ec:1") == 0);
    cr_assert(scenario.rules.deadline_ms == 300000 && scenario.rules.minimum_devices == 1);
    cr_assert(!(scenario.rules.fraction < 1) && !scenario.rules.has_target);
    cr_assert(scenario.seed == 1 && scenario.train.seed == 1 && scenario.evaluate_every == 1);
    cr_assert(covey_scenario_devices(&scenario) == 50);
    covey_scenario_free(&scenario);
    covey_scenario_free(&scenario); /* an all-zero one is legal */
}

Test(scenario, settings_replace_what_the_file_says)
{
    static const char *const settings[] = {
        "train.epochs=5", "codec=raw32",    "selection.count=7",    "partition.devices=20",
        "name=other",     "train.batch=-1", "train.optimiser=adam", "links=[{class: perfect, share: 2}]",
        "train.epochs=6"};
    struct covey_scenario scenario = {0}, plain = {0};
    struct covey_error err = {0};
    const char *file = write_file(small);
    cr_assert(covey_scenario_load(file, settings, 9, &scenario, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_scenario_load(file, NULL, 0, &plain, &err) == COVEY_OK);
    cr_assert(scenario.train.epochs == 6 && scenario.train.batch == 0);
    cr_assert(scenario.train.optimiser == COVEY_OPTIMISER_ADAM);
    cr_assert(!(scenario.train.learning_rate < .001f || scenario.train.learning_rate > .001f));
    cr_assert(strcmp(scenario.codec, "raw32") == 0 && strcmp(scenario.name, "other") == 0);
    cr_assert(scenario.rules.count == 7 && scenario.partition.devices == 20);
    cr_assert(scenario.link_class_count == 1 && scenario.links[0].share > 1.5);
    cr_assert(memcmp(&scenario.hash, &plain.hash, sizeof plain.hash) != 0);
    covey_scenario_free(&scenario);
    covey_scenario_free(&plain);
}

Test(scenario, any_text_and_number_survives_being_written)
{
    static const char *const names[] = {"true", "a: \\\"b\\\" #c", "- x",        "caf\\u00e9 \\\\ 'q'",
                                        "1e5",  "[a, b]",          "two\\nlines"};
    static const char *const rates[] = {".1", "0.30000001192", "1.5e-6", "3.14159265358979", "0.06"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[256], *written = NULL;
        struct covey_scenario scenario = {0}, again = {0};
        struct covey_error err = {0};
        snprintf(text, sizeof text,
                 "name: \"%s\"\ndata: {set: mnist}\npartition: {devices: 50, alpha: %s}\nmodel: 2nn\n"
                 "train: {learning_rate: %s}\n",
                 names[i], rates[i % 5], rates[i % 5]);
        cr_assert(covey_scenario_load(write_file(text), NULL, 0, &scenario, &err) == COVEY_OK, "%s",
                  err.text);
        cr_assert(covey_scenario_write(&scenario, &written) == COVEY_OK);
        cr_assert(covey_scenario_load(write_file(written), NULL, 0, &again, &err) == COVEY_OK, "%s\n%s",
                  err.text, written);
        cr_assert(strcmp(scenario.name, again.name) == 0, "%s", written);
        cr_assert(memcmp(&scenario.hash, &again.hash, sizeof again.hash) == 0);
        cr_assert(memcmp(&scenario.train.learning_rate, &again.train.learning_rate, 4) == 0);
        cr_assert(memcmp(&scenario.partition.alpha, &again.partition.alpha, 8) == 0);
        free(written);
        covey_scenario_free(&scenario);
        covey_scenario_free(&again);
    }
}

/* ------------------------------------------------------------------ refusals */

static const struct refusal {
    const char *text, *setting, *expect[3];
} refusals[] = {
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\ntrian: {epochs: 1}\n", NULL, {":4: ", "trian", "train"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\ntrain:\n  epoch: 1\n", NULL, {":5: ", "epoch", "epochs"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\nseed: many\n", NULL, {":4: ", "seed", "whole number"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {kind: random}\n",
     NULL,
     {":4: ", "kind", "random"}},
    {"name: a\ndata: {set: mnist}\n", NULL, {":1: ", "model", "missing"}},
    {"model: 2nn\ndata: {set: mnist}\n", NULL, {":1: ", "name", "missing"}},
    {"name: a\nmodel: 2nn\n", NULL, {":1: ", "data", "missing"}},
    {"name: a\nmodel: 2nn\n\ndata: {set: mnits}\n", NULL, {":4: ", "mnits", "fashion-mnist"}},
    {"name: a\nmodel: 2nn\ndata:\n  train: {inputs: [nowhere.idx]}\n",
     NULL,
     {":3: ", "nowhere.idx", "No such"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\n", NULL, {":1: ", "devices", "how many"}},
    {"name: a\nmodel: 3nn\ndata: {set: mnist}\npartition: {devices: 5}\n", NULL, {":2: ", "3nn", "model"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 5}\n"
     "selection:\n  count: 6\n",
     NULL,
     {":6: ", "only 5 devices", "count is 6"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 50}\n"
     "selection: {count: 6}\nround:\n  pause_s: 1\n  goal: 9\n",
     NULL,
     {":8: ", "goal is 9", "6 devices"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition:\n  devices: 70000\n",
     NULL,
     {":5: ", "70000", "drawn"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition:\n  kind: drawn\n  devices: 70000\n",
     NULL,
     {":4: ", "examples", "how many"}},
    {"name: a\nmodel: 2nn\ndata: {set: fashion-mnist}\npartition: {kind: natural}\n",
     NULL,
     {":4: ", "whose", "dirichlet"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {kind: natural, devices: 600}\n",
     NULL,
     {":4: ", "539", "writer"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 5}\ncodec: int9\n",
     NULL,
     {":5: ", "int9", ""}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 5}\nstrategy: best\n",
     NULL,
     {":5: ", "strategy", "best"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 5}\ndevices: [{class: pi-9}]\n",
     NULL,
     {":5: ", "pi-9", "pi-4"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 5}\nlinks: [{class: 6g}]\n",
     NULL,
     {":5: ", "6g", "perfect"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 5}\n"
     "availability: {kind: trace, trace: gone.csv}\n",
     NULL,
     {":5: ", "gone.csv", "read"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist}\npartition: {devices: 5}\ndevices:\n  - {class: cortex-m7}\n",
     NULL,
     {":5: ", "cortex-m7", "1.0 MB"}},
    {"name: a\nmodel: 2nn\ndata: {set: beijing-air}\npartition: {devices: 5}\n",
     NULL,
     {":2: ", "regression", "air-quality"}},
    {small, "data.validation=60000", {"--set data.validation: ", "leaves nothing", "60000"}},
    {"name: a\nmodel: 2nn\ndata: {set: mnist, validation: 5000}\npartition: {devices: 55001}\n",
     NULL,
     {":4: ", "55001", "55000 examples"}},
    {small, "train.epoch=3", {"--set train.epoch: ", "epoch", "epochs"}},
    {small, "train.epochs=lots", {"--set train.epochs: ", "whole number", "lots"}},
    {small, "selection.count=51", {"--set selection.count: ", "51", "50 devices"}},
    {small, "train.epochs", {"--set train.epochs", "VALUE", ""}},
    {small, "model=4nn", {"--set model: ", "4nn", ""}},
    {"name: a\nmodel: \"2nn\n", NULL, {":", "YAML", ""}},
};

Test(scenario, what_is_wrong_is_refused_with_file_line_and_hint)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *refusal = &refusals[i];
        struct covey_scenario scenario = {0};
        struct covey_error err = {0};
        const char *file = write_file(refusal->text);
        const enum covey_status status =
            covey_scenario_load(file, &refusal->setting, refusal->setting != NULL ? 1 : 0, &scenario, &err);
        cr_assert(status != COVEY_OK, "case %zu was taken", i);
        cr_assert(scenario.name == NULL);
        if (refusal->setting == NULL)
            cr_assert(strncmp(err.text, file, strlen(file)) == 0, "case %zu: %s", i, err.text);
        for (size_t k = 0; k < 3; k++)
            cr_assert(strstr(err.text, refusal->expect[k]) != NULL, "case %zu wants '%s': %s", i,
                      refusal->expect[k], err.text);
    }
}

Test(scenario, missing_data_names_the_command_that_brings_it)
{
    struct covey_scenario scenario = {0};
    struct covey_error err = {0};
    const char *file = write_file(small);
    setenv("COVEY_DATA", "/nonexistent", 1);
    setenv("COVEY_CACHE", "/nonexistent", 1);
    cr_assert(covey_scenario_load(file, NULL, 0, &scenario, &err) == COVEY_NOT_FOUND);
    cr_assert(strstr(err.text, "scenario.yaml:2: ") != NULL, "%s", err.text);
    cr_assert(strstr(err.text, "scripts/data mnist") != NULL, "%s", err.text);
    cr_assert(covey_scenario_load("/nonexistent.yaml", NULL, 0, &scenario, &err) == COVEY_NOT_FOUND);
    cr_assert(strstr(err.text, "/nonexistent.yaml") != NULL, "%s", err.text);
}

/* ------------------------------------------------------------------ lines */

Test(scenario, the_line_of_a_key_or_of_the_innermost_that_is_there)
{
    const char *file = write_file("a: 1\nb:\n  c: {d: 5}\n  e:\n    f: 6\n");
    const struct {
        const char *path;
        uint32_t line;
    } cases[] = {{"a", 1},     {"b", 2},     {"b.c", 3}, {"b.c.d", 3},
                 {"b.e.f", 5}, {"b.e.x", 4}, {"x", 1},   {"b.x.y", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        cr_assert(covey_yaml_line(file, cases[i].path) == cases[i].line, "%s: %u", cases[i].path,
                  covey_yaml_line(file, cases[i].path));
}
