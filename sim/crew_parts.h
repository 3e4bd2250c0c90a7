/* What the crew's two files share: virtual_crew.c runs threads and rounds, virtual_work.c does one job.
 * Private. */
#ifndef COVEY_CREW_PARTS_H
#define COVEY_CREW_PARTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "virtual_crew.h"

struct covey_worker {
    struct covey_crew *crew;
    pthread_t thread;
    bool started;
    struct covey_trainer *trainer, *judge; /* made by the thread that uses them */
    float *local;
    const float *kept_back; /* residual of the job's device from earlier rounds; NULL: none */
    float *memory;          /* of the recipe's algorithm (client/local_step.h) */
    void *scratch;
    uint32_t *share;
    uint8_t *rooms[COVEY_CREW_FOLD_BATCH];
    struct covey_contribution kept[COVEY_CREW_FOLD_BATCH]; /* in rooms, not in the sum yet */
    uint32_t kept_count, folded;
    enum covey_status status; /* of folding */
    struct covey_error err;
    double training_s, judging_s;
};

enum mode { MODE_IDLE, MODE_JOBS, MODE_EACH };

struct covey_crew {
    struct covey_crew_config config;
    size_t update_count, count, personal_count, memory_count;
    size_t room_bytes, scratch_bytes;
    uint32_t batch; /* rooms of a worker */
    bool feedback;
    struct covey_worker *workers; /* (threads) 0: the loop's */

    pthread_mutex_t mutex; /* of all below */
    pthread_cond_t more, done;
    bool stopping, loop_waits;
    enum mode mode;
    uint32_t next, count_all, running, awaited; /* awaited: place behind the last job that was wanted */
    uint32_t ahead;                             /* jobs that may be begun before they are wanted */
    struct covey_crew_job *jobs;
    void (*task)(void *user, uint32_t worker, uint32_t index);
    void *user;

    struct covey_error trouble; /* the first job that failed otherwise than by diverging */

    struct covey_crew_round round;
    const struct covey_crew_job *twin; /* of sybils: the job that all of them do */
    float *spied; /* (update_count) the delta that hostile devices send, when has_spied; owned */
    bool has_spied;
    struct covey_seen *seen; /* (seen_count) what honest devices made when they were spied on; owned */
    float *seen_values;      /* theirs; owned */
    uint32_t seen_count;
    atomic_size_t held_bytes;
    FILE *spill;
    atomic_ullong spill_bytes;
};

/* An honest device's training, done once for the spies and taken up when its moment comes. */
struct covey_seen {
    const struct covey_crew_job *job;
    enum covey_status status;
    struct covey_error err;
    struct covey_training_result result;
    float *local;  /* (count) as trained */
    float *memory; /* (memory_count) */
};

double covey_worker_cpu_s(void); /* of the calling thread */

COVEY_MUST_CHECK enum covey_status covey_worker_equip(struct covey_worker *worker, struct covey_error *err);
void covey_worker_unequip(struct covey_worker *worker);

/* The device's own part of a job, without anything that stays: worker->local is the trained model,
 * worker->memory what its algorithm keeps. */
COVEY_MUST_CHECK enum covey_status covey_worker_train(struct covey_worker *worker,
                                                      const struct covey_crew_job *job,
                                                      struct covey_training_result *result,
                                                      struct covey_error *err);

/* The published model as that device uses it: with its own personal values, or the model of its own. (count),
 * borrowed until the worker's next work. */
COVEY_MUST_CHECK enum covey_status covey_worker_own_model(struct covey_worker *worker, uint32_t device,
                                                          const float *published, const float **out,
                                                          struct covey_error *err);

/* One job from beginning to end; its state is the crew's business. */
void covey_worker_run(struct covey_worker *worker, struct covey_crew_job *job);
/* What it kept back goes into the sum. */
void covey_worker_fold(struct covey_worker *worker);

#endif
