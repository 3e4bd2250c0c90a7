/* The device's round machine: what it does step by step. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "round_rig.h"

#define END COVEY_CLIENT_FINISH + 1 /* of a list of expected actions */

static void expect_list(const struct rig *rig, int line, const int *kinds)
{
    uint32_t count = 0;
    while (kinds[count] != END)
        count++;
    cr_assert(rig->actions.count == count, "line %d: %u actions, not %u (the first is %d)", line,
              rig->actions.count, count, rig->actions.count > 0 ? (int)rig->actions.items[0].kind : -1);
    for (uint32_t i = 0; i < count; i++)
        cr_assert((int)rig->actions.items[i].kind == kinds[i], "line %d: action %u is %d, not %d", line, i,
                  rig->actions.items[i].kind, kinds[i]);
}
#define expect(rig, ...) expect_list(rig, __LINE__, (const int[]){__VA_ARGS__ __VA_OPT__(, ) END})

/* Up to an observed plan. */
static struct rig connected(struct covey_client_rules rules, const struct covey_plan *plan)
{
    struct rig rig = begin(rules);
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    feed_plan(&rig, plan);
    return rig;
}

/* Up to an update that is being sent. */
static struct rig sending(struct covey_client_rules rules)
{
    const struct covey_plan plan = training_plan(1);
    struct rig rig = connected(rules, &plan);
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    feed_kind(&rig, COVEY_CLIENT_TRAINED);
    cr_assert(rig.machine.work == COVEY_WORK_SEND && rig.machine.waiting);
    return rig;
}

Test(client_round, a_round_as_it_should_be)
{
    const struct covey_plan first = training_plan(1), second = training_plan(2);
    struct rig rig = begin(usual_rules());
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_CONNECT);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    expect(&rig, COVEY_CLIENT_ASK_WHERE);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    expect(&rig, COVEY_CLIENT_OBSERVE);
    feed_plan(&rig, &waiting);
    expect(&rig);
    feed_plan(&rig, &first);
    expect(&rig, COVEY_CLIENT_FETCH);
    feed_plan(&rig, &first); /* said twice */
    expect(&rig);
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    expect(&rig, COVEY_CLIENT_PERMIT);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    expect(&rig, COVEY_CLIENT_TRAIN);
    feed_kind(&rig, COVEY_CLIENT_TRAINED);
    expect(&rig, COVEY_CLIENT_SEND);
    feed_plan(&rig, &waiting); /* recorded, the answer still on its way */
    expect(&rig);
    feed_kind(&rig, COVEY_CLIENT_SENT);
    expect(&rig);
    cr_assert(rig.machine.done == 1 && rig.machine.work == COVEY_WORK_NONE);
    feed_plan(&rig, &first); /* an old push: that assignment is over for us */
    expect(&rig);
    feed_plan(&rig, &second);
    expect(&rig, COVEY_CLIENT_FETCH);
}

Test(client_round, a_shard_of_its_own)
{
    struct rig rig = begin(usual_rules());
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed(&rig, (struct covey_client_event){.kind = COVEY_CLIENT_WHERE, .port = 5690});
    expect(&rig, COVEY_CLIENT_DISCONNECT, COVEY_CLIENT_CONNECT);
    cr_assert(rig.actions.items[1].port == 5690);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    expect(&rig, COVEY_CLIENT_OBSERVE);
    feed_plan(&rig, &waiting);
    /* lost: the shard is tried again; that failed: the well-known port is asked */
    feed_kind(&rig, COVEY_CLIENT_LINK_DOWN);
    expect(&rig);
    rig.now_ms = rig.machine.link_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_CONNECT);
    cr_assert(rig.actions.items[0].port == 5690);
    feed_kind(&rig, COVEY_CLIENT_LINK_DOWN);
    rig.now_ms = rig.machine.link_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_CONNECT);
    cr_assert(rig.actions.items[0].port == 0);
}

Test(client_round, pauses_double_up_to_the_limit_and_begin_anew)
{
    struct covey_client_rules rules = usual_rules();
    struct rig rig = begin(rules);
    uint64_t span = rules.reconnect_ms;
    for (int i = 0; i < 20; i++) {
        feed_kind(&rig, COVEY_CLIENT_TICK);
        expect(&rig, COVEY_CLIENT_CONNECT);
        feed_kind(&rig, COVEY_CLIENT_LINK_DOWN);
        uint64_t pause = rig.machine.link_at_ms - rig.now_ms;
        cr_assert(pause >= span / 2 && pause <= span, "try %d: %llu ms", i, (unsigned long long)pause);
        cr_assert(covey_client_round_next_ms(&rig.machine) == rig.machine.link_at_ms);
        rig.now_ms = rig.machine.link_at_ms - 1;
        feed_kind(&rig, COVEY_CLIENT_TICK);
        expect(&rig);
        rig.now_ms++;
        span = span * 2 > rules.reconnect_limit_ms ? rules.reconnect_limit_ms : span * 2;
    }
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    feed_plan(&rig, &waiting); /* only a plan proves that all is well */
    feed_kind(&rig, COVEY_CLIENT_LINK_DOWN);
    cr_assert(rig.machine.link_at_ms - rig.now_ms <= rules.reconnect_ms);
}

Test(client_round, silence_makes_the_observation_anew)
{
    struct rig rig = connected(usual_rules(), &waiting);
    uint64_t heard = rig.now_ms;
    rig.now_ms = rig.machine.ask_at_ms;
    cr_assert(rig.now_ms >= heard + 50000 && rig.now_ms <= heard + 56000);
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_ASK_PLAN);
    feed_plan(&rig, &waiting);
    rig.machine.ask_at_ms = UINT64_MAX - 1; /* as if the server had said: not before long */
    rig.now_ms = rig.machine.anew_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_OBSERVE);
    rig.now_ms += COVEY_CLIENT_ASK_MS; /* no answer to that either: the link is dead */
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_DISCONNECT);
    rig.now_ms = rig.machine.link_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_CONNECT);
}

Test(client_round, an_unanswered_question_costs_the_link)
{
    struct rig rig = connected(usual_rules(), &waiting);
    rig.now_ms = rig.machine.ask_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_ASK_PLAN);
    rig.now_ms += COVEY_CLIENT_ASK_MS;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_DISCONNECT);
}

Test(client_round, training_goes_on_while_the_link_is_away)
{
    const struct covey_plan plan = training_plan(1);
    struct rig rig = connected(usual_rules(), &plan);
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    expect(&rig, COVEY_CLIENT_TRAIN);
    feed_kind(&rig, COVEY_CLIENT_LINK_DOWN);
    expect(&rig);
    feed_kind(&rig, COVEY_CLIENT_TRAINED);
    expect(&rig); /* nowhere to send it yet */
    cr_assert(rig.machine.work == COVEY_WORK_SEND && !rig.machine.waiting);
    rig.now_ms = rig.machine.link_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_CONNECT);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    expect(&rig, COVEY_CLIENT_OBSERVE);
    feed_plan(&rig, &plan);
    expect(&rig, COVEY_CLIENT_SEND);
}

Test(client_round, a_newer_plan_stops_useless_work)
{
    const struct covey_plan first = training_plan(1), second = training_plan(2);
    struct rig rig = connected(usual_rules(), &first);
    uint32_t old_ticket = rig.machine.ticket;
    feed_plan(&rig, &second);
    expect(&rig, COVEY_CLIENT_DROP, COVEY_CLIENT_FETCH);
    cr_assert(rig.actions.items[0].sure);
    struct covey_client_event late = {.kind = COVEY_CLIENT_FETCHED, .ticket = old_ticket};
    covey_client_round_step(&rig.machine, &late, rig.now_ms, &rig.actions);
    expect(&rig); /* of the work that was dropped */
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    expect(&rig, COVEY_CLIENT_TRAIN);
    feed_plan(&rig, &waiting); /* the round closed without us */
    expect(&rig, COVEY_CLIENT_DROP);
    cr_assert(rig.machine.work == COVEY_WORK_NONE);
}

Test(client_round, work_ends_at_its_deadline)
{
    struct rig rig = sending(usual_rules());
    rig.now_ms += 600000;
    rig.machine.ask_at_ms = rig.machine.anew_at_ms = UINT64_MAX - 1;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig); /* what is in flight may still be taken */
    rig.now_ms += 30000;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_DROP, COVEY_CLIENT_ASK_UPLOAD);
    cr_assert(!rig.actions.items[0].sure, "the server may have it");
    const struct covey_plan plan = training_plan(1);
    feed_plan(&rig, &plan);
    expect(&rig);
}

Test(client_round, an_upload_that_failed_is_sent_again)
{
    struct rig rig = sending(usual_rules());
    feed(&rig, (struct covey_client_event){
                   .kind = COVEY_CLIENT_SEND_FAILED, .failure = COVEY_FAILURE_LATER, .wait_ms = 5000});
    expect(&rig);
    cr_assert(covey_client_round_next_ms(&rig.machine) == rig.now_ms + 5000);
    rig.now_ms += 5000;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_SEND);
    feed(&rig, (struct covey_client_event){.kind = COVEY_CLIENT_SEND_FAILED, .failure = COVEY_FAILURE_FINAL});
    expect(&rig);
    cr_assert(rig.machine.work == COVEY_WORK_NONE && rig.machine.done == 0);
    const struct covey_plan plan = training_plan(1);
    feed_plan(&rig, &plan); /* refused for good: not even when it is offered again */
    expect(&rig);
}

Test(client_round, an_encoded_update_survives_a_restart)
{
    const struct covey_plan plan = training_plan(5), other = training_plan(6);
    for (int same = 0; same < 2; same++) {
        struct rig rig = {.now_ms = 10};
        struct covey_client_rules rules = usual_rules();
        covey_client_round_init(&rig.machine, &rules, 0, &plan.assignment);
        feed_kind(&rig, COVEY_CLIENT_TICK);
        feed_kind(&rig, COVEY_CLIENT_LINK_UP);
        feed_kind(&rig, COVEY_CLIENT_WHERE);
        feed_plan(&rig, same ? &plan : &other);
        if (same)
            expect(&rig, COVEY_CLIENT_SEND);
        else
            expect(&rig, COVEY_CLIENT_FETCH, COVEY_CLIENT_ASK_UPLOAD);
        cr_assert(!same || rig.actions.items[0].again, "the server may have some of it");
    }
}

/* ------------------------------------------------------------------ the account of an update */

static void feed_fate(struct rig *rig, enum covey_client_fate fate)
{
    feed(rig, (struct covey_client_event){.kind = COVEY_CLIENT_UPLOAD_TOLD, .fate = fate});
}

/* Started again with an update of assignment 5 in its state, and a plan. */
static struct rig restarted(const struct covey_plan *plan)
{
    const struct covey_client_rules rules = usual_rules();
    const struct covey_assignment_id old = {{5}};
    struct rig rig = {.now_ms = 10};
    covey_client_round_init(&rig.machine, &rules, 0, &old);
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    feed_plan(&rig, plan);
    return rig;
}

Test(client_round, nothing_is_trained_before_the_last_update_is_accounted_for)
{
    static const enum covey_client_fate fates[] = {COVEY_FATE_TAKEN, COVEY_FATE_NOT_TAKEN,
                                                   COVEY_FATE_UNKNOWN};
    const struct covey_plan plan = training_plan(6);
    for (size_t i = 0; i < sizeof fates / sizeof *fates; i++) {
        struct rig rig = restarted(&plan);
        expect(&rig, COVEY_CLIENT_FETCH, COVEY_CLIENT_ASK_UPLOAD);
        feed_kind(&rig, COVEY_CLIENT_FETCHED);
        expect(&rig, COVEY_CLIENT_PERMIT);
        feed_kind(&rig, COVEY_CLIENT_PERMISSION);
        expect(&rig); /* which residual holds? */
        cr_assert(covey_client_round_next_ms(&rig.machine) > rig.now_ms, "it spins");
        feed_fate(&rig, COVEY_FATE_LATER);
        expect(&rig);
        const uint64_t next = covey_client_round_next_ms(&rig.machine);
        cr_assert(next >= rig.now_ms + 500 && next <= rig.now_ms + 1000);
        rig.now_ms = next;
        feed_kind(&rig, COVEY_CLIENT_TICK);
        expect(&rig, COVEY_CLIENT_ASK_UPLOAD);
        feed_fate(&rig, fates[i]);
        expect(&rig, COVEY_CLIENT_TRAIN);
        cr_assert(rig.machine.done == (fates[i] == COVEY_FATE_TAKEN), "an update that was taken counts");
        feed_fate(&rig, COVEY_FATE_TAKEN); /* a late repeat */
        expect(&rig);
        cr_assert(rig.machine.done == (fates[i] == COVEY_FATE_TAKEN));
    }
}

Test(client_round, an_update_is_accounted_for_while_there_is_nothing_to_do)
{
    struct rig rig = restarted(&waiting);
    expect(&rig, COVEY_CLIENT_ASK_UPLOAD);
    feed_kind(&rig, COVEY_CLIENT_LINK_DOWN); /* no answer comes any more */
    expect(&rig);
    rig.now_ms = rig.machine.link_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    feed_plan(&rig, &waiting);
    expect(&rig, COVEY_CLIENT_ASK_UPLOAD);
    const struct covey_plan same = training_plan(5);
    feed_plan(&rig, &same); /* it is wanted after all: its own answer tells all */
    expect(&rig, COVEY_CLIENT_SEND);
    cr_assert(rig.actions.items[0].again);
    feed_fate(&rig, COVEY_FATE_NOT_TAKEN); /* of the question before */
    expect(&rig);
    feed_kind(&rig, COVEY_CLIENT_SENT);
    expect(&rig);
    cr_assert(rig.machine.done == 1 && !rig.machine.has_ready);
}

Test(client_round, a_newer_plan_in_mid_upload_asks_what_became_of_it)
{
    const struct covey_plan second = training_plan(2);
    struct rig rig = sending(usual_rules());
    cr_assert(!rig.actions.items[0].again, "the first time");
    feed_plan(&rig, &second);
    expect(&rig, COVEY_CLIENT_DROP, COVEY_CLIENT_FETCH, COVEY_CLIENT_ASK_UPLOAD);
    cr_assert(!rig.actions.items[0].sure && rig.machine.ready.bytes[0] == 1);
}

Test(client_round, an_update_that_never_went_out_needs_no_account)
{
    const struct covey_plan plan = training_plan(1), second = training_plan(2);
    struct rig rig = connected(usual_rules(), &plan);
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    feed_kind(&rig, COVEY_CLIENT_LINK_DOWN);
    feed_kind(&rig, COVEY_CLIENT_TRAINED);
    rig.now_ms = rig.machine.link_at_ms;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    feed_plan(&rig, &second);
    expect(&rig, COVEY_CLIENT_DROP, COVEY_CLIENT_FETCH);
    cr_assert(rig.actions.items[0].sure && !rig.machine.has_ready);
}

Test(client_round, polling_stays_for_the_account)
{
    const struct covey_assignment_id old = {{5}};
    struct covey_client_rules rules = usual_rules();
    rules.mode = COVEY_MODE_POLL;
    struct rig rig = {.now_ms = 10};
    covey_client_round_init(&rig.machine, &rules, 0, &old);
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    feed_plan(&rig, &waiting);
    expect(&rig, COVEY_CLIENT_ASK_UPLOAD);
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig);
    feed_fate(&rig, COVEY_FATE_TAKEN);
    expect(&rig, COVEY_CLIENT_DISCONNECT);
}

/* ------------------------------------------------------------------ reports */

Test(client_round, a_round_is_reported)
{
    struct covey_client_rules rules = usual_rules();
    rules.report = true;
    struct rig rig = sending(rules);
    feed_kind(&rig, COVEY_CLIENT_SENT);
    expect(&rig, COVEY_CLIENT_REPORT);
    for (int i = 1; i < COVEY_CLIENT_REPORT_TRIES; i++) {
        feed(&rig, (struct covey_client_event){.kind = COVEY_CLIENT_REPORTED, .allowed = false});
        expect(&rig);
        rig.now_ms = covey_client_round_next_ms(&rig.machine);
        feed_kind(&rig, COVEY_CLIENT_TICK);
        expect(&rig, COVEY_CLIENT_REPORT);
    }
    feed(&rig, (struct covey_client_event){.kind = COVEY_CLIENT_REPORTED, .allowed = false});
    rig.now_ms = rig.machine.ask_at_ms - 1;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig); /* let go */
}

Test(client_round, what_fails_is_reported_once)
{
    struct covey_client_rules rules = usual_rules();
    const struct covey_plan plan = training_plan(1);
    for (int report = 0; report < 2; report++) {
        rules.report = report;
        struct rig rig = connected(rules, &plan);
        feed_kind(&rig, COVEY_CLIENT_FETCHED);
        feed_kind(&rig, COVEY_CLIENT_PERMISSION);
        for (int i = 0; i < 3; i++) {
            feed(&rig, (struct covey_client_event){.kind = COVEY_CLIENT_TRAIN_FAILED,
                                                   .failure = COVEY_FAILURE_LATER});
            if (report && i == 0)
                expect(&rig, COVEY_CLIENT_REPORT);
            else
                expect(&rig);
            feed_kind(&rig, COVEY_CLIENT_REPORTED);
            rig.now_ms = rig.machine.work_at_ms;
            feed_kind(&rig, COVEY_CLIENT_TICK);
            expect(&rig, COVEY_CLIENT_TRAIN);
        }
        feed_kind(&rig, COVEY_CLIENT_TRAINED); /* it came after all */
        expect(&rig, COVEY_CLIENT_SEND);
    }
}

Test(client_round, the_end_waits_for_the_last_report_but_not_for_ever)
{
    struct covey_client_rules rules = usual_rules();
    rules.report = true;
    rules.stop_after = 1;
    for (int answered = 0; answered < 2; answered++) {
        struct rig rig = sending(rules);
        feed_kind(&rig, COVEY_CLIENT_SENT);
        expect(&rig, COVEY_CLIENT_REPORT);
        const struct covey_plan second = training_plan(2);
        feed_plan(&rig, &second);
        expect(&rig); /* no new work any more */
        if (answered) {
            feed_kind(&rig, COVEY_CLIENT_REPORTED);
        } else {
            cr_assert(covey_client_round_next_ms(&rig.machine) == rig.now_ms + COVEY_CLIENT_LEAVE_MS);
            rig.now_ms += COVEY_CLIENT_LEAVE_MS;
            feed_kind(&rig, COVEY_CLIENT_TICK);
        }
        expect(&rig, COVEY_CLIENT_DISCONNECT, COVEY_CLIENT_FINISH);
    }
}

Test(client_round, the_policy_decides)
{
    const struct covey_plan plan = training_plan(1);
    struct rig rig = connected(usual_rules(), &plan);
    rig.machine.ask_at_ms = rig.machine.anew_at_ms = UINT64_MAX - 1;
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    feed(&rig, (struct covey_client_event){.kind = COVEY_CLIENT_PERMISSION, .allowed = false});
    expect(&rig);
    rig.now_ms += COVEY_CLIENT_PERMIT_MS;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_PERMIT);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    expect(&rig, COVEY_CLIENT_TRAIN);
    rig.now_ms += COVEY_CLIENT_PERMIT_MS; /* still allowed? */
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_PERMIT);
    feed(&rig, (struct covey_client_event){.kind = COVEY_CLIENT_PERMISSION, .allowed = false});
    expect(&rig, COVEY_CLIENT_DROP);
    cr_assert(rig.machine.work == COVEY_WORK_PERMIT);
    rig.now_ms += COVEY_CLIENT_PERMIT_MS;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_PERMIT);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    expect(&rig, COVEY_CLIENT_TRAIN);
}

Test(client_round, polling_sleeps_between)
{
    struct covey_client_rules rules = usual_rules();
    const struct covey_plan plan = training_plan(1);
    rules.mode = COVEY_MODE_POLL;
    struct rig rig = begin(rules);
    feed_kind(&rig, COVEY_CLIENT_TICK);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    expect(&rig, COVEY_CLIENT_ASK_PLAN);
    feed_plan(&rig, &waiting);
    expect(&rig, COVEY_CLIENT_DISCONNECT);
    uint64_t wake = covey_client_round_next_ms(&rig.machine);
    cr_assert(wake >= rig.now_ms + 50000 && wake <= rig.now_ms + 56000);
    feed_kind(&rig, COVEY_CLIENT_LINK_DOWN); /* the transport's own word on that: nothing new */
    expect(&rig);
    rig.now_ms = wake;
    feed_kind(&rig, COVEY_CLIENT_TICK);
    expect(&rig, COVEY_CLIENT_CONNECT);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    feed_kind(&rig, COVEY_CLIENT_WHERE);
    feed_plan(&rig, &plan);
    expect(&rig, COVEY_CLIENT_FETCH);
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    feed_kind(&rig, COVEY_CLIENT_PERMISSION);
    feed_kind(&rig, COVEY_CLIENT_TRAINED);
    expect(&rig, COVEY_CLIENT_SEND);
    feed_kind(&rig, COVEY_CLIENT_SENT);
    expect(&rig, COVEY_CLIENT_ASK_PLAN); /* what next? */
    feed_plan(&rig, &waiting);
    expect(&rig, COVEY_CLIENT_DISCONNECT);
}

Test(client_round, ends)
{
    struct covey_client_rules rules = usual_rules();
    rules.stop_after = 1;
    struct rig rig = sending(rules);
    feed_kind(&rig, COVEY_CLIENT_SENT);
    expect(&rig, COVEY_CLIENT_DISCONNECT, COVEY_CLIENT_FINISH);
    cr_assert(rig.machine.finished && covey_client_round_next_ms(&rig.machine) == COVEY_CLIENT_NO_TIMER);
    feed_kind(&rig, COVEY_CLIENT_LINK_UP);
    expect(&rig);

    rules = usual_rules();
    rules.exit_when_done = true;
    rig = connected(rules, &done);
    expect(&rig, COVEY_CLIENT_DISCONNECT, COVEY_CLIENT_FINISH);

    rules.keep_last = true;
    rig = connected(rules, &done);
    expect(&rig, COVEY_CLIENT_FETCH);
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    expect(&rig, COVEY_CLIENT_DISCONNECT, COVEY_CLIENT_FINISH);

    rules.exit_when_done = false;
    rig = connected(rules, &done);
    feed_kind(&rig, COVEY_CLIENT_FETCHED);
    expect(&rig);
    const struct covey_plan plan = training_plan(3); /* it was opened again */
    feed_plan(&rig, &plan);
    expect(&rig, COVEY_CLIENT_FETCH);

    rig = sending(usual_rules());
    feed_kind(&rig, COVEY_CLIENT_STOP);
    expect(&rig, COVEY_CLIENT_DROP, COVEY_CLIENT_DISCONNECT, COVEY_CLIENT_FINISH);
    cr_assert(!rig.actions.items[0].sure);
}
