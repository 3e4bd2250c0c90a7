/* What a simulation adds up to: rounds, devices, and the figures of the summary. */
#ifndef COVEY_VIRTUAL_TALLY_H
#define COVEY_VIRTUAL_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "device_scores.h"
#include "outcome.h"
#include "virtual_member.h"
#include "yardstick.h"

/* Plain data: what a checkpoint holds. */
struct covey_virtual_sums {
    uint64_t updates, late, dropped, refused;
    uint64_t bytes_up, bytes_down, update_bytes_up, bytes_up_fp32;
    double joules;
    double best; /* NaN: nothing was judged */
    struct covey_target_watch watch;
};

struct covey_virtual_tally {
    const struct covey_virtual_fleet *fleet; /* borrowed */
    struct covey_device_tally *devices;      /* (fleet->devices) */
    struct covey_virtual_sums sums;
    struct covey_device_summary judged; /* by devices, the last time */
};

COVEY_MUST_CHECK enum covey_status covey_virtual_tally_init(struct covey_virtual_tally *tally,
                                                            const struct covey_virtual_fleet *fleet,
                                                            struct covey_error *err);
void covey_virtual_tally_deinit(struct covey_virtual_tally *tally);

/* A round is over: its members into the devices' sums and into row. */
void covey_virtual_tally_round(struct covey_virtual_tally *tally, const struct covey_world *world,
                               const struct covey_member_context *context,
                               const struct covey_virtual_member *members, uint32_t count,
                               struct covey_sim_round *row);
/* The judged row into the run's sums; row->best is filled in. */
void covey_virtual_tally_note(struct covey_virtual_tally *tally, struct covey_sim_round *row,
                              bool lower_is_better);

/* The model on the own examples of so many devices, drawn by the seed: with the layers, or the whole model,
 * that are each device's own. */
COVEY_MUST_CHECK enum covey_status covey_virtual_tally_judge(struct covey_virtual_tally *tally,
                                                             struct covey_crew *crew,
                                                             const struct covey_virtual_fleet *fleet,
                                                             const float *params, uint32_t judged,
                                                             struct covey_error *err);
/* The sums' part of a summary; the rest is zero. */
void covey_virtual_tally_summary(const struct covey_virtual_tally *tally, const struct covey_world *world,
                                 double virtual_s, struct covey_sim_summary *out);
COVEY_MUST_CHECK enum covey_status covey_virtual_tally_write(struct covey_virtual_tally *tally,
                                                             const struct covey_world *world,
                                                             const struct covey_scenario *scenario,
                                                             struct covey_outcome *outcome,
                                                             struct covey_error *err);
/* The processor's name, cut to fit. */
void covey_virtual_tally_cpu(char *out, size_t out_bytes);

#endif
