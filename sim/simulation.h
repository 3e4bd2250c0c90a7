/* A simulation: the server's round machine and a crowd of devices' ones, the real messages, codecs, checks
 * and sums, over the in-process transport, under a virtual clock.
 *
 * Events wait in one queue, ordered by (time, device, kind); the thread that runs the simulation takes them
 * one by one. Training and taking in updates, which is nearly all of the work, goes to worker threads: a
 * device's training depends on nothing that happens after it began, so its result is wanted only when its
 * upload arrives. The order of events, and with it the trace and the model, is the same for any number of
 * threads. */
#ifndef COVEY_SIMULATION_H
#define COVEY_SIMULATION_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/status.h"
#include "outcome.h"
#include "ranks.h"
#include "scenario.h"

#define COVEY_SIM_THREADS 256

/* One update that was taken, in the order of the round's slots. */
struct covey_sim_update {
    uint32_t round, device;
    uint64_t training_ms;
    uint64_t fetch_ms, send_ms; /* on the network: for the model, of the update */
};

struct covey_simulation_options {
    uint32_t threads;                /* 0 = one a processor */
    const char *folder;              /* of the outcome; NULL: nothing is written */
    bool resume;                     /* go on from folder's checkpoint, if it has one */
    const struct covey_ranks *ranks; /* that play it together; NULL: alone. Borrowed */
    const char *replay;  /* CSV "device,round,training_ms" that replaces the world's training times; NULL */
    uint64_t held_bytes; /* of updates under way in memory, the others wait on the disk; 0 = default */
    void (*on_round)(void *user, const struct covey_sim_round *round);
    void (*on_update)(void *user, const struct covey_sim_update *update); /* when its round is over */
    void (*on_progress)(void *user, uint32_t round, uint32_t done, uint32_t chosen,
                        double virtual_s); /* some times a second */
    void *user;
};

struct covey_simulation;

COVEY_MUST_CHECK enum covey_status covey_simulation_create(const struct covey_scenario *scenario,
                                                           const struct covey_simulation_options *options,
                                                           struct covey_simulation **out,
                                                           struct covey_error *err);
/* To the end, or until stopped: then the outcome has what there is, and a checkpoint. */
COVEY_MUST_CHECK enum covey_status covey_simulation_run(struct covey_simulation *simulation,
                                                        struct covey_sim_summary *out,
                                                        struct covey_error *err);
void covey_simulation_stop(struct covey_simulation *simulation); /* from anywhere, signal handlers included */
void covey_simulation_destroy(struct covey_simulation *simulation);

#endif
