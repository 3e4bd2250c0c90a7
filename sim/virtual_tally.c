#include "virtual_tally.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"

enum covey_status covey_virtual_tally_init(struct covey_virtual_tally *tally,
                                           const struct covey_virtual_fleet *fleet, struct covey_error *err)
{
    const struct covey_round_rules *rules = &fleet->scenario->rules;
    *tally = (struct covey_virtual_tally){
        .fleet = fleet, .sums = {.best = (double)NAN}, .judged = {.worst_decile = (double)NAN}};
    tally->sums.watch.lower_is_better = fleet->metric_is_error;
    tally->sums.watch.target = rules->has_target ? rules->stop_target : (double)NAN;
    tally->devices = calloc(fleet->devices, sizeof *tally->devices);
    return tally->devices == NULL
               ? covey_fail(err, COVEY_NO_MEMORY, "no memory for %u devices", fleet->devices)
               : COVEY_OK;
}

void covey_virtual_tally_deinit(struct covey_virtual_tally *tally)
{
    free(tally->devices);
    tally->devices = NULL;
}

/* ------------------------------------------------------------------ a round */

static void add_member(struct covey_virtual_tally *tally, const struct covey_world *world,
                       const struct covey_member_context *context, const struct covey_virtual_member *member,
                       double *loss_sum, struct covey_sim_round *row)
{
    struct covey_device_tally *device = &tally->devices[member->device];
    const struct covey_crew_job *job = member->job;
    /* what was under way when the round ended went over the air as well */
    const uint64_t up = member->bytes_up + (member->gone ? 0 : member->transfer.bytes_up);
    const uint64_t down = member->bytes_down + (member->gone ? 0 : member->transfer.bytes_down);
    const uint64_t examples = member->training ? member->share : 0;
    const double joules = covey_world_joules(
        world, member->device, examples * (member->plan.recipe.epochs > 0 ? member->plan.recipe.epochs : 1),
        up, down);
    const bool dropped =
        !member->recorded && (member->gone || member->failed || member->plan_ms == UINT64_MAX);
    const bool late = !member->recorded && !dropped && !member->refused;
    device->chosen++;
    device->done += member->recorded;
    device->dropped += dropped;
    device->late += late;
    device->bytes += up + down;
    device->joules += (float)joules;
    row->chosen++;
    row->updates += member->recorded;
    row->dropped += dropped;
    row->late += late;
    row->refused += member->refused;
    row->bytes_up += up;
    row->bytes_down += down;
    row->joules += joules;
    if (!member->recorded)
        return;
    row->examples += job->examples;
    row->update_bytes_up += job->stream_bytes;
    row->bytes_up_fp32 += 4ull * context->fleet->layout.update_count;
    *loss_sum += job->loss_after * (double)job->examples;
}

void covey_virtual_tally_round(struct covey_virtual_tally *tally, const struct covey_world *world,
                               const struct covey_member_context *context,
                               const struct covey_virtual_member *members, uint32_t count,
                               struct covey_sim_round *row)
{
    double loss_sum = 0;
    for (uint32_t slot = 0; slot < count; slot++) /* in order of slots: one order of the sums */
        if (!members[slot].lasts)                 /* it counts when it is over */
            add_member(tally, world, context, &members[slot], &loss_sum, row);
    row->train_loss = row->examples > 0 ? loss_sum / (double)row->examples : (double)NAN;
}

void covey_virtual_tally_note(struct covey_virtual_tally *tally, struct covey_sim_round *row,
                              bool lower_is_better)
{
    tally->sums.updates += row->updates;
    tally->sums.late += row->late;
    tally->sums.dropped += row->dropped;
    tally->sums.refused += row->refused;
    tally->sums.bytes_up += row->bytes_up;
    tally->sums.bytes_down += row->bytes_down;
    tally->sums.update_bytes_up += row->update_bytes_up;
    tally->sums.bytes_up_fp32 += row->bytes_up_fp32;
    tally->sums.joules += row->joules;
    if (!isnan(row->metric) &&
        (isnan(tally->sums.best) ||
         (lower_is_better ? row->metric < tally->sums.best : row->metric > tally->sums.best)))
        tally->sums.best = row->metric;
    row->best = tally->sums.best;
    if (!isnan(tally->sums.watch.target))
        covey_target_watch_add(&tally->sums.watch, row);
}

/* ------------------------------------------------------------------ devices, judged one by one */

enum covey_status covey_virtual_tally_judge(struct covey_virtual_tally *tally, struct covey_crew *crew,
                                            const struct covey_virtual_fleet *fleet, const float *params,
                                            uint32_t judged, struct covey_error *err)
{
    const uint32_t count = judged < fleet->devices ? judged : fleet->devices;
    const size_t most = covey_partition_most(fleet->partition);
    uint32_t *chosen = calloc(count, sizeof *chosen), *indices = calloc(count, most * sizeof *indices);
    struct covey_dataset *parts = calloc(count, sizeof *parts);
    struct covey_score *scores = calloc(count, sizeof *scores);
    struct covey_device_score *metrics = calloc(count, sizeof *metrics);
    enum covey_status status =
        chosen == NULL || indices == NULL || parts == NULL || scores == NULL || metrics == NULL
            ? covey_fail(err, COVEY_NO_MEMORY, "no memory to judge %u devices", count)
            : COVEY_OK;
    if (status == COVEY_OK)
        status = covey_cohort_select(&(struct covey_selection){.policy = COVEY_SELECT_RANDOM},
                                     (uint64_t)fleet->scenario->seed, UINT32_MAX,
                                     &(struct covey_candidates){.ids = fleet->ids, .count = fleet->devices},
                                     count, chosen);
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++)
        covey_virtual_fleet_judged(fleet, chosen[i], indices + i * most, &parts[i]);
    if (status == COVEY_OK)
        status = covey_crew_evaluate_own(crew, params, chosen, parts, count, scores, err);
    for (uint32_t i = 0; i < count && status == COVEY_OK; i++) {
        metrics[i] = (struct covey_device_score){chosen[i], scores[i].examples,
                                                 scores[i].examples == 0  ? (double)NAN
                                                 : fleet->metric_is_error ? scores[i].rmse
                                                                          : scores[i].accuracy};
        tally->devices[chosen[i]].metric = (float)metrics[i].metric;
    }
    if (status == COVEY_OK &&
        covey_device_summary_make(metrics, count, fleet->metric_is_error, &tally->judged) != COVEY_OK)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory to judge %u devices", count);
    free(chosen);
    free(indices);
    free(parts);
    free(scores);
    free(metrics);
    return status;
}

/* ------------------------------------------------------------------ the summary */

/* Mean share of its battery that a device's federated work takes in a day of virtual time. */
static double battery_share(const struct covey_virtual_tally *tally, const struct covey_world *world,
                            double virtual_s)
{
    double sum = 0;
    uint64_t count = 0;
    for (uint32_t device = 0; device < tally->fleet->devices; device++) {
        struct covey_virtual_device kind;
        covey_world_device(world, device, &kind);
        const double wh = covey_world_battery_wh(world, kind.device_class);
        if (!(wh > 0))
            continue;
        sum += (double)tally->devices[device].joules / (wh * 3600);
        count++;
    }
    return count == 0 || !(virtual_s > 0) ? (double)NAN : sum / (double)count * 86400 / virtual_s;
}

static double participation_gini(const struct covey_virtual_tally *tally)
{
    const uint32_t devices = tally->fleet->devices;
    uint32_t *counts = malloc(devices * sizeof *counts);
    if (counts == NULL)
        return (double)NAN;
    for (uint32_t device = 0; device < devices; device++)
        counts[device] = tally->devices[device].done;
    const double gini = covey_gini_counts(counts, devices);
    free(counts);
    return gini;
}

void covey_virtual_tally_summary(const struct covey_virtual_tally *tally, const struct covey_world *world,
                                 double virtual_s, struct covey_sim_summary *out)
{
    const struct covey_target_crossing *crossing = &tally->sums.watch.crossing;
    *out = (struct covey_sim_summary){
        .metric_is_error = tally->fleet->metric_is_error,
        .best = tally->sums.best,
        .target = tally->sums.watch.target,
        .rounds_to_target = crossing->reached ? crossing->rounds : (double)NAN,
        .virtual_s_to_target = crossing->reached ? crossing->virtual_s : (double)NAN,
        .bytes_up_to_target = crossing->reached ? (uint64_t)crossing->bytes_up : 0,
        .updates = tally->sums.updates,
        .late = tally->sums.late,
        .dropped = tally->sums.dropped,
        .refused = tally->sums.refused,
        .bytes_up = tally->sums.bytes_up,
        .bytes_down = tally->sums.bytes_down,
        .update_bytes_up = tally->sums.update_bytes_up,
        .bytes_up_fp32 = tally->sums.bytes_up_fp32,
        .joules = tally->sums.joules,
        .virtual_s = virtual_s,
        .worst_decile = tally->judged.worst_decile,
        .participation_gini = participation_gini(tally),
        .battery_share_a_day = battery_share(tally, world, virtual_s)};
}

enum covey_status covey_virtual_tally_write(struct covey_virtual_tally *tally,
                                            const struct covey_world *world,
                                            const struct covey_scenario *scenario,
                                            struct covey_outcome *outcome, struct covey_error *err)
{
    const char *device_classes[COVEY_SIM_CLASSES + 1], *link_classes[COVEY_OUTCOME_CLASSES];
    uint32_t devices = 0, links = 0;
    for (uint32_t device = 0; device < tally->fleet->devices; device++) {
        struct covey_virtual_device kind;
        struct covey_device_tally *own = &tally->devices[device];
        covey_world_device(world, device, &kind);
        own->examples = covey_virtual_fleet_count(tally->fleet, device);
        own->device_class = kind.device_class;
        own->link_class = kind.link_class;
        own->metric = own->metric > 0 || own->metric < 0 ? own->metric : (float)NAN;
        devices = kind.device_class >= devices ? kind.device_class + 1u : devices;
        links = kind.link_class >= links ? kind.link_class + 1u : links;
    }
    (void)scenario;
    for (uint32_t i = 0; i <= COVEY_SIM_CLASSES; i++)
        device_classes[i] = i < devices ? covey_world_device_class(world, i) : NULL;
    for (uint32_t i = 0; i < COVEY_OUTCOME_CLASSES; i++)
        link_classes[i] = i < links ? covey_world_link_class(world, i) : NULL;
    return covey_outcome_devices(outcome, tally->devices, tally->fleet->devices, device_classes, link_classes,
                                 err);
}

void covey_virtual_tally_cpu(char *out, size_t out_bytes)
{
    char line[256];
    FILE *stream = fopen("/proc/cpuinfo", "re");
    (void)snprintf(out, out_bytes, "unknown");
    while (stream != NULL && fgets(line, sizeof line, stream) != NULL) {
        const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (value == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(out, out_bytes, "%s", value + 2);
        break;
    }
    if (stream != NULL)
        (void)fclose(stream);
}
