#include "dealing.h"

#include <math.h>
#include <stdlib.h>

#include "world_parts.h"

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static bool has_hostile(const struct covey_scenario *scenario)
{
    return scenario->attack.kind != COVEY_ATTACK_NONE && scenario->attack.share > 0;
}

static double draw_of(const struct covey_scenario *scenario, uint32_t device)
{
    return world_draw((uint64_t)scenario->seed, WORLD_CLASS, device, 1).a;
}

static uint32_t hostile_count(const struct covey_scenario *scenario, uint32_t devices)
{
    return has_hostile(scenario) ? (uint32_t)lround(scenario->attack.share * devices) : 0;
}

enum covey_status covey_draw_hostile(const struct covey_scenario *scenario, uint32_t devices, bool *hostile,
                                     struct covey_error *err)
{
    const uint32_t count = hostile_count(scenario, devices);
    double *draws = malloc(((size_t)devices + 1) * sizeof *draws);
    if (draws == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to draw hostile ones of %u devices", devices);
    for (uint32_t device = 0; device < devices; device++)
        draws[device] = draw_of(scenario, device);
    qsort(draws, devices, sizeof *draws, ascending);
    for (uint32_t device = 0; device < devices; device++)
        hostile[device] = count > 0 && draw_of(scenario, device) <= draws[count - 1];
    free(draws);
    return COVEY_OK;
}

static enum covey_status make_hostile(const struct covey_scenario *scenario, uint32_t devices, bool **out,
                                      struct covey_error *err)
{
    if (!has_hostile(scenario))
        return COVEY_OK;
    bool *hostile = calloc((size_t)devices + 1, sizeof *hostile);
    if (hostile == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", devices);
    *out = hostile;
    return covey_draw_hostile(scenario, devices, hostile, err);
}

/* The honest first, then room among them for the others. */
static enum covey_status deal_to_honest(const struct covey_scenario *scenario,
                                        const struct covey_sim_data *data,
                                        struct covey_partition **out_partition, bool **out_hostile,
                                        struct covey_error *err)
{
    const uint32_t devices = (uint32_t)scenario->partition.devices;
    struct covey_partition_config config = scenario->partition;
    config.devices -= hostile_count(scenario, devices);
    if (config.devices == 0)
        return covey_fail(
            err, COVEY_INVALID,
            "attack.data: sample leaves all examples to the honest, and of %u devices none is: a "
            "smaller attack.share",
            devices);
    COVEY_TRY(make_hostile(scenario, devices, out_hostile, err));
    COVEY_TRY(
        covey_partition_create(&data->train, NULL, 0, &config, (uint64_t)scenario->seed, out_partition, err));
    return covey_partition_add_samples(*out_partition, *out_hostile, devices, err);
}

enum covey_status covey_deal(const struct covey_scenario *scenario, const struct covey_sim_data *data,
                             struct covey_partition **out_partition, bool **out_hostile,
                             struct covey_error *err)
{
    enum covey_status status;
    *out_partition = NULL;
    *out_hostile = NULL;
    if (scenario->attack.data == COVEY_ATTACK_DATA_SAMPLE && has_hostile(scenario)) {
        status = deal_to_honest(scenario, data, out_partition, out_hostile, err);
    } else {
        status = covey_partition_create(&data->train, data->owners, data->owner_count, &scenario->partition,
                                        (uint64_t)scenario->seed, out_partition, err);
        if (status == COVEY_OK)
            status = make_hostile(scenario, covey_partition_devices(*out_partition), out_hostile, err);
    }
    if (status != COVEY_OK) {
        covey_partition_destroy(*out_partition);
        free(*out_hostile);
        *out_partition = NULL;
        *out_hostile = NULL;
    }
    return status;
}
