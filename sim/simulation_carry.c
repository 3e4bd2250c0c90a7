/* Work that outlives its round (server/assignments.c): its devices, their jobs, what lies ahead of them on
 * the clock, and the models that they started from. Between two rounds these move to the places behind the
 * next cohort, or into a checkpoint. */
#include "simulation_parts.h"

#include <stdlib.h>
#include <string.h>

bool covey_simulation_lasts(const struct covey_simulation *sim)
{
    return covey_round_rules_last(&sim->server.rules);
}

/* The server waits for it in the next round: it cannot know who has vanished. */
static bool is_awaited(const struct covey_simulation *sim, const struct covey_virtual_member *member)
{
    return !member->recorded && !member->refused && !member->failed &&
           sim->opening.round + 1 - member->plan.round <= sim->server.rules.staleness_max &&
           sim->clock.now_ms < member->deadline_ms;
}

void covey_simulation_keep(struct covey_simulation *sim)
{
    sim->busy_count = 0;
    for (uint32_t i = 0; i < sim->member_count && covey_simulation_lasts(sim); i++) {
        struct covey_virtual_member *member = &sim->members[i];
        member->lasts = member->job->kept = is_awaited(sim, member);
        sim->busy[member->device] = member->lasts;
        sim->busy_count += member->lasts;
    }
}

/* ------------------------------------------------------------------ models */

static void drop_unused(struct covey_simulation *sim)
{
    struct covey_crew_base **link = &sim->bases;
    while (*link != NULL) {
        struct covey_crew_base *base = *link;
        if (base->users > 0) {
            link = &base->next;
            continue;
        }
        *link = base->next;
        free(base);
    }
}

static void count_users(struct covey_simulation *sim)
{
    for (struct covey_crew_base *base = sim->bases; base != NULL; base = base->next) {
        base->users = 0;
        for (uint32_t i = 0; i < sim->member_count; i++)
            base->users += sim->members[i].base == base;
    }
}

static struct covey_crew_base *make_base(struct covey_simulation *sim)
{
    const size_t count = sim->fleet.layout.count;
    struct covey_crew_base *base = malloc(sizeof *base + count * sizeof(float));
    if (base == NULL)
        return NULL;
    *base = (struct covey_crew_base){.published = (const float *)(base + 1), .next = sim->bases};
    sim->bases = base;
    return base;
}

enum covey_status covey_simulation_base(struct covey_simulation *sim, struct covey_error *err)
{
    const struct covey_virtual_server *server = &sim->server;
    struct covey_crew_base *base = covey_simulation_lasts(sim) ? make_base(sim) : &sim->base;
    if (base == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for another model");
    if (base == &sim->base)
        base->published = server->published;
    else
        memcpy(base + 1, server->published, sim->fleet.layout.count * sizeof(float));
    base->sequence = server->sequence;
    base->model = server->model;
    base->manifest_bytes = server->manifest_bytes;
    sim->context.base = base;
    return COVEY_OK;
}

void covey_simulation_forget_carried(struct covey_simulation *sim)
{
    for (uint32_t i = 0; i < sim->member_count && covey_simulation_lasts(sim); i++)
        free(sim->jobs[i].message);
    while (sim->bases != NULL) {
        struct covey_crew_base *next = sim->bases->next;
        free(sim->bases);
        sim->bases = next;
    }
}

/* ------------------------------------------------------------------ places */

struct moving {
    const uint32_t *to; /* by place; UINT32_MAX: gone */
    uint32_t count;
};

static bool move_event(void *user, struct covey_clock_event *event)
{
    const struct moving *moving = user;
    if (event->kind == COVEY_MEMBER_SERVER || event->place >= moving->count ||
        moving->to[event->place] == UINT32_MAX)
        return false;
    event->place = moving->to[event->place];
    return true;
}

enum covey_status covey_simulation_carry(struct covey_simulation *sim, uint32_t chosen,
                                         struct covey_error *err)
{
    const uint32_t count = chosen + sim->busy_count;
    struct covey_virtual_member *members = calloc(count == 0 ? 1 : count, sizeof *members);
    struct covey_crew_job *jobs = calloc(count == 0 ? 1 : count, sizeof *jobs);
    uint32_t *to = calloc(sim->member_count == 0 ? 1 : sim->member_count, sizeof *to);
    uint32_t *picked = calloc(count == 0 ? 1 : count, sizeof *picked);
    if (members == NULL || jobs == NULL || to == NULL || picked == NULL) {
        free(members);
        free(jobs);
        free(to);
        free(picked);
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", count);
    }
    uint32_t place = chosen;
    for (uint32_t i = 0; i < sim->member_count; i++) {
        struct covey_virtual_member *member = &sim->members[i];
        to[i] = UINT32_MAX;
        if (!member->lasts || place == count)
            continue;
        to[i] = place;
        members[place] = *member;
        jobs[place] = *member->job;
        members[place].slot = jobs[place].slot = place;
        members[place].job = &jobs[place];
        jobs[place].plan = &members[place].plan;
        place++;
    }
    covey_clock_sift(&sim->clock, move_event, &(struct moving){to, sim->member_count});
    free(to);
    free(sim->members);
    free(sim->jobs);
    free(sim->chosen);
    sim->members = members;
    sim->jobs = jobs;
    sim->chosen = picked;
    sim->member_count = sim->member_capacity = count;
    count_users(sim);
    drop_unused(sim);
    return COVEY_OK;
}

/* ------------------------------------------------------------------ checkpoints */

struct carried_head {
    uint32_t members, events, bases, reserved;
    uint64_t sequence; /* of the clock's events */
};

static size_t base_bytes(const struct covey_simulation *sim)
{
    return sizeof(struct covey_crew_base) + sim->fleet.layout.count * sizeof(float);
}

static size_t carried_bytes(const struct covey_simulation *sim, const struct carried_head *head)
{
    return sizeof *head + head->bases * base_bytes(sim) +
           head->members *
               (sizeof(struct covey_virtual_member) + sizeof(struct covey_crew_job) + sizeof(uint32_t)) +
           head->events * sizeof(struct covey_clock_event);
}

static uint8_t *put(uint8_t *at, const void *from, size_t bytes)
{
    if (bytes > 0)
        memcpy(at, from, bytes);
    return at + bytes;
}

/* Pointers stay behind, and results that can be had again. */
static uint8_t *put_member(uint8_t *at, const struct covey_simulation *sim, uint32_t place)
{
    struct covey_virtual_member member = sim->members[place];
    struct covey_crew_job job = *member.job;
    uint32_t index = 0;
    for (const struct covey_crew_base *base = sim->bases; base != NULL && base != member.base;
         base = base->next)
        index++;
    member.job = NULL;
    member.base = job.base = NULL;
    job.plan = NULL;
    job.message = NULL;
    job.spilled = 0;
    if (job.state == COVEY_JOB_DONE && job.status == COVEY_OK) {
        job.state = COVEY_JOB_WAITING; /* its message is made again when it arrives */
        job.queued = false;
    }
    at = put(at, &member, sizeof member);
    at = put(at, &job, sizeof job);
    return put(at, &index, sizeof index);
}

enum covey_status covey_simulation_save_carried(struct covey_simulation *sim, uint8_t **out, size_t *bytes,
                                                struct covey_error *err)
{
    *out = NULL;
    *bytes = 0;
    if (!covey_simulation_lasts(sim))
        return COVEY_OK;
    COVEY_TRY(covey_simulation_carry(sim, 0, err));
    struct carried_head head = {
        .members = sim->member_count, .events = (uint32_t)sim->clock.count, .sequence = sim->clock.sequence};
    for (const struct covey_crew_base *base = sim->bases; base != NULL; base = base->next)
        head.bases++;
    *bytes = carried_bytes(sim, &head);
    *out = malloc(*bytes);
    if (*out == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint");
    uint8_t *at = put(*out, &head, sizeof head);
    for (const struct covey_crew_base *base = sim->bases; base != NULL; base = base->next)
        at = put(at, base, base_bytes(sim));
    for (uint32_t i = 0; i < sim->member_count; i++)
        at = put_member(at, sim, i);
    (void)put(at, sim->clock.heap, sim->clock.count * sizeof *sim->clock.heap);
    return COVEY_OK;
}

static const uint8_t *take(const uint8_t *at, void *to, size_t bytes)
{
    if (bytes > 0)
        memcpy(to, at, bytes);
    return at + bytes;
}

/* bases: (head->bases) */
static enum covey_status restore_bases(struct covey_simulation *sim, const uint8_t **at, uint32_t count,
                                       struct covey_crew_base **bases, struct covey_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        struct covey_crew_base saved, *base = make_base(sim);
        if (base == NULL)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint's models");
        *at = take(*at, &saved, sizeof saved);
        saved.next = base->next;
        saved.published = base->published;
        *base = saved;
        *at = take(*at, base + 1, sim->fleet.layout.count * sizeof(float));
        bases[i] = base;
    }
    return COVEY_OK;
}

static enum covey_status restore_members(struct covey_simulation *sim, const uint8_t *at,
                                         const struct carried_head *head, struct covey_crew_base **bases,
                                         struct covey_error *err)
{
    sim->members = calloc(head->members + 1, sizeof *sim->members);
    sim->jobs = calloc(head->members + 1, sizeof *sim->jobs);
    if (sim->members == NULL || sim->jobs == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint's devices");
    for (uint32_t i = 0; i < head->members; i++) {
        struct covey_virtual_member *member = &sim->members[i];
        uint32_t base;
        at = take(at, member, sizeof *member);
        at = take(at, &sim->jobs[i], sizeof sim->jobs[i]);
        at = take(at, &base, sizeof base);
        if (base >= head->bases || member->device >= sim->fleet.devices)
            return covey_fail(err, COVEY_CORRUPT, "the checkpoint names a device or model that is not there");
        member->job = &sim->jobs[i];
        member->base = sim->jobs[i].base = bases[base];
        sim->jobs[i].plan = &member->plan;
        sim->busy[member->device] = true;
    }
    sim->member_count = sim->member_capacity = sim->busy_count = head->members;
    for (uint32_t i = 0; i < head->events; i++) {
        struct covey_clock_event event;
        at = take(at, &event, sizeof event);
        if (event.place >= head->members)
            return covey_fail(err, COVEY_CORRUPT, "the checkpoint has an event of nobody");
        if (covey_clock_restore(&sim->clock, &event) != COVEY_OK)
            return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint's events");
    }
    sim->clock.sequence = head->sequence;
    return COVEY_OK;
}

enum covey_status covey_simulation_restore_carried(struct covey_simulation *sim, const uint8_t *bytes,
                                                   size_t size, struct covey_error *err)
{
    struct carried_head head;
    if (!covey_simulation_lasts(sim))
        return COVEY_OK;
    if (size < sizeof head)
        return covey_fail(err, COVEY_CORRUPT, "the checkpoint is cut short");
    const uint8_t *at = take(bytes, &head, sizeof head);
    if (head.members > sim->fleet.devices || head.bases > head.members ||
        head.events > 64 * (head.members + 1) || size != carried_bytes(sim, &head))
        return covey_fail(err, COVEY_CORRUPT, "the checkpoint's devices do not fit its length");
    struct covey_crew_base **bases = calloc(head.bases + 1, sizeof(struct covey_crew_base *));
    if (bases == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a checkpoint's models");
    enum covey_status status = restore_bases(sim, &at, head.bases, bases, err);
    if (status == COVEY_OK)
        status = restore_members(sim, at, &head, bases, err);
    free(bases);
    return status;
}
