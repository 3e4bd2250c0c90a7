/* The round machine in thousands of seeded schedules (duplicates, losses, late and foreign events, failed
 * stores, crashes and restarts), against what must hold in any of them. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"
#include "covey/server_round.h"

#define SLOT_LIMIT 64

/* What a driver keeps durably, and what a checker remembers. */
struct world {
    struct covey_random random;
    struct covey_round_rules rules;
    struct covey_server_round *machine;
    uint64_t now_ms;
    uint32_t available;
    /* durable */
    struct {
        uint32_t round;
        double value;
        bool completed;
    } history[512];
    uint32_t history_count;
    bool open;
    uint32_t open_round, slots, goal;
    uint64_t deadline_ms;
    bool recorded[SLOT_LIMIT];
    /* of the process */
    bool lost[SLOT_LIMIT];
    bool closing, judging, ended;
    uint32_t last_round;
    uint32_t opens, closes, abandons, ends, crashes;
};

static uint32_t recorded_count(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->slots; i++)
        count += world->recorded[i];
    return count;
}

static uint32_t gone_count(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < world->slots; i++)
        count += world->recorded[i] || world->lost[i];
    return count;
}

static void feed(struct world *world, struct covey_round_event event);

static uint32_t below(struct world *world, uint32_t bound)
{
    return covey_random_below(&world->random, bound);
}

static uint32_t minimum_now(const struct world *world)
{
    const uint32_t minimum =
        world->rules.minimum_updates ? world->rules.minimum_updates : (world->goal + 1) / 2;
    return minimum ? minimum : 1;
}

static void note_history(struct world *world, uint32_t round, bool completed)
{
    cr_assert_lt(world->history_count, 512);
    world->history[world->history_count].round = round;
    world->history[world->history_count].completed = completed;
    world->history[world->history_count++].value = NAN;
}

static void do_open(struct world *world, const struct covey_round_action *action)
{
    cr_assert(!world->open && !world->closing, "a round opened inside a round");
    cr_assert_gt(action->round, world->last_round, "round numbers rise");
    cr_assert_geq(world->available, world->rules.minimum_devices);
    cr_assert(action->choose >= 1 && action->choose <= world->available && action->choose <= SLOT_LIMIT);
    cr_assert(action->goal >= 1 && action->goal <= action->choose);
    world->opens++;
    world->last_round = action->round;
    if (below(world, 20) == 0) { /* the ledger refused */
        note_history(world, action->round, false);
        feed(world, (struct covey_round_event){COVEY_EVENT_OPENED, action->round, .slots = 0});
        return;
    }
    world->open = true;
    world->open_round = action->round;
    world->slots = action->choose;
    world->goal = action->goal;
    world->deadline_ms = world->now_ms + action->deadline_ms;
    memset(world->recorded, 0, sizeof world->recorded);
    memset(world->lost, 0, sizeof world->lost);
    feed(world, (struct covey_round_event){COVEY_EVENT_OPENED, action->round, .slots = world->slots});
}

static void perform(struct world *world, const struct covey_round_action *action)
{
    cr_assert(!world->ended, "an action after the end");
    switch (action->kind) {
    case COVEY_ACTION_OPEN:
        do_open(world, action);
        break;
    case COVEY_ACTION_CLOSE:
        cr_assert(world->open && action->round == world->open_round);
        cr_assert_geq(recorded_count(world), minimum_now(world), "closed under its minimum");
        cr_assert(world->closing || recorded_count(world) >= world->goal ||
                      world->now_ms >= world->deadline_ms || gone_count(world) >= world->slots,
                  "closed without a reason");
        world->closing = true;
        world->closes++;
        break;
    case COVEY_ACTION_ABANDON:
        if (!world->open)
            break; /* its cohort was never recorded */
        cr_assert_eq(action->round, world->open_round);
        cr_assert_lt(recorded_count(world), minimum_now(world), "abandoned with enough updates");
        cr_assert(world->now_ms >= world->deadline_ms || gone_count(world) >= world->slots,
                  "abandoned too early");
        world->abandons++;
        world->open = false;
        note_history(world, action->round, false);
        break;
    case COVEY_ACTION_EVALUATE:
        world->judging = true;
        break;
    case COVEY_ACTION_END:
        world->ended = true;
        world->ends++;
        break;
    }
}

static void feed(struct world *world, struct covey_round_event event)
{
    struct covey_round_actions actions;
    covey_server_round_step(world->machine, &event, world->now_ms, &actions);
    for (uint32_t i = 0; i < actions.count; i++)
        perform(world, &actions.items[i]);
}

static void check_view(const struct world *world)
{
    struct covey_round_view view;
    covey_server_round_view(world->machine, &view);
    if (view.phase == COVEY_PHASE_UPDATE || view.phase == COVEY_PHASE_CLOSING) {
        cr_assert_eq(view.done, recorded_count(world), "%u counted, %u recorded", view.done,
                     recorded_count(world));
        cr_assert_eq(view.done + view.lost, gone_count(world));
    }
    if (view.phase == COVEY_PHASE_UPDATE)
        cr_assert(world->now_ms < world->deadline_ms || view.done < view.goal, "open past goal and deadline");
}

/* The process dies; what was durable comes back. */
static void crash(struct world *world)
{
    world->crashes++;
    covey_server_round_destroy(world->machine);
    world->machine = NULL;
    cr_assert_eq(covey_server_round_create(&world->rules, SLOT_LIMIT, &world->machine, NULL), COVEY_OK);
    bool last_unjudged = false;
    for (uint32_t i = 0; i < world->history_count; i++) {
        if (world->history[i].completed)
            covey_server_round_replay_completed(world->machine, world->history[i].round,
                                                world->history[i].value);
        else
            covey_server_round_replay_abandoned(world->machine, world->history[i].round);
        last_unjudged = world->history[i].completed && isnan(world->history[i].value);
    }
    world->closing = false;
    world->judging = false;
    memset(world->lost, 0, sizeof world->lost);
    if (!world->open) {
        if (last_unjudged)
            covey_server_round_resume_unjudged(world->machine);
        return;
    }
    uint32_t done[SLOT_LIMIT], done_count = 0;
    for (uint32_t i = 0; i < world->slots; i++)
        if (world->recorded[i])
            done[done_count++] = i;
    const struct covey_round_resume open = {world->open_round,  world->slots, world->goal,
                                            world->deadline_ms, done,         done_count};
    cr_assert_eq(covey_server_round_resume(world->machine, &open, NULL), COVEY_OK);
    feed(world, (struct covey_round_event){.kind = COVEY_EVENT_TICK, .available = world->available});
}

static void deliver(struct world *world, bool foreign)
{
    const uint32_t slot = below(world, foreign ? SLOT_LIMIT * 2 : world->slots);
    const uint32_t round = foreign ? below(world, world->open_round) : world->open_round;
    if (!foreign && world->open) {
        world->recorded[slot] = true; /* durable first, then told */
        world->lost[slot] = false;
    }
    feed(world, (struct covey_round_event){COVEY_EVENT_RECORDED, round, .slot = slot});
}

static void random_step(struct world *world)
{
    const uint32_t what = below(world, 100);
    if (what < 45) {
        world->now_ms += below(world, 120);
        world->available = below(world, 12);
        feed(world, (struct covey_round_event){.kind = COVEY_EVENT_TICK, .available = world->available});
    } else if (what < 75 && world->open) {
        deliver(world, false);
    } else if (what < 79 && world->open_round > 0) {
        deliver(world, true);
    } else if (what < 83 && world->open) {
        const uint32_t slot = below(world, world->slots);
        if (!world->recorded[slot] && !world->closing)
            world->lost[slot] = true;
        feed(world, (struct covey_round_event){COVEY_EVENT_LOST, world->open_round, .slot = slot});
    } else if (what < 92 && world->closing) {
        const bool stored = below(world, 8) != 0;
        const uint32_t round = world->open_round;
        if (stored) {
            world->closing = world->open = false;
            note_history(world, round, true);
        }
        feed(world, (struct covey_round_event){stored ? COVEY_EVENT_STORED : COVEY_EVENT_STORE_FAILED,
                                               .round = round});
    } else if (what < 97 && world->judging) {
        const double value = below(world, 10) == 0 ? NAN : covey_random_double(&world->random);
        for (uint32_t i = world->history_count; i-- > 0;)
            if (world->history[i].completed) {
                world->history[i].value = value;
                world->judging = false;
                feed(world,
                     (struct covey_round_event){COVEY_EVENT_JUDGED, world->history[i].round, .value = value});
                break;
            }
    } else if (what == 99) {
        crash(world);
    }
}

static void random_rules(struct world *world)
{
    struct covey_round_rules *rules = &world->rules;
    rules->minimum_devices = 1 + below(world, 5);
    rules->count = below(world, 2) ? 1 + below(world, 8) : 0;
    rules->fraction = 0.1 + 0.9 * covey_random_double(&world->random);
    rules->over_selection = below(world, 2) ? 0.3 : 0;
    rules->goal = below(world, 3) == 0 ? 1 + below(world, 4) : 0;
    rules->minimum_updates = below(world, 3) == 0 ? 1 : 0;
    rules->deadline_ms = 100 + below(world, 2000);
    rules->pause_ms = below(world, 200);
    rules->stop_rounds = below(world, 2) ? 1 + below(world, 30) : 0;
    rules->can_judge = below(world, 4) != 0;
    rules->has_target = rules->can_judge && below(world, 3) == 0;
    rules->stop_target = 0.97;
    rules->stop_patience = rules->can_judge && below(world, 3) == 0 ? 1 + below(world, 20) : 0;
    rules->lower_is_better = below(world, 4) == 0;
    if (rules->lower_is_better)
        rules->stop_target = 0.03;
}

Test(server_round, holds_in_thousands_of_seeded_schedules, .timeout = 120)
{
    uint64_t opens = 0, closes = 0, abandons = 0, ends = 0, crashes = 0;
    for (uint32_t seed = 0; seed < 4000; seed++) {
        struct world world = {0};
        covey_random_init(&world.random, seed, 0, 0, COVEY_PURPOSE_TEST);
        random_rules(&world);
        cr_assert_eq(covey_server_round_create(&world.rules, SLOT_LIMIT, &world.machine, NULL), COVEY_OK);
        for (uint32_t i = 0; i < 400 && !world.ended; i++) {
            random_step(&world);
            check_view(&world);
        }
        /* alive: with everyone there and everything answered, it ends or goes on completing rounds */
        const uint32_t before = world.history_count;
        for (uint32_t i = 0; i < 3000 && !world.ended && world.history_count < before + 8; i++) {
            const uint64_t next_ms = covey_server_round_next_ms(world.machine);
            if (next_ms != COVEY_ROUND_NO_TIMER && next_ms > world.now_ms)
                world.now_ms = next_ms;
            world.available = 12;
            if (world.open)
                deliver(&world, false);
            if (world.closing) {
                world.closing = world.open = false;
                note_history(&world, world.open_round, true);
                feed(&world, (struct covey_round_event){COVEY_EVENT_STORED, .round = world.open_round});
            }
            if (world.judging) {
                world.judging = false;
                feed(&world, (struct covey_round_event){COVEY_EVENT_JUDGED, world.last_round, .value = 0.5});
            }
            feed(&world, (struct covey_round_event){.kind = COVEY_EVENT_TICK, .available = 12});
        }
        cr_assert(world.ended || world.history_count >= before + 8, "seed %u came to a standstill", seed);
        opens += world.opens, closes += world.closes, abandons += world.abandons;
        ends += world.ends, crashes += world.crashes;
        covey_server_round_destroy(world.machine);
    }
    /* the schedules did reach every corner */
    cr_assert(opens > 10000 && closes > 5000 && abandons > 500 && ends > 500 && crashes > 500,
              "%lu opened, %lu closed, %lu abandoned, %lu ended, %lu crashes", (unsigned long)opens,
              (unsigned long)closes, (unsigned long)abandons, (unsigned long)ends, (unsigned long)crashes);
}
