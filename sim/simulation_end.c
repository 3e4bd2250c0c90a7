/* Judging, and the figures of the whole run. */
#include "simulation_parts.h"

#include <math.h>
#include <stdio.h>
#include <sys/resource.h>

#include "covey/linalg.h"
#include "covey/safetensors.h"

enum covey_status covey_simulation_judge(struct covey_simulation *sim, struct covey_error *err)
{
    double loss = 0, right = 0;
    uint64_t count = 0;
    if (sim->judged || sim->test_part_count == 0)
        return COVEY_OK;
    COVEY_TRY(covey_crew_evaluate(sim->crew, sim->server.published, sim->test_parts, sim->test_part_count,
                                  sim->scores, err));
    COVEY_TRY(covey_simulation_share_scores(sim, sim->scores, sim->test_part_count, err));
    for (uint32_t i = 0; i < sim->test_part_count; i++) {
        const struct covey_score *score = &sim->scores[i];
        const double n = score->examples;
        count += score->examples;
        loss += score->loss * n;
        right += sim->fleet.metric_is_error ? score->rmse * score->rmse * n : score->accuracy * n;
    }
    sim->loss = loss / (double)count;
    sim->metric = right / (double)count;
    if (sim->fleet.metric_is_error)
        sim->metric = sqrt(sim->metric);
    sim->judged = true;
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the end */

static enum covey_status store_model(const struct covey_simulation *sim, struct covey_error *err)
{
    char path[COVEY_FILE_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/model.safetensors", sim->options.folder) >= (int)sizeof path)
        return covey_fail(err, COVEY_LIMIT, "%s: the path is too long", sim->options.folder);
    return covey_safetensors_store(path, &sim->fleet.layout, sim->server.published, NULL, err);
}

static enum covey_status summarise(struct covey_simulation *sim, struct covey_sim_summary *out,
                                   struct covey_error *err)
{
    struct rusage usage;
    struct covey_round_view view;
    double training_s, judging_s;
    covey_virtual_tally_summary(&sim->tally, sim->world, (double)sim->clock.now_ms / 1000, out);
    (void)snprintf(out->scenario, sizeof out->scenario, "%s", sim->scenario->name);
    out->scenario_hash = sim->scenario->hash;
    COVEY_TRY(covey_virtual_server_hash(&sim->server, &out->model));
    covey_linalg_describe(out->blas, sizeof out->blas);
    covey_virtual_tally_cpu(out->cpu, sizeof out->cpu);
    covey_server_round_view(sim->server.machine, &view);
    out->rounds = view.completed;
    out->abandoned = view.abandoned;
    out->devices = sim->fleet.devices;
    out->threads = sim->options.threads;
    out->accuracy = sim->judged ? sim->metric : (double)NAN;
    out->wall_s = covey_simulation_wall_s() - sim->started_s + sim->earlier_s;
    const double rounds_s = covey_simulation_wall_s() - sim->first_opened_s;
    out->updates_per_s = sim->first_opened_s > 0 && rounds_s > 0 ? (double)out->updates / rounds_s : 0;
    covey_crew_cpu(sim->crew, &training_s, &judging_s);
    (void)getrusage(RUSAGE_SELF, &usage);
    double sums[] = {training_s,
                     covey_simulation_process_cpu_s() - sim->loaded_cpu_s - training_s - judging_s,
                     (double)usage.ru_maxrss * 1024};
    if (sim->options.ranks != NULL)
        COVEY_TRY(sim->options.ranks->add(sim->options.ranks->user, sums, sizeof sums / sizeof sums[0], err));
    out->training_cpu_s = sums[0];
    out->other_cpu_s = sums[1];
    out->peak_rss_bytes = (uint64_t)sums[2];
    out->ranks = sim->options.ranks == NULL ? 1 : sim->options.ranks->count;
    if (sim->judged && (isnan(out->best) ||
                        (sim->fleet.metric_is_error ? sim->metric < out->best : sim->metric > out->best)))
        out->best = sim->metric; /* judged at the end alone */
    out->interrupted = sim->stop != 0 && !sim->ended;
    return COVEY_OK;
}

enum covey_status covey_simulation_finish(struct covey_simulation *sim, struct covey_sim_summary *out,
                                          struct covey_error *err)
{
    COVEY_TRY(covey_simulation_judge(sim, err));
    if (sim->scenario->devices_judged > 0 && !sim->stop)
        COVEY_TRY(covey_virtual_tally_judge(&sim->tally, sim->crew, &sim->fleet, sim->server.published,
                                            (uint32_t)sim->scenario->devices_judged, err));
    COVEY_TRY(summarise(sim, out, err));
    if (sim->outcome == NULL)
        return COVEY_OK;
    COVEY_TRY(store_model(sim, err));
    COVEY_TRY(covey_virtual_tally_write(&sim->tally, sim->world, sim->scenario, sim->outcome, err));
    return covey_outcome_summary(sim->outcome, out, err);
}
