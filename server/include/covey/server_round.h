/* The server's round machine, pure: (state, event, now) -> actions. It does no I/O, reads no clock and
 * allocates only in create, so the daemon, the simulator and the fault tests run the same one.
 *
 *   GATHER --enough devices--> OPENING --cohort recorded--> UPDATE --goal, deadline, nobody left--> CLOSING
 * --stored--+ ^                           |                            | |
 *     |<------- abandoned --------+--------- too few ----------+         JUDGING <--- a stop rule needs a
 * metric -----+
 *     |<------------------------------------------------------------------+-----------------------------------------+
 *                                                        ENDED <--- rounds, target, plateau, failure
 *
 * The driver performs each action and answers with the event named beside it. An answer to an earlier round,
 * a second answer, an event that does not fit the phase: ignored and counted, never an error, for the network
 * repeats things.
 *
 * The phases are a table (server_round.c), each a set of functions; a secure sum will be more rows. One
 * thread a machine. */
#ifndef COVEY_SERVER_ROUND_H
#define COVEY_SERVER_ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "covey/limits.h"
#include "covey/selection.h"
#include "covey/status.h"

#define COVEY_ROUND_ACTIONS 4         /* of one step, at the most */
#define COVEY_ROUND_STORE_ATTEMPTS 10 /* then the federation ends, failed */
#define COVEY_ROUND_BACKOFF_MS 300000 /* between two tries of anything, at the most */
#define COVEY_ROUND_NO_TIMER UINT64_MAX

/* How rounds follow each other.
 *
 *   synchronous   a round chooses its cohort, waits for it, and aggregates (FedAvg)
 *   asynchronous  a round is a buffer: `concurrency` devices have work at once, and whenever `buffer` of them
 *                 have delivered, their updates make the next model, whatever model each started from
 *                 (FedBuff: Nguyen et al. 2022; FedAsync, Xie et al. 2019, is a buffer of one). Free places
 *                 are given away when a buffer opens, so that who begins has the newest model there is. */
enum covey_round_mode { COVEY_ROUND_SYNCHRONOUS, COVEY_ROUND_ASYNCHRONOUS };

#define COVEY_STALENESS_MAX 255 /* rounds that an assignment may outlive its own */

/* What the configuration says. Plain data; may be replaced between steps (SIGHUP): an open round keeps its
 * goal and deadline. */
struct covey_round_rules {
    enum covey_round_mode mode;
    uint32_t buffer;        /* asynchronous: updates that make a model */
    uint32_t concurrency;   /* asynchronous: devices that have work at once, at the most */
    uint32_t staleness_max; /* rounds that an assignment outlives its own; what comes later is refused */
    bool late_use; /* synchronous: an update that misses its round is folded into the open one, as above */

    uint32_t minimum_devices; /* available before a round opens; at least 1 */
    uint32_t count;           /* devices to choose; 0 = by fraction */
    double fraction;          /* of those available, (0, 1]; at least one device */
    double over_selection;    /* .2 = choose a fifth more than count or fraction say, for those who will not
                                 deliver */
    struct covey_selection selection; /* who they are */
    uint32_t goal;                    /* updates that close a round; 0 = as many as count or fraction say */
    uint32_t minimum_updates;         /* fewer at the deadline: abandoned; 0 = half the goal, rounded up */
    uint32_t least_updates;           /* and never fewer than these, which the strategy needs */
    uint32_t deadline_ms;             /* of one round, from its opening */
    uint32_t pause_ms;                /* between rounds; doubled after each one abandoned in a row */

    uint32_t stop_rounds; /* completed ones; 0 = never for that */
    bool has_target;
    double stop_target;     /* reached by the watched value */
    uint32_t stop_patience; /* rounds without a gain of more than stop_gain; 0 = never for that */
    double stop_gain;
    bool lower_is_better; /* of the watched value: a loss, not an accuracy */
    bool can_judge;       /* there is something to evaluate on */
};

/* An assignment outlives its round: what comes late is used. */
bool covey_round_rules_last(const struct covey_round_rules *rules);
/* How long a device has for its assignment: a round's deadline, or so many of them as it may outlive. */
uint32_t covey_round_rules_device_ms(const struct covey_round_rules *rules);
/* Updates that close a round; 0: by a fraction of those who are there. */
uint32_t covey_round_rules_cohort(const struct covey_round_rules *rules);
/* INVALID with the reason: rules that contradict each other or can never hold. */
COVEY_MUST_CHECK enum covey_status covey_round_rules_check(const struct covey_round_rules *rules,
                                                           struct covey_error *err);

enum covey_round_phase {
    COVEY_PHASE_GATHER,  /* waits for devices */
    COVEY_PHASE_OPENING, /* the driver chooses and records the cohort */
    COVEY_PHASE_UPDATE,  /* updates come in */
    COVEY_PHASE_CLOSING, /* the driver aggregates and stores */
    COVEY_PHASE_JUDGING, /* the driver evaluates, and a stop rule waits for it */
    COVEY_PHASE_ENDED,
    COVEY_PHASE_COUNT
};

enum covey_round_end {
    COVEY_END_NONE,
    COVEY_END_ROUNDS,
    COVEY_END_TARGET,
    COVEY_END_PLATEAU,
    COVEY_END_FAILED /* a model could not be stored, again and again */
};

enum covey_round_event_kind {
    COVEY_EVENT_TICK,     /* time passed, or `available` changed */
    COVEY_EVENT_OPENED,   /* after OPEN: `slots` devices have work of it, recorded; 0 = it failed */
    COVEY_EVENT_RECORDED, /* update of `slot` is durable and will be part of the aggregate */
    COVEY_EVENT_LOST,     /* `slot` will not deliver any more: withdrawn, or its update refused for good */
    COVEY_EVENT_STORED,   /* after CLOSE: the new model is stored and published */
    COVEY_EVENT_STORE_FAILED, /* after CLOSE: not; everything is as before it */
    COVEY_EVENT_JUDGED,       /* after EVALUATE: `value` is the watched one; NaN = could not be had */
    COVEY_EVENT_KINDS
};

struct covey_round_event {
    enum covey_round_event_kind kind;
    uint32_t round;     /* that it belongs to; of TICK: unused */
    uint32_t slot;      /* RECORDED, LOST: place in the cohort */
    uint32_t slots;     /* OPENED: asynchronous ones include those that were busy already */
    uint32_t available; /* TICK: devices that could be chosen now */
    uint32_t busy;      /* TICK: devices that still work for an earlier round; they are not available */
    double value;       /* JUDGED */
};

enum covey_round_action_kind {
    COVEY_ACTION_OPEN,     /* choose `choose` devices, record, publish plans -> OPENED */
    COVEY_ACTION_CLOSE,    /* take no more updates, aggregate, store, publish -> STORED or STORE_FAILED */
    COVEY_ACTION_ABANDON,  /* take no more updates, forget the sum; the model stays */
    COVEY_ACTION_EVALUATE, /* the model that `round` made -> JUDGED */
    COVEY_ACTION_END       /* `end` says why; tell all devices */
};

struct covey_round_action {
    enum covey_round_action_kind kind;
    uint32_t round;
    uint32_t choose;                  /* OPEN; asynchronous: perhaps nobody new */
    uint32_t goal;                    /* OPEN */
    struct covey_selection selection; /* OPEN: by what */
    uint32_t deadline_ms;             /* OPEN: from now */
    uint32_t done, lost;              /* CLOSE, ABANDON: of the cohort */
    enum covey_round_end end;
};

struct covey_round_actions {
    uint32_t count;
    struct covey_round_action items[COVEY_ROUND_ACTIONS];
};

struct covey_server_round;

/* slot_limit: devices in a cohort at the most (1 to COVEY_DEVICES); one byte each. Begins in GATHER with
 * round 1. */
COVEY_MUST_CHECK enum covey_status covey_server_round_create(const struct covey_round_rules *rules,
                                                             uint32_t slot_limit,
                                                             struct covey_server_round **out,
                                                             struct covey_error *err);
void covey_server_round_destroy(struct covey_server_round *machine); /* NULL is legal */

/* ---- after a restart, before the first step: the past, oldest first, then the open round if there was one
 * ---- */

/* A completed round and what it was judged by (NaN: it was not). */
void covey_server_round_replay_completed(struct covey_server_round *machine, uint32_t round, double value);
void covey_server_round_replay_abandoned(struct covey_server_round *machine, uint32_t round);

struct covey_round_resume {
    uint32_t round, slots, goal;
    uint64_t deadline_ms; /* on the clock of `now`; in the past: it closes at the first TICK */
    const uint32_t
        *done; /* (done_count) slots whose update is in the ledger, in any order; borrowed for the call */
    uint32_t done_count;
};
/* The first TICK after it decides whether the round is over. INVALID past slot_limit. */
COVEY_MUST_CHECK enum covey_status covey_server_round_resume(struct covey_server_round *machine,
                                                             const struct covey_round_resume *open,
                                                             struct covey_error *err);
/* The last completed round was never judged, and a stop rule needs it: the next step asks for it. */
void covey_server_round_resume_unjudged(struct covey_server_round *machine);

/* ---- the machine ---- */

/* now_ms: monotonic, never falls. actions: overwritten. */
void covey_server_round_step(struct covey_server_round *machine, const struct covey_round_event *event,
                             uint64_t now_ms, struct covey_round_actions *actions);

/* When the next TICK is due at the latest; COVEY_ROUND_NO_TIMER: only an event will move it. */
uint64_t covey_server_round_next_ms(const struct covey_server_round *machine);

void covey_server_round_set_rules(struct covey_server_round *machine, const struct covey_round_rules *rules);

struct covey_round_view {
    enum covey_round_phase phase;
    uint32_t round; /* the open one, or the next */
    uint32_t completed, abandoned;
    uint32_t slots, goal, done, lost; /* of the open round */
    uint32_t minimum_updates;
    uint64_t deadline_ms;
    double best; /* NaN: nothing judged yet */
    uint32_t rounds_since_best;
    uint32_t ignored_events;
    enum covey_round_end end;
};
void covey_server_round_view(const struct covey_server_round *machine, struct covey_round_view *out);

const char *covey_round_phase_name(enum covey_round_phase phase);
const char *covey_round_end_name(enum covey_round_end end); /* "rounds" "target" "plateau" "failed" */

#endif
