/* A partition as table, JSON and picture. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "partition_picture.h"

#define EXAMPLES 400u

static uint8_t labels[EXAMPLES];

static struct covey_dataset made_dataset(bool with_labels)
{
    for (uint32_t i = 0; i < EXAMPLES; i++)
        labels[i] = (uint8_t)(i % 4);
    return (struct covey_dataset){.count = EXAMPLES,
                                  .rows = EXAMPLES,
                                  .inputs = {.values = labels, .width = 1},
                                  .labels = {.values = labels, .width = with_labels ? 1 : 0}};
}

typedef enum covey_status printer(FILE *out, const struct covey_partition_view *view,
                                  struct covey_error *err);

static char *printed(printer *print, const struct covey_partition_view *view)
{
    char *text = NULL;
    size_t bytes = 0;
    struct covey_error err = {0};
    FILE *out = open_memstream(&text, &bytes);
    cr_assert(out != NULL && print(out, view, &err) == COVEY_OK, "%s", err.text);
    fclose(out);
    return text;
}

static uint32_t occurrences(const char *text, const char *word)
{
    uint32_t count = 0;
    for (; (text = strstr(text, word)) != NULL; text += strlen(word))
        count++;
    return count;
}

static struct covey_partition *deal(const struct covey_dataset *dataset, int kind, int64_t devices)
{
    const struct covey_partition_config config = {.kind = kind,
                                                  .devices = devices,
                                                  .shards = 1,
                                                  .alpha = .5,
                                                  .examples = kind == COVEY_PARTITION_DRAWN ? 7 : 0};
    struct covey_partition *partition = NULL;
    struct covey_error err = {0};
    cr_assert(covey_partition_create(dataset, NULL, 0, &config, 1, &partition, &err) == COVEY_OK, "%s",
              err.text);
    return partition;
}

Test(partition_picture, figures_are_those_of_the_shares)
{
    const struct covey_dataset dataset = made_dataset(true);
    struct covey_partition *partition = deal(&dataset, COVEY_PARTITION_SHARDS, 40);
    struct covey_partition_view view;
    cr_assert(covey_partition_view("a \"name\" <b>", &dataset, partition, &view, NULL) == COVEY_OK);
    cr_assert(view.examples == EXAMPLES && view.classes == 4);
    cr_assert(view.share.least == 10 && view.share.median == 10 && view.share.most == 10);
    cr_assert(view.labels.least == 1 && view.labels.most == 1);
    char *table = printed(covey_partition_print, &view), *json = printed(covey_partition_print_json, &view);
    char *picture = printed(covey_partition_draw, &view);
    cr_assert(strstr(table, "40 devices, 400 examples") != NULL && strstr(table, "... 20 more") != NULL);
    cr_assert(strstr(json, "{\"scenario\":\"a \\\"name\\\" <b>\",\"devices\":40,\"examples\":400,") == json,
              "%s", json);
    cr_assert(occurrences(json, "\"device\":") == 40 && occurrences(json, "\n") == 1);
    cr_assert(occurrences(json, "{") == occurrences(json, "}") &&
              occurrences(json, "[") == occurrences(json, "]"));
    cr_assert(strstr(picture, "<svg ") == picture && strstr(picture, "&lt;b&gt;") != NULL);
    cr_assert(occurrences(picture, "<title>") == 40 && occurrences(picture, "nan") == 0);
    cr_assert(occurrences(picture, "<g>") == occurrences(picture, "</g>"));
    free(table);
    free(json);
    free(picture);
    covey_partition_destroy(partition);
}

Test(partition_picture, many_devices_are_thinned_and_none_have_labels)
{
    const struct covey_dataset dataset = made_dataset(false);
    struct covey_partition *partition = deal(&dataset, COVEY_PARTITION_DRAWN, 5000);
    struct covey_partition_view view;
    cr_assert(covey_partition_view("many", &dataset, partition, &view, NULL) == COVEY_OK);
    cr_assert(view.examples == 35000 && view.classes == 0 && view.labels.most == 0);
    char *picture = printed(covey_partition_draw, &view);
    cr_assert(occurrences(picture, "<title>") == COVEY_PICTURE_BARS);
    cr_assert(strstr(picture, "120 of 5000 devices") != NULL);
    free(picture);
    covey_partition_destroy(partition);
}
