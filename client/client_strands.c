/* The strands of the round machine beside link and work: the account of an update, and reports. */
#include "client_strands.h"

/* Doubles with every failure up to the limit; the upper half of it is drawn, so that devices which failed
 * together do not come back together. At least wait_ms. */
uint64_t covey_client_pause_ms(struct covey_client_round *machine, uint32_t failures, uint32_t wait_ms)
{
    uint64_t span = machine->rules.reconnect_ms;
    for (uint32_t i = 1; i < failures && span < machine->rules.reconnect_limit_ms; i++)
        span *= 2;
    if (span > machine->rules.reconnect_limit_ms)
        span = machine->rules.reconnect_limit_ms;
    span = span / 2 + covey_random_below(&machine->random, (uint32_t)(span / 2 + 1));
    return span > wait_ms ? span : wait_ms;
}

/* The encoded update is the one of this work. */
bool covey_client_is_ready(const struct covey_client_round *machine)
{
    return machine->has_ready && covey_client_same(&machine->ready, &machine->plan.assignment);
}

/* ------------------------------------------------------------------ the account of an update */

/* It went out, it is not being sent, and nobody told what became of it. */
bool covey_client_is_undecided(const struct covey_client_round *machine)
{
    const bool sending = machine->work == COVEY_WORK_SEND && covey_client_is_ready(machine);
    return machine->has_ready && machine->offered && !sending && !machine->leaving;
}

bool covey_client_hear_account(struct covey_client_round *machine, const struct covey_client_event *event,
                               uint64_t now_ms)
{
    if (!machine->account_waiting || event->ticket != machine->account_ticket)
        return false;
    machine->account_waiting = false;
    switch (event->fate) {
    case COVEY_FATE_LATER:
        machine->account_failures++;
        machine->account_at_ms = covey_client_later(
            now_ms, covey_client_pause_ms(machine, machine->account_failures, event->wait_ms));
        break;
    case COVEY_FATE_TAKEN:
        return true;
    case COVEY_FATE_NOT_TAKEN:
    case COVEY_FATE_UNKNOWN:
        machine->has_ready = false;
        break;
    }
    return false;
}

void covey_client_advance_account(struct covey_client_round *machine, uint64_t now_ms,
                                  struct covey_client_actions *actions)
{
    if (!covey_client_is_undecided(machine) || machine->account_waiting ||
        machine->link != COVEY_CLIENT_READY || now_ms < machine->account_at_ms)
        return;
    machine->account_waiting = true;
    covey_client_act(actions, COVEY_CLIENT_ASK_UPLOAD)->ticket = ++machine->account_ticket;
}

/* ------------------------------------------------------------------ reports */

bool covey_client_has_report(const struct covey_client_round *machine)
{
    return machine->report_due || machine->report_waiting;
}

void covey_client_make_report_due(struct covey_client_round *machine, uint64_t now_ms)
{
    machine->report_due = machine->rules.report;
    machine->report_at_ms = now_ms;
    machine->report_tries = 0;
}

/* Once for an assignment: the round need not wait for us. */
void covey_client_tell_failure(struct covey_client_round *machine, uint64_t now_ms)
{
    if (machine->last_model || machine->failure_told)
        return;
    machine->failure_told = true;
    covey_client_make_report_due(machine, now_ms);
}

void covey_client_hear_reported(struct covey_client_round *machine, const struct covey_client_event *event,
                                uint64_t now_ms)
{
    if (!machine->report_waiting || event->ticket != machine->report_ticket)
        return;
    machine->report_waiting = false;
    if (event->allowed || machine->report_due || machine->report_tries >= COVEY_CLIENT_REPORT_TRIES)
        return;
    machine->report_due = true;
    machine->report_at_ms =
        covey_client_later(now_ms, covey_client_pause_ms(machine, machine->report_tries, event->wait_ms));
}

void covey_client_advance_report(struct covey_client_round *machine, uint64_t now_ms,
                                 struct covey_client_actions *actions)
{
    if (!machine->report_due || machine->report_waiting || machine->link != COVEY_CLIENT_READY ||
        now_ms < machine->report_at_ms)
        return;
    machine->report_due = false;
    machine->report_waiting = true;
    machine->report_tries++;
    covey_client_act(actions, COVEY_CLIENT_REPORT)->ticket = ++machine->report_ticket;
}
