#include "covey/server_round.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "covey/random.h"

enum slot_state { SLOT_WAITING, SLOT_DONE, SLOT_LOST };

struct covey_server_round {
    struct covey_round_rules rules;
    enum covey_round_phase phase;
    enum covey_round_end end;
    uint32_t round; /* the open one, or the next */
    uint32_t completed, abandoned, abandoned_in_a_row;

    uint32_t slots, goal, minimum_updates, done, lost; /* of the open round */
    uint64_t deadline_ms;
    uint64_t not_before_ms; /* GATHER: pause; CLOSING: next try of storing */
    uint32_t store_failures;

    double best; /* NaN: nothing judged yet */
    uint32_t since_best;
    bool unjudged; /* resumed with a model that a stop rule has not seen */
    uint32_t ignored_events;

    uint32_t slot_limit;
    uint8_t slot[]; /* (slot_limit) enum slot_state */
};

struct step {
    struct covey_server_round *machine;
    const struct covey_round_event *event;
    uint64_t now_ms;
    struct covey_round_actions *actions;
};

static bool stop_rule_needs_value(const struct covey_round_rules *rules)
{
    return rules->can_judge && (rules->has_target || rules->stop_patience != 0);
}

/* ------------------------------------------------------------------ small parts */

static struct covey_round_action *emit(const struct step *step, enum covey_round_action_kind kind)
{
    assert(step->actions->count < COVEY_ROUND_ACTIONS);
    struct covey_round_action *action = &step->actions->items[step->actions->count++];
    *action = (struct covey_round_action){.kind = kind,
                                          .round = step->machine->round,
                                          .done = step->machine->done,
                                          .lost = step->machine->lost};
    return action;
}

static uint64_t add_ms(uint64_t now_ms, uint64_t delay_ms)
{
    return now_ms > COVEY_ROUND_NO_TIMER - 1 - delay_ms ? COVEY_ROUND_NO_TIMER - 1 : now_ms + delay_ms;
}

/* first_ms doubled `times` times, under the common cap. */
static uint64_t backoff_ms(uint64_t first_ms, uint32_t times)
{
    uint64_t delay_ms = first_ms;
    for (uint32_t i = 0; i < times && delay_ms < COVEY_ROUND_BACKOFF_MS; i++)
        delay_ms *= 2;
    return delay_ms < COVEY_ROUND_BACKOFF_MS || delay_ms == first_ms ? delay_ms : COVEY_ROUND_BACKOFF_MS;
}

static uint32_t scaled_up(uint32_t count, double factor, uint32_t limit)
{
    double wanted = ceil((double)count * factor - 1e-9);
    return wanted >= (double)limit ? limit : (uint32_t)wanted;
}

static void clear_round(struct covey_server_round *machine)
{
    machine->slots = machine->goal = machine->minimum_updates = machine->done = machine->lost = 0;
    machine->deadline_ms = 0;
    machine->store_failures = 0;
}

/* A buffer that has anything in it is never abandoned: that would throw it away. */
static uint32_t minimum_for(const struct covey_round_rules *rules, uint32_t goal)
{
    uint32_t minimum = rules->mode == COVEY_ROUND_ASYNCHRONOUS ? 1
                       : rules->minimum_updates != 0           ? rules->minimum_updates
                                                               : (goal + 1) / 2;
    if (minimum < rules->least_updates)
        minimum = rules->least_updates;
    return minimum == 0 ? 1 : minimum;
}

static void go_gather(const struct step *step, uint64_t pause_ms)
{
    struct covey_server_round *machine = step->machine;
    machine->phase = COVEY_PHASE_GATHER;
    machine->round++;
    machine->not_before_ms = add_ms(step->now_ms, pause_ms);
    clear_round(machine);
}

static void go_end(const struct step *step, enum covey_round_end end)
{
    step->machine->phase = COVEY_PHASE_ENDED;
    step->machine->end = end;
    emit(step, COVEY_ACTION_END)->end = end;
}

static void go_abandon(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    (void)emit(step, COVEY_ACTION_ABANDON);
    machine->abandoned++;
    const uint64_t first_ms = machine->rules.pause_ms > 1000 ? machine->rules.pause_ms : 1000;
    go_gather(step, backoff_ms(first_ms, machine->abandoned_in_a_row));
    machine->abandoned_in_a_row++;
}

static void ignore(const struct step *step)
{
    step->machine->ignored_events++;
}

/* What the stop rules say of what has been. */
static enum covey_round_end reason_to_end(const struct covey_server_round *machine)
{
    const struct covey_round_rules *rules = &machine->rules;
    if (rules->has_target && !isnan(machine->best) &&
        (rules->lower_is_better ? machine->best <= rules->stop_target : machine->best >= rules->stop_target))
        return COVEY_END_TARGET;
    if (rules->stop_rounds != 0 && machine->completed >= rules->stop_rounds)
        return COVEY_END_ROUNDS;
    if (rules->stop_patience != 0 && !isnan(machine->best) && machine->since_best >= rules->stop_patience)
        return COVEY_END_PLATEAU;
    return COVEY_END_NONE;
}

/* ------------------------------------------------------------------ GATHER */

/* How many to choose, and how many updates close the round. */
static void choose_cohort(const struct covey_server_round *machine, uint32_t available, uint32_t *choose,
                          uint32_t *goal)
{
    const struct covey_round_rules *rules = &machine->rules;
    uint32_t base = rules->count;
    if (base == 0) {
        const double share = floor((double)available * rules->fraction + 0.5);
        base = share < 1 ? 1 : (uint32_t)share;
    }
    if (base > available)
        base = available;
    const uint32_t limit = available < machine->slot_limit ? available : machine->slot_limit;
    *choose = scaled_up(base, 1 + rules->over_selection, limit);
    *goal = rules->goal != 0 ? rules->goal : base;
}

/* The places that are free; the goal is the buffer. */
static void choose_free(const struct covey_server_round *machine, uint32_t available, uint32_t busy,
                        uint32_t *choose, uint32_t *goal)
{
    const struct covey_round_rules *rules = &machine->rules;
    const uint32_t places =
        rules->concurrency < machine->slot_limit ? rules->concurrency : machine->slot_limit;
    const uint32_t left = places > busy ? places - busy : 0;
    *choose = left < available ? left : available;
    *goal = rules->buffer;
}

static void gather_tick(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    const struct covey_round_rules *rules = &machine->rules;
    const bool asynchronous = rules->mode == COVEY_ROUND_ASYNCHRONOUS;
    const uint32_t available = step->event->available, there = available + step->event->busy;
    const uint32_t busy = asynchronous ? step->event->busy : 0; /* that it will be made of */
    uint32_t choose, goal;
    const enum covey_round_end end =
        reason_to_end(machine); /* a rule was changed, or this is a restart after the end */
    if (end != COVEY_END_NONE) {
        go_end(step, end);
        return;
    }
    if (step->now_ms < machine->not_before_ms || there < rules->minimum_devices || available + busy == 0)
        return;
    if (asynchronous)
        choose_free(machine, available, busy, &choose, &goal);
    else
        choose_cohort(machine, available, &choose, &goal);
    if (asynchronous && choose + busy < goal)
        return; /* the buffer could not fill */
    if (goal > choose + busy)
        goal = choose + busy;
    const uint32_t minimum_updates = minimum_for(rules, goal);
    if (choose + busy < minimum_updates)
        return; /* it could only be abandoned */
    machine->phase = COVEY_PHASE_OPENING;
    machine->goal = goal > minimum_updates ? goal : minimum_updates;
    machine->minimum_updates = minimum_updates;
    machine->deadline_ms = add_ms(step->now_ms, rules->deadline_ms);
    struct covey_round_action *open = emit(step, COVEY_ACTION_OPEN);
    open->choose = choose;
    open->goal = machine->goal;
    open->selection = rules->selection;
    open->deadline_ms = rules->deadline_ms;
}

/* ------------------------------------------------------------------ OPENING */

static void opening_opened(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    const uint32_t slots = step->event->slots;
    if (machine->goal > slots) { /* some left between the choice and its record */
        machine->goal = slots;
        machine->minimum_updates = minimum_for(&machine->rules, slots);
    }
    if (slots < machine->minimum_updates || slots > machine->slot_limit) {
        go_abandon(step);
        return;
    }
    machine->slots = slots;
    for (uint32_t i = 0; i < slots; i++)
        machine->slot[i] = SLOT_WAITING;
    machine->phase = COVEY_PHASE_UPDATE;
}

/* ------------------------------------------------------------------ UPDATE */

static void close_if_due(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    const bool nobody_left = machine->done + machine->lost >= machine->slots;
    if (machine->done < machine->goal && !nobody_left && step->now_ms < machine->deadline_ms)
        return;
    if (machine->done < machine->minimum_updates) {
        go_abandon(step);
        return;
    }
    machine->phase = COVEY_PHASE_CLOSING;
    machine->not_before_ms = COVEY_ROUND_NO_TIMER;
    (void)emit(step, COVEY_ACTION_CLOSE);
}

/* Marks the event's slot; false when there is nothing new in it. */
static bool mark(const struct step *step, enum slot_state state)
{
    struct covey_server_round *machine = step->machine;
    const uint32_t slot = step->event->slot;
    if (slot >= machine->slots || machine->slot[slot] == SLOT_DONE || machine->slot[slot] == state) {
        ignore(step);
        return false;
    }
    if (machine->slot[slot] == SLOT_LOST)
        machine->lost--; /* it came after all */
    machine->slot[slot] = (uint8_t)state;
    if (state == SLOT_DONE)
        machine->done++;
    else
        machine->lost++;
    return true;
}

static void update_recorded(const struct step *step)
{
    if (mark(step, SLOT_DONE))
        close_if_due(step);
}

static void update_lost(const struct step *step)
{
    if (mark(step, SLOT_LOST))
        close_if_due(step);
}

/* ------------------------------------------------------------------ CLOSING */

/* Recorded before the driver shut the door: it is part of the aggregate, and counted. */
static void closing_recorded(const struct step *step)
{
    (void)mark(step, SLOT_DONE);
}

static void closing_tick(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    if (step->now_ms < machine->not_before_ms)
        return;
    machine->not_before_ms = COVEY_ROUND_NO_TIMER;
    (void)emit(step, COVEY_ACTION_CLOSE);
}

static void closing_failed(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    machine->store_failures++;
    if (machine->store_failures >= COVEY_ROUND_STORE_ATTEMPTS)
        go_end(step, COVEY_END_FAILED);
    else
        machine->not_before_ms = add_ms(step->now_ms, backoff_ms(1000, machine->store_failures - 1));
}

static void after_judgement(const struct step *step)
{
    const enum covey_round_end end = reason_to_end(step->machine);
    if (end != COVEY_END_NONE)
        go_end(step, end);
    else
        go_gather(step, step->machine->rules.pause_ms);
}

static void closing_stored(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    machine->completed++;
    machine->abandoned_in_a_row = 0;
    machine->not_before_ms = 0;
    if (machine->rules.can_judge)
        (void)emit(step, COVEY_ACTION_EVALUATE);
    if (stop_rule_needs_value(&machine->rules))
        machine->phase = COVEY_PHASE_JUDGING;
    else
        after_judgement(step);
}

/* ------------------------------------------------------------------ JUDGING */

static void judge(struct covey_server_round *machine, double value)
{
    const struct covey_round_rules *rules = &machine->rules;
    if (isnan(value)) {
        machine->since_best++; /* what cannot be judged is no gain */
        return;
    }
    const double gain = rules->lower_is_better ? machine->best - value : value - machine->best;
    if (isnan(machine->best) || gain > rules->stop_gain) {
        machine->best = value;
        machine->since_best = 0;
    } else {
        machine->since_best++;
        /* small gains still move the best value, for the target; they do not reset the patience */
        if (gain > 0)
            machine->best = value;
    }
}

static void judging_judged(const struct step *step)
{
    judge(step->machine, step->event->value);
    after_judgement(step);
}

static void judging_tick(const struct step *step)
{
    struct covey_server_round *machine = step->machine;
    if (!machine->unjudged)
        return;
    machine->unjudged = false;
    (void)emit(step, COVEY_ACTION_EVALUATE);
}

/* ------------------------------------------------------------------ the table */

static void rest(const struct step *step)
{
    (void)step;
}

struct phase {
    const char *name;
    void (*on[COVEY_EVENT_KINDS])(const struct step *step); /* NULL: does not fit, ignored */
};

static const struct phase phases[COVEY_PHASE_COUNT] = {
    [COVEY_PHASE_GATHER] = {"gather", {[COVEY_EVENT_TICK] = gather_tick}},
    [COVEY_PHASE_OPENING] = {"opening", {[COVEY_EVENT_TICK] = rest, [COVEY_EVENT_OPENED] = opening_opened}},
    [COVEY_PHASE_UPDATE] = {"update",
                            {[COVEY_EVENT_TICK] = close_if_due,
                             [COVEY_EVENT_RECORDED] = update_recorded,
                             [COVEY_EVENT_LOST] = update_lost}},
    [COVEY_PHASE_CLOSING] = {"closing",
                             {[COVEY_EVENT_TICK] = closing_tick,
                              [COVEY_EVENT_RECORDED] = closing_recorded,
                              [COVEY_EVENT_STORED] = closing_stored,
                              [COVEY_EVENT_STORE_FAILED] = closing_failed}},
    [COVEY_PHASE_JUDGING] = {"judging",
                             {[COVEY_EVENT_TICK] = judging_tick, [COVEY_EVENT_JUDGED] = judging_judged}},
    [COVEY_PHASE_ENDED] = {"ended", {[COVEY_EVENT_TICK] = rest}},
};

void covey_server_round_step(struct covey_server_round *machine, const struct covey_round_event *event,
                             uint64_t now_ms, struct covey_round_actions *actions)
{
    actions->count = 0;
    const struct step step = {machine, event, now_ms, actions};
    assert(event->kind < COVEY_EVENT_KINDS);
    void (*handler)(const struct step *) = phases[machine->phase].on[event->kind];
    const bool stale = event->kind != COVEY_EVENT_TICK && event->round != machine->round;
    if (handler == NULL || stale)
        ignore(&step);
    else
        handler(&step);
}

/* ------------------------------------------------------------------ life, restart, view */

enum covey_status covey_server_round_create(const struct covey_round_rules *rules, uint32_t slot_limit,
                                            struct covey_server_round **out, struct covey_error *err)
{
    COVEY_TRY(covey_round_rules_check(rules, err));
    if (slot_limit == 0 || slot_limit > COVEY_DEVICES)
        return covey_fail(err, COVEY_LIMIT, "a cohort has 1 to %u devices, not %u", COVEY_DEVICES,
                          slot_limit);
    struct covey_server_round *machine = calloc(1, sizeof *machine + slot_limit);
    if (machine == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "no memory for a cohort of %u", slot_limit);
    machine->rules = *rules;
    machine->slot_limit = slot_limit;
    machine->round = 1;
    machine->best = NAN;
    *out = machine;
    return COVEY_OK;
}

void covey_server_round_destroy(struct covey_server_round *machine)
{
    free(machine);
}

void covey_server_round_replay_completed(struct covey_server_round *machine, uint32_t round, double value)
{
    machine->completed++;
    machine->abandoned_in_a_row = 0;
    machine->round = round + 1;
    if (stop_rule_needs_value(&machine->rules))
        judge(machine, value);
}

void covey_server_round_replay_abandoned(struct covey_server_round *machine, uint32_t round)
{
    machine->abandoned++;
    machine->abandoned_in_a_row++;
    machine->round = round + 1;
}

enum covey_status covey_server_round_resume(struct covey_server_round *machine,
                                            const struct covey_round_resume *open, struct covey_error *err)
{
    if (open->slots == 0 || open->slots > machine->slot_limit)
        return covey_fail(err, COVEY_INVALID, "round %u was recorded with %u devices: 1 to %u are possible",
                          open->round, open->slots, machine->slot_limit);
    clear_round(machine);
    machine->round = open->round;
    machine->slots = open->slots;
    machine->goal = open->goal == 0 || open->goal > open->slots ? open->slots : open->goal;
    machine->minimum_updates = minimum_for(&machine->rules, machine->goal);
    machine->deadline_ms = open->deadline_ms;
    for (uint32_t i = 0; i < open->slots; i++)
        machine->slot[i] = SLOT_WAITING;
    for (uint32_t i = 0; i < open->done_count; i++) {
        if (open->done[i] >= open->slots || machine->slot[open->done[i]] == SLOT_DONE)
            continue;
        machine->slot[open->done[i]] = SLOT_DONE;
        machine->done++;
    }
    machine->phase = COVEY_PHASE_UPDATE;
    return COVEY_OK;
}

void covey_server_round_resume_unjudged(struct covey_server_round *machine)
{
    if (machine->phase != COVEY_PHASE_GATHER || machine->completed == 0 ||
        !stop_rule_needs_value(&machine->rules))
        return;
    machine->phase = COVEY_PHASE_JUDGING;
    machine->round--;
    machine->unjudged = true;
    if (machine->since_best > 0)
        machine->since_best--; /* replayed as not judged; it will be */
}

uint64_t covey_server_round_next_ms(const struct covey_server_round *machine)
{
    switch (machine->phase) {
    case COVEY_PHASE_GATHER:
    case COVEY_PHASE_CLOSING:
        return machine->not_before_ms;
    case COVEY_PHASE_UPDATE:
        return machine->done >= machine->goal ? 0
                                              : machine->deadline_ms; /* resumed with all of them: at once */
    case COVEY_PHASE_JUDGING:
        return machine->unjudged ? 0 : COVEY_ROUND_NO_TIMER;
    default:
        return COVEY_ROUND_NO_TIMER;
    }
}

void covey_server_round_set_rules(struct covey_server_round *machine, const struct covey_round_rules *rules)
{
    machine->rules = *rules;
}

void covey_server_round_view(const struct covey_server_round *machine, struct covey_round_view *out)
{
    *out = (struct covey_round_view){.phase = machine->phase,
                                     .round = machine->round,
                                     .completed = machine->completed,
                                     .abandoned = machine->abandoned,
                                     .slots = machine->slots,
                                     .goal = machine->goal,
                                     .done = machine->done,
                                     .lost = machine->lost,
                                     .minimum_updates = machine->minimum_updates,
                                     .deadline_ms = machine->deadline_ms,
                                     .best = machine->best,
                                     .rounds_since_best = machine->since_best,
                                     .ignored_events = machine->ignored_events,
                                     .end = machine->end};
}

const char *covey_round_phase_name(enum covey_round_phase phase)
{
    return phase < COVEY_PHASE_COUNT ? phases[phase].name : "unknown";
}

const char *covey_round_end_name(enum covey_round_end end)
{
    static const char *const names[] = {"none", "rounds", "target", "plateau", "failed"};
    return (size_t)end < sizeof names / sizeof names[0] ? names[end] : "unknown";
}
