/* The device's round machine: what it never does, whatever happens. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "covey/random.h"
#include "round_rig.h"

/* A world that answers in its own time, wrongly, or not at all. */
struct world {
    struct rig rig;
    struct covey_random random;
    bool up, connecting, permit, where, fetch, train, send, ask, observe, inquiry, report;
    bool undecided; /* an update went out, and nobody told what became of it */
    uint32_t ticket, account_ticket, report_ticket;
    uint8_t fetched, trained, round; /* assignment last fetched, trained, offered */
    unsigned acknowledged, actions;
    bool kind; /* nothing fails any more */
};

static uint32_t below(struct world *world, uint32_t bound)
{
    return covey_random_below(&world->random, bound);
}

static uint8_t current(const struct world *world)
{
    return world->rig.machine.plan.assignment.bytes[0];
}

static void unplug(struct world *world)
{
    world->up = world->connecting = world->where = world->fetch = world->send = world->ask = world->observe =
        world->inquiry = world->report = false;
}

static void tell(struct world *world, struct covey_client_event event);

/* Every action, checked against what the world knows. */
static void carry_out(struct world *world)
{
    const struct covey_client_actions actions = world->rig.actions;
    bool fetch_cut = false, send_cut = false;
    for (uint32_t i = 0; i < actions.count; i++) {
        const struct covey_client_action *action = &actions.items[i];
        world->actions++;
        if (action->kind >= COVEY_CLIENT_FETCH && action->kind <= COVEY_CLIENT_SEND && action->ticket != 0)
            world->ticket = action->ticket;
        switch (action->kind) {
        case COVEY_CLIENT_CONNECT:
            cr_assert(!world->up && !world->connecting, "connects although there is a link");
            world->connecting = true;
            break;
        case COVEY_CLIENT_DISCONNECT:
            fetch_cut = world->fetch;
            send_cut = world->send;
            unplug(world);
            break;
        case COVEY_CLIENT_ASK_WHERE:
            cr_assert(world->up && !world->where);
            world->where = true;
            break;
        case COVEY_CLIENT_OBSERVE:
            cr_assert(world->up);
            world->observe = true;
            break;
        case COVEY_CLIENT_ASK_PLAN:
            cr_assert(world->up);
            world->ask = true;
            break;
        case COVEY_CLIENT_FETCH:
            cr_assert(world->up && !world->fetch && !world->train && !world->send);
            world->fetch = true;
            break;
        case COVEY_CLIENT_PERMIT:
            world->permit = true;
            break;
        case COVEY_CLIENT_TRAIN:
            cr_assert(!world->fetch && !world->train && !world->send);
            cr_assert(world->fetched == current(world), "trains without the model");
            cr_assert(!world->undecided, "trains and knows not which residual holds");
            world->train = true;
            break;
        case COVEY_CLIENT_SEND:
            cr_assert(world->up && !world->fetch && !world->train && !world->send);
            cr_assert(world->trained == current(world), "sends what was not trained");
            world->send = true;
            world->inquiry = false;
            world->undecided = true;
            break;
        case COVEY_CLIENT_ASK_UPLOAD:
            cr_assert(world->up && !world->inquiry && world->undecided);
            world->inquiry = true;
            world->account_ticket = action->ticket;
            break;
        case COVEY_CLIENT_REPORT:
            cr_assert(world->up && !world->report);
            world->report = true;
            world->report_ticket = action->ticket;
            break;
        case COVEY_CLIENT_DROP:
            world->fetch = world->train = world->send = false;
            break;
        case COVEY_CLIENT_FINISH:
            cr_assert_fail("nobody asked it to finish");
        }
    }
    /* What moved on the link ended with it; the driver says so at once. */
    if (fetch_cut)
        tell(world,
             (struct covey_client_event){.kind = COVEY_CLIENT_FETCH_FAILED, .failure = COVEY_FAILURE_LATER});
    if (send_cut)
        tell(world,
             (struct covey_client_event){.kind = COVEY_CLIENT_SEND_FAILED, .failure = COVEY_FAILURE_LATER});
}

static void tell(struct world *world, struct covey_client_event event)
{
    if (event.ticket == 0)
        event.ticket = world->ticket;
    covey_client_round_step(&world->rig.machine, &event, world->rig.now_ms, &world->rig.actions);
    carry_out(world);
}

static void tell_plan(struct world *world)
{
    struct covey_plan plan = waiting;
    uint32_t choice = below(world, 8);
    if (choice < 4 && !world->kind)
        world->round++;
    if (choice < 6 || world->kind) {
        plan = training_plan(world->round);
        plan.deadline_ms = world->kind ? 0 : 1 + below(world, 200000);
    } else if (choice == 7) {
        plan = done;
    }
    plan.heartbeat_ms = below(world, 3) * 20000;
    plan.retry_after_ms = below(world, 3) * 7000;
    tell(world, (struct covey_client_event){.kind = COVEY_CLIENT_PLAN, .plan = &plan});
}

/* Ends one of the outstanding actions, well or badly. */
static void answer(struct world *world)
{
    bool good = world->kind || below(world, 3) != 0;
    struct covey_client_event failed = {.failure =
                                            below(world, 6) == 0 ? COVEY_FAILURE_FINAL : COVEY_FAILURE_LATER,
                                        .wait_ms = below(world, 2) * below(world, 5000)};
    switch (below(world, 10)) {
    case 8:
        if (world->inquiry) {
            const uint32_t fate = good ? 1 + below(world, 3) : 0;
            world->inquiry = false;
            world->undecided &= !good;
            world->acknowledged += fate == COVEY_FATE_TAKEN;
            tell(world, (struct covey_client_event){.kind = COVEY_CLIENT_UPLOAD_TOLD,
                                                    .fate = (enum covey_client_fate)fate,
                                                    .ticket = world->account_ticket});
        }
        return;
    case 9:
        if (world->report) {
            world->report = false;
            tell(world, (struct covey_client_event){
                            .kind = COVEY_CLIENT_REPORTED, .allowed = good, .ticket = world->report_ticket});
        }
        return;
    case 0:
        if (!world->connecting)
            return;
        world->connecting = false;
        world->up = good;
        tell(world,
             (struct covey_client_event){.kind = good ? COVEY_CLIENT_LINK_UP : COVEY_CLIENT_LINK_DOWN});
        return;
    case 1:
        if (world->where) {
            world->where = false;
            tell(world, (struct covey_client_event){.kind = COVEY_CLIENT_WHERE,
                                                    .port = good && below(world, 4) == 0 ? 7000 : 0});
        }
        return;
    case 2:
        if (world->ask || world->observe) {
            world->ask = false;
            if (good) {
                tell_plan(world);
            } else {
                world->observe = false;
                failed.kind = COVEY_CLIENT_PLAN_FAILED;
                tell(world, failed);
            }
        }
        return;
    case 3:
        if (world->fetch) {
            world->fetch = false;
            world->fetched = good ? current(world) : world->fetched;
            failed.kind = good ? COVEY_CLIENT_FETCHED : COVEY_CLIENT_FETCH_FAILED;
            tell(world, failed);
        }
        return;
    case 4:
        if (world->permit) {
            world->permit = false;
            tell(world, (struct covey_client_event){.kind = COVEY_CLIENT_PERMISSION, .allowed = good});
        }
        return;
    case 5:
        if (world->train) {
            world->train = false;
            world->trained = good ? current(world) : world->trained;
            failed.kind = good ? COVEY_CLIENT_TRAINED : COVEY_CLIENT_TRAIN_FAILED;
            tell(world, failed);
        }
        return;
    case 6:
        if (world->send) {
            world->send = false;
            world->acknowledged += good;
            world->undecided &= !good && failed.failure == COVEY_FAILURE_LATER;
            failed.kind = good ? COVEY_CLIENT_SENT : COVEY_CLIENT_SEND_FAILED;
            tell(world, failed);
        }
        return;
    default:
        if (world->up && !world->kind && below(world, 10) == 0) {
            world->fetch = world->send = world->inquiry = world->report = false;
            failed.kind = COVEY_CLIENT_FETCH_FAILED; /* the transport ends its requests first */
            failed.failure = COVEY_FAILURE_LATER;
            tell(world, failed);
            failed.kind = COVEY_CLIENT_SEND_FAILED;
            tell(world, failed);
            unplug(world);
            tell(world, (struct covey_client_event){.kind = COVEY_CLIENT_LINK_DOWN});
        } else if (!world->kind) { /* an answer that nobody waits for */
            tell(world, (struct covey_client_event){
                            .kind = (enum covey_client_event_kind)(COVEY_CLIENT_FETCHED + below(world, 2)),
                            .ticket = world->ticket + 1});
        }
    }
}

static bool outstanding(const struct world *world)
{
    return world->connecting || world->where || world->ask || world->fetch || world->permit || world->train ||
           world->send || world->inquiry || world->report;
}

static void let_time_pass(struct world *world)
{
    uint64_t next = covey_client_round_next_ms(&world->rig.machine);
    cr_assert(next != COVEY_CLIENT_NO_TIMER || outstanding(world), "it would sleep for ever");
    uint64_t step = next > world->rig.now_ms ? next - world->rig.now_ms : 0;
    if (step > 100 && below(world, 2) == 0)
        step = below(world, 100);
    world->rig.now_ms += step < 4000000 ? step : 4000000;
    tell(world, (struct covey_client_event){.kind = COVEY_CLIENT_TICK});
}

Test(client_round, thousands_of_schedules)
{
    for (uint64_t seed = 0; seed < 3000; seed++) {
        struct world world = {.rig.now_ms = 1};
        struct covey_client_rules rules = usual_rules();
        rules.mode = seed % 2 ? COVEY_MODE_POLL : COVEY_MODE_LISTEN;
        rules.keep_last = seed % 3 == 0;
        rules.report = seed % 7 < 4;
        rules.seed = seed;
        covey_client_round_init(&world.rig.machine, &rules, seed % 5 == 0 ? 7000 : 0, NULL);
        covey_random_init(&world.random, seed, 0, 0, COVEY_PURPOSE_TEST);
        for (int i = 0; i < 400; i++) {
            unsigned before = world.actions;
            if (below(&world, 4) == 0)
                let_time_pass(&world);
            else
                answer(&world);
            cr_assert(world.actions - before <= 12, "seed %llu: it spins", (unsigned long long)seed);
        }
        /* From any state whatever: once nothing fails any more, a round is finished. */
        world.kind = true;
        world.round++;
        unsigned had = world.acknowledged;
        for (int i = 0; i < 8000 && world.acknowledged == had; i++) {
            if (below(&world, 4) == 0)
                let_time_pass(&world);
            else
                answer(&world);
        }
        cr_assert(world.acknowledged > had, "seed %llu: no round was finished any more (%s, %s)",
                  (unsigned long long)seed, covey_client_link_name(world.rig.machine.link),
                  covey_client_work_name(world.rig.machine.work));
    }
}
