/* The worker threads of a simulation. Each owns one training workspace, one copy of the model and one codec
 * scratch, and resets them in place from job to job.
 *
 * A job is one chosen device's work of a round: train, encode, and the server's side of it: decode, verify,
 * admit, and, where it is certain already that the update will be in time, fold. What a job gives depends on
 * the device, the round and the published model alone, so it may run before its moment in virtual time, on
 * any thread, in any order; the event loop awaits it when that moment comes. With one thread the loop runs
 * the jobs itself, as late as it can. */
#ifndef COVEY_VIRTUAL_CREW_H
#define COVEY_VIRTUAL_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "covey/codec.h"
#include "covey/messages.h"
#include "covey/strategy.h"
#include "covey/trainer.h"
#include "covey/weighting.h"
#include "examine.h"
#include "personal_store.h"
#include "virtual_fleet.h"
#include "world.h"

#define COVEY_CREW_FOLD_BATCH 8          /* updates that a worker keeps back, to fold them in one pass: */
#define COVEY_CREW_KEPT_BYTES (8u << 20) /* fewer where they are more bytes than these; one always may be */
#define COVEY_SPY_BYTES (4ull << 30)     /* of honest deltas that hostile devices look at */
#define COVEY_CREW_HELD_BYTES                                                                                \
    (128u << 20) /* of encoded updates that wait for their arrival; more: to the disk */

enum covey_crew_state { COVEY_JOB_WAITING, COVEY_JOB_RUNNING, COVEY_JOB_DONE };

/* The model that jobs start from, as it was published. Kept until they are over. */
struct covey_crew_base {
    struct covey_crew_base *next;
    uint32_t users;
    uint64_t sequence; /* for the age of residuals too */
    struct covey_hash model;
    const float *published; /* P: (layout.count), personal part initial */
    uint64_t manifest_bytes;
};

struct covey_crew_job {
    /* given */
    const struct covey_crew_base *base;
    uint32_t device, slot;
    const struct covey_plan *plan; /* as the device has it; kept until the round is over */
    uint64_t trained_ms;           /* virtual time at which its result is wanted */
    uint32_t training_ms;          /* virtual, for the update's head */
    uint64_t vanish_ms;            /* UINT64_MAX: it does not */
    bool hostile;
    bool foreign;       /* another rank's: that one's sum takes it in */
    bool queued;        /* may run before it is awaited: trained_ms is certain */
    uint32_t seen;      /* by spies: place + 1 of what it made then; 0: not trained yet */
    bool kept;          /* it outlives the round: end leaves its message */
    uint32_t staleness; /* models since its base, when it arrived */

    /* result, when DONE */
    enum covey_crew_state state;
    enum covey_status status;   /* of training and encoding; CANCELLED: it never ran */
    enum covey_status examined; /* what the server says */
    bool folded;                /* it is in the sum: certain to arrive in time */
    uint64_t sent_ms;           /* first try of the upload: its end */
    struct covey_transfer upload;
    size_t message_bytes, stream_bytes;
    uint8_t *message; /* malloc'ed, unless folded, refused or spilled */
    uint64_t spilled; /* place on the disk + 1; 0: in memory */
    uint32_t examples, steps;
    double loss_before, loss_after;
    struct covey_weighed weighed; /* what it counts for, once examined */
};

/* What the jobs of one round share. Everything borrowed while the round is open. */
struct covey_crew_round {
    uint32_t round;
    const struct covey_crew_base *base; /* of those that it gave work to */
    struct covey_examine_round examine;
    struct covey_aggregation *aggregation;
    uint64_t deadline_ms;
    bool certain; /* only the deadline can close the round on a device that still works */
};

struct covey_crew_config {
    const struct covey_virtual_fleet *fleet;
    const struct covey_world *world;
    struct covey_personal_store *store; /* NULL: nothing persists */
    const struct covey_recipe *recipe;
    const struct covey_codec *codec;
    uint32_t threads;    /* the loop's included */
    uint64_t held_bytes; /* 0: COVEY_CREW_HELD_BYTES */
    bool lasts; /* jobs may outlive their round: they are examined when they arrive, by the terms of then */
};

struct covey_crew;
COVEY_MUST_CHECK enum covey_status covey_crew_create(const struct covey_crew_config *config,
                                                     struct covey_crew **out, struct covey_error *err);
void covey_crew_destroy(struct covey_crew *crew); /* NULL is legal */

/* Before a round begins, with attacks that look at it: what hostile devices will send. jobs: (count), as for
 * begin; honest ones are trained here and not again. */
COVEY_MUST_CHECK enum covey_status covey_crew_spy(struct covey_crew *crew,
                                                  const struct covey_crew_round *round,
                                                  struct covey_crew_job *jobs, uint32_t count,
                                                  struct covey_error *err);
/* jobs: (count), in order of trained_ms, borrowed until end. Threads begin at once. */
void covey_crew_begin(struct covey_crew *crew, const struct covey_crew_round *round,
                      struct covey_crew_job *jobs, uint32_t count);
/* Until that job is DONE; runs others meanwhile. */
void covey_crew_await(struct covey_crew *crew, struct covey_crew_job *job);
/* Why the first job failed that did so otherwise than by diverging; "" when none did. Between jobs. */
const char *covey_crew_trouble(const struct covey_crew *crew);
/* Runs all jobs that are queued and our own. */
void covey_crew_run_all(struct covey_crew *crew);
/* A job that another rank ran, as its result was shared: it counts as DONE. */
void covey_crew_note(struct covey_crew *crew, struct covey_crew_job *job);
/* It arrived, in a round that lasts: job->examined says what the server says. Runs it, if need be. */
COVEY_MUST_CHECK enum covey_status covey_crew_examine(struct covey_crew *crew, struct covey_crew_job *job,
                                                      struct covey_error *err);
/* Its message, decoded already, is added to the sum: it arrived in time. */
COVEY_MUST_CHECK enum covey_status covey_crew_fold(struct covey_crew *crew, struct covey_crew_job *job,
                                                   struct covey_error *err);
/* No more jobs are begun; those that run end; what was kept back is folded; messages are freed. *folded:
 * updates added since begin. NO_MEMORY, or what an aggregation says of updates that were admitted before:
 * then the sum is of no use. */
COVEY_MUST_CHECK enum covey_status covey_crew_end(struct covey_crew *crew, uint32_t *folded,
                                                  struct covey_error *err);

/* task(user, worker, i) for every i < count, on all threads, between two rounds. A worker's number is below
 * config.threads, and at most one task at a time has it. */
void covey_crew_each(struct covey_crew *crew, uint32_t count,
                     void (*task)(void *user, uint32_t worker, uint32_t index), void *user);

/* The published model on `parts`, cut into (count) data sets that are judged side by side: OK, or what the
 * first bad one said. scores: (count). */
COVEY_MUST_CHECK enum covey_status covey_crew_evaluate(struct covey_crew *crew, const float *params,
                                                       const struct covey_dataset *parts, uint32_t count,
                                                       struct covey_score *scores, struct covey_error *err);

/* The same of (count) devices, each with what it keeps for itself: personal layers, ditto's model. */
COVEY_MUST_CHECK enum covey_status covey_crew_evaluate_own(struct covey_crew *crew, const float *params,
                                                           const uint32_t *devices,
                                                           const struct covey_dataset *parts, uint32_t count,
                                                           struct covey_score *scores,
                                                           struct covey_error *err);

/* Thread time inside the trainer, so far: training, and judging. */
void covey_crew_cpu(const struct covey_crew *crew, double *training_s, double *judging_s);

#endif
