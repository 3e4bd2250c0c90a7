#include "covey/client_round.h"

#include "client_strands.h"

#define CONNECT_MS 60000     /* a link that neither comes up nor goes down */
#define SLEEP_WORTH_MS 5000  /* poll: a shorter wait keeps the session */
#define SEND_GRACE_MS 30000  /* past the deadline an upload in flight is left to its answer */
#define OBSERVE_SLACK_MS 500 /* past one and a quarter heartbeats without a push */

/* ------------------------------------------------------------------ finishing */

static bool is_sure(const struct covey_client_round *machine)
{
    return !(machine->work == COVEY_WORK_SEND && machine->offered);
}

static void finish(struct covey_client_round *machine, struct covey_client_actions *actions)
{
    if (machine->work != COVEY_WORK_NONE)
        covey_client_act(actions, COVEY_CLIENT_DROP)->sure = is_sure(machine);
    if (machine->link != COVEY_CLIENT_DOWN && machine->link != COVEY_CLIENT_ASLEEP)
        covey_client_act(actions, COVEY_CLIENT_DISCONNECT);
    covey_client_act(actions, COVEY_CLIENT_FINISH);
    machine->link = COVEY_CLIENT_DOWN;
    machine->work = COVEY_WORK_NONE;
    machine->waiting = machine->account_waiting = machine->report_waiting = false;
    machine->ticket++;
    machine->finished = true;
}

/* All is done: the end, but for a report that is still to go out. */
static void leave(struct covey_client_round *machine, uint64_t now_ms, struct covey_client_actions *actions)
{
    if (machine->link != COVEY_CLIENT_READY || !covey_client_has_report(machine)) {
        finish(machine, actions);
        return;
    }
    machine->leaving = true;
    machine->leave_at_ms = covey_client_later(now_ms, COVEY_CLIENT_LEAVE_MS);
}

/* ------------------------------------------------------------------ the link */

static void lose_link(struct covey_client_round *machine, bool disconnect, uint32_t wait_ms, uint64_t now_ms,
                      struct covey_client_actions *actions)
{
    /* A shard that cannot even be reached may have moved: the well-known port knows. */
    if (machine->link == COVEY_CLIENT_CONNECTING)
        machine->shard_port = 0;
    if (disconnect)
        covey_client_act(actions, COVEY_CLIENT_DISCONNECT);
    if (machine->failures < UINT32_MAX)
        machine->failures++;
    machine->link = COVEY_CLIENT_DOWN;
    machine->asked = false;
    machine->account_waiting = false;
    machine->report_due |= machine->report_waiting;
    machine->report_waiting = false;
    machine->link_at_ms =
        covey_client_later(now_ms, covey_client_pause_ms(machine, machine->failures, wait_ms));
}

static void start_connecting(struct covey_client_round *machine, uint64_t now_ms,
                             struct covey_client_actions *actions)
{
    covey_client_act(actions, COVEY_CLIENT_CONNECT)->port = machine->shard_port;
    machine->connect_port = machine->shard_port;
    machine->link = COVEY_CLIENT_CONNECTING;
    machine->link_at_ms = covey_client_later(now_ms, CONNECT_MS);
}

static void start_asking(struct covey_client_round *machine, uint64_t now_ms,
                         struct covey_client_actions *actions)
{
    covey_client_act(actions,
                     machine->rules.mode == COVEY_MODE_LISTEN ? COVEY_CLIENT_OBSERVE : COVEY_CLIENT_ASK_PLAN);
    machine->link = COVEY_CLIENT_ASKING;
    machine->asked = false;
    machine->link_at_ms = covey_client_later(now_ms, COVEY_CLIENT_ASK_MS);
}

static void on_link_up(struct covey_client_round *machine, uint64_t now_ms,
                       struct covey_client_actions *actions)
{
    if (machine->link != COVEY_CLIENT_CONNECTING)
        return;
    if (machine->connect_port != 0) { /* the shard that GET where named */
        start_asking(machine, now_ms, actions);
        return;
    }
    covey_client_act(actions, COVEY_CLIENT_ASK_WHERE);
    machine->link = COVEY_CLIENT_LOCATING;
    machine->link_at_ms = covey_client_later(now_ms, COVEY_CLIENT_ASK_MS);
}

static void on_link_down(struct covey_client_round *machine, uint64_t now_ms,
                         struct covey_client_actions *actions)
{
    if (machine->link != COVEY_CLIENT_DOWN && machine->link != COVEY_CLIENT_ASLEEP)
        lose_link(machine, false, 0, now_ms, actions);
}

static void on_where(struct covey_client_round *machine, uint16_t port, uint64_t now_ms,
                     struct covey_client_actions *actions)
{
    if (machine->link != COVEY_CLIENT_LOCATING)
        return;
    if (port == 0) {
        start_asking(machine, now_ms, actions);
        return;
    }
    machine->shard_port = port;
    covey_client_act(actions, COVEY_CLIENT_DISCONNECT);
    start_connecting(machine, now_ms, actions);
}

/* ------------------------------------------------------------------ work */

/* The work ends here without having been acknowledged. */
static void drop_work(struct covey_client_round *machine, struct covey_client_actions *actions)
{
    if (machine->work == COVEY_WORK_NONE)
        return;
    covey_client_act(actions, COVEY_CLIENT_DROP)->sure = is_sure(machine);
    machine->work = COVEY_WORK_NONE;
    machine->waiting = false;
    machine->ticket++;
}

/* No plan with this assignment will move us again. */
static void settle(struct covey_client_round *machine)
{
    if (!machine->last_model) {
        machine->settled = machine->plan.assignment;
        machine->has_settled = true;
    }
    machine->work = COVEY_WORK_NONE;
    machine->waiting = false;
    machine->ticket++;
}

static void begin_work(struct covey_client_round *machine, const struct covey_plan *plan, bool last_model,
                       uint64_t now_ms)
{
    machine->plan = *plan;
    machine->last_model = last_model;
    machine->waiting = false;
    machine->failure_told = false;
    machine->work_failures = 0;
    machine->work_at_ms = now_ms;
    machine->deadline_ms = plan->deadline_ms != 0 && !last_model
                               ? covey_client_later(now_ms, plan->deadline_ms)
                               : COVEY_CLIENT_NO_TIMER;
    machine->work = COVEY_WORK_FETCH;
    if (last_model || !machine->has_ready)
        return;
    if (covey_client_is_ready(machine)) {
        machine->work = COVEY_WORK_SEND; /* encoded before we stopped; the server may even have it */
        machine->account_waiting = false;
    } else if (!machine->offered) {
        machine->has_ready = false; /* nobody else ever saw it */
    }
}

static void take_training(struct covey_client_round *machine, const struct covey_plan *plan, uint64_t now_ms,
                          struct covey_client_actions *actions)
{
    bool busy = machine->work != COVEY_WORK_NONE && !machine->last_model;
    if (busy && covey_client_same(&machine->plan.assignment, &plan->assignment))
        return;
    if (machine->has_settled && covey_client_same(&machine->settled, &plan->assignment))
        return;
    drop_work(machine, actions);
    begin_work(machine, plan, false, now_ms);
}

static void take_done(struct covey_client_round *machine, const struct covey_plan *plan, uint64_t now_ms,
                      struct covey_client_actions *actions)
{
    if (machine->work != COVEY_WORK_NONE && machine->last_model)
        return;
    drop_work(machine, actions);
    if (machine->rules.keep_last)
        begin_work(machine, plan, true, now_ms);
    else if (machine->rules.exit_when_done)
        leave(machine, now_ms, actions);
}

static void on_plan(struct covey_client_round *machine, const struct covey_plan *plan, uint64_t now_ms,
                    struct covey_client_actions *actions)
{
    if (machine->link != COVEY_CLIENT_ASKING && machine->link != COVEY_CLIENT_READY)
        return;
    uint64_t heartbeat = plan->heartbeat_ms != 0 ? plan->heartbeat_ms : COVEY_CLIENT_HEARTBEAT_MS;
    uint64_t retry = plan->retry_after_ms != 0 ? plan->retry_after_ms : COVEY_CLIENT_RETRY_MS;
    machine->link = COVEY_CLIENT_READY;
    machine->asked = false;
    machine->failures = 0;
    machine->heard_ms = now_ms;
    machine->account_failures = 0;
    machine->account_at_ms = now_ms;
    machine->anew_at_ms = covey_client_later(now_ms, heartbeat + heartbeat / 4 + OBSERVE_SLACK_MS);
    /* a tenth more, drawn: those who were told the same do not all ask at once */
    machine->ask_at_ms =
        covey_client_later(now_ms, retry + covey_random_below(&machine->random, (uint32_t)(retry / 10 + 1)));
    if (machine->leaving)
        return;
    switch (plan->kind) {
    case COVEY_PLAN_TRAIN:
        take_training(machine, plan, now_ms, actions);
        break;
    case COVEY_PLAN_DONE:
        take_done(machine, plan, now_ms, actions);
        break;
    case COVEY_PLAN_WAIT:
        /* The assignment is over. What is being sent is left to the server's answer: it may be in already. */
        if (machine->work != COVEY_WORK_SEND)
            drop_work(machine, actions);
        break;
    }
}

static void on_plan_failed(struct covey_client_round *machine, uint32_t wait_ms, uint64_t now_ms,
                           struct covey_client_actions *actions)
{
    bool moving = machine->waiting && (machine->work == COVEY_WORK_FETCH || machine->work == COVEY_WORK_SEND);
    if (machine->link != COVEY_CLIENT_ASKING && machine->link != COVEY_CLIENT_READY)
        return;
    if (machine->link == COVEY_CLIENT_READY && moving) { /* do not tear down what still moves */
        machine->asked = false;
        machine->ask_at_ms = machine->anew_at_ms =
            covey_client_later(now_ms, covey_client_pause_ms(machine, ++machine->failures, wait_ms));
        return;
    }
    lose_link(machine, true, wait_ms, now_ms, actions);
}

/* The work's action ended in something that may go better later, or in something that will not. */
static void on_work_failed(struct covey_client_round *machine, const struct covey_client_event *event,
                           uint64_t now_ms)
{
    const bool final = event->failure == COVEY_FAILURE_FINAL;
    machine->waiting = false;
    if (event->kind == COVEY_CLIENT_TRAIN_FAILED || (event->kind == COVEY_CLIENT_FETCH_FAILED && final))
        covey_client_tell_failure(machine, now_ms);
    if (final) {
        if (covey_client_is_ready(machine)) /* refused: it is not there */
            machine->has_ready = false;
        settle(machine);
        return;
    }
    machine->work_failures++;
    machine->work_at_ms =
        covey_client_later(now_ms, covey_client_pause_ms(machine, machine->work_failures, event->wait_ms));
}

/* The server has the update of `ready`. */
static void count_sent(struct covey_client_round *machine, uint64_t now_ms,
                       struct covey_client_actions *actions)
{
    machine->has_ready = false;
    machine->done++;
    covey_client_make_report_due(machine, now_ms);
    if (machine->rules.stop_after != 0 && machine->done >= machine->rules.stop_after)
        leave(machine, now_ms, actions);
}

static void on_sent(struct covey_client_round *machine, uint64_t now_ms, struct covey_client_actions *actions)
{
    settle(machine);
    if (machine->rules.mode == COVEY_MODE_POLL)
        machine->ask_at_ms = now_ms; /* what next, before we sleep */
    count_sent(machine, now_ms, actions);
}

static void on_permission(struct covey_client_round *machine, bool allowed, uint64_t now_ms,
                          struct covey_client_actions *actions)
{
    if (machine->work == COVEY_WORK_TRAIN && !allowed) {
        covey_client_act(actions, COVEY_CLIENT_DROP)->sure = true;
        machine->waiting = false;
        machine->ticket++;
        machine->work = COVEY_WORK_PERMIT;
    } else if (machine->work == COVEY_WORK_PERMIT && allowed) {
        machine->work = COVEY_WORK_TRAIN;
        machine->waiting = false;
        machine->work_at_ms = now_ms;
        return;
    }
    if (machine->work == COVEY_WORK_PERMIT)
        machine->waiting = false;
    machine->work_at_ms = covey_client_later(now_ms, COVEY_CLIENT_PERMIT_MS);
}

static void on_work_event(struct covey_client_round *machine, const struct covey_client_event *event,
                          uint64_t now_ms, struct covey_client_actions *actions)
{
    static const struct {
        enum covey_client_work work;
        bool good;
    } answers[COVEY_CLIENT_EVENT_KINDS] = {[COVEY_CLIENT_FETCHED] = {COVEY_WORK_FETCH, true},
                                           [COVEY_CLIENT_FETCH_FAILED] = {COVEY_WORK_FETCH, false},
                                           [COVEY_CLIENT_TRAINED] = {COVEY_WORK_TRAIN, true},
                                           [COVEY_CLIENT_TRAIN_FAILED] = {COVEY_WORK_TRAIN, false},
                                           [COVEY_CLIENT_SENT] = {COVEY_WORK_SEND, true},
                                           [COVEY_CLIENT_SEND_FAILED] = {COVEY_WORK_SEND, false}};
    if (!machine->waiting || event->ticket != machine->ticket || answers[event->kind].work != machine->work)
        return;
    bool last_model = machine->last_model;
    if (!answers[event->kind].good) {
        on_work_failed(machine, event, now_ms);
    } else if (event->kind == COVEY_CLIENT_SENT) {
        on_sent(machine, now_ms, actions);
    } else if (last_model) {
        settle(machine);
    } else {
        machine->waiting = false;
        machine->work_failures = 0;
        machine->work_at_ms = now_ms;
        machine->work = event->kind == COVEY_CLIENT_FETCHED ? COVEY_WORK_PERMIT : COVEY_WORK_SEND;
        if (event->kind == COVEY_CLIENT_TRAINED) {
            machine->ready = machine->plan.assignment;
            machine->has_ready = true;
            machine->offered = false;
        }
    }
    if (last_model && machine->work == COVEY_WORK_NONE && machine->rules.exit_when_done)
        leave(machine, now_ms, actions);
}

/* ------------------------------------------------------------------ time */

/* Between two questions for the plan: a session with something under way is not left. */
static bool is_busy_polling(const struct covey_client_round *machine)
{
    return machine->rules.mode == COVEY_MODE_POLL &&
           (machine->work != COVEY_WORK_NONE || machine->account_waiting || covey_client_has_report(machine));
}

static void advance_ready(struct covey_client_round *machine, uint64_t now_ms,
                          struct covey_client_actions *actions)
{
    if (machine->rules.mode == COVEY_MODE_LISTEN && now_ms >= machine->anew_at_ms) {
        start_asking(machine, now_ms, actions);
        return;
    }
    if (machine->asked) {
        if (now_ms >= covey_client_later(machine->asked_at_ms, COVEY_CLIENT_ASK_MS))
            lose_link(machine, true, 0, now_ms, actions);
        return;
    }
    const bool accounts = covey_client_is_undecided(machine) && now_ms >= machine->account_at_ms;
    if (is_busy_polling(machine) || (machine->rules.mode == COVEY_MODE_POLL && accounts))
        return;
    if (now_ms >= machine->ask_at_ms) {
        covey_client_act(actions, COVEY_CLIENT_ASK_PLAN);
        machine->asked = true;
        machine->asked_at_ms = now_ms;
    } else if (machine->rules.mode == COVEY_MODE_POLL && machine->ask_at_ms - now_ms > SLEEP_WORTH_MS) {
        covey_client_act(actions, COVEY_CLIENT_DISCONNECT);
        machine->link = COVEY_CLIENT_ASLEEP;
        machine->link_at_ms = machine->ask_at_ms;
    }
}

static void advance_link(struct covey_client_round *machine, uint64_t now_ms,
                         struct covey_client_actions *actions)
{
    switch (machine->link) {
    case COVEY_CLIENT_DOWN:
    case COVEY_CLIENT_ASLEEP:
        if (now_ms >= machine->link_at_ms)
            start_connecting(machine, now_ms, actions);
        break;
    case COVEY_CLIENT_CONNECTING:
    case COVEY_CLIENT_LOCATING:
    case COVEY_CLIENT_ASKING:
        if (now_ms >= machine->link_at_ms)
            lose_link(machine, true, 0, now_ms, actions);
        break;
    case COVEY_CLIENT_READY:
        advance_ready(machine, now_ms, actions);
        break;
    }
}

/* When the work is given up. */
static uint64_t work_end_ms(const struct covey_client_round *machine)
{
    if (machine->work == COVEY_WORK_NONE || machine->deadline_ms == COVEY_CLIENT_NO_TIMER)
        return COVEY_CLIENT_NO_TIMER;
    bool in_flight = machine->work == COVEY_WORK_SEND && machine->waiting;
    return covey_client_later(machine->deadline_ms, in_flight ? SEND_GRACE_MS : 0);
}

static void start_work(struct covey_client_round *machine, enum covey_client_action_kind kind,
                       struct covey_client_actions *actions)
{
    machine->waiting = true;
    covey_client_act(actions, kind)->ticket = ++machine->ticket;
}

static void advance_work(struct covey_client_round *machine, uint64_t now_ms,
                         struct covey_client_actions *actions)
{
    if (machine->work == COVEY_WORK_NONE)
        return;
    if (now_ms >= work_end_ms(machine)) {
        drop_work(machine, actions);
        if (covey_client_is_ready(machine) && !machine->offered)
            machine->has_ready = false;
        settle(machine);
        return;
    }
    if (now_ms < machine->work_at_ms)
        return;
    bool linked = machine->link == COVEY_CLIENT_READY;
    switch (machine->work) {
    case COVEY_WORK_FETCH:
        if (linked && !machine->waiting)
            start_work(machine, COVEY_CLIENT_FETCH, actions);
        break;
    case COVEY_WORK_PERMIT:
        if (!machine->waiting)
            start_work(machine, COVEY_CLIENT_PERMIT, actions);
        break;
    case COVEY_WORK_TRAIN:
        if (!machine->waiting && covey_client_is_undecided(machine))
            return; /* which residual holds? */
        if (!machine->waiting) {
            start_work(machine, COVEY_CLIENT_TRAIN, actions);
        } else {
            covey_client_act(actions, COVEY_CLIENT_PERMIT); /* from time to time, while it trains */
        }
        machine->work_at_ms = covey_client_later(now_ms, COVEY_CLIENT_PERMIT_MS);
        break;
    case COVEY_WORK_SEND:
        if (linked && !machine->waiting) {
            start_work(machine, COVEY_CLIENT_SEND, actions);
            actions->items[actions->count - 1].again = machine->offered;
            machine->offered = true;
        }
        break;
    case COVEY_WORK_NONE:
        break;
    }
}

/* ------------------------------------------------------------------ the machine */

void covey_client_round_init(struct covey_client_round *machine, const struct covey_client_rules *rules,
                             uint16_t shard_port, const struct covey_assignment_id *ready)
{
    *machine = (struct covey_client_round){
        .rules = *rules, .shard_port = shard_port, .deadline_ms = COVEY_CLIENT_NO_TIMER};
    if (machine->rules.reconnect_ms == 0)
        machine->rules.reconnect_ms = 1;
    covey_random_init(&machine->random, rules->seed, rules->device, 0, COVEY_PURPOSE_NETWORK);
    if (ready != NULL) {
        machine->ready = *ready;
        machine->has_ready = machine->offered = true;
    }
}

void covey_client_round_step(struct covey_client_round *machine, const struct covey_client_event *event,
                             uint64_t now_ms, struct covey_client_actions *actions)
{
    actions->count = 0;
    if (machine->finished)
        return;
    switch (event->kind) {
    case COVEY_CLIENT_LINK_UP:
        on_link_up(machine, now_ms, actions);
        break;
    case COVEY_CLIENT_LINK_DOWN:
        on_link_down(machine, now_ms, actions);
        break;
    case COVEY_CLIENT_WHERE:
        on_where(machine, event->port, now_ms, actions);
        break;
    case COVEY_CLIENT_PLAN:
        on_plan(machine, event->plan, now_ms, actions);
        break;
    case COVEY_CLIENT_PLAN_FAILED:
        on_plan_failed(machine, event->wait_ms, now_ms, actions);
        break;
    case COVEY_CLIENT_PERMISSION:
        on_permission(machine, event->allowed, now_ms, actions);
        break;
    case COVEY_CLIENT_UPLOAD_TOLD:
        if (covey_client_hear_account(machine, event, now_ms))
            count_sent(machine, now_ms, actions);
        break;
    case COVEY_CLIENT_REPORTED:
        covey_client_hear_reported(machine, event, now_ms);
        break;
    case COVEY_CLIENT_STOP:
        finish(machine, actions);
        break;
    case COVEY_CLIENT_TICK:
    case COVEY_CLIENT_EVENT_KINDS:
        break;
    default:
        on_work_event(machine, event, now_ms, actions);
        break;
    }
    if (machine->finished)
        return;
    advance_link(machine, now_ms, actions);
    advance_work(machine, now_ms, actions);
    covey_client_advance_account(machine, now_ms, actions);
    covey_client_advance_report(machine, now_ms, actions);
    const bool told = machine->link != COVEY_CLIENT_READY || !covey_client_has_report(machine);
    if (machine->leaving && (told || now_ms >= machine->leave_at_ms))
        finish(machine, actions);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t covey_client_round_next_ms(const struct covey_client_round *machine)
{
    bool poll = machine->rules.mode == COVEY_MODE_POLL, linked = machine->link == COVEY_CLIENT_READY;
    uint64_t next = work_end_ms(machine);
    if (machine->finished)
        return COVEY_CLIENT_NO_TIMER;
    if (!linked)
        next = earlier(next, machine->link_at_ms);
    else if (machine->asked)
        next = earlier(next, covey_client_later(machine->asked_at_ms, COVEY_CLIENT_ASK_MS));
    else if (!is_busy_polling(machine))
        next = earlier(next, machine->ask_at_ms);
    if (linked && !poll)
        next = earlier(next, machine->anew_at_ms);
    if (linked && covey_client_is_undecided(machine) && !machine->account_waiting)
        next = earlier(next, machine->account_at_ms);
    if (linked && machine->report_due && !machine->report_waiting)
        next = earlier(next, machine->report_at_ms);
    if (machine->leaving)
        next = earlier(next, machine->leave_at_ms);
    bool wants_link = machine->work == COVEY_WORK_FETCH || machine->work == COVEY_WORK_SEND;
    bool held = machine->work == COVEY_WORK_TRAIN && !machine->waiting && covey_client_is_undecided(machine);
    if (held)
        return next; /* the account moves it */
    if (machine->work == COVEY_WORK_TRAIN ||
        (machine->work != COVEY_WORK_NONE && !machine->waiting && (linked || !wants_link)))
        next = earlier(next, machine->work_at_ms);
    return next;
}

const char *covey_client_link_name(enum covey_client_link link)
{
    static const char *const names[] = {"down", "connecting", "locating", "asking", "ready", "asleep"};
    return names[link];
}

const char *covey_client_work_name(enum covey_client_work work)
{
    static const char *const names[] = {"nothing", "fetching", "waiting for permission", "training",
                                        "sending"};
    return names[work];
}
