/* The round machine: a table of scripts, the rules that it refuses, asynchronous rounds. */
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
