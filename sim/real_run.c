/* Server and devices as processes, from their folders to their end. */
#include "real_run.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "covey/linalg.h"
#include "virtual_tally.h"

#define LOOK_MS 10
#define SERVE_MS 20000 /* from the server's start to its port */
#define STILL_MS 60000 /* past a round's deadline without its end: something is wrong */
#define LEAVE_MS 30000 /* devices hear that the federation has ended */
#define END_MS 10000   /* from SIGTERM to SIGKILL */
#define PORT_TRIES 50

/* ------------------------------------------------------------------ relays */

static struct relay_network network_of(const struct covey_world_link *link)
{
    return (struct relay_network){.delay_us = (uint32_t)(link->round_trip_ms * 500 + 0.5),
                                  .loss = link->loss,
                                  .bits_per_s = (uint64_t)link->up_bits_per_s,
                                  .down_bits_per_s = (uint64_t)link->down_bits_per_s,
                                  .each = true,
                                  .unlogged = true};
}

/* Is the port free where the server will listen? */
static bool is_free(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool good = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        (void)close(fd);
    return good;
}

static void stop_relays(struct real_run *run)
{
    for (uint32_t i = 0; i < REAL_NETWORKS; i++) {
        relay_stop(run->relays[i]);
        run->relays[i] = NULL;
    }
}

/* All on one port, the server's: devices ask it which port to go to, and are told that they are there. */
static bool start_relays(struct real_run *run, uint16_t port)
{
    char target[32], address[16];
    (void)snprintf(target, sizeof target, "127.0.0.1:%u", port);
    for (uint32_t device = 0; device < run->fleet.devices; device++) {
        struct covey_virtual_device kind;
        struct covey_world_link link;
        covey_world_device(run->world, device, &kind);
        if (run->relays[kind.link_class] != NULL)
            continue;
        covey_world_link(run->world, kind.link_class, &link);
        const struct relay_network network = network_of(&link);
        real_relay_address(kind.link_class, address);
        run->relays[kind.link_class] = relay_start_at(
            address, port, target, &network, (uint64_t)run->options.scenario->seed + kind.link_class);
        if (run->relays[kind.link_class] == NULL)
            return false;
    }
    run->port = port;
    return true;
}

static enum covey_status open_relays(struct real_run *run, struct covey_error *err)
{
    for (uint32_t i = 0; i < PORT_TRIES; i++) {
        const uint16_t port =
            (uint16_t)(20000 + ((uint32_t)getpid() * 31 + i * 97) % 12000); /* below the ephemeral ones */
        if (is_free(port) && start_relays(run, port))
            return COVEY_OK;
        stop_relays(run);
    }
    return covey_fail(err, COVEY_IO, "no UDP port is free on 127.0.0.1 and its neighbours");
}

/* ------------------------------------------------------------------ processes */

static enum covey_status start_server(struct real_run *run, struct covey_error *err)
{
    char folder[REAL_PATH_BYTES], out[REAL_PATH_BYTES], log[REAL_PATH_BYTES];
    (void)snprintf(folder, sizeof folder, "%s/server", run->options.folder);
    (void)snprintf(out, sizeof out, "%s/logs/rounds.jsonl", run->options.folder);
    (void)snprintf(log, sizeof log, "%s/logs/server.log", run->options.folder);
    const char *const arguments[REAL_ARGUMENTS] = {"run", folder, "--json", "--quiet"};
    return real_process_start(&run->server, run->server_program, arguments, out, log, err);
}

static enum covey_status start_device(struct real_run *run, uint32_t device, struct covey_error *err)
{
    char name[COVEY_FLEET_NAME_BYTES], folder[REAL_PATH_BYTES], out[REAL_PATH_BYTES], log[REAL_PATH_BYTES];
    covey_virtual_fleet_name(device, name);
    (void)snprintf(folder, sizeof folder, "%s/devices/%s", run->options.folder, name);
    (void)snprintf(out, sizeof out, "%s/logs/%s.jsonl", run->options.folder, name);
    (void)snprintf(log, sizeof log, "%s/logs/%s.log", run->options.folder, name);
    const char *const arguments[REAL_ARGUMENTS] = {"run", folder, "--json", "--quiet"};
    return real_process_start(&run->devices[device], run->client_program, arguments, out, log, err);
}

static enum covey_status fail_of(struct real_process *process, const char *what, struct covey_error *err)
{
    char words[REAL_WORDS_BYTES];
    real_process_last_words(process, words);
    return covey_fail(err, COVEY_STATE, "%s %s", what, words);
}

static bool is_stopped(const struct real_run *run)
{
    return run->options.stop != NULL && *run->options.stop != 0;
}

/* Until it listens: a second bind to its port fails. */
static enum covey_status await_server(struct real_run *run, struct covey_error *err)
{
    const uint64_t until_ms = real_now_ms() + SERVE_MS;
    while (is_free(run->port)) {
        if (real_process_ended(&run->server) || real_now_ms() > until_ms)
            return fail_of(&run->server, "covey-server", err);
        if (is_stopped(run))
            return covey_fail(err, COVEY_CANCELLED, "stopped");
        real_pause_ms(LOOK_MS);
    }
    return COVEY_OK;
}

static enum covey_status look_at_devices(struct real_run *run, struct covey_error *err)
{
    for (uint32_t device = 0; device < run->fleet.devices; device++) {
        struct real_process *process = &run->devices[device];
        char name[COVEY_FLEET_NAME_BYTES];
        if (!real_process_ended(process) || real_process_good(process))
            continue;
        covey_virtual_fleet_name(device, name);
        return fail_of(process, name, err);
    }
    return COVEY_OK;
}

/* Until the server has ended, for that all rounds were played. */
static enum covey_status watch(struct real_run *run, struct covey_error *err)
{
    const uint64_t still_ms =
        (uint64_t)run->options.scenario->rules.deadline_ms + run->options.scenario->rules.pause_ms + STILL_MS;
    long offset = 0;
    run->progress_ms = real_now_ms();
    for (bool ended = false; !ended;) {
        ended = real_process_ended(&run->server);
        COVEY_TRY(real_gather_rounds(run, &offset, err));
        if (is_stopped(run))
            return covey_fail(err, COVEY_CANCELLED, "stopped");
        COVEY_TRY(look_at_devices(run, err));
        if (!ended && real_now_ms() - run->progress_ms > still_ms)
            return fail_of(&run->server, "no round ends any more: covey-server", err);
        if (!ended)
            real_pause_ms(LOOK_MS);
    }
    return real_process_good(&run->server) ? COVEY_OK : fail_of(&run->server, "covey-server", err);
}

/* They were told that the federation has ended, if the loss let it through. */
static void see_off(struct real_run *run)
{
    const uint64_t until_ms = real_now_ms() + LEAVE_MS;
    for (uint32_t device = 0; device < run->fleet.devices; device++)
        while (!real_process_ended(&run->devices[device]) && real_now_ms() < until_ms && !is_stopped(run))
            real_pause_ms(LOOK_MS);
}

static void end_all(struct real_run *run)
{
    for (uint32_t device = 0; device < REAL_DEVICES; device++)
        real_process_end(&run->devices[device], END_MS);
    real_process_end(&run->server, END_MS);
}

/* ------------------------------------------------------------------ the outcome's folder */

static enum covey_status open_outcome(struct real_run *run, struct covey_error *err)
{
    char *text = NULL;
    COVEY_TRY(covey_outcome_create(run->options.folder, 0, &run->folder, err));
    if (covey_scenario_write(run->options.scenario, &text) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the scenario's text");
    const enum covey_status status = covey_outcome_scenario(run->folder, text, err);
    free(text);
    return status;
}

static void start_summary(struct real_run *run)
{
    const struct covey_scenario *scenario = run->options.scenario;
    struct covey_sim_summary *sum = &run->outcome->summary;
    *sum = (struct covey_sim_summary){.scenario_hash = scenario->hash,
                                      .devices = run->fleet.devices,
                                      .threads = 1,
                                      .ranks = 1,
                                      .accuracy = (double)NAN,
                                      .metric_is_error = run->fleet.metric_is_error,
                                      .best = (double)NAN,
                                      .target = (double)NAN,
                                      .rounds_to_target = (double)NAN,
                                      .virtual_s_to_target = (double)NAN,
                                      .worst_decile = (double)NAN,
                                      .battery_share_a_day = (double)NAN};
    (void)snprintf(sum->scenario, sizeof sum->scenario, "%s", scenario->name);
    covey_linalg_describe(sum->blas, sizeof sum->blas);
    covey_virtual_tally_cpu(sum->cpu, sizeof sum->cpu);
}

static enum covey_status close_outcome(struct real_run *run, struct covey_error *err)
{
    const char *device_classes[] = {"host"}, *link_classes[REAL_NETWORKS];
    struct covey_sim_summary *sum = &run->outcome->summary;
    char path[REAL_PATH_BYTES];
    uint32_t links = 0;
    sum->wall_s = sum->virtual_s;
    sum->updates_per_s = sum->wall_s > 0 ? (double)sum->updates / sum->wall_s : 0;
    for (uint32_t i = 0; i < run->outcome->update_count; i++)
        sum->training_cpu_s += (double)run->outcome->updates[i].training_ms / 1000;
    for (uint32_t device = 0; device < run->fleet.devices; device++) {
        struct covey_virtual_device kind;
        covey_world_device(run->world, device, &kind);
        run->tallies[device].link_class = kind.link_class;
        run->tallies[device].chosen = run->tallies[device].done; /* every one is required */
        run->tallies[device].metric = (float)NAN;
        links = links > kind.link_class ? links : kind.link_class + 1u;
    }
    for (uint32_t i = 0; i < links; i++)
        link_classes[i] = covey_world_link_class(run->world, i);
    (void)snprintf(path, sizeof path, "%s/times.csv", run->options.folder);
    COVEY_TRY(real_outcome_write_times(run->outcome, path, err));
    COVEY_TRY(covey_outcome_devices(run->folder, run->tallies, run->fleet.devices, device_classes,
                                    link_classes, err));
    return covey_outcome_summary(run->folder, sum, err);
}

/* ------------------------------------------------------------------ all of it */

static enum covey_status prepare(struct real_run *run, uint32_t devices, struct covey_error *err)
{
    COVEY_TRY(real_program_find("covey-server", run->server_program, err));
    COVEY_TRY(real_program_find("covey-client", run->client_program, err));
    covey_linalg_start();
    COVEY_TRY(covey_virtual_fleet_init(&run->fleet, run->options.scenario, err));
    if (run->fleet.devices != devices)
        return covey_fail(err, COVEY_INVALID, "the scenario's data make %u devices: --real %u",
                          run->fleet.devices, run->fleet.devices);
    COVEY_TRY(covey_world_create(run->options.scenario, run->fleet.devices,
                                 3.0 * (double)run->fleet.summary.forward_flops, &run->world, err));
    start_summary(run);
    COVEY_TRY(real_folder_begin(run->options.folder, err));
    COVEY_TRY(open_outcome(run, err));
    COVEY_TRY(open_relays(run, err));
    return real_folder_fill(run, err);
}

static enum covey_status play(struct real_run *run, struct covey_error *err)
{
    COVEY_TRY(start_server(run, err));
    COVEY_TRY(await_server(run, err));
    for (uint32_t device = 0; device < run->fleet.devices; device++)
        COVEY_TRY(start_device(run, device, err));
    COVEY_TRY(watch(run, err));
    see_off(run);
    end_all(run);
    COVEY_TRY(real_gather_updates(run, err));
    return close_outcome(run, err);
}

enum covey_status real_run(const struct real_options *options, uint32_t devices, struct real_outcome *out,
                           struct covey_error *err)
{
    struct real_run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a run");
    run->options = *options;
    run->outcome = out;
    enum covey_status status = prepare(run, devices, err);
    if (status == COVEY_OK)
        status = play(run, err);
    end_all(run);
    stop_relays(run);
    covey_outcome_destroy(run->folder);
    covey_world_destroy(run->world);
    covey_virtual_fleet_deinit(&run->fleet);
    free(run);
    return status;
}
