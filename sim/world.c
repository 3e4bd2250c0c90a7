#include "world.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calibration.h"
#include "world_parts.h"

static const char default_device[] = "pi-4", default_link[] = "perfect";

struct covey_world {
    const struct covey_scenario *scenario;
    uint64_t seed;
    double flops_per_example;
    uint32_t device_class_count, link_class_count;
    struct {
        struct device_class class;
        double below; /* devices whose draw is below it are of this class or one before */
        double examples_per_s, slow_share, slow_factor;
        int link; /* -1: by the scenario's links */
    } devices[COVEY_SIM_CLASSES];
    double link_below[COVEY_SIM_CLASSES];
    struct link_class links[COVEY_SIM_CLASSES];
    struct transfer_tables *transfers;
    struct availability *availability;
};

struct world_draw world_draw(uint64_t seed, enum world_stream stream, uint32_t device, uint32_t round)
{
    const uint32_t counter[4] = {device, round, COVEY_PURPOSE_NETWORK, (uint32_t)stream};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t words[4];
    covey_random_philox(counter, key, words);
    const uint64_t a = (uint64_t)words[0] << 32 | words[1], b = (uint64_t)words[2] << 32 | words[3];
    return (struct world_draw){(double)(a >> 11) * 0x1p-53, (double)(b >> 11) * 0x1p-53};
}

/* ------------------------------------------------------------------ from the scenario */

/* The link of that class: the scenario's own figures if it has it, else the catalogue's. Where it is, or -1
 * with *out filled in: not among those of the world yet. */
static int find_link(const struct covey_world *world, const char *name)
{
    for (uint32_t i = 0; i < world->link_class_count; i++)
        if (strcmp(world->links[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void replace(double *figure, double by)
{
    if (by > 0)
        *figure = by;
}

static void add_link(struct covey_world *world, const struct covey_link_class_config *config)
{
    struct link_class *link = &world->links[world->link_class_count];
    *link = *link_class_find(config->class_name);
    replace(&link->up_bits_per_s, config->up_bits_per_s);
    replace(&link->down_bits_per_s, config->down_bits_per_s);
    replace(&link->round_trip_ms, config->round_trip_ms);
    replace(&link->loss, config->loss);
    replace(&link->joules_per_byte_up, config->joules_per_byte_up);
    replace(&link->joules_per_byte_down, config->joules_per_byte_down);
    world->link_class_count++;
}

static double share_or_one(double share)
{
    return share > 0 ? share : 1;
}

static void add_links(struct covey_world *world)
{
    const struct covey_scenario *scenario = world->scenario;
    double sum = 0, at = 0;
    for (uint32_t i = 0; i < scenario->link_class_count; i++) {
        add_link(world, &scenario->links[i]);
        sum += share_or_one(scenario->links[i].share);
    }
    if (scenario->link_class_count == 0)
        add_link(world, &(struct covey_link_class_config){.class_name = (char *)(uintptr_t)default_link});
    for (uint32_t i = 0; i < scenario->link_class_count; i++) {
        at += share_or_one(scenario->links[i].share);
        world->link_below[i] = at / sum;
    }
    /* Classes that devices alone name come last, and nobody draws them. */
    for (uint32_t i = 0; i < scenario->device_class_count; i++) {
        char *name = scenario->devices[i].link;
        if (name != NULL && find_link(world, name) < 0 && world->link_class_count < COVEY_SIM_CLASSES)
            add_link(world, &(struct covey_link_class_config){.class_name = name});
    }
}

static enum covey_status add_device(struct covey_world *world, const struct covey_device_class_config *config,
                                    struct covey_error *err)
{
    struct device_class *class = &world->devices[world->device_class_count].class;
    *class = *device_class_find(config->class_name);
    if (class->flops_per_s <= 0 && !(config->examples_per_s > 0))
        COVEY_TRY(covey_calibration_flops_per_s(&class->flops_per_s, err));
    replace(&class->memory_bytes, config->memory_bytes);
    replace(&class->joules_per_gflop, config->joules_per_gflop);
    replace(&class->idle_watts, config->idle_watts);
    replace(&class->battery_wh, config->battery_wh);
    double speed = world->flops_per_example > 0 ? class->flops_per_s / world->flops_per_example : 1e12;
    replace(&speed, config->examples_per_s);
    world->devices[world->device_class_count].examples_per_s = speed;
    world->devices[world->device_class_count].slow_share = config->slow_share;
    world->devices[world->device_class_count].slow_factor = config->slow_factor > 1 ? config->slow_factor : 1;
    world->devices[world->device_class_count].link =
        config->link != NULL ? find_link(world, config->link) : -1;
    world->device_class_count++;
    return COVEY_OK;
}

static enum covey_status add_devices(struct covey_world *world, struct covey_error *err)
{
    const struct covey_scenario *scenario = world->scenario;
    double sum = 0, at = 0;
    for (uint32_t i = 0; i < scenario->device_class_count; i++) {
        COVEY_TRY(add_device(world, &scenario->devices[i], err));
        sum += share_or_one(scenario->devices[i].share);
    }
    if (scenario->device_class_count == 0)
        return add_device(
            world, &(struct covey_device_class_config){.class_name = (char *)(uintptr_t)default_device}, err);
    for (uint32_t i = 0; i < scenario->device_class_count; i++) {
        at += share_or_one(scenario->devices[i].share);
        world->devices[i].below = at / sum;
    }
    return COVEY_OK;
}

enum covey_status covey_world_check(const struct covey_scenario *scenario, const char **key,
                                    struct covey_error *err)
{
    char names[256];
    for (uint32_t i = 0; i < scenario->device_class_count; i++) {
        const struct covey_device_class_config *device = &scenario->devices[i];
        *key = "devices";
        if (device_class_find(device->class_name) == NULL)
            return covey_fail(err, COVEY_INVALID, "there is no class of devices '%.60s'; there are: %s",
                              device->class_name, device_class_names(names));
        if (device->link != NULL && link_class_find(device->link) == NULL)
            return covey_fail(err, COVEY_INVALID, "there is no class of links '%.60s'; there are: %s",
                              device->link, link_class_names(names));
    }
    for (uint32_t i = 0; i < scenario->link_class_count; i++) {
        *key = "links";
        if (link_class_find(scenario->links[i].class_name) == NULL)
            return covey_fail(err, COVEY_INVALID, "there is no class of links '%.60s'; there are: %s",
                              scenario->links[i].class_name, link_class_names(names));
    }
    if (scenario->availability.kind == COVEY_AVAILABLE_TRACE) {
        char path[COVEY_FILE_PATH_BYTES];
        *key = "availability.trace";
        if (scenario->availability.trace == NULL)
            return covey_fail(err, COVEY_INVALID, "'trace' of 'availability' is missing: a CSV file");
        COVEY_TRY(covey_scenario_path(scenario, scenario->availability.trace, path, err));
        if (access(path, R_OK) != 0)
            return covey_fail(err, COVEY_NOT_FOUND, "%s cannot be read", path);
    }
    return COVEY_OK;
}

enum covey_status covey_world_fits(const struct covey_scenario *scenario, uint64_t bytes,
                                   struct covey_error *err)
{
    for (uint32_t i = 0; i < scenario->device_class_count; i++) {
        const struct covey_device_class_config *device = &scenario->devices[i];
        double memory_bytes = device_class_find(device->class_name)->memory_bytes;
        replace(&memory_bytes, device->memory_bytes);
        if (memory_bytes > 0 && (double)bytes > memory_bytes)
            return covey_fail(err, COVEY_INVALID,
                              "training takes %.1f MB, class '%s' has %.1f MB: a smaller model or batch, or "
                              "another class",
                              (double)bytes * 1e-6, device->class_name, memory_bytes * 1e-6);
    }
    return COVEY_OK;
}

enum covey_status covey_world_create(const struct covey_scenario *scenario, uint32_t devices,
                                     double flops_per_example, struct covey_world **out,
                                     struct covey_error *err)
{
    const char *key;
    (void)devices;
    COVEY_TRY(covey_world_check(scenario, &key, err));
    struct covey_world *world = calloc(1, sizeof *world);
    if (world == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a world");
    world->scenario = scenario;
    world->seed = (uint64_t)scenario->seed;
    world->flops_per_example = flops_per_example;
    add_links(world);
    enum covey_status status = add_devices(world, err);
    if (status == COVEY_OK)
        status =
            transfer_tables_create(world->links, world->link_class_count, scenario->window_blocks,
                                   scenario->network == COVEY_NETWORK_EXACT, world->seed, &world->transfers);
    if (status == COVEY_OK)
        status = availability_create(scenario, &world->availability, err);
    if (status != COVEY_OK) {
        covey_world_destroy(world);
        return status;
    }
    *out = world;
    return COVEY_OK;
}

void covey_world_destroy(struct covey_world *world)
{
    if (world == NULL)
        return;
    transfer_tables_destroy(world->transfers);
    availability_destroy(world->availability);
    free(world);
}

/* ------------------------------------------------------------------ asked by the simulation */

static uint32_t class_of(const struct covey_world *world, uint32_t device)
{
    if (world->device_class_count == 1)
        return 0;
    const double draw = world_draw(world->seed, WORLD_CLASS, device, 0).a;
    uint32_t i = 0;
    while (i + 1 < world->device_class_count && draw >= world->devices[i].below)
        i++;
    return i;
}

static uint32_t link_of(const struct covey_world *world, uint32_t device, uint32_t class)
{
    uint32_t drawn = world->scenario->link_class_count, i = 0;
    if (world->devices[class].link >= 0)
        return (uint32_t)world->devices[class].link;
    const double draw = drawn > 1 ? world_draw(world->seed, WORLD_CLASS, device, 0).b : 0;
    while (i + 1 < drawn && draw >= world->link_below[i])
        i++;
    return i;
}

void covey_world_device(const struct covey_world *world, uint32_t device, struct covey_virtual_device *out)
{
    const uint32_t class = class_of(world, device);
    *out = (struct covey_virtual_device){.device_class = (uint8_t) class,
                                         .link_class = (uint8_t)link_of(world, device, class)};
}

bool covey_world_available(const struct covey_world *world, uint32_t device, uint64_t now_ms,
                           uint64_t *until_ms)
{
    return availability_at(world->availability, device, now_ms, until_ms);
}

uint64_t covey_world_training_ms(const struct covey_world *world, uint32_t device, uint32_t round,
                                 uint64_t examples)
{
    const uint32_t class = class_of(world, device);
    double ms = (double)examples * 1000 / world->devices[class].examples_per_s;
    if (world->devices[class].slow_share > 0 &&
        world_draw(world->seed, WORLD_SLOW, device, round).a < world->devices[class].slow_share)
        ms *= world->devices[class].slow_factor;
    return ms < 1e15 ? (uint64_t)(ms + 0.5) : (uint64_t)1e15;
}

void covey_world_transfer(const struct covey_world *world, uint32_t device, uint32_t round, uint32_t purpose,
                          bool up, uint64_t body_bytes, struct covey_transfer *out)
{
    struct covey_random random;
    covey_random_init(&random, world->seed, (uint64_t)WORLD_TRANSFER << 56 | (uint64_t)purpose << 32 | device,
                      round, COVEY_PURPOSE_NETWORK);
    transfer_tables_draw(world->transfers, link_of(world, device, class_of(world, device)), up, body_bytes,
                         &random, out);
}

double covey_world_vanishes(const struct covey_world *world, uint32_t device, uint32_t round)
{
    const double rate = world->scenario->churn.drop_rate;
    if (!(rate > 0))
        return -1;
    const struct world_draw draw = world_draw(world->seed, WORLD_VANISH, device, round);
    return draw.a < rate ? draw.b : -1;
}

double covey_world_joules(const struct covey_world *world, uint32_t device, uint64_t examples,
                          uint64_t bytes_up, uint64_t bytes_down)
{
    const uint32_t class = class_of(world, device);
    const struct link_class *link = &world->links[link_of(world, device, class)];
    return (double)examples * world->flops_per_example * 1e-9 * world->devices[class].class.joules_per_gflop +
           (double)bytes_up * link->joules_per_byte_up + (double)bytes_down * link->joules_per_byte_down;
}

void covey_world_link(const struct covey_world *world, uint32_t index, struct covey_world_link *out)
{
    const struct link_class *link = &world->links[index];
    *out = (struct covey_world_link){.up_bits_per_s = link->up_bits_per_s,
                                     .down_bits_per_s = link->down_bits_per_s,
                                     .round_trip_ms = link->round_trip_ms,
                                     .loss = link->loss};
}

const char *covey_world_device_class(const struct covey_world *world, uint32_t index)
{
    return world->devices[index].class.name;
}

const char *covey_world_link_class(const struct covey_world *world, uint32_t index)
{
    return world->links[index].name;
}

double covey_world_battery_wh(const struct covey_world *world, uint32_t device_class)
{
    return world->devices[device_class].class.battery_wh;
}
