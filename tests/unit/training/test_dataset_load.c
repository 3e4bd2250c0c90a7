/* The `data:` block: several files, filters, ranges, views; and the real sets when COVEY_DATA says where they
 * are. */
#include "dataset_files.h"

#include <math.h>

TestSuite(dataset_load, .init = folder_make, .fini = folder_remove);

/* count examples of one byte: first, first + 1, ... */
static char *write_series(const char *name, uint8_t count, uint8_t first)
{
    uint8_t bytes[264] = {0, 0, 8, 1, 0, 0, 0, count};
    for (unsigned i = 0; i < count; i++)
        bytes[8 + i] = (uint8_t)(first + i);
    return write_bytes(name, bytes, 8u + count);
}

/* x: 0 .. 19; labels: 20 .. 39 */
static struct covey_data_config two_tables(char **input, char **labels)
{
    *input = write_series("x", 20, 0);
    *labels = write_series("y", 20, 20);
    return (struct covey_data_config){.inputs = {input, 1}, .labels = {labels, 1}};
}

static void expect(const struct covey_dataset *dataset, const uint8_t *wanted, uint32_t count)
{
    cr_assert(dataset->count == count, "%u examples, not %u", dataset->count, count);
    for (uint32_t i = 0; i < count; i++) {
        float x;
        int32_t label;
        cr_assert(covey_dataset_read(dataset, NULL, i, 1, &x, &label, NULL) == COVEY_OK);
        cr_assert(x == wanted[i] && label == wanted[i] + 20, "example %u is %g, label %d", i, (double)x,
                  label);
        cr_assert(covey_dataset_label(dataset, i) == label);
    }
}

Test(dataset_load, filters_in_their_order)
{
    char *input, *labels;
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    struct covey_data_config config = two_tables(&input, &labels);
    config.index = write_text("index", "19\n3\r\n4\n\n5\n11\n12");
    char *where_file = write_series("w", 20, 100);
    struct covey_data_where where[] = {{.file = where_file, .from = 104}, {.file = where_file, .to = 118}};
    config.where = where;
    config.where_count = 2;
    config.classes = 32; /* labels below: x below 12 */
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_OK, "%s", err.text);
    expect(&dataset, (const uint8_t[]){4, 5, 11}, 3);
    covey_dataset_deinit(&dataset);
    config.skip = 1;
    config.take = 1;
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_OK, "%s", err.text);
    expect(&dataset, (const uint8_t[]){5}, 1);
    covey_dataset_deinit(&dataset);
    where[0] = (struct covey_data_where){.file = where_file, .is = 111};
    config.skip = 0;
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_OK, "%s", err.text);
    expect(&dataset, (const uint8_t[]){11}, 1);
    covey_dataset_deinit(&dataset);
}

Test(dataset_load, ranges)
{
    char *input, *labels;
    static const struct {
        int64_t skip, take;
        uint32_t first, count;
    } cases[] = {{0, 0, 0, 20},  {0, 5, 0, 5},   {17, 0, 17, 3},
                 {17, 2, 17, 2}, {0, 50, 0, 20}, {19, 50, 19, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct covey_dataset dataset = {0};
        struct covey_data_config config = two_tables(&input, &labels);
        config.skip = cases[i].skip;
        config.take = cases[i].take;
        cr_assert(covey_data_load(&config, NULL, &dataset, NULL) == COVEY_OK);
        uint8_t wanted[20];
        for (uint32_t j = 0; j < cases[i].count; j++)
            wanted[j] = (uint8_t)(cases[i].first + j);
        expect(&dataset, wanted, cases[i].count);
        covey_dataset_deinit(&dataset);
    }
}

Test(dataset_load, what_is_left_empty_is_said)
{
    char *input, *labels;
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    struct covey_data_config config = two_tables(&input, &labels);
    config.skip = 20;
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_INVALID && strstr(err.text, "skip"));
    config = two_tables(&input, &labels);
    config.classes = 20;
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_INVALID && strstr(err.text, "classes"));
    config = two_tables(&input, &labels);
    config.index = write_text("index", "20\n");
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_INVALID && strstr(err.text, "index:1"));
    config.index = write_text("index", "-1\n");
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_INVALID);
    config = (struct covey_data_config){.missing = 0};
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_INVALID);
    cr_assert(!covey_data_is_named(&config));
}

Test(dataset_load, several_files_one_behind_the_other)
{
    uint8_t packed[] = {0, 0, 8, 1, 0, 0, 0, 3, 60, 61, 62};
    char *inputs[3] = {"a", "sub.gz", "c"}, *labels[1] = {"y"};
    write_series("a", 5, 10);
    write_gzip("sub", packed, sizeof packed);
    write_series("c", 2, 90);
    write_series("y", 10, 0);
    struct covey_data_config config = {.inputs = {inputs, 3}, .labels = {labels, 1}};
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(covey_data_load(&config, test_folder, &dataset, &err) == COVEY_OK, "%s", err.text);
    static const float wanted[] = {10, 11, 12, 13, 14, 60, 61, 62, 90, 91};
    float x[10];
    cr_assert(dataset.count == 10 && covey_dataset_read(&dataset, NULL, 0, 10, x, NULL, NULL) == COVEY_OK);
    cr_assert(memcmp(x, wanted, sizeof x) == 0);
    covey_dataset_deinit(&dataset);
    config.labels.names[0] = "a";
    cr_assert(covey_data_load(&config, test_folder, &dataset, &err) == COVEY_MISMATCH);
    uint8_t wider[] = {0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 1, 2};
    write_bytes("c", wider, sizeof wider);
    cr_assert(covey_data_load(&config, test_folder, &dataset, &err) == COVEY_MISMATCH &&
              strstr(err.text, "/c:"));
}

Test(dataset_load, views)
{
    char *input, *labels;
    struct covey_dataset whole = {0}, part = {0}, smaller = {0};
    struct covey_data_config config = two_tables(&input, &labels);
    config.skip = 10;
    cr_assert(covey_data_load(&config, NULL, &whole, NULL) == COVEY_OK);
    cr_assert(covey_dataset_view(&whole, (const uint32_t[]){9, 0, 3}, 3, &part, NULL) == COVEY_OK);
    expect(&part, (const uint8_t[]){19, 10, 13}, 3);
    cr_assert(covey_dataset_view(&part, (const uint32_t[]){2}, 1, &smaller, NULL) == COVEY_OK);
    expect(&smaller, (const uint8_t[]){13}, 1);
    cr_assert(covey_dataset_view(&whole, (const uint32_t[]){10}, 1, &smaller, NULL) == COVEY_RANGE);
    covey_dataset_deinit(&smaller);
    covey_dataset_deinit(&part);
    covey_dataset_deinit(&whole);
}

Test(dataset_load, the_block_as_yaml)
{
    char *input, *labels;
    two_tables(&input, &labels);
    static const char text[] =
        "inputs: [x]\nlabels: [y]\nclasses: 35\nskip: 2\ntake: 3\n"
        "where: [{file: x, from: 4}]\nsplit: {kind: shards, devices: 2, device: 0, shards: 1}\n";
    static const struct covey_data_config defaults;
    struct covey_data_config config = defaults;
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(covey_yaml_load_text("data", text, strlen(text), covey_data_fields, &config, sizeof config,
                                   &err) == COVEY_OK,
              "%s", err.text);
    cr_assert(config.split.kind == COVEY_SPLIT_SHARDS && config.where_count == 1 && config.take == 3);
    cr_assert(covey_data_load(&config, test_folder, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.count == 3);
    covey_dataset_deinit(&dataset);
    covey_yaml_free(covey_data_fields, &config, &defaults);
    static const char wrong[] = "inputs: [x]\nclases: 6\n";
    config = defaults;
    cr_assert(covey_yaml_load_text("data", wrong, strlen(wrong), covey_data_fields, &config, sizeof config,
                                   &err) == COVEY_INVALID);
    cr_assert(strstr(err.text, "data:2") != NULL && strstr(err.text, "classes") != NULL, "%s", err.text);
}

static const char *data_folder(void)
{
    const char *folder = getenv("COVEY_DATA");
    if (folder == NULL)
        printf("COVEY-SKIP: COVEY_DATA is not set\n");
    return folder;
}

/* Counts as the set's own manifest and README state them. */
Test(dataset_load, real_activity_set)
{
    const char *folder = data_folder();
    if (folder == NULL)
        return;
    char path[512],
        features[2][64] = {"subject-01/features-idx2-float.gz", "subject-03/features-idx2-float.gz"};
    char labels[2][64] = {"subject-01/labels-idx1-ubyte.gz", "subject-03/labels-idx1-ubyte.gz"};
    char *feature_names[] = {features[0], features[1]}, *label_names[] = {labels[0], labels[1]};
    snprintf(path, sizeof path, "%s/har-smartphones", folder);
    struct covey_data_config config = {.inputs = {feature_names, 2},
                                       .labels = {label_names, 2},
                                       .classes = 6,
                                       .statistics = "feature-stats.csv"};
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(covey_data_load(&config, path, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.inputs.width == 114 && dataset.count > 500 && dataset.count < dataset.rows);
    uint32_t classes;
    cr_assert(covey_dataset_classes(&dataset, &classes, &err) == COVEY_OK && classes == 6);
    float x[114];
    double sum = 0, squares = 0;
    for (uint32_t i = 0; i < dataset.count; i++) {
        cr_assert(covey_dataset_read(&dataset, NULL, i, 1, x, NULL, NULL) == COVEY_OK);
        for (int j = 0; j < 114; j++) {
            sum += (double)x[j];
            squares += (double)x[j] * (double)x[j];
        }
    }
    double n = dataset.count * 114.0;
    cr_assert(fabs(sum / n) < 0.5 && squares / n > 0.3 && squares / n < 3, "mean %g, square %g", sum / n,
              squares / n);
    covey_dataset_deinit(&dataset);
}

Test(dataset_load, real_images_by_writer)
{
    const char *folder = data_folder();
    if (folder == NULL)
        return;
    char path[512], *images = "train-images-idx3-ubyte.gz", *labels = "train-labels-idx1-ubyte.gz";
    snprintf(path, sizeof path, "%s/mnist", folder);
    struct covey_data_where where = {.file = "train-hsf-idx1-ubyte.gz", .is = 4};
    struct covey_data_config config = {
        .inputs = {&images, 1}, .labels = {&labels, 1}, .where = &where, .where_count = 1};
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(covey_data_load(&config, path, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.rows == 60000 && dataset.count == 29050 && dataset.inputs.width == 784);
    cr_assert(dataset.rank == 2 && dataset.shape[0] == 28 && dataset.shape[1] == 28);
    covey_dataset_deinit(&dataset);
}
