/* A scenario played for real, on this host: covey-server and a covey-client for each device as processes of
 * their own, with certificates, over CoAP/DTLS, every datagram through relays that have the round trip, loss
 * and rates of the scenario's links. Beside it stands the simulation of the same scenario, with the real
 * run's training times: what the comparison is about is the models, the messages and the network.
 *
 *   real_check.c    what cannot be played for real, with the reason
 *   real_folder.c   shares, configurations, keys: FOLDER/server, FOLDER/devices/NAME, FOLDER/logs
 *   real_process.c  the programs as children
 *   real_gather.c   what they said: rounds, updates
 *   real_run.c      started, watched, ended
 *   real_compare.c  the two runs side by side */
#ifndef COVEY_REAL_RUN_H
#define COVEY_REAL_RUN_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "covey/status.h"
#include "outcome.h"
#include "real_process.h"
#include "relay.h"
#include "scenario.h"
#include "simulation.h"
#include "virtual_fleet.h"
#include "world.h"

#define REAL_DEVICES 64 /* processes that one host is asked to carry */
#define REAL_NETWORKS (COVEY_SIM_CLASSES)
#define REAL_FEDERATION "real"
#define REAL_PATH_BYTES (COVEY_FILE_PATH_BYTES + 128)

struct real_options {
    const struct covey_scenario *scenario;
    const char *folder;                /* of its outcome; made, or made anew when it is of an earlier run */
    const volatile sig_atomic_t *stop; /* set by a signal handler: give up */
    void (*on_round)(void *user, const struct covey_sim_round *round);
    void *user;
};

/* What one of the two runs came to. updates: (update_count) sorted by round and device. */
struct real_outcome {
    struct covey_sim_summary summary;
    struct covey_sim_round *rounds;
    uint32_t round_count, round_capacity;
    struct covey_sim_update *updates;
    uint32_t update_count, update_capacity;
};
void real_outcome_free(struct real_outcome *outcome); /* an all-zero one is legal */
COVEY_MUST_CHECK enum covey_status real_outcome_add_round(struct real_outcome *outcome,
                                                          const struct covey_sim_round *round,
                                                          struct covey_error *err);
COVEY_MUST_CHECK enum covey_status real_outcome_add_update(struct real_outcome *outcome,
                                                           const struct covey_sim_update *update,
                                                           struct covey_error *err);
void real_outcome_sort(struct real_outcome *outcome);
int real_by_round(const void *a, const void *b); /* struct covey_sim_update, for bsearch */
/* CSV "device,round,training_ms,fetch_ms,send_ms": what --replay reads. */
COVEY_MUST_CHECK enum covey_status real_outcome_write_times(const struct real_outcome *outcome,
                                                            const char *path, struct covey_error *err);

/* The open run. */
struct real_run {
    struct real_options options;
    struct covey_virtual_fleet fleet;
    struct covey_world *world;
    char server_program[REAL_PROGRAM_BYTES], client_program[REAL_PROGRAM_BYTES];
    struct relay *relays[REAL_NETWORKS]; /* by class of link; NULL: no device has it */
    uint16_t port;                       /* of the server at 127.0.0.1, and of all relays */
    struct real_process server, devices[REAL_DEVICES];
    struct covey_device_tally tallies[REAL_DEVICES];
    struct covey_outcome *folder;
    struct real_outcome *outcome;
    uint64_t first_opened_ms, progress_ms; /* when the first round began, when the last one ended */
    uint64_t bytes_up, bytes_down;         /* of the relays when the last round ended */
};

/* ---- real_check.c ---- */
/* INVALID with the key and what to put there. devices: what --real asks for. */
COVEY_MUST_CHECK enum covey_status real_check(const struct covey_scenario *scenario, uint32_t devices,
                                              struct covey_error *err);

/* ---- real_folder.c ---- */
/* Makes the folder, with those above it, and marks it as one that may be removed. */
COVEY_MUST_CHECK enum covey_status real_folder_make(const char *folder, struct covey_error *err);
/* With all that is in it; only one that was marked. */
void real_folder_remove(const char *folder);
/* A run's folder, empty. INVALID: it is there and is not of an earlier run. */
COVEY_MUST_CHECK enum covey_status real_folder_begin(const char *folder, struct covey_error *err);
/* Keys, configurations and shares; ports must be known. */
COVEY_MUST_CHECK enum covey_status real_folder_fill(struct real_run *run, struct covey_error *err);
/* Of the device's relay: an address of this host's own. */
void real_relay_address(uint32_t link_class, char out[16]);

/* ---- real_gather.c ---- */
/* The new lines of FOLDER/logs/rounds.jsonl, from *offset on, into the outcome. */
COVEY_MUST_CHECK enum covey_status real_gather_rounds(struct real_run *run, long *offset,
                                                      struct covey_error *err);
/* After the end: what the devices said. */
COVEY_MUST_CHECK enum covey_status real_gather_updates(struct real_run *run, struct covey_error *err);

/* ---- real_run.c ---- */
/* Checked scenario in, outcome folder and *out filled. Everything that was started has ended on return. */
COVEY_MUST_CHECK enum covey_status real_run(const struct real_options *options, uint32_t devices,
                                            struct real_outcome *out, struct covey_error *err);

/* ---- real_compare.c ---- */
/* Prints the two side by side; *equal: the models are the same after every round. */
void real_compare(FILE *out, const struct real_outcome *real, const struct real_outcome *virtual_run,
                  bool json, bool *equal);

#endif
