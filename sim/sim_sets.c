/* The pieces that the loaders share, and the sets that are files as they are: images and activity. */
#include "sim_sets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/dataset_load.h"

/* ------------------------------------------------------------------ shared pieces */

/* PART/name for each part, or just the name. */
static enum covey_status list_names(const struct set_files *files, const char *name,
                                    struct covey_data_names *out, struct covey_error *err)
{
    static const char *const itself[] = {".", NULL};
    const char *const *parts = files->parts != NULL ? files->parts : itself;
    uint32_t count = 0;
    while (parts[count] != NULL)
        count++;
    out->names = calloc(count, sizeof *out->names);
    if (out->names == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u file names", count);
    for (out->count = 0; out->count < count; out->count++)
        if (asprintf(&out->names[out->count], "%s/%s", parts[out->count], name) < 0)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u file names", count);
    return COVEY_OK;
}

static void free_names(struct covey_data_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
}

/* Examples of one table file, by reading it as a data set. */
static enum covey_status count_rows(const char *folder, char *name, uint32_t *out, struct covey_error *err)
{
    const struct covey_data_config config = {.inputs = {&name, 1}};
    struct covey_dataset dataset = {0};
    COVEY_TRY(covey_data_load(&config, folder, &dataset, err));
    *out = dataset.rows;
    covey_dataset_deinit(&dataset);
    return COVEY_OK;
}

/* The part of each example: row numbers follow the parts, examples follow the index of the filters. */
static enum covey_status number_parts(const struct covey_data_names *names, const char *folder,
                                      const struct covey_dataset *dataset, uint32_t **out,
                                      struct covey_error *err)
{
    uint32_t *of_row = calloc((size_t)dataset->rows + 1, sizeof *of_row), row = 0;
    uint32_t *owners = calloc((size_t)dataset->count + 1, sizeof *owners);
    enum covey_status status = COVEY_OK;
    if (of_row == NULL || owners == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %u owners", dataset->rows);
    for (uint32_t part = 0; part < names->count && status == COVEY_OK; part++) {
        uint32_t rows = 0;
        status = count_rows(folder, names->names[part], &rows, err);
        for (uint32_t i = 0; i < rows && row < dataset->rows; i++)
            of_row[row++] = part;
    }
    for (uint32_t i = 0; i < dataset->count && status == COVEY_OK; i++)
        owners[i] = of_row[dataset->index != NULL ? dataset->index[i] : i];
    free(of_row);
    if (status == COVEY_OK)
        *out = owners;
    else
        free(owners);
    return status;
}

enum covey_status set_load_files(const struct set_files *files, struct covey_dataset *out, uint32_t **owners,
                                 struct covey_error *err)
{
    struct covey_data_config config = {
        .classes = files->classes, .scale = files->scale, .statistics = (char *)(uintptr_t)files->statistics};
    enum covey_status status = list_names(files, files->inputs, &config.inputs, err);
    if (status == COVEY_OK && files->labels != NULL)
        status = list_names(files, files->labels, &config.labels, err);
    if (status == COVEY_OK && files->targets != NULL)
        status = list_names(files, files->targets, &config.targets, err);
    if (status == COVEY_OK)
        status = covey_data_load(&config, files->folder, out, err);
    if (status == COVEY_OK && owners != NULL) {
        status = number_parts(config.labels.count != 0 ? &config.labels : &config.targets, files->folder, out,
                              owners, err);
        if (status != COVEY_OK)
            covey_dataset_deinit(out);
    }
    free_names(&config.inputs);
    free_names(&config.labels);
    free_names(&config.targets);
    return status;
}

/* Rows of one CSV file, as it would be read among the others. */
static enum covey_status count_csv(const char *folder, const struct covey_data_config *config, char *name,
                                   uint32_t *out, struct covey_error *err)
{
    struct covey_data_config one = *config;
    struct covey_dataset dataset = {0};
    one.csv.files = (struct covey_data_names){&name, 1};
    COVEY_TRY(covey_data_load(&one, folder, &dataset, err));
    *out = dataset.count;
    covey_dataset_deinit(&dataset);
    return COVEY_OK;
}

enum covey_status set_load_csv(const char *folder, const struct covey_data_config *config,
                               const struct covey_data_names *names, struct covey_sim_data *out,
                               struct covey_error *err)
{
    struct covey_data_config all = *config;
    uint32_t at = 0;
    all.csv.files = *names;
    COVEY_TRY(covey_data_load(&all, folder, &out->train, err));
    out->owners = calloc((size_t)out->train.count + 1, sizeof *out->owners);
    if (out->owners == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u owners", out->train.count);
    for (uint32_t i = 0; i < names->count; i++) {
        uint32_t count = 0;
        COVEY_TRY(count_csv(folder, config, names->names[i], &count, err));
        for (uint32_t k = 0; k < count && at < out->train.count; k++)
            out->owners[at++] = i;
    }
    if (at != out->train.count)
        return covey_fail(err, COVEY_MISMATCH, "data.files: %u examples together, %u one by one",
                          out->train.count, at);
    out->owner_count = names->count;
    return COVEY_OK;
}

enum covey_status set_load_integers(const char *folder, const char *name, int32_t **out, uint32_t *count,
                                    struct covey_error *err)
{
    char *names[] = {(char *)(uintptr_t)name};
    const struct covey_data_config config = {.inputs = {names, 1}, .labels = {names, 1}};
    struct covey_dataset table = {0};
    COVEY_TRY(covey_data_load(&config, folder, &table, err));
    int32_t *values = calloc((size_t)table.count + 1, sizeof *values);
    float *unused = calloc((size_t)table.count * table.inputs.width + 1, sizeof *unused);
    enum covey_status status = COVEY_OK;
    if (values == NULL || unused == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "%s/%s: no memory", folder, name);
    else if (table.inputs.width != 1)
        status = covey_fail(err, COVEY_MISMATCH, "%s/%s: %u values an example; one is wanted", folder, name,
                            table.inputs.width);
    else
        status = covey_dataset_read(&table, NULL, 0, table.count, unused, values, NULL);
    free(unused);
    if (status == COVEY_OK) {
        *out = values;
        *count = table.count;
    } else {
        free(values);
    }
    covey_dataset_deinit(&table);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

uint32_t set_number_owners(int32_t *values, uint32_t count, struct covey_error *err,
                           enum covey_status *status)
{
    int32_t *sorted = calloc((size_t)count + 1, sizeof *sorted);
    uint32_t distinct = 0;
    *status = COVEY_OK;
    if (sorted == NULL) {
        *status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %u owners", count);
        return 0;
    }
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_value);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || sorted[i] != sorted[i - 1])
            sorted[distinct++] = sorted[i];
    for (uint32_t i = 0; i < count; i++)
        values[i] =
            (int32_t)((int32_t *)bsearch(&values[i], sorted, distinct, sizeof *sorted, by_value) - sorted);
    free(sorted);
    return distinct;
}

/* ------------------------------------------------------------------ images */

static enum covey_status load_images(const char *folder, struct covey_sim_data *out, struct covey_error *err)
{
    const struct set_files train = {.folder = folder,
                                    .inputs = "train-images-idx3-ubyte.gz",
                                    .labels = "train-labels-idx1-ubyte.gz",
                                    .scale = 1.0 / 255};
    const struct set_files test = {.folder = folder,
                                   .inputs = "t10k-images-idx3-ubyte.gz",
                                   .labels = "t10k-labels-idx1-ubyte.gz",
                                   .scale = 1.0 / 255};
    COVEY_TRY(set_load_files(&train, &out->train, NULL, err));
    return set_load_files(&test, &out->test, NULL, err);
}

enum covey_status set_load_fashion_mnist(const char *folder, struct covey_sim_data *out,
                                         struct covey_error *err)
{
    return load_images(folder, out, err);
}

enum covey_status set_load_mnist(const char *folder, struct covey_sim_data *out, struct covey_error *err)
{
    int32_t *writers = NULL;
    uint32_t count = 0;
    enum covey_status status;
    COVEY_TRY(load_images(folder, out, err));
    if (set_load_integers(folder, "train-writers-idx1-short.gz", &writers, &count, NULL) != COVEY_OK)
        return COVEY_OK; /* the images are complete without: only natural shares are not to be had */
    if (count != out->train.count) {
        free(writers);
        return covey_fail(err, COVEY_MISMATCH, "%s/train-writers-idx1-short.gz: %u writers for %u images",
                          folder, count, out->train.count);
    }
    out->owner_count = set_number_owners(writers, count, err, &status);
    if (status == COVEY_OK)
        out->owners = (uint32_t *)writers;
    else
        free(writers);
    return status;
}

/* ------------------------------------------------------------------ activity */

/* The published split by person: 21 for training, 9 for the test; the six basic activities. */
enum covey_status set_load_har(const char *folder, struct covey_sim_data *out, struct covey_error *err)
{
    static const char *const train_people[] = {
        "subject-01", "subject-03", "subject-05", "subject-06", "subject-07", "subject-08",
        "subject-11", "subject-14", "subject-15", "subject-16", "subject-17", "subject-19",
        "subject-21", "subject-22", "subject-23", "subject-25", "subject-26", "subject-27",
        "subject-28", "subject-29", "subject-30", NULL};
    static const char *const test_people[] = {"subject-02", "subject-04", "subject-09", "subject-10",
                                              "subject-12", "subject-13", "subject-18", "subject-20",
                                              "subject-24", NULL};
    struct set_files files = {.folder = folder,
                              .parts = train_people,
                              .inputs = "features-idx2-float.gz",
                              .labels = "labels-idx1-ubyte.gz",
                              .statistics = "feature-stats.csv",
                              .classes = 6};
    COVEY_TRY(set_load_files(&files, &out->train, &out->owners, err));
    out->owner_count = sizeof train_people / sizeof train_people[0] - 1;
    files.parts = test_people;
    return set_load_files(&files, &out->test, NULL, err);
}
