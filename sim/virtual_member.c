#include "virtual_member.h"

#include <assert.h>

#include "virtual_link.h"

#define PLAN_TRIES 10
#define RECONNECT_MS 2000
#define RECONNECT_LIMIT_MS 300000

/* ------------------------------------------------------------------ transfers */

static void transfer(const struct covey_member_context *context, const struct covey_virtual_member *member,
                     uint32_t purpose, uint32_t tries, bool up, uint64_t bytes, struct covey_transfer *sum)
{
    struct covey_transfer one;
    covey_world_transfer(context->world, member->device, member->plan.round,
                         purpose + tries * COVEY_TRANSFERS, up, bytes, &one);
    sum->ms += one.ms;
    sum->bytes_up += one.bytes_up;
    sum->bytes_down += one.bytes_down;
    sum->failed |= one.failed;
}

/* Manifest; the description, the first time; the shortest way from the model that it has. */
static void measure_fetch(const struct covey_member_context *context,
                          const struct covey_virtual_member *member, struct covey_transfer *out)
{
    const struct covey_virtual_server *server = context->server;
    const struct covey_crew_base *base = member->base;
    const uint32_t tries = member->fetch_tries;
    const uint64_t have = context->sequences[member->device];
    *out = (struct covey_transfer){0};
    if (have == base->sequence)
        return;
    transfer(context, member, COVEY_TRANSFER_MANIFEST, tries, false, base->manifest_bytes, out);
    if (have == 0)
        transfer(context, member, COVEY_TRANSFER_DESCRIPTION, tries, false, server->fleet->description_bytes,
                 out);
    for (uint32_t i = 0; i < member->ways.count; i++)
        transfer(context, member, COVEY_TRANSFER_MODEL, tries, false, member->ways.bytes[i], out);
}

static uint64_t end_of(const struct covey_member_context *context, const struct covey_virtual_member *member,
                       uint64_t start_ms, uint64_t work_ms)
{
    return start_ms == UINT64_MAX
               ? UINT64_MAX
               : covey_virtual_link_until(context->world, member->device, start_ms, work_ms);
}

/* ------------------------------------------------------------------ seating */

/* The plan goes out; again with each heartbeat, until it arrives. */
static uint64_t push_plan(const struct covey_member_context *context, struct covey_virtual_member *member,
                          size_t bytes)
{
    uint64_t from_ms = context->clock->now_ms;
    for (uint32_t tries = 0; tries < PLAN_TRIES; tries++) {
        struct covey_transfer push = {0};
        transfer(context, member, COVEY_TRANSFER_PLAN, tries, false, bytes, &push);
        member->bytes_up += push.bytes_up;
        member->bytes_down += push.bytes_down;
        if (!push.failed)
            return end_of(context, member, from_ms, push.ms);
        from_ms += member->plan.heartbeat_ms;
    }
    return UINT64_MAX;
}

static uint64_t moment_of_vanishing(const struct covey_member_context *context,
                                    const struct covey_virtual_member *member, uint64_t trained_ms)
{
    const double part = covey_world_vanishes(context->world, member->device, context->server->round);
    struct covey_transfer upload = {0};
    if (part < 0 || trained_ms == UINT64_MAX)
        return UINT64_MAX;
    transfer(context, member, COVEY_TRANSFER_UPDATE, 0, true,
             COVEY_UPDATE_HEAD_BYTES +
                 covey_codec_bound(&context->server->codec, context->fleet->layout.update_count),
             &upload);
    const uint64_t now_ms = context->clock->now_ms;
    return now_ms + (uint64_t)(part * (double)(trained_ms - now_ms + upload.ms));
}

static uint64_t examples_met(const struct covey_recipe *recipe, uint32_t share)
{
    const uint64_t batch = recipe->batch == 0 || recipe->batch > share ? share : recipe->batch;
    const uint64_t all = recipe->epochs > 0 ? (uint64_t)recipe->epochs * share : UINT64_MAX;
    const uint64_t by_steps = recipe->steps > 0 ? recipe->steps * batch : UINT64_MAX;
    return all < by_steps ? all : by_steps;
}

static enum covey_status make_plan(const struct covey_member_context *context,
                                   struct covey_virtual_member *member, size_t *bytes,
                                   struct covey_error *err)
{
    struct covey_assignment_id assignment;
    uint8_t message[COVEY_PLAN_BYTES];
    const uint64_t left_ms = context->deadline_ms - context->clock->now_ms;
    covey_virtual_server_assignment(context->server, context->server->round, member->device, &assignment);
    COVEY_TRY(covey_virtual_server_plan(context->server, &assignment, member->device,
                                        left_ms < UINT32_MAX ? (uint32_t)left_ms : UINT32_MAX, message, bytes,
                                        err));
    return covey_plan_decode((struct covey_bytes){message, *bytes}, &member->plan, err);
}

enum covey_status covey_virtual_member_seat(const struct covey_member_context *context, uint32_t device,
                                            uint32_t slot, struct covey_virtual_member *member,
                                            struct covey_crew_job *job, struct covey_error *err)
{
    struct covey_transfer fetch;
    size_t bytes = 0;
    *member = (struct covey_virtual_member){.device = device,
                                            .slot = slot,
                                            .base = context->base,
                                            .seated_ms = context->clock->now_ms,
                                            .deadline_ms = context->deadline_ms};
    const struct covey_client_rules rules = {.mode = COVEY_MODE_LISTEN,
                                             .seed = context->server->recipe.seed,
                                             .device = context->fleet->ids[device],
                                             .reconnect_ms = RECONNECT_MS,
                                             .reconnect_limit_ms = RECONNECT_LIMIT_MS};
    covey_client_round_init(&member->machine, &rules, 0, NULL);
    covey_world_device(context->world, device, &member->kind);
    COVEY_TRY(make_plan(context, member, &bytes, err));
    member->share = covey_virtual_fleet_count(context->fleet, device);
    const uint64_t training_ms =
        covey_training_replay_ms(context->replay, device, context->server->round,
                                 covey_world_training_ms(context->world, device, context->server->round,
                                                         examples_met(&member->plan.recipe, member->share)));
    member->training_ms = training_ms < UINT32_MAX ? (uint32_t)training_ms : UINT32_MAX;
    member->plan_ms = push_plan(context, member, bytes);
    covey_virtual_server_fetch(context->server, context->sequences[device], &member->ways);
    measure_fetch(context, member, &fetch);
    const uint64_t fetched_ms = end_of(context, member, member->plan_ms, fetch.ms);
    const uint64_t trained_ms = fetched_ms == UINT64_MAX ? UINT64_MAX : fetched_ms + member->training_ms;
    member->vanish_ms = moment_of_vanishing(context, member, trained_ms);
    *job = (struct covey_crew_job){
        .base = context->base,
        .device = device,
        .slot = slot,
        .plan = &member->plan,
        .trained_ms = trained_ms,
        .training_ms = member->training_ms,
        .vanish_ms = member->vanish_ms,
        .hostile = context->fleet->hostile != NULL && context->fleet->hostile[device],
        .queued = !fetch.failed && trained_ms < context->deadline_ms && trained_ms < member->vanish_ms};
    return COVEY_OK;
}

/* ------------------------------------------------------------------ the driver */

/* Answers that are there at once: the link is up, the plan is known, the policy allows. */
struct answers {
    uint32_t count, next;
    struct covey_client_event items[4 * COVEY_CLIENT_ACTIONS];
};

static void answer(struct answers *answers, const struct covey_client_event *event)
{
    if (answers->count < sizeof answers->items / sizeof answers->items[0])
        answers->items[answers->count++] = *event;
}

static enum covey_status post(const struct covey_member_context *context,
                              const struct covey_virtual_member *member, uint64_t at_ms,
                              enum covey_member_event kind, uint32_t ticket)
{
    if (at_ms == UINT64_MAX)
        return COVEY_OK; /* never */
    return covey_clock_post(
        context->clock,
        &(struct covey_clock_event){
            .at_ms = at_ms, .device = member->device, .kind = kind, .place = member->slot, .ticket = ticket});
}

static enum covey_status start_fetch(const struct covey_member_context *context,
                                     struct covey_virtual_member *member, uint32_t ticket)
{
    measure_fetch(context, member, &member->transfer);
    member->fetch_tries++;
    return post(context, member, end_of(context, member, context->clock->now_ms, member->transfer.ms),
                member->transfer.failed ? COVEY_MEMBER_FETCH_FAILED : COVEY_MEMBER_FETCHED, ticket);
}

static enum covey_status start_training(const struct covey_member_context *context,
                                        struct covey_virtual_member *member, uint32_t ticket)
{
    const uint64_t trained_ms = context->clock->now_ms + member->training_ms;
    if (!member->job->queued)
        member->job->trained_ms = trained_ms;
    assert(member->job->trained_ms == trained_ms); /* as it was worked out beforehand */
    member->training = true;
    return post(context, member, trained_ms, COVEY_MEMBER_TRAINED, ticket);
}

static enum covey_status start_sending(const struct covey_member_context *context,
                                       struct covey_virtual_member *member, uint32_t ticket)
{
    uint64_t sent_ms = member->job->sent_ms;
    member->transfer = member->job->upload;
    if (member->send_tries > 0 || context->clock->now_ms != member->job->trained_ms) {
        assert(!member->job->folded);
        member->transfer = (struct covey_transfer){0};
        transfer(context, member, COVEY_TRANSFER_UPDATE, member->send_tries, true, member->job->message_bytes,
                 &member->transfer);
        sent_ms = end_of(context, member, context->clock->now_ms, member->transfer.ms);
    }
    member->send_tries++;
    return post(context, member, sent_ms,
                member->transfer.failed ? COVEY_MEMBER_SEND_FAILED : COVEY_MEMBER_SENT, ticket);
}

static enum covey_status act(const struct covey_member_context *context, struct covey_virtual_member *member,
                             const struct covey_client_action *action, struct answers *answers)
{
    switch (action->kind) {
    case COVEY_CLIENT_CONNECT:
        answer(answers, &(struct covey_client_event){.kind = COVEY_CLIENT_LINK_UP});
        break;
    case COVEY_CLIENT_ASK_WHERE:
        answer(answers, &(struct covey_client_event){.kind = COVEY_CLIENT_WHERE});
        break;
    case COVEY_CLIENT_OBSERVE:
    case COVEY_CLIENT_ASK_PLAN:
        answer(answers, &(struct covey_client_event){.kind = COVEY_CLIENT_PLAN, .plan = &member->plan});
        break;
    case COVEY_CLIENT_PERMIT:
        answer(answers, &(struct covey_client_event){.kind = COVEY_CLIENT_PERMISSION, .allowed = true});
        break;
    case COVEY_CLIENT_FETCH:
        return start_fetch(context, member, action->ticket);
    case COVEY_CLIENT_TRAIN:
        return start_training(context, member, action->ticket);
    case COVEY_CLIENT_SEND:
        return start_sending(context, member, action->ticket);
    default: /* what ends needs no answer */
        break;
    }
    return COVEY_OK;
}

static enum covey_status drive(const struct covey_member_context *context,
                               struct covey_virtual_member *member, const struct covey_client_event *event,
                               struct covey_error *err)
{
    struct covey_client_round *machine = &member->machine;
    struct covey_client_actions actions;
    struct answers answers = {.count = 1, .items = {*event}};
    while (answers.next < answers.count) {
        covey_client_round_step(machine, &answers.items[answers.next++], context->clock->now_ms, &actions);
        for (uint32_t i = 0; i < actions.count; i++)
            if (act(context, member, &actions.items[i], &answers) != COVEY_OK)
                return covey_fail(err, COVEY_NO_MEMORY, "no memory for another event");
    }
    if (machine->work == COVEY_WORK_NONE || machine->waiting)
        return COVEY_OK;
    const uint64_t next_ms = covey_client_round_next_ms(machine);
    if (post(context, member, next_ms > context->clock->now_ms ? next_ms : context->clock->now_ms + 1,
             COVEY_MEMBER_WAKE, 0) != COVEY_OK)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for another event");
    return COVEY_OK;
}

static void end_transfer(struct covey_virtual_member *member)
{
    member->bytes_up += member->transfer.bytes_up;
    member->bytes_down += member->transfer.bytes_down;
    *(member->training ? &member->send_ms : &member->fetch_ms) += member->transfer.ms;
    member->transfer = (struct covey_transfer){0};
}

enum covey_status covey_virtual_member_step(const struct covey_member_context *context,
                                            struct covey_virtual_member *member,
                                            const struct covey_clock_event *event, bool accepted,
                                            struct covey_error *err)
{
    struct covey_client_event out = {.kind = COVEY_CLIENT_TICK, .ticket = event->ticket};
    if (member->gone)
        return COVEY_OK;
    switch ((enum covey_member_event)event->kind) {
    case COVEY_MEMBER_VANISH:
        member->gone = true;
        return COVEY_OK;
    case COVEY_MEMBER_FETCHED:
        end_transfer(member);
        context->sequences[member->device] = (uint32_t)member->base->sequence;
        out.kind = COVEY_CLIENT_FETCHED;
        break;
    case COVEY_MEMBER_FETCH_FAILED:
        end_transfer(member);
        out.kind = COVEY_CLIENT_FETCH_FAILED;
        break;
    case COVEY_MEMBER_TRAINED:
        covey_crew_await(context->crew, member->job);
        member->failed = member->job->status != COVEY_OK;
        if (member->failed && member->job->status != COVEY_NOT_FINITE)
            return covey_fail(err, member->job->status, "device %u cannot train: %s", member->device,
                              covey_crew_trouble(context->crew));
        out.kind = member->failed ? COVEY_CLIENT_TRAIN_FAILED : COVEY_CLIENT_TRAINED;
        out.failure = COVEY_FAILURE_FINAL;
        break;
    case COVEY_MEMBER_SENT:
        end_transfer(member);
        out.kind = accepted ? COVEY_CLIENT_SENT : COVEY_CLIENT_SEND_FAILED;
        out.failure = COVEY_FAILURE_FINAL;
        break;
    case COVEY_MEMBER_SEND_FAILED:
        end_transfer(member);
        out.kind = COVEY_CLIENT_SEND_FAILED;
        break;
    case COVEY_MEMBER_PLAN: /* the first step connects and asks: the answer is the plan that was pushed */
    case COVEY_MEMBER_WAKE:
    case COVEY_MEMBER_SERVER:
        break;
    }
    return drive(context, member, &out, err);
}
