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

/* Writes train.csv, test.csv, little.yaml and scenario.yaml; more: further lines of the scenario, or "". */
void little_fleet_init(struct little_fleet *fleet, const char *more);
void little_fleet_deinit(struct little_fleet *fleet);

/* Plays it with so many threads; settings: (count) as of --set. */
void little_fleet_play(const struct little_fleet *fleet, const char *const *settings, uint32_t count,
                       const struct covey_simulation_options *options, struct covey_sim_summary *out);

#endif
