/* What is kept from one process to the next: everything that the next round depends on, between two rounds.
 */
#include "simulation_parts.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

/* The parts of fixed length. */
struct core {
    uint64_t now_ms, next_ms, sequence, delta_bytes, state_bytes, steps_bytes, carried_bytes;
    uint32_t past_count, has_exponents, judged, reserved;
    double loss, metric, wall_s;
    int16_t exponents[COVEY_MODEL_TENSORS];
    struct covey_virtual_sums sums;
};

enum covey_status covey_simulation_note_past(struct covey_simulation *sim, uint32_t round, bool abandoned,
                                             double value, struct covey_error *err)
{
    if (sim->past_count == sim->past_capacity) {
        const uint32_t capacity = sim->past_capacity == 0 ? 128 : 2 * sim->past_capacity;
        struct covey_past_round *past = reallocarray(sim->past, capacity, sizeof *past);
        if (past == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u rounds", capacity);
        sim->past = past;
        sim->past_capacity = capacity;
    }
    sim->past[sim->past_count++] = (struct covey_past_round){round, abandoned, value};
    return COVEY_OK;
}

/* Not before that time does the next round open. */
static uint64_t next_opening(const struct covey_simulation *sim)
{
    const uint64_t next_ms = covey_server_round_next_ms(sim->server.machine);
    return next_ms == COVEY_ROUND_NO_TIMER || next_ms < sim->clock.now_ms ? sim->clock.now_ms : next_ms;
}

static size_t record_bytes(const struct covey_simulation *sim)
{
    return sim->records == NULL ? 0 : sim->fleet.devices * sizeof *sim->records;
}

static enum covey_status save_pieces(struct covey_simulation *sim, struct core *core, uint8_t *records,
                                     uint8_t *state, uint8_t *steps, uint8_t *carried,
                                     struct covey_error *err)
{
    const uint32_t devices = sim->fleet.devices;
    const size_t shared_bytes = sim->fleet.layout.shared_count * sizeof(float);
    const struct covey_checkpoint_piece pieces[] = {
        {core, sizeof *core},
        {sim->past, sim->past_count * sizeof *sim->past},
        {sim->server.published, shared_bytes},
        {sim->server.weights, shared_bytes},
        {sim->sequences, devices * sizeof *sim->sequences},
        {sim->tally.devices, devices * sizeof *sim->tally.devices},
        {records, sim->store == NULL ? 0 : covey_personal_store_save_bytes(sim->store)},
        {sim->records, record_bytes(sim)},
        {state, (size_t)core->state_bytes},
        {steps, (size_t)core->steps_bytes},
        {carried, (size_t)core->carried_bytes}};
    return covey_checkpoint_write(sim->options.folder, &sim->scenario->hash, pieces,
                                  sizeof pieces / sizeof pieces[0], err);
}

enum covey_status covey_simulation_save(struct covey_simulation *sim, struct covey_error *err)
{
    if (sim->options.folder == NULL || !covey_simulation_is_first(sim) ||
        (sim->options.ranks != NULL && sim->store != NULL)) /* what they keep lies with several processes */
        return COVEY_OK;
    uint8_t *records = NULL;
    if (sim->store != NULL) {
        COVEY_TRY(covey_personal_store_sync(sim->store, err));
        records = malloc(covey_personal_store_save_bytes(sim->store));
        if (records == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
        covey_personal_store_save(sim->store, records);
    }
    struct core *core = calloc(1, sizeof *core);
    enum covey_status status =
        core == NULL ? covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint") : COVEY_OK;
    const size_t state_bytes = covey_round_state_encoded_bytes(&sim->server.state);
    const size_t steps_bytes = covey_virtual_server_steps_bytes(&sim->server);
    uint8_t *state = malloc(state_bytes), *steps = malloc(steps_bytes + 1), *carried = NULL;
    size_t carried_bytes = 0;
    if (status == COVEY_OK)
        status = covey_simulation_save_carried(sim, &carried, &carried_bytes, err);
    if (status == COVEY_OK && (state == NULL || steps == NULL))
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    if (status == COVEY_OK) {
        covey_round_state_encode(&sim->server.state, state);
        core->state_bytes = state_bytes;
        covey_virtual_server_steps_save(&sim->server, steps);
        core->steps_bytes = steps_bytes;
        core->carried_bytes = carried_bytes;
        core->now_ms = sim->clock.now_ms;
        core->next_ms = next_opening(sim);
        core->sequence = sim->server.sequence;
        core->delta_bytes = sim->server.delta_bytes;
        core->past_count = sim->past_count;
        core->has_exponents = sim->server.has_exponents;
        core->judged = sim->judged;
        core->loss = sim->loss;
        core->metric = sim->metric;
        core->wall_s = covey_simulation_wall_s() - sim->started_s + sim->earlier_s;
        memcpy(core->exponents, sim->server.exponents, sizeof core->exponents);
        core->sums = sim->tally.sums;
        status = save_pieces(sim, core, records, state, steps, carried, err);
    }
    sim->checkpoint_s = covey_simulation_wall_s();
    free(core);
    free(records);
    free(state);
    free(steps);
    free(carried);
    return status;
}

static enum covey_status take_store(struct covey_simulation *sim, struct covey_checkpoint *checkpoint,
                                    struct covey_error *err)
{
    if (sim->store == NULL)
        return covey_checkpoint_take(checkpoint, NULL, 0, err);
    const size_t bytes = covey_personal_store_save_bytes(sim->store);
    uint8_t *records = malloc(bytes);
    if (records == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    enum covey_status status = covey_checkpoint_take(checkpoint, records, bytes, err);
    if (status == COVEY_OK)
        status = covey_personal_store_load(sim->store, records, bytes, err);
    free(records);
    return status;
}

static enum covey_status take_past(struct covey_simulation *sim, struct covey_checkpoint *checkpoint,
                                   uint32_t count, struct covey_error *err)
{
    sim->past = calloc(count == 0 ? 1 : count, sizeof *sim->past);
    if (sim->past == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for %u rounds", count);
    sim->past_count = sim->past_capacity = count;
    COVEY_TRY(covey_checkpoint_take(checkpoint, sim->past, count * sizeof *sim->past, err));
    for (uint32_t i = 0; i < count; i++) {
        if (sim->past[i].abandoned)
            covey_server_round_replay_abandoned(sim->server.machine, sim->past[i].round);
        else
            covey_server_round_replay_completed(sim->server.machine, sim->past[i].round, sim->past[i].value);
    }
    return COVEY_OK;
}

static enum covey_status take_state(struct covey_simulation *sim, struct covey_checkpoint *checkpoint,
                                    uint64_t bytes, struct covey_error *err)
{
    uint8_t *state = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (state == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    enum covey_status status = covey_checkpoint_take(checkpoint, state, (size_t)bytes, err);
    if (status == COVEY_OK)
        status =
            covey_round_state_decode((struct covey_bytes){state, (size_t)bytes}, &sim->server.state, err);
    free(state);
    return status;
}

static enum covey_status take_steps(struct covey_simulation *sim, struct covey_checkpoint *checkpoint,
                                    uint64_t bytes, struct covey_error *err)
{
    uint8_t *steps = malloc((size_t)bytes + 1);
    if (steps == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    enum covey_status status = covey_checkpoint_take(checkpoint, steps, (size_t)bytes, err);
    if (status == COVEY_OK)
        status =
            covey_virtual_server_steps_load(&sim->server, (struct covey_bytes){steps, (size_t)bytes}, err);
    free(steps);
    return status;
}

static enum covey_status take_carried(struct covey_simulation *sim, struct covey_checkpoint *checkpoint,
                                      uint64_t bytes, struct covey_error *err)
{
    uint8_t *carried = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (carried == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    enum covey_status status = covey_checkpoint_take(checkpoint, carried, (size_t)bytes, err);
    if (status == COVEY_OK)
        status = covey_simulation_restore_carried(sim, carried, (size_t)bytes, err);
    free(carried);
    return status;
}

static enum covey_status take_all(struct covey_simulation *sim, struct covey_checkpoint *checkpoint,
                                  struct core *core, struct covey_error *err)
{
    const uint32_t devices = sim->fleet.devices;
    const size_t shared_bytes = sim->fleet.layout.shared_count * sizeof(float);
    COVEY_TRY(covey_checkpoint_take(checkpoint, core, sizeof *core, err));
    COVEY_TRY(take_past(sim, checkpoint, core->past_count, err));
    COVEY_TRY(covey_checkpoint_take(checkpoint, sim->server.published, shared_bytes, err));
    COVEY_TRY(covey_checkpoint_take(checkpoint, sim->server.weights, shared_bytes, err));
    COVEY_TRY(covey_checkpoint_take(checkpoint, sim->sequences, devices * sizeof *sim->sequences, err));
    COVEY_TRY(
        covey_checkpoint_take(checkpoint, sim->tally.devices, devices * sizeof *sim->tally.devices, err));
    COVEY_TRY(take_store(sim, checkpoint, err));
    COVEY_TRY(covey_checkpoint_take(checkpoint, sim->records, record_bytes(sim), err));
    COVEY_TRY(take_state(sim, checkpoint, core->state_bytes, err));
    COVEY_TRY(take_steps(sim, checkpoint, core->steps_bytes, err));
    COVEY_TRY(take_carried(sim, checkpoint, core->carried_bytes, err));
    sim->clock.now_ms = core->now_ms;
    sim->resume_ms = core->next_ms;
    sim->judged = core->judged != 0;
    sim->loss = core->loss;
    sim->metric = core->metric;
    sim->earlier_s = core->wall_s;
    sim->tally.sums = core->sums;
    sim->server.sequence = core->sequence;
    sim->server.round = sim->past_count > 0 ? sim->past[sim->past_count - 1].round : 0;
    sim->server.has_exponents = core->has_exponents != 0;
    memcpy(sim->server.exponents, core->exponents, sizeof core->exponents);
    return covey_virtual_server_show(&sim->server, core->delta_bytes, err);
}

enum covey_status covey_simulation_restore(struct covey_simulation *sim, uint32_t *round,
                                           struct covey_error *err)
{
    struct covey_checkpoint *checkpoint = NULL;
    struct core *core = calloc(1, sizeof *core);
    if (core == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    *round = 0;
    enum covey_status status =
        covey_checkpoint_open(sim->options.folder, &sim->scenario->hash, &checkpoint, err);
    if (status == COVEY_NOT_FOUND) {
        status = COVEY_OK; /* from the beginning */
    } else if (status == COVEY_OK) {
        status = take_all(sim, checkpoint, core, err);
        *round = sim->server.round;
        if (status == COVEY_OK && sim->store != NULL) /* the next rounds write over what it refers to */
            covey_checkpoint_remove(sim->options.folder);
    }
    covey_checkpoint_close(checkpoint);
    free(core);
    return status;
}
