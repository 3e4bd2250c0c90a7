/* Parts of the round machine (covey/client_round.h) that its files share. Pure, as all of it. */
#ifndef COVEY_CLIENT_STRANDS_H
#define COVEY_CLIENT_STRANDS_H

#include <assert.h>
#include <string.h>

#include "covey/client_round.h"

static inline struct covey_client_action *covey_client_act(struct covey_client_actions *actions,
                                                           enum covey_client_action_kind kind)
{
    assert(actions->count < COVEY_CLIENT_ACTIONS);
    struct covey_client_action *action = &actions->items[actions->count++];
    *action = (struct covey_client_action){.kind = kind};
    return action;
}

static inline uint64_t covey_client_later(uint64_t now_ms, uint64_t wait_ms)
{
    return wait_ms > UINT64_MAX - 1 - now_ms ? UINT64_MAX - 1 : now_ms + wait_ms;
}

static inline bool covey_client_same(const struct covey_assignment_id *a, const struct covey_assignment_id *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Doubles with every failure up to the limit, the upper half of it drawn; at least wait_ms. */
uint64_t covey_client_pause_ms(struct covey_client_round *machine, uint32_t failures, uint32_t wait_ms);

/* ---- the account of an update ---- */

/* The encoded update is the one of this work. */
bool covey_client_is_ready(const struct covey_client_round *machine);
/* It went out, it is not being sent, and nobody told what became of it. */
bool covey_client_is_undecided(const struct covey_client_round *machine);
/* UPLOAD_TOLD; true: the server has it, it is to be counted. */
bool covey_client_hear_account(struct covey_client_round *machine, const struct covey_client_event *event,
                               uint64_t now_ms);
void covey_client_advance_account(struct covey_client_round *machine, uint64_t now_ms,
                                  struct covey_client_actions *actions);

/* ---- reports ---- */

bool covey_client_has_report(const struct covey_client_round *machine);
void covey_client_make_report_due(struct covey_client_round *machine, uint64_t now_ms);
/* Once for an assignment: the round need not wait for us. */
void covey_client_tell_failure(struct covey_client_round *machine, uint64_t now_ms);
void covey_client_hear_reported(struct covey_client_round *machine, const struct covey_client_event *event,
                                uint64_t now_ms);
void covey_client_advance_report(struct covey_client_round *machine, uint64_t now_ms,
                                 struct covey_client_actions *actions);

#endif
