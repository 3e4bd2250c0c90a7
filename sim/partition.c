#include "partition.h"

#include <stdlib.h>
#include <string.h>

#include "covey/dataset_load.h"
#include "covey/random.h"

struct covey_partition {
    uint32_t devices;
    uint32_t most;
    uint32_t cap;      /* examples of a share that count; UINT32_MAX: all */
    uint32_t examples; /* of the training part */
    uint32_t drawn;    /* examples each; 0: dealt out */
    uint64_t seed;
    uint32_t *order; /* (examples), device after device */
    uint32_t *ends;  /* (devices) */
};

static enum covey_status check_drawn(const struct covey_dataset *train,
                                     const struct covey_partition_config *config, struct covey_error *err)
{
    if (config->devices < 1 || config->devices > (int64_t)COVEY_SIM_DEVICES)
        return covey_fail(err, COVEY_INVALID, "partition.devices is %lld: 1 to %u are possible",
                          (long long)config->devices, COVEY_SIM_DEVICES);
    if (config->examples < 1 || config->examples > COVEY_UPDATE_EXAMPLES)
        return covey_fail(err, COVEY_INVALID,
                          "partition.examples is %lld: drawn wants how many each device has",
                          (long long)config->examples);
    if (train->count == 0)
        return covey_fail(err, COVEY_INVALID, "no examples to draw from");
    return COVEY_OK;
}

/* Counting sort by owner. Owners without an example (filtered away) are no devices; `limit` as in the
 * configuration. */
static enum covey_status deal_by_owner(struct covey_partition *partition, const uint32_t *owners,
                                       uint32_t owner_count, int64_t limit, struct covey_error *err)
{
    uint32_t *cursor = calloc((size_t)owner_count + 1, sizeof *cursor);
    partition->ends = calloc((size_t)owner_count + 1, sizeof *partition->ends);
    partition->order = calloc((size_t)partition->examples + 1, sizeof *partition->order);
    if (cursor == NULL || partition->ends == NULL || partition->order == NULL) {
        free(cursor);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the shares of %u devices", owner_count);
    }
    uint32_t end = 0;
    for (uint32_t i = 0; i < partition->examples; i++)
        cursor[owners[i]]++;
    for (uint32_t owner = 0; owner < owner_count; owner++) {
        const uint32_t count = cursor[owner];
        cursor[owner] = end;
        end += count;
        if (count > 0)
            partition->ends[partition->devices++] = end;
    }
    for (uint32_t i = 0; i < partition->examples; i++)
        partition->order[cursor[owners[i]]++] = i;
    free(cursor);
    if (limit > (int64_t)partition->devices)
        return covey_fail(err, COVEY_INVALID, "partition.devices is %lld, but there are only %u owners",
                          (long long)limit, partition->devices);
    if (limit > 0)
        partition->devices = (uint32_t)limit;
    return COVEY_OK;
}

static enum covey_status deal_by_split(struct covey_partition *partition, const struct covey_dataset *train,
                                       const struct covey_partition_config *config, struct covey_error *err)
{
    static const enum covey_split_kind kinds[] = {
        [COVEY_PARTITION_IID] = COVEY_SPLIT_IID,
        [COVEY_PARTITION_SHARDS] = COVEY_SPLIT_SHARDS,
        [COVEY_PARTITION_DIRICHLET] = COVEY_SPLIT_DIRICHLET,
        [COVEY_PARTITION_DIRICHLET_UNEVEN] = COVEY_SPLIT_DIRICHLET_UNEVEN,
    };
    const struct covey_data_split split = {.kind = kinds[config->kind],
                                           .devices = config->devices,
                                           .alpha = config->alpha,
                                           .shards = config->shards,
                                           .seed = (int64_t)partition->seed};
    if (config->devices < 1 || config->devices > (int64_t)train->count)
        return covey_fail(
            err, COVEY_INVALID,
            "partition.devices is %lld: 1 to %u devices can share %u examples; more take `kind: "
            "drawn`",
            (long long)config->devices, train->count, train->count);
    partition->devices = (uint32_t)config->devices;
    partition->order = calloc((size_t)partition->examples + 1, sizeof *partition->order);
    partition->ends = calloc((size_t)partition->devices, sizeof *partition->ends);
    if (partition->order == NULL || partition->ends == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the shares of %u devices", partition->devices);
    return covey_data_split(train, &split, partition->order, partition->ends, err);
}

static void find_most(struct covey_partition *partition)
{
    for (uint32_t device = 0; device < partition->devices; device++) {
        const uint32_t count = covey_partition_count(partition, device);
        partition->most = count > partition->most ? count : partition->most;
    }
}

static enum covey_status deal(struct covey_partition *partition, const struct covey_dataset *train,
                              const uint32_t *owners, uint32_t owner_count,
                              const struct covey_partition_config *config, struct covey_error *err)
{
    switch ((enum covey_partition_kind)config->kind) {
    case COVEY_PARTITION_DRAWN:
        COVEY_TRY(check_drawn(train, config, err));
        partition->devices = (uint32_t)config->devices;
        partition->drawn = partition->most = (uint32_t)config->examples;
        return COVEY_OK;
    case COVEY_PARTITION_NATURAL:
    case COVEY_PARTITION_FILES:
        if (owners == NULL || owner_count == 0)
            return covey_fail(
                err, COVEY_INVALID,
                "partition.kind: this data does not say whose its examples are; use iid, shards "
                "or dirichlet, or name data.owners");
        COVEY_TRY(deal_by_owner(partition, owners, owner_count, config->devices, err));
        break;
    default:
        COVEY_TRY(deal_by_split(partition, train, config, err));
        break;
    }
    find_most(partition);
    return COVEY_OK;
}

enum covey_status covey_partition_create(const struct covey_dataset *train, const uint32_t *owners,
                                         uint32_t owner_count, const struct covey_partition_config *config,
                                         uint64_t seed, struct covey_partition **out, struct covey_error *err)
{
    struct covey_partition *partition = calloc(1, sizeof *partition);
    if (partition == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a partition");
    partition->seed = seed;
    partition->examples = train->count;
    partition->cap =
        config->examples > 0 && config->examples < UINT32_MAX ? (uint32_t)config->examples : UINT32_MAX;
    const enum covey_status status = deal(partition, train, owners, owner_count, config, err);
    if (status != COVEY_OK) {
        covey_partition_destroy(partition);
        return status;
    }
    *out = partition;
    return COVEY_OK;
}

/* ------------------------------------------------------------------ samples */

struct regrouping {
    uint32_t *order, *ends; /* of the partition to be */
    uint32_t *all;          /* (examples) shuffled again for each sample */
    uint32_t end;
};

static void append(struct regrouping *to, uint32_t device, const uint32_t *indices, uint32_t count)
{
    memcpy(to->order + to->end, indices, (size_t)count * sizeof *indices);
    to->end += count;
    to->ends[device] = to->end;
}

static void append_sample(struct regrouping *to, uint32_t device, const struct covey_partition *partition,
                          uint32_t size)
{
    struct covey_random random;
    covey_random_init(&random, partition->seed, device, 1, COVEY_PURPOSE_SPLIT);
    for (uint32_t i = 0; i < partition->examples; i++)
        to->all[i] = i;
    covey_random_shuffle(&random, to->all, partition->examples);
    append(to, device, to->all, size);
}

enum covey_status covey_partition_add_samples(struct covey_partition *partition, const bool *is_new,
                                              uint32_t devices, struct covey_error *err)
{
    const uint32_t added = devices - partition->devices, size = partition->examples / partition->devices;
    const size_t total = partition->examples + (size_t)added * size;
    struct regrouping to = {.order = malloc((total + 1) * sizeof *to.order),
                            .ends = malloc((size_t)devices * sizeof *to.ends),
                            .all = malloc(((size_t)partition->examples + 1) * sizeof *to.all)};
    if (total > UINT32_MAX || to.order == NULL || to.ends == NULL || to.all == NULL) {
        free(to.order);
        free(to.ends);
        free(to.all);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for samples of %u devices", added);
    }
    for (uint32_t device = 0, old = 0; device < devices; device++) {
        if (is_new[device]) {
            append_sample(&to, device, partition, size);
            continue;
        }
        const uint32_t from = old == 0 ? 0 : partition->ends[old - 1];
        append(&to, device, partition->order + from, partition->ends[old] - from);
        old++;
    }
    free(to.all);
    free(partition->order);
    free(partition->ends);
    partition->order = to.order;
    partition->ends = to.ends;
    partition->devices = devices;
    find_most(partition);
    return COVEY_OK;
}

void covey_partition_destroy(struct covey_partition *partition)
{
    if (partition == NULL)
        return;
    free(partition->order);
    free(partition->ends);
    free(partition);
}

uint32_t covey_partition_devices(const struct covey_partition *partition)
{
    return partition->devices;
}

uint32_t covey_partition_most(const struct covey_partition *partition)
{
    return partition->most;
}

static uint32_t first_of(const struct covey_partition *partition, uint32_t device)
{
    return device == 0 ? 0 : partition->ends[device - 1];
}

uint32_t covey_partition_count(const struct covey_partition *partition, uint32_t device)
{
    if (partition->drawn != 0)
        return partition->drawn;
    const uint32_t count = partition->ends[device] - first_of(partition, device);
    return count < partition->cap ? count : partition->cap;
}

const uint32_t *covey_partition_share(const struct covey_partition *partition, uint32_t device,
                                      uint32_t *scratch, uint32_t *count)
{
    *count = covey_partition_count(partition, device);
    if (partition->drawn == 0)
        return partition->order + first_of(partition, device);
    struct covey_random random;
    covey_random_init(&random, partition->seed, device, 0, COVEY_PURPOSE_SPLIT);
    for (uint32_t i = 0; i < *count; i++)
        scratch[i] = covey_random_below(&random, partition->examples);
    return scratch;
}

uint64_t covey_partition_bytes(const struct covey_partition *partition)
{
    uint64_t bytes = sizeof *partition;
    if (partition->drawn == 0)
        bytes +=
            ((uint64_t)partition->ends[partition->devices - 1] + partition->devices + 1) * sizeof(uint32_t);
    return bytes;
}
