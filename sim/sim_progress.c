#include "sim_progress.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "covey/env.h"

#define PACE_WEIGHT .2 /* of the newest round in the running mean */

static uint64_t now(void)
{
    const struct covey_env env = covey_env_system(NULL);
    return env.now_ms(env.user);
}

void covey_sim_progress_init(struct covey_sim_progress *progress, uint32_t rounds, bool quiet)
{
    *progress = (struct covey_sim_progress){.rounds = rounds, .metric = NAN, .best = NAN};
    progress->round_ms = now();
    covey_progress_init(&progress->line, STDERR_FILENO, quiet);
}

void covey_sim_progress_deinit(struct covey_sim_progress *progress)
{
    covey_progress_deinit(&progress->line);
}

double covey_sim_progress_left_s(const struct covey_sim_progress *progress, uint64_t now_ms, uint32_t done,
                                 uint32_t chosen)
{
    if (!(progress->seconds_a_round > 0) || progress->over >= progress->rounds)
        return progress->over >= progress->rounds ? 0 : (double)NAN;
    /* Of the round that runs: what its devices say, or what the clock says before one is done. */
    const double elapsed = (double)(now_ms - progress->round_ms) / 1000 / progress->seconds_a_round;
    const double share = done > 0 && chosen > 0 ? (double)done / chosen : fmin(elapsed, 1);
    return (progress->rounds - progress->over - fmin(share, 1)) * progress->seconds_a_round;
}

static void show(struct covey_sim_progress *progress, uint32_t round, uint32_t done, uint32_t chosen,
                 double virtual_s)
{
    char clock[24], left[24], metric[48] = "", wait[40] = "";
    const double left_s = round > progress->over
                              ? covey_sim_progress_left_s(progress, now(), done, chosen)
                              : covey_sim_progress_left_s(progress, progress->round_ms, 0, 0);
    if (!isnan(progress->metric))
        (void)snprintf(metric, sizeof metric, "  accuracy %.4f (best %.4f)", progress->metric,
                       progress->best);
    if (!isnan(left_s))
        (void)snprintf(wait, sizeof wait, "  %s left", covey_progress_seconds(left_s, left));
    covey_progress_show(&progress->line, "round %u of %u  %u of %u devices%s  virtual %s%s", round,
                        progress->rounds, done, chosen, metric, covey_progress_seconds(virtual_s, clock),
                        wait);
}

void covey_sim_progress_round(void *user, const struct covey_sim_round *round)
{
    struct covey_sim_progress *progress = user;
    const uint64_t now_ms = now();
    const double seconds = (double)(now_ms - progress->round_ms) / 1000;
    progress->seconds_a_round = progress->seconds_a_round > 0
                                    ? progress->seconds_a_round * (1 - PACE_WEIGHT) + seconds * PACE_WEIGHT
                                    : fmax(seconds, 1e-6);
    progress->round_ms = now_ms;
    progress->over = round->round;
    if (!isnan(round->metric)) {
        progress->metric = round->metric;
        progress->best = fmax(round->metric, round->best);
    }
    show(progress, round->round, round->updates, round->chosen, round->virtual_s);
}

void covey_sim_progress_work(void *user, uint32_t round, uint32_t done, uint32_t chosen, double virtual_s)
{
    show(user, round, done, chosen, virtual_s);
}
