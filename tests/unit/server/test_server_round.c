/* The round machine: a table of scripts, then thousands of seeded schedules (duplicates, losses, late and
 * foreign events, failed stores, crashes and restarts) against what must hold in any of them. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/random.h"
#include "covey/server_round.h"

#define SLOT_LIMIT 64

static struct covey_round_rules plain_rules(void)
{
    return (struct covey_round_rules){
        .minimum_devices = 3, .fraction = 1, .deadline_ms = 1000, .stop_rounds = 2, .can_judge = true};
}

/* ------------------------------------------------------------------ scripts */

/* One line: an event at a time, and the actions that must follow, as letters: O open, C close, A abandon, E
 * evaluate, X end. */
struct line {
    uint64_t at_ms;
    enum covey_round_event_kind kind;
    uint32_t round;
    uint32_t number; /* TICK: available; OPENED: slots; RECORDED, LOST: slot */
    double value;
    const char *actions;
};

struct script {
    const char *name;
    void (*tune)(struct covey_round_rules *rules);
    struct line lines[24]; /* ended by actions == NULL */
    enum covey_round_phase phase;
    uint32_t completed, abandoned, ignored;
};

static void tune_none(struct covey_round_rules *rules)
{
    (void)rules;
}
static void tune_goal(struct covey_round_rules *rules)
{
    rules->count = 4;
    rules->over_selection = 0.5;
    rules->goal = 2;
    rules->stop_rounds = 0;
    rules->can_judge = false;
}
static void tune_target(struct covey_round_rules *rules)
{
    rules->has_target = true;
    rules->stop_target = 0.9;
}
static void tune_plateau(struct covey_round_rules *rules)
{
    rules->stop_rounds = 0;
    rules->stop_patience = 2;
    rules->stop_gain = 0.01;
    rules->minimum_devices = 1;
}
static void tune_loss(struct covey_round_rules *rules)
{
    rules->lower_is_better = true;
    rules->has_target = true;
    rules->stop_target = 0.5;
    rules->minimum_devices = 1;
}
static void tune_minimum(struct covey_round_rules *rules)
{
    rules->minimum_devices = 1;
    rules->minimum_updates = 2;
}

static void tune_buffer(struct covey_round_rules *rules)
{
    rules->mode = COVEY_ROUND_ASYNCHRONOUS;
    rules->buffer = 2;
    rules->concurrency = 4;
    rules->staleness_max = 5;
    rules->minimum_devices = 1;
    rules->can_judge = false;
}

static const struct script scripts[] = {
    {"asynchronous: a buffer closes when it is full, what works on fills the next, none is thrown away",
     tune_buffer,
     {{0, COVEY_EVENT_TICK, 0, 1, 0, ""},
      {1, COVEY_EVENT_TICK, 0, 6, 0, "O"},
      {2, COVEY_EVENT_OPENED, 1, 4, 0, ""},
      {3, COVEY_EVENT_RECORDED, 1, 3, 0, ""},
      {4, COVEY_EVENT_RECORDED, 1, 1, 0, "C"},
      {5, COVEY_EVENT_STORED, 1, 0, 0, ""},
      {6, COVEY_EVENT_TICK, 0, 0, 1, ""},
      {6, COVEY_EVENT_TICK, 0, 0, 2, "O"},
      {7, COVEY_EVENT_OPENED, 2, 2, 0, ""},
      {8, COVEY_EVENT_RECORDED, 2, 0, 0, ""},
      {1005, COVEY_EVENT_TICK, 0, 0, 0, ""},
      {1006, COVEY_EVENT_TICK, 0, 0, 0, "C"},
      {1007, COVEY_EVENT_STORED, 2, 0, 0, "X"}},
     COVEY_PHASE_ENDED,
     2,
     0,
     0},
    {"asynchronous: only an empty buffer is abandoned",
     tune_buffer,
     {{0, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 3, 0, ""},
      {2, COVEY_EVENT_LOST, 1, 0, 0, ""},
      {3, COVEY_EVENT_LOST, 1, 1, 0, ""},
      {1000, COVEY_EVENT_TICK, 0, 0, 0, "A"},
      {2000, COVEY_EVENT_TICK, 0, 2, 1, "O"},
      {2001, COVEY_EVENT_OPENED, 2, 3, 0, ""},
      {2002, COVEY_EVENT_RECORDED, 2, 2, 0, ""},
      {2003, COVEY_EVENT_LOST, 2, 0, 0, ""},
      {2004, COVEY_EVENT_LOST, 2, 1, 0, "C"}},
     COVEY_PHASE_CLOSING,
     0,
     1,
     0},
    {"waits for devices, closes when all delivered, stops after rounds",
     tune_none,
     {{0, COVEY_EVENT_TICK, 0, 2, 0, ""},
      {10, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {11, COVEY_EVENT_OPENED, 1, 3, 0, ""},
      {12, COVEY_EVENT_RECORDED, 1, 0, 0, ""},
      {13, COVEY_EVENT_RECORDED, 1, 2, 0, ""},
      {14, COVEY_EVENT_RECORDED, 1, 1, 0, "C"},
      {15, COVEY_EVENT_STORED, 1, 0, 0, "E"},
      {16, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {17, COVEY_EVENT_OPENED, 2, 3, 0, ""},
      {1016, COVEY_EVENT_TICK, 0, 3, 0, "A"},
      {1017, COVEY_EVENT_TICK, 0, 3, 0, ""},
      {2016, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {2017, COVEY_EVENT_OPENED, 3, 3, 0, ""},
      {2018, COVEY_EVENT_RECORDED, 3, 0, 0, ""},
      {2019, COVEY_EVENT_RECORDED, 3, 1, 0, ""},
      {3016, COVEY_EVENT_TICK, 0, 0, 0, "C"},
      {3017, COVEY_EVENT_STORED, 3, 0, 0, "EX"},
      {9999, COVEY_EVENT_TICK, 0, 9, 0, ""}},
     COVEY_PHASE_ENDED,
     2,
     1,
     0},
    {"duplicates, strangers, earlier rounds and wrong phases change nothing",
     tune_none,
     {{0, COVEY_EVENT_RECORDED, 1, 0, 0, ""},
      {0, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {1, COVEY_EVENT_STORED, 1, 0, 0, ""},
      {1, COVEY_EVENT_OPENED, 7, 3, 0, ""},
      {1, COVEY_EVENT_OPENED, 1, 3, 0, ""},
      {2, COVEY_EVENT_OPENED, 1, 3, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, 0, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, 0, 0, ""},
      {2, COVEY_EVENT_RECORDED, 0, 1, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, 3, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, UINT32_MAX, 0, ""},
      {2, COVEY_EVENT_LOST, 1, 0, 0, ""},
      {3, COVEY_EVENT_RECORDED, 1, 1, 0, ""},
      {4, COVEY_EVENT_LOST, 1, 2, 0, "C"},
      {5, COVEY_EVENT_RECORDED, 1, 2, 0, ""},
      {6, COVEY_EVENT_STORED, 1, 0, 0, "E"},
      {7, COVEY_EVENT_STORED, 1, 0, 0, ""},
      {8, COVEY_EVENT_JUDGED, 1, 0, 0.5, ""}},
     COVEY_PHASE_GATHER,
     1,
     0,
     11},
    {"over-selection: the goal closes the round, the rest is not waited for",
     tune_goal,
     {{0, COVEY_EVENT_TICK, 0, 20, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 6, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, 5, 0, ""},
      {3, COVEY_EVENT_RECORDED, 1, 4, 0, "C"},
      {4, COVEY_EVENT_STORED, 1, 0, 0, ""}},
     COVEY_PHASE_GATHER,
     1,
     0,
     0},
    {"a target is waited for, and ends it",
     tune_target,
     {{0, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 1, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, 0, 0, "C"},
      {3, COVEY_EVENT_STORED, 1, 0, 0, "E"},
      {4, COVEY_EVENT_TICK, 0, 3, 0, ""},
      {5, COVEY_EVENT_JUDGED, 1, 0, 0.91, "X"}},
     COVEY_PHASE_ENDED,
     1,
     0,
     0},
    {"an evaluation that failed ends nothing",
     tune_target,
     {{0, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 1, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, 0, 0, "C"},
      {3, COVEY_EVENT_STORED, 1, 0, 0, "E"},
      {5, COVEY_EVENT_JUDGED, 1, 0, NAN, ""}},
     COVEY_PHASE_GATHER,
     1,
     0,
     0},
    {"a plateau: small gains do not reset the patience",
     tune_plateau,
     {{0, COVEY_EVENT_TICK, 0, 1, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 1, 0, ""},
      {1, COVEY_EVENT_RECORDED, 1, 0, 0, "C"},
      {1, COVEY_EVENT_STORED, 1, 0, 0, "E"},
      {1, COVEY_EVENT_JUDGED, 1, 0, 0.5, ""},
      {2, COVEY_EVENT_TICK, 0, 1, 0, "O"},
      {2, COVEY_EVENT_OPENED, 2, 1, 0, ""},
      {2, COVEY_EVENT_RECORDED, 2, 0, 0, "C"},
      {2, COVEY_EVENT_STORED, 2, 0, 0, "E"},
      {2, COVEY_EVENT_JUDGED, 2, 0, 0.505, ""},
      {3, COVEY_EVENT_TICK, 0, 1, 0, "O"},
      {3, COVEY_EVENT_OPENED, 3, 1, 0, ""},
      {3, COVEY_EVENT_RECORDED, 3, 0, 0, "C"},
      {3, COVEY_EVENT_STORED, 3, 0, 0, "E"},
      {3, COVEY_EVENT_JUDGED, 3, 0, 0.51, "X"}},
     COVEY_PHASE_ENDED,
     3,
     0,
     0},
    {"a loss: lower is better",
     tune_loss,
     {{0, COVEY_EVENT_TICK, 0, 1, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 1, 0, ""},
      {1, COVEY_EVENT_RECORDED, 1, 0, 0, "C"},
      {1, COVEY_EVENT_STORED, 1, 0, 0, "E"},
      {1, COVEY_EVENT_JUDGED, 1, 0, 0.6, ""},
      {2, COVEY_EVENT_TICK, 0, 1, 0, "O"},
      {2, COVEY_EVENT_OPENED, 2, 1, 0, ""},
      {2, COVEY_EVENT_RECORDED, 2, 0, 0, "C"},
      {2, COVEY_EVENT_STORED, 2, 0, 0, "E"},
      {2, COVEY_EVENT_JUDGED, 2, 0, 0.4, "X"}},
     COVEY_PHASE_ENDED,
     2,
     0,
     0},
    {"a round that could only be abandoned is not opened",
     tune_minimum,
     {{0, COVEY_EVENT_TICK, 0, 1, 0, ""}, {1, COVEY_EVENT_TICK, 0, 2, 0, "O"}},
     COVEY_PHASE_OPENING,
     0,
     0,
     0},
    {"a cohort that could not be recorded is abandoned, with a pause",
     tune_none,
     {{0, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 0, 0, "A"},
      {2, COVEY_EVENT_TICK, 0, 3, 0, ""},
      {1001, COVEY_EVENT_TICK, 0, 3, 0, "O"}},
     COVEY_PHASE_OPENING,
     0,
     1,
     0},
    {"storing is tried again with growing pauses",
     tune_none,
     {{0, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 1, 0, ""},
      {2, COVEY_EVENT_RECORDED, 1, 0, 0, "C"},
      {10, COVEY_EVENT_STORE_FAILED, 1, 0, 0, ""},
      {1009, COVEY_EVENT_TICK, 0, 3, 0, ""},
      {1010, COVEY_EVENT_TICK, 0, 3, 0, "C"},
      {1011, COVEY_EVENT_TICK, 0, 3, 0, ""},
      {1020, COVEY_EVENT_STORE_FAILED, 1, 0, 0, ""},
      {3019, COVEY_EVENT_TICK, 0, 3, 0, ""},
      {3020, COVEY_EVENT_TICK, 0, 3, 0, "C"},
      {3021, COVEY_EVENT_STORED, 1, 0, 0, "E"}},
     COVEY_PHASE_GATHER,
     1,
     0,
     0},
    {"everyone lost: abandoned before the deadline",
     tune_none,
     {{0, COVEY_EVENT_TICK, 0, 3, 0, "O"},
      {1, COVEY_EVENT_OPENED, 1, 2, 0, ""},
      {2, COVEY_EVENT_LOST, 1, 0, 0, ""},
      {2, COVEY_EVENT_LOST, 1, 1, 0, "A"}},
     COVEY_PHASE_GATHER,
     0,
     1,
     0},
};

static void letters(const struct covey_round_actions *actions, char out[COVEY_ROUND_ACTIONS + 1])
{
    uint32_t i = 0;
    for (; i < actions->count; i++)
        out[i] = "OCAEX"[actions->items[i].kind];
    out[i] = '\0';
}

static struct covey_round_event event_of(const struct line *line)
{
    return (struct covey_round_event){.kind = line->kind,
                                      .round = line->round,
                                      .slot = line->number,
                                      .slots = line->number,
                                      .available = line->number,
                                      .busy = line->kind == COVEY_EVENT_TICK ? (uint32_t)line->value : 0,
                                      .value = line->value};
}

Test(server_round, scripts)
{
    for (size_t s = 0; s < sizeof scripts / sizeof scripts[0]; s++) {
        const struct script *script = &scripts[s];
        struct covey_round_rules rules = plain_rules();
        script->tune(&rules);
        struct covey_server_round *machine = NULL;
        struct covey_error err = {0};
        cr_assert_eq(covey_server_round_create(&rules, SLOT_LIMIT, &machine, &err), COVEY_OK, "%s: %s",
                     script->name, err.text);
        for (const struct line *line = script->lines; line->actions != NULL; line++) {
            struct covey_round_actions actions;
            struct covey_round_event event = event_of(line);
            covey_server_round_step(machine, &event, line->at_ms, &actions);
            char got[COVEY_ROUND_ACTIONS + 1];
            letters(&actions, got);
            cr_assert_str_eq(got, line->actions, "%s: line %td: '%s', not '%s'", script->name,
                             line - script->lines, got, line->actions);
        }
        struct covey_round_view view;
        covey_server_round_view(machine, &view);
        cr_assert_eq(view.phase, script->phase, "%s: %s", script->name, covey_round_phase_name(view.phase));
        cr_assert_eq(view.completed, script->completed, "%s: %u completed", script->name, view.completed);
        cr_assert_eq(view.abandoned, script->abandoned, "%s: %u abandoned", script->name, view.abandoned);
        cr_assert_eq(view.ignored_events, script->ignored, "%s: %u ignored", script->name,
                     view.ignored_events);
        covey_server_round_destroy(machine);
    }
}

Test(server_round, gives_up_storing_after_a_bounded_number_of_attempts)
{
    struct covey_round_rules rules = plain_rules();
    struct covey_server_round *machine = NULL;
    cr_assert_eq(covey_server_round_create(&rules, SLOT_LIMIT, &machine, NULL), COVEY_OK);
    struct covey_round_actions actions;
    covey_server_round_step(machine, &(struct covey_round_event){.kind = COVEY_EVENT_TICK, .available = 3}, 0,
                            &actions);
    covey_server_round_step(machine, &(struct covey_round_event){COVEY_EVENT_OPENED, 1, .slots = 1}, 0,
                            &actions);
    covey_server_round_step(machine, &(struct covey_round_event){COVEY_EVENT_RECORDED, 1, .slot = 0}, 0,
                            &actions);
    uint64_t now = 0;
    uint32_t closes = 1, ends = 0;
    for (int i = 0; i < 100 && ends == 0; i++) {
        covey_server_round_step(machine, &(struct covey_round_event){COVEY_EVENT_STORE_FAILED, .round = 1},
                                now, &actions);
        ends += actions.count;
        now = covey_server_round_next_ms(machine);
        if (now == COVEY_ROUND_NO_TIMER)
            break;
        covey_server_round_step(machine, &(struct covey_round_event){.kind = COVEY_EVENT_TICK}, now,
                                &actions);
        closes += actions.count;
    }
    struct covey_round_view view;
    covey_server_round_view(machine, &view);
    cr_assert_eq(closes, COVEY_ROUND_STORE_ATTEMPTS);
    cr_assert_eq(view.end, COVEY_END_FAILED);
    covey_server_round_destroy(machine);
}

/* ------------------------------------------------------------------ rules */

Test(server_round, refuses_rules_that_cannot_hold)
{
    const struct covey_round_rules good = plain_rules();
    struct covey_round_rules bad[11];
    for (size_t i = 0; i < 11; i++)
        bad[i] = good;
    bad[0].minimum_devices = 0;
    bad[1].minimum_devices = COVEY_DEVICES + 1;
    bad[2].count = COVEY_DEVICES + 1;
    bad[3].fraction = 0;
    bad[4].fraction = NAN;
    bad[5].over_selection = -0.1;
    bad[6].over_selection = NAN;
    bad[7].deadline_ms = 0;
    bad[8].goal = 3, bad[8].minimum_updates = 4;
    bad[9].can_judge = false, bad[9].stop_patience = 1;
    bad[10].has_target = true, bad[10].stop_target = INFINITY;
    cr_assert_eq(covey_round_rules_check(&good, NULL), COVEY_OK);
    for (size_t i = 0; i < 11; i++) {
        struct covey_error err = {0};
        struct covey_server_round *machine = NULL;
        cr_expect_eq(covey_server_round_create(&bad[i], SLOT_LIMIT, &machine, &err), COVEY_INVALID,
                     "case %zu", i);
        cr_expect_null(machine);
        cr_expect_neq(err.text[0], '\0', "case %zu says nothing", i);
    }
    struct covey_server_round *machine = NULL;
    cr_expect_eq(covey_server_round_create(&good, 0, &machine, NULL), COVEY_LIMIT);
    cr_expect_eq(covey_server_round_create(&good, COVEY_DEVICES + 1, &machine, NULL), COVEY_LIMIT);
}

/* ------------------------------------------------------------------ model check */

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

/* ------------------------------------------------------------------ asynchronous rounds */

Test(server_round, gives_away_the_places_that_are_free)
{
    static const struct {
        uint32_t available, busy, choose;
    } rows[] = {{9, 0, 4}, {9, 1, 3}, {2, 1, 2}, {9, 4, 0}, {0, 2, 0}, {9, 7, 0}};
    struct covey_round_rules rules = plain_rules();
    tune_buffer(&rules);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct covey_server_round *machine = NULL;
        struct covey_round_actions actions;
        cr_assert_eq(covey_server_round_create(&rules, SLOT_LIMIT, &machine, NULL), COVEY_OK);
        covey_server_round_step(machine,
                                &(struct covey_round_event){.kind = COVEY_EVENT_TICK,
                                                            .available = rows[i].available,
                                                            .busy = rows[i].busy},
                                0, &actions);
        cr_assert_eq(actions.count, 1, "row %zu", i);
        cr_expect_eq(actions.items[0].choose, rows[i].choose, "row %zu: %u", i, actions.items[0].choose);
        cr_expect_eq(actions.items[0].goal, 2);
        covey_server_round_destroy(machine);
    }
}

static void no_buffer(struct covey_round_rules *rules)
{
    rules->buffer = 0;
}
static void buffer_above_concurrency(struct covey_round_rules *rules)
{
    rules->buffer = 5;
}
static void async_goal(struct covey_round_rules *rules)
{
    rules->goal = 2;
}
static void async_minimum(struct covey_round_rules *rules)
{
    rules->minimum_updates = 1;
}
static void async_count(struct covey_round_rules *rules)
{
    rules->count = 4;
}
static void async_fraction(struct covey_round_rules *rules)
{
    rules->fraction = .5;
}
static void async_over(struct covey_round_rules *rules)
{
    rules->over_selection = .3;
}
static void async_late(struct covey_round_rules *rules)
{
    rules->late_use = true;
}
static void no_staleness(struct covey_round_rules *rules)
{
    rules->staleness_max = 0;
}
static void much_staleness(struct covey_round_rules *rules)
{
    rules->staleness_max = COVEY_STALENESS_MAX + 1;
}
static void needs_more(struct covey_round_rules *rules)
{
    rules->least_updates = 3;
}
static void sync_buffer(struct covey_round_rules *rules)
{
    rules->mode = COVEY_ROUND_SYNCHRONOUS;
}
static void sync_staleness(struct covey_round_rules *rules)
{
    rules->mode = COVEY_ROUND_SYNCHRONOUS;
    rules->buffer = rules->concurrency = 0;
}

Test(server_round, refuses_what_makes_no_sense_asynchronously_with_the_key)
{
    static const struct {
        void (*spoil)(struct covey_round_rules *rules);
        const char *word;
    } rows[] = {{no_buffer, "round.buffer"},      {buffer_above_concurrency, "round.concurrency"},
                {async_goal, "round.goal"},       {async_minimum, "minimum_updates"},
                {async_count, "selection.count"}, {async_fraction, "fraction"},
                {async_over, "over_selection"},   {async_late, "round.late"},
                {no_staleness, "staleness_max"},  {much_staleness, "staleness_max"},
                {needs_more, "strategy"},         {sync_buffer, "round.mode"},
                {sync_staleness, "staleness_max"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct covey_round_rules rules = plain_rules();
        struct covey_error err = {0};
        tune_buffer(&rules);
        cr_assert_eq(covey_round_rules_check(&rules, &err), COVEY_OK, "%s", err.text);
        rows[i].spoil(&rules);
        cr_expect_eq(covey_round_rules_check(&rules, &err), COVEY_INVALID, "row %zu", i);
        cr_expect_not_null(strstr(err.text, rows[i].word), "row %zu: %s", i, err.text);
    }
}
