/* The catalogue's sets as they are loaded, and data of the user's own. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attack.h"
#include "covey/model.h"
#include "covey/trainer.h"
#include "partition.h"
#include "sim_data.h"

static bool is_here(const char *name)
{
    char folder[COVEY_FILE_PATH_BYTES];
    const struct covey_sim_set *set = covey_sim_set_find(name);
    cr_assert(set != NULL, "%s", name);
    if (covey_sim_set_folder(set, folder, NULL) == COVEY_OK)
        return true;
    /* Fashion-MNIST comes from a package; the others must be where COVEY_DATA says */
    cr_assert(getenv("COVEY_DATA") == NULL || strcmp(name, "fashion-mnist") == 0, "%s is not in COVEY_DATA",
              name);
    fprintf(stderr, "COVEY-SKIP: no data set %s\n", name);
    return false;
}

static void load(const char *name, struct covey_sim_data *out)
{
    struct covey_scenario scenario = {.seed = 1};
    struct covey_error err = {0};
    scenario.data.set = (char *)(uintptr_t)name;
    cr_assert(covey_sim_data_load(&scenario, out, &err) == COVEY_OK, "%s", err.text);
}

/* What every set must be: as the catalogue says, finite, owned, and fit for its model. */
static void check_set(const struct covey_sim_set *set, const struct covey_sim_data *data)
{
    struct covey_model_description *model = calloc(1, sizeof *model);
    struct covey_model_summary summary;
    struct covey_error err = {0};
    cr_assert(covey_model_load(set->model, model, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_model_summarise(model, &summary, &err) == COVEY_OK);
    cr_assert(data->train.count == set->examples, "%s: %u examples", set->name, data->train.count);
    cr_assert(data->test.count > 0 && data->test.inputs.width == data->train.inputs.width);
    cr_assert((data->owners != NULL) == (set->owner != NULL), "%s", set->name);
    uint32_t wanted = 1;
    for (uint32_t i = 0; i < model->input_rank; i++)
        wanted *= model->input_shape[i];
    cr_assert(wanted == data->train.inputs.width, "%s: %u values, its model wants %u", set->name,
              data->train.inputs.width, wanted);
    if (set->classes == 0) {
        cr_assert(data->train.targets.width == 1 && data->train.labels.width == 0);
    } else {
        uint32_t classes = 0, test_classes = 0;
        cr_assert(covey_dataset_classes(&data->train, &classes, &err) == COVEY_OK, "%s", err.text);
        cr_assert(covey_dataset_classes(&data->test, &test_classes, &err) == COVEY_OK, "%s", err.text);
        cr_assert(classes <= set->classes && test_classes <= set->classes);
        cr_assert(summary.classes >= classes);
    }
    if (data->owners != NULL) {
        const struct covey_partition_config natural = {.kind = COVEY_PARTITION_NATURAL};
        struct covey_partition *partition = NULL;
        cr_assert(covey_partition_create(&data->train, data->owners, data->owner_count, &natural, 1,
                                         &partition, &err) == COVEY_OK);
        cr_assert(covey_partition_devices(partition) == set->owners, "%s: %u owners", set->name,
                  covey_partition_devices(partition));
        covey_partition_destroy(partition);
    }
    float *x = calloc(data->train.inputs.width, sizeof *x), target = 0;
    int32_t label = 0;
    for (uint32_t i = 0; i < data->train.count; i += 97) {
        cr_assert(covey_dataset_read(&data->train, NULL, i, 1, x, set->classes != 0 ? &label : NULL,
                                     set->classes == 0 ? &target : NULL) == COVEY_OK);
        for (uint32_t k = 0; k < data->train.inputs.width; k++)
            cr_assert(fabsf(x[k]) < 1e4f, "%s: example %u, value %u is %g", set->name, i, k, (double)x[k]);
        cr_assert(fabsf(target) < 20);
    }
    free(x);
    free(model);
}

Test(sim_data, each_set_is_what_the_catalogue_says)
{
    const struct covey_sim_set *set;
    for (size_t i = 0; (set = covey_sim_set_at(i)) != NULL; i++) {
        struct covey_sim_data data = {0};
        if (!is_here(set->name))
            continue;
        load(set->name, &data);
        check_set(set, &data);
        covey_sim_data_free(&data);
        covey_sim_data_free(&data);
    }
    cr_assert(covey_sim_set_find("nothing") == NULL);
}

/* A few epochs of the set's own model: does it learn? best: accuracy at least, or rmse at the most. */
static void check_learning(const char *name, uint32_t epochs, float rate, uint32_t batch, double least)
{
    const struct covey_sim_set *set = covey_sim_set_find(name);
    const struct covey_recipe recipe = {.epochs = epochs, .batch = batch, .learning_rate = rate};
    struct covey_model_description *model = calloc(1, sizeof *model);
    struct covey_sim_data data = {0};
    struct covey_layout layout;
    struct covey_trainer *trainer = NULL;
    struct covey_training_result result;
    struct covey_score score;
    struct covey_error err = {0};
    if (!is_here(name)) {
        free(model);
        return;
    }
    load(name, &data);
    cr_assert(covey_model_load(set->model, model, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_model_layout(model, &layout, &err) == COVEY_OK);
    float *params = calloc(layout.count, sizeof *params);
    cr_assert(covey_model_initialise(model, &layout, 1, params, &err) == COVEY_OK);
    const struct covey_training_options options = {.recipe = &recipe, .examples = data.train.count};
    const struct covey_training_run run = {.seed = 1};
    cr_assert(covey_trainer_create(model, &options, &trainer, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_trainer_run(trainer, params, &data.train, &recipe, &run, &result, &err) == COVEY_OK, "%s",
              err.text);
    cr_assert(covey_evaluate(model, params, &data.test, &score, &err) == COVEY_OK, "%s", err.text);
    fprintf(stderr, "%s: %u epochs, loss %.4f to %.4f, test accuracy %.4f, rmse %.4f\n", name, epochs,
            result.loss_before, result.loss_after, score.accuracy, score.rmse);
    if (set->classes != 0)
        cr_assert(score.accuracy >= least, "%s: accuracy %.4f", name, score.accuracy);
    else
        cr_assert(score.rmse <= least, "%s: rmse %.4f", name, score.rmse);
    covey_trainer_destroy(trainer);
    covey_layout_deinit(&layout);
    free(params);
    free(model);
    covey_sim_data_free(&data);
}

/* persistence .542, pooled ridge .498 of 100 ug/m3 (README of the set) */
Test(sim_data, air_quality_is_learnt)
{
    check_learning("beijing-air", 5, .02f, 32, .51);
}

/* mean predictor 41.9 / 125 = .335, ridge on one cycle .166 */
Test(sim_data, remaining_life_is_learnt)
{
    check_learning("turbofan", 10, .02f, 32, .155);
}

Test(sim_data, spoken_digits_are_learnt)
{
    check_learning("spoken-digits", 10, .05f, 16, .85);
}

Test(sim_data, activity_is_learnt)
{
    check_learning("har", 5, .02f, 16, .92);
}

Test(sim_data, flipped_labels_are_seen_by_hostile_devices_alone)
{
    struct covey_scenario scenario = {.attack = {.kind = COVEY_ATTACK_LABEL_FLIP, .share = .5}};
    uint8_t labels[6] = {0, 1, 2, 3, 4, 1};
    uint32_t index[4] = {5, 4, 0, 2};
    struct covey_dataset poisoned = {0};
    struct covey_error err = {0};
    const struct covey_dataset train = {.count = 4,
                                        .rows = 6,
                                        .index = index,
                                        .inputs = {.values = labels, .width = 1},
                                        .labels = {.values = labels, .width = 1}};
    cr_assert(covey_attack_data(&scenario, &train, &poisoned, &err) == COVEY_OK, "%s", err.text);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert(covey_dataset_label(&poisoned, i) == 4 - covey_dataset_label(&train, i));
    covey_attack_data_free(&poisoned);
    covey_attack_data_free(&poisoned);
    scenario.attack.kind = COVEY_ATTACK_SIGN_FLIP;
    cr_assert(covey_attack_data(&scenario, &train, &poisoned, &err) == COVEY_OK && poisoned.count == 0);
}

Test(sim_data, hostile_models_are_mirrored_or_noise)
{
    struct covey_scenario scenario = {.seed = 3, .attack = {.kind = COVEY_ATTACK_SIGN_FLIP, .strength = 2}};
    float start[1000], trained[1000], again[1000];
    double sum = 0, honest = 0;
    for (int i = 0; i < 1000; i++) {
        start[i] = (float)i;
        trained[i] = again[i] = (float)i + (float)(i % 3) - 1;
        honest += ((i % 3) - 1) * ((i % 3) - 1);
    }
    covey_attack_model(&scenario, 1, 1, start, trained, 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert(!(fabsf(trained[i] - (start[i] - 2 * (float)((i % 3) - 1))) > 1e-4f));
    scenario.attack.kind = COVEY_ATTACK_NOISE;
    memcpy(trained, again, sizeof trained);
    covey_attack_model(&scenario, 1, 1, start, trained, 1000);
    covey_attack_model(&scenario, 1, 1, start, again, 1000);
    cr_assert(memcmp(trained, again, sizeof trained) == 0);
    for (int i = 0; i < 1000; i++)
        sum += (double)(trained[i] - start[i]) * (double)(trained[i] - start[i]);
    cr_assert(!(fabs(sqrt(sum / honest) - 2) > .2), "%g", sqrt(sum / honest)); /* deviation 2 / sqrt(2000) */
    covey_attack_model(&scenario, 2, 1, start, again, 1000);
    cr_assert(memcmp(trained, again, sizeof trained) != 0);
}

/* ------------------------------------------------------------------ the user's own */

static char work[64];

static void make_folder(void)
{
    snprintf(work, sizeof work, "/tmp/covey-own-XXXXXX");
    cr_assert(mkdtemp(work) != NULL);
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", work);
    cr_assert(system(command) == 0);
}

static void write_idx(const char *name, const uint8_t *values, uint32_t count, uint32_t width)
{
    char path[256];
    uint8_t header[12] = {0, 0, 8, width > 1 ? 2 : 1, 0, 0, (uint8_t)(count >> 8), (uint8_t)count,
                          0, 0, 0, (uint8_t)width};
    snprintf(path, sizeof path, "%s/%s", work, name);
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL);
    fwrite(header, 1, width > 1 ? 12 : 8, file);
    fwrite(values, 1, (size_t)count * width, file);
    fclose(file);
}

static void write_text(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", work, name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    fputs(text, file);
    fclose(file);
}

static void load_own(const char *text, struct covey_sim_data *out)
{
    char path[256];
    struct covey_scenario scenario = {0};
    struct covey_error err = {0};
    write_text("scenario.yaml", text);
    write_text("tiny.yaml", "name: tiny\ninput: {shape: [3]}\nloss: softmax_cross_entropy\n"
                            "ops:\n  - {op: dense, units: 4}\n");
    snprintf(path, sizeof path, "%s/scenario.yaml", work);
    cr_assert(covey_scenario_load(path, NULL, 0, &scenario, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_sim_data_load(&scenario, out, &err) == COVEY_OK, "%s", err.text);
    covey_scenario_free(&scenario);
}

Test(sim_data, own_files_with_owners_and_a_held_out_part, .init = make_folder, .fini = remove_folder)
{
    uint8_t x[300], y[100], owners[100];
    struct covey_sim_data data = {0};
    for (uint32_t i = 0; i < 100; i++) {
        x[3 * i] = x[3 * i + 1] = x[3 * i + 2] = (uint8_t)i;
        y[i] = (uint8_t)(i % 4);
        owners[i] = (uint8_t)(200 - i / 10 * 2); /* ten owners of ten */
    }
    write_idx("x.idx", x, 100, 3);
    write_idx("y.idx", y, 100, 1);
    write_idx("who.idx", owners, 100, 1);
    load_own("name: own\nmodel: tiny.yaml\n"
             "data:\n  train: {inputs: [x.idx], labels: [y.idx]}\n  owners: who.idx\n  hold_out: 25\n"
             "partition: {kind: natural}\n",
             &data);
    /* whole owners until there are 25: three of them */
    cr_assert(data.test.count == 30 && data.train.count == 70 && data.owner_count == 7);
    bool seen[100] = {false};
    for (uint32_t i = 0; i < 100; i++) {
        const struct covey_dataset *part = i < 30 ? &data.test : &data.train;
        float values[3];
        cr_assert(covey_dataset_read(part, NULL, i < 30 ? i : i - 30, 1, values, NULL, NULL) == COVEY_OK);
        seen[(int)values[0]] = true;
    }
    for (uint32_t i = 0; i < 100; i++)
        cr_assert(seen[i]);
    covey_sim_data_free(&data);
    load_own("name: own\nmodel: tiny.yaml\n"
             "data:\n  train: {inputs: [x.idx], labels: [y.idx]}\n  hold_out: 25\n"
             "partition: {kind: iid, devices: 5}\n",
             &data);
    cr_assert(data.test.count == 25 && data.train.count == 75 && data.owners == NULL);
    covey_sim_data_free(&data);
}

/* The first value of each example, which tells it from the others. */
static void mark_examples(const struct covey_dataset *part, uint32_t seen[100], uint32_t mark)
{
    float values[3];
    for (uint32_t i = 0; i < part->count; i++) {
        cr_assert(covey_dataset_read(part, NULL, i, 1, values, NULL, NULL) == COVEY_OK);
        seen[(int)values[0]] |= mark;
    }
}

static void write_hundred(void)
{
    uint8_t x[300], y[100], owners[100];
    for (uint32_t i = 0; i < 100; i++) {
        x[3 * i] = x[3 * i + 1] = x[3 * i + 2] = (uint8_t)i;
        y[i] = (uint8_t)(i % 4);
        owners[i] = (uint8_t)(i / 10); /* ten owners of ten */
    }
    write_idx("x.idx", x, 100, 3);
    write_idx("y.idx", y, 100, 1);
    write_idx("who.idx", owners, 100, 1);
}

Test(sim_data, a_validation_part_is_judged_in_place_of_the_test_part, .init = make_folder,
     .fini = remove_folder)
{
#define OWN "name: own\nmodel: tiny.yaml\ndata:\n  train: {inputs: [x.idx], labels: [y.idx]}\n"
    uint32_t first[100] = {0}, with_test[100] = {0}, none[100] = {0};
    struct covey_sim_data data = {0};
    write_hundred();
    /* beside a held-out test part: both are kept from the devices, and the test part is not judged */
    load_own(OWN "  hold_out: 25\npartition: {kind: iid, devices: 5}\n", &data);
    mark_examples(&data.test, with_test, 1);
    covey_sim_data_free(&data);
    load_own(OWN "  hold_out: 25\n  validation: 30\npartition: {kind: iid, devices: 5}\n", &data);
    cr_assert(data.test.count == 30 && data.train.count == 45);
    mark_examples(&data.test, with_test, 2);
    mark_examples(&data.train, with_test, 4);
    covey_sim_data_free(&data);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert(with_test[i] == 1 || with_test[i] == 2 || with_test[i] == 4, "%u: %u", i, with_test[i]);
    /* in place of a test part of its own; another seed draws others */
    load_own(OWN "  test: {inputs: [x.idx], labels: [y.idx]}\n  validation: 30\n"
                 "partition: {kind: iid, devices: 5}\n",
             &data);
    cr_assert(data.test.count == 30 && data.train.count == 70);
    mark_examples(&data.test, first, 1);
    mark_examples(&data.train, first, 2);
    covey_sim_data_free(&data);
    load_own("seed: 2\n" OWN "  test: {inputs: [x.idx], labels: [y.idx]}\n  validation: 30\n"
             "partition: {kind: iid, devices: 5}\n",
             &data);
    mark_examples(&data.test, none, 1);
    mark_examples(&data.train, none, 2);
    covey_sim_data_free(&data);
    cr_assert(memcmp(first, none, sizeof first) != 0);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert(first[i] == 1 || first[i] == 2, "%u: %u", i, first[i]);
}

Test(sim_data, validation_takes_whole_owners_from_natural_shares, .init = make_folder, .fini = remove_folder)
{
    uint32_t seen[100] = {0};
    struct covey_sim_data data = {0};
    write_hundred();
    load_own(OWN "  owners: who.idx\n  hold_out: 20\n  validation: 25\npartition: {kind: natural}\n", &data);
    cr_assert(data.test.count == 30 && data.train.count == 50 && data.owner_count == 5);
    mark_examples(&data.test, seen, 1);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert(seen[i] == seen[i / 10 * 10], "owner %u is on both sides", i / 10);
    for (uint32_t i = 0; i < data.train.count; i++)
        cr_assert(data.owners[i] == i / 10);
    covey_sim_data_free(&data);
#undef OWN
}

Test(sim_data, validation_that_leaves_nothing_is_refused, .init = make_folder, .fini = remove_folder)
{
    char path[256];
    struct covey_scenario scenario = {0};
    struct covey_sim_data data = {0};
    struct covey_error err = {0};
    write_hundred();
    write_text("tiny.yaml", "name: tiny\ninput: {shape: [3]}\nloss: softmax_cross_entropy\n"
                            "ops:\n  - {op: dense, units: 4}\n");
    write_text("scenario.yaml", "name: own\nmodel: tiny.yaml\npartition: {devices: 5}\n"
                                "data: {train: {inputs: [x.idx], labels: [y.idx]}, validation: 100}\n");
    snprintf(path, sizeof path, "%s/scenario.yaml", work);
    cr_assert(covey_scenario_load(path, NULL, 0, &scenario, &err) == COVEY_OK, "%s", err.text);
    cr_assert(covey_sim_data_load(&scenario, &data, &err) == COVEY_INVALID);
    cr_assert(strstr(err.text, "data.validation leaves nothing") != NULL, "%s", err.text);
    cr_assert(data.train.count == 0 && data.owners == NULL);
    covey_scenario_free(&scenario);
}

Test(sim_data, validation_of_the_catalogue_leaves_the_test_part_unseen)
{
    struct covey_scenario scenario = {.seed = 1};
    struct covey_sim_data data = {0};
    struct covey_error err = {0};
    if (!is_here("mnist"))
        return;
    scenario.data.set = (char *)(uintptr_t) "mnist";
    scenario.data.validation = 5000;
    cr_assert(covey_sim_data_load(&scenario, &data, &err) == COVEY_OK, "%s", err.text);
    cr_assert(data.train.count == 55000 && data.test.count == 5000);
    cr_assert(data.train.inputs.values == data.test.inputs.values, "both are of the training part");
    covey_sim_data_free(&data);
}

Test(sim_data, a_folder_or_a_csv_file_a_device, .init = make_folder, .fini = remove_folder)
{
    uint8_t x[60], y[20];
    char command[256];
    struct covey_sim_data data = {0};
    for (uint32_t i = 0; i < 20; i++) {
        x[3 * i] = x[3 * i + 1] = x[3 * i + 2] = (uint8_t)i;
        y[i] = (uint8_t)(i % 4);
    }
    snprintf(command, sizeof command, "mkdir %s/a %s/b", work, work);
    cr_assert(system(command) == 0);
    write_idx("a/inputs.idx", x, 20, 3);
    write_idx("a/labels.idx", y, 20, 1);
    write_idx("b/inputs.idx", x, 5, 3);
    write_idx("b/labels.idx", y, 5, 1);
    load_own("name: own\nmodel: tiny.yaml\ndata: {files: [a, b]}\npartition: {kind: files}\n", &data);
    cr_assert(data.train.count == 25 && data.owner_count == 2 && data.test.count == 0);
    for (uint32_t i = 0; i < 25; i++)
        cr_assert(data.owners[i] == (i >= 20));
    covey_sim_data_free(&data);
    write_text("one.csv", "u,v,w,state\n1,2,3,0\n4,5,6,1\n");
    write_text("two.csv", "u,v,w,state\n7,8,9,2\n");
    load_own("name: own\nmodel: tiny.yaml\n"
             "data: {files: [one.csv, two.csv], train: {csv: {files: [one.csv], label: state}}}\n"
             "partition: {kind: files}\n",
             &data);
    cr_assert(data.train.count == 3 && data.owner_count == 2 && data.owners[1] == 0 && data.owners[2] == 1);
    covey_sim_data_free(&data);
}
