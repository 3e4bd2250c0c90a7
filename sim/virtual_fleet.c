#include "virtual_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/messages.h"
#include "covey/random.h"
#include "covey/safetensors.h"
#include "dealing.h"

void covey_virtual_fleet_name(uint32_t device, char out[COVEY_FLEET_NAME_BYTES])
{
    (void)snprintf(out, COVEY_FLEET_NAME_BYTES, "device-%06u", device);
}

static enum covey_status load_model(struct covey_virtual_fleet *fleet, struct covey_error *err)
{
    const struct covey_scenario *scenario = fleet->scenario;
    char path[COVEY_FILE_PATH_BYTES];
    size_t bytes = 0;
    uint8_t *description = malloc(COVEY_DESCRIPTION_BYTES);
    fleet->model = calloc(1, sizeof *fleet->model);
    enum covey_status status = fleet->model == NULL || description == NULL
                                   ? covey_fail(err, COVEY_NO_MEMORY, "no memory for a model")
                                   : covey_scenario_model(scenario, fleet->model, err);
    if (status == COVEY_OK)
        status = covey_model_summarise(fleet->model, &fleet->summary, err);
    if (status == COVEY_OK)
        status = covey_description_encode(fleet->model, description, COVEY_DESCRIPTION_BYTES, &bytes, err);
    free(description);
    COVEY_TRY(status);
    fleet->description_bytes = (uint32_t)bytes;
    fleet->metric_is_error = fleet->model->loss == COVEY_LOSS_MEAN_SQUARED_ERROR;
    COVEY_TRY(covey_model_layout(fleet->model, &fleet->layout, err));
    fleet->initial = malloc(fleet->layout.count * sizeof *fleet->initial);
    if (fleet->initial == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %zu values", fleet->layout.count);
    COVEY_TRY(
        covey_model_initialise(fleet->model, &fleet->layout, (uint64_t)scenario->seed, fleet->initial, err));
    if (scenario->initial == NULL || scenario->initial[0] == '\0')
        return COVEY_OK;
    COVEY_TRY(covey_scenario_path(scenario, scenario->initial, path, err));
    return covey_safetensors_load(path, &fleet->layout, fleet->initial, NULL, err);
}

static enum covey_status name_devices(struct covey_virtual_fleet *fleet, struct covey_error *err)
{
    fleet->devices = covey_partition_devices(fleet->partition);
    fleet->ids = calloc(fleet->devices, sizeof *fleet->ids);
    if (fleet->ids == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", fleet->devices);
    for (uint32_t device = 0; device < fleet->devices; device++) {
        char name[COVEY_FLEET_NAME_BYTES];
        covey_virtual_fleet_name(device, name);
        fleet->ids[device] = covey_random_id(name);
    }
    return COVEY_OK;
}

enum covey_status covey_virtual_fleet_init(struct covey_virtual_fleet *fleet,
                                           const struct covey_scenario *scenario, struct covey_error *err)
{
    *fleet = (struct covey_virtual_fleet){.scenario = scenario};
    enum covey_status status = load_model(fleet, err);
    if (status == COVEY_OK)
        status = covey_sim_data_load(scenario, &fleet->data, err);
    if (status == COVEY_OK)
        status = covey_deal(scenario, &fleet->data, &fleet->partition, &fleet->hostile, err);
    if (status == COVEY_OK)
        status = covey_attack_data(scenario, &fleet->data.train, &fleet->poisoned, err);
    if (status == COVEY_OK)
        status = name_devices(fleet, err);
    if (status != COVEY_OK)
        covey_virtual_fleet_deinit(fleet);
    return status;
}

void covey_virtual_fleet_deinit(struct covey_virtual_fleet *fleet)
{
    covey_partition_destroy(fleet->partition);
    covey_attack_data_free(&fleet->poisoned);
    covey_sim_data_free(&fleet->data);
    covey_layout_deinit(&fleet->layout);
    free(fleet->ids);
    free(fleet->hostile);
    free(fleet->initial);
    free(fleet->model);
    *fleet = (struct covey_virtual_fleet){0};
}

uint32_t covey_virtual_fleet_count(const struct covey_virtual_fleet *fleet, uint32_t device)
{
    const uint32_t count = covey_partition_count(fleet->partition, device);
    const uint32_t rest = count - covey_held_out_count(fleet->scenario->devices_hold_out, count);
    return rest - covey_held_out_count(fleet->scenario->devices_validation, rest);
}

/* What is judged by, or what is trained on, as rows of the table. */
static void pick(const struct covey_virtual_fleet *fleet, const struct covey_dataset *table, uint32_t device,
                 bool judged, uint32_t *scratch, struct covey_dataset *out)
{
    uint32_t count = 0, kept = 0, taken = 0, place = 0, taken_of_rest = 0;
    const uint32_t *share = covey_partition_share(fleet->partition, device, scratch, &count);
    const uint32_t held = covey_held_out_count(fleet->scenario->devices_hold_out, count), rest = count - held;
    const uint32_t validation = covey_held_out_count(fleet->scenario->devices_validation, rest);
    *out = *table;
    out->storage = NULL;
    out->index = share;
    out->count = count;
    if (table->index == NULL && held + validation == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = table->index != NULL ? table->index[share[i]] : share[i];
        const bool is_held = covey_held_out_next(i, held, count, &taken);
        const bool is_validation = !is_held && covey_held_out_next(place, validation, rest, &taken_of_rest);
        place += !is_held;
        if (held + validation == 0 ||
            (judged ? (validation > 0 ? is_validation : is_held) : !is_held && !is_validation))
            scratch[kept++] = row;
    }
    out->index = scratch;
    out->count = kept;
}

void covey_virtual_fleet_share(const struct covey_virtual_fleet *fleet, uint32_t device, bool hostile,
                               uint32_t *scratch, struct covey_dataset *out)
{
    const bool poisoned = hostile && fleet->poisoned.count > 0;
    pick(fleet, poisoned ? &fleet->poisoned : &fleet->data.train, device, false, scratch, out);
}

void covey_virtual_fleet_judged(const struct covey_virtual_fleet *fleet, uint32_t device, uint32_t *scratch,
                                struct covey_dataset *out)
{
    pick(fleet, &fleet->data.train, device, true, scratch, out);
}
