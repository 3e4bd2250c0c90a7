/* A small scenario in a folder of its own, for tests: four clouds of points, a two-layer model, ten devices.
 */
#ifndef COVEY_LITTLE_FLEET_H
#define COVEY_LITTLE_FLEET_H

#include "scenario.h"
#include "simulation.h"

#define LITTLE_DEVICES 10

struct little_fleet {
    char folder[64];
    char file[96]; /* scenario.yaml */
};

/* Writes train.csv, test.csv, little.yaml, personal.yaml (its last layer stays with the devices) and
 * scenario.yaml; more: further lines of the scenario, or "". */
void little_fleet_init(struct little_fleet *fleet, const char *more);
void little_fleet_deinit(struct little_fleet *fleet);

#define LITTLE_ROWS 64

/* How it is played, and what came of it. */
struct little_run {
    struct covey_simulation_options options; /* on_round and user are overwritten */
    uint32_t stop_after;                     /* stopped, as by a signal, in this round; 0: never */
    struct covey_simulation *simulation;     /* while it is played */
    struct covey_sim_round rows[LITTLE_ROWS];
    uint32_t row_count;
    struct covey_sim_summary summary;
};

/* settings: (count) as of --set. */
void little_fleet_play(const struct little_fleet *fleet, const char *const *settings, uint32_t count,
                       struct little_run *run);

/* Both made the same rounds: everything but the wall clock. */
bool little_runs_agree(const struct little_run *a, const struct little_run *b);

#endif
