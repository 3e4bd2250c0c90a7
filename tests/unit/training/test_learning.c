/* Learning from real data, in the folder COVEY_DATA: short, but to an accuracy that a wrong gradient does not
 * reach. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/dataset_load.h"
#include "covey/model.h"
#include "covey/trainer.h"

static struct covey_model_description model;
static struct covey_error err;

static const char *data_folder(void)
{
    const char *folder = getenv("COVEY_DATA");
    if (folder == NULL)
        fprintf(stderr, "COVEY-SKIP: COVEY_DATA is not set, nothing to learn from (scripts/data)\n");
    return folder;
}

static void read_data(const char *yaml, const char *folder, struct covey_dataset *out)
{
    const struct covey_data_config defaults = {0};
    struct covey_data_config config = defaults;
    cr_assert_eq(
        covey_yaml_load_text("data", yaml, strlen(yaml), covey_data_fields, &config, sizeof config, &err),
        COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_data_load(&config, folder, out, &err), COVEY_OK, "%s", err.text);
    covey_yaml_free(covey_data_fields, &config, &defaults);
}

static double learn(const char *name, const struct covey_dataset *train, const struct covey_dataset *test,
                    const struct covey_recipe *recipe)
{
    const struct covey_training_options options = {.recipe = recipe, .examples = train->count};
    const struct covey_training_run run = {.device = 1, .seed = 1};
    struct covey_training_result result;
    struct covey_trainer *trainer = NULL;
    struct covey_score score;
    cr_assert_eq(covey_model_load(name, &model, &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_trainer_create(&model, &options, &trainer, &err), COVEY_OK, "%s", err.text);
    float *params = malloc(covey_trainer_layout(trainer)->count * sizeof *params);
    cr_assert_eq(covey_model_initialise(&model, covey_trainer_layout(trainer), 1, params, &err), COVEY_OK);
    cr_assert_eq(covey_trainer_run(trainer, params, train, recipe, &run, &result, &err), COVEY_OK, "%s",
                 err.text);
    cr_assert_eq(covey_trainer_evaluate(trainer, params, test, &score, &err), COVEY_OK, "%s", err.text);
    covey_trainer_destroy(trainer);
    free(params);
    return score.accuracy;
}

Test(learning, digits)
{
    const char *folder = data_folder();
    struct covey_dataset train, test;
    if (folder == NULL)
        return;
    read_data("inputs: [mnist/train-images-idx3-ubyte.gz]\nlabels: [mnist/train-labels-idx1-ubyte.gz]\n"
              "scale: 0.00392156862745098\nsplit: {kind: iid, devices: 5, device: 0}\n",
              folder, &train);
    read_data("inputs: [mnist/t10k-images-idx3-ubyte.gz]\nlabels: [mnist/t10k-labels-idx1-ubyte.gz]\n"
              "scale: 0.00392156862745098\nsplit: {kind: iid, devices: 5, device: 0}\n",
              folder, &test);
    const struct covey_recipe recipe = {.epochs = 2, .batch = 10, .learning_rate = 0.1f, .seed = 1};
    const double perceptron = learn("2nn", &train, &test, &recipe);
    cr_assert(perceptron >= 0.92, "2nn reached %.4f", perceptron);
    train.count = 2000;
    const struct covey_recipe gentle = {.epochs = 1, .batch = 10, .learning_rate = 0.05f, .seed = 1};
    const double convolutional = learn("mcmahan-cnn", &train, &test, &gentle);
    cr_assert(convolutional >= 0.85, "mcmahan-cnn reached %.4f", convolutional);
    covey_dataset_deinit(&train);
    covey_dataset_deinit(&test);
}

/* A YAML list of one file of each of the people numbered so. */
static void list_files(char *yaml, size_t yaml_bytes, const char *key, const char *file, const int *people)
{
    size_t used = strlen(yaml);
    used += (size_t)snprintf(yaml + used, yaml_bytes - used, "%s: [", key);
    for (int i = 0; people[i] != 0; i++)
        used += (size_t)snprintf(yaml + used, yaml_bytes - used, "%shar-smartphones/subject-%02d/%s",
                                 i > 0 ? ", " : "", people[i], file);
    (void)snprintf(yaml + used, yaml_bytes - used, "]\n");
}

static void read_people(const char *folder, const char *inputs, const char *more, const int *people,
                        struct covey_dataset *out)
{
    char yaml[8192] = "";
    list_files(yaml, sizeof yaml, "inputs", inputs, people);
    list_files(yaml, sizeof yaml, "labels", "labels-idx1-ubyte.gz", people);
    strcat(yaml, more);
    read_data(yaml, folder, out);
}

Test(learning, activities_of_people_who_were_not_seen)
{
    static const int seen[] = {1,  3,  5,  6,  7,  8,  11, 14, 15, 16, 17,
                               19, 21, 22, 23, 25, 26, 27, 28, 29, 30, 0};
    static const int unseen[] = {2, 4, 9, 10, 12, 13, 18, 20, 24, 0};
    static const char features[] = "classes: 6\nstatistics: har-smartphones/feature-stats.csv\n";
    static const char windows[] = "classes: 6\nscale: 0.001\n";
    const char *folder = data_folder();
    struct covey_dataset train, test;
    if (folder == NULL)
        return;
    read_people(folder, "features-idx2-float.gz", features, seen, &train);
    read_people(folder, "features-idx2-float.gz", features, unseen, &test);
    const struct covey_recipe recipe = {.epochs = 5, .batch = 16, .learning_rate = 0.02f, .seed = 1};
    const double perceptron = learn("har", &train, &test, &recipe);
    cr_assert(perceptron >= 0.92, "har reached %.4f", perceptron);
    covey_dataset_deinit(&train);
    covey_dataset_deinit(&test);
    read_people(folder, "windows-idx3-short.gz", windows, seen, &train);
    read_people(folder, "windows-idx3-short.gz", windows, unseen, &test);
    const struct covey_recipe adam = {.epochs = 1,
                                      .batch = 32,
                                      .learning_rate = 0.003f,
                                      .seed = 1,
                                      .optimiser = COVEY_OPTIMISER_ADAM,
                                      .momentum = 0.9f,
                                      .beta2 = 0.999f,
                                      .epsilon = 1e-8f};
    const double convolutional = learn("har-cnn", &train, &test, &adam);
    cr_assert(convolutional >= 0.88, "har-cnn reached %.4f", convolutional);
    covey_dataset_deinit(&train);
    covey_dataset_deinit(&test);
}
