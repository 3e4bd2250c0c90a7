/* Hostile devices that see what the honest ones of the round make: those are trained before the round, what
 * comes of it is turned into the one delta that all hostile devices send, and kept, so that nobody is trained
 * twice. */
#include <stdlib.h>

#include "attack.h"
#include "crew_parts.h"

#define TILE 4096 /* coordinates whose deltas are looked at together */

static void spy_one(void *user, uint32_t worker_index, uint32_t index)
{
    struct covey_crew *crew = user;
    struct covey_worker *worker = &crew->workers[worker_index];
    struct covey_seen *seen = &crew->seen[index];
    seen->status = covey_worker_train(worker, seen->job, &seen->result, &seen->err);
    for (size_t i = 0; i < crew->count; i++)
        seen->local[i] = worker->local[i];
    for (size_t i = 0; i < crew->memory_count; i++)
        seen->memory[i] = worker->memory[i];
}

static int by_slot(const void *a, const void *b)
{
    const struct covey_seen *x = a, *y = b;
    return x->job->slot < y->job->slot ? -1 : x->job->slot > y->job->slot;
}

/* Room for what the honest of the cohort make. */
static enum covey_status make_room(struct covey_crew *crew, const struct covey_crew_job *jobs, uint32_t count,
                                   struct covey_error *err)
{
    const size_t width = crew->count + crew->memory_count;
    crew->seen_count = 0;
    free(crew->seen);
    free(crew->seen_values);
    crew->seen_values = NULL;
    crew->seen = calloc(count > 0 ? count : 1, sizeof *crew->seen);
    if (crew->seen == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", count);
    for (uint32_t i = 0; i < count; i++)
        if (!jobs[i].hostile)
            crew->seen[crew->seen_count++].job = &jobs[i];
    if ((uint64_t)crew->seen_count * width * sizeof(float) > COVEY_SPY_BYTES)
        return covey_fail(err, COVEY_LIMIT,
                          "attack: %u honest devices a round are too many to be seen at once",
                          crew->seen_count);
    qsort(crew->seen, crew->seen_count, sizeof *crew->seen, by_slot);
    crew->seen_values = malloc(crew->seen_count * width * sizeof(float) + 1);
    if (crew->spied == NULL)
        crew->spied = malloc(crew->update_count * sizeof(float));
    if (crew->seen_values == NULL || crew->spied == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to see what %u devices make", crew->seen_count);
    for (uint32_t i = 0; i < crew->seen_count; i++) {
        crew->seen[i].local = crew->seen_values + i * width;
        crew->seen[i].memory = crew->seen[i].local + crew->count;
    }
    return COVEY_OK;
}

/* Tile by tile: deltas (rows, tile) -> spied. Devices that diverged are passed over. */
static enum covey_status craft(struct covey_crew *crew, struct covey_error *err)
{
    const struct covey_scenario *scenario = crew->config.fleet->scenario;
    float *deltas = malloc((size_t)crew->seen_count * TILE * sizeof *deltas + 1);
    if (deltas == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory to see what %u devices make", crew->seen_count);
    for (size_t from = 0; from < crew->update_count; from += TILE) {
        const size_t tile = crew->update_count - from < TILE ? crew->update_count - from : TILE;
        size_t rows = 0;
        for (uint32_t i = 0; i < crew->seen_count; i++) {
            if (crew->seen[i].status != COVEY_OK)
                continue;
            for (size_t j = 0; j < tile; j++)
                deltas[rows * tile + j] =
                    crew->seen[i].local[from + j] - crew->round.base->published[from + j];
            rows++;
        }
        crew->has_spied = rows > 0;
        if (rows > 0)
            covey_attack_craft(scenario->attack.kind, scenario->attack.strength, deltas, rows, tile,
                               crew->spied + from);
    }
    free(deltas);
    return COVEY_OK;
}

enum covey_status covey_crew_spy(struct covey_crew *crew, const struct covey_crew_round *round,
                                 struct covey_crew_job *jobs, uint32_t count, struct covey_error *err)
{
    const struct covey_scenario *scenario = crew->config.fleet->scenario;
    crew->twin = NULL;
    crew->has_spied = false;
    for (uint32_t i = 0; i < count && scenario->attack.kind == COVEY_ATTACK_SYBIL; i++)
        if (jobs[i].hostile && (crew->twin == NULL || jobs[i].slot < crew->twin->slot))
            crew->twin = &jobs[i];
    if (!covey_attack_spies(scenario))
        return COVEY_OK;
    crew->round = *round;
    COVEY_TRY(make_room(crew, jobs, count, err));
    covey_crew_each(crew, crew->seen_count, spy_one, crew);
    for (uint32_t i = 0; i < crew->seen_count; i++)
        jobs[crew->seen[i].job - jobs].seen = i + 1;
    return craft(crew, err);
}
