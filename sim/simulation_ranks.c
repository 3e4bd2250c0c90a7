/* What several processes that play one simulation tell each other: results of jobs, sums, scores, and when to
 * stop. */
#include "simulation_parts.h"

#include <stdlib.h>
#include <string.h>

/* What the event loop wants to know of a job, whoever ran it. */
struct result {
    int32_t status, examined;
    uint32_t done, folded, examples, steps;
    uint64_t sent_ms, message_bytes, stream_bytes;
    uint64_t upload_ms, upload_up, upload_down;
    uint32_t upload_failed, reserved;
    double loss_before, loss_after;
    struct covey_weighed weighed;
};

bool covey_simulation_is_first(const struct covey_simulation *sim)
{
    return sim->options.ranks == NULL || sim->options.ranks->rank == 0;
}

bool covey_simulation_is_ours(const struct covey_simulation *sim, uint32_t part)
{
    return sim->options.ranks == NULL || part % sim->options.ranks->count == sim->options.ranks->rank;
}

/* In order of need, in turn; where devices keep something, each has a rank for good. */
void covey_simulation_deal(struct covey_simulation *sim)
{
    for (uint32_t i = 0; i < sim->member_count; i++)
        sim->jobs[i].foreign = !covey_simulation_is_ours(sim, sim->store != NULL ? sim->jobs[i].device : i);
}

static void write_result(const struct covey_crew_job *job, struct result *out)
{
    *out = (struct result){.status = (int32_t)job->status,
                           .examined = (int32_t)job->examined,
                           .done = 1,
                           .folded = job->folded,
                           .examples = job->examples,
                           .steps = job->steps,
                           .sent_ms = job->sent_ms,
                           .message_bytes = job->message_bytes,
                           .stream_bytes = job->stream_bytes,
                           .upload_ms = job->upload.ms,
                           .upload_up = job->upload.bytes_up,
                           .upload_down = job->upload.bytes_down,
                           .upload_failed = job->upload.failed,
                           .loss_before = job->loss_before,
                           .loss_after = job->loss_after,
                           .weighed = job->weighed};
}

static void read_result(const struct result *result, struct covey_crew_job *out)
{
    out->status = (enum covey_status)result->status;
    out->examined = (enum covey_status)result->examined;
    out->folded = result->folded != 0;
    out->examples = result->examples;
    out->steps = result->steps;
    out->sent_ms = result->sent_ms;
    out->message_bytes = (size_t)result->message_bytes;
    out->stream_bytes = (size_t)result->stream_bytes;
    out->upload = (struct covey_transfer){.ms = result->upload_ms,
                                          .bytes_up = result->upload_up,
                                          .bytes_down = result->upload_down,
                                          .failed = result->upload_failed != 0};
    out->loss_before = result->loss_before;
    out->loss_after = result->loss_after;
    out->weighed = result->weighed;
}

enum covey_status covey_simulation_share_jobs(struct covey_simulation *sim, struct covey_error *err)
{
    const struct covey_ranks *ranks = sim->options.ranks;
    if (ranks == NULL)
        return COVEY_OK;
    struct result *results = calloc(sim->member_count, sizeof *results);
    if (results == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for the results of %u devices", sim->member_count);
    covey_crew_run_all(sim->crew);
    for (uint32_t i = 0; i < sim->member_count; i++)
        if (sim->jobs[i].queued && !sim->jobs[i].foreign)
            write_result(&sim->jobs[i], &results[i]);
    const enum covey_status status =
        ranks->share(ranks->user, results, sim->member_count * sizeof *results, err);
    for (uint32_t i = 0; i < sim->member_count && status == COVEY_OK; i++) {
        if (!sim->jobs[i].foreign || results[i].done == 0)
            continue;
        read_result(&results[i], &sim->jobs[i]);
        covey_crew_note(sim->crew, &sim->jobs[i]);
    }
    free(results);
    return status;
}

static enum covey_status begin_again(void *user, struct covey_aggregation **out, struct covey_error *err)
{
    const struct covey_virtual_server *server = user;
    return covey_virtual_server_begin(server, out, err);
}

enum covey_status covey_simulation_share_sum(struct covey_simulation *sim, uint32_t *folded,
                                             struct covey_error *err)
{
    struct covey_aggregation_report report;
    if (sim->options.ranks == NULL)
        return COVEY_OK;
    COVEY_TRY(covey_ranks_sum(sim->options.ranks, &sim->server.aggregation, begin_again, &sim->server, err));
    covey_aggregation_report(sim->server.aggregation, &report);
    *folded = (uint32_t)report.updates;
    return COVEY_OK;
}

enum covey_status covey_simulation_agree(struct covey_simulation *sim, struct covey_error *err)
{
    uint8_t wish = sim->stop_wish != 0;
    if (sim->options.ranks != NULL)
        COVEY_TRY(sim->options.ranks->share(sim->options.ranks->user, &wish, sizeof wish, err));
    sim->stop = wish != 0;
    return COVEY_OK;
}

enum covey_status covey_simulation_share_scores(const struct covey_simulation *sim,
                                                struct covey_score *scores, uint32_t count,
                                                struct covey_error *err)
{
    if (sim->options.ranks == NULL)
        return COVEY_OK;
    for (uint32_t i = 0; i < count; i++)
        if (!covey_simulation_is_ours(sim, i))
            memset(&scores[i], 0, sizeof scores[i]);
    return sim->options.ranks->share(sim->options.ranks->user, scores, count * sizeof *scores, err);
}
