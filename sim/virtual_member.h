/* A device of the open cohort: the client's own round machine, and what stands in for its driver: transfers
 * and training take the time that the world says, their outcome is an event of the clock. An idle device has
 * none of this: it counts as connected and observing, so its machine begins where the pushed plan finds it.
 */
#ifndef COVEY_VIRTUAL_MEMBER_H
#define COVEY_VIRTUAL_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "clock.h"
#include "covey/client_round.h"
#include "training_replay.h"
#include "virtual_crew.h"
#include "virtual_server.h"
#include "world.h"

/* Kinds of clock events. Of one device at one moment they come in this order. */
enum covey_member_event {
    COVEY_MEMBER_PLAN,
    COVEY_MEMBER_FETCHED,
    COVEY_MEMBER_FETCH_FAILED,
    COVEY_MEMBER_TRAINED,
    COVEY_MEMBER_SENT, /* the update is with the server */
    COVEY_MEMBER_SEND_FAILED,
    COVEY_MEMBER_WAKE, /* a timer of its machine */
    COVEY_MEMBER_VANISH,
    COVEY_MEMBER_SERVER /* a timer of the server's */
};

struct covey_virtual_member {
    struct covey_client_round machine;
    uint32_t device, slot;
    struct covey_virtual_device kind;
    struct covey_plan plan; /* as it was decoded */
    struct covey_crew_job *job;
    const struct covey_crew_base *base; /* that its work starts from */
    struct covey_virtual_fetch ways;    /* how it gets there from the model that it has */
    uint64_t seated_ms, deadline_ms;    /* its own: of the work */
    uint64_t plan_ms, vanish_ms;        /* UINT64_MAX: never */
    uint32_t training_ms, share;        /* share: examples that it holds */
    uint32_t fetch_tries, send_tries;
    struct covey_transfer transfer; /* under way; both parts of a fetch in one */
    uint64_t bytes_up, bytes_down;  /* of transfers that ended */
    uint64_t fetch_ms, send_ms;     /* in transfers that ended: for the model, of the update */
    bool training, gone, recorded, refused, failed;
    bool lasts; /* between two rounds: it is awaited in the next one */
};

/* What members share. Everything borrowed. */
struct covey_member_context {
    const struct covey_virtual_fleet *fleet;
    const struct covey_world *world;
    const struct covey_virtual_server *server;
    const struct covey_training_replay *replay;
    struct covey_crew *crew;
    struct covey_clock *clock;
    uint32_t *sequences;                /* (devices) of the model that each has; 0: none yet */
    uint64_t deadline_ms;               /* of the devices that are seated now, */
    const struct covey_crew_base *base; /* and what they start from */
};

/* A cohort is seated at clock->now_ms: the plan is encoded, goes out, and what lies ahead is worked out: job
 * gets when its result will be wanted. */
COVEY_MUST_CHECK enum covey_status covey_virtual_member_seat(const struct covey_member_context *context,
                                                             uint32_t device, uint32_t slot,
                                                             struct covey_virtual_member *member,
                                                             struct covey_crew_job *job,
                                                             struct covey_error *err);

/* One event of it; SENT: accepted says what the server answered. */
COVEY_MUST_CHECK enum covey_status covey_virtual_member_step(const struct covey_member_context *context,
                                                             struct covey_virtual_member *member,
                                                             const struct covey_clock_event *event,
                                                             bool accepted, struct covey_error *err);

#endif
