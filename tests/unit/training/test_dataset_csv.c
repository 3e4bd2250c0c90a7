/* CSV: headers, separators, quotes, labels, missing values, and errors that name the line. */
#include "dataset_files.h"

#include <math.h>

TestSuite(dataset_csv, .init = folder_make, .fini = folder_remove);

static char *const a_word[] = {"target"}, *const an_ignored[] = {"time"};
static char *const words[] = {"walk", "run"};
#define NAMES(list)                                                                                          \
    {                                                                                                        \
        .names = (char **)(list), .count = sizeof(list) / sizeof *(list)                                     \
    }

static enum covey_status load_text(const char *text, struct covey_data_config config,
                                   struct covey_dataset *out, struct covey_error *err)
{
    char *path = write_text("x.csv", text);
    config.csv.files = (struct covey_data_names){.names = &path, .count = 1};
    return covey_data_load(&config, NULL, out, err);
}

Test(dataset_csv, forms_of_the_same_table)
{
    static const char *const texts[] = {
        "a,b,label\n1,2,0\n3.5,-4e1,1\n",
        "a;b;label\r\n1;2;0\r\n3.5;-40;1",
        "a\tb\tlabel\n1\t2\t0\n\n3.5\t-40\t1\n\n",
        "\xef\xbb\xbf"
        "a,b,label\n 1 , 2,\"0\"\n\"3.5\",-40,1",
        "\"a\",\"b\",\"label\"\n1,2,0\n3.5,-40,1\n",
        "label|b|a\n0|2|1\n1|-40|3.5\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct covey_dataset dataset = {0};
        struct covey_error err = {0};
        struct covey_data_config config = {.csv.label = "label"};
        cr_assert(load_text(texts[i], config, &dataset, &err) == COVEY_OK, "%zu: %s", i, err.text);
        float x[4];
        int32_t labels[2];
        cr_assert(dataset.count == 2 && dataset.inputs.width == 2 && dataset.labels.width == 1);
        cr_assert(covey_dataset_read(&dataset, NULL, 0, 2, x, labels, NULL) == COVEY_OK);
        int first = texts[i][0] == 'l'; /* the last has its columns turned round */
        cr_assert(x[first] == 1 && x[!first] == 2 && x[2 + first] == 3.5f && x[2 + !first] == -40);
        cr_assert(labels[0] == 0 && labels[1] == 1);
        covey_dataset_deinit(&dataset);
    }
}

Test(dataset_csv, targets_words_and_no_header)
{
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    float x[4], y[2];
    int32_t labels[2];
    struct covey_data_config config = {.csv = {.label = "state",
                                               .targets = NAMES(a_word),
                                               .ignore = NAMES(an_ignored),
                                               .classes = NAMES(words)}};
    cr_assert(load_text("time,target,state,v\n12:00,7.5,run,1\n12:01,8,walk,2\n", config, &dataset, &err) ==
                  COVEY_OK,
              "%s", err.text);
    cr_assert(dataset.inputs.width == 1 && dataset.targets.width == 1);
    cr_assert(covey_dataset_read(&dataset, NULL, 0, 2, x, labels, y) == COVEY_OK);
    cr_assert(x[0] == 1 && x[1] == 2 && y[0] == 7.5f && y[1] == 8 && labels[0] == 1 && labels[1] == 0);
    covey_dataset_deinit(&dataset);

    config = (struct covey_data_config){.csv = {.label = "2", .classes = NAMES(words)}};
    cr_assert(load_text("1,2,walk\n3,4,run\n", config, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.count == 2 && covey_dataset_label(&dataset, 1) == 1);
    covey_dataset_deinit(&dataset);

    config = (struct covey_data_config){.csv = {.header = COVEY_HEADER_YES}};
    cr_assert(load_text("2019,2020\n3,4\n", config, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.count == 1 && dataset.labels.width == 0);
    covey_dataset_deinit(&dataset);
}

Test(dataset_csv, missing_values)
{
    static const char text[] = "a,b\n1,2\n,4\n3,NaN\n5,6\n";
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    float x[8];
    struct covey_data_config config = {.missing = COVEY_MISSING_REFUSE};
    cr_assert(load_text(text, config, &dataset, &err) == COVEY_NOT_FINITE);
    cr_assert(strstr(err.text, "example 1 ") != NULL, "%s", err.text);
    config.missing = COVEY_MISSING_SKIP;
    cr_assert(load_text(text, config, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.count == 2 && covey_dataset_read(&dataset, NULL, 0, 2, x, NULL, NULL) == COVEY_OK);
    cr_assert(x[0] == 1 && x[1] == 2 && x[2] == 5 && x[3] == 6);
    covey_dataset_deinit(&dataset);
    config.missing = COVEY_MISSING_MEAN;
    cr_assert(load_text(text, config, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.count == 4 && covey_dataset_read(&dataset, NULL, 0, 4, x, NULL, NULL) == COVEY_OK);
    cr_assert(x[2] == 3 && x[5] == 4);
    covey_dataset_deinit(&dataset);
    cr_assert(load_text("a,b\n1,\n2,\n", config, &dataset, &err) == COVEY_INVALID);
}

Test(dataset_csv, errors_name_the_line)
{
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"", "x.csv"},
        {"\n\n", "x.csv"},
        {"a,label\n", "x.csv"},
        {"a,label\n1,0\n2\n", "x.csv:3"},
        {"a,label\n1,0\n2,1,5\n", "x.csv:3"},
        {"a,label\n1,0\nx,1\n", "x.csv:3"},
        {"a,label\n1,0\n\n1e99,1\n", "x.csv:4"},
        {"a,label\n1,0\ninf,1\n", "x.csv:3"},
        {"a,label\n1,0.5\n", "x.csv:2"},
        {"a,label\n1,-1\n", "x.csv:2"},
        {"a,label\n1,\n", "x.csv:2"},
        {"a,label\n1,walk\n", "x.csv:2"},
        {"a,label\n\"1,0\n", "x.csv:2"},
        {"a,label\n\"1\n1\"x,0\n", "x.csv:2"},
        {"a,b\n1,2\n", "x.csv:1"},
        {"label\n1\n", "x.csv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct covey_dataset dataset = {0};
        struct covey_error err = {0};
        struct covey_data_config config = {.csv.label = "label"};
        enum covey_status status = load_text(cases[i].text, config, &dataset, &err);
        cr_assert(status != COVEY_OK, "'%s' was taken", cases[i].text);
        cr_assert(strstr(err.text, cases[i].place) != NULL, "'%s': %s", cases[i].text, err.text);
    }
    char *path = write_bytes("zero.csv", "1,2\n\0,3\n", 8);
    struct covey_data_config config = {.csv.files = {&path, 1}};
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_CORRUPT &&
              strstr(err.text, "zero.csv:2"));
}

Test(dataset_csv, many_rows_in_several_files)
{
    char text[20000], *paths[2];
    size_t used = 0;
    for (int i = 0; i < 1000; i++)
        used += (size_t)sprintf(text + used, "%d,%d\n", i, i % 7);
    paths[0] = write_text("one.csv", text);
    paths[1] = write_gzip("two.csv", text, used);
    struct covey_data_config config = {.csv = {.files = {paths, 2}, .label = "1"}};
    struct covey_dataset dataset = {0};
    struct covey_error err = {0};
    cr_assert(covey_data_load(&config, NULL, &dataset, &err) == COVEY_OK, "%s", err.text);
    cr_assert(dataset.count == 2000);
    for (uint32_t i = 0; i < 2000; i++) {
        float x;
        int32_t label;
        cr_assert(covey_dataset_read(&dataset, NULL, i, 1, &x, &label, NULL) == COVEY_OK);
        cr_assert(x == (float)(i % 1000) && label == (int32_t)(i % 1000 % 7));
    }
    covey_dataset_deinit(&dataset);
}
