/* Hostile devices that see what the honest ones of the round make: those are trained once before the round,
 * and what comes of it is turned into the one delta that all hostile devices send. */
#include <stdatomic.h>
#include <stdlib.h>

#include "crew_parts.h"

struct spying {
    struct covey_crew *crew;
    const struct covey_crew_job **honest; /* (count) by slot */
    uint32_t count;
    float *deltas; /* (count, update_count) */
    bool *failed;
};

static void spy_one(void *user, uint32_t worker_index, uint32_t index)
{
    struct spying *spying = user;
    struct covey_crew *crew = spying->crew;
    struct covey_worker *worker = &crew->workers[worker_index];
    struct covey_training_result result;
    struct covey_error err = {0};
    float *delta = spying->deltas + (size_t)index * crew->update_count;
    spying->failed[index] = covey_worker_train(worker, spying->honest[index], &result, &err) != COVEY_OK;
    for (size_t i = 0; i < crew->update_count; i++)
        delta[i] = worker->local[i] - crew->round.published[i];
}

static int by_slot(const void *a, const void *b)
{
    const struct covey_crew_job *const *x = a, *const *y = b;
    return (*x)->slot < (*y)->slot ? -1 : (*x)->slot > (*y)->slot;
}

/* Rows of devices that diverged are passed over. */
static size_t close_ranks(struct spying *spying)
{
    const size_t width = spying->crew->update_count;
    size_t kept = 0;
    for (uint32_t i = 0; i < spying->count; i++) {
        if (spying->failed[i])
            continue;
        for (size_t j = 0; kept != i && j < width; j++)
            spying->deltas[kept * width + j] = spying->deltas[(size_t)i * width + j];
        kept++;
    }
    return kept;
}

static enum covey_status spy(struct spying *spying, struct covey_error *err)
{
    struct covey_crew *crew = spying->crew;
    const struct covey_scenario *scenario = crew->config.fleet->scenario;
    if (spying->count == 0)
        return COVEY_OK;
    qsort(spying->honest, spying->count, sizeof *spying->honest, by_slot);
    if ((uint64_t)spying->count * crew->update_count * sizeof(float) > COVEY_SPY_BYTES)
        return covey_fail(err, COVEY_LIMIT,
                          "attack: %u honest devices a round are too many to be seen at once", spying->count);
    spying->deltas = malloc((size_t)spying->count * crew->update_count * sizeof(float));
    spying->failed = calloc(spying->count, sizeof *spying->failed);
    if (crew->spied == NULL)
        crew->spied = malloc(crew->update_count * sizeof(float));
    if (spying->deltas == NULL || spying->failed == NULL || crew->spied == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to see what %u devices make", spying->count);
    covey_crew_each(crew, spying->count, spy_one, spying);
    const size_t rows = close_ranks(spying);
    crew->has_spied = rows > 0;
    if (crew->has_spied)
        covey_attack_craft(scenario->attack.kind, scenario->attack.strength, spying->deltas, rows,
                           crew->update_count, crew->spied);
    return COVEY_OK;
}

enum covey_status covey_crew_spy(struct covey_crew *crew, const struct covey_crew_round *round,
                                 const struct covey_crew_job *jobs, uint32_t count, struct covey_error *err)
{
    const struct covey_scenario *scenario = crew->config.fleet->scenario;
    struct spying spying = {.crew = crew};
    crew->twin = NULL;
    crew->has_spied = false;
    for (uint32_t i = 0; i < count && scenario->attack.kind == COVEY_ATTACK_SYBIL; i++)
        if (jobs[i].hostile && (crew->twin == NULL || jobs[i].slot < crew->twin->slot))
            crew->twin = &jobs[i];
    if (!covey_attack_spies(scenario))
        return COVEY_OK;
    crew->round = *round;
    spying.honest = calloc(count, sizeof *spying.honest);
    if (spying.honest == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", count);
    for (uint32_t i = 0; i < count; i++)
        if (!jobs[i].hostile)
            spying.honest[spying.count++] = &jobs[i];
    const enum covey_status status = spy(&spying, err);
    free(spying.honest);
    free(spying.deltas);
    free(spying.failed);
    return status;
}
