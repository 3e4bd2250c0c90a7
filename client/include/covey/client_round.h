/* The device's round machine, pure: (state, event, now) -> actions. No I/O, no clock, no allocation: the
 * daemon, the simulator and the fault tests run the same one. Strands that move apart, for work goes on while
 * a link is away:
 *
 *   link     DOWN --pause over--> CONNECTING --up--> LOCATING --here--> ASKING --plan--> READY
 *              ^                                        | elsewhere: connect there          |
 *              +---------------- lost, refused, silent -+-----------------------------------+
 *            poll mode: READY --nothing to do--> ASLEEP --time to ask--> CONNECTING
 *
 *   work     NONE --assignment--> FETCH --model is here--> PERMIT --policy allows--> TRAIN --trained--> SEND
 *            --acknowledged--> NONE; any of them --newer plan, deadline, refused for good--> NONE
 *
 *   account  an update went out and nobody told what became of it (the device or the server died, the link
 *            was lost, a newer plan came): ASK_UPLOAD until the server says. Nothing is trained before, for
 *            what error feedback kept back depends on the answer.
 *
 *   report   how a round went, or why it will not be delivered: REPORT, with no influence on the others
 *
 * The driver performs each action and answers with the event named beside it, sooner or later; while an
 * answer is missing the machine does not ask for the same again. Work actions carry a ticket: an answer with
 * another ticket belongs to work that was dropped, and is ignored. It never gives up: every failure ends in a
 * new try, after a pause that doubles up to a limit, with jitter from (seed, device). One thread a machine.
 */
#ifndef COVEY_CLIENT_ROUND_H
#define COVEY_CLIENT_ROUND_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/client_config.h"
#include "covey/messages.h"
#include "covey/random.h"

#define COVEY_CLIENT_ACTIONS 8 /* of one step, at the most */
#define COVEY_CLIENT_NO_TIMER UINT64_MAX
#define COVEY_CLIENT_ASK_MS 30000        /* an unanswered request for a plan: the link counts as lost */
#define COVEY_CLIENT_HEARTBEAT_MS 300000 /* when a plan does not say */
#define COVEY_CLIENT_RETRY_MS 60000      /* likewise */
#define COVEY_CLIENT_PERMIT_MS 30000     /* between two looks at the policy */
#define COVEY_CLIENT_REPORT_TRIES 3      /* of one report, then it is let go */
#define COVEY_CLIENT_LEAVE_MS 2000       /* that a last report may hold up the end */

struct covey_client_rules {
    enum covey_link_mode mode;
    uint64_t seed, device; /* of the jitter */
    uint32_t reconnect_ms, reconnect_limit_ms;
    uint32_t stop_after; /* updates acknowledged; 0 = never */
    bool exit_when_done;
    bool keep_last; /* fetch the last model of a federation that has ended */
    bool report;    /* tell the server how rounds went */
};

enum covey_client_event_kind {
    COVEY_CLIENT_TICK,         /* time passed */
    COVEY_CLIENT_LINK_UP,      /* the peer has proved who it is */
    COVEY_CLIENT_LINK_DOWN,    /* the attempt failed, or the link was lost */
    COVEY_CLIENT_WHERE,        /* after ASK_WHERE: port, or 0: the server does not say */
    COVEY_CLIENT_PLAN,         /* pushed, or an answer */
    COVEY_CLIENT_PLAN_FAILED,  /* after OBSERVE or ASK_PLAN: no plan; wait_ms: what the server said, or 0 */
    COVEY_CLIENT_FETCHED,      /* after FETCH: the plan's model is installed */
    COVEY_CLIENT_FETCH_FAILED, /* after FETCH: failure says whether it is worth another try */
    COVEY_CLIENT_PERMISSION,   /* after PERMIT: allowed or not */
    COVEY_CLIENT_TRAINED,      /* after TRAIN: the update is encoded and durable */
    COVEY_CLIENT_TRAIN_FAILED, /* after TRAIN */
    COVEY_CLIENT_SENT,         /* after SEND: the server has it for good */
    COVEY_CLIENT_SEND_FAILED,  /* after SEND */
    COVEY_CLIENT_UPLOAD_TOLD,  /* after ASK_UPLOAD: fate */
    COVEY_CLIENT_REPORTED,     /* after REPORT: allowed says whether the server has it */
    COVEY_CLIENT_STOP,         /* finish: SIGTERM */
    COVEY_CLIENT_EVENT_KINDS
};

enum covey_client_failure {
    COVEY_FAILURE_LATER, /* network, a busy server, a full disk: try again */
    COVEY_FAILURE_FINAL  /* a bad signature, an update refused: this assignment is over */
};

/* What became of an update. */
enum covey_client_fate {
    COVEY_FATE_LATER,     /* not decided yet, or no answer: ask again */
    COVEY_FATE_TAKEN,     /* the server has it for good */
    COVEY_FATE_NOT_TAKEN, /* certainly not, and it cannot be any more */
    COVEY_FATE_UNKNOWN    /* the server does not know this assignment any more */
};

struct covey_client_event {
    enum covey_client_event_kind kind;
    uint32_t ticket;               /* of FETCHED .. REPORTED */
    uint16_t port;                 /* WHERE */
    const struct covey_plan *plan; /* PLAN, borrowed for the call */
    enum covey_client_failure failure;
    uint32_t wait_ms;            /* of failures: not before; 0 = the machine's own pause */
    bool allowed;                /* PERMISSION, REPORTED */
    enum covey_client_fate fate; /* UPLOAD_TOLD */
};

enum covey_client_action_kind {
    COVEY_CLIENT_CONNECT,    /* to port (0: the configured one) -> LINK_UP or LINK_DOWN */
    COVEY_CLIENT_DISCONNECT, /* no LINK_DOWN wanted */
    COVEY_CLIENT_ASK_WHERE,  /* -> WHERE */
    COVEY_CLIENT_OBSERVE,    /* the plan, anew: an earlier observation ends -> PLAN or PLAN_FAILED */
    COVEY_CLIENT_ASK_PLAN,   /* once -> PLAN or PLAN_FAILED */
    COVEY_CLIENT_FETCH,      /* the model of `plan` -> FETCHED or FETCH_FAILED */
    COVEY_CLIENT_PERMIT,     /* look at the policy -> PERMISSION */
    COVEY_CLIENT_TRAIN,      /* for `plan` -> TRAINED or TRAIN_FAILED */
    COVEY_CLIENT_SEND,       /* the update of `plan` -> SENT or SEND_FAILED */
    COVEY_CLIENT_ASK_UPLOAD, /* what became of the update of `ready`? -> UPLOAD_TOLD */
    COVEY_CLIENT_REPORT,     /* how the last round went -> REPORTED */
    COVEY_CLIENT_DROP,       /* stop whatever work is under way; sure: the update was certainly not taken */
    COVEY_CLIENT_FINISH      /* leave the loop */
};

struct covey_client_action {
    enum covey_client_action_kind kind;
    uint32_t ticket; /* of FETCH .. REPORT: give it back */
    uint16_t port;   /* CONNECT */
    bool sure;       /* DROP */
    bool again;      /* SEND: it went out before, the server may have some of it, or all */
};

struct covey_client_actions {
    uint32_t count;
    struct covey_client_action items[COVEY_CLIENT_ACTIONS];
};

enum covey_client_link {
    COVEY_CLIENT_DOWN,
    COVEY_CLIENT_CONNECTING,
    COVEY_CLIENT_LOCATING,
    COVEY_CLIENT_ASKING,
    COVEY_CLIENT_READY,
    COVEY_CLIENT_ASLEEP
};
enum covey_client_work {
    COVEY_WORK_NONE,
    COVEY_WORK_FETCH,
    COVEY_WORK_PERMIT,
    COVEY_WORK_TRAIN,
    COVEY_WORK_SEND
};

/* The caller's storage; fields are read by the driver (plan, link, work) and by tests. */
struct covey_client_round {
    struct covey_client_rules rules;
    struct covey_random random;
    enum covey_client_link link;
    enum covey_client_work work;
    bool waiting; /* work's action is with the driver */
    bool finished;
    bool last_model;                    /* the work is only to fetch the last model */
    bool asked;                         /* ASK_PLAN is with the driver */
    struct covey_plan plan;             /* of the work, if there is any */
    struct covey_assignment_id settled; /* the last assignment that is over for us */
    bool has_settled;
    bool has_ready; /* `ready`'s update is encoded and durable: it is sent, not trained again */
    struct covey_assignment_id ready;
    bool offered; /* `ready` went out at least once: the server may have it */
    bool account_waiting, report_due, report_waiting; /* waiting: the action is with the driver */
    bool failure_told;                                /* of this assignment, the server was or will be told */
    bool leaving;                                     /* the end waits for a last report */
    uint16_t shard_port;                              /* that GET where named; 0 = unknown */
    uint16_t connect_port;                            /* of the present connection */
    uint32_t ticket, failures, work_failures, done;
    uint32_t account_ticket, account_failures, report_ticket, report_tries;
    uint64_t link_at_ms;  /* DOWN, ASLEEP: connect then. CONNECTING .. ASKING: too late then */
    uint64_t heard_ms;    /* a plan came */
    uint64_t anew_at_ms;  /* make the observation anew */
    uint64_t ask_at_ms;   /* ask for the plan */
    uint64_t asked_at_ms; /* when ASK_PLAN went out */
    uint64_t work_at_ms;  /* the work's next try */
    uint64_t deadline_ms; /* of the work; COVEY_CLIENT_NO_TIMER: none */
    uint64_t account_at_ms, report_at_ms; /* next try */
    uint64_t leave_at_ms;                 /* leaving: then at the latest */
};

/* shard_port: remembered from before, or 0. ready: an assignment whose encoded update is in the state, or
 * NULL; whether it went out, or was even taken, is not known then. */
void covey_client_round_init(struct covey_client_round *machine, const struct covey_client_rules *rules,
                             uint16_t shard_port, const struct covey_assignment_id *ready);

/* now_ms: monotonic, never falls. actions: overwritten. The first step, with TICK, begins to connect. */
void covey_client_round_step(struct covey_client_round *machine, const struct covey_client_event *event,
                             uint64_t now_ms, struct covey_client_actions *actions);

/* When the next TICK is due at the latest; COVEY_CLIENT_NO_TIMER: only an event will move it. */
uint64_t covey_client_round_next_ms(const struct covey_client_round *machine);

const char *covey_client_link_name(enum covey_client_link link);
const char *covey_client_work_name(enum covey_client_work work);

#endif
