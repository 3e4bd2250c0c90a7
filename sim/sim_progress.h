/* The live line of `covey-sim run`: round, devices done, accuracy, virtual time, time left. Without a
 * terminal nothing of it is printed. */
#ifndef COVEY_SIM_PROGRESS_H
#define COVEY_SIM_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/progress.h"
#include "outcome.h"

struct covey_sim_progress {
    struct covey_progress line;
    uint32_t rounds, over;  /* over: the last round that is */
    uint64_t round_ms;      /* when it ended; monotonic */
    double seconds_a_round; /* running mean; 0: none is over yet */
    double metric, best;    /* of the last judged round; NaN */
};

/* rounds: at most so many. Drawn on standard error, unless quiet. */
void covey_sim_progress_init(struct covey_sim_progress *progress, uint32_t rounds, bool quiet);
void covey_sim_progress_deinit(struct covey_sim_progress *progress);

/* As options.on_round and on_progress want them; user is the struct covey_sim_progress. */
void covey_sim_progress_round(void *user, const struct covey_sim_round *round);
void covey_sim_progress_work(void *user, uint32_t round, uint32_t done, uint32_t chosen, double virtual_s);

/* Seconds until all rounds are over, at the pace so far; NaN before the first round is over. now_ms: of the
 * monotonic clock. */
double covey_sim_progress_left_s(const struct covey_sim_progress *progress, uint64_t now_ms, uint32_t done,
                                 uint32_t chosen);

#endif
