/* Splits: every example once, the same by the same seed, and as unlike as was asked for. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "covey/dataset_load.h"

#define COUNT 6000
#define CLASSES 10

static uint8_t labels[COUNT];

static struct covey_dataset ten_classes(void)
{
    for (int i = 0; i < COUNT; i++)
        labels[i] = (uint8_t)((i * 7 + i / 31) % CLASSES);
    struct covey_dataset dataset = {.count = COUNT, .rows = COUNT};
    dataset.labels = (struct covey_table){.values = labels, .type = COVEY_ELEMENT_U8, .width = 1};
    return dataset;
}

static const struct covey_data_split splits[] = {
    {.kind = COVEY_SPLIT_IID, .devices = 10, .seed = 1},
    {.kind = COVEY_SPLIT_DIRICHLET, .devices = 10, .alpha = .5, .seed = 1},
    {.kind = COVEY_SPLIT_DIRICHLET, .devices = 7, .alpha = 1e-4, .seed = 2},
    {.kind = COVEY_SPLIT_DIRICHLET, .devices = 7, .alpha = 1e5, .seed = 2},
    {.kind = COVEY_SPLIT_DIRICHLET_UNEVEN, .devices = 10, .alpha = .5, .seed = 1},
    {.kind = COVEY_SPLIT_DIRICHLET_UNEVEN, .devices = 100, .alpha = .01, .seed = 3},
    {.kind = COVEY_SPLIT_SHARDS, .devices = 100, .shards = 2, .seed = 1},
    {.kind = COVEY_SPLIT_IID, .devices = COUNT, .seed = 1},
    {.kind = COVEY_SPLIT_IID, .devices = 1, .seed = 1},
};

Test(dataset_split, every_example_once)
{
    struct covey_dataset dataset = ten_classes();
    for (size_t s = 0; s < sizeof splits / sizeof *splits; s++) {
        uint32_t order[COUNT], again[COUNT], ends[COUNT], again_ends[COUNT];
        char seen[COUNT] = {0};
        struct covey_error err = {0};
        cr_assert(covey_data_split(&dataset, &splits[s], order, ends, &err) == COVEY_OK, "%zu: %s", s,
                  err.text);
        for (uint32_t i = 0; i < COUNT; i++) {
            cr_assert(order[i] < COUNT && !seen[order[i]], "split %zu", s);
            seen[order[i]] = 1;
        }
        uint32_t last = 0;
        for (int64_t d = 0; d < splits[s].devices; d++) {
            cr_assert(ends[d] > last, "split %zu: device %d has nothing", s, (int)d);
            last = ends[d];
        }
        cr_assert(last == COUNT);
        cr_assert(covey_data_split(&dataset, &splits[s], again, again_ends, &err) == COVEY_OK);
        cr_assert(memcmp(order, again, sizeof order) == 0);
        struct covey_data_split other = splits[s];
        other.seed++;
        cr_assert(covey_data_split(&dataset, &other, again, again_ends, &err) == COVEY_OK);
        cr_assert(memcmp(order, again, sizeof order) != 0 || (splits[s].devices == 1 && s == 99), "split %zu",
                  s);
    }
}

/* Share of the commonest label, averaged over devices. */
static double unlikeness(const struct covey_dataset *dataset, const struct covey_data_split *split)
{
    uint32_t order[COUNT], ends[COUNT], first = 0;
    double sum = 0;
    cr_assert(covey_data_split(dataset, split, order, ends, NULL) == COVEY_OK);
    for (int64_t d = 0; d < split->devices; first = ends[d++]) {
        uint32_t counts[CLASSES] = {0}, most = 0;
        for (uint32_t i = first; i < ends[d]; i++)
            if (++counts[covey_dataset_label(dataset, order[i])] > most)
                most = counts[covey_dataset_label(dataset, order[i])];
        sum += (double)most / (ends[d] - first);
    }
    return sum / (double)split->devices;
}

Test(dataset_split, as_unlike_as_asked)
{
    struct covey_dataset dataset = ten_classes();
    double iid = unlikeness(&dataset, &splits[0]), half = unlikeness(&dataset, &splits[1]),
           one = unlikeness(&dataset, &splits[2]), even = unlikeness(&dataset, &splits[3]),
           shards = unlikeness(&dataset, &splits[6]);
    /* a class has 600 examples, a device of seven 857: its commonest label cannot pass .7 */
    cr_assert(iid < .16 && even < .16, "iid %g, alpha 1e5 %g", iid, even);
    cr_assert(half > .2 && half < .7, "alpha .5: %g", half);
    cr_assert(one > .6, "alpha 1e-4: %g", one);
    cr_assert(shards > .45, "two shards: %g", shards);
}

/* With equal sizes, Dirichlet's devices differ in labels alone. */
Test(dataset_split, equal_sizes)
{
    struct covey_dataset dataset = ten_classes();
    uint32_t order[COUNT], ends[COUNT];
    cr_assert(covey_data_split(&dataset, &splits[1], order, ends, NULL) == COVEY_OK);
    for (uint32_t d = 0; d < 10; d++)
        cr_assert(ends[d] == 600 * (d + 1));
}

Test(dataset_split, refused)
{
    struct covey_dataset dataset = ten_classes(), plain = {.count = 5, .rows = 5};
    uint32_t order[COUNT], ends[COUNT];
    static const struct covey_data_split wrong[] = {
        {.kind = COVEY_SPLIT_NONE, .devices = 2},
        {.kind = 77, .devices = 2},
        {.kind = COVEY_SPLIT_IID, .devices = 0},
        {.kind = COVEY_SPLIT_IID, .devices = COUNT + 1},
        {.kind = COVEY_SPLIT_DIRICHLET, .devices = 2, .alpha = 0},
        {.kind = COVEY_SPLIT_DIRICHLET, .devices = 2, .alpha = NAN},
        {.kind = COVEY_SPLIT_SHARDS, .devices = 2, .shards = 0},
        {.kind = COVEY_SPLIT_SHARDS, .devices = COUNT / 2, .shards = 3},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(covey_data_split(&dataset, &wrong[i], order, ends, NULL) != COVEY_OK, "case %zu", i);
    cr_assert(covey_data_split(
                  &plain, &(struct covey_data_split){.kind = COVEY_SPLIT_SHARDS, .devices = 2, .shards = 1},
                  order, ends, NULL) == COVEY_INVALID);
    int8_t negative[] = {0, -1, 1, 1, 1};
    plain.labels = (struct covey_table){.values = negative, .type = COVEY_ELEMENT_I8, .width = 1};
    cr_assert(covey_data_split(&plain, &(struct covey_data_split){.kind = COVEY_SPLIT_IID, .devices = 2},
                               order, ends, NULL) == COVEY_INVALID);
}

Test(dataset_split, hold_out_takes_some_of_everything)
{
    struct covey_dataset all = ten_classes(), rest, held;
    uint32_t *rows = NULL, some[] = {5, 3, 9, 11, 2};
    struct covey_error err = {0};
    char seen[COUNT] = {0};
    cr_assert_eq(covey_dataset_hold_out(&all, .2, &rest, &held, &rows, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(held.count, COUNT / 5);
    cr_expect_eq(rest.count, COUNT - COUNT / 5);
    for (uint32_t i = 0; i < COUNT; i++)
        seen[i < rest.count ? rest.index[i] : held.index[i - rest.count]]++;
    for (uint32_t i = 0; i < COUNT; i++)
        cr_assert_eq(seen[i], 1);
    for (uint32_t i = 0; i < held.count; i++) /* spread evenly: sorted data gives some of each class */
        cr_assert(held.index[i] >= 5 * i && held.index[i] < 5 * i + 5);
    free(rows);
    /* of a share that has an index of its own, and never all or nothing */
    all.index = some;
    all.count = 5;
    cr_assert_eq(covey_dataset_hold_out(&all, .01, &rest, &held, &rows, &err), COVEY_OK);
    cr_expect(held.count == 1 && rest.count == 4 && held.index[0] == 2);
    free(rows);
    cr_assert_eq(covey_dataset_hold_out(&all, .99, &rest, &held, &rows, &err), COVEY_OK);
    cr_expect(held.count == 4 && rest.count == 1);
    free(rows);
    all.count = 1;
    cr_expect_eq(covey_dataset_hold_out(&all, .5, &rest, &held, &rows, &err), COVEY_INVALID);
}
