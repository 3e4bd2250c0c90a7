/* Who holds which examples. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "partition.h"

#define EXAMPLES 1000u
#define CLASSES 10u

static uint8_t labels[EXAMPLES];
static uint32_t owners[EXAMPLES];

/* Labels 0 to 9 in turn; owners 0 to 6 unevenly, owner 3 has nothing. */
static struct covey_dataset made_dataset(void)
{
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        labels[i] = (uint8_t)(i % CLASSES);
        owners[i] = (i * i) % 7;
    }
    return (struct covey_dataset){.count = EXAMPLES,
                                  .rows = EXAMPLES,
                                  .inputs = {.values = labels, .width = 1},
                                  .labels = {.values = labels, .width = 1}};
}

static struct covey_partition *make(const struct covey_partition_config *config, uint64_t seed)
{
    const struct covey_dataset dataset = made_dataset();
    struct covey_partition *partition = NULL;
    struct covey_error err = {0};
    cr_assert(covey_partition_create(&dataset, owners, 7, config, seed, &partition, &err) == COVEY_OK, "%s",
              err.text);
    return partition;
}

/* Every example at most once; the shares' sizes are what count says. Returns how many are out. */
static uint32_t count_dealt(const struct covey_partition *partition)
{
    bool seen[EXAMPLES] = {false};
    uint32_t scratch[EXAMPLES], total = 0, most = 0;
    for (uint32_t device = 0; device < covey_partition_devices(partition); device++) {
        uint32_t count = 0;
        const uint32_t *share = covey_partition_share(partition, device, scratch, &count);
        cr_assert(count >= 1 && count == covey_partition_count(partition, device));
        most = count > most ? count : most;
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(share[i] < EXAMPLES && !seen[share[i]]);
            seen[share[i]] = true;
        }
        total += count;
    }
    cr_assert(most == covey_partition_most(partition));
    return total;
}

Test(partition, every_example_is_dealt_out_once)
{
    static const struct covey_partition_config configs[] = {
        {.kind = COVEY_PARTITION_IID, .devices = 33},
        {.kind = COVEY_PARTITION_SHARDS, .devices = 20, .shards = 2},
        {.kind = COVEY_PARTITION_DIRICHLET, .devices = 17, .alpha = .3},
        {.kind = COVEY_PARTITION_DIRICHLET_UNEVEN, .devices = 17, .alpha = .3},
        {.kind = COVEY_PARTITION_NATURAL},
        {.kind = COVEY_PARTITION_FILES},
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct covey_partition *partition = make(&configs[i], 5), *again = make(&configs[i], 5);
        uint32_t scratch[EXAMPLES], count, count_again;
        cr_assert(count_dealt(partition) == EXAMPLES, "kind %zu", i);
        cr_assert(covey_partition_bytes(partition) <= 4 * EXAMPLES + 40 * 40);
        for (uint32_t device = 0; device < covey_partition_devices(partition); device++) {
            const uint32_t *a = covey_partition_share(partition, device, scratch, &count);
            const uint32_t *b = covey_partition_share(again, device, scratch, &count_again);
            cr_assert(count == count_again && memcmp(a, b, count * sizeof *a) == 0);
        }
        covey_partition_destroy(partition);
        covey_partition_destroy(again);
    }
}

Test(partition, owners_get_their_own_and_only_those)
{
    const struct covey_partition_config config = {.kind = COVEY_PARTITION_NATURAL};
    struct covey_partition *partition = make(&config, 1);
    uint32_t scratch[EXAMPLES], count;
    cr_assert(covey_partition_devices(partition) == 4); /* squares modulo 7: 0, 1, 2, 4 */
    for (uint32_t device = 0; device < 4; device++) {
        const uint32_t *share = covey_partition_share(partition, device, scratch, &count);
        for (uint32_t i = 1; i < count; i++)
            cr_assert(owners[share[i]] == owners[share[0]] && share[i] > share[i - 1]);
    }
    covey_partition_destroy(partition);
    const struct covey_partition_config two = {.kind = COVEY_PARTITION_NATURAL, .devices = 2};
    partition = make(&two, 1);
    cr_assert(covey_partition_devices(partition) == 2);
    covey_partition_destroy(partition);
}

Test(partition, shards_give_few_labels)
{
    const struct covey_partition_config config = {.kind = COVEY_PARTITION_SHARDS, .devices = 50, .shards = 2};
    struct covey_partition *partition = make(&config, 3);
    uint32_t scratch[EXAMPLES], count;
    for (uint32_t device = 0; device < 50; device++) {
        const uint32_t *share = covey_partition_share(partition, device, scratch, &count);
        uint32_t mask = 0;
        for (uint32_t i = 0; i < count; i++)
            mask |= 1u << labels[share[i]];
        cr_assert(__builtin_popcount(mask) <= 2);
    }
    covey_partition_destroy(partition);
}

Test(partition, a_million_devices_draw_and_keep_nothing)
{
    const struct covey_partition_config config = {
        .kind = COVEY_PARTITION_DRAWN, .devices = 1000000, .examples = 20};
    struct covey_partition *partition = make(&config, 9);
    uint32_t a[20], b[20], count, met[CLASSES] = {0};
    cr_assert(covey_partition_devices(partition) == 1000000 && covey_partition_most(partition) == 20);
    cr_assert(covey_partition_bytes(partition) < 200);
    for (uint32_t device = 0; device < 1000000; device += 997) {
        const uint32_t *share = covey_partition_share(partition, device, a, &count);
        cr_assert(count == 20 && share == a);
        (void)covey_partition_share(partition, device, b, &count);
        cr_assert(memcmp(a, b, sizeof a) == 0);
        for (uint32_t i = 0; i < 20; i++) {
            cr_assert(a[i] < EXAMPLES);
            met[labels[a[i]]]++;
        }
    }
    for (uint32_t k = 0; k < CLASSES; k++) /* 20,060 draws: 2,006 each, deviation 42 */
        cr_assert(met[k] > 1700 && met[k] < 2300, "label %u: %u", k, met[k]);
    covey_partition_destroy(partition);
}

Test(partition, a_share_may_be_cut)
{
    const struct covey_partition_config config = {.kind = COVEY_PARTITION_IID, .devices = 10, .examples = 30};
    struct covey_partition *partition = make(&config, 1);
    cr_assert(count_dealt(partition) == 300 && covey_partition_most(partition) == 30);
    covey_partition_destroy(partition);
}

Test(partition, what_cannot_be_dealt_out_is_refused)
{
    static const struct covey_partition_config configs[] = {
        {.kind = COVEY_PARTITION_IID},
        {.kind = COVEY_PARTITION_IID, .devices = 1001},
        {.kind = COVEY_PARTITION_SHARDS, .devices = 600, .shards = 2},
        {.kind = COVEY_PARTITION_DIRICHLET, .devices = 5},
        {.kind = COVEY_PARTITION_DRAWN, .devices = 5},
        {.kind = COVEY_PARTITION_DRAWN, .examples = 5},
        {.kind = COVEY_PARTITION_NATURAL, .devices = 5},
    };
    const struct covey_dataset dataset = made_dataset();
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct covey_partition *partition = NULL;
        struct covey_error err = {0};
        cr_assert(covey_partition_create(&dataset, owners, 7, &configs[i], 1, &partition, &err) != COVEY_OK,
                  "case %zu", i);
        cr_assert(partition == NULL && err.text[0] != '\0');
    }
    const struct covey_partition_config natural = {.kind = COVEY_PARTITION_NATURAL};
    struct covey_partition *partition = NULL;
    cr_assert(covey_partition_create(&dataset, NULL, 0, &natural, 1, &partition, NULL) == COVEY_INVALID);
    covey_partition_destroy(NULL);
}
