/* A device's round machine under test, and the plans that it is fed. */
#ifndef COVEY_TEST_ROUND_RIG_H
#define COVEY_TEST_ROUND_RIG_H

#include "covey/client_round.h"

static inline struct covey_client_rules usual_rules(void)
{
    return (struct covey_client_rules){
        .mode = COVEY_MODE_LISTEN, .seed = 7, .device = 9, .reconnect_ms = 1000, .reconnect_limit_ms = 60000};
}

static inline struct covey_plan training_plan(uint8_t assignment)
{
    return (struct covey_plan){.kind = COVEY_PLAN_TRAIN,
                               .round = assignment,
                               .assignment = {{assignment}},
                               .deadline_ms = 600000,
                               .retry_after_ms = 50000,
                               .heartbeat_ms = 100000};
}

static const struct covey_plan waiting = {
    .kind = COVEY_PLAN_WAIT, .retry_after_ms = 50000, .heartbeat_ms = 100000};
static const struct covey_plan done = {
    .kind = COVEY_PLAN_DONE, .retry_after_ms = 50000, .heartbeat_ms = 100000};

/* A machine under test with what it asked for last. */
struct rig {
    struct covey_client_round machine;
    struct covey_client_actions actions;
    uint64_t now_ms;
};

static inline void feed(struct rig *rig, struct covey_client_event event)
{
    event.ticket = event.kind == COVEY_CLIENT_UPLOAD_TOLD ? rig->machine.account_ticket
                   : event.kind == COVEY_CLIENT_REPORTED  ? rig->machine.report_ticket
                                                          : rig->machine.ticket;
    covey_client_round_step(&rig->machine, &event, rig->now_ms, &rig->actions);
}

static inline void feed_kind(struct rig *rig, enum covey_client_event_kind kind)
{
    feed(rig, (struct covey_client_event){.kind = kind, .allowed = true});
}

static inline void feed_plan(struct rig *rig, const struct covey_plan *plan)
{
    feed(rig, (struct covey_client_event){.kind = COVEY_CLIENT_PLAN, .plan = plan});
}

static inline struct rig begin(struct covey_client_rules rules)
{
    struct rig rig = {.now_ms = 1000};
    covey_client_round_init(&rig.machine, &rules, 0, NULL);
    return rig;
}

#endif
